//! Photoshop documents, PSD and PSB, as the Adobe Photoshop File Formats Specification describes them.
//!
//! Reading a document reads its structure: header, image resources, layer records and what stands beside them. Pixels
//! stay in the file until their rows are asked for ([`rows`]). Nothing here draws: `layers` puts layers together.
//!
//! What a length in the file says is checked against what the file has before it is used, so a document takes no more
//! memory than its own bytes, and numbers of layers, sides and areas are checked against [`Limits`].

mod cursor;
pub mod descriptor;
mod layer;
pub mod pixels;
pub mod rows;
pub mod text;

use std::sync::Arc;

use cursor::Cursor;

use crate::error::{Error, Result, Stage};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::read_at::ReadAt;

pub use layer::{
    Artboard, ArtboardBackground, BlendMode, Bounds, Channel, ChannelId, Layer, LayerMask, Section, VectorMask,
};

/// How colours are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorMode {
    Bitmap,
    Grayscale,
    Indexed,
    Rgb,
    Cmyk,
    Multichannel,
    Duotone,
    Lab,
}

impl ColorMode {
    fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            0 => ColorMode::Bitmap,
            1 => ColorMode::Grayscale,
            2 => ColorMode::Indexed,
            3 => ColorMode::Rgb,
            4 => ColorMode::Cmyk,
            7 => ColorMode::Multichannel,
            8 => ColorMode::Duotone,
            9 => ColorMode::Lab,
            _ => return None,
        })
    }

    /// Channels that make a colour; `None` where every channel is an ink of its own.
    pub const fn components(self) -> Option<usize> {
        match self {
            ColorMode::Bitmap | ColorMode::Grayscale | ColorMode::Indexed | ColorMode::Duotone => Some(1),
            ColorMode::Rgb | ColorMode::Lab => Some(3),
            ColorMode::Cmyk => Some(4),
            ColorMode::Multichannel => None,
        }
    }

    /// Name for people.
    pub const fn name(self) -> &'static str {
        match self {
            ColorMode::Bitmap => "bitmap",
            ColorMode::Grayscale => "grayscale",
            ColorMode::Indexed => "indexed",
            ColorMode::Rgb => "RGB",
            ColorMode::Cmyk => "CMYK",
            ColorMode::Multichannel => "multichannel",
            ColorMode::Duotone => "duotone",
            ColorMode::Lab => "Lab",
        }
    }
}

/// File header, section 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Large document format: longer lengths and larger sides.
    pub psb: bool,
    /// Of the merged image, extra channels counted: 1–56.
    pub channels: u16,
    pub size: Size,
    /// Bits per sample: 1, 8, 16 or 32.
    pub depth: u16,
    pub mode: ColorMode,
}

impl Header {
    /// Bytes of one stored row of one channel of `width` pixels.
    pub fn row_bytes(&self, width: u32) -> usize {
        (width as usize * usize::from(self.depth)).div_ceil(8)
    }
}

/// Bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub start: u64,
    pub bytes: u64,
}

/// A document whose structure has been read.
#[derive(Clone)]
pub struct Document {
    source: Arc<dyn ReadAt>,
    pub header: Header,
    /// Section 2: 256 reds, greens and blues of an indexed image; private data of a duotone.
    pub color_table: Vec<u8>,
    /// Section 3, as in [`crate::decode::photoshop_irb`].
    pub resources: Vec<u8>,
    /// From bottom to top, with the ends of groups as layers of their own. An error says why the layers cannot be
    /// used; it matters only to who needs them.
    pub layers: Result<Vec<Layer>>,
    /// The first extra channel of the merged image is its transparency.
    pub merged_transparency: bool,
    /// Section 5.
    merged: Extent,
    /// Things left out.
    pub warnings: Vec<String>,
}

impl Document {
    /// Reads the structure of a document.
    ///
    /// # Errors
    /// `Malformed` for what breaks the format, `Unsupported` for modes and depths that do not exist together, `Limit`.
    pub fn read(source: Arc<dyn ReadAt>, limits: &Limits) -> Result<Self> {
        let mut file = Cursor::new(Arc::clone(&source), "the Photoshop file")?;
        let header = read_header(&mut file, limits)?;
        let mut warnings = Vec::new();

        let length = u64::from(file.u32()?);
        let mut table = file.section(length, "the colour mode data")?;
        let color_table = if within(length, limits) { table.bytes(length)? } else { Vec::new() };
        let length = u64::from(file.u32()?);
        let mut section = file.section(length, "the section of image resources")?;
        let resources = if within(length, limits) {
            section.bytes(length)?
        } else {
            warnings.push(format!("image resources of {length} bytes are dropped, with profile and metadata in them"));
            Vec::new()
        };

        let length = if header.psb { file.u64()? } else { file.u32()?.into() };
        let section = file.section(length, "the section of layers and masks")?;
        let layers = layer::read(section, &header, limits);
        let merged_transparency = layers.as_ref().is_ok_and(|found| found.merged_transparency);
        if let Err(error) = &layers {
            warnings.push(format!("the layers cannot be used: {}", error.message));
        }
        let layers = layers.map(|found| found.layers);
        let merged = Extent { start: file.position(), bytes: file.remaining() };
        Ok(Document { source, header, color_table, resources, layers, merged_transparency, merged, warnings })
    }
}

fn within(bytes: u64, limits: &Limits) -> bool {
    bytes <= limits.max_metadata_bytes
}

fn read_header(file: &mut Cursor, limits: &Limits) -> Result<Header> {
    if file.array()? != *b"8BPS" {
        return Err(file.malformed("it does not begin with 8BPS"));
    }
    let psb = match file.u16()? {
        1 => false,
        2 => true,
        version => {
            return Err(Error::unsupported(Stage::Open, format!("Photoshop file version {version} is not read")));
        }
    };
    file.skip(6)?;
    let channels = file.u16()?;
    let (height, width) = (file.u32()?, file.u32()?);
    let (depth, mode) = (file.u16()?, file.u16()?);
    if !(1..=56).contains(&channels) {
        return Err(file.malformed(format!("it says {channels} channels; there are 1 to 56")));
    }
    limits.check_size(width.into(), height.into())?;
    let Some(mode) = ColorMode::from_number(mode) else {
        return Err(Error::unsupported(Stage::Open, format!("Photoshop colour mode {mode} is not read")));
    };
    let exists = match depth {
        1 => mode == ColorMode::Bitmap,
        8 => mode != ColorMode::Bitmap,
        16 => !matches!(mode, ColorMode::Bitmap | ColorMode::Indexed),
        32 => matches!(mode, ColorMode::Grayscale | ColorMode::Rgb),
        _ => false,
    };
    if !exists {
        let what = format!("Photoshop images of {depth} bits in {} mode are not read", mode.name());
        return Err(Error::unsupported(Stage::Open, what));
    }
    if usize::from(channels) < mode.components().unwrap_or(1) {
        return Err(file.malformed(format!("it says {channels} channels, too few for {} colours", mode.name())));
    }
    Ok(Header { psb, channels, size: Size::new(width, height), depth, mode })
}
