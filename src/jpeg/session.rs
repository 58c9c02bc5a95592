//! The ground under every call into libjpeg: errors, the source of bytes, and one decompressor's life.

use std::any::Any;
use std::ffi::{c_char, c_int, c_long};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::{self, NonNull};

use mozjpeg_sys as ffi;

use super::header::Header;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::limits::Limits;

/// Warnings kept per image; a broken file can cause one per block.
const MAX_WARNINGS: usize = 16;

/// Colours as stored, by libjpeg's rules: JFIF marker, Adobe marker, component ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Gray,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

/// libjpeg's error manager and what it has collected.
#[repr(C)]
pub(super) struct ErrorManager {
    /// First, so that libjpeg's pointer to it is a pointer to the whole.
    base: ffi::jpeg_error_mgr,
    warnings: Vec<String>,
}

/// What libjpeg raised; travels through its frames as the payload of an unwind.
pub(super) struct Failure {
    code: c_int,
    text: String,
}

impl Failure {
    pub(super) fn into_error(self, stage: Stage, message: impl FnOnce(&str) -> String) -> Error {
        let kind = match self.code {
            ffi::JERR_OUT_OF_MEMORY => ErrorKind::Limit,
            ffi::JERR_ARITH_NOTIMPL
            | ffi::JERR_BAD_PRECISION
            | ffi::JERR_CCIR601_NOTIMPL
            | ffi::JERR_CONVERSION_NOTIMPL
            | ffi::JERR_FRACT_SAMPLE_NOTIMPL
            | ffi::JERR_IMAGE_TOO_BIG
            | ffi::JERR_NOTIMPL
            | ffi::JERR_NOT_COMPILED
            | ffi::JERR_SOF_UNSUPPORTED
            | ffi::JERR_WIDTH_OVERFLOW => ErrorKind::Unsupported,
            _ => ErrorKind::Malformed,
        };
        Error::new(kind, stage, message(&self.text))
    }
}

/// Runs calls into libjpeg and catches what they raise.
///
/// After a failure the libjpeg object may only be aborted or destroyed.
pub(super) fn guard<R>(calls: impl FnOnce() -> R) -> std::result::Result<R, Failure> {
    panic::catch_unwind(AssertUnwindSafe(calls)).map_err(|payload: Box<dyn Any + Send>| {
        match payload.downcast::<Failure>() {
            Ok(failure) => *failure,
            // Not ours: a bug, which is not to be hidden.
            Err(payload) => panic::resume_unwind(payload),
        }
    })
}

impl ErrorManager {
    pub(super) fn new() -> Self {
        // SAFETY: the struct holds integers, raw pointers and optional functions, for which zero is valid.
        let mut base: ffi::jpeg_error_mgr = unsafe { mem::zeroed() };
        // SAFETY: only fills in the struct.
        unsafe { ffi::jpeg_std_error(&mut base) };
        base.error_exit = Some(error_exit);
        base.emit_message = Some(emit_message);
        base.output_message = Some(output_message);
        ErrorManager { base, warnings: Vec::new() }
    }
}

/// The pointer for `common.err`; `manager` must outlive the libjpeg object that gets it.
pub(super) fn error_pointer(manager: *mut ErrorManager) -> *mut ffi::jpeg_error_mgr {
    manager.cast()
}

/// The message that libjpeg has prepared.
///
/// # Safety
/// `common.err` came from [`error_pointer`].
unsafe fn current(common: &mut ffi::jpeg_common_struct) -> Failure {
    /// As in jpeglib.h: the binding states a shorter buffer than libjpeg writes to.
    const JMSG_LENGTH_MAX: usize = 200;
    type Format = unsafe extern "C-unwind" fn(*mut ffi::jpeg_common_struct, *mut c_char);

    let mut buffer = [0u8; JMSG_LENGTH_MAX];
    let common = ptr::from_mut(common);
    // SAFETY: `err` is valid (contract); `format_message` is libjpeg's own, whose C signature is `Format`, and
    // writes a terminated string of at most JMSG_LENGTH_MAX bytes.
    let code = unsafe {
        let err = (*common).err;
        if let Some(format) = (*err).format_message {
            let format = mem::transmute::<*const (), Format>(format as *const ());
            format(common, buffer.as_mut_ptr().cast());
        }
        (*err).msg_code
    };
    let end = buffer.iter().position(|&byte| byte == 0).unwrap_or(buffer.len());
    Failure { code, text: String::from_utf8_lossy(&buffer[..end]).into_owned() }
}

/// Called by libjpeg for fatal errors; must not return.
unsafe extern "C-unwind" fn error_exit(common: &mut ffi::jpeg_common_struct) {
    // SAFETY: libjpeg passes the object whose `err` this module set.
    let failure = unsafe { current(common) };
    // Unlike `panic!` this calls no hook, so nothing is printed.
    panic::resume_unwind(Box::new(failure));
}

/// Called by libjpeg for warnings (level −1) and traces (level 0 and up).
unsafe extern "C-unwind" fn emit_message(common: &mut ffi::jpeg_common_struct, level: c_int) {
    if level >= 0 {
        return;
    }
    // SAFETY: libjpeg passes the object whose `err` this module set.
    let failure = unsafe { current(common) };
    // SAFETY: `err` points to an `ErrorManager`, and nobody else looks at it during a call into libjpeg.
    let manager = unsafe { &mut *common.err.cast::<ErrorManager>() };
    let harmless = match failure.code {
        ffi::JWRN_ADOBE_XFORM | ffi::JWRN_JFIF_MAJOR | ffi::JWRN_NOT_SEQUENTIAL => true,
        // Before a restart marker, bytes left over mean that the blocks in front of it were decoded wrongly.
        ffi::JWRN_EXTRANEOUS_DATA => !(0xd0..=0xd7).contains(&manager.base.msg_parm._bindgen_data_[1]),
        _ => false,
    };
    if !harmless {
        panic::resume_unwind(Box::new(failure));
    }
    if manager.warnings.len() < MAX_WARNINGS && !manager.warnings.contains(&failure.text) {
        manager.warnings.push(failure.text);
    }
}

unsafe extern "C-unwind" fn output_message(_: &mut ffi::jpeg_common_struct) {}

/// libjpeg's source manager over bytes in memory.
#[repr(C)]
struct Source {
    /// First, so that libjpeg's pointer to it is a pointer to the whole.
    base: ffi::jpeg_source_mgr,
    /// The bytes have run out.
    ended: bool,
}

impl Source {
    fn new(data: &[u8]) -> Self {
        let base = ffi::jpeg_source_mgr {
            next_input_byte: data.as_ptr(),
            bytes_in_buffer: data.len(),
            init_source: Some(no_op),
            fill_input_buffer: Some(fill_input_buffer),
            skip_input_data: Some(skip_input_data),
            resync_to_restart: Some(ffi::jpeg_resync_to_restart),
            term_source: Some(no_op),
        };
        Source { base, ended: false }
    }
}

unsafe extern "C-unwind" fn no_op(_: &mut ffi::jpeg_decompress_struct) {}

/// Called when the bytes have run out. Supplies end-of-image markers: an image that lacks nothing but
/// its end marker decodes, and for any other libjpeg notices that bits are missing.
unsafe extern "C-unwind" fn fill_input_buffer(cinfo: &mut ffi::jpeg_decompress_struct) -> ffi::boolean {
    static END: [u8; 2] = [0xff, 0xd9];
    // SAFETY: `src` points to a `Source`, and nobody else looks at it during a call into libjpeg.
    let source = unsafe { &mut *cinfo.src.cast::<Source>() };
    source.ended = true;
    source.base.next_input_byte = END.as_ptr();
    source.base.bytes_in_buffer = END.len();
    1
}

unsafe extern "C-unwind" fn skip_input_data(cinfo: &mut ffi::jpeg_decompress_struct, count: c_long) {
    // SAFETY: as in `fill_input_buffer`.
    let source = unsafe { &mut (*cinfo.src.cast::<Source>()).base };
    let count = usize::try_from(count).unwrap_or(0).min(source.bytes_in_buffer);
    // SAFETY: stays within the bytes that are left.
    source.next_input_byte = unsafe { source.next_input_byte.add(count) };
    source.bytes_in_buffer -= count;
}

/// What libjpeg keeps pointers into; never moves.
struct Shared {
    cinfo: ffi::jpeg_decompress_struct,
    errors: ErrorManager,
    source: Source,
}

/// One decompressor with its header read.
pub(super) struct Session {
    /// Owned; from `Box::into_raw`.
    shared: NonNull<Shared>,
    /// Not touched while libjpeg reads it.
    data: Vec<u8>,
    pub(super) header: Header,
    pub(super) encoding: Encoding,
}

// SAFETY: libjpeg has no state outside its objects, and nothing here is tied to a thread.
unsafe impl Send for Session {}

impl Session {
    /// Reads the header and checks it against `limits`.
    pub(super) fn open(data: Vec<u8>, limits: &Limits) -> Result<Self> {
        let header = Header::parse(&data)?;
        limits.check_size(header.size.width.into(), header.size.height.into())?;

        // SAFETY: the struct holds integers, raw pointers and C enums with a zero variant, so zero is valid.
        let cinfo: ffi::jpeg_decompress_struct = unsafe { mem::zeroed() };
        let shared = Box::new(Shared { cinfo, errors: ErrorManager::new(), source: Source::new(&data) });
        let shared = NonNull::from(Box::leak(shared));
        // From here on `Drop` cleans up, also when the calls below fail.
        let mut session = Session { shared, data, header, encoding: Encoding::Gray };
        let pointer = session.shared.as_ptr();
        let read = guard(|| {
            // SAFETY: `pointer` is valid and everything that libjpeg gets a pointer to lives as long as it.
            unsafe {
                (*pointer).cinfo.common.err = error_pointer(&raw mut (*pointer).errors);
                ffi::jpeg_create_decompress(&raw mut (*pointer).cinfo);
                // `jpeg_create_decompress` clears all but `err`.
                (*pointer).cinfo.src = (&raw mut (*pointer).source).cast();
                ffi::jpeg_read_header(&mut (*pointer).cinfo, 1);
            }
        });
        read.map_err(|failure| session.error(failure, "its header"))?;

        let cinfo = session.cinfo();
        let (size, components) = (session.header.size, session.header.components.len());
        if (cinfo.image_width, cinfo.image_height) != (size.width, size.height)
            || usize::try_from(cinfo.num_components) != Ok(components)
        {
            return Err(Error::malformed(
                Stage::Decode,
                "this JPEG file is broken: its header can be read in two ways",
            ));
        }
        session.encoding = match cinfo.jpeg_color_space {
            ffi::JCS_GRAYSCALE => Encoding::Gray,
            ffi::JCS_YCbCr => Encoding::YCbCr,
            ffi::JCS_RGB => Encoding::Rgb,
            ffi::JCS_CMYK => Encoding::Cmyk,
            ffi::JCS_YCCK => Encoding::Ycck,
            _ => {
                return Err(Error::unsupported(
                    Stage::Decode,
                    format!("this JPEG file cannot be decoded: the colours of its {components} components are unknown"),
                ));
            }
        };
        Ok(session)
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The decompressor, between calls into libjpeg.
    pub(super) fn cinfo(&self) -> &ffi::jpeg_decompress_struct {
        // SAFETY: valid until `drop`; libjpeg only writes to it during calls, which need `&mut self`.
        unsafe { &self.shared.as_ref().cinfo }
    }

    pub(super) fn cinfo_mut(&mut self) -> &mut ffi::jpeg_decompress_struct {
        // SAFETY: valid until `drop`, and `&mut self` is exclusive. libjpeg's own pointers lead to the other fields.
        unsafe { &mut (*self.shared.as_ptr()).cinfo }
    }

    /// Harmless oddities seen so far.
    pub(super) fn warnings(&self) -> Vec<String> {
        // SAFETY: as in `cinfo`.
        let (errors, source) = unsafe { (&(*self.shared.as_ptr()).errors, &(*self.shared.as_ptr()).source) };
        let mut warnings = self.header.warnings.clone();
        warnings.extend(errors.warnings.iter().cloned());
        if source.ended {
            warnings.push("its end-of-image marker is missing".to_string());
        }
        warnings
    }

    /// Names what was being read when libjpeg failed.
    pub(super) fn error(&self, failure: Failure, reading: &str) -> Error {
        failure.into_error(Stage::Decode, |text| format!("this JPEG file is broken or cut off at {reading}: {text}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let pointer = self.shared.as_ptr();
        // SAFETY: the pointer came from a `Box` and is given back once. Destroying is allowed in every state,
        // also before creation succeeded: the struct is zero then.
        unsafe {
            ffi::jpeg_destroy_decompress(&mut (*pointer).cinfo);
            drop(Box::from_raw(pointer));
        }
    }
}
