//! Crop bounds and match mask on the CPU. Bounds read rows from the top and from the bottom until one holds
//! something, then only what lies outside the columns already known to hold something.

use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use super::Plan;
use crate::geometry::Rect;
use crate::pixel::{PixelFormat, Raster, Sample, Samples};

/// Pixels that are compared at once before the first that differs is looked for.
const BLOCK: usize = 16;

/// The difference in the sample's own type: wider ones would halve the lanes of SIMD.
trait Compare: Sample {
    fn difference(self, other: Self) -> Self;
}

impl Compare for u8 {
    fn difference(self, other: u8) -> u8 {
        self.abs_diff(other)
    }
}

impl Compare for u16 {
    fn difference(self, other: u16) -> u16 {
        self.abs_diff(other)
    }
}

/// The smallest rectangle that holds every pixel that is not background; `None` when there is none.
pub fn bounds(plan: &Plan, image: &Raster) -> Option<Rect> {
    match &image.samples {
        Samples::U8(samples) => bounds_of(&Matcher::new(plan, image.format), image, samples),
        Samples::U16(samples) => bounds_of(&Matcher::new(plan, image.format), image, samples),
    }
}

/// One byte per pixel, row by row: 255 for background, else 0.
pub fn match_mask(plan: &Plan, image: &Raster) -> Vec<u8> {
    match &image.samples {
        Samples::U8(samples) => mask_of(&Matcher::new(plan, image.format), image, samples),
        Samples::U16(samples) => mask_of(&Matcher::new(plan, image.format), image, samples),
    }
}

fn bounds_of<S: Compare>(matcher: &Matcher<S>, image: &Raster, samples: &[S]) -> Option<Rect> {
    let channels = image.format.channels();
    let row = |y: u32| &samples[y as usize * image.stride()..][..image.stride()];
    let holds_something = |y: &u32| matcher.first_object(row(*y)).is_some();
    let top = (0..image.height).into_par_iter().find_first(holds_something)?;
    let bottom = (top..image.height).into_par_iter().find_last(holds_something)?;

    let left = AtomicU32::new(image.width - 1);
    let right = AtomicU32::new(0);
    (top..=bottom).into_par_iter().for_each(|y| {
        let row = row(y);
        // A bound read late only makes a row read more than it had to.
        let before = left.load(Ordering::Relaxed) as usize;
        if let Some(x) = matcher.first_object(&row[..before * channels]) {
            left.fetch_min(x as u32, Ordering::Relaxed);
        }
        let after = right.load(Ordering::Relaxed) as usize + 1;
        if let Some(x) = matcher.last_object(&row[after * channels..]) {
            right.fetch_max((after + x) as u32, Ordering::Relaxed);
        }
    });
    let (left, right) = (left.into_inner(), right.into_inner());
    Some(Rect { x: left, y: top, width: right - left + 1, height: bottom - top + 1 })
}

fn mask_of<S: Compare>(matcher: &Matcher<S>, image: &Raster, samples: &[S]) -> Vec<u8> {
    let mut mask = vec![0; image.width as usize * image.height as usize];
    mask.par_chunks_mut(image.width as usize).zip(samples.par_chunks(image.stride())).for_each(|(mask, row)| {
        let blocks = mask.chunks_mut(BLOCK).zip(row.chunks(BLOCK * matcher.channels));
        for (mask, pixels) in blocks {
            if matcher.all_background(pixels) {
                mask.fill(255);
            } else {
                for (mask, pixel) in mask.iter_mut().zip(pixels.chunks_exact(matcher.channels)) {
                    *mask = if matcher.is_background(pixel) { 255 } else { 0 };
                }
            }
        }
    });
    mask
}

/// The plan, made ready for one sample type.
struct Matcher<S> {
    plan: Plan,
    format: PixelFormat,
    channels: usize,
    /// For colour without alpha: the reference pixel over and over, `BLOCK` times, and the largest difference.
    pattern: Option<(Vec<S>, S)>,
}

impl<S: Compare> Matcher<S> {
    fn new(plan: &Plan, format: PixelFormat) -> Self {
        let channels = format.channels();
        let pattern = match plan {
            Plan::Color { reference, color_limit, .. } if !format.alpha => {
                let pixel: Vec<S> = reference[..channels].iter().map(|v| S::from_u32(*v)).collect();
                Some((pixel.repeat(BLOCK), S::from_u32(*color_limit)))
            }
            _ => None,
        };
        Matcher { plan: *plan, format, channels, pattern }
    }

    fn is_background(&self, pixel: &[S]) -> bool {
        if let Some((pattern, limit)) = &self.pattern {
            return pixel.iter().zip(pattern).all(|(a, b)| a.difference(*b) <= *limit);
        }
        let mut values = [0; 5];
        for (value, sample) in values.iter_mut().zip(pixel) {
            *value = (*sample).into();
        }
        self.plan.is_background(self.format, &values[..pixel.len()])
    }

    /// Whether a run of at most `BLOCK` pixels is background throughout.
    fn all_background(&self, pixels: &[S]) -> bool {
        match &self.pattern {
            Some((pattern, limit)) => {
                let widest = pixels.iter().zip(pattern).map(|(a, b)| a.difference(*b));
                widest.fold(S::from_u32(0), Ord::max) <= *limit
            }
            None => pixels.chunks_exact(self.channels).all(|pixel| self.is_background(pixel)),
        }
    }

    /// The first pixel of a run that is not background.
    fn first_object(&self, pixels: &[S]) -> Option<usize> {
        let block = BLOCK * self.channels;
        let (index, pixels) = pixels.chunks(block).enumerate().find(|(_, pixels)| !self.all_background(pixels))?;
        let within = pixels.chunks_exact(self.channels).position(|pixel| !self.is_background(pixel))?;
        Some(index * BLOCK + within)
    }

    /// The last pixel of a run that is not background.
    fn last_object(&self, pixels: &[S]) -> Option<usize> {
        let block = BLOCK * self.channels;
        let count = pixels.len() / self.channels;
        let (index, pixels) = pixels.rchunks(block).enumerate().find(|(_, pixels)| !self.all_background(pixels))?;
        let within = pixels.chunks_exact(self.channels).rev().position(|pixel| !self.is_background(pixel))?;
        Some(count - 1 - index * BLOCK - within)
    }
}
