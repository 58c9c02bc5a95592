//! Colour conversion on the CPU: rows in parallel, pixel by pixel.

use rayon::prelude::*;

use super::{Plan, Stage, dither_offset};
use crate::pixel::{Depth, Raster, Sample, Samples};

/// Converts `image`, whose format is the plan's source; its first row is row `first_row` of the output.
pub fn convert(plan: &Plan, image: &Raster, first_row: u32) -> Raster {
    assert_eq!(image.format, plan.source, "rows of another format");
    let mut out = Raster::empty(plan.target, image.width);
    out.set_rows(image.height);
    match (&image.samples, &mut out.samples) {
        (Samples::U8(from), Samples::U8(to)) => convert_rows(plan, image.width, from, to, first_row),
        (Samples::U16(from), Samples::U16(to)) => convert_rows(plan, image.width, from, to, first_row),
        (Samples::U16(from), Samples::U8(to)) => convert_rows(plan, image.width, from, to, first_row),
        (Samples::U8(_), Samples::U16(_)) => unreachable!("no plan adds depth"),
    }
    out
}

fn convert_rows<S: Sample, T: Sample>(plan: &Plan, width: u32, from: &[S], to: &mut [T], first_row: u32) {
    let strides = [plan.source, plan.target].map(|format| width as usize * format.channels());
    let rows = from.par_chunks_exact(strides[0]).zip(to.par_chunks_exact_mut(strides[1]));
    rows.enumerate().for_each(|(index, (from, to))| {
        let y = first_row + index as u32;
        match &plan.stage {
            Stage::Matrix { rows, output, output_stride } => {
                convert_row(plan, from, to, y, |light: &[u32; 3]| matrix(rows, output, *output_stride, light));
            }
            Stage::Grid { strides, nodes, output, .. } if output.is_empty() => match plan.source.color.components() {
                1 => convert_row(plan, from, to, y, |cells: &[u32; 1]| simplex(strides, nodes, cells)),
                3 => convert_row(plan, from, to, y, |cells: &[u32; 3]| simplex(strides, nodes, cells)),
                _ => convert_row(plan, from, to, y, |cells: &[u32; 4]| simplex(strides, nodes, cells)),
            },
            Stage::Grid { strides, nodes, output, output_stride } => {
                // Gray needs no output tables: its grid has a node for every value.
                let curved = |values: [u32; 4]| curved(output, *output_stride, values);
                match plan.source.color.components() {
                    3 => convert_row(plan, from, to, y, |cells: &[u32; 3]| curved(simplex(strides, nodes, cells))),
                    _ => convert_row(plan, from, to, y, |cells: &[u32; 4]| curved(simplex(strides, nodes, cells))),
                }
            }
        }
    });
}

fn convert_row<const N: usize, S: Sample, T: Sample>(
    plan: &Plan,
    from: &[S],
    to: &mut [T],
    y: u32,
    stage: impl Fn(&[u32; N]) -> [u32; 4],
) {
    let components = plan.target.color.components();
    let pixels = from.chunks_exact(plan.source.channels()).zip(to.chunks_exact_mut(plan.target.channels()));
    for ((from, to), x) in pixels.zip(0..) {
        let wide = stage(&entries(plan, std::array::from_fn(|c| from[c].into())));
        let offset = if plan.dither { dither_offset(x, y) } else { 128 };
        for (to, value) in to[..components].iter_mut().zip(wide) {
            *to = T::from_u32(if T::DEPTH == Depth::U8 { (value + offset) / 257 } else { value });
        }
        if plan.source.alpha {
            let alpha: u32 = from[N].into();
            to[components] = T::from_u32(if S::DEPTH == T::DEPTH { alpha } else { (alpha + 128) / 257 });
        }
    }
}

/// 16-bit components of one RGB pixel of a matrix plan; those that the target lacks are 0.
pub(super) fn through_matrix(plan: &Plan, pixel: [u32; 3]) -> [u32; 4] {
    match &plan.stage {
        Stage::Matrix { rows, output, output_stride } => matrix(rows, output, *output_stride, &entries(plan, pixel)),
        Stage::Grid { .. } => unreachable!("only plans of matrices are asked"),
    }
}

#[inline]
fn entries<const N: usize>(plan: &Plan, pixel: [u32; N]) -> [u32; N] {
    std::array::from_fn(|c| plan.input[c * plan.input_stride as usize + pixel[c] as usize])
}

#[inline]
fn matrix(rows: &[[i32; 3]; 3], output: &[u16], output_stride: u32, light: &[u32; 3]) -> [u32; 4] {
    let mut wide = [0; 4];
    for (c, (wide, row)) in wide.iter_mut().zip(rows).enumerate() {
        let sum: i32 = row.iter().zip(light).map(|(m, l)| m * l.cast_signed()).sum();
        let index = ((sum + (1 << 11)) >> 12).clamp(0, 1 << 16);
        *wide = output[c * output_stride as usize + index as usize].into();
    }
    wide
}

/// Output tables lead to RGB.
#[inline]
fn curved(output: &[u16], output_stride: u32, values: [u32; 4]) -> [u32; 4] {
    let at = |c: usize| u32::from(output[c * output_stride as usize + values[c] as usize]);
    [at(0), at(1), at(2), 0]
}

#[inline]
fn simplex<const N: usize>(strides: &[u32; 4], nodes: &[[u16; 4]], entries: &[u32; N]) -> [u32; 4] {
    let mut corner = 0;
    // Position along the axis above, step along it below: one comparison sorts both.
    let mut axes: [u32; N] = std::array::from_fn(|axis| {
        corner += (entries[axis] >> 16) * strides[axis];
        entries[axis] << 16 | strides[axis]
    });
    sort_falling(&mut axes);
    let mut sums = [1 << 13; 4];
    let mut add = |corner: u32, weight: u32| {
        for (sum, value) in sums.iter_mut().zip(nodes[corner as usize]) {
            *sum += weight * u32::from(value);
        }
    };
    let mut before = 1 << 14;
    for axis in axes {
        let position = axis >> 16;
        add(corner, before - position);
        before = position;
        corner += axis & 0xffff;
    }
    add(corner, before);
    sums.map(|sum| sum >> 14)
}

#[inline]
fn sort_falling<const N: usize>(axes: &mut [u32; N]) {
    let mut order = |a: usize, b: usize| {
        let (high, low) = (axes[a].max(axes[b]), axes[a].min(axes[b]));
        (axes[a], axes[b]) = (high, low);
    };
    if N == 3 {
        order(0, 1);
        order(1, 2);
        order(0, 1);
    } else if N == 4 {
        order(0, 1);
        order(2, 3);
        order(0, 2);
        order(1, 3);
        order(1, 2);
    }
}
