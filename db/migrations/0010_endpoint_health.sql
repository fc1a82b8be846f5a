-- How an endpoint fares, for operators and for other processes: since when its
-- attempts have failed (0: the last was acknowledged, or none was made), and until
-- when a bridge leaves it alone (0: it does not, or somebody has asked it not to).
ALTER TABLE outbox_endpoints ADD COLUMN failing_since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox_endpoints ADD COLUMN resting_until INTEGER NOT NULL DEFAULT 0;
