//! PDF documents, read by PDFium in a worker process.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use super::protocol::{self, Answer, Channels, Measured, Opened, Request};
use super::{Limits, PageContent, Settings, Workers};
use crate::decode::{Kind, Metadata, Resolution, ResolutionUnit, RowSource, SourceInfo};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::external::child::{End, GuardedChild};
use crate::geometry::{Orientation, Size};
use crate::pixel::{Color, Raster};

/// The command of the program that [`super::worker::serve`] runs under; the path of the document follows.
pub const WORKER_COMMAND: &str = "rip-worker";

/// The option that makes a worker answer with [`super::inks::serve`] instead.
pub const INKS_OPTION: &str = "--inks";

/// Which pages of the document at `path` are in CMYK, by the rule of [`super::inks`].
///
/// # Errors
/// `Malformed` for a document that cannot be read, `Limit` when it takes too long, `Internal` when the worker dies.
pub fn cmyk_pages(workers: &Workers, path: &Path, limits: &Limits) -> Result<Vec<bool>> {
    let mut worker = Worker::start(workers, &[path.as_os_str(), OsStr::new(INKS_OPTION)], limits)?;
    worker.receive(limits, "looking for colours")
}

/// One worker with one document. Pages are drawn one after another; several sessions draw the pages of a document in
/// parallel.
#[derive(Debug, Clone)]
pub struct Session {
    worker: Arc<Mutex<Worker>>,
    limits: Limits,
    pages: u32,
}

#[derive(Debug)]
struct Worker {
    child: GuardedChild,
    /// Pixels that were announced and not read yet.
    pending_bytes: u64,
    /// The page that was last looked at for colour, and whether it is gray.
    gray: Option<(u32, bool)>,
    lost: bool,
}

impl Session {
    /// Starts a worker and lets it open the document at `path`.
    ///
    /// # Errors
    /// `Malformed` for a document that is broken or has no pages, `Unsupported` for an encrypted one or without PDFium,
    /// `Limit` for too many pages, `Internal` when the worker dies.
    pub fn open(workers: &Workers, path: &Path, limits: &Limits) -> Result<Self> {
        let mut worker = Worker::start(workers, &[path.as_os_str()], limits)?;
        let Opened { pages } = worker.receive(limits, "opening the document")?;
        limits.check_pages(pages)?;
        Ok(Session { worker: Arc::new(Mutex::new(worker)), limits: limits.clone(), pages })
    }

    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Whether the worker has died, so that nothing more comes from this session.
    pub fn is_lost(&self) -> bool {
        self.lock().lost
    }

    /// The rows of page `number`, from 1; it is drawn when they are read for the first time.
    ///
    /// # Errors
    /// `Limit` for a page that would be too large, `Malformed` for one that cannot be loaded, `Internal` when the worker
    /// dies.
    pub fn page(&self, number: u32, settings: &Settings) -> Result<PageSource> {
        let mut worker = self.lock();
        worker.drain(&self.limits)?;
        worker.child.allow(self.limits.page_time);
        let request = Request::Measure { page: number.wrapping_sub(1), resolution_dpi: settings.resolution_dpi };
        let stage = format!("loading page {number}");
        let measured: Measured = worker.ask(&request, &self.limits, &stage)?;
        let size = self.limits.check_size(number, measured.width, measured.height)?;
        let mut format = settings.format();
        if settings.own_color && !format.alpha {
            let gray = match worker.gray {
                Some((looked_at, gray)) if looked_at == number => gray,
                _ => worker.ask(&Request::IsGray { page: number.wrapping_sub(1) }, &self.limits, &stage)?,
            };
            worker.gray = Some((number, gray));
            if gray {
                format.color = Color::Gray;
            }
        }
        let dpi = settings.resolution_dpi;
        let info = SourceInfo {
            kind: Kind::Pdf,
            size,
            format,
            orientation: Orientation::Upright,
            metadata: Metadata {
                resolution: Some(Resolution { x: dpi, y: dpi, unit: ResolutionUnit::Inch }),
                ..Metadata::default()
            },
            clipping_path: Ok(None),
            warnings: Vec::new(),
        };
        // The worker holds three or four bytes a pixel whatever it sends.
        let row_bytes = u64::from(size.width) * if settings.alpha { 4 } else { 3 };
        let band_rows = (self.limits.band_bytes / row_bytes).clamp(1, size.height.into()) as u32;
        Ok(PageSource {
            session: self.clone(),
            number,
            info,
            band_rows,
            working_bytes: row_bytes * u64::from(band_rows),
            next_row: 0,
        })
    }

    /// Words and links of page `number`, from 1, in pixels of a page image of `size`.
    ///
    /// # Errors
    /// As [`Session::page`].
    pub fn content(&self, number: u32, size: Size, words: bool, links: bool) -> Result<PageContent> {
        let mut worker = self.lock();
        worker.drain(&self.limits)?;
        worker.child.allow(self.limits.page_time);
        let Size { width, height } = size;
        let request = Request::Read { page: number.wrapping_sub(1), width, height, words, links };
        worker.ask(&request, &self.limits, &format!("reading page {number}"))
    }

    fn lock(&self) -> MutexGuard<'_, Worker> {
        self.worker.lock().expect("no panic while the lock is held")
    }
}

impl Worker {
    fn start(workers: &Workers, arguments: &[&OsStr], limits: &Limits) -> Result<Self> {
        let arguments = [&[OsStr::new(WORKER_COMMAND)], arguments].concat();
        let mut child = GuardedChild::spawn(workers.program.as_os_str(), arguments, limits.child_bytes, None)
            .map_err(|e| Error::io(Stage::Open, &workers.program, e))?;
        child.allow(limits.page_time);
        Ok(Worker { child, pending_bytes: 0, gray: None, lost: false })
    }

    fn ask<T: serde::de::DeserializeOwned>(&mut self, request: &Request, limits: &Limits, what: &str) -> Result<T> {
        self.request(request).map_err(|e| self.death(limits, what, e))?;
        self.receive(limits, what)
    }

    fn request(&mut self, request: &Request) -> io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.child.write_all(&line)
    }

    fn receive<T: serde::de::DeserializeOwned>(&mut self, limits: &Limits, what: &str) -> Result<T> {
        let answer: Answer<T> = protocol::receive(&mut self.child).map_err(|e| self.death(limits, what, e))?;
        answer.map_err(Error::from)
    }

    /// Reads what a page source that was given up has left.
    fn drain(&mut self, limits: &Limits) -> Result<()> {
        let left = std::mem::take(&mut self.pending_bytes);
        let drained = io::copy(&mut (&mut self.child).take(left), &mut io::sink());
        match drained {
            Ok(n) if n == left => Ok(()),
            Ok(_) => Err(self.death(limits, "drawing a page", io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.death(limits, "drawing a page", error)),
        }
    }

    fn death(&mut self, limits: &Limits, what: &str, error: io::Error) -> Error {
        self.lost = true;
        match self.child.end() {
            Ok(End::TimedOut) => {
                let message = format!("{what} took longer than {} s: raise --page-seconds", limits.page_time.as_secs());
                return Error::limit(Stage::Decode, message).caused_by(io::Error::from(io::ErrorKind::TimedOut));
            }
            Ok(End::Exited(status)) => Error::new(
                ErrorKind::Internal,
                Stage::Decode,
                format!(
                    "the worker process died while {what} ({status}); the document is broken, or needs more than {} MiB",
                    limits.child_bytes >> 20
                ),
            ),
            Err(_) => Error::new(
                ErrorKind::Internal,
                Stage::Decode,
                format!("the worker process does not answer while {what}: {error}"),
            ),
        }
        .caused_by(error)
    }
}

/// One page as rows of pixels, straight from the worker's pipe.
#[derive(Debug)]
pub struct PageSource {
    session: Session,
    number: u32,
    info: SourceInfo,
    band_rows: u32,
    working_bytes: u64,
    next_row: u32,
}

impl RowSource for PageSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        let Size { width, height } = self.info.size;
        let rows = max_rows.min(height - self.next_row);
        if rows == 0 {
            return Ok(0);
        }
        let limits = &self.session.limits;
        let mut worker = self.session.lock();
        let what = format!("drawing page {}", self.number);
        let row_bytes = width as usize * self.info.format.bytes_per_pixel();
        if self.next_row == 0 {
            let channels = match (self.info.format.alpha, self.info.format.color) {
                (true, _) => Channels::Rgba,
                (false, Color::Gray) => Channels::Gray,
                (false, _) => Channels::Rgb,
            };
            let request = Request::Render { width, height, channels, band_rows: self.band_rows };
            worker.request(&request).map_err(|e| worker.death(limits, &what, e))?;
            worker.pending_bytes = row_bytes as u64 * u64::from(height);
        }
        let start = band.height;
        band.set_rows(start + rows);
        let into = &mut band.samples.as_bytes_mut()[start as usize * row_bytes..];
        if let Err(error) = worker.child.read_exact(into) {
            band.set_rows(start);
            return Err(worker.death(limits, &what, error));
        }
        worker.pending_bytes -= row_bytes as u64 * u64::from(rows);
        self.next_row += rows;
        Ok(rows)
    }

    fn working_bytes(&self) -> u64 {
        self.working_bytes
    }
}
