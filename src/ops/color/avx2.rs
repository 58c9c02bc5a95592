//! Loops over 8-bit pixels in AVX2, three times as fast as what the compiler makes of the general one.
//!
//! Sums of products of 16 bits come from one instruction that multiplies signed pairs: values are taken less 2^15, and
//! as weights sum up to 2^14, 2^29 is added back. All results are those of the general loop, bit for bit.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_cvtsi32_si128, _mm_cvtsi128_si32, _mm_cvtsi128_si64, _mm_loadl_epi64, _mm_loadu_si128,
    _mm_madd_epi16, _mm_or_si128, _mm_packus_epi16, _mm_packus_epi32, _mm_set1_epi16, _mm_set1_epi32,
    _mm_shuffle_epi32, _mm_slli_epi32, _mm_srai_epi32, _mm_srli_epi32, _mm_sub_epi32, _mm_unpackhi_epi16,
    _mm_unpacklo_epi16, _mm_xor_si128,
};

use super::cpu::{Narrow, Place, sorted_falling};
use super::{Plan, Stage};
use crate::pixel::Color;

/// Whether this machine has what [`row`] needs.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Converts the colours of a row; the plan is not one of gray.
///
/// # Panics
/// Where AVX2 is not [`available`].
pub(super) fn row(plan: &Plan, narrow: &Narrow, from: &[u8], to: &mut [u8]) {
    assert!(available(), "AVX2 was not looked for");
    let steps = [plan.source.channels(), plan.target.channels()];
    let components = plan.target.color.components();
    match (narrow, &plan.stage) {
        (Narrow::Matrix { products, output, output_stride }, _) => {
            let row = if components == 1 { matrix::<1> } else { matrix::<3> };
            // SAFETY: the machine has AVX2, as just asserted.
            unsafe { row(products, output, *output_stride, steps, from, to) };
        }
        (Narrow::Grid { places, output, output_stride }, Stage::Grid { nodes, output: curves, .. }) => {
            let row = match (plan.source.color, curves.is_empty(), components) {
                (Color::Cmyk, false, _) => grid::<true, true, 3>,
                (Color::Cmyk, true, 1) => grid::<true, false, 1>,
                (Color::Cmyk, true, 3) => grid::<true, false, 3>,
                (Color::Cmyk, true, _) => grid::<true, false, 4>,
                (_, false, _) => grid::<false, true, 3>,
                (_, true, 1) => grid::<false, false, 1>,
                (_, true, 3) => grid::<false, false, 3>,
                (_, true, _) => grid::<false, false, 4>,
            };
            // SAFETY: the machine has AVX2, as just asserted.
            unsafe { row(places, nodes.as_flattened(), output, *output_stride, steps, from, to) };
        }
        _ => unreachable!("gray has a table, and what is narrow goes with the plan's stage"),
    }
}

#[target_feature(enable = "avx2")]
fn load_i32(values: &[i32; 4]) -> __m128i {
    // SAFETY: 16 bytes are there; any alignment will do.
    unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
}

/// Values clamped to 16 bits.
#[target_feature(enable = "avx2")]
fn as_u16(values: __m128i) -> [u16; 4] {
    let packed = _mm_cvtsi128_si64(_mm_packus_epi32(values, values)).cast_unsigned();
    [packed as u16, (packed >> 16) as u16, (packed >> 32) as u16, (packed >> 48) as u16]
}

/// The values of the corners of a cell, least first: eight values each, or four and zeros.
#[target_feature(enable = "avx2")]
fn load_corners<const PAIR: bool>(nodes: &[u16], lowest: usize, steps: [usize; 3]) -> [__m128i; 4] {
    let corners = [0, steps[0], steps[0] + steps[1], steps[0] + steps[1] + steps[2]].map(|step| 4 * (lowest + step));
    assert!(corners[3] + if PAIR { 8 } else { 4 } <= nodes.len(), "a cell lies inside the grid");
    corners.map(|corner| {
        // SAFETY: steps are not negative, and sums of a few 32-bit numbers do not overflow, so that all corners come
        // before the last, behind which 16 or 8 bytes are there; any alignment will do.
        unsafe {
            let values = nodes.as_ptr().add(corner).cast();
            if PAIR { _mm_loadu_si128(values) } else { _mm_loadl_epi64(values) }
        }
    })
}

/// The output table of each component; `stride` is the distance from one to the next.
fn tables<const TO: usize>(output: &[u8], stride: usize) -> [&[u8; 65536]; TO] {
    std::array::from_fn(|c| output[c * stride..].first_chunk().expect("a whole table for each component"))
}

#[target_feature(enable = "avx2")]
fn matrix<const TO: usize>(
    products: &[[[i32; 4]; 256]; 3],
    output: &[u8],
    stride: usize,
    steps: [usize; 2],
    from: &[u8],
    to: &mut [u8],
) {
    let tables = tables::<TO>(output, stride);
    for (from, to) in from.chunks_exact(steps[0]).zip(to.chunks_exact_mut(steps[1])) {
        let (Some(&[r, g, b]), Some(to)) = (from.first_chunk(), to.first_chunk_mut::<TO>()) else { return };
        let [r, g, b] = [&products[0][usize::from(r)], &products[1][usize::from(g)], &products[2][usize::from(b)]];
        let sum = _mm_add_epi32(_mm_add_epi32(load_i32(r), load_i32(g)), load_i32(b));
        // Packing clamps.
        let index = as_u16(_mm_srai_epi32::<12>(sum));
        for c in 0..TO {
            to[c] = tables[c][usize::from(index[c])];
        }
    }
}

/// `PAIR`: four axes, the nodes of the first side by side. `CURVED`: through tables, else narrowed by arithmetic.
#[target_feature(enable = "avx2")]
fn grid<const PAIR: bool, const CURVED: bool, const TO: usize>(
    places: &[[Place; 256]; 4],
    nodes: &[u16],
    output: &[u8],
    stride: usize,
    steps: [usize; 2],
    from: &[u8],
    to: &mut [u8],
) {
    let tables = tables::<TO>(output, stride);
    let sign = _mm_set1_epi16(i16::MIN);
    // What the signs took away, and one half.
    let back = _mm_set1_epi32((1 << 29) + (1 << 13));
    let two = |low: u32, high: u32| _mm_shuffle_epi32::<0>(_mm_cvtsi32_si128((low | high << 16).cast_signed()));
    for (from, to) in from.chunks_exact(steps[0]).zip(to.chunks_exact_mut(steps[1])) {
        let Some(to) = to.first_chunk_mut::<TO>() else { return };
        let axis = |axis: usize, channel: usize| places[axis][usize::from(from[channel])];
        let (first, [a, b, c]) = match PAIR {
            true => (axis(0, 0), [axis(1, 1), axis(2, 2), axis(3, 3)]),
            false => (Place::default(), [axis(0, 0), axis(1, 1), axis(2, 2)]),
        };
        let lowest = [first, a, b, c].iter().map(|place| place.node as usize).sum();
        let [a, b, c] = sorted_falling([a.step, b.step, c.step]);
        let corners = load_corners::<PAIR>(nodes, lowest, [a, b, c].map(|step| (step & 0xffff) as usize));
        let [n0, n1, n2, n3] = corners.map(|values| _mm_xor_si128(values, sign));
        let [a, b, c] = [a >> 16, b >> 16, c >> 16];
        let (w01, w23) = (two((1 << 14) - a, a - b), two(b - c, c));
        let low = _mm_add_epi32(
            _mm_madd_epi16(_mm_unpacklo_epi16(n0, n1), w01),
            _mm_madd_epi16(_mm_unpacklo_epi16(n2, n3), w23),
        );
        let mut values = _mm_srli_epi32::<14>(_mm_add_epi32(low, back));
        if PAIR {
            let high = _mm_add_epi32(
                _mm_madd_epi16(_mm_unpackhi_epi16(n0, n1), w01),
                _mm_madd_epi16(_mm_unpackhi_epi16(n2, n3), w23),
            );
            let high = _mm_srli_epi32::<14>(_mm_add_epi32(high, back));
            let position = first.step >> 16;
            let ends = _mm_xor_si128(_mm_or_si128(values, _mm_slli_epi32::<16>(high)), sign);
            let sum = _mm_madd_epi16(ends, two((1 << 14) - position, position));
            values = _mm_srli_epi32::<14>(_mm_add_epi32(sum, back));
        }
        if CURVED {
            let values = as_u16(values);
            for c in 0..TO {
                to[c] = tables[c][usize::from(values[c])];
            }
        } else {
            // (v + 128) / 257 = (255 v + 32895) >> 16 for all 16-bit values.
            let scaled = _mm_sub_epi32(_mm_slli_epi32::<8>(values), values);
            let bytes = _mm_srli_epi32::<16>(_mm_add_epi32(scaled, _mm_set1_epi32(32895)));
            let words = _mm_packus_epi32(bytes, bytes);
            let packed = _mm_cvtsi128_si32(_mm_packus_epi16(words, words)).to_le_bytes();
            to.copy_from_slice(&packed[..TO]);
        }
    }
}
