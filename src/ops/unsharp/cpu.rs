//! Unsharp mask on the CPU: per row the sums down the columns, the sums along the row and the sharpened pixels.
//! Both sums add whole slices, shifted by a row or by a pixel, so one loop does both.
//!
//! Samples without alpha are summed as they are. With alpha, and in monochrome, the work values of all rows
//! that are read are made first.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

use super::Plan;
#[cfg(target_arch = "x86_64")]
use super::avx2;
use crate::geometry::Size;
use crate::ops::premultiply::{Premultiply, color_back, premultiply};
use crate::ops::replicate_ends;
use crate::pixel::{Color, PixelFormat, Raster, Samples};

/// Samples whose sums over a wide kernel are built at once.
const BLOCK: usize = 1024;
/// Output rows that one task computes at least; their buffers are made for each.
const ROWS_PER_TASK: usize = 8;
/// Pairs of taps of a wide kernel that are added at once.
const PAIRS: usize = 4;

/// Makes rows `out_rows` of the same level, sharpened, all that `out` holds, which has `window`'s width and format.
///
/// `window` holds unsharpened rows, the first of them row `window_start`; `full` is the size of the whole level.
/// The window holds every row within the plan's halo of the output, clamped to the level.
pub fn sharpen(plan: &Plan, window: &Raster, window_start: u32, full: Size, out_rows: Range<u32>, out: &mut Raster) {
    assert!(
        window.format == out.format && window.width == full.width && out.width == full.width,
        "rows of another shape"
    );
    // Those that are there already are not made zero again.
    out.set_rows(out_rows.len() as u32);
    if out_rows.is_empty() {
        return;
    }
    let first = out_rows.start.saturating_sub(plan.halo());
    let last = full.height.min(out_rows.end + plan.halo());
    let stride = window.stride();
    let rows = (first - window_start) as usize * stride..(last - window_start) as usize * stride;
    let offset = (out_rows.start - first) as usize;
    let format = window.format;
    match (&window.samples, &mut out.samples) {
        (Samples::U8(s), Samples::U8(out)) => sharpen_rows(plan, format, full, &s[rows], offset, out),
        (Samples::U16(s), Samples::U16(out)) => sharpen_rows(plan, format, full, &s[rows], offset, out),
        _ => unreachable!("formats are equal"),
    }
}

/// Samples as they are summed and sharpened.
trait Work: Premultiply + Tap {
    /// Full scale of a work value without alpha.
    const SCALE: i32;
    /// One 8-bit unit without alpha.
    const UNIT: u32;
    /// One 8-bit unit with alpha.
    const UNIT_WITH_ALPHA: u32;
    /// The work value without alpha.
    fn value(self) -> u16;
    /// The sample of a work value of at most `SCALE`.
    fn back(value: i32) -> Self;
    /// The first sharpened samples, where this machine has instructions for many at once; how many.
    fn sharpen_in_vectors(_pixel: &Pixel, _row: &[Self], _blurred: &[u16], _out: &mut [Self]) -> usize {
        0
    }
}

impl Work for u8 {
    const SCALE: i32 = 65280;
    const UNIT: u32 = 256;
    const UNIT_WITH_ALPHA: u32 = 255;
    fn value(self) -> u16 {
        u16::from(self) << 8
    }
    fn back(value: i32) -> u8 {
        ((value + 128) >> 8) as u8
    }
    #[cfg(target_arch = "x86_64")]
    fn sharpen_in_vectors(pixel: &Pixel, row: &[u8], blurred: &[u16], out: &mut [u8]) -> usize {
        avx2::sharpen(pixel, row, blurred, out)
    }
}

impl Work for u16 {
    const SCALE: i32 = 65535;
    const UNIT: u32 = 257;
    const UNIT_WITH_ALPHA: u32 = 257;
    fn value(self) -> u16 {
        self
    }
    fn back(value: i32) -> u16 {
        value as u16
    }
}

/// What the sums add up. Products are written with two 16-bit factors, for which SIMD has cheap instructions.
trait Tap: Copy + Sync {
    /// Bits that turn a sum of weighted taps into a work value.
    const SHIFT: u32;
    fn single(weight: u16, value: Self) -> u32;
    /// Two values under the same weight.
    fn pair(weight: u16, a: Self, b: Self) -> u32;
    /// The first sums, where this machine has instructions for many at once; how many.
    fn narrow_sums_in_vectors<const H: usize>(_taps: &Taps<Self, H>, _out: &mut [u16]) -> usize {
        0
    }
}

impl Tap for u8 {
    // An 8-bit sample is 2^-8 of its work value.
    const SHIFT: u32 = 8;
    fn single(weight: u16, value: u8) -> u32 {
        u32::from(weight) * u32::from(value)
    }
    fn pair(weight: u16, a: u8, b: u8) -> u32 {
        u32::from(weight) * u32::from(u16::from(a) + u16::from(b))
    }
    #[cfg(target_arch = "x86_64")]
    fn narrow_sums_in_vectors<const H: usize>(taps: &Taps<u8, H>, out: &mut [u16]) -> usize {
        avx2::bytes(taps, out)
    }
}

impl Tap for u16 {
    const SHIFT: u32 = 16;
    fn single(weight: u16, value: u16) -> u32 {
        u32::from(weight) * u32::from(value)
    }
    fn pair(weight: u16, a: u16, b: u16) -> u32 {
        u32::from(weight) * u32::from(a) + u32::from(weight) * u32::from(b)
    }
    #[cfg(target_arch = "x86_64")]
    fn narrow_sums_in_vectors<const H: usize>(taps: &Taps<u16, H>, out: &mut [u16]) -> usize {
        avx2::words(taps, out)
    }
}

/// `samples` holds the rows read, the first row sharpened `offset` rows into them.
fn sharpen_rows<S: Work>(plan: &Plan, format: PixelFormat, size: Size, samples: &[S], offset: usize, out: &mut [S]) {
    let width = size.width as usize;
    let stride = width * format.channels();
    let pixel = Pixel { amount: plan.amount as u16, threshold: plan.threshold };
    // Luma of gray is gray.
    let monochrome = plan.monochrome && format.color != Color::Gray;
    if !format.alpha && !monochrome {
        let rows = Rows { taps: samples, channels: format.channels(), width, offset };
        blurred_rows(plan, rows, out, stride, |y, blurred, out| {
            sharpen_samples(&pixel, &samples[y * stride..][..stride], blurred, out);
        });
        return;
    }
    let channels = if monochrome { 1 + usize::from(format.alpha) } else { format.channels() };
    let work_stride = width * channels;
    let mut work = vec![0u16; samples.len() / stride * work_stride];
    work.par_chunks_mut(work_stride).zip(samples.par_chunks(stride)).for_each(|(work, row)| {
        match (monochrome, format.channels()) {
            (false, _) => premultiply(row, channels, work),
            (true, 3) => lumas::<S, 3>(format, row, work),
            (true, 4) => lumas::<S, 4>(format, row, work),
            (true, 5) => lumas::<S, 5>(format, row, work),
            (true, _) => unreachable!("gray is its own luma"),
        }
    });
    blurred_rows(plan, Rows { taps: &work, channels, width, offset }, out, stride, |y, blurred, out| {
        let row = &samples[y * stride..][..stride];
        let work = &work[y * work_stride..][..work_stride];
        match (format.alpha, format.color, monochrome) {
            (false, Color::Cmyk, _) => sharpen_luma::<S, 4>(&pixel, row, work, blurred, out),
            (false, ..) => sharpen_luma::<S, 3>(&pixel, row, work, blurred, out),
            (true, Color::Gray, _) => pixel.sharpen_with_alpha::<S, 2, 2>(row, work, blurred, out),
            (true, Color::Rgb | Color::Lab, false) => pixel.sharpen_with_alpha::<S, 4, 4>(row, work, blurred, out),
            (true, Color::Rgb | Color::Lab, true) => pixel.sharpen_with_alpha::<S, 4, 2>(row, work, blurred, out),
            (true, Color::Cmyk, false) => pixel.sharpen_with_alpha::<S, 5, 5>(row, work, blurred, out),
            (true, Color::Cmyk, true) => pixel.sharpen_with_alpha::<S, 5, 2>(row, work, blurred, out),
        }
    });
}

/// The rows that the sums read.
struct Rows<'a, T> {
    taps: &'a [T],
    channels: usize,
    width: usize,
    /// The row of `taps` that becomes the first row of output.
    offset: usize,
}

/// Blurs every output row and hands it to `finish`, with the index of its row in `taps` and the output row.
fn blurred_rows<T: Tap, S: Send>(
    plan: &Plan,
    Rows { taps, channels, width, offset }: Rows<'_, T>,
    out: &mut [S],
    out_stride: usize,
    finish: impl Fn(usize, &[u16], &mut [S]) + Sync,
) {
    let weights: Vec<u16> =
        plan.weights.iter().map(|w| u16::try_from(*w).expect("one of several weights of sum 1")).collect();
    let halo = plan.halo() as usize;
    let stride = width * channels;
    let pad = halo * channels;
    let last = taps.len() / stride - 1;
    out.par_chunks_mut(out_stride).enumerate().with_min_len(ROWS_PER_TASK).for_each_init(
        || (vec![0u16; stride + 2 * pad], vec![0u16; stride]),
        |(columns, blurred), (row, out)| {
            let y = offset + row;
            // Rows past the ends of `taps` are past the ends of the level.
            let tap_row = |k: usize| &taps[(y + k).saturating_sub(halo).min(last) * stride..][..stride];
            weighted_sums(&weights, tap_row, &mut columns[pad..pad + stride]);
            replicate_ends(columns, pad..pad + stride, channels);
            weighted_sums(&weights, |k| &columns[k * channels..][..stride], blurred);
            finish(y, blurred, out);
        },
    );
}

/// `out = Σ w·tap(k)`, rounded, over the taps k = 0 … 2·halo, whose slices are as long as `out`.
fn weighted_sums<'a, T: Tap + 'a>(weights: &[u16], tap: impl Fn(usize) -> &'a [T], out: &mut [u16]) {
    match weights.len() - 1 {
        1 => narrow_sums::<T, 1>(weights, tap, out),
        2 => narrow_sums::<T, 2>(weights, tap, out),
        3 => narrow_sums::<T, 3>(weights, tap, out),
        4 => narrow_sums::<T, 4>(weights, tap, out),
        5 => narrow_sums::<T, 5>(weights, tap, out),
        6 => narrow_sums::<T, 6>(weights, tap, out),
        _ => wide_sums(weights, tap, out),
    }
}

fn rounded<T: Tap>(sum: u32) -> u16 {
    ((sum + (1 << (T::SHIFT - 1))) >> T::SHIFT) as u16
}

/// The taps of a narrow kernel, each as long as the output, and their weights.
pub(super) struct Taps<'a, T, const H: usize> {
    pub center: &'a [T],
    /// The nearest first.
    pub before: [&'a [T]; H],
    pub after: [&'a [T]; H],
    pub center_weight: u16,
    pub weights: [u16; H],
}

/// A halo of `H`, known to the compiler: all taps of one sample at once.
fn narrow_sums<'a, T: Tap + 'a, const H: usize>(weights: &[u16], tap: impl Fn(usize) -> &'a [T], out: &mut [u16]) {
    let len = out.len();
    let taps: Taps<T, H> = Taps {
        center: &tap(H)[..len],
        before: std::array::from_fn(|k| &tap(H - 1 - k)[..len]),
        after: std::array::from_fn(|k| &tap(H + 1 + k)[..len]),
        center_weight: weights[0],
        weights: std::array::from_fn(|k| weights[k + 1]),
    };
    let done = T::narrow_sums_in_vectors(&taps, out);
    for (x, out) in out.iter_mut().enumerate().skip(done) {
        let mut sum = T::single(taps.center_weight, taps.center[x]);
        for k in 0..H {
            sum += T::pair(taps.weights[k], taps.before[k][x], taps.after[k][x]);
        }
        *out = rounded::<T>(sum);
    }
}

/// Any halo: sums of a block of samples, which stay in cache while pairs of taps are added, a few at once.
fn wide_sums<'a, T: Tap + 'a>(weights: &[u16], tap: impl Fn(usize) -> &'a [T], out: &mut [u16]) {
    let halo = weights.len() - 1;
    let mut sums = [0; BLOCK];
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let start = block * BLOCK;
        let sums = &mut sums[..out.len()];
        for (sum, value) in sums.iter_mut().zip(&tap(halo)[start..]) {
            *sum = T::single(weights[0], *value);
        }
        let mut first = 1;
        while first + PAIRS <= weights.len() {
            let before = std::array::from_fn(|k| &tap(halo - first - k)[start..]);
            let after = std::array::from_fn(|k| &tap(halo + first + k)[start..]);
            add_pairs::<T, PAIRS>(&weights[first..], before, after, sums);
            first += PAIRS;
        }
        for (k, weight) in weights.iter().enumerate().skip(first) {
            add_pairs::<T, 1>(&[*weight], [&tap(halo - k)[start..]], [&tap(halo + k)[start..]], sums);
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = rounded::<T>(*sum);
        }
    }
}

/// Adds `N` pairs of taps to every sum.
#[multiversion(targets("x86_64+avx2"))]
fn add_pairs<T: Tap, const N: usize>(weights: &[u16], before: [&[T]; N], after: [&[T]; N], sums: &mut [u32]) {
    let len = sums.len();
    let weights: [u16; N] = std::array::from_fn(|k| weights[k]);
    let (before, after) = (before.map(|values| &values[..len]), after.map(|values| &values[..len]));
    for x in 0..len {
        let mut sum = sums[x];
        for k in 0..N {
            sum += T::pair(weights[k], before[k][x], after[k][x]);
        }
        sums[x] = sum;
    }
}

/// What happens to the pixels of one row.
pub(super) struct Pixel {
    /// In 4096ths.
    pub amount: u16,
    /// In 8-bit units.
    pub threshold: u32,
}

impl Pixel {
    /// Whether a work value differs enough from its surroundings, and what is then added to it, else 0.
    /// Without branches, and with products of 16-bit factors.
    #[inline]
    fn change(&self, value: u16, blurred: u16, unit: u32) -> (bool, i32) {
        let distance = value.abs_diff(blurred);
        let passes = u32::from(distance) > self.threshold * unit;
        let product = (u32::from(self.amount) * u32::from(distance)) as i32;
        let signed = if value < blurred { -product } else { product };
        (passes, if passes { (signed + (1 << 11)) >> 12 } else { 0 })
    }

    /// With alpha: `C` channels, of which `B` values were blurred: all of them, or luma and alpha.
    fn sharpen_with_alpha<S: Work, const C: usize, const B: usize>(
        &self,
        row: &[S],
        work: &[u16],
        blurred: &[u16],
        out: &mut [S],
    ) {
        let pixels = row.as_chunks::<C>().0.iter().zip(out.as_chunks_mut::<C>().0);
        let around = work.as_chunks::<B>().0.iter().zip(blurred.as_chunks::<B>().0);
        for ((pixel, out), (work, blurred)) in pixels.zip(around) {
            let changes: [(bool, i32); B] =
                std::array::from_fn(|c| self.change(work[c], blurred[c], S::UNIT_WITH_ALPHA));
            if !changes.iter().any(|(passes, _)| *passes) {
                *out = *pixel;
                continue;
            }
            let alpha = pixel[C - 1].into();
            let changed = |value: u16, change: i32| (i32::from(value) + change).clamp(0, S::FULL as i32) as u32;
            let new_alpha = changed(S::alpha(alpha), changes[B - 1].1);
            for c in 0..C - 1 {
                let (_, change) = if B == C { changes[c] } else { changes[0] };
                let color = changed(S::color(pixel[c].into(), alpha), change);
                out[c] = color_back(color.min(new_alpha), new_alpha);
            }
            out[C - 1] = S::alpha_back(new_alpha);
        }
    }
}

/// The luma of every pixel of `C` channels, each followed by its alpha where there is one.
fn lumas<S: Work, const C: usize>(format: PixelFormat, row: &[S], work: &mut [u16]) {
    let work_channels = 1 + usize::from(format.alpha);
    for (pixel, work) in row.as_chunks::<C>().0.iter().zip(work.chunks_exact_mut(work_channels)) {
        if format.alpha {
            let alpha = pixel[C - 1].into();
            work[0] = luma(format.color, pixel.map(|sample| S::color(sample.into(), alpha)));
            work[1] = S::alpha(alpha);
        } else {
            work[0] = luma(format.color, pixel.map(S::value));
        }
    }
}

/// Without alpha and not in monochrome: every sample for itself. A change of 0 gives back the sample.
#[multiversion(targets("x86_64+avx2"))]
fn sharpen_samples<S: Work>(pixel: &Pixel, row: &[S], blurred: &[u16], out: &mut [S]) {
    let done = S::sharpen_in_vectors(pixel, row, blurred, out);
    for ((sample, blurred), out) in row.iter().zip(blurred).zip(out).skip(done) {
        let (_, change) = pixel.change(sample.value(), *blurred, S::UNIT);
        *out = S::back((i32::from(sample.value()) + change).clamp(0, S::SCALE));
    }
}

/// Monochrome without alpha, pixels of `C` channels.
fn sharpen_luma<S: Work, const C: usize>(pixel: &Pixel, row: &[S], lumas: &[u16], blurred: &[u16], out: &mut [S]) {
    let pixels = row.as_chunks::<C>().0.iter().zip(out.as_chunks_mut::<C>().0);
    for ((samples, out), (luma, blurred)) in pixels.zip(lumas.iter().zip(blurred)) {
        let (_, change) = pixel.change(*luma, *blurred, S::UNIT);
        *out = samples.map(|sample| S::back((i32::from(sample.value()) + change).clamp(0, S::SCALE)));
    }
}

/// The one value that stands for the colour components, which come first.
fn luma<const C: usize>(color: Color, values: [u16; C]) -> u16 {
    let values = values.map(u32::from);
    let rec601 = || (9798 * values[0] + 19235 * values[1] + 3735 * values[2] + (1 << 14)) >> 15;
    match color {
        Color::Gray => values[0] as u16,
        Color::Rgb => rec601() as u16,
        // L* comes first.
        Color::Lab => values[0] as u16,
        Color::Cmyk => ((rec601() + values[3] + 1) >> 1) as u16,
    }
}
