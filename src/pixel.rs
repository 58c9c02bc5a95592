//! Pixel formats and rasters: interleaved samples, 8 or 16 bits, gray, RGB, CMYK or Lab, with or without alpha.

use crate::geometry::{Rect, Size};

/// Colour components of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Color {
    /// 0 is black.
    Gray,
    Rgb,
    /// Ink coverage: 0 is no ink.
    Cmyk,
    /// CIE L\*a\*b\* relative to D50, as ICC profiles encode it: L\* 0–100 and a\*, b\* −128–127 take the whole range.
    /// Only originals have it; colours are converted before anything is written.
    Lab,
}

impl Color {
    pub const fn components(self) -> usize {
        match self {
            Color::Gray => 1,
            Color::Rgb | Color::Lab => 3,
            Color::Cmyk => 4,
        }
    }
}

/// Bits per sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Depth {
    U8,
    U16,
}

impl Depth {
    pub const fn bytes(self) -> usize {
        match self {
            Depth::U8 => 1,
            Depth::U16 => 2,
        }
    }

    /// Largest sample value.
    pub const fn max(self) -> u32 {
        match self {
            Depth::U8 => 255,
            Depth::U16 => 65535,
        }
    }
}

/// What one pixel holds. Alpha, when present, is the last sample and unassociated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PixelFormat {
    pub color: Color,
    pub alpha: bool,
    pub depth: Depth,
}

impl PixelFormat {
    pub const fn new(color: Color, alpha: bool, depth: Depth) -> Self {
        PixelFormat { color, alpha, depth }
    }

    /// Samples per pixel, alpha counted.
    pub const fn channels(self) -> usize {
        self.color.components() + self.alpha as usize
    }

    pub const fn bytes_per_pixel(self) -> usize {
        self.channels() * self.depth.bytes()
    }

    #[must_use]
    pub const fn with_alpha(self) -> Self {
        PixelFormat { alpha: true, ..self }
    }

    /// The twelve formats that a pyramid can have.
    pub fn all() -> impl Iterator<Item = PixelFormat> {
        [Color::Gray, Color::Rgb, Color::Cmyk].into_iter().flat_map(|color| {
            [false, true].into_iter().flat_map(move |alpha| {
                [Depth::U8, Depth::U16].into_iter().map(move |depth| PixelFormat { color, alpha, depth })
            })
        })
    }
}

impl std::fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let color = match self.color {
            Color::Gray => "gray",
            Color::Rgb => "RGB",
            Color::Cmyk => "CMYK",
            Color::Lab => "Lab",
        };
        write!(f, "{}-bit {color}{}", self.depth.bytes() * 8, if self.alpha { " with alpha" } else { "" })
    }
}

/// A sample type: `u8` or `u16`.
pub trait Sample: bytemuck::Pod + Ord + Into<u32> + Into<i32> + Send + Sync + std::fmt::Debug {
    const DEPTH: Depth;
    const MAX: u32;
    /// Keeps the low bits; the caller has clamped.
    fn from_u32(value: u32) -> Self;
    fn slice(samples: &Samples) -> Option<&[Self]>;
    fn slice_mut(samples: &mut Samples) -> Option<&mut Vec<Self>>;
}

impl Sample for u8 {
    const DEPTH: Depth = Depth::U8;
    const MAX: u32 = 255;
    fn from_u32(value: u32) -> Self {
        value as u8
    }
    fn slice(samples: &Samples) -> Option<&[Self]> {
        if let Samples::U8(s) = samples { Some(s) } else { None }
    }
    fn slice_mut(samples: &mut Samples) -> Option<&mut Vec<Self>> {
        if let Samples::U8(s) = samples { Some(s) } else { None }
    }
}

impl Sample for u16 {
    const DEPTH: Depth = Depth::U16;
    const MAX: u32 = 65535;
    fn from_u32(value: u32) -> Self {
        value as u16
    }
    fn slice(samples: &Samples) -> Option<&[Self]> {
        if let Samples::U16(s) = samples { Some(s) } else { None }
    }
    fn slice_mut(samples: &mut Samples) -> Option<&mut Vec<Self>> {
        if let Samples::U16(s) = samples { Some(s) } else { None }
    }
}

/// Samples of one depth, in native byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    U8(Vec<u8>),
    U16(Vec<u16>),
}

impl Samples {
    pub fn new(depth: Depth) -> Self {
        match depth {
            Depth::U8 => Samples::U8(Vec::new()),
            Depth::U16 => Samples::U16(Vec::new()),
        }
    }

    pub fn zeroed(depth: Depth, len: usize) -> Self {
        match depth {
            Depth::U8 => Samples::U8(vec![0; len]),
            Depth::U16 => Samples::U16(vec![0; len]),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Samples::U8(s) => s.len(),
            Samples::U16(s) => s.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Samples::U8(s) => s,
            Samples::U16(s) => bytemuck::cast_slice(s),
        }
    }

    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Samples::U8(s) => s,
            Samples::U16(s) => bytemuck::cast_slice_mut(s),
        }
    }

    /// Keeps the allocation.
    pub fn clear(&mut self) {
        match self {
            Samples::U8(s) => s.clear(),
            Samples::U16(s) => s.clear(),
        }
    }

    /// Grows with zeros or shrinks.
    pub fn resize(&mut self, len: usize) {
        match self {
            Samples::U8(s) => s.resize(len, 0),
            Samples::U16(s) => s.resize(len, 0),
        }
    }

    pub fn value(&self, index: usize) -> u32 {
        match self {
            Samples::U8(s) => s[index].into(),
            Samples::U16(s) => s[index].into(),
        }
    }
}

/// Rows of interleaved pixels without padding: a whole image or a band of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    pub format: PixelFormat,
    pub width: u32,
    pub height: u32,
    /// `width × height × channels` samples.
    pub samples: Samples,
}

impl Raster {
    pub fn zeroed(format: PixelFormat, size: Size) -> Self {
        let len = size.width as usize * size.height as usize * format.channels();
        Raster { format, width: size.width, height: size.height, samples: Samples::zeroed(format.depth, len) }
    }

    /// A raster without rows yet.
    pub fn empty(format: PixelFormat, width: u32) -> Self {
        Raster { format, width, height: 0, samples: Samples::new(format.depth) }
    }

    pub fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }

    /// Samples in one row.
    pub fn stride(&self) -> usize {
        self.width as usize * self.format.channels()
    }

    pub fn row_bytes(&self) -> usize {
        self.width as usize * self.format.bytes_per_pixel()
    }

    /// Bytes of `rows` rows.
    pub fn rows_as_bytes(&self, rows: std::ops::Range<u32>) -> &[u8] {
        let n = self.row_bytes();
        &self.samples.as_bytes()[rows.start as usize * n..rows.end as usize * n]
    }

    /// Sample of `channel` at (`x`, `y`).
    pub fn at(&self, x: u32, y: u32, channel: usize) -> u32 {
        self.samples.value((y as usize * self.width as usize + x as usize) * self.format.channels() + channel)
    }

    /// Sets the number of rows; new ones are zero. Keeps the allocation.
    pub fn set_rows(&mut self, height: u32) {
        self.height = height;
        self.samples.resize(height as usize * self.stride());
    }

    /// Makes room for `rows` more, which are not there yet.
    pub fn reserve_rows(&mut self, rows: u32) {
        let count = rows as usize * self.stride();
        match &mut self.samples {
            Samples::U8(samples) => samples.reserve_exact(count),
            Samples::U16(samples) => samples.reserve_exact(count),
        }
    }

    /// Appends rows `rows` of `other`, which has the same width and format.
    pub fn append_rows(&mut self, other: &Raster, rows: std::ops::Range<u32>) {
        assert!(self.format == other.format && self.width == other.width, "rows of another shape");
        let n = self.stride();
        let range = rows.start as usize * n..rows.end as usize * n;
        match (&mut self.samples, &other.samples) {
            (Samples::U8(a), Samples::U8(b)) => a.extend_from_slice(&b[range]),
            (Samples::U16(a), Samples::U16(b)) => a.extend_from_slice(&b[range]),
            _ => unreachable!("formats are equal"),
        }
        self.height += rows.end - rows.start;
    }

    /// Drops the first `rows` rows. Keeps the allocation.
    pub fn drop_rows(&mut self, rows: u32) {
        let n = rows as usize * self.stride();
        match &mut self.samples {
            Samples::U8(s) => drop(s.drain(..n)),
            Samples::U16(s) => drop(s.drain(..n)),
        }
        self.height -= rows;
    }

    /// A copy of the pixels inside `rect`.
    pub fn cropped(&self, rect: Rect) -> Raster {
        let mut out = Raster::empty(self.format, rect.width);
        let channels = self.format.channels();
        for y in rect.y..rect.y + rect.height {
            let start = y as usize * self.stride() + rect.x as usize * channels;
            let range = start..start + rect.width as usize * channels;
            match (&mut out.samples, &self.samples) {
                (Samples::U8(a), Samples::U8(b)) => a.extend_from_slice(&b[range]),
                (Samples::U16(a), Samples::U16(b)) => a.extend_from_slice(&b[range]),
                _ => unreachable!("formats are equal"),
            }
        }
        out.height = rect.height;
        out
    }
}
