//! Scanning a plan from top to bottom, and multiplying its rows into alpha.

use std::sync::Arc;

use super::{Edge, MIN_STRIP_PX, Plan, too_complex};
use crate::error::Result;
use crate::geometry::Combine;
use crate::pixel::{Color, Raster, Sample, Samples};

/// Two edges change places only when they are further apart than this; less is rounding.
const SAME_PLACE_PX: f64 = 1e-9;

/// Added before rounding, so that an area of exactly one half does not fall to the dust of the sums before it.
const DUST: f64 = 1e-6;

/// Visits of an edge or a pixel over the whole image; a cut-out by hand takes some millions.
const MAX_WORK: u64 = 1 << 31;

/// What a scanner holds for each edge of its plan at most.
pub(super) const BYTES_PER_EDGE: usize = size_of::<u32>() + size_of::<Crossing>() + 2 * size_of::<f64>() + 8;

/// Hands out the rows of a mask from top to bottom.
#[derive(Debug)]
pub struct Scanner {
    plan: Arc<Plan>,
    next_row: u32,
    /// The first edge that begins below the rows handed out.
    next_edge: usize,
    /// Edges that reach into the current row.
    active: Vec<u32>,
    /// Shapes that those edges or their own absence give a say in the current row, ascending.
    shapes: Vec<u32>,
    /// Of each shape: its winding number at the current place; 0 between strips.
    windings: Vec<i32>,
    /// Cuts of the current row into strips.
    cuts: Vec<f64>,
    crossings: Vec<Crossing>,
    /// Changes of the coverage from each pixel to the next, and one more.
    changes: Vec<f64>,
    work: u64,
}

/// An edge inside a strip.
#[derive(Debug, Clone, Copy)]
struct Crossing {
    edge: u32,
    top_x: f64,
    bottom_x: f64,
}

impl Scanner {
    pub fn new(plan: Arc<Plan>) -> Self {
        let changes = vec![0.0; plan.size.width as usize + 2];
        let windings = vec![0; plan.combine.len()];
        Scanner {
            plan,
            next_row: 0,
            next_edge: 0,
            active: Vec::new(),
            shapes: Vec::new(),
            windings,
            cuts: Vec::new(),
            crossings: Vec::new(),
            changes,
            work: 0,
        }
    }

    /// Appends up to `max_rows` rows of coverage to `band`, which is gray without alpha and as wide as the image;
    /// returns how many. 0 means the end.
    ///
    /// # Errors
    /// `Limit` when the path's edges cross each other so often that it would take minutes.
    pub fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        assert!(
            band.width == self.plan.size.width && band.format.color == Color::Gray && !band.format.alpha,
            "a band of another shape"
        );
        let rows = max_rows.min(self.plan.size.height - self.next_row);
        for _ in 0..rows {
            self.scan_row()?;
            let start = band.samples.len();
            band.set_rows(band.height + 1);
            match &mut band.samples {
                Samples::U8(samples) => self.take_row(&mut samples[start..]),
                Samples::U16(samples) => self.take_row(&mut samples[start..]),
            }
        }
        Ok(rows)
    }

    /// Sums the changes up to coverage, and clears them.
    fn take_row<S: Sample>(&mut self, row: &mut [S]) {
        let mut area = 0.0;
        for (sample, change) in row.iter_mut().zip(&self.changes) {
            area += change;
            *sample = S::from_u32((area.clamp(0.0, 1.0) * f64::from(S::MAX) + (0.5 + DUST)) as u32);
        }
        self.changes.fill(0.0);
    }

    fn scan_row(&mut self) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        let (top, bottom) = (f64::from(self.next_row), f64::from(self.next_row + 1));
        self.next_row += 1;
        self.active.retain(|&edge| plan.edges[edge as usize].bottom.y > top);
        while plan.edges.get(self.next_edge).is_some_and(|edge| edge.top.y < bottom) {
            if plan.edges[self.next_edge].bottom.y > top {
                self.active.push(self.next_edge as u32);
            }
            self.next_edge += 1;
        }
        self.find_shapes(&plan);

        let mut cuts = std::mem::take(&mut self.cuts);
        cuts.clear();
        cuts.extend([top, bottom]);
        for &edge in &self.active {
            let Edge { top: begin, bottom: end, .. } = plan.edges[edge as usize];
            cuts.extend([begin.y, end.y].into_iter().filter(|&y| y > top && y < bottom));
        }
        cuts.sort_unstable_by(f64::total_cmp);
        cuts.dedup();
        for strip in cuts.windows(2) {
            self.scan_between(&plan, strip[0], strip[1])?;
        }
        self.cuts = cuts;
        Ok(())
    }

    fn find_shapes(&mut self, plan: &Plan) {
        self.shapes.clear();
        self.shapes.extend(self.active.iter().map(|&edge| plan.edges[edge as usize].shape));
        // What such a shape does not cover is outside, also where it has no edge.
        let intersecting = plan.combine.iter().zip(0u32..).filter(|(combine, _)| **combine == Combine::Intersect);
        self.shapes.extend(intersecting.map(|(_, shape)| shape));
        self.shapes.sort_unstable();
        self.shapes.dedup();
    }

    /// Scans from `top` to `bottom`, where edges may cross but neither begin nor end.
    fn scan_between(&mut self, plan: &Plan, mut top: f64, bottom: f64) -> Result<()> {
        while top < bottom {
            self.find_crossings(plan, top, bottom)?;
            let mut end = bottom;
            for pair in self.crossings.windows(2) {
                let (apart, swapped) = (pair[1].top_x - pair[0].top_x, pair[0].bottom_x - pair[1].bottom_x);
                if swapped > SAME_PLACE_PX {
                    end = end.min(top + (bottom - top) * (apart / (apart + swapped)));
                }
            }
            if end < bottom {
                end = end.max(top + MIN_STRIP_PX).min(bottom);
                self.find_crossings(plan, top, end)?;
            }
            self.add_strip(plan, end - top);
            top = end;
        }
        Ok(())
    }

    /// The edges from `top` to `bottom`, from left to right.
    fn find_crossings(&mut self, plan: &Plan, top: f64, bottom: f64) -> Result<()> {
        self.crossings.clear();
        self.work += 1 + self.active.len() as u64;
        for &index in &self.active {
            let edge = &plan.edges[index as usize];
            if edge.top.y <= top && edge.bottom.y >= bottom {
                self.crossings.push(Crossing { edge: index, top_x: x_at(edge, top), bottom_x: x_at(edge, bottom) });
            }
        }
        if self.work > MAX_WORK {
            return Err(too_complex());
        }
        self.crossings.sort_unstable_by(|a, b| {
            let by_x = a.top_x.total_cmp(&b.top_x).then(a.bottom_x.total_cmp(&b.bottom_x));
            by_x.then(a.edge.cmp(&b.edge))
        });
        Ok(())
    }

    /// Adds what the crossings of a strip enclose.
    fn add_strip(&mut self, plan: &Plan, height: f64) {
        let mut inside = self.is_inside(plan);
        if inside {
            self.changes[0] += height;
        }
        for i in 0..self.crossings.len() {
            let crossing = self.crossings[i];
            let edge = &plan.edges[crossing.edge as usize];
            let winding = &mut self.windings[edge.shape as usize];
            let was_filled = *winding != 0;
            *winding += edge.winding;
            if was_filled == (*winding != 0) {
                continue;
            }
            let is_inside = self.is_inside(plan);
            if is_inside != inside {
                inside = is_inside;
                let signed_height = if inside { height } else { -height };
                self.add_right_of(crossing.top_x, crossing.bottom_x, signed_height);
            }
        }
        for &shape in &self.shapes {
            self.windings[shape as usize] = 0;
        }
    }

    fn is_inside(&mut self, plan: &Plan) -> bool {
        self.work += self.shapes.len() as u64;
        self.shapes.iter().fold(plan.starts_full, |inside, &shape| {
            let filled = self.windings[shape as usize] != 0;
            match plan.combine[shape as usize] {
                Combine::Exclude => inside != filled,
                Combine::Unite => inside || filled,
                Combine::Subtract => inside && !filled,
                Combine::Intersect => inside && filled,
            }
        })
    }

    /// Adds the area to the right of a line through a strip of `height`, which may be negative.
    fn add_right_of(&mut self, top_x: f64, bottom_x: f64, height: f64) {
        let width = f64::from(self.plan.size.width);
        let (left, right) = if top_x <= bottom_x { (top_x, bottom_x) } else { (bottom_x, top_x) };
        if left >= width {
            return;
        }
        if right <= 0.0 {
            self.changes[0] += height;
            return;
        }
        // What lies left of the image counts as lying on its edge; what lies right of it adds nothing.
        let per_pixel = height / (right - left);
        let (mut inner_height, mut from, mut to) = (height, left, right);
        if left < 0.0 {
            self.changes[0] += per_pixel * -left;
            inner_height = per_pixel * right;
            from = 0.0;
        }
        if right > width {
            inner_height = per_pixel * (width - from);
            to = width;
        }
        let (first, last) = (from as usize, to as usize);
        if first == last || to == (first + 1) as f64 {
            let area = inner_height * ((first + 1) as f64 - (from + to) / 2.0);
            self.changes[first] += area;
            self.changes[first + 1] += inner_height - area;
            return;
        }
        // Area right of the line and left of x, for an x that the line reaches.
        let area_left_of = |x: f64| per_pixel * (x - from) * (x - from) / 2.0;
        let (mut area, mut covered) = (0.0, 0.0);
        for pixel in first..last {
            let next = area_left_of((pixel + 1) as f64);
            self.changes[pixel] += next - area - covered;
            (covered, area) = (next - area, next);
        }
        let total = inner_height * ((last + 1) as f64 - (from + to) / 2.0);
        self.changes[last] += total - area - covered;
        self.changes[last + 1] += inner_height - (total - area);
        self.work += (last - first) as u64;
    }
}

fn x_at(edge: &Edge, y: f64) -> f64 {
    let Edge { top, bottom, .. } = edge;
    if y <= top.y {
        top.x
    } else if y >= bottom.y {
        bottom.x
    } else {
        top.x + (bottom.x - top.x) * ((y - top.y) / (bottom.y - top.y))
    }
}

/// Appends the rows of `image` to `out`, which has alpha, with `mask` multiplied into it.
///
/// `mask` holds the same rows, gray, of the same depth.
pub fn apply(mask: &Raster, image: &Raster, out: &mut Raster) {
    assert!(mask.size() == image.size() && out.format == image.format.with_alpha(), "rasters of different shapes");
    let start = out.samples.len();
    out.set_rows(out.height + image.height);
    match (&mask.samples, &image.samples, &mut out.samples) {
        (Samples::U8(m), Samples::U8(i), Samples::U8(o)) => multiply(m, i, image.format.alpha, &mut o[start..]),
        (Samples::U16(m), Samples::U16(i), Samples::U16(o)) => multiply(m, i, image.format.alpha, &mut o[start..]),
        _ => panic!("rasters of different depths"),
    }
}

fn multiply<S: Sample>(mask: &[S], image: &[S], alpha: bool, out: &mut [S]) {
    let channels = out.len() / mask.len();
    let from = if alpha { channels } else { channels - 1 };
    for ((out, pixel), &mask) in out.chunks_exact_mut(channels).zip(image.chunks_exact(from)).zip(mask) {
        out[..from].copy_from_slice(pixel);
        let (old, coverage): (u32, u32) = (if alpha { pixel[from - 1].into() } else { S::MAX }, mask.into());
        // At most 65535² + 32767, which fits.
        out[channels - 1] = S::from_u32((old * coverage + S::MAX / 2) / S::MAX);
    }
}
