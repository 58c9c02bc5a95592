//! Abbreviated JPEG streams for the tiles of a TIFF (TIFF Technical Note 2).

use std::mem;
use std::ptr::{self, NonNull};

use mozjpeg_sys as ffi;

use super::session::{ErrorManager, Failure, error_pointer, guard};
use crate::error::{Error, Result, Stage};

/// Rows given to libjpeg in one call; divides every tile side.
const ROWS_PER_CALL: usize = 16;

const BUFFER_BYTES: usize = 16 << 10;

/// What the tiles hold and how it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileKind {
    /// TIFF photometric 1.
    Gray,
    /// RGB in, YCbCr stored (photometric 6); `half_chroma` stores chroma at half size in both directions.
    Rgb { half_chroma: bool },
    /// Ink values as they are, 0 = no ink, not subsampled (photometric 5, without an Adobe marker).
    Cmyk,
}

impl TileKind {
    /// Samples per pixel.
    pub const fn channels(self) -> usize {
        match self {
            TileKind::Gray => 1,
            TileKind::Rgb { .. } => 3,
            TileKind::Cmyk => 4,
        }
    }

    /// Value of the TIFF tag YCbCrSubSampling.
    pub const fn subsampling(self) -> (u16, u16) {
        match self {
            TileKind::Rgb { half_chroma: true } => (2, 2),
            _ => (1, 1),
        }
    }
}

/// libjpeg's destination manager, which appends to a vector by way of a fixed buffer.
#[repr(C)]
struct Destination {
    /// First, so that libjpeg's pointer to it is a pointer to the whole.
    base: ffi::jpeg_destination_mgr,
    buffer: Box<[u8; BUFFER_BYTES]>,
    out: Vec<u8>,
}

impl Destination {
    fn new() -> Self {
        let base = ffi::jpeg_destination_mgr {
            next_output_byte: ptr::null_mut(),
            free_in_buffer: 0,
            init_destination: Some(init_destination),
            empty_output_buffer: Some(empty_output_buffer),
            term_destination: Some(term_destination),
        };
        Destination { base, buffer: Box::new([0; BUFFER_BYTES]), out: Vec::new() }
    }

    /// # Safety
    /// `cinfo.dest` points to a `Destination` that nobody else looks at.
    unsafe fn of(cinfo: &mut ffi::jpeg_compress_struct) -> &mut Destination {
        // SAFETY: the contract.
        unsafe { &mut *cinfo.dest.cast() }
    }

    fn rewind(&mut self) {
        self.base.next_output_byte = self.buffer.as_mut_ptr();
        self.base.free_in_buffer = BUFFER_BYTES;
    }
}

unsafe extern "C-unwind" fn init_destination(cinfo: &mut ffi::jpeg_compress_struct) {
    // SAFETY: `TileEncoder::new` set `dest`, and libjpeg has it to itself during a call.
    unsafe { Destination::of(cinfo) }.rewind();
}

/// Called when the buffer is full, whatever `free_in_buffer` says.
unsafe extern "C-unwind" fn empty_output_buffer(cinfo: &mut ffi::jpeg_compress_struct) -> ffi::boolean {
    // SAFETY: as in `init_destination`.
    let destination = unsafe { Destination::of(cinfo) };
    destination.out.extend_from_slice(&destination.buffer[..]);
    destination.rewind();
    1
}

unsafe extern "C-unwind" fn term_destination(cinfo: &mut ffi::jpeg_compress_struct) {
    // SAFETY: as in `init_destination`.
    let destination = unsafe { Destination::of(cinfo) };
    let filled = BUFFER_BYTES - destination.base.free_in_buffer;
    destination.out.extend_from_slice(&destination.buffer[..filled]);
}

/// What libjpeg keeps pointers into; never moves.
struct Shared {
    cinfo: ffi::jpeg_compress_struct,
    errors: ErrorManager,
    destination: Destination,
}

/// Encodes square tiles with one set of tables.
///
/// Accurate integer DCT, the quantisation tables of T.81 annex K scaled by libjpeg's quality rule, the Huffman
/// tables of annex K, one baseline scan. The same pixels give the same bytes, whichever encoder of the same
/// parameters gets them. Kept for many tiles; cheap enough to have one per thread.
pub struct TileEncoder {
    /// Owned; from `Box::into_raw`.
    shared: NonNull<Shared>,
    tables: Vec<u8>,
    kind: TileKind,
    tile_px: u32,
}

// SAFETY: libjpeg has no state outside its objects, and nothing here is tied to a thread.
unsafe impl Send for TileEncoder {}

impl TileEncoder {
    /// An encoder for tiles of `tile_px` × `tile_px` pixels at `quality` 0–100; libjpeg takes 0 as 1.
    ///
    /// # Errors
    /// `Misuse` when `tile_px` is not a multiple of 16 from 16 to 65 520, or `quality` is over 100.
    pub fn new(kind: TileKind, tile_px: u32, quality: u8) -> Result<Self> {
        if !tile_px.is_multiple_of(16) || !(16..=65_520).contains(&tile_px) {
            return Err(Error::misuse(
                Stage::Encode,
                format!("JPEG tiles of {tile_px} px; the side must be a multiple of 16 from 16 to 65520"),
            ));
        }
        if quality > 100 {
            return Err(Error::misuse(Stage::Encode, format!("JPEG quality {quality}; it must be 0 to 100")));
        }
        // SAFETY: the struct holds integers, raw pointers and C enums with a zero variant, so zero is valid.
        let cinfo: ffi::jpeg_compress_struct = unsafe { mem::zeroed() };
        let shared = Box::new(Shared { cinfo, errors: ErrorManager::new(), destination: Destination::new() });
        let shared = NonNull::from(Box::leak(shared));
        // From here on `Drop` cleans up, also when the calls below fail.
        let mut encoder = TileEncoder { shared, tables: Vec::new(), kind, tile_px };
        let pointer = shared.as_ptr();
        let set_up = guard(|| {
            // SAFETY: `pointer` is valid, and everything that libjpeg gets a pointer to lives as long as it.
            let cinfo = unsafe {
                (*pointer).cinfo.common.err = error_pointer(&raw mut (*pointer).errors);
                ffi::jpeg_create_compress(&raw mut (*pointer).cinfo);
                // `jpeg_create_compress` clears all but `err`.
                (*pointer).cinfo.dest = (&raw mut (*pointer).destination).cast();
                &mut (*pointer).cinfo
            };
            (cinfo.image_width, cinfo.image_height) = (tile_px, tile_px);
            cinfo.input_components = kind.channels() as i32;
            cinfo.in_color_space = match kind {
                TileKind::Gray => ffi::JCS_GRAYSCALE,
                TileKind::Rgb { .. } => ffi::JCS_RGB,
                TileKind::Cmyk => ffi::JCS_CMYK,
            };
            // SAFETY: the object is created, and the fields that `jpeg_set_defaults` asks for are set. `comp_info`
            // then has one entry per component at least. A table pointer may be null: the table is not written.
            unsafe {
                ffi::jpeg_c_set_int_param(cinfo, ffi::JINT_COMPRESS_PROFILE, ffi::JCP_FASTEST as i32);
                ffi::jpeg_set_defaults(cinfo);
                ffi::jpeg_set_quality(cinfo, quality.into(), 1);
                cinfo.dct_method = ffi::J_DCT_METHOD::JDCT_ISLOW;
                cinfo.write_JFIF_header = 0;
                cinfo.write_Adobe_marker = 0;
                match kind {
                    TileKind::Rgb { half_chroma } => {
                        let factor = if half_chroma { 2 } else { 1 };
                        (*cinfo.comp_info).h_samp_factor = factor;
                        (*cinfo.comp_info).v_samp_factor = factor;
                    }
                    TileKind::Gray | TileKind::Cmyk => {
                        cinfo.quant_tbl_ptrs[1] = ptr::null_mut();
                        cinfo.dc_huff_tbl_ptrs[1] = ptr::null_mut();
                        cinfo.ac_huff_tbl_ptrs[1] = ptr::null_mut();
                    }
                }
                // Also marks the tables as sent, so that the tiles leave them out.
                ffi::jpeg_write_tables(cinfo);
            }
        });
        set_up.map_err(encode_error)?;
        encoder.tables = mem::take(&mut encoder.destination_mut().out);
        Ok(encoder)
    }

    /// The stream with the tables that all tiles share: the value of the TIFF tag JPEGTables.
    pub fn tables(&self) -> &[u8] {
        &self.tables
    }

    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Appends the stream of one tile to `out`. `pixels` are `tile_px` rows of `tile_px` interleaved pixels, each row
    /// `stride` bytes behind the one before.
    ///
    /// # Errors
    /// `Misuse` when `pixels` ends before the last row does, or rows overlap; `Limit` when libjpeg gets no memory.
    /// `out` is then unchanged.
    pub fn encode(&mut self, pixels: &[u8], stride: usize, out: &mut Vec<u8>) -> Result<()> {
        let row_bytes = self.tile_px as usize * self.kind.channels();
        let expected = stride.saturating_mul(self.tile_px as usize - 1).saturating_add(row_bytes);
        if stride < row_bytes || pixels.len() < expected {
            return Err(Error::misuse(
                Stage::Encode,
                format!(
                    "a JPEG tile got {} bytes of pixels, rows {stride} bytes apart, in place of {expected}",
                    pixels.len()
                ),
            ));
        }
        let length = out.len();
        self.destination_mut().out = mem::take(out);
        let pointer = self.shared.as_ptr();
        let encoded = guard(|| {
            // SAFETY: valid until `drop`, and `&mut self` is exclusive; libjpeg's own pointers lead to the other fields.
            let cinfo = unsafe { &mut (*pointer).cinfo };
            // SAFETY: the object is set up and idle. Every row pointer leads to `row_bytes` bytes, which is what
            // libjpeg reads: `image_width` × `input_components`. It does not write to them.
            unsafe {
                ffi::jpeg_start_compress(cinfo, 0);
                for first in (0..self.tile_px as usize).step_by(ROWS_PER_CALL) {
                    let pointers: [*const u8; ROWS_PER_CALL] =
                        std::array::from_fn(|row| pixels[(first + row) * stride..][..row_bytes].as_ptr());
                    ffi::jpeg_write_scanlines(cinfo, pointers.as_ptr(), ROWS_PER_CALL as u32);
                }
                ffi::jpeg_finish_compress(cinfo);
            }
        });
        *out = mem::take(&mut self.destination_mut().out);
        encoded.map_err(|failure| {
            out.truncate(length);
            // SAFETY: allowed in every state; makes the object idle again. Frees memory and raises nothing.
            unsafe { ffi::jpeg_abort_compress(&mut (*pointer).cinfo) };
            encode_error(failure)
        })
    }

    fn destination_mut(&mut self) -> &mut Destination {
        // SAFETY: valid until `drop`, `&mut self` is exclusive, and no call into libjpeg is under way.
        unsafe { &mut (*self.shared.as_ptr()).destination }
    }
}

impl Drop for TileEncoder {
    fn drop(&mut self) {
        let pointer = self.shared.as_ptr();
        // SAFETY: the pointer came from a `Box` and is given back once. Destroying is allowed in every state,
        // also before creation succeeded: the struct is zero then.
        unsafe {
            ffi::jpeg_destroy_compress(&mut (*pointer).cinfo);
            drop(Box::from_raw(pointer));
        }
    }
}

fn encode_error(failure: Failure) -> Error {
    failure.into_error(Stage::Encode, |text| format!("a JPEG tile could not be encoded: {text}"))
}
