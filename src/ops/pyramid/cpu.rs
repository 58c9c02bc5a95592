//! The pyramid on the CPU: follows the schedule with one window of rows per level.

use std::sync::Arc;

use super::{Executor, Plan, Schedule, Sink};
use crate::error::{Error, Result, Stage};
use crate::ops::{resample, unsharp};
use crate::pixel::Raster;
use crate::trace;

/// Computes levels with the CPU loops of `resample` and `unsharp`, on the current rayon pool.
#[derive(Debug)]
pub struct CpuExecutor {
    plan: Arc<Plan>,
    schedule: Schedule,
    /// Unsharpened rows of every level that are still needed.
    windows: Vec<Raster>,
    /// First row of each window.
    starts: Vec<u32>,
    /// Sharpened rows of every level on their way to the sink; kept for the next, which are as many.
    sharpened: Vec<Raster>,
}

impl CpuExecutor {
    pub fn new(plan: Arc<Plan>) -> Self {
        CpuExecutor {
            schedule: Schedule::new(&plan),
            windows: plan.levels.iter().map(|size| Raster::empty(plan.format, size.width)).collect(),
            starts: vec![0; plan.levels.len()],
            sharpened: plan.levels.iter().map(|size| Raster::empty(plan.format, size.width)).collect(),
            plan,
        }
    }
}

impl Executor for CpuExecutor {
    fn push(&mut self, band: &Raster, sink: &mut Sink<'_>) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        if band.format != plan.format || band.width != plan.levels[0].width {
            return Err(Error::misuse(
                Stage::Operate,
                format!(
                    "a band of {} and {} px width for a pyramid of {} and {} px",
                    band.format, band.width, plan.format, plan.levels[0].width
                ),
            ));
        }
        if u64::from(band.height) > u64::from(self.schedule.rows_left()) {
            return Err(Error::misuse(
                Stage::Operate,
                format!("{} more rows for an image that lacks {}", band.height, self.schedule.rows_left()),
            ));
        }
        let steps = self.schedule.advance(band.height);
        for (level, step) in steps.iter().enumerate() {
            let size = plan.levels[level];
            let (above, below) = self.windows.split_at_mut(level + 1);
            let window = &above[level];
            // The band is read where it is.
            let following = (level == 0).then_some(band);
            debug_assert_eq!(step.window.start, self.starts[level]);
            debug_assert_eq!(step.window.len() as u32, window.height + following.map_or(0, |band| band.height));

            if let (Some(next), Some(next_step)) = (below.first_mut(), steps.get(level + 1)) {
                let _span = trace::span("downsample");
                let window = resample::cpu::Window { start: step.window.start, rows: window, following };
                resample::cpu::downsample(&plan.resample, window, size, next_step.new.clone(), next);
            }
            if level > 0 && !step.emit.is_empty() {
                let sharpened = &mut self.sharpened[level];
                match &plan.unsharp {
                    Some(unsharp) => {
                        let _span = trace::span("sharpen");
                        let (start, emit) = (step.window.start, step.emit.clone());
                        unsharp::cpu::sharpen(unsharp, window, start, size, emit, sharpened);
                    }
                    None => {
                        let first = step.emit.start - step.window.start;
                        sharpened.set_rows(0);
                        sharpened.append_rows(window, first..first + step.emit.len() as u32);
                    }
                }
                sink(level, step.emit.start, sharpened)?;
            }

            let dropped = step.keep - step.window.start;
            let window = &mut self.windows[level];
            let of_window = dropped.min(window.height);
            window.drop_rows(of_window);
            if let Some(band) = following {
                window.append_rows(band, dropped - of_window..band.height);
            }
            self.starts[level] = step.keep;
        }
        Ok(())
    }
}
