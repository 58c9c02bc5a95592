//! A layer, a group or all of a document as an image of its own.

use super::paint::{Canvas, Painter, Row};
use super::{Node, Tree, canvas};
use crate::decode::{RowSource, SourceInfo};
use crate::error::{Error, Result, Stage};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::pixel::Raster;
use crate::psd::pixels::Pixels;
use crate::psd::{Bounds, Document};

/// Rows of layers, drawn while they are read.
pub struct LayerImage {
    info: SourceInfo,
    pixels: Pixels,
    region: Bounds,
    drawing: Drawing,
    next_row: u32,
}

enum Drawing {
    /// One layer or group with its opacity, and what it is clipped by.
    Alone { painter: Box<Painter>, base: Option<Box<Painter>> },
    /// All that is visible.
    All { painters: Vec<Painter>, row: Row },
}

impl LayerImage {
    /// `node` alone, hidden or not, in `region` of the canvas; `base` is what it is clipped by.
    ///
    /// # Errors
    /// `Malformed` for broken layers, `Limit`, `Io`.
    pub fn alone(
        document: &Document,
        node: &Node,
        base: Option<&Node>,
        region: Bounds,
        limits: &Limits,
    ) -> Result<Self> {
        Self::new(document, region, limits, |canvas| {
            // What is clipped by it has an image of its own.
            let unclipped = |node: &Node| Node { clipped: Vec::new(), ..node.clone() };
            let painter = Box::new(canvas.painter(&unclipped(node))?);
            let base = base.map(|base| canvas.painter(&unclipped(base)).map(Box::new)).transpose()?;
            Ok(Drawing::Alone { painter, base })
        })
    }

    /// All visible layers together, as the merged image should be.
    ///
    /// # Errors
    /// As [`LayerImage::alone`].
    pub fn composite(document: &Document, tree: &Tree, limits: &Limits) -> Result<Self> {
        let region = canvas(document);
        Self::new(document, region, limits, |canvas| {
            let painters = canvas.painters(&tree.nodes)?;
            let row = Row::new(canvas.pixels.planes(), region.width() as usize);
            Ok(Drawing::All { painters, row })
        })
    }

    /// Adds to what the user is told.
    pub fn warn(&mut self, warning: String) {
        self.info.warnings.push(warning);
    }

    fn new(
        document: &Document,
        region: Bounds,
        limits: &Limits,
        drawing: impl FnOnce(&Canvas) -> Result<Drawing>,
    ) -> Result<Self> {
        limits.check_size(region.width().into(), region.height().into())?;
        let layers = document.layers.as_ref().map_err(Clone::clone)?;
        if document.header.depth == 1 {
            return Err(Error::malformed(Stage::Decode, "a bitmap has no layers"));
        }
        let (mut info, pixels) = crate::decode::psd::describe(document, limits);
        info.size = Size::new(region.width(), region.height());
        info.format = pixels.format(true);
        // It is laid over the whole canvas and belongs to the merged image.
        info.clipping_path = Ok(None);
        let drawing = drawing(&Canvas { document, layers, pixels: &pixels, region })?;
        let image = LayerImage { info, pixels, region, drawing, next_row: 0 };
        limits.check_bytes(image.working_bytes())?;
        Ok(image)
    }
}

impl RowSource for LayerImage {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        let count = max_rows.min(self.info.size.height - self.next_row);
        for _ in 0..count {
            let y = (i64::from(self.region.top) + i64::from(self.next_row)) as i32;
            let row = match &mut self.drawing {
                Drawing::Alone { painter, base } => {
                    let row = painter.alone(y, self.region)?;
                    if let Some(base) = base {
                        for (alpha, shape) in row.alpha.iter_mut().zip(base.shape(y, self.region)?) {
                            *alpha *= shape;
                        }
                    }
                    row
                }
                Drawing::All { painters, row } => {
                    row.colors.iter_mut().for_each(|plane| plane.fill(0.0));
                    row.alpha.fill(0.0);
                    for painter in painters {
                        painter.paint(y, self.region, row)?;
                    }
                    row
                }
            };
            self.pixels.push_floats(&row.colors, Some(&row.alpha), band);
            self.next_row += 1;
        }
        Ok(count)
    }

    fn working_bytes(&self) -> u64 {
        let width = u64::from(self.info.size.width);
        match &self.drawing {
            Drawing::Alone { painter, base } => {
                painter.working_bytes(width) + base.as_ref().map_or(0, |base| base.working_bytes(width))
            }
            Drawing::All { painters, .. } => {
                4 * 5 * width + painters.iter().map(|painter| painter.working_bytes(width)).sum::<u64>()
            }
        }
    }
}
