//! What the main process and a worker say to each other: requests as lines of JSON, answers as JSON behind their
//! length, pixels bare behind the answer that announces them.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Stage};

/// An answer longer than this is not believed.
const MAX_ANSWER_BYTES: u32 = 256 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Pages count from 0. Answered by [`Measured`].
    Measure { page: u32, resolution_dpi: f64 },
    /// Whether the page has no colour. Answered by a `bool`.
    IsGray { page: u32 },
    /// Draws the page measured last. Answered by its rows, from top to bottom, without padding.
    Render { width: u32, height: u32, channels: Channels, band_rows: u32 },
    /// Answered by [`PageContent`], in pixels of a page image of this size.
    Read { page: u32, width: u32, height: u32, words: bool, links: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Channels {
    Gray,
    Rgb,
    Rgba,
}

pub(super) type Answer<T> = std::result::Result<T, Failure>;

/// The first answer, before any request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Opened {
    pub pages: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    pub width: u64,
    pub height: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum FailureKind {
    Malformed,
    Unsupported,
    Io,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::Malformed => ErrorKind::Malformed,
            FailureKind::Unsupported => ErrorKind::Unsupported,
            FailureKind::Io => ErrorKind::Io,
        };
        Error::new(kind, Stage::Open, failure.message)
    }
}

/// A rectangle in pixels of a page image; right and bottom are outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    pub text: String,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub place: Place,
    pub target: LinkTarget,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkTarget {
    Uri(String),
    /// From 1.
    Page(u32),
}

/// What stands on a page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageContent {
    /// In the document's own order.
    pub words: Vec<Word>,
    pub links: Vec<Link>,
}

pub(super) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).map_err(|_| io::Error::other("an answer of more than 4 GiB"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&text)?;
    to.flush()
}

pub(super) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_ANSWER_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer that is too long"));
    }
    // Grows as bytes arrive: a length alone costs nothing.
    let mut text = Vec::new();
    from.take(length.into()).read_to_end(&mut text)?;
    if text.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&text)?)
}
