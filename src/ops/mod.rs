//! Image operations. Each is one folder: `mod.rs` holds parameters, contract and plan;
//! `cpu.rs` and `gpu.rs` are two loops over the same plan and give the same bits.

pub mod clip_mask;
pub mod color;
pub mod crop_detect;
pub mod knockout;
mod premultiply;
pub mod pyramid;
pub mod resample;
pub mod unsharp;
