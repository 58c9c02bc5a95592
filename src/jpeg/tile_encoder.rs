//! Abbreviated JPEG streams for the tiles of a TIFF (TIFF Technical Note 2).

use std::sync::LazyLock;

use super::forward::{self, Quantisation};
use super::huffman::{self, Codes, Table, ZIGZAG};
use crate::error::{Error, Result, Stage};

/// The quantisation tables of annex K, in natural order: luminance (K.1) and chrominance (K.2).
const QUANTISATION: [[u8; 64]; 2] = [
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
        51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
        120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// The Huffman tables of annex K (K.3 to K.6), of luminance and chrominance.
static HUFFMAN: LazyLock<[Codes; 2]> = LazyLock::new(|| {
    const AC_LUMINANCE: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
    const AC_CHROMINANCE: [u8; 16] = [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119];
    const AC_LUMINANCE_SYMBOLS: &[u8] = &[
        0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
        0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
        0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
        0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
        0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
        0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
        0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
        0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
        0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ];
    const AC_CHROMINANCE_SYMBOLS: &[u8] = &[
        0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
        0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
        0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
        0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
        0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
        0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
        0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
        0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ];
    [
        Codes::new(dc_table(0), Table::new(AC_LUMINANCE, AC_LUMINANCE_SYMBOLS.to_vec())),
        Codes::new(dc_table(1), Table::new(AC_CHROMINANCE, AC_CHROMINANCE_SYMBOLS.to_vec())),
    ]
});

/// The table of annex K for the DC values of a component (K.3 and K.4): luminance is the first.
pub(super) fn dc_table(component: usize) -> Table {
    const LUMINANCE: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
    const CHROMINANCE: [u8; 16] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
    Table::new(if component == 0 { LUMINANCE } else { CHROMINANCE }, (0..=11).collect())
}

/// What the tiles hold and how it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileKind {
    /// TIFF photometric 1.
    Gray,
    /// RGB in, YCbCr stored (photometric 6); `half_chroma` stores chroma at half size in both directions.
    Rgb { half_chroma: bool },
    /// Ink values as they are, 0 = no ink, not subsampled (photometric 5, without an Adobe marker).
    Cmyk,
}

impl TileKind {
    /// Samples per pixel.
    pub const fn channels(self) -> usize {
        match self {
            TileKind::Gray => 1,
            TileKind::Rgb { .. } => 3,
            TileKind::Cmyk => 4,
        }
    }

    /// How many tables of each sort there are.
    pub(super) const fn tables(self) -> usize {
        if matches!(self, TileKind::Rgb { .. }) { 2 } else { 1 }
    }

    /// The tables of a component.
    pub(super) const fn table(self, component: usize) -> usize {
        if component > 0 { self.tables() - 1 } else { 0 }
    }

    /// Value of the TIFF tag YCbCrSubSampling.
    pub const fn subsampling(self) -> (u16, u16) {
        match self {
            TileKind::Rgb { half_chroma: true } => (2, 2),
            _ => (1, 1),
        }
    }
}

/// Encodes square tiles with one set of tables.
///
/// Accurate integer DCT, the quantisation tables of T.81 annex K scaled by libjpeg's quality rule, the Huffman
/// tables of annex K, one baseline scan. The bytes are those of libjpeg with these settings. The same pixels give the
/// same bytes, whichever encoder of the same parameters gets them, on every machine.
pub struct TileEncoder {
    quantisation: Box<[Quantisation; 2]>,
    tables: Vec<u8>,
    kind: TileKind,
    tile_px: u32,
}

impl TileEncoder {
    /// An encoder for tiles of `tile_px` × `tile_px` pixels at `quality` 0–100; as with libjpeg, 0 is 1.
    ///
    /// # Errors
    /// `Misuse` when `tile_px` is not a multiple of 16 from 16 to 65 520, or `quality` is over 100.
    pub fn new(kind: TileKind, tile_px: u32, quality: u8) -> Result<Self> {
        if !tile_px.is_multiple_of(16) || !(16..=65_520).contains(&tile_px) {
            return Err(Error::misuse(
                Stage::Encode,
                format!("JPEG tiles of {tile_px} px; the side must be a multiple of 16 from 16 to 65520"),
            ));
        }
        if quality > 100 {
            return Err(Error::misuse(Stage::Encode, format!("JPEG quality {quality}; it must be 0 to 100")));
        }
        let quantisation = QUANTISATION.map(|table| table.map(|value| scaled(value, quality)));
        Ok(TileEncoder {
            tables: tables_stream(&quantisation[..kind.tables()]),
            quantisation: Box::new(quantisation.map(|table| Quantisation::new(&table))),
            kind,
            tile_px,
        })
    }

    /// The stream with the tables that all tiles share: the value of the TIFF tag JPEGTables.
    pub fn tables(&self) -> &[u8] {
        &self.tables
    }

    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Appends the stream of one tile to `out`. `pixels` are `tile_px` rows of `tile_px` interleaved pixels, each row
    /// `stride` bytes behind the one before.
    ///
    /// # Errors
    /// `Misuse` when `pixels` ends before the last row does, or rows overlap. `out` is then unchanged.
    pub fn encode(&self, pixels: &[u8], stride: usize, out: &mut Vec<u8>) -> Result<()> {
        self.encode_pieces(|row| pixels.get(row * stride..).unwrap_or_default(), stride, out)
    }

    /// The same for rows that do not lie in one piece: `pixels` gives those from a row on, whose number is a multiple of
    /// 8. Sixteen rows from a multiple of 16 lie in one piece.
    ///
    /// # Errors
    /// As [`TileEncoder::encode`].
    pub fn encode_pieces<'a>(
        &self,
        pixels: impl Fn(usize) -> &'a [u8],
        stride: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let tile_px = self.tile_px as usize;
        let row_bytes = tile_px * self.kind.channels();
        let expected = stride.saturating_mul(15).saturating_add(row_bytes);
        for row in (0..tile_px).step_by(16) {
            let got = pixels(row).len();
            if stride < row_bytes || got < expected {
                return Err(Error::misuse(
                    Stage::Encode,
                    format!(
                        "rows {row} to {} of a JPEG tile have {got} bytes of pixels, rows {stride} bytes apart, in place \
                         of {expected}",
                        row + 15
                    ),
                ));
            }
        }
        self.write_headers(out);
        forward::scan((self.kind, tile_px), (&self.quantisation, &HUFFMAN), (&pixels, stride), out);
        out.extend_from_slice(&[0xff, 0xd9]);
        Ok(())
    }

    /// Start of image, frame header, scan header.
    fn write_headers(&self, out: &mut Vec<u8>) {
        let count = self.kind.channels() as u8;
        let ids: &[u8] = if self.kind == TileKind::Cmyk { b"CMYK" } else { &[1, 2, 3][..self.kind.channels()] };
        let [high, low] = (self.tile_px as u16).to_be_bytes();
        out.extend_from_slice(&[0xff, 0xd8, 0xff, 0xc0, 0, 8 + 3 * count, 8, high, low, high, low, count]);
        for (index, id) in ids.iter().enumerate() {
            let (h, v) = if index == 0 { self.kind.subsampling() } else { (1, 1) };
            out.extend_from_slice(&[*id, (h << 4 | v) as u8, self.kind.table(index) as u8]);
        }
        out.extend_from_slice(&[0xff, 0xda, 0, 6 + 2 * count, count]);
        for (index, id) in ids.iter().enumerate() {
            out.extend_from_slice(&[*id, 0x11 * self.kind.table(index) as u8]);
        }
        out.extend_from_slice(&[0, 63, 0]);
    }
}

/// libjpeg's rule: quality 50 takes a table as it is, 100 makes it all ones.
fn scaled(value: u8, quality: u8) -> u8 {
    let quality = u32::from(quality.max(1));
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    ((u32::from(value) * percent + 50) / 100).clamp(1, 255) as u8
}

/// The stream of the quantisation tables and of as many Huffman tables of each class, in libjpeg's order.
fn tables_stream(quantisation: &[[u8; 64]]) -> Vec<u8> {
    let zigzag = |natural: &[u8; 64]| ZIGZAG.map(|position| natural[usize::from(position)].into());
    let quantisation: Vec<[u16; 64]> = quantisation.iter().map(zigzag).collect();
    let huffman = (0u8..).zip(&HUFFMAN[..quantisation.len()]);
    huffman::tables_stream(
        &quantisation,
        huffman.flat_map(|(index, codes)| [(index, &codes.dc), (0x10 | index, &codes.ac)]),
    )
}
