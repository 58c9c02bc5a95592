//! Reopens a pyramid and checks it against everything that readers demand of one.
//!
//! It reads what this engine writes (little-endian, tiled, one pyramid) and says what is wrong with anything else.
//! No offset, count or size of the file is trusted: each is compared with the length of the file and with a limit
//! before anything is allocated.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::compress::{Decompressor, TileShape, check_jpeg_stream};
use super::layout::JpegLevel;
use super::tags::{self, photometric};
use super::{Compression, Layout, is_tile_side};
use crate::decode::{Resolution, ResolutionUnit};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::pixel::{Color, Depth, PixelFormat, Raster, Samples};
use crate::read_at::ReadAt;

/// More levels than sides of 32 bits can be halved.
const MAX_LEVELS: usize = 33;
/// More tags than any directory of a pyramid needs.
const MAX_TAGS: u64 = 1000;

/// More than all tables that a JPEG can have.
const MAX_JPEG_TABLES_BYTES: u64 = 8192;
/// Uncompressed tiles that may be held at once.
const BATCH_BYTES: usize = 256 << 20;

/// What a pyramid file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Size of the file.
    pub bytes: u64,
    pub big_tiff: bool,
    pub layout: Layout,
    pub format: PixelFormat,
    /// Side of the tiles in pixels.
    pub tile: u32,
    /// Full resolution first.
    pub levels: Vec<LevelDescription>,
    pub metadata: MetadataBytes,
}

/// One level of a pyramid file.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelDescription {
    pub size: Size,
    pub compression: Compression,
    /// Code of PhotometricInterpretation.
    pub photometric: u16,
    /// YCbCrSubSampling, horizontal and vertical.
    pub subsampling: Option<(u16, u16)>,
    pub resolution: Option<Resolution>,
    pub tiles: u64,
    /// Compressed size of all tiles.
    pub tile_bytes: u64,
    /// Where in the file the tiles lie: from the first byte of any to the last of any.
    pub range: Range<u64>,
}

/// Sizes in bytes of the metadata blocks; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetadataBytes {
    pub icc: u64,
    pub xmp: u64,
    pub iptc: u64,
}

/// Something that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// 0 is full resolution; `None` for the file as a whole.
    pub level: Option<usize>,
    /// Name of the tag that is wrong.
    pub tag: Option<&'static str>,
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(level) = self.level {
            write!(f, "level {level}: ")?;
        }
        if let Some(tag) = self.tag {
            write!(f, "{tag} ")?;
        }
        f.write_str(&self.message)
    }
}

/// The outcome of [`validate`].
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// `None` when too much is wrong to describe the file.
    pub description: Option<Description>,
    /// Empty for a good file.
    pub findings: Vec<Finding>,
    /// Tiles that were decompressed.
    pub tiles_decoded: u64,
}

/// Reads the structure of a pyramid: every tag, no pixels.
///
/// # Errors
/// `Io`; `Malformed` with the first finding when anything is wrong (see [`validate`] for all of them).
pub fn read_structure(path: &Path) -> Result<Description> {
    let named = |e: Error| e.of(path.display().to_string());
    Opened::open(path).and_then(|opened| opened.description().cloned()).map_err(named)
}

/// Checks a pyramid: every tag and, with `pixels`, every tile.
///
/// # Errors
/// `Io`, and `Misuse` for a path that is no file; what is wrong with the file is in the report.
pub fn validate(path: &Path, pixels: bool) -> Result<Report> {
    let named = |e: Error| e.of(path.display().to_string());
    let mut opened = Opened::open(path).map_err(named)?;
    let mut tiles_decoded = 0;
    if pixels {
        for level in 0..opened.levels.len() {
            let bad = opened.decode_level(level, |_, _| ()).map_err(named)?;
            tiles_decoded += opened.levels[level].streams.len() as u64 - bad.len() as u64;
            opened.findings.extend(bad);
        }
    }
    Ok(Report { description: opened.description, findings: opened.findings, tiles_decoded })
}

/// Reads all pixels of a level (0 is full resolution).
///
/// # Errors
/// `Io`; `Misuse` for a level that the file does not have; `Limit` for a level too large to hold; `Malformed` when
/// anything about the file is wrong.
pub fn read_level(path: &Path, level: usize) -> Result<Raster> {
    let named = |e: Error| e.of(path.display().to_string());
    Opened::open(path).and_then(|opened| opened.level_pixels(level)).map_err(named)
}

/// A file whose structure has been read.
pub struct Opened {
    source: Source,
    levels: Vec<Level>,
    findings: Vec<Finding>,
    /// Present when there are levels that can be described.
    description: Option<Description>,
}

/// A level that can be decoded.
struct Level {
    description: LevelDescription,
    shape: TileShape,
    /// Offset and length of each tile.
    streams: Vec<(u64, u64)>,
    /// Present with JPEG compression.
    jpeg: Option<JpegLevel>,
}

impl Level {
    fn tiles_across(&self) -> u32 {
        self.description.size.width.div_ceil(self.shape.side)
    }

    fn decompressor(&self) -> Result<Decompressor> {
        Decompressor::new(self.description.compression, self.shape, self.jpeg.as_ref())
    }
}

impl Opened {
    pub fn open(path: &Path) -> Result<Self> {
        let source = Source::open(path)?;
        let mut inspector = Inspector { source: &source, big: false, limits: Limits::default(), findings: Vec::new() };
        let (levels, description) = inspector.inspect();
        let findings = inspector.findings;
        source.check(path)?;
        Ok(Opened { source, levels, findings, description })
    }

    /// The description of a file without findings.
    ///
    /// # Errors
    /// `Malformed` with the first finding.
    pub fn description(&self) -> Result<&Description> {
        match (self.findings.as_slice(), &self.description) {
            ([], Some(description)) => Ok(description),
            ([], None) => Err(Error::malformed(Stage::Verify, "it holds no pyramid")),
            ([first], _) => Err(Error::malformed(Stage::Verify, first.to_string())),
            ([first, rest @ ..], _) => {
                Err(Error::malformed(Stage::Verify, format!("{first} (and {} more findings)", rest.len())))
            }
        }
    }

    /// Decompresses one tile; returns the CRC-32 of what was stored (before the predictor is undone).
    pub fn decode_tile(&self, level: usize, index: usize) -> Result<u32> {
        let level = &self.levels[level];
        let mut decompressor = level.decompressor()?;
        let stream = self.source.tile(level.streams[index])?;
        Ok(decompressor.decode(&stream)?.1)
    }

    /// Decompresses all tiles of a level, in parallel, and hands each to `take` with its index, in order. Returns what
    /// is wrong with those that cannot be decompressed.
    fn decode_level(&self, index: usize, mut take: impl FnMut(usize, &Samples)) -> Result<Vec<Finding>> {
        let level = &self.levels[index];
        let mut bad = Vec::new();
        // As many at once as keep all threads busy; their pixels are held until they are handed over.
        let batch = (BATCH_BYTES / level.shape.bytes()).clamp(1, 4 * rayon::current_num_threads());
        for (batch_index, streams) in level.streams.chunks(batch).enumerate() {
            let decoded: Vec<Result<Samples>> = streams
                .par_iter()
                .map_init(
                    || level.decompressor(),
                    |decompressor, &stream| {
                        let decompressor =
                            decompressor.as_mut().map_err(|e| Error::new(e.kind, e.stage, e.message.clone()))?;
                        let stream = self.source.tile(stream)?;
                        decompressor.decode(&stream).map(|(samples, _)| samples.clone())
                    },
                )
                .collect();
            for (offset, samples) in decoded.into_iter().enumerate() {
                let tile = batch_index * batch + offset;
                match samples {
                    Ok(samples) => take(tile, &samples),
                    Err(e) if e.kind == ErrorKind::Io => return Err(e),
                    Err(e) => bad.push(Finding {
                        level: Some(index),
                        tag: None,
                        message: format!("tile {tile}: {}", e.message),
                    }),
                }
            }
        }
        Ok(bad)
    }

    fn level_pixels(&self, index: usize) -> Result<Raster> {
        self.description()?;
        let Some(level) = self.levels.get(index) else {
            let message = format!("level {index} of a file with {} levels", self.levels.len());
            return Err(Error::misuse(Stage::Verify, message));
        };
        let (size, format) = (level.description.size, level.shape.format);
        let needed = size.pixels().saturating_mul(format.bytes_per_pixel() as u64);
        Limits::default().check_bytes(needed)?;
        let mut raster = Raster::zeroed(format, size);
        let bad = self.decode_level(index, |tile, samples| paste(samples, level, tile, &mut raster))?;
        match bad.first() {
            None => Ok(raster),
            Some(finding) => Err(Error::malformed(Stage::Verify, finding.to_string())),
        }
    }
}

/// Copies the part of a tile that lies inside the image.
fn paste(tile: &Samples, level: &Level, index: usize, raster: &mut Raster) {
    let side = level.shape.side;
    let (across, bytes_per_pixel) = (level.tiles_across() as usize, level.shape.format.bytes_per_pixel());
    let (x, y) = ((index % across) as u32 * side, (index / across) as u32 * side);
    let inside = (raster.width - x).min(side) as usize * bytes_per_pixel;
    let row_bytes = raster.row_bytes();
    let rows = (raster.height - y).min(side) as usize;
    let to = raster.samples.as_bytes_mut().chunks_exact_mut(row_bytes).skip(y as usize);
    let from = tile.as_bytes().chunks_exact(side as usize * bytes_per_pixel).take(rows);
    for (to, from) in to.zip(from) {
        let left = x as usize * bytes_per_pixel;
        to[left..left + inside].copy_from_slice(&from[..inside]);
    }
}

/// The bytes of a file, read by place.
struct Source {
    file: File,
    bytes: u64,
    /// The first failure of the operating system, kept while tags are inspected.
    failure: Mutex<Option<std::io::Error>>,
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        let io = |e| Error::io(Stage::Verify, path, e);
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(Error::misuse(Stage::Verify, "it is not a file").of(path.display().to_string()));
        }
        Ok(Source { file, bytes: metadata.len(), failure: Mutex::new(None) })
    }

    /// `None` when the range is not inside the file, or the system failed to read it.
    fn read(&self, offset: u64, bytes: u64) -> Option<Vec<u8>> {
        if offset.checked_add(bytes)? > self.bytes {
            return None;
        }
        let mut buffer = vec![0; usize::try_from(bytes).ok()?];
        match self.file.read_exact_at(&mut buffer, offset) {
            Ok(()) => Some(buffer),
            Err(e) => {
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                None
            }
        }
    }

    /// A tile whose place has been checked.
    fn tile(&self, (offset, bytes): (u64, u64)) -> Result<Vec<u8>> {
        let mut stream = vec![0; bytes as usize];
        self.file
            .read_exact_at(&mut stream, offset)
            .map_err(|e| Error::new(ErrorKind::Io, Stage::Verify, e.to_string()).caused_by(e))?;
        Ok(stream)
    }

    fn check(&self, path: &Path) -> Result<()> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(e) => Err(Error::io(Stage::Verify, path, e)),
            None => Ok(()),
        }
    }
}

/// One tag of a directory as it stands in the file.
struct Field {
    field_type: u16,
    count: u64,
    /// The value, or the offset of it.
    inline: Vec<u8>,
}

struct Directory {
    fields: BTreeMap<u16, Field>,
    next: u64,
}

/// Reads and checks the structure.
struct Inspector<'a> {
    source: &'a Source,
    big: bool,
    limits: Limits,
    findings: Vec<Finding>,
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

impl Inspector<'_> {
    fn note(&mut self, level: Option<usize>, tag: Option<u16>, message: impl Into<String>) {
        self.findings.push(Finding { level, tag: tag.map(tags::name), message: message.into() });
    }

    fn inspect(&mut self) -> (Vec<Level>, Option<Description>) {
        let Some(first) = self.header() else { return (Vec::new(), None) };
        let pages = self.chain(first);
        let Some(top) = pages.first() else { return (Vec::new(), None) };
        let (layout, below) = match top.fields.get(&tags::SUB_IFDS) {
            None => (Layout::Pages, Vec::new()),
            Some(_) => (Layout::SubIfd, self.sub_directories(top)),
        };
        if layout == Layout::SubIfd && pages.len() > 1 {
            self.note(None, Some(tags::SUB_IFDS), "and a chain of pages are both there; levels hang from one of them");
        }
        let directories: Vec<&Directory> = match layout {
            Layout::Pages => pages.iter().collect(),
            Layout::SubIfd => std::iter::once(top).chain(&below).collect(),
        };
        let metadata = self.metadata(top);
        let mut levels = Vec::new();
        for (index, directory) in directories.iter().enumerate() {
            match self.level(index, directory) {
                Some(level) => levels.push(level),
                // The rest would be compared with the wrong level.
                None => break,
            }
        }
        let Some(full) = levels.first() else { return (levels, None) };
        if levels.len() == directories.len() {
            let sizes: Vec<Size> = levels.iter().map(|level| level.description.size).collect();
            if !sizes[0].levels(full.shape.side).eq(sizes.iter().copied()) {
                self.note(None, None, "the levels do not halve until they fit one tile");
            }
        }
        let description = Description {
            bytes: self.source.bytes,
            big_tiff: self.big,
            layout,
            format: full.shape.format,
            tile: full.shape.side,
            levels: levels.iter().map(|level| level.description.clone()).collect(),
            metadata,
        };
        for (index, level) in levels.iter().enumerate().skip(1) {
            if level.shape != full.shape {
                self.note(Some(index), None, "has another pixel format or tile size than full resolution");
            }
            if level.description.compression != full.description.compression {
                self.note(Some(index), Some(tags::COMPRESSION), "differs from full resolution");
            }
        }
        // Levels of another shape would be pasted wrongly.
        let description = levels.iter().all(|level| level.shape == full.shape).then_some(description);
        (levels, description)
    }

    /// Offset of the first directory.
    fn header(&mut self) -> Option<u64> {
        let Some(header) = self.source.read(0, 8) else {
            self.note(None, None, "the file ends inside its header");
            return None;
        };
        match &header[..4] {
            b"II\x2a\0" => Some(little_endian(&header[4..])),
            b"II\x2b\0" => {
                self.big = true;
                let rest = self.source.read(8, 8);
                match rest {
                    Some(offset) if header[4..] == [8, 0, 0, 0] => Some(little_endian(&offset)),
                    _ => {
                        self.note(None, None, "the BigTIFF header is broken");
                        None
                    }
                }
            }
            b"MM\0\x2a" | b"MM\0\x2b" => {
                self.note(None, None, "the file is big-endian; pyramids are little-endian");
                None
            }
            _ => {
                self.note(None, None, "the file is not a TIFF");
                None
            }
        }
    }

    /// All directories of the main chain.
    fn chain(&mut self, first: u64) -> Vec<Directory> {
        let mut directories: Vec<Directory> = Vec::new();
        let mut seen = Vec::new();
        let mut offset = first;
        while offset != 0 || directories.is_empty() {
            if directories.len() == MAX_LEVELS || seen.contains(&offset) {
                self.note(None, None, "the chain of directories does not end");
                break;
            }
            seen.push(offset);
            let Some(directory) = self.directory(offset) else {
                self.note(Some(directories.len()), None, "the directory is not inside the file, or broken");
                break;
            };
            offset = directory.next;
            directories.push(directory);
        }
        directories
    }

    fn sub_directories(&mut self, top: &Directory) -> Vec<Directory> {
        let Some(offsets) = self.numbers(0, top, tags::SUB_IFDS, None) else { return Vec::new() };
        let mut directories = Vec::new();
        for offset in offsets {
            let Some(directory) = self.directory(offset) else {
                self.note(Some(directories.len() + 1), None, "the directory is not inside the file, or broken");
                break;
            };
            if directory.next != 0 {
                self.note(Some(directories.len() + 1), None, "another directory follows a SubIFD");
            }
            directories.push(directory);
        }
        directories
    }

    fn directory(&mut self, offset: u64) -> Option<Directory> {
        let (count_bytes, entry_bytes, offset_bytes) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = little_endian(&self.source.read(offset, count_bytes)?);
        if count == 0 || count > MAX_TAGS {
            return None;
        }
        let entries = self.source.read(offset.checked_add(count_bytes)?, count * entry_bytes + offset_bytes)?;
        let (entries, next) = entries.split_at((count * entry_bytes) as usize);
        let mut fields = BTreeMap::new();
        let mut last = None;
        for entry in entries.chunks_exact(entry_bytes as usize) {
            let tag = little_endian(&entry[..2]) as u16;
            if last.is_some_and(|last| last >= tag) {
                self.note(None, Some(tag), "stands out of order");
            }
            last = Some(tag);
            let (count, inline) = entry[4..].split_at(offset_bytes as usize);
            fields.insert(
                tag,
                Field {
                    field_type: little_endian(&entry[2..4]) as u16,
                    count: little_endian(count),
                    inline: inline.to_vec(),
                },
            );
        }
        Some(Directory { fields, next: little_endian(next) })
    }

    /// Place and length of a value.
    fn extent(&self, field: &Field) -> Option<(u64, u64)> {
        let bytes = field.count.checked_mul(tags::type_bytes(field.field_type)?)?;
        if bytes <= field.inline.len() as u64 {
            return Some((0, bytes));
        }
        let offset = little_endian(&field.inline);
        (offset.checked_add(bytes)? <= self.source.bytes).then_some((offset, bytes))
    }

    /// The bytes of a value of at most `max_bytes`.
    fn bytes(&self, field: &Field, max_bytes: u64) -> Option<Vec<u8>> {
        let (offset, bytes) = self.extent(field)?;
        if bytes > max_bytes {
            return None;
        }
        if bytes <= field.inline.len() as u64 {
            return Some(field.inline[..bytes as usize].to_vec());
        }
        self.source.read(offset, bytes)
    }

    /// The whole numbers of a tag that must be there: `count` of them, or with `None` 1 to [`MAX_LEVELS`].
    fn numbers(&mut self, level: usize, directory: &Directory, tag: u16, count: Option<u64>) -> Option<Vec<u64>> {
        let Some(field) = directory.fields.get(&tag) else {
            self.note(Some(level), Some(tag), "is missing");
            return None;
        };
        let right_count = match count {
            Some(count) => field.count == count,
            None => (1..=MAX_LEVELS as u64).contains(&field.count),
        };
        if !right_count {
            let expected = count.map_or_else(|| format!("1 to {MAX_LEVELS}"), |count| count.to_string());
            self.note(Some(level), Some(tag), format!("has {} values, not {expected}", field.count));
            return None;
        }
        let width = match field.field_type {
            tags::BYTE => 1,
            tags::SHORT => 2,
            tags::LONG | tags::IFD => 4,
            tags::LONG8 | tags::IFD8 => 8,
            other => {
                self.note(Some(level), Some(tag), format!("has field type {other}, not a whole number"));
                return None;
            }
        };
        let Some(bytes) = self.bytes(field, u64::MAX) else {
            self.note(Some(level), Some(tag), "points outside the file");
            return None;
        };
        Some(bytes.chunks_exact(width).map(little_endian).collect())
    }

    fn number(&mut self, level: usize, directory: &Directory, tag: u16) -> Option<u64> {
        self.numbers(level, directory, tag, Some(1)).map(|values| values[0])
    }

    fn expect(&mut self, level: usize, directory: &Directory, tag: u16, expected: &[u64]) {
        if let Some(values) = self.numbers(level, directory, tag, Some(expected.len() as u64))
            && values != expected
        {
            self.note(Some(level), Some(tag), format!("is {values:?}, not {expected:?}"));
        }
    }

    fn expect_absent(&mut self, level: usize, directory: &Directory, tag: u16, why: &str) {
        if directory.fields.contains_key(&tag) {
            self.note(Some(level), Some(tag), why);
        }
    }

    fn rationals(&mut self, level: usize, directory: &Directory, tag: u16, count: u64) -> Option<Vec<f64>> {
        let values = directory
            .fields
            .get(&tag)
            .filter(|field| field.field_type == tags::RATIONAL && field.count == count)
            .and_then(|field| self.bytes(field, 8 * count))
            .map(|bytes| {
                let parts = |pair: &[u8]| little_endian(&pair[..4]) as f64 / little_endian(&pair[4..]) as f64;
                bytes.chunks_exact(8).map(parts).collect::<Vec<_>>()
            })
            .filter(|values| values.iter().all(|value| value.is_finite()));
        if values.is_none() {
            self.note(Some(level), Some(tag), format!("does not hold {count} fractions"));
        }
        values
    }

    /// Sizes of the metadata blocks of full resolution.
    fn metadata(&mut self, top: &Directory) -> MetadataBytes {
        let mut block = |tag, types: &[u16]| {
            let Some(field) = top.fields.get(&tag) else { return 0 };
            match self.extent(field) {
                _ if !types.contains(&field.field_type) => {
                    self.note(Some(0), Some(tag), "has a field type that readers do not take for bytes");
                    0
                }
                Some((_, bytes)) if bytes > 0 && bytes <= self.limits.max_metadata_bytes => bytes,
                Some((_, bytes)) => {
                    self.note(Some(0), Some(tag), format!("is {bytes} bytes long"));
                    0
                }
                None => {
                    self.note(Some(0), Some(tag), "points outside the file");
                    0
                }
            }
        };
        let bytes = [tags::BYTE, tags::UNDEFINED];
        MetadataBytes {
            icc: block(tags::ICC, &[tags::UNDEFINED]),
            xmp: block(tags::XMP, &bytes),
            iptc: block(tags::IPTC, &bytes),
        }
    }

    /// Checks one directory; `None` when its tiles cannot be found or understood.
    fn level(&mut self, index: usize, directory: &Directory) -> Option<Level> {
        let d = directory;
        if index > 0 || d.fields.contains_key(&tags::NEW_SUBFILE_TYPE) {
            self.expect(index, d, tags::NEW_SUBFILE_TYPE, &[u64::from(index > 0)]);
        }
        self.expect(index, d, tags::PLANAR_CONFIG, &[1]);
        self.expect(index, d, tags::ORIENTATION, &[1]);
        if index > 0 {
            for tag in [tags::ICC, tags::XMP, tags::IPTC, tags::PHOTOSHOP] {
                self.expect_absent(index, d, tag, "belongs to full resolution only");
            }
            self.expect_absent(index, d, tags::SUB_IFDS, "belongs to full resolution only");
        }
        let resolution = self.resolution(index, d);
        let (shape, photometric, compression) = self.tile_shape(index, d)?;
        let (format, tile) = (shape.format, shape.side);

        let (width, height) = (self.number(index, d, tags::IMAGE_WIDTH)?, self.number(index, d, tags::IMAGE_LENGTH)?);
        if let Err(e) = self.limits.check_size(width, height) {
            self.note(Some(index), Some(tags::IMAGE_WIDTH), e.message);
            return None;
        }
        // The limits keep both sides inside u32.
        let size = Size::new(width as u32, height as u32);

        if format.color == Color::Cmyk {
            self.expect(index, d, tags::INK_SET, &[1]);
        }
        if compression.has_predictor() {
            self.expect(index, d, tags::PREDICTOR, &[2]);
        } else {
            self.expect_absent(index, d, tags::PREDICTOR, "does not go with this compression");
        }

        let tiles = u64::from(size.width.div_ceil(tile)) * u64::from(size.height.div_ceil(tile));
        let offsets = self.numbers(index, d, tags::TILE_OFFSETS, Some(tiles))?;
        let counts = self.numbers(index, d, tags::TILE_BYTE_COUNTS, Some(tiles))?;
        // No codec makes noise twice as large; JPEG streams have headers on top.
        let max_bytes = 2 * shape.bytes() as u64 + 4096;
        let streams: Vec<(u64, u64)> = offsets.into_iter().zip(counts).collect();
        for (tile, &(offset, bytes)) in streams.iter().enumerate() {
            let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.source.bytes);
            if !inside || bytes == 0 || bytes > max_bytes {
                let message =
                    format!("tile {tile} is said to be {bytes} bytes at {offset}, in a file of {}", self.source.bytes);
                self.note(Some(index), Some(tags::TILE_OFFSETS), message);
                return None;
            }
        }
        let jpeg = if compression == Compression::Jpeg {
            let jpeg = self.jpeg_level(index, d, photometric)?;
            // One stream speaks for all; `validate` with pixels looks at every one.
            let (offset, bytes) = streams[streams.len() / 2];
            let stream = self.source.read(offset, bytes)?;
            if let Err(e) = check_jpeg_stream(&stream, &jpeg, shape) {
                self.note(Some(index), None, format!("tile {}: {}", streams.len() / 2, e.message));
            }
            Some(jpeg)
        } else {
            self.expect_absent(index, d, tags::JPEG_TABLES, "does not go with this compression");
            None
        };
        Some(Level {
            description: LevelDescription {
                size,
                compression,
                photometric,
                subsampling: jpeg.as_ref().and_then(|jpeg| jpeg.subsampling),
                resolution,
                tiles,
                tile_bytes: streams.iter().map(|(_, bytes)| bytes).sum(),
                range: streams.iter().map(|(offset, _)| *offset).min()?..streams.iter().map(|(o, n)| o + n).max()?,
            },
            shape,
            streams,
            jpeg,
        })
    }

    /// Tables and chroma sampling of a JPEG level.
    fn jpeg_level(&mut self, index: usize, d: &Directory, photometric: u16) -> Option<JpegLevel> {
        let tables = d.fields.get(&tags::JPEG_TABLES).and_then(|field| self.bytes(field, MAX_JPEG_TABLES_BYTES));
        let Some(tables) = tables else {
            self.note(Some(index), Some(tags::JPEG_TABLES), "is missing, too long, or not inside the file");
            return None;
        };
        let subsampling = if photometric == photometric::YCBCR {
            let factors = self.numbers(index, d, tags::YCBCR_SUBSAMPLING, Some(2))?;
            self.expect(index, d, tags::YCBCR_POSITIONING, &[1]);
            let full_range = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];
            if let Some(range) = self.rationals(index, d, tags::REFERENCE_BLACK_WHITE, 6)
                && range != full_range
            {
                self.note(Some(index), Some(tags::REFERENCE_BLACK_WHITE), "is not the full range of JPEG");
            }
            Some((u16::try_from(factors[0]).unwrap_or(0), u16::try_from(factors[1]).unwrap_or(0)))
        } else {
            // With it, servers no longer pass the streams through.
            self.expect_absent(index, d, tags::YCBCR_SUBSAMPLING, "belongs to YCbCr only");
            None
        };
        Some(JpegLevel { tables, subsampling })
    }

    fn resolution(&mut self, index: usize, d: &Directory) -> Option<Resolution> {
        let x = self.rationals(index, d, tags::X_RESOLUTION, 1);
        let y = self.rationals(index, d, tags::Y_RESOLUTION, 1);
        let unit = self.number(index, d, tags::RESOLUTION_UNIT);
        let unit = match unit? {
            1 => ResolutionUnit::None,
            2 => ResolutionUnit::Inch,
            3 => ResolutionUnit::Centimeter,
            other => {
                self.note(Some(index), Some(tags::RESOLUTION_UNIT), format!("is {other}, not 1, 2 or 3"));
                return None;
            }
        };
        Some(Resolution { x: x?[0], y: y?[0], unit })
    }

    /// Pixel format and tile side, photometric code and compression.
    fn tile_shape(&mut self, index: usize, d: &Directory) -> Option<(TileShape, u16, Compression)> {
        let code = self.number(index, d, tags::COMPRESSION)?;
        let Some(compression) = tags::compression::from_code(code) else {
            self.note(Some(index), Some(tags::COMPRESSION), format!("{code} is none that pyramids use"));
            return None;
        };
        let photometric = self.number(index, d, tags::PHOTOMETRIC)?;
        let photometric = u16::try_from(photometric).unwrap_or(u16::MAX);
        let color = match photometric {
            photometric::BLACK_IS_ZERO => Color::Gray,
            photometric::RGB if compression != Compression::Jpeg => Color::Rgb,
            photometric::YCBCR if compression == Compression::Jpeg => Color::Rgb,
            photometric::SEPARATED => Color::Cmyk,
            other => {
                let message = format!("{other} is none that pyramids use with compression {code}");
                self.note(Some(index), Some(tags::PHOTOMETRIC), message);
                return None;
            }
        };
        let channels = self.number(index, d, tags::SAMPLES_PER_PIXEL)?;
        let alpha = match channels.checked_sub(color.components() as u64) {
            Some(0) => false,
            Some(1) => true,
            _ => {
                self.note(
                    Some(index),
                    Some(tags::SAMPLES_PER_PIXEL),
                    format!("is {channels}, which does not fit the colour"),
                );
                return None;
            }
        };
        if alpha {
            self.expect(index, d, tags::EXTRA_SAMPLES, &[2]);
        } else {
            self.expect_absent(index, d, tags::EXTRA_SAMPLES, "is there without an extra sample");
        }
        let bits = self.numbers(index, d, tags::BITS_PER_SAMPLE, Some(channels))?;
        let depth = match bits[0] {
            _ if bits.iter().any(|&b| b != bits[0]) => None,
            8 => Some(Depth::U8),
            16 if compression != Compression::Jpeg => Some(Depth::U16),
            _ => None,
        };
        let Some(depth) = depth else {
            self.note(
                Some(index),
                Some(tags::BITS_PER_SAMPLE),
                format!("is {bits:?}; 8 or (without JPEG) 16 for all is right"),
            );
            return None;
        };
        let side = self.number(index, d, tags::TILE_WIDTH)?;
        let tile_height = self.number(index, d, tags::TILE_LENGTH)?;
        let side = match u32::try_from(side) {
            Ok(side) if is_tile_side(side) && u64::from(side) == tile_height => side,
            _ => {
                let message = format!("and TileLength are {side} × {tile_height}; square multiples of 16 are right");
                self.note(Some(index), Some(tags::TILE_WIDTH), message);
                return None;
            }
        };
        Some((TileShape { side, format: PixelFormat::new(color, alpha, depth) }, photometric, compression))
    }
}
