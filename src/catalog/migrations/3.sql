-- The mask of an asset's clipping path. path is relative to the library; source_hash is the content that it was made from.
CREATE TABLE masks (
    asset_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    path TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
    width INTEGER NOT NULL CHECK (width > 0),
    height INTEGER NOT NULL CHECK (height > 0),
    source_hash BLOB NOT NULL CHECK (length(source_hash) = 32),
    updated_ns INTEGER NOT NULL
) STRICT;
