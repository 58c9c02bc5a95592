//! Collects rows of all levels, compresses tiles in parallel, and writes the file in one go at the end.
//!
//! Compressed tiles wait in memory up to a bound and in an anonymous file beside the target beyond it, because the
//! file begins with what is known last: the directories and the smallest level. Which tile waits where, and which
//! thread compressed it, never shows in the bytes.
//!
//! Until [`Writer::finish`] succeeds, the target is as it was. `finish` writes a temporary file in the same folder,
//! flushes it to the disk, reads its whole structure back as a stranger would, decompresses a tile of every level
//! and compares checksums, and only then renames it over the target. Of JPEG levels between the first and the last the head
//! of a tile has to do.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{IoSlice, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

use super::ahead;
use super::compress::{Compressors, Put, TileRow, TileShape};
use super::layout::{self, Contents, JpegLevel, LevelContents, Plan};
use super::{Compression, Options, Pyramid, Written, reader, resolve};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::Size;
use crate::pixel::{Color, Raster};
use crate::read_at::ReadAt;
use crate::trace;

/// Full-resolution tiles that arrive compressed: the coefficients of a JPEG source, cut into tiles but not decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Abbreviated stream with the tables of all tiles.
    pub tables: Vec<u8>,
    /// Sampling factors of luma over chroma, horizontal and vertical, each 1, 2 or 4; `None` for gray.
    pub subsampling: Option<(u16, u16)>,
}

/// Writes one pyramid.
///
/// Dropped before [`Writer::finish`], it leaves nothing behind and the old file as it was.
pub struct Writer {
    pyramid: Pyramid,
    options: Options,
    compression: Compression,
    levels: Vec<Level>,
    shared: Shared,
}

/// What all levels of a file use, in whatever thread.
struct Shared {
    path: PathBuf,
    shape: TileShape,
    compressors: Compressors,
    store: Mutex<Store>,
}

/// Takes the rows of some levels of a [`Writer`].
pub struct LevelRows<'a> {
    /// Number of the first of `levels`.
    first: usize,
    levels: &'a mut [Level],
    shared: &'a Shared,
}

/// A level on its way.
struct Level {
    size: Size,
    tiles_across: u32,
    tiles_down: u32,
    rows_taken: u32,
    /// Rows that do not fill a row of tiles yet.
    waiting: Raster,
    tiles: Vec<Tile>,
    /// Present exactly with JPEG compression.
    jpeg: Option<JpegLevel>,
    /// Tiles come through [`LevelRows::write_carried`] instead of rows.
    carried: bool,
}

impl Level {
    fn tile_count(&self) -> usize {
        self.tiles_across as usize * self.tiles_down as usize
    }

    /// Of the row of tiles on its way, whose tiles are `side` px high; 0 when all rows were taken.
    fn missing_rows(&self, side: u32) -> u32 {
        let rows_done = self.rows_taken - self.waiting.height;
        side.min(self.size.height - rows_done) - self.waiting.height
    }

    fn contents(&self) -> LevelContents<'_> {
        LevelContents {
            size: self.size,
            byte_counts: self.tiles.iter().map(|tile| tile.bytes).collect(),
            jpeg: self.jpeg.as_ref(),
        }
    }
}

/// Pieces that are written in one call; systems take about a thousand.
const BATCH: usize = 64;
/// Sizes of the chunks of memory that small and large images get for their tiles, in bytes.
const CHUNKS: [usize; 2] = [256 << 10, 4 << 20];
/// Spilled tiles are read together until they are as many bytes.
const READ_BYTES: u64 = 2 << 20;

/// How files are called that are not whole yet.
const TEMPORARY_PREFIX: &str = ".reprise-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Whether a file of this name is one that was being written, and not whole unless someone still writes it.
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(TEMPORARY_PREFIX.as_bytes()) && name.ends_with(TEMPORARY_SUFFIX.as_bytes())
}

/// A new temporary file in the folder of `target` with the usual permissions (temporary files are private unless told
/// otherwise).
///
/// # Errors
/// When the folder cannot be written to.
pub fn temporary_beside(target: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX).suffix(TEMPORARY_SUFFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(target))
}

impl Writer {
    /// Prepares to write `path`.
    ///
    /// Held in memory: at most `spill_bytes` of compressed tiles, one row of tiles of every level uncompressed (about
    /// `tile` × 2 × full width × bytes per pixel), and one row of tiles compressed.
    ///
    /// # Errors
    /// `Misuse` for options out of range or levels that do not halve, `Io` when nothing can be written to the folder.
    pub fn create(path: &Path, pyramid: Pyramid, options: &Options, spill_bytes: u64) -> Result<Writer> {
        let subject = path.display().to_string();
        options.check().map_err(|e| e.of(&subject))?;
        check_levels(&pyramid.levels, options.tile).map_err(|e| e.of(&subject))?;
        if pyramid.format.color == Color::Lab {
            return Err(Error::misuse(Stage::Encode, "a pyramid holds gray, RGB or CMYK, not Lab").of(&subject));
        }
        let (compression, _) = resolve(options.compression, pyramid.format, pyramid.came_as_jpeg);
        let shape = TileShape { side: options.tile, format: pyramid.format };
        let compressors = Compressors::new(compression, shape, options).map_err(|e| e.of(&subject))?;
        // A missing folder is known before the work is done.
        std::fs::metadata(folder_of(path)).map_err(|e| write_error(path, e))?;
        let levels = pyramid
            .levels
            .iter()
            .map(|&size| {
                let [tiles_across, tiles_down] = [size.width, size.height].map(|side| side.div_ceil(options.tile));
                Level {
                    size,
                    tiles_across,
                    tiles_down,
                    rows_taken: 0,
                    waiting: Raster::empty(pyramid.format, size.width),
                    tiles: Vec::new(),
                    jpeg: compressors.jpeg().cloned(),
                    carried: false,
                }
            })
            .collect();
        let store = Store {
            chunks: Vec::new(),
            memory_bytes: 0,
            limit_bytes: spill_bytes,
            spill: None,
            spilled_bytes: 0,
            target: path.to_path_buf(),
        };
        Ok(Writer {
            pyramid,
            options: options.clone(),
            compression,
            levels,
            shared: Shared { path: path.to_path_buf(), shape, compressors, store: Mutex::new(store) },
        })
    }

    /// Takes the next rows of `level` (0 is full resolution), from top to bottom; levels may be interleaved freely.
    /// Tiles are compressed in the thread pool of the caller.
    ///
    /// # Errors
    /// `Misuse` for rows of another width or format, or more rows than the level has; `Io` when spilling fails.
    pub fn write_rows(&mut self, level: usize, rows: &Raster) -> Result<()> {
        LevelRows { first: 0, levels: &mut self.levels, shared: &self.shared }.write(level, rows)
    }

    /// Full resolution, and the levels below it, so that two threads can write at once.
    pub fn split(&mut self) -> (LevelRows<'_>, LevelRows<'_>) {
        let (full, below) = self.levels.split_at_mut(1);
        let shared = &self.shared;
        (LevelRows { first: 0, levels: full, shared }, LevelRows { first: 1, levels: below, shared })
    }

    /// Writes the file, checks it and puts it in its place. Hashing and checking are work for `pool`; what waits for the
    /// disk does so on the calling thread, which should be none of the pool's.
    ///
    /// # Errors
    /// `Misuse` when rows are missing, `Io` when the disk is full or refuses, `Malformed` when the file read back is
    /// not what was written.
    pub fn finish(self, pool: &rayon::ThreadPool) -> Result<Written> {
        let subject = self.shared.path.display().to_string();
        self.write_file(pool).map_err(|e| e.of(subject))
    }

    fn write_file(self, pool: &rayon::ThreadPool) -> Result<Written> {
        for (index, level) in self.levels.iter().enumerate() {
            if level.tiles.len() != level.tile_count() {
                let message = format!(
                    "level {index} has {} of its {} tiles; rows are missing",
                    level.tiles.len(),
                    level.tile_count()
                );
                return Err(Error::misuse(Stage::Encode, message));
            }
        }
        let plan = self.plan();
        let store = lock(&self.shared.store);
        let pieces = &self.pieces(&plan, &store);
        let io = |e| write_error(&self.shared.path, e);
        let temporary = self.temporary_file().map_err(io)?;
        let (mut hash, mut verified) = (None, Ok(()));
        let written = pool.in_place_scope(|scope| {
            scope.spawn(|_| hash = Some(hash_of(pieces)));
            {
                let _span = trace::span("write file").bytes(plan.bytes);
                write_to(temporary.as_file(), pieces)?;
            }
            // What was written is looked at while it is on its way to the disk.
            scope.spawn(|_| verified = self.verify(temporary.path(), plan.bytes));
            let _span = trace::span("flush file").bytes(plan.bytes);
            temporary.as_file().sync_all()
        });
        written.map_err(io)?;
        let hash = hash.expect("the scope waits for it").map_err(io)?;
        verified?;
        let _span = trace::span("rename file");
        temporary.persist(&self.shared.path).map_err(|e| io(e.error))?;
        sync_folder(folder_of(&self.shared.path)).map_err(io)?;
        Ok(Written {
            bytes: plan.bytes,
            levels: self.levels.len(),
            compression: self.compression,
            big_tiff: plan.big_tiff,
            hash,
        })
    }

    fn plan(&self) -> Plan {
        layout::plan(&Contents {
            format: self.pyramid.format,
            compression: self.compression,
            tile: self.options.tile,
            layout: self.options.layout,
            big_tiff: self.options.big_tiff,
            metadata: &self.pyramid.metadata,
            levels: self.levels.iter().map(Level::contents).collect(),
        })
    }

    /// Everything in the order of the file.
    fn pieces<'a>(&self, plan: &'a Plan, store: &'a Store) -> Vec<Piece<'a>> {
        let mut pieces = vec![Piece::Memory(&plan.head)];
        for Tile { bytes, place, .. } in self.levels.iter().rev().flat_map(|level| &level.tiles) {
            match (place, pieces.last_mut()) {
                (Place::Memory { chunk, start }, _) => {
                    pieces.push(Piece::Memory(&store.chunks[*chunk][*start..][..*bytes as usize]));
                }
                // Tiles that were spilled one behind the other are read at once.
                (Place::Spilled(offset), Some(Piece::Spilled(_, range)))
                    if range.end == *offset && range.end - range.start < READ_BYTES =>
                {
                    range.end += u64::from(*bytes);
                }
                (Place::Spilled(offset), _) => {
                    let spill = store.spill.as_ref().expect("something was spilled");
                    pieces.push(Piece::Spilled(spill, *offset..offset + u64::from(*bytes)));
                }
            }
        }
        pieces
    }

    /// A new file in the target's folder, with the permissions of the file that it will replace or else the usual
    /// ones.
    fn temporary_file(&self) -> std::io::Result<NamedTempFile> {
        let temporary = temporary_beside(&self.shared.path)?;
        if let Ok(old) = std::fs::metadata(&self.shared.path) {
            temporary.as_file().set_permissions(old.permissions())?;
        }
        Ok(temporary)
    }

    /// Reads the structure back, and one tile of every level: the middle one, so that an offset or a count that is
    /// wrong anywhere before it shows. Decompressing every tile would cost as much as a reader's first view of the
    /// whole file; `validate` does that when asked.
    fn verify(&self, file: &Path, bytes: u64) -> Result<()> {
        let _span = trace::span("verify file");
        let written = reader::Opened::open(file)?;
        let description = written.description()?;
        let wrong = |what: String| Err(Error::malformed(Stage::Verify, format!("{what}; the old file was kept")));
        let metadata = &self.pyramid.metadata;
        let expected = [&metadata.icc, &metadata.xmp, &metadata.iptc].map(|block| block.as_ref().map_or(0, Vec::len));
        let found = &description.metadata;
        if [found.icc, found.xmp, found.iptc] != expected.map(|n| n as u64) {
            return wrong("ICC, XMP or IPTC did not arrive whole".into());
        }
        if description.bytes != bytes
            || description.format != self.pyramid.format
            || !description.levels.iter().map(|level| level.size).eq(self.pyramid.levels.iter().copied())
            || description.levels.iter().any(|level| level.compression != self.compression)
        {
            return wrong("the file read back is not the one that was written".into());
        }
        let last = self.levels.len() - 1;
        for (index, level) in self.levels.iter().enumerate() {
            let middle = level.tiles.len() / 2;
            let expected = level.tiles[middle].checksum;
            // JPEG has no checksum to compare, and the heads of all these tiles were looked at when the file was opened.
            if expected.is_none() && index > 0 && index < last {
                continue;
            }
            let checksum = written.decode_tile(index, middle)?;
            if expected.is_some_and(|expected| expected != checksum) {
                return wrong(format!("tile {middle} of level {index} does not decompress to its pixels"));
            }
        }
        Ok(())
    }
}

fn write_to(mut file: &File, pieces: &[Piece]) -> std::io::Result<()> {
    let (mut batch, mut buffer) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Memory(bytes) => {
                batch.push(IoSlice::new(bytes));
                if batch.len() == BATCH {
                    write_all(file, &mut batch)?;
                    ahead::start_flush(file);
                }
            }
            Piece::Spilled(spill, range) => {
                write_all(file, &mut batch)?;
                file.write_all(read(spill, range, &mut buffer)?)?;
                ahead::start_flush(file);
            }
        }
    }
    write_all(file, &mut batch)
}

/// The hash of all that is written.
fn hash_of(pieces: &[Piece]) -> std::io::Result<blake3::Hash> {
    let _span = trace::span("hash file");
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Memory(bytes) => hasher.update(bytes),
            Piece::Spilled(spill, range) => hasher.update(read(spill, range, &mut buffer)?),
        };
    }
    Ok(hasher.finalize())
}

/// These bytes of a file, by way of `buffer`.
fn read<'a>(file: &File, range: &Range<u64>, buffer: &'a mut Vec<u8>) -> std::io::Result<&'a [u8]> {
    buffer.resize((range.end - range.start) as usize, 0);
    file.read_exact_at(buffer, range.start)?;
    Ok(buffer)
}

/// Writes all of the slices, and takes them out.
fn write_all(mut file: &File, slices: &mut Vec<IoSlice<'_>>) -> std::io::Result<()> {
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) if rest.iter().any(|slice| !slice.is_empty()) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    slices.clear();
    Ok(())
}

/// Flushes the rename itself.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    // Other systems do not open folders as files, and flush renames on their own.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

impl LevelRows<'_> {
    /// As [`Writer::write_rows`]; `level` is counted from full resolution.
    ///
    /// # Errors
    /// As [`Writer::write_rows`], also for a level that is not among these.
    pub fn write(&mut self, level: usize, rows: &Raster) -> Result<()> {
        self.take(level, rows).map_err(|e| e.of(self.shared.path.display().to_string()))
    }

    /// Says that the full-resolution tiles arrive compressed, through [`LevelRows::write_carried`]; the levels below
    /// are still given as rows and encoded anew. To be called before anything is written to full resolution.
    ///
    /// The streams hold gray or YCbCr as JFIF defines them; RGB and CMYK streams need decoding.
    ///
    /// # Errors
    /// `Misuse` when the file's tiles are not JPEG, when the sampling does not fit the format or the tile size, when
    /// rows were already written, or where full resolution is not among these levels.
    pub fn carry(&mut self, carried: Carried) -> Result<()> {
        self.start_carrying(carried).map_err(|e| e.of(self.shared.path.display().to_string()))
    }

    fn start_carrying(&mut self, carried: Carried) -> Result<()> {
        let misuse = |message: &str| Err(Error::misuse(Stage::Encode, message));
        let Some(top) = self.levels.first_mut().filter(|_| self.first == 0) else {
            return misuse("only full resolution can be carried");
        };
        if top.jpeg.is_none() {
            return misuse("JPEG tiles can be carried only into a file with JPEG compression");
        }
        if top.rows_taken > 0 || !top.tiles.is_empty() {
            return misuse("full resolution was begun before it was said to be carried");
        }
        let TileShape { side, format } = self.shared.shape;
        match (format.color, carried.subsampling) {
            (Color::Gray, None) => {}
            (Color::Rgb, Some((h, v))) if [h, v].iter().all(|f| [1, 2, 4].contains(f)) => {
                // A tile holds whole MCUs.
                if !side.is_multiple_of(8 * u32::from(h.max(v))) {
                    return misuse("tiles of this size do not hold whole JPEG blocks of the source");
                }
            }
            _ => return misuse("only gray and YCbCr JPEG sources can be carried"),
        }
        top.jpeg = Some(JpegLevel { tables: carried.tables, subsampling: carried.subsampling });
        top.carried = true;
        Ok(())
    }

    /// Takes full-resolution tiles from number `first` on (row by row, from 0, in order): for each, an abbreviated JPEG
    /// stream of a whole tile.
    ///
    /// # Errors
    /// `Misuse` for tiles out of order, without [`LevelRows::carry`] or where full resolution is not among these
    /// levels; `Io` when spilling fails.
    pub fn write_carried(&mut self, first: usize, streams: &[impl AsRef<[u8]>]) -> Result<()> {
        self.take_carried(first, streams).map_err(|e| e.of(self.shared.path.display().to_string()))
    }

    fn take_carried(&mut self, first: usize, streams: &[impl AsRef<[u8]>]) -> Result<()> {
        let misuse = |message| Err(Error::misuse(Stage::Encode, message));
        let Some(top) = self.levels.first_mut().filter(|level| self.first == 0 && level.carried) else {
            return misuse("carried tiles, but full resolution is not carried".to_string());
        };
        let (due, count) = (top.tiles.len(), top.tile_count());
        if first != due || streams.len() > count - due {
            let last = first + streams.len();
            return misuse(format!("carried tiles {first} to {last}, when tile {due} of {count} was due"));
        }
        let mut store = lock(&self.shared.store);
        for stream in streams {
            let stream = stream.as_ref();
            let place = match store.remember(stream) {
                Some(place) => place,
                None => store.spill(stream)?,
            };
            top.tiles.push(Tile::new(stream.len(), None, place)?);
        }
        Ok(())
    }

    fn take(&mut self, index: usize, rows: &Raster) -> Result<()> {
        let shared = self.shared;
        let level = self.level(index, &[rows])?;
        let mut next = 0;
        while next < rows.height {
            let missing = level.missing_rows(shared.shape.side);
            let end = rows.height.min(next + missing);
            level.rows_taken += end - next;
            let whole = end - next == missing;
            if whole && level.waiting.height == 0 {
                // A whole row of tiles at once: no copy.
                shared.encode(TileRow::new(&[rows], next..end), &mut level.tiles)?;
            } else {
                level.waiting.reserve_rows(missing);
                level.waiting.append_rows(rows, next..end);
                if whole {
                    shared.encode(TileRow::new(&[&level.waiting], 0..level.waiting.height), &mut level.tiles)?;
                    level.waiting.set_rows(0);
                }
            }
            next = end;
        }
        Ok(())
    }

    /// Rows that are missing until a row of tiles is whole; 0 when all were given.
    ///
    /// # Panics
    /// For a level that is not among these.
    pub fn missing_rows(&self, level: usize) -> u32 {
        self.levels[level - self.first].missing_rows(self.shared.shape.side)
    }

    /// Takes the rows of a whole row of tiles, in pieces, without a copy. All pieces but the last are equally high, by a
    /// multiple of 16 rows.
    ///
    /// # Errors
    /// As [`LevelRows::write`], and `Misuse` for pieces of other heights, or which are not just those that are
    /// [missing](LevelRows::missing_rows) when none are waiting.
    pub fn write_pieces(&mut self, level: usize, pieces: &[&Raster]) -> Result<()> {
        self.take_pieces(level, pieces).map_err(|e| e.of(self.shared.path.display().to_string()))
    }

    fn take_pieces(&mut self, index: usize, pieces: &[&Raster]) -> Result<()> {
        let shared = self.shared;
        let level = self.level(index, pieces)?;
        let rows = pieces.iter().map(|piece| piece.height).sum();
        let whole = rows == level.missing_rows(shared.shape.side) && level.waiting.height == 0;
        let regular = pieces.split_last().is_some_and(|(last, others)| {
            others.iter().all(|piece| piece.height == pieces[0].height && piece.height.is_multiple_of(16))
                && (1..=pieces[0].height).contains(&last.height)
        });
        if !whole || !regular {
            return Err(Error::misuse(Stage::Encode, format!("{} pieces that are no row of tiles", pieces.len())));
        }
        level.rows_taken += rows;
        shared.encode(TileRow::new(pieces, 0..rows), &mut level.tiles)
    }

    /// The level that rows are for, once they are known to fit it.
    fn level(&mut self, index: usize, pieces: &[&Raster]) -> Result<&mut Level> {
        let format = self.shared.shape.format;
        let levels = self.first..self.first + self.levels.len();
        let Some(level) = index.checked_sub(self.first).and_then(|at| self.levels.get_mut(at)) else {
            return Err(Error::misuse(Stage::Encode, format!("rows for level {index}, not of {levels:?}")));
        };
        if level.carried {
            return Err(Error::misuse(Stage::Encode, "rows for full resolution, whose tiles are carried"));
        }
        if let Some(rows) = pieces.iter().find(|rows| rows.format != format || rows.width != level.size.width) {
            return Err(Error::misuse(
                Stage::Encode,
                format!(
                    "rows of {} px in {} for level {index} of {} px in {format}",
                    rows.width, rows.format, level.size.width
                ),
            ));
        }
        let height = level.size.height;
        if pieces.iter().map(|rows| rows.height).sum::<u32>() > height - level.rows_taken {
            return Err(Error::misuse(Stage::Encode, format!("more than {height} rows for level {index}")));
        }
        Ok(level)
    }
}

impl Shared {
    /// Compresses a row of tiles and puts the streams where they wait.
    fn encode(&self, rows: TileRow<'_>, tiles: &mut Vec<Tile>) -> Result<()> {
        for Put { bytes, checksum, place } in
            self.compressors.encode_row(rows, |stream| lock(&self.store).remember(stream))?
        {
            let place = match place {
                Ok(place) => place,
                Err(stream) => {
                    let place = lock(&self.store).spill(&stream)?;
                    self.compressors.recycle(stream);
                    place
                }
            };
            tiles.push(Tile::new(bytes, checksum, place)?);
        }
        Ok(())
    }
}

/// A panic while tiles were stored ends the whole file, so what it left is not looked at.
fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_levels(levels: &[Size], tile: u32) -> Result<()> {
    let full = match levels.first() {
        Some(full) if full.width > 0 && full.height > 0 => *full,
        _ => return Err(Error::misuse(Stage::Encode, "a pyramid has at least one level, and that at least one pixel")),
    };
    if !full.levels(tile).eq(levels.iter().copied()) {
        let message = format!(
            "the levels of {} × {} pixels do not halve until they fit a tile of {tile} px",
            full.width, full.height
        );
        return Err(Error::misuse(Stage::Encode, message));
    }
    Ok(())
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A failed write to the folder of `path`.
fn write_error(path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    if matches!(error.kind(), StorageFull | QuotaExceeded) {
        let message = "the disk is full; the old file was kept: free some space and run again";
        return Error::new(ErrorKind::Io, Stage::Encode, message).of(path.display().to_string()).caused_by(error);
    }
    Error::io(Stage::Encode, path, error)
}

/// A compressed tile that waits for the end.
struct Tile {
    bytes: u32,
    /// See [`Put::checksum`].
    checksum: Option<u32>,
    place: Place,
}

impl Tile {
    fn new(bytes: usize, checksum: Option<u32>, place: Place) -> Result<Tile> {
        let bytes = u32::try_from(bytes)
            .map_err(|_| Error::limit(Stage::Encode, "a tile of more than 4 GiB; use smaller tiles"))?;
        Ok(Tile { bytes, checksum, place })
    }
}

enum Place {
    /// Offset in a chunk.
    Memory { chunk: usize, start: usize },
    /// Offset in the spill file.
    Spilled(u64),
}

/// Bytes that stand in one place until the file is written.
enum Piece<'a> {
    Memory(&'a [u8]),
    /// Of the spill file.
    Spilled(&'a File, Range<u64>),
}

/// Holds compressed tiles: in memory up to a bound, in an anonymous file beyond it.
struct Store {
    /// Tiles one behind the other. Fewer allocations than tiles, and large ones where there are many.
    chunks: Vec<Vec<u8>>,
    memory_bytes: u64,
    limit_bytes: u64,
    /// Made when it is needed: a new file is work for the file system, even one without a name.
    spill: Option<File>,
    spilled_bytes: u64,
    /// What the tiles are for.
    target: PathBuf,
}

impl Store {
    /// Keeps a stream in memory, where there is room.
    fn remember(&mut self, stream: &[u8]) -> Option<Place> {
        let bytes = self.memory_bytes + stream.len() as u64;
        if bytes > self.limit_bytes {
            return None;
        }
        self.memory_bytes = bytes;
        if self.chunks.last().is_none_or(|chunk| chunk.capacity() - chunk.len() < stream.len()) {
            let size = if self.limit_bytes < CHUNKS[1] as u64 { CHUNKS[0] } else { CHUNKS[1] };
            self.chunks.push(Vec::with_capacity(size.max(stream.len())));
        }
        let chunk = self.chunks.len() - 1;
        let start = self.chunks[chunk].len();
        self.chunks[chunk].extend_from_slice(stream);
        Some(Place::Memory { chunk, start })
    }

    fn spill(&mut self, stream: &[u8]) -> Result<Place> {
        let io = |e| write_error(&self.target, e);
        let file = match &mut self.spill {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(folder_of(&self.target)).map_err(io)?),
        };
        file.write_all(stream).map_err(io)?;
        let offset = self.spilled_bytes;
        self.spilled_bytes += stream.len() as u64;
        Ok(Place::Spilled(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Metadata;
    use crate::pixel::{Depth, PixelFormat};

    #[test]
    fn a_file_that_is_not_what_was_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let format = PixelFormat::new(Color::Gray, false, Depth::U8);
        let levels: Vec<Size> = Size::new(60, 40).levels(16).collect();
        let metadata = Metadata { icc: Some(vec![7; 99]), ..Metadata::default() };
        let pyramid = Pyramid { format, levels: levels.clone(), metadata, came_as_jpeg: false };
        for compression in [Compression::None, Compression::Deflate, Compression::Jpeg] {
            let options = Options { compression, tile: 16, ..Options::default() };
            let mut writer = Writer::create(&folder.path().join("a.tif"), pyramid.clone(), &options, 0).unwrap();
            for (index, size) in levels.iter().enumerate() {
                writer.write_rows(index, &Raster::zeroed(format, *size)).unwrap();
            }
            let plan = writer.plan();
            let path = folder.path().join("written.tif");
            write_to(&File::create(&path).unwrap(), &writer.pieces(&plan, &lock(&writer.shared.store))).unwrap();
            writer.verify(&path, plan.bytes).unwrap();

            let good = std::fs::read(&path).unwrap();
            let refused = |bytes: &[u8], what: &str| {
                std::fs::write(&path, bytes).unwrap();
                let error = writer.verify(&path, plan.bytes).expect_err(what);
                assert_eq!(error.kind, ErrorKind::Malformed, "{compression:?}: {what}");
            };
            refused(&good[..good.len() - 1], "the last byte is missing");
            refused(&[&good[..], &[0]].concat(), "a byte too many");
            // Inside the one tile of the last level, which comes first.
            let mut damaged = good.clone();
            damaged[plan.head.len() + 2] ^= 0x40;
            refused(&damaged, "a tile is damaged");
            let mut renamed = good.clone();
            let icc = (10..).step_by(12).find(|at| good[*at..at + 2] == super::super::tags::ICC.to_le_bytes()).unwrap();
            renamed[icc] ^= 1;
            refused(&renamed, "the profile has another tag");
        }
    }

    #[test]
    fn a_full_disk_is_named_and_so_is_the_file() {
        let error = write_error(Path::new("/pictures/a.tif"), std::io::ErrorKind::StorageFull.into());
        assert_eq!(error.kind, ErrorKind::Io);
        let text = error.to_string();
        assert!(text.starts_with("/pictures/a.tif: ") && text.contains("disk is full"), "{text}");
    }

    #[test]
    fn levels_must_halve_until_they_fit() {
        let size = Size::new;
        assert!(check_levels(&[size(300, 200), size(150, 100)], 256).is_ok());
        assert!(check_levels(&[size(256, 256)], 256).is_ok());
        for levels in [
            &[][..],
            &[size(0, 1)],
            &[size(300, 200)],
            &[size(300, 200), size(151, 100)],
            &[size(256, 256), size(128, 128)],
        ] {
            assert!(check_levels(levels, 256).is_err(), "{levels:?}");
        }
    }
}
