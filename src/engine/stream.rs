//! Rows through the pyramid into a file: bands are decoded on the calling thread, computed and compressed in the pool.
//!
//! Decoding runs ahead by a bounded number of bands, so neither side waits for the other while both have work, and one
//! image never holds a thread of the pool while it waits for its decoder. Full resolution and the levels below it take
//! the bands each at its own pace, so that the one has work while the other is at the end of a band.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rayon::Scope;

use super::backend::Compute;
use super::carry::{self, Strip, Strips};
use super::pipeline::Context;
use crate::decode::RowSource;
use crate::encode::ptiff::{self, LevelRows};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::Rect;
use crate::ops::color;
use crate::ops::pyramid::{self, Executor};
use crate::pixel::{PixelFormat, Raster};
use crate::trace;

/// Small bands that are decoded before they are needed, so that neither decoding nor computing has to wait when the other
/// is slow for a while.
const AHEAD: u32 = 4;

/// What is done with the rows of a crop.
pub(super) struct Work<'a> {
    pub color: Option<&'a color::Plan>,
    pub pyramid: Arc<pyramid::Plan>,
    pub band: &'a Band,
    pub tile_px: u32,
    /// Full resolution is cut out of the source's JPEG coefficients, and not made of the rows.
    pub carried: bool,
}

/// Reads, computes and compresses the rows of `rect`. Where full resolution turns out to be none that can be carried, the
/// reason is returned; the file cannot be finished then.
///
/// # Errors
/// The first of decoder, device and file; no further band is worked on then.
pub(super) fn stream(
    source: &mut dyn RowSource,
    rect: Rect,
    work: Work<'_>,
    context: &Context,
    compute: Compute<'_>,
    writer: &mut ptiff::Writer,
) -> Result<Option<String>> {
    let (executor, rows) = compute.pyramid(&work.pyramid, work.band.rows, work.band.device_bytes)?;
    let format = source.info().format;
    let mut strips = work.carried.then_some(Strips { rect, tile_px: work.tile_px, taken: 0 });
    let mut not_carried = None;
    let mut cut = Cut { source, rect, rows_skipped: 0, rows_read: 0, scratch: None };
    let in_flight = in_flight(work.tile_px, rows);
    let (full, below) = writer.split();
    let feed = Feed {
        colors: work.color.map(|plan| Mutex::new(Colors { plan, compute, first_row: 0 })),
        full: Mutex::new(Full {
            rows: full,
            in_pieces: pieces(work.tile_px, rows).is_some(),
            waiting: Vec::new(),
            carried: work.carried,
            streams: Vec::new(),
        }),
        below: Mutex::new(Below { rows: below, executor }),
        state: Mutex::default(),
        room: Condvar::new(),
        // No row of tiles waits until it is whole where they are carried.
        most_in_flight: if work.carried { in_flight.min(AHEAD) } else { in_flight },
    };
    context.pool.in_place_scope(|scope| {
        while cut.rows_read < rect.height {
            let mut rows_of_band = feed.spare().unwrap_or_else(|| Raster::empty(format, rect.width));
            let mut strip = None;
            if let Err(error) = cut.read(&mut rows_of_band, rows) {
                feed.fail(error);
            } else if let Some(strips) = &mut strips {
                match carry::usable(strips.next(cut.source, cut.rows_read, &context.pool)) {
                    Ok(Ok(next)) => strip = next,
                    Ok(Err(reason)) => {
                        not_carried = Some(reason);
                        break;
                    }
                    Err(error) => feed.fail(error),
                }
            }
            if !feed.push(Decoded { rows: rows_of_band, strip }, scope) {
                break;
            }
        }
    });
    feed.into_result()?;
    Ok(not_carried)
}

/// Rows that were decoded, and the rows of tiles to carry that are whole with them.
struct Decoded {
    rows: Raster,
    strip: Option<Strip>,
}

/// What a band goes through: colours, where they are converted, then both others.
#[derive(Clone, Copy)]
enum Step {
    Colors,
    Full,
    Below,
}

/// Bands on their way from a decoder through the pool. Each step works on one at a time, in their order.
struct Feed<'a> {
    colors: Option<Mutex<Colors<'a>>>,
    full: Mutex<Full<'a>>,
    below: Mutex<Below<'a>>,
    state: Mutex<FeedState>,
    room: Condvar,
    /// Bands that are decoded and not done with; one more is being decoded.
    most_in_flight: u32,
}

#[derive(Default)]
struct FeedState {
    /// For each step.
    waiting: [VecDeque<Arc<Decoded>>; 3],
    /// A task works on a band, for each step.
    working: [bool; 3],
    in_flight: u32,
    /// Used up, kept for their allocation.
    spare: Vec<Raster>,
    failed: Option<Error>,
}

impl<'a> Feed<'a> {
    /// A band whose rows were used.
    fn spare(&self) -> Option<Raster> {
        lock(&self.state).spare.pop()
    }

    /// Waits for room; `false` when no further band is wanted.
    fn push<'s>(&'s self, band: Decoded, scope: &Scope<'s>) -> bool
    where
        'a: 's,
    {
        let full = |state: &mut FeedState| state.failed.is_none() && state.in_flight == self.most_in_flight;
        let mut state = {
            let _span = trace::span("wait for room");
            self.room.wait_while(lock(&self.state), full).unwrap_or_else(PoisonError::into_inner)
        };
        if state.failed.is_some() {
            return false;
        }
        state.in_flight += 1;
        if self.colors.is_some() {
            self.hand_on(&mut state, band, &[Step::Colors], scope);
        } else {
            self.hand_on(&mut state, band, &[Step::Full, Step::Below], scope);
        }
        true
    }

    /// The state is locked meanwhile, so that no step has the band before all do.
    fn hand_on<'s>(&'s self, state: &mut FeedState, band: Decoded, steps: &[Step], scope: &Scope<'s>)
    where
        'a: 's,
    {
        let band = Arc::new(band);
        for step in steps.iter().copied() {
            state.waiting[step as usize].push_back(Arc::clone(&band));
            if !std::mem::replace(&mut state.working[step as usize], true) {
                scope.spawn(move |scope| self.take_one(step, scope));
            }
        }
    }

    fn fail(&self, error: Error) {
        lock(&self.state).failed.get_or_insert(error);
        self.room.notify_one();
    }

    /// Does a step for the next band and starts a task for the one behind it. A task for each, so that a thread which
    /// waits for a piece of another image is never held up for longer than a band.
    fn take_one<'s>(&'s self, step: Step, scope: &Scope<'s>)
    where
        'a: 's,
    {
        let mut state = lock(&self.state);
        let next = if state.failed.is_none() { state.waiting[step as usize].pop_front() } else { None };
        let Some(band) = next else {
            state.working[step as usize] = false;
            return;
        };
        drop(state);
        match catch_unwind(AssertUnwindSafe(|| self.work(step, band, scope))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(error),
            Err(panic) => {
                self.fail(Error::new(ErrorKind::Internal, Stage::Operate, "a task panicked"));
                resume_unwind(panic);
            }
        }
        scope.spawn(move |scope| self.take_one(step, scope));
    }

    fn work<'s>(&'s self, step: Step, band: Arc<Decoded>, scope: &Scope<'s>) -> Result<()>
    where
        'a: 's,
    {
        match (step, &self.colors) {
            (Step::Colors, Some(colors)) => {
                let rows = lock(colors).take(&band.rows)?;
                let Decoded { rows: decoded, strip } = Arc::into_inner(band).expect("this step alone has it");
                let state = &mut *lock(&self.state);
                state.spare.push(decoded);
                self.hand_on(state, Decoded { rows, strip }, &[Step::Full, Step::Below], scope);
                return Ok(());
            }
            (Step::Colors, None) => unreachable!("bands do not come this way"),
            (Step::Full, _) => {
                for band in lock(&self.full).take(band)? {
                    self.done(band);
                }
            }
            (Step::Below, _) => {
                lock(&self.below).take(&band.rows)?;
                self.done(band);
            }
        }
        Ok(())
    }

    /// A step is done with a band. The last of them makes room for another.
    fn done(&self, band: Arc<Decoded>) {
        if let Some(band) = Arc::into_inner(band) {
            let mut state = lock(&self.state);
            state.in_flight -= 1;
            if self.colors.is_none() {
                state.spare.push(band.rows);
            }
            drop(state);
            self.room.notify_one();
        }
    }

    fn into_result(self) -> Result<()> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.failed.map_or(Ok(()), Err)
    }
}

/// A panic in a task reaches the caller through the scope, so what it left behind is not looked at.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Colors<'a> {
    plan: &'a color::Plan,
    compute: Compute<'a>,
    first_row: u32,
}

impl Colors<'_> {
    fn take(&mut self, rows: &Raster) -> Result<Raster> {
        let _span = trace::span("convert colours");
        let converted = self.compute.convert(self.plan, rows, self.first_row)?;
        self.first_row += rows.height;
        Ok(converted)
    }
}

struct Full<'a> {
    rows: LevelRows<'a>,
    /// A row of tiles is made of several bands.
    in_pieces: bool,
    /// Those that are not a whole row of tiles yet.
    waiting: Vec<Arc<Decoded>>,
    /// Tiles are cut out of strips.
    carried: bool,
    /// Carried tiles on their way.
    streams: Vec<Vec<u8>>,
}

impl Full<'_> {
    /// The bands that are not needed any more.
    fn take(&mut self, band: Arc<Decoded>) -> Result<Vec<Arc<Decoded>>> {
        match &band.strip {
            Some(strip) => strip.write(&mut self.streams, &mut self.rows)?,
            None if self.carried => {}
            None if self.in_pieces => {
                self.waiting.push(band);
                let pieces: Vec<&Raster> = self.waiting.iter().map(|band| &band.rows).collect();
                if pieces.iter().map(|rows| rows.height).sum::<u32>() < self.rows.missing_rows(0) {
                    return Ok(Vec::new());
                }
                self.rows.write_pieces(0, &pieces)?;
                return Ok(std::mem::take(&mut self.waiting));
            }
            None => self.rows.write(0, &band.rows)?,
        }
        Ok(vec![band])
    }
}

struct Below<'a> {
    rows: LevelRows<'a>,
    executor: Box<dyn Executor>,
}

impl Below<'_> {
    fn take(&mut self, rows: &Raster) -> Result<()> {
        self.executor.push(rows, &mut |level, _, rows| self.rows.write(level, rows))
    }
}

/// The rows and columns of a source that a crop keeps.
struct Cut<'a> {
    source: &'a mut dyn RowSource,
    rect: Rect,
    rows_skipped: u32,
    rows_read: u32,
    /// Full-width rows, when columns are cut.
    scratch: Option<Raster>,
}

impl Cut<'_> {
    /// Makes the next rows, up to `max_rows`, all that `band` holds.
    fn read(&mut self, band: &mut Raster, max_rows: u32) -> Result<()> {
        let _span = trace::span("decode");
        let (format, width) = (self.source.info().format, self.source.info().size.width);
        while self.rows_skipped < self.rect.y {
            let mut skipped = Raster::empty(format, width);
            self.rows_skipped += self.expect_rows(&mut skipped, (self.rect.y - self.rows_skipped).min(max_rows))?;
        }
        let wanted = max_rows.min(self.rect.height - self.rows_read);
        let mut got = 0;
        if self.rect.width == width && self.source.overwrites() {
            // Rows of an earlier band are not made zero again.
            band.set_rows(wanted);
            let row_bytes = band.row_bytes();
            while got < wanted {
                let read = self.source.overwrite_rows(&mut band.samples.as_bytes_mut()[got as usize * row_bytes..])?;
                let rows = self.some(read)?;
                got += rows;
                self.rows_read += rows;
            }
            return Ok(());
        }
        band.set_rows(0);
        band.reserve_rows(wanted);
        while got < wanted {
            let rows = if self.rect.width == width {
                self.expect_rows(band, wanted - got)?
            } else {
                let mut scratch = self.scratch.take().unwrap_or_else(|| Raster::empty(format, width));
                scratch.set_rows(0);
                let rows = self.expect_rows(&mut scratch, wanted - got)?;
                let cut = scratch.cropped(Rect { x: self.rect.x, y: 0, width: self.rect.width, height: rows });
                band.append_rows(&cut, 0..rows);
                self.scratch = Some(scratch);
                rows
            };
            got += rows;
            self.rows_read += rows;
        }
        Ok(())
    }

    fn expect_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        let rows = self.source.read_rows(band, max_rows)?;
        self.some(rows)
    }

    /// As many rows as were read, unless they end too early.
    fn some(&self, rows: u32) -> Result<u32> {
        match rows {
            0 => Err(Error::malformed(
                Stage::Decode,
                format!("ends after row {} of {}", self.rows_skipped + self.rows_read, self.source.info().size.height),
            )),
            rows => Ok(rows),
        }
    }
}

/// Sizes of the pieces that an image is worked on in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Band {
    pub rows: u32,
    /// Rows of bands that are decoded and not done with, at most.
    pub rows_in_flight: u32,
    /// Held outside the decoder: bands, pyramid windows, strips of tiles, compressed tiles.
    pub bytes: u64,
    /// Compressed tiles beyond this go to a temporary file.
    pub spill_bytes: u64,
    /// For buffers on the device.
    pub device_bytes: u64,
}

impl Band {
    /// A row of tiles or a part of it at a time, `most_rows` at most, fewer where the image is so wide that several such
    /// images would not fit. `format` is the wider of what is decoded and what is written.
    pub fn choose(plan: &pyramid::Plan, format: PixelFormat, tile: u32, most_rows: u32, context: &Context) -> Self {
        // Lanes that decode or wait for the disk need little; as many images as threads are computed.
        let share = context.budget.total_bytes() / context.pool.current_num_threads() as u64;
        let full = plan.levels[0];
        let row_bytes = u64::from(full.width) * format.bytes_per_pixel() as u64;
        let pixels_bytes = full.pixels() * format.bytes_per_pixel() as u64;
        let spill_bytes = (pixels_bytes / 2 + (1 << 16)).min(share / 8);
        // A strip of tiles per level, raw and once more while it is compressed: the levels together hold twice the first.
        let strips = 4 * u64::from(tile.min(full.pixels().min(1 << 20) as u32)) * row_bytes;
        let height = full.height;
        // One more is being decoded. Those of the row of tiles on its way are counted as its strip.
        let bands = |rows: u32| u64::from(((ahead(tile, rows) + 1) * rows).min(height)) * row_bytes;
        let flowing = |rows: u32| bands(rows) + pyramid::working_bytes(plan, rows.min(height));
        let bytes = |rows: u32| flowing(rows) + strips + spill_bytes;
        let fits = |rows: u32| flowing(rows) <= share / 4 && bytes(rows) <= share;
        // Sixteen rows are always a part of a tile.
        let rows =
            (16..=most_rows.min(tile)).rev().find(|rows| pieces(tile, *rows).is_some() && fits(*rows)).unwrap_or(16);
        Band {
            rows: rows.min(height),
            rows_in_flight: (in_flight(tile, rows) * rows).min(height),
            bytes: bytes(rows),
            spill_bytes,
            device_bytes: share,
        }
    }
}

/// How many bands of `rows` rows make a row of tiles, where they do.
fn pieces(tile: u32, rows: u32) -> Option<u32> {
    (rows.is_multiple_of(16) && tile.is_multiple_of(rows)).then(|| tile / rows)
}

/// Bands that are decoded before the row of tiles on its way is done.
fn ahead(tile: u32, rows: u32) -> u32 {
    if pieces(tile, rows).is_some_and(|pieces| pieces > 1) { AHEAD } else { 1 }
}

/// Bands that are decoded and not done with, at most.
fn in_flight(tile: u32, rows: u32) -> u32 {
    pieces(tile, rows).unwrap_or(1) + ahead(tile, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Backend;
    use crate::geometry::Size;
    use crate::ops::resample;
    use crate::pixel::{Color, Depth};

    #[test]
    fn a_band_fits_its_share_of_the_memory_wherever_a_small_one_does() {
        let format = PixelFormat::new(Color::Rgb, false, Depth::U8);
        let (mut large, mut cut) = (0, 0);
        for megabytes in [64, 150, 256, 400, 1024] {
            let context = Context::new(Backend::cpu(), megabytes << 20, 2).unwrap();
            let share = context.budget.total_bytes() / 2;
            for width in [1000, 5000, 12_000, 20_000, 26_000, 30_000, 60_000] {
                let plan = pyramid::Plan {
                    format,
                    levels: Size::new(width, width).levels(256).collect(),
                    resample: resample::Plan::new(resample::Filter::default()),
                    unsharp: None,
                };
                for most_rows in [128, 256] {
                    let band = Band::choose(&plan, format, 256, most_rows, &context);
                    assert!(band.bytes <= share || band.rows == 16, "{megabytes} MiB, {width} px: {band:?}");
                    assert!(256 % band.rows == 0, "{megabytes} MiB, {width} px: {band:?}");
                    large += u32::from(band.rows == most_rows);
                    cut += u32::from((17..most_rows).contains(&band.rows));
                }
            }
        }
        assert!(large > 0 && cut > 0);
    }
}
