//! What a file says about itself beside its pixels.

use std::collections::BTreeMap;

use crate::limits::Limits;

/// Blocks carried from the source to the derivative, byte for byte.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    pub icc: Option<Vec<u8>>,
    pub xmp: Option<Vec<u8>>,
    /// IPTC-IIM records (TIFF tag 33723, Photoshop resource 1028).
    pub iptc: Option<Vec<u8>>,
    pub resolution: Option<Resolution>,
    /// Texts of the first directory of EXIF or TIFF that are among [`TEXT_TAGS`], by tag, without the closing NUL.
    pub texts: BTreeMap<u16, Vec<u8>>,
    /// The EXIF directory (TIFF tag 34665), by tag: time, exposure, lens. Without what [`is_carried`] leaves out.
    pub exif: BTreeMap<u16, Field>,
    /// The GPS directory (TIFF tag 34853), by tag.
    pub gps: BTreeMap<u16, Field>,
}

impl Metadata {
    /// Only what describes the pixels: profile and resolution.
    #[must_use]
    pub fn stripped(self) -> Self {
        Metadata { icc: self.icc, resolution: self.resolution, ..Metadata::default() }
    }
}

/// Texts that say what an image shows and who made it: ImageDescription, Make, Model, DateTime, Artist, Copyright.
/// Each has the same meaning in a TIFF directory.
pub const TEXT_TAGS: [u16; 6] = [270, 271, 272, 306, 315, 33432];

/// EXIF's ColorSpace.
pub const COLOR_SPACE: u16 = 40961;

/// Whether a field of the EXIF directory still says something true in another file.
///
/// Not carried are ComponentsConfiguration, CompressedBitsPerPixel, PixelXDimension and PixelYDimension, which describe
/// the compressed original; MakerNote, whose inner offsets break when it is moved; and the pointer to the
/// interoperability directory.
pub const fn is_carried(tag: u16) -> bool {
    !matches!(tag, 37121 | 37122 | 37500 | 40962 | 40963 | 40965)
}

/// The values of one field of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    kind: u16,
    bytes: Vec<u8>,
}

impl Field {
    /// Values of the TIFF field type `kind`, little-endian, one after the other. `None` when there are none, and for
    /// types that EXIF lacks: it has bytes, texts, integers of 16 and 32 bits, rationals and floating point.
    pub fn new(kind: u16, bytes: Vec<u8>) -> Option<Self> {
        let whole = !bytes.is_empty() && bytes.len().is_multiple_of(Self::word_bytes(kind)? * Self::words(kind));
        whole.then_some(Field { kind, bytes })
    }

    /// TIFF field type.
    pub fn kind(&self) -> u16 {
        self.kind
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.bytes.len() / (Self::word_bytes(self.kind).unwrap_or(1) * Self::words(self.kind))
    }

    /// Bytes that the byte order turns round together.
    pub(super) const fn word_bytes(kind: u16) -> Option<usize> {
        match kind {
            1 | 2 | 6 | 7 => Some(1),
            3 | 8 => Some(2),
            4 | 5 | 9 | 10 | 11 => Some(4),
            12 => Some(8),
            _ => None,
        }
    }

    const fn words(kind: u16) -> usize {
        if matches!(kind, 5 | 10) { 2 } else { 1 }
    }
}

/// Pixels per unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resolution {
    pub x: f64,
    pub y: f64,
    pub unit: ResolutionUnit,
}

impl Resolution {
    /// `None` unless both values are finite and above zero, which is what a broken or empty tag fails.
    pub fn new(x: f64, y: f64, unit: ResolutionUnit) -> Option<Self> {
        let sound = |v: f64| v.is_finite() && v > 0.0;
        (sound(x) && sound(y)).then_some(Resolution { x, y, unit })
    }

    /// From pixels per metre, the unit of PNG and BMP.
    pub fn per_metre(x: f64, y: f64) -> Option<Self> {
        Self::new(x / 100.0, y / 100.0, ResolutionUnit::Centimeter)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolutionUnit {
    /// Aspect ratio only.
    None,
    Inch,
    Centimeter,
}

/// Whether a metadata block of `bytes` bytes may be kept; otherwise a warning says that it is dropped.
pub(crate) fn within_limit(what: &str, bytes: u64, limits: &Limits, warnings: &mut Vec<String>) -> bool {
    let fits = bytes <= limits.max_metadata_bytes;
    if !fits {
        warnings.push(format!(
            "{what} of {bytes} bytes is dropped; at most {} bytes of metadata are kept",
            limits.max_metadata_bytes
        ));
    }
    fits
}
