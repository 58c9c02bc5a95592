//! Downsampling on the CPU: eight rows into one row of column sums, that row split into even and odd pixels (for 8 bits
//! without alpha: into pairs of them), those into one row of output. Every loop runs over contiguous samples with
//! constant offsets, so that it vectorises whatever the number of channels.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

use super::{AFTER, BEFORE, Plan, TAP_BITS, TAPS};
use crate::geometry::Size;
use crate::ops::premultiply::{Premultiply, color_back, premultiply};
use crate::ops::replicate_ends;
use crate::pixel::{Raster, Samples};

#[cfg(target_arch = "x86_64")]
use super::avx2;

/// Other machines have the general loops alone.
#[cfg(not(target_arch = "x86_64"))]
mod avx2 {
    use super::{NarrowWeights, TAPS};

    pub fn columns(_: &NarrowWeights, _: &[&[u8]; TAPS], _: &mut [i16]) -> usize {
        0
    }
    pub fn pair_up(_: usize, _: &[i16], _: &mut [[i16; 2]]) -> usize {
        0
    }
    pub fn along(_: &NarrowWeights, _: &[&[[i16; 2]]; TAPS / 2], _: &mut [u8]) -> usize {
        0
    }
}

/// Output rows that one task computes; premultiplied rows are shared inside a task only.
const ROWS_PER_TASK: usize = 16;

/// Consecutive rows of a level, in one piece or two, so that rows which were kept need not be copied to those that
/// follow.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Number of the first row.
    pub start: u32,
    pub rows: &'a Raster,
    pub following: Option<&'a Raster>,
}

/// Appends rows `out_rows` of the next level to `out`, which has that level's width and format.
///
/// `window` holds every row of this level that the output reads: from `2·start − 3` up to `2·end + 2`, clamped to the
/// level, whose size is `full`.
pub fn downsample(plan: &Plan, window: Window<'_>, full: Size, out_rows: Range<u32>, out: &mut Raster) {
    let fits = |rows: &Raster| rows.format == out.format && rows.width == full.width;
    assert!(
        fits(window.rows) && window.following.is_none_or(fits) && out.width == full.halved().width,
        "rows of another shape"
    );
    if out_rows.is_empty() {
        return;
    }
    let done = out.samples.len();
    out.set_rows(out.height + out_rows.len() as u32);
    let format = out.format;
    let shape = Shape {
        channels: format.channels(),
        width: full.width as usize,
        out_width: out.width as usize,
        height: full.height,
        window_start: window.start,
        out_start: out_rows.start,
    };
    let stride = shape.stride();
    let following = window.following.map(|following| &following.samples);
    match (&window.rows.samples, &mut out.samples) {
        (Samples::U8(rows), Samples::U8(out)) => {
            let following = if let Some(Samples::U8(following)) = following { following } else { &[][..] };
            let (rows, out) = (Rows { rows, following, stride }, &mut out[done..]);
            if format.alpha { with_alpha(plan, shape, rows, out) } else { narrow(plan, shape, rows, out) }
        }
        (Samples::U16(rows), Samples::U16(out)) => {
            let following = if let Some(Samples::U16(following)) = following { following } else { &[][..] };
            let (rows, out) = (Rows { rows, following, stride }, &mut out[done..]);
            if format.alpha { with_alpha(plan, shape, rows, out) } else { wide(plan, shape, rows, out) }
        }
        _ => unreachable!("formats are equal"),
    }
}

/// The rows of a window.
#[derive(Clone, Copy)]
struct Rows<'a, S> {
    rows: &'a [S],
    following: &'a [S],
    stride: usize,
}

impl<'a, S> Rows<'a, S> {
    fn row(&self, y: usize) -> &'a [S] {
        let start = y * self.stride;
        let (samples, start) =
            if start < self.rows.len() { (self.rows, start) } else { (self.following, start - self.rows.len()) };
        &samples[start..][..self.stride]
    }
}

#[derive(Clone, Copy)]
struct Shape {
    channels: usize,
    width: usize,
    out_width: usize,
    height: u32,
    window_start: u32,
    out_start: u32,
}

impl Shape {
    /// The level's row `y`, clamped, as an index into the window.
    fn window_row(&self, y: i64) -> usize {
        (y.clamp(0, i64::from(self.height) - 1) - i64::from(self.window_start)) as usize
    }

    /// Window rows under the eight taps of output row `row`, counted from `out_start`.
    fn tap_rows(&self, row: usize) -> [usize; TAPS] {
        let first = 2 * (i64::from(self.out_start) + row as i64) - i64::from(BEFORE);
        std::array::from_fn(|k| self.window_row(first + k as i64))
    }

    fn stride(&self) -> usize {
        self.width * self.channels
    }

    fn out_stride(&self) -> usize {
        self.out_width * self.channels
    }

    /// Samples of every other pixel that a row of output reads.
    fn half(&self) -> usize {
        (self.out_width + TAPS / 2 - 1) * self.channels
    }
}

/// One row of column sums, with as many pixels around it as the pass along the row reads.
struct Padded<T> {
    channels: usize,
    /// Where the row's own pixels are.
    own: Range<usize>,
    /// From pixel −3 to the last that an output reads.
    samples: Vec<T>,
}

impl<T: Copy + Default> Padded<T> {
    fn new(shape: &Shape) -> Self {
        let start = BEFORE as usize * shape.channels;
        Padded {
            channels: shape.channels,
            own: start..start + shape.stride(),
            samples: vec![T::default(); 2 * shape.half()],
        }
    }

    /// Where the column sums of the row's own pixels go.
    fn own_mut(&mut self) -> &mut [T] {
        &mut self.samples[self.own.clone()]
    }

    /// All samples, once the row's own are there.
    fn filled(&mut self) -> &[T] {
        replicate_ends(&mut self.samples, self.own.clone(), self.channels);
        &self.samples
    }
}

/// One row of column sums of 32 bits, and the same split into even and odd pixels for the pass along the row.
struct Lanes {
    row: Padded<i32>,
    /// Pixels −3, −1, 1, …
    even: Vec<i32>,
    /// Pixels −2, 0, 2, …
    odd: Vec<i32>,
}

impl Lanes {
    fn new(shape: &Shape) -> Self {
        Lanes { row: Padded::new(shape), even: vec![0; shape.half()], odd: vec![0; shape.half()] }
    }

    /// To be called once the row is filled.
    fn split(&mut self) {
        match self.row.channels {
            1 => self.split_of::<1>(),
            2 => self.split_of::<2>(),
            3 => self.split_of::<3>(),
            4 => self.split_of::<4>(),
            5 => self.split_of::<5>(),
            _ => unreachable!("a pixel has at most 5 samples"),
        }
    }

    fn split_of<const C: usize>(&mut self) {
        let pixels = self.row.filled().as_chunks::<C>().0.as_chunks::<2>().0;
        let even = self.even.as_chunks_mut::<C>().0;
        let odd = self.odd.as_chunks_mut::<C>().0;
        for (([a, b], even), odd) in pixels.iter().zip(even).zip(odd) {
            *even = *a;
            *odd = *b;
        }
    }

    /// Samples under tap `k`, one for each of the `len` output samples.
    fn tap(&self, k: usize, len: usize) -> &[i32] {
        let lane = if k.is_multiple_of(2) { &self.even } else { &self.odd };
        &lane[k / 2 * self.row.channels..][..len]
    }
}

/// One row of column sums, and the same with the samples of every two pixels side by side, so that both are multiplied
/// and added up at once.
struct Pairs {
    row: Padded<i16>,
    /// Pixels −3 and −2, −1 and 0, …; empty where there is one channel, whose row is the same.
    pairs: Vec<[i16; 2]>,
}

impl Pairs {
    fn new(shape: &Shape) -> Self {
        let pairs = if shape.channels == 1 { Vec::new() } else { vec![[0; 2]; shape.half()] };
        Pairs { row: Padded::new(shape), pairs }
    }

    /// The pairs under taps 0 and 1, 2 and 3, 4 and 5, 6 and 7, one for each of the `len` output samples, once the row
    /// is filled.
    fn taps(&mut self, len: usize) -> [&[[i16; 2]]; TAPS / 2] {
        let channels = self.row.channels;
        let row = self.row.filled();
        let pairs = match channels {
            1 => row.as_chunks().0,
            3 => pair_up::<3>(row, &mut self.pairs),
            4 => pair_up::<4>(row, &mut self.pairs),
            _ => unreachable!("pixels without alpha have 1, 3 or 4 samples"),
        };
        std::array::from_fn(|k| &pairs[k * channels..][..len])
    }
}

/// Fills `pairs`, and hands it back.
fn pair_up<'a, const C: usize>(row: &[i16], pairs: &'a mut [[i16; 2]]) -> &'a [[i16; 2]] {
    let done = avx2::pair_up(C, row, pairs);
    let (pixels, _) = row[2 * done..].as_chunks::<C>().0.as_chunks::<2>();
    for ([a, b], pairs) in pixels.iter().zip(pairs[done..].as_chunks_mut::<C>().0) {
        *pairs = std::array::from_fn(|c| [a[c], b[c]]);
    }
    pairs
}

/// 8 bits without alpha, in 16-bit lanes.
///
/// Samples are taken as differences from 127.5, where the weights' sum of 1 leaves `t` short of exactly 8160 (Q6).
/// A pair of samples under equal weights is then at most ±255, and a weight `128·high + low` multiplies it
/// in two products whose sums stay inside an `i16`.
fn narrow(plan: &Plan, shape: Shape, rows: Rows<'_, u8>, out: &mut [u8]) {
    let weights = NarrowWeights::new(plan);
    out.par_chunks_mut(shape.out_stride() * ROWS_PER_TASK).enumerate().for_each_init(
        || Pairs::new(&shape),
        |pairs, (task, out)| {
            for (row, out) in out.chunks_exact_mut(shape.out_stride()).enumerate() {
                let taps = shape.tap_rows(task * ROWS_PER_TASK + row).map(|y| rows.row(y));
                narrow_columns(&weights, &taps, pairs.row.own_mut());
                narrow_along(&weights, &pairs.taps(out.len()), out);
            }
        },
    );
}

/// Weights of the taps' first half; the second mirrors it.
pub(super) struct NarrowWeights {
    taps: [i16; TAPS / 2],
    /// `taps = 128·high + low`, both within ±64.
    pub high: [i16; TAPS / 2],
    pub low: [i16; TAPS / 2],
}

impl NarrowWeights {
    fn new(plan: &Plan) -> Self {
        let taps: [i16; TAPS / 2] = std::array::from_fn(|k| plan.taps[k] as i16);
        let high = taps.map(|w| (w + 64) >> 7);
        let low = std::array::from_fn(|k| taps[k] - 128 * high[k]);
        NarrowWeights { taps, high, low }
    }

    /// Of taps 0 and 1, 2 and 3, 4 and 5, 6 and 7.
    pub fn of_pairs(&self) -> [[i16; 2]; TAPS / 2] {
        let [w0, w1, w2, w3] = self.taps;
        [[w0, w1], [w2, w3], [w3, w2], [w1, w0]]
    }
}

/// `t − 8160`, in Q6.
fn narrow_columns(weights: &NarrowWeights, rows: &[&[u8]; TAPS], out: &mut [i16]) {
    let done = avx2::columns(weights, rows, out);
    let out = &mut out[done..];
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows.map(|row| &row[done..][..out.len()]);
    let [h0, h1, h2, h3] = weights.high;
    let [l0, l1, l2, l3] = weights.low;
    let pair = |a: u8, b: u8| i16::from(a) + i16::from(b) - 255;
    for (x, out) in out.iter_mut().enumerate() {
        let p0 = pair(r0[x], r7[x]);
        let p1 = pair(r1[x], r6[x]);
        let p2 = pair(r2[x], r5[x]);
        let p3 = pair(r3[x], r4[x]);
        let high = h0 * p0 + h1 * p1 + h2 * p2 + h3 * p3;
        let low = l0 * p0 + l1 * p1 + l2 * p2 + l3 * p3;
        // (128·high + low + 2^7) >> 8, without leaving 16 bits.
        *out = (high + (low >> 7) + 1) >> 1;
    }
}

/// Bits of a sum along a row below a sample: Q6 by Q14.
pub(super) const ALONG_SHIFT: i32 = 20;
/// What those sums start from: 8160 in Q6 by weights in Q14 of sum 1, and one half.
pub(super) const ALONG_OFFSET: i32 = (8160 << TAP_BITS) + (1 << (ALONG_SHIFT - 1));

/// One output row from column sums less 8160.
fn narrow_along(weights: &NarrowWeights, taps: &[&[[i16; 2]]; TAPS / 2], out: &mut [u8]) {
    let done = avx2::along(weights, taps, out);
    let weights = weights.of_pairs();
    for (x, out) in out.iter_mut().enumerate().skip(done) {
        let mut sum = ALONG_OFFSET;
        for (weights, pairs) in weights.iter().zip(taps) {
            sum += i32::from(weights[0]) * i32::from(pairs[x][0]) + i32::from(weights[1]) * i32::from(pairs[x][1]);
        }
        *out = (sum >> ALONG_SHIFT).clamp(0, 255) as u8;
    }
}

/// 16 bits without alpha.
fn wide(plan: &Plan, shape: Shape, rows: Rows<'_, u16>, out: &mut [u16]) {
    out.par_chunks_mut(shape.out_stride() * ROWS_PER_TASK).enumerate().for_each_init(
        || Lanes::new(&shape),
        |lanes, (task, out)| {
            for (row, out) in out.chunks_exact_mut(shape.out_stride()).enumerate() {
                let taps = shape.tap_rows(task * ROWS_PER_TASK + row).map(|y| rows.row(y));
                wide_columns(plan, &taps, lanes.row.own_mut());
                lanes.split();
                wide_along(plan, lanes, |x, value| out[x] = value.clamp(0, 65535) as u16);
            }
        },
    );
}

/// 8 or 16 bits with alpha: premultiplied rows, each made once per task and kept while it is read.
fn with_alpha<S: Premultiply>(plan: &Plan, shape: Shape, rows: Rows<'_, S>, out: &mut [S]) {
    let (stride, out_stride, channels) = (shape.stride(), shape.out_stride(), shape.channels);
    out.par_chunks_mut(out_stride * ROWS_PER_TASK).enumerate().for_each_init(
        || (Ring::new(stride), Lanes::new(&shape), vec![0i32; out_stride]),
        |(ring, lanes, filtered), (task, out)| {
            ring.clear();
            for (row, out) in out.chunks_exact_mut(out_stride).enumerate() {
                let taps = shape.tap_rows(task * ROWS_PER_TASK + row);
                for y in taps {
                    ring.hold(y, |work| premultiply(rows.row(y), channels, work));
                }
                wide_columns(plan, &taps.map(|y| ring.row(y)), lanes.row.own_mut());
                lanes.split();
                wide_along(plan, lanes, |x, value| filtered[x] = value);
                match channels {
                    2 => unassociate::<S, 2>(filtered, out),
                    4 => unassociate::<S, 4>(filtered, out),
                    5 => unassociate::<S, 5>(filtered, out),
                    _ => unreachable!("pixels with alpha have 2, 4 or 5 samples"),
                }
            }
        },
    );
}

/// Samples of filtered work values, pixels of `C` channels, alpha last.
fn unassociate<S: Premultiply, const C: usize>(filtered: &[i32], out: &mut [S]) {
    for (filtered, out) in filtered.as_chunks::<C>().0.iter().zip(out.as_chunks_mut::<C>().0) {
        let alpha = filtered[C - 1].clamp(0, S::FULL as i32);
        for c in 0..C - 1 {
            out[c] = color_back(filtered[c].clamp(0, alpha) as u32, alpha as u32);
        }
        out[C - 1] = S::alpha_back(alpha as u32);
    }
}

/// The last eight work rows that were made, by window row.
struct Ring {
    stride: usize,
    held: [Option<usize>; TAPS],
    work: Vec<u16>,
}

impl Ring {
    fn new(stride: usize) -> Self {
        Ring { stride, held: [None; TAPS], work: vec![0; stride * TAPS] }
    }

    fn clear(&mut self) {
        self.held = [None; TAPS];
    }

    /// Makes row `y` unless it is there. Any eight consecutive rows have places of their own.
    fn hold(&mut self, y: usize, make: impl FnOnce(&mut [u16])) {
        let place = y % TAPS;
        if self.held[place] != Some(y) {
            make(&mut self.work[place * self.stride..][..self.stride]);
            self.held[place] = Some(y);
        }
    }

    fn row(&self, y: usize) -> &[u16] {
        &self.work[y % TAPS * self.stride..][..self.stride]
    }
}

/// `t` of 16-bit work values.
#[multiversion(targets("x86_64+avx2"))]
fn wide_columns(plan: &Plan, rows: &[&[u16]; TAPS], out: &mut [i32]) {
    let len = out.len();
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows.map(|row| &row[..len]);
    let [w0, w1, w2, w3, ..] = plan.taps.map(|w| w as i16);
    // Products of two `i16` are cheap in SIMD. Flipping the top bit subtracts 32768, and weights of sum 1 bring
    // exactly that back.
    let product = |w: i16, v: u16| i32::from(w) * i32::from((v ^ 0x8000) as i16);
    for x in 0..len {
        let sum = product(w0, r0[x])
            + product(w1, r1[x])
            + product(w2, r2[x])
            + product(w3, r3[x])
            + product(w3, r4[x])
            + product(w2, r5[x])
            + product(w1, r6[x])
            + product(w0, r7[x]);
        out[x] = (sum + (1 << 13) + (0x8000 << TAP_BITS)) >> TAP_BITS;
    }
}

/// Hands every filtered value of the row, not yet clamped, to `put`.
#[multiversion(targets("x86_64+avx2"))]
fn wide_along(plan: &Plan, lanes: &Lanes, mut put: impl FnMut(usize, i32)) {
    let len = lanes.even.len() - (TAPS / 2 - 1) * lanes.row.channels;
    let [t0, t1, t2, t3, t4, t5, t6, t7]: [&[i32]; TAPS] = std::array::from_fn(|k| lanes.tap(k, len));
    let [w0, w1, w2, w3, ..] = plan.taps;
    for x in 0..len {
        let sum = w0 * (t0[x] + t7[x]) + w1 * (t1[x] + t6[x]) + w2 * (t2[x] + t5[x]) + w3 * (t3[x] + t4[x]);
        put(x, (sum + (1 << 13)) >> TAP_BITS);
    }
}

// The halo of the contract is what the padding of a row gives.
const _: () = assert!(BEFORE + 1 + AFTER == TAPS as u32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::resample::Filter;

    /// The 16-bit sums of the narrow path hold for every plan.
    #[test]
    fn narrow_weights_stay_inside_16_bits() {
        for filter in [Filter::Lanczos, Filter::Box, Filter::BicubicSharper] {
            let plan = Plan::new(filter);
            let weights = NarrowWeights::new(&plan);
            let most = |weights: [i16; TAPS / 2]| weights.iter().map(|w| i32::from(*w).abs() * 255).sum::<i32>();
            let (high, low) = (most(weights.high), most(weights.low));
            assert!(weights.high.iter().chain(&weights.low).all(|w| w.abs() <= 64), "{filter:?}: products of bytes");
            assert!(low <= i32::from(i16::MAX), "{filter:?}: low sum {low}");
            assert!(high + (low >> 7) < i32::from(i16::MAX), "{filter:?}: high sum {high}");
        }
    }
}
