//! Unsharp mask on the CPU: the window's work values once, then per row the column sums, the row sums
//! and the sharpened pixels. Both sums add whole slices, shifted by a row or by a pixel, so one loop does both.

use std::ops::Range;

use rayon::prelude::*;

use super::Plan;
use crate::geometry::Size;
use crate::ops::premultiply::{Premultiply, color_back, premultiply};
use crate::pixel::{Color, PixelFormat, Raster, Samples};

/// Samples whose sums are built at once, in registers.
const BLOCK: usize = 32;

/// Appends rows `out_rows` of the same level, sharpened, to `out`, which has `window`'s width and format.
///
/// `window` holds unsharpened rows, the first of them row `window_start`; `full` is the size of the whole level.
/// The window holds every row within the plan's halo of the output, clamped to the level.
pub fn sharpen(plan: &Plan, window: &Raster, window_start: u32, full: Size, out_rows: Range<u32>, out: &mut Raster) {
    assert!(
        window.format == out.format && window.width == full.width && out.width == full.width,
        "rows of another shape"
    );
    if out_rows.is_empty() {
        return;
    }
    let done = out.samples.len();
    out.set_rows(out.height + out_rows.len() as u32);
    let first = out_rows.start.saturating_sub(plan.halo());
    let last = full.height.min(out_rows.end + plan.halo());
    let stride = window.stride();
    let rows = (first - window_start) as usize * stride..(last - window_start) as usize * stride;
    let offset = (out_rows.start - first) as usize;
    let format = window.format;
    match (&window.samples, &mut out.samples) {
        (Samples::U8(s), Samples::U8(out)) => sharpen_rows(plan, format, full, &s[rows], offset, &mut out[done..]),
        (Samples::U16(s), Samples::U16(out)) => sharpen_rows(plan, format, full, &s[rows], offset, &mut out[done..]),
        _ => unreachable!("formats are equal"),
    }
}

/// Work values of samples that are not premultiplied, and the unit of the threshold.
trait Work: Premultiply {
    /// Full scale of a work value without alpha.
    const SCALE: i32;
    /// One 8-bit unit without alpha.
    const UNIT: u32;
    /// One 8-bit unit with alpha.
    const UNIT_WITH_ALPHA: u32;
    fn value(self) -> u16;
    /// The sample of a work value of at most `SCALE`.
    fn back(value: i32) -> Self;
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

/// `samples` holds the rows read, the first row sharpened `offset` rows into them.
fn sharpen_rows<S: Work>(plan: &Plan, format: PixelFormat, size: Size, samples: &[S], offset: usize, out: &mut [S]) {
    let pixel = Pixel::new(plan, format);
    let channels = format.channels();
    let stride = size.width as usize * channels;
    let blurred_stride = size.width as usize * pixel.blurred_channels;

    let mut work = vec![0u16; samples.len() / channels * pixel.blurred_channels];
    work.par_chunks_mut(blurred_stride)
        .zip(samples.par_chunks(stride))
        .for_each(|(work, row)| pixel.prepare(row, work));

    let halo = plan.halo() as usize;
    let pad = halo * pixel.blurred_channels;
    let last = work.len() / blurred_stride - 1;
    out.par_chunks_mut(stride).enumerate().for_each_init(
        || (vec![0u16; blurred_stride + 2 * pad], vec![0u16; blurred_stride]),
        |(columns, blurred), (row, out)| {
            let y = offset + row;
            // Rows past the ends of `work` are past the ends of the level.
            let tap_row = |k: usize| {
                let y = (y + k).saturating_sub(halo).min(last);
                &work[y * blurred_stride..][..blurred_stride]
            };
            weighted_sums(&plan.weights, tap_row, &mut columns[pad..pad + blurred_stride]);
            replicate_ends(columns, pad, pixel.blurred_channels);
            let tap_column = |k: usize| &columns[k * pixel.blurred_channels..][..blurred_stride];
            weighted_sums(&plan.weights, tap_column, blurred);
            pixel.sharpen(&samples[y * stride..][..stride], tap_row(halo), blurred, out);
        },
    );
}

/// `out = (Σ w·tap(k) + 2^15) >> 16` over the taps k = 0 … 2·halo, whose slices are as long as `out`.
fn weighted_sums<'a>(weights: &[u32], tap: impl Fn(usize) -> &'a [u16], out: &mut [u16]) {
    let halo = weights.len() - 1;
    let len = out.len();
    // Two 16-bit factors, for the sake of SIMD: a plan has at least two weights, so each is below 2^16.
    let product = |weight: u32, value: u16| u32::from(weight as u16) * u32::from(value);
    let mut start = 0;
    while start + BLOCK <= len {
        let mut sums = [1u32 << 15; BLOCK];
        for k in 0..=2 * halo {
            let weight = weights[k.abs_diff(halo)];
            let values = tap(k)[start..].first_chunk::<BLOCK>().expect("a whole block is left");
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += product(weight, *value);
            }
        }
        for (out, sum) in out[start..start + BLOCK].iter_mut().zip(sums) {
            *out = (sum >> 16) as u16;
        }
        start += BLOCK;
    }
    for x in start..len {
        let sum: u32 = (0..=2 * halo).map(|k| product(weights[k.abs_diff(halo)], tap(k)[x])).sum();
        out[x] = ((sum + (1 << 15)) >> 16) as u16;
    }
}

/// Fills `pad` samples at both ends of `row` with its outermost pixels.
fn replicate_ends(row: &mut [u16], pad: usize, channels: usize) {
    let end = row.len() - pad;
    for x in (0..pad).step_by(channels) {
        row.copy_within(pad..pad + channels, x);
        row.copy_within(end - channels..end, end + x);
    }
}

/// What happens to one pixel.
struct Pixel {
    format: PixelFormat,
    monochrome: bool,
    amount: i32,
    threshold: u32,
    /// Values per pixel that are blurred: the format's own, or luma and alpha.
    blurred_channels: usize,
}

impl Pixel {
    fn new(plan: &Plan, format: PixelFormat) -> Self {
        // Luma of gray is gray.
        let monochrome = plan.monochrome && format.color != Color::Gray;
        Pixel {
            format,
            monochrome,
            amount: plan.amount,
            threshold: plan.threshold,
            blurred_channels: if monochrome { 1 + usize::from(format.alpha) } else { format.channels() },
        }
    }

    /// The values to be blurred of a row of pixels.
    fn prepare<S: Work>(&self, row: &[S], work: &mut [u16]) {
        if !self.monochrome {
            self.values(row, work);
            return;
        }
        let channels = self.format.channels();
        let mut values = [0; 5];
        for (pixel, work) in row.chunks_exact(channels).zip(work.chunks_exact_mut(self.blurred_channels)) {
            self.values(pixel, &mut values[..channels]);
            work[0] = luma(self.format.color, &values);
            if self.format.alpha {
                work[1] = values[channels - 1];
            }
        }
    }

    /// Work values of all samples.
    fn values<S: Work>(&self, samples: &[S], work: &mut [u16]) {
        if self.format.alpha {
            premultiply(samples, self.format.channels(), work);
        } else {
            for (work, sample) in work.iter_mut().zip(samples) {
                *work = sample.value();
            }
        }
    }

    /// What is added to a work value that differs by `d` from its surroundings; `None` within the threshold.
    fn change(&self, value: u16, blurred: u16, unit: u32) -> Option<i32> {
        let d = i32::from(value) - i32::from(blurred);
        (d.unsigned_abs() > self.threshold * unit).then_some((self.amount * d + (1 << 11)) >> 12)
    }

    /// Sharpens one row: its samples, what was blurred and the result of that.
    fn sharpen<S: Work>(&self, row: &[S], work: &[u16], blurred: &[u16], out: &mut [S]) {
        match (self.format.alpha, self.monochrome) {
            (false, false) => {
                for (((work, blurred), sample), out) in work.iter().zip(blurred).zip(row).zip(out) {
                    *out = match self.change(*work, *blurred, S::UNIT) {
                        Some(change) => S::back((i32::from(*work) + change).clamp(0, S::SCALE)),
                        None => *sample,
                    };
                }
            }
            (false, true) => {
                for (((work, blurred), pixel), out) in work
                    .iter()
                    .zip(blurred)
                    .zip(row.chunks_exact(self.format.channels()))
                    .zip(out.chunks_exact_mut(self.format.channels()))
                {
                    match self.change(*work, *blurred, S::UNIT) {
                        Some(change) => {
                            for (sample, out) in pixel.iter().zip(out) {
                                *out = S::back((i32::from(sample.value()) + change).clamp(0, S::SCALE));
                            }
                        }
                        None => out.copy_from_slice(pixel),
                    }
                }
            }
            (true, _) => {
                let (n, m) = (self.format.channels(), self.blurred_channels);
                let around = work.chunks_exact(m).zip(blurred.chunks_exact(m));
                for ((pixel, out), (work, blurred)) in row.chunks_exact(n).zip(out.chunks_exact_mut(n)).zip(around) {
                    self.sharpen_with_alpha(pixel, work, blurred, out);
                }
            }
        }
    }

    fn sharpen_with_alpha<S: Work>(&self, pixel: &[S], work: &[u16], blurred: &[u16], out: &mut [S]) {
        let mut changes = [None; 5];
        for ((change, work), blurred) in changes.iter_mut().zip(work).zip(blurred) {
            *change = self.change(*work, *blurred, S::UNIT_WITH_ALPHA);
        }
        if changes.iter().all(Option::is_none) {
            out.copy_from_slice(pixel);
            return;
        }
        let changed =
            |value: u16, change: Option<i32>| (i32::from(value) + change.unwrap_or(0)).clamp(0, S::FULL as i32) as u32;
        let mut values = [0; 5];
        self.values(pixel, &mut values[..pixel.len()]);
        let components = pixel.len() - 1;
        let alpha = changed(values[components], changes[self.blurred_channels - 1]);
        for c in 0..components {
            let change = if self.monochrome { changes[0] } else { changes[c] };
            out[c] = color_back(changed(values[c], change).min(alpha), alpha);
        }
        out[components] = S::alpha_back(alpha);
    }
}

/// The one value that stands for the colour components.
fn luma(color: Color, values: &[u16; 5]) -> u16 {
    let [a, b, c, black, _] = values.map(u32::from);
    let rec601 = (9798 * a + 19235 * b + 3735 * c + (1 << 14)) >> 15;
    match color {
        Color::Gray => values[0],
        Color::Rgb => rec601 as u16,
        Color::Cmyk => ((rec601 + black + 1) >> 1) as u16,
    }
}
