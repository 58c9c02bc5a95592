//! PNG, by rows.
//!
//! The `png` crate decodes the pixels. Metadata comes from a walk over the chunks beforehand: it may stand behind
//! the image data, and its size and that of what it inflates to must be known to be bounded.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::ZlibDecoder;
use png::{BitDepth, ColorType, DecodingError, Transformations};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::{Orientation, Size};
use crate::limits::Limits;
use crate::pixel::{Color, Depth, PixelFormat, Raster, Samples};

use super::metadata::within_limit;
use super::whole::copy_rows;
use super::{BUFFER_BYTES, Kind, Metadata, Resolution, RowSource, SourceInfo, exif, io_error, photoshop_irb};

/// Deflate's densest code: 258 bytes for two bits, less the overhead of a block.
const DEFLATE_MAX_RATIO: u64 = 1032;

/// What the decoder holds beside rows: its input buffer, the inflate window and rows not yet unfiltered.
const DECODER_BYTES: u64 = 1 << 20;

type Reader = png::Reader<BufReader<File>>;

struct PngSource {
    info: SourceInfo,
    reader: Reader,
    next_row: u32,
    /// An interlaced image, decoded at the first read.
    deinterlaced: Option<Raster>,
    working_bytes: u64,
}

/// Buffer for the walk over the chunks, which reads heads and skips data.
const WALK_BUFFER_BYTES: usize = 512;

/// Opens a PNG. Of an APNG the default image is read.
pub(super) fn open(mut file: File, limits: &Limits) -> Result<Box<dyn RowSource>> {
    let chunks = Chunks::read(&mut BufReader::with_capacity(WALK_BUFFER_BYTES, &file), limits)?;
    file.seek(SeekFrom::Start(0)).map_err(|e| io_error(e, Stage::Open, "the header"))?;
    let buffered = BufReader::with_capacity(BUFFER_BYTES, file);

    // The widest row has four 16-bit samples; the decoder holds a few rows and keeps one EXIF block of its own.
    let row_bytes = u64::from(chunks.size.width) * 8 + 1;
    let decoder_bytes = row_bytes.saturating_mul(4).saturating_add(DECODER_BYTES);
    limits.check_bytes(decoder_bytes)?;
    let allowed = decoder_bytes.saturating_add(limits.max_metadata_bytes.saturating_mul(2));
    let mut decoder =
        png::Decoder::new_with_limits(buffered, png::Limits { bytes: usize::try_from(allowed).unwrap_or(usize::MAX) });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let reader = decoder.read_info().map_err(|error| png_error(error, Stage::Open, "before the image data"))?;

    let format = pixel_format(&reader)?;
    let working_bytes = if reader.info().interlaced {
        chunks.size.pixels().saturating_mul(format.bytes_per_pixel() as u64).saturating_add(decoder_bytes)
    } else {
        decoder_bytes
    };
    limits.check_bytes(working_bytes)?;

    let Chunks { size, orientation, metadata, warnings, .. } = chunks;
    let info = SourceInfo { kind: Kind::Png, size, format, orientation, metadata, clipping_path: Ok(None), warnings };
    Ok(Box::new(PngSource { info, reader, next_row: 0, deinterlaced: None, working_bytes }))
}

impl RowSource for PngSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        if self.reader.info().interlaced {
            if self.deinterlaced.is_none() {
                self.deinterlaced = Some(self.deinterlace()?);
            }
            let raster = self.deinterlaced.as_ref().expect("decoded above");
            return Ok(copy_rows(raster, &mut self.next_row, band, max_rows));
        }
        let rows = max_rows.min(self.info.size.height - self.next_row);
        for _ in 0..rows {
            let filled = band.samples.as_bytes().len();
            let height = band.height;
            band.set_rows(height + 1);
            if let Err(error) = self.reader.read_row(&mut band.samples.as_bytes_mut()[filled..]) {
                band.set_rows(height);
                let place = format!("in row {} of {}", self.next_row, self.info.size.height);
                return Err(png_error(error, Stage::Decode, &place));
            }
            if let Samples::U16(samples) = &mut band.samples {
                from_big_endian(&mut samples[filled / 2..]);
            }
            self.next_row += 1;
        }
        Ok(rows)
    }

    fn working_bytes(&self) -> u64 {
        self.working_bytes
    }
}

impl PngSource {
    fn deinterlace(&mut self) -> Result<Raster> {
        let mut raster = Raster::zeroed(self.info.format, self.info.size);
        self.reader
            .next_frame(raster.samples.as_bytes_mut())
            .map_err(|error| png_error(error, Stage::Decode, "in the interlaced image data"))?;
        if let Samples::U16(samples) = &mut raster.samples {
            from_big_endian(samples);
        }
        Ok(raster)
    }
}

fn from_big_endian(samples: &mut [u16]) {
    for sample in samples {
        *sample = u16::from_be(*sample);
    }
}

fn pixel_format(reader: &Reader) -> Result<PixelFormat> {
    let (color, depth) = reader.output_color_type();
    let (color, alpha) = match color {
        ColorType::Grayscale => (Color::Gray, false),
        ColorType::GrayscaleAlpha => (Color::Gray, true),
        ColorType::Rgb => (Color::Rgb, false),
        ColorType::Rgba => (Color::Rgb, true),
        ColorType::Indexed => return Err(Error::malformed(Stage::Open, "the palette is missing")),
    };
    let depth = if depth == BitDepth::Sixteen { Depth::U16 } else { Depth::U8 };
    Ok(PixelFormat::new(color, alpha, depth))
}

fn png_error(error: DecodingError, stage: Stage, place: &str) -> Error {
    match error {
        DecodingError::IoError(e) => io_error(e, stage, &format!("the PNG data {place}")),
        DecodingError::LimitsExceeded => {
            Error::limit(stage, format!("the PNG data {place} needs more memory than its limit allows"))
                .caused_by(error)
        }
        DecodingError::Format(_) | DecodingError::Parameter(_) => {
            Error::new(ErrorKind::Malformed, stage, format!("the PNG data {place} is broken: {error}")).caused_by(error)
        }
    }
}

/// What the chunks beside the pixels say.
struct Chunks {
    size: Size,
    orientation: Orientation,
    metadata: Metadata,
    warnings: Vec<String>,
    image_data_bytes: u64,
}

impl Chunks {
    fn read(reader: &mut BufReader<&File>, limits: &Limits) -> Result<Chunks> {
        let mut start = [0; 33];
        reader.read_exact(&mut start).map_err(|e| io_error(e, Stage::Open, "the PNG header"))?;
        if &start[12..16] != b"IHDR" {
            return Err(Error::malformed(Stage::Open, "the PNG data does not begin with its header"));
        }
        let (width, height) = (be32(&start, 16), be32(&start, 20));
        limits.check_size(width.into(), height.into())?;
        let mut chunks = Chunks {
            size: Size::new(width, height),
            orientation: Orientation::default(),
            metadata: Metadata::default(),
            warnings: Vec::new(),
            image_data_bytes: 0,
        };
        match chunks.walk(reader, limits) {
            // What is cut off is reported with the row that it cuts.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
            result => result.map_err(|e| io_error(e, Stage::Open, "the PNG chunks"))?,
        }
        chunks.check_plausible(start[24], start[25])?;
        Ok(chunks)
    }

    /// A header that promises more pixels than deflate can pack into the data there is.
    fn check_plausible(&self, bit_depth: u8, color_type: u8) -> Result<()> {
        let samples = match color_type {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        };
        let row_bytes = (u64::from(self.size.width) * samples * u64::from(bit_depth)).div_ceil(8) + 1;
        let needed = row_bytes.saturating_mul(self.size.height.into());
        if needed / DEFLATE_MAX_RATIO > self.image_data_bytes {
            return Err(Error::malformed(
                Stage::Open,
                format!(
                    "the header says {} × {} pixels, which its {} bytes of image data cannot hold",
                    self.size.width, self.size.height, self.image_data_bytes
                ),
            ));
        }
        Ok(())
    }

    fn walk(&mut self, reader: &mut BufReader<&File>, limits: &Limits) -> std::io::Result<()> {
        let file_bytes = reader.get_ref().metadata()?.len();
        let mut physical = None;
        let mut exif = None;
        let mut gamma = None;
        let mut has_srgb = false;
        let result = loop {
            let mut head = [0; 8];
            if let Err(error) = reader.read_exact(&mut head) {
                break Err(error);
            }
            let (length, kind) = (be32(&head, 0), [head[4], head[5], head[6], head[7]]);
            match &kind {
                b"IEND" => break Ok(()),
                b"IDAT" => {
                    let left = file_bytes.saturating_sub(reader.stream_position()?);
                    self.image_data_bytes += u64::from(length).min(left);
                }
                b"sRGB" | b"cICP" => has_srgb = true,
                b"acTL" => self.warnings.push("is an animated PNG; only the default image is used".to_string()),
                b"iCCP" | b"iTXt" | b"zTXt" | b"tEXt" | b"eXIf" | b"pHYs" | b"gAMA" => {
                    let name = String::from_utf8_lossy(&kind);
                    // Text is bounded again once it is known to be metadata; here only to be held.
                    if !within_limit(&format!("{name} chunk"), length.into(), limits, &mut self.warnings) {
                        reader.seek_relative(i64::from(length) + 4)?;
                        continue;
                    }
                    let data = match read_chunk(reader, kind, length) {
                        Ok(Some(data)) => data,
                        Ok(None) => {
                            self.warnings.push(format!("{name} chunk is dropped, its checksum is wrong"));
                            continue;
                        }
                        Err(error) => break Err(error),
                    };
                    match &kind {
                        b"iCCP" if self.metadata.icc.is_none() => self.metadata.icc = self.icc(&data, limits),
                        b"iTXt" if self.metadata.xmp.is_none() => self.metadata.xmp = self.xmp(&data, limits),
                        b"zTXt" | b"tEXt" if self.metadata.iptc.is_none() => {
                            self.metadata.iptc = self.iptc(&data, kind == *b"zTXt", limits);
                        }
                        b"eXIf" => exif = Some(exif::parse(&data)),
                        b"pHYs" if data.len() == 9 => physical = resolution(&data),
                        b"gAMA" if data.len() == 4 => gamma = Some(be32(&data, 0)),
                        _ => {}
                    }
                    continue;
                }
                _ => {}
            }
            reader.seek_relative(i64::from(length) + 4)?;
        };
        let exif = exif.unwrap_or_default();
        self.orientation = exif.orientation;
        self.metadata.resolution = physical.or(exif.resolution);
        self.warnings.extend(exif.warning.clone());
        self.metadata = exif.give(std::mem::take(&mut self.metadata));
        // 45455 is the gamma of sRGB, which is taken for granted anyway.
        if let Some(gamma) = gamma.filter(|g| !has_srgb && self.metadata.icc.is_none() && g.abs_diff(45455) > 500) {
            self.warnings.push(format!("gamma {} (gAMA chunk) is not applied", f64::from(gamma) / 100_000.0));
        }
        result
    }

    fn icc(&mut self, data: &[u8], limits: &Limits) -> Option<Vec<u8>> {
        let (_name, rest) = split_at_nul(data)?;
        let [0, compressed @ ..] = rest else { return None };
        self.inflated("ICC profile", compressed, limits)
    }

    fn xmp(&mut self, data: &[u8], limits: &Limits) -> Option<Vec<u8>> {
        let (b"XML:com.adobe.xmp", rest) = split_at_nul(data)? else { return None };
        let (&[compressed, _method], rest) = rest.split_first_chunk::<2>()?;
        let (_language, rest) = split_at_nul(rest)?;
        let (_translated, text) = split_at_nul(rest)?;
        if compressed == 1 { self.inflated("XMP", text, limits) } else { Some(text.to_vec()) }
    }

    /// ImageMagick's convention: a text chunk with a name, a byte count and hexadecimal digits.
    fn iptc(&mut self, data: &[u8], compressed: bool, limits: &Limits) -> Option<Vec<u8>> {
        let (b"Raw profile type iptc", rest) = split_at_nul(data)? else { return None };
        let block = match (compressed, rest) {
            (false, text) => raw_profile(text),
            (true, [0, text @ ..]) => raw_profile(&self.inflated("IPTC", text, limits)?),
            (true, _) => None,
        };
        if block.is_none() {
            self.warnings.push("IPTC is dropped, its text form is broken".to_string());
        }
        let block = block?;
        if block.starts_with(b"8BIM") {
            photoshop_irb::resource(&block, photoshop_irb::IPTC).map(<[u8]>::to_vec)
        } else {
            Some(block)
        }
    }

    /// Inflates at most what the limit allows.
    fn inflated(&mut self, what: &str, compressed: &[u8], limits: &Limits) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        let read =
            ZlibDecoder::new(compressed).take(limits.max_metadata_bytes.saturating_add(1)).read_to_end(&mut data);
        if let Err(error) = read {
            self.warnings.push(format!("{what} is dropped, it cannot be decompressed: {error}"));
            return None;
        }
        if data.len() as u64 > limits.max_metadata_bytes {
            self.warnings.push(format!("{what} is dropped, it inflates to over {} bytes", limits.max_metadata_bytes));
            return None;
        }
        Some(data)
    }
}

/// Data of a chunk, or `None` when its checksum is wrong.
fn read_chunk(reader: &mut impl Read, kind: [u8; 4], length: u32) -> std::io::Result<Option<Vec<u8>>> {
    let mut data = Vec::new();
    reader.take(length.into()).read_to_end(&mut data)?;
    let mut stated = [0; 4];
    reader.read_exact(&mut stated)?;
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(&data);
    Ok((crc.sum() == u32::from_be_bytes(stated)).then_some(data))
}

fn resolution(data: &[u8]) -> Option<Resolution> {
    let (x, y) = (f64::from(be32(data, 0)), f64::from(be32(data, 4)));
    match data[8] {
        1 => Resolution::per_metre(x, y),
        _ => Resolution::new(x, y, super::ResolutionUnit::None),
    }
}

fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.trim_start().lines();
    let _name = lines.next()?;
    let length: usize = lines.next()?.trim().parse().ok()?;
    let digits: Vec<u8> = lines.flat_map(str::bytes).filter(|b| !b.is_ascii_whitespace()).collect();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let hex = |digit: u8| (digit as char).to_digit(16);
    let bytes: Option<Vec<u8>> = pairs.iter().map(|&[high, low]| Some((hex(high)? * 16 + hex(low)?) as u8)).collect();
    bytes.filter(|bytes| bytes.len() == length)
}

fn split_at_nul(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.iter().position(|&b| b == 0)?;
    Some((&data[..at], &data[at + 1..]))
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
