-- Version 5 of the schema: tool, interface and region of entries; usage by workflow, tool and interface as well. Valid, unchanged,
-- in SQLite and PostgreSQL. Statements about entries_YYYYMM run for every month that is there, MONTH_MS is its start.
ALTER TABLE entries_YYYYMM ADD COLUMN tool TEXT NOT NULL DEFAULT '';
ALTER TABLE entries_YYYYMM ADD COLUMN interface TEXT NOT NULL DEFAULT '';
ALTER TABLE entries_YYYYMM ADD COLUMN region TEXT NOT NULL DEFAULT '';

-- Entries know their workflow since version 1. What has one moves from the rows without to rows of its own: by
-- subtraction, so that a roll-up with too much still has it, for the audit to find. Months without entries stay as they are.
CREATE TABLE usage_moved (
  window_kind     TEXT     NOT NULL,
  window_start_ms BIGINT   NOT NULL,
  consumer        TEXT     NOT NULL,
  team            TEXT     NOT NULL,
  project         TEXT     NOT NULL,
  tier            TEXT     NOT NULL,
  provider        TEXT     NOT NULL,
  model           TEXT     NOT NULL,
  action          TEXT     NOT NULL,
  workflow        TEXT     NOT NULL,
  requests        BIGINT   NOT NULL,
  refused         BIGINT   NOT NULL,
  errors          BIGINT   NOT NULL,
  estimated       BIGINT   NOT NULL,
  input           BIGINT   NOT NULL,
  cache_read      BIGINT   NOT NULL,
  cache_write     BIGINT   NOT NULL,
  output          BIGINT   NOT NULL,
  reasoning       BIGINT   NOT NULL,
  cost_nusd       BIGINT   NOT NULL,
  credits         BIGINT   NOT NULL
);
INSERT INTO usage_moved
  SELECT 'day', at_ms - at_ms % 86400000, consumer, team, project, tier, provider, model, action, workflow,
    SUM(requests), SUM(CASE WHEN outcome = 'refused' THEN requests ELSE 0 END),
    SUM(CASE WHEN outcome = 'error' THEN requests ELSE 0 END),
    SUM(CASE WHEN outcome = 'estimated' THEN requests ELSE 0 END),
    SUM(input), SUM(cache_read), SUM(cache_write), SUM(output), SUM(reasoning), SUM(cost_nusd), SUM(credits)
  FROM entries_YYYYMM WHERE workflow <> ''
  GROUP BY 2, consumer, team, project, tier, provider, model, action, workflow;
INSERT INTO usage_moved
  SELECT 'month', MONTH_MS, consumer, team, project, tier, provider, model, action, workflow,
    SUM(requests), SUM(CASE WHEN outcome = 'refused' THEN requests ELSE 0 END),
    SUM(CASE WHEN outcome = 'error' THEN requests ELSE 0 END),
    SUM(CASE WHEN outcome = 'estimated' THEN requests ELSE 0 END),
    SUM(input), SUM(cache_read), SUM(cache_write), SUM(output), SUM(reasoning), SUM(cost_nusd), SUM(credits)
  FROM entries_YYYYMM WHERE workflow <> ''
  GROUP BY consumer, team, project, tier, provider, model, action, workflow;
INSERT INTO usage_moved
  SELECT window_kind, window_start_ms, consumer, team, project, tier, provider, model, action, '',
    -SUM(requests), -SUM(refused), -SUM(errors), -SUM(estimated), -SUM(input), -SUM(cache_read), -SUM(cache_write),
    -SUM(output), -SUM(reasoning), -SUM(cost_nusd), -SUM(credits)
  FROM usage_moved
  GROUP BY window_kind, window_start_ms, consumer, team, project, tier, provider, model, action;
INSERT INTO usage_moved
  SELECT window_kind, window_start_ms, consumer, team, project, tier, provider, model, action, '',
    requests, refused, errors, estimated, input, cache_read, cache_write, output, reasoning, cost_nusd, credits
  FROM usage_windows;
DROP TABLE usage_windows;

-- The roll-up that reports read; it outlives the entries. A cluster spreads rows over several of `shard`.
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
  workflow        TEXT     NOT NULL,
  tool            TEXT     NOT NULL,
  interface       TEXT     NOT NULL,
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
  PRIMARY KEY (window_kind, window_start_ms, consumer, team, project, tier, provider, model, action, workflow, tool,
    interface, shard),
  CHECK (input < 4611686018427387904 AND output < 4611686018427387904
     AND cache_read < 4611686018427387904 AND cache_write < 4611686018427387904
     AND cost_nusd < 4611686018427387904 AND credits < 4611686018427387904)
) /*sqlite: WITHOUT ROWID*/;
INSERT INTO usage_windows
  SELECT window_kind, window_start_ms, consumer, team, project, tier, provider, model, action, workflow, '', '', 0,
    CASE WHEN SUM(requests) > 0 THEN SUM(requests) ELSE 0 END,
    CASE WHEN SUM(refused) > 0 THEN SUM(refused) ELSE 0 END,
    CASE WHEN SUM(errors) > 0 THEN SUM(errors) ELSE 0 END,
    CASE WHEN SUM(estimated) > 0 THEN SUM(estimated) ELSE 0 END,
    CASE WHEN SUM(input) > 0 THEN SUM(input) ELSE 0 END,
    CASE WHEN SUM(cache_read) > 0 THEN SUM(cache_read) ELSE 0 END,
    CASE WHEN SUM(cache_write) > 0 THEN SUM(cache_write) ELSE 0 END,
    CASE WHEN SUM(output) > 0 THEN SUM(output) ELSE 0 END,
    CASE WHEN SUM(reasoning) > 0 THEN SUM(reasoning) ELSE 0 END,
    CASE WHEN SUM(cost_nusd) > 0 THEN SUM(cost_nusd) ELSE 0 END,
    CASE WHEN SUM(credits) > 0 THEN SUM(credits) ELSE 0 END
  FROM usage_moved
  GROUP BY window_kind, window_start_ms, consumer, team, project, tier, provider, model, action, workflow
  HAVING SUM(requests) > 0 OR SUM(input) > 0 OR SUM(output) > 0 OR SUM(cost_nusd) > 0
  ORDER BY window_kind, window_start_ms, consumer, team, project, tier, provider, model, action, workflow;
DROP TABLE usage_moved;
