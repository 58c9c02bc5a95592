//! Jobs, their tasks and their log.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::asset::{Asset, get_u64, nanoseconds, optional_text, text, timestamp};
use super::handle::{Handle, HandleKind};
use super::names::named_enum;
use super::publish::Due;
use super::resume::JobRequest;
use super::schedule::{self, Firing};
use super::schema::COMPANY;
use super::store::Library;
use crate::error::{Error, Result, Stage};

named_enum! {
    /// What a log entry reports.
    LogType {
        BeginReoptimize,
        ReoptimizeSuccess,
        ReoptimizeFailure,
        EndReoptimize,
        BeginPdfRip,
        PdfRipError,
        TotalFileCount,
        OriginalJobName,
        FileBegin,
        FileProgress,
        FileUpdated,
        FileEnd,
        FileCancel,
        DuplicateSkipped,
        UploadWarning,
        UploadError,
        FatalError,
        BeginImageServingPublish,
        EndImageServingPublish,
        ImageServingPublishSuccess,
        ImageServingPublishError,
        ImageServingPublishWarning,
        BeginImageRenderingPublish,
        EndImageRenderingPublish,
        ImageRenderingPublishSuccess,
        ImageRenderingPublishError,
        ImageRenderingPublishWarning,
        BeginVideoPublish,
        EndVideoPublish,
        VideoPublishSuccess,
        VideoPublishError,
        VideoPublishWarning,
    }
}

/// How bad a log entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Info,
    Warning,
    Error,
}

impl LogType {
    pub const fn severity(self) -> Severity {
        match self {
            LogType::ReoptimizeFailure
            | LogType::PdfRipError
            | LogType::UploadError
            | LogType::FatalError
            | LogType::ImageServingPublishError
            | LogType::ImageRenderingPublishError
            | LogType::VideoPublishError => Severity::Error,
            LogType::UploadWarning
            | LogType::ImageServingPublishWarning
            | LogType::ImageRenderingPublishWarning
            | LogType::VideoPublishWarning => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

/// Reads the names written here and the two irregular spellings of the public constant list.
impl FromStr for LogType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "endReoptimize" => Ok(LogType::EndReoptimize),
            "FleEnd" => Ok(LogType::FileEnd),
            _ => LogType::from_name(name)
                .ok_or_else(|| Error::misuse(Stage::Catalog, format!("there is no log type {name:?}"))),
        }
    }
}

named_enum! {
    /// The state of a job.
    JobState { Unknown, New, WaitingClient, WaitingCoordinator, Running, Stopping, Done }
}

named_enum! {
    /// The state of one asset in a job. `Processing` in a job that no run works on means that the run died there.
    TaskState { Unknown, New, Processing, Stopping, Done }
}

named_enum! {
    /// How the work on one asset ended.
    TaskOutcome { Success, Failure, Cancelled }
}

/// A job about to run.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRecord {
    /// As submitted. When an earlier job has the name, a number is appended.
    pub name: String,
    /// Empty when not known, like the next two.
    pub submit_user_email: String,
    pub sub_type: String,
    pub description: String,
    /// The type that the whole log goes by.
    pub log_type: LogType,
    /// As submitted: repeated handles are counted as duplicates, and each has one task.
    pub assets: Vec<Handle>,
    /// Kept so that the job can go on after its process died.
    pub request: Option<JobRequest>,
    /// The job whose due publishing this is; it is due no longer.
    pub follows: Option<Handle>,
    /// The schedule whose time this is.
    pub firing: Option<Firing>,
}

impl JobRecord {
    /// A reprocessing job.
    pub fn reprocess(name: impl Into<String>, assets: Vec<Handle>) -> Self {
        JobRecord {
            name: name.into(),
            submit_user_email: String::new(),
            sub_type: String::new(),
            description: String::new(),
            log_type: LogType::BeginReoptimize,
            assets,
            request: None,
            follows: None,
            firing: None,
        }
    }
}

/// One asset in a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    pub asset_handle: Handle,
    pub state: TaskState,
    pub outcome: Option<TaskOutcome>,
}

/// One entry of a job's log, to be written or as read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    #[serde(rename = "logMessage")]
    pub message: String,
    pub log_type: LogType,
    #[serde(rename = "dateCreated", serialize_with = "text")]
    pub created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset_handle: Option<Handle>,
    #[serde(rename = "auxArray")]
    pub aux: Vec<LogAux>,
}

impl LogEntry {
    /// An entry of this moment about the job as a whole.
    pub fn new(log_type: LogType, message: impl Into<String>) -> Self {
        LogEntry {
            message: message.into(),
            log_type,
            created: Timestamp::now(),
            asset_name: None,
            asset_type: None,
            asset_handle: None,
            aux: Vec::new(),
        }
    }

    /// The entry, about `asset`.
    #[must_use]
    pub fn about(mut self, asset: &Asset) -> Self {
        self.asset_name = Some(asset.name.clone());
        self.asset_type = Some(asset.log_type().to_owned());
        self.asset_handle = Some(asset.handle.clone());
        self
    }

    /// The entry with one more detail.
    #[must_use]
    pub fn with(mut self, log_type: LogType, message: impl Into<String>) -> Self {
        self.aux.push(LogAux { message: message.into(), log_type, created: Timestamp::now() });
        self
    }
}

/// A detail of a log entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogAux {
    #[serde(rename = "logMessage")]
    pub message: String,
    pub log_type: LogType,
    #[serde(rename = "dateCreated", serialize_with = "text")]
    pub created: Timestamp,
}

/// A job with its counts and its log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobLog {
    pub company_handle: Handle,
    pub job_handle: Handle,
    pub job_name: String,
    pub original_job_name: String,
    pub submit_user_email: String,
    pub log_type: LogType,
    pub job_sub_type: String,
    pub job_state: JobState,
    #[serde(serialize_with = "text")]
    pub start_date: Timestamp,
    /// `None` while the job runs.
    #[serde(serialize_with = "optional_text")]
    pub end_date: Option<Timestamp>,
    pub description: String,
    pub file_success_count: u64,
    pub file_error_count: u64,
    /// Assets with at least one warning, whatever their outcome.
    pub file_warning_count: u64,
    /// Repeated handles in the job.
    pub file_duplicate_count: u64,
    /// Assets whose derivative replaced an earlier one.
    pub file_update_count: u64,
    /// Assets in the job, each counted once.
    pub total_file_count: u64,
    /// Files that a publish job sent; other jobs transfer nothing.
    pub transfer_success_count: u64,
    pub transfer_error_count: u64,
    pub transfer_warning_count: u64,
    pub fatal_error: bool,
    /// Entries in the whole log, of which `detail_array` may be a page.
    pub detail_total_rows: u64,
    pub detail_array: Vec<LogEntry>,
}

impl JobLog {
    /// Whether all its assets are through; something may still be due for it.
    pub fn is_done(&self) -> bool {
        self.job_state == JobState::Done && !self.fatal_error
    }
}

/// A stretch of a job's log, in the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPage {
    /// Entries to skip.
    pub offset: u64,
    pub limit: u64,
}

impl LogPage {
    pub const ALL: LogPage = LogPage { offset: 0, limit: u64::MAX };
}

impl Library {
    /// Records a job as running, with one task for each of its assets, and returns its handle.
    ///
    /// # Errors
    /// `Misuse` when its schedule is not due any more.
    pub fn begin_job(&mut self, record: &JobRecord) -> Result<Handle> {
        let transaction = self.begin()?;
        let name = free_name(&transaction, &record.name)?;
        transaction
            .prepare_cached(
                "INSERT INTO jobs (company_id, name, original_name, submit_user_email, log_type, sub_type, description,
                                   state, start_ns)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                COMPANY,
                name,
                record.name,
                record.submit_user_email,
                record.log_type,
                record.sub_type,
                record.description,
                JobState::Running,
                nanoseconds(Timestamp::now()),
            ])?;
        let job_id = transaction.last_insert_rowid();
        if let Some(JobRequest { document, options }) = &record.request {
            transaction
                .prepare_cached("INSERT INTO job_requests (job_id, document, options) VALUES (?, ?, ?)")?
                .execute(params![job_id, document, options])?;
        }
        if let Some(firing) = &record.firing {
            schedule::fire(&transaction, firing)?;
        }
        if let Some(before) = &record.follows {
            let before = self::job_id(&transaction, before)?;
            transaction
                .prepare_cached("DELETE FROM due WHERE job_id = ? AND action = ?")?
                .execute(params![before, Due::Publish])?;
        }
        let mut total = 0;
        {
            let mut insert = transaction
                .prepare_cached("INSERT OR IGNORE INTO tasks (job_id, asset_handle, state) VALUES (?, ?, ?)")?;
            for asset in &record.assets {
                total += insert.execute(params![job_id, asset.as_str(), TaskState::New])?;
            }
        }
        transaction
            .prepare_cached("UPDATE jobs SET total_file_count = ?, file_duplicate_count = ? WHERE id = ?")?
            .execute(params![total as i64, (record.assets.len() - total) as i64, job_id])?;
        transaction.commit()?;
        Ok(Handle::new(HandleKind::Job, job_id))
    }

    /// Puts a job that was cut short back to running; [`Library::tasks`] tells what is left to do.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn resume_job(&mut self, job: &Handle) -> Result<()> {
        let transaction = self.begin()?;
        let id = job_id(&transaction, job)?;
        transaction
            .prepare_cached("UPDATE jobs SET state = ?, end_ns = NULL, fatal_error = 0 WHERE id = ?")?
            .execute(params![JobState::Running, id])?;
        transaction.commit()?;
        Ok(())
    }

    /// Adds assets to a job that has begun; those that it has already stay as they are.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn add_job_assets(&mut self, job: &Handle, assets: &[Handle]) -> Result<()> {
        let transaction = self.begin()?;
        let id = job_id(&transaction, job)?;
        let mut added = 0;
        for asset in assets {
            added += transaction
                .prepare_cached("INSERT OR IGNORE INTO tasks (job_id, asset_handle, state) VALUES (?, ?, ?)")?
                .execute(params![id, asset.as_str(), TaskState::New])?;
        }
        transaction
            .prepare_cached("UPDATE jobs SET total_file_count = total_file_count + ? WHERE id = ?")?
            .execute(params![added as i64, id])?;
        transaction.commit()?;
        Ok(())
    }

    /// Changes the state of a job.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn set_job_state(&mut self, job: &Handle, state: JobState) -> Result<()> {
        let id = job_id(self.connection(), job)?;
        self.connection().prepare_cached("UPDATE jobs SET state = ? WHERE id = ?")?.execute(params![state, id])?;
        Ok(())
    }

    /// Marks assets of a job as being worked on.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn start_assets(&mut self, job: &Handle, assets: &[Handle]) -> Result<()> {
        let transaction = self.begin()?;
        let id = job_id(&transaction, job)?;
        {
            let mut update =
                transaction.prepare_cached("UPDATE tasks SET state = ? WHERE job_id = ? AND asset_handle = ?")?;
            for asset in assets {
                update.execute(params![TaskState::Processing, id, asset.as_str()])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Adds entries to a job's log, all or none.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn log(&mut self, job: &Handle, entries: &[LogEntry]) -> Result<()> {
        let transaction = self.begin()?;
        let id = job_id(&transaction, job)?;
        for entry in entries {
            insert_entry(&transaction, id, entry)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Records the end of a job together with its last log entries.
    ///
    /// `fatal_error` says that the job stopped before its assets were through.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn finish_job(&mut self, job: &Handle, fatal_error: bool, entries: &[LogEntry]) -> Result<()> {
        self.finish_job_with_due(job, fatal_error, entries, &[])
    }

    /// The same, and records what is due now.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn finish_job_with_due(
        &mut self,
        job: &Handle,
        fatal_error: bool,
        entries: &[LogEntry],
        due: &[Due],
    ) -> Result<()> {
        let transaction = self.begin()?;
        let id = job_id(&transaction, job)?;
        for entry in entries {
            insert_entry(&transaction, id, entry)?;
        }
        transaction
            .prepare_cached("UPDATE jobs SET state = ?, end_ns = ?, fatal_error = ? WHERE id = ?")?
            .execute(params![JobState::Done, nanoseconds(Timestamp::now()), fatal_error, id])?;
        for due in due {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO due (job_id, action) VALUES (?, ?)")?
                .execute(params![id, due])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The tasks of a job, in no particular order.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn tasks(&self, job: &Handle) -> Result<Vec<Task>> {
        let id = job_id(self.connection(), job)?;
        let mut statement =
            self.connection().prepare_cached("SELECT asset_handle, state, outcome FROM tasks WHERE job_id = ?")?;
        let tasks = statement.query_map([id], |row| {
            Ok(Task { asset_handle: row.get::<_, String>(0)?.into(), state: row.get(1)?, outcome: row.get(2)? })
        })?;
        Ok(tasks.collect::<rusqlite::Result<_>>()?)
    }

    /// What the report of a job shows of its assets, as far as they are done, in the order in which they were.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn task_reports(&self, job: &Handle) -> Result<Vec<String>> {
        let id = job_id(self.connection(), job)?;
        let mut statement = self
            .connection()
            .prepare_cached("SELECT report FROM tasks WHERE job_id = ? AND report IS NOT NULL ORDER BY end_ns")?;
        let reports = statement.query_map([id], |row| row.get(0))?;
        Ok(reports.collect::<rusqlite::Result<_>>()?)
    }

    /// All jobs from the oldest to the newest, with their counts but without log entries.
    pub fn jobs(&self) -> Result<Vec<JobLog>> {
        let mut statement = self.connection().prepare_cached("SELECT * FROM jobs ORDER BY id")?;
        let jobs = statement.query_map([], read_job)?;
        Ok(jobs.collect::<rusqlite::Result<_>>()?)
    }

    /// A job with its whole log.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn job_log(&self, job: &Handle) -> Result<JobLog> {
        self.job_log_page(job, LogPage::ALL)
    }

    /// A job with a part of its log.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn job_log_page(&self, job: &Handle, page: LogPage) -> Result<JobLog> {
        // One read transaction: the counts and the entries are of the same moment while a job runs.
        let snapshot = self.connection().unchecked_transaction()?;
        let id = job_id(&snapshot, job)?;
        let mut log = snapshot.prepare_cached("SELECT * FROM jobs WHERE id = ?")?.query_row([id], read_job)?;
        log.detail_array = read_entries(&snapshot, id, page)?;
        Ok(log)
    }
}

fn read_job(row: &Row<'_>) -> rusqlite::Result<JobLog> {
    Ok(JobLog {
        company_handle: Handle::new(HandleKind::Company, row.get("company_id")?),
        job_handle: Handle::new(HandleKind::Job, row.get("id")?),
        job_name: row.get("name")?,
        original_job_name: row.get("original_name")?,
        submit_user_email: row.get("submit_user_email")?,
        log_type: row.get("log_type")?,
        job_sub_type: row.get("sub_type")?,
        job_state: row.get("state")?,
        start_date: timestamp(row.get("start_ns")?),
        end_date: row.get::<_, Option<i64>>("end_ns")?.map(timestamp),
        description: row.get("description")?,
        file_success_count: get_u64(row, "file_success_count")?,
        file_error_count: get_u64(row, "file_error_count")?,
        file_warning_count: get_u64(row, "file_warning_count")?,
        file_duplicate_count: get_u64(row, "file_duplicate_count")?,
        file_update_count: get_u64(row, "file_update_count")?,
        total_file_count: get_u64(row, "total_file_count")?,
        transfer_success_count: get_u64(row, "transfer_success_count")?,
        transfer_error_count: get_u64(row, "transfer_error_count")?,
        transfer_warning_count: get_u64(row, "transfer_warning_count")?,
        fatal_error: row.get("fatal_error")?,
        detail_total_rows: get_u64(row, "log_count")?,
        detail_array: Vec::new(),
    })
}

fn read_entries(connection: &Connection, job_id: i64, page: LogPage) -> Result<Vec<LogEntry>> {
    let bound = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT id, message, log_type, created_ns, asset_name, asset_type, asset_handle
         FROM log WHERE job_id = ? ORDER BY id LIMIT ? OFFSET ?",
    )?;
    let mut aux_statement = connection
        .prepare_cached("SELECT message, log_type, created_ns FROM log_aux WHERE log_id = ? ORDER BY position")?;
    let mut rows = statement.query(params![job_id, bound(page.limit), bound(page.offset)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let aux = aux_statement.query_map([row.get::<_, i64>(0)?], |row| {
            Ok(LogAux { message: row.get(0)?, log_type: row.get(1)?, created: timestamp(row.get(2)?) })
        })?;
        entries.push(LogEntry {
            aux: aux.collect::<rusqlite::Result<_>>()?,
            message: row.get(1)?,
            log_type: row.get(2)?,
            created: timestamp(row.get(3)?),
            asset_name: row.get(4)?,
            asset_type: row.get(5)?,
            asset_handle: row.get::<_, Option<String>>(6)?.map(Handle::from),
        });
    }
    Ok(entries)
}

pub(super) fn insert_entry(connection: &Connection, job_id: i64, entry: &LogEntry) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO log (job_id, log_type, message, created_ns, asset_handle, asset_name, asset_type)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            job_id,
            entry.log_type,
            entry.message,
            nanoseconds(entry.created),
            entry.asset_handle.as_ref().map(Handle::as_str),
            entry.asset_name,
            entry.asset_type,
        ])?;
    let log_id = connection.last_insert_rowid();
    for (position, aux) in entry.aux.iter().enumerate() {
        connection
            .prepare_cached(
                "INSERT INTO log_aux (log_id, position, log_type, message, created_ns) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![log_id, position as i64, aux.log_type, aux.message, nanoseconds(aux.created)])?;
    }
    connection.prepare_cached("UPDATE jobs SET log_count = log_count + 1 WHERE id = ?")?.execute([job_id])?;
    Ok(())
}

/// The row of a job.
pub(super) fn job_id(connection: &Connection, job: &Handle) -> Result<i64> {
    let id = match job.id(HandleKind::Job) {
        None => None,
        Some(id) => connection
            .prepare_cached("SELECT id FROM jobs WHERE id = ?")?
            .query_row([id], |row| row.get(0))
            .optional()?,
    };
    id.ok_or_else(|| {
        Error::misuse(Stage::Catalog, "no job has this handle; `reprise log` lists those that exist").of(job.as_str())
    })
}

/// `name`, or `name_2`, `name_3` … when earlier jobs have it.
fn free_name(connection: &Connection, name: &str) -> Result<String> {
    let mut taken = connection.prepare_cached("SELECT 1 FROM jobs WHERE company_id = ? AND name = ?")?;
    let mut candidate = name.to_owned();
    // Starting at the number of namesakes finds the free one at once, however often a job was run.
    let mut number: i64 = connection
        .prepare_cached("SELECT count(*) FROM jobs WHERE company_id = ? AND original_name = ?")?
        .query_row(params![COMPANY, name], |row| row.get(0))?;
    while taken.exists(params![COMPANY, candidate])? {
        number += 1;
        candidate = format!("{name}_{}", number.max(2));
    }
    Ok(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_types_are_read_in_both_spellings_and_written_in_the_regular_one() {
        assert_eq!("endReoptimize".parse::<LogType>().unwrap().name(), "EndReoptimize");
        assert_eq!("FleEnd".parse::<LogType>().unwrap().name(), "FileEnd");
        for &log_type in LogType::ALL {
            assert_eq!(log_type.name().parse::<LogType>().unwrap(), log_type);
        }
        assert!("beginReoptimize".parse::<LogType>().is_err());
    }

    #[test]
    fn severity_follows_the_name() {
        for &log_type in LogType::ALL {
            let name = log_type.name();
            let expected = if name.ends_with("Error") || name.ends_with("Failure") {
                Severity::Error
            } else if name.ends_with("Warning") {
                Severity::Warning
            } else {
                Severity::Info
            };
            assert_eq!(log_type.severity(), expected, "{name}");
        }
    }
}
