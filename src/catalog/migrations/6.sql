-- Presets of every kind. document is a JSON object; the kind says what stands in it.
CREATE TABLE presets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    company_id INTEGER NOT NULL DEFAULT 1 REFERENCES companies,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    updated_ns INTEGER NOT NULL,
    UNIQUE (company_id, kind, name)
) STRICT;
