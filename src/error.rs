//! One error type: what kind of failure, in which stage, of what, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is; decides exit codes, retries and fault codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input breaks its own format.
    Malformed,
    /// The input is valid but uses something that this engine does not do.
    Unsupported,
    /// A size stated by the input or needed for it is over a limit.
    Limit,
    /// The caller asked for something that makes no sense.
    Misuse,
    /// The GPU was lost, ran out of memory or misbehaved.
    Device,
    /// The operating system refused a read or write.
    Io,
    /// The catalog could not be read or written.
    Catalog,
    /// A fault of this program.
    Internal,
}

/// The stage of the pipeline in which a failure happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Job,
    Catalog,
    Open,
    Decode,
    Operate,
    Encode,
    Verify,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Job => "job",
            Stage::Catalog => "catalog",
            Stage::Open => "open",
            Stage::Decode => "decode",
            Stage::Operate => "operate",
            Stage::Encode => "encode",
            Stage::Verify => "verify",
        })
    }
}

/// A failure with its kind, its stage, its subject (file or asset) and a message that says what to do.
#[derive(Debug, Clone)]
pub struct Error {
    pub kind: ErrorKind,
    pub stage: Stage,
    /// File path or asset that failed; filled in by whoever knows it.
    pub subject: Option<String>,
    pub message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: ErrorKind, stage: Stage, message: impl Into<String>) -> Self {
        Error { kind, stage, subject: None, message: message.into(), source: None }
    }

    pub fn malformed(stage: Stage, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, stage, message)
    }

    pub fn unsupported(stage: Stage, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, stage, message)
    }

    pub fn limit(stage: Stage, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, stage, message)
    }

    pub fn misuse(stage: Stage, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Misuse, stage, message)
    }

    pub fn device(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Device, Stage::Operate, message)
    }

    /// An operating-system error on `path`.
    pub fn io(stage: Stage, path: impl AsRef<Path>, error: std::io::Error) -> Self {
        let path: PathBuf = path.as_ref().to_path_buf();
        Self::new(ErrorKind::Io, stage, error.to_string()).of(path.display().to_string()).caused_by(error)
    }

    /// Names the file or asset that failed, unless it is named already.
    #[must_use]
    pub fn of(mut self, subject: impl Into<String>) -> Self {
        self.subject.get_or_insert_with(|| subject.into());
        self
    }

    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        write!(f, "{}: {}", self.stage, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
