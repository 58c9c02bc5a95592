//! Colour conversion on the GPU, in bands of rows that fit a binding.

use super::{Plan, Stage};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Layout, Recording, Rows, Shader, TableId};
use crate::pixel::{PixelFormat, Raster};

/// Threads of a workgroup.
const GROUP: [u32; 2] = [32, 4];
/// Pixels of one thread: the fewest that always fill whole words.
const PIXELS_OF_THREAD: u32 = 4;

/// A plan's tables on the device.
#[derive(Debug, Clone)]
pub(super) struct OnDevice {
    input: TableId,
    stage: TableId,
}

impl OnDevice {
    pub(super) fn new() -> Self {
        OnDevice { input: TableId::new(), stage: TableId::new() }
    }
}

/// What a program leads through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    Grid,
    /// A grid, and output tables.
    CurvedGrid,
    Matrix,
}

/// The program from pixels of `source` to pixels of `target`.
pub fn shader(source: PixelFormat, target: PixelFormat, through: Through, dither: bool) -> Shader {
    let constants = [
        ("TARGET_COMPONENTS", target.color.components() as u32),
        ("TARGET_DEPTH", 8 * target.depth.bytes() as u32),
        ("MATRIX", (through == Through::Matrix).into()),
        ("CURVED", (through == Through::CurvedGrid).into()),
        ("DITHER", dither.into()),
        ("GROUP_WIDTH", GROUP[0]),
        ("GROUP_HEIGHT", GROUP[1]),
    ];
    Shader::over_pixels("color", source, &constants, &[include_str!("../../../shaders/color.wgsl")])
}

/// Converts `image`, whose format is the plan's source; its first row is row `first_row` of the output.
///
/// # Errors
/// `Device` when a row exceeds the adapter's limits, memory is exhausted or the device is lost.
pub fn convert(gpu: &Gpu, plan: &Plan, image: &Raster, first_row: u32) -> Result<Raster> {
    assert_eq!(image.format, plan.source, "rows of another format");
    let through = match &plan.stage {
        Stage::Matrix { .. } => Through::Matrix,
        Stage::Grid { output, .. } if output.is_empty() => Through::Grid,
        Stage::Grid { .. } => Through::CurvedGrid,
    };
    let shader = shader(plan.source, plan.target, through, plan.dither);
    let (from, to) = (Layout::new(plan.source, image.width), Layout::new(plan.target, image.width));
    let groups_across = image.width.div_ceil(PIXELS_OF_THREAD).div_ceil(GROUP[0]);

    let adapter = gpu.adapter();
    // Pixels going in with their staging memory, pixels coming out with their readback.
    let room = gpu.pool_bytes() / 5;
    let row_bytes = from.bytes(1).max(to.bytes(1)).max(1);
    let binding = adapter.max_binding_bytes.min(adapter.max_buffer_bytes).min(u32::MAX.into());
    let most_rows = (binding.min(room) / row_bytes).min(u64::from(adapter.max_workgroups) * u64::from(GROUP[1]));
    let band = most_rows.min(image.height.into()) as u32;
    if band == 0 && image.height > 0 || groups_across > adapter.max_workgroups {
        return Err(Error::device(format!(
            "a row of {} pixels, {}, exceeds the limits of the GPU; use the CPU",
            image.width, image.format
        )));
    }

    let input = gpu.resident(plan.on_device.input, || plan.input.clone())?;
    let table = gpu.resident(plan.on_device.stage, || stage_table(&plan.stage))?;
    let mut out = Raster::empty(plan.target, image.width);
    for start in (0..image.height).step_by(band.max(1) as usize) {
        let rows = start..image.height.min(start + band);
        let height = rows.end - rows.start;
        let pixel_bytes =
            gpu.buffer_size(from.bytes(height)) + from.bytes(height) + 2 * gpu.buffer_size(to.bytes(height));
        let _room = gpu.reserve(pixel_bytes)?;
        let source = gpu.storage(from.bytes(height))?;
        let target = gpu.storage(to.bytes(height))?;
        let mut recording = Recording::new(gpu);
        recording.upload(image, rows.clone(), Rows { buffer: &source, layout: from, start }, start)?;
        recording.dispatch(
            &shader,
            &parameters(plan, from, to, height, first_row + start),
            vec![&source, &target, &input, &table],
            [groups_across, height.div_ceil(GROUP[1])],
        )?;
        recording.download(Rows { buffer: &target, layout: to, start: 0 }.slice(&(0..height)));
        let converted = recording.run(|bytes| Ok(to.unpack(bytes, height)))?;
        out.append_rows(&converted, 0..height);
    }
    Ok(out)
}

/// Nodes, then output tables.
fn stage_table(stage: &Stage) -> Vec<u32> {
    match stage {
        Stage::Matrix { output, .. } => words(output).collect(),
        Stage::Grid { nodes, output, .. } => words(nodes.as_flattened()).chain(words(output)).collect(),
    }
}

/// Two values in each, the first below.
fn words(values: &[u16]) -> impl Iterator<Item = u32> {
    values.chunks_exact(2).map(|pair| u32::from(pair[0]) | u32::from(pair[1]) << 16)
}

fn parameters(plan: &Plan, from: Layout, to: Layout, rows: u32, first_row: u32) -> Vec<u32> {
    let mut words = vec![from.width, rows, first_row, from.stride_words(), to.stride_words(), plan.input_stride];
    match &plan.stage {
        Stage::Matrix { rows, output_stride, .. } => {
            words.extend([*output_stride, 0]);
            for row in rows {
                words.extend(row.map(i32::cast_unsigned));
                words.push(0);
            }
        }
        Stage::Grid { strides, nodes, output_stride, .. } => {
            words.extend([*output_stride, 4 * nodes.len() as u32]);
            words.extend(strides);
            words.extend([0; 8]);
        }
    }
    words
}
