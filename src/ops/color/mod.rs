//! Colour conversion between ICC profiles: a plan of tables made once, consumed in fixed point.
//!
//! **Formula.** The colour engine (littleCMS) evaluates the transform in floating point, with intent and black-point
//! compensation; [`tables`] samples that into a [`Plan`]. Colour encoding in and out: as stored, device values of the
//! two profiles. Alpha is unassociated and passes through. No halo; pixels do not depend on each other. The source
//! is the ICC specification (ICC.1:2022) for profiles, ISO 18619 for the compensation.
//!
//! **Arithmetic** (32 bits, unsigned unless said otherwise). A sample `s` picks an entry of its component's input
//! table (256 entries at 8 bits, 65536 at 16). Then one of two stages gives 16-bit components `v`:
//!
//! - **Matrix** (RGB to RGB or gray, both profiles made of curves and a matrix): the entry is linear light `l`,
//!   0–65535. `t = clamp((Σ m·l + 2^11) >> 12, 0, 65535)`, signed, `m` in Q12, arithmetic shift; `v = output[t]`.
//! - **Grid** (all else): the entry is `cell << 16 | f`, a cell of the grid along this axis and the position `f` in
//!   it, Q14, 0–16384. Gray is linear: `v = ((16384 − f)·n₀ + f·n₁ + 2^13) >> 14`. RGB is tetrahedral: axes in the
//!   order of falling `f` (ties give the same result in either order), one step along each from the cell's lowest
//!   corner `n₀` to its highest, `v = ((16384 − f₁)·n₀ + (f₁ − f₂)·n₁ + (f₂ − f₃)·n₂ + f₃·n₃ + 2^13) >> 14`. CMYK is
//!   tetrahedral in magenta, yellow and black at both ends of the cell along cyan, then linear between the two:
//!   what the engine does in the table of a profile, so that a grid over the same nodes adds no error. Where the target
//!   profile is made of curves and a matrix, nodes hold the lightness of the target's linear components, also beyond 0
//!   and 1, and `v = output[v]`: what lies outside the target's gamut is clipped behind the interpolation and not
//!   inside it.
//!
//! **Rounding to the target.** 16 bits: `v`. 8 bits: `(v + d) / 257`, `d = 128`, or with dithering
//! `d = 4·B(x, y) + 2` where `B` is the 8 × 8 Bayer matrix (0–63) and `x`, `y` are the pixel's place in the output.
//! With dithering the target always has 8 bits, and alpha of 16 bits becomes `(a + 128) / 257`.
//!
//! **Accuracy** against the engine's own float path is measured in `tests/suite/color.rs`: mean ΔE2000 at most 0.2,
//! largest at 16 bits at most 1.0. A matrix plan is checked against the engine when it is made and given up for a grid
//! where they disagree, so odd profiles cost speed and not colour.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub mod cpu;
mod difference;
mod evaluate;
pub mod gpu;
mod profile;
mod spacing;
mod tables;

pub use difference::delta_e_2000;
pub use evaluate::{Evaluator, Intent, Rendering};
pub use profile::{Builtin, Description, Profile};

use crate::error::Result;
use crate::pixel::{Depth, PixelFormat};

/// The one set of tables that both backends consume.
#[derive(Debug, Clone)]
pub struct Plan {
    pub source: PixelFormat,
    pub target: PixelFormat,
    /// Ordered dithering; `target` then has 8 bits.
    pub dither: bool,
    /// Input tables, one per component or one for all.
    pub input: Vec<u32>,
    /// Entries from one component's table to the next; 0 where all share one.
    pub input_stride: u32,
    pub stage: Stage,
    /// For pixels of 8 bits on both sides without dithering; made of the tables above.
    narrow: Option<cpu::Narrow>,
    on_device: gpu::OnDevice,
}

/// From the entries of the input tables to 16-bit components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    Matrix {
        /// Q12; one row per target component, unused rows are 0.
        rows: [[i32; 3]; 3],
        /// 65536 values per component, or for all.
        output: Vec<u16>,
        /// Values from one component's table to the next; 0 where all share one.
        output_stride: u32,
    },
    Grid {
        /// Nodes from one to the next along each axis; 0 for axes that the source lacks. Along cyan it is 1.
        strides: [u32; 4],
        /// Values of the target's components; unused ones are 0.
        nodes: Vec<[u16; 4]>,
        /// 65536 values per component, or for all; empty where nodes hold what comes out, as for gray.
        output: Vec<u16>,
        /// As for the matrix.
        output_stride: u32,
    },
}

impl Plan {
    /// From pixels of `source` (alpha as it says) in profile `from` to profile `to`. The components of `source` are
    /// those of `from`.
    ///
    /// # Errors
    /// `Unsupported` when the engine cannot connect the profiles.
    pub fn new(source: PixelFormat, from: &Profile, to: &Profile, rendering: Rendering, dither: bool) -> Result<Self> {
        tables::plan(source, from, to, rendering, dither)
    }

    fn of_tables(
        [source, target]: [PixelFormat; 2],
        dither: bool,
        (input, input_stride): (Vec<u32>, u32),
        stage: Stage,
    ) -> Self {
        let plan =
            Plan { source, target, dither, input, input_stride, stage, narrow: None, on_device: gpu::OnDevice::new() };
        Plan { narrow: cpu::Narrow::new(&plan), ..plan }
    }

    /// Bytes of its tables.
    pub fn bytes(&self) -> u64 {
        let stage = match &self.stage {
            Stage::Matrix { output, .. } => 2 * output.len(),
            Stage::Grid { nodes, output, .. } => 8 * nodes.len() + 2 * output.len(),
        };
        4 * self.input.len() as u64 + stage as u64 + self.narrow.as_ref().map_or(0, cpu::Narrow::bytes)
    }
}

/// Format of converted pixels.
fn target_format(source: PixelFormat, to: &Profile, dither: bool) -> PixelFormat {
    PixelFormat { color: to.color(), alpha: source.alpha, depth: if dither { Depth::U8 } else { source.depth } }
}

/// What is added before a 16-bit value becomes 8 bits at (`x`, `y`) with dithering.
fn dither_offset(x: u32, y: u32) -> u32 {
    let a = x ^ y;
    let bayer = (a & 1) << 5 | (y & 1) << 4 | (a & 2) << 2 | (y & 2) << 1 | (a & 4) >> 1 | (y & 4) >> 2;
    4 * bayer + 2
}
