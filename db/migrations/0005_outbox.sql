-- What backends are told by webhooks. An event is appended in the transaction
-- of what it tells, and nothing more: a login pays for one row without an index.
-- It becomes one delivery for each endpoint that wants it later, in order.

CREATE TABLE outbox (
  seq        INTEGER NOT NULL PRIMARY KEY, -- never used twice: always above outbox_mark
  id         TEXT    NOT NULL,             -- webhook-id
  type       TEXT    NOT NULL,
  ordering   TEXT    NOT NULL,             -- events of one key go out one after another; '' has no order
  appid      TEXT    NOT NULL,             -- '' is about no app
  created_at INTEGER NOT NULL,
  reply_by   INTEGER NOT NULL,             -- until then only a replier's answer is waited for; 0: nobody's
  data       BLOB    NOT NULL              -- JSON object
) STRICT;

-- Finds the few events that a replier may answer.
CREATE INDEX outbox_reply ON outbox (id) WHERE reply_by <> 0;

-- Events up to this number have become deliveries.
CREATE TABLE outbox_mark (
  one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  seq INTEGER NOT NULL
) STRICT;

INSERT INTO outbox_mark (one, seq) VALUES (1, 0);

CREATE TABLE outbox_endpoints (
  name        TEXT    NOT NULL PRIMARY KEY,
  events      TEXT    NOT NULL, -- patterns, separated by spaces
  appids      TEXT    NOT NULL, -- separated by spaces; '' is all
  replier     INTEGER NOT NULL,
  configured  INTEGER NOT NULL, -- 0: in no file any more; it gets no new events
  disabled_at INTEGER NOT NULL  -- it has said that it is gone; 0: it has not
) STRICT, WITHOUT ROWID;

-- Of one endpoint and ordering, one delivery at most is open: the others wait
-- for it. An open delivery is sent when it is due; while it is being sent, due
-- is when somebody else may try.
CREATE TABLE outbox_deliveries (
  seq        INTEGER NOT NULL REFERENCES outbox (seq),
  endpoint   TEXT    NOT NULL,
  ordering   TEXT    NOT NULL,
  state      TEXT    NOT NULL CHECK (state IN ('waiting', 'open', 'failed')),
  due_at     INTEGER NOT NULL, -- of a failed one: when it was given up
  not_before INTEGER NOT NULL,
  claim      TEXT    NOT NULL, -- of whoever is sending it; '' nobody is
  attempts   INTEGER NOT NULL,
  problem    TEXT    NOT NULL, -- of the last attempt
  PRIMARY KEY (seq, endpoint)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_due   ON outbox_deliveries (endpoint, state, due_at);
CREATE INDEX outbox_order ON outbox_deliveries (endpoint, ordering, state, seq) WHERE ordering <> '';
