-- Times are milliseconds since 1970 UTC, 0 for "never". Text compares byte by
-- byte (BINARY): openids and unionids are case-sensitive.

CREATE TABLE fans (
  id            TEXT    NOT NULL PRIMARY KEY, -- UUIDv7: new rows append
  nickname      TEXT    NOT NULL,
  avatar_url    TEXT    NOT NULL,
  phone         TEXT    NOT NULL,
  language      TEXT    NOT NULL,
  role          TEXT    NOT NULL,
  status        TEXT    NOT NULL CHECK (status IN ('active', 'blocked')),
  registered_at INTEGER NOT NULL,
  profile_at    INTEGER NOT NULL,
  consented_at  INTEGER NOT NULL,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  last_login_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE identities (
  provider                  TEXT    NOT NULL,
  appid                     TEXT    NOT NULL,
  openid                    TEXT    NOT NULL,
  fan_id                    TEXT    NOT NULL REFERENCES fans (id),
  open_account              TEXT    NOT NULL,
  unionid                   TEXT    NOT NULL,
  scope                     TEXT    NOT NULL,
  subscribed                INTEGER CHECK (subscribed IN (0, 1)), -- null: not known
  session_key_sealed        BLOB,
  user_refresh_token_sealed BLOB,
  user_refresh_expires_at   INTEGER NOT NULL,
  profile_json              BLOB,
  created_at                INTEGER NOT NULL,
  last_login_at             INTEGER NOT NULL,
  PRIMARY KEY (provider, appid, openid)
) STRICT;

CREATE INDEX identities_fan ON identities (fan_id);

-- Finds who else has a unionid.
CREATE INDEX identities_union ON identities (open_account, unionid)
  WHERE unionid <> '' AND provider <> 'wecom';

CREATE TABLE fan_aliases (
  alias_id   TEXT    NOT NULL PRIMARY KEY, -- never the id of a fan
  fan_id     TEXT    NOT NULL REFERENCES fans (id),
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX fan_aliases_fan ON fan_aliases (fan_id);

CREATE TABLE signing_keys (
  id             TEXT    NOT NULL PRIMARY KEY,
  alg            TEXT    NOT NULL,
  private_sealed BLOB    NOT NULL,
  created_at     INTEGER NOT NULL,
  active_at      INTEGER NOT NULL,
  retired_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE revocations (
  kind          TEXT    NOT NULL CHECK (kind IN ('sid', 'sub')),
  value         TEXT    NOT NULL,
  issued_before INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;

CREATE INDEX revocations_expiry ON revocations (expires_at);
