//! Samples the engine's float path into tables.

#![allow(clippy::manual_clamp, reason = "max and min turn the NaN of a hostile profile into 0, clamp keeps it")]

use lcms2::{Tag, TagSignature, ThreadContext, ToneCurve};
use rayon::prelude::*;

use super::spacing::Axes;
use super::{Evaluator, Intent, Plan, Profile, Rendering, Stage, target_format};
use crate::error::Result;
use crate::pixel::{Color, Depth, PixelFormat};

/// One in the Q14 positions of a grid.
const ONE_Q14: u32 = 1 << 14;
/// One in linear light.
const WHITE: u32 = 65535;
/// One in Q12 coefficients.
const ONE_Q12: f64 = 4096.0;

/// How far curves and matrix of a profile may be from what the engine makes of it, in ΔE of 1976; beyond, a grid of
/// the engine's own values is used.
const MODEL_ERROR: f32 = 0.5;

pub fn plan(source: PixelFormat, from: &Profile, to: &Profile, rendering: Rendering, dither: bool) -> Result<Plan> {
    let target = target_format(source, to, dither);
    let evaluator = Evaluator::new(from, to, rendering)?;
    if from.color() == Color::Rgb
        && to.color() != Color::Cmyk
        && let Some(plan) = matrix_plan(source, target, from, to, rendering.intent, dither)
        && matrix_agrees(&plan, &evaluator, to)?
    {
        return Ok(plan);
    }
    if from.color() != Color::Gray
        && let Some(plan) = curved_grid_plan(source, target, from, to, rendering, dither, &evaluator)?
    {
        return Ok(plan);
    }
    let plain = |values: &[f32], node: &mut [u16; 4]| {
        for (to, from) in node.iter_mut().zip(values) {
            *to = (from * 65535.0).round() as u16;
        }
    };
    let axes = Axes::new(source, from, rendering.intent, target.color == Color::Cmyk);
    let (input, input_stride, strides, nodes) = grid(source, &axes, &evaluator, plain);
    let stage = Stage::Grid { strides, nodes, output: Vec::new(), output_stride: 0 };
    Ok(Plan::of_tables([source, target], dither, (input, input_stride), stage))
}

/// Values that a sample of `depth` can have, from 0 to 1.
fn levels(depth: Depth) -> impl Iterator<Item = f64> {
    let max = depth.max();
    (0..=max).map(move |s| f64::from(s) / f64::from(max))
}

/// A grid over `axes`: `node` packs what `evaluator` gives at a node, per target component.
fn grid(
    source: PixelFormat,
    axes: &Axes,
    evaluator: &Evaluator,
    node: impl Fn(&[f32], &mut [u16; 4]) + Sync,
) -> (Vec<u32>, u32, [u32; 4], Vec<[u16; 4]>) {
    let (side, components) = (axes.side, source.color.components());
    let entry = |place: f64| {
        let position = place * f64::from(side - 1);
        let cell = (position as u32).min(side - 2);
        let fraction = ((position - f64::from(cell)) * f64::from(ONE_Q14)).round() as u32;
        cell << 16 | fraction.min(ONE_Q14)
    };
    let table = |axis: usize| {
        let place = |value| axes.spacings[axis].place(value);
        levels(source.depth).map(|value| entry(place(value))).collect()
    };
    let (input, input_stride) = joined((0..components).map(table).collect());

    // Along the first of four axes nodes are neighbours: the loop reads both ends of a cell at once.
    let strides = match components {
        1 => [1, 0, 0, 0],
        3 => [side.pow(2), side, 1, 0],
        _ => [1, side, side.pow(2), side.pow(3)],
    };
    let values: Vec<Vec<f32>> = (0..components).map(|axis| axes.nodes(axis)).collect();
    // One plane of the slowest axis at a time.
    let plane = side.pow(components as u32 - 1);
    let planes: Vec<Vec<[u16; 4]>> = (0..side)
        .into_par_iter()
        .map(|first| {
            let mut colors = Vec::with_capacity(plane as usize * components);
            for index in first * plane..(first + 1) * plane {
                colors.extend((0..components).map(|axis| values[axis][(index / strides[axis] % side) as usize]));
            }
            let made = evaluator.evaluate(&colors);
            let pack = |values: &[f32]| {
                let mut packed = [0; 4];
                node(values, &mut packed);
                packed
            };
            made.chunks_exact(made.len() / plane as usize).map(pack).collect()
        })
        .collect();
    (input, input_stride, strides, planes.concat())
}

/// A grid whose nodes hold lightness, and output tables behind it, where `to` is made of curves and a matrix.
fn curved_grid_plan(
    source: PixelFormat,
    target: PixelFormat,
    from: &Profile,
    to: &Profile,
    rendering: Rendering,
    dither: bool,
    evaluator: &Evaluator,
) -> Result<Option<Plan>> {
    let context = ThreadContext::new();
    let output = to.open(&context)?;
    if target.color != Color::Rgb || !is_matrix(&output, rendering.intent, USED_AS_OUTPUT) {
        return Ok(None);
    }
    let Some(from_xyz) = colorants(&output).as_ref().and_then(inverse) else { return Ok(None) };
    let mut curves = Vec::new();
    for signature in CURVES {
        let Tag::ToneCurve(curve) = output.read_tag(signature) else { return Ok(None) };
        curves.push(curve.reversed());
    }
    let linear = |xyz: &[f32]| from_xyz.map(|row| row.iter().zip(xyz).map(|(m, v)| m * f64::from(*v)).sum::<f64>());
    let encoded = |curve: &ToneCurve, light: f64| curve.eval(light.clamp(0.0, 1.0) as f32).clamp(0.0, 1.0);

    let to_xyz = Evaluator::to_xyz(from, rendering)?;
    let colors = coarse(source.color);
    let ours: Vec<f32> = to_xyz
        .evaluate(&colors)
        .chunks_exact(3)
        .flat_map(|xyz| {
            let light = linear(xyz);
            std::array::from_fn::<f32, 3, _>(|c| encoded(&curves[c], light[c]))
        })
        .collect();
    if !agrees(&ours, &colors, evaluator, to)? {
        return Ok(None);
    }
    let black = source_black(from, rendering, &to_xyz)?;
    let node = |xyz: &[f32], node: &mut [u16; 4]| {
        for (to, light) in node.iter_mut().zip(linear(xyz)) {
            let lightness = lightness(black + (1.0 - black) * light);
            let place = (lightness - LEAST_LIGHTNESS) / (MOST_LIGHTNESS - LEAST_LIGHTNESS);
            *to = (place.clamp(0.0, 1.0) * 65535.0).round() as u16;
        }
    };
    let table = |curve: &ToneCurve| -> Vec<u16> {
        (0..=u16::MAX)
            .map(|value| {
                let place = f64::from(value) / 65535.0;
                let light = light(LEAST_LIGHTNESS + place * (MOST_LIGHTNESS - LEAST_LIGHTNESS));
                (encoded(curve, (light - black) / (1.0 - black)) * 65535.0).round() as u16
            })
            .collect()
    };
    let (output, output_stride) = per_curve(to, &curves, table);
    let axes = Axes::new(source, from, rendering.intent, false);
    let (input, input_stride, strides, nodes) = grid(source, &axes, &to_xyz, node);
    let stage = Stage::Grid { strides, nodes, output, output_stride };
    Ok(Some(Plan::of_tables([source, target], dither, (input, input_stride), stage)))
}

/// Luminance that black-point compensation takes to 0; 0 without it.
///
/// Tables of profiles bend least in lightness, but in that of the paper before its black is taken away.
fn source_black(from: &Profile, rendering: Rendering, compensated: &Evaluator) -> Result<f64> {
    let plain = Evaluator::to_xyz(from, Rendering { black_point_compensation: false, ..rendering })?;
    // The compensation is linear and keeps white, so that one other colour tells it.
    let middle = vec![0.5; from.color().components()];
    let [before, after] = [&plain, compensated].map(|evaluator| 1.0 - f64::from(evaluator.evaluate(&middle)[1]));
    let black = 1.0 - before / after;
    Ok(if black.is_finite() { black.clamp(0.0, 0.5) } else { 0.0 })
}

/// Range of lightness that nodes can hold: far enough beyond the gamut for the cells on its edge.
const LEAST_LIGHTNESS: f64 = -1.0;
const MOST_LIGHTNESS: f64 = 2.0;

/// CIE lightness of 0–1 of linear light, straight on below 0.
fn lightness(light: f64) -> f64 {
    if light > 216.0 / 24389.0 { 1.16 * light.cbrt() - 0.16 } else { light * 243.89 / 27.0 }
}

/// The linear light of a lightness.
fn light(lightness: f64) -> f64 {
    if lightness > 0.08 { ((lightness + 0.16) / 1.16).powi(3) } else { lightness * 27.0 / 243.89 }
}

/// Curves and a matrix, where both profiles are made of them; `None` also for coefficients out of range.
fn matrix_plan(
    source: PixelFormat,
    target: PixelFormat,
    from: &Profile,
    to: &Profile,
    intent: Intent,
    dither: bool,
) -> Option<Plan> {
    let context = ThreadContext::new();
    let (input, output) = (from.open(&context).ok()?, to.open(&context).ok()?);
    if !is_matrix(&input, intent, USED_AS_INPUT) || !is_matrix(&output, intent, USED_AS_OUTPUT) {
        return None;
    }
    let to_xyz = colorants(&input)?;
    let matrix = match target.color {
        Color::Rgb => product(&inverse(&colorants(&output)?)?, &to_xyz).to_vec(),
        Color::Gray => vec![to_xyz[1]],
        Color::Cmyk | Color::Lab => return None,
    };
    let mut rows = [[0; 3]; 3];
    for (row, exact) in rows.iter_mut().zip(&matrix) {
        *row = quantised(exact)?;
    }

    let mut linear = Vec::new();
    for signature in CURVES {
        let Tag::ToneCurve(curve) = input.read_tag(signature) else { return None };
        linear.push(
            levels(source.depth)
                .map(|value| (curve.eval(value as f32).clamp(0.0, 1.0) * WHITE as f32).round() as u32)
                .collect::<Vec<_>>(),
        );
    }
    let curves: &[TagSignature] = match target.color {
        Color::Gray => &[TagSignature::GrayTRCTag],
        _ => &CURVES,
    };
    let mut back = Vec::new();
    for &signature in curves {
        let Tag::ToneCurve(curve) = output.read_tag(signature) else { return None };
        back.push(curve.reversed());
    }
    let encoded = |back: &ToneCurve| {
        let value = |light: u32| back.eval(light as f32 / WHITE as f32).clamp(0.0, 1.0);
        (0..=WHITE).map(|light| (value(light) * 65535.0).round() as u16).collect()
    };
    let (output, output_stride) = per_curve(to, &back, encoded);
    let stage = Stage::Matrix { rows, output, output_stride };
    Some(Plan::of_tables([source, target], dither, joined(linear), stage))
}

/// Directions of use, as the engine numbers them.
const USED_AS_INPUT: u32 = 0;
const USED_AS_OUTPUT: u32 = 1;

const CURVES: [TagSignature; 3] = [TagSignature::RedTRCTag, TagSignature::GreenTRCTag, TagSignature::BlueTRCTag];

/// Whether the engine uses the profile's curves and matrix for this intent.
fn is_matrix(profile: &lcms2::Profile<ThreadContext>, intent: Intent, direction: u32) -> bool {
    profile.is_matrix_shaper() && !profile.is_clut(intent.into(), direction)
}

/// A table for each of the curves, all in one, and the distance between them: one table where `profile` has one curve for
/// all of its components.
fn per_curve(profile: &Profile, curves: &[ToneCurve], table: impl Fn(&ToneCurve) -> Vec<u16>) -> (Vec<u16>, u32) {
    let tags = [b"rTRC", b"gTRC", b"bTRC"].map(|signature| profile.tag(signature));
    let alike = tags[0].is_some() && tags.iter().all(|tag| *tag == tags[0]);
    let distinct = if alike { 1 } else { curves.len() };
    joined(curves[..distinct].iter().map(table).collect())
}

/// All tables in one, and the distance between them; equal tables are kept once.
fn joined<T: PartialEq + Clone>(tables: Vec<Vec<T>>) -> (Vec<T>, u32) {
    let stride = tables[0].len() as u32;
    if tables.iter().all(|table| *table == tables[0]) {
        return (tables.into_iter().next().expect("at least one"), 0);
    }
    (tables.concat(), stride)
}

type Matrix = [[f64; 3]; 3];

/// Linear RGB to XYZ.
fn colorants(profile: &lcms2::Profile<ThreadContext>) -> Option<Matrix> {
    let mut matrix = [[0.0; 3]; 3];
    let signatures = [TagSignature::RedColorantTag, TagSignature::GreenColorantTag, TagSignature::BlueColorantTag];
    for (column, signature) in signatures.into_iter().enumerate() {
        let Tag::CIEXYZ(xyz) = profile.read_tag(signature) else { return None };
        for (row, value) in matrix.iter_mut().zip([xyz.X, xyz.Y, xyz.Z]) {
            row[column] = value;
        }
    }
    Some(matrix)
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

fn inverse(m: &Matrix) -> Option<Matrix> {
    let cofactor = |i: usize, j: usize| {
        let (a, b, c, d) = ((i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let determinant: f64 = (0..3).map(|j| m[0][j] * cofactor(0, j)).sum();
    (determinant.abs() > 1e-9).then(|| std::array::from_fn(|i| std::array::from_fn(|j| cofactor(j, i) / determinant)))
}

/// Coefficients in Q12 whose sum is that of the exact ones, so that grays stay gray; `None` when a product could
/// overflow.
fn quantised(exact: &[f64; 3]) -> Option<[i32; 3]> {
    let fits = exact.iter().all(|v| v.is_finite()) && exact.iter().map(|v| v.abs()).sum::<f64>() < 7.9;
    if !fits {
        return None;
    }
    let mut row = exact.map(|v| (v * ONE_Q12).round() as i32);
    let sum = (exact.iter().sum::<f64>() * ONE_Q12).round() as i32;
    let largest = (0..3).max_by(|&a, &b| exact[a].abs().total_cmp(&exact[b].abs()))?;
    row[largest] += sum - row.iter().sum::<i32>();
    Some(row)
}

/// Device values of a coarse grid of colours, their components 0–1.
fn coarse(color: Color) -> Vec<f32> {
    let axes = color.components() as u32;
    let steps: u32 = if axes == 4 { 5 } else { 9 };
    let color = |index: u32| (0..axes).map(move |axis| index / steps.pow(axis) % steps);
    (0..steps.pow(axes)).flat_map(color).map(|step| step as f32 / (steps - 1) as f32).collect()
}

/// Whether a plan of a matrix gives what the engine gives.
fn matrix_agrees(plan: &Plan, evaluator: &Evaluator, to: &Profile) -> Result<bool> {
    let max = plan.source.depth.max() as f32;
    let samples: Vec<u32> = coarse(Color::Rgb).into_iter().map(|value| (value * max) as u32).collect();
    let colors: Vec<f32> = samples.iter().map(|&sample| sample as f32 / max).collect();
    let ours: Vec<f32> = samples
        .chunks_exact(3)
        .flat_map(|pixel| {
            let wide = super::cpu::through_matrix(plan, [pixel[0], pixel[1], pixel[2]]);
            wide.into_iter().take(plan.target.color.components()).map(|v| v as f32 / 65535.0)
        })
        .collect();
    agrees(&ours, &colors, evaluator, to)
}

/// Whether `ours`, in the device space of `to`, are about what the engine makes of `colors`.
fn agrees(ours: &[f32], colors: &[f32], evaluator: &Evaluator, to: &Profile) -> Result<bool> {
    let lab = Evaluator::to_lab(to, Intent::Relative)?;
    let (ours, theirs) = (lab.evaluate(ours), lab.evaluate(&evaluator.evaluate(colors)));
    let close =
        |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt() <= MODEL_ERROR;
    Ok(ours.chunks_exact(3).zip(theirs.chunks_exact(3)).all(close))
}
