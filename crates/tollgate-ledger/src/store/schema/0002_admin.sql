-- What operators decide, version 2 of the schema. Valid, unchanged, in SQLite and PostgreSQL.

-- Records with a version: consumers, quotas, switches, memory, tokens. `doc` is JSON, NULL once the record was removed.
-- `revision` is the number of the change that wrote it last, by which filters ask for what is new.
CREATE TABLE admin_records (
  kind           TEXT   NOT NULL,
  id             TEXT   NOT NULL,
  version        BIGINT NOT NULL CHECK (version >= 1),
  revision       BIGINT NOT NULL,
  doc            TEXT   DEFAULT NULL,
  tier           TEXT   NOT NULL DEFAULT '',
  status         TEXT   NOT NULL DEFAULT '',
  parent         TEXT   NOT NULL DEFAULT '',
  updated_ms     BIGINT NOT NULL,
  PRIMARY KEY (kind, id)
) /*sqlite: WITHOUT ROWID*/;
CREATE UNIQUE INDEX admin_records_revision ON admin_records (revision);
CREATE INDEX admin_records_found_by ON admin_records (kind, tier, status);
CREATE INDEX admin_records_parent ON admin_records (kind, parent);

-- Every change, append only, each hashed over the one before. `idempotency_key` is NULL where the client sent none.
CREATE TABLE admin_audit (
  seq             BIGINT NOT NULL PRIMARY KEY,
  at_ms           BIGINT NOT NULL,
  actor           TEXT   NOT NULL,
  action          TEXT   NOT NULL,
  kind            TEXT   NOT NULL,
  id              TEXT   NOT NULL,
  version         BIGINT NOT NULL,
  before_doc      TEXT   NOT NULL,
  after_doc       TEXT   NOT NULL,
  reason          TEXT   NOT NULL,
  idempotency_key TEXT   DEFAULT NULL,
  request_hash    TEXT   NOT NULL,
  prev_hash       TEXT   NOT NULL,
  hash            TEXT   NOT NULL,
  UNIQUE (actor, idempotency_key)
);
CREATE INDEX admin_audit_target ON admin_audit (kind, id, seq);
