//! Rows of a JPEG at full quality.

use std::{mem, ptr};

use mozjpeg_sys as ffi;

use super::coefficients::{self, Arrays, Coefficients, Collector};
use super::header::Header;
use super::metadata::{self, Blocks};
use super::session::{Encoding, Session, guard};
use crate::error::{Error, Result, Stage};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::pixel::{Color, Depth, PixelFormat};

/// Rows asked for in one call into libjpeg, which gives at most one row of MCUs (32 rows) at a time.
const ROWS_PER_CALL: usize = 32;

/// Decodes one JPEG from top to bottom with the accurate integer DCT and interpolated chroma.
///
/// Gray stays gray, YCbCr and RGB become RGB, CMYK and YCCK become CMYK with 0 = no ink. Files with an Adobe
/// marker hold inverted ink, as Photoshop writes it; others are taken as they are.
pub struct Decoder {
    session: Session,
    format: PixelFormat,
    next_row: u32,
    started: bool,
    /// Found while rows of the same call were good; reported by the next call.
    pending: Option<Error>,
    failed: bool,
    /// What is wrong behind the last row.
    trailing: Option<String>,
    keeping: Keeping,
}

/// Coefficients that are kept beside the rows.
enum Keeping {
    No,
    Wanted,
    /// Decoding has started.
    Rows(Collector, Arrays),
    /// All rows are decoded; the error says why they cannot be taken over.
    All(Result<Coefficients>),
}

// SAFETY: the arrays belong to the session, which moves with them.
unsafe impl Send for Decoder {}

impl Decoder {
    /// Reads the header. Nothing large is allocated before the first row is asked for.
    ///
    /// # Errors
    /// `Malformed` for a broken header, `Unsupported` for 12-bit, arithmetic, lossless and hierarchical files
    /// and for other than 1, 3 or 4 components, `Limit` when the size, the number of scans or the bytes needed
    /// to decode are over a limit.
    pub fn new(data: Vec<u8>, limits: &Limits) -> Result<Self> {
        let mut session = Session::open(data, limits)?;
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
        let decoder = Decoder {
            session,
            format,
            next_row: 0,
            started: false,
            pending: None,
            failed: false,
            trailing: None,
            keeping: Keeping::No,
        };
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

    /// Bytes that keeping the coefficients takes at most: libjpeg's arrays of them, and a token of two bytes for each
    /// that is not zero, which takes two bits in the file at least.
    ///
    /// # Errors
    /// The reason why this file cannot be taken over as tiles, as far as the header tells: not gray or YCbCr, other
    /// samplings.
    pub fn coefficient_bytes(&self) -> std::result::Result<u64, String> {
        coefficients::transferable(self.header(), self.encoding())?;
        let arrays = self.header().coefficient_bytes();
        let held = if self.header().multiple_scans { 0 } else { arrays };
        // Beside its tokens, each block of 128 bytes has a DC value and an end.
        let tokens = (8 * self.session.data().len() as u64).min(arrays);
        Ok(held + tokens + arrays / 16)
    }

    /// Size of an MCU in pixels, where the file can be taken over as tiles.
    pub fn mcu(&self) -> Option<Size> {
        coefficients::transferable(self.header(), self.encoding()).ok()?;
        coefficients::sampling(&self.header().components).map(|(h, v)| Size::new(8 * h, 8 * v))
    }

    /// Keeps the coefficients of the rows that will be read. To be called before the first row.
    ///
    /// # Errors
    /// `Misuse` when rows were read; `Unsupported`, with the reason, where
    /// [`coefficient_bytes`](Self::coefficient_bytes) refuses.
    pub fn keep_coefficients(&mut self) -> Result<()> {
        if self.started {
            return Err(Error::misuse(Stage::Decode, "coefficients were asked for after rows"));
        }
        self.coefficient_bytes().map_err(|reason| Error::unsupported(Stage::Decode, reason))?;
        self.keeping = Keeping::Wanted;
        Ok(())
    }

    /// The coefficients of the rows that were read, which are all blocks down to the last of those rows at least. To be
    /// called once, behind the last row that is wanted.
    ///
    /// # Errors
    /// `Unsupported`, with the reason, when some are outside of what a baseline stream can hold; `Misuse` when none
    /// were kept.
    pub fn take_coefficients(&mut self) -> Result<Coefficients> {
        match mem::replace(&mut self.keeping, Keeping::No) {
            Keeping::All(coefficients) => coefficients,
            Keeping::Rows(collector, _) => collector.finish(&mut self.session),
            _ => Err(Error::misuse(Stage::Decode, "no coefficients were kept")),
        }
    }

    /// All coefficients of a JPEG in memory.
    ///
    /// # Errors
    /// As [`new`](Self::new), [`read_scanlines`](Self::read_scanlines) and
    /// [`take_coefficients`](Self::take_coefficients).
    pub fn coefficients(data: Vec<u8>, limits: &Limits) -> Result<Coefficients> {
        let mut decoder = Decoder::new(data, limits)?;
        decoder.keep_coefficients()?;
        limits.check_bytes(decoder.working_bytes() + decoder.coefficient_bytes().unwrap_or(0))?;
        let mut row = vec![0; decoder.header().size.width as usize * decoder.format.bytes_per_pixel()];
        while decoder.read_scanlines(&mut row)? > 0 {}
        decoder.take_coefficients()
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
        let started = mem::replace(&mut self.started, true);
        let keeping = !matches!(self.keeping, Keeping::No);
        let (width, channels) = (self.header().size.width, self.format.channels());
        let cinfo = self.session.cinfo_mut();
        let mut arrays = ptr::null_mut();
        let read = guard(|| {
            // SAFETY: the object is in the state that the calls ask for. The rows are exclusive, `count` of them,
            // and each as long as libjpeg writes, which the comparison makes sure of.
            unsafe {
                if !started {
                    // libjpeg keeps all coefficients then, and lets them be looked at.
                    cinfo.buffered_image = keeping.into();
                    ffi::jpeg_start_decompress(cinfo);
                    if keeping {
                        arrays = ffi::jpeg_read_coefficients(cinfo);
                        if ffi::jpeg_has_multiple_scans(cinfo) != 0 {
                            // The source never suspends, so every call gets further.
                            while ffi::jpeg_input_complete(cinfo) == 0 {
                                ffi::jpeg_consume_input(cinfo);
                            }
                        }
                        let scan = cinfo.input_scan_number;
                        ffi::jpeg_start_output(cinfo, scan);
                    }
                    let shape = (cinfo.output_width, usize::try_from(cinfo.output_components));
                    assert_eq!(shape, (width, Ok(channels)), "rows of another shape");
                }
                ffi::jpeg_read_scanlines(cinfo, rows.as_mut_ptr(), count)
            }
        });
        if let Keeping::Wanted = self.keeping {
            self.keeping = Keeping::Rows(Collector::new(self.header()), arrays);
        }
        let broken = match read {
            Ok(rows) if rows > 0 => {
                self.collect()?;
                return Ok(rows as usize);
            }
            // The source never suspends, so this cannot be; but it must not become an endless loop.
            Ok(_) => Error::malformed(Stage::Decode, "no more rows can be decoded"),
            Err(failure) => {
                let height = self.header().size.height;
                self.session.error(failure, &format!("row {} of {height}", self.next_row))
            }
        };
        Err(broken)
    }

    /// Takes over the coefficients that libjpeg has read so far.
    fn collect(&mut self) -> Result<()> {
        let Keeping::Rows(collector, arrays) = &mut self.keeping else { return Ok(()) };
        let cinfo = self.session.cinfo();
        // SAFETY: only looks at the object.
        let complete = unsafe { ffi::jpeg_input_complete(cinfo) } != 0;
        let mcu_rows = if complete { u32::MAX } else { cinfo.input_iMCU_row };
        // SAFETY: the arrays are the session's. With one scan libjpeg has read the rows of MCUs before
        // `input_iMCU_row`; with more, all were read before the first row came out.
        unsafe { collector.take(&mut self.session, *arrays, mcu_rows) }
    }

    /// Reads on to the end of the image and frees what decoding held. No pixel is at stake any more.
    fn finish(&mut self) {
        let keeping = match mem::replace(&mut self.keeping, Keeping::No) {
            Keeping::Rows(collector, _) => Keeping::All(collector.finish(&mut self.session)),
            other => other,
        };
        let buffered = !matches!(keeping, Keeping::No);
        self.keeping = keeping;
        let cinfo = self.session.cinfo_mut();
        let finish = guard(|| {
            // SAFETY: decoding has started, and all rows are read.
            unsafe {
                if buffered {
                    ffi::jpeg_finish_output(cinfo);
                }
                ffi::jpeg_finish_decompress(cinfo)
            }
        });
        if let Err(failure) = finish {
            self.trailing = Some(self.session.error(failure, "its end").message);
        }
    }

    /// Repeats chroma samples in place of interpolating them, which makes every MCU independent of its neighbours.
    #[cfg(test)]
    pub(super) fn use_plain_upsampling(&mut self) {
        self.session.cinfo_mut().do_fancy_upsampling = 0;
    }
}
