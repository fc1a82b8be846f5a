-- A key that has signed for the last time keeps its public part only, and both
-- are sealed. Lives are milliseconds: the longest that any process has given
-- tokens of the key, and caches of the key set beside it. The defaults are those
-- of the program before it could rotate.
ALTER TABLE signing_keys RENAME COLUMN private_sealed TO sealed;
ALTER TABLE signing_keys ADD COLUMN compromised_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN token_ttl INTEGER NOT NULL DEFAULT 7200000;
ALTER TABLE signing_keys ADD COLUMN jwks_max_age INTEGER NOT NULL DEFAULT 600000;
