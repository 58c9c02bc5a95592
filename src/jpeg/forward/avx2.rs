//! The unit in AVX2: sixteen values of 16 bits at a time, which are one row of two blocks.
//!
//! Loops and plain calls in place of `map` and the like: those are not compiled for AVX2, so that registers would go
//! through memory on their way into and out of the closure.

use std::arch::x86_64::*;

use super::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053, F_2_562, F_3_072, Layout,
    PASS_BITS, Pair, Pixels, Quantisation, ROUNDING, Samples, UNIT_PX, Unit, WEIGHTS, scan_with, shift,
};
use crate::jpeg::huffman::{Codes, ZIGZAG};
use crate::jpeg::tile_encoder::TileKind;

/// Whether this machine has what [`scan`] needs.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("movbe")
}

/// Whether this machine has instructions of AVX-512 that make the same code shorter: 32 registers, and sums of products
/// in one.
fn also_avx512() -> bool {
    available()
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// As the portable one.
///
/// # Panics
/// Where AVX2 is not [`available`], or pixels are missing.
pub(super) fn scan(
    tile: (TileKind, usize),
    tables: (&[Quantisation; 2], &[Codes; 2]),
    pixels: Pixels<'_, '_>,
    out: &mut Vec<u8>,
) {
    if also_avx512() {
        // SAFETY: the machine has what the function is compiled for, as just asked.
        return unsafe { scan_avx512(tile, tables, pixels, out) };
    }
    assert!(available(), "AVX2 was not looked for");
    // SAFETY: the machine has what the function is compiled for, as just asserted.
    unsafe { scan_here(tile, tables, pixels, out) };
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,movbe")]
fn scan_here(
    tile: (TileKind, usize),
    tables: (&[Quantisation; 2], &[Codes; 2]),
    pixels: Pixels<'_, '_>,
    out: &mut Vec<u8>,
) {
    scan_with(
        |kind, quantisation, pixels, stride, made| unit::<false>(kind, quantisation, pixels, stride, made),
        tile,
        tables,
        pixels,
        out,
    );
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,movbe,avx512bw,avx512vl,avx512vnni")]
fn scan_avx512(
    tile: (TileKind, usize),
    tables: (&[Quantisation; 2], &[Codes; 2]),
    pixels: Pixels<'_, '_>,
    out: &mut Vec<u8>,
) {
    scan_with(
        |kind, quantisation, pixels, stride, made| unit::<true>(kind, quantisation, pixels, stride, made),
        tile,
        tables,
        pixels,
        out,
    );
}

/// `AVX512` changes nothing here: there is a copy for each caller, which becomes part of it and is compiled for what the
/// caller is compiled for.
#[target_feature(enable = "avx2")]
fn unit<const AVX512: bool>(
    kind: TileKind,
    quantisation: &[Quantisation; 2],
    pixels: &[u8],
    stride: usize,
    unit: &mut Unit,
) {
    let layout = Layout::of(kind);
    let Unit { pairs, samples } = unit;
    match kind {
        TileKind::Gray => {
            for (row, out) in samples[0].iter_mut().enumerate() {
                store(out, centred(_mm256_cvtepu8_epi16(load(chunk(&pixels[row * stride..])))));
            }
        }
        TileKind::Cmyk => {
            for row in 0..8 {
                cmyk(chunk(&pixels[row * stride..]), row, samples);
            }
        }
        TileKind::Rgb { half_chroma: false } => {
            for row in 0..8 {
                full_chroma(chunk(&pixels[row * stride..]), row, samples);
            }
        }
        TileKind::Rgb { half_chroma: true } => {
            for row in 0..8 {
                let (upper, lower) = (&pixels[2 * row * stride..], &pixels[(2 * row + 1) * stride..]);
                half_chroma([chunk(upper), chunk(lower)], row, samples);
            }
        }
    }
    for ((pair, samples), table) in pairs.iter_mut().zip(&*samples).zip(layout.tables) {
        quantised::<AVX512>(samples, &quantisation[*table], pair);
    }
}

fn chunk<const N: usize>(bytes: &[u8]) -> &[u8; N] {
    bytes.first_chunk().expect("a row of a unit lies inside the pixels")
}

#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes are there; any alignment will do.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// The 16 bytes from `at`, and the 16 bytes from `other`.
#[target_feature(enable = "avx2")]
fn load_two<const N: usize>(bytes: &[u8; N], at: usize, other: usize) -> __m256i {
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(load(chunk(&bytes[at..]))), load(chunk(&bytes[other..])))
}

#[target_feature(enable = "avx2")]
fn load_row<T: bytemuck::Pod>(row: &[T; 16]) -> __m256i {
    const { assert!(size_of::<T>() == 2) };
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[i8; 32]) -> __m256i {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store_bytes(bytes: &mut [i8; 32], values: __m256i) {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), values) }
}

#[target_feature(enable = "avx2")]
fn store(row: &mut [i16; 16], values: __m256i) {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_storeu_si256(row.as_mut_ptr().cast(), values) }
}

/// 16 values of 8 bits, less 128.
#[target_feature(enable = "avx2")]
fn centred(values: __m256i) -> __m256i {
    _mm256_sub_epi16(values, _mm256_set1_epi16(128))
}

#[target_feature(enable = "avx2")]
fn cmyk(row: &[u8; 4 * UNIT_PX], at: usize, samples: &mut [Samples; 4]) {
    // Pixels 0–3 and 8–11, then 4–7 and 12–15: packed, they become 0–7 and 8–15.
    let (first, second) = (load_two(row, 0, 32), load_two(row, 16, 48));
    let ink = |first, second| {
        let mask = _mm256_set1_epi32(255);
        centred(_mm256_packus_epi32(_mm256_and_si256(first, mask), _mm256_and_si256(second, mask)))
    };
    let c = ink(first, second);
    let m = ink(_mm256_srli_epi32::<8>(first), _mm256_srli_epi32::<8>(second));
    let y = ink(_mm256_srli_epi32::<16>(first), _mm256_srli_epi32::<16>(second));
    let k = ink(_mm256_srli_epi32::<24>(first), _mm256_srli_epi32::<24>(second));
    store(&mut samples[0][at], low_halves(c, m));
    store(&mut samples[1][at], low_halves(y, k));
    store(&mut samples[2][at], high_halves(c, m));
    store(&mut samples[3][at], high_halves(y, k));
}

#[target_feature(enable = "avx2")]
fn low_halves(a: __m256i, b: __m256i) -> __m256i {
    _mm256_permute2x128_si256::<0x20>(a, b)
}

#[target_feature(enable = "avx2")]
fn high_halves(a: __m256i, b: __m256i) -> __m256i {
    _mm256_permute2x128_si256::<0x31>(a, b)
}

/// Y, Cb and Cr of eight pixels.
struct Colors {
    y: __m256i,
    cb: __m256i,
    cr: __m256i,
}

/// Two numbers of 16 bits, in all places by turns.
#[target_feature(enable = "avx2")]
fn two(first: i32, second: i32) -> __m256i {
    _mm256_set1_epi32(first & 0xffff | second << 16)
}

/// For the pixels 0–3 and 8–11, then 4–7 and 12–15: where the bytes are loaded from, for both halves of a register.
const LOADED: [[usize; 2]; 2] = [[0, 24], [12, 32]];

/// Bytes that widen green and the colour `first` of each of these pixels to 16 bits.
const fn widening(first: usize) -> [[i8; 32]; 2] {
    let mut places = [[-1; 32]; 2];
    let mut pixel = 0;
    while pixel < UNIT_PX {
        let (half, register) = (pixel / 8, pixel / 4 % 2);
        let start = 3 * pixel - LOADED[register][half];
        let at = 16 * half + 4 * (pixel % 4);
        places[register][at] = (start + first) as i8;
        places[register][at + 2] = (start + 1) as i8;
        pixel += 1;
    }
    places
}

const RED_GREEN: [[i8; 32]; 2] = widening(0);
const BLUE_GREEN: [[i8; 32]; 2] = widening(2);

/// The colours of pixels 0–3 and 8–11 (`register` 0), or of 4–7 and 12–15 (1), with 16 bits after the point; 128 is
/// taken off Y, and `offset` off chroma.
#[target_feature(enable = "avx2")]
fn colors(row: &[u8; 3 * UNIT_PX], register: usize, offset: i32) -> Colors {
    let bytes = load_two(row, LOADED[register][0], LOADED[register][1]);
    let red_green = _mm256_shuffle_epi8(bytes, load_bytes(&RED_GREEN[register]));
    let blue_green = _mm256_shuffle_epi8(bytes, load_bytes(&BLUE_GREEN[register]));
    let sum = |red, green, blue, green_again| {
        let sum = _mm256_madd_epi16(red_green, two(red, green));
        _mm256_add_epi32(sum, _mm256_madd_epi16(blue_green, two(blue, green_again)))
    };
    // Green's weight in Y does not fit into 16 bits with a sign, and so is split. The weight of one half fits as a
    // negative number, so chroma is what the sums are taken off from.
    let quarter = 1 << 14;
    let [[r_y, g_y, b_y], [r_cb, g_cb, b_cb], [r_cr, g_cr, b_cr]] = WEIGHTS;
    let y = sum(r_y, g_y - quarter, b_y, quarter);
    let cb = sum(-r_cb, -g_cb, -b_cb, 0);
    let cr = sum(-r_cr, -g_cr, -b_cr, 0);
    Colors {
        y: _mm256_add_epi32(y, _mm256_set1_epi32(ROUNDING[0] - (128 << 16))),
        cb: _mm256_sub_epi32(_mm256_set1_epi32(ROUNDING[1] - (offset << 16)), cb),
        cr: _mm256_sub_epi32(_mm256_set1_epi32(ROUNDING[2] - (offset << 16)), cr),
    }
}

/// The integers of eight pixels and eight more, in the order of the pixels.
#[target_feature(enable = "avx2")]
fn integers(first: __m256i, second: __m256i) -> __m256i {
    _mm256_packs_epi32(_mm256_srai_epi32::<16>(first), _mm256_srai_epi32::<16>(second))
}

#[target_feature(enable = "avx2")]
fn full_chroma(row: &[u8; 3 * UNIT_PX], at: usize, samples: &mut [Samples; 4]) {
    let (first, second) = (colors(row, 0, 128), colors(row, 1, 128));
    let (cb, cr) = (integers(first.cb, second.cb), integers(first.cr, second.cr));
    store(&mut samples[0][at], integers(first.y, second.y));
    store(&mut samples[1][at], low_halves(cb, cr));
    store(&mut samples[2][at], high_halves(cb, cr));
}

#[target_feature(enable = "avx2")]
fn half_chroma(rows: [&[u8; 3 * UNIT_PX]; 2], at: usize, samples: &mut [Samples; 4]) {
    let upper = [colors(rows[0], 0, 0), colors(rows[0], 1, 0)];
    let lower = [colors(rows[1], 0, 0), colors(rows[1], 1, 0)];
    store(&mut samples[at / 4][2 * at % 8], integers(upper[0].y, upper[1].y));
    store(&mut samples[at / 4][2 * at % 8 + 1], integers(lower[0].y, lower[1].y));
    // Upper and lower value by turns.
    let woven = |upper, lower| _mm256_blend_epi16::<0xaa>(_mm256_srli_epi32::<16>(upper), lower);
    let means = |first, second| {
        let sums = _mm256_maddubs_epi16(_mm256_packus_epi16(first, second), _mm256_set1_epi8(1));
        let sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
        _mm256_srli_epi32::<2>(_mm256_add_epi32(sums, _mm256_set1_epi64x(2 << 32 | 1)))
    };
    let cb = means(woven(upper[0].cb, lower[0].cb), woven(upper[1].cb, lower[1].cb));
    let cr = means(woven(upper[0].cr, lower[0].cr), woven(upper[1].cr, lower[1].cr));
    // Four values of Cb and four of Cr in each half; then Cb in the one half, Cr in the other.
    let chroma = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(cb, cr));
    store(&mut samples[2][at], centred(chroma));
}

type Rows = [__m256i; 8];

/// Rows become columns, in both blocks.
#[target_feature(enable = "avx2")]
fn transposed(r: Rows) -> Rows {
    let two = |a, b| [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
    let four = |a, b| [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)];
    let eight = |a, b| [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)];
    let ([a0, a1], [a2, a3], [a4, a5], [a6, a7]) = (two(r[0], r[1]), two(r[2], r[3]), two(r[4], r[5]), two(r[6], r[7]));
    let ([b0, b1], [b2, b3], [b4, b5], [b6, b7]) = (four(a0, a2), four(a1, a3), four(a4, a6), four(a5, a7));
    let ([c0, c1], [c2, c3], [c4, c5], [c6, c7]) = (eight(b0, b4), eight(b1, b5), eight(b2, b6), eight(b3, b7));
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// [`super::transform`] for sixteen columns.
#[target_feature(enable = "avx2")]
fn transform<const FIRST: bool, const AVX512: bool>([d0, d1, d2, d3, d4, d5, d6, d7]: Rows) -> Rows {
    let add = |a, b| _mm256_add_epi16(a, b);
    let sub = |a, b| _mm256_sub_epi16(a, b);
    let scaled = |sum| {
        if FIRST {
            _mm256_slli_epi16::<PASS_BITS>(sum)
        } else {
            _mm256_srai_epi16::<PASS_BITS>(add(sum, _mm256_set1_epi16(1 << (PASS_BITS - 1))))
        }
    };
    // Two values side by side, in two registers; sums of their products have 32 bits.
    let paired = |a, b| [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
    let products =
        |pairs: [__m256i; 2], a, b| [_mm256_madd_epi16(pairs[0], two(a, b)), _mm256_madd_epi16(pairs[1], two(a, b))];
    let sums = |a: [__m256i; 2], b: [__m256i; 2]| [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])];
    let half = [_mm256_set1_epi32(1 << (shift(FIRST) - 1)); 2];
    let shifted = |sum| {
        if FIRST { _mm256_srai_epi32::<{ shift(true) }>(sum) } else { _mm256_srai_epi32::<{ shift(false) }>(sum) }
    };
    let cut = |[low, high]: [__m256i; 2]| _mm256_packs_epi32(shifted(low), shifted(high));

    let (t0, t1, t2, t3) = (add(d0, d7), add(d1, d6), add(d2, d5), add(d3, d4));
    let (t4, t5, t6, t7) = (sub(d3, d4), sub(d2, d5), sub(d1, d6), sub(d0, d7));
    let (t10, t11, t12, t13) = (add(t0, t3), add(t1, t2), sub(t1, t2), sub(t0, t3));
    let even = paired(t13, t12);
    let z = paired(add(t4, t6), add(t5, t7));
    let z3 = sums(products(z, F_1_175 - F_1_961, F_1_175), half);
    let z4 = sums(products(z, F_1_175, F_1_175 - F_0_390), half);
    let (outer, inner) = (paired(t4, t7), paired(t5, t6));
    [
        scaled(add(t10, t11)),
        cut(sums(products(outer, -F_0_899, F_1_501 - F_0_899), z4)),
        cut(sums(products(even, F_0_541 + F_0_765, F_0_541), half)),
        cut(sums(products(inner, -F_2_562, F_3_072 - F_2_562), z3)),
        scaled(sub(t10, t11)),
        cut(sums(products(inner, F_2_053 - F_2_562, -F_2_562), z4)),
        cut(sums(products(even, F_0_541, F_0_541 - F_1_847), half)),
        cut(sums(products(outer, F_0_298 - F_0_899, -F_0_899), z3)),
    ]
}

/// For sixteen places of the zigzag order and two rows of coefficients: which of them stand there, twice.
const ZIGZAG_BYTES: [[[i8; 32]; 4]; 4] = {
    let mut bytes = [[[-1; 32]; 4]; 4];
    let mut k = 0;
    while k < 64 {
        let position = ZIGZAG[k] as usize;
        bytes[k / 16][position / 16][k % 16] = position as i8 % 16;
        bytes[k / 16][position / 16][k % 16 + 16] = position as i8 % 16;
        k += 1;
    }
    bytes
};

#[target_feature(enable = "avx2")]
fn quantised<const AVX512: bool>(samples: &Samples, quantisation: &Quantisation, pair: &mut Pair) {
    let mut rows = [_mm256_setzero_si256(); 8];
    for (row, samples) in rows.iter_mut().zip(samples) {
        *row = load_row(samples);
    }
    rows = transform::<false, AVX512>(transposed(transform::<true, AVX512>(transposed(rows))));
    for (at, row) in rows.iter_mut().enumerate() {
        let sum = _mm256_add_epi16(_mm256_abs_epi16(*row), load_row(&quantisation.correction[at]));
        let product = _mm256_mulhi_epu16(sum, load_row(&quantisation.reciprocal[at]));
        *row = _mm256_sign_epi16(_mm256_mulhi_epu16(product, load_row(&quantisation.scale[at])), *row);
        store(&mut pair.coefficients[at], *row);
    }
    let mut quarters = [_mm256_setzero_si256(); 4];
    for (two, at) in [0, 2, 4, 6].into_iter().enumerate() {
        let bytes = _mm256_packs_epi16(rows[at], rows[at + 1]);
        for (quarter, places) in quarters.iter_mut().zip(&ZIGZAG_BYTES) {
            *quarter = _mm256_or_si256(*quarter, _mm256_shuffle_epi8(bytes, load_bytes(&places[two])));
        }
    }
    let [k0, k16, k32, k48] = quarters;
    for (half, [start, end]) in
        [[low_halves(k0, k16), low_halves(k32, k48)], [high_halves(k0, k16), high_halves(k32, k48)]]
            .into_iter()
            .enumerate()
    {
        let (clamped_start, clamped_end) = pair.clamped[half].split_at_mut(32);
        store_bytes(clamped_start.try_into().expect("32 of 64"), start);
        store_bytes(clamped_end.try_into().expect("32 of 64"), end);
        pair.nonzero[half] = !(zeros(start) | zeros(end) << 32);
    }
}

/// Which of 32 bytes are zero, as bits.
#[target_feature(enable = "avx2")]
fn zeros(bytes: __m256i) -> u64 {
    _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256())).cast_unsigned().into()
}

#[cfg(test)]
mod tests {
    use super::super::{portable_unit, tests};
    use super::*;

    #[test]
    fn gives_the_blocks_of_the_portable_path() {
        if !available() {
            println!("skipped: this machine has no AVX2");
            return;
        }
        tests::each_unit(|kind, quantisation, pixels, stride| {
            let mut expected = Unit::ZERO;
            portable_unit(kind, quantisation, pixels, stride, &mut expected);
            let mut found = Unit::ZERO;
            // SAFETY: the machine has AVX2, as just asked.
            unsafe { unit::<false>(kind, quantisation, pixels, stride, &mut found) };
            assert_eq!(found.pairs, expected.pairs, "{kind:?}");
        });
    }
}
