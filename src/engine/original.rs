//! Whether an original is still the file that it was.

use std::fs::{self, Metadata};
use std::path::Path;

use jiff::Timestamp;

use crate::catalog::Asset;
use crate::error::{Error, ErrorKind, Result, Stage};

/// What can be known of a file without reading it; a file that is written to gets another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub size_bytes: u64,
    pub modified: Timestamp,
}

impl Stamp {
    /// # Errors
    /// `Io` when the file is gone or cannot be looked at.
    pub fn of(path: &Path) -> Result<Self> {
        fs::metadata(path).map(|metadata| Stamp::from(&metadata)).map_err(|e| Error::io(Stage::Open, path, e))
    }

    /// Fails when the file at `path` is no longer the one with this stamp.
    ///
    /// # Errors
    /// `Io`.
    pub fn check(&self, path: &Path) -> Result<()> {
        if Stamp::of(path)? == *self {
            return Ok(());
        }
        let message =
            "the original changed while it was being read; take it in and run the job again when it is complete";
        Err(Error::new(ErrorKind::Io, Stage::Decode, message).of(path.display().to_string()))
    }
}

/// Only equality matters, so times are clamped to what the catalog can hold, the years 1677–2262, and a time that
/// cannot be told is the last of them.
impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        let told = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let nanoseconds =
            told.map_or(i64::MAX.into(), |time| time.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into()));
        let modified = Timestamp::from_nanosecond(nanoseconds).expect("64 bits of nanoseconds are in range");
        Stamp { size_bytes: metadata.len(), modified }
    }
}

/// An original that is gone or has changed would get a derivative that the catalog describes wrongly.
pub fn check_unchanged(asset: &Asset) -> Result<()> {
    let found = Stamp::of(&asset.path)?;
    let changed = if found.size_bytes != asset.size_bytes {
        format!("the original has {} bytes now and had {} when it was taken in", found.size_bytes, asset.size_bytes)
    } else if found.modified != asset.modified {
        format!("the original was written to at {:.3}, after it was taken in", found.modified)
    } else {
        return Ok(());
    };
    let error = Error::misuse(Stage::Open, format!("{changed}; run `reprise ingest` on it again"));
    Err(error.of(asset.path.display().to_string()))
}
