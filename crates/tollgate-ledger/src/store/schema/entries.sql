-- One month of the audit trail; the service puts the month in the place of YYYYMM. Valid in SQLite and PostgreSQL.
CREATE TABLE entries_YYYYMM (
  entry_id       TEXT     NOT NULL PRIMARY KEY,
  at_ms          BIGINT   NOT NULL,
  source_id      BIGINT   NOT NULL REFERENCES sources (source_id),
  seq            BIGINT   NOT NULL,
  consumer       TEXT     NOT NULL,
  team           TEXT     NOT NULL,
  project        TEXT     NOT NULL,
  tier           TEXT     NOT NULL,
  route          TEXT     NOT NULL,
  policy         TEXT     NOT NULL,
  action         TEXT     NOT NULL,
  workflow       TEXT     NOT NULL,
  provider       TEXT     NOT NULL,
  model          TEXT     NOT NULL,
  status         INTEGER  NOT NULL,
  outcome        TEXT     NOT NULL,
  refused_by     TEXT     NOT NULL,
  requests       BIGINT   NOT NULL,
  input          BIGINT   NOT NULL,
  cache_read     BIGINT   NOT NULL,
  cache_write    BIGINT   NOT NULL,
  output         BIGINT   NOT NULL,
  reasoning      BIGINT   NOT NULL,
  cost_nusd      BIGINT   NOT NULL,
  credits        BIGINT   NOT NULL,
  price_version  BIGINT   NOT NULL,
  unknown_price  SMALLINT NOT NULL,
  warnings       TEXT     NOT NULL,
  exempt         SMALLINT NOT NULL
);
CREATE INDEX entries_YYYYMM_at ON entries_YYYYMM (at_ms, source_id);
CREATE INDEX entries_YYYYMM_consumer ON entries_YYYYMM (consumer, at_ms);
