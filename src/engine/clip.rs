//! The clipping path of an original: an alpha channel on its rows, and a picture of the mask for itself.

use std::sync::Arc;

use crate::decode::{Kind, Metadata, RowSource, SourceInfo};
use crate::error::Result;
use crate::ops::clip_mask::Plan;
use crate::ops::clip_mask::cpu::{Scanner, apply};
use crate::pixel::{Color, Depth, PixelFormat, Raster};

/// Rows of a source with the coverage of its clipping path multiplied into their alpha.
///
/// Path and rows are both as stored, so whatever turns the rows upright turns the mask with them.
pub(super) struct Clipped {
    info: SourceInfo,
    source: Box<dyn RowSource>,
    mask: Scanner,
    plan_bytes: u64,
}

impl Clipped {
    pub(super) fn new(source: Box<dyn RowSource>, plan: Arc<Plan>) -> Self {
        let info = SourceInfo { format: source.info().format.with_alpha(), ..source.info().clone() };
        Clipped { info, source, plan_bytes: plan.working_bytes(), mask: Scanner::new(plan) }
    }

    /// Rows that are held twice while they are masked; more are done in steps.
    const ROWS: u32 = 64;
}

impl RowSource for Clipped {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        let from = self.source.info();
        let mut rows = Raster::empty(from.format, from.size.width);
        let mut mask = Raster::empty(PixelFormat::new(Color::Gray, false, from.format.depth), from.size.width);
        let mut done = 0;
        while done < max_rows {
            let read = self.source.read_rows(&mut rows, (max_rows - done).min(Self::ROWS))?;
            if read == 0 {
                break;
            }
            self.mask.read_rows(&mut mask, read)?;
            apply(&mask, &rows, band);
            rows.set_rows(0);
            mask.set_rows(0);
            done += read;
        }
        self.info.warnings.clone_from(&self.source.info().warnings);
        Ok(done)
    }

    fn prepare(&mut self, pool: &rayon::ThreadPool) {
        self.source.prepare(pool);
    }

    fn working_bytes(&self) -> u64 {
        let row_bytes = u64::from(self.info.size.width) * self.info.format.bytes_per_pixel() as u64;
        self.source.working_bytes() + self.plan_bytes + u64::from(Self::ROWS) * row_bytes
    }

    fn coefficient_bytes(&self) -> std::result::Result<u64, String> {
        Err("its clipping path gives it an alpha channel".into())
    }
}

/// A mask as an image of its own: 8-bit gray, white inside, as stored.
pub(super) struct Mask {
    info: SourceInfo,
    mask: Scanner,
    plan_bytes: u64,
}

impl Mask {
    /// The mask of an original that `original` describes.
    pub(super) fn new(original: &SourceInfo, plan: Arc<Plan>) -> Self {
        let info = SourceInfo {
            kind: Kind::Tiff,
            format: PixelFormat::new(Color::Gray, false, Depth::U8),
            metadata: Metadata { resolution: original.metadata.resolution, ..Metadata::default() },
            warnings: Vec::new(),
            ..original.clone()
        };
        Mask { info, plan_bytes: plan.working_bytes(), mask: Scanner::new(plan) }
    }
}

impl RowSource for Mask {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        self.mask.read_rows(band, max_rows)
    }

    fn working_bytes(&self) -> u64 {
        self.plan_bytes
    }
}
