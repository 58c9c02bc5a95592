//! What the engines that make derived assets share: what they are asked for, the asset and the image of each part of an
//! original, what the job log says of it, and the JSON file beside the catalog.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::pipeline::{self, Context, Converted, Recipe};
use super::plan::{CropPlan, CropRule};
use super::record;
use super::retry;
use crate::catalog::{
    Asset, DerivedResult, Handle, ImageMap, Library, LogEntry, LogType, NewDerived, PageWord, TaskOutcome,
};
use crate::decode::RowSource;
use crate::error::{Error, ErrorKind, Result, Stage};

/// What derived assets are made of, and what holds for all of them.
#[derive(Debug)]
pub struct Origin {
    /// The asset that was taken in.
    pub asset: Asset,
    /// Only the derived asset with this number; `None` for all of them.
    pub only: Option<u32>,
    /// The publish mark once they are done; `None` leaves it.
    pub publish: Option<bool>,
    /// The library's folder.
    pub library: PathBuf,
}

impl Origin {
    /// What becomes of the asset's publish mark when its work ends so.
    pub(super) fn publish_after(&self, outcome: TaskOutcome) -> Option<bool> {
        if outcome == TaskOutcome::Success { self.publish } else { None }
    }
}

/// How images are made of the parts of an original: its pages, its layers.
#[derive(Debug)]
pub struct PartRecipe {
    /// Without a crop.
    pub recipe: Recipe,
    /// Each part has a stored crop of its own.
    pub crop: CropPlan,
}

/// How the original's own pyramid is made.
#[derive(Debug)]
pub struct OwnPyramid {
    pub recipe: Box<Recipe>,
    pub output: PathBuf,
    /// What the stored crop becomes.
    pub crop: CropRule,
}

/// One part of an original, before its image is made.
#[derive(Debug)]
pub(super) struct Part {
    /// As in [`PartImage`].
    pub number: u32,
    pub asset: Asset,
    pub output: PathBuf,
    /// Where the mask of its clipping path goes.
    pub mask: Option<PathBuf>,
}

/// The image of one part of an original.
#[derive(Debug, Clone)]
pub struct PartImage {
    /// From 1: of the page, or of the layer from the bottom.
    pub number: u32,
    pub asset: Asset,
    pub output: PathBuf,
    pub converted: Converted,
    pub crop: CropRule,
    pub words: Vec<PageWord>,
    pub image_maps: Vec<ImageMap>,
}

impl PartRecipe {
    /// Makes the pyramid of `part` out of the rows that `open` takes from the file at `path`. Words and image maps are
    /// left to the caller.
    ///
    /// # Errors
    /// As [`pipeline::convert_rows`].
    pub(super) fn apply(
        &self,
        Part { number, asset, output, mask }: Part,
        path: &Path,
        open: &dyn Fn() -> Result<Box<dyn RowSource>>,
        context: &Context,
        stop: &AtomicBool,
    ) -> Result<PartImage> {
        let (crop, rule) = self.crop.of(&asset);
        for file in [Some(&output), mask.as_ref()].into_iter().flatten() {
            make_folder(file)?;
        }
        let recipe = Recipe { crop, mask, ..self.recipe.clone() };
        let converted = retrying(stop, || pipeline::convert_rows(path, open, &output, &recipe, context))?;
        Ok(PartImage { number, asset, output, converted, crop: rule, words: Vec::new(), image_maps: Vec::new() })
    }
}

impl PartImage {
    /// What the job log says of it; `what` names the part.
    pub(super) fn entry(&self, what: &str) -> LogEntry {
        let entry = LogEntry::new(LogType::FileProgress, format!("{what}: {}", self.converted)).about(&self.asset);
        with_warnings(entry, &self.converted.warnings)
    }

    /// What the catalog records of it.
    pub(super) fn result(&self, origin: &Origin) -> DerivedResult {
        DerivedResult {
            handle: self.asset.handle.clone(),
            derivative: record::new_derivative(&self.converted, &origin.asset),
            mask: record::new_mask(&self.converted, &origin.asset),
            crop: record::crop_change(self.crop, &self.converted),
            publish: origin.publish,
            words: self.words.clone(),
            image_maps: self.image_maps.clone(),
        }
    }
}

/// Converts, and tries again what may pass by itself; the result then warns of it.
pub(super) fn retrying(stop: &AtomicBool, convert: impl FnMut() -> Result<Converted>) -> Result<Converted> {
    let (converted, overcome) = retry::with_retries(&retry::PAUSES, stop, convert);
    let mut converted = converted?;
    converted.warnings.extend(overcome.iter().map(|error| format!("tried again after: {error}")));
    Ok(converted)
}

/// How the work on an original and its derived assets ended.
pub(super) struct End<'a> {
    pub error: Option<Error>,
    /// Asked to stop before all was done.
    pub stopped: bool,
    /// One line about what was done.
    pub summary: String,
    pub warnings: &'a [String],
    /// How many derived assets replace earlier ones.
    pub replaced: usize,
    /// What these are called, in the plural.
    pub called: &'a str,
}

impl End<'_> {
    /// Writes the end behind `entries`.
    pub(super) fn write(self, entries: &mut Vec<LogEntry>) -> TaskOutcome {
        let (log_type, text, outcome) = match self.error {
            Some(error) => (LogType::ReoptimizeFailure, error.to_string(), TaskOutcome::Failure),
            None if self.stopped => (LogType::FileCancel, self.summary, TaskOutcome::Cancelled),
            None => (LogType::ReoptimizeSuccess, self.summary, TaskOutcome::Success),
        };
        entries.push(with_warnings(LogEntry::new(log_type, text), self.warnings));
        if self.replaced > 0 {
            let text = format!("{} {} replace earlier ones", self.replaced, self.called);
            entries.push(LogEntry::new(LogType::FileUpdated, text));
        }
        outcome
    }
}

pub(super) fn with_warnings(entry: LogEntry, warnings: &[String]) -> LogEntry {
    warnings.iter().fold(entry, |entry, warning| entry.with(LogType::UploadWarning, warning.clone()))
}

/// The asset that something derived has had, or a new one.
pub(super) fn derive(library: &mut Library, originator: &Handle, new: &NewDerived) -> Result<Asset> {
    let handle = library.derive(originator, new)?;
    known(library, &handle)
}

/// A derived asset that was found or made just now.
pub(super) fn known(library: &Library, handle: &Handle) -> Result<Asset> {
    library.asset(handle)?.ok_or_else(|| {
        let message = "a derived asset is gone; is another run using the library?";
        Error::new(ErrorKind::Catalog, Stage::Catalog, message)
    })
}

/// Makes the folder of a file that is about to be written.
pub(super) fn make_folder(file: &Path) -> Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|e| Error::io(Stage::Encode, folder, e))
}

/// Writes `content` to `path`, whole or not at all.
pub(super) fn write_json(path: &Path, content: &impl Serialize) -> Result<()> {
    make_folder(path)?;
    let write = || -> std::io::Result<()> {
        // Only one run at a time writes here, so the name of the unfinished file is free.
        let unfinished = path.with_extension("json.new");
        fs::write(&unfinished, serde_json::to_vec_pretty(content)?)?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|e| Error::io(Stage::Encode, path, e))
}
