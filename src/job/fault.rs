//! What is wrong with a job document: problems with position, field and fault code.

use std::fmt;

use crate::error::{Error, ErrorKind, Stage};

/// Problems reported of one document; the rest is only counted, so that a hostile document cannot flood the log.
const MAX_PROBLEMS: usize = 100;

/// Characters of a value that a message repeats.
const MAX_QUOTED_CHARS: usize = 80;

/// Fault codes of the service's API for requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FaultCode {
    /// A value is of the wrong type, out of range, or excluded by another one.
    InvalidParameter = 30001,
    /// A required element is absent.
    MissingParameter = 30002,
    /// The document is not well-formed, too large, or not built as the schema says.
    InvalidRequest = 30003,
}

impl FaultCode {
    pub const fn code(self) -> u32 {
        self as u32
    }

    pub const fn reason(self) -> &'static str {
        match self {
            FaultCode::InvalidParameter => "invalid parameter",
            FaultCode::MissingParameter => "missing parameter",
            FaultCode::InvalidRequest => "invalid request document",
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.reason())
    }
}

/// One thing that is wrong with a job document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: FaultCode,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The field, such as `reprocessAssetsJob/unsharpMaskOptions/amount`; empty when the document as a whole is meant.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{} [{}]", self.message, self.code)
    }
}

/// Everything that is wrong with a job document, in document order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    /// At least one, at most a hundred.
    pub problems: Vec<Problem>,
    /// Problems found beyond those listed.
    pub omitted: usize,
}

impl JobError {
    /// The document as a whole cannot be read, from byte `offset` on.
    pub(super) fn broken(text: &str, offset: usize, message: String) -> Self {
        let mut problems = Problems::default();
        problems.push(FaultCode::InvalidRequest, offset, String::new(), message);
        problems.into_error(text)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() + self.omitted {
            1 => f.write_str("the job document has a problem:")?,
            count => write!(f, "the job document has {count} problems:")?,
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n  and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for JobError {}

impl From<JobError> for Error {
    fn from(error: JobError) -> Self {
        let broken = error.problems.iter().any(|problem| problem.code == FaultCode::InvalidRequest);
        let kind = if broken { ErrorKind::Malformed } else { ErrorKind::Misuse };
        Error::new(kind, Stage::Job, error.to_string()).caused_by(error)
    }
}

/// Collects problems by byte offset; lines are counted once, at the end.
#[derive(Default)]
pub(super) struct Problems {
    found: Vec<(usize, FaultCode, String, String)>,
    omitted: usize,
}

impl Problems {
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether further problems are only counted.
    pub fn is_full(&self) -> bool {
        self.found.len() >= MAX_PROBLEMS
    }

    pub fn push(&mut self, code: FaultCode, offset: usize, path: String, message: String) {
        if self.is_full() {
            self.omitted += 1;
        } else {
            self.found.push((offset, code, path, message));
        }
    }

    pub fn into_error(mut self, text: &str) -> JobError {
        self.found.sort_by_key(|(offset, ..)| *offset);
        let (mut line, mut line_start, mut seen) = (1, 0, 0);
        let problems = self.found.into_iter().map(|(offset, code, path, message)| {
            for (index, _) in text[seen..offset].match_indices('\n') {
                line += 1;
                line_start = seen + index + 1;
            }
            seen = offset;
            Problem { code, line, column: text[line_start..offset].chars().count() + 1, path, message }
        });
        JobError { problems: problems.collect(), omitted: self.omitted }
    }
}

/// `text` from a document as a message repeats it: quoted, shortened, without control characters.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    let mut chars = text.chars();
    for c in chars.by_ref().take(MAX_QUOTED_CHARS) {
        if c.is_control() { quoted.extend(c.escape_default()) } else { quoted.push(c) }
    }
    quoted.push_str(if chars.next().is_some() { "…\"" } else { "\"" });
    quoted
}
