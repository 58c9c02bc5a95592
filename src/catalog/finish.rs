//! Recording the result of an asset: derivative, crop, publish mark, task, counts and log entries together.

use std::iter;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::asset::{self, Crop, StoredHash, asset_type, nanoseconds, plan_path, to_integer, unknown_asset};
use super::derived::{self, DerivedResult, ECatalog};
use super::handle::{Handle, HandleKind};
use super::joblog::{self, LogEntry, Severity, TaskOutcome, TaskState};
use super::rendition::{self, RenditionResult, VideoSet};
use super::store::{Library, MASKS, PYRAMIDS};
use super::template::{self, Template};
use crate::error::{Error, Result, Stage};

/// A pyramid just written to [`Library::derivative_path`].
#[derive(Debug, Clone, PartialEq)]
pub struct NewDerivative {
    pub bytes: u64,
    /// Size in pixels of the full-resolution level.
    pub width: u32,
    pub height: u32,
    pub levels: u32,
    /// Name of the compression, for people.
    pub compression: String,
    /// BLAKE3 of the file, where it was computed.
    pub hash: Option<blake3::Hash>,
    /// Hash of the original that it was made from: `Asset::hash` as read before the work began.
    pub source_hash: blake3::Hash,
}

/// A mask just written to [`Library::mask_path`].
#[derive(Debug, Clone, PartialEq)]
pub struct NewMask {
    pub bytes: u64,
    /// Size in pixels: that of the upright original.
    pub width: u32,
    pub height: u32,
    /// BLAKE3 of the file, where it was computed.
    pub hash: Option<blake3::Hash>,
    /// Hash of the original that it was made from: `Asset::hash` as read before the work began.
    pub source_hash: blake3::Hash,
}

/// What becomes of the crop stored for an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CropChange {
    #[default]
    Keep,
    Set(Crop),
    Clear,
}

/// What processing one asset came to.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetResult {
    pub outcome: TaskOutcome,
    /// `None` leaves the derivative on record as it is.
    pub derivative: Option<NewDerivative>,
    /// `None` leaves the mask on record as it is.
    pub mask: Option<NewMask>,
    pub crop: CropChange,
    /// The publish mark from now on; `None` leaves it as it is.
    pub publish: Option<bool>,
    /// What became of the assets derived from it.
    pub derived: Vec<DerivedResult>,
    /// Replaces the eCatalog made of it; `None` leaves the one there is.
    pub ecatalog: Option<ECatalog>,
    /// What it was encoded to.
    pub renditions: Vec<RenditionResult>,
    /// Replaces its adaptive set; `None` leaves the one there is.
    pub video_set: Option<VideoSet>,
    /// The work was cut short: what it came to is recorded, but the task is not done, so that the job comes back to it.
    pub unfinished: bool,
    /// Replaces the template made of it; `None` leaves the one there is.
    pub template: Option<Template>,
    /// Entries for the job log. Those that name no asset get this one.
    pub entries: Vec<LogEntry>,
    /// What the report of the job shows; opaque here.
    pub report: Option<String>,
}

impl AssetResult {
    /// A result that changes nothing of the asset.
    pub fn without_change(outcome: TaskOutcome, entries: Vec<LogEntry>) -> Self {
        AssetResult {
            outcome,
            derivative: None,
            mask: None,
            crop: CropChange::Keep,
            publish: None,
            derived: Vec::new(),
            ecatalog: None,
            renditions: Vec::new(),
            video_set: None,
            unfinished: false,
            template: None,
            entries,
            report: None,
        }
    }

    fn changes_asset(&self) -> bool {
        self.derivative.is_some()
            || self.mask.is_some()
            || self.crop != CropChange::Keep
            || self.publish.is_some()
            || !self.derived.is_empty()
            || self.ecatalog.is_some()
            || !self.renditions.is_empty()
            || self.video_set.is_some()
            || self.template.is_some()
    }

    fn warns(&self) -> bool {
        let mut types = self
            .entries
            .iter()
            .flat_map(|entry| iter::once(entry.log_type).chain(entry.aux.iter().map(|aux| aux.log_type)));
        types.any(|log_type| log_type.severity() == Severity::Warning)
    }
}

impl Library {
    /// Records the result of one asset of a running job in one transaction: all of it or nothing.
    ///
    /// A handle that names no asset can be finished too, with a result that changes nothing: its failure is counted
    /// and logged. Finishing an asset again replaces its outcome in the counts.
    ///
    /// # Errors
    /// `Misuse` for an unknown job, an asset that is not among the job's, or a change to an unknown asset.
    pub fn finish_asset(&mut self, job: &Handle, asset: &Handle, result: &AssetResult) -> Result<()> {
        self.finish(job, iter::once((asset, result)))
    }

    /// Records the results of many assets in one transaction: all of them or none.
    ///
    /// # Errors
    /// As [`Library::finish_asset`].
    pub fn finish_assets(&mut self, job: &Handle, results: &[(Handle, AssetResult)]) -> Result<()> {
        self.finish(job, results.iter().map(|(asset, result)| (asset, result)))
    }

    fn finish<'a>(&mut self, job: &Handle, results: impl Iterator<Item = (&'a Handle, &'a AssetResult)>) -> Result<()> {
        let now = Timestamp::now();
        let transaction = self.begin()?;
        let job_id = joblog::job_id(&transaction, job)?;
        let mut change = CountChange::default();
        for (handle, result) in results {
            finish_one(&transaction, job_id, handle, result, now, &mut change)?;
        }
        transaction
            .prepare_cached(
                "UPDATE jobs SET
                     file_success_count = file_success_count + ?, file_error_count = file_error_count + ?,
                     file_warning_count = file_warning_count + ?, file_update_count = file_update_count + ?
                 WHERE id = ?",
            )?
            .execute(params![change.success, change.error, change.warning, change.update, job_id])?;
        transaction.commit()?;
        Ok(())
    }
}

/// What to add to a job's counts.
#[derive(Default)]
struct CountChange {
    success: i64,
    error: i64,
    warning: i64,
    update: i64,
}

impl CountChange {
    /// Counts a task's result, or with `sign` −1 takes an earlier one back.
    fn add(&mut self, sign: i64, outcome: TaskOutcome, warned: bool, updated: bool) {
        match outcome {
            TaskOutcome::Success => self.success += sign,
            TaskOutcome::Failure => self.error += sign,
            TaskOutcome::Cancelled => {}
        }
        self.warning += sign * i64::from(warned);
        self.update += sign * i64::from(updated);
    }
}

fn finish_one(
    connection: &Connection,
    job_id: i64,
    handle: &Handle,
    result: &AssetResult,
    now: Timestamp,
    change: &mut CountChange,
) -> Result<()> {
    let asset: Option<(i64, String, asset::StoredKind, bool)> = match handle.id(HandleKind::Asset) {
        None => None,
        Some(id) => connection
            .prepare_cached(
                "SELECT id, name, kind, EXISTS (SELECT 1 FROM derived_assets WHERE asset_id = id)
                 FROM assets WHERE id = ? AND NOT EXISTS (SELECT 1 FROM sets WHERE asset_id = id)",
            )?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?,
    };
    let mut updated = false;
    if result.changes_asset() {
        let (id, name, ..) = asset.as_ref().ok_or_else(|| unknown_asset(handle))?;
        if let Some(derivative) = &result.derivative {
            updated = write_derivative(connection, *id, name, derivative, now)?;
        }
        if let Some(mask) = &result.mask {
            write_mask(connection, *id, name, mask, now)?;
        }
        write_crop(connection, *id, result.crop)?;
        touch(connection, *id, result.publish, now)?;
        for derived in &result.derived {
            let write = if result.unfinished { derived::write_part } else { derived::write_result };
            updated |= write(connection, job_id, derived, now)?;
        }
        if let Some(ecatalog) = &result.ecatalog {
            derived::ECATALOGS.write(connection, *id, (&ecatalog.name, &ecatalog.pages), now)?;
        }
        for rendition in &result.renditions {
            updated |= rendition::write_result(connection, rendition, now)?;
        }
        if let Some(set) = &result.video_set {
            rendition::VIDEO_SETS.write(connection, *id, (&set.name, &set.members), now)?;
        }
        if let Some(made) = &result.template {
            template::write(connection, *id, made, now)?;
        }
    }
    for entry in &result.entries {
        let mut entry = entry.clone();
        if entry.asset_handle.is_none() {
            entry.asset_handle = Some(handle.clone());
            if let Some((_, name, kind, derived)) = &asset {
                entry.asset_name = Some(name.clone());
                entry.asset_type = Some(asset_type(kind.0, *derived).to_owned());
            }
        }
        joblog::insert_entry(connection, job_id, &entry)?;
    }
    if result.unfinished {
        return Ok(());
    }
    let warned = result.warns();
    let report = result.report.as_deref();
    finish_task(
        connection,
        job_id,
        handle,
        TaskResult { outcome: result.outcome, warned, updated, report },
        now,
        change,
    )
}

struct TaskResult<'a> {
    outcome: TaskOutcome,
    warned: bool,
    updated: bool,
    report: Option<&'a str>,
}

fn finish_task(
    connection: &Connection,
    job_id: i64,
    handle: &Handle,
    result: TaskResult<'_>,
    now: Timestamp,
    change: &mut CountChange,
) -> Result<()> {
    let before: Option<(Option<TaskOutcome>, bool, bool)> = connection
        .prepare_cached("SELECT outcome, warned, updated FROM tasks WHERE job_id = ? AND asset_handle = ?")?
        .query_row(params![job_id, handle.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((outcome, warned, updated)) = before else {
        return Err(Error::misuse(Stage::Catalog, "the job has no such asset among its assets").of(handle.as_str()));
    };
    if let Some(outcome) = outcome {
        change.add(-1, outcome, warned, updated);
    }
    change.add(1, result.outcome, result.warned, result.updated);
    connection
        .prepare_cached(
            "UPDATE tasks SET state = ?, outcome = ?, warned = ?, updated = ?, report = ?, end_ns = ?
             WHERE job_id = ? AND asset_handle = ?",
        )?
        .execute(params![
            TaskState::Done,
            result.outcome,
            result.warned,
            result.updated,
            result.report,
            nanoseconds(now),
            job_id,
            handle.as_str()
        ])?;
    Ok(())
}

/// Records the derivative; whether there was one before. Its path, once given, stays.
pub(super) fn write_derivative(
    connection: &Connection,
    id: i64,
    name: &str,
    derivative: &NewDerivative,
    now: Timestamp,
) -> Result<bool> {
    let existed = connection.prepare_cached("SELECT 1 FROM derivatives WHERE asset_id = ?")?.exists([id])?;
    connection
        .prepare_cached(
            "INSERT INTO derivatives
                 (asset_id, path, size_bytes, width, height, levels, compression, hash, source_hash, updated_ns)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (asset_id) DO UPDATE SET
                 size_bytes = excluded.size_bytes, width = excluded.width, height = excluded.height,
                 levels = excluded.levels, compression = excluded.compression, hash = excluded.hash,
                 source_hash = excluded.source_hash, updated_ns = excluded.updated_ns",
        )?
        .execute(params![
            id,
            plan_path(PYRAMIDS, id, name),
            to_integer(derivative.bytes)?,
            derivative.width,
            derivative.height,
            derivative.levels,
            derivative.compression,
            derivative.hash.map(StoredHash),
            StoredHash(derivative.source_hash),
            nanoseconds(now),
        ])?;
    Ok(existed)
}

/// Records the mask. Its path, once given, stays.
pub(super) fn write_mask(connection: &Connection, id: i64, name: &str, mask: &NewMask, now: Timestamp) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO masks (asset_id, path, size_bytes, width, height, hash, source_hash, updated_ns)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (asset_id) DO UPDATE SET
                 size_bytes = excluded.size_bytes, width = excluded.width, height = excluded.height,
                 hash = excluded.hash, source_hash = excluded.source_hash, updated_ns = excluded.updated_ns",
        )?
        .execute(params![
            id,
            plan_path(MASKS, id, name),
            to_integer(mask.bytes)?,
            mask.width,
            mask.height,
            mask.hash.map(StoredHash),
            StoredHash(mask.source_hash),
            nanoseconds(now),
        ])?;
    Ok(())
}

/// Marks an asset as changed, and sets its publish mark if there is a new one.
pub(super) fn touch(connection: &Connection, id: i64, publish: Option<bool>, now: Timestamp) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE assets SET ready_for_publish = coalesce(?, ready_for_publish), updated_ns = ? WHERE id = ?",
        )?
        .execute(params![publish, nanoseconds(now), id])?;
    Ok(())
}

pub(super) fn write_crop(connection: &Connection, id: i64, change: CropChange) -> Result<()> {
    match change {
        CropChange::Keep => {}
        CropChange::Clear => {
            connection.prepare_cached("DELETE FROM crops WHERE asset_id = ?")?.execute([id])?;
        }
        CropChange::Set(Crop { insets, origin }) => {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO crops (asset_id, inset_left, inset_right, inset_top, inset_bottom, origin)
                     VALUES (?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![id, insets.left, insets.right, insets.top, insets.bottom, origin])?;
        }
    }
    Ok(())
}
