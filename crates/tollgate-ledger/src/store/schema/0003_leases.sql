-- Global quotas and their leases, version 3 of the schema. Valid, unchanged, in SQLite and PostgreSQL.
-- All amounts are in the quota's own unit.

-- One row per quota and window. `quota_id` is a hash of the name, which is kept beside it for people: the limit, its
-- route policy, the meter, and whose balance it is as JSON. `limit_most` is the highest limit it ever had: no more than
-- that may ever be settled and held.
CREATE TABLE quotas (
  quota_id       TEXT   NOT NULL PRIMARY KEY,
  limit_name     TEXT   NOT NULL,
  policy         TEXT   NOT NULL,
  meter          TEXT   NOT NULL,
  key_doc        TEXT   NOT NULL,
  consumer       TEXT   NOT NULL,
  start_ms       BIGINT NOT NULL,
  end_ms         BIGINT NOT NULL,
  limit_units    BIGINT NOT NULL,
  limit_most     BIGINT NOT NULL,
  settled        BIGINT NOT NULL CHECK (settled >= 0),
  held           BIGINT NOT NULL CHECK (held >= 0),
  overrun        BIGINT NOT NULL CHECK (overrun >= 0),
  version        BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID*/;
CREATE INDEX quotas_end ON quotas (end_ms);
CREATE INDEX quotas_consumer ON quotas (consumer, end_ms);

-- One row per lease: counters that only grow, merged by the larger. A lease that expired is shown, never refunded.
CREATE TABLE leases (
  quota_id       TEXT   NOT NULL,
  lease          TEXT   NOT NULL,
  process        TEXT   NOT NULL,
  node           TEXT   NOT NULL,
  granted        BIGINT NOT NULL,
  spent          BIGINT NOT NULL,
  returned       BIGINT NOT NULL,
  overrun        BIGINT NOT NULL,
  rate           BIGINT NOT NULL,
  seen_ms        BIGINT NOT NULL,
  expires_ms     BIGINT NOT NULL,
  PRIMARY KEY (quota_id, lease),
  CHECK (spent >= 0 AND returned >= 0 AND overrun >= 0 AND spent + returned <= granted)
) /*sqlite: WITHOUT ROWID*/;
CREATE INDEX leases_seen ON leases (quota_id, seen_ms);
