//! Adapters, the device, its errors and its loss.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::pool::Pool;
use super::resident::Residents;
use super::shader::Shader;
use crate::error::{Error, Result};

/// How long one submission may take before the device counts as hung. Generous, because a software adapter
/// runs a wide kernel over a large image in minutes, not milliseconds.
const HANG: Duration = Duration::from_secs(600);
/// How long one wait for the device lasts before the loss of the device is looked at again.
const WAIT_SLICE: Duration = Duration::from_millis(500);
/// How full the adapter's memory may become, in percent of what its driver grants.
const MEMORY_PERCENT: u8 = 95;

/// Which adapters may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapters {
    /// Real GPUs only.
    Hardware,
    /// Software adapters too, when there is no real GPU.
    Any,
}

/// What an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterKind {
    Discrete,
    Integrated,
    Virtual,
    /// Runs shaders on the CPU.
    Software,
    Unknown,
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AdapterKind::Discrete => "discrete GPU",
            AdapterKind::Integrated => "integrated GPU",
            AdapterKind::Virtual => "virtual GPU",
            AdapterKind::Software => "software",
            AdapterKind::Unknown => "unknown kind",
        })
    }
}

/// An adapter with the limits that decide how images are split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterInfo {
    pub name: String,
    pub kind: AdapterKind,
    /// Graphics interface, such as `vulkan`.
    pub backend: String,
    /// Name and version of the driver.
    pub driver: String,
    /// Largest part of a buffer that a shader can see, in bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer in bytes.
    pub max_buffer_bytes: u64,
    /// Most workgroups of one dispatch along one dimension.
    pub max_workgroups: u32,
    /// Workgroup memory in bytes.
    pub workgroup_memory_bytes: u32,
}

impl AdapterInfo {
    fn new(info: &wgpu::AdapterInfo, limits: &wgpu::Limits) -> Self {
        AdapterInfo {
            name: info.name.clone(),
            kind: match info.device_type {
                wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
                wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
                wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
                wgpu::DeviceType::Cpu => AdapterKind::Software,
                wgpu::DeviceType::Other => AdapterKind::Unknown,
            },
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_buffer_bytes: limits.max_buffer_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            workgroup_memory_bytes: limits.max_compute_workgroup_storage_size,
        }
    }
}

impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}, {})", self.name, self.kind, self.backend, self.driver)
    }
}

/// How a [`Gpu`] is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    pub adapters: Adapters,
    /// Bytes that pooled buffers may take together.
    pub pool_bytes: u64,
    /// Lowers the adapter's largest binding, in bytes; `None` takes what the adapter has.
    pub max_binding_bytes: Option<u64>,
}

impl Config {
    /// Everything the adapter offers and a pool of 1 GiB.
    pub fn new(adapters: Adapters) -> Self {
        Config { adapters, pool_bytes: 1 << 30, max_binding_bytes: None }
    }
}

/// What went over the bus since the device was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    pub uploads: u64,
    pub submissions: u64,
    pub downloads: u64,
}

/// An opened adapter. Clones share it.
#[derive(Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
}

struct Shared {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: AdapterInfo,
    lost: Arc<OnceLock<String>>,
    pipelines: Mutex<HashMap<String, Arc<OnceLock<wgpu::ComputePipeline>>>>,
    pool: Arc<Pool>,
    residents: Mutex<Residents>,
    uploads: AtomicU64,
    submissions: AtomicU64,
    downloads: AtomicU64,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("adapter", &self.shared.info).field("lost", &self.lost()).finish()
    }
}

/// The variable that keeps drivers quiet, when this process lacks it: name and value.
///
/// Without a session directory, Mesa's device-selection layer makes libwayland complain on standard error each
/// time adapters are listed. The loader reads its environment through C, and changing the environment of
/// a running process is unsound once it has threads, so nothing is set here: `main` does that before anything else.
/// The layer only reorders adapters, which [`Gpu::open`] does
/// itself; it stays when the user steers it by `MESA_VK_DEVICE_SELECT`.
pub fn quiet_environment() -> Option<(&'static str, &'static str)> {
    let set = |name| std::env::var_os(name).is_some();
    let quiet = set("XDG_RUNTIME_DIR") || set("NODEVICE_SELECT") || set("MESA_VK_DEVICE_SELECT");
    (cfg!(target_os = "linux") && !quiet).then_some(("NODEVICE_SELECT", "1"))
}

/// All adapters of this machine, best first.
pub fn adapters() -> Vec<AdapterInfo> {
    list().into_iter().map(|(_, info)| info).collect()
}

fn list() -> Vec<(wgpu::Adapter, AdapterInfo)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        flags: wgpu::InstanceFlags::empty(),
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds {
            // Where the driver tells its budget, a buffer is refused before memory runs out: that fails one image,
            // while a driver that runs out in the middle of its work takes the whole device along.
            for_resource_creation: Some(MEMORY_PERCENT),
            for_device_loss: None,
        },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut found: Vec<_> = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN))
        .into_iter()
        .map(|adapter| {
            let info = AdapterInfo::new(&adapter.get_info(), &adapter.limits());
            (adapter, info)
        })
        .collect();
    found.sort_by_key(|(_, info)| match info.kind {
        AdapterKind::Discrete => 0,
        AdapterKind::Integrated => 1,
        AdapterKind::Virtual => 2,
        AdapterKind::Unknown => 3,
        AdapterKind::Software => 4,
    });
    found
}

/// Whether there is a device file that a GPU's driver would open. Loading every Vulkan driver only to find software
/// takes tens of milliseconds, as long as converting a small image.
fn may_have_hardware() -> bool {
    const DEVICES: [&str; 5] = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg", "/dev/kgsl-3d0", "/dev/mali0"];
    !cfg!(target_os = "linux") || DEVICES.iter().any(|device| std::path::Path::new(device).exists())
}

impl Gpu {
    /// Opens the best adapter that `choice` allows, with all that it offers.
    ///
    /// # Errors
    /// `Device` when there is no such adapter or it cannot be opened.
    pub fn open(choice: Adapters) -> Result<Self> {
        Self::open_with(Config::new(choice))
    }

    /// As [`open`](Self::open), with a pool size and lowered limits.
    ///
    /// # Errors
    /// `Device` when there is no such adapter or it cannot be opened.
    pub fn open_with(config: Config) -> Result<Self> {
        let mut found = if config.adapters == Adapters::Hardware && !may_have_hardware() { Vec::new() } else { list() };
        found.retain(|(_, info)| config.adapters == Adapters::Any || info.kind != AdapterKind::Software);
        let Some((adapter, _)) = found.into_iter().next() else {
            return Err(Error::device(match config.adapters {
                Adapters::Hardware => "no GPU with a Vulkan driver was found; use the CPU, or a software adapter",
                Adapters::Any => "no Vulkan adapter was found, not even a software one; use the CPU",
            }));
        };
        let mut limits = adapter.limits();
        if let Some(cap) = config.max_binding_bytes {
            limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(cap);
        }
        let info = AdapterInfo::new(&adapter.get_info(), &limits);
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("reprise"),
            required_limits: limits,
            ..Default::default()
        }))
        .map_err(|e| Error::device(format!("{info} cannot be opened: {e}")).caused_by(e))?;

        let lost = Arc::new(OnceLock::new());
        let reason = Arc::clone(&lost);
        device.set_device_lost_callback(move |why, message| {
            let _ = reason.set(if message.is_empty() { format!("{why:?}") } else { message });
        });
        // Every call that can fail runs inside error scopes; what still arrives here would be a late consequence
        // of an error that a scope has already reported, or of a loss.
        device.on_uncaptured_error(Arc::new(|_| {}));

        Ok(Gpu {
            shared: Arc::new(Shared {
                pool: Pool::new(config.pool_bytes, info.max_buffer_bytes),
                device,
                queue,
                info,
                lost,
                pipelines: Mutex::default(),
                residents: Mutex::default(),
                uploads: AtomicU64::new(0),
                submissions: AtomicU64::new(0),
                downloads: AtomicU64::new(0),
            }),
        })
    }

    /// The adapter, with the limits in force.
    pub fn adapter(&self) -> &AdapterInfo {
        &self.shared.info
    }

    /// Why the device is lost; `None` while it works.
    pub fn lost(&self) -> Option<String> {
        self.shared.lost.get().cloned()
    }

    /// Gives the device up. Work in flight and all later work fails.
    pub fn destroy(&self) {
        let _ = self.shared.lost.set("it was destroyed".to_owned());
        self.shared.device.destroy();
        self.shared.pool.wake();
    }

    pub fn traffic(&self) -> Traffic {
        Traffic {
            uploads: self.shared.uploads.load(Ordering::Relaxed),
            submissions: self.shared.submissions.load(Ordering::Relaxed),
            downloads: self.shared.downloads.load(Ordering::Relaxed),
        }
    }

    pub(super) fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    pub(super) fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.shared.pool
    }

    pub(super) fn residents(&self) -> &Mutex<Residents> {
        &self.shared.residents
    }

    pub(super) fn count_upload(&self) {
        self.shared.uploads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_submission(&self) {
        self.shared.submissions.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_download(&self) {
        self.shared.downloads.fetch_add(1, Ordering::Relaxed);
    }

    /// # Errors
    /// `Device` once the device is lost.
    pub(super) fn check(&self) -> Result<()> {
        match self.shared.lost.get() {
            None => Ok(()),
            Some(reason) => Err(Error::device(format!("the GPU {} is lost: {reason}", self.shared.info.name))),
        }
    }

    /// Runs `work` and turns every error that the device reports meanwhile, in this thread, into a result.
    ///
    /// # Errors
    /// `Device` when the device is lost, out of memory, or refuses a call; and what `work` itself returns.
    pub(super) fn guarded<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        let device = &self.shared.device;
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = work();
        let validation = pollster::block_on(validation.pop());
        let internal = pollster::block_on(internal.pop());
        let memory = pollster::block_on(memory.pop());
        self.check()?;
        if memory.is_some() {
            return Err(Error::device(format!("the GPU {} is out of memory", self.shared.info.name)));
        }
        match validation.or(internal) {
            Some(error) => Err(Error::device(format!("the GPU {} refused a call: {error}", self.shared.info.name))),
            None => result,
        }
    }

    /// The compiled pipeline of `shader`; compiles it on first use.
    ///
    /// # Errors
    /// `Device` when the device is lost or the shader does not compile.
    pub(super) fn pipeline(&self, shader: &Shader) -> Result<wgpu::ComputePipeline> {
        // Each variant has a cell of its own, so that threads compile different ones at the same time.
        let cell = {
            let mut pipelines = self.shared.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(pipelines.entry(shader.label().to_owned()).or_default())
        };
        if let Some(pipeline) = cell.get() {
            return Ok(pipeline.clone());
        }
        let compiled = self.guarded(|| {
            let module = self.shared.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(shader.label()),
                source: wgpu::ShaderSource::Wgsl(shader.source().into()),
            });
            Ok(self.shared.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(shader.label()),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    // Every shader writes workgroup memory before it reads it.
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            }))
        })?;
        Ok(cell.get_or_init(|| compiled).clone())
    }

    /// Blocks until `done` says so, the device is lost, or it hangs.
    ///
    /// # Errors
    /// `Device` when the device is lost or hangs, which loses it too.
    pub(super) fn wait(&self, submission: &wgpu::SubmissionIndex, mut done: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        loop {
            // `poll` panics when the driver reports a loss while it waits.
            let polled = catch_unwind(AssertUnwindSafe(|| {
                self.shared.device.poll(wgpu::PollType::Wait {
                    submission_index: Some(submission.clone()),
                    timeout: Some(WAIT_SLICE),
                })
            }));
            if done() {
                return Ok(());
            }
            self.check()?;
            let trouble = match polled {
                Err(_) => Some("the driver failed while it was waited for".to_owned()),
                Ok(Err(wgpu::PollError::Timeout)) if started.elapsed() < HANG => None,
                Ok(Err(error)) => Some(error.to_string()),
                Ok(Ok(_)) if started.elapsed() < HANG => None,
                Ok(Ok(_)) => Some(format!("no answer within {} s", HANG.as_secs())),
            };
            if let Some(reason) = trouble {
                let _ = self.shared.lost.set(reason);
                self.shared.pool.wake();
                return self.check();
            }
        }
    }
}
