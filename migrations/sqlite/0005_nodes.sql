-- What several nodes on one database need. The same step, with the same names, is in ../postgres.

-- How many changes the shared log had seen of the name when this row was written. A flush of a node
-- that is late does not fit.
ALTER TABLE streams ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
-- Which Redis holds what is not here yet; NULL while there has never been one.
ALTER TABLE server ADD COLUMN incarnation TEXT;
-- Which node works on subscriptions: counts those that have begun to. Until then nobody else begins, in
-- milliseconds since 1970 by the clock of the database.
ALTER TABLE subscription_progress ADD COLUMN worker BIGINT NOT NULL DEFAULT 0;
ALTER TABLE subscription_progress ADD COLUMN worker_until_ms BIGINT NOT NULL DEFAULT 0;
