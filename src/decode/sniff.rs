//! What a file is, from its first bytes.

/// Kind of an original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Jpeg,
    Png,
    Tiff,
    Gif,
    Bmp,
    WebP,
    Pdf,
    /// PostScript and EPS.
    PostScript,
    Illustrator,
    Photoshop,
    InDesign,
    Video,
    Audio,
    IccProfile,
    Unknown,
}
