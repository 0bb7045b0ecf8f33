-- Rates that all Envoys keep together, version 6 of the schema. Valid, unchanged, in SQLite and PostgreSQL.

-- One row per rate in use. `rate_id` is a hash of the name, which is kept beside it for people. `book` is who has which
-- part of it, as JSON. Behind `rests_ms` the row is as good as none.
CREATE TABLE rates (
  rate_id        TEXT   NOT NULL PRIMARY KEY,
  name_doc       TEXT   NOT NULL,
  book           TEXT   NOT NULL,
  rests_ms       BIGINT NOT NULL,
  version        BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID*/;
CREATE INDEX rates_rest ON rates (rests_ms);
