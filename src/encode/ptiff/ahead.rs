//! Writing to the disk before a flush asks for it.

use std::fs::File;

/// Has the system begin to write to the disk what the file holds so far, so that the flush at its end has less to wait
/// for. No more than advice: it fails where a file system cannot do it.
pub(super) fn start_flush(file: &File) {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        // SAFETY: the file is open, and no memory is involved.
        unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}
