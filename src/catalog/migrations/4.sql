-- Assets that were made of another one: page images, layers. They have no row in originals; their file and its
-- content are their originator's.
CREATE TABLE derived_assets (
    asset_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    originator_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
    engine TEXT NOT NULL,
    number INTEGER NOT NULL CHECK (number > 0),
    parameters TEXT NOT NULL,
    UNIQUE (originator_id, engine, number)
) STRICT;

-- Words on a page image, for searching; the box is in pixels of the image.
CREATE TABLE page_words (
    asset_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
    position INTEGER NOT NULL,
    word TEXT NOT NULL,
    box_left INTEGER NOT NULL,
    box_top INTEGER NOT NULL,
    box_right INTEGER NOT NULL,
    box_bottom INTEGER NOT NULL,
    PRIMARY KEY (asset_id, position)
) STRICT, WITHOUT ROWID;

-- Rectangles of an image that lead somewhere: to a URI, or to an asset (the image of another page).
CREATE TABLE image_maps (
    asset_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
    position INTEGER NOT NULL,
    box_left INTEGER NOT NULL,
    box_top INTEGER NOT NULL,
    box_right INTEGER NOT NULL,
    box_bottom INTEGER NOT NULL,
    uri TEXT,
    target_id INTEGER REFERENCES assets ON DELETE CASCADE,
    PRIMARY KEY (asset_id, position),
    CHECK ((uri IS NULL) <> (target_id IS NULL))
) STRICT, WITHOUT ROWID;

-- The pages of a document in order.
CREATE TABLE ecatalogs (
    originator_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    name TEXT NOT NULL,
    updated_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE ecatalog_pages (
    originator_id INTEGER NOT NULL REFERENCES ecatalogs ON DELETE CASCADE,
    position INTEGER NOT NULL,
    asset_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
    PRIMARY KEY (originator_id, position)
) STRICT, WITHOUT ROWID;
