-- What a job was asked to do, so that a run that was cut short can go on: the job document as XML, and the options
-- of the command that ran it, in a form that only the command line reads.
CREATE TABLE job_requests (
    job_id INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    document TEXT NOT NULL,
    options TEXT NOT NULL
) STRICT;
