//! Colour conversion on the CPU: rows in parallel, pixel by pixel.

use rayon::prelude::*;

use super::{Plan, Stage, dither_offset};
use crate::pixel::{Depth, Raster, Sample, Samples};

/// Converts `image`, whose format is the plan's source; its first row is row `first_row` of the output.
pub fn convert(plan: &Plan, image: &Raster, first_row: u32) -> Raster {
    assert_eq!(image.format, plan.source, "rows of another format");
    let mut out = Raster::empty(plan.target, image.width);
    out.set_rows(image.height);
    let strides = [plan.source, plan.target].map(|format| image.width as usize * format.channels());
    match (&image.samples, &mut out.samples) {
        (Samples::U8(from), Samples::U8(to)) => match plan.narrow.as_ref().and_then(|n| narrow_loop(plan, n)) {
            Some(row) => {
                let rows = from.par_chunks_exact(strides[0]).zip(to.par_chunks_exact_mut(strides[1]));
                rows.for_each(|(from, to)| {
                    row(from, to);
                    copy_alpha(plan, from, to);
                });
            }
            None => convert_rows(plan, strides, from, to, first_row),
        },
        (Samples::U16(from), Samples::U16(to)) => convert_rows(plan, strides, from, to, first_row),
        (Samples::U16(from), Samples::U8(to)) => convert_rows(plan, strides, from, to, first_row),
        (Samples::U8(_), Samples::U16(_)) => unreachable!("no plan adds depth"),
    }
    out
}

fn convert_rows<S: Sample, T: Sample>(plan: &Plan, strides: [usize; 2], from: &[S], to: &mut [T], first_row: u32) {
    let rows = from.par_chunks_exact(strides[0]).zip(to.par_chunks_exact_mut(strides[1]));
    rows.enumerate().for_each(|(index, (from, to))| {
        let y = first_row + index as u32;
        match &plan.stage {
            Stage::Matrix { rows, output, output_stride } => {
                convert_row(plan, from, to, y, |light: &[u32; 3]| matrix(rows, output, *output_stride, light));
            }
            Stage::Grid { strides, nodes, output, output_stride } => {
                let nodes = nodes.as_flattened();
                let curved = |values: [u32; 4]| match output.is_empty() {
                    true => values,
                    false => through_output(output, *output_stride, values),
                };
                match plan.source.color.components() {
                    1 => convert_row(plan, from, to, y, |&[entry]: &[u32; 1]| linear(nodes, entry)),
                    3 => convert_row(plan, from, to, y, |entries: &[u32; 3]| {
                        let places = std::array::from_fn(|c| Place::new(entries[c], strides[c]));
                        curved(tetrahedral::<4>(nodes, places))
                    }),
                    _ => convert_row(plan, from, to, y, |entries: &[u32; 4]| {
                        let cyan = Place::new(entries[0], strides[0]);
                        let places = std::array::from_fn(|c| Place::new(entries[c + 1], strides[c + 1]));
                        curved(between_tetrahedra(nodes, cyan, places))
                    }),
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
        let index = ((sum + (1 << 11)) >> 12).clamp(0, 65535);
        *wide = output[c * output_stride as usize + index as usize].into();
    }
    wide
}

/// Output tables lead to RGB.
#[inline]
fn through_output(output: &[u16], output_stride: u32, values: [u32; 4]) -> [u32; 4] {
    let at = |c: usize| u32::from(output[c * output_stride as usize + values[c] as usize]);
    [at(0), at(1), at(2), 0]
}

/// A pixel's place along one axis.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Number of the cell's lowest node, as far as this axis determines it.
    node: u32,
    /// Position in the cell above, nodes from one end of it to the other below: one comparison sorts both.
    step: u32,
}

impl Place {
    #[inline(always)]
    fn new(entry: u32, stride: u32) -> Self {
        Place { node: (entry >> 16) * stride, step: entry << 16 | stride }
    }
}

#[inline(always)]
fn linear(nodes: &[u16], entry: u32) -> [u32; 4] {
    let (at, position) = (4 * (entry >> 16) as usize, entry & 0xffff);
    std::array::from_fn(|c| {
        let ends = [nodes[at + c], nodes[at + 4 + c]].map(u32::from);
        (ends[0] * ((1 << 14) - position) + ends[1] * position + (1 << 13)) >> 14
    })
}

/// The four values of one node (`LANES` 4), or of two neighbours (8) for each.
#[inline(always)]
fn tetrahedral<const LANES: usize>(nodes: &[u16], places: [Place; 3]) -> [u32; LANES] {
    let lowest = places[0].node + places[1].node + places[2].node;
    let [a, b, c] = sorted_falling(places.map(|place| place.step));
    let [first, second, third] = [a >> 16, b >> 16, c >> 16];
    let at = |corner: u32| -> &[u16; LANES] {
        nodes[4 * corner as usize..].first_chunk().expect("nodes go on to the last corner")
    };
    let after = [a & 0xffff, (a & 0xffff) + (b & 0xffff), (a & 0xffff) + (b & 0xffff) + (c & 0xffff)];
    let [n0, n1, n2, n3] = [at(lowest), at(lowest + after[0]), at(lowest + after[1]), at(lowest + after[2])];
    let weights = [(1 << 14) - first, first - second, second - third, third];
    let mut values = [0; LANES];
    // No iterator adapters: like this the compiler makes one vector of the lanes.
    for lane in 0..LANES {
        let products = [
            weights[0] * u32::from(n0[lane]),
            weights[1] * u32::from(n1[lane]),
            weights[2] * u32::from(n2[lane]),
            weights[3] * u32::from(n3[lane]),
        ];
        values[lane] = (products[0] + products[1] + products[2] + products[3] + (1 << 13)) >> 14;
    }
    values
}

/// Linear along the first axis, whose nodes are neighbours.
#[inline(always)]
fn between_tetrahedra(nodes: &[u16], first: Place, places: [Place; 3]) -> [u32; 4] {
    let ends = tetrahedral::<8>(&nodes[4 * first.node as usize..], places);
    let position = first.step >> 16;
    let mut values = [0; 4];
    for c in 0..4 {
        values[c] = (ends[c] * ((1 << 14) - position) + ends[c + 4] * position + (1 << 13)) >> 14;
    }
    values
}

#[inline(always)]
pub(super) fn sorted_falling([a, b, c]: [u32; 3]) -> [u32; 3] {
    let (a, b) = (a.max(b), a.min(b));
    let (b, c) = (b.max(c), b.min(c));
    [a.max(b), a.min(b), c]
}

/// Tables of the loop over 8-bit pixels: those of the plan, with what they lead to worked out as far as it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Narrow {
    /// What each gray becomes.
    Gray(Vec<[u8; 4]>),
    Matrix {
        /// Of each value of each component: its part of the sums.
        products: Box<[[[i32; 4]; 256]; 3]>,
        output: Vec<u8>,
        output_stride: usize,
    },
    Grid {
        /// Of each value of each component: cell below, position above.
        entries: Box<[[u32; 256]; 4]>,
        nodes: Nodes,
        output: Vec<u8>,
        output_stride: usize,
    },
}

/// The nodes of a grid as the loop reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Nodes {
    /// Of one component: each with the node behind it above it.
    One(Vec<u32>),
    /// Less 2^15.
    Four(Vec<[i16; 4]>),
}

/// A 16-bit value in 8 bits.
#[inline(always)]
pub(super) fn narrowed(value: u32) -> u8 {
    ((value + 128) / 257) as u8
}

impl Nodes {
    fn new(nodes: &[[u16; 4]], components: usize) -> Self {
        if components == 1 {
            let next = nodes.iter().skip(1).map(|node| u32::from(node[0])).chain([0]);
            return Nodes::One(nodes.iter().zip(next).map(|(node, next)| u32::from(node[0]) | next << 16).collect());
        }
        Nodes::Four(nodes.iter().map(|node| node.map(|value| (value ^ 0x8000).cast_signed())).collect())
    }

    fn bytes(&self) -> usize {
        match self {
            Nodes::One(nodes) => size_of_val(&nodes[..]),
            Nodes::Four(nodes) => size_of_val(&nodes[..]),
        }
    }
}

impl Narrow {
    /// `None` for a plan of other pixels.
    pub(super) fn new(plan: &Plan) -> Option<Self> {
        if plan.dither || plan.source.depth != Depth::U8 {
            return None;
        }
        let entry = |c: usize, value: usize| plan.input[c * plan.input_stride as usize + value];
        let narrow_output = |output: &[u16]| output.iter().map(|value| narrowed(u32::from(*value))).collect();
        Some(match &plan.stage {
            Stage::Matrix { rows, output, output_stride } => {
                let mut products = Box::new([[[0; 4]; 256]; 3]);
                for (c, table) in products.iter_mut().enumerate() {
                    // The rounding is in the first.
                    let rounding = if c == 0 { 1 << 11 } else { 0 };
                    for (value, sums) in table.iter_mut().enumerate() {
                        for (sum, row) in sums.iter_mut().zip(rows) {
                            *sum = row[c] * entry(c, value).cast_signed() + rounding;
                        }
                    }
                }
                Narrow::Matrix { products, output: narrow_output(output), output_stride: *output_stride as usize }
            }
            Stage::Grid { nodes, .. } if plan.source.color.components() == 1 => {
                let made = |value| linear(nodes.as_flattened(), entry(0, value)).map(narrowed);
                Narrow::Gray((0..256).map(made).collect())
            }
            Stage::Grid { nodes, output, output_stride, .. } => {
                let mut entries = Box::new([[0; 256]; 4]);
                for (c, table) in entries[..plan.source.color.components()].iter_mut().enumerate() {
                    for (value, turned) in table.iter_mut().enumerate() {
                        *turned = entry(c, value).rotate_left(16);
                    }
                }
                let output = match output.is_empty() {
                    true => (0..=0xffff).map(narrowed).collect(),
                    false => narrow_output(output),
                };
                let nodes = Nodes::new(nodes, plan.target.color.components());
                Narrow::Grid { entries, nodes, output, output_stride: *output_stride as usize }
            }
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        (match self {
            Narrow::Gray(table) => size_of_val(&table[..]),
            Narrow::Matrix { products, output, .. } => size_of_val(&**products) + output.len(),
            Narrow::Grid { entries, nodes, output, .. } => size_of_val(&**entries) + nodes.bytes() + output.len(),
        }) as u64
    }
}

type NarrowLoop<'a> = Box<dyn Fn(&[u8], &mut [u8]) + Sync + 'a>;

/// A faster loop than that over samples of any depth, where there is one; with the same results. It leaves alpha out.
fn narrow_loop<'a>(plan: &'a Plan, narrow: &'a Narrow) -> Option<NarrowLoop<'a>> {
    if let Narrow::Gray(table) = narrow {
        let steps = [plan.source.channels(), plan.target.channels()];
        let row = match plan.target.color.components() {
            1 => gray::<1>,
            3 => gray::<3>,
            _ => gray::<4>,
        };
        return Some(Box::new(move |from, to| row(table, steps, from, to)));
    }
    #[cfg(target_arch = "x86_64")]
    if super::avx2::available() {
        return Some(Box::new(move |from, to| super::avx2::row(plan, narrow, from, to)));
    }
    None
}

fn gray<const TO: usize>(table: &[[u8; 4]], steps: [usize; 2], from: &[u8], to: &mut [u8]) {
    for (from, to) in from.chunks_exact(steps[0]).zip(to.chunks_exact_mut(steps[1])) {
        to[..TO].copy_from_slice(&table[usize::from(from[0])][..TO]);
    }
}

fn copy_alpha(plan: &Plan, from: &[u8], to: &mut [u8]) {
    let [step_in, step_out] = [plan.source.channels(), plan.target.channels()];
    if plan.source.alpha {
        for (from, to) in from.chunks_exact(step_in).zip(to.chunks_exact_mut(step_out)) {
            to[step_out - 1] = from[step_in - 1];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::ops::color::{Builtin, Profile, Rendering};
    use crate::pixel::{Color, PixelFormat};

    #[test]
    fn loops_over_8_bits_give_what_the_general_loop_gives() {
        for (color, alpha) in
            [Color::Gray, Color::Rgb, Color::Cmyk, Color::Lab].into_iter().zip([true, false].repeat(2))
        {
            let format = PixelFormat::new(color, alpha, Depth::U8);
            let mut image = Raster::zeroed(format, Size::new(257, 61));
            let mut state = 1u32;
            for sample in image.samples.as_bytes_mut() {
                state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
                // Ends and equal components more often than chance has them.
                *sample = [(state >> 24) as u8, 0, 255, 128][(state >> 9) as usize % 4];
            }
            for to in Builtin::ALL {
                let from = Profile::assumed(color);
                let plan = Plan::new(format, from, Profile::builtin(to), Rendering::default(), false).unwrap();
                let general = Plan { narrow: None, ..plan.clone() };
                assert!(convert(&plan, &image, 0) == convert(&general, &image, 0), "{from} to {}", to.name());
            }
        }
    }
}
