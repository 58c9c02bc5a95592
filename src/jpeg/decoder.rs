//! Rows of a JPEG at full quality.

use std::ops::Range;
use std::{mem, ptr};

use mozjpeg_sys as ffi;

use super::coefficients::{self, Coefficients};
use super::header::Header;
use super::metadata::{self, Blocks};
use super::native::Native;
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
    /// Decodes as long as the stream is without a fault.
    pub(super) native: Option<Box<Native>>,
    format: PixelFormat,
    next_row: u32,
    started: bool,
    libjpeg_started: bool,
    /// Found while rows of the same call were good; reported by the next call.
    pending: Option<Error>,
    failed: bool,
    /// What is wrong behind the last row.
    trailing: Option<String>,
    /// Coefficients are kept beside the rows, unless decoding is left to libjpeg.
    keeping: bool,
}

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
        let native = Native::new(session.data(), &session.header, session.encoding).ok().map(Box::new);
        let decoder = Decoder {
            session,
            native,
            format,
            next_row: 0,
            started: false,
            libjpeg_started: false,
            pending: None,
            failed: false,
            trailing: None,
            keeping: false,
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

    /// Bytes that keeping the coefficients takes at most: as many bits as in the file, or in the file that it would
    /// be with one scan.
    ///
    /// # Errors
    /// The reason why this file cannot be taken over as tiles, as far as can be told before decoding: not gray or
    /// YCbCr, other samplings, an unusual stream.
    pub fn coefficient_bytes(&self) -> std::result::Result<u64, String> {
        coefficients::transferable(self.header(), self.encoding())?;
        if self.native.is_none() {
            return Err("its stream is unusual".into());
        }
        let file = self.session.data().len() as u64;
        // Beside its bits, each block of 128 bytes has a DC value and an end.
        let blocks = self.header().coefficient_bytes() / 128;
        Ok(if self.header().multiple_scans { 4 * file } else { file } + 6 * blocks)
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
        if let Some(native) = &mut self.native {
            native.keep()?;
        }
        self.keeping = true;
        Ok(())
    }

    /// The coefficients of these rows, which were read. Those above are forgotten, too, so that what is taken piece by
    /// piece is held only once. Of a file with several scans they are made now, in the threads of `pool`; else they are
    /// there.
    ///
    /// # Errors
    /// `Unsupported`, with the reason, when some are outside of what a baseline stream can hold; `Misuse` when none
    /// were kept of these rows, or no longer.
    pub fn take_coefficients(&mut self, rows: Range<u32>, pool: Option<&rayon::ThreadPool>) -> Result<Coefficients> {
        let kept = match &mut self.native {
            Some(native) => native.take(rows.clone(), pool),
            None if self.keeping => return Err(Error::unsupported(Stage::Decode, "its stream is unusual")),
            None => None,
        };
        kept.unwrap_or_else(|| {
            Err(Error::misuse(
                Stage::Decode,
                format!("no coefficients are kept of rows {} to {}", rows.start, rows.end),
            ))
        })
    }

    /// Reads all scans of a file that has several, in the threads of `pool`. To be called before the first row; without
    /// it, the first row takes as long as that takes on one thread.
    pub fn read_scans(&mut self, pool: &rayon::ThreadPool) {
        if let Some(native) = &mut self.native
            && native.read_scans(self.session.data(), Some(pool)).is_err()
        {
            self.native = None;
        }
    }

    /// Bytes held while decoding: the file, row buffers and, with more than one scan, all coefficients. libjpeg, which
    /// may have to take over, holds no less.
    pub fn working_bytes(&self) -> u64 {
        let header = self.header();
        let coefficients = if header.multiple_scans { header.coefficient_bytes() } else { 0 };
        let libjpeg = header.row_buffer_bytes() + coefficients;
        let native = self.native.as_ref().map_or(0, |native| native.working_bytes());
        self.session.data().len() as u64 + libjpeg.max(native)
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

    /// At least one row.
    fn read_some(&mut self, out: &mut [u8], row_bytes: usize) -> Result<usize> {
        self.started = true;
        if let Some(native) = &mut self.native {
            if let Ok(rows) = native.read(self.session.data(), out, row_bytes) {
                return Ok(rows);
            }
            self.native = None;
            // libjpeg starts anew.
            let mut row = vec![0; row_bytes];
            for _ in 0..self.next_row {
                self.read_libjpeg(&mut row, row_bytes)?;
            }
        }
        self.read_libjpeg(out, row_bytes)
    }

    /// One call into libjpeg: at least one row.
    fn read_libjpeg(&mut self, out: &mut [u8], row_bytes: usize) -> Result<usize> {
        let mut rows = [ptr::null_mut(); ROWS_PER_CALL];
        let mut count = 0;
        for (pointer, row) in rows.iter_mut().zip(out.chunks_exact_mut(row_bytes)) {
            *pointer = row.as_mut_ptr();
            count += 1;
        }
        let started = mem::replace(&mut self.libjpeg_started, true);
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
        match read {
            Ok(rows) if rows > 0 => Ok(rows as usize),
            // The source never suspends, so this cannot be; but it must not become an endless loop.
            Ok(_) => Err(Error::malformed(Stage::Decode, "no more rows can be decoded")),
            Err(failure) => {
                // Rows that were handed out before libjpeg took over stay good.
                let row = self.session.cinfo().output_scanline.max(self.next_row);
                let height = self.header().size.height;
                Err(self.session.error(failure, &format!("row {row} of {height}")))
            }
        }
    }

    /// Reads on to the end of the image and frees what decoding held. No pixel is at stake any more.
    fn finish(&mut self) {
        if !self.libjpeg_started {
            return;
        }
        let cinfo = self.session.cinfo_mut();
        // SAFETY: decoding has started, and all rows are read.
        if let Err(failure) = guard(|| unsafe { ffi::jpeg_finish_decompress(cinfo) }) {
            self.trailing = Some(self.session.error(failure, "its end").message);
        }
    }

    /// Repeats chroma samples in place of interpolating them, which makes every MCU independent of its neighbours.
    #[cfg(test)]
    pub(super) fn use_plain_upsampling(&mut self) {
        self.use_libjpeg();
        self.session.cinfo_mut().do_fancy_upsampling = 0;
    }

    /// Leaves decoding to libjpeg from the start.
    #[cfg(test)]
    pub(super) fn use_libjpeg(&mut self) {
        self.native = None;
    }
}
