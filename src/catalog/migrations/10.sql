-- What the report of a job shows of an asset; opaque here.
ALTER TABLE tasks ADD COLUMN report TEXT;
