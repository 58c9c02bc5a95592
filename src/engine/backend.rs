//! What computes: the GPU or the CPU, and why.

use std::sync::{Arc, Mutex};

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Rect;
use crate::gpu::{Adapters, Gpu};
use crate::ops::{color, crop_detect, pyramid};
use crate::pixel::Raster;

/// How often a lost device is opened again in one run before the rest goes to the CPU.
const REOPENINGS: u32 = 2;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BackendChoice {
    /// A hardware GPU if there is one, otherwise the CPU.
    #[default]
    Auto,
    /// Any adapter, a software one included; no adapter is an error.
    Gpu,
    Cpu,
}

/// What an image was computed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Used {
    Cpu,
    /// Adapter name.
    Gpu(String),
    /// The GPU failed for this image; the reason.
    CpuAfterGpu(String),
}

impl std::fmt::Display for Used {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Used::Cpu => f.write_str("CPU"),
            Used::Gpu(name) => write!(f, "GPU ({name})"),
            Used::CpuAfterGpu(_) => f.write_str("CPU after GPU failure"),
        }
    }
}

/// The device of a run. Images ask for it one by one, so a device that is lost half-way is replaced or given up
/// without stopping the run.
#[derive(Debug)]
pub struct Backend {
    adapters: Adapters,
    gpu: Mutex<Slot>,
    /// Why the CPU is used although a GPU was wanted; for the log.
    pub note: Option<String>,
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.device(), &self.note) {
            (Some(gpu), _) => write!(f, "the GPU {}", gpu.adapter()),
            (None, Some(note)) => write!(f, "the CPU ({note})"),
            (None, None) => f.write_str("the CPU"),
        }
    }
}

#[derive(Debug)]
struct Slot {
    gpu: Option<Gpu>,
    reopenings_left: u32,
}

impl Backend {
    /// # Errors
    /// `Device` when a GPU was asked for by name and none can be opened.
    pub fn open(choice: BackendChoice) -> Result<Self> {
        let adapters = match choice {
            BackendChoice::Cpu => return Ok(Self::cpu()),
            BackendChoice::Auto => Adapters::Hardware,
            BackendChoice::Gpu => Adapters::Any,
        };
        match Gpu::open(adapters) {
            Ok(gpu) => Ok(Self::gpu(gpu, adapters)),
            Err(_) if choice == BackendChoice::Auto => {
                Ok(Backend { note: Some("no hardware GPU".into()), ..Self::cpu() })
            }
            Err(error) => Err(error),
        }
    }

    pub fn cpu() -> Self {
        Backend { adapters: Adapters::Hardware, gpu: Mutex::new(Slot { gpu: None, reopenings_left: 0 }), note: None }
    }

    /// Uses a device that is open already; `adapters` says where to look for another if it is lost.
    pub fn gpu(gpu: Gpu, adapters: Adapters) -> Self {
        Backend { adapters, gpu: Mutex::new(Slot { gpu: Some(gpu), reopenings_left: REOPENINGS }), note: None }
    }

    /// The device for the next image. A lost one is opened again, a limited number of times.
    pub fn device(&self) -> Option<Gpu> {
        let mut slot = self.gpu.lock().expect("no panic while the lock is held");
        if slot.gpu.as_ref()?.lost().is_some() {
            slot.gpu = None;
            if slot.reopenings_left > 0 {
                slot.reopenings_left -= 1;
                slot.gpu = Gpu::open(self.adapters).ok();
            }
        }
        slot.gpu.clone()
    }

    /// Runs `work` on the device, and once more on the CPU when the device fails. Other errors pass through.
    pub fn run<T>(&self, mut work: impl FnMut(Compute<'_>) -> Result<T>) -> Result<(T, Used)> {
        let Some(gpu) = self.device() else { return Ok((work(Compute::Cpu)?, Used::Cpu)) };
        match work(Compute::Gpu(&gpu)) {
            Ok(done) => Ok((done, Used::Gpu(gpu.adapter().name.clone()))),
            Err(error) if error.kind == ErrorKind::Device => {
                Ok((work(Compute::Cpu)?, Used::CpuAfterGpu(gpu.lost().unwrap_or(error.message))))
            }
            Err(error) => Err(error),
        }
    }
}

const CPU_BAND_ROWS: u32 = 128;

/// One image's choice of loop; every operation gives the same bits on both.
#[derive(Debug, Clone, Copy)]
pub enum Compute<'a> {
    Cpu,
    Gpu(&'a Gpu),
}

impl Compute<'_> {
    pub fn bounds(self, plan: &crop_detect::Plan, image: &Raster) -> Result<Option<Rect>> {
        match self {
            Compute::Cpu => Ok(crop_detect::cpu::bounds(plan, image)),
            Compute::Gpu(gpu) => crop_detect::gpu::bounds(gpu, plan, image),
        }
    }

    pub fn match_mask(self, plan: &crop_detect::Plan, image: &Raster) -> Result<Vec<u8>> {
        match self {
            Compute::Cpu => Ok(crop_detect::cpu::match_mask(plan, image)),
            Compute::Gpu(gpu) => crop_detect::gpu::match_mask(gpu, plan, image),
        }
    }

    /// `image` in the plan's target; its first row is row `first_row` of the output.
    pub fn convert(self, plan: &color::Plan, image: &Raster, first_row: u32) -> Result<Raster> {
        match self {
            Compute::Cpu => Ok(color::cpu::convert(plan, image, first_row)),
            Compute::Gpu(gpu) => color::gpu::convert(gpu, plan, image, first_row),
        }
    }

    /// Rows worked on at once with tiles of `tile` rows, if there is memory. The fewer they are, the sooner there is
    /// something to compute, and the less leaves the caches before it is; but a device has to be asked as often.
    pub fn band_rows(self, tile: u32) -> u32 {
        match self {
            Compute::Cpu => tile.min(CPU_BAND_ROWS),
            Compute::Gpu(_) => tile,
        }
    }

    /// An executor for bands of at most the returned number of rows, which is at most `max_rows`.
    pub fn pyramid(
        self,
        plan: &Arc<pyramid::Plan>,
        max_rows: u32,
        budget_bytes: u64,
    ) -> Result<(Box<dyn pyramid::Executor>, u32)> {
        match self {
            Compute::Cpu => Ok((Box::new(pyramid::cpu::CpuExecutor::new(Arc::clone(plan))), max_rows)),
            Compute::Gpu(gpu) => {
                let rows = pyramid::gpu::band_rows(gpu, plan, budget_bytes)
                    .ok_or_else(|| Error::device("not even one band of this image fits the device's buffers"))?
                    .min(max_rows);
                Ok((Box::new(pyramid::gpu::GpuExecutor::new(gpu, Arc::clone(plan), rows)?), rows))
            }
        }
    }
}
