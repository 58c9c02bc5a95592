//! The engine: assets in, derivatives out, inside a memory budget, whatever fails.
//!
//! `memory` admits assets by bytes, `backend` says what computes and why, `color` says what becomes of an image's
//! colours, `pipeline` turns one original into one pyramid TIFF, whose rows `stream` moves, `batch` runs many of them in
//! lanes, `clip` cuts out by clipping path, `reprocess` runs a job over a library: `plan` says what is done with each
//! asset, `record` what is written down of it. `ingest` takes originals in,
//! `documents` makes images of pages, `photoshop` of layers (`derived` is what these share), and `template` says how to put those together, `media`
//! encodes video and audio, `activity` tells how far long work is, `sets` groups images into sets, `schedule` runs jobs at their times. `resume` goes on with
//! jobs that were cut short, `check` compares catalog and files, `follow` does what is due when a job is done: `notice`
//! and `mail` tell others, `publish` sends files out. `profiles` finds ICC profiles by their handles.

pub mod activity;
pub mod backend;
pub mod batch;
mod carry;
pub mod check;
mod clip;
pub mod color;
pub mod derived;
pub mod documents;
mod follow;
pub mod ingest;
mod mail;
pub mod media;
pub mod memory;
pub mod notice;
pub mod original;
pub mod photoshop;
pub mod pipeline;
pub mod plan;
pub mod profiles;
pub mod publish;
mod record;
pub mod report;
pub mod reprocess;
pub mod resume;
pub mod retry;
pub mod schedule;
pub mod sets;
mod stream;
mod template;

pub use backend::{Backend, BackendChoice, Used};
pub use color::{ColorPolicy, Conversion};
pub use memory::MemoryBudget;
pub use pipeline::{Context, Converted, Crop, Recipe};
