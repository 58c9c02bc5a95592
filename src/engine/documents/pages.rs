//! The pages of a document, drawn one after another or at the same time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use super::content::{self, PageView, Window};
use super::{Extras, KeptPage, Order, Ripped, cmyk_pages, is_pdf};
use crate::catalog::{Asset, Derivative, DerivingEngine, ECatalog, Library, NewDerived};
use crate::decode::{self, Kind, RowSource};
use crate::engine::derived::{self, Part, PartImage, PartRecipe};
use crate::engine::pipeline::{Context, Recipe};
use crate::engine::reprocess::Running;
use crate::engine::retry;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::{Insets, Size};
use crate::pixel::Color;
use crate::rip::{self, PageContent, indesign, pdf, postscript};

/// Converts every page of a document, or one, and keeps what the order asks for besides.
///
/// Pages are drawn in as many worker processes as are free, at least one. A page that fails does not stop the others,
/// a worker that dies or takes too long does.
///
/// # Errors
/// When nothing of the document can be read, and when the catalog or the disk fails.
pub fn rip(order: &Order, context: &Context, running: &Running<'_>) -> Result<Ripped> {
    let start = Instant::now();
    let asset = &order.origin.asset;
    let slot = context.workers.slot();
    let library = Library::open(&order.origin.library)?;
    let work = Work {
        asset,
        order,
        context,
        running,
        next: AtomicU32::new(order.origin.only.unwrap_or(1)),
        turn: Mutex::new(order.origin.only.unwrap_or(1)),
        turn_passed: Condvar::new(),
        kept: library
            .finished_parts(running.job, &asset.handle)?
            .into_iter()
            .filter(is_whole)
            .filter_map(|page| Some((page.originator.as_ref()?.number, page)))
            .collect(),
        library: Mutex::new(library),
        stop: AtomicBool::new(false),
        cmyk_pages: OnceLock::new(),
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

/// The number of a page, from 1, and what ripping it gave.
type NumberedPage = (u32, Result<(Page, PageContent)>);

/// The image of a page.
enum Page {
    Drawn(Box<PartImage>),
    Kept(Box<KeptPage>),
}

/// A document while its pages are done.
struct Work<'a> {
    asset: &'a Asset,
    order: &'a Order,
    context: &'a Context,
    running: &'a Running<'a>,
    library: Mutex<Library>,
    /// Page images that this job had finished when it was cut short.
    kept: BTreeMap<u32, Asset>,
    /// The number of the next page to be done.
    next: AtomicU32,
    /// The page that may become an asset next.
    turn: Mutex<u32>,
    turn_passed: Condvar,
    stop: AtomicBool,
    /// Looked for when the first page with colours comes.
    cmyk_pages: OnceLock<Vec<bool>>,
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
        let wanted = if order.origin.only.is_some() { 1 } else { pages };
        if let Some(only) = order.origin.only.filter(|only| *only > pages) {
            return Err(page_gone(pages, only));
        }
        std::thread::scope(|scope| {
            for _ in 1..wanted.min(context.lanes() as u32) {
                let Some(slot) = context.workers.free_slot() else { break };
                scope.spawn(move || {
                    let _slot = slot;
                    // The first session shows what is wrong with the document; a second one that fails is merely less help.
                    if let Ok(session) = pdf::Session::open(&context.workers, &asset.path, &order.limits) {
                        self.draw(&session, order.origin.only.unwrap_or(pages));
                    }
                });
            }
            self.draw(&session, order.origin.only.unwrap_or(pages));
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
                self.pass_turn(number);
                self.interrupted.fetch_or(number <= last && self.running.stops(), Ordering::Relaxed);
                break;
            }
            let piece = self.running.activity.begin(self.asset.name.clone());
            piece.say(format!("page {number} of {last}"));
            if let Some(page) = self.kept.get(&number) {
                self.pass_turn(number);
                self.take(number, self.keep(page, |size| self.content(&session, number, size)));
                continue;
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

    /// What the order wants of what stands on a page of a PDF, whose image has `size` before a crop.
    fn content(&self, session: &pdf::Session, number: u32, size: Size) -> Result<PageContent> {
        match self.order.extras {
            Extras { words: false, links: false, .. } => Ok(PageContent::default()),
            Extras { words, links, .. } => session.content(number, size, words, links),
        }
    }

    /// A page image that is there already, with what stands on it.
    fn keep(&self, asset: &Asset, content: impl FnOnce(Size) -> Result<PageContent>) -> Result<(Page, PageContent)> {
        let number = asset.originator.as_ref().map_or(1, |originator| originator.number);
        let derivative = asset.derivative.clone().expect("what is not whole was left out");
        let window = kept_window(asset, &derivative);
        let Insets { left, right, top, bottom } = window.insets.unwrap_or_default();
        let content = content(Size::new(window.size.width + left + right, window.size.height + top + bottom))?;
        let words = window.words(&content);
        let page = KeptPage { number, asset: asset.clone(), derivative, words, image_maps: Vec::new() };
        Ok((Page::Kept(Box::new(page)), content))
    }

    fn draw_page(&self, session: &pdf::Session, number: u32) -> Result<(Page, PageContent)> {
        let Order { drawing, .. } = self.order;
        let open = || session.page(number, &drawing.settings).map(|rows| Box::new(rows) as Box<dyn RowSource>);
        let content = |size| self.content(session, number, size);
        // The first look tells whether there is such a page at all, before it becomes an asset.
        let plain = rip::Settings { own_color: false, ..drawing.settings };
        let found = session.page(number, &plain).map(drop);
        self.wait_for_turn(number);
        let asset = found.and_then(|()| self.derive(number));
        self.pass_turn(number);
        let asset = asset?;
        if drawing.keeps_cmyk()
            && session.page(number, &drawing.settings)?.info().format.color == Color::Rgb
            && self.is_cmyk(number, session.pages())
        {
            let PartRecipe { recipe, crop } = &self.order.parts;
            let recipe = Recipe { color: drawing.to_cmyk(&recipe.color), ..recipe.clone() };
            return self.page(asset, &PartRecipe { recipe, crop: *crop }, &self.asset.path, &open, content);
        }
        self.page(asset, &self.order.parts, &self.asset.path, &open, content)
    }

    /// Whether page `number` of a PDF of `pages` pages is in CMYK.
    fn is_cmyk(&self, number: u32, pages: u32) -> bool {
        let Work { asset, order, context, .. } = self;
        let look = || cmyk_pages(&asset.path, pages, &order.limits, context, |warning| self.warn(warning));
        self.cmyk_pages.get_or_init(look).get(number as usize - 1).copied().unwrap_or(false)
    }

    /// Waits until every earlier page is an asset, or is known to become none, so that handles do not depend on the
    /// threads.
    fn wait_for_turn(&self, number: u32) {
        let turn = self.turn.lock().expect("no panic while the lock is held");
        drop(self.turn_passed.wait_while(turn, |turn| *turn < number).expect("no panic while the lock is held"));
    }

    fn pass_turn(&self, number: u32) {
        let mut turn = self.turn.lock().expect("no panic while the lock is held");
        *turn = (*turn).max(number + 1);
        self.turn_passed.notify_all();
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
        while order.origin.only.is_none_or(|only| pages < only) {
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
            if order.origin.only.is_some_and(|only| only != pages) {
                continue;
            }
            let open = || file.open(&context.limits);
            let content = |size| match &words {
                Some((_, session)) => session.content(pages, size, true, false),
                None => Ok(PageContent::default()),
            };
            if let Some(page) = self.kept.get(&pages) {
                self.take(pages, self.keep(page, content));
                continue;
            }
            let result = self.derive(pages).and_then(|page| self.page(page, &order.parts, &asset.path, &open, content));
            self.take(pages, result);
        }
        match order.origin.only {
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
            previews.pages.iter().filter(|(number, _)| order.origin.only.is_none_or(|only| only == **number))
        {
            let result = temporary(image).and_then(|file| {
                let open = || decode::open(file.path(), &context.limits);
                self.page(self.derive(number)?, &order.parts, file.path(), &open, |_| Ok(PageContent::default()))
            });
            if let Ok((Page::Drawn(page), _)) = &result {
                let Size { width, height } = page.converted.original;
                sizes.push(format!("{width} × {height} px for page {number}"));
            }
            self.take(number, result);
        }
        match order.origin.only {
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

    fn take(&self, number: u32, mut result: Result<(Page, PageContent)>) {
        if let Ok((Page::Drawn(page), _)) = &result
            && let Err(error) = self.library().finish_part(self.running.job, &page.result(&self.order.origin))
        {
            result = Err(error);
        }
        if result.as_ref().is_err_and(|e| e.kind == ErrorKind::Catalog) {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.results.lock().expect("no panic while the lock is held").push((number, result));
    }

    /// Makes the image of one page out of the rows that `open` takes from the file at `path`.
    fn page(
        &self,
        asset: Asset,
        parts: &PartRecipe,
        path: &Path,
        open: &dyn Fn() -> Result<Box<dyn RowSource>>,
        content: impl Fn(Size) -> Result<PageContent>,
    ) -> Result<(Page, PageContent)> {
        let number = asset.originator.as_ref().map_or(1, |originator| originator.number);
        let Work { context, running, .. } = self;
        let (output, mask) = {
            let library = self.library();
            (library.derivative_path(&asset), parts.recipe.clip_path.then(|| library.mask_path(&asset)))
        };
        let part = Part { number, asset, output, mask };
        let mut page = parts.apply(part, path, open, context, running.stop).map_err(|mut error| {
            // Nobody knows a file that was only there to be read.
            error.subject = Some(self.asset.path.display().to_string());
            error
        })?;
        let content = content(page.converted.original)?;
        page.words = Window { insets: page.converted.crop, size: page.converted.size }.words(&content);
        Ok((Page::Drawn(Box::new(page)), content))
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
        let (mut done, mut kept, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (number, result) in results {
            match result {
                Ok((Page::Drawn(page), content)) => done.push((*page, content)),
                Ok((Page::Kept(page), content)) => kept.push((*page, content)),
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
        let done: Vec<PartImage> = done
            .into_iter()
            .map(|(mut page, content)| {
                let window = Window { insets: page.converted.crop, size: page.converted.size };
                page.image_maps = window.image_maps(&content, &handles);
                page
            })
            .collect();
        let kept: Vec<KeptPage> = kept
            .into_iter()
            .map(|(mut page, content)| {
                page.image_maps = kept_window(&page.asset, &page.derivative).image_maps(&content, &handles);
                page
            })
            .collect();
        let mut warnings = self.order.drawing.warnings();
        warnings.extend(self.warnings.into_inner().expect("no panic while the lock was held"));
        let whole = self.order.origin.only.is_none();
        if whole && !surplus.is_empty() && !self.interrupted.load(Ordering::Relaxed) {
            let surplus: Vec<&str> = surplus.iter().map(|(_, handle)| handle.as_str()).collect();
            warnings.push(format!(
                "the document has {pages} pages now; the images of earlier pages are kept: {}",
                surplus.join(", ")
            ));
        }
        let extras = self.order.extras;
        let stopped = self.interrupted.into_inner();
        let drawn = done.iter().map(|page| PageView {
            number: page.number,
            asset: &page.asset,
            size: page.converted.size,
            words: &page.words,
            image_maps: &page.image_maps,
        });
        let before = kept.iter().map(|page| PageView {
            number: page.number,
            asset: &page.asset,
            size: Size::new(page.derivative.width, page.derivative.height),
            words: &page.words,
            image_maps: &page.image_maps,
        });
        let mut views: Vec<PageView> = drawn.chain(before).collect();
        views.sort_by_key(|page| page.number);
        let complete = whole && !stopped && views.len() == pages as usize;
        let ecatalog = (complete && extras.catalog && pages > 1).then(|| ECatalog {
            name: self.asset.name.clone(),
            pages: views.iter().map(|page| page.asset.handle.clone()).collect(),
        });
        if ecatalog.is_some() || (complete && (extras.words || extras.links)) {
            content::write(&library.document_path(self.asset), self.asset, ecatalog.is_some(), &views)?;
        }
        let pages = if whole { pages } else { 1 };
        Ok(Ripped { pages, done, kept, failed, ecatalog, warnings, stopped, elapsed: start.elapsed() })
    }
}

/// Whether the image of a page is there, made of the document as it is.
fn is_whole(page: &Asset) -> bool {
    page.derivative.as_ref().is_some_and(|derivative| {
        derivative.current && fs::metadata(&derivative.path).is_ok_and(|found| found.len() == derivative.bytes)
    })
}

/// The part of a page that its image shows.
fn kept_window(page: &Asset, derivative: &Derivative) -> Window {
    Window { insets: page.crop.map(|crop| crop.insets), size: Size::new(derivative.width, derivative.height) }
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
