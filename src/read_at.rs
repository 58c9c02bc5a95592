//! Positioned reads, so that several streams can read one file without a shared cursor.

use std::fs::File;
use std::io::{ErrorKind, Read, Result};
use std::sync::Arc;

/// Bytes that can be read at any place: a file, or memory.
pub trait ReadAt: Send + Sync {
    /// Reads some bytes from `offset` on; 0 means the end.
    ///
    /// # Errors
    /// Those of the operating system.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when there are fewer bytes; those of the operating system.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    offset += read as u64;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// How many bytes there are.
    ///
    /// # Errors
    /// Those of the operating system.
    fn size_bytes(&self) -> Result<u64>;
}

impl ReadAt for File {
    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, buffer, offset)
    }

    fn size_bytes(&self) -> Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn size_bytes(&self) -> Result<u64> {
        Ok(self.len() as u64)
    }
}

/// The bytes `next..end` of a source, as a reader with its own position.
pub struct RangeReader {
    source: Arc<dyn ReadAt>,
    next: u64,
    end: u64,
}

impl RangeReader {
    pub fn new(source: Arc<dyn ReadAt>, start: u64, bytes: u64) -> Self {
        RangeReader { source, next: start, end: start.saturating_add(bytes) }
    }
}

impl Read for RangeReader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.end - self.next).unwrap_or(usize::MAX));
        let read = self.source.read_at(&mut buffer[..wanted], self.next)?;
        self.next += read as u64;
        Ok(read)
    }
}
