//! Documents ripped: every page becomes an asset of its own with a pyramid, in place of the one it had.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::color::{ColorPolicy, Conversion};
use super::derived;
use super::pipeline::{self, Context, Converted, Recipe};
use super::reprocess::{CropPlan, CropRule, Running};
use super::retry;
use crate::catalog::{
    Asset, DerivingEngine, ECatalog, Handle, ImageMap, Library, MapAction, NewDerived, PageWord, PixelBox,
};
use crate::decode::{self, Kind, RowSource};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::{Insets, Size};
use crate::job::{DocumentColor, DocumentProcess, PdfProcess, ReprocessAssets};
use crate::ops::color::{Builtin, Profile};
use crate::pixel::Color;
use crate::rip::{self, LinkTarget, PageContent, Place, indesign, pdf, postscript};

/// What a job wants of one document.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// It is kept as it is.
    Keep,
    /// The first page becomes the document's own pyramid.
    Preview(Drawing),
    /// Every page becomes an asset.
    Pages(Drawing, Extras),
}

/// How pages are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawing {
    settings: rip::Settings,
    /// As the job has it, for the record.
    colorspace: DocumentColor,
}

/// What is kept of the pages besides their images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    catalog: bool,
    words: bool,
    links: bool,
}

/// One document that is going to be ripped.
#[derive(Debug)]
pub struct Order {
    pub document: Asset,
    /// Only this page, from 1.
    pub only: Option<u32>,
    pub drawing: Drawing,
    pub extras: Extras,
    pub limits: rip::Limits,
    /// Without a crop.
    pub recipe: Recipe,
    /// Each page has a stored crop of its own.
    pub crop: CropPlan,
    pub publish: Option<bool>,
    /// The library's folder.
    pub library: PathBuf,
}

/// What became of a document.
#[derive(Debug, Clone)]
pub struct Ripped {
    /// Pages that were wanted: those of the document, or one.
    pub pages: u32,
    /// Those that were done, in order.
    pub done: Vec<Page>,
    /// Those that were not, with the reason; pages that were not started are in neither list.
    pub failed: Vec<(u32, Error)>,
    pub ecatalog: Option<ECatalog>,
    pub warnings: Vec<String>,
    /// Asked to stop before all pages were done.
    pub stopped: bool,
    pub elapsed: Duration,
}

/// One page that was done.
#[derive(Debug, Clone)]
pub struct Page {
    pub number: u32,
    pub asset: Asset,
    pub output: PathBuf,
    pub converted: Converted,
    pub crop: CropRule,
    pub words: Vec<PageWord>,
    pub image_maps: Vec<ImageMap>,
}

impl Ripped {
    pub fn is_complete(&self) -> bool {
        self.done.len() == self.pages as usize
    }

    /// Pixels of all page images, before crops.
    pub fn pixels(&self) -> u64 {
        self.done.iter().map(|page| page.converted.original.pixels()).sum()
    }

    /// Why the document counts as failed.
    pub fn error(&self) -> Option<Error> {
        let (number, first) = self.failed.first()?;
        let mut error = first.clone();
        error.message =
            format!("{} of {} pages were done; page {number}: {}", self.done.len(), self.pages, first.message);
        Some(error)
    }
}

/// One line for people and logs.
impl std::fmt::Display for Ripped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = if self.pages == 1 { "" } else { "s" };
        if self.stopped {
            write!(f, "stopped after {} of ", self.done.len())?;
        }
        write!(f, "{} page{s} ripped, ", self.pages)?;
        write!(f, "{:.1} megapixels, {:.2} s", self.pixels() as f64 / 1e6, self.elapsed.as_secs_f64())?;
        if let Some(first) = self.done.first() {
            let Size { width, height } = first.converted.size;
            write!(f, ", page {} {width} × {height} px, {}", first.number, first.converted.format)?;
        }
        if self.ecatalog.is_some() {
            f.write_str(", eCatalog")?;
        }
        Ok(())
    }
}

/// What `job` wants of documents of this kind; `None` for kinds that are not ripped.
pub fn wish(job: &ReprocessAssets, kind: Kind) -> Option<Wish> {
    let drawing = |resolution_dpi, colorspace, alpha| Drawing {
        settings: rip::Settings {
            resolution_dpi,
            color: match colorspace {
                DocumentColor::Gray => Color::Gray,
                // PDFium draws no CMYK: its RGB is converted to the default CMYK profile.
                DocumentColor::Cmyk if kind == Kind::PostScript => Color::Cmyk,
                DocumentColor::Auto | DocumentColor::Rgb | DocumentColor::Cmyk => Color::Rgb,
            },
            alpha,
            detect_gray: colorspace == DocumentColor::Auto,
        },
        colorspace,
    };
    let plain = Extras::default();
    match kind {
        Kind::Pdf => {
            let Some(options) = &job.pdf else {
                let extras = Extras { catalog: true, ..plain };
                return Some(Wish::Pages(drawing(150.0, DocumentColor::Auto, false), extras));
            };
            let drawing = drawing(options.resolution_dpi, options.colorspace, false);
            Some(match options.process {
                PdfProcess::None => Wish::Keep,
                PdfProcess::Thumbnail => Wish::Preview(drawing),
                PdfProcess::Rasterize => Wish::Pages(
                    drawing,
                    Extras {
                        catalog: options.catalog,
                        words: options.extract_search_words,
                        links: options.extract_links,
                    },
                ),
            })
        }
        Kind::Illustrator => Some(match &job.illustrator {
            Some(options) if options.process == DocumentProcess::Rasterize => {
                Wish::Pages(drawing(options.resolution_dpi, options.colorspace, options.alpha), plain)
            }
            _ => Wish::Keep,
        }),
        Kind::PostScript => Some(match &job.post_script {
            Some(options) if options.process == DocumentProcess::Rasterize => Wish::Pages(
                drawing(options.resolution_dpi, options.colorspace, options.alpha),
                Extras { words: options.extract_search_words, ..plain },
            ),
            _ => Wish::Keep,
        }),
        Kind::InDesign => Some(match &job.in_design {
            Some(options) if options.process == DocumentProcess::Rasterize => {
                Wish::Pages(drawing(STORED_DPI, DocumentColor::Auto, false), plain)
            }
            _ => Wish::Keep,
        }),
        _ => None,
    }
}

/// What is on record of pictures that are taken as they are.
const STORED_DPI: f64 = 72.0;

impl Drawing {
    /// The run's policy for colours, for pages drawn like this. What the job draws as CMYK stays CMYK, in the default
    /// profile where no other one is assumed, unless the job converts everything.
    pub fn color_policy(&self, policy: &ColorPolicy) -> ColorPolicy {
        let mut policy = policy.clone();
        if self.settings.format().color != Color::Cmyk {
            if self.colorspace == DocumentColor::Cmyk && !matches!(policy.conversion, Conversion::All { .. }) {
                policy.conversion =
                    Conversion::All { source: None, output: Some(Profile::builtin(Builtin::Cmyk).clone()) };
            }
            return policy;
        }
        if matches!(policy.conversion, Conversion::UntaggedCmyk) {
            policy.conversion = Conversion::Never;
        }
        policy.defaults.cmyk.get_or_insert_with(|| Profile::builtin(Builtin::Cmyk).clone());
        policy
    }

    /// As stored with every page image.
    fn parameters(&self) -> String {
        let color = match self.colorspace {
            DocumentColor::Auto => "Auto",
            DocumentColor::Rgb => "Rgb",
            DocumentColor::Cmyk => "Cmyk",
            DocumentColor::Gray => "Gray",
        };
        let rip::Settings { resolution_dpi, alpha, .. } = self.settings;
        serde_json::json!({ "resolution": resolution_dpi, "colorspace": color, "alpha": alpha }).to_string()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.colorspace == DocumentColor::Gray && self.settings.alpha {
            warnings.push("colorspace Gray: pages drawn with alpha are RGB in this version".to_owned());
        }
        warnings
    }
}

/// Converts the first page of the document `asset` to `output`.
///
/// # Errors
/// As [`pipeline::convert_rows`] and [`pdf::Session`].
pub fn preview(
    asset: &Asset,
    drawing: &Drawing,
    limits: &rip::Limits,
    output: &Path,
    recipe: &Recipe,
    context: &Context,
) -> Result<Converted> {
    let _slot = context.workers.slot();
    let session = pdf::Session::open(&context.workers, &asset.path, limits)
        .map_err(|e| e.of(asset.path.display().to_string()))?;
    let open = || session.page(1, &drawing.settings).map(|rows| Box::new(rows) as _);
    let mut converted = pipeline::convert_rows(&asset.path, &open, output, recipe, context)?;
    converted.warnings.extend(drawing.warnings());
    Ok(converted)
}

/// Converts every page of a document, or one, and keeps what the order asks for besides.
///
/// Pages are drawn in as many worker processes as are free, at least one. A page that fails does not stop the others,
/// a worker that dies or takes too long does.
///
/// # Errors
/// When nothing of the document can be read, and when the catalog or the disk fails.
pub fn rip(order: &Order, context: &Context, running: &Running<'_>) -> Result<Ripped> {
    let start = Instant::now();
    let asset = &order.document;
    let slot = context.workers.slot();
    let work = Work {
        asset,
        order,
        context,
        running,
        library: Mutex::new(Library::open(&order.library)?),
        next: AtomicU32::new(order.only.unwrap_or(1)),
        stop: AtomicBool::new(false),
        interrupted: AtomicBool::new(false),
        results: Mutex::new(Vec::new()),
        warnings: Mutex::new(Vec::new()),
    };
    let pages = match asset.kind {
        Kind::InDesign => work.previews(),
        _ if is_pdf(&asset.path)? => work.pdf(slot),
        _ => work.postscript(),
    };
    let pages = pages.map_err(|e| e.of(asset.path.display().to_string()))?;
    work.finish(pages, start)
}

/// Illustrator files are PDF inside, or PostScript where they are old or saved without it.
fn is_pdf(path: &Path) -> Result<bool> {
    let head = fs::File::open(path)
        .and_then(|mut file| decode::sniff::read_head(&mut file))
        .map_err(|e| Error::io(Stage::Open, path, e))?;
    Ok(head.windows(5).take(1024).any(|window| window == b"%PDF-"))
}

/// The number of a page, from 1, and what ripping it gave.
type NumberedPage = (u32, Result<(Page, PageContent)>);

/// A document while its pages are done.
struct Work<'a> {
    asset: &'a Asset,
    order: &'a Order,
    context: &'a Context,
    running: &'a Running<'a>,
    library: Mutex<Library>,
    /// The number of the next page to be done.
    next: AtomicU32,
    stop: AtomicBool,
    /// Pages were left because of a signal.
    interrupted: AtomicBool,
    results: Mutex<Vec<NumberedPage>>,
    warnings: Mutex<Vec<String>>,
}

impl Work<'_> {
    /// Pages drawn by PDFium, in parallel; returns how many the document has.
    fn pdf(&self, slot: rip::Slot<'_>) -> Result<u32> {
        let Work { asset, order, context, .. } = self;
        let session = pdf::Session::open(&context.workers, &asset.path, &order.limits)?;
        let pages = session.pages();
        let wanted = if order.only.is_some() { 1 } else { pages };
        if let Some(only) = order.only.filter(|only| *only > pages) {
            return Err(page_gone(pages, only));
        }
        std::thread::scope(|scope| {
            for _ in 1..wanted.min(context.lanes() as u32) {
                let Some(slot) = context.workers.free_slot() else { break };
                scope.spawn(move || {
                    let _slot = slot;
                    // The first session shows what is wrong with the document; a second one that fails is merely less help.
                    if let Ok(session) = pdf::Session::open(&context.workers, &asset.path, &order.limits) {
                        self.draw(&session, order.only.unwrap_or(pages));
                    }
                });
            }
            self.draw(&session, order.only.unwrap_or(pages));
            drop(slot);
        });
        Ok(pages)
    }

    /// Whether no further page is begun.
    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.running.stops()
    }

    /// Takes one page after another until page `last` is done, the worker is lost, or there is a reason to stop.
    fn draw(&self, session: &pdf::Session, last: u32) {
        let mut session = session.clone();
        while !session.is_lost() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number > last || self.stops() {
                self.interrupted.fetch_or(number <= last && self.running.stops(), Ordering::Relaxed);
                break;
            }
            let mut result = self.draw_page(&session, number);
            // Time runs out for pages that are slow, and for good ones on a machine that is busy: those get a second try.
            if result.as_ref().is_err_and(retry::timed_out) && session.is_lost() && !self.stops() {
                let Self { asset, order, context, .. } = self;
                if let Ok(another) = pdf::Session::open(&context.workers, &asset.path, &order.limits) {
                    session = another;
                    result = self.draw_page(&session, number);
                    if result.is_ok() {
                        self.warn(format!("page {number} took too long and was drawn at the second try"));
                    }
                }
            }
            if session.is_lost() {
                self.stop.store(true, Ordering::Relaxed);
            }
            self.take(number, result);
        }
    }

    fn draw_page(&self, session: &pdf::Session, number: u32) -> Result<(Page, PageContent)> {
        let Order { drawing, extras, .. } = self.order;
        let open = || session.page(number, &drawing.settings).map(|rows| Box::new(rows) as Box<dyn RowSource>);
        let content = |size| match extras {
            Extras { words: false, links: false, .. } => Ok(PageContent::default()),
            _ => session.content(number, size, extras.words, extras.links),
        };
        // The first look tells whether there is such a page at all, before it becomes an asset.
        let plain = rip::Settings { detect_gray: false, ..drawing.settings };
        session.page(number, &plain).and_then(|_| self.page(number, &self.asset.path, &open, content))
    }

    /// Pages drawn by Ghostscript, in their order; returns how many came.
    fn postscript(&self) -> Result<u32> {
        let Work { asset, order, context, .. } = self;
        let mut stream = postscript::PageStream::start(&asset.path, &order.drawing.settings, &order.limits)?;
        if stream.keeps_pixels() {
            self.warn("an image saved by Photoshop: its own pixels are kept, whatever the job's resolution".into());
        }
        let words = if order.extras.words { Some(self.words_of_postscript()?) } else { None };
        let mut pages = 0;
        while order.only.is_none_or(|only| pages < only) {
            if self.stops() {
                self.interrupted.store(self.running.stops(), Ordering::Relaxed);
                return Ok(pages);
            }
            let file = match stream.next_page() {
                Ok(Some(file)) => file,
                Ok(None) => break,
                // What went wrong at the first page went wrong with the document.
                Err(error) if pages == 0 => return Err(error),
                Err(error) => {
                    pages += 1;
                    self.take(pages, Err(error));
                    break;
                }
            };
            pages = file.number;
            if order.only.is_some_and(|only| only != pages) {
                continue;
            }
            let open = || file.open(&context.limits);
            let content = |size| match &words {
                Some((_, session)) => session.content(pages, size, true, false),
                None => Ok(PageContent::default()),
            };
            self.take(pages, self.page(pages, &asset.path, &open, content));
        }
        match order.only {
            Some(only) if pages < only => Err(page_gone(pages, only)),
            _ if pages == 0 => Err(Error::malformed(Stage::Decode, "the document draws no page")),
            _ => Ok(pages),
        }
    }

    /// Pictures of pages that InDesign stored; returns how many there are.
    fn previews(&self) -> Result<u32> {
        let Work { asset, order, context, .. } = self;
        let previews = indesign::previews(&asset.path, &order.limits)?;
        let mut sizes = Vec::new();
        for (&number, image) in
            previews.pages.iter().filter(|(number, _)| order.only.is_none_or(|only| only == **number))
        {
            let result = temporary(image).and_then(|file| {
                let open = || decode::open(file.path(), &context.limits);
                self.page(number, file.path(), &open, |_| Ok(PageContent::default()))
            });
            if let Ok((page, _)) = &result {
                let Size { width, height } = page.converted.original;
                sizes.push(format!("{width} × {height} px for page {number}"));
            }
            self.take(number, result);
        }
        match order.only {
            Some(only) if !previews.pages.contains_key(&only) => {
                return Err(page_gone(previews.pages.len() as u32, only));
            }
            _ => {}
        }
        let of = previews.total.map_or(String::new(), |total| format!(" of {total} pages"));
        self.warn(format!(
            "InDesign pages are not drawn; these are the previews stored in the document{of}: {}",
            sizes.join(", ")
        ));
        Ok(previews.pages.len() as u32)
    }

    /// The document as PDF, which goes when it is dropped, and a worker that reads it.
    fn words_of_postscript(&self) -> Result<(tempfile::NamedTempFile, pdf::Session)> {
        let limits = &self.order.limits;
        let document = postscript::to_pdf(&self.asset.path, limits)?;
        let session = pdf::Session::open(&self.context.workers, document.path(), limits)?;
        Ok((document, session))
    }

    fn warn(&self, warning: String) {
        self.warnings.lock().expect("no panic while the lock is held").push(warning);
    }

    fn take(&self, number: u32, result: Result<(Page, PageContent)>) {
        if result.as_ref().is_err_and(|e| e.kind == ErrorKind::Catalog) {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.results.lock().expect("no panic while the lock is held").push((number, result));
    }

    /// Makes the image of one page out of the rows that `open` takes from the file at `path`.
    fn page(
        &self,
        number: u32,
        path: &Path,
        open: &dyn Fn() -> Result<Box<dyn RowSource>>,
        content: impl Fn(Size) -> Result<PageContent>,
    ) -> Result<(Page, PageContent)> {
        let asset = self.derive(number)?;
        let (crop, rule) = self.order.crop.of(&asset);
        let recipe = Recipe { crop, ..self.order.recipe.clone() };
        let output = self.library().derivative_path(&asset);
        derived::make_folder(&output)?;
        let (result, overcome) = retry::with_retries(&retry::PAUSES, self.running.stop, || {
            let converted =
                pipeline::convert_rows(path, open, &output, &recipe, self.context).map_err(|mut error| {
                    // Nobody knows a file that was only there to be read.
                    error.subject = Some(self.asset.path.display().to_string());
                    error
                })?;
            let content = content(converted.original)?;
            Ok((converted, content))
        });
        let (mut converted, content) = result?;
        converted.warnings.extend(overcome.iter().map(|error| format!("tried again after: {error}")));
        let window = Window { insets: converted.crop, size: converted.size };
        let words = content
            .words
            .iter()
            .filter_map(|word| Some(PageWord { word: word.text.clone(), place: window.clip(word.place)? }));
        let words = words.collect();
        Ok((Page { number, asset, output, converted, crop: rule, words, image_maps: Vec::new() }, content))
    }

    /// The asset of a page: the one it has had, or a new one.
    fn derive(&self, number: u32) -> Result<Asset> {
        let new = NewDerived {
            engine: DerivingEngine::PostScriptRip,
            number,
            name: format!("{}_{number}", self.asset.name),
            parameters: self.order.drawing.parameters(),
        };
        derived::derive(&mut self.library(), &self.asset.handle, &new)
    }

    fn library(&self) -> MutexGuard<'_, Library> {
        self.library.lock().expect("no panic while the lock is held")
    }

    fn finish(self, pages: u32, start: Instant) -> Result<Ripped> {
        let mut results = self.results.into_inner().expect("no panic while the lock was held");
        results.sort_by_key(|(number, _)| *number);
        let (mut done, mut contents, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (number, result) in results {
            match result {
                Ok((page, content)) => {
                    done.push(page);
                    contents.push(content);
                }
                Err(error) if error.kind == ErrorKind::Catalog => return Err(error),
                Err(error) => failed.push((number, error)),
            }
        }
        let library = self.library.into_inner().expect("no panic while the lock was held");
        let (handles, surplus): (Vec<_>, Vec<_>) = library
            .derived(&self.asset.handle, DerivingEngine::PostScriptRip)?
            .into_iter()
            .filter_map(|asset| Some((asset.originator?.number, asset.handle)))
            .partition(|(number, _)| *number <= pages);
        // Links lead to other pages, whose handles are known only now.
        for (page, content) in done.iter_mut().zip(&contents) {
            let window = Window { insets: page.converted.crop, size: page.converted.size };
            page.image_maps = content.links.iter().filter_map(|link| window.image_map(link, &handles)).collect();
        }
        let mut warnings = self.order.drawing.warnings();
        warnings.extend(self.warnings.into_inner().expect("no panic while the lock was held"));
        let whole = self.order.only.is_none();
        if whole && !surplus.is_empty() && !self.interrupted.load(Ordering::Relaxed) {
            let surplus: Vec<&str> = surplus.iter().map(|(_, handle)| handle.as_str()).collect();
            warnings.push(format!(
                "the document has {pages} pages now; the images of earlier pages are kept: {}",
                surplus.join(", ")
            ));
        }
        let extras = self.order.extras;
        let stopped = self.interrupted.into_inner();
        let complete = whole && !stopped && done.len() == pages as usize;
        let ecatalog = (complete && extras.catalog && pages > 1).then(|| ECatalog {
            name: self.asset.name.clone(),
            pages: done.iter().map(|page| page.asset.handle.clone()).collect(),
        });
        if ecatalog.is_some() || (complete && (extras.words || extras.links)) {
            write_document(&library.document_path(self.asset), self.asset, ecatalog.is_some(), &done)?;
        }
        let pages = if whole { pages } else { 1 };
        Ok(Ripped { pages, done, failed, ecatalog, warnings, stopped, elapsed: start.elapsed() })
    }
}

/// A file with these bytes, which goes when it is dropped.
fn temporary(bytes: &[u8]) -> Result<tempfile::NamedTempFile> {
    use std::io::Write;
    let write = || -> std::io::Result<_> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(bytes)?;
        Ok(file)
    };
    write().map_err(|e| Error::io(Stage::Decode, std::env::temp_dir(), e))
}

fn page_gone(pages: u32, number: u32) -> Error {
    Error::misuse(Stage::Open, format!("the document has {pages} pages now; this was page {number}"))
}

/// The part of a page image that a crop keeps.
struct Window {
    insets: Option<Insets>,
    /// After the crop.
    size: Size,
}

impl Window {
    fn clip(&self, place: Place) -> Option<PixelBox> {
        let (left, top) = self.insets.map_or((0, 0), |insets| (insets.left, insets.top));
        let across = |x: u32| x.saturating_sub(left).min(self.size.width);
        let down = |y: u32| y.saturating_sub(top).min(self.size.height);
        let clipped = PixelBox {
            left: across(place.left),
            top: down(place.top),
            right: across(place.right),
            bottom: down(place.bottom),
        };
        (clipped.left < clipped.right && clipped.top < clipped.bottom).then_some(clipped)
    }

    /// `None` for a link outside, or to a page that has no image.
    fn image_map(&self, link: &rip::Link, pages: &[(u32, Handle)]) -> Option<ImageMap> {
        let action = match &link.target {
            LinkTarget::Uri(uri) => MapAction::Uri(uri.clone()),
            LinkTarget::Page(number) => {
                let index = pages.binary_search_by_key(number, |(number, _)| *number).ok()?;
                MapAction::Asset(pages[index].1.clone())
            }
        };
        Some(ImageMap { place: self.clip(link.place)?, action })
    }
}

/// What is written beside the catalog about a document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentFile<'a> {
    asset_handle: &'a Handle,
    name: &'a str,
    e_catalog: bool,
    pages: Vec<PageEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageEntry<'a> {
    asset_handle: &'a Handle,
    name: &'a str,
    number: u32,
    width: u32,
    height: u32,
    words: &'a [PageWord],
    image_maps: &'a [ImageMap],
}

fn write_document(path: &Path, asset: &Asset, e_catalog: bool, pages: &[Page]) -> Result<()> {
    let document = DocumentFile {
        asset_handle: &asset.handle,
        name: &asset.name,
        e_catalog,
        pages: pages
            .iter()
            .map(|page| PageEntry {
                asset_handle: &page.asset.handle,
                name: &page.asset.name,
                number: page.number,
                width: page.converted.size.width,
                height: page.converted.size.height,
                words: &page.words,
                image_maps: &page.image_maps,
            })
            .collect(),
    };
    derived::write_json(path, &document)
}
