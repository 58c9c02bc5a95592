//! A ReprocessAssetsJob over a library: plan each asset, convert it, record what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::activity::Activity;
use super::backend::Backend;
use super::color::{ColorPolicy, Conversion};
use super::documents::{self, Ripped};
use super::follow::{self, FollowOn};
use super::original::check_unchanged;
use super::photoshop::{self, Extracted};
use super::pipeline::{self, Context, Converted, Recipe};
use super::plan::{Action, Planned, plan_asset, publish_mark};
use super::record::Recorder;
use super::sets::AutoSets;
use super::{batch, derived, media, profiles, publish, resume};
use crate::catalog::{
    Due, Firing, Handle, JobLog, JobRecord, Library, LogEntry, LogPage, LogType, RunLock, Settings, Severity,
};
use crate::error::{Error, ErrorKind, Result};
use crate::job::{self, Job};
use crate::ops::color::Profile;
use crate::rip;

/// What a run adds to the job document.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Filter and file options; the job's own crop, knock-out, sharpening and colours are put in.
    pub recipe: Recipe,
    /// Bounds on documents.
    pub documents: rip::Limits,
    /// Bounds on video and audio.
    pub media: crate::media::Limits,
    /// What videos are encoded by; the job's own is put in.
    pub encodings: Vec<media::Choice>,
    /// Start no further asset after the first failure.
    pub fail_fast: bool,
    /// Once it is set, assets in flight finish and no further one is started.
    pub stop: Arc<AtomicBool>,
    /// Options of the command, kept with the job for whoever resumes it; opaque here.
    pub command: String,
    /// Go on with this job, whose document the one that is run has to be; see [`resume::stored`].
    pub resume: Option<Handle>,
    /// The schedule whose time this is; it moves on as the job begins.
    pub firing: Option<Firing>,
    /// Hears how far long work is.
    pub activity: Arc<Activity>,
}

impl RunOptions {
    /// With what the job says about colours and encodings.
    pub(super) fn for_job(&self, library: &Library, settings: &Settings, job: &Job) -> Result<Self> {
        let conversion = match &job.reprocess.color_management {
            None => Conversion::UntaggedCmyk,
            Some(options) => match options.conversion {
                job::ColorConversion::Default => Conversion::UntaggedCmyk,
                job::ColorConversion::MaintainOriginal => Conversion::Never,
                job::ColorConversion::Convert => {
                    let named = |field, handle: &Option<String>| {
                        handle.as_deref().map(|handle| profiles::named(library, field, handle)).transpose()
                    };
                    let source = named("sourceProfileHandle", &options.source_profile)?;
                    let output = named("outputProfileHandle", &options.output_profile)?;
                    output.as_ref().map_or(Ok(()), Profile::check_output)?;
                    Conversion::All { source, output }
                }
            },
        };
        let defaults = profiles::defaults(library, settings)?;
        let color = ColorPolicy { conversion, defaults, ..self.recipe.color.clone() };
        let encodings = media::choices(library, &job.reprocess)?;
        Ok(RunOptions { recipe: Recipe { color, ..self.recipe.clone() }, encodings, ..self.clone() })
    }
}

/// What became of one asset.
#[derive(Debug)]
pub enum Outcome {
    Converted(Box<Converted>),
    /// Complete or not: [`Ripped::error`] tells.
    Ripped(Box<Ripped>),
    /// Complete or not: [`media::Encoded::error`] tells.
    Encoded(Box<media::Encoded>),
    /// Complete or not: [`Extracted::error`] tells.
    Layers(Box<Extracted>),
    /// Nothing was asked for; the reason.
    Kept(String),
    Left(String),
    Failed(Error),
}

impl Outcome {
    /// Why the asset counts as failed.
    pub fn error(&self) -> Option<Error> {
        match self {
            Outcome::Failed(error) => Some(error.clone()),
            Outcome::Ripped(ripped) => ripped.error(),
            Outcome::Encoded(encoded) => encoded.error(),
            Outcome::Layers(extracted) => extracted.error(),
            Outcome::Converted(_) | Outcome::Kept(_) | Outcome::Left(_) => None,
        }
    }
}

/// The job that is running, as its lanes see it.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    pub job: &'a Handle,
    /// Once it is set, nothing further is begun.
    pub stop: &'a AtomicBool,
    pub activity: &'a Activity,
}

impl Running<'_> {
    pub fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Told to whoever watches a run.
#[derive(Debug)]
pub enum Event<'a> {
    Begun {
        job: &'a Handle,
        total: usize,
        warnings: &'a [String],
        backend: &'a Backend,
    },
    Done {
        planned: &'a Planned,
        outcome: &'a Outcome,
    },
    /// Of the publish job that follows.
    Publish(publish::Event<'a>),
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Summary {
    pub job: Handle,
    /// Assets of this run; of a resumed job, those that were left.
    pub total: usize,
    pub converted: usize,
    pub failed: usize,
    pub left: usize,
    /// Assets that were not started, or not finished, because of `fail_fast` or `stop`.
    pub not_started: usize,
    /// Whether `stop` ended the run; the job can be resumed.
    pub stopped: bool,
    /// Whether this run went on with a job that was cut short.
    pub resumed: bool,
    /// Of a resumed job: assets that failed before.
    pub failed_before: usize,
    /// What went wrong after the assets were done.
    pub warnings: Vec<String>,
    /// The publish job that followed.
    pub published: Option<publish::Published>,
    pub duplicates: usize,
    /// Pixels of the originals converted.
    pub pixels: u64,
    pub elapsed: Duration,
}

impl Summary {
    fn new(job: Handle, total: usize) -> Self {
        Summary {
            job,
            total,
            converted: 0,
            failed: 0,
            left: 0,
            not_started: 0,
            stopped: false,
            resumed: false,
            failed_before: 0,
            warnings: Vec::new(),
            published: None,
            duplicates: 0,
            pixels: 0,
            elapsed: Duration::ZERO,
        }
    }
}

/// Runs `job` over `library` and returns when every asset is done and recorded.
///
/// # Errors
/// `Misuse` when a profile of the job is none; nothing is begun then.
/// `Catalog` when another run has the library or the catalog fails; the job log then ends with a FatalError where
/// it can still be written. What is wrong with one asset is logged and the others go on.
pub fn run(
    library: &mut Library,
    job: &Job,
    context: &Context,
    options: &RunOptions,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Summary> {
    let start = Instant::now();
    let lock = library.lock_for_run()?;
    resume::clean_up(library, &lock)?;
    // Lanes plan their assets through a connection of their own, while this one records results.
    let reader = Library::open(library.dir())?;
    let settings = library.settings()?;
    let options = &options.for_job(library, &settings, job)?;
    let auto_sets = AutoSets::of(library, job)?;
    job.reprocess.publish.as_ref().map(|publish| publish::Order::of(library, publish)).transpose()?;

    if let Some(handle) = &options.resume
        && library.job_log_page(handle, LogPage { offset: 0, limit: 0 })?.is_done()
    {
        // Its assets are through; only what was due then may be left.
        let mut summary = Summary::new(handle.clone(), 0);
        follow_up(library, &lock, handle, job, options, &mut summary, on_event)?;
        return Ok(summary);
    }
    let mut warnings: Vec<String> = job.warnings.clone();
    warnings.extend(not_acted_on(job));
    let projects = projects(library, job, &mut warnings)?;
    let (handle, assets, failed_before) = match &options.resume {
        None => {
            let handle = library.begin_job(&record(job, options, &settings))?;
            library.log(&handle, &opening_entries(job, &warnings, &context.backend))?;
            (handle, job.reprocess.assets.clone(), 0)
        }
        Some(handle) => {
            let left = resume::remaining(library, handle, job)?;
            let before = library.job_log_page(handle, LogPage { offset: 0, limit: 0 })?;
            library.resume_job(handle)?;
            let message = format!(
                "reprocessing goes on on {}; {} of {} assets are left",
                context.backend,
                left.len(),
                before.total_file_count
            );
            library.log(handle, &[LogEntry::new(LogType::BeginReoptimize, message)])?;
            (handle.clone(), left, before.file_error_count as usize)
        }
    };
    let total = assets.len();
    on_event(Event::Begun { job: &handle, total, warnings: &warnings, backend: &context.backend });

    let mut summary = Summary {
        resumed: options.resume.is_some(),
        failed_before,
        duplicates: job.reprocess.duplicates.len(),
        ..Summary::new(handle.clone(), total)
    };
    let halt = AtomicBool::new(false);
    let running = Running { job: &handle, stop: &options.stop, activity: &options.activity };
    let mut unfinished = 0;
    let mut recorder = Recorder::new(library, &handle);
    let mut fatal = None;
    let publish = publish_mark(&job.reprocess, &settings);
    let planned = assets.iter().map(move |asset| {
        plan_asset(&reader, &job.reprocess, &settings, options, asset).unwrap_or_else(|error| Planned {
            handle: asset.as_str().into(),
            asset: None,
            action: Action::Fail(error),
        })
    });
    let started = batch::run(
        planned,
        context.lanes(),
        || halt.load(Ordering::Relaxed) || options.stop.load(Ordering::Relaxed),
        |planned| {
            let outcome = work(planned, &options.documents, context, &running);
            let failed = outcome.as_ref().map_or(true, |outcome| outcome.error().is_some());
            // Set by the lane itself, before it takes its next asset.
            halt.fetch_or(options.fail_fast && failed, Ordering::Relaxed);
            outcome
        },
        |planned, result| {
            let outcome = result.unwrap_or_else(Outcome::Failed);
            match &outcome {
                Outcome::Converted(converted) => {
                    summary.converted += 1;
                    summary.pixels += converted.original.pixels();
                }
                Outcome::Ripped(ripped) => {
                    summary.pixels += ripped.pixels();
                    match (ripped.error(), ripped.stopped) {
                        (Some(_), _) => summary.failed += 1,
                        (None, true) => unfinished += 1,
                        (None, false) => summary.converted += 1,
                    }
                }
                Outcome::Layers(extracted) => {
                    summary.pixels += extracted.pixels();
                    if extracted.error().is_none() { summary.converted += 1 } else { summary.failed += 1 }
                }
                Outcome::Encoded(encoded) if encoded.error().is_some() => summary.failed += 1,
                Outcome::Encoded(encoded) if encoded.stopped => unfinished += 1,
                Outcome::Encoded(_) | Outcome::Kept(_) => summary.converted += 1,
                Outcome::Left(_) => summary.left += 1,
                Outcome::Failed(_) => summary.failed += 1,
            }
            if let Err(error) = recorder.add(&planned, &outcome) {
                halt.store(true, Ordering::Relaxed);
                fatal.get_or_insert(error);
            }
            on_event(Event::Done { planned: &planned, outcome: &outcome });
        },
    );
    if let Err(error) = recorder.flush() {
        fatal.get_or_insert(error);
    }
    summary.not_started = total - started + unfinished;
    summary.elapsed = start.elapsed();
    if let Some(error) = fatal {
        let entry = LogEntry::new(LogType::FatalError, error.to_string());
        // The catalog may be what failed, so this may fail too; the first error is the one to report.
        let _ = library.finish_job(&handle, true, &[entry]);
        return Err(error);
    }
    let closing = closing_entry(&library.job_log_page(&handle, LogPage { offset: 0, limit: 0 })?, summary.not_started);
    summary.stopped = summary.not_started > 0 && options.stop.load(Ordering::Relaxed) && !halt.load(Ordering::Relaxed);
    if summary.stopped {
        let message = format!("stopped by a signal; `reprise run … --resume '{handle}'` finishes the job");
        library.suspend_job(&handle, &[closing, LogEntry::new(LogType::FileCancel, message)])?;
        return Ok(summary);
    }
    library.join_projects(&handle, &projects)?;
    let mut closing = vec![closing];
    for entry in auto_sets.make(library, &handle, publish)? {
        if entry.log_type.severity() > Severity::Info {
            summary.warnings.push(entry.message.clone());
        }
        closing.insert(closing.len() - 1, entry);
    }
    let due = FollowOn::of_job(&job.reprocess).due(library, &handle, false)?;
    library.finish_job_with_due(&handle, false, &closing, &due)?;
    follow_up(library, &lock, &handle, job, options, &mut summary, on_event)?;
    Ok(summary)
}

/// Does what is due for a job whose assets are done.
fn follow_up(
    library: &mut Library,
    lock: &RunLock,
    handle: &Handle,
    job: &Job,
    options: &RunOptions,
    summary: &mut Summary,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<()> {
    let follow = FollowOn::of_job(&job.reprocess);
    summary.warnings.extend(follow::settle(library, handle, &follow, &options.stop)?);
    let due = library.due(handle)?;
    if options.stop.load(Ordering::Relaxed) {
        summary.stopped = !due.is_empty();
        return Ok(());
    }
    let Some(publish) = job.reprocess.publish.as_ref().filter(|_| due.contains(&Due::Publish)) else { return Ok(()) };
    let published = publish::Order::of(library, publish).and_then(|order| {
        let origin = publish::Origin::Follows(handle, job);
        publish::run_locked(library, lock, &order, origin, &options.stop, &mut |event| on_event(Event::Publish(event)))
    });
    match published {
        Ok(published) => {
            summary.stopped = published.stopped;
            summary.published = Some(published);
        }
        Err(error) if error.kind == ErrorKind::Catalog => return Err(error),
        // The context was there when the job began.
        Err(error) => {
            let warning = format!("nothing was published: {error}");
            library.log(handle, &[LogEntry::new(LogType::UploadWarning, warning.clone())])?;
            library.settle_due(handle, Due::Publish)?;
            summary.warnings.push(warning);
        }
    }
    Ok(())
}

/// The job's projects that exist; a warning for each that does not.
fn projects(library: &Library, job: &Job, warnings: &mut Vec<String>) -> Result<Vec<Handle>> {
    let known = library.projects()?;
    let mut projects = Vec::new();
    for handle in &job.reprocess.projects {
        match known.iter().find(|project| project.handle.as_str() == handle) {
            Some(project) => projects.push(project.handle.clone()),
            None => warnings.push(format!(
                "projectHandleArray: no project has the handle {handle}; `reprise projects` lists those that exist"
            )),
        }
    }
    Ok(projects)
}

fn record(job: &Job, options: &RunOptions, settings: &Settings) -> JobRecord {
    let repeated = job.reprocess.duplicates.iter();
    let assets = job.reprocess.assets.iter().chain(repeated).map(|handle| handle.as_str().into()).collect();
    let name = if job.name.is_empty() { "Reprocess" } else { &job.name };
    JobRecord {
        description: job.description.clone().unwrap_or_default(),
        firing: options.firing.clone(),
        submit_user_email: settings.address_of(job.user.as_deref()),
        request: Some(resume::request(job, &options.command)),
        ..JobRecord::reprocess(name, assets)
    }
}

fn opening_entries(job: &Job, warnings: &[String], backend: &Backend) -> Vec<LogEntry> {
    let reprocess = &job.reprocess;
    let mut entries = vec![
        LogEntry::new(LogType::BeginReoptimize, format!("reprocessing begins on {backend}")),
        LogEntry::new(LogType::OriginalJobName, job.name.clone()),
        LogEntry::new(LogType::TotalFileCount, reprocess.assets.len().to_string()),
    ];
    entries.extend(reprocess.duplicates.iter().map(|handle| {
        LogEntry::new(LogType::DuplicateSkipped, format!("{handle} is listed more than once; it runs once"))
    }));
    entries.extend(warnings.iter().map(|warning| LogEntry::new(LogType::UploadWarning, warning.clone())));
    entries
}

fn closing_entry(log: &JobLog, not_started: usize) -> LogEntry {
    let (done, failed) = (log.file_success_count, log.file_error_count);
    let mut message = format!("{done} of {} assets reprocessed, {failed} failed", log.total_file_count);
    let left = log.total_file_count.saturating_sub(done + failed + not_started as u64);
    if left > 0 {
        message.push_str(&format!(", {left} left as they were"));
    }
    if not_started > 0 {
        message.push_str(&format!(", {not_started} not started"));
    }
    LogEntry::new(LogType::EndReoptimize, message)
}

fn work(planned: &Planned, limits: &rip::Limits, context: &Context, running: &Running<'_>) -> Result<Outcome> {
    let (asset, recipe, output, page) = match (&planned.asset, &planned.action) {
        (Some(asset), Action::Convert { recipe, output, page, .. }) => (asset, recipe, output, page),
        (_, Action::Rip(order)) => {
            let ripped = documents::rip(order, context, running)?;
            check_unchanged(&order.origin.asset)?;
            return Ok(Outcome::Ripped(Box::new(ripped)));
        }
        (_, Action::Encode(order)) => {
            let encoded = media::encode(order, context, running)?;
            check_unchanged(&order.origin.asset)?;
            return Ok(Outcome::Encoded(Box::new(encoded)));
        }
        (_, Action::Layers(order)) => {
            let extracted = photoshop::extract(order, context, running.stop)?;
            check_unchanged(&order.origin.asset)?;
            return Ok(Outcome::Layers(Box::new(extracted)));
        }
        (_, Action::Keep { reason, .. }) => return Ok(Outcome::Kept(reason.clone())),
        (_, Action::Leave(reason)) => return Ok(Outcome::Left(reason.clone())),
        (_, Action::Fail(error)) => return Err(error.clone()),
        (None, Action::Convert { .. }) => unreachable!("only known assets are converted"),
    };
    for file in [Some(output), recipe.mask.as_ref()].into_iter().flatten() {
        derived::make_folder(file)?;
    }
    let converted = derived::retrying(running.stop, || match page {
        Some(drawing) => documents::preview(asset, drawing, limits, output, recipe, context),
        None => pipeline::convert(&asset.path, output, recipe, context),
    })?;
    // What was read has to be what the catalog describes; the pipeline saw only that it did not change meanwhile.
    check_unchanged(asset)?;
    Ok(Outcome::Converted(Box::new(converted)))
}

/// What a job asks for beyond what this version does, one sentence each.
pub fn not_acted_on(job: &Job) -> Vec<String> {
    let reprocess = &job.reprocess;
    let mut missing = Vec::new();
    let mut note = |asked: bool, text: &str| {
        if asked {
            missing.push(format!("{text} by this version"));
        }
    };
    note(
        job.locale.as_deref().is_some_and(|locale| !locale.starts_with("en")),
        "locale: messages are written in English",
    );
    if let job::Start::At(time) = job.start
        && time <= jiff::Timestamp::now()
    {
        missing.push(format!("execTime: {time} has passed, the job runs now"));
    }
    missing.extend(reprocess.photoshop.iter().filter_map(photoshop::without_effect));
    let unused_profile = reprocess.color_management.as_ref().is_some_and(|options| {
        options.conversion != job::ColorConversion::Convert
            && (options.source_profile.is_some() || options.output_profile.is_some())
    });
    if unused_profile {
        missing.push("colorManagementOptions: profiles are used only with colorManagement Convert".into());
    }
    missing
}
