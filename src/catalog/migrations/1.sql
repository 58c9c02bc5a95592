CREATE TABLE companies (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

INSERT INTO companies (id, name) VALUES (1, 'default');

CREATE TABLE settings (
    company_id INTEGER NOT NULL REFERENCES companies,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (company_id, name)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: the handle of a deleted asset or job is never given again.
CREATE TABLE assets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    company_id INTEGER NOT NULL DEFAULT 1 REFERENCES companies,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    ready_for_publish INTEGER NOT NULL DEFAULT 0 CHECK (ready_for_publish IN (0, 1)),
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL
) STRICT;

-- The file that an asset was taken in from. Apart from assets, since assets that are
-- derived from another one have no original of their own.
-- path is text, or a blob of its bytes where it is not UTF-8.
CREATE TABLE originals (
    asset_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    path ANY NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    modified_ns INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    width INTEGER CHECK (width > 0),
    height INTEGER CHECK (height > 0),
    format TEXT
) STRICT;

-- Not unique: an original may change into a copy of another one.
CREATE INDEX originals_by_hash ON originals (hash);

-- path is relative to the library; source_hash is the content that it was made from.
CREATE TABLE derivatives (
    asset_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    path TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
    width INTEGER NOT NULL CHECK (width > 0),
    height INTEGER NOT NULL CHECK (height > 0),
    levels INTEGER NOT NULL CHECK (levels > 0),
    compression TEXT NOT NULL,
    hash BLOB CHECK (length(hash) = 32),
    source_hash BLOB NOT NULL CHECK (length(source_hash) = 32),
    updated_ns INTEGER NOT NULL
) STRICT;

-- Insets in pixels of the oriented original.
CREATE TABLE crops (
    asset_id INTEGER PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
    inset_left INTEGER NOT NULL CHECK (inset_left >= 0),
    inset_right INTEGER NOT NULL CHECK (inset_right >= 0),
    inset_top INTEGER NOT NULL CHECK (inset_top >= 0),
    inset_bottom INTEGER NOT NULL CHECK (inset_bottom >= 0),
    origin TEXT NOT NULL CHECK (origin IN ('Manual', 'Automatic'))
) STRICT;

CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    company_id INTEGER NOT NULL DEFAULT 1 REFERENCES companies,
    name TEXT NOT NULL,
    UNIQUE (company_id, name)
) STRICT;

CREATE TABLE project_assets (
    project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    asset_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
    PRIMARY KEY (project_id, asset_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX project_assets_by_asset ON project_assets (asset_id);

-- The counts follow from tasks and log; they are kept here so that listing jobs need not read all of those.
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    company_id INTEGER NOT NULL DEFAULT 1 REFERENCES companies,
    name TEXT NOT NULL,
    original_name TEXT NOT NULL,
    submit_user_email TEXT NOT NULL DEFAULT '',
    log_type TEXT NOT NULL,
    sub_type TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER,
    fatal_error INTEGER NOT NULL DEFAULT 0 CHECK (fatal_error IN (0, 1)),
    file_success_count INTEGER NOT NULL DEFAULT 0 CHECK (file_success_count >= 0),
    file_error_count INTEGER NOT NULL DEFAULT 0 CHECK (file_error_count >= 0),
    file_warning_count INTEGER NOT NULL DEFAULT 0 CHECK (file_warning_count >= 0),
    file_duplicate_count INTEGER NOT NULL DEFAULT 0 CHECK (file_duplicate_count >= 0),
    file_update_count INTEGER NOT NULL DEFAULT 0 CHECK (file_update_count >= 0),
    total_file_count INTEGER NOT NULL DEFAULT 0 CHECK (total_file_count >= 0),
    log_count INTEGER NOT NULL DEFAULT 0 CHECK (log_count >= 0),
    UNIQUE (company_id, name)
) STRICT;

CREATE INDEX jobs_by_original_name ON jobs (company_id, original_name);

-- One task for each handle in the job; the handle may name no asset.
CREATE TABLE tasks (
    job_id INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    asset_handle TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    warned INTEGER NOT NULL DEFAULT 0 CHECK (warned IN (0, 1)),
    updated INTEGER NOT NULL DEFAULT 0 CHECK (updated IN (0, 1)),
    end_ns INTEGER,
    PRIMARY KEY (job_id, asset_handle)
) STRICT, WITHOUT ROWID;

-- What was known of the asset when the entry was written stands in the entry, whatever becomes of the asset.
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    log_type TEXT NOT NULL,
    message TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    asset_handle TEXT,
    asset_name TEXT,
    asset_type TEXT
) STRICT;

CREATE INDEX log_by_job ON log (job_id);

CREATE TABLE log_aux (
    log_id INTEGER NOT NULL REFERENCES log ON DELETE CASCADE,
    position INTEGER NOT NULL,
    log_type TEXT NOT NULL,
    message TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    PRIMARY KEY (log_id, position)
) STRICT, WITHOUT ROWID;
