//! Filling the match mask from the corner, and applying it.

use rayon::prelude::*;

use super::{Fill, Knockout};
use crate::geometry::Size;
use crate::pixel::{Raster, Sample, Samples};

/// Mask value of a pixel that the fill has reached.
const FILLED: u8 = 1;

/// A copy of `image` with alpha, its knocked-out pixels at alpha 0.
///
/// `mask` is the match mask of [`crop_detect`](crate::ops::crop_detect): one byte per pixel, 255 where it matches.
pub fn apply(knockout: &Knockout, mut mask: Vec<u8>, image: &Raster) -> Raster {
    assert_eq!(mask.len() as u64, image.size().pixels(), "a mask of another size");
    let knocked_out = match knockout.fill {
        Fill::MatchPixel => 255,
        Fill::FloodFill => {
            flood(&mut mask, image.size(), knockout.corner.pixel(image.size()));
            FILLED
        }
    };
    let mut out = Raster::zeroed(image.format.with_alpha(), image.size());
    let (from, to) = (image.format.channels(), out.format.channels());
    match (&image.samples, &mut out.samples) {
        (Samples::U8(pixels), Samples::U8(out)) => clear(&mask, knocked_out, pixels, from, out, to),
        (Samples::U16(pixels), Samples::U16(out)) => clear(&mask, knocked_out, pixels, from, out, to),
        _ => unreachable!("the depth stays"),
    }
    out
}

fn clear<S: Sample>(mask: &[u8], knocked_out: u8, pixels: &[S], from: usize, out: &mut [S], to: usize) {
    const PIXELS_PER_TASK: usize = 1 << 14;
    let tasks = out.par_chunks_mut(PIXELS_PER_TASK * to);
    tasks.zip(pixels.par_chunks(PIXELS_PER_TASK * from)).zip(mask.par_chunks(PIXELS_PER_TASK)).for_each(
        |((out, pixels), mask)| {
            for ((out, pixel), mask) in out.chunks_exact_mut(to).zip(pixels.chunks_exact(from)).zip(mask) {
                out[to - 1] = S::from_u32(S::MAX);
                out[..from].copy_from_slice(pixel);
                if *mask == knocked_out {
                    out[to - 1] = S::from_u32(0);
                }
            }
        },
    );
}

/// Marks the pixels connected with `start` through matching pixels, by whole runs of a row.
///
/// A run is marked when it is found and then waits on the stack once, so the stack never holds more
/// entries than the mask has runs.
fn flood(mask: &mut [u8], size: Size, start: (u32, u32)) {
    let width = size.width as usize;
    let mut waiting = Vec::new();
    if let Some(run) = fill_run(mask, width, start.1 as usize, start.0 as usize) {
        waiting.push(run);
    }
    while let Some(Run { y, left, right }) = waiting.pop() {
        let above = y.checked_sub(1);
        let below = (y + 1 < size.height).then_some(y + 1);
        for y in above.into_iter().chain(below) {
            let mut x = left as usize;
            while x <= right as usize {
                match fill_run(mask, width, y as usize, x) {
                    Some(run) => {
                        // The pixel after a run does not match.
                        x = run.right as usize + 2;
                        waiting.push(run);
                    }
                    None => x += 1,
                }
            }
        }
    }
}

/// Pixels `left ..= right` of row `y`.
struct Run {
    y: u32,
    left: u32,
    right: u32,
}

/// Marks the run of matching pixels around `x`, if that pixel matches and is not marked yet.
fn fill_run(mask: &mut [u8], width: usize, y: usize, x: usize) -> Option<Run> {
    let row = &mut mask[y * width..][..width];
    if row[x] != 255 {
        return None;
    }
    let left = row[..x].iter().rposition(|m| *m != 255).map_or(0, |end| end + 1);
    let right = row[x..].iter().position(|m| *m != 255).map_or(width, |length| x + length);
    row[left..right].fill(FILLED);
    Some(Run { y: y as u32, left: left as u32, right: right as u32 - 1 })
}
