//! The unsharp mask in AVX2. Sums of a narrow kernel: one instruction multiplies sixteen signed pairs of 16 bits and adds
//! up each pair. Sharpening of 8-bit samples: in 16 bits, but for the products.
//!
//! All results are those of the general loops, bit for bit. The centre's weight is 65536 less twice the others, and so is
//! even: half of it, like every other weight, fits into 16 bits with a sign.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_adds_epu16, _mm256_andnot_si256,
    _mm256_blendv_epi8, _mm256_cmpeq_epi16, _mm256_cvtepu8_epi16, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_min_epu16, _mm256_or_si256, _mm256_packus_epi16, _mm256_packus_epi32, _mm256_permute2x128_si256,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_srli_epi16, _mm256_srli_epi32,
    _mm256_storeu_si256, _mm256_subs_epu16, _mm256_unpackhi_epi8, _mm256_unpackhi_epi16, _mm256_unpacklo_epi8,
    _mm256_unpacklo_epi16, _mm256_xor_si256,
};

use super::cpu::{Pixel, Taps};

/// Samples that are summed at once.
const LANES: usize = 16;
/// Enough for the pairs of the widest narrow kernel, and its centre.
const MOST: usize = 8;

fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Rounded sums of 8-bit samples, as many as fit whole registers; returns how many: 0 without AVX2.
pub(super) fn bytes<const H: usize>(taps: &Taps<u8, H>, out: &mut [u16]) -> usize {
    // SAFETY: the machine has AVX2, as just asked.
    if available() { unsafe { bytes_here(taps, out) } } else { 0 }
}

/// The same for 16-bit samples.
pub(super) fn words<const H: usize>(taps: &Taps<u16, H>, out: &mut [u16]) -> usize {
    // SAFETY: the machine has AVX2, as just asked.
    if available() { unsafe { words_here(taps, out) } } else { 0 }
}

/// Sharpened 8-bit samples without alpha, as many as fit whole registers; returns how many: 0 without AVX2, and for an
/// amount of 8 or more, which 16 bits with a sign do not hold.
///
/// # Panics
/// Where samples are missing.
pub(super) fn sharpen(pixel: &Pixel, row: &[u8], blurred: &[u16], out: &mut [u8]) -> usize {
    if !available() || pixel.amount > i16::MAX as u16 {
        return 0;
    }
    // SAFETY: the machine has AVX2, as just asked.
    unsafe { sharpen_here(pixel, row, blurred, out) }
}

#[target_feature(enable = "avx2")]
fn bytes_here<const H: usize>(taps: &Taps<u8, H>, out: &mut [u16]) -> usize {
    let (out, _) = out.as_chunks_mut::<LANES>();
    let Taps { center, before, after, center_weight, weights } = taps.chunks(out.len());
    // The centre and the sums of the pairs, two by two.
    let weight = |at: usize| match at {
        0 => center_weight / 2,
        _ => weights.get(at - 1).copied().unwrap_or(0),
    };
    let mut pairs = [_mm256_setzero_si256(); MOST / 2];
    for (at, pair) in pairs.iter_mut().enumerate() {
        *pair = two(weight(2 * at), weight(2 * at + 1));
    }
    for (x, out) in out.iter_mut().enumerate() {
        let mut values = [_mm256_setzero_si256(); MOST];
        let middle = widened(&center[x]);
        values[0] = _mm256_add_epi16(middle, middle);
        for k in 0..H {
            values[k + 1] = _mm256_add_epi16(widened(&before[k][x]), widened(&after[k][x]));
        }
        let mut sums = Sums::of(1 << 7);
        for at in 0..(H + 2) / 2 {
            sums.add(values[2 * at], values[2 * at + 1], pairs[at]);
        }
        store(out, sums.above::<8>());
    }
    LANES * out.len()
}

#[target_feature(enable = "avx2")]
fn words_here<const H: usize>(taps: &Taps<u16, H>, out: &mut [u16]) -> usize {
    let (out, _) = out.as_chunks_mut::<LANES>();
    let Taps { center, before, after, center_weight, weights } = taps.chunks(out.len());
    let center_pair = two(center_weight / 2, center_weight / 2);
    let mut pairs = [_mm256_setzero_si256(); H];
    for (pair, weight) in pairs.iter_mut().zip(weights) {
        *pair = two(weight, weight);
    }
    for (x, out) in out.iter_mut().enumerate() {
        // Samples are taken less 2^15. The weights add up to 2^16, so 2^31 is added back.
        let mut sums = Sums::of(i32::MIN + (1 << 15));
        let middle = less_half(&center[x]);
        sums.add(middle, middle, center_pair);
        for k in 0..H {
            sums.add(less_half(&before[k][x]), less_half(&after[k][x]), pairs[k]);
        }
        store(out, sums.above::<16>());
    }
    LANES * out.len()
}

#[target_feature(enable = "avx2")]
fn sharpen_here(pixel: &Pixel, row: &[u8], blurred: &[u16], out: &mut [u8]) -> usize {
    let (out, _) = out.as_chunks_mut::<{ 2 * LANES }>();
    let row = &row.as_chunks::<{ 2 * LANES }>().0[..out.len()];
    let blurred = &blurred.as_chunks::<{ 2 * LANES }>().0[..out.len()];
    let factors = Factors::of(pixel);
    for ((row, blurred), out) in row.iter().zip(blurred).zip(&mut *out) {
        let row = load_bytes(row);
        let (blurred, _) = blurred.as_chunks();
        let (a, b) = (load(&blurred[0]), load(&blurred[1]));
        // The lower eight samples of each half, as work values, and the upper.
        let zero = _mm256_setzero_si256();
        let low = sharpened(_mm256_unpacklo_epi8(zero, row), _mm256_permute2x128_si256::<0x20>(a, b), &factors);
        let high = sharpened(_mm256_unpackhi_epi8(zero, row), _mm256_permute2x128_si256::<0x31>(a, b), &factors);
        store_bytes(out, _mm256_packus_epi16(low, high));
    }
    2 * LANES * out.len()
}

/// Samples of work values and their surroundings.
#[target_feature(enable = "avx2")]
fn sharpened(values: __m256i, blurred: __m256i, factors: &Factors) -> __m256i {
    let zero = _mm256_setzero_si256();
    let (above, below) = (_mm256_subs_epu16(values, blurred), _mm256_subs_epu16(blurred, values));
    let fails = _mm256_cmpeq_epi16(_mm256_subs_epu16(_mm256_or_si256(above, below), factors.threshold), zero);
    let distance = _mm256_andnot_si256(fails, _mm256_or_si256(above, below));
    // Where nothing changes, the sign does not matter.
    let darker = _mm256_cmpeq_epi16(above, zero);
    let distance = _mm256_xor_si256(distance, _mm256_set1_epi16(i16::MIN));
    let change = _mm256_packus_epi32(
        factors.change(_mm256_unpacklo_epi16(distance, darker)),
        factors.change(_mm256_unpackhi_epi16(distance, darker)),
    );
    // A change that does not fit 16 bits leads past the ends, as the largest that does.
    let changed = _mm256_blendv_epi8(_mm256_adds_epu16(values, change), _mm256_subs_epu16(values, change), darker);
    let within = _mm256_min_epu16(changed, _mm256_set1_epi16(0xff00_u16 as i16));
    _mm256_srli_epi16::<8>(_mm256_add_epi16(within, _mm256_set1_epi16(1 << 7)))
}

/// Turns differences into changes.
struct Factors {
    threshold: __m256i,
    /// The amount, and 1.
    pair: __m256i,
    /// The amount times 2^15, and one half.
    start: __m256i,
}

impl Factors {
    #[target_feature(enable = "avx2")]
    fn of(pixel: &Pixel) -> Factors {
        let amount = i32::from(pixel.amount);
        Factors {
            // 256 work values are one unit, of which there are 255.
            threshold: _mm256_set1_epi16((pixel.threshold.min(255) << 8) as i16),
            pair: two(pixel.amount, 1),
            start: _mm256_set1_epi32((amount << 15) + (1 << 11)),
        }
    }

    /// The amount times distances, which come less 2^15, each followed by −1 where the pixel gets darker, by 0 otherwise:
    /// `(2048 − p) >> 12` is `−((p + 2047) >> 12)`.
    #[target_feature(enable = "avx2")]
    fn change(&self, distances: __m256i) -> __m256i {
        _mm256_srli_epi32::<12>(_mm256_add_epi32(_mm256_madd_epi16(distances, self.pair), self.start))
    }
}

impl<'a, T, const H: usize> Taps<'a, T, H> {
    /// The first `count` registers of samples of each tap.
    #[inline(always)]
    fn chunks(&self, count: usize) -> Taps<'a, [T; LANES], H> {
        let [mut before, mut after] = [[&[][..]; H]; 2];
        for k in 0..H {
            before[k] = &self.before[k].as_chunks().0[..count];
            after[k] = &self.after[k].as_chunks().0[..count];
        }
        Taps {
            center: &self.center.as_chunks().0[..count],
            before,
            after,
            center_weight: self.center_weight,
            weights: self.weights,
        }
    }
}

/// Sixteen sums of 32 bits: the even and the odd quarters of the samples.
struct Sums {
    low: __m256i,
    high: __m256i,
}

impl Sums {
    #[target_feature(enable = "avx2")]
    fn of(start: i32) -> Sums {
        let start = _mm256_set1_epi32(start);
        Sums { low: start, high: start }
    }

    /// Adds two values times the two weights of a pair.
    #[target_feature(enable = "avx2")]
    fn add(&mut self, a: __m256i, b: __m256i, weights: __m256i) {
        self.low = _mm256_add_epi32(self.low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weights));
        self.high = _mm256_add_epi32(self.high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weights));
    }

    /// The bits above the lowest `BITS`, which are 16, in the order of the samples.
    #[target_feature(enable = "avx2")]
    fn above<const BITS: i32>(&self) -> __m256i {
        _mm256_packus_epi32(_mm256_srli_epi32::<BITS>(self.low), _mm256_srli_epi32::<BITS>(self.high))
    }
}

/// Two weights below 2^15, in all pairs.
#[target_feature(enable = "avx2")]
fn two(first: u16, second: u16) -> __m256i {
    _mm256_set1_epi32(i32::from(first) | i32::from(second) << 16)
}

#[target_feature(enable = "avx2")]
fn widened(samples: &[u8; LANES]) -> __m256i {
    // SAFETY: 16 bytes are there; any alignment will do.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(samples.as_ptr().cast()) })
}

/// Samples less 2^15.
#[target_feature(enable = "avx2")]
fn less_half(samples: &[u16; LANES]) -> __m256i {
    _mm256_xor_si256(load(samples), _mm256_set1_epi16(i16::MIN))
}

#[target_feature(enable = "avx2")]
fn load(samples: &[u16; LANES]) -> __m256i {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_loadu_si256(samples.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn load_bytes(samples: &[u8; 2 * LANES]) -> __m256i {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_loadu_si256(samples.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store(out: &mut [u16; LANES], values: __m256i) {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), values) }
}

#[target_feature(enable = "avx2")]
fn store_bytes(out: &mut [u8; 2 * LANES], values: __m256i) {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), values) }
}
