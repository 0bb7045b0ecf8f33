-- The books, version 1. This text is valid, unchanged, in SQLite and PostgreSQL.
-- *_ms: Unix milliseconds, UTC. *_nusd: 10^-9 US dollars. credits: 10^-6 of a credit. Flags are SMALLINT 0 or 1.
-- What stands in a comment as "sqlite:" is an engine's own option, which it takes out of the comment when it applies this
-- text: a key that is the table saves SQLite a second tree to write.
-- Identities are TEXT: SQLite would turn digits in a column of another affinity into numbers.

-- One row per worker of an Envoy process; both identities are random and never used again.
CREATE TABLE sources (
  source_id      BIGINT NOT NULL PRIMARY KEY,
  process        TEXT   NOT NULL,
  worker         TEXT   NOT NULL,
  node           TEXT   NOT NULL DEFAULT '',
  first_seen_ms  BIGINT NOT NULL,
  last_seen_ms   BIGINT NOT NULL,
  UNIQUE (worker, process)
);
CREATE INDEX sources_node ON sources (node, process);

-- The numbers already used. The same number with another hash is refused and never applied.
CREATE TABLE batches (
  worker         TEXT   NOT NULL,
  seq            BIGINT NOT NULL,
  body_hash      TEXT   NOT NULL,
  entries        BIGINT NOT NULL,
  entries_new    BIGINT NOT NULL,
  oldest_ms      BIGINT NOT NULL,
  received_ms    BIGINT NOT NULL,
  PRIMARY KEY (worker, seq)
) /*sqlite: WITHOUT ROWID*/;
CREATE INDEX batches_received ON batches (received_ms);

-- The months of the audit trail: each is a table entries_YYYYMM made from a template. A month that retention has
-- dropped stays here with the time of it, and is never made again.
CREATE TABLE months (
  yyyymm         BIGINT NOT NULL PRIMARY KEY,
  created_ms     BIGINT NOT NULL,
  dropped_ms     BIGINT
);

-- The roll-up that reports read; it outlives the entries. `shard` is 0 here; a cluster spreads hot rows over several.
-- The bound on sums is below the largest BIGINT, so that a sum that would overflow is refused in both engines.
CREATE TABLE usage_windows (
  window_kind     TEXT     NOT NULL CHECK (window_kind IN ('day', 'month')),
  window_start_ms BIGINT   NOT NULL,
  consumer        TEXT     NOT NULL,
  team            TEXT     NOT NULL,
  project         TEXT     NOT NULL,
  tier            TEXT     NOT NULL,
  provider        TEXT     NOT NULL,
  model           TEXT     NOT NULL,
  action          TEXT     NOT NULL,
  shard           SMALLINT NOT NULL DEFAULT 0,
  requests        BIGINT   NOT NULL DEFAULT 0,
  refused         BIGINT   NOT NULL DEFAULT 0,
  errors          BIGINT   NOT NULL DEFAULT 0,
  estimated       BIGINT   NOT NULL DEFAULT 0,
  input           BIGINT   NOT NULL DEFAULT 0,
  cache_read      BIGINT   NOT NULL DEFAULT 0,
  cache_write     BIGINT   NOT NULL DEFAULT 0,
  output          BIGINT   NOT NULL DEFAULT 0,
  reasoning       BIGINT   NOT NULL DEFAULT 0,
  cost_nusd       BIGINT   NOT NULL DEFAULT 0,
  credits         BIGINT   NOT NULL DEFAULT 0,
  PRIMARY KEY (window_kind, window_start_ms, consumer, team, project, tier, provider, model, action, shard),
  CHECK (input < 4611686018427387904 AND output < 4611686018427387904
     AND cache_read < 4611686018427387904 AND cache_write < 4611686018427387904
     AND cost_nusd < 4611686018427387904 AND credits < 4611686018427387904)
) /*sqlite: WITHOUT ROWID*/;

-- Each alert fires once per consumer, rule and window. `delivered_ms` is empty until somebody was told.
CREATE TABLE alerts (
  consumer        TEXT    NOT NULL,
  rule            TEXT    NOT NULL,
  window_start_ms BIGINT  NOT NULL,
  entry_id        TEXT    NOT NULL,
  fired_ms        BIGINT  NOT NULL,
  delivered_ms    BIGINT,
  PRIMARY KEY (consumer, rule, window_start_ms)
);

-- One row that /readyz writes: a database that can only be read is not ready.
CREATE TABLE heartbeat (
  heartbeat_id   SMALLINT NOT NULL PRIMARY KEY,
  at_ms          BIGINT   NOT NULL
);
