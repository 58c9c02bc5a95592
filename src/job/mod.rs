//! Job documents: XML or JSON in, one typed [`Job`] out, and back to XML.
//!
//! A document goes down four steps, each in its own file:
//! text → `raw` tree (by `xml` or `json`) → checked record (by `check`, against the table in `schema`)
//! → typed [`Job`] (by `resolve`). Both readers produce the same tree, so XML and JSON of one job resolve to
//! equal jobs; names, types, ranges, defaults and choices stand only in the table.
//!
//! Read are a SOAP 1.1 envelope around `submitJobParam`, a bare `submitJobParam`, a bare `reprocessAssetsJob`,
//! and JSON with the same names. Every problem of a document is reported at once, with line, field and fault code.
//! The content of elements that are accepted but not acted on, access tokens among them, is dropped by the readers
//! and so appears in no job, message or log.

mod check;
mod cron;
mod fault;
mod forms;
mod json;
mod model;
mod raw;
mod resolve;
mod schema;
mod xml;

pub use fault::{FaultCode, JobError, Problem};
pub use model::*;

use fault::Problems;

/// Largest document read, in bytes: some 300 000 asset handles.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// Deepest nesting of elements or values read; the schema itself needs six levels.
const MAX_DEPTH: usize = 64;

/// Reads a job document, XML or JSON by its first character, in UTF-8 with or without a byte-order mark.
///
/// # Errors
/// Every problem found: 30003 when the document is not well-formed or not built as the schema says,
/// 30002 for what is missing, 30001 for values that are not allowed.
pub fn parse(bytes: &[u8]) -> Result<Job, JobError> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(JobError::broken(
            "",
            0,
            format!("the document has {} bytes; at most {MAX_DOCUMENT_BYTES} are read", bytes.len()),
        ));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let message = "the document is not UTF-8 from here on; save it in UTF-8";
            return Err(JobError::broken(&valid, valid.len(), message.to_string()));
        }
    };
    let mut problems = Problems::default();
    let document = match text.trim_start().chars().next() {
        Some('<') => xml::read(text, &mut problems),
        Some('{') => json::read(text, &mut problems),
        _ => {
            let message = "a job document is XML and starts with \"<\", or a JSON object and starts with \"{\"";
            return Err(JobError::broken(text, 0, message.to_string()));
        }
    };
    match document.and_then(|document| resolve::job(document, &mut problems)) {
        Some(job) if problems.is_empty() => Ok(job),
        _ => Err(problems.into_error(text)),
    }
}

/// Writes `job` as XML, elements in schema order and defaults spelled out: a `submitJobParam`, or a bare
/// `reprocessAssetsJob` when the job has no company.
///
/// Reading it again gives an equal job, without the warnings and duplicates that only the first document had.
pub fn write_xml(job: &Job) -> String {
    match &job.company {
        Some(company) => xml::write(&resolve::submit_job_param(job, company), &schema::SUBMIT_JOB_PARAM),
        None => xml::write(&resolve::reprocess_assets_job(&job.reprocess), &schema::REPROCESS_ASSETS_JOB),
    }
}

/// The first time behind `after` at which the expression of a [`Start::Cron`] holds in `zone`; `None` when there is none
/// before 2100.
pub fn next_run(expression: &str, after: jiff::Timestamp, zone: &jiff::tz::TimeZone) -> Option<jiff::Timestamp> {
    cron::next(expression, after, zone)
}

/// A plain-text listing of every element with its type, range, default and meaning.
pub fn reference() -> String {
    schema::reference()
}
