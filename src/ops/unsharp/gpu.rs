//! Unsharp mask on the GPU: records the two passes of a level.

use std::ops::Range;

use super::Plan;
use crate::error::Result;
use crate::gpu::{Buffer, Recording, Rows, Shader};
use crate::pixel::{Depth, PixelFormat};

/// Pixels of one workgroup in either pass: one thread each.
const TILE: [u32; 2] = [64, 4];

/// The programs for the columns and the rows of pixels of `format`.
pub fn shaders(format: PixelFormat, monochrome: bool) -> [Shader; 2] {
    let constants = [("MONOCHROME", monochrome.into()), ("TILE_WIDTH", TILE[0]), ("TILE_HEIGHT", TILE[1])];
    let premultiply = include_str!("../../../shaders/shared/premultiply.wgsl");
    let shared = include_str!("../../../shaders/shared/unsharp.wgsl");
    let columns = include_str!("../../../shaders/unsharp_v.wgsl");
    let rows = include_str!("../../../shaders/unsharp_h.wgsl");
    let tile = include_str!("../../../shaders/shared/tile.wgsl");
    [
        Shader::over_pixels("unsharp_v", format, &constants, &[premultiply, shared, columns]),
        Shader::over_pixels("unsharp_h", format, &constants, &[premultiply, shared, rows, tile]),
    ]
}

/// Workgroups for `rows` rows of `width` pixels.
pub fn groups(width: u32, rows: u32) -> [u32; 2] {
    [width.div_ceil(TILE[0]), rows.div_ceil(TILE[1])]
}

/// Bytes of the sums between the passes, for `rows` rows of `width` pixels.
pub fn blurred_bytes(plan: &Plan, format: PixelFormat, width: u32, rows: u32) -> u64 {
    let color = if plan.monochrome { 1 } else { format.color.components() as u64 };
    4 * u64::from(width) * u64::from(rows) * (color + u64::from(format.alpha))
}

/// The buffers beside the image.
#[derive(Debug, Clone, Copy)]
pub struct Scratch<'a> {
    /// The plan's weights.
    pub weights: &'a Buffer,
    /// At least [`blurred_bytes`].
    pub blurred: &'a Buffer,
}

/// Records rows `out_rows` of `out`, sharpened from `window`, rows of a level that is `height` rows high.
/// The window holds the plan's halo around these rows, as far as the level goes.
///
/// # Errors
/// `Device` as [`Recording::dispatch`].
pub fn sharpen<'a>(
    recording: &mut Recording<'a>,
    plan: &Plan,
    window: Rows<'a>,
    height: u32,
    scratch: Scratch<'a>,
    out: Rows<'a>,
    out_rows: Range<u32>,
) -> Result<()> {
    let format = window.layout.format;
    let width = window.layout.width;
    // One 8-bit step in work units.
    let unit = match (format.depth, format.alpha) {
        (Depth::U8, false) => 256,
        (Depth::U8, true) => 255,
        (Depth::U16, _) => 257,
    };
    let parameters = [
        width,
        height,
        window.start,
        out_rows.start,
        out_rows.end,
        window.layout.stride_words(),
        (out.offset(out_rows.start) / 4) as u32,
        plan.halo(),
        plan.amount.cast_unsigned(),
        plan.threshold * unit,
    ];
    let [columns, rows] = shaders(format, plan.monochrome);
    let groups = groups(width, out_rows.end - out_rows.start);
    recording.dispatch(&columns, &parameters, vec![window.buffer, scratch.blurred, scratch.weights], groups)?;
    recording.dispatch(&rows, &parameters, vec![window.buffer, out.buffer, scratch.weights, scratch.blurred], groups)
}
