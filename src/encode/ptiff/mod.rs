//! Tiled pyramid TIFF.
//!
//! `layout` plans directories and offsets and does no I/O; `writer` compresses tiles and writes the file;
//! `reader` reopens and checks it.

/// Compression of the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// JPEG for 8-bit sources that came as JPEG and have no alpha, deflate for the rest.
    #[default]
    Auto,
    None,
    Lzw,
    Deflate,
    Jpeg,
    Zstd,
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
}

impl Default for Options {
    fn default() -> Self {
        Options { compression: Compression::Auto, quality: 95, chroma: Chroma::Half, tile: 256, layout: Layout::Pages }
    }
}
