//! Rows of pixels in GPU memory: samples packed little-endian into words, every row padded to whole words.

use std::ops::Range;

use super::pool::Buffer;
use super::recording::Slice;
use crate::pixel::{PixelFormat, Raster};

/// How rows of one format and width lie in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub format: PixelFormat,
    /// Pixels in a row.
    pub width: u32,
}

impl Layout {
    pub const fn new(format: PixelFormat, width: u32) -> Self {
        Layout { format, width }
    }

    /// Words from one row to the next. The row fits a binding, so it fits 32 bits.
    pub const fn stride_words(self) -> u32 {
        (self.bytes(1) / 4) as u32
    }

    /// Bytes of `rows` rows.
    pub const fn bytes(self, rows: u32) -> u64 {
        (self.width as u64 * self.format.bytes_per_pixel() as u64).next_multiple_of(4) * rows as u64
    }

    /// The bytes of `rows` of `raster` as they go into a buffer, row by row with the padding between.
    pub(super) fn pack(self, raster: &Raster, rows: Range<u32>, mut write: impl FnMut(usize, &[u8])) {
        let stride = self.bytes(1) as usize;
        if raster.row_bytes() == stride {
            write(0, raster.rows_as_bytes(rows));
            return;
        }
        let mut padded = vec![0; stride];
        for (i, row) in rows.enumerate() {
            padded[..raster.row_bytes()].copy_from_slice(raster.rows_as_bytes(row..row + 1));
            write(i * stride, &padded);
        }
    }

    /// A raster of `rows` rows from packed `bytes`.
    pub fn unpack(self, bytes: &[u8], rows: u32) -> Raster {
        let mut raster = Raster::empty(self.format, self.width);
        raster.set_rows(rows);
        let row_bytes = raster.row_bytes();
        if row_bytes == 0 {
            return raster;
        }
        let packed = bytes.chunks_exact(self.bytes(1) as usize);
        for (to, from) in raster.samples.as_bytes_mut().chunks_exact_mut(row_bytes).zip(packed) {
            to.copy_from_slice(&from[..row_bytes]);
        }
        raster
    }
}

/// Consecutive rows of an image, in a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub buffer: &'a Buffer,
    pub layout: Layout,
    /// Number of the first row in the buffer.
    pub start: u32,
}

impl<'a> Rows<'a> {
    /// Where row number `row` starts, in bytes.
    pub const fn offset(self, row: u32) -> u64 {
        self.layout.bytes(row - self.start)
    }

    /// The part of the buffer that holds `rows`.
    pub const fn slice(self, rows: &Range<u32>) -> Slice<'a> {
        Slice { buffer: self.buffer, offset: self.offset(rows.start), bytes: self.layout.bytes(rows.end - rows.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::pixel::{Color, Depth};

    #[test]
    fn packing_and_unpacking_gives_the_rows_back() {
        for (width, color, depth) in
            [(5, Color::Rgb, Depth::U8), (3, Color::Gray, Depth::U16), (4, Color::Rgb, Depth::U8)]
        {
            let format = PixelFormat::new(color, false, depth);
            let mut raster = Raster::zeroed(format, Size::new(width, 4));
            for (i, byte) in raster.samples.as_bytes_mut().iter_mut().enumerate() {
                *byte = i as u8;
            }
            let layout = Layout::new(format, width);
            let mut packed = vec![0xEE; layout.bytes(3) as usize];
            layout.pack(&raster, 1..4, |offset, bytes| packed[offset..offset + bytes.len()].copy_from_slice(bytes));
            assert_eq!(layout.unpack(&packed, 3).samples.as_bytes(), raster.rows_as_bytes(1..4));
        }
    }
}
