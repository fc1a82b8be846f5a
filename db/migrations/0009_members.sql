-- Of members of a WeCom corp: their departments, ids with commas between them, and
-- when WeCom last said that they are active. confirmed_at 0 asks anew.
ALTER TABLE identities ADD COLUMN departments  TEXT    NOT NULL DEFAULT '';
ALTER TABLE identities ADD COLUMN confirmed_at INTEGER NOT NULL DEFAULT 0;

-- Fans whom an operator has linked, and what undoes it: alias_id was linked to fan_id.
CREATE TABLE fan_links (
  alias_id  TEXT    NOT NULL PRIMARY KEY,
  fan_id    TEXT    NOT NULL REFERENCES fans (id),
  linked_at INTEGER NOT NULL,
  undo      BLOB    NOT NULL -- JSON
) STRICT, WITHOUT ROWID;

CREATE INDEX fan_links_fan ON fan_links (fan_id);
