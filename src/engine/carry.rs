//! Full-resolution tiles cut out of the JPEG coefficients of the source.

use std::ops::Range;

use rayon::prelude::*;

use crate::decode::RowSource;
use crate::encode::ptiff;
use crate::error::{ErrorKind, Result};
use crate::geometry::Rect;
use crate::jpeg::Coefficients;
use crate::trace;

/// Coefficients that are none for tiles are no error: full resolution is encoded anew then. The reason.
pub(super) fn usable<T>(coefficients: Result<T>) -> Result<std::result::Result<T, String>> {
    match coefficients {
        Err(error) if error.kind == ErrorKind::Unsupported => Ok(Err(error.message)),
        other => other.map(Ok),
    }
}

/// Takes the coefficients of whole rows of tiles, as soon as their rows are read.
pub(super) struct Strips {
    /// Of the source.
    pub rect: Rect,
    pub tile_px: u32,
    /// Rows of tiles.
    pub taken: u32,
}

impl Strips {
    /// The coefficients of the rows of tiles that were read since the last call, of which `rows_read` rows were read.
    /// Where that is work, it is for `pool`.
    ///
    /// # Errors
    /// As [`RowSource::take_coefficients`].
    pub fn next(
        &mut self,
        source: &mut dyn RowSource,
        rows_read: u32,
        pool: &rayon::ThreadPool,
    ) -> Result<Option<Strip>> {
        let Strips { rect, tile_px, taken } = *self;
        let whole = if rows_read == rect.height { rows_read.div_ceil(tile_px) } else { rows_read / tile_px };
        if whole == taken {
            return Ok(None);
        }
        let rows = rect.y + taken * tile_px..rect.y + rows_read.min(whole * tile_px);
        let _span = trace::span("take coefficients");
        let coefficients = source.take_coefficients(rows, Some(pool))?;
        self.taken = whole;
        Ok(Some(Strip { coefficients, rect, tile_px, tile_rows: taken..whole }))
    }
}

/// The coefficients of some rows of tiles.
pub(super) struct Strip {
    coefficients: Coefficients,
    rect: Rect,
    tile_px: u32,
    tile_rows: Range<u32>,
}

impl Strip {
    /// Cuts the tiles, in the pool that this is called in, by way of `buffers`.
    ///
    /// # Errors
    /// As [`ptiff::LevelRows::write_carried`].
    pub fn write(&self, buffers: &mut Vec<Vec<u8>>, full: &mut ptiff::LevelRows<'_>) -> Result<()> {
        if self.tile_rows.start == 0 {
            let subsampling = (!self.coefficients.is_gray()).then(|| self.coefficients.subsampling());
            full.carry(ptiff::Carried { tables: self.coefficients.tables().to_vec(), subsampling })?;
        }
        let across = self.rect.width.div_ceil(self.tile_px) as usize;
        let count = self.tile_rows.len() * across;
        buffers.resize_with(buffers.len().max(count), Vec::new);
        let tiles = &mut buffers[..count];
        tiles.par_iter_mut().enumerate().try_for_each(|(tile, stream)| {
            let _span = trace::span("cut tile");
            let (column, row) = ((tile % across) as u32, self.tile_rows.start + (tile / across) as u32);
            stream.clear();
            self.coefficients.cut_tile(self.rect, column, row, self.tile_px, stream)
        })?;
        full.write_carried(self.tile_rows.start as usize * across, tiles)
    }
}
