//! Taking originals in: folders walked, files identified and hashed in parallel, recorded batch by batch.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use walkdir::{DirEntry, WalkDir};

use super::original::Stamp;
use crate::catalog::{self, Handle, IngestOutcome, Ingested, Library, NewOriginal};
use crate::decode::{self, Kind, sniff};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::limits::Limits;
use crate::ops::color::Description;

/// Files examined together and recorded in one transaction.
const BATCH: usize = 128;

/// Takes `paths` into the library: files as they are, folders with all that is in them, in the order of their names.
///
/// `on_each` hears of every file in that order: what became of it, or why it was refused. A refused file does not stop
/// the rest. Refused are files of no known kind and images whose header cannot be read; documents, video and the like
/// are taken in without a look inside. Inside folders, hidden files and folders, the library's own files and anything
/// that is neither file nor folder are passed over; links are followed, and no folder is entered twice.
/// A file whose path, size and time of change are those of the catalog is not read again.
///
/// # Errors
/// Only when the catalog itself fails; the batches before that are recorded.
pub fn ingest(
    library: &mut Library,
    paths: &[PathBuf],
    limits: &Limits,
    on_each: &mut dyn FnMut(&Path, Result<Ingested>),
) -> Result<()> {
    let library_dir = library.dir().to_owned();
    let mut entered = HashSet::new();
    let mut batch = Vec::new();
    for root in paths {
        for found in walk(root, &library_dir, &mut entered) {
            batch.push(found);
            if batch.len() == BATCH {
                take_in(library, std::mem::take(&mut batch), limits, on_each)?;
            }
        }
    }
    take_in(library, batch, limits, on_each)
}

/// The files under `root`, which may be a file itself, and what is wrong with those that cannot be read.
/// `entered` holds the canonical folders that were entered before.
fn walk<'a>(
    root: &'a Path,
    library_dir: &'a Path,
    entered: &'a mut HashSet<PathBuf>,
) -> impl Iterator<Item = (PathBuf, Result<()>)> + 'a {
    let enter = move |entry: &DirEntry| {
        let root = entry.depth() == 0;
        if !root && entry.file_name().as_encoded_bytes().starts_with(b".") {
            return false;
        }
        match fs::canonicalize(entry.path()) {
            Ok(path) if catalog::is_own_file(library_dir, &path) => root,
            Ok(path) if entry.file_type().is_dir() => entered.insert(path),
            // What cannot be resolved is reported when it is read.
            _ => true,
        }
    };
    WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter().filter_entry(enter).filter_map(|entry| {
        match entry {
            Ok(entry) if entry.file_type().is_file() => Some((entry.into_path(), Ok(()))),
            Ok(entry) if entry.file_type().is_dir() || entry.depth() > 0 => None,
            Ok(entry) => Some((entry.into_path(), Err(Error::misuse(Stage::Open, "is neither a file nor a folder")))),
            // A link to a folder around it: everything there is walked already.
            Err(error) if error.loop_ancestor().is_some() => None,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                let error = Error::io(Stage::Open, &path, error.into());
                Some((path, Err(error)))
            }
        }
    })
}

/// Reads, records and reports one batch.
fn take_in(
    library: &mut Library,
    batch: Vec<(PathBuf, Result<()>)>,
    limits: &Limits,
    on_each: &mut dyn FnMut(&Path, Result<Ingested>),
) -> Result<()> {
    let library_dir = library.dir().to_owned();
    let files: Vec<(PathBuf, Result<FileState>)> = batch
        .into_par_iter()
        .map(|(path, walked)| {
            let state = walked.and_then(|()| FileState::of(&path, &library_dir));
            (path, state)
        })
        .collect();

    // The catalog's connection serves one thread, so it is asked between the parallel steps.
    let mut known: Vec<Option<Handle>> = Vec::with_capacity(files.len());
    for (_, state) in &files {
        known.push(match state {
            Ok(state) => library.unchanged(&state.path, state.stamp.size_bytes, state.stamp.modified)?,
            Err(_) => None,
        });
    }

    let examined: Vec<(PathBuf, Result<Examined>)> = files
        .into_par_iter()
        .zip(known)
        .map(|((path, state), known)| {
            let examined = state.and_then(|state| match known {
                Some(handle) => Ok(Examined::Known(handle)),
                None => examine(state, limits).map(Examined::Original),
            });
            (path, examined)
        })
        .collect();

    let mut originals = Vec::new();
    let reports: Vec<(PathBuf, Option<Result<Ingested>>)> = examined
        .into_iter()
        .map(|(path, examined)| {
            let report = match examined {
                Ok(Examined::Original(original)) => {
                    originals.push(original);
                    None
                }
                Ok(Examined::Known(handle)) => Some(Ok(Ingested { handle, outcome: IngestOutcome::Unchanged })),
                Err(error) => Some(Err(error.of(path.display().to_string()))),
            };
            (path, report)
        })
        .collect();
    let mut recorded = library.ingest_all(&originals)?.into_iter();
    for (path, report) in reports {
        if let Some(report) = report.or_else(|| recorded.next().map(Ok)) {
            on_each(&path, report);
        }
    }
    Ok(())
}

enum Examined {
    /// The catalog has it with this size and time.
    Known(Handle),
    Original(NewOriginal),
}

/// What can be known of a file without reading it.
#[derive(Debug, PartialEq)]
struct FileState {
    /// Canonical.
    path: PathBuf,
    stamp: Stamp,
}

impl FileState {
    fn of(path: &Path, library_dir: &Path) -> Result<Self> {
        let path = fs::canonicalize(path).map_err(|error| Error::io(Stage::Open, path, error))?;
        if catalog::is_own_file(library_dir, &path) {
            return Err(Error::misuse(Stage::Open, "belongs to the library itself; originals come from elsewhere"));
        }
        let metadata = fs::metadata(&path).map_err(|error| Error::io(Stage::Open, &path, error))?;
        Ok(FileState { path, stamp: Stamp::from(&metadata) })
    }

    fn still_describes(&self, file: &File) -> Result<()> {
        let metadata = file.metadata().map_err(|error| Error::io(Stage::Open, &self.path, error))?;
        if Stamp::from(&metadata) == self.stamp {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Io,
            Stage::Open,
            "was changed while it was being read; take it in again when it is complete",
        ))
    }
}

/// Identifies and hashes a file.
fn examine(state: FileState, limits: &Limits) -> Result<NewOriginal> {
    let io = |error| Error::io(Stage::Open, &state.path, error);
    let mut file = File::open(&state.path).map_err(io)?;
    state.still_describes(&file)?;
    let kind = sniff::sniff(&sniff::read_head(&mut file).map_err(io)?);
    // Opening a file of unknown kind fails and says why.
    let info = if kind.is_raster() || kind == Kind::Unknown {
        Some(decode::open(&state.path, limits)?.info().clone())
    } else {
        None
    };
    let profile = if kind == Kind::IccProfile { Some(describe_profile(&state, &mut file)?) } else { None };
    let shown = info.as_ref().map(|info| info.orientation.oriented(info.size));
    let mut hasher = blake3::Hasher::new();
    file.rewind().map_err(io)?;
    hasher.update_reader(&file).map_err(io)?;
    state.still_describes(&file)?;
    Ok(NewOriginal {
        path: state.path,
        kind,
        size_bytes: state.stamp.size_bytes,
        modified: state.stamp.modified,
        hash: hasher.finalize(),
        width: shown.map(|size| size.width),
        height: shown.map(|size| size.height),
        format: info.map(|info| info.format.to_string()).or(profile),
    })
}

/// Class, colour space and connection space of an ICC profile.
fn describe_profile(state: &FileState, file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.take(MAX_PROFILE_BYTES).read_to_end(&mut bytes))
        .map_err(|error| Error::io(Stage::Open, &state.path, error))?;
    Description::read(&bytes).map(|description| description.to_string())
}

/// Far above any real profile.
const MAX_PROFILE_BYTES: u64 = 64 << 20;
