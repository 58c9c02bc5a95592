//! One tile: cut from rows, differenced, compressed; and back.
//!
//! Predictor 2 (TIFF 6.0, section 14) stores each sample as its difference, modulo 2^bits, from the same sample of the
//! pixel to the left; the first pixel of a row is stored as it is. 16-bit samples are little-endian in the file.

use std::mem;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use weezl::BitOrder;

use super::layout::JpegLevel;
use super::{Chroma, Compression, Options};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::jpeg::{self, TileKind};
use crate::limits::Limits;
use crate::pixel::{Color, PixelFormat, Raster, Sample, Samples};
use crate::trace;

/// Photographs take a quarter of the time of zlib's level 6 and come out a little smaller; the next level takes half as
/// long again for 1 or 2 %.
const DEFLATE_LEVEL: i32 = 5;
/// Zstandard's own default.
const ZSTD_LEVEL: i32 = 3;
/// Bits of an uncompressed LZW code in TIFF, less the clear and end codes.
const LZW_BITS: u8 = 8;

/// What all tiles of a file share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileShape {
    /// Width and height in pixels.
    pub side: u32,
    pub format: PixelFormat,
}

impl TileShape {
    pub fn samples(self) -> usize {
        self.row_samples() * self.side as usize
    }

    /// Uncompressed size.
    pub fn bytes(self) -> usize {
        self.samples() * self.format.depth.bytes()
    }

    fn row_samples(self) -> usize {
        self.side as usize * self.format.channels()
    }
}

/// A sample that wraps around, for the predictor.
trait Wrapping: Sample {
    fn minus(self, other: Self) -> Self;
    fn plus(self, other: Self) -> Self;
}

impl Wrapping for u8 {
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

impl Wrapping for u16 {
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

/// A compressed tile.
#[derive(Debug)]
pub struct Encoded {
    pub stream: Vec<u8>,
    /// CRC-32 of what was compressed, as stored (after the predictor); `None` when the compression is lossy.
    pub checksum: Option<u32>,
}

/// A compressed tile, and where it was put; where there was no room, the stream itself.
pub struct Put<P> {
    pub bytes: usize,
    /// As [`Encoded::checksum`].
    pub checksum: Option<u32>,
    pub place: std::result::Result<P, Vec<u8>>,
}

/// The rows of one row of tiles, in one piece or several.
#[derive(Debug, Clone, Copy)]
pub struct TileRow<'a> {
    /// As high as the first each, but for the last; where they are several, by multiples of 16.
    pieces: &'a [&'a Raster],
    /// Where they begin in the first piece.
    first: u32,
    height: u32,
}

impl<'a> TileRow<'a> {
    /// `rows` of `pieces`, which lie one below the other.
    pub fn new(pieces: &'a [&'a Raster], rows: Range<u32>) -> Self {
        TileRow { pieces, first: rows.start, height: rows.len() as u32 }
    }

    fn width(self) -> u32 {
        self.pieces[0].width
    }

    /// Samples from pixel (`x`, `y`) to the end of the piece; `None` where they have another depth.
    fn samples<T: Sample>(self, x: u32, y: u32) -> Option<&'a [T]> {
        let (row, piece_rows) = (self.first + y, self.pieces[0].height);
        let piece = self.pieces[(row / piece_rows) as usize];
        let start = (row % piece_rows) as usize * piece.stride() + x as usize * piece.format.channels();
        Some(&T::slice(&piece.samples)?[start..])
    }
}

/// Compresses rows of tiles, each tile in whatever thread is free.
pub struct Compressors {
    compression: Compression,
    shape: TileShape,
    options: Options,
    /// Those not in use; never more than threads have worked at once.
    idle: Mutex<Vec<Compressor>>,
    /// Buffers of streams for which there was no room; never more than tiles in the rows that were compressed at once.
    spare: Mutex<Vec<Vec<u8>>>,
    jpeg: Option<JpegLevel>,
}

impl Compressors {
    /// `compression` is resolved.
    ///
    /// # Errors
    /// `Misuse` for a compression that is still `Auto`.
    pub fn new(compression: Compression, shape: TileShape, options: &Options) -> Result<Self> {
        let first = Compressor::new(compression, shape, options)?;
        let jpeg = first.jpeg();
        let idle = Mutex::new(vec![first]);
        Ok(Compressors { compression, shape, options: options.clone(), idle, spare: Mutex::default(), jpeg })
    }

    /// What the streams of a level share; present exactly with JPEG.
    pub fn jpeg(&self) -> Option<&JpegLevel> {
        self.jpeg.as_ref()
    }

    /// Compresses one row of tiles, from left to right: at most as many rows as a tile has. `put` is called for each
    /// stream as soon as it is there, in whatever order.
    ///
    /// # Errors
    /// `Misuse` for rows of another depth, `Io` when a codec fails, which none does on valid input.
    pub fn encode_row<P: Send>(
        &self,
        rows: TileRow<'_>,
        put: impl Fn(&[u8]) -> Option<P> + Sync,
    ) -> Result<Vec<Put<P>>> {
        (0..rows.width().div_ceil(self.shape.side))
            .into_par_iter()
            .map(|column| {
                let idle = lock(&self.idle).pop();
                let mut compressor = match idle {
                    Some(compressor) => compressor,
                    None => Compressor::new(self.compression, self.shape, &self.options)?,
                };
                let span = trace::span("compress tile");
                if compressor.stream.capacity() == 0 {
                    compressor.stream = lock(&self.spare).pop().unwrap_or_default();
                }
                let encoded = compressor.encode(rows, column * self.shape.side);
                drop(span);
                let done = encoded.map(|Encoded { stream, checksum }| {
                    let (bytes, place) = (stream.len(), put(&stream));
                    let place = match place {
                        Some(place) => {
                            compressor.stream = stream;
                            Ok(place)
                        }
                        None => Err(stream),
                    };
                    Put { bytes, checksum, place }
                });
                lock(&self.idle).push(compressor);
                done
            })
            .collect()
    }

    /// Takes back the buffer of a stream that is stored.
    pub fn recycle(&self, stream: Vec<u8>) {
        lock(&self.spare).push(stream);
    }
}

/// A panic in one of the threads ends the whole file, so what it left is not looked at.
fn lock<T>(mutex: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compresses tiles of one shape. Holds its buffers; the bytes of a tile do not depend on the tiles before it.
struct Compressor {
    shape: TileShape,
    predictor: bool,
    samples: Samples,
    /// Where the next tile goes; handed out with it.
    stream: Vec<u8>,
    codec: Encoder,
}

enum Encoder {
    None,
    Lzw(weezl::encode::Encoder),
    Deflate(libdeflater::Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
    Jpeg(jpeg::TileEncoder),
}

impl Compressor {
    /// `compression` is resolved.
    ///
    /// # Errors
    /// `Misuse` for a compression that is still `Auto`.
    fn new(compression: Compression, shape: TileShape, options: &Options) -> Result<Self> {
        let codec = match compression {
            Compression::None => Encoder::None,
            Compression::Lzw => Encoder::Lzw(weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, LZW_BITS)),
            Compression::Deflate => {
                let level = libdeflater::CompressionLvl::new(DEFLATE_LEVEL).expect("a valid level");
                Encoder::Deflate(libdeflater::Compressor::new(level))
            }
            Compression::Zstd => Encoder::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(|e| {
                Error::new(ErrorKind::Limit, Stage::Encode, "Zstandard has no memory for a compressor").caused_by(e)
            })?),
            Compression::Jpeg => {
                let kind = match shape.format.color {
                    Color::Gray => TileKind::Gray,
                    Color::Rgb => TileKind::Rgb { half_chroma: options.chroma == Chroma::Half },
                    Color::Cmyk => TileKind::Cmyk,
                    Color::Lab => unreachable!("refused when the writer is created"),
                };
                Encoder::Jpeg(jpeg::TileEncoder::new(kind, shape.side, options.quality)?)
            }
            Compression::Auto => return Err(Error::misuse(Stage::Encode, "the compression has not been resolved")),
        };
        Ok(Compressor {
            shape,
            predictor: compression.has_predictor(),
            samples: Samples::zeroed(shape.format.depth, shape.samples()),
            stream: Vec::new(),
            codec,
        })
    }

    fn jpeg(&self) -> Option<JpegLevel> {
        let Encoder::Jpeg(encoder) = &self.codec else { return None };
        let subsampling = (self.shape.format.color == Color::Rgb).then(|| encoder.kind().subsampling());
        Some(JpegLevel { tables: encoder.tables().to_vec(), subsampling })
    }

    /// Compresses the tile whose left column is `x`. Columns and rows that are missing repeat the last one.
    ///
    /// # Errors
    /// `Misuse` for rows of another depth, `Io` when a codec fails, which none does on valid input.
    fn encode(&mut self, rows: TileRow<'_>, x: u32) -> Result<Encoded> {
        let inside = x + self.shape.side <= rows.width() && rows.height == self.shape.side;
        if let (Encoder::Jpeg(encoder), true) = (&mut self.codec, inside) {
            // Read where it lies.
            let pixels = |row| rows.samples(x, row as u32).unwrap_or_default();
            self.stream.clear();
            encoder.encode_pieces(pixels, rows.pieces[0].row_bytes(), &mut self.stream)?;
            return Ok(Encoded { stream: mem::take(&mut self.stream), checksum: None });
        }
        let done = match &mut self.samples {
            Samples::U8(to) => cut(rows, x, self.shape, self.predictor, to),
            Samples::U16(to) => {
                let done = cut(rows, x, self.shape, self.predictor, to);
                to.iter_mut().for_each(|sample| *sample = sample.to_le());
                done
            }
        };
        done.ok_or_else(|| Error::misuse(Stage::Encode, "rows of another depth than the file's"))?;
        let bytes = self.samples.as_bytes();
        let stream = &mut self.stream;
        match &mut self.codec {
            Encoder::None => {
                stream.clear();
                stream.extend_from_slice(bytes);
            }
            Encoder::Lzw(encoder) => {
                encoder.reset();
                stream.clear();
                encoder.into_vec(stream).encode_all(bytes).status.map_err(|e| failed("LZW", e))?;
            }
            Encoder::Deflate(compressor) => {
                stream.resize(compressor.zlib_compress_bound(bytes.len()), 0);
                let n = compressor.zlib_compress(bytes, stream).map_err(|e| failed("deflate", e))?;
                stream.truncate(n);
            }
            Encoder::Zstd(compressor) => {
                stream.resize(zstd::zstd_safe::compress_bound(bytes.len()), 0);
                let n = compressor.compress_to_buffer(bytes, &mut stream[..]).map_err(|e| failed("Zstandard", e))?;
                stream.truncate(n);
            }
            Encoder::Jpeg(encoder) => {
                stream.clear();
                encoder.encode(bytes, self.shape.row_samples(), stream)?;
            }
        }
        let lossy = matches!(self.codec, Encoder::Jpeg(_));
        Ok(Encoded { stream: mem::take(&mut self.stream), checksum: (!lossy).then(|| libdeflater::crc32(bytes)) })
    }
}

fn failed(codec: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, Stage::Encode, format!("{codec} failed on a tile: {error}")).caused_by(error)
}

/// Copies one tile, as differences if `predictor` says so; `None` for rows of another depth.
fn cut<T: Wrapping>(rows: TileRow<'_>, x: u32, shape: TileShape, predictor: bool, to: &mut [T]) -> Option<()> {
    let channels = shape.format.channels();
    let inside = ((rows.width() - x).min(shape.side) as usize) * channels;
    let row_samples = shape.row_samples();
    let filled = rows.height as usize * row_samples;
    for (y, out) in (0..rows.height).zip(to.chunks_exact_mut(row_samples)) {
        let source = &rows.samples::<T>(x, y)?[..inside];
        let (out, padding) = out.split_at_mut(inside);
        if predictor {
            out[..channels].copy_from_slice(&source[..channels]);
            for ((out, &here), &before) in out[channels..].iter_mut().zip(&source[channels..]).zip(source) {
                *out = here.minus(before);
            }
            padding.fill(T::from_u32(0));
        } else {
            out.copy_from_slice(source);
            for pixel in padding.chunks_exact_mut(channels) {
                pixel.copy_from_slice(&source[inside - channels..]);
            }
        }
    }
    for below in (filled..to.len()).step_by(row_samples) {
        to.copy_within(filled - row_samples..filled, below);
    }
    Some(())
}

/// Decompresses tiles of one level. Holds its buffer.
pub struct Decompressor {
    shape: TileShape,
    predictor: bool,
    samples: Samples,
    codec: Decoder,
}

enum Decoder {
    None,
    Lzw(weezl::decode::Decoder),
    Deflate(libdeflater::Decompressor),
    Zstd(zstd::bulk::Decompressor<'static>),
    Jpeg(JpegLevel),
}

impl Decompressor {
    /// `jpeg` is what the streams share, present with JPEG.
    ///
    /// # Errors
    /// `Misuse` for a compression that is still `Auto`, or JPEG without `jpeg`.
    pub fn new(compression: Compression, shape: TileShape, jpeg: Option<&JpegLevel>) -> Result<Self> {
        let codec = match compression {
            Compression::None => Decoder::None,
            Compression::Lzw => Decoder::Lzw(weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, LZW_BITS)),
            Compression::Deflate => Decoder::Deflate(libdeflater::Decompressor::new()),
            Compression::Zstd => Decoder::Zstd(zstd::bulk::Decompressor::new().map_err(|e| {
                Error::new(ErrorKind::Limit, Stage::Verify, "Zstandard has no memory for a decompressor").caused_by(e)
            })?),
            Compression::Jpeg => match jpeg {
                Some(jpeg) => Decoder::Jpeg(jpeg.clone()),
                None => return Err(Error::misuse(Stage::Verify, "JPEG tiles cannot be read without their tables")),
            },
            Compression::Auto => return Err(Error::misuse(Stage::Verify, "the compression has not been resolved")),
        };
        let samples = Samples::zeroed(shape.format.depth, shape.samples());
        Ok(Decompressor { shape, predictor: compression.has_predictor(), samples, codec })
    }

    /// Decompresses `stream`: the samples of one tile, and the CRC-32 of what was stored (before the predictor is
    /// undone).
    ///
    /// # Errors
    /// `Malformed` when the stream is broken or does not hold exactly one tile.
    pub fn decode(&mut self, stream: &[u8]) -> Result<(&Samples, u32)> {
        let out = self.samples.as_bytes_mut();
        let (shape, expected) = (self.shape, out.len());
        let broken = |codec: &str, error: &dyn std::fmt::Display| {
            Error::malformed(Stage::Verify, format!("the {codec} stream is broken: {error}"))
        };
        let n = match &mut self.codec {
            Decoder::None => {
                let n = stream.len().min(expected);
                out[..n].copy_from_slice(&stream[..n]);
                stream.len()
            }
            Decoder::Lzw(decoder) => {
                decoder.reset();
                let (mut read, mut written) = (0, 0);
                loop {
                    let step = decoder.decode_bytes(&stream[read..], &mut out[written..]);
                    read += step.consumed_in;
                    written += step.consumed_out;
                    step.status.map_err(|e| broken("LZW", &e))?;
                    if written == expected || (step.consumed_in == 0 && step.consumed_out == 0) {
                        // What does not end here holds more than a tile.
                        break written + decoder.decode_bytes(&stream[read..], &mut [0]).consumed_out;
                    }
                }
            }
            Decoder::Deflate(decompressor) => {
                decompressor.zlib_decompress(stream, out).map_err(|e| broken("deflate", &e))?
            }
            Decoder::Zstd(decompressor) => {
                decompressor.decompress_to_buffer(stream, out).map_err(|e| broken("Zstandard", &e))?
            }
            Decoder::Jpeg(jpeg) => decode_jpeg(stream, jpeg, shape, out)?,
        };
        if n != expected {
            return Err(Error::malformed(Stage::Verify, format!("the stream holds {n} bytes; a tile has {expected}")));
        }
        let checksum = libdeflater::crc32(out);
        let (row, channels) = (self.shape.row_samples(), self.shape.format.channels());
        match &mut self.samples {
            Samples::U8(samples) => {
                if self.predictor {
                    sum(samples, row, channels);
                }
            }
            Samples::U16(samples) => {
                samples.iter_mut().for_each(|sample| *sample = u16::from_le(*sample));
                if self.predictor {
                    sum(samples, row, channels);
                }
            }
        }
        Ok((&self.samples, checksum))
    }
}

/// Decodes a JPEG tile; returns how many bytes of `out` were filled.
fn decode_jpeg(stream: &[u8], jpeg: &JpegLevel, shape: TileShape, out: &mut [u8]) -> Result<usize> {
    let mut decoder = jpeg::Decoder::new(whole_jpeg(stream, jpeg)?, &Limits::default())?;
    check_jpeg_header(decoder.header(), jpeg, shape)?;
    if decoder.format() != shape.format {
        return Err(bad_jpeg(format!("holds {}, not {}", decoder.format(), shape.format)));
    }
    let row_bytes = shape.row_samples();
    let mut filled = 0;
    while filled < out.len() {
        match decoder.read_scanlines(&mut out[filled..])? {
            0 => break,
            rows => filled += rows * row_bytes,
        }
    }
    Ok(filled)
}

/// Checks what an abbreviated stream says about itself against what its directory says.
///
/// # Errors
/// `Malformed`, saying what differs.
pub fn check_jpeg_stream(stream: &[u8], jpeg: &JpegLevel, shape: TileShape) -> Result<()> {
    if holds_tables(stream) {
        return Err(bad_jpeg("brings its own tables; they belong into JPEGTables"));
    }
    check_jpeg_header(&jpeg::Header::parse(&whole_jpeg(stream, jpeg)?)?, jpeg, shape)
}

fn check_jpeg_header(header: &jpeg::Header, jpeg: &JpegLevel, shape: TileShape) -> Result<()> {
    let size = header.size;
    if size.width != shape.side || size.height != shape.side {
        return Err(bad_jpeg(format!("is {} × {} px, in tiles of {} px", size.width, size.height, shape.side)));
    }
    if header.adobe_transform.is_some() {
        // Readers disagree on whether the marker or the directory decides.
        return Err(bad_jpeg("has an Adobe marker; the directory says what the colours are"));
    }
    if header.components.len() != shape.format.channels() {
        let message = format!("has {} components, not {}", header.components.len(), shape.format.channels());
        return Err(bad_jpeg(message));
    }
    let factors = |c: &jpeg::Component| (u16::from(c.horizontal), u16::from(c.vertical));
    let [first, rest @ ..] = header.components.as_slice() else { return Ok(()) };
    let stated = jpeg.subsampling.unwrap_or((1, 1));
    if factors(first) != stated || rest.iter().any(|c| factors(c) != (1, 1)) {
        return Err(bad_jpeg(format!("is sampled {:?}, not {stated:?} as YCbCrSubSampling says", factors(first))));
    }
    Ok(())
}

/// Tables and image in one stream, as decoders want it.
fn whole_jpeg(stream: &[u8], jpeg: &JpegLevel) -> Result<Vec<u8>> {
    const START: &[u8] = &[0xff, 0xd8];
    const END: &[u8] = &[0xff, 0xd9];
    let Some(tables) = jpeg.tables.strip_suffix(END).filter(|tables| tables.starts_with(START)) else {
        return Err(bad_jpeg("has tables that are no JPEG stream"));
    };
    let Some(image) = stream.strip_prefix(START) else {
        return Err(bad_jpeg("does not start with a JPEG start-of-image marker"));
    };
    Ok([tables, image].concat())
}

/// Whether a stream defines quantisation or Huffman tables before its first scan.
fn holds_tables(stream: &[u8]) -> bool {
    const SCAN: u8 = 0xda;
    const QUANTIZATION: u8 = 0xdb;
    const HUFFMAN: u8 = 0xc4;
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = stream.get(at..at + 4) {
        match marker {
            QUANTIZATION | HUFFMAN => return true,
            SCAN => return false,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}

fn bad_jpeg(message: impl std::fmt::Display) -> Error {
    Error::malformed(Stage::Verify, format!("the JPEG stream {message}"))
}

/// Undoes the predictor.
fn sum<T: Wrapping>(samples: &mut [T], row_samples: usize, channels: usize) {
    for row in samples.chunks_exact_mut(row_samples) {
        for i in channels..row_samples {
            row[i] = row[i].plus(row[i - channels]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    /// Samples that use all bits and are not smooth.
    fn noise(format: PixelFormat, size: Size) -> Raster {
        let mut raster = Raster::zeroed(format, size);
        let mut state = 1u32;
        raster.samples.as_bytes_mut().iter_mut().for_each(|byte| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        });
        raster
    }

    #[test]
    fn tiles_come_back_with_the_last_row_and_column_repeated() {
        let lossless = [Compression::None, Compression::Lzw, Compression::Deflate, Compression::Zstd];
        for format in PixelFormat::all() {
            let raster = noise(format, Size::new(37, 23));
            let shape = TileShape { side: 16, format };
            for compression in lossless {
                let mut compressor = Compressor::new(compression, shape, &Options::default()).unwrap();
                let mut decompressor = Decompressor::new(compression, shape, None).unwrap();
                for (x, rows) in [(0, 0..16), (32, 0..16), (16, 16..23), (32, 16..23), (32, 22..23)] {
                    let encoded = compressor.encode(TileRow::new(&[&raster], rows.clone()), x).unwrap();
                    let (samples, checksum) = decompressor.decode(&encoded.stream).unwrap();
                    assert_eq!(Some(checksum), encoded.checksum);
                    let tile = Raster { format, width: 16, height: 16, samples: samples.clone() };
                    for (ty, tx) in (0..16).flat_map(|y| (0..16).map(move |x| (y, x))) {
                        for channel in 0..format.channels() {
                            let (sx, sy) = ((x + tx).min(36), (rows.start + ty).min(rows.end - 1));
                            assert_eq!(
                                tile.at(tx, ty, channel),
                                raster.at(sx, sy, channel),
                                "{format}, {compression:?}, tile at {x}, {rows:?}: pixel {tx}, {ty}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn sixteen_bit_differences_are_little_endian() {
        let format = PixelFormat::new(crate::pixel::Color::Gray, false, crate::pixel::Depth::U16);
        let mut raster = Raster::zeroed(format, Size::new(2, 1));
        raster.samples = Samples::U16(vec![0x1234, 0x1200]);
        let mut compressor =
            Compressor::new(Compression::Deflate, TileShape { side: 16, format }, &Options::default()).unwrap();
        compressor.encode(TileRow::new(&[&raster], 0..1), 0).unwrap();
        // 0x1200 − 0x1234 = −0x34, modulo 2^16.
        assert_eq!(&compressor.samples.as_bytes()[..6], [0x34, 0x12, 0xcc, 0xff, 0, 0]);
    }

    #[test]
    fn streams_of_another_length_are_refused() {
        let format = PixelFormat::new(crate::pixel::Color::Gray, false, crate::pixel::Depth::U8);
        let raster = noise(format, Size::new(32, 32));
        for compression in [Compression::None, Compression::Lzw, Compression::Deflate, Compression::Zstd] {
            let encode = |side| {
                let shape = TileShape { side, format };
                Compressor::new(compression, shape, &Options::default())
                    .unwrap()
                    .encode(TileRow::new(&[&raster], 0..16), 0)
                    .unwrap()
            };
            let mut decompressor = Decompressor::new(compression, TileShape { side: 32, format }, None).unwrap();
            let small = encode(16);
            assert!(decompressor.decode(&small.stream).is_err(), "{compression:?}");
            let whole = encode(32);
            assert!(decompressor.decode(&whole.stream).is_ok(), "{compression:?}");
            let cut = &whole.stream[..whole.stream.len() / 2];
            assert!(decompressor.decode(cut).is_err(), "{compression:?}");
            assert!(decompressor.decode(&[]).is_err(), "{compression:?}");
            let mut smaller = Decompressor::new(compression, TileShape { side: 16, format }, None).unwrap();
            assert!(smaller.decode(&whole.stream).is_err(), "{compression:?}");
        }
    }
}
