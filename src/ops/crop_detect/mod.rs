//! Automatic crop bounds and the match mask they share with knock-out.
//!
//! **Matching by colour.** A pixel matches the corner pixel when every component, alpha included, differs by at
//! most `tolerance` × full scale. Without alpha the components are compared as stored: `limit = ⌊tolerance · max⌋`.
//! With alpha, colour components are compared premultiplied: `|c·a − c₀·a₀| ≤ ⌊tolerance · max²⌋` (exact in
//! unsigned 32 bits, 65535² included), alpha itself as stored against `⌊tolerance · max⌋`.
//!
//! **Matching by transparency.** A pixel is background when `alpha ≤ ⌊tolerance · max⌋`.
//!
//! **Bounds.** The smallest rectangle that holds every pixel that is not background; `None` when there is none.
//! Computed on decoded components, before any colour conversion. Integer throughout: both backends agree exactly.

pub mod cpu;
pub mod gpu;

use crate::geometry::Corner;
use crate::pixel::{PixelFormat, Raster};

/// What counts as background.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Background {
    /// Pixels that match the pixel in `corner` within `tolerance` (0–1).
    Color { corner: Corner, tolerance: f64 },
    /// Pixels whose alpha is at most `tolerance` (0–1) of full scale. Needs an alpha channel.
    Transparent { tolerance: f64 },
}

/// The one table that both backends consume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    Color {
        /// Reference values, one per channel: colour (premultiplied when there is alpha), then alpha.
        reference: [u32; 5],
        /// Largest difference that still matches, for colour.
        color_limit: u32,
        /// Largest difference that still matches, for alpha.
        alpha_limit: u32,
    },
    Transparent {
        alpha_limit: u32,
    },
}

impl Plan {
    /// `None` when the background is by transparency and `image` has no alpha.
    pub fn new(background: Background, image: &Raster) -> Option<Self> {
        let format = image.format;
        let max = format.depth.max();
        match background {
            Background::Color { corner, tolerance } => {
                let (x, y) = corner.pixel(image.size());
                let components = format.color.components();
                let mut reference = [0; 5];
                let alpha = if format.alpha { image.at(x, y, components) } else { 1 };
                for (channel, value) in reference.iter_mut().enumerate().take(components) {
                    *value = image.at(x, y, channel) * alpha;
                }
                if format.alpha {
                    reference[components] = alpha;
                }
                let color_max = if format.alpha { max as u64 * max as u64 } else { max.into() };
                Some(Plan::Color {
                    reference,
                    color_limit: limit(tolerance, color_max),
                    alpha_limit: limit(tolerance, max.into()),
                })
            }
            Background::Transparent { tolerance } => {
                format.alpha.then(|| Plan::Transparent { alpha_limit: limit(tolerance, max.into()) })
            }
        }
    }

    /// The contract in one line of code: whether a pixel of `format` is background. The reference for both loops.
    pub fn is_background(&self, format: PixelFormat, pixel: &[u32]) -> bool {
        let components = format.color.components();
        match *self {
            Plan::Color { reference, color_limit, alpha_limit } => {
                let alpha = if format.alpha { pixel[components] } else { 1 };
                (0..components).all(|c| (pixel[c] * alpha).abs_diff(reference[c]) <= color_limit)
                    && (!format.alpha || alpha.abs_diff(reference[components]) <= alpha_limit)
            }
            Plan::Transparent { alpha_limit } => pixel[components] <= alpha_limit,
        }
    }
}

/// `⌊tolerance · full_scale⌋`, forgiving the last bit of a decimal fraction such as 0.1 · 65535.
fn limit(tolerance: f64, full_scale: u64) -> u32 {
    (tolerance.clamp(0.0, 1.0) * full_scale as f64 + 1e-6).floor() as u32
}
