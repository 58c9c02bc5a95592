-- BLAKE3 of encoded files, as of pyramids.
ALTER TABLE rendition_files ADD COLUMN hash BLOB CHECK (length(hash) = 32);

-- Parts of an asset, such as pages, that a job has finished while the asset as a whole is not: it need not do them
-- again when it goes on. replaced: whether there was a derivative before the job.
CREATE TABLE finished_parts (
    asset_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    job_id INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    replaced INTEGER NOT NULL CHECK (replaced IN (0, 1))
) STRICT;
