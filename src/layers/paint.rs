//! Rows of layers and groups, mixed onto the rows below them.

use std::sync::Arc;

use super::{Node, blend, bounds, fills_canvas};
use crate::decode::clipping_path;
use crate::error::{Error, Result, Stage};
use crate::geometry::{BezierPath, Combine, Knot, Point, Shape, Size};
use crate::ops::clip_mask::{Plan, cpu::Scanner};
use crate::pixel::{Color, Depth, PixelFormat, Raster};
use crate::psd::pixels::{Pixels, number};
use crate::psd::rows::{PLANE_BYTES, PlaneRows};
use crate::psd::{
    Artboard, ArtboardBackground, BlendMode, Bounds, ChannelId, ColorMode, Document, Layer, LayerMask, VectorMask,
    descriptor,
};

/// A row of the drawn region: components as stored, 0–1, and alpha.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) colors: Vec<Vec<f32>>,
    pub(super) alpha: Vec<f32>,
}

impl Row {
    pub(super) fn new(components: usize, width: usize) -> Self {
        Row { colors: vec![vec![0.0; width]; components], alpha: vec![0.0; width] }
    }

    fn clear(&mut self) {
        self.colors.iter_mut().for_each(|plane| plane.fill(0.0));
        self.alpha.fill(0.0);
    }
}

/// A layer or group that is about to be drawn, row after row.
pub(super) struct Painter {
    content: Content,
    masks: Masks,
    blend: BlendMode,
    /// Fill opacity included.
    opacity: f32,
    /// What of them it lets through where it is opaque.
    clip_opacity: f32,
    clipped: Vec<Painter>,
    /// They are mixed with this layer before it is mixed with what is below.
    blends_clipped: bool,
    /// The row of this layer before it is mixed.
    row: Row,
}

enum Content {
    Planes {
        bounds: Bounds,
        colors: Vec<SeekRows>,
        alpha: Option<Box<SeekRows>>,
    },
    Solid(Vec<f32>),
    /// Its layers, from bottom to top.
    Group {
        children: Vec<Painter>,
        artboard: Option<(Bounds, Option<Vec<f32>>)>,
    },
}

/// What all painters of an image share.
pub(super) struct Canvas<'a> {
    pub(super) document: &'a Document,
    pub(super) layers: &'a [Layer],
    pub(super) pixels: &'a Pixels,
    /// What is drawn.
    pub(super) region: Bounds,
}

impl Canvas<'_> {
    fn width(&self) -> usize {
        self.region.width() as usize
    }

    /// The visible ones of `nodes` that have something to be drawn.
    pub(super) fn painters(&self, nodes: &[Node]) -> Result<Vec<Painter>> {
        let drawn = |node: &&Node| self.layers[node.index].visible && !bounds(self.document, node).is_empty();
        nodes.iter().filter(drawn).map(|node| self.painter(node)).collect()
    }

    /// A painter of `node`, visible or not.
    pub(super) fn painter(&self, node: &Node) -> Result<Painter> {
        let layer = &self.layers[node.index];
        self.new_painter(node, layer).map_err(|mut error| {
            error.message = format!("layer {:?}: {}", layer.name, error.message);
            error
        })
    }

    fn new_painter(&self, node: &Node, layer: &Layer) -> Result<Painter> {
        let content = match &node.children {
            Some(children) => {
                let artboard = match &layer.artboard {
                    Some(artboard) => Some((artboard.bounds, self.background(artboard)?)),
                    None => None,
                };
                Content::Group { children: self.painters(children)?, artboard }
            }
            None if fills_canvas(layer) => Content::Solid(self.solid_color(layer)?),
            None => {
                let seek = |id| {
                    let channel = layer.channel(id)?;
                    Some(SeekRows::open(self.document, channel, layer.bounds))
                };
                let colors = (0..self.pixels.planes() as u16).map(|c| {
                    seek(ChannelId::Color(c)).unwrap_or_else(|| {
                        Err(Error::malformed(Stage::Decode, format!("colour channel {c} is missing")))
                    })
                });
                Content::Planes {
                    bounds: layer.bounds,
                    colors: colors.collect::<Result<_>>()?,
                    alpha: seek(ChannelId::Transparency).transpose()?.map(Box::new),
                }
            }
        };
        let (opacity, fill) = (f32::from(layer.opacity) / 255.0, f32::from(layer.fill) / 255.0);
        Ok(Painter {
            content,
            masks: Masks::open(self, layer)?,
            blend: layer.blend,
            opacity: opacity * fill,
            clip_opacity: if layer.blends_clipped { opacity * fill } else { opacity },
            clipped: self.painters(&node.clipped)?,
            blends_clipped: layer.blends_clipped,
            row: Row::new(self.pixels.planes(), self.width()),
        })
    }

    /// The colour of a fill layer.
    fn solid_color(&self, layer: &Layer) -> Result<Vec<f32>> {
        // A version stands before the descriptor.
        let block = layer.solid_color.as_deref().and_then(|block| block.get(4..)).ok_or_else(unknown_color)?;
        self.components(descriptor::read(block)?.object("Clr").ok_or_else(unknown_color)?)
    }

    /// The colour behind the layers of an artboard; `None` where there is none.
    fn background(&self, artboard: &Artboard) -> Result<Option<Vec<f32>>> {
        // Stored inks are their absence, and stored Lab has its gray in the middle.
        let gray = |value: f32| match self.document.header.mode {
            ColorMode::Lab => vec![value, 0.5, 0.5],
            _ => vec![value; self.pixels.planes()],
        };
        Ok(match &artboard.background {
            ArtboardBackground::White => Some(gray(1.0)),
            ArtboardBackground::Black => Some(gray(0.0)),
            ArtboardBackground::Transparent => None,
            ArtboardBackground::Color(color) => Some(self.components(color)?),
        })
    }

    /// A colour in the document's own components.
    fn components(&self, color: &descriptor::Object) -> Result<Vec<f32>> {
        if color.class == "HSBC" && self.document.header.mode == ColorMode::Rgb {
            let part = |key: &str| color.number(key).ok_or_else(unknown_color);
            return Ok(hsb_to_rgb(part("H")?, part("Strt")? / 100.0, part("Brgh")? / 100.0).to_vec());
        }
        let keys: &[(&str, f64, f64)] = match color.class.as_str() {
            "RGBC" => &[("Rd", 0.0, 255.0), ("Grn", 0.0, 255.0), ("Bl", 0.0, 255.0)],
            // Ink in percent, stored as its absence.
            "CMYC" => {
                &[("Cyn", 100.0, -100.0), ("Mgnt", 100.0, -100.0), ("Ylw", 100.0, -100.0), ("Blck", 100.0, -100.0)]
            }
            "Grsc" => &[("Gry", 100.0, -100.0)],
            _ => return Err(unknown_color()),
        };
        if keys.len() != self.pixels.planes() {
            return Err(unknown_color());
        }
        let value = |(key, zero, range): &(&str, f64, f64)| {
            color.number(key).map(|value| ((value - zero) / range) as f32).ok_or_else(unknown_color)
        };
        keys.iter().map(value).collect()
    }
}

fn unknown_color() -> Error {
    Error::unsupported(Stage::Decode, "its fill colour is not one of the document's own kind")
}

/// From hue in degrees, saturation and brightness, 0–1.
fn hsb_to_rgb(hue: f64, saturation: f64, brightness: f64) -> [f32; 3] {
    let part = |offset: f64| {
        let place = (offset + hue / 60.0).rem_euclid(6.0);
        let amount = place.min(4.0 - place).clamp(0.0, 1.0);
        (brightness * (1.0 - saturation * amount)) as f32
    };
    [part(5.0), part(3.0), part(1.0)]
}

impl Painter {
    /// Bytes that it holds while it works.
    pub(super) fn working_bytes(&self, width: u64) -> u64 {
        let planes = match &self.content {
            Content::Planes { colors, alpha, .. } => colors.len() as u64 + u64::from(alpha.is_some()),
            Content::Solid(_) => 0,
            Content::Group { children, .. } => children.len() as u64,
        };
        let children = if let Content::Group { children, .. } = &self.content { children.as_slice() } else { &[] };
        let below: u64 = children.iter().chain(&self.clipped).map(|painter| painter.working_bytes(width)).sum();
        planes * (PLANE_BYTES + 8 * width) + self.masks.working_bytes + 4 * 5 * width + below
    }

    /// Mixes row `y` of the canvas onto `backdrop`.
    pub(super) fn paint(&mut self, y: i32, region: Bounds, backdrop: &mut Row) -> Result<()> {
        if let Content::Planes { bounds, .. } = &self.content
            && !(bounds.top..bounds.bottom).contains(&y)
        {
            return Ok(());
        }
        if let Content::Group { children, artboard: None } = &mut self.content
            && self.blend == BlendMode::PassThrough
            && self.clipped.is_empty()
        {
            if self.opacity >= 1.0 && self.masks.is_empty() {
                return children.iter_mut().try_for_each(|child| child.paint(y, region, backdrop));
            }
            let before = backdrop.clone();
            children.iter_mut().try_for_each(|child| child.paint(y, region, backdrop))?;
            let mut share = vec![self.opacity; backdrop.alpha.len()];
            self.masks.multiply_into(y, region, &mut share)?;
            between(&before, &share, backdrop);
            return Ok(());
        }
        self.draw(y, region, Some(backdrop))?;
        if self.blends_clipped {
            for clipped in &mut self.clipped {
                clipped.draw(y, region, None)?;
                mix_atop(clipped.blend, &clipped.row, clipped.opacity, &mut self.row);
            }
            mix(self.blend, &self.row, self.opacity, backdrop);
        } else {
            mix(self.blend, &self.row, self.opacity, backdrop);
            for clipped in &mut self.clipped {
                clipped.draw(y, region, Some(backdrop))?;
                for (alpha, shape) in clipped.row.alpha.iter_mut().zip(&self.row.alpha) {
                    *alpha *= shape * self.clip_opacity;
                }
                mix(clipped.blend, &clipped.row, clipped.opacity, backdrop);
            }
        }
        Ok(())
    }

    /// Row `y` of this layer or group into its row, without what is clipped by it; the opacity is not applied. The layers
    /// of a group that passes through look as they do on `backdrop`, where there is one.
    fn draw(&mut self, y: i32, region: Bounds, backdrop: Option<&Row>) -> Result<()> {
        self.row.clear();
        match &mut self.content {
            Content::Planes { bounds, colors, alpha } => {
                if (bounds.top..bounds.bottom).contains(&y) {
                    for (plane, out) in colors.iter_mut().zip(&mut self.row.colors) {
                        plane.copy_row(y, region, out)?;
                    }
                    match alpha {
                        Some(alpha) => alpha.copy_row(y, region, &mut self.row.alpha)?,
                        None => overlap(*bounds, region, &mut self.row.alpha).1.fill(1.0),
                    }
                }
            }
            Content::Solid(color) => {
                for (value, out) in color.iter().zip(&mut self.row.colors) {
                    out.fill(*value);
                }
                self.row.alpha.fill(1.0);
            }
            Content::Group { children, artboard } => {
                if let Some((bounds, Some(color))) = artboard
                    && (bounds.top..bounds.bottom).contains(&y)
                {
                    for (value, out) in color.iter().zip(&mut self.row.colors) {
                        overlap(*bounds, region, out).1.fill(*value);
                    }
                    overlap(*bounds, region, &mut self.row.alpha).1.fill(1.0);
                }
                for child in &mut *children {
                    child.paint(y, region, &mut self.row)?;
                }
                if let Some(backdrop) = backdrop.filter(|_| self.blend == BlendMode::PassThrough && artboard.is_none())
                {
                    // The rows of layers can be had again, as long as it is the same one.
                    let mut on_backdrop = backdrop.clone();
                    for child in children {
                        child.paint(y, region, &mut on_backdrop)?;
                    }
                    take_out(backdrop, &on_backdrop, &mut self.row);
                }
                if let Some((bounds, _)) = artboard {
                    keep(*bounds, y, region, &mut self.row.alpha);
                }
            }
        }
        self.masks.multiply_into(y, region, &mut self.row.alpha)
    }

    /// Row `y` as an image of its own: with its opacity.
    pub(super) fn alone(&mut self, y: i32, region: Bounds) -> Result<&mut Row> {
        self.draw(y, region, None)?;
        for alpha in &mut self.row.alpha {
            *alpha *= self.opacity;
        }
        Ok(&mut self.row)
    }

    /// How much row `y` lets through of what is clipped by this layer or group, 0–1.
    pub(super) fn shape(&mut self, y: i32, region: Bounds) -> Result<&[f32]> {
        self.draw(y, region, None)?;
        for alpha in &mut self.row.alpha {
            *alpha *= self.clip_opacity;
        }
        Ok(&self.row.alpha)
    }
}

/// Mixes `source` onto `backdrop` (W3C Compositing and Blending, 5.8).
fn mix(mode: BlendMode, source: &Row, opacity: f32, backdrop: &mut Row) {
    let mixed = Mixed::of(mode, source, backdrop);
    for (c, plane) in backdrop.colors.iter_mut().enumerate() {
        for (x, below) in plane.iter_mut().enumerate() {
            let (a_s, a_b) = (source.alpha[x] * opacity, backdrop.alpha[x]);
            if a_s <= 0.0 {
                continue;
            }
            let above = source.colors[c][x];
            let sum =
                (1.0 - a_s) * a_b * *below + a_s * (1.0 - a_b) * above + a_s * a_b * mixed.at(c, x, *below, above);
            *below = sum / (a_b + a_s - a_b * a_s);
        }
    }
    for (a_b, a_s) in backdrop.alpha.iter_mut().zip(&source.alpha) {
        let a_s = a_s * opacity;
        *a_b += a_s - *a_b * a_s;
    }
}

/// Mixes `source` into the colours of `base`, whose alpha stays.
fn mix_atop(mode: BlendMode, source: &Row, opacity: f32, base: &mut Row) {
    let mixed = Mixed::of(mode, source, base);
    for (c, plane) in base.colors.iter_mut().enumerate() {
        for (x, below) in plane.iter_mut().enumerate() {
            let a_s = source.alpha[x] * opacity;
            *below += a_s * (mixed.at(c, x, *below, source.colors[c][x]) - *below);
        }
    }
}

/// The mixed colours of two rows.
enum Mixed {
    Separable(fn(f32, f32) -> f32),
    Together(Vec<Vec<f32>>),
}

impl Mixed {
    fn of(mode: BlendMode, source: &Row, backdrop: &Row) -> Self {
        if let Some(function) = blend::separable(mode) {
            return Mixed::Separable(function);
        }
        let mut out = backdrop.colors.clone();
        let components = out.len();
        let (mut b, mut s, mut o) = ([0.0; 4], [0.0; 4], [0.0; 4]);
        let width = backdrop.alpha.len();
        for x in 0..width {
            for (c, (below, above)) in backdrop.colors.iter().zip(&source.colors).enumerate() {
                (b[c], s[c]) = (below[x], above[x]);
            }
            blend::together(mode, &b[..components], &s[..components], &mut o[..components]);
            for (plane, mixed) in out.iter_mut().zip(o) {
                plane[x] = mixed;
            }
        }
        Mixed::Together(out)
    }

    fn at(&self, c: usize, x: usize, backdrop: f32, source: f32) -> f32 {
        match self {
            Mixed::Separable(function) => function(backdrop, source),
            Mixed::Together(colors) => colors[c][x],
        }
    }
}

/// The colours of a group alone, whose alpha `group` has already, from what it makes of a backdrop (ISO 32000-1, 11.4.8).
fn take_out(backdrop: &Row, on_backdrop: &Row, group: &mut Row) {
    for (c, plane) in group.colors.iter_mut().enumerate() {
        for (x, value) in plane.iter_mut().enumerate() {
            let (alpha, below) = (group.alpha[x], backdrop.alpha[x]);
            if alpha > 0.0 {
                let (before, after) = (backdrop.colors[c][x], on_backdrop.colors[c][x]);
                *value = (after + (after - before) * below * (1.0 - alpha) / alpha).clamp(0.0, 1.0);
            }
        }
    }
}

/// `after` becomes `share` of itself and the rest of `before`.
fn between(before: &Row, share: &[f32], after: &mut Row) {
    for (c, plane) in after.colors.iter_mut().enumerate() {
        for (x, value) in plane.iter_mut().enumerate() {
            let (a_0, a_1) = (before.alpha[x] * (1.0 - share[x]), after.alpha[x] * share[x]);
            if a_0 + a_1 > 0.0 {
                *value = (a_0 * before.colors[c][x] + a_1 * *value) / (a_0 + a_1);
            }
        }
    }
    for (x, alpha) in after.alpha.iter_mut().enumerate() {
        *alpha = before.alpha[x] * (1.0 - share[x]) + *alpha * share[x];
    }
}

/// A plane whose rows are asked for by their place on the canvas, downward.
struct SeekRows {
    plane: PlaneRows,
    bounds: Bounds,
    /// Of the row that is read next.
    next: i32,
    row: Vec<u8>,
    depth: u16,
}

impl SeekRows {
    fn open(document: &Document, channel: &crate::psd::Channel, bounds: Bounds) -> Result<Self> {
        let plane = document.channel_rows(channel, bounds.width(), bounds.height())?;
        Ok(SeekRows { plane, bounds, next: bounds.top, row: Vec::new(), depth: document.header.depth })
    }

    /// Puts row `y`, which is inside the bounds, where it is in the region.
    fn copy_row(&mut self, y: i32, region: Bounds, out: &mut [f32]) -> Result<()> {
        while self.next <= y {
            self.plane.next_row(&mut self.row)?;
            self.next += 1;
        }
        let (from, out) = overlap(self.bounds, region, out);
        let bytes = usize::from(self.depth / 8);
        for (value, stored) in out.iter_mut().zip(self.row.chunks_exact(bytes).skip(from)) {
            *value = number(stored);
        }
        Ok(())
    }
}

/// The part of a region's row that `bounds` cover, and the first column of the bounds that is in it.
fn overlap<T>(bounds: Bounds, region: Bounds, row: &mut [T]) -> (usize, &mut [T]) {
    let left = bounds.left.max(region.left);
    let right = bounds.right.min(region.right).max(left);
    let offset = |from: i32, to: i32| usize::try_from(i64::from(to) - i64::from(from)).unwrap_or(0);
    let start = offset(region.left, left).min(row.len());
    let end = offset(region.left, right).clamp(start, row.len());
    (offset(bounds.left, left), &mut row[start..end])
}

/// Clears what is outside of `bounds`.
fn keep(bounds: Bounds, y: i32, region: Bounds, alpha: &mut [f32]) {
    if (bounds.top..bounds.bottom).contains(&y) {
        let offset = |x: i32| usize::try_from(i64::from(x) - i64::from(region.left)).unwrap_or(0).min(alpha.len());
        let (left, right) = (offset(bounds.left), offset(bounds.right));
        alpha[..left].fill(0.0);
        alpha[right..].fill(0.0);
    } else {
        alpha.fill(0.0);
    }
}

/// The masks of a layer.
#[derive(Default)]
struct Masks {
    pixels: Option<PixelMask>,
    vector: Option<PathMask>,
    working_bytes: u64,
}

struct PixelMask {
    rows: Option<SeekRows>,
    mask: LayerMask,
    row: Vec<f32>,
}

struct PathMask {
    scanner: Scanner,
    /// Of the row that is scanned next.
    next: i32,
    inverted: bool,
    /// 0–1.
    density: f32,
    row: Raster,
}

impl Masks {
    /// Photoshop also stores what both masks make together as pixels; they are used only where the vector mask is
    /// soft, which its path does not tell.
    fn open(canvas: &Canvas, layer: &Layer) -> Result<Self> {
        let shown = |mask: &Option<LayerMask>| mask.filter(|mask| !mask.disabled);
        // The pixels of shapes have the path's edges, those of fill layers cover the canvas.
        let in_pixels = layer.filled && !layer.bounds.is_empty() && layer.bounds != super::canvas(canvas.document);
        let vector = layer.vector_mask.as_ref().filter(|vector| !vector.disabled && !vector.path.is_empty());
        let vector = vector.filter(|_| !in_pixels);
        let rendered = shown(&layer.mask).filter(|mask| mask.rendered);
        let own = shown(&layer.mask).filter(|mask| !mask.rendered).map(|mask| (mask, ChannelId::Mask));
        // Density and feather are those of the first record.
        let with_density = |mask: LayerMask| LayerMask { density: layer.mask.map_or(255, |m| m.density), ..mask };
        let own = own.or(shown(&layer.real_mask).map(|mask| (with_density(mask), ChannelId::RealMask)));
        let (pixels, vector) = match (vector, rendered) {
            (Some(_), Some(mask)) if layer.vector_feather > 0.0 && layer.channel(ChannelId::Mask).is_some() => {
                (Some((LayerMask { density: 255, ..mask }, ChannelId::Mask)), None)
            }
            (vector, _) => (own, vector),
        };
        let mut masks = Masks::default();
        if let Some((mask, id)) = pixels {
            let open = |channel| SeekRows::open(canvas.document, channel, mask.bounds);
            let rows = layer.channel(id).filter(|_| !mask.bounds.is_empty()).map(open).transpose()?;
            masks.working_bytes += PLANE_BYTES + 8 * canvas.width() as u64;
            masks.pixels = Some(PixelMask { rows, mask, row: vec![0.0; canvas.width()] });
        }
        if let Some(vector) = vector {
            let plan = Arc::new(plan(vector, canvas)?);
            masks.working_bytes += plan.working_bytes();
            masks.vector = Some(PathMask {
                scanner: Scanner::new(plan),
                next: canvas.region.top,
                inverted: vector.inverted,
                density: f32::from(layer.vector_density) / 255.0,
                row: Raster::empty(PixelFormat::new(Color::Gray, false, Depth::U16), canvas.region.width()),
            });
        }
        Ok(masks)
    }

    fn is_empty(&self) -> bool {
        self.pixels.is_none() && self.vector.is_none()
    }

    fn multiply_into(&mut self, y: i32, region: Bounds, alpha: &mut [f32]) -> Result<()> {
        if let Some(PixelMask { rows, mask, row }) = &mut self.pixels {
            row.fill(f32::from(mask.outside) / 255.0);
            if let Some(rows) = rows
                && (mask.bounds.top..mask.bounds.bottom).contains(&y)
            {
                rows.copy_row(y, region, row)?;
            }
            let density = f32::from(mask.density) / 255.0;
            for (alpha, value) in alpha.iter_mut().zip(row) {
                *alpha *= 1.0 - density * (1.0 - value.clamp(0.0, 1.0));
            }
        }
        if let Some(vector) = &mut self.vector {
            while vector.next <= y {
                vector.row.set_rows(0);
                vector.scanner.read_rows(&mut vector.row, 1)?;
                vector.next += 1;
            }
            for (x, alpha) in alpha.iter_mut().enumerate() {
                let inside = vector.row.at(x as u32, 0, 0) as f32 / 65535.0;
                let hidden = if vector.inverted { inside } else { 1.0 - inside };
                *alpha *= 1.0 - vector.density * hidden;
            }
        }
        Ok(())
    }
}

/// The path of a vector mask, laid over the region instead of over the canvas.
fn plan(vector: &VectorMask, canvas: &Canvas) -> Result<Plan> {
    let path = clipping_path::parse(&vector.path).map_err(|mut error| {
        error.message = format!("the vector mask {}", error.message);
        error
    })?;
    let (size, region) = (canvas.document.header.size, canvas.region);
    let moved = |point: Point| Point {
        x: (point.x * f64::from(size.width) - f64::from(region.left)) / f64::from(region.width()),
        y: (point.y * f64::from(size.height) - f64::from(region.top)) / f64::from(region.height()),
    };
    let knot = |knot: &Knot| Knot { before: moved(knot.before), anchor: moved(knot.anchor), after: moved(knot.after) };
    let shapes = path.shapes.iter().map(|shape| Shape {
        combine: if shape.outlines.is_empty() { Combine::Unite } else { shape.combine },
        outlines: shape.outlines.iter().map(|outline| outline.iter().map(knot).collect()).collect(),
    });
    let path = BezierPath { starts_full: path.starts_full, shapes: shapes.collect() };
    Plan::new(&path, Size::new(region.width(), region.height()))
}

#[cfg(test)]
mod tests {
    use super::hsb_to_rgb;

    #[test]
    fn hues_are_those_of_the_color_circle() {
        for (hue, rgb) in
            [(0.0, [1.0, 0.0, 0.0]), (60.0, [1.0, 1.0, 0.0]), (240.0, [0.0, 0.0, 1.0]), (360.0, [1.0, 0.0, 0.0])]
        {
            assert_eq!(hsb_to_rgb(hue, 1.0, 1.0), rgb, "{hue}");
        }
        assert_eq!(hsb_to_rgb(123.0, 0.0, 0.5), [0.5; 3]);
    }
}
