//! Tiled pyramid TIFF.
//!
//! `layout` plans directories and offsets and does no I/O; `compress` turns tiles into bytes and back; `writer`
//! collects rows, compresses tiles and writes the file; `reader` reopens and checks it.
//!
//! The file: header, the directories of all levels (full resolution first), their tag data, then the tiles, smallest
//! level first, each level row by row. Readers over a network get every directory and the overview with the first
//! bytes.

use crate::decode::Metadata;
use crate::error::{Error, Result, Stage};
use crate::geometry::Size;
use crate::pixel::{Color, Depth, PixelFormat};

mod ahead;
mod compress;
mod layout;
mod reader;
mod tags;
mod writer;

pub use reader::{Description, Finding, LevelDescription, MetadataBytes, Report, read_level, read_structure, validate};
pub use writer::{Carried, LevelRows, Writer, is_temporary, temporary_beside};

/// Compression of the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// JPEG for 8-bit gray and RGB sources that came as JPEG and have no alpha, deflate for the rest.
    #[default]
    Auto,
    None,
    Lzw,
    Deflate,
    Jpeg,
    Zstd,
}

impl Compression {
    /// Whether samples are stored as differences from the pixel to the left (Predictor 2).
    fn has_predictor(self) -> bool {
        matches!(self, Compression::Lzw | Compression::Deflate | Compression::Zstd)
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Compression::Auto => "auto",
            Compression::None => "none",
            Compression::Lzw => "lzw",
            Compression::Deflate => "deflate",
            Compression::Jpeg => "jpeg",
            Compression::Zstd => "zstd",
        })
    }
}

/// Chroma sampling of JPEG tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Chroma {
    /// 4:2:0.
    #[default]
    Half,
    /// 4:4:4.
    Full,
}

/// Where the levels below full resolution are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// The main IFD chain.
    #[default]
    Pages,
    /// The SubIFDs tag of IFD 0.
    SubIfd,
}

/// When to write 64-bit offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BigTiff {
    /// Only when the file would pass 4 GiB; older readers know nothing but classic TIFF.
    #[default]
    Auto,
    Always,
}

/// How to write the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub compression: Compression,
    /// 0–100, for JPEG.
    pub quality: u8,
    pub chroma: Chroma,
    /// Side of the square tiles in pixels, a multiple of 16.
    pub tile: u32,
    pub layout: Layout,
    pub big_tiff: BigTiff,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            compression: Compression::Auto,
            quality: 95,
            chroma: Chroma::Half,
            tile: 256,
            layout: Layout::Pages,
            big_tiff: BigTiff::Auto,
        }
    }
}

/// Largest tile side in pixels: keeps a row of tiles, which writer and readers hold, in proportion to the image.
const MAX_TILE_PX: u32 = 4096;

impl Options {
    /// # Errors
    /// `Misuse`, naming the value and what is allowed.
    pub fn check(&self) -> Result<()> {
        if !is_tile_side(self.tile) {
            return Err(Error::misuse(
                Stage::Encode,
                format!("tiles of {} px; a multiple of 16 from 16 to {MAX_TILE_PX} is needed", self.tile),
            ));
        }
        if self.quality > 100 {
            return Err(Error::misuse(Stage::Encode, format!("JPEG quality {}; 0 to 100 is allowed", self.quality)));
        }
        Ok(())
    }
}

fn is_tile_side(px: u32) -> bool {
    px.is_multiple_of(16) && (16..=MAX_TILE_PX).contains(&px)
}

/// What will be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Pyramid {
    pub format: PixelFormat,
    /// Full resolution first, each level half of the one above (rounded up), the last one the first that fits a tile.
    pub levels: Vec<Size>,
    /// ICC, XMP, IPTC and resolution as they shall stand in the file.
    pub metadata: Metadata,
    /// The source was a JPEG; decides what [`Compression::Auto`] means.
    pub came_as_jpeg: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Size of the file.
    pub bytes: u64,
    pub levels: usize,
    /// As resolved; never `Auto`.
    pub compression: Compression,
    pub big_tiff: bool,
    /// BLAKE3 of the file.
    pub hash: blake3::Hash,
}

/// The compression that is really used for pixels of `format`, and what to tell the user if it is not the one asked
/// for by name.
///
/// `Auto` is JPEG for 8-bit gray and RGB without alpha that came as JPEG, deflate for everything else. JPEG asked for
/// by name is used for CMYK too, but not for alpha (a lossy mask leaves seams) and not for 16 bits (baseline JPEG has
/// 8): those fall back to deflate.
pub fn resolve(compression: Compression, format: PixelFormat, came_as_jpeg: bool) -> (Compression, Option<String>) {
    let jpeg_can = !format.alpha && format.depth == Depth::U8;
    match compression {
        Compression::Auto if came_as_jpeg && jpeg_can && format.color != Color::Cmyk => (Compression::Jpeg, None),
        Compression::Auto => (Compression::Deflate, None),
        Compression::Jpeg if !jpeg_can => {
            let warning = format!("JPEG tiles cannot hold {format}; the tiles are compressed with deflate");
            (Compression::Deflate, Some(warning))
        }
        named => (named, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_jpeg_only_for_photographic_sources_that_were_jpeg() {
        for format in PixelFormat::all() {
            let plain = format.depth == Depth::U8 && !format.alpha;
            let jpeg = plain && format.color != Color::Cmyk;
            let expected = if jpeg { Compression::Jpeg } else { Compression::Deflate };
            assert_eq!(resolve(Compression::Auto, format, true), (expected, None), "{format}");
            assert_eq!(resolve(Compression::Auto, format, false), (Compression::Deflate, None), "{format}");

            let (named, warning) = resolve(Compression::Jpeg, format, true);
            assert_eq!(named == Compression::Jpeg, plain, "{format}");
            assert_eq!(warning.is_none(), plain, "{format}");
            assert_eq!(resolve(Compression::Zstd, format, true), (Compression::Zstd, None), "{format}");
        }
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let ok = Options::default();
        assert!(ok.check().is_ok());
        for tile in [0, 8, 100, 255, 4112] {
            assert!(Options { tile, ..ok.clone() }.check().is_err(), "{tile}");
        }
        assert!(Options { quality: 101, ..ok }.check().is_err());
    }
}
