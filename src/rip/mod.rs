//! Pages of documents as rows of pixels, with their words and links.
//!
//! Documents come from anywhere, and the libraries that read them are large and written in C++. They never run inside
//! this process: `worker` is what a child process does with PDFium, `pdf` talks to such children, `postscript` does the
//! same with Ghostscript, and every child is ended when it takes too long. A child has one document only and a limit on
//! its memory, so what a document breaks is that document. `inks` says in such a child which pages are in CMYK, `dsc`
//! what comments of PostScript say. `indesign` reads pictures out of documents that nothing
//! open draws; it is memory-safe and needs no child.

pub mod dsc;
pub mod indesign;
pub mod inks;
pub mod pdf;
pub mod photoshop_eps;
pub mod postscript;
mod protocol;
pub mod worker;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::error::{Error, Result, Stage};
use crate::geometry::Size;
use crate::pixel::{Color, Depth, PixelFormat};

pub use protocol::{Link, LinkTarget, PageContent, Place, Word};

/// Bounds on what a document may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most pages of one document.
    pub max_pages: u32,
    /// Most pixels of one page image.
    pub max_page_pixels: u64,
    /// How long one page may keep a child process busy.
    pub page_time: Duration,
    /// Address space of a child process.
    pub child_bytes: u64,
    /// Largest file that Ghostscript may write: the PDF that words are read from, or what it puts aside.
    pub child_file_bytes: u64,
    /// Pages larger than this are drawn in bands of so many bytes.
    pub band_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_pages: 5_000,
            max_page_pixels: 1_000_000_000,
            page_time: Duration::from_secs(120),
            child_bytes: 4 << 30,
            child_file_bytes: 4 << 30,
            band_bytes: 64 << 20,
        }
    }
}

impl Limits {
    fn check_pages(&self, pages: u32) -> Result<()> {
        match pages {
            0 => Err(Error::malformed(Stage::Open, "the document has no pages")),
            n if n > self.max_pages => Err(Error::limit(
                Stage::Open,
                format!("the document has {n} pages; at most {} are ripped: raise --max-pages", self.max_pages),
            )),
            _ => Ok(()),
        }
    }

    fn check_size(&self, page: u32, width: u64, height: u64) -> Result<Size> {
        let pixels = width.saturating_mul(height);
        if pixels > self.max_page_pixels {
            return Err(Error::limit(
                Stage::Open,
                format!(
                    "page {page} would have {width} × {height} pixels; at most {} are allowed: lower the resolution or \
                     raise --max-page-pixels",
                    self.max_page_pixels
                ),
            ));
        }
        match (u32::try_from(width), u32::try_from(height)) {
            (Ok(width @ 1..), Ok(height @ 1..)) => Ok(Size::new(width, height)),
            _ => Err(Error::malformed(Stage::Open, format!("page {page} has a size of {width} × {height} pixels"))),
        }
    }
}

/// How pages are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Pixels per inch.
    pub resolution_dpi: f64,
    /// PDFium draws gray and RGB only. With `own_color` what is drawn where nothing else is found.
    pub color: Color,
    /// Keep the background transparent; otherwise it is white.
    pub alpha: bool,
    /// The document's own colours: pages without colour are gray, PostScript that says it is in inks is CMYK, others are
    /// RGB.
    pub own_color: bool,
}

impl Settings {
    /// 8 bits; with alpha always RGB.
    pub fn format(&self) -> PixelFormat {
        PixelFormat::new(if self.alpha { Color::Rgb } else { self.color }, self.alpha, Depth::U8)
    }
}

/// What starts child processes: this program itself, and how many of them may work at once.
#[derive(Debug)]
pub struct Workers {
    program: PathBuf,
    free: Mutex<usize>,
    changed: Condvar,
}

impl Workers {
    /// `program` is `reprise`, which has the command that a worker runs.
    pub fn new(program: PathBuf, at_once: NonZeroUsize) -> Self {
        Workers { program, free: Mutex::new(at_once.get()), changed: Condvar::new() }
    }

    /// The right to run one child process; waits until one may run.
    pub fn slot(&self) -> Slot<'_> {
        let mut free = self.free.lock().expect("no panic while the lock is held");
        while *free == 0 {
            free = self.changed.wait(free).expect("no panic while the lock is held");
        }
        *free -= 1;
        Slot { workers: self }
    }

    /// The same if it need not be waited for.
    pub fn free_slot(&self) -> Option<Slot<'_>> {
        let mut free = self.free.lock().expect("no panic while the lock is held");
        *free = free.checked_sub(1)?;
        Some(Slot { workers: self })
    }
}

/// One child process may run until this is dropped.
#[derive(Debug)]
pub struct Slot<'a> {
    workers: &'a Workers,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Ok(mut free) = self.workers.free.lock() {
            *free += 1;
        }
        self.workers.changed.notify_one();
    }
}
