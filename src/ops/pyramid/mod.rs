//! The pyramid: every level half of the one above, streamed in bands.
//!
//! [`Schedule`] is the plan: it says, for each band of full-resolution rows that arrives, which rows of which
//! level are computed, which are sharpened and which may be dropped. Both executors (`cpu`,
//! `gpu`) only follow it, so a band size or a backend never changes a pixel.
//!
//! Every level is computed from the unsharpened level above it; level 0 is never sharpened.

use std::ops::Range;

use super::{resample, unsharp};
use crate::error::Result;
use crate::geometry::Size;
use crate::pixel::{PixelFormat, Raster};

pub mod cpu;
pub mod gpu;

/// Everything both executors need to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub format: PixelFormat,
    /// Full resolution first.
    pub levels: Vec<Size>,
    pub resample: resample::Plan,
    /// `None`: no sharpening.
    pub unsharp: Option<unsharp::Plan>,
}

/// What happens to one level when a band arrives. All rows are absolute row numbers of that level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelStep {
    /// Unsharpened rows held after the new ones are appended; starts where the previous step's `keep` did.
    pub window: Range<u32>,
    /// Rows of the window that are new in this step.
    pub new: Range<u32>,
    /// Finished rows to hand out now: sharpened below level 0 when the plan sharpens, else equal to `new`.
    /// For level 0 always equal to `new`.
    pub emit: Range<u32>,
    /// First row that later steps still need; rows before it are dropped after the step.
    pub keep: u32,
}

/// Follows the bands of one image from top to bottom.
#[derive(Debug, Clone)]
pub struct Schedule {
    heights: Vec<u32>,
    halo: u32,
    /// Per level: rows available, rows emitted, first row held.
    available: Vec<u32>,
    emitted: Vec<u32>,
    held: Vec<u32>,
}

impl Schedule {
    pub fn new(plan: &Plan) -> Self {
        let n = plan.levels.len();
        Schedule {
            heights: plan.levels.iter().map(|s| s.height).collect(),
            halo: plan.unsharp.as_ref().map_or(0, unsharp::Plan::halo),
            available: vec![0; n],
            emitted: vec![0; n],
            held: vec![0; n],
        }
    }

    /// Steps of every level, full resolution first, when `rows` more full-resolution rows arrive.
    pub fn advance(&mut self, rows: u32) -> Vec<LevelStep> {
        let n = self.heights.len();
        let mut steps = Vec::with_capacity(n);
        let mut arriving = rows;
        for level in 0..n {
            let height = self.heights[level];
            let start = self.available[level];
            let end = start + arriving;
            assert!(end <= height, "more rows than level {level} has");
            self.available[level] = end;
            let complete = end == height;

            let halo = if level == 0 { 0 } else { self.halo };
            let emit_end = if complete { height } else { end.saturating_sub(halo).max(self.emitted[level]) };
            let emit = self.emitted[level]..emit_end;
            self.emitted[level] = emit_end;

            let mut keep = if complete && emit_end == height { height } else { emit_end.saturating_sub(halo) };
            if level + 1 < n {
                let produced =
                    if complete { self.heights[level + 1] } else { rows_below(end).max(self.available[level + 1]) };
                if !complete {
                    keep = keep.min((2 * produced).saturating_sub(resample::BEFORE));
                }
                arriving = produced - self.available[level + 1];
            }
            let window = self.held[level]..end;
            let keep = keep.clamp(window.start, end);
            self.held[level] = keep;
            steps.push(LevelStep { window, new: start..end, emit, keep });
        }
        steps
    }

    /// Full-resolution rows that have not arrived yet.
    pub fn rows_left(&self) -> u32 {
        self.heights[0] - self.available[0]
    }

    pub fn is_complete(&self) -> bool {
        self.rows_left() == 0
    }
}

/// Rows of the next level that can be computed from the first `available` rows of an unfinished level.
fn rows_below(available: u32) -> u32 {
    // Row j reads up to row 2j + AFTER.
    (available + 1).saturating_sub(resample::AFTER) / 2
}

/// Most bytes that the windows of a pyramid and its rows on the way hold, when bands have `band_rows` rows:
/// the windows themselves, the sharpened rows and the work values that those of one level are sharpened from.
/// The band that is pushed is the caller's. Row buffers of single threads are not counted.
pub fn working_bytes(plan: &Plan, band_rows: u32) -> u64 {
    let halo = u64::from(plan.unsharp.as_ref().map_or(0, unsharp::Plan::halo));
    let reach = u64::from(resample::BEFORE + resample::AFTER);
    let mut new_rows = u64::from(band_rows);
    let (mut windows, mut sharpened, mut working) = (0, 0, 0);
    for (level, size) in plan.levels.iter().enumerate() {
        let row = u64::from(size.width) * plan.format.bytes_per_pixel() as u64;
        let kept = if level == 0 { reach } else { reach.max(2 * halo) };
        let window_rows = (new_rows + kept).min(size.height.into());
        windows += window_rows * row;
        if level > 0 {
            // Samples become 16-bit work values.
            let work =
                if halo > 0 { window_rows * u64::from(size.width) * plan.format.channels() as u64 * 2 } else { 0 };
            sharpened += window_rows * row;
            working = working.max(work);
        }
        // An unfinished level hands on at most half of its new rows, one more where the halves add up,
        // and a few more when it is finished.
        new_rows = new_rows.div_ceil(2) + u64::from(resample::AFTER) / 2 + 1;
    }
    windows + sharpened + working
}

/// Receives finished rows: level, first row, rows. Rows of one level arrive in order.
pub type Sink<'a> = dyn FnMut(usize, u32, &Raster) -> Result<()> + 'a;

/// Computes the levels below full resolution from bands of full-resolution rows.
pub trait Executor: Send {
    /// Takes the next rows of level 0 and hands the finished rows of levels 1… to `sink`.
    /// Level 0 itself is not handed back.
    fn push(&mut self, band: &Raster, sink: &mut Sink<'_>) -> Result<()>;
}
