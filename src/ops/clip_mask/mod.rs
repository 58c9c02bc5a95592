//! Clip mask: the coverage of a Bézier path, multiplied into alpha.
//!
//! The coverage of a pixel is the part of its area that lies inside the path, rounded half up to 8 or 16 bits:
//! `floor(area × max + 1/2)`. Areas are exact but for two things: curves are replaced by chords that stay within
//! [`FLATNESS_PX`] of them, and numbers are `f64`. There is no sampling, so edges have as many steps as the depth has.
//! Alpha becomes `round(alpha × coverage / max)`; an alpha channel, opaque until then, is added where there was none.
//! Colour stays as it is, under transparent pixels too.
//!
//! **Inside**: the outlines of one shape are filled together by the non-zero rule. Shapes are then put together one
//! after the other, as each says ([`Combine`]), beginning with nothing or, if the path says so, with everything.
//!
//! **Order**: each row of pixels is cut into strips at the ends and crossings of its edges, so that in a strip no edge
//! begins, ends or crosses another. From left to right, each edge at which inside and outside change adds or takes away
//! the area to its right. Strips thinner than [`MIN_STRIP_PX`] are not cut further: that bounds the work and costs less
//! than 1/65536 of a pixel. All sums run in one order, with IEEE arithmetic alone, so the bits are the same everywhere.
//!
//! **Cost**: one row of `f64` beside the edges, whatever the image's height. It runs on the CPU only: the walk is
//! sequential and full of branches, and takes a small part of the time that decoding the same rows takes.

pub mod cpu;

use crate::error::{Error, Result, Stage};
use crate::geometry::{BezierPath, Combine, Knot, Point, Size};

/// How far a chord may be from its curve.
pub const FLATNESS_PX: f64 = 1.0 / 1024.0;

/// Strips are not cut thinner than this at crossings.
pub const MIN_STRIP_PX: f64 = 1.0 / 65536.0;

/// Largest number of chords that a path may become.
const MAX_CHORDS: u32 = 1 << 20;

/// A straight edge that goes down: `top.y < bottom.y`, in pixels.
#[derive(Debug, Clone, Copy)]
struct Edge {
    top: Point,
    bottom: Point,
    shape: u32,
    /// 1 where the outline goes down, −1 where it goes up.
    winding: i32,
}

/// A path laid over an image, ready to be scanned.
#[derive(Debug)]
pub struct Plan {
    size: Size,
    starts_full: bool,
    /// How each shape is put together with those before it.
    combine: Vec<Combine>,
    /// By their upper ends.
    edges: Vec<Edge>,
}

impl Plan {
    /// Lays `path` over an image of `size` pixels.
    ///
    /// # Errors
    /// `Limit` for a path of so many or such long curves that it would take over a million chords.
    pub fn new(path: &BezierPath, size: Size) -> Result<Self> {
        let mut edges = Vec::new();
        let mut chords = 0;
        for (index, shape) in path.shapes.iter().enumerate() {
            for outline in &shape.outlines {
                let next = outline.iter().cycle().skip(1);
                for (from, to) in outline.iter().zip(next) {
                    chords += flatten(from, to, size, |top, bottom, winding| {
                        // Rows without pixels need no edges.
                        if bottom.y > 0.0 && top.y < f64::from(size.height) {
                            edges.push(Edge { top, bottom, shape: index as u32, winding });
                        }
                    });
                    if chords > MAX_CHORDS {
                        return Err(too_complex());
                    }
                }
            }
        }
        // Stable, so that edges that begin together keep the path's order.
        edges.sort_by(|a, b| a.top.y.total_cmp(&b.top.y));
        let combine = path.shapes.iter().map(|shape| shape.combine).collect();
        Ok(Plan { size, starts_full: path.starts_full, combine, edges })
    }

    pub fn size(&self) -> Size {
        self.size
    }

    /// Bytes that the plan and one scanner hold.
    pub fn working_bytes(&self) -> u64 {
        let edges = (self.edges.capacity() * (size_of::<Edge>() + cpu::BYTES_PER_EDGE)) as u64;
        edges + self.combine.len() as u64 * 16 + (u64::from(self.size.width) + 2) * 8
    }
}

fn too_complex() -> Error {
    Error::limit(Stage::Operate, "the clipping path has too many or too long curves; simplify it")
}

/// Hands out the chords of one cubic that are not level; returns how many chords there are.
///
/// n chords of a cubic stay within 6/8 × m / n² of it, where m is the largest second difference of its points (Wang,
/// Shih and Chang 1984).
fn flatten(from: &Knot, to: &Knot, size: Size, mut edge: impl FnMut(Point, Point, i32)) -> u32 {
    let pixels = |p: Point| Point { x: p.x * f64::from(size.width), y: p.y * f64::from(size.height) };
    let [a, b, c, d] = [from.anchor, from.after, to.before, to.anchor].map(pixels);
    let bend = |p: Point, q: Point, r: Point| {
        let (x, y) = (p.x - 2.0 * q.x + r.x, p.y - 2.0 * q.y + r.y);
        (x * x + y * y).sqrt()
    };
    let m = bend(a, b, c).max(bend(b, c, d));
    let chords = if a == b && c == d { 1.0 } else { (0.75 * m / FLATNESS_PX).sqrt().ceil().clamp(1.0, 65536.0) };
    let mut last = a;
    for i in 1..=chords as u32 {
        let next = if f64::from(i) == chords { d } else { on_cubic([a, b, c, d], f64::from(i) / chords) };
        if last.y < next.y {
            edge(last, next, 1);
        } else if last.y > next.y {
            edge(next, last, -1);
        }
        last = next;
    }
    chords as u32
}

fn on_cubic([a, b, c, d]: [Point; 4], t: f64) -> Point {
    let s = 1.0 - t;
    let blend = |a: f64, b: f64, c: f64, d: f64| s * s * s * a + 3.0 * s * t * (s * b + t * c) + t * t * t * d;
    Point { x: blend(a.x, b.x, c.x, d.x), y: blend(a.y, b.y, c.y, d.y) }
}
