//! libjpeg as an encoder of tiles, the reference for the one in Rust; `benches/jpeg.rs` measures against it, too.

use std::ffi::c_ulong;
use std::{mem, ptr};

use mozjpeg_sys as ffi;
use reprise::jpeg::TileKind;

/// Accurate integer DCT, tables of annex K, no markers of JFIF or Adobe. Faults end the process, as is libjpeg's
/// default.
pub struct Libjpeg {
    /// In boxes, as libjpeg keeps pointers.
    cinfo: Box<ffi::jpeg_compress_struct>,
    _errors: Box<ffi::jpeg_error_mgr>,
    tables: Vec<u8>,
    /// Where the stream goes.
    buffer: Vec<u8>,
    tile_px: usize,
    row_bytes: usize,
}

impl Libjpeg {
    pub fn new(kind: TileKind, tile_px: usize, quality: u8) -> Self {
        // SAFETY: both structs hold integers, raw pointers and C enums with a zero variant, so zero is valid.
        let (mut cinfo, mut errors) = unsafe {
            (Box::new(mem::zeroed::<ffi::jpeg_compress_struct>()), Box::new(mem::zeroed::<ffi::jpeg_error_mgr>()))
        };
        // SAFETY: the calls come in the order that libjpeg asks for, with the fields set that each of them reads.
        // `comp_info` has an entry for each component. A table pointer may be null: the table is not written.
        unsafe {
            cinfo.common.err = ffi::jpeg_std_error(&mut errors);
            ffi::jpeg_create_compress(&mut *cinfo);
            (cinfo.image_width, cinfo.image_height) = (tile_px as u32, tile_px as u32);
            cinfo.input_components = kind.channels() as i32;
            cinfo.in_color_space = match kind {
                TileKind::Gray => ffi::JCS_GRAYSCALE,
                TileKind::Rgb { .. } => ffi::JCS_RGB,
                TileKind::Cmyk => ffi::JCS_CMYK,
            };
            ffi::jpeg_c_set_int_param(&mut cinfo, ffi::JINT_COMPRESS_PROFILE, ffi::JCP_FASTEST as i32);
            ffi::jpeg_set_defaults(&mut cinfo);
            ffi::jpeg_set_quality(&mut cinfo, quality.into(), 1);
            cinfo.dct_method = ffi::J_DCT_METHOD::JDCT_ISLOW;
            (cinfo.write_JFIF_header, cinfo.write_Adobe_marker) = (0, 0);
            if let TileKind::Rgb { half_chroma } = kind {
                let factor = if half_chroma { 2 } else { 1 };
                ((*cinfo.comp_info).h_samp_factor, (*cinfo.comp_info).v_samp_factor) = (factor, factor);
            } else {
                cinfo.quant_tbl_ptrs[1] = ptr::null_mut();
                cinfo.dc_huff_tbl_ptrs[1] = ptr::null_mut();
                cinfo.ac_huff_tbl_ptrs[1] = ptr::null_mut();
            }
        }
        let row_bytes = tile_px * kind.channels();
        // More than any stream takes: libjpeg then takes no memory itself.
        let buffer = vec![0; 4 * tile_px * row_bytes + 4096];
        let mut encoder = Libjpeg { cinfo, _errors: errors, tables: Vec::new(), buffer, tile_px, row_bytes };
        // SAFETY: the object is set up. This also marks the tables as sent, so that the tiles leave them out.
        encoder.tables = encoder.written(|cinfo| unsafe { ffi::jpeg_write_tables(cinfo) }).to_vec();
        encoder
    }

    pub fn tables(&self) -> &[u8] {
        &self.tables
    }

    pub fn encode(&mut self, pixels: &[u8], stride: usize) -> &[u8] {
        let row_bytes = self.row_bytes;
        let rows: Vec<*const u8> = (0..self.tile_px).map(|row| pixels[row * stride..][..row_bytes].as_ptr()).collect();
        // SAFETY: the object is set up and idle, and every pointer leads to a whole row.
        self.written(|cinfo| unsafe {
            ffi::jpeg_start_compress(cinfo, 0);
            for rows in rows.chunks(16) {
                ffi::jpeg_write_scanlines(cinfo, rows.as_ptr(), rows.len() as u32);
            }
            ffi::jpeg_finish_compress(cinfo);
        })
    }

    fn written(&mut self, write: impl FnOnce(&mut ffi::jpeg_compress_struct)) -> &[u8] {
        let (mut start, mut length) = (self.buffer.as_mut_ptr(), self.buffer.len() as c_ulong);
        // SAFETY: the variables and the buffer outlive the stream, and the length is the buffer's.
        unsafe { ffi::jpeg_mem_dest(&mut self.cinfo, &mut start, &mut length) };
        write(&mut self.cinfo);
        assert_eq!(start, self.buffer.as_mut_ptr(), "the buffer was large enough");
        &self.buffer[..length as usize]
    }
}

impl Drop for Libjpeg {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed once.
        unsafe { ffi::jpeg_destroy_compress(&mut self.cinfo) };
    }
}
