-- Attempts to log in a computer's browser by a code that a phone scans.

CREATE TABLE scans (
  id           TEXT    NOT NULL PRIMARY KEY, -- known to the browser that waits, and to nobody else
  code         TEXT    NOT NULL UNIQUE,      -- names the scan to the phone
  appid        TEXT    NOT NULL,             -- of the official account
  scope        TEXT    NOT NULL,
  browser      TEXT    NOT NULL,
  address      TEXT    NOT NULL,
  network      TEXT    NOT NULL,             -- what the limit on one client counts
  state        TEXT    NOT NULL CHECK (state IN ('waiting', 'scanned', 'confirmed', 'declined', 'spent')),
  openid       TEXT    NOT NULL,             -- who scanned it; '' is nobody yet
  confirmed_at INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX scans_expiry ON scans (expires_at);
CREATE INDEX scans_network ON scans (network);
CREATE INDEX scans_moved ON scans (state, expires_at) WHERE state <> 'waiting';
CREATE INDEX scans_person ON scans (appid, openid) WHERE openid <> '';
