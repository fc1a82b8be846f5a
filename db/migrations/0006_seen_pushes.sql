-- Pushes of WeChat's that were taken, so that a repeat changes nothing.

CREATE TABLE seen_pushes (
  provider TEXT    NOT NULL,
  appid    TEXT    NOT NULL,
  key      TEXT    NOT NULL, -- the same for a push and its repeats
  seen_at  INTEGER NOT NULL,
  PRIMARY KEY (provider, appid, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX seen_pushes_age ON seen_pushes (seen_at);

-- subscribed_at: when the push that last changed subscribed was made. profile_stale:
-- WeChat has said that the profile it gave is no longer the person's.
ALTER TABLE identities ADD COLUMN subscribed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE identities ADD COLUMN profile_stale INTEGER NOT NULL DEFAULT 0 CHECK (profile_stale IN (0, 1));
