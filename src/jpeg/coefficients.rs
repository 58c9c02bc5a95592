//! A JPEG cut into the tiles of a TIFF without decoding it: every coefficient and quantisation table stays.

use std::ops::Range;
use std::sync::Arc;

use super::coded::{CodedRow, RowBuilder, Span};
use super::entropy::Lookup;
use super::frame::Frame;
use super::header::{Component, Header};
use super::huffman::{self, BitWriter, Table, ZIGZAG};
use super::session::Encoding;
use super::tile_encoder;
use crate::error::{Error, Result, Stage};
use crate::geometry::{Rect, Size};

/// One component.
struct Plane {
    /// Sampling factors, 1 or 2.
    h: u32,
    v: u32,
    /// Index into the quantisation tables.
    quantization: u8,
    /// Indices into the Huffman tables.
    dc: usize,
    ac: usize,
}

/// A table of AC coefficients.
struct Ac {
    lookup: Arc<Lookup>,
    table: Table,
}

/// What the tiles of a file have in common.
pub(super) struct Shared {
    size: Size,
    planes: Vec<Plane>,
    /// Different tables only, in zigzag order.
    quantization: Vec<[u16; 64]>,
    /// Different ones only.
    dc: Vec<Table>,
    ac: Vec<Ac>,
    stream: Vec<u8>,
}

/// The coefficients of some rows of a gray or YCbCr JPEG, ready to be cut into tiles by many threads at once. Clones
/// are cheap.
///
/// Tiles decode to the same coefficients and quantisation tables as the source. So with chroma repeated all
/// pixels are bit-identical; with interpolated chroma all but those next to a tile's edge, where a decoder
/// that sees one tile at a time lacks the neighbour. Gray and 4:4:4 are bit-identical throughout.
///
/// All tiles of a file share the Huffman tables. They are the source's own, or where it has more than one scan the best
/// for its statistics. A DC table that lacks differences which 8-bit images may have, as tiles put other blocks next to
/// each other, is replaced by that of annex K.
#[derive(Clone)]
pub struct Coefficients {
    shared: Arc<Shared>,
    /// The first row of MCUs that is there.
    first: u32,
    /// For each plane, its blocks inside the image.
    rows: Arc<[Vec<CodedRow>]>,
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

/// The place of a value in a list of different ones, where it is put if it is missing.
fn place<T>(list: &mut Vec<T>, value: T, equal: impl Fn(&T, &T) -> bool) -> usize {
    list.iter().position(|known| equal(known, &value)).unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    })
}

impl Shared {
    /// For a [`transferable`] file of this size, whose planes have these tables for DC values and AC coefficients.
    ///
    /// # Errors
    /// `Unsupported` when a baseline stream cannot hold the coefficients.
    pub(super) fn new(size: Size, frame: &Frame, tables: Vec<(Table, Arc<Lookup>)>) -> Result<Shared> {
        let (mut quantization, mut dc_tables, mut ac_tables) = (Vec::new(), Vec::new(), Vec::new());
        let chroma = frame.planes.last().expect("a file has components");
        let mut planes = Vec::new();
        for (index, (plane, (dc, ac))) in frame.planes.iter().zip(tables).enumerate() {
            // Tiles put any two blocks next to each other.
            let mut categories = 0..=huffman::MAX_DC_CATEGORY;
            let any = dc.values.len() == categories.clone().count() && categories.all(|c| dc.has(c as u8));
            let dc = if any { dc } else { tile_encoder::dc_table(index) };
            let ac = Ac { table: ac.table(), lookup: ac };
            // Blocks beyond the image have no coefficients.
            let small = ac.table.values.iter().all(|symbol| u32::from(symbol & 15) <= huffman::MAX_AC_CATEGORY);
            if !small || !ac.table.has(huffman::EOB) {
                return Err(too_large());
            }
            planes.push(Plane {
                h: (plane.h / chroma.h) as u32,
                v: (plane.v / chroma.v) as u32,
                quantization: place(&mut quantization, plane.quantization, |a, b| a == b) as u8,
                dc: place(&mut dc_tables, dc, Table::same),
                ac: place(&mut ac_tables, ac, |a, b| a.table.same(&b.table)),
            });
        }
        let huffman = (0x00..).zip(&dc_tables).chain((0x10..).zip(ac_tables.iter().map(|ac| &ac.table)));
        let stream = huffman::tables_stream(&quantization, huffman);
        Ok(Shared { size, planes, quantization, dc: dc_tables, ac: ac_tables, stream })
    }

    /// Size of an MCU in pixels.
    pub(super) fn mcu(&self) -> Size {
        Size::new(8 * self.planes[0].h, 8 * self.planes[0].v)
    }

    /// The rows of MCUs that these rows of pixels are in.
    pub(super) fn mcu_rows(&self, rows: Range<u32>) -> Range<u32> {
        let height = self.mcu().height;
        rows.start / height..rows.end.div_ceil(height)
    }

    /// The table of a plane's AC coefficients.
    pub(super) fn ac(&self, plane: usize) -> &Table {
        &self.ac[self.planes[plane].ac].table
    }

    /// Rows of blocks of a plane in rows of MCUs of the file, as far as they are inside the image.
    pub(super) fn block_rows(&self, plane: usize, mcu_rows: Range<u32>) -> Range<u32> {
        let v = self.planes[plane].v;
        let most = (self.size.height * v).div_ceil(8 * self.planes[0].v);
        (mcu_rows.start * v).min(most)..(mcu_rows.end * v).min(most)
    }
}

fn too_large() -> Error {
    Error::unsupported(Stage::Decode, "some coefficients are larger than 8-bit images have")
}

/// Whether a baseline stream can hold the DC values of a plane, in whatever tiles. The first block of a tile is predicted
/// as 0, any other as one before it.
fn fits(rows: &[CodedRow]) -> bool {
    let (least, most) = rows.iter().fold((0, 0), |(least, most), row| {
        let (row_least, row_most) = row.dc_range();
        (least.min(row_least), most.max(row_most))
    });
    huffman::category(i32::from(most) - i32::from(least)) <= huffman::MAX_DC_CATEGORY
}

/// Gathers coefficients while rows are decoded.
pub(super) struct Collector {
    shared: Arc<Shared>,
    /// The first row of MCUs that is there.
    first: u32,
    /// For each plane, from there on.
    rows: Vec<Vec<CodedRow>>,
}

impl Collector {
    pub(super) fn new(shared: Shared) -> Self {
        let rows = shared.planes.iter().map(|_| Vec::new()).collect();
        Collector { shared: shared.into(), first: 0, rows }
    }

    /// Takes the next row of blocks of a plane, in the making.
    pub(super) fn put(&mut self, plane: usize, row: &mut RowBuilder) {
        self.rows[plane].push(row.finish());
    }

    /// Hands over the coefficients of these rows of pixels, which were put, unless they were taken before; those above
    /// are forgotten.
    pub(super) fn take(&mut self, rows: Range<u32>) -> Option<Result<Coefficients>> {
        let mcu_rows = self.shared.mcu_rows(rows);
        let before = self.first;
        if mcu_rows.start < before {
            return None;
        }
        let taken = self.rows.iter_mut().enumerate().map(|(plane, rows)| {
            let start = self.shared.block_rows(plane, before..mcu_rows.start).len();
            let end = self.shared.block_rows(plane, before..mcu_rows.end).len();
            rows.drain(..end).skip(start).collect()
        });
        self.first = mcu_rows.end;
        Some(Coefficients::new(Arc::clone(&self.shared), mcu_rows.start, taken.collect()))
    }
}

impl Coefficients {
    /// Of rows of MCUs from `first` on; for each plane, its rows of blocks.
    ///
    /// # Errors
    /// `Unsupported` when a baseline stream cannot hold the coefficients.
    pub(super) fn new(shared: Arc<Shared>, first: u32, rows: Arc<[Vec<CodedRow>]>) -> Result<Self> {
        if rows.iter().all(|rows| fits(rows)) { Ok(Coefficients { shared, first, rows }) } else { Err(too_large()) }
    }

    /// Of the whole image.
    pub fn size(&self) -> Size {
        self.shared.size
    }

    /// Gray (photometric 1) and not YCbCr (photometric 6).
    pub fn is_gray(&self) -> bool {
        self.shared.planes.len() == 1
    }

    /// Value of the TIFF tag YCbCrSubSampling.
    pub fn subsampling(&self) -> (u16, u16) {
        let luma = &self.shared.planes[0];
        (luma.h as u16, luma.v as u16)
    }

    /// Size of an MCU: windows start at multiples of it.
    pub fn mcu(&self) -> Size {
        self.shared.mcu()
    }

    /// The stream with the tables that all tiles share: the value of the TIFF tag JPEGTables.
    pub fn tables(&self) -> &[u8] {
        &self.shared.stream
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
            || !inside(window.x, window.width, self.shared.size.width)
            || !inside(window.y, window.height, self.shared.size.height)
        {
            return misuse(format!(
                "a window of {} × {} at ({}, {}) cannot be cut without loss from {} × {}; \
                 it must lie inside and start at multiples of {} × {}",
                window.width,
                window.height,
                window.x,
                window.y,
                self.shared.size.width,
                self.shared.size.height,
                mcu.width,
                mcu.height
            ));
        }
        if column >= window.width.div_ceil(tile_px) || row >= window.height.div_ceil(tile_px) {
            return misuse(format!("there is no tile ({column}, {row})"));
        }

        let across = tile_px / mcu.width;
        let down = tile_px / mcu.height;
        let rows = row * down..((row + 1) * down).min(window.height.div_ceil(mcu.height));
        let from = |row: u32| window.y / mcu.height + row;
        let end = self.first + self.rows[0].len().div_ceil(self.shared.planes[0].v as usize) as u32;
        if from(rows.start) < self.first || from(rows.end) > end {
            return misuse(format!("the coefficients of tile ({column}, {row}) are not among these"));
        }

        self.write_headers(tile_px, out);
        let cuts: Vec<Cut> = self
            .shared
            .planes
            .iter()
            .zip(self.rows.iter())
            .map(|(plane, rows)| Cut::new(plane, (rows, self.first), window, mcu))
            .collect();
        let mut predictions = [0; 3];
        let mut bits = BitWriter::new(out);
        for y in row * down..(row + 1) * down {
            for x in column * across..(column + 1) * across {
                for (index, cut) in cuts.iter().enumerate() {
                    let (dc, ac) = (&self.shared.dc[cut.plane.dc], &self.shared.ac[cut.plane.ac]);
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
        let Shared { planes, quantization, dc, ac, .. } = &*self.shared;
        let extended = quantization.iter().flatten().any(|value| *value > 255) || dc.len() > 2 || ac.len() > 2;
        let frame = if extended { 0xc1 } else { 0xc0 };
        let count = planes.len() as u8;
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
        for (id, plane) in (1..).zip(planes) {
            out.extend_from_slice(&[id, (plane.h << 4 | plane.v) as u8, plane.quantization]);
        }
        out.extend_from_slice(&[0xff, 0xda, 0, 6 + 2 * count, count]);
        for (id, plane) in (1..).zip(planes) {
            out.extend_from_slice(&[id, (plane.dc << 4 | plane.ac) as u8]);
        }
        out.extend_from_slice(&[0, 63, 0]);
    }
}

/// A window on one plane, in blocks.
struct Cut<'a> {
    plane: &'a Plane,
    rows: &'a [CodedRow],
    left: u32,
    /// In `rows`; may lie above them.
    top: i64,
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
    /// `rows` are those from a row of MCUs on.
    fn new(plane: &'a Plane, (rows, first): (&'a [CodedRow], u32), window: Rect, mcu: Size) -> Self {
        Cut {
            plane,
            rows,
            left: window.x / mcu.width * plane.h,
            top: (i64::from(window.y / mcu.height) - i64::from(first)) * i64::from(plane.v),
            // As libjpeg counts the blocks of an image of this size.
            width: (window.width * plane.h).div_ceil(mcu.width),
            height: (window.height * plane.v).div_ceil(mcu.height),
        }
    }

    /// DC value and AC coefficients of block (`x`, `y`) of the window and of what lies beyond it.
    #[inline]
    fn block(&self, x: u32, y: u32) -> (i16, Coded<'a>) {
        let inner = |at: u32, length: u32| at.min(length - 1);
        let row = &self.rows[(self.top + i64::from(inner(y, self.height))) as usize];
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

    #[test]
    fn dc_values_that_baseline_cannot_hold_are_seen() {
        let row = |values: &[i16]| {
            let mut builder = RowBuilder::default();
            values.iter().for_each(|dc| builder.copy(*dc, Span::new(&[0; 8], 0, 0)));
            builder.finish()
        };
        assert!(fits(&[row(&[-1024, 1023])]));
        assert!(!fits(&[row(&[-1025]), row(&[0, 1023])]));
        // Against the prediction of a tile's first block.
        assert!(fits(&[row(&[2047])]) && !fits(&[row(&[2048])]));
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
            let coefficients = decoder.take_coefficients(0..size.height, None).expect("coefficients");
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
