//! What a job records of its assets, in the catalog and in its log.

use std::time::{Duration, Instant};

use super::pipeline::Converted;
use super::plan::{Action, CropRule, Planned};
use super::reprocess::Outcome;
use super::{derived, documents, media, photoshop, report};
use crate::catalog::{
    Asset, AssetResult, Crop as StoredCrop, CropChange, Handle, Library, LogEntry, LogType, NewDerivative, NewMask,
    TaskOutcome,
};
use crate::error::Result;

/// Results are recorded together: one transaction for so many assets …
const COMMIT_ASSETS: usize = 64;
/// … or for so much time, whichever comes first.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);

/// Collects results and records them together.
pub(super) struct Recorder<'a> {
    library: &'a mut Library,
    job: &'a Handle,
    pending: Vec<(Handle, AssetResult)>,
    last: Instant,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(library: &'a mut Library, job: &'a Handle) -> Self {
        Recorder { library, job, pending: Vec::new(), last: Instant::now() }
    }

    pub(super) fn add(&mut self, planned: &Planned, outcome: &Outcome) -> Result<()> {
        let result = AssetResult { report: report::record(planned, outcome), ..asset_result(planned, outcome) };
        self.pending.push((planned.handle.clone(), result));
        if self.pending.len() >= COMMIT_ASSETS || self.last.elapsed() >= COMMIT_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.last = Instant::now();
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() { Ok(()) } else { self.library.finish_assets(self.job, &pending) }
    }
}

fn asset_result(planned: &Planned, outcome: &Outcome) -> AssetResult {
    let name = planned.asset.as_ref().map_or(planned.handle.as_str(), |asset| asset.name.as_str());
    let begin = LogEntry::new(LogType::FileBegin, name);
    let end = LogEntry::new(LogType::FileEnd, name);
    match (outcome, &planned.asset, &planned.action) {
        (Outcome::Converted(converted), Some(asset), Action::Convert { crop, publish, .. }) => {
            converted_result(converted, asset, *crop, *publish, begin, end)
        }
        (Outcome::Layers(extracted), _, Action::Layers(order)) => photoshop::result(extracted, order, begin, end),
        (Outcome::Ripped(ripped), _, Action::Rip(order)) => documents::result(ripped, order, begin, end),
        (Outcome::Encoded(encoded), _, Action::Encode(order)) => media::result(encoded, order, begin, end),
        (Outcome::Kept(reason), _, Action::Keep { publish, .. }) => {
            let kept = LogEntry::new(LogType::FileProgress, reason.clone());
            let entries = vec![begin, kept, end];
            AssetResult { publish: *publish, ..AssetResult::without_change(TaskOutcome::Success, entries) }
        }
        (Outcome::Left(reason), ..) => {
            let left = LogEntry::new(LogType::UploadWarning, reason.clone());
            AssetResult::without_change(TaskOutcome::Cancelled, vec![begin, left, end])
        }
        (Outcome::Failed(error), ..) => {
            let failed = LogEntry::new(LogType::ReoptimizeFailure, error.to_string());
            let mut entries = vec![begin, failed, end];
            if matches!(planned.action, Action::Rip(_)) {
                entries.insert(1, LogEntry::new(LogType::PdfRipError, "the document could not be opened"));
            }
            AssetResult::without_change(TaskOutcome::Failure, entries)
        }
        (
            Outcome::Converted(_) | Outcome::Ripped(_) | Outcome::Layers(_) | Outcome::Encoded(_) | Outcome::Kept(_),
            ..,
        ) => {
            unreachable!("an outcome is that of its action")
        }
    }
}

fn converted_result(
    converted: &Converted,
    asset: &Asset,
    crop: CropRule,
    publish: Option<bool>,
    begin: LogEntry,
    end: LogEntry,
) -> AssetResult {
    let mut entries = vec![begin];
    entries.extend(own_entries(LogType::ReoptimizeSuccess, converted.to_string(), converted, asset));
    entries.push(end);
    AssetResult { publish, ..own_result(converted, asset, crop, TaskOutcome::Success, entries) }
}

/// What the job log says of an asset's own pyramid.
pub(super) fn own_entries(
    log_type: LogType,
    text: String,
    converted: &Converted,
    asset: &Asset,
) -> impl Iterator<Item = LogEntry> {
    let done = derived::with_warnings(LogEntry::new(log_type, text), &converted.warnings);
    let replaces = asset.derivative.is_some();
    let updated = replaces.then(|| LogEntry::new(LogType::FileUpdated, "the derivative replaces the earlier one"));
    [done].into_iter().chain(updated)
}

/// What the catalog records of an asset's own pyramid.
pub(super) fn own_result(
    converted: &Converted,
    asset: &Asset,
    crop: CropRule,
    outcome: TaskOutcome,
    entries: Vec<LogEntry>,
) -> AssetResult {
    AssetResult {
        derivative: Some(new_derivative(converted, asset)),
        mask: new_mask(converted, asset),
        crop: crop_change(crop, converted),
        ..AssetResult::without_change(outcome, entries)
    }
}

pub(super) fn new_derivative(converted: &Converted, original: &Asset) -> NewDerivative {
    NewDerivative {
        bytes: converted.written.bytes,
        width: converted.size.width,
        height: converted.size.height,
        levels: converted.written.levels as u32,
        compression: converted.written.compression.to_string(),
        hash: Some(converted.written.hash),
        source_hash: original.hash,
    }
}

/// `None` where no mask was made.
pub(super) fn new_mask(converted: &Converted, original: &Asset) -> Option<NewMask> {
    let mask = converted.cutout.as_ref()?.mask.as_ref()?;
    Some(NewMask {
        bytes: mask.bytes,
        width: converted.original.width,
        height: converted.original.height,
        hash: Some(mask.hash),
        source_hash: original.hash,
    })
}

pub(super) fn crop_change(rule: CropRule, converted: &Converted) -> CropChange {
    match (rule, converted.crop) {
        (CropRule::Keep, _) => CropChange::Keep,
        (CropRule::Replace(origin), Some(insets)) => CropChange::Set(StoredCrop { insets, origin }),
        (CropRule::Replace(_), None) | (CropRule::Drop, _) => CropChange::Clear,
    }
}
