//! Decoders: originals as bands of rows.

pub mod clipping_path;
pub mod exif;
mod jpeg;
pub mod metadata;
pub mod orient;
pub mod photoshop_irb;
mod png;
pub mod psd;
pub mod sniff;
mod tiff;
mod whole;

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::{Orientation, Size};
use crate::jpeg::Coefficients;
use crate::limits::Limits;
use crate::pixel::{PixelFormat, Raster};

pub use clipping_path::ClippingPath;
pub use metadata::{Field, Metadata, Resolution, ResolutionUnit, TEXT_TAGS};
pub use sniff::Kind;
pub use whole::MemorySource;

/// Buffer in front of each original.
const BUFFER_BYTES: usize = 256 << 10;

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
    /// On the stored image. An error says why a path that is there cannot be used; it matters only to who needs the path.
    pub clipping_path: Result<Option<ClippingPath>>,
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

    /// Whether [`overwrite_rows`](Self::overwrite_rows) can be used, too.
    fn overwrites(&self) -> bool {
        false
    }

    /// As [`read_rows`](Self::read_rows), into the bytes of a whole number of rows, which need not be made first.
    ///
    /// # Errors
    /// As `read_rows`; `Misuse` where the source only appends.
    fn overwrite_rows(&mut self, _rows: &mut [u8]) -> Result<u32> {
        Err(Error::misuse(Stage::Decode, "this source appends rows"))
    }

    /// Bytes that the decoder itself holds while it works, for admission.
    fn working_bytes(&self) -> u64;

    /// Bytes that keeping the JPEG coefficients beside the rows takes.
    ///
    /// # Errors
    /// The reason why this source has no coefficients that could be taken over.
    fn coefficient_bytes(&self) -> std::result::Result<u64, String> {
        Err(format!("{} files hold no JPEG coefficients", self.info().kind))
    }

    /// Does in the threads of `pool` what can be done in parallel before the first row, if anything. Whatever goes wrong
    /// is reported with the rows.
    fn prepare(&mut self, _pool: &rayon::ThreadPool) {}

    /// Size of an MCU in pixels, for a source with JPEG coefficients: crops that keep them start at multiples of it.
    fn mcu(&self) -> Option<Size> {
        None
    }

    /// Keeps the JPEG coefficients of the rows that will be read. To be called before the first row.
    ///
    /// # Errors
    /// `Unsupported` where [`coefficient_bytes`](Self::coefficient_bytes) refuses.
    fn keep_coefficients(&mut self) -> Result<()> {
        self.coefficient_bytes().map(drop).map_err(|reason| Error::unsupported(Stage::Decode, reason))
    }

    /// The coefficients of these rows, which were read; those of rows above may be forgotten. Where that is work, it is
    /// done in the threads of `pool`.
    ///
    /// # Errors
    /// `Unsupported`, with the reason, when the coefficients turned out to be of no use for tiles.
    fn take_coefficients(&mut self, _rows: Range<u32>, _pool: Option<&rayon::ThreadPool>) -> Result<Coefficients> {
        Err(Error::misuse(Stage::Decode, "no coefficients were kept"))
    }
}

/// Opens an original by its content, whatever its name says.
///
/// # Errors
/// `Io`, `Malformed` for a broken header, `Unsupported` for a kind without a decoder, `Limit` for a header that asks too much.
pub fn open(path: &Path, limits: &Limits) -> Result<Box<dyn RowSource>> {
    open_by_content(path, limits).map_err(|error| error.of(path.display().to_string()))
}

fn open_by_content(path: &Path, limits: &Limits) -> Result<Box<dyn RowSource>> {
    let read = |path| -> std::io::Result<(File, Vec<u8>)> {
        let mut file = File::open(path)?;
        let head = sniff::read_head(&mut file)?;
        file.seek(SeekFrom::Start(0))?;
        Ok((file, head))
    };
    let (file, head) = read(path).map_err(|error| Error::io(Stage::Open, path, error))?;
    match sniff::sniff(&head) {
        Kind::Jpeg => jpeg::open(file, limits),
        Kind::Png => png::open(file, limits),
        Kind::Tiff => tiff::open(file, limits),
        Kind::Gif => whole::open_gif(file, limits),
        Kind::Bmp => whole::open_bmp(file, limits),
        Kind::WebP => whole::open_webp(file, limits),
        Kind::Photoshop => psd::open(file, limits),
        Kind::Unknown if head.is_empty() => Err(Error::malformed(Stage::Open, "is empty")),
        Kind::Unknown => Err(Error::unsupported(Stage::Open, sniff::describe_unknown(&head))),
        kind => {
            Err(Error::unsupported(Stage::Open, format!("is a file of kind {kind}, which is not decoded as an image")))
        }
    }
}

/// Reads all rows into one raster.
///
/// # Errors
/// `Limit` when raster and decoder together need more than `limits` allow; whatever the source reports; `Malformed`
/// when it ends early.
pub fn read_whole(source: &mut dyn RowSource, limits: &Limits) -> Result<Raster> {
    let SourceInfo { size, format, .. } = *source.info();
    limits.check_size(size.width.into(), size.height.into())?;
    let bytes = size.pixels().saturating_mul(format.bytes_per_pixel() as u64);
    limits.check_bytes(bytes.saturating_add(source.working_bytes()))?;
    let mut raster = Raster::empty(format, size.width);
    while raster.height < size.height {
        let rows = (size.height - raster.height).min(256);
        if source.read_rows(&mut raster, rows)? == 0 {
            return Err(Error::malformed(
                Stage::Decode,
                format!("the image ends after row {} of {}", raster.height, size.height),
            ));
        }
        // Room for the rest is taken in one go, and only once there are pixels to put there.
        raster.reserve_rows(size.height - raster.height);
    }
    Ok(raster)
}

/// An error while reading `what`: a file that ends is malformed, anything else is the operating system's.
fn io_error(error: std::io::Error, stage: Stage, what: &str) -> Error {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        Error::malformed(stage, format!("the file ends inside {what}; it is truncated")).caused_by(error)
    } else {
        Error::new(ErrorKind::Io, stage, format!("{what} cannot be read: {error}")).caused_by(error)
    }
}
