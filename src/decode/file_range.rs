//! Positioned reads, so that several streams can read one file without a shared cursor.

use std::fs::File;
use std::io::{Read, Result};
use std::sync::Arc;

/// The bytes `next..end` of a file, as a reader with its own position.
pub(super) struct FileRange {
    file: Arc<File>,
    next: u64,
    end: u64,
}

impl FileRange {
    pub(super) fn new(file: Arc<File>, start: u64, bytes: u64) -> Self {
        FileRange { file, next: start, end: start.saturating_add(bytes) }
    }
}

impl Read for FileRange {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.end - self.next).unwrap_or(usize::MAX));
        let read = read_at(&self.file, &mut buffer[..wanted], self.next)?;
        self.next += read as u64;
        Ok(read)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}
