//! Loops over 8-bit pixels in AVX2, three to six times as fast as what the compiler makes of the general one.
//!
//! Where pixels lie in a grid is found for [`BLOCK`] of them at once, so that the compiler sorts and adds in vectors.
//! Sums of products of 16 bits come from one instruction that multiplies signed pairs: values are taken less 2^15, and
//! as weights sum up to 2^14, 2^29 is added back. All results are those of the general loop, bit for bit.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_cvtsi128_si64, _mm_loadl_epi64, _mm_loadu_si128, _mm_madd_epi16,
    _mm_or_si128, _mm_packus_epi16, _mm_packus_epi32, _mm_set1_epi16, _mm_set1_epi32, _mm_slli_epi32, _mm_srai_epi32,
    _mm_srli_epi32, _mm_sub_epi32, _mm_unpackhi_epi16, _mm_unpacklo_epi16, _mm_xor_si128,
};

use super::cpu::{Narrow, Nodes, narrowed, sorted_falling};
use super::{Plan, Stage};

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
        (Narrow::Grid { entries, nodes, output, output_stride }, Stage::Grid { strides, output: curves, .. }) => {
            let axes = Axes { entries, strides };
            let four = plan.source.color.components() == 4;
            match nodes {
                Nodes::One(nodes) => {
                    let row = if four { one::<4> } else { one::<3> };
                    // SAFETY: as above.
                    unsafe { row(axes, nodes, steps, from, to) };
                }
                Nodes::Four(nodes) => {
                    let row = match (four, curves.is_empty(), components) {
                        (true, false, _) => several::<4, true, 3>,
                        (true, true, 3) => several::<4, false, 3>,
                        (true, true, _) => several::<4, false, 4>,
                        (false, false, _) => several::<3, true, 3>,
                        (false, true, 3) => several::<3, false, 3>,
                        (false, true, _) => several::<3, false, 4>,
                    };
                    // SAFETY: as above.
                    unsafe { row(axes, nodes, output, *output_stride, steps, from, to) };
                }
            }
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

/// Pixels whose cells are found together.
const BLOCK: usize = 64;

/// How samples lead into a grid.
#[derive(Clone, Copy)]
struct Axes<'a> {
    entries: &'a [[u32; 256]; 4],
    strides: &'a [u32; 4],
}

/// The tetrahedra in the grid `nodes` that the pixels of a block lie in.
struct Cells<'a, N> {
    nodes: &'a [N],
    /// Numbers of the corners, least first.
    corners: [[u32; BLOCK]; 4],
    /// Weights of the corners, Q14: two in a word, the first below.
    weights: [[u32; BLOCK]; 2],
    /// Weights of the two ends along the first of four axes, likewise; of three axes all weight is on the first.
    ends: [u32; BLOCK],
}

impl<'a, N> Cells<'a, N> {
    fn new(nodes: &'a [N]) -> Self {
        Cells { nodes, corners: [[0; BLOCK]; 4], weights: [[0; BLOCK]; 2], ends: [1 << 14; BLOCK] }
    }

    /// Finds those of up to [`BLOCK`] pixels of `step` bytes each. Behind the last pixel there is some cell all the
    /// same, so that blocks are alike.
    ///
    /// # Panics
    /// Where a corner, or with four axes the node behind it, is not in the grid.
    #[allow(clippy::needless_range_loop, reason = "the compiler makes vectors of plain indices")]
    #[target_feature(enable = "avx2")]
    fn find<const AXES: usize>(&mut self, axes: Axes<'_>, pixels: &[u8], step: usize) {
        let mut entries = [[0; BLOCK]; AXES];
        for (i, pixel) in (0..BLOCK).zip(pixels.chunks_exact(step)) {
            let pixel: &[u8; AXES] = pixel.first_chunk().expect("a sample for each axis");
            for axis in 0..AXES {
                entries[axis][i] = axes.entries[axis][usize::from(pixel[axis])];
            }
        }
        let mut last = 0;
        for i in 0..BLOCK {
            let mut corner = 0;
            for axis in 0..AXES {
                corner += (entries[axis][i] & 0xffff) * axes.strides[axis];
            }
            // Position above, step below: one comparison sorts both.
            let place = |axis: usize| entries[axis][i] & 0xffff_0000 | axes.strides[axis];
            let [a, b, c] = sorted_falling([place(AXES - 3), place(AXES - 2), place(AXES - 1)]);
            self.corners[0][i] = corner;
            self.corners[1][i] = corner + (a & 0xffff);
            self.corners[2][i] = corner + (a & 0xffff) + (b & 0xffff);
            self.corners[3][i] = corner + (a & 0xffff) + (b & 0xffff) + (c & 0xffff);
            last = last.max(self.corners[3][i]);
            let [a, b, c] = [a >> 16, b >> 16, c >> 16];
            self.weights[0][i] = two((1 << 14) - a, a - b);
            self.weights[1][i] = two(b - c, c);
            if AXES == 4 {
                let across = entries[0][i] >> 16;
                self.ends[i] = two((1 << 14) - across, across);
            }
        }
        assert!(last as usize + AXES - 3 < self.nodes.len(), "a cell lies inside the grid");
    }
}

fn two(low: u32, high: u32) -> u32 {
    low | high << 16
}

impl Cells<'_, [i16; 4]> {
    /// The values of the corners of a pixel's cell: eight each with four axes, else four and zeros.
    #[target_feature(enable = "avx2")]
    fn load<const AXES: usize>(&self, i: usize) -> [__m128i; 4] {
        let nodes = self.nodes.as_ptr();
        std::array::from_fn(|k| {
            let corner = self.corners[k][i] as usize;
            // SAFETY: `find`, which alone sets the corners, saw that the last of them is in the grid and that with four
            // axes another node stands behind it; the others come before it, as steps are added. Corners that were
            // never set are the first node, and `find` came before. Any alignment will do.
            unsafe {
                let node = nodes.add(corner).cast();
                if AXES == 4 { _mm_loadu_si128(node) } else { _mm_loadl_epi64(node) }
            }
        })
    }
}

/// To one component. Without products of pairs: here vectors hold pixels.
#[target_feature(enable = "avx2")]
fn one<const AXES: usize>(axes: Axes<'_>, nodes: &[u32], steps: [usize; 2], from: &[u8], to: &mut [u8]) {
    let mut cells = Cells::new(nodes);
    for (from, to) in from.chunks(BLOCK * steps[0]).zip(to.chunks_mut(BLOCK * steps[1])) {
        cells.find::<AXES>(axes, from, steps[0]);
        let mut at = [[0; BLOCK]; 4];
        for k in 0..4 {
            for i in 0..BLOCK {
                at[k][i] = nodes[cells.corners[k][i] as usize];
            }
        }
        let mut values = [0; BLOCK];
        for i in 0..BLOCK {
            let [first, second] = [cells.weights[0][i], cells.weights[1][i]];
            let weights = [first & 0xffff, first >> 16, second & 0xffff, second >> 16];
            let (mut low, mut high) = (1 << 13, 1 << 13);
            for k in 0..4 {
                low += weights[k] * (at[k][i] & 0xffff);
                high += weights[k] * (at[k][i] >> 16);
            }
            let ends = cells.ends[i];
            values[i] = narrowed(((low >> 14) * (ends & 0xffff) + (high >> 14) * (ends >> 16) + (1 << 13)) >> 14);
        }
        for (to, value) in to.chunks_exact_mut(steps[1]).zip(values) {
            to[0] = value;
        }
    }
}

/// `CURVED`: through tables, else narrowed by arithmetic.
#[target_feature(enable = "avx2")]
fn several<const AXES: usize, const CURVED: bool, const TO: usize>(
    axes: Axes<'_>,
    nodes: &[[i16; 4]],
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
    let weights = |weights: u32| _mm_set1_epi32(weights.cast_signed());
    let mut cells = Cells::new(nodes);
    for (from, to) in from.chunks(BLOCK * steps[0]).zip(to.chunks_mut(BLOCK * steps[1])) {
        cells.find::<AXES>(axes, from, steps[0]);
        for (i, to) in (0..BLOCK).zip(to.chunks_exact_mut(steps[1])) {
            let Some(to) = to.first_chunk_mut::<TO>() else { return };
            let [n0, n1, n2, n3] = cells.load::<AXES>(i);
            let [w01, w23] = [weights(cells.weights[0][i]), weights(cells.weights[1][i])];
            let low = _mm_add_epi32(
                _mm_madd_epi16(_mm_unpacklo_epi16(n0, n1), w01),
                _mm_madd_epi16(_mm_unpacklo_epi16(n2, n3), w23),
            );
            let mut values = _mm_srli_epi32::<14>(_mm_add_epi32(low, back));
            if AXES == 4 {
                let high = _mm_add_epi32(
                    _mm_madd_epi16(_mm_unpackhi_epi16(n0, n1), w01),
                    _mm_madd_epi16(_mm_unpackhi_epi16(n2, n3), w23),
                );
                let high = _mm_srli_epi32::<14>(_mm_add_epi32(high, back));
                let ends = _mm_xor_si128(_mm_or_si128(values, _mm_slli_epi32::<16>(high)), sign);
                let sum = _mm_madd_epi16(ends, weights(cells.ends[i]));
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
}
