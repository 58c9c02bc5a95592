//! Crop bounds and match mask on the GPU. An image larger than a binding goes in bands of rows.

use std::ops::Range;

use super::Plan;
use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::gpu::{Buffer, Gpu, Layout, Recording, Rows, Shader};
use crate::pixel::{PixelFormat, Raster};

/// Threads of a workgroup.
const GROUP: [u32; 2] = [64, 4];
/// Rows that one thread of the bounds looks at.
const ROWS_OF_THREAD: u32 = 16;
/// Bytes of one band at most: large enough to fill a GPU, small enough that bands of several images fit the pool.
const BAND_BYTES: u64 = 64 << 20;

/// The programs of bounds and mask for pixels of `format`.
pub fn shaders(format: PixelFormat, transparent: bool) -> [Shader; 2] {
    let constants = [
        ("TRANSPARENT", transparent.into()),
        ("GROUP_WIDTH", GROUP[0]),
        ("GROUP_HEIGHT", GROUP[1]),
        ("ROWS_OF_THREAD", ROWS_OF_THREAD),
    ];
    let background = include_str!("../../../shaders/shared/background.wgsl");
    let bounds = include_str!("../../../shaders/crop_detect_bounds.wgsl");
    let mask = include_str!("../../../shaders/crop_detect_mask.wgsl");
    [
        Shader::over_pixels("crop_detect_bounds", format, &constants, &[background, bounds]),
        Shader::over_pixels("crop_detect_mask", format, &constants[..3], &[background, mask]),
    ]
}

/// The smallest rectangle that holds every pixel of `image` that is not background; `None` when there is none.
///
/// # Errors
/// `Device` when a row exceeds the adapter's limits, memory is exhausted or the device is lost.
pub fn bounds(gpu: &Gpu, plan: &Plan, image: &Raster) -> Result<Option<Rect>> {
    let [shader, _] = shaders(image.format, is_transparent(plan));
    // Least x and y, greatest x and y of the whole image.
    let mut found: Option<[u32; 4]> = None;
    for rows in bands(gpu, image)? {
        let _room = gpu.reserve(band_bytes(gpu, image, &rows))?;
        let pixels = gpu.storage(Layout::new(image.format, image.width).bytes(rows.end - rows.start))?;
        let result = gpu.storage_of(&[u32::MAX, u32::MAX, 0, 0])?;
        let mut recording = Recording::new(gpu);
        let parameters = upload(&mut recording, plan, image, &rows, &pixels)?;
        let height = (rows.end - rows.start).div_ceil(ROWS_OF_THREAD);
        recording.dispatch(
            &shader,
            &parameters,
            vec![&pixels, &result],
            [image.width.div_ceil(GROUP[0]), height.div_ceil(GROUP[1])],
        )?;
        recording.download(result.whole());
        let [left, top, right, bottom] = recording.run(|bytes| {
            let mut words = [0u32; 4];
            bytemuck::bytes_of_mut(&mut words).copy_from_slice(bytes);
            Ok(words)
        })?;
        if left != u32::MAX {
            let here = [left, top + rows.start, right, bottom + rows.start];
            let [l, t, r, b] = found.unwrap_or(here);
            found = Some([l.min(here[0]), t.min(here[1]), r.max(here[2]), b.max(here[3])]);
        }
    }
    Ok(found.map(|[left, top, right, bottom]| Rect {
        x: left,
        y: top,
        width: right - left + 1,
        height: bottom - top + 1,
    }))
}

/// One byte per pixel of `image`, row by row: 255 where it is background, else 0.
///
/// # Errors
/// `Device` when a row exceeds the adapter's limits, memory is exhausted or the device is lost.
pub fn match_mask(gpu: &Gpu, plan: &Plan, image: &Raster) -> Result<Vec<u8>> {
    let [_, shader] = shaders(image.format, is_transparent(plan));
    let width = image.width as usize;
    let mut mask = Vec::with_capacity(width * image.height as usize);
    for rows in bands(gpu, image)? {
        let height = rows.end - rows.start;
        let _room = gpu.reserve(band_bytes(gpu, image, &rows))?;
        let pixels = gpu.storage(Layout::new(image.format, image.width).bytes(height))?;
        let words = image.width.div_ceil(4);
        let result = gpu.storage(u64::from(words) * 4 * u64::from(height))?;
        let mut recording = Recording::new(gpu);
        let parameters = upload(&mut recording, plan, image, &rows, &pixels)?;
        recording.dispatch(
            &shader,
            &parameters,
            vec![&pixels, &result],
            [words.div_ceil(GROUP[0]), height.div_ceil(GROUP[1])],
        )?;
        recording.download(result.whole());
        recording.run(|bytes| {
            for row in bytes.chunks_exact(words as usize * 4) {
                mask.extend_from_slice(&row[..width]);
            }
            Ok(())
        })?;
    }
    Ok(mask)
}

fn is_transparent(plan: &Plan) -> bool {
    matches!(plan, Plan::Transparent { .. })
}

/// Uploads `rows` of `image` to `pixels`; gives the shaders' parameters.
fn upload<'a>(
    recording: &mut Recording<'a>,
    plan: &Plan,
    image: &Raster,
    rows: &Range<u32>,
    pixels: &'a Buffer,
) -> Result<[u32; 10]> {
    let layout = Layout::new(image.format, image.width);
    recording.upload(image, rows.clone(), Rows { buffer: pixels, layout, start: rows.start }, rows.start)?;
    let (reference, color_limit, alpha_limit) = match *plan {
        Plan::Color { reference, color_limit, alpha_limit } => (reference, color_limit, alpha_limit),
        Plan::Transparent { alpha_limit } => ([0; 5], 0, alpha_limit),
    };
    let components = image.format.color.components();
    let mut color = [0; 4];
    color[..components].copy_from_slice(&reference[..components]);
    let [x, y, z, w] = color;
    let rows = rows.end - rows.start;
    Ok([x, y, z, w, reference[components], color_limit, alpha_limit, image.width, rows, layout.stride_words()])
}

/// GPU memory of one band: its pixels, their staging memory, and the mask with its readback.
fn band_bytes(gpu: &Gpu, image: &Raster, rows: &Range<u32>) -> u64 {
    let height = rows.end - rows.start;
    let pixels = Layout::new(image.format, image.width).bytes(height);
    let mask = u64::from(image.width).next_multiple_of(4) * u64::from(height);
    pixels + gpu.buffer_size(pixels) + 2 * gpu.buffer_size(mask)
}

/// Bands of rows, each within a binding.
fn bands(gpu: &Gpu, image: &Raster) -> Result<impl Iterator<Item = Range<u32>> + use<>> {
    let adapter = gpu.adapter();
    let row = Layout::new(image.format, image.width).bytes(1);
    let binding = adapter.max_binding_bytes.min(adapter.max_buffer_bytes).min(u32::MAX.into());
    // A band takes at most about five times its pixels.
    let most = binding.min(BAND_BYTES.max(row)).min(gpu.pool_bytes() / 5);
    let by_groups = adapter.max_workgroups.saturating_mul(GROUP[1]);
    let rows = (most / row.max(1)).min(by_groups.into()) as u32;
    if rows == 0 || image.width.div_ceil(GROUP[0]) > adapter.max_workgroups {
        return Err(Error::device(format!(
            "a row of {} pixels, {}, exceeds the limits of the GPU; use the CPU",
            image.width, image.format
        )));
    }
    let height = image.height;
    Ok((0..height).step_by(rows as usize).map(move |start| start..start.saturating_add(rows).min(height)))
}
