//! Whether a library's catalog and its files agree, and what can be put right.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use walkdir::WalkDir;

use super::original::Stamp;
use crate::catalog::{Asset, AssetFilter, Derivative, FileOwner, Handle, JobState, Library};
use crate::encode::ptiff;
use crate::error::{Error, Result, Stage};

/// How closely to look, and what to do about what is found.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Decode every pixel of every derivative.
    pub pixels: bool,
    /// Read every original, pyramid and mask whose hash is on record, and compare hashes.
    pub hash: bool,
    /// Remove half-written files, forget derivatives that are lost, record jobs that died as cut short. Never removes
    /// an original or a whole derivative.
    pub repair: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Catalog and files do not agree.
    Problem,
    /// They did not agree and do now.
    Repaired,
    /// They agree, but someone should know.
    Note,
}

/// Something that was found.
#[derive(Debug, Clone)]
pub struct Finding {
    pub weight: Weight,
    /// The file, asset or job.
    pub subject: String,
    pub message: String,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    pub assets: u64,
    pub derivatives: u64,
    pub problems: u64,
    pub repaired: u64,
}

/// Assets examined at once.
const PAGE: usize = 256;

/// Compares the catalog of `library` with the files and tells `on_finding` what it finds.
///
/// # Errors
/// `Catalog` when a run has the library; `Io` when a repair fails.
pub fn check(library: &mut Library, options: CheckOptions, on_finding: &mut dyn FnMut(&Finding)) -> Result<Checked> {
    let lock = library.lock_for_run()?;
    let mut findings = Findings { checked: Checked::default(), repair: options.repair, tell: on_finding };

    let dead = library.running_jobs()?;
    if options.repair {
        library.settle_dead_jobs(&lock)?;
    }
    for job in &dead {
        let resume = format!("its process died; `reprise run … --resume '{job}'` finishes it");
        findings.repairable(job.as_str(), resume, "recorded as cut short");
    }
    for job in library.jobs()?.iter().filter(|job| job.job_state == JobState::WaitingClient) {
        if !dead.contains(&job.job_handle) {
            let message = format!("was cut short; `reprise run … --resume '{}'` finishes it", job.job_handle);
            findings.note(job.job_handle.as_str(), message);
        }
    }

    for file in temporary_files(library) {
        if options.repair {
            fs::remove_file(&file).map_err(|e| Error::io(Stage::Catalog, &file, e))?;
        }
        findings.repairable(&file.display().to_string(), "left half-written by a run that died".into(), "removed");
    }

    let mut lost = HashSet::new();
    let mut page = Vec::with_capacity(PAGE);
    let mut assets = library.assets(AssetFilter::default());
    loop {
        page.clear();
        for asset in assets.by_ref().take(PAGE) {
            page.push(asset?);
        }
        if page.is_empty() {
            break;
        }
        let examined: Vec<_> = page.par_iter().map(|asset| examine(asset, options)).collect();
        for (asset, faults) in page.iter().zip(examined) {
            findings.checked.assets += 1;
            findings.checked.derivatives += u64::from(asset.derivative.is_some());
            let subject = |path: &Path| format!("{} {}", asset.handle, path.display());
            if let Err(error) = faults.original {
                findings.problem(&subject(&asset.path), format!("the original {}", error.message));
            }
            if let (Some(derivative), Err(error)) = (&asset.derivative, faults.derivative) {
                let message = format!("the pyramid {}", error.message);
                findings.repairable(&subject(&derivative.path), message, "off the record; the next job makes it anew");
                lost.insert(asset.handle.clone());
            }
            if let (Some(rendition), Err(error)) = (&asset.rendition, faults.rendition) {
                let message = format!("the rendition {}", error.message);
                findings.repairable(&subject(&rendition.path), message, "off the record; the next job makes it anew");
                lost.insert(asset.handle.clone());
            }
            if let (Some(mask), Err(error)) = (&asset.mask, faults.mask) {
                findings.problem(&subject(&mask.path), format!("the mask {}; run a job on the asset", error.message));
            }
        }
    }
    drop(assets);
    if options.repair {
        library.forget_derivatives(lost.iter())?;
    }

    for file in derivative_files(library) {
        look_at_file(library, &file, &lost, &mut findings)?;
    }
    Ok(findings.checked)
}

/// Files that a run which died left half-written.
pub(super) fn temporary_files(library: &Library) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = library.written_folders().iter().flat_map(|folder| files_below(folder)).collect();
    files.retain(|file| file.file_name().is_some_and(ptiff::is_temporary));
    files
}

fn derivative_files(library: &Library) -> Vec<PathBuf> {
    let [pyramids, renditions, ..] = library.written_folders();
    let mut files = files_below(&pyramids);
    files.extend(files_below(&renditions));
    files.retain(|file| !file.file_name().is_some_and(ptiff::is_temporary));
    files
}

/// What cannot be looked at is not listed: a folder that does not exist yet, or one that may not be read.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(std::result::Result::ok);
    entries.filter(|entry| !entry.file_type().is_dir()).map(walkdir::DirEntry::into_path).collect()
}

/// A file in the folders of pyramids and renditions: the catalog should know it.
fn look_at_file(library: &Library, file: &Path, lost: &HashSet<Handle>, findings: &mut Findings<'_>) -> Result<()> {
    let subject = file.display().to_string();
    match library.owner_of(file)? {
        FileOwner::Derivative | FileOwner::Rendition => {}
        FileOwner::PlaceOfRendition(asset) => {
            if !lost.contains(&asset) {
                findings.note(&subject, format!("not on record yet; the next job that encodes {asset} replaces it"));
            }
        }
        FileOwner::Place(asset) => {
            if ptiff::validate(file, false)
                .is_ok_and(|report| report.description.is_some() && report.findings.is_empty())
            {
                if !lost.contains(&asset) {
                    findings.note(&subject, format!("not on record yet; the next job with {asset} replaces it"));
                }
            } else {
                if findings.repair {
                    fs::remove_file(file).map_err(|e| Error::io(Stage::Catalog, file, e))?;
                }
                findings.repairable(&subject, format!("not on record, and no whole pyramid of {asset}"), "removed");
            }
        }
        FileOwner::Nobody => {
            findings.problem(&subject, "the catalog does not know this file; move it elsewhere".into())
        }
    }
    Ok(())
}

/// What is wrong with an asset's files.
struct Faults {
    original: Result<()>,
    derivative: Result<()>,
    rendition: Result<()>,
    mask: Result<()>,
}

fn examine(asset: &Asset, options: CheckOptions) -> Faults {
    Faults {
        original: original(asset, options),
        derivative: asset.derivative.as_ref().map_or(Ok(()), |derivative| pyramid(derivative, options)),
        rendition: asset
            .rendition
            .as_ref()
            .map_or(Ok(()), |made| content(&made.path, made.file.bytes, made.file.hash, options)),
        mask: asset.mask.as_ref().map_or(Ok(()), |mask| content(&mask.path, mask.bytes, mask.hash, options)),
    }
}

/// Whether a file that a run wrote is still what it wrote.
fn content(path: &Path, bytes: u64, recorded: Option<blake3::Hash>, options: CheckOptions) -> Result<()> {
    let wrong = |message: String| Err(Error::malformed(Stage::Verify, message));
    let found = Stamp::of(path).map_err(gone)?;
    if found.size_bytes != bytes {
        return wrong(format!("has {} bytes; on record are {bytes}", found.size_bytes));
    }
    match recorded.filter(|_| options.hash) {
        Some(recorded) if hash(path)? != recorded => wrong("has other content than on record".into()),
        _ => Ok(()),
    }
}

fn gone(mut error: Error) -> Error {
    error.message = format!("is not there: {}", error.message);
    error
}

fn original(asset: &Asset, options: CheckOptions) -> Result<()> {
    let found = Stamp::of(&asset.path).map_err(gone)?;
    let ingest = "take it in again with `reprise ingest`";
    if found.size_bytes != asset.size_bytes {
        let message =
            format!("has {} bytes and had {} when it was taken in; {ingest}", found.size_bytes, asset.size_bytes);
        return Err(Error::misuse(Stage::Open, message));
    }
    if options.hash {
        // The content decides, whatever the time of change says.
        return if hash(&asset.path)? == asset.hash {
            Ok(())
        } else {
            Err(Error::misuse(Stage::Open, format!("has other content than when it was taken in; {ingest}")))
        };
    }
    if found.modified != asset.modified {
        return Err(Error::misuse(Stage::Open, format!("was written to after it was taken in; {ingest}")));
    }
    Ok(())
}

fn pyramid(derivative: &Derivative, options: CheckOptions) -> Result<()> {
    let wrong = |message: String| Err(Error::malformed(Stage::Verify, message));
    let path = &derivative.path;
    content(path, derivative.bytes, derivative.hash, options)?;
    let report = ptiff::validate(path, options.pixels)?;
    if let Some(finding) = report.findings.first() {
        return wrong(format!("is damaged: {finding}"));
    }
    let Some(description) = report.description else { return wrong("is no pyramid TIFF".into()) };
    let size = description.levels.first().map(|level| (level.size.width, level.size.height));
    if size != Some((derivative.width, derivative.height)) || description.levels.len() != derivative.levels as usize {
        return wrong("has another size or other levels than on record".into());
    }
    Ok(())
}

/// The hash of a file.
pub(super) fn hash(path: &Path) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let file = fs::File::open(path).and_then(|file| hasher.update_reader(file).map(|_| ()));
    file.map_err(|e| Error::io(Stage::Open, path, e))?;
    Ok(hasher.finalize())
}

/// Counts findings and passes them on.
struct Findings<'a> {
    checked: Checked,
    repair: bool,
    tell: &'a mut dyn FnMut(&Finding),
}

impl Findings<'_> {
    fn problem(&mut self, subject: &str, message: String) {
        self.checked.problems += 1;
        (self.tell)(&Finding { weight: Weight::Problem, subject: subject.into(), message });
    }

    /// Something that a repair puts right; `done` says how.
    fn repairable(&mut self, subject: &str, message: String, done: &str) {
        if !self.repair {
            return self.problem(subject, message);
        }
        self.checked.repaired += 1;
        let message = format!("{message}: {done}");
        (self.tell)(&Finding { weight: Weight::Repaired, subject: subject.into(), message });
    }

    fn note(&mut self, subject: &str, message: String) {
        (self.tell)(&Finding { weight: Weight::Note, subject: subject.into(), message });
    }
}
