//! Samples the engine's float path into tables.

use lcms2::{Tag, TagSignature, ThreadContext};

use super::{Evaluator, Intent, Plan, Profile, Rendering, Stage, target_format};
use crate::error::Result;
use crate::pixel::{Color, Depth, PixelFormat};

/// Nodes along each axis of a grid of RGB …
const SIDE_RGB: u32 = 49;
/// … of CMYK, whose grid has one more axis …
const SIDE_CMYK: u32 = 25;
/// … and of 16-bit gray; 8-bit gray has a node for every value.
const SIDE_GRAY: u32 = 4097;

/// One in the Q14 positions of a grid.
const ONE_Q14: u32 = 1 << 14;
/// One in Q16 linear light.
const ONE_Q16: u32 = 1 << 16;
/// One in Q12 coefficients.
const ONE_Q12: f64 = 4096.0;

/// How far a matrix plan may be from the engine, in ΔE of 1976; beyond, a grid is used.
const MATRIX_ERROR: f32 = 0.5;

pub fn plan(source: PixelFormat, from: &Profile, to: &Profile, rendering: Rendering, dither: bool) -> Result<Plan> {
    let target = target_format(source, to, dither);
    let evaluator = Evaluator::new(from, to, rendering)?;
    if from.color() == Color::Rgb
        && to.color() != Color::Cmyk
        && let Some(plan) = matrix_plan(source, target, from, to, rendering.intent, dither)
        && agrees(&plan, &evaluator, to)?
    {
        return Ok(plan);
    }
    let (side, exponent) = match from.color() {
        Color::Gray if source.depth == Depth::U8 => (256, 1.0),
        Color::Gray => (SIDE_GRAY, 1.0),
        Color::Rgb => (SIDE_RGB, spacing(from)),
        Color::Cmyk => (SIDE_CMYK, 1.0),
    };
    Ok(grid_plan(source, target, dither, &evaluator, side, exponent))
}

/// Values that a sample of `depth` can have, from 0 to 1.
fn levels(depth: Depth) -> impl Iterator<Item = f64> {
    let max = depth.max();
    (0..=max).map(move |s| f64::from(s) / f64::from(max))
}

/// A grid whose node `i` of `n` stands at device value `(i / (n − 1))^exponent` along every axis.
fn grid_plan(
    source: PixelFormat,
    target: PixelFormat,
    dither: bool,
    evaluator: &Evaluator,
    side: u32,
    exponent: f64,
) -> Plan {
    let last_cell = side - 2;
    let entry = |value: f64| {
        let position = value.powf(1.0 / exponent) * f64::from(side - 1);
        let cell = (position.floor() as u32).min(last_cell);
        let fraction = ((position - f64::from(cell)) * f64::from(ONE_Q14)).round() as u32;
        cell << 16 | fraction.min(ONE_Q14)
    };
    let axes = source.color.components();
    let at: Vec<f32> = (0..side).map(|i| (f64::from(i) / f64::from(side - 1)).powf(exponent) as f32).collect();
    let mut strides = [0; 4];
    for (axis, stride) in strides[..axes].iter_mut().rev().enumerate() {
        *stride = side.pow(axis as u32);
    }
    let components = target.color.components();
    let mut nodes = Vec::with_capacity(side.pow(axes as u32) as usize);
    // One plane of the first axis at a time.
    let plane = side.pow(axes as u32 - 1);
    let mut colors = vec![0f32; plane as usize * axes];
    for first in &at {
        for (index, color) in colors.chunks_exact_mut(axes).enumerate() {
            color[0] = *first;
            for (value, stride) in color[1..].iter_mut().zip(&strides[1..]) {
                *value = at[(index as u32 / stride % side) as usize];
            }
        }
        nodes.extend(evaluator.evaluate(&colors).chunks_exact(components).map(|color| {
            let mut node = [0; 4];
            for (to, from) in node.iter_mut().zip(color) {
                *to = (from * 65535.0).round() as u16;
            }
            node
        }));
    }
    Plan {
        source,
        target,
        dither,
        input: levels(source.depth).map(entry).collect(),
        input_stride: 0,
        stage: Stage::Grid { strides, nodes },
    }
}

/// The exponent that spaces the nodes of an RGB grid evenly to the eye. Profiles of linear light would have nearly
/// all of their nodes in the highlights.
fn spacing(from: &Profile) -> f64 {
    let context = ThreadContext::new();
    let gamma = from.open(&context).ok().and_then(|profile| match profile.read_tag(TagSignature::GreenTRCTag) {
        Tag::ToneCurve(curve) => curve.estimated_gamma(1.0),
        _ => None,
    });
    match gamma {
        Some(gamma) if gamma > 0.1 && gamma < 1.6 => 2.2 / gamma,
        _ => 1.0,
    }
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
    let is_matrix = |profile: &lcms2::Profile<_>, direction| {
        profile.is_matrix_shaper() && !profile.is_clut(intent.into(), direction)
    };
    if !is_matrix(&input, USED_AS_INPUT) || !is_matrix(&output, USED_AS_OUTPUT) {
        return None;
    }
    let to_xyz = colorants(&input)?;
    let matrix = match target.color {
        Color::Rgb => product(&inverse(&colorants(&output)?)?, &to_xyz).to_vec(),
        Color::Gray => vec![to_xyz[1]],
        Color::Cmyk => return None,
    };
    let mut rows = [[0; 3]; 3];
    for (row, exact) in rows.iter_mut().zip(&matrix) {
        *row = quantised(exact)?;
    }

    let mut linear = Vec::new();
    for signature in [TagSignature::RedTRCTag, TagSignature::GreenTRCTag, TagSignature::BlueTRCTag] {
        let Tag::ToneCurve(curve) = input.read_tag(signature) else { return None };
        linear.push(
            levels(source.depth)
                .map(|value| (curve.eval(value as f32).max(0.0).min(1.0) * ONE_Q16 as f32).round() as u32)
                .collect::<Vec<_>>(),
        );
    }
    let curves: &[TagSignature] = match target.color {
        Color::Gray => &[TagSignature::GrayTRCTag],
        _ => &[TagSignature::RedTRCTag, TagSignature::GreenTRCTag, TagSignature::BlueTRCTag],
    };
    let mut encoded = Vec::new();
    for &signature in curves {
        let Tag::ToneCurve(curve) = output.read_tag(signature) else { return None };
        let back = curve.reversed();
        encoded.push(
            (0..=ONE_Q16)
                .map(|l| (back.eval(l as f32 / ONE_Q16 as f32).max(0.0).min(1.0) * 65535.0).round() as u16)
                .collect::<Vec<_>>(),
        );
    }
    let (input, input_stride) = joined(linear);
    let (mut output, output_stride) = joined(encoded);
    if output.len() % 2 == 1 {
        output.push(0);
    }
    Some(Plan { source, target, dither, input, input_stride, stage: Stage::Matrix { rows, output, output_stride } })
}

/// Directions of use, as the engine numbers them.
const USED_AS_INPUT: u32 = 0;
const USED_AS_OUTPUT: u32 = 1;

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

/// Whether a plan of a matrix gives what the engine gives, on a coarse grid of colours.
fn agrees(plan: &Plan, evaluator: &Evaluator, to: &Profile) -> Result<bool> {
    const STEPS: u32 = 9;
    let max = plan.source.depth.max();
    let mut samples = Vec::new();
    for index in 0..STEPS.pow(3) {
        for axis in 0..3 {
            samples.push(index / STEPS.pow(axis) % STEPS * max / (STEPS - 1));
        }
    }
    let colors: Vec<f32> = samples.iter().map(|&s| s as f32 / max as f32).collect();
    let ours: Vec<f32> = samples
        .chunks_exact(3)
        .flat_map(|pixel| {
            let wide = super::cpu::through_matrix(plan, [pixel[0], pixel[1], pixel[2]]);
            wide.into_iter().take(plan.target.color.components()).map(|v| v as f32 / 65535.0)
        })
        .collect();
    let lab = Evaluator::to_lab(to, Intent::Relative)?;
    let (ours, theirs) = (lab.evaluate(&ours), lab.evaluate(&evaluator.evaluate(&colors)));
    let close =
        |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt() <= MATRIX_ERROR;
    Ok(ours.chunks_exact(3).zip(theirs.chunks_exact(3)).all(close))
}
