//! 2:1 downsampling on the GPU: records the one pass of a level.

use std::ops::Range;

use super::{Plan, TAPS};
use crate::error::Result;
use crate::gpu::{Recording, Rows, Shader};
use crate::pixel::PixelFormat;

/// Output pixels of one workgroup: one thread each.
const TILE: [u32; 2] = [32, 8];

/// The program for pixels of `format`.
pub fn shader(format: PixelFormat) -> Shader {
    Shader::over_pixels(
        "resample",
        format,
        &[("TILE_WIDTH", TILE[0]), ("TILE_HEIGHT", TILE[1])],
        &[
            include_str!("../../../shaders/shared/premultiply.wgsl"),
            include_str!("../../../shaders/resample.wgsl"),
            include_str!("../../../shaders/shared/tile.wgsl"),
        ],
    )
}

/// Workgroups for `rows` rows of `width` pixels.
pub fn groups(width: u32, rows: u32) -> [u32; 2] {
    [width.div_ceil(TILE[0]), rows.div_ceil(TILE[1])]
}

/// Records rows `out_rows` of `out` from `window`, rows of the level above, which is `height` rows high.
/// The window holds every row that these output rows read.
///
/// # Errors
/// `Device` as [`Recording::dispatch`].
pub fn downsample<'a>(
    recording: &mut Recording<'a>,
    plan: &Plan,
    window: Rows<'a>,
    height: u32,
    out: Rows<'a>,
    out_rows: Range<u32>,
) -> Result<()> {
    let mut parameters = Vec::with_capacity(TAPS + 8);
    parameters.extend(plan.taps.map(i32::cast_unsigned));
    parameters.extend([
        window.layout.width,
        height,
        window.start,
        window.layout.stride_words(),
        out_rows.start,
        out_rows.end,
        out.layout.stride_words(),
        (out.offset(out_rows.start) / 4) as u32,
    ]);
    recording.dispatch(
        &shader(out.layout.format),
        &parameters,
        vec![window.buffer, out.buffer],
        groups(out.layout.width, out_rows.end - out_rows.start),
    )
}
