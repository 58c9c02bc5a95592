//! What a file says about itself beside its pixels.

/// Blocks carried from the source to the derivative, byte for byte.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    pub icc: Option<Vec<u8>>,
    pub xmp: Option<Vec<u8>>,
    /// IPTC-IIM records (TIFF tag 33723, Photoshop resource 1028).
    pub iptc: Option<Vec<u8>>,
    pub resolution: Option<Resolution>,
}

/// Pixels per unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resolution {
    pub x: f64,
    pub y: f64,
    pub unit: ResolutionUnit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolutionUnit {
    /// Aspect ratio only.
    None,
    Inch,
    Centimeter,
}
