-- Numbers every addition to the revocations, so that processes that share the
-- database can ask for what is new. The number lives in a table of its own: the
-- highest one in use would fall when expired revocations go.

CREATE TABLE revocation_sequence (
  one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  last INTEGER NOT NULL
) STRICT;

ALTER TABLE revocations ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;

UPDATE revocations SET seq = numbered.seq
FROM (SELECT kind, value, row_number() OVER (ORDER BY kind, value) AS seq FROM revocations) AS numbered
WHERE revocations.kind = numbered.kind AND revocations.value = numbered.value;

INSERT INTO revocation_sequence (one, last) SELECT 1, count(*) FROM revocations;

CREATE INDEX revocations_seq ON revocations (seq);
