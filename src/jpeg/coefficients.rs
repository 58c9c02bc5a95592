//! A JPEG cut into the tiles of a TIFF without decoding it: every coefficient and quantisation table stays.

use std::sync::Arc;

use super::coded::{CodedRow, DcStatistics, RowBuilder, Span};
use super::entropy::Lookup;
use super::frame::Frame;
use super::header::{Component, Header};
use super::huffman::{self, BitWriter, Table, ZIGZAG};
use super::session::Encoding;
use crate::error::{Error, Result, Stage};
use crate::geometry::{Rect, Size};

/// One component: its blocks inside the image.
struct Plane {
    /// Sampling factors, 1 or 2.
    h: u32,
    v: u32,
    /// Index into the quantisation tables.
    quantization: u8,
    /// Index into the AC tables.
    ac: usize,
    rows: Vec<CodedRow>,
}

/// A table of AC coefficients.
pub(super) struct Ac {
    lookup: Arc<Lookup>,
    table: Table,
}

impl Ac {
    pub(super) fn new(lookup: Arc<Lookup>) -> Self {
        Ac { table: lookup.table(), lookup }
    }

    /// Whether tiles may use it: blocks beyond the image have no coefficients, and none is larger than those of 8-bit
    /// images.
    fn fits(&self) -> bool {
        let small = self.table.values.iter().all(|symbol| u32::from(symbol & 15) <= huffman::MAX_AC_CATEGORY);
        small && self.table.has(huffman::EOB)
    }
}

/// All coefficients of a gray or YCbCr JPEG, ready to be cut into tiles by many threads at once.
///
/// Tiles decode to the same coefficients and quantisation tables as the source. So with chroma repeated all
/// pixels are bit-identical; with interpolated chroma all but those next to a tile's edge, where a decoder
/// that sees one tile at a time lacks the neighbour. Gray and 4:4:4 are bit-identical throughout.
///
/// All tiles share the Huffman tables. Those of AC coefficients are the source's own, or where it has more than one scan
/// the best for its statistics; those of DC values are the best.
pub struct Coefficients {
    size: Size,
    planes: Vec<Plane>,
    /// Different tables only, in zigzag order.
    quantization: Vec<[u16; 64]>,
    /// For the first plane, and for the two of chroma.
    dc: Vec<Table>,
    /// Different ones only.
    ac: Vec<Ac>,
    tables: Vec<u8>,
}

/// Why a file with this header cannot be taken over.
pub(super) fn transferable(header: &Header, encoding: Encoding) -> std::result::Result<(), String> {
    if !matches!(encoding, Encoding::Gray | Encoding::YCbCr) {
        return Err(format!("it is stored as {encoding:?}; only gray and YCbCr can be taken over"));
    }
    if sampling(&header.components).is_none() {
        let factors: Vec<_> = header.components.iter().map(|c| format!("{}×{}", c.horizontal, c.vertical)).collect();
        return Err(format!(
            "its sampling is {}; only 4:4:4, 4:2:2, 4:4:0 and 4:2:0 can be taken over",
            factors.join(", ")
        ));
    }
    Ok(())
}

/// Sampling of the first component as TIFF's YCbCrSubSampling states it, when chroma is not sampled otherwise.
pub(super) fn sampling(components: &[Component]) -> Option<(u32, u32)> {
    let (first, chroma) = components.split_first()?;
    let factors = |c: &Component| (c.horizontal, c.vertical);
    // Factors only count in relation to each other; one component alone is not subsampled.
    if chroma.iter().all(|c| factors(c) == factors(first)) {
        return Some((1, 1));
    }
    let regular = chroma.iter().all(|c| factors(c) == (1, 1)) && first.horizontal <= 2 && first.vertical <= 2;
    regular.then_some((first.horizontal.into(), first.vertical.into()))
}

/// Gathers coefficients while rows are decoded.
pub(super) struct Collector {
    planes: Vec<Plane>,
    /// For the first plane, and for the two of chroma.
    statistics: Vec<DcStatistics>,
    /// Different ones only.
    ac: Vec<Ac>,
    /// Different tables only, in zigzag order.
    quantization: Vec<[u16; 64]>,
    size: Size,
}

/// The place of a value in a list of different ones, where it is put if it is missing.
fn place<T>(list: &mut Vec<T>, value: T, equal: impl Fn(&T, &T) -> bool) -> usize {
    list.iter().position(|known| equal(known, &value)).unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    })
}

impl Collector {
    /// For a [`transferable`] file of this size, whose planes have these tables.
    pub(super) fn new(size: Size, frame: &Frame, tables: Vec<Ac>) -> Self {
        let (mut quantization, mut ac) = (Vec::new(), Vec::new());
        let factors = |index: usize| {
            let (own, chroma) = (&frame.planes[index], frame.planes.last().unwrap_or(&frame.planes[index]));
            ((own.h / chroma.h) as u32, (own.v / chroma.v) as u32)
        };
        let planes: Vec<Plane> = (0..)
            .zip(frame.planes.iter().zip(tables))
            .map(|(index, (plane, table))| {
                let (h, v) = factors(index);
                let same = |a: &Ac, b: &Ac| (a.table.bits, &a.table.values) == (b.table.bits, &b.table.values);
                Plane {
                    h,
                    v,
                    quantization: place(&mut quantization, plane.quantization, |a, b| a == b) as u8,
                    ac: place(&mut ac, table, same),
                    rows: Vec::new(),
                }
            })
            .collect();
        let statistics = planes.iter().take(2).map(|_| DcStatistics::new()).collect();
        Collector { planes, statistics, ac, quantization, size }
    }

    /// The table of a plane's AC coefficients.
    pub(super) fn table(&self, plane: usize) -> &Table {
        &self.ac[self.planes[plane].ac].table
    }

    /// Takes the next row of blocks of a plane.
    pub(super) fn put(&mut self, plane: usize, row: &mut RowBuilder) {
        self.planes[plane].rows.push(row.finish(&mut self.statistics[plane.min(1)]));
    }

    /// What was gathered, as an image that ends with the last row of MCUs.
    ///
    /// # Errors
    /// `Unsupported` when a baseline stream cannot hold the coefficients.
    pub(super) fn finish(self) -> Result<Coefficients> {
        let Collector { planes, statistics, ac, quantization, size } = self;
        if !statistics.iter().all(DcStatistics::fits) || !ac.iter().all(Ac::fits) {
            return Err(Error::unsupported(Stage::Decode, "some coefficients are larger than 8-bit images have"));
        }
        let dc: Vec<Table> = statistics.iter().map(|statistics| Table::optimal(&statistics.categories)).collect();
        let huffman = (0x00..).zip(&dc).chain((0x10..).zip(ac.iter().map(|ac| &ac.table)));
        let tables = huffman::tables_stream(&quantization, huffman);
        // A block of the first plane covers 8 rows of pixels.
        let size = Size::new(size.width, size.height.min(8 * planes[0].rows.len() as u32));
        Ok(Coefficients { size, planes, quantization, dc, ac, tables })
    }
}

impl Coefficients {
    pub fn size(&self) -> Size {
        self.size
    }

    /// Gray (photometric 1) and not YCbCr (photometric 6).
    pub fn is_gray(&self) -> bool {
        self.planes.len() == 1
    }

    /// Value of the TIFF tag YCbCrSubSampling.
    pub fn subsampling(&self) -> (u16, u16) {
        (self.planes[0].h as u16, self.planes[0].v as u16)
    }

    /// Size of an MCU: windows start at multiples of it.
    pub fn mcu(&self) -> Size {
        Size::new(8 * self.planes[0].h, 8 * self.planes[0].v)
    }

    /// The stream with the tables that all tiles share: the value of the TIFF tag JPEGTables.
    pub fn tables(&self) -> &[u8] {
        &self.tables
    }

    /// Appends the stream of tile (`column`, `row`) of `window` to `out`. `Rect::of(size)` is the whole image.
    ///
    /// Beyond the window, the block at its edge is mirrored once, so that chroma interpolated across the edge
    /// meets what it met inside; what follows is flat. No block outside of the window gets into the file.
    ///
    /// # Errors
    /// `Misuse` when the window does not start at a multiple of [`mcu`](Self::mcu) or leaves the image, when
    /// the tile lies outside of it, or when `tile_px` is not a multiple of 16 from 16 to 65 520.
    pub fn cut_tile(&self, window: Rect, column: u32, row: u32, tile_px: u32, out: &mut Vec<u8>) -> Result<()> {
        let misuse = |message: String| Err(Error::misuse(Stage::Encode, message));
        if !tile_px.is_multiple_of(16) || !(16..=65_520).contains(&tile_px) {
            return misuse(format!("JPEG tiles of {tile_px} px; the side must be a multiple of 16 from 16 to 65520"));
        }
        let mcu = self.mcu();
        let inside =
            |start: u32, length: u32, end: u32| length > 0 && start.checked_add(length).is_some_and(|e| e <= end);
        if !window.x.is_multiple_of(mcu.width)
            || !window.y.is_multiple_of(mcu.height)
            || !inside(window.x, window.width, self.size.width)
            || !inside(window.y, window.height, self.size.height)
        {
            return misuse(format!(
                "a window of {} × {} at ({}, {}) cannot be cut without loss from {} × {}; \
                 it must lie inside and start at multiples of {} × {}",
                window.width,
                window.height,
                window.x,
                window.y,
                self.size.width,
                self.size.height,
                mcu.width,
                mcu.height
            ));
        }
        if column >= window.width.div_ceil(tile_px) || row >= window.height.div_ceil(tile_px) {
            return misuse(format!("there is no tile ({column}, {row})"));
        }

        self.write_headers(tile_px, out);
        let cuts: Vec<Cut> = self.planes.iter().map(|plane| Cut::new(plane, window, mcu)).collect();
        let mut predictions = [0; 3];
        let mut bits = BitWriter::new(out);
        let across = tile_px / mcu.width;
        let down = tile_px / mcu.height;
        for y in row * down..(row + 1) * down {
            for x in column * across..(column + 1) * across {
                for (index, cut) in cuts.iter().enumerate() {
                    let (dc, ac) = (&self.dc[index.min(1)], &self.ac[cut.plane.ac]);
                    for v in 0..cut.plane.v {
                        for h in 0..cut.plane.h {
                            let (value, coded) = cut.block(x * cut.plane.h + h, y * cut.plane.v + v);
                            let difference = i32::from(value) - predictions[index];
                            predictions[index] = value.into();
                            match coded {
                                Coded::Inside(span) => bits.put_block(dc, difference, span),
                                Coded::Mirrored(span, negated) => {
                                    bits.put_negated(dc, difference, (span, &ac.lookup), negated);
                                }
                                Coded::Beyond => bits.put_flat((dc, &ac.table), difference),
                            }
                        }
                    }
                }
            }
        }
        bits.finish();
        out.extend_from_slice(&[0xff, 0xd9]);
        Ok(())
    }

    /// Start of image, frame header, scan header.
    fn write_headers(&self, tile_px: u32, out: &mut Vec<u8>) {
        // Baseline allows quantisation values of 8 bits only, and two tables of a kind.
        let extended = self.quantization.iter().flatten().any(|value| *value > 255) || self.ac.len() > 2;
        let frame = if extended { 0xc1 } else { 0xc0 };
        let count = self.planes.len() as u8;
        let side = (tile_px as u16).to_be_bytes();
        out.extend_from_slice(&[
            0xff,
            0xd8,
            0xff,
            frame,
            0,
            8 + 3 * count,
            8,
            side[0],
            side[1],
            side[0],
            side[1],
            count,
        ]);
        for (id, plane) in (1..).zip(&self.planes) {
            out.extend_from_slice(&[id, (plane.h << 4 | plane.v) as u8, plane.quantization]);
        }
        out.extend_from_slice(&[0xff, 0xda, 0, 6 + 2 * count, count]);
        for (id, plane) in (1..).zip(&self.planes) {
            out.extend_from_slice(&[id, if id == 1 { 0x00 } else { 0x10 } | plane.ac as u8]);
        }
        out.extend_from_slice(&[0, 63, 0]);
    }
}

/// A window on one plane, in blocks.
struct Cut<'a> {
    plane: &'a Plane,
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

/// Coefficients, in zigzag order, that change sign when a block is mirrored left to right, or top to bottom:
/// those of odd horizontal, or vertical, frequency.
const fn odd_frequencies(horizontal: bool) -> u64 {
    let mut mask = 0;
    let mut k = 0;
    while k < 64 {
        let frequency = if horizontal { ZIGZAG[k] % 8 } else { ZIGZAG[k] / 8 };
        mask |= (frequency as u64 & 1) << k;
        k += 1;
    }
    mask
}

const ODD_HORIZONTAL: u64 = odd_frequencies(true);
const ODD_VERTICAL: u64 = odd_frequencies(false);

impl<'a> Cut<'a> {
    fn new(plane: &'a Plane, window: Rect, mcu: Size) -> Self {
        Cut {
            plane,
            left: window.x / mcu.width * plane.h,
            top: window.y / mcu.height * plane.v,
            // As libjpeg counts the blocks of an image of this size.
            width: (window.width * plane.h).div_ceil(mcu.width),
            height: (window.height * plane.v).div_ceil(mcu.height),
        }
    }

    /// DC value and AC coefficients of block (`x`, `y`) of the window and of what lies beyond it.
    #[inline]
    fn block(&self, x: u32, y: u32) -> (i16, Coded<'a>) {
        let inner = |at: u32, length: u32| at.min(length - 1);
        let row = &self.plane.rows[(self.top + inner(y, self.height)) as usize];
        let (dc, span) = row.block((self.left + inner(x, self.width)) as usize);
        let coded = if x < self.width && y < self.height {
            Coded::Inside(span)
        } else if x > self.width || y > self.height {
            Coded::Beyond
        } else {
            let mirrored_x = if x == self.width { ODD_HORIZONTAL } else { 0 };
            let mirrored_y = if y == self.height { ODD_VERTICAL } else { 0 };
            Coded::Mirrored(span, mirrored_x ^ mirrored_y)
        };
        (dc, coded)
    }
}

/// The AC coefficients of a block.
enum Coded<'a> {
    Inside(Span<'a>),
    /// With the mask of those that count with the other sign.
    Mirrored(Span<'a>, u64),
    /// None.
    Beyond,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jpeg::Decoder;
    use crate::limits::Limits;

    fn decode_plain(data: Vec<u8>) -> (Size, usize, Vec<u8>) {
        let mut decoder = Decoder::new(data, &Limits::default()).expect("a header");
        decoder.use_plain_upsampling();
        let (size, channels) = (decoder.header().size, decoder.format().channels());
        let mut pixels = vec![0; size.pixels() as usize * channels];
        assert_eq!(decoder.read_scanlines(&mut pixels).expect("rows"), size.height as usize);
        (size, channels, pixels)
    }

    /// With chroma repeated, no pixel depends on another MCU, so tiles must be bit-identical up to their edges.
    #[test]
    fn tiles_are_bit_identical_when_chroma_is_repeated() {
        for source in [
            &include_bytes!("../../tests/data/jpeg/ycc420.jpg")[..],
            include_bytes!("../../tests/data/jpeg/ycc422.jpg"),
            include_bytes!("../../tests/data/jpeg/ycc440.jpg"),
            include_bytes!("../../tests/data/jpeg/ycc444.jpg"),
            include_bytes!("../../tests/data/jpeg/gray.jpg"),
            include_bytes!("../../tests/data/jpeg/progressive.jpg"),
            include_bytes!("../../tests/data/jpeg/noninterleaved.jpg"),
            include_bytes!("../../tests/data/jpeg/restart.jpg"),
            include_bytes!("../../tests/data/jpeg/coarse_tables.jpg"),
        ] {
            let (size, channels, whole) = decode_plain(source.to_vec());
            let mut decoder = Decoder::new(source.to_vec(), &Limits::default()).expect("a header");
            decoder.keep_coefficients().expect("coefficients to keep");
            let mut row = vec![0; size.width as usize * channels];
            while decoder.read_scanlines(&mut row).expect("rows") > 0 {}
            let coefficients = decoder.take_coefficients().expect("coefficients");
            let whole_window = Rect::of(size);
            let corner = Rect { x: 16, y: 16, width: 45, height: 37 };
            for (window, tile_px) in [(whole_window, 16), (whole_window, 48), (whole_window, 128), (corner, 32)] {
                for (row, column) in (0..window.height.div_ceil(tile_px))
                    .flat_map(|row| (0..window.width.div_ceil(tile_px)).map(move |column| (row, column)))
                {
                    let mut tile = coefficients.tables()[..coefficients.tables().len() - 2].to_vec();
                    let mut stream = Vec::new();
                    coefficients.cut_tile(window, column, row, tile_px, &mut stream).expect("a tile");
                    tile.extend_from_slice(&stream[2..]);
                    let (tile_size, _, pixels) = decode_plain(tile);
                    assert_eq!(tile_size, Size::new(tile_px, tile_px));
                    let width = tile_px.min(window.width - column * tile_px) as usize * channels;
                    for y in 0..tile_px.min(window.height - row * tile_px) {
                        let left = (window.x + column * tile_px) as usize * channels;
                        let at = (window.y + row * tile_px + y) as usize * size.width as usize * channels + left;
                        let tile_at = (y * tile_px) as usize * channels;
                        assert_eq!(pixels[tile_at..][..width], whole[at..][..width], "tile ({column}, {row}), row {y}");
                    }
                }
            }
        }
    }
}
