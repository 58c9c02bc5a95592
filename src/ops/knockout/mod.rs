//! Knock-out: background pixels, as [`crop_detect`](super::crop_detect) defines them by colour, get alpha 0.
//!
//! An alpha channel is added (opaque elsewhere) when there was none; other alpha is kept, and so is colour.
//! `MatchPixel` takes every matching pixel, `FloodFill` only those connected with the corner through
//! matching pixels, in 4-connectivity. The match mask comes from the GPU or the CPU; filling and applying
//! run on the CPU.

pub mod cpu;

use crate::geometry::Corner;

/// Which matching pixels are knocked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fill {
    /// Only the region connected with the corner.
    FloodFill,
    /// Every matching pixel.
    MatchPixel,
}

/// Parameters as the job gives them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knockout {
    pub corner: Corner,
    /// 0–1 of full scale.
    pub tolerance: f64,
    pub fill: Fill,
}
