//! JPEG files for tests, written by libjpeg.

use std::{mem, ptr, slice};

use mozjpeg_sys as ffi;

use super::session::{ErrorManager, error_pointer};
use crate::geometry::Size;

#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// Sampling factors of the first component; 3 components or 1.
    pub(super) sampling: (i32, i32),
    pub(super) gray: bool,
    pub(super) progressive: bool,
    pub(super) restart_interval: u32,
    pub(super) quality: i32,
}

/// Encodes `pixels`, rows of gray or RGB.
pub(super) fn encode(pixels: &[u8], size: Size, options: Options) -> Vec<u8> {
    // SAFETY: the calls come in libjpeg's order, with rows of as many bytes as it reads; what it allocates is copied
    // and freed before the function ends.
    unsafe {
        let mut errors = ErrorManager::new();
        let mut cinfo: ffi::jpeg_compress_struct = mem::zeroed();
        cinfo.common.err = error_pointer(&mut errors);
        ffi::jpeg_create_compress(&mut cinfo);
        let (mut buffer, mut length) = (ptr::null_mut(), 0);
        ffi::jpeg_mem_dest(&mut cinfo, &mut buffer, &mut length);
        (cinfo.image_width, cinfo.image_height) = (size.width, size.height);
        cinfo.input_components = if options.gray { 1 } else { 3 };
        cinfo.in_color_space = if options.gray { ffi::JCS_GRAYSCALE } else { ffi::JCS_RGB };
        let profile = if options.progressive { ffi::JCP_MAX_COMPRESSION } else { ffi::JCP_FASTEST };
        ffi::jpeg_c_set_int_param(&mut cinfo, ffi::JINT_COMPRESS_PROFILE, profile as i32);
        ffi::jpeg_set_defaults(&mut cinfo);
        ffi::jpeg_set_quality(&mut cinfo, options.quality, 1);
        if options.progressive {
            ffi::jpeg_simple_progression(&mut cinfo);
        }
        cinfo.restart_interval = options.restart_interval;
        for index in 0..cinfo.num_components as usize {
            let component = &mut *cinfo.comp_info.add(index);
            (component.h_samp_factor, component.v_samp_factor) = if index == 0 { options.sampling } else { (1, 1) };
        }
        ffi::jpeg_start_compress(&mut cinfo, 1);
        for row in pixels.chunks_exact(size.width as usize * cinfo.input_components as usize) {
            ffi::jpeg_write_scanlines(&mut cinfo, &row.as_ptr(), 1);
        }
        ffi::jpeg_finish_compress(&mut cinfo);
        let file = slice::from_raw_parts(buffer, length as usize).to_vec();
        ffi::jpeg_destroy_compress(&mut cinfo);
        libc_free(buffer);
        file
    }
}

/// # Safety
/// `buffer` came from C's `malloc` and is not used again.
unsafe fn libc_free(buffer: *mut u8) {
    unsafe extern "C" {
        fn free(pointer: *mut std::ffi::c_void);
    }
    // SAFETY: the contract.
    unsafe { free(buffer.cast()) };
}

/// Waves, edges and noise.
pub(super) fn picture(size: Size, gray: bool) -> Vec<u8> {
    let mut state = size.width.wrapping_mul(31) ^ size.height;
    let mut pixels = Vec::new();
    for (y, x) in (0..size.height).flat_map(|y| (0..size.width).map(move |x| (y, x))) {
        for channel in 0..if gray { 1 } else { 3 } {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wave = (f64::from(x) / 5.0 + f64::from(channel)).sin() * (f64::from(y) / 9.0).cos() * 90.0;
            let noise = if x > size.width / 2 { (state >> 26) as f64 } else { 0.0 };
            let edge = if (x / 11 + y / 7) % 5 == channel { 120.0 } else { 0.0 };
            pixels.push((128.0 + wave + noise - edge).clamp(0.0, 255.0) as u8);
        }
    }
    pixels
}
