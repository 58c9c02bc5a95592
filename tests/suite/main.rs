//! All integration tests, in one binary. One file per subject; `support` holds what several share.

mod catalog;
mod cli;
mod clip_mask;
mod color;
mod decode;
mod documents;
mod end_to_end;
mod golden;
mod hostile;
mod hostile_files;
mod job;
mod jpeg;
mod laws;
mod layering;
mod life;
mod media;
mod metadata;
mod originals;
mod parity;
mod program;
mod ptiff;
mod reference;
mod shaders;
mod support;
mod tiff_maker;
mod tolerances;
