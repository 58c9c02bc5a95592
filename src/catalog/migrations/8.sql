-- Masks are published like pyramids, and proved in the same way.
ALTER TABLE masks ADD COLUMN hash BLOB CHECK (length(hash) = 32);

-- Files that a publish job sent, could not send, and sent with a warning.
ALTER TABLE jobs ADD COLUMN transfer_success_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN transfer_error_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN transfer_warning_count INTEGER NOT NULL DEFAULT 0;

-- What is still to be done for a job that is finished: a row is removed when it is done.
CREATE TABLE due (
    job_id INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    action TEXT NOT NULL,
    PRIMARY KEY (job_id, action)
) STRICT, WITHOUT ROWID;

-- Files at the address of a publish context, for each kind of publish job. generation counts manifests: that of the
-- last one that lists the file, or none when no manifest has listed it yet.
CREATE TABLE published (
    address TEXT NOT NULL,
    target TEXT NOT NULL,
    path TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    generation INTEGER,
    PRIMARY KEY (address, target, path)
) STRICT, WITHOUT ROWID;
