-- Jobs that run at a time, or again and again. document and options are as in job_requests; expression is that of a
-- recurring one. planned_ns: when due_ns was worked out, by which a clock that was set back shows.
CREATE TABLE schedules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    company_id INTEGER NOT NULL DEFAULT 1 REFERENCES companies,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    options TEXT NOT NULL,
    expression TEXT,
    due_ns INTEGER NOT NULL,
    planned_ns INTEGER NOT NULL,
    UNIQUE (company_id, name)
) STRICT;
