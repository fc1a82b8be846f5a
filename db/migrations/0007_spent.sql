-- What may be used once and has been, until it would be good for nothing anyway.

CREATE TABLE spent (
  id         TEXT    NOT NULL PRIMARY KEY,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX spent_expiry ON spent (expires_at);
