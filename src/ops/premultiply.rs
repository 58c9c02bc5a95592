//! Premultiplied work values of pixels with alpha, as [`resample`](super::resample) and
//! [`unsharp`](super::unsharp) filter them; their contracts state the arithmetic.
//!
//! Every work value fits 16 bits, whatever the depth: 8-bit samples become `c·a` of at most 65025.

use crate::pixel::Sample;

/// A sample type's way into and out of premultiplied work values.
pub(super) trait Premultiply: Sample {
    /// Work value of full alpha.
    const FULL: u32;
    /// Work value of a colour component under `alpha`.
    fn color(color: u32, alpha: u32) -> u16;
    /// Work value of an alpha sample.
    fn alpha(alpha: u32) -> u16;
    /// The alpha sample of a work value of at most `FULL`.
    fn alpha_back(alpha: u32) -> Self;
}

impl Premultiply for u8 {
    const FULL: u32 = 65025;
    fn color(color: u32, alpha: u32) -> u16 {
        (color * alpha) as u16
    }
    fn alpha(alpha: u32) -> u16 {
        (alpha * 255) as u16
    }
    fn alpha_back(alpha: u32) -> u8 {
        ((alpha + 127) / 255) as u8
    }
}

impl Premultiply for u16 {
    const FULL: u32 = 65535;
    fn color(color: u32, alpha: u32) -> u16 {
        ((color * alpha + 32767) / 65535) as u16
    }
    fn alpha(alpha: u32) -> u16 {
        alpha as u16
    }
    fn alpha_back(alpha: u32) -> u16 {
        alpha as u16
    }
}

/// The colour sample of a premultiplied work value `color ≤ alpha`, given the alpha work value.
pub(super) fn color_back<S: Premultiply>(color: u32, alpha: u32) -> S {
    S::from_u32(match alpha {
        0 => 0,
        // The common case, spelled out: dividing by a constant is a multiplication.
        full if full == S::FULL => (color * S::MAX + S::FULL / 2) / S::FULL,
        _ => (color * S::MAX + alpha / 2) / alpha,
    })
}

/// Premultiplies whole pixels of `channels` samples, alpha last.
pub(super) fn premultiply<S: Premultiply>(pixels: &[S], channels: usize, work: &mut [u16]) {
    match channels {
        2 => premultiply_of::<S, 2>(pixels, work),
        4 => premultiply_of::<S, 4>(pixels, work),
        5 => premultiply_of::<S, 5>(pixels, work),
        _ => unreachable!("pixels with alpha have 2, 4 or 5 samples"),
    }
}

fn premultiply_of<S: Premultiply, const C: usize>(pixels: &[S], work: &mut [u16]) {
    for (pixel, work) in pixels.as_chunks::<C>().0.iter().zip(work.as_chunks_mut::<C>().0) {
        let alpha: u32 = pixel[C - 1].into();
        for c in 0..C - 1 {
            work[c] = S::color(pixel[c].into(), alpha);
        }
        work[C - 1] = S::alpha(alpha);
    }
}
