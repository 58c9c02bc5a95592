//! The GPU: one device, its buffers, its pipelines, and recordings of work for it. Knows no operation.
//!
//! - [`Gpu`] is an opened adapter. It is cheap to clone, and any number of threads may use it at once.
//! - [`Buffer`]s come from a pool under a byte budget; [`Gpu::reserve`] admits work to that budget.
//! - Tables that many recordings read stay on the device: [`Gpu::resident`].
//! - A [`Shader`] is one variant of one WGSL program; its pipeline is compiled once per [`Gpu`].
//! - A [`Recording`] collects an upload, dispatches, copies and a download, and runs them as one submission.
//! - [`Layout`] says how rows of pixels lie in a buffer, [`Rows`] are such rows.
//!
//! Nothing here panics when a device fails: validation errors, exhausted memory and lost devices come back as
//! errors of kind [`Device`](crate::ErrorKind::Device), and a lost device refuses all further work.

mod device;
mod pool;
mod recording;
mod resident;
mod rows;
mod shader;

pub use device::{AdapterInfo, AdapterKind, Adapters, Config, Gpu, Traffic, adapters, quiet_environment};
pub use pool::{Buffer, Reservation};
pub use recording::{Recording, Slice};
pub use resident::TableId;
pub use rows::{Layout, Rows};
pub use shader::Shader;
