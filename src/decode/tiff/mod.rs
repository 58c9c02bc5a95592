//! TIFF and BigTIFF, strip by strip or one row of tiles at a time.
//!
//! Directories and chunks are read here and not with the `tiff` crate: that one has no palettes, fill order or
//! fax group 3, cannot leave out extra samples of predicted rows, and its limits come after the first directory.

mod chunk;
mod directory;
mod pixels;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::{Orientation, Size};
use crate::limits::Limits;
use crate::pixel::{Color, Depth, PixelFormat, Raster};

use self::chunk::{ChunkFormat, ChunkReader, Codec, STREAM_BUFFER_BYTES};
use self::directory::{Container, Directory, tag};
use self::pixels::{Alpha, Conversion, Photometric, RowReader, SampleFormat};
use super::metadata::{Field, TEXT_TAGS, is_carried, within_limit};
use super::whole::copy_rows;
use super::{
    ClippingPath, Kind, Metadata, Resolution, ResolutionUnit, RowSource, SourceInfo, clipping_path, photoshop_irb,
};

/// Pages that are looked at; later ones are neither counted nor checked.
const MAX_PAGES: usize = 4096;

/// Opens a TIFF. Of several pages the first at full resolution is read.
pub(super) fn open(file: File, limits: &Limits) -> Result<Box<dyn RowSource>> {
    let container = Container::open(file)?;
    let mut warnings = Vec::new();
    let directory = first_page(&container, &mut warnings)?;
    let header = Header::read(&container, &directory, limits)?;
    let conversion = conversion(&container, &directory, &header, &mut warnings)?;
    let (metadata, clipping_path) = metadata(&container, &directory, limits, &mut warnings);
    let info = SourceInfo {
        kind: Kind::Tiff,
        size: header.size,
        format: conversion.format,
        orientation: orientation(&container, &directory, &mut warnings),
        metadata,
        clipping_path,
        warnings,
    };
    let grid = Grid::read(&container, &directory, &header)?;
    grid.check_plausible(&container, &header)?;
    let chunk_format = ChunkFormat {
        codec: header.codec,
        reversed_bits: header.reversed_bits,
        width: grid.chunk.width,
        rows: grid.chunk.height,
        samples: header.samples_per_pixel / header.planes,
        jpeg_tables: match header.codec {
            Codec::Jpeg => directory.entry(tag::JPEG_TABLES).map(|e| container.raw(e, tag::JPEG_TABLES)).transpose()?,
            _ => None,
        },
    };
    let working_bytes = grid.working_bytes(container.bytes, &header, conversion.format);
    limits.check_bytes(working_bytes)?;
    let sample_format = SampleFormat {
        bits: header.bits,
        swapped: header.bits == 16 && container.big_endian != cfg!(target_endian = "big"),
        predicted: header.predicted,
        scale: match conversion.photometric {
            Photometric::Palette8(_) | Photometric::Palette16(_) => 1,
            _ if header.bits < 8 => (255 / ((1u32 << header.bits) - 1)) as u8,
            _ => 1,
        },
    };
    let rows = RowReader::new(sample_format, grid.chunk.width, header.samples_per_pixel, header.planes);
    let tile_row = Raster::empty(conversion.format, header.size.width);
    Ok(Box::new(TiffSource {
        info,
        container,
        grid,
        planes: header.planes,
        chunk_format,
        rows,
        conversion,
        next_row: 0,
        strip: Vec::new(),
        tile_row,
        tile_row_next: 0,
        working_bytes,
    }))
}

struct TiffSource {
    info: SourceInfo,
    container: Container,
    grid: Grid,
    planes: usize,
    chunk_format: ChunkFormat,
    rows: RowReader,
    conversion: Conversion,
    next_row: u32,
    /// The strip that holds the next row, one stream for each plane.
    strip: Vec<ChunkReader>,
    /// The row of tiles that holds the next row, decoded.
    tile_row: Raster,
    tile_row_next: u32,
    working_bytes: u64,
}

impl RowSource for TiffSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        let rows = max_rows.min(self.info.size.height - self.next_row);
        let mut read = 0;
        while read < rows {
            if self.grid.tiled {
                if self.tile_row_next == self.tile_row.height {
                    self.decode_tile_row()?;
                }
                let copied = copy_rows(&self.tile_row, &mut self.tile_row_next, band, rows - read);
                self.next_row += copied;
                read += copied;
            } else {
                self.read_strip_row(band)?;
                self.next_row += 1;
                read += 1;
            }
        }
        Ok(rows)
    }

    fn working_bytes(&self) -> u64 {
        self.working_bytes
    }
}

impl TiffSource {
    fn read_strip_row(&mut self, band: &mut Raster) -> Result<()> {
        let strip = self.next_row / self.grid.chunk.height;
        if self.next_row.is_multiple_of(self.grid.chunk.height) {
            self.strip.clear();
            self.strip = self.open_chunks(strip)?;
        }
        let row =
            self.rows.read(&mut self.strip).map_err(|e| chunk_error(e, "strip", strip, self.next_row, &self.info))?;
        let at = band.samples.len();
        band.set_rows(band.height + 1);
        self.conversion.convert(row, self.info.size.width as usize, &mut band.samples, at);
        Ok(())
    }

    fn decode_tile_row(&mut self) -> Result<()> {
        let Size { width, height } = self.info.size;
        let chunk = self.grid.chunk;
        self.tile_row.set_rows(chunk.height.min(height - self.next_row));
        // Nothing to hand out until all tiles are there.
        self.tile_row_next = self.tile_row.height;
        let stride = self.tile_row.stride();
        for column in 0..self.grid.across {
            let index = self.next_row / chunk.height * self.grid.across + column;
            let x = column * chunk.width;
            let pixels = chunk.width.min(width - x) as usize;
            let mut chunks = self.open_chunks(index)?;
            for y in 0..self.tile_row.height {
                let error = |e| chunk_error(e, "tile", index, self.next_row + y, &self.info);
                let row = self.rows.read(&mut chunks).map_err(error)?;
                let at = y as usize * stride + x as usize * self.info.format.channels();
                self.conversion.convert(row, pixels, &mut self.tile_row.samples, at);
            }
        }
        self.tile_row_next = 0;
        Ok(())
    }

    /// Streams of chunk `index` of every plane.
    fn open_chunks(&self, index: u32) -> Result<Vec<ChunkReader>> {
        (0..self.planes)
            .map(|plane| {
                let (offset, bytes) = self.grid.range(index as usize + plane * self.grid.chunks_per_plane());
                let bytes = bytes.min(self.container.bytes.saturating_sub(offset));
                self.chunk_format
                    .open(&self.container.file, offset, bytes)
                    .map_err(|e| chunk_error(e, self.grid.chunk_name(), index, self.next_row, &self.info))
            })
            .collect()
    }
}

fn chunk_error(error: std::io::Error, chunk: &str, index: u32, row: u32, info: &SourceInfo) -> Error {
    use std::io::ErrorKind as Io;
    let place = format!("{chunk} {index} (row {row} of {})", info.size.height);
    let (kind, message) = match error.kind() {
        Io::UnexpectedEof => (ErrorKind::Malformed, format!("the data of {place} ends too early")),
        Io::Unsupported => (ErrorKind::Unsupported, format!("{place}: {error}")),
        _ if error.raw_os_error().is_some() => (ErrorKind::Io, format!("{place} cannot be read: {error}")),
        _ => (ErrorKind::Malformed, format!("the data of {place} is broken: {error}")),
    };
    Error::new(kind, Stage::Decode, message).caused_by(error)
}

fn unsupported(name: &str, tag: u16, value: impl std::fmt::Display) -> Error {
    Error::unsupported(Stage::Open, format!("{name} (TIFF tag {tag}) {value} is not read"))
}

fn malformed(message: impl Into<String>) -> Error {
    Error::malformed(Stage::Open, message)
}

/// The first directory that is neither a reduced image nor a mask, or the first of all.
fn first_page(container: &Container, warnings: &mut Vec<String>) -> Result<Directory> {
    let read = |offset| {
        let directory = container.directory(offset)?;
        let subfile = container.first(&directory, tag::NEW_SUBFILE_TYPE)?.unwrap_or(0);
        let old_subfile = container.first(&directory, tag::SUBFILE_TYPE)?.unwrap_or(1);
        Ok((directory, subfile & 0b101 == 0 && old_subfile != 2))
    };
    let mut next = container.first_directory;
    let mut seen = BTreeSet::new();
    let mut reduced = None;
    let mut page = None;
    let mut pages = 0;
    while next != 0 && seen.len() < MAX_PAGES && seen.insert(next) {
        let (directory, is_page) = match read(next) {
            Ok(found) => found,
            Err(error) if seen.len() == 1 => return Err(error),
            Err(error) => {
                warnings.push(format!("page {} and those behind it are ignored: {}", seen.len(), error.message));
                break;
            }
        };
        next = directory.next;
        if is_page {
            pages += 1;
            page.get_or_insert(directory);
        } else {
            reduced.get_or_insert(directory);
        }
    }
    if pages > 1 {
        warnings.push(format!("holds {pages} pages; only the first is used"));
    }
    page.or(reduced).ok_or_else(|| malformed("the TIFF holds no directory"))
}

/// What the directory says about the image as a whole.
struct Header {
    size: Size,
    bits: u32,
    samples_per_pixel: usize,
    /// 1, or `samples_per_pixel` when every sample has chunks of its own.
    planes: usize,
    photometric: u64,
    codec: Codec,
    predicted: bool,
    reversed_bits: bool,
}

impl Header {
    fn read(container: &Container, directory: &Directory, limits: &Limits) -> Result<Header> {
        let first = |tag| container.first(directory, tag);
        let required = |name: &str, tag| {
            first(tag)?.ok_or_else(|| malformed(format!("the TIFF directory lacks {name} (tag {tag})")))
        };
        let (width, height) = (required("ImageWidth", tag::WIDTH)?, required("ImageLength", tag::LENGTH)?);
        limits.check_size(width, height)?;

        let samples_per_pixel = first(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if samples_per_pixel == 0 {
            return Err(malformed("SamplesPerPixel (TIFF tag 277) is 0"));
        }
        if samples_per_pixel > 64 {
            return Err(unsupported("SamplesPerPixel", tag::SAMPLES_PER_PIXEL, samples_per_pixel));
        }
        let bits = container.unsigned(directory, tag::BITS_PER_SAMPLE)?.unwrap_or_else(|| vec![1]);
        let bits = match bits[..] {
            [first, ref rest @ ..] if rest.iter().all(|bits| *bits == first) => first,
            _ => return Err(unsupported("BitsPerSample", tag::BITS_PER_SAMPLE, format!("{bits:?}"))),
        };
        let photometric = required("PhotometricInterpretation", tag::PHOTOMETRIC)?;
        let sample_formats = container.unsigned(directory, tag::SAMPLE_FORMAT)?.unwrap_or_default();
        // 1 is unsigned, 4 undefined, which readers take as unsigned. a* and b* are signed and may say so.
        let known = |format: &u64| matches!(format, 1 | 4) || *format == 2 && photometric == 8;
        if let Some(format) = sample_formats.into_iter().find(|format| !known(format)) {
            let name = match format {
                2 => "2 (signed integers)",
                3 => "3 (floating point)",
                5 | 6 => "5 or 6 (complex numbers)",
                _ => return Err(unsupported("SampleFormat", tag::SAMPLE_FORMAT, format)),
            };
            return Err(unsupported("SampleFormat", tag::SAMPLE_FORMAT, name));
        }
        if !matches!(bits, 1 | 2 | 4 | 8 | 16) {
            return Err(unsupported("BitsPerSample", tag::BITS_PER_SAMPLE, bits));
        }

        let planes = match first(tag::PLANAR)?.unwrap_or(1) {
            1 => 1,
            2 => samples_per_pixel as usize,
            other => return Err(malformed(format!("PlanarConfiguration (TIFF tag 284) is {other}, not 1 or 2"))),
        };
        let reversed_bits = match first(tag::FILL_ORDER)?.unwrap_or(1) {
            1 => false,
            2 => true,
            other => return Err(malformed(format!("FillOrder (TIFF tag 266) is {other}, not 1 or 2"))),
        };
        let codec = match first(tag::COMPRESSION)?.unwrap_or(1) {
            1 => Codec::None,
            3 if first(tag::T4_OPTIONS)?.unwrap_or(0) & 1 == 0 => Codec::Fax3,
            3 => return Err(unsupported("Compression", tag::COMPRESSION, "3 (fax group 3, two-dimensional)")),
            4 => Codec::Fax4,
            5 => Codec::Lzw,
            7 => Codec::Jpeg,
            8 | 32946 => Codec::Deflate,
            32773 => Codec::PackBits,
            50000 => Codec::Zstd,
            2 => return Err(unsupported("Compression", tag::COMPRESSION, "2 (modified Huffman fax)")),
            6 => return Err(unsupported("Compression", tag::COMPRESSION, "6 (JPEG from before 1995)")),
            other => return Err(unsupported("Compression", tag::COMPRESSION, other)),
        };
        match codec {
            Codec::Jpeg if bits != 8 => {
                return Err(unsupported("BitsPerSample", tag::BITS_PER_SAMPLE, "not 8 with JPEG"));
            }
            Codec::Fax3 | Codec::Fax4 if bits != 1 || samples_per_pixel != 1 => {
                return Err(malformed("fax compression (TIFF tag 259) needs one sample of one bit"));
            }
            _ => {}
        }
        // Other codecs ignore the tag, as libtiff does.
        let predicted = match first(tag::PREDICTOR)?.unwrap_or(1) {
            1 => false,
            2 if matches!(codec, Codec::Lzw | Codec::Deflate | Codec::Zstd) => {
                if bits < 8 {
                    return Err(unsupported("Predictor", tag::PREDICTOR, format!("2 with {bits} bits per sample")));
                }
                true
            }
            3 if matches!(codec, Codec::Lzw | Codec::Deflate | Codec::Zstd) => {
                return Err(unsupported("Predictor", tag::PREDICTOR, "3 (floating point)"));
            }
            _ => false,
        };
        Ok(Header {
            size: Size::new(width as u32, height as u32),
            bits: bits as u32,
            samples_per_pixel: samples_per_pixel as usize,
            planes,
            photometric,
            codec,
            predicted,
            reversed_bits,
        })
    }
}

/// How stored samples become pixels: the photometric interpretation, and which extra sample is alpha.
fn conversion(
    container: &Container,
    directory: &Directory,
    header: &Header,
    warnings: &mut Vec<String>,
) -> Result<Conversion> {
    let depth = if header.bits == 16 { Depth::U16 } else { Depth::U8 };
    let unreadable = |what: &str| unsupported("PhotometricInterpretation", tag::PHOTOMETRIC, what);
    let (color, stored_colors, photometric, depth) = match header.photometric {
        0 => (Color::Gray, 1, Photometric::WhiteIsZero, depth),
        1 => (Color::Gray, 1, Photometric::Direct, depth),
        2 => (Color::Rgb, 3, Photometric::Direct, depth),
        3 => {
            let (photometric, depth) = palette(container, directory, header)?;
            (Color::Rgb, 1, photometric, depth)
        }
        5 => {
            let ink_set = container.first(directory, tag::INK_SET)?.unwrap_or(1);
            if ink_set != 1 {
                return Err(unsupported("InkSet", tag::INK_SET, format!("{ink_set} (inks other than CMYK)")));
            }
            (Color::Cmyk, 4, Photometric::Direct, depth)
        }
        6 if header.codec == Codec::Jpeg => (Color::Rgb, 3, Photometric::YCbCr, depth),
        4 => return Err(unreadable("4 (transparency mask)")),
        6 => return Err(unreadable("6 (YCbCr) without JPEG compression")),
        8 => (Color::Lab, 3, Photometric::CieLab, depth),
        9 => (Color::Lab, 3, Photometric::IccLab, depth),
        10 => return Err(unreadable("10 (ITU L*a*b*)")),
        other => return Err(unreadable(&other.to_string())),
    };
    let Some(extra) = header.samples_per_pixel.checked_sub(stored_colors) else {
        return Err(malformed(format!(
            "{} samples per pixel (TIFF tag 277) are too few for photometric interpretation {}",
            header.samples_per_pixel, header.photometric
        )));
    };
    // Samples that the tag leaves out are unspecified.
    let kinds = container.unsigned(directory, tag::EXTRA_SAMPLES)?.unwrap_or_default();
    let alpha = kinds.iter().take(extra).position(|kind| matches!(kind, 1 | 2)).and_then(|at| {
        // Lab cannot be premultiplied: a* and b* have no black to go to.
        let alpha = Alpha { index: stored_colors + at, associated: kinds[at] == 1 && color != Color::Lab };
        (header.photometric != 3 || header.bits == 8).then_some(alpha)
    });
    let dropped = extra - usize::from(alpha.is_some());
    if dropped > 0 {
        warnings.push(format!("{dropped} extra sample(s) per pixel of no stated meaning are dropped"));
    }
    Ok(Conversion {
        photometric,
        alpha,
        samples_per_pixel: header.samples_per_pixel,
        format: PixelFormat::new(color, alpha.is_some(), depth),
    })
}

/// The colour map as 8 bits when no more stands in it, else as 16.
///
/// Writers put 8-bit values into the 16-bit map as `v × 257`, as `v × 256`, or (some, wrongly) as they are.
fn palette(container: &Container, directory: &Directory, header: &Header) -> Result<(Photometric, Depth)> {
    if header.bits > 8 {
        return Err(unsupported("BitsPerSample", tag::BITS_PER_SAMPLE, format!("{} with a palette", header.bits)));
    }
    let map = container
        .unsigned(directory, tag::COLOR_MAP)?
        .ok_or_else(|| malformed("the TIFF palette (tag 320) is missing"))?;
    let colors = 1 << header.bits;
    if map.len() < 3 * colors {
        return Err(malformed(format!("the TIFF palette (tag 320) has {} values, not {}", map.len(), 3 * colors)));
    }
    let entry = |index: usize| [map[index], map[colors + index], map[2 * colors + index]];
    let used = &map[..3 * colors];
    let shift = if used.iter().all(|v| *v <= 255) {
        Some(0)
    } else {
        (used.iter().all(|v| v >> 8 == v & 255) || used.iter().all(|v| v & 255 == 0)).then_some(8)
    };
    Ok(match shift {
        Some(shift) => {
            let to_8 = |index| entry(index).map(|v| (v >> shift) as u8);
            (Photometric::Palette8((0..colors).map(to_8).collect()), Depth::U8)
        }
        None => (Photometric::Palette16((0..colors).map(|index| entry(index).map(|v| v as u16)).collect()), Depth::U16),
    })
}

/// Where the strips or tiles are.
struct Grid {
    tiled: bool,
    /// Size of a whole chunk.
    chunk: Size,
    across: u32,
    down: u32,
    offsets: Vec<u64>,
    byte_counts: Vec<u64>,
}

impl Grid {
    fn read(container: &Container, directory: &Directory, header: &Header) -> Result<Grid> {
        let tiled = directory.entry(tag::TILE_OFFSETS).is_some();
        let Size { width, height } = header.size;
        let side = |name: &str, tag, default: Option<u32>| match container.first(directory, tag)? {
            None => default.map(u64::from).ok_or_else(|| malformed(format!("{name} (TIFF tag {tag}) is missing"))),
            Some(0) => Err(malformed(format!("{name} (TIFF tag {tag}) is 0"))),
            Some(value) => Ok(value),
        };
        let (offsets_tag, counts_tag, chunk) = if tiled {
            let chunk = (side("TileWidth", tag::TILE_WIDTH, None)?, side("TileLength", tag::TILE_LENGTH, None)?);
            let (Ok(w), Ok(h)) = (u32::try_from(chunk.0), u32::try_from(chunk.1)) else {
                return Err(malformed(format!("tiles of {} × {} pixels", chunk.0, chunk.1)));
            };
            (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS, Size::new(w, h))
        } else {
            let rows = side("RowsPerStrip", tag::ROWS_PER_STRIP, Some(height))?.min(height.into());
            (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS, Size::new(width, rows as u32))
        };
        let (across, down) = (width.div_ceil(chunk.width), height.div_ceil(chunk.height));
        let needed = (u64::from(across) * u64::from(down)).saturating_mul(header.planes as u64);
        let too_few = |found: usize, tag| {
            malformed(format!(
                "{width} × {height} pixels need {needed} strips or tiles, but TIFF tag {tag} lists {found}"
            ))
        };
        let table = |tag| -> Result<Option<Vec<u64>>> {
            let Some(values) = container.unsigned(directory, tag)? else { return Ok(None) };
            if (values.len() as u64) < needed { Err(too_few(values.len(), tag)) } else { Ok(Some(values)) }
        };
        let offsets = table(offsets_tag)?.ok_or_else(|| too_few(0, offsets_tag))?;
        // Old writers of single uncompressed strips left the counts out.
        let byte_counts = match table(counts_tag)? {
            Some(counts) => counts,
            None if needed == 1 => vec![container.bytes.saturating_sub(offsets[0])],
            None => return Err(too_few(0, counts_tag)),
        };
        Ok(Grid { tiled, chunk, across, down, offsets, byte_counts })
    }

    fn chunk_name(&self) -> &'static str {
        if self.tiled { "tile" } else { "strip" }
    }

    fn chunks_per_plane(&self) -> usize {
        self.across as usize * self.down as usize
    }

    /// Offset and byte count of a chunk.
    fn range(&self, index: usize) -> (u64, u64) {
        (self.offsets[index], self.byte_counts[index])
    }

    /// A header that promises more samples than the codec can pack into the chunks there are.
    fn check_plausible(&self, container: &Container, header: &Header) -> Result<()> {
        let Some(ratio) = header.codec.max_ratio() else { return Ok(()) };
        let row_bits = u64::from(header.size.width) * header.samples_per_pixel as u64 * u64::from(header.bits);
        let needed = u128::from(row_bits / 8) * u128::from(header.size.height);
        let present: u128 = (0..self.chunks_per_plane() * header.planes)
            .map(|index| self.range(index))
            .map(|(offset, bytes)| u128::from(bytes.min(container.bytes.saturating_sub(offset))))
            .sum();
        if needed > present * u128::from(ratio) {
            return Err(malformed(format!(
                "the header says {} × {} pixels, which the {present} bytes of its {}s cannot hold",
                header.size.width,
                header.size.height,
                self.chunk_name()
            )));
        }
        Ok(())
    }

    fn working_bytes(&self, file_bytes: u64, header: &Header, format: PixelFormat) -> u64 {
        let stored_bits = header.samples_per_pixel as u64 * u64::from(header.bits.max(8));
        let stored_row = u64::from(self.chunk.width) * stored_bits / 8;
        let tile_row = match self.tiled {
            true => u64::from(self.chunk.height.min(header.size.height)) * u64::from(header.size.width),
            false => 0,
        };
        let chunk = match header.codec {
            // Decoded whole, from compressed bytes held whole.
            Codec::Jpeg => {
                let largest = self.byte_counts.iter().max().map_or(0, |bytes| (*bytes).min(file_bytes));
                stored_row.saturating_mul(self.chunk.height.into()).saturating_add(largest)
            }
            Codec::Zstd => 8 << 20,
            _ => 64 << 10,
        };
        let streams = header.planes as u64 * STREAM_BUFFER_BYTES as u64;
        let tables = 16 * self.offsets.len() as u64;
        tile_row
            .saturating_mul(format.bytes_per_pixel() as u64)
            .saturating_add(stored_row.saturating_mul(3))
            .saturating_add(chunk.saturating_mul(header.planes as u64))
            .saturating_add(streams + tables)
    }
}

fn orientation(container: &Container, directory: &Directory, warnings: &mut Vec<String>) -> Orientation {
    match container.first(directory, tag::ORIENTATION) {
        Ok(None) => Orientation::default(),
        Ok(Some(value)) => u32::try_from(value).ok().and_then(Orientation::from_tag).unwrap_or_else(|| {
            warnings.push(format!("orientation {value} is ignored; only 1 to 8 exist"));
            Orientation::default()
        }),
        Err(error) => {
            warnings.push(format!("orientation is ignored: {}", error.message));
            Orientation::default()
        }
    }
}

fn metadata(
    container: &Container,
    directory: &Directory,
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> (Metadata, Result<Option<ClippingPath>>) {
    let mut block = |what: &str, tag| -> Option<Vec<u8>> {
        let entry = directory.entry(tag).filter(|entry| entry.bytes() > 0)?;
        if !within_limit(what, entry.bytes(), limits, warnings) {
            return None;
        }
        container.raw(entry, tag).map_err(|error| warnings.push(format!("{what} is dropped: {}", error.message))).ok()
    };
    let icc = block("ICC profile", tag::ICC);
    let xmp = block("XMP", tag::XMP);
    // Photoshop writes these bytes with type LONG; read as they stand, they are the same bytes.
    let resources = block("Photoshop resources", tag::PHOTOSHOP).unwrap_or_default();
    let iptc = block("IPTC", tag::IPTC)
        .or_else(|| photoshop_irb::resource(&resources, photoshop_irb::IPTC).map(<[u8]>::to_vec));
    let texts = TEXT_TAGS
        .into_iter()
        .filter_map(|tag| {
            directory.entry(tag).filter(|entry| entry.is_text())?;
            let mut text = block(&format!("TIFF tag {tag}"), tag)?;
            text.truncate(text.iter().rposition(|&byte| byte != 0)? + 1);
            Some((tag, text))
        })
        .collect();
    let mut exif = fields(container, directory, tag::EXIF_DIRECTORY, "EXIF", limits, warnings);
    exif.retain(|tag, _| is_carried(*tag));
    let gps = fields(container, directory, tag::GPS_DIRECTORY, "GPS", limits, warnings);
    let mut rational = |tag| {
        container.rational(directory, tag).unwrap_or_else(|error| {
            warnings.push(format!("the resolution is ignored: {}", error.message));
            None
        })
    };
    let resolution = rational(tag::X_RESOLUTION).zip(rational(tag::Y_RESOLUTION)).and_then(|(x, y)| {
        let unit = match container.first(directory, tag::RESOLUTION_UNIT) {
            Ok(Some(1)) => ResolutionUnit::None,
            Ok(Some(3)) => ResolutionUnit::Centimeter,
            _ => ResolutionUnit::Inch,
        };
        Resolution::new(x, y, unit)
    });
    (Metadata { icc, xmp, iptc, resolution, texts, exif, gps }, clipping_path::find(&resources))
}

/// The fields of the directory that `pointer` leads to.
fn fields(
    container: &Container,
    directory: &Directory,
    pointer: u16,
    what: &str,
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> BTreeMap<u16, Field> {
    let read = || -> Result<BTreeMap<u16, Field>> {
        let Some(offset) = container.first(directory, pointer)? else { return Ok(BTreeMap::new()) };
        let directory = container.directory(offset)?;
        let bytes = directory.entries().map(|(_, entry)| entry.bytes()).fold(0, u64::saturating_add);
        if bytes > limits.max_metadata_bytes {
            return Err(malformed(format!("it has {bytes} bytes, more than {}", limits.max_metadata_bytes)));
        }
        let field = |(tag, entry)| Ok(container.field(entry, tag)?.map(|field| (tag, field)));
        directory.entries().filter_map(|entry| field(entry).transpose()).collect()
    };
    read().unwrap_or_else(|error| {
        warnings.push(format!("the {what} directory is dropped: {}", error.message));
        BTreeMap::new()
    })
}
