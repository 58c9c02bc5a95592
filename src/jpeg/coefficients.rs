//! A JPEG cut into the tiles of a TIFF without decoding it: every coefficient and quantisation table stays.

use std::borrow::Cow;
use std::slice;

use mozjpeg_sys as ffi;

use super::header::{Component, Header};
use super::huffman::{self, BitWriter, Histogram, Table, ZIGZAG};
use super::session::{Encoding, Session, guard};
use crate::error::{Error, Result, Stage};
use crate::geometry::{Rect, Size};
use crate::limits::Limits;

type Block = [i16; 64];

/// One component: its blocks inside the image, row by row.
struct Plane {
    /// Sampling factors, 1 or 2.
    h: u32,
    v: u32,
    blocks_wide: u32,
    /// Index into the quantisation tables.
    quantization: u8,
    /// Coefficients in zigzag order, which is the order of the stream.
    blocks: Vec<Block>,
    /// Bit k says that coefficient k is not zero.
    nonzero: Vec<u64>,
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
    warnings: Vec<String>,
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
fn sampling(components: &[Component]) -> Option<(u32, u32)> {
    let (first, chroma) = components.split_first()?;
    let factors = |c: &Component| (c.horizontal, c.vertical);
    // Factors only count in relation to each other; one component alone is not subsampled.
    if chroma.iter().all(|c| factors(c) == factors(first)) {
        return Some((1, 1));
    }
    let regular = chroma.iter().all(|c| factors(c) == (1, 1)) && first.horizontal <= 2 && first.vertical <= 2;
    regular.then_some((first.horizontal.into(), first.vertical.into()))
}

impl Coefficients {
    /// Reads all coefficients of a JPEG file.
    ///
    /// # Errors
    /// As [`Decoder`](super::Decoder); also `Unsupported` when the file cannot be taken over as tiles, with the
    /// reason: not gray or YCbCr, other samplings, coefficients outside of what a baseline stream can hold.
    pub fn read(data: &[u8], limits: &Limits) -> Result<Self> {
        let mut session = Session::open(Cow::Borrowed(data), limits)?;
        let header = &session.header;
        let refused = |reason: String| Error::unsupported(Stage::Decode, format!("the JPEG stays no JPEG: {reason}"));
        transferable(header, session.encoding).map_err(refused)?;
        // libjpeg's arrays, the copy of them, and a mask of 8 bytes for each block of 128.
        let coefficient_bytes = header.coefficient_bytes();
        limits.check_bytes(data.len() as u64 + 2 * coefficient_bytes + coefficient_bytes / 16)?;
        let size = header.size;
        let (h, v) = sampling(&header.components).expect("checked by `transferable`");

        let cinfo = session.cinfo_mut();
        // SAFETY: the header is read, and no decoding has started.
        let read = guard(|| unsafe { ffi::jpeg_read_coefficients(cinfo) });
        let arrays = read.map_err(|failure| session.error(failure, "its coefficients"))?;

        let mut quantization: Vec<[u16; 64]> = Vec::new();
        let mut planes = Vec::new();
        for index in 0..session.header.components.len() {
            let cinfo = session.cinfo_mut();
            // SAFETY: `comp_info` has an entry for every component of the header, and `quant_table` was saved when
            // the component's first scan started. Both live until the session ends.
            let (blocks_wide, blocks_high, values) = unsafe {
                let info = &*cinfo.comp_info.add(index);
                (info.width_in_blocks, info.height_in_blocks, info.quant_table.as_ref().map(|table| table.quantval))
            };
            let values = values
                .ok_or_else(|| Error::malformed(Stage::Decode, "this JPEG file is broken: a component has no scan"))?;
            let values = ZIGZAG.map(|position| values[usize::from(position)]);
            let quantization = quantization.iter().position(|known| *known == values).unwrap_or_else(|| {
                quantization.push(values);
                quantization.len() - 1
            }) as u8;
            let count = blocks_wide as usize * blocks_high as usize;
            let (mut blocks, mut nonzero) = (Vec::with_capacity(count), Vec::with_capacity(count));
            for row in 0..blocks_high {
                // SAFETY: `arrays` has an entry for every component, and the array at least `blocks_high` rows of at
                // least `blocks_wide` blocks. The slice is used up before the next call into libjpeg.
                let access = guard(|| unsafe {
                    let array = *arrays.add(index);
                    let common = &mut cinfo.common;
                    let access = (*common.mem).access_virt_barray.expect("set by libjpeg");
                    let rows = access(common, array, row, 1, 0);
                    slice::from_raw_parts(*rows, blocks_wide as usize)
                });
                let source = match access {
                    Ok(source) => source,
                    Err(failure) => return Err(session.error(failure, "its coefficients")),
                };
                for natural in source {
                    let block = ZIGZAG.map(|position| natural[usize::from(position)]);
                    nonzero.push((0..64).fold(0, |mask, k| mask | u64::from(block[k] != 0) << k));
                    blocks.push(block);
                }
            }
            let (h, v) = if index == 0 { (h, v) } else { (1, 1) };
            planes.push(Plane { h, v, blocks_wide, quantization, blocks, nonzero });
        }
        let warnings = session.warnings();
        drop(session);

        let codes =
            if planes.len() == 1 { vec![codes(&planes)] } else { vec![codes(&planes[..1]), codes(&planes[1..])] };
        let codes = codes
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| refused("some coefficients are larger than 8-bit images have".to_string()))?;
        let tables = write_tables(&quantization, &codes);
        Ok(Coefficients { size, planes, quantization, codes, tables, warnings })
    }

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

    /// Oddities of the source that cost no pixel.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        let blocks: usize = self.planes.iter().map(|plane| plane.blocks.len()).sum();
        (blocks * (size_of::<Block>() + size_of::<u64>())) as u64
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
                            let (block, masks) = cut.block(x * cut.plane.h + h, y * cut.plane.v + v);
                            bits.put_block((&codes.dc, &codes.ac), block, masks, predictions[index]);
                            predictions[index] = block[0].into();
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

    /// Coefficients of block (`x`, `y`) of the window and of what lies beyond it, with the masks of those that are not
    /// zero and of those that count with the other sign.
    fn block(&self, x: u32, y: u32) -> (&'a Block, (u64, u64)) {
        let inner = |at: u32, length: u32| at.min(length - 1);
        let row = (self.top + inner(y, self.height)) as usize;
        let index = row * self.plane.blocks_wide as usize + (self.left + inner(x, self.width)) as usize;
        let (block, nonzero) = (&self.plane.blocks[index], self.plane.nonzero[index]);
        if x > self.width || y > self.height {
            return (block, (0, 0));
        }
        let mirrored_x = if x == self.width { ODD_HORIZONTAL } else { 0 };
        let mirrored_y = if y == self.height { ODD_VERTICAL } else { 0 };
        (block, (nonzero, mirrored_x ^ mirrored_y))
    }
}

/// The best tables for `planes`, or `None` when a baseline stream cannot hold a coefficient.
fn codes(planes: &[Plane]) -> Option<Codes> {
    let (mut dc, mut ac) = (Histogram::new(), Histogram::new());
    // Tiles put any two blocks next to each other, so every category needs a code; likewise for flat blocks.
    (0..=huffman::MAX_DC_CATEGORY).for_each(|category| dc.count(category as u8));
    ac.count(huffman::EOB);
    let (mut least, mut most) = (0, 0);
    let mut fits = true;
    for plane in planes {
        for (blocks, nonzero) in plane
            .blocks
            .chunks_exact(plane.blocks_wide as usize)
            .zip(plane.nonzero.chunks_exact(plane.blocks_wide as usize))
        {
            let mut prediction = None;
            for (block, nonzero) in blocks.iter().zip(nonzero) {
                let value = i32::from(block[0]);
                (least, most) = (value.min(least), value.max(most));
                let category = huffman::category(value - prediction.unwrap_or(value));
                dc.count(category as u8);
                prediction = Some(value);
                fits &= ac.count_block(block, *nonzero);
            }
        }
    }
    // The first block of a tile is predicted as 0, any other as the one before it.
    fits &= huffman::category(most - least) <= huffman::MAX_DC_CATEGORY;
    fits.then(|| Codes { dc: Table::optimal(&dc), ac: Table::optimal(&ac) })
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
            let coefficients = Coefficients::read(source, &Limits::default()).expect("coefficients");
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
