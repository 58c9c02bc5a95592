//! The compressed strips and tiles of a TIFF as streams of stored rows.

use std::fs::File;
use std::io::{BufRead, BufReader, Bytes, Chain, Cursor, Error, ErrorKind, Read, Result};
use std::sync::Arc;

use fax::decoder::{DecodeStatus, Group3Decoder, Group4Decoder, pels};
use flate2::bufread::ZlibDecoder;
use weezl::{BitOrder, LzwStatus, decode::Configuration};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::read_at::RangeReader;

/// Input buffer of one stream.
pub(super) const STREAM_BUFFER_BYTES: usize = 64 << 10;

/// Largest zstd window accepted, as a power of two: 128 MiB, what `zstd --ultra` uses by default.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// TIFF tag 259, as far as it is decoded here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
    Jpeg,
    /// Group 3 with end-of-line codes, one-dimensional.
    Fax3,
    Fax4,
}

impl Codec {
    /// The most bytes that one compressed byte can stand for; `None` where there is no such bound.
    pub(super) const fn max_ratio(self) -> Option<u64> {
        match self {
            Codec::None => Some(1),
            Codec::PackBits => Some(64),
            // A 12-bit code stands for fewer than 4096 bytes.
            Codec::Lzw => Some(4096 * 8 / 12),
            Codec::Deflate => Some(1032),
            Codec::Zstd | Codec::Jpeg | Codec::Fax3 | Codec::Fax4 => None,
        }
    }
}

/// How the chunks of one image are stored.
pub(super) struct ChunkFormat {
    pub codec: Codec,
    /// Bits come least significant first (tag 266 = 2).
    pub reversed_bits: bool,
    /// Pixels per stored row.
    pub width: u32,
    /// Rows of a whole chunk.
    pub rows: u32,
    /// Samples per pixel inside the chunk.
    pub samples: usize,
    pub jpeg_tables: Option<Vec<u8>>,
}

pub(super) type ChunkReader = Box<dyn Read + Send>;

impl ChunkFormat {
    /// The stored rows of the chunk at `offset`, one after the other.
    pub(super) fn open(&self, file: &Arc<File>, offset: u64, bytes: u64) -> Result<ChunkReader> {
        let range = RangeReader::new(file.clone(), offset, bytes);
        if self.codec == Codec::Jpeg {
            return self.decode_jpeg(range);
        }
        let input: Box<dyn Read + Send> =
            if self.reversed_bits { Box::new(ReversedBits(range)) } else { Box::new(range) };
        let input = BufReader::with_capacity(STREAM_BUFFER_BYTES.min(bytes as usize).max(16), input);
        Ok(match self.codec {
            Codec::None => Box::new(input),
            Codec::Lzw => Box::new(LzwReader::new(input)?),
            Codec::Deflate => Box::new(ZlibDecoder::new(input)),
            Codec::PackBits => Box::new(PackBitsReader { input, run: Run::Literal(0) }),
            Codec::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
            Codec::Fax3 | Codec::Fax4 => {
                let width =
                    u16::try_from(self.width).map_err(|_| unsupported("fax rows of over 65535 pixels are not read"))?;
                let decoder = if self.codec == Codec::Fax3 {
                    // Writers leave out the end-of-line code behind the last row; the decoder wants it.
                    let input = input.chain(Cursor::new(&[0, 1]));
                    FaxDecoder::Group3(Group3Decoder::new(input.bytes()).map_err(|_| invalid_fax())?)
                } else {
                    FaxDecoder::Group4(Group4Decoder::new(input.bytes(), width)?)
                };
                Box::new(FaxReader { decoder, width, row: Cursor::new(Vec::new()), rows_left: self.rows })
            }
            Codec::Jpeg => unreachable!("handled above"),
        })
    }

    /// Decodes a JPEG chunk whole, in its own colours: the TIFF says what its components are.
    fn decode_jpeg(&self, mut range: RangeReader) -> Result<ChunkReader> {
        let mut data = Vec::new();
        if let Some(tables) = &self.jpeg_tables {
            // One stream out of two: the tables without their end marker, the image without its start marker.
            data.extend_from_slice(tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(tables));
            let mut start = [0; 2];
            range.read_exact(&mut start)?;
            if start != [0xff, 0xd8] {
                return Err(invalid("the JPEG stream does not begin with its marker".to_string()));
            }
        }
        range.read_to_end(&mut data)?;

        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(self.width as usize)
            .set_max_height(self.rows as usize);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
        let broken = |error: zune_jpeg::errors::DecodeErrors| invalid(format!("JPEG: {error}"));
        decoder.decode_headers().map_err(broken)?;
        let color = decoder.input_colorspace().ok_or_else(|| invalid("JPEG: no frame".to_string()))?;
        let width = decoder.info().map_or(0, |info| u32::from(info.width));
        if width != self.width || color.num_components() != self.samples {
            return Err(invalid(format!(
                "the JPEG stream has {} components and {width} columns, the TIFF says {} and {}",
                color.num_components(),
                self.samples,
                self.width
            )));
        }
        decoder.set_options(options.jpeg_set_out_colorspace(color));
        Ok(Box::new(Cursor::new(decoder.decode().map_err(broken)?)))
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

fn unsupported(message: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

fn invalid_fax() -> Error {
    invalid("the fax code is broken".to_string())
}

struct ReversedBits<R>(R);

impl<R: Read> Read for ReversedBits<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.0.read(buffer)?;
        buffer[..read].iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        Ok(read)
    }
}

struct LzwReader<R> {
    input: R,
    decoder: weezl::decode::Decoder,
}

impl<R: BufRead> LzwReader<R> {
    fn new(mut input: R) -> Result<Self> {
        // The first code is always 256, the clear code: 0x80 0x00… in this order, 0x00 0x01 in the older one.
        if let [0, second, ..] = input.fill_buf()?
            && second & 1 == 1
        {
            return Err(unsupported("LZW in the bit order from before TIFF 6.0 is not read"));
        }
        let decoder = Configuration::with_tiff_size_switch(BitOrder::Msb, 8).with_yield_on_full_buffer(true).build();
        Ok(LzwReader { input, decoder })
    }
}

impl<R: BufRead> Read for LzwReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let input = self.input.fill_buf()?;
            let at_end = input.is_empty();
            let result = self.decoder.decode_bytes(input, buffer);
            self.input.consume(result.consumed_in);
            match result.status {
                Err(error) => return Err(invalid(format!("LZW: {error}"))),
                Ok(LzwStatus::Done) => return Ok(result.consumed_out),
                Ok(_) if result.consumed_out > 0 || at_end => return Ok(result.consumed_out),
                Ok(_) => {}
            }
        }
    }
}

/// PackBits (TIFF 6.0, section 9).
struct PackBitsReader<R> {
    input: R,
    run: Run,
}

enum Run {
    /// So many bytes to copy.
    Literal(usize),
    /// So many times this byte.
    Repeat(usize, u8),
}

impl<R: BufRead> Read for PackBitsReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while let Run::Literal(0) | Run::Repeat(0, _) = self.run {
            let mut byte = [0];
            if self.input.read(&mut byte)? == 0 {
                return Ok(0);
            }
            self.run = match byte[0] {
                count @ 0..=127 => Run::Literal(usize::from(count) + 1),
                128 => Run::Literal(0),
                count => {
                    self.input.read_exact(&mut byte)?;
                    Run::Repeat(257 - usize::from(count), byte[0])
                }
            };
        }
        match &mut self.run {
            Run::Literal(left) => {
                let wanted = buffer.len().min(*left);
                let read = self.input.read(&mut buffer[..wanted])?;
                *left -= read;
                Ok(read)
            }
            Run::Repeat(left, byte) => {
                let wanted = buffer.len().min(*left);
                buffer[..wanted].fill(*byte);
                *left -= wanted;
                Ok(wanted)
            }
        }
    }
}

type FaxInput = BufReader<Box<dyn Read + Send>>;
type EndOfLine = Cursor<&'static [u8; 2]>;

enum FaxDecoder {
    Group3(Group3Decoder<Bytes<Chain<FaxInput, EndOfLine>>>),
    Group4(Group4Decoder<Bytes<FaxInput>>),
}

/// Fax rows as packed bits; white is 0.
struct FaxReader {
    decoder: FaxDecoder,
    width: u16,
    row: Cursor<Vec<u8>>,
    rows_left: u32,
}

impl FaxReader {
    /// Decodes the next row; `false` at the end of the data.
    fn advance(&mut self) -> Result<bool> {
        let transitions = match &mut self.decoder {
            FaxDecoder::Group3(decoder) => {
                decoder.advance().map_err(|_| invalid_fax())?;
                if decoder.transitions().last() != Some(&self.width) {
                    return Err(invalid_fax());
                }
                decoder.transitions()
            }
            FaxDecoder::Group4(decoder) => {
                if decoder.advance().map_err(|_| invalid_fax())? == DecodeStatus::End {
                    return Ok(false);
                }
                decoder.transition()
            }
        };
        let packed = self.row.get_mut();
        packed.clear();
        packed.resize(usize::from(self.width).div_ceil(8), 0);
        for (x, color) in pels(transitions, self.width).enumerate() {
            packed[x / 8] |= u8::from(color == fax::Color::Black) << (7 - x % 8);
        }
        self.row.set_position(0);
        Ok(true)
    }
}

impl Read for FaxReader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.row.position() == self.row.get_ref().len() as u64 && self.rows_left > 0 {
            if !self.advance()? {
                return Ok(0);
            }
            self.rows_left -= 1;
        }
        self.row.read(buffer)
    }
}
