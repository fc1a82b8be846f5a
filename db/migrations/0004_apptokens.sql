-- The tokens of WeChat's apps, and who is fetching one: owner holds the row
-- until locked_until, '' is nobody.

CREATE TABLE app_tokens (
  key          TEXT    NOT NULL PRIMARY KEY,
  sealed       BLOB,             -- null: none was saved yet
  owner        TEXT    NOT NULL,
  locked_at    INTEGER NOT NULL,
  locked_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
