-- Sets of images. A set is an asset: it has a row in assets, its type as kind, and none in originals.
CREATE TABLE sets (
    asset_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    preset_id INTEGER REFERENCES presets ON DELETE SET NULL,
    base_name TEXT NOT NULL,
    folder TEXT NOT NULL,
    UNIQUE (preset_id, base_name)
) STRICT;

-- set_row and set_column: the position in a set of two axes.
CREATE TABLE set_members (
    set_id INTEGER NOT NULL REFERENCES sets ON DELETE CASCADE,
    position INTEGER NOT NULL,
    asset_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
    set_row INTEGER,
    set_column INTEGER,
    PRIMARY KEY (set_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX set_members_by_asset ON set_members (asset_id);
