//! The engine: assets in, derivatives out, inside a memory budget, whatever fails.
//!
//! `memory` admits assets by bytes, `backend` says what computes and why, `color` says what becomes of an image's
//! colours, `pipeline` turns one original into one pyramid TIFF, whose rows `stream` moves, `batch` runs many of them in
//! lanes, `clip` cuts out by clipping path, `reprocess` runs a job over a library, `ingest` takes originals in,
//! `documents` makes images of pages, `media` encodes video and audio.
//! `resume` goes on with jobs that were cut short, `check` compares catalog and files, `notice` tells others.

pub mod backend;
pub mod batch;
pub mod check;
mod clip;
pub mod color;
pub mod documents;
pub mod ingest;
pub mod media;
pub mod memory;
pub mod notice;
pub mod original;
pub mod pipeline;
pub mod report;
pub mod reprocess;
pub mod resume;
pub mod retry;
mod stream;

pub use backend::{Backend, BackendChoice, Used};
pub use color::{ColorPolicy, Conversion};
pub use memory::MemoryBudget;
pub use pipeline::{Context, Converted, Crop, Recipe};
