//! Documents ripped: every page becomes an asset of its own with a pyramid, in place of the one it had.

mod content;
mod pages;
mod wish;

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::derived::{End, Origin, PartImage, PartRecipe};
use super::pipeline::{self, Context, Converted, Recipe};
use crate::catalog::{
    Asset, AssetResult, CropChange, Derivative, DerivedResult, ECatalog, ImageMap, LogEntry, LogType, NewDerivative,
    PageWord,
};
use crate::decode::{self, RowSource};
use crate::error::{Error, Result, Stage};
use crate::geometry::Size;
use crate::pixel::Color;
use crate::rip::{self, pdf};

pub use pages::rip;
pub use wish::{Drawing, Extras, Wish, wish};

/// One document that is going to be ripped.
#[derive(Debug)]
pub struct Order {
    pub origin: Origin,
    pub parts: PartRecipe,
    pub drawing: Drawing,
    pub extras: Extras,
    pub limits: rip::Limits,
}

/// What became of a document.
#[derive(Debug, Clone)]
pub struct Ripped {
    /// Pages that were wanted: those of the document, or one.
    pub pages: u32,
    /// Those that were done, in order.
    pub done: Vec<PartImage>,
    /// Those that this job had done before it was cut short, in order.
    pub kept: Vec<KeptPage>,
    /// Those that were not, with the reason; pages that were not started are in neither list.
    pub failed: Vec<(u32, Error)>,
    pub ecatalog: Option<ECatalog>,
    pub warnings: Vec<String>,
    /// Asked to stop before all pages were done.
    pub stopped: bool,
    pub elapsed: Duration,
}

/// The image of a page that was done before the job was cut short.
#[derive(Debug, Clone)]
pub struct KeptPage {
    pub number: u32,
    pub asset: Asset,
    pub derivative: Derivative,
    pub words: Vec<PageWord>,
    pub image_maps: Vec<ImageMap>,
}

impl KeptPage {
    fn result(&self, origin: &Origin) -> DerivedResult {
        let Derivative { bytes, width, height, levels, compression, hash, .. } = self.derivative.clone();
        let source_hash = origin.asset.hash;
        DerivedResult {
            handle: self.asset.handle.clone(),
            derivative: NewDerivative { bytes, width, height, levels, compression, hash, source_hash },
            mask: None,
            crop: CropChange::Keep,
            publish: origin.publish,
            words: self.words.clone(),
            image_maps: self.image_maps.clone(),
        }
    }
}

impl Ripped {
    /// Pages that are done, now or before.
    pub fn count(&self) -> usize {
        self.done.len() + self.kept.len()
    }

    /// Pixels of all page images, before crops.
    pub fn pixels(&self) -> u64 {
        self.done.iter().map(|page| page.converted.original.pixels()).sum()
    }

    /// Why the document counts as failed.
    pub fn error(&self) -> Option<Error> {
        let (number, first) = self.failed.first()?;
        let mut error = first.clone();
        error.message = format!("{} of {} pages were done; page {number}: {}", self.count(), self.pages, first.message);
        Some(error)
    }
}

/// One line for people and logs.
impl std::fmt::Display for Ripped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = if self.pages == 1 { "" } else { "s" };
        if self.stopped {
            write!(f, "stopped after {} of ", self.count())?;
        }
        write!(f, "{} page{s} ripped, ", self.pages)?;
        if !self.kept.is_empty() {
            write!(f, "{} of them before the job was cut short, ", self.kept.len())?;
        }
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
    let mut recipe = recipe.clone();
    let mut warnings = drawing.warnings();
    if drawing.keeps_cmyk() && session.page(1, &drawing.settings)?.info().format.color == Color::Rgb {
        let cmyk = cmyk_pages(&asset.path, session.pages(), limits, context, |warning| warnings.push(warning));
        if cmyk.first() == Some(&true) {
            recipe.color = drawing.to_cmyk(&recipe.color);
        }
    }
    let mut converted = pipeline::convert_rows(&asset.path, &open, output, &recipe, context)?;
    converted.warnings.extend(warnings);
    Ok(converted)
}

/// Which of the `pages` pages of a PDF are in CMYK; none, with a warning, of a document that cannot be looked through.
fn cmyk_pages(
    path: &Path,
    pages: u32,
    limits: &rip::Limits,
    context: &Context,
    warn: impl FnOnce(String),
) -> Vec<bool> {
    let reason = match pdf::cmyk_pages(&context.workers, path, limits) {
        Ok(cmyk) if cmyk.len() == pages as usize => return cmyk,
        // What was found might be that of another page.
        Ok(cmyk) => format!("{} of {pages} pages were found", cmyk.len()),
        Err(error) => error.message,
    };
    warn(format!("colorspace Auto: pages in colour are RGB, because CMYK could not be looked for: {reason}"));
    Vec::new()
}

/// Illustrator files are PDF inside, or PostScript where they are old or saved without it.
fn is_pdf(path: &Path) -> Result<bool> {
    let head = fs::File::open(path)
        .and_then(|mut file| decode::sniff::read_head(&mut file))
        .map_err(|e| Error::io(Stage::Open, path, e))?;
    Ok(head.windows(5).take(1024).any(|window| window == b"%PDF-"))
}

/// What is recorded about a document.
pub(super) fn result(ripped: &Ripped, order: &Order, begin: LogEntry, end: LogEntry) -> AssetResult {
    let mut entries = vec![begin, LogEntry::new(LogType::BeginPdfRip, format!("{} pages", ripped.pages))];
    entries.extend(ripped.done.iter().map(|page| page.entry(&format!("page {}", page.number))));
    for (number, error) in &ripped.failed {
        entries.push(LogEntry::new(LogType::PdfRipError, format!("page {number}: {error}")));
    }
    let outcome = End {
        error: ripped.error(),
        stopped: ripped.stopped,
        summary: ripped.to_string(),
        warnings: &ripped.warnings,
        replaced: ripped.done.iter().filter(|page| page.asset.derivative.is_some()).count(),
        called: "page images",
    }
    .write(&mut entries);
    entries.push(end);
    let drawn = ripped.done.iter().map(|page| page.result(&order.origin));
    let kept = ripped.kept.iter().map(|page| page.result(&order.origin));
    AssetResult {
        publish: order.origin.publish_after(outcome),
        derived: drawn.chain(kept).collect(),
        ecatalog: ripped.ecatalog.clone(),
        unfinished: ripped.stopped,
        ..AssetResult::without_change(outcome, entries)
    }
}
