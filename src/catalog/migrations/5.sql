-- Derived assets that are encodings of a video or of audio: one for each preset and container.
CREATE TABLE renditions (
    asset_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    originator_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
    preset TEXT NOT NULL,
    container TEXT NOT NULL,
    UNIQUE (originator_id, preset, container)
) STRICT;

-- What was encoded last. path is relative to the library; source_hash is the content that it was made from.
CREATE TABLE rendition_files (
    asset_id INTEGER PRIMARY KEY REFERENCES renditions ON DELETE CASCADE,
    path TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
    video_codec TEXT,
    audio_codec TEXT,
    width INTEGER CHECK (width > 0),
    height INTEGER CHECK (height > 0),
    duration_ms INTEGER CHECK (duration_ms >= 0),
    bits_per_second INTEGER CHECK (bits_per_second >= 0),
    adaptive INTEGER NOT NULL CHECK (adaptive IN (0, 1)),
    source_hash BLOB NOT NULL CHECK (length(source_hash) = 32),
    updated_ns INTEGER NOT NULL
) STRICT;

-- The renditions of a video that a player may change between, from the lowest bit rate to the highest.
CREATE TABLE video_sets (
    originator_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    name TEXT NOT NULL,
    updated_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE video_set_members (
    originator_id INTEGER NOT NULL REFERENCES video_sets ON DELETE CASCADE,
    position INTEGER NOT NULL,
    asset_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
    PRIMARY KEY (originator_id, position)
) STRICT, WITHOUT ROWID;
