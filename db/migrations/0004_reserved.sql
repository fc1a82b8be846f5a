-- Holds the place of a step that is added beside this one.
SELECT 1;
