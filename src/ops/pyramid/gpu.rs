//! The pyramid on the GPU: one upload, one submission and one download for each band.
//!
//! The window of every level is made anew for each band from pooled buffers; between bands only the rows that later
//! bands need stay on the GPU, in buffers of their own size, so many images can be open at once.

use std::sync::Arc;

use super::{LevelStep, Plan, Schedule, Sink};
use crate::error::{Error, Result, Stage};
use crate::gpu::{Buffer, Gpu, Layout, Recording, Reservation, Rows};
use crate::ops::unsharp::gpu::Scratch;
use crate::ops::{resample, unsharp};
use crate::pixel::Raster;

/// Fewest rows that make a band worth its transfer, unless the image has fewer.
const MIN_BAND_ROWS: u32 = 16;

/// The largest band, in rows of the full-resolution level, that the adapter's limits and `budget_bytes` allow:
/// the whole image if possible. `None` when not even a narrow band fits, so that the CPU has to do it.
pub fn band_rows(gpu: &Gpu, plan: &Plan, budget_bytes: u64) -> Option<u32> {
    let budget = budget_bytes.min(gpu.pool_bytes());
    let height = plan.levels[0].height;
    let fits = |rows| Needs::of_band(gpu, plan, rows).check(gpu, budget).is_ok();
    let least = MIN_BAND_ROWS.min(height);
    if !fits(least) {
        return None;
    }
    let (mut good, mut over) = (least, height + 1);
    while over - good > 1 {
        let middle = good + (over - good) / 2;
        if fits(middle) { good = middle } else { over = middle }
    }
    Some(good)
}

/// Rows of one level that one band touches.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// New rows and those kept from earlier bands.
    window: u32,
    new: u32,
    emit: u32,
}

impl Extent {
    fn of_step(step: &LevelStep) -> Self {
        let len = |range: &std::ops::Range<u32>| range.end - range.start;
        Extent { window: len(&step.window), new: len(&step.new), emit: len(&step.emit) }
    }

    /// The most rows that each level can touch when at most `rows` full-resolution rows arrive at once.
    fn largest(plan: &Plan, rows: u32) -> Vec<Self> {
        let mut new = rows;
        let mut extents = Vec::with_capacity(plan.levels.len());
        for (level, size) in plan.levels.iter().enumerate() {
            let halo = match &plan.unsharp {
                Some(unsharp) if level > 0 => unsharp.halo(),
                _ => 0,
            };
            // Kept rows: the halo on both sides of the last finished row, or what the next row of the level below
            // reads. At the end of the level the lower halo is finished on top of the new rows.
            let kept = (2 * halo).max(resample::BEFORE + resample::AFTER);
            extents.push(Extent {
                window: new.saturating_add(kept).min(size.height),
                new: new.min(size.height),
                emit: new.saturating_add(halo).min(size.height),
            });
            // Rows that waited for their neighbours come on top of the half.
            new = new / 2 + resample::AFTER;
        }
        extents
    }
}

/// GPU memory and dispatches of one band.
#[derive(Debug, Default)]
struct Needs {
    largest_binding: u64,
    readback: u64,
    total: u64,
    groups: u32,
}

impl Needs {
    fn of_band(gpu: &Gpu, plan: &Plan, rows: u32) -> Self {
        Self::new(gpu, plan, &Extent::largest(plan, rows))
    }

    fn new(gpu: &Gpu, plan: &Plan, extents: &[Extent]) -> Self {
        let mut needs = Needs::default();
        let mut blurred = 0;
        for (level, (extent, size)) in extents.iter().zip(&plan.levels).enumerate() {
            let layout = Layout::new(plan.format, size.width);
            needs.buffer(gpu, layout.bytes(extent.window));
            if level == 0 {
                // Staging memory of the upload.
                needs.total += layout.bytes(extent.new);
                continue;
            }
            needs.readback += layout.bytes(extent.emit);
            needs.dispatch(resample::gpu::groups(size.width, extent.new));
            if let Some(unsharp) = &plan.unsharp {
                needs.buffer(gpu, layout.bytes(extent.emit));
                needs.dispatch(unsharp::gpu::groups(size.width, extent.emit));
                blurred = blurred.max(unsharp::gpu::blurred_bytes(unsharp, plan.format, size.width, extent.emit));
            }
        }
        needs.buffer(gpu, blurred);
        needs.total += gpu.buffer_size(needs.readback);
        needs
    }

    fn buffer(&mut self, gpu: &Gpu, bytes: u64) {
        self.largest_binding = self.largest_binding.max(bytes);
        self.total += gpu.buffer_size(bytes);
    }

    fn dispatch(&mut self, groups: [u32; 2]) {
        self.groups = self.groups.max(groups[0]).max(groups[1]);
    }

    fn check(&self, gpu: &Gpu, budget: u64) -> Result<()> {
        let adapter = gpu.adapter();
        // Shaders count words in 32 bits.
        let binding = adapter.max_binding_bytes.min(adapter.max_buffer_bytes).min(u32::MAX.into());
        let what = if self.largest_binding > binding {
            format!("{} bytes in one binding, of {binding}", self.largest_binding)
        } else if self.readback > adapter.max_buffer_bytes {
            format!("{} bytes in one buffer, of {}", self.readback, adapter.max_buffer_bytes)
        } else if self.groups > adapter.max_workgroups {
            format!("{} workgroups a side, of {}", self.groups, adapter.max_workgroups)
        } else if self.total > budget {
            format!("{} bytes of GPU memory, of {budget}", self.total)
        } else {
            return Ok(());
        };
        Err(Error::device(format!("a band needs {what}; use smaller bands or the CPU")))
    }
}

/// Runs a [`Schedule`] on the GPU.
#[derive(Debug)]
pub struct GpuExecutor {
    gpu: Gpu,
    plan: Arc<Plan>,
    schedule: Schedule,
    max_band_rows: u32,
    weights: Option<Buffer>,
    /// Per level: the rows before the new ones that the next band needs.
    kept: Vec<Option<Buffer>>,
    failed: bool,
}

/// The buffers of one band, by level; those of levels without new rows are missing.
struct BandBuffers {
    windows: Vec<Buffer>,
    /// Empty when nothing is sharpened; starts at level 1.
    sharpened: Vec<Buffer>,
    blurred: Option<Buffer>,
    /// Rows for the next band.
    kept: Vec<Option<Buffer>>,
    _room: Reservation,
}

impl GpuExecutor {
    /// For one image that arrives in bands of at most `max_band_rows` rows; [`band_rows`] says how many are possible.
    ///
    /// # Errors
    /// `Device` when such bands exceed the adapter's limits or the pool, when memory is exhausted or the device
    /// is lost.
    pub fn new(gpu: &Gpu, plan: Arc<Plan>, max_band_rows: u32) -> Result<Self> {
        Needs::of_band(gpu, &plan, max_band_rows).check(gpu, gpu.pool_bytes())?;
        let weights = plan.unsharp.as_ref().map(|unsharp| gpu.storage_of(&unsharp.weights)).transpose()?;
        Ok(GpuExecutor {
            gpu: gpu.clone(),
            schedule: Schedule::new(&plan),
            max_band_rows,
            weights,
            kept: plan.levels.iter().map(|_| None).collect(),
            failed: false,
            plan,
        })
    }

    fn check_band(&self, band: &Raster) -> Result<()> {
        let full = self.plan.levels[0];
        let fault = if self.failed {
            return Err(Error::device("an earlier band of this image failed on the GPU; start the image again"));
        } else if band.format != self.plan.format || band.width != full.width {
            format!("a band of {} pixels, {}, for an image of {}", band.width, band.format, full.width)
        } else if band.height > self.max_band_rows {
            format!("a band of {} rows where at most {} were announced", band.height, self.max_band_rows)
        } else if band.height > self.schedule.rows_left() {
            format!("{} more rows for an image that lacks {}", band.height, self.schedule.rows_left())
        } else {
            return Ok(());
        };
        Err(Error::misuse(Stage::Operate, fault))
    }

    fn rows<'a>(&self, level: usize, buffer: &'a Buffer, start: u32) -> Rows<'a> {
        Rows { buffer, layout: Layout::new(self.plan.format, self.plan.levels[level].width), start }
    }

    /// Buffers for the levels that get new rows in `steps`.
    fn buffers(&self, steps: &[LevelStep]) -> Result<BandBuffers> {
        let extents: Vec<_> = steps.iter().map(Extent::of_step).collect();
        let room = self.gpu.reserve(Needs::new(&self.gpu, &self.plan, &extents).total)?;
        let mut buffers =
            BandBuffers { windows: Vec::new(), sharpened: Vec::new(), blurred: None, kept: Vec::new(), _room: room };
        let mut blurred = 0;
        for (level, (step, extent)) in steps.iter().zip(&extents).enumerate() {
            let size = self.plan.levels[level];
            let layout = Layout::new(self.plan.format, size.width);
            buffers.windows.push(self.gpu.storage(layout.bytes(extent.window))?);
            let kept = layout.bytes(step.window.end - step.keep);
            buffers.kept.push(if kept > 0 { Some(self.gpu.storage(kept)?) } else { None });
            if let Some(unsharp) = self.plan.unsharp.as_ref().filter(|_| level > 0) {
                buffers.sharpened.push(self.gpu.storage(layout.bytes(extent.emit))?);
                blurred = blurred.max(unsharp::gpu::blurred_bytes(unsharp, self.plan.format, size.width, extent.emit));
            }
        }
        if blurred > 0 {
            buffers.blurred = Some(self.gpu.storage(blurred)?);
        }
        Ok(buffers)
    }

    /// Runs the steps of one band; gives back the finished rows of levels 1… and the rows to keep.
    fn compute(&self, band: &Raster, steps: &[LevelStep]) -> Result<(Vec<Raster>, Vec<Option<Buffer>>)> {
        let buffers = self.buffers(steps)?;
        let mut recording = Recording::new(&self.gpu);
        let windows: Vec<_> = steps
            .iter()
            .zip(&buffers.windows)
            .enumerate()
            .map(|(level, (step, buffer))| self.rows(level, buffer, step.window.start))
            .collect();

        recording.upload(band, 0..band.height, windows[0], steps[0].new.start)?;
        for (level, step) in steps.iter().enumerate() {
            let window = windows[level];
            if let Some(kept) = &self.kept[level] {
                let held = step.window.start..step.new.start;
                recording.copy(self.rows(level, kept, held.start).slice(&held), window.buffer, 0);
            }
            if level > 0 {
                let above = self.plan.levels[level - 1].height;
                resample::gpu::downsample(
                    &mut recording,
                    &self.plan.resample,
                    windows[level - 1],
                    above,
                    window,
                    step.new.clone(),
                )?;
            }
            if let Some(kept) = &buffers.kept[level] {
                recording.copy(window.slice(&(step.keep..step.window.end)), kept, 0);
            }
        }
        for (level, step) in steps.iter().enumerate().skip(1).filter(|(_, step)| !step.emit.is_empty()) {
            let finished = match (&self.plan.unsharp, &self.weights, &buffers.blurred) {
                (Some(unsharp), Some(weights), Some(blurred)) => {
                    let out = self.rows(level, &buffers.sharpened[level - 1], step.emit.start);
                    let scratch = Scratch { weights, blurred };
                    let height = self.plan.levels[level].height;
                    unsharp::gpu::sharpen(
                        &mut recording,
                        unsharp,
                        windows[level],
                        height,
                        scratch,
                        out,
                        step.emit.clone(),
                    )?;
                    out
                }
                _ => windows[level],
            };
            recording.download(finished.slice(&step.emit));
        }

        let finished = recording.run(|mut bytes| {
            let mut finished = Vec::with_capacity(steps.len());
            for (step, window) in steps.iter().zip(&windows).skip(1) {
                let rows = step.emit.end - step.emit.start;
                let (here, rest) = bytes.split_at(window.layout.bytes(rows) as usize);
                finished.push(window.layout.unpack(here, rows));
                bytes = rest;
            }
            Ok(finished)
        })?;
        Ok((finished, buffers.kept))
    }
}

impl super::Executor for GpuExecutor {
    fn push(&mut self, band: &Raster, sink: &mut Sink<'_>) -> Result<()> {
        self.check_band(band)?;
        if band.height == 0 {
            return Ok(());
        }
        // Levels below one without new rows get none either, and keep what they have.
        let mut steps = self.schedule.advance(band.height);
        steps.truncate(steps.iter().take_while(|step| !step.new.is_empty()).count());
        if self.plan.levels.len() == 1 {
            return Ok(());
        }

        self.failed = true;
        let (finished, kept) = self.compute(band, &steps)?;
        self.failed = false;
        for (held, kept) in self.kept.iter_mut().zip(kept) {
            *held = kept;
        }
        for (level, rows) in finished.iter().enumerate() {
            if rows.height > 0 {
                sink(level + 1, steps[level + 1].emit.start, rows)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::ops::unsharp::Unsharp;
    use crate::pixel::{Color, Depth, PixelFormat};

    #[test]
    fn no_band_touches_more_rows_than_announced() {
        // A linear congruential generator (Knuth) gives band heights from 1 to the largest.
        let mut state = 1u64;
        for radius_px in [0.0, 0.4, 3.0, 20.0] {
            let sharpening = Unsharp { amount: 1.0, radius_px, threshold: 0, monochrome: false };
            for (height, largest) in [(1, 1), (2, 1), (97, 1), (97, 5), (1000, 16), (1001, 37), (513, 513), (256, 200)]
            {
                let plan = Plan {
                    format: PixelFormat::new(Color::Gray, false, Depth::U8),
                    levels: Size::new(3, height).levels(1).collect(),
                    resample: resample::Plan::new(resample::Filter::Lanczos),
                    unsharp: unsharp::Plan::new(&sharpening),
                };
                let bounds = Extent::largest(&plan, largest);
                for _ in 0..20 {
                    let mut schedule = Schedule::new(&plan);
                    while !schedule.is_complete() {
                        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        let rows = (1 + (state >> 33) as u32 % largest).min(schedule.rows_left());
                        for (level, (step, bound)) in schedule.advance(rows).iter().zip(&bounds).enumerate() {
                            let extent = Extent::of_step(step);
                            let fits =
                                extent.window <= bound.window && extent.new <= bound.new && extent.emit <= bound.emit;
                            assert!(fits, "height {height}, band {rows}, level {level}: {extent:?} over {bound:?}");
                        }
                    }
                }
            }
        }
    }
}
