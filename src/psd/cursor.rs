//! Big-endian numbers of a section, read in order and never beyond its end.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::read_at::ReadAt;

const BUFFER_BYTES: usize = 8 << 10;

pub(super) struct Cursor {
    source: Arc<dyn ReadAt>,
    /// For messages.
    section: &'static str,
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_start: u64,
}

impl Cursor {
    pub(super) fn new(source: Arc<dyn ReadAt>, section: &'static str) -> Result<Self> {
        let end = source.size_bytes().map_err(|e| unreadable(section, e))?;
        Ok(Cursor { source, section, next: 0, end, buffer: Vec::new(), buffer_start: 0 })
    }

    pub(super) fn position(&self) -> u64 {
        self.next
    }

    pub(super) fn remaining(&self) -> u64 {
        self.end - self.next
    }

    /// The next `bytes` bytes as a section of their own; this cursor goes on behind them.
    pub(super) fn section(&mut self, bytes: u64, section: &'static str) -> Result<Cursor> {
        let start = self.next;
        self.skip(bytes).map_err(|_| {
            Error::malformed(
                Stage::Open,
                format!("{section} should have {bytes} bytes but {} has only {} left", self.section, self.end - start),
            )
        })?;
        let source = Arc::clone(&self.source);
        Ok(Cursor { source, section, next: start, end: start + bytes, buffer: Vec::new(), buffer_start: 0 })
    }

    pub(super) fn skip(&mut self, bytes: u64) -> Result<()> {
        if bytes > self.remaining() {
            return Err(self.ends());
        }
        self.next += bytes;
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        self.fill(&mut array)?;
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next `bytes` bytes. Their number is checked against what the section has before there is room for them.
    pub(super) fn bytes(&mut self, bytes: u64) -> Result<Vec<u8>> {
        if bytes > self.remaining() {
            return Err(self.ends());
        }
        let mut out = vec![0; usize::try_from(bytes).map_err(|_| self.ends())?];
        self.fill(&mut out)?;
        Ok(out)
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        if out.len() as u64 > self.remaining() {
            return Err(self.ends());
        }
        let mut filled = 0;
        while filled < out.len() {
            let buffered = self.next.checked_sub(self.buffer_start).and_then(|from| usize::try_from(from).ok());
            let buffered = buffered.and_then(|from| self.buffer.get(from..)).unwrap_or_default();
            let taken = if buffered.is_empty() && out.len() - filled >= BUFFER_BYTES {
                let read = self.source.read_at(&mut out[filled..], self.next);
                read.map_err(|e| unreadable(self.section, e))?
            } else if buffered.is_empty() {
                self.buffer.resize(BUFFER_BYTES, 0);
                let read = self.source.read_at(&mut self.buffer, self.next);
                self.buffer.truncate(read.map_err(|e| unreadable(self.section, e))?);
                self.buffer_start = self.next;
                if self.buffer.is_empty() {
                    return Err(self.ends());
                }
                continue;
            } else {
                let taken = buffered.len().min(out.len() - filled);
                out[filled..filled + taken].copy_from_slice(&buffered[..taken]);
                taken
            };
            if taken == 0 {
                return Err(self.ends());
            }
            filled += taken;
            self.next += taken as u64;
        }
        Ok(())
    }

    pub(super) fn malformed(&self, what: impl std::fmt::Display) -> Error {
        Error::malformed(Stage::Open, format!("{}: {what}", self.section))
    }

    fn ends(&self) -> Error {
        self.malformed("it ends early; the file is truncated or a length in it is wrong")
    }
}

fn unreadable(section: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, Stage::Open, format!("{section} cannot be read: {error}")).caused_by(error)
}
