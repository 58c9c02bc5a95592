//! Image operations. Each is one folder: `mod.rs` holds parameters, contract and plan;
//! `cpu.rs` and `gpu.rs` are two loops over the same plan and give the same bits.

use std::ops::Range;

pub mod clip_mask;
pub mod color;
pub mod crop_detect;
pub mod knockout;
mod premultiply;
pub mod pyramid;
pub mod resample;
pub mod unsharp;

/// Fills what lies around the pixels `own` of a row with the outermost of them: samples before and behind, in whole pixels.
fn replicate_ends<T: Copy>(row: &mut [T], own: Range<usize>, channels: usize) {
    for x in (0..own.start).step_by(channels) {
        row.copy_within(own.start..own.start + channels, x);
    }
    for x in (own.end..row.len()).step_by(channels) {
        row.copy_within(own.end - channels..own.end, x);
    }
}
