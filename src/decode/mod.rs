//! Decoders: originals as bands of rows.

pub mod exif;
pub mod metadata;
pub mod orient;
pub mod photoshop_irb;
pub mod sniff;

use std::path::Path;

use crate::error::Result;
use crate::geometry::{Orientation, Size};
use crate::limits::Limits;
use crate::pixel::{PixelFormat, Raster};

pub use metadata::{Metadata, Resolution, ResolutionUnit};
pub use sniff::Kind;

/// What an original is, known before its pixels are read.
#[derive(Debug, Clone)]
pub struct SourceInfo {
    pub kind: Kind,
    /// Stored size, before orientation.
    pub size: Size,
    /// Format of the rows handed out: palettes, 1-bit and sub-byte samples are expanded.
    pub format: PixelFormat,
    /// Not yet applied to the rows.
    pub orientation: Orientation,
    pub metadata: Metadata,
    /// Things worth telling the user: dropped metadata, ignored extra pages or frames.
    pub warnings: Vec<String>,
}

/// Hands out the rows of one image from top to bottom.
pub trait RowSource: Send {
    fn info(&self) -> &SourceInfo;

    /// Appends up to `max_rows` rows to `band` (format and width of `info`); returns how many. 0 means the end.
    ///
    /// # Errors
    /// `Malformed` for broken or truncated data, naming the row reached; rows already handed out stay valid.
    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32>;

    /// Bytes that the decoder itself holds while it works, for admission.
    fn working_bytes(&self) -> u64;
}

/// Opens an original by its content, whatever its name says.
///
/// # Errors
/// `Io`, `Malformed` for a broken header, `Unsupported` for a kind without a decoder, `Limit` for a header that asks too much.
pub fn open(path: &Path, limits: &Limits) -> Result<Box<dyn RowSource>> {
    let _ = (path, limits);
    todo!()
}
