//! From stored samples to pixels: byte order, predictor, bit depth, photometric interpretation, alpha.

use std::io::{Read, Result};

use crate::pixel::{Depth, PixelFormat, Sample, Samples};

use super::chunk::ChunkReader;

/// How the samples of a stored row are coded.
pub(super) struct SampleFormat {
    /// 1, 2, 4, 8 or 16.
    pub bits: u32,
    /// 16-bit samples are not in this machine's byte order.
    pub swapped: bool,
    /// Horizontal differencing (tag 317 = 2).
    pub predicted: bool,
    /// Factor that spreads samples of fewer than 8 bits over the whole range; 1 for palette indices.
    pub scale: u8,
}

/// A sample as it is stored: 8 bits (or fewer, packed) or 16.
trait Stored: Sample {
    fn plus(self, other: Self) -> Self;

    /// Reads one row, with byte order and bit depth resolved.
    fn read_row(reader: &mut dyn Read, row: &mut [Self], format: &SampleFormat, packed: &mut Vec<u8>) -> Result<()>;
}

impl Stored for u8 {
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    fn read_row(reader: &mut dyn Read, row: &mut [u8], format: &SampleFormat, packed: &mut Vec<u8>) -> Result<()> {
        if format.bits == 8 {
            return reader.read_exact(row);
        }
        packed.resize((row.len() * format.bits as usize).div_ceil(8), 0);
        reader.read_exact(packed)?;
        let per_byte = 8 / format.bits as usize;
        let mask = (1 << format.bits) - 1;
        for (samples, &byte) in row.chunks_mut(per_byte).zip(packed.iter()) {
            for (i, sample) in samples.iter_mut().enumerate() {
                let shift = 8 - format.bits * (i as u32 + 1);
                *sample = ((byte >> shift) & mask) * format.scale;
            }
        }
        Ok(())
    }
}

impl Stored for u16 {
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    fn read_row(reader: &mut dyn Read, row: &mut [u16], format: &SampleFormat, _packed: &mut Vec<u8>) -> Result<()> {
        reader.read_exact(bytemuck::cast_slice_mut(row))?;
        if format.swapped {
            row.iter_mut().for_each(|sample| *sample = sample.swap_bytes());
        }
        Ok(())
    }
}

/// Reads stored rows; keeps the buffers between rows.
pub(super) struct RowReader {
    format: SampleFormat,
    samples_per_pixel: usize,
    /// One row, samples of a pixel side by side.
    row: Samples,
    /// One row of one plane.
    plane: Samples,
    packed: Vec<u8>,
}

impl RowReader {
    /// For rows of `width` pixels.
    pub(super) fn new(format: SampleFormat, width: u32, samples_per_pixel: usize, planes: usize) -> Self {
        let depth = if format.bits == 16 { Depth::U16 } else { Depth::U8 };
        let width = width as usize;
        RowReader {
            row: Samples::zeroed(depth, width * samples_per_pixel),
            plane: Samples::zeroed(depth, if planes > 1 { width } else { 0 }),
            packed: Vec::new(),
            format,
            samples_per_pixel,
        }
    }

    /// Reads one row from the chunk that holds it, or from the chunks of all planes.
    pub(super) fn read(&mut self, chunks: &mut [ChunkReader]) -> Result<&Samples> {
        let RowReader { format, samples_per_pixel, row, plane, packed } = self;
        match (&mut *row, plane) {
            (Samples::U8(row), Samples::U8(plane)) => read(chunks, format, *samples_per_pixel, row, plane, packed)?,
            (Samples::U16(row), Samples::U16(plane)) => read(chunks, format, *samples_per_pixel, row, plane, packed)?,
            _ => unreachable!("both have the depth of the format"),
        }
        Ok(row)
    }
}

fn read<T: Stored>(
    chunks: &mut [ChunkReader],
    format: &SampleFormat,
    samples_per_pixel: usize,
    row: &mut [T],
    plane: &mut [T],
    packed: &mut Vec<u8>,
) -> Result<()> {
    if let [chunk] = chunks {
        T::read_row(chunk, row, format, packed)?;
        if format.predicted {
            undo_predictor(row, samples_per_pixel);
        }
        return Ok(());
    }
    for (channel, chunk) in chunks.iter_mut().enumerate() {
        T::read_row(chunk, plane, format, packed)?;
        if format.predicted {
            undo_predictor(plane, 1);
        }
        for (pixel, &sample) in row.chunks_exact_mut(samples_per_pixel).zip(plane.iter()) {
            pixel[channel] = sample;
        }
    }
    Ok(())
}

/// Adds up the differences to the pixel on the left.
fn undo_predictor<T: Stored>(row: &mut [T], samples_per_pixel: usize) {
    match samples_per_pixel {
        1 => sum_up::<T, 1>(row),
        3 => sum_up::<T, 3>(row),
        4 => sum_up::<T, 4>(row),
        step => {
            for i in step..row.len() {
                row[i] = row[i].plus(row[i - step]);
            }
        }
    }
}

/// The same with the last pixel in registers.
fn sum_up<T: Stored, const N: usize>(row: &mut [T]) {
    let mut last = [T::from_u32(0); N];
    for pixel in row.as_chunks_mut::<N>().0 {
        for (last, sample) in last.iter_mut().zip(pixel) {
            *last = last.plus(*sample);
            *sample = *last;
        }
    }
}

/// What the stored colour samples mean (tag 262).
pub(super) enum Photometric {
    /// Already what the pixel format holds.
    Direct,
    WhiteIsZero,
    YCbCr,
    /// L\* over the whole range, a\* and b\* signed; at 16 bits in units of 1/256 (TIFF 6.0, section 23; TIFF Technical
    /// Note 4).
    CieLab,
    /// As ICC profiles of version 2 have it: at 8 bits what the pixel format holds, at 16 bits L\* 100 is 0xff00 and a\*,
    /// b\* count 1/256 from −128 on.
    IccLab,
    /// Red, green and blue of every index.
    Palette8(Vec<[u8; 3]>),
    Palette16(Vec<[u16; 3]>),
}

/// Where alpha stands among the stored samples.
#[derive(Clone, Copy)]
pub(super) struct Alpha {
    pub index: usize,
    /// Colour is premultiplied.
    pub associated: bool,
}

/// Turns stored pixels into those of `format`.
///
/// Associated alpha is divided out: `c = min(max, (c' · max + a / 2) / a)`, and 0 where `a` is 0; on WhiteIsZero
/// before the inversion, as the stored values are what was multiplied. YCbCr is converted as in JFIF, with full range.
pub(super) struct Conversion {
    pub photometric: Photometric,
    pub alpha: Option<Alpha>,
    pub samples_per_pixel: usize,
    pub format: PixelFormat,
}

impl Conversion {
    /// Writes the pixels of `stored` to `out` from sample `at` on, `pixels` of them.
    pub(super) fn convert(&self, stored: &Samples, pixels: usize, out: &mut Samples, at: usize) {
        let read = ..pixels * self.samples_per_pixel;
        let written = at..at + pixels * self.format.channels();
        match (stored, out, &self.photometric) {
            (Samples::U8(stored), Samples::U8(out), Photometric::Palette8(colors)) => {
                self.look_up(&stored[read], &mut out[written], colors, |index| index);
            }
            (Samples::U8(stored), Samples::U16(out), Photometric::Palette16(colors)) => {
                // An index stays as it is; alpha of 8 bits is spread to 16.
                self.look_up(&stored[read], &mut out[written], colors, |alpha| u16::from(alpha) * 257);
            }
            (Samples::U8(stored), Samples::U8(out), _) => self.convert_direct(&stored[read], &mut out[written]),
            (Samples::U16(stored), Samples::U16(out), _) => self.convert_direct(&stored[read], &mut out[written]),
            _ => unreachable!("the pixel format was made from the stored one"),
        }
    }

    fn look_up<T: Sample>(&self, stored: &[u8], out: &mut [T], colors: &[[T; 3]], alpha_to: impl Fn(u8) -> T) {
        let channels = self.format.channels();
        for (stored, pixel) in stored.chunks_exact(self.samples_per_pixel).zip(out.chunks_exact_mut(channels)) {
            // There is a colour for every index that the bit depth allows.
            pixel[..3].copy_from_slice(&colors[usize::from(stored[0])]);
            if let Some(Alpha { index, associated }) = self.alpha {
                let alpha = alpha_to(stored[index]);
                if associated {
                    unassociate(&mut pixel[..3], alpha);
                }
                pixel[3] = alpha;
            }
        }
    }

    /// Gathers the samples that count, then changes them in place.
    fn convert_direct<T: Sample>(&self, stored: &[T], out: &mut [T]) {
        let channels = self.format.channels();
        let components = self.format.color.components();
        if self.samples_per_pixel == channels {
            // Alpha, if there is any, can only be the last sample.
            out.copy_from_slice(stored);
        } else {
            for (stored, pixel) in stored.chunks_exact(self.samples_per_pixel).zip(out.chunks_exact_mut(channels)) {
                pixel[..components].copy_from_slice(&stored[..components]);
                if let Some(alpha) = self.alpha {
                    pixel[components] = stored[alpha.index];
                }
            }
        }
        if self.alpha.is_some_and(|alpha| alpha.associated) {
            for pixel in out.chunks_exact_mut(channels) {
                let (color, alpha) = pixel.split_at_mut(components);
                unassociate(color, alpha[0]);
            }
        }
        match self.photometric {
            Photometric::WhiteIsZero => {
                for gray in out.iter_mut().step_by(channels) {
                    let value: u32 = (*gray).into();
                    *gray = T::from_u32(T::MAX - value);
                }
            }
            Photometric::YCbCr => out.chunks_exact_mut(channels).for_each(ycbcr_to_rgb),
            Photometric::CieLab => {
                for pixel in out.chunks_exact_mut(channels) {
                    // The sign bit turned round adds 128.
                    pixel[1..3]
                        .iter_mut()
                        .for_each(|v| *v = spread(T::from_u32(Into::<u32>::into(*v) ^ (T::MAX / 2 + 1))));
                }
            }
            Photometric::IccLab => {
                for pixel in out.chunks_exact_mut(channels) {
                    pixel[..3].iter_mut().for_each(|v| *v = spread(*v));
                }
            }
            _ => {}
        }
    }
}

fn unassociate<T: Sample>(color: &mut [T], alpha: T) {
    let alpha: u32 = alpha.into();
    for c in color {
        let value: u32 = (*c).into();
        // 65535 × 65535 + 32767 fits u32.
        *c = T::from_u32((value * T::MAX + alpha / 2).checked_div(alpha).unwrap_or(0).min(T::MAX));
    }
}

/// At 16 bits, from 0xff00 for 255 to 0xffff; at 8 bits nothing changes.
fn spread<T: Sample>(value: T) -> T {
    let value: u32 = value.into();
    T::from_u32(if T::DEPTH == Depth::U16 { (value + ((value + 128) >> 8)).min(T::MAX) } else { value })
}

/// JFIF's matrix in 16-bit fixed point, rounded to nearest; JPEG chunks have 8 bits, so the products fit.
fn ycbcr_to_rgb<T: Sample>(pixel: &mut [T]) {
    let [y, cb, cr]: [i32; 3] = [0, 1, 2].map(|i| pixel[i].into());
    let (cb, cr) = (cb - 128, cr - 128);
    let round = |product: i32| (product + 32768) >> 16;
    let rgb = [y + round(91881 * cr), y + round(-22554 * cb - 46802 * cr), y + round(116_130 * cb)];
    for (sample, value) in pixel.iter_mut().zip(rgb) {
        *sample = T::from_u32(value.clamp(0, 255) as u32);
    }
}
