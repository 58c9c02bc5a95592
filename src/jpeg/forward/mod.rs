//! From pixels to the blocks that Huffman coding takes: colour conversion, chroma at half size, forward DCT,
//! quantisation, zigzag order.
//!
//! All arithmetic is libjpeg's, so that the same pixels give the same blocks as with it: colours by weights of 16 bits
//! after the point, chroma as the mean of 2 × 2 values with the half rounded down and up by turns, the integer DCT of
//! Loeffler, Ligtenberg and Moschytz with constants of 13 bits, quotients rounded half away from zero.
//!
//! The work is done in units of 16 pixels by one row of MCUs, and within them in pairs of blocks, which is what a
//! register of AVX2 holds. Both paths give the same blocks.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::huffman::{BitWriter, Codes, ZIGZAG};
use super::tile_encoder::TileKind;

/// Pixels across a unit.
const UNIT_PX: usize = 16;

/// Row by row, the samples of two blocks side by side, less 128.
type Samples = [[i16; 16]; 8];

/// Two quantised blocks side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(32))]
struct Pair {
    /// Row by row: eight coefficients of the one block, then eight of the other.
    coefficients: Samples,
    /// For each block its coefficients in zigzag order, clamped to 8 bits.
    clamped: [[i8; 64]; 2],
    /// For each block, bit k says that the coefficient at zigzag position k is not zero.
    nonzero: [u64; 2],
}

impl Pair {
    const ZERO: Pair = Pair { coefficients: [[0; 16]; 8], clamped: [[0; 64]; 2], nonzero: [0; 2] };
}

/// The pairs of a unit; how many of them there are, and of what, depends on the kind.
struct Unit {
    pairs: [Pair; 4],
    /// What the pairs are made from; kept, as making it zero takes as long as filling it.
    samples: [Samples; 4],
}

impl Unit {
    const ZERO: Unit = Unit { pairs: [Pair::ZERO; 4], samples: [[[0; 16]; 8]; 4] };
}

/// A block of a unit.
struct Place {
    pair: usize,
    half: usize,
    component: usize,
}

const fn place(pair: usize, half: usize, component: usize) -> Place {
    Place { pair, half, component }
}

/// How a unit is made up.
struct Layout {
    rows: usize,
    /// Quantisation table of each pair.
    tables: &'static [usize],
    /// Blocks in the order of the scan.
    blocks: &'static [Place],
}

impl Layout {
    const fn of(kind: TileKind) -> Layout {
        const GRAY: &[Place] = &[place(0, 0, 0), place(0, 1, 0)];
        const HALF: &[Place] =
            &[place(0, 0, 0), place(0, 1, 0), place(1, 0, 0), place(1, 1, 0), place(2, 0, 1), place(2, 1, 2)];
        const FULL: &[Place] =
            &[place(0, 0, 0), place(1, 0, 1), place(1, 1, 2), place(0, 1, 0), place(2, 0, 1), place(2, 1, 2)];
        const CMYK: &[Place] = &[
            place(0, 0, 0),
            place(0, 1, 1),
            place(1, 0, 2),
            place(1, 1, 3),
            place(2, 0, 0),
            place(2, 1, 1),
            place(3, 0, 2),
            place(3, 1, 3),
        ];
        match kind {
            TileKind::Gray => Layout { rows: 8, tables: &[0], blocks: GRAY },
            TileKind::Rgb { half_chroma: true } => Layout { rows: 16, tables: &[0, 0, 1], blocks: HALF },
            TileKind::Rgb { half_chroma: false } => Layout { rows: 8, tables: &[0, 1, 1], blocks: FULL },
            TileKind::Cmyk => Layout { rows: 8, tables: &[0, 0, 0, 0], blocks: CMYK },
        }
    }
}

/// A quantisation table as multiplications: `(|x| + correction) · reciprocal >> 16) · scale >> 16` is |x| / 8q rounded,
/// half up, for every coefficient x of the forward DCT, which is eight times the true one (after Alverson, "Integer
/// Division Using Reciprocals", 1991). Row by row, each row twice for the two blocks of a pair.
#[repr(align(32))]
pub(super) struct Quantisation {
    correction: [[u16; 16]; 8],
    reciprocal: [[u16; 16]; 8],
    scale: [[u16; 16]; 8],
}

impl Quantisation {
    /// `table`: values from 1 in natural order.
    pub(super) fn new(table: &[u8; 64]) -> Self {
        let mut quantisation = Quantisation { correction: [[0; 16]; 8], reciprocal: [[0; 16]; 8], scale: [[0; 16]; 8] };
        for (at, value) in table.iter().enumerate() {
            let divisor = 8 * u32::from(*value);
            let bits = divisor.ilog2();
            let one = 1u32 << (16 + bits);
            let (quotient, rest) = (one / divisor, one % divisor);
            let (correction, reciprocal, shift) = match rest {
                0 => (divisor / 2, quotient / 2, bits - 1),
                _ if rest <= divisor / 2 => (divisor / 2 + 1, quotient, bits),
                _ => (divisor / 2, quotient + 1, bits),
            };
            for column in [at % 8, at % 8 + 8] {
                quantisation.correction[at / 8][column] = correction as u16;
                quantisation.reciprocal[at / 8][column] = reciprocal as u16;
                quantisation.scale[at / 8][column] = 1 << (16 - shift);
            }
        }
        quantisation
    }

    fn quotient(&self, value: i32, row: usize, column: usize) -> i16 {
        let sum = value.unsigned_abs() + u32::from(self.correction[row][column]);
        let product = (sum * u32::from(self.reciprocal[row][column])) >> 16;
        let quotient = ((product * u32::from(self.scale[row][column])) >> 16) as i16;
        if value < 0 { -quotient } else { quotient }
    }
}

/// What gives the pixels of a tile from a row on, whose number is a multiple of 8, to the end of a row of MCUs at least;
/// and how many bytes it is from one row to the next.
type Pixels<'p, 'a> = (&'p dyn Fn(usize) -> &'a [u8], usize);

/// Appends the scan of one tile of `tile_px` pixels, a multiple of 16, to `out`.
/// `quantisation` and `codes` are those of the first component, and of the chroma.
///
/// # Panics
/// Where pixels are missing.
pub(super) fn scan(
    (kind, tile_px): (TileKind, usize),
    (quantisation, codes): (&[Quantisation; 2], &[Codes; 2]),
    pixels: Pixels<'_, '_>,
    out: &mut Vec<u8>,
) {
    #[cfg(target_arch = "x86_64")]
    if avx2::available() {
        return avx2::scan((kind, tile_px), (quantisation, codes), pixels, out);
    }
    scan_with(portable_unit, (kind, tile_px), (quantisation, codes), pixels, out);
}

/// The loop of [`scan`]; `unit` makes the pairs of a unit from its pixels.
#[inline(always)]
fn scan_with(
    unit: impl Fn(TileKind, &[Quantisation; 2], &[u8], usize, &mut Unit),
    (kind, tile_px): (TileKind, usize),
    (quantisation, codes): (&[Quantisation; 2], &[Codes; 2]),
    pixels: Pixels<'_, '_>,
    out: &mut Vec<u8>,
) {
    let layout = Layout::of(kind);
    let mut bits = BitWriter::new(out);
    let mut predictions = [0; 4];
    let mut made = Unit::ZERO;
    let (pixels, stride) = pixels;
    for top in (0..tile_px).step_by(layout.rows) {
        let pixels = pixels(top);
        for left in (0..tile_px).step_by(UNIT_PX) {
            unit(kind, quantisation, &pixels[left * kind.channels()..], stride, &mut made);
            for &Place { pair, half, component } in layout.blocks {
                let pair = &made.pairs[pair];
                let dc = pair.coefficients[0][8 * half];
                bits.put_quantised(
                    &codes[kind.table(component)],
                    i32::from(dc) - predictions[component],
                    (&pair.clamped[half], pair.nonzero[half]),
                    |position| pair.coefficients[position / 8][8 * half + position % 8],
                );
                predictions[component] = dc.into();
            }
        }
    }
    bits.finish();
}

fn portable_unit(kind: TileKind, quantisation: &[Quantisation; 2], pixels: &[u8], stride: usize, unit: &mut Unit) {
    let layout = Layout::of(kind);
    let Unit { pairs, samples } = unit;
    match kind {
        TileKind::Gray => {
            for (row, out) in samples[0].iter_mut().enumerate() {
                *out = std::array::from_fn(|x| centred(pixels[row * stride + x]));
            }
        }
        TileKind::Cmyk => {
            for row in 0..8 {
                for x in 0..UNIT_PX {
                    for (ink, value) in pixels[row * stride + 4 * x..][..4].iter().enumerate() {
                        samples[x / 8 * 2 + ink / 2][row][x % 8 + ink % 2 * 8] = centred(*value);
                    }
                }
            }
        }
        TileKind::Rgb { half_chroma: false } => {
            for row in 0..8 {
                for (x, pixel) in pixels[row * stride..][..3 * UNIT_PX].as_chunks().0.iter().enumerate() {
                    let [y, cb, cr] = ycbcr(pixel);
                    samples[0][row][x] = centred(y);
                    samples[1 + x / 8][row][x % 8] = centred(cb);
                    samples[1 + x / 8][row][x % 8 + 8] = centred(cr);
                }
            }
        }
        TileKind::Rgb { half_chroma: true } => {
            for row in 0..8 {
                let mut sums = [0u16; 16];
                for below in 0..2 {
                    let y_row = 2 * row + below;
                    for (x, pixel) in pixels[y_row * stride..][..3 * UNIT_PX].as_chunks().0.iter().enumerate() {
                        let [y, cb, cr] = ycbcr(pixel);
                        samples[y_row / 8][y_row % 8][x] = centred(y);
                        sums[x / 2] += u16::from(cb);
                        sums[8 + x / 2] += u16::from(cr);
                    }
                }
                samples[2][row] = std::array::from_fn(|x| centred(((sums[x] + 1 + x as u16 % 2) >> 2) as u8));
            }
        }
    }
    for ((pair, samples), table) in pairs.iter_mut().zip(samples).zip(layout.tables) {
        portable_pair(samples, &quantisation[*table], pair);
    }
}

fn centred(value: u8) -> i16 {
    i16::from(value) - 128
}

/// Weights of 16 bits after the point: of red, green and blue in Y, Cb and Cr.
const WEIGHTS: [[i32; 3]; 3] = [[19595, 38470, 7471], [-11059, -21709, 32768], [32768, -27439, -5329]];
/// Added before the fraction is cut off. In Cb and Cr one less than a half, which keeps 255.5 from becoming 256.
const ROUNDING: [i32; 3] = [1 << 15, (128 << 16) + (1 << 15) - 1, (128 << 16) + (1 << 15) - 1];

fn ycbcr(pixel: &[u8; 3]) -> [u8; 3] {
    std::array::from_fn(|c| {
        let products = pixel.iter().zip(WEIGHTS[c]).map(|(value, weight)| i32::from(*value) * weight);
        ((products.sum::<i32>() + ROUNDING[c]) >> 16) as u8
    })
}

fn portable_pair(samples: &Samples, quantisation: &Quantisation, pair: &mut Pair) {
    for half in 0..2 {
        let mut block: [[i32; 8]; 8] =
            std::array::from_fn(|row| std::array::from_fn(|column| samples[row][8 * half + column].into()));
        for row in &mut block {
            *row = transform::<true>(*row);
        }
        for column in 0..8 {
            let transformed = transform::<false>(block.map(|row| row[column]));
            for (row, value) in transformed.into_iter().enumerate() {
                pair.coefficients[row][8 * half + column] = quantisation.quotient(value, row, column);
            }
        }
        pair.nonzero[half] = 0;
        for (k, position) in ZIGZAG.into_iter().enumerate() {
            let value = pair.coefficients[usize::from(position / 8)][8 * half + usize::from(position % 8)];
            pair.clamped[half][k] = value.clamp(-128, 127) as i8;
            pair.nonzero[half] |= u64::from(value != 0) << k;
        }
    }
}

/// Constants of the DCT, of 13 bits after the point.
const F_0_298: i32 = 2446;
const F_0_390: i32 = 3196;
const F_0_541: i32 = 4433;
const F_0_765: i32 = 6270;
const F_0_899: i32 = 7373;
const F_1_175: i32 = 9633;
const F_1_501: i32 = 12299;
const F_1_847: i32 = 15137;
const F_1_961: i32 = 16069;
const F_2_053: i32 = 16819;
const F_2_562: i32 = 20995;
const F_3_072: i32 = 25172;

/// Bits after the point of what the first pass hands to the second.
const PASS_BITS: i32 = 2;
/// Bits that each pass takes off its products.
const fn shift(first: bool) -> i32 {
    if first { 13 - PASS_BITS } else { 13 + PASS_BITS }
}

/// One-dimensional DCT, times √8. The first pass is for rows; its output has `PASS_BITS` bits after the point.
fn transform<const FIRST: bool>([d0, d1, d2, d3, d4, d5, d6, d7]: [i32; 8]) -> [i32; 8] {
    let scaled = |sum: i32| if FIRST { sum << PASS_BITS } else { (sum + (1 << (PASS_BITS - 1))) >> PASS_BITS };
    let rounded = |sum: i32| (sum + (1 << (shift(FIRST) - 1))) >> shift(FIRST);
    let (t0, t1, t2, t3) = (d0 + d7, d1 + d6, d2 + d5, d3 + d4);
    let (t4, t5, t6, t7) = (d3 - d4, d2 - d5, d1 - d6, d0 - d7);
    let (t10, t11, t12, t13) = (t0 + t3, t1 + t2, t1 - t2, t0 - t3);
    let (z3, z4) = (t4 + t6, t5 + t7);
    let (z3, z4) = (z3 * (F_1_175 - F_1_961) + z4 * F_1_175, z3 * F_1_175 + z4 * (F_1_175 - F_0_390));
    [
        scaled(t10 + t11),
        rounded(t7 * (F_1_501 - F_0_899) - t4 * F_0_899 + z4),
        rounded(t13 * (F_0_541 + F_0_765) + t12 * F_0_541),
        rounded(t6 * (F_3_072 - F_2_562) - t5 * F_2_562 + z3),
        scaled(t10 - t11),
        rounded(t5 * (F_2_053 - F_2_562) - t6 * F_2_562 + z4),
        rounded(t13 * F_0_541 + t12 * (F_0_541 - F_1_847)),
        rounded(t4 * (F_0_298 - F_0_899) - t7 * F_0_899 + z3),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const KINDS: [TileKind; 4] =
        [TileKind::Gray, TileKind::Rgb { half_chroma: true }, TileKind::Rgb { half_chroma: false }, TileKind::Cmyk];

    pub(super) fn random() -> impl FnMut() -> u32 {
        let mut state = 1u32;
        move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        }
    }

    /// Units of all kinds, of random pixels from narrow to extreme, with fine and coarse tables.
    pub(super) fn each_unit(check: impl Fn(TileKind, &[Quantisation; 2], &[u8], usize)) {
        let mut random = random();
        for round in 0..400 {
            let stride = 64 + random() as usize % 30;
            let span = [1, 3, 20, 100, 256][round % 5];
            let base = random() % (257 - span);
            let pixels: Vec<u8> = (0..15 * stride + 64)
                .map(|_| match round % 7 {
                    0 => (random() & 1) as u8 * 255,
                    _ => (base + random() % span) as u8,
                })
                .collect();
            let finest = 1 + random() % 100;
            let tables = [0, 1].map(|_| {
                Quantisation::new(&std::array::from_fn(|_| match round % 3 {
                    0 => 1,
                    _ => (finest + random() % (256 - finest)) as u8,
                }))
            });
            for kind in KINDS {
                check(kind, &tables, &pixels, stride);
            }
        }
    }

    #[test]
    fn quotients_are_exact() {
        for value in 1..=255u8 {
            let quantisation = Quantisation::new(&[value; 64]);
            let divisor = 8 * i32::from(value);
            for x in 0..=16_384 {
                let expected = (x + divisor / 2) / divisor;
                for (x, expected) in [(x, expected), (-x, -expected)] {
                    assert_eq!(i32::from(quantisation.quotient(x, 7, 7)), expected, "{x} by {divisor}");
                }
            }
        }
    }

    #[test]
    fn the_transform_is_the_cosine_transform() {
        let mut random = random();
        for _ in 0..1000 {
            let samples: [i32; 8] = std::array::from_fn(|_| random() as i32 % 256 - 128);
            let found = transform::<true>(samples);
            for (u, found) in found.into_iter().enumerate() {
                let angle = |x: usize| std::f64::consts::PI * (2 * x + 1) as f64 * u as f64 / 16.0;
                let sum: f64 = samples.iter().enumerate().map(|(x, sample)| f64::from(*sample) * angle(x).cos()).sum();
                let expected = 4.0 * sum * if u == 0 { 1.0 } else { 2f64.sqrt() };
                assert!((f64::from(found) - expected).abs() < 1.0, "{u}: {found} in place of {expected}");
            }
        }
    }
}
