//! `reprise init`, `ingest`, `assets`, `jobs` and `log`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use reprise::catalog::{AssetFilter, Handle, IngestOutcome, JobLog, JobState, Library, LogEntry, LogPage, Severity};
use reprise::engine::ingest;
use reprise::error::{Error, ErrorKind, Result, Stage};
use reprise::limits::Limits;

use super::Verdict;
use super::convert::is_no_original;
use super::output::{bytes, complain, line};

pub fn init(dir: &Path) -> Result<Verdict> {
    let library = Library::create(dir)?;
    line(format_args!("{} is a library now; `reprise ingest` takes originals into it", library.dir().display()));
    Ok(Verdict::AllGood)
}

pub fn ingest(dir: &Path, paths: &[PathBuf]) -> Result<Verdict> {
    let mut library = Library::open(dir)?;
    let (mut new, mut known, mut skipped, mut failed) = (0u64, 0u64, 0u64, 0u64);
    ingest::ingest(&mut library, paths, &Limits::default(), &mut |path, result| match result {
        Ok(ingested) => {
            let word = match ingested.outcome {
                IngestOutcome::New => "new",
                IngestOutcome::Unchanged => "unchanged",
                IngestOutcome::Updated => "updated",
                IngestOutcome::Duplicate => "duplicate",
                IngestOutcome::Moved => "moved",
            };
            if ingested.outcome == IngestOutcome::New {
                new += 1
            } else {
                known += 1
            }
            line(format_args!("{}\t{word}\t{}", ingested.handle, path.display()));
        }
        // Folders hold more than originals; a file named by the user is another matter.
        Err(error) if !paths.iter().any(|named| named == path) && is_no_original(path, &error) => {
            skipped += 1;
            complain(format_args!("skipped: {}", error.of(path.display().to_string())));
        }
        Err(error) => {
            failed += 1;
            complain(format_args!("error: {}", error.of(path.display().to_string())));
        }
    })?;
    complain(format_args!(
        "{new} new, {known} known already, {skipped} skipped, {failed} refused; {} assets in all",
        library.asset_count()?
    ));
    Ok(if failed == 0 { Verdict::AllGood } else { Verdict::SomeFailed })
}

pub fn assets(dir: &Path, as_json: bool) -> Result<Verdict> {
    let library = Library::open(dir)?;
    if as_json {
        for asset in library.assets(AssetFilter::default()) {
            line(format_args!("{}", json(&asset?)?));
        }
        return Ok(Verdict::AllGood);
    }
    let mut table = table(["handle", "name", "kind", "original", "crop", "publish", "pyramid"]);
    let mut assets = library.assets(AssetFilter::default()).collect::<Result<Vec<_>>>()?;
    // What was made of an asset stands below it.
    assets.sort_by_key(|asset| match &asset.originator {
        None => (asset.id, 0),
        Some(originator) => (originator.id, originator.number),
    });
    for asset in assets {
        let size = match (asset.width, asset.height) {
            (Some(width), Some(height)) => format!("{width} × {height}, {}", bytes(asset.size_bytes)),
            _ => match &asset.format {
                Some(format) => format!("{format}, {}", bytes(asset.size_bytes)),
                None => bytes(asset.size_bytes),
            },
        };
        let crop = asset.crop.map_or(String::from("–"), |crop| {
            let i = crop.insets;
            format!("{},{},{},{}", i.left, i.right, i.top, i.bottom)
        });
        let pyramid = asset.derivative.map_or(String::from("–"), |d| {
            let stale = if d.current { "" } else { ", of an earlier original" };
            format!("{} × {}, {} levels, {}, {}{stale}", d.width, d.height, d.levels, d.compression, bytes(d.bytes))
        });
        let mark = if asset.ready_for_publish { "ready" } else { "–" };
        table.add_row([
            asset.handle.to_string(),
            if asset.originator.is_some() { format!("  └ {}", asset.name) } else { asset.name },
            asset.kind.name().into(),
            if asset.originator.is_some() { "–".into() } else { size },
            crop,
            mark.into(),
            pyramid,
        ]);
    }
    line(format_args!("{table}"));
    Ok(Verdict::AllGood)
}

pub fn sets(dir: &Path, as_json: bool) -> Result<Verdict> {
    let sets = Library::open(dir)?.sets()?;
    if as_json {
        for set in &sets {
            line(format_args!("{}", json(set)?));
        }
        return Ok(Verdict::AllGood);
    }
    let mut table = table(["handle", "name", "type", "folder", "publish", "members"]);
    for set in sets {
        let members: Vec<&str> = set.members.iter().map(|member| member.asset_name.as_str()).collect();
        table.add_row([
            set.handle.to_string(),
            set.name,
            set.set_type,
            if set.folder.is_empty() { "–".into() } else { set.folder },
            if set.ready_for_publish { "ready".into() } else { "–".into() },
            format!("{}: {}", members.len(), members.join(", ")),
        ]);
    }
    line(format_args!("{table}"));
    Ok(Verdict::AllGood)
}

pub fn log(dir: &Path, job: Option<&str>, as_json: bool) -> Result<Verdict> {
    let Some(handle) = job else { return jobs(dir, as_json) };
    let log = Library::open(dir)?.job_log(&Handle::from(handle))?;
    if as_json {
        line(format_args!("{}", json(&log)?))
    } else {
        show_log(&log)
    }
    Ok(Verdict::AllGood)
}

/// Prints the entries of a job as they are written, until the job ends.
pub fn follow(dir: &Path, job: &str, as_json: bool) -> Result<Verdict> {
    let library = Library::open(dir)?;
    let handle = Handle::from(job);
    let mut shown = 0;
    loop {
        // Asked first: a run that ends in between has written its last entries by the time they are read.
        let under_way = library.is_run_under_way()?;
        let log = library.job_log_page(&handle, LogPage { offset: shown, limit: u64::MAX })?;
        for entry in &log.detail_array {
            if as_json { line(format_args!("{}", json(entry)?)) } else { show_entry(entry) }
        }
        shown += log.detail_array.len() as u64;
        if !matches!(log.job_state, JobState::Running | JobState::Stopping) {
            return Ok(Verdict::AllGood);
        }
        if !under_way {
            complain(format_args!("{}", died(&handle)));
            return Ok(Verdict::SomeFailed);
        }
        std::thread::sleep(FOLLOW_INTERVAL);
    }
}

/// How often a log that is followed is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

fn died(job: &Handle) -> String {
    format!("the process that ran {job} died; `reprise run … --resume '{job}'` finishes it")
}

pub fn jobs(dir: &Path, as_json: bool) -> Result<Verdict> {
    let library = Library::open(dir)?;
    let jobs = library.jobs()?;
    if as_json {
        for job in &jobs {
            line(format_args!("{}", json(job)?));
        }
        return Ok(Verdict::AllGood);
    }
    let under_way = library.is_run_under_way()?;
    let mut table = table(["job", "name", "started", "state", "assets", "done", "failed", "with warnings"]);
    for job in jobs {
        let state = match job.job_state {
            JobState::Running | JobState::Stopping if !under_way => "Died",
            state => state.name(),
        };
        table.add_row([
            job.job_handle.to_string(),
            job.job_name,
            format!("{:.0}", job.start_date),
            state.into(),
            job.total_file_count.to_string(),
            job.file_success_count.to_string(),
            job.file_error_count.to_string(),
            job.file_warning_count.to_string(),
        ]);
    }
    line(format_args!("{table}"));
    Ok(Verdict::AllGood)
}

fn show_log(log: &JobLog) {
    line(format_args!("{}  {}  ({})", log.job_handle, log.job_name, log.job_state.name()));
    if !log.description.is_empty() {
        line(format_args!("{}", log.description));
    }
    let end = log.end_date.map_or(String::from("still running"), |end| format!("{end:.0}"));
    line(format_args!("{:.0} to {end}", log.start_date));
    line(format_args!(
        "{} assets: {} done ({} replaced an earlier pyramid), {} failed, {} with warnings, {} listed twice{}",
        log.total_file_count,
        log.file_success_count,
        log.file_update_count,
        log.file_error_count,
        log.file_warning_count,
        log.file_duplicate_count,
        if log.fatal_error { "; the job was cut short" } else { "" },
    ));
    line(format_args!(""));
    for entry in &log.detail_array {
        show_entry(entry);
    }
}

/// One entry, its details indented below it.
fn show_entry(entry: &LogEntry) {
    let mark = |severity| match severity {
        Severity::Info => " ",
        Severity::Warning => "!",
        Severity::Error => "×",
    };
    let subject = entry.asset_handle.as_ref().map_or(String::new(), |handle| format!("{handle} "));
    line(format_args!(
        "{:.3} {} {:<20} {subject}{}",
        entry.created,
        mark(entry.log_type.severity()),
        entry.log_type.name(),
        entry.message
    ));
    for aux in &entry.aux {
        line(format_args!("{:24} {} {:<20} {}", "", mark(aux.log_type.severity()), aux.log_type.name(), aux.message));
    }
}

pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}

/// One JSON object on one line.
pub fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Internal, Stage::Catalog, format!("cannot be written as JSON: {e}")))
}
