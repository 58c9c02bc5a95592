//! What runs that were cut short left behind: jobs to go on with, files to place.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::asset::nanoseconds;
use super::handle::{Handle, HandleKind};
use super::joblog::{self, JobState, LogEntry, LogType};
use super::store::{Library, RunLock};
use crate::error::Result;

/// What a job was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// The job document as XML.
    pub document: String,
    /// Options of the command; opaque here.
    pub options: String,
}

impl Library {
    /// What a job was asked to do; `None` for jobs of versions that did not keep it.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn job_request(&self, job: &Handle) -> Result<Option<JobRequest>> {
        let id = joblog::job_id(self.connection(), job)?;
        let request = self
            .connection()
            .prepare_cached("SELECT document, options FROM job_requests WHERE job_id = ?")?
            .query_row([id], |row| Ok(JobRequest { document: row.get(0)?, options: row.get(1)? }))
            .optional()?;
        Ok(request)
    }

    /// The newest job that ended before its assets were through, that is on record as running, or for which something
    /// is due.
    pub fn latest_unfinished_job(&self) -> Result<Option<Handle>> {
        let id = self
            .connection()
            .prepare_cached(
                "SELECT id FROM jobs WHERE state <> ? OR fatal_error = 1 OR id IN (SELECT job_id FROM due)
                 ORDER BY id DESC LIMIT 1",
            )?
            .query_row([JobState::Done], |row| row.get(0))
            .optional()?;
        Ok(id.map(|id| Handle::new(HandleKind::Job, id)))
    }

    /// Jobs on record as running. Whoever holds the run lock knows that the process of each of them died.
    pub fn running_jobs(&self) -> Result<Vec<Handle>> {
        let mut statement =
            self.connection().prepare_cached("SELECT id FROM jobs WHERE state IN (?, ?) ORDER BY id")?;
        let jobs = statement.query_map([JobState::Running, JobState::Stopping], |row| row.get(0))?;
        Ok(jobs.map(|id| id.map(|id| Handle::new(HandleKind::Job, id))).collect::<rusqlite::Result<_>>()?)
    }

    /// Records for every job whose process died that it was cut short. Returns those jobs.
    pub fn settle_dead_jobs(&mut self, _lock: &RunLock) -> Result<Vec<Handle>> {
        let dead = self.running_jobs()?;
        for job in &dead {
            let message = format!("the process that ran this job died; `reprise run … --resume '{job}'` finishes it");
            self.suspend_job(job, &[LogEntry::new(LogType::FatalError, message)])?;
        }
        Ok(dead)
    }

    /// Records that a job ended before its assets were through and waits for someone to resume it.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn suspend_job(&mut self, job: &Handle, entries: &[LogEntry]) -> Result<()> {
        let transaction = self.begin()?;
        let id = joblog::job_id(&transaction, job)?;
        for entry in entries {
            joblog::insert_entry(&transaction, id, entry)?;
        }
        transaction
            .prepare_cached("UPDATE jobs SET state = ?, end_ns = ?, fatal_error = 1 WHERE id = ?")?
            .execute(params![JobState::WaitingClient, nanoseconds(Timestamp::now()), id])?;
        transaction.commit()?;
        Ok(())
    }

    /// Forgets the derivatives and encoded files of `assets`, so that the next job makes them as if for the first time. Touches no file.
    pub fn forget_derivatives<'a>(&mut self, assets: impl IntoIterator<Item = &'a Handle>) -> Result<()> {
        let transaction = self.begin()?;
        for asset in assets {
            let id = asset.id(HandleKind::Asset).ok_or_else(|| super::asset::unknown_asset(asset))?;
            transaction.prepare_cached("DELETE FROM derivatives WHERE asset_id = ?")?.execute([id])?;
            transaction.prepare_cached("DELETE FROM rendition_files WHERE asset_id = ?")?.execute([id])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// What a file in the folders of derivatives and renditions belongs to.
    pub fn owner_of(&self, file: &Path) -> Result<FileOwner> {
        let Some(relative) = file.strip_prefix(self.dir()).ok().and_then(Path::to_str) else {
            return Ok(FileOwner::Nobody);
        };
        if self.connection().prepare_cached("SELECT 1 FROM derivatives WHERE path = ?")?.exists([relative])? {
            return Ok(FileOwner::Derivative);
        }
        if self.connection().prepare_cached("SELECT 1 FROM rendition_files WHERE path = ?")?.exists([relative])? {
            return Ok(FileOwner::Rendition);
        }
        // The number that file names begin with; see `plan_path`.
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digits = name.bytes().take_while(u8::is_ascii_digit).count();
        let asset = self.asset(&Handle::from(format!("a|{}", &name[..digits])))?;
        Ok(match asset {
            Some(asset) if asset.derivative.is_none() && self.derivative_path(&asset) == file => {
                FileOwner::Place(asset.handle)
            }
            Some(asset) if self.is_place_of_rendition(&asset, file)? => FileOwner::PlaceOfRendition(asset.handle),
            _ => FileOwner::Nobody,
        })
    }
}

/// What a file in the folders of derivatives and renditions belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOwner {
    /// It is a derivative on record.
    Derivative,
    /// It is an encoded file on record.
    Rendition,
    /// It lies where the derivative of this asset belongs, which has none on record.
    Place(Handle),
    /// It lies where the encoded file of this asset belongs, which has none on record.
    PlaceOfRendition(Handle),
    Nobody,
}
