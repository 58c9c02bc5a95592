//! A JPEG cut into the tiles of a TIFF without decoding it: every coefficient and quantisation table stays.

use std::slice;

use mozjpeg_sys as ffi;

use super::header::{Component, Header};
use super::huffman::{BitWriter, Table, ZIGZAG};
use super::session::{Encoding, Session, guard};
use super::tokens::{Block, Statistics, Token, TokenRow, Tokenizer};
use crate::error::{Error, Result, Stage};
use crate::geometry::{Rect, Size};

/// One component: its blocks inside the image.
struct Plane {
    /// Sampling factors, 1 or 2.
    h: u32,
    v: u32,
    /// Index into the quantisation tables.
    quantization: u8,
    rows: Vec<TokenRow>,
}

/// Tables for DC and AC.
struct Codes {
    dc: Table,
    ac: Table,
}

/// All coefficients of a gray or YCbCr JPEG, ready to be cut into tiles by many threads at once.
///
/// Tiles decode to the same coefficients and quantisation tables as the source. So with chroma repeated all
/// pixels are bit-identical; with interpolated chroma all but those next to a tile's edge, where a decoder
/// that sees one tile at a time lacks the neighbour. Gray and 4:4:4 are bit-identical throughout.
///
/// The Huffman tables are the best for the statistics of the whole source and are shared by all tiles.
pub struct Coefficients {
    size: Size,
    planes: Vec<Plane>,
    /// Different tables only, in zigzag order.
    quantization: Vec<[u16; 64]>,
    /// For the first plane, and for the two of chroma.
    codes: Vec<Codes>,
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

/// Pixel rows in a row of MCUs as libjpeg counts them, also where all sampling factors are 2.
fn mcu_height(header: &Header) -> u32 {
    8 * header.components.iter().map(|c| u32::from(c.vertical)).max().unwrap_or(1)
}

/// libjpeg's arrays of the coefficients read so far: one per component.
pub(super) type Arrays = *mut *mut ffi::jvirt_barray_control;

/// Gathers coefficients while the rows of a session are decoded.
pub(super) struct Collector {
    planes: Vec<Plane>,
    /// For the first plane, and for the two of chroma.
    statistics: Vec<Statistics>,
    tokenizer: Tokenizer,
    /// Rows of MCUs gathered, and how many there are, as libjpeg counts them.
    mcu_rows: u32,
    mcu_rows_in_all: u32,
}

impl Collector {
    /// For a file that is [`transferable`].
    pub(super) fn new(header: &Header) -> Self {
        let (h, v) = sampling(&header.components).expect("the file is transferable");
        let plane = |index| {
            let (h, v) = if index == 0 { (h, v) } else { (1, 1) };
            Plane { h, v, quantization: 0, rows: Vec::new() }
        };
        let planes: Vec<Plane> = (0..header.components.len()).map(plane).collect();
        Collector {
            statistics: planes.iter().take(2).map(|_| Statistics::new()).collect(),
            planes,
            tokenizer: Tokenizer::default(),
            mcu_rows: 0,
            mcu_rows_in_all: header.size.height.div_ceil(mcu_height(header)),
        }
    }

    /// Takes the rows of MCUs before `mcu_rows`, or all where there are fewer.
    ///
    /// # Safety
    /// `arrays` are those of `session`, and libjpeg has read these rows.
    pub(super) unsafe fn take(&mut self, session: &mut Session, arrays: Arrays, mcu_rows: u32) -> Result<()> {
        let mcu_rows = mcu_rows.min(self.mcu_rows_in_all);
        for (index, plane) in self.planes.iter_mut().enumerate() {
            let cinfo = session.cinfo_mut();
            // SAFETY: `comp_info` has an entry for every component of the header.
            let (wide, high) = unsafe {
                let info = &*cinfo.comp_info.add(index);
                (info.width_in_blocks as usize, info.height_in_blocks)
            };
            let v = u32::from(session.header.components[index].vertical);
            let rows_of = |mcu_rows: u32| (mcu_rows * v).min(high);
            for row in rows_of(self.mcu_rows)..rows_of(mcu_rows) {
                let cinfo = session.cinfo_mut();
                // SAFETY: `arrays` has an entry for every component, and the array at least `high` rows of at least
                // `wide` blocks. The slice is used up before the next call into libjpeg.
                let access = guard(|| unsafe {
                    let array = *arrays.add(index);
                    let common = &mut cinfo.common;
                    let access = (*common.mem).access_virt_barray.expect("set by libjpeg");
                    let rows = access(common, array, row, 1, 0);
                    slice::from_raw_parts((*rows).cast::<Block>(), wide)
                });
                let blocks = match access {
                    Ok(blocks) => blocks,
                    Err(failure) => return Err(session.error(failure, "its coefficients")),
                };
                plane.rows.push(self.tokenizer.row(blocks, &mut self.statistics[index.min(1)]));
            }
        }
        self.mcu_rows = mcu_rows;
        Ok(())
    }

    /// What was gathered, as an image that ends with the last block.
    ///
    /// # Errors
    /// `Unsupported` when a baseline stream cannot hold the coefficients; `Malformed` when a component has none.
    pub(super) fn finish(mut self, session: &mut Session) -> Result<Coefficients> {
        let mut quantization: Vec<[u16; 64]> = Vec::new();
        for (index, plane) in self.planes.iter_mut().enumerate() {
            // SAFETY: `comp_info` has an entry for every component of the header, and `quant_table` was saved when
            // the component's first scan started. Both live until decoding ends.
            let values = unsafe {
                let info = &*session.cinfo().comp_info.add(index);
                info.quant_table.as_ref().map(|table| table.quantval)
            };
            let values = values
                .ok_or_else(|| Error::malformed(Stage::Decode, "this JPEG file is broken: a component has no scan"))?;
            let values = ZIGZAG.map(|position| values[usize::from(position)]);
            plane.quantization = quantization.iter().position(|known| *known == values).unwrap_or_else(|| {
                quantization.push(values);
                quantization.len() - 1
            }) as u8;
        }
        if !self.statistics.iter().all(Statistics::fits) {
            return Err(Error::unsupported(Stage::Decode, "some coefficients are larger than 8-bit images have"));
        }
        let codes: Vec<Codes> = self
            .statistics
            .iter()
            .map(|statistics| Codes { dc: Table::optimal(&statistics.dc), ac: Table::optimal(&statistics.ac) })
            .collect();
        let tables = write_tables(&quantization, &codes);
        let Size { width, height } = session.header.size;
        let size = Size::new(width, height.min(self.mcu_rows * mcu_height(&session.header)));
        Ok(Coefficients { size, planes: self.planes, quantization, codes, tables })
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
                    let codes = &self.codes[index.min(1)];
                    for v in 0..cut.plane.v {
                        for h in 0..cut.plane.h {
                            let (block, negated) = cut.block(x * cut.plane.h + h, y * cut.plane.v + v);
                            bits.put_block((&codes.dc, &codes.ac), block, negated, predictions[index]);
                            predictions[index] = block.0.into();
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
        // Baseline allows quantisation values of 8 bits only.
        let frame = if self.quantization.iter().flatten().any(|value| *value > 255) { 0xc1 } else { 0xc0 };
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
        for (id, _) in (1..).zip(&self.planes) {
            out.extend_from_slice(&[id, if id == 1 { 0x00 } else { 0x11 }]);
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

    /// DC value and AC tokens of block (`x`, `y`) of the window and of what lies beyond it, with the mask of the
    /// coefficients that count with the other sign.
    fn block(&self, x: u32, y: u32) -> ((i16, &'a [Token]), u64) {
        let inner = |at: u32, length: u32| at.min(length - 1);
        let row = &self.plane.rows[(self.top + inner(y, self.height)) as usize];
        let (dc, tokens) = row.block((self.left + inner(x, self.width)) as usize);
        if x > self.width || y > self.height {
            return ((dc, &[]), 0);
        }
        let mirrored_x = if x == self.width { ODD_HORIZONTAL } else { 0 };
        let mirrored_y = if y == self.height { ODD_VERTICAL } else { 0 };
        ((dc, tokens), mirrored_x ^ mirrored_y)
    }
}

/// Start of image, quantisation tables, Huffman tables, end of image.
fn write_tables(quantization: &[[u16; 64]], codes: &[Codes]) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    for (index, values) in (0..).zip(quantization) {
        if values.iter().any(|value| *value > 255) {
            out.extend_from_slice(&[0xff, 0xdb, 0, 131, 0x10 | index]);
            out.extend(values.iter().flat_map(|value| value.to_be_bytes()));
        } else {
            out.extend_from_slice(&[0xff, 0xdb, 0, 67, index]);
            out.extend(values.iter().map(|value| *value as u8));
        }
    }
    for (index, codes) in (0..).zip(codes) {
        for (class, table) in [(0x00, &codes.dc), (0x10, &codes.ac)] {
            let length = (2 + 1 + 16 + table.values.len()) as u16;
            out.extend_from_slice(&[0xff, 0xc4]);
            out.extend_from_slice(&length.to_be_bytes());
            out.push(class | index);
            out.extend_from_slice(&table.bits);
            out.extend_from_slice(&table.values);
        }
    }
    out.extend_from_slice(&[0xff, 0xd9]);
    out
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
            let coefficients = Decoder::coefficients(source.to_vec(), &Limits::default()).expect("coefficients");
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
