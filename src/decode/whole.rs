//! GIF, BMP and WebP: formats that are decoded whole and then handed out by rows; and images already in memory.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, webp::WebPDecoder};
use image::{ColorType, ImageDecoder, ImageError};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::Size;
use crate::jpeg::Coefficients;
use crate::limits::Limits;
use crate::pixel::{Color, Depth, PixelFormat, Raster, Samples};

use super::metadata::within_limit;
use super::{BUFFER_BYTES, Kind, Metadata, Resolution, RowSource, SourceInfo, exif, io_error};

/// An image in memory as a row source.
pub struct MemorySource {
    info: SourceInfo,
    raster: Raster,
    next_row: u32,
    coefficients: Option<Coefficients>,
}

impl MemorySource {
    /// # Errors
    /// `Misuse` when the raster's size or format is not what `info` says.
    pub fn new(info: SourceInfo, raster: Raster) -> Result<Self> {
        if info.size != raster.size() || info.format != raster.format {
            return Err(Error::misuse(
                Stage::Decode,
                "the raster is not of the size and format that its source states",
            ));
        }
        Ok(MemorySource { info, raster, next_row: 0, coefficients: None })
    }

    /// The same with JPEG coefficients, which are those of all rows that will be asked for.
    pub fn with_coefficients(self, coefficients: Option<Coefficients>) -> Self {
        MemorySource { coefficients, ..self }
    }
}

impl RowSource for MemorySource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        Ok(copy_rows(&self.raster, &mut self.next_row, band, max_rows))
    }

    fn take_coefficients(&mut self, _rows: Range<u32>, _pool: Option<&rayon::ThreadPool>) -> Result<Coefficients> {
        self.coefficients.clone().ok_or_else(|| Error::misuse(Stage::Decode, "no coefficients were kept"))
    }

    fn working_bytes(&self) -> u64 {
        self.raster.samples.as_bytes().len() as u64
    }
}

/// Appends the rows of `raster` from `next_row` on, which moves behind them.
pub(super) fn copy_rows(raster: &Raster, next_row: &mut u32, band: &mut Raster, max_rows: u32) -> u32 {
    let rows = max_rows.min(raster.height - *next_row);
    band.append_rows(raster, *next_row..*next_row + rows);
    *next_row += rows;
    rows
}

/// A file whose pixels are decoded at the first read.
struct WholeFile {
    info: SourceInfo,
    state: State,
    next_row: u32,
    working_bytes: u64,
}

enum State {
    Waiting(Box<dyn ImageDecoder + Send>),
    Decoded(Raster),
    Failed,
}

impl WholeFile {
    fn decode(&mut self) -> Result<()> {
        let State::Waiting(decoder) = std::mem::replace(&mut self.state, State::Failed) else { return Ok(()) };
        let stored = pixel_format(decoder.color_type())?;
        let mut raster = Raster::zeroed(stored, self.info.size);
        decoder
            .read_image_boxed(raster.samples.as_bytes_mut())
            .map_err(|error| image_error(self.info.kind, error, Stage::Decode))?;
        if stored.alpha && !self.info.format.alpha {
            drop_alpha(&mut raster);
        }
        self.state = State::Decoded(raster);
        Ok(())
    }
}

impl RowSource for WholeFile {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        if matches!(self.state, State::Waiting(_)) {
            self.decode()?;
        }
        match &self.state {
            State::Decoded(raster) => Ok(copy_rows(raster, &mut self.next_row, band, max_rows)),
            _ => Err(Error::misuse(Stage::Decode, "rows were asked for after decoding had failed")),
        }
    }

    fn working_bytes(&self) -> u64 {
        self.working_bytes
    }
}

/// Leaves the first three of four 8-bit samples, in place.
fn drop_alpha(raster: &mut Raster) {
    let Samples::U8(samples) = &mut raster.samples else { unreachable!("these decoders give 8-bit samples") };
    let pixels = samples.len() / 4;
    for pixel in 0..pixels {
        samples.copy_within(pixel * 4..pixel * 4 + 3, pixel * 3);
    }
    samples.truncate(pixels * 3);
    raster.format.alpha = false;
}

fn pixel_format(color: ColorType) -> Result<PixelFormat> {
    Ok(match color {
        ColorType::L8 => PixelFormat::new(Color::Gray, false, Depth::U8),
        ColorType::La8 => PixelFormat::new(Color::Gray, true, Depth::U8),
        ColorType::Rgb8 => PixelFormat::new(Color::Rgb, false, Depth::U8),
        ColorType::Rgba8 => PixelFormat::new(Color::Rgb, true, Depth::U8),
        other => return Err(Error::unsupported(Stage::Open, format!("pixels of type {other:?} are not read"))),
    })
}

fn image_error(kind: Kind, error: ImageError, stage: Stage) -> Error {
    let error_kind = match &error {
        ImageError::Limits(_) => ErrorKind::Limit,
        ImageError::Unsupported(_) => ErrorKind::Unsupported,
        ImageError::IoError(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => ErrorKind::Io,
        _ => ErrorKind::Malformed,
    };
    Error::new(error_kind, stage, format!("the {kind} data cannot be decoded: {error}")).caused_by(error)
}

/// Opens a BMP. Resolution comes from its info header.
pub(super) fn open_bmp(mut file: File, limits: &Limits) -> Result<Box<dyn RowSource>> {
    let mut header = [0; 46];
    let read = read_up_to(&mut file, &mut header)?;
    let header_size = u32::from_le_bytes([header[14], header[15], header[16], header[17]]);
    let resolution = (read == header.len() && header_size >= 40)
        .then(|| {
            let per_metre =
                |at: usize| f64::from(i32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes")));
            Resolution::per_metre(per_metre(38), per_metre(42))
        })
        .flatten();
    rewind(&mut file)?;
    let decoder = BmpDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file))
        .map_err(|error| image_error(Kind::Bmp, error, Stage::Open))?;
    open_decoder(Kind::Bmp, decoder, limits, Extras { resolution, ..Extras::default() })
}

/// Opens a WebP; of an animation, the first frame is read.
pub(super) fn open_webp(file: File, limits: &Limits) -> Result<Box<dyn RowSource>> {
    let decoder = WebPDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file))
        .map_err(|error| image_error(Kind::WebP, error, Stage::Open))?;
    // Planes of luma and chroma, or a frame to be put on the canvas.
    let mut extras = Extras { doubled: true, ..Extras::default() };
    if decoder.has_animation() {
        extras.warnings.push("is animated; only the first frame is used".to_string());
    }
    open_decoder(Kind::WebP, decoder, limits, extras)
}

/// Opens a GIF; of several frames, the first is read, on its logical screen.
pub(super) fn open_gif(mut file: File, limits: &Limits) -> Result<Box<dyn RowSource>> {
    let outline = GifOutline::read(&mut BufReader::with_capacity(BUFFER_BYTES, &file))?;
    rewind(&mut file)?;
    limits.check_size(outline.screen.width.into(), outline.screen.height.into())?;
    // The densest LZW code of 12 bits stands for fewer than 4096 pixels; small screens are cheap whatever they hold.
    let decodable = outline.first_frame_bytes.saturating_mul(4096 * 2 / 3).max(16 << 20);
    if outline.screen.pixels() > decodable {
        return Err(Error::malformed(
            Stage::Open,
            format!(
                "the header says {} × {} pixels, which its {} bytes of image data cannot hold",
                outline.screen.width, outline.screen.height, outline.first_frame_bytes
            ),
        ));
    }
    let mut extras = Extras { opaque: outline.opaque, doubled: !outline.covered, ..Extras::default() };
    if outline.more_frames {
        extras.warnings.push("holds several frames; only the first is used".to_string());
    }
    let decoder = GifDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file))
        .map_err(|error| image_error(Kind::Gif, error, Stage::Open))?;
    open_decoder(Kind::Gif, decoder, limits, extras)
}

/// What the container says that the decoder does not.
#[derive(Default)]
struct Extras {
    resolution: Option<Resolution>,
    /// The alpha that the decoder adds says nothing.
    opaque: bool,
    /// The decoder holds a second image beside the one that it fills.
    doubled: bool,
    warnings: Vec<String>,
}

fn open_decoder(
    kind: Kind,
    mut decoder: impl ImageDecoder + Send + 'static,
    limits: &Limits,
    extras: Extras,
) -> Result<Box<dyn RowSource>> {
    let Extras { resolution, opaque, doubled, mut warnings } = extras;
    let (width, height) = decoder.dimensions();
    limits.check_size(width.into(), height.into())?;
    let stored = pixel_format(decoder.color_type())?;
    let image_bytes = u64::from(width) * u64::from(height) * stored.bytes_per_pixel() as u64;
    let working_bytes = image_bytes * (1 + u64::from(doubled)) + BUFFER_BYTES as u64;
    limits.check_bytes(working_bytes)?;
    let mut image_limits = image::Limits::no_limits();
    image_limits.max_alloc = Some(limits.max_decode_bytes);
    decoder.set_limits(image_limits).map_err(|error| image_error(kind, error, Stage::Open))?;

    let mut block = |what: &str, read: image::ImageResult<Option<Vec<u8>>>| match read {
        Ok(block) => block.filter(|b| within_limit(what, b.len() as u64, limits, &mut warnings)),
        Err(error) => {
            warnings.push(format!("{what} is dropped, it cannot be read: {error}"));
            None
        }
    };
    let icc = block("ICC profile", decoder.icc_profile());
    let xmp = block("XMP", decoder.xmp_metadata());
    let exif = block("EXIF", decoder.exif_metadata())
        .map(|tags| exif::parse(tags.strip_prefix(b"Exif\0\0").unwrap_or(&tags)))
        .unwrap_or_default();
    warnings.extend(exif.warning.clone());
    let resolution = resolution.or(exif.resolution);
    let info = SourceInfo {
        kind,
        size: Size::new(width, height),
        format: if opaque { PixelFormat { alpha: false, ..stored } } else { stored },
        orientation: exif.orientation,
        metadata: exif.give(Metadata { icc, xmp, resolution, ..Metadata::default() }),
        clipping_path: Ok(None),
        warnings,
    };
    Ok(Box::new(WholeFile { info, state: State::Waiting(Box::new(decoder)), next_row: 0, working_bytes }))
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..]).map_err(|e| io_error(e, Stage::Open, "the header"))? {
            0 => break,
            n => read += n,
        }
    }
    Ok(read)
}

fn rewind(file: &mut File) -> Result<()> {
    file.seek(SeekFrom::Start(0)).map_err(|e| io_error(e, Stage::Open, "the header")).map(drop)
}

/// The block structure of a GIF (GIF89a specification, sections 18–26), read without decoding.
struct GifOutline {
    screen: Size,
    /// The first frame covers the screen.
    covered: bool,
    /// It does, and has no transparent colour.
    opaque: bool,
    first_frame_bytes: u64,
    more_frames: bool,
}

impl GifOutline {
    fn read(reader: &mut (impl Read + Seek)) -> Result<GifOutline> {
        let mut outline = GifOutline {
            screen: Size::new(0, 0),
            covered: false,
            opaque: false,
            first_frame_bytes: 0,
            more_frames: false,
        };
        match outline.walk(reader) {
            // A file that ends early is the decoder's to report, with what it could read before.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(outline),
            Err(error) => Err(io_error(error, Stage::Open, "the GIF blocks")),
            Ok(()) => Ok(outline),
        }
    }

    fn walk(&mut self, reader: &mut (impl Read + Seek)) -> std::io::Result<()> {
        let header: [u8; 13] = array(reader)?;
        self.screen = Size::new(le16(&header, 6).into(), le16(&header, 8).into());
        skip_palette(reader, header[10])?;
        let mut transparent = false;
        let mut frames = 0;
        loop {
            match array::<1>(reader)?[0] {
                0x21 => {
                    let [label] = array(reader)?;
                    if label == 0xf9 {
                        let [size, flags] = array(reader)?;
                        transparent = flags & 1 != 0;
                        reader.seek_relative(i64::from(size) - 1)?;
                    }
                    skip_sub_blocks(reader)?;
                }
                0x2c if frames == 0 => {
                    let image: [u8; 9] = array(reader)?;
                    let frame = Size::new(le16(&image, 4).into(), le16(&image, 6).into());
                    self.covered = le16(&image, 0) == 0 && le16(&image, 2) == 0 && frame == self.screen;
                    skip_palette(reader, image[8])?;
                    let _minimum_code_size: [u8; 1] = array(reader)?;
                    self.first_frame_bytes = skip_sub_blocks(reader)?;
                    self.opaque = self.covered && !transparent;
                    frames = 1;
                }
                0x2c => {
                    self.more_frames = true;
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }
}

fn array<const N: usize>(reader: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn skip_palette(reader: &mut impl Seek, flags: u8) -> std::io::Result<()> {
    if flags & 0x80 != 0 { reader.seek_relative(3 << ((flags & 7) + 1)) } else { Ok(()) }
}

/// Skips to behind the terminator; returns the bytes of data.
fn skip_sub_blocks(reader: &mut (impl Read + Seek)) -> std::io::Result<u64> {
    let mut bytes = 0;
    loop {
        match array::<1>(reader)?[0] {
            0 => return Ok(bytes),
            size => {
                reader.seek_relative(size.into())?;
                bytes += u64::from(size);
            }
        }
    }
}
