-- Version 4 of the schema: whether an operator had exempted the consumer. Runs for every month that is there.
ALTER TABLE entries_YYYYMM ADD COLUMN exempt SMALLINT NOT NULL DEFAULT 0;
