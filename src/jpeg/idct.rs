//! The accurate integer inverse DCT: that of Loeffler, Ligtenberg and Moschytz (ICASSP 1989) with 13 bits behind the
//! point, as libjpeg computes it under the name "islow"; the same bits as its vector code.

use std::num::Wrapping;

/// Bits behind the point of the factors, and of what the first pass hands to the second.
const FACTOR_BITS: u32 = 13;
const PASS_BITS: u32 = 2;

const F_0_298: i16 = 2446;
const F_0_390: i16 = 3196;
const F_0_541: i16 = 4433;
const F_0_765: i16 = 6270;
const F_0_899: i16 = 7373;
const F_1_175: i16 = 9633;
const F_1_501: i16 = 12299;
const F_1_847: i16 = 15137;
const F_1_961: i16 = 16069;
const F_2_053: i16 = 16819;
const F_2_562: i16 = 20995;
const F_3_072: i16 = 25172;

/// Row by row, the samples of a block.
pub(super) type Samples = [[u8; 8]; 8];

/// The samples of two blocks, each with its steps of quantisation, in natural order; products wrap at 16 bits.
#[inline]
pub(super) fn inverse(blocks: &[[i16; 64]; 2], quantization: [&[i16; 64]; 2]) -> [Samples; 2] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2.
        return unsafe { avx2::inverse(blocks, quantization) };
    }
    std::array::from_fn(|i| plain(&blocks[i], quantization[i]))
}

/// The sample that fills a block of which only the DC value is not zero.
#[inline]
pub(super) fn flat(dc: i16, quantization: i16) -> u8 {
    let level = i32::from(dc.wrapping_mul(quantization).wrapping_shl(PASS_BITS));
    (((level + (1 << (PASS_BITS + 2))) >> (PASS_BITS + 3)).clamp(-128, 127) + 128) as u8
}

/// One pass over eight values; `shift` takes off the bits that are not kept.
fn pass(x: [i16; 8], shift: u32) -> [i16; 8] {
    let product = |a: i16, f: i32, b: i16, g: i32| Wrapping(i32::from(a) * f) + Wrapping(i32::from(b) * g);
    let [f_0_298, f_0_390, f_0_541, f_0_765, f_0_899, f_1_175] =
        [F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175].map(i32::from);
    let [f_1_501, f_1_847, f_1_961, f_2_053, f_2_562, f_3_072] =
        [F_1_501, F_1_847, F_1_961, F_2_053, F_2_562, F_3_072].map(i32::from);
    let even2 = product(x[2], f_0_541, x[6], f_0_541 - f_1_847);
    let even3 = product(x[2], f_0_541 + f_0_765, x[6], f_0_541);
    let even0 = Wrapping(i32::from(x[0].wrapping_add(x[4])) << FACTOR_BITS);
    let even1 = Wrapping(i32::from(x[0].wrapping_sub(x[4])) << FACTOR_BITS);
    let even = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];

    let (z3, z4) = (x[3].wrapping_add(x[7]), x[1].wrapping_add(x[5]));
    let z3_factors = product(z3, f_1_175 - f_1_961, z4, f_1_175);
    let z4_factors = product(z3, f_1_175, z4, f_1_175 - f_0_390);
    let odd = [
        product(x[7], -f_0_899, x[1], f_1_501 - f_0_899) + z4_factors,
        product(x[5], -f_2_562, x[3], f_3_072 - f_2_562) + z3_factors,
        product(x[5], f_2_053 - f_2_562, x[3], -f_2_562) + z4_factors,
        product(x[7], f_0_298 - f_0_899, x[1], -f_0_899) + z3_factors,
    ];
    let half = Wrapping(1 << (shift - 1));
    let narrow = |value: Wrapping<i32>| ((value + half).0 >> shift).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    std::array::from_fn(|i| narrow(if i < 4 { even[i] + odd[i] } else { even[7 - i] - odd[7 - i] }))
}

/// What [`inverse`] does, one value after the other.
fn plain(block: &[i16; 64], quantization: &[i16; 64]) -> Samples {
    let mut values: [i16; 64] = std::array::from_fn(|i| block[i].wrapping_mul(quantization[i]));
    let only_first_row = block[8..].iter().all(|value| *value == 0);
    for column in 0..8 {
        // As the vector code of libjpeg does: it wraps in place of clamping here.
        if only_first_row {
            let value = values[column].wrapping_shl(PASS_BITS);
            (0..8).for_each(|row| values[8 * row + column] = value);
            continue;
        }
        let done = pass(std::array::from_fn(|row| values[8 * row + column]), FACTOR_BITS - PASS_BITS);
        (0..8).for_each(|row| values[8 * row + column] = done[row]);
    }
    let rows = values.as_chunks::<8>().0;
    std::array::from_fn(|row| {
        pass(rows[row], FACTOR_BITS + PASS_BITS + 3).map(|value| (value.clamp(-128, 127) + 128) as u8)
    })
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::*;

    type Rows = [__m256i; 8];

    const fn pair(low: i16, high: i16) -> i32 {
        (low as u16 as u32 | (high as u16 as u32) << 16).cast_signed()
    }

    /// Eight sums of two products.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn products((low, high): (__m256i, __m256i), factors: i32) -> [__m256i; 2] {
        let factors = _mm256_set1_epi32(factors);
        [_mm256_madd_epi16(low, factors), _mm256_madd_epi16(high, factors)]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn subtract(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn interleave(a: __m256i, b: __m256i) -> (__m256i, __m256i) {
        (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b))
    }

    /// 32-bit values of eight values of 16 bits, times 2^13.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn scaled(values: __m256i) -> [__m256i; 2] {
        let zero = _mm256_setzero_si256();
        const SHIFT: i32 = 16 - FACTOR_BITS as i32;
        [
            _mm256_srai_epi32::<SHIFT>(_mm256_unpacklo_epi16(zero, values)),
            _mm256_srai_epi32::<SHIFT>(_mm256_unpackhi_epi16(zero, values)),
        ]
    }

    /// One pass down the columns.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn pass<const SHIFT: i32>(x: Rows) -> Rows {
        let x26 = interleave(x[2], x[6]);
        let even2 = products(x26, pair(F_0_541, F_0_541 - F_1_847));
        let even3 = products(x26, pair(F_0_541 + F_0_765, F_0_541));
        let even0 = scaled(_mm256_add_epi16(x[0], x[4]));
        let even1 = scaled(_mm256_sub_epi16(x[0], x[4]));
        let even = [add(even0, even3), add(even1, even2), subtract(even1, even2), subtract(even0, even3)];

        let z34 = interleave(_mm256_add_epi16(x[3], x[7]), _mm256_add_epi16(x[1], x[5]));
        let z3 = products(z34, pair(F_1_175 - F_1_961, F_1_175));
        let z4 = products(z34, pair(F_1_175, F_1_175 - F_0_390));
        let (x71, x53) = (interleave(x[7], x[1]), interleave(x[5], x[3]));
        let odd = [
            add(products(x71, pair(-F_0_899, F_1_501 - F_0_899)), z4),
            add(products(x53, pair(-F_2_562, F_3_072 - F_2_562)), z3),
            add(products(x53, pair(F_2_053 - F_2_562, -F_2_562)), z4),
            add(products(x71, pair(F_0_298 - F_0_899, -F_0_899)), z3),
        ];
        let half = _mm256_set1_epi32(1 << (SHIFT - 1));
        let narrow = |values: [__m256i; 2]| {
            let low = _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(values[0], half));
            let high = _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(values[1], half));
            _mm256_packs_epi32(low, high)
        };
        [
            narrow(add(even[0], odd[0])),
            narrow(add(even[1], odd[1])),
            narrow(add(even[2], odd[2])),
            narrow(add(even[3], odd[3])),
            narrow(subtract(even[3], odd[3])),
            narrow(subtract(even[2], odd[2])),
            narrow(subtract(even[1], odd[1])),
            narrow(subtract(even[0], odd[0])),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn transposed(x: Rows) -> Rows {
        let [a0, a1] = [interleave(x[0], x[1]), interleave(x[2], x[3])];
        let [a2, a3] = [interleave(x[4], x[5]), interleave(x[6], x[7])];
        let wide = |a: __m256i, b: __m256i| (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (b0, b1) = (wide(a0.0, a1.0), wide(a0.1, a1.1));
        let (b2, b3) = (wide(a2.0, a3.0), wide(a2.1, a3.1));
        let both = |a: __m256i, b: __m256i| [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)];
        let [c0, c1] = both(b0.0, b2.0);
        let [c2, c3] = both(b0.1, b2.1);
        let [c4, c5] = both(b1.0, b3.0);
        let [c6, c7] = both(b1.1, b3.1);
        [c0, c1, c2, c3, c4, c5, c6, c7]
    }

    /// As [`super::inverse`]: the one block in the low halves of all registers, the other in the high ones.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn inverse(blocks: &[[i16; 64]; 2], quantization: [&[i16; 64]; 2]) -> [Samples; 2] {
        let [first, second]: [[__m128i; 8]; 2] = bytemuck::cast(*blocks);
        let steps: [[__m128i; 8]; 2] = quantization.map(|steps| bytemuck::cast(*steps));
        let mut values = [_mm256_setzero_si256(); 8];
        let mut below = _mm256_setzero_si256();
        for row in 0..8 {
            let both = _mm256_set_m128i(second[row], first[row]);
            if row > 0 {
                below = _mm256_or_si256(below, both);
            }
            values[row] = _mm256_mullo_epi16(both, _mm256_set_m128i(steps[1][row], steps[0][row]));
        }
        let zero = _mm256_movemask_epi8(_mm256_cmpeq_epi8(below, _mm256_setzero_si256())).cast_unsigned();
        // As the vector code of libjpeg does where there is nothing below the first row: it wraps in place of clamping.
        let wrapped = _mm256_slli_epi16::<{ PASS_BITS as i32 }>(values[0]);
        let mut columns = [wrapped; 8];
        if zero != u32::MAX {
            let passed = pass::<{ (FACTOR_BITS - PASS_BITS) as i32 }>(values);
            for (column, passed) in columns.iter_mut().zip(passed) {
                *column = match (zero & 0xffff == 0xffff, zero >> 16 == 0xffff) {
                    (true, _) => _mm256_blend_epi32::<0xf0>(*column, passed),
                    (_, true) => _mm256_blend_epi32::<0x0f>(*column, passed),
                    _ => passed,
                };
            }
        }
        let rows = transposed(pass::<{ (FACTOR_BITS + PASS_BITS + 3) as i32 }>(transposed(columns)));
        let middle = _mm256_set1_epi8(-128);
        let mut samples = [[[0; 8]; 8]; 2];
        for pair in 0..4 {
            let packed = _mm256_xor_si256(_mm256_packs_epi16(rows[2 * pair], rows[2 * pair + 1]), middle);
            let [a0, a1, b0, b1]: [[u8; 8]; 4] = bytemuck::cast(packed);
            (samples[0][2 * pair], samples[0][2 * pair + 1]) = (a0, a1);
            (samples[1][2 * pair], samples[1][2 * pair + 1]) = (b0, b1);
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u32) -> u32 {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *state >> 16
    }

    /// Against the definition (A.3.3): never off by more than one, and right nearly always.
    #[test]
    fn is_close_to_the_definition() {
        let mut state = 1;
        let (mut wrong, mut all) = (0, 0);
        for round in 0..200 {
            let block: [i16; 64] = std::array::from_fn(|i| {
                (random(&mut state) % 255) as i16 / (1 + (i as i16 + round) / 8) - 20 / (1 + i as i16)
            });
            let [out, _] = inverse(&[block, [0; 64]], [&[2; 64]; 2]);
            for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
                let mut sum = 0.0;
                for (v, u) in (0..8).flat_map(|v| (0..8).map(move |u| (v, u))) {
                    let scale = |k| if k == 0 { 0.5f64.sqrt() } else { 1.0 };
                    let wave =
                        |at: usize, k: usize| ((2 * at + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos();
                    sum += scale(u) * scale(v) * f64::from(2 * block[8 * v + u]) * wave(x, u) * wave(y, v) / 4.0;
                }
                let expected = (sum.round() + 128.0).clamp(0.0, 255.0) as i32;
                let off = (i32::from(out[y][x]) - expected).abs();
                assert!(off <= 1, "{off} at ({x}, {y}) of block {round}");
                wrong += off;
                all += 1;
            }
        }
        assert!(wrong * 25 < all, "{wrong} of {all} are off");
    }

    #[test]
    fn vectors_and_single_values_give_the_same_bits() {
        let mut state = 7;
        for range in [4, 64, 1024, 65536] {
            for round in 0..2000 {
                let mut blocks = [[0; 64]; 2].map(|block: [i16; 64]| {
                    block.map(|_| ((random(&mut state) % range) as i32 - (range / 2) as i32) as i16)
                });
                // Nothing below the first row, in the one, the other, or both.
                for (bit, block) in [1, 2].into_iter().zip(&mut blocks) {
                    if round & bit > 0 {
                        block[8..].fill(0);
                    }
                }
                let steps = [[0; 64]; 2].map(|steps: [i16; 64]| steps.map(|_| random(&mut state) as i16 & 255));
                let steps = [&steps[0], &steps[1]];
                assert_eq!(inverse(&blocks, steps), [0, 1].map(|i| plain(&blocks[i], steps[i])));
                for block in &mut blocks {
                    block[1..].fill(0);
                }
                let samples = [0, 1].map(|i| [[flat(blocks[i][0], steps[i][0]); 8]; 8]);
                assert_eq!(inverse(&blocks, steps), samples);
            }
        }
    }
}
