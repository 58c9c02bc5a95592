//! PostScript and EPS, drawn by Ghostscript in a child process.
//!
//! Ghostscript writes the pages one after another into a pipe, so it is never further ahead than one page, and what it
//! writes is bounded by the checks of every page's size. Each page goes to a temporary file, because a page may have to
//! be read twice.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use super::{Limits, Settings, dsc, photoshop_eps};
use crate::decode::{
    self, ClippingPath, Kind, Metadata, Resolution, ResolutionUnit, RowSource, SourceInfo, clipping_path, photoshop_irb,
};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::external;
use crate::external::child::{End, GuardedChild, Scratch};
use crate::geometry::Orientation;
use crate::pixel::{Color, Raster};

/// Longest header of a page in front of its pixels.
const MAX_HEADER_BYTES: u64 = 4096;

/// The pages of one document while Ghostscript draws them.
#[derive(Debug)]
pub struct PageStream {
    output: BufReader<GuardedChild>,
    settings: Settings,
    limits: Limits,
    number: u32,
    resolution: Resolution,
    keeps_pixels: bool,
    /// Of the first page.
    said: Said,
    /// Holds the PostScript of a DOS EPS file while it is drawn.
    _input: Option<NamedTempFile>,
    /// What Ghostscript puts aside; goes with it.
    _scratch: TempDir,
}

impl PageStream {
    /// Starts Ghostscript on the document at `path`.
    ///
    /// # Errors
    /// `Unsupported` without Ghostscript; `Malformed` for a DOS EPS file whose header makes no sense.
    pub fn start(path: &Path, settings: &Settings, limits: &Limits) -> Result<Self> {
        let input = plain(path)?;
        let file = input.as_ref().map_or(path, |file| file.path());
        let (head, tail) = ends(file)?;
        let mut settings = *settings;
        if settings.own_color && dsc::is_cmyk(&head, &tail) {
            settings.color = Color::Cmyk;
        }
        let device = match (settings.alpha, settings.color) {
            (true, _) => "pngalpha",
            (false, Color::Gray) => "pgmraw",
            (false, Color::Rgb) => "ppmraw",
            (false, Color::Cmyk) => "pamcmyk32",
            (false, Color::Lab) => unreachable!("no colorspace of a job is Lab"),
        };
        let own = dsc::image_resolution(&head);
        let resources = File::open(file)
            .and_then(|mut file| photoshop_eps::image_resources(&mut file))
            .map_err(|e| Error::io(Stage::Open, file, e))?;
        let dpi = settings.resolution_dpi;
        let resolution = own.unwrap_or(Resolution { x: dpi, y: dpi, unit: ResolutionUnit::Inch });
        let option = format!("-r{}x{}", resolution.x, resolution.y);
        let options = ["-dTextAlphaBits=4", "-dGraphicsAlphaBits=4", "-sOutputFile=-", option.as_str()];
        let scratch = scratch()?;
        let child = ghostscript(device, &options, file, scratch.path(), limits)?;
        let output = BufReader::with_capacity(256 << 10, child);
        Ok(PageStream {
            output,
            settings,
            limits: limits.clone(),
            number: 0,
            resolution,
            keeps_pixels: own.is_some(),
            said: Said::of(resources),
            _input: input,
            _scratch: scratch,
        })
    }

    /// Whether the document is an image that Photoshop saved as EPS, which is drawn pixel by pixel whatever resolution
    /// is asked for.
    pub fn keeps_pixels(&self) -> bool {
        self.keeps_pixels
    }

    /// The next page, or `None` behind the last one.
    ///
    /// # Errors
    /// `Malformed` when Ghostscript gives up, `Limit` when a page is too large, takes too long, or is one too many.
    pub fn next_page(&mut self) -> Result<Option<PageFile>> {
        self.output.get_mut().allow(self.limits.page_time);
        let more = self.output.fill_buf().map(|bytes| !bytes.is_empty());
        match more {
            Ok(true) => {}
            Ok(false) => return finish(self.output.get_mut(), &self.limits, self.number + 1).map(|()| None),
            Err(error) => return Err(self.failed(error)),
        }
        self.number += 1;
        if self.number > self.limits.max_pages {
            return Err(Error::limit(
                Stage::Decode,
                format!("the document has more than {} pages: raise --max-pages", self.limits.max_pages),
            ));
        }
        if self.settings.alpha { self.png() } else { self.raw() }.map(Some)
    }

    /// A page in one of the portable formats of 8 bits: a header of a few lines, then bare rows.
    fn raw(&mut self) -> Result<PageFile> {
        let size = match raw_header(&mut self.output) {
            Ok((width, height)) => self.limits.check_size(self.number, width, height)?,
            Err(error) => return Err(self.failed(error)),
        };
        let mut format = self.settings.format();
        let stored = format.bytes_per_pixel();
        let mut file = self.keep(size.pixels() * stored as u64, &[])?;
        if self.settings.own_color && format.color == Color::Rgb && is_gray(file.as_file_mut())? {
            format.color = Color::Gray;
        }
        let drawn = SourceInfo {
            kind: Kind::PostScript,
            size,
            format,
            orientation: Orientation::Upright,
            metadata: Metadata { resolution: Some(self.resolution), ..Metadata::default() },
            clipping_path: Ok(None),
            warnings: Vec::new(),
        };
        let info = std::mem::take(&mut self.said).about(drawn);
        Ok(PageFile { number: self.number, file, content: Content::BareRows { info: Box::new(info), stored } })
    }

    /// A page as PNG, up to and with its last chunk.
    fn png(&mut self) -> Result<PageFile> {
        let mut head = [0; 33];
        if let Err(error) = self.output.read_exact(&mut head) {
            return Err(self.failed(error));
        }
        let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if &head[..8] != b"\x89PNG\r\n\x1a\n" || &head[12..16] != b"IHDR" {
            return Err(self.failed(io::Error::other("no PNG header")));
        }
        let size = self.limits.check_size(self.number, number(16).into(), number(20).into())?;
        // Deflate never makes its input much longer.
        let mut left = size.pixels() * 5 + (1 << 20);
        let mut file = self.keep(0, &head)?;
        loop {
            let mut chunk = [0; 8];
            if let Err(error) = self.output.read_exact(&mut chunk) {
                return Err(self.failed(error));
            }
            let length = u64::from(u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]])) + 4;
            left = left.checked_sub(length).ok_or_else(|| self.failed(io::Error::other("a PNG that is too long")))?;
            file.write_all(&chunk).map_err(|e| Error::io(Stage::Decode, file.path(), e))?;
            self.copy(length, &mut file)?;
            if &chunk[4..] == b"IEND" {
                let content = Content::Png(std::mem::take(&mut self.said));
                return Ok(PageFile { number: self.number, file, content });
            }
        }
    }

    /// A temporary file with `head` and the next `length` bytes.
    fn keep(&mut self, length: u64, head: &[u8]) -> Result<NamedTempFile> {
        let io = |e| Error::io(Stage::Decode, std::env::temp_dir(), e);
        let mut file = NamedTempFile::new().map_err(io)?;
        file.write_all(head).map_err(io)?;
        self.copy(length, &mut file)?;
        Ok(file)
    }

    fn copy(&mut self, length: u64, file: &mut NamedTempFile) -> Result<()> {
        match io::copy(&mut (&mut self.output).take(length), file) {
            Ok(n) if n == length => Ok(()),
            Ok(_) => Err(self.failed(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&mut self, error: io::Error) -> Error {
        match finish(self.output.get_mut(), &self.limits, self.number.max(1)) {
            Err(reason) => reason.caused_by(error),
            Ok(()) => Error::malformed(Stage::Decode, format!("Ghostscript's output makes no sense: {error}")),
        }
    }
}

/// What the image resources of an EPS file, which has one page, say beside the drawing.
#[derive(Debug, Clone)]
struct Said {
    clipping_path: Result<Option<ClippingPath>>,
    iptc: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
    warning: Option<String>,
}

impl Default for Said {
    fn default() -> Self {
        Said { clipping_path: Ok(None), iptc: None, xmp: None, warning: None }
    }
}

impl Said {
    fn of(resources: Result<Vec<u8>>) -> Self {
        match resources {
            Ok(resources) => {
                let block = |id| photoshop_irb::resource(&resources, id).map(<[u8]>::to_vec);
                Said {
                    clipping_path: clipping_path::find(&resources),
                    iptc: block(photoshop_irb::IPTC),
                    xmp: block(photoshop_irb::XMP),
                    warning: None,
                }
            }
            Err(error) => {
                let warning = Some(format!("metadata left out: {}", error.message));
                Said { clipping_path: Err(error), warning, ..Said::default() }
            }
        }
    }

    /// The same of a page that was drawn.
    fn about(self, mut drawn: SourceInfo) -> SourceInfo {
        drawn.clipping_path = self.clipping_path;
        drawn.metadata.iptc = self.iptc;
        drawn.metadata.xmp = self.xmp;
        drawn.warnings.extend(self.warning);
        drawn
    }
}

/// One page that has been drawn; the file goes when this is dropped.
#[derive(Debug)]
pub struct PageFile {
    /// From 1.
    pub number: u32,
    file: NamedTempFile,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// What the rows are, and their bytes for a pixel.
    BareRows {
        info: Box<SourceInfo>,
        stored: usize,
    },
    Png(Said),
}

impl PageFile {
    /// The rows of the page, from the first one, as often as wanted.
    ///
    /// # Errors
    /// `Io`; and those of [`decode::open`].
    pub fn open(&self, limits: &crate::limits::Limits) -> Result<Box<dyn RowSource>> {
        let path = self.file.path();
        match &self.content {
            Content::Png(said) => {
                let source = decode::open(path, limits)?;
                let info = said.clone().about(source.info().clone());
                Ok(Box::new(PngRows { source, info }))
            }
            Content::BareRows { info, stored } => {
                let file = File::open(path).map_err(|e| Error::io(Stage::Open, path, e))?;
                Ok(Box::new(BareRows {
                    file,
                    info: SourceInfo::clone(info),
                    stored: *stored,
                    next_row: 0,
                    row: Vec::new(),
                }))
            }
        }
    }
}

/// Rows of a PNG, described by more than the PNG.
struct PngRows {
    source: Box<dyn RowSource>,
    info: SourceInfo,
}

impl RowSource for PngRows {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        self.source.read_rows(band, max_rows)
    }

    fn working_bytes(&self) -> u64 {
        self.source.working_bytes()
    }
}

/// Whether all pixels of a file of RGB are gray.
fn is_gray(file: &mut File) -> Result<bool> {
    let mut read = || -> io::Result<bool> {
        file.rewind()?;
        let mut pixels = Vec::new();
        loop {
            pixels.clear();
            file.take(3 << 16).read_to_end(&mut pixels)?;
            if pixels.as_chunks::<3>().0.iter().any(|[r, g, b]| r != g || g != b) {
                return Ok(false);
            }
            if pixels.is_empty() {
                return Ok(true);
            }
        }
    };
    read().map_err(unreadable)
}

fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, Stage::Decode, format!("a drawn page cannot be read back: {error}"))
}

/// Rows without anything around them: samples as they are, or RGB of which one sample is taken for gray.
struct BareRows {
    file: File,
    info: SourceInfo,
    /// Bytes of a pixel in the file.
    stored: usize,
    next_row: u32,
    row: Vec<u8>,
}

impl RowSource for BareRows {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        let rows = max_rows.min(self.info.size.height - self.next_row);
        let (start, row_bytes) = (band.height, band.row_bytes());
        band.set_rows(start + rows);
        let into = &mut band.samples.as_bytes_mut()[start as usize * row_bytes..];
        let own = self.info.format.bytes_per_pixel();
        let read = if self.stored == own {
            self.file.read_exact(into)
        } else {
            self.row.resize(row_bytes / own * self.stored, 0);
            into.chunks_exact_mut(row_bytes).try_for_each(|row| {
                self.file.read_exact(&mut self.row)?;
                row.iter_mut().zip(self.row.chunks_exact(self.stored)).for_each(|(gray, rgb)| *gray = rgb[0]);
                Ok(())
            })
        };
        if let Err(error) = read {
            band.set_rows(start);
            return Err(unreadable(error));
        }
        self.next_row += rows;
        Ok(rows)
    }

    fn working_bytes(&self) -> u64 {
        0
    }
}

/// Writes the document at `path` as PDF, so that its words can be read.
///
/// # Errors
/// As [`PageStream::next_page`].
pub fn to_pdf(path: &Path, limits: &Limits) -> Result<NamedTempFile> {
    let scratch = scratch()?;
    let pdf = NamedTempFile::new().map_err(|e| Error::io(Stage::Decode, std::env::temp_dir(), e))?;
    let mut output = OsString::from("-sOutputFile=");
    output.push(pdf.path());
    let input = plain(path)?;
    let file = input.as_ref().map_or(path, |file| file.path());
    let mut child = ghostscript("pdfwrite", &[&output], file, scratch.path(), limits)?;
    child.allow(limits.page_time);
    // Nothing comes; the end of it is the end of the program.
    let _ = io::copy(&mut child, &mut io::sink());
    finish(&mut child, limits, 1)?;
    Ok(pdf)
}

fn scratch() -> Result<TempDir> {
    TempDir::new().map_err(|e| Error::io(Stage::Open, std::env::temp_dir(), e))
}

fn ghostscript(
    device: &str,
    options: &[impl AsRef<OsStr>],
    input: &Path,
    scratch: &Path,
    limits: &Limits,
) -> Result<GuardedChild> {
    let scratch = Scratch { folder: scratch, max_file_bytes: limits.child_file_bytes };
    let program: PathBuf = external::find("gs")
        .ok_or_else(|| Error::unsupported(Stage::Open, "Ghostscript was not found; install the package ghostscript"))?;
    let device = format!("-sDEVICE={device}");
    // What a document prints must not get between the pages.
    let fixed = ["-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-dNOPROMPT", "-dEPSCrop", "-sstdout=%stderr", &device];
    let arguments = fixed
        .iter()
        .map(OsStr::new)
        .chain(options.iter().map(AsRef::as_ref))
        .chain([OsStr::new("-f"), input.as_os_str()]);
    GuardedChild::spawn(program.as_os_str(), arguments, limits.child_bytes, Some(scratch))
        .map_err(|e| Error::io(Stage::Open, &program, e))
}

/// How Ghostscript ended while it worked on `page`.
fn finish(child: &mut GuardedChild, limits: &Limits, page: u32) -> Result<()> {
    match child.end() {
        Ok(End::Exited(status)) if status.success() => Ok(()),
        Ok(End::Exited(status)) => {
            let said = child.complaint();
            let error = said.lines().find(|line| line.contains("Error"));
            let said = error.map_or_else(
                || {
                    let Limits { child_bytes, child_file_bytes, .. } = limits;
                    let (memory, disk) = (child_bytes >> 20, child_file_bytes >> 20);
                    format!("it gives no reason; perhaps it needs more than {memory} MiB, or {disk} MiB on disk")
                },
                str::to_owned,
            );
            Err(Error::malformed(Stage::Decode, format!("Ghostscript gave up on page {page} ({status}): {said}")))
        }
        Ok(End::TimedOut) => Err(Error::limit(
            Stage::Decode,
            format!("page {page} took longer than {} s: raise --page-seconds", limits.page_time.as_secs()),
        )),
        Err(error) => Err(Error::new(ErrorKind::Io, Stage::Decode, format!("Ghostscript cannot be ended: {error}"))),
    }
}

/// The PostScript inside a DOS EPS file, which has a preview behind it and a header in front; `None` for other files.
fn plain(path: &Path) -> Result<Option<NamedTempFile>> {
    let io = |e| Error::io(Stage::Open, path, e);
    let mut file = File::open(path).map_err(io)?;
    let mut head = Vec::new();
    (&mut file).take(12).read_to_end(&mut head).map_err(io)?;
    let Some((offset, length)) = dsc::dos_eps(&head) else { return Ok(None) };
    file.seek(SeekFrom::Start(offset.into())).map_err(io)?;
    let mut inside = NamedTempFile::new().map_err(io)?;
    let copied = io::copy(&mut file.take(length.into()), &mut inside).map_err(io)?;
    if copied < u64::from(length) || length == 0 {
        return Err(Error::malformed(Stage::Open, "the header of the EPS file points outside the file"));
    }
    Ok(Some(inside))
}

/// The first and the last bytes of the document at `path`, where its comments stand.
fn ends(path: &Path) -> Result<(Vec<u8>, Vec<u8>)> {
    let read = || -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut file = File::open(path)?;
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        (&mut file).take(dsc::SEARCHED_BYTES).read_to_end(&mut head)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(dsc::SEARCHED_BYTES)))?;
        file.take(dsc::SEARCHED_BYTES).read_to_end(&mut tail)?;
        Ok((head, tail))
    };
    read().map_err(|e| Error::io(Stage::Open, path, e))
}

/// Width and height from the header of a PGM, PPM or PAM image of 8 bits.
///
/// # Errors
/// `InvalidData` for any other header, `UnexpectedEof` for one that is cut off or longer than 4096 bytes.
pub fn raw_header(input: &mut impl BufRead) -> io::Result<(u64, u64)> {
    let mut input = input.take(MAX_HEADER_BYTES);
    let mut line = || -> io::Result<String> {
        let mut line = String::new();
        input.read_line(&mut line)?;
        if line.ends_with('\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    };
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "an unknown page header");
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).ok_or_else(strange);
    if line()?.trim_end() == "P7" {
        let (mut width, mut height) = (0, 0);
        loop {
            let line = line()?;
            let mut words = line.split_whitespace();
            match words.next() {
                Some("WIDTH") => width = number(words.next())?,
                Some("HEIGHT") => height = number(words.next())?,
                Some("ENDHDR") => return Ok((width, height)),
                _ => {}
            }
        }
    }
    let mut numbers = Vec::new();
    while numbers.len() < 3 {
        let line = line()?;
        if !line.starts_with('#') {
            for word in line.split_whitespace() {
                numbers.push(number(Some(word))?);
            }
        }
    }
    match numbers[..] {
        [width, height, 255] => Ok((width, height)),
        _ => Err(strange()),
    }
}
