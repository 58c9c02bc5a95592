//! Jobs that go on: what was asked, and what of it is left to do.

use std::collections::HashMap;
use std::fs;

use super::check;
use super::notice;
use crate::catalog::{Handle, JobRequest, Library, LogPage, RunLock, TaskOutcome, TaskState};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::job::{self, Job};

/// A job as it was asked for.
#[derive(Debug)]
pub struct Stored {
    pub job: Job,
    /// Options of the command that ran it, as [`RunOptions::command`](super::reprocess::RunOptions) had them.
    pub command: String,
}

/// What is kept of `job`, so that it can go on. An address with a password in it is left out: it is refused anyway,
/// and the catalog keeps no secrets.
pub(super) fn request(job: &Job, command: &str) -> JobRequest {
    let mut kept = job.clone();
    kept.reprocess.post_http_url = kept.reprocess.post_http_url.filter(|url| !notice::holds_password(url));
    if let Some(publish) = &mut kept.reprocess.publish {
        publish.http_completion_url = publish.http_completion_url.take().filter(|url| !notice::holds_password(url));
    }
    JobRequest { document: job::write_xml(&kept), options: command.to_owned() }
}

/// The job that `handle` names, as it was asked for.
///
/// # Errors
/// `Misuse` for an unknown job, `Catalog` when what was asked is not on record.
pub fn stored(library: &Library, handle: &Handle) -> Result<Stored> {
    let lost = |why: String| Error::new(ErrorKind::Catalog, Stage::Catalog, why).of(handle.as_str());
    let Some(request) = library.job_request(handle)? else {
        return Err(lost("what this job was asked to do is not on record; run its document again".into()));
    };
    let mut job = job::parse(request.document.as_bytes())
        .map_err(|problems| lost(format!("the document on record cannot be read: {problems}")))?;
    let log = library.job_log_page(handle, LogPage { offset: 0, limit: 0 })?;
    if job.company.is_none() {
        // A document without a company has no place for these.
        job.name = log.original_job_name;
        job.description = Some(log.description).filter(|text| !text.is_empty());
    }
    job.start = job::Start::Now;
    Ok(Stored { job, command: request.options })
}

/// Leaves only the assets of `job` that failed when it ran as `handle`.
///
/// # Errors
/// `Misuse` when none did.
pub fn keep_failed(library: &Library, handle: &Handle, job: &mut Job) -> Result<()> {
    let outcomes: HashMap<String, Option<TaskOutcome>> =
        library.tasks(handle)?.into_iter().map(|task| (task.asset_handle.to_string(), task.outcome)).collect();
    job.reprocess.assets.retain(|asset| outcomes.get(asset) == Some(&Some(TaskOutcome::Failure)));
    job.reprocess.duplicates.clear();
    if job.reprocess.assets.is_empty() {
        return Err(Error::misuse(Stage::Catalog, "no asset of this job failed; there is nothing to run again")
            .of(handle.as_str()));
    }
    Ok(())
}

/// The assets of `job` that its run as `handle` did not come to, in their order.
///
/// # Errors
/// `Misuse` for an unknown job.
pub fn remaining(library: &Library, handle: &Handle, job: &Job) -> Result<Vec<String>> {
    let states: HashMap<String, TaskState> =
        library.tasks(handle)?.into_iter().map(|task| (task.asset_handle.to_string(), task.state)).collect();
    let left = |asset: &&String| states.get(*asset).is_some_and(|state| *state != TaskState::Done);
    Ok(job.reprocess.assets.iter().filter(left).cloned().collect())
}

/// Puts right what runs that died left behind: their half-written files are removed, their jobs recorded as cut short.
pub(super) fn clean_up(library: &mut Library, lock: &RunLock) -> Result<()> {
    // In this order, so that whoever dies on the way leaves the next run the same to do.
    if !library.running_jobs()?.is_empty() {
        for file in check::temporary_files(library) {
            fs::remove_file(&file).map_err(|e| Error::io(Stage::Catalog, &file, e))?;
        }
    }
    library.settle_dead_jobs(lock).map(drop)
}
