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
}

/// Texts that say what an image shows and who made it: ImageDescription, Make, Model, DateTime, Artist, Copyright.
///
/// Each has the same meaning in a TIFF directory. What EXIF keeps elsewhere (exposure, lens, position) describes the
/// camera's file and is not carried.
pub const TEXT_TAGS: [u16; 6] = [270, 271, 272, 306, 315, 33432];

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
