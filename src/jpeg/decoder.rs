//! Rows of a JPEG at full quality.

use std::borrow::Cow;
use std::ptr;

use mozjpeg_sys as ffi;

use super::header::Header;
use super::metadata::{self, Blocks};
use super::session::{Encoding, Session, guard};
use crate::error::{Error, Result, Stage};
use crate::limits::Limits;
use crate::pixel::{Color, Depth, PixelFormat};

/// Rows asked for in one call into libjpeg, which gives at most one row of MCUs (32 rows) at a time.
const ROWS_PER_CALL: usize = 32;

/// Decodes one JPEG from top to bottom with the accurate integer DCT and interpolated chroma.
///
/// Gray stays gray, YCbCr and RGB become RGB, CMYK and YCCK become CMYK with 0 = no ink. Files with an Adobe
/// marker hold inverted ink, as Photoshop writes it; others are taken as they are.
pub struct Decoder {
    session: Session<'static>,
    format: PixelFormat,
    next_row: u32,
    started: bool,
    /// Found while rows of the same call were good; reported by the next call.
    pending: Option<Error>,
    failed: bool,
    /// What is wrong behind the last row.
    trailing: Option<String>,
}

impl Decoder {
    /// Reads the header. Nothing large is allocated before the first row is asked for.
    ///
    /// # Errors
    /// `Malformed` for a broken header, `Unsupported` for 12-bit, arithmetic, lossless and hierarchical files
    /// and for other than 1, 3 or 4 components, `Limit` when the size, the number of scans or the bytes needed
    /// to decode are over a limit.
    pub fn new(data: Vec<u8>, limits: &Limits) -> Result<Self> {
        let mut session = Session::open(Cow::Owned(data), limits)?;
        let (color, out) = match session.encoding {
            Encoding::Gray => (Color::Gray, ffi::JCS_GRAYSCALE),
            Encoding::YCbCr | Encoding::Rgb => (Color::Rgb, ffi::JCS_RGB),
            Encoding::Cmyk | Encoding::Ycck => (Color::Cmyk, ffi::JCS_CMYK),
        };
        let cinfo = session.cinfo_mut();
        cinfo.out_color_space = out;
        cinfo.dct_method = ffi::J_DCT_METHOD::JDCT_ISLOW;
        cinfo.do_fancy_upsampling = 1;
        let format = PixelFormat::new(color, false, Depth::U8);
        let decoder =
            Decoder { session, format, next_row: 0, started: false, pending: None, failed: false, trailing: None };
        limits.check_bytes(decoder.working_bytes())?;
        Ok(decoder)
    }

    pub fn header(&self) -> &Header {
        &self.session.header
    }

    /// Colours as stored.
    pub fn encoding(&self) -> Encoding {
        self.session.encoding
    }

    /// Format of the rows: 8 bits, without alpha.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Metadata of the application segments; blocks over the limit are left out with a warning.
    pub fn blocks(&self, limits: &Limits) -> Blocks {
        metadata::blocks(self.header(), self.session.data(), limits)
    }

    /// Oddities that cost no pixel, as far as seen: stray bytes, a missing end marker.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.session.warnings();
        warnings.extend(self.trailing.clone());
        warnings
    }

    /// Why [`Coefficients`](super::Coefficients) cannot take this file over as tiles, as far as the header tells.
    ///
    /// # Errors
    /// The reason.
    pub fn transferable(&self) -> std::result::Result<(), String> {
        super::coefficients::transferable(self.header(), self.encoding())
    }

    /// Bytes that [`Coefficients::read`](super::Coefficients::read) holds at its peak: libjpeg's arrays, the copy of
    /// them with its masks, and the file.
    pub fn coefficient_bytes(&self) -> u64 {
        let arrays = self.header().coefficient_bytes();
        2 * arrays + arrays / 16 + self.session.data().len() as u64
    }

    /// Bytes held while decoding: the file, row buffers and, with more than one scan, all coefficients.
    pub fn working_bytes(&self) -> u64 {
        let header = self.header();
        let coefficients = if header.multiple_scans { header.coefficient_bytes() } else { 0 };
        self.session.data().len() as u64 + header.row_buffer_bytes() + coefficients
    }

    /// Decodes the next rows into `out`, which holds a whole number of them; returns how many. 0 means the end.
    ///
    /// # Errors
    /// `Malformed` for broken or missing data, naming the row reached: no row is ever made up. Rows before it are
    /// handed out first. After an error every further call fails.
    pub fn read_scanlines(&mut self, out: &mut [u8]) -> Result<usize> {
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        if self.failed {
            return Err(Error::misuse(Stage::Decode, "rows were asked for after an error"));
        }
        let size = self.header().size;
        let row_bytes = size.width as usize * self.format.bytes_per_pixel();
        if out.is_empty() || !out.len().is_multiple_of(row_bytes) {
            return Err(Error::misuse(
                Stage::Decode,
                format!("the buffer of {} bytes is not a whole number of rows of {row_bytes} bytes", out.len()),
            ));
        }
        let wanted = (out.len() / row_bytes).min((size.height - self.next_row) as usize);
        let mut done = 0;
        while done < wanted {
            match self.read_some(&mut out[done * row_bytes..wanted * row_bytes], row_bytes) {
                Ok(rows) => {
                    done += rows;
                    self.next_row += rows as u32;
                    if self.next_row == size.height {
                        self.finish();
                    }
                }
                Err(error) => {
                    self.failed = true;
                    if done == 0 {
                        return Err(error);
                    }
                    self.pending = Some(error);
                    break;
                }
            }
        }
        if self.format.color == Color::Cmyk && self.header().adobe_transform.is_some() {
            for sample in &mut out[..done * row_bytes] {
                *sample = !*sample;
            }
        }
        Ok(done)
    }

    /// One call into libjpeg: at least one row.
    fn read_some(&mut self, out: &mut [u8], row_bytes: usize) -> Result<usize> {
        let mut rows = [ptr::null_mut(); ROWS_PER_CALL];
        let mut count = 0;
        for (pointer, row) in rows.iter_mut().zip(out.chunks_exact_mut(row_bytes)) {
            *pointer = row.as_mut_ptr();
            count += 1;
        }
        let started = self.started;
        let (width, channels) = (self.header().size.width, self.format.channels());
        let cinfo = self.session.cinfo_mut();
        let read = guard(|| {
            // SAFETY: the object is in the state that the calls ask for. The rows are exclusive, `count` of them,
            // and each as long as libjpeg writes, which the comparison makes sure of.
            unsafe {
                if !started {
                    ffi::jpeg_start_decompress(cinfo);
                    let shape = (cinfo.output_width, usize::try_from(cinfo.output_components));
                    assert_eq!(shape, (width, Ok(channels)), "rows of another shape");
                }
                ffi::jpeg_read_scanlines(cinfo, rows.as_mut_ptr(), count)
            }
        });
        self.started = true;
        let broken = match read {
            Ok(rows) if rows > 0 => return Ok(rows as usize),
            // The source never suspends, so this cannot be; but it must not become an endless loop.
            Ok(_) => Error::malformed(Stage::Decode, "no more rows can be decoded"),
            Err(failure) => {
                let height = self.header().size.height;
                self.session.error(failure, &format!("row {} of {height}", self.next_row))
            }
        };
        Err(broken)
    }

    /// Reads on to the end of the image and frees what decoding held. No pixel is at stake any more.
    fn finish(&mut self) {
        let cinfo = self.session.cinfo_mut();
        // SAFETY: decoding has started, and all rows are read.
        if let Err(failure) = guard(|| unsafe { ffi::jpeg_finish_decompress(cinfo) }) {
            self.trailing = Some(self.session.error(failure, "its end").message);
        }
    }

    /// Repeats chroma samples in place of interpolating them, which makes every MCU independent of its neighbours.
    #[cfg(test)]
    pub(super) fn use_plain_upsampling(&mut self) {
        self.session.cinfo_mut().do_fancy_upsampling = 0;
    }
}
