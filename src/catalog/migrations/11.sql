-- Templates: the layers of a document in their places, for an image server to put together.
CREATE TABLE templates (
    originator_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    name TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    anchor TEXT NOT NULL,
    modifier TEXT NOT NULL,
    updated_ns INTEGER NOT NULL
) STRICT;

-- From bottom to top. Left and top are on the canvas; anchor_x and anchor_y are the anchor's place there. The opacity
-- is in the layer's image already. Text is JSON.
CREATE TABLE template_layers (
    originator_id INTEGER NOT NULL REFERENCES templates ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    asset_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
    left_px INTEGER NOT NULL,
    top_px INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    anchor_x INTEGER NOT NULL,
    anchor_y INTEGER NOT NULL,
    blend TEXT NOT NULL,
    opacity REAL NOT NULL,
    visible INTEGER NOT NULL,
    text TEXT,
    PRIMARY KEY (originator_id, position)
) STRICT, WITHOUT ROWID;
