//! Sums of a narrow kernel in AVX2: one instruction multiplies sixteen signed pairs of 16 bits and adds up each pair.
//!
//! All results are those of the general loop, bit for bit. The centre's weight is 65536 less twice the others, and so is
//! even: half of it, like every other weight, fits into 16 bits with a sign.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_cvtepu8_epi16, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_packus_epi32, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16, _mm256_xor_si256,
};

use super::cpu::Taps;

/// Samples that are summed at once.
const LANES: usize = 16;
/// Enough for the pairs of the widest narrow kernel, and its centre.
const MOST: usize = 8;

/// Whether this machine has what the others need.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Rounded sums of 8-bit samples, as many as fit whole registers; returns how many.
///
/// # Panics
/// Where AVX2 is not [`available`].
pub(super) fn bytes<const H: usize>(taps: &Taps<u8, H>, out: &mut [u16]) -> usize {
    assert!(available(), "AVX2 was not looked for");
    // SAFETY: the machine has AVX2, as just asserted.
    unsafe { bytes_here(taps, out) }
}

/// The same for 16-bit samples.
///
/// # Panics
/// Where AVX2 is not [`available`].
pub(super) fn words<const H: usize>(taps: &Taps<u16, H>, out: &mut [u16]) -> usize {
    assert!(available(), "AVX2 was not looked for");
    // SAFETY: as above.
    unsafe { words_here(taps, out) }
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

impl<'a, T, const H: usize> Taps<'a, T, H> {
    /// The first `count` registers of samples of each tap.
    fn chunks(&self, count: usize) -> Taps<'a, [T; LANES], H> {
        let chunks = |samples: &'a [T]| &samples.as_chunks::<LANES>().0[..count];
        Taps {
            center: chunks(self.center),
            before: self.before.map(chunks),
            after: self.after.map(chunks),
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
    // SAFETY: 32 bytes are there; any alignment will do.
    let samples = unsafe { _mm256_loadu_si256(samples.as_ptr().cast()) };
    _mm256_xor_si256(samples, _mm256_set1_epi16(i16::MIN))
}

#[target_feature(enable = "avx2")]
fn store(out: &mut [u16; LANES], values: __m256i) {
    // SAFETY: 32 bytes are there; any alignment will do.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), values) }
}
