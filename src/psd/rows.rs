//! Rows of one channel: raw, PackBits, ZIP, ZIP with prediction.

use std::io::{BufReader, Read};
use std::sync::Arc;

use flate2::bufread::ZlibDecoder;

use super::{Channel, Document, Extent};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::read_at::RangeReader;

/// Input buffer of one channel.
const BUFFER_BYTES: usize = 16 << 10;

/// PackBits makes at most 128 bytes of two.
const PACK_BITS_FACTOR: u64 = 64;

/// Deflate makes at most 1032 bytes of one.
const DEFLATE_FACTOR: u64 = 1032;

/// Rows of one channel from top to bottom, as stored: big-endian samples, without prediction.
pub struct PlaneRows {
    input: Input,
    row_bytes: usize,
    depth: u16,
    rows: u32,
    next_row: u32,
    packed: Vec<u8>,
    /// A row with its samples cut into bytes.
    shuffled: Vec<u8>,
}

enum Input {
    /// Nothing is stored; rows are zero.
    Empty,
    Raw(BufReader<RangeReader>),
    PackBits {
        data: BufReader<RangeReader>,
        counts: BufReader<RangeReader>,
        wide: bool,
    },
    Zip {
        data: Box<ZlibDecoder<BufReader<RangeReader>>>,
        predicted: bool,
    },
}

/// What an open plane holds besides its rows.
pub const PLANE_BYTES: u64 = 2 * BUFFER_BYTES as u64 + (64 << 10);

impl Document {
    /// The rows of a channel of a layer, `width` × `height` samples.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported` for a compression that does not exist, `Io`.
    pub fn channel_rows(&self, channel: &Channel, width: u32, height: u32) -> Result<PlaneRows> {
        let mut planes = self.planes(channel.data, width, height, 1, 1)?;
        Ok(planes.remove(0))
    }

    /// The rows of the first `channels` channels of the merged image.
    ///
    /// # Errors
    /// As [`Document::channel_rows`].
    pub fn merged_rows(&self, channels: usize) -> Result<Vec<PlaneRows>> {
        let size = self.header.size;
        let all = usize::from(self.header.channels);
        self.planes(self.merged, size.width, size.height, all, channels)
    }

    /// The first `wanted` of `count` planes that stand one after the other behind one mark of their compression.
    fn planes(&self, extent: Extent, width: u32, height: u32, count: usize, wanted: usize) -> Result<Vec<PlaneRows>> {
        let wanted = wanted as u64;
        let row_bytes = self.header.row_bytes(width);
        let plane = |input| PlaneRows {
            input,
            row_bytes,
            depth: self.header.depth,
            rows: height,
            next_row: 0,
            packed: Vec::new(),
            shuffled: Vec::new(),
        };
        // Layers without pixels may leave the mark out.
        if extent.bytes < 2 || row_bytes == 0 || height == 0 {
            return Ok((0..wanted).map(|_| plane(Input::Empty)).collect());
        }
        let range = |start, bytes| RangeReader::new(Arc::clone(&self.source), start, bytes);
        let mut mark = [0; 2];
        range(extent.start, 2).read_exact(&mut mark).map_err(ends)?;
        let (start, bytes) = (extent.start + 2, extent.bytes - 2);
        let plane_bytes = row_bytes as u64 * u64::from(height);
        let whole = plane_bytes.saturating_mul(count as u64);
        let holds = |at_most: u64| {
            if whole > at_most {
                let what = format!("{width} × {height} px in {count} channels, which its {bytes} bytes cannot hold");
                return Err(Error::malformed(Stage::Decode, format!("the image data should have {what}")));
            }
            Ok(())
        };
        let buffered = |start, bytes| BufReader::with_capacity(BUFFER_BYTES, range(start, bytes));
        match u16::from_be_bytes(mark) {
            0 => {
                holds(bytes)?;
                Ok((0..wanted).map(|i| plane(Input::Raw(buffered(start + i * plane_bytes, plane_bytes)))).collect())
            }
            1 => {
                holds(bytes.saturating_mul(PACK_BITS_FACTOR))?;
                let wide = self.header.psb;
                let count_bytes = if wide { 4 } else { 2 };
                let table_bytes = u64::from(height) * count_bytes;
                let mut data_start = start + table_bytes * count as u64;
                let end = start + bytes;
                let mut planes = Vec::new();
                for i in 0..wanted {
                    let table = start + i * table_bytes;
                    let mut counts = buffered(table, table_bytes);
                    let mut sum = 0;
                    if i + 1 < wanted {
                        for _ in 0..height {
                            sum += u64::from(row_count(&mut counts, wide)?);
                        }
                    }
                    let data = buffered(data_start, end.saturating_sub(data_start));
                    planes.push(plane(Input::PackBits { data, counts: buffered(table, table_bytes), wide }));
                    data_start = data_start.saturating_add(sum);
                }
                Ok(planes)
            }
            compression @ (2 | 3) => {
                holds(bytes.saturating_mul(DEFLATE_FACTOR))?;
                // One stream for all planes: each reader unpacks and drops what stands before its own.
                (0..wanted)
                    .map(|i| {
                        let mut data = Box::new(ZlibDecoder::new(buffered(start, bytes)));
                        std::io::copy(&mut data.as_mut().take(i * plane_bytes), &mut std::io::sink()).map_err(ends)?;
                        Ok(plane(Input::Zip { data, predicted: compression == 3 }))
                    })
                    .collect()
            }
            other => Err(Error::unsupported(
                Stage::Decode,
                format!("image data of compression {other} is not read; it is 0 to 3"),
            )),
        }
    }
}

impl PlaneRows {
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Replaces `row` by the next row.
    ///
    /// # Errors
    /// `Malformed`, naming the row, `Io`.
    pub fn next_row(&mut self, row: &mut Vec<u8>) -> Result<()> {
        row.resize(self.row_bytes, 0);
        if self.next_row >= self.rows {
            return Err(Error::misuse(Stage::Decode, "a row below the last one was asked for"));
        }
        self.next_row += 1;
        self.read(row).map_err(|mut error| {
            error.message = format!("row {} of {}: {}", self.next_row, self.rows, error.message);
            error
        })
    }

    fn read(&mut self, row: &mut [u8]) -> Result<()> {
        match &mut self.input {
            Input::Empty => row.fill(0),
            Input::Raw(data) => data.read_exact(row).map_err(ends)?,
            Input::PackBits { data, counts, wide } => {
                let packed = row_count(counts, *wide)?;
                // More than what the row could need is what a length of another row would look like.
                if packed as usize > 2 * self.row_bytes + 16 {
                    let what = format!("{packed} packed bytes for {} bytes", self.row_bytes);
                    return Err(Error::malformed(Stage::Decode, what));
                }
                self.packed.resize(packed as usize, 0);
                data.read_exact(&mut self.packed).map_err(ends)?;
                unpack(&self.packed, row)?;
            }
            Input::Zip { data, predicted } => {
                data.read_exact(row).map_err(ends)?;
                if *predicted {
                    undo_prediction(row, self.depth, &mut self.shuffled);
                }
            }
        }
        Ok(())
    }
}

fn row_count(counts: &mut impl Read, wide: bool) -> Result<u32> {
    let mut bytes = [0; 4];
    counts.read_exact(&mut bytes[if wide { 0 } else { 2 }..]).map_err(ends)?;
    Ok(u32::from_be_bytes(bytes))
}

fn ends(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::malformed(Stage::Decode, "the image data ends early; the file is truncated").caused_by(error)
        }
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => {
            Error::malformed(Stage::Decode, format!("the compressed image data is broken: {error}")).caused_by(error)
        }
        _ => {
            Error::new(ErrorKind::Io, Stage::Decode, format!("the image data cannot be read: {error}")).caused_by(error)
        }
    }
}

/// PackBits (Apple technical note TN1023) of one row. What is missing at its end stays zero in no case: it is an error.
fn unpack(packed: &[u8], row: &mut [u8]) -> Result<()> {
    let broken = || Error::malformed(Stage::Decode, "PackBits data of the wrong length");
    let (mut packed, mut at) = (packed, 0);
    while at < row.len() {
        let (&control, rest) = packed.split_first().ok_or_else(broken)?;
        packed = match control {
            0..=127 => {
                let count = usize::from(control) + 1;
                let (literal, rest) = rest.split_at_checked(count).ok_or_else(broken)?;
                row.get_mut(at..at + count).ok_or_else(broken)?.copy_from_slice(literal);
                at += count;
                rest
            }
            128 => rest,
            129.. => {
                let count = 257 - usize::from(control);
                let (&value, rest) = rest.split_first().ok_or_else(broken)?;
                row.get_mut(at..at + count).ok_or_else(broken)?.fill(value);
                at += count;
                rest
            }
        };
    }
    Ok(())
}

/// Each sample is stored as the difference from the one before; of 32 bits, all first bytes stand before all second
/// bytes and so on, and the bytes are stored as differences.
fn undo_prediction(row: &mut [u8], depth: u16, shuffled: &mut Vec<u8>) {
    match depth {
        16 => {
            let mut last = 0u16;
            for sample in row.as_chunks_mut::<2>().0 {
                last = last.wrapping_add(u16::from_be_bytes(*sample));
                *sample = last.to_be_bytes();
            }
        }
        _ => {
            let mut last = 0u8;
            for byte in row.iter_mut() {
                last = last.wrapping_add(*byte);
                *byte = last;
            }
            if depth == 32 {
                shuffled.clear();
                shuffled.extend_from_slice(row);
                let width = row.len() / 4;
                for (x, sample) in row.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    *sample = [shuffled[x], shuffled[width + x], shuffled[2 * width + x], shuffled[3 * width + x]];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packbits_of_the_technical_note() {
        let packed = [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let mut row = [0; 24];
        unpack(&packed, &mut row).unwrap();
        assert_eq!(row[..6], [0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a]);
        assert_eq!(row[14..], [0xaa; 10]);
        for end in 0..packed.len() {
            unpack(&packed[..end], &mut row).unwrap_err();
        }
        unpack(&packed, &mut [0; 23]).unwrap_err();
    }

    #[test]
    fn prediction_is_undone() {
        let mut row = [1, 1, 255, 0];
        undo_prediction(&mut row, 8, &mut Vec::new());
        assert_eq!(row, [1, 2, 1, 1]);
        let mut row = [0x00, 0xff, 0x00, 0x02, 0xff, 0xff];
        undo_prediction(&mut row, 16, &mut Vec::new());
        assert_eq!(row, [0x00, 0xff, 0x01, 0x01, 0x01, 0x00]);
        // Two floats: 1.0 is 3f 80 00 00 and 2.0 is 40 00 00 00; planes 3f 40, 80 00, 00 00, 00 00 as differences.
        let mut row = [0x3f, 0x01, 0x40, 0x80, 0x00, 0x00, 0x00, 0x00];
        undo_prediction(&mut row, 32, &mut Vec::new());
        assert_eq!([&row[..4], &row[4..]].map(|b| f32::from_be_bytes(b.try_into().unwrap())), [1.0, 2.0]);
    }
}
