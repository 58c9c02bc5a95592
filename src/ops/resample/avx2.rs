//! 8-bit downsampling in AVX2: column sums from products of bytes, sums along a row from products of pairs of pixels.
//!
//! All results are those of the general loops, bit for bit.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_blend_epi32,
    _mm256_castsi256_si128, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_packs_epi32,
    _mm256_packus_epi16, _mm256_permute2x128_si256, _mm256_permutevar8x32_epi32, _mm256_set_m128i, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_shuffle_epi8, _mm256_srai_epi16, _mm256_srai_epi32,
    _mm256_storeu_si256, _mm256_unpackhi_epi8, _mm256_unpacklo_epi8,
};

use super::TAPS;
use super::cpu::{ALONG_OFFSET, ALONG_SHIFT, NarrowWeights};

/// Samples that are made at once.
const LANES: usize = 32;

fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Column sums less 8160, in Q6, as many as fit whole registers; returns how many: 0 without AVX2.
///
/// # Panics
/// Where rows are shorter than `out`.
pub(super) fn columns(weights: &NarrowWeights, rows: &[&[u8]; TAPS], out: &mut [i16]) -> usize {
    // SAFETY: the machine has AVX2, as just asked.
    if available() { unsafe { columns_here(weights, rows, out) } } else { 0 }
}

/// Puts the samples of every two pixels of three or four channels side by side, for as many as fit whole registers;
/// returns how many pairs: 0 without AVX2, and of other numbers of channels.
pub(super) fn pair_up(channels: usize, row: &[i16], out: &mut [[i16; 2]]) -> usize {
    match channels {
        // SAFETY: the machine has AVX2, as just asked.
        3 if available() => unsafe { pair_up_3(row, out) },
        // SAFETY: as above.
        4 if available() => unsafe { pair_up_4(row, out) },
        _ => 0,
    }
}

/// One row of output, of as many samples as fit whole registers; returns how many: 0 without AVX2.
///
/// # Panics
/// Where pairs are missing.
pub(super) fn along(weights: &NarrowWeights, taps: &[&[[i16; 2]]; TAPS / 2], out: &mut [u8]) -> usize {
    // SAFETY: the machine has AVX2, as just asked.
    if available() { unsafe { along_here(weights, taps, out) } } else { 0 }
}

#[target_feature(enable = "avx2")]
fn columns_here(weights: &NarrowWeights, rows: &[&[u8]; TAPS], out: &mut [i16]) -> usize {
    let (out, _) = out.as_chunks_mut::<LANES>();
    let count = out.len();
    let mut chunks = [&[][..]; TAPS];
    for (chunks, row) in chunks.iter_mut().zip(rows) {
        *chunks = &row.as_chunks::<LANES>().0[..count];
    }
    // Neither a product of two samples and a weight nor a sum of all, less what makes up for the 255, leaves 16 bits;
    // sums on the way there may, and come back.
    let start = |weights: &[i16]| weights.iter().sum::<i16>().wrapping_mul(-255);
    let starts = [start(&weights.high).wrapping_add(1), start(&weights.low)];
    let mut factors = [[_mm256_set1_epi8(0); 2]; TAPS / 2];
    for (k, factors) in factors.iter_mut().enumerate() {
        *factors = [_mm256_set1_epi8(weights.high[k] as i8), _mm256_set1_epi8(weights.low[k] as i8)];
    }
    let [r0, r1, r2, r3, r4, r5, r6, r7] = chunks;
    for (x, out) in out.iter_mut().enumerate() {
        let pairs = [(&r0[x], &r7[x]), (&r1[x], &r6[x]), (&r2[x], &r5[x]), (&r3[x], &r4[x])];
        // Of the lower and the upper eight samples of each half.
        let mut high = [_mm256_set1_epi16(starts[0]); 2];
        let mut low = [_mm256_set1_epi16(starts[1]); 2];
        for k in 0..TAPS / 2 {
            let (a, b) = (load(pairs[k].0), load(pairs[k].1));
            let samples = [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)];
            for half in 0..2 {
                high[half] = _mm256_add_epi16(high[half], _mm256_maddubs_epi16(samples[half], factors[k][0]));
                low[half] = _mm256_add_epi16(low[half], _mm256_maddubs_epi16(samples[half], factors[k][1]));
            }
        }
        let mut sums = high;
        for half in 0..2 {
            let sum = _mm256_add_epi16(high[half], _mm256_srai_epi16::<7>(low[half]));
            sums[half] = _mm256_srai_epi16::<1>(sum);
        }
        let (out, _) = out.as_chunks_mut::<16>();
        store_sixteen(&mut out[0], _mm256_permute2x128_si256::<0x20>(sums[0], sums[1]));
        store_sixteen(&mut out[1], _mm256_permute2x128_si256::<0x31>(sums[0], sums[1]));
    }
    count * LANES
}

/// Eight pixels at a time. Each half of a register has two of them: at its start, or else at its end.
#[target_feature(enable = "avx2")]
fn pair_up_3(row: &[i16], out: &mut [[i16; 2]]) -> usize {
    let in_halves = samples_of(&[0, 3, 1, 4, 2, 5, 0, 0], &[2, 5, 3, 6, 4, 7, 0, 0]);
    // The pairs of four pixels in a row; those of the next four, of which the first two end the register.
    let first = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 0, 0);
    let second = _mm256_setr_epi32(2, 4, 5, 6, 0, 0, 0, 1);
    let (row, _) = row.as_chunks::<24>();
    let (out, _) = out.as_chunks_mut::<12>();
    for (row, out) in row.iter().zip(&mut *out) {
        let (row, _) = row.as_chunks::<12>();
        let four = |pixels: &[i16; 12]| {
            let [start, end] = [pixels.first_chunk(), pixels.last_chunk()].map(|eight| eight.expect("of twelve"));
            _mm256_shuffle_epi8(_mm256_set_m128i(load_eight(end), load_eight(start)), in_halves)
        };
        let first = _mm256_permutevar8x32_epi32(four(&row[0]), first);
        let second = _mm256_permutevar8x32_epi32(four(&row[1]), second);
        let (start, end) = out.split_first_chunk_mut().expect("twelve are there");
        store_eight_pairs(start, _mm256_blend_epi32::<0b1100_0000>(first, second));
        store_four_pairs(end.first_chunk_mut().expect("four are left"), _mm256_castsi256_si128(second));
    }
    out.len() * 12
}

/// Four pixels at a time, two in each half of a register.
#[target_feature(enable = "avx2")]
fn pair_up_4(row: &[i16], out: &mut [[i16; 2]]) -> usize {
    let order = [0, 4, 1, 5, 2, 6, 3, 7];
    let order = samples_of(&order, &order);
    let (row, _) = row.as_chunks::<16>();
    let (out, _) = out.as_chunks_mut::<8>();
    for (row, out) in row.iter().zip(&mut *out) {
        store_eight_pairs(out, _mm256_shuffle_epi8(load_sixteen(row), order));
    }
    out.len() * 8
}

/// For a shuffle of bytes: which sample of 16 bits goes where in each half.
#[target_feature(enable = "avx2")]
fn samples_of(lower: &[u8; 8], upper: &[u8; 8]) -> __m256i {
    let mut bytes = [0; 32];
    for (k, sample) in lower.iter().chain(upper).enumerate() {
        bytes[2 * k] = 2 * sample;
        bytes[2 * k + 1] = 2 * sample + 1;
    }
    load(&bytes)
}

#[target_feature(enable = "avx2")]
fn along_here(weights: &NarrowWeights, taps: &[&[[i16; 2]]; TAPS / 2], out: &mut [u8]) -> usize {
    let (out, _) = out.as_chunks_mut::<LANES>();
    let count = out.len();
    let mut chunks = [&[][..]; TAPS / 2];
    for (chunks, pairs) in chunks.iter_mut().zip(taps) {
        *chunks = &pairs.as_chunks::<LANES>().0[..count];
    }
    let mut factors = [_mm256_set1_epi32(0); TAPS / 2];
    for (factor, [a, b]) in factors.iter_mut().zip(weights.of_pairs()) {
        *factor = _mm256_set1_epi32(i32::from(a as u16) | i32::from(b) << 16);
    }
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (x, out) in out.iter_mut().enumerate() {
        let mut sums = [_mm256_set1_epi32(ALONG_OFFSET); 4];
        for k in 0..TAPS / 2 {
            let (pairs, _) = chunks[k][x].as_chunks::<8>();
            for eight in 0..4 {
                let products = _mm256_madd_epi16(load_eight_pairs(&pairs[eight]), factors[k]);
                sums[eight] = _mm256_add_epi32(sums[eight], products);
            }
        }
        for sum in &mut sums {
            *sum = _mm256_srai_epi32::<ALONG_SHIFT>(*sum);
        }
        let [a, b, c, d] = sums;
        let samples = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        store(out, _mm256_permutevar8x32_epi32(samples, order));
    }
    count * LANES
}

#[target_feature(enable = "avx2")]
fn load(samples: &[u8; LANES]) -> __m256i {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_loadu_si256(samples.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn load_eight(samples: &[i16; 8]) -> __m128i {
    // SAFETY: 16 bytes are there; any alignment will do.
    unsafe { _mm_loadu_si128(samples.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn load_sixteen(samples: &[i16; 16]) -> __m256i {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_loadu_si256(samples.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn load_eight_pairs(pairs: &[[i16; 2]; 8]) -> __m256i {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_loadu_si256(pairs.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store(out: &mut [u8; LANES], samples: __m256i) {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), samples) }
}

#[target_feature(enable = "avx2")]
fn store_sixteen(out: &mut [i16; 16], samples: __m256i) {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), samples) }
}

#[target_feature(enable = "avx2")]
fn store_four_pairs(out: &mut [[i16; 2]; 4], pairs: __m128i) {
    // SAFETY: 16 bytes are there; any alignment will do.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), pairs) }
}

#[target_feature(enable = "avx2")]
fn store_eight_pairs(out: &mut [[i16; 2]; 8], pairs: __m256i) {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), pairs) }
}
