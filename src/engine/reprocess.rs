//! A ReprocessAssetsJob over a library: plan each asset, convert it, record what became of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::color::{ColorPolicy, Conversion};
use super::documents::{self, Drawing, Order, Ripped, Wish};
use super::follow::{self, FollowOn};
use super::original::check_unchanged;
use super::photoshop::{self, Extracted, Merged};
use super::pipeline::{self, Context, Converted, Recipe};
use super::sets::AutoSets;
use super::{batch, media, profiles, publish, report, resume, retry};
use crate::catalog::{
    Asset, AssetResult, Crop as StoredCrop, CropChange, CropOrigin, DerivedResult, Due, Firing, Handle, JobLog,
    JobRecord, Library, LogEntry, LogPage, LogType, NewDerivative, NewMask, RunLock, Settings, Severity, TaskOutcome,
};
use crate::decode::Kind;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::job::{self, Job, ReprocessAssets};
use crate::ops::color::Profile;
use crate::rip;

/// Results are recorded together: one transaction for so many assets …
const COMMIT_ASSETS: usize = 64;
/// … or for so much time, whichever comes first.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);

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
}

impl RunOptions {
    /// With what the job says about colours and encodings.
    fn for_job(&self, library: &Library, settings: &Settings, job: &Job) -> Result<Self> {
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

/// What is going to be done with one asset.
#[derive(Debug)]
pub struct Planned {
    pub handle: Handle,
    /// `None` when the handle names no asset.
    pub asset: Option<Asset>,
    pub action: Action,
}

impl Planned {
    /// The file that is going to be written, if one is.
    pub fn output(&self) -> Option<&Path> {
        match &self.action {
            Action::Convert { output, .. } => Some(output),
            Action::Layers(order) => order.merged.as_ref().map(|merged| merged.output.as_path()),
            Action::Rip(_) | Action::Encode(_) | Action::Keep { .. } | Action::Leave(_) | Action::Fail(_) => None,
        }
    }
}

#[derive(Debug)]
pub enum Action {
    Convert {
        recipe: Box<Recipe>,
        output: PathBuf,
        /// What the stored crop becomes once the asset is done.
        crop: CropRule,
        /// The publish mark once the asset is done; `None` leaves it.
        publish: Option<bool>,
        /// The original is a document, and this is how its first page is drawn; `None` for images.
        page: Option<Drawing>,
    },
    /// Pages of a document become assets.
    Rip(Box<Order>),
    /// Renditions and a thumbnail of video or audio.
    Encode(Box<media::Order>),
    /// Layers of a Photoshop document become assets.
    Layers(Box<photoshop::Order>),
    /// The job asks for nothing to be made of it; the reason.
    Keep { reason: String, publish: Option<bool> },
    /// The asset stays as it is; the reason.
    Leave(String),
    /// The asset cannot be worked on.
    Fail(Error),
}

/// What a job says about crops; what comes of it depends on the crop stored for each asset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropPlan {
    crop: Option<job::Crop>,
    preserve: bool,
}

impl CropPlan {
    /// The crop for `asset`, and what its stored one becomes.
    pub fn of(&self, asset: &Asset) -> (Option<pipeline::Crop>, CropRule) {
        match self.crop {
            Some(job::Crop::Manual(insets)) if !insets.is_zero() => {
                (Some(pipeline::Crop::Insets(insets)), CropRule::Replace(CropOrigin::Manual))
            }
            Some(job::Crop::Auto(background)) => {
                (Some(pipeline::Crop::Auto(background)), CropRule::Replace(CropOrigin::Automatic))
            }
            _ if self.preserve => (asset.crop.map(|crop| pipeline::Crop::Insets(crop.insets)), CropRule::Keep),
            _ => (None, CropRule::Drop),
        }
    }
}

/// What the stored crop becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CropRule {
    /// It was applied and stays, or there is none.
    Keep,
    /// The job's own crop replaces it.
    Replace(CropOrigin),
    /// It is dropped.
    Drop,
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

/// What would be done with every asset of `job`, in its order. Reads headers, writes nothing.
///
/// # Errors
/// `Catalog` when the catalog cannot be read, `Misuse` when a profile of the job is none; what is wrong with one
/// asset is that asset's [`Action::Fail`].
pub fn plan<'a>(
    library: &'a Library,
    job: &'a Job,
    options: &RunOptions,
) -> Result<impl ExactSizeIterator<Item = Result<Planned>> + 'a> {
    let settings = library.settings()?;
    let options = options.for_job(library, &settings, job)?;
    Ok(job.reprocess.assets.iter().map(move |handle| plan_asset(library, &job.reprocess, &settings, &options, handle)))
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
    let running = Running { job: &handle, stop: &options.stop };
    let mut unfinished = 0;
    let mut recorder = Recorder { library, job: &handle, pending: Vec::new(), last: Instant::now() };
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

fn plan_asset(
    library: &Library,
    job: &ReprocessAssets,
    settings: &Settings,
    options: &RunOptions,
    handle: &str,
) -> Result<Planned> {
    let handle = Handle::from(handle);
    let Some(asset) = library.asset(&handle)? else {
        let error = Error::misuse(Stage::Catalog, "no asset has this handle; `reprise assets` lists those that exist");
        return Ok(Planned { action: Action::Fail(error.of(handle.as_str())), handle, asset: None });
    };
    let action = match documents::wish(job, asset.kind) {
        Some(wish) => document_action(library, job, settings, options, &asset, wish)?,
        None if asset.kind == Kind::Photoshop => photoshop_action(library, job, settings, options, &asset)?,
        None if asset.kind.is_raster() => convert_action(library, job, settings, options, &asset),
        None if matches!(asset.kind, Kind::Video | Kind::Audio) => {
            media_action(library, job, settings, options, &asset)?
        }
        None => Action::Leave(format!(
            "{} files cannot be reprocessed by this version; the asset is left as it is",
            asset.kind.name()
        )),
    };
    Ok(Planned { handle, asset: Some(asset), action })
}

fn document_action(
    library: &Library,
    job: &ReprocessAssets,
    settings: &Settings,
    options: &RunOptions,
    asset: &Asset,
    wish: Wish,
) -> Result<Action> {
    if let Err(error) = check_unchanged(asset) {
        return Ok(Action::Fail(error));
    }
    let publish = publish_mark(job, settings);
    let recipe = |drawing: &documents::Drawing| Recipe {
        clip_path: job.create_mask,
        knockout: job.knockout,
        unsharp: job.unsharp,
        color: drawing.color_policy(&options.recipe.color),
        ..options.recipe.clone()
    };
    let crop = CropPlan { crop: job.crop, preserve: job.preserve_crop };
    let (drawing, extras) = match wish {
        Wish::Keep => {
            let reason = format!("process is None for {} files: kept as it is, nothing was ripped", asset.kind);
            return Ok(Action::Keep { reason, publish });
        }
        // The preview of a page is the page.
        Wish::Preview(drawing) if asset.originator.is_none() => {
            let (crop, rule) = crop.of(asset);
            return Ok(Action::Convert {
                recipe: Box::new(Recipe { crop, ..recipe(&drawing) }),
                output: library.derivative_path(asset),
                crop: rule,
                publish,
                page: Some(drawing),
            });
        }
        Wish::Preview(drawing) => (drawing, documents::Extras::default()),
        Wish::Pages(drawing, extras) => (drawing, extras),
    };
    let (document, only) = match &asset.originator {
        None => (asset.clone(), None),
        Some(originator) => match library.asset(&originator.handle)? {
            Some(document) => (document, Some(originator.number)),
            None => return Ok(Action::Fail(Error::misuse(Stage::Catalog, "the document of this page is gone"))),
        },
    };
    let recipe = recipe(&drawing);
    Ok(Action::Rip(Box::new(Order {
        document,
        only,
        drawing,
        extras,
        limits: options.documents.clone(),
        recipe,
        crop,
        publish,
        library: library.dir().to_owned(),
    })))
}

fn media_action(
    library: &Library,
    job: &ReprocessAssets,
    settings: &Settings,
    options: &RunOptions,
    asset: &Asset,
) -> Result<Action> {
    let (original, choices) = match &asset.originator {
        None => (asset.clone(), options.encodings.clone()),
        // A rendition is made anew by its own preset.
        Some(originator) => match (library.asset(&originator.handle)?, media::preset_of(&originator.parameters)) {
            (Some(original), Some(preset)) => match media::choice(library, &preset) {
                Ok(choice) => (original, vec![choice]),
                Err(error) => return Ok(Action::Fail(error)),
            },
            _ => return Ok(Action::Fail(Error::misuse(Stage::Catalog, "the original of this rendition is gone"))),
        },
    };
    let whole = asset.originator.is_none();
    let wanted = job.media.as_ref().filter(|options| whole && options.generate_thumbnail);
    let publish = publish_mark(job, settings);
    if choices.is_empty() && wanted.is_none() {
        let reason = "mediaOptions name neither presets nor a thumbnail: kept as it is".to_owned();
        return Ok(Action::Keep { reason, publish });
    }
    let thumbnail = match (wanted, convert_action(library, job, settings, options, &original)) {
        (_, Action::Fail(error)) => return Ok(Action::Fail(error)),
        (Some(wanted), Action::Convert { recipe, output, crop, .. }) => {
            Some(media::Thumbnail { time_ms: wanted.thumbnail_time_ms, recipe, output, crop })
        }
        _ => None,
    };
    let limits = options.media.clone();
    let library = library.dir().to_owned();
    Ok(Action::Encode(Box::new(media::Order { original, choices, thumbnail, limits, publish, whole, library })))
}

/// The publish mark once an asset is done; `None` leaves it.
fn publish_mark(job: &ReprocessAssets, settings: &Settings) -> Option<bool> {
    let preserve = job.preserve_publish_state.unwrap_or(settings.retain_publish_state);
    if preserve { None } else { job.ready_for_publish }
}

/// The merged image, its layers, or one of them.
fn photoshop_action(
    library: &Library,
    job: &ReprocessAssets,
    settings: &Settings,
    options: &RunOptions,
    asset: &Asset,
) -> Result<Action> {
    let action = convert_action(library, job, settings, options, asset);
    let (Some((layers, only)), Action::Convert { recipe, output, crop, publish, .. }) =
        (photoshop::wish(job, asset), &action)
    else {
        return Ok(action);
    };
    let (document, merged) = match &asset.originator {
        None => (asset.clone(), Some(Merged { recipe: recipe.clone(), output: output.clone(), crop: *crop })),
        Some(originator) => match library.asset(&originator.handle)? {
            Some(document) => (document, None),
            None => return Ok(Action::Fail(Error::misuse(Stage::Catalog, "the document of this layer is gone"))),
        },
    };
    // The path cuts the merged image out.
    let recipe = Recipe { clip_path: false, mask: None, crop: None, ..(**recipe).clone() };
    Ok(Action::Layers(Box::new(photoshop::Order {
        document,
        only,
        layers,
        merged,
        recipe,
        crop: CropPlan { crop: job.crop, preserve: job.preserve_crop },
        publish: *publish,
        library: library.dir().to_owned(),
    })))
}

fn convert_action(
    library: &Library,
    job: &ReprocessAssets,
    settings: &Settings,
    options: &RunOptions,
    asset: &Asset,
) -> Action {
    if let Err(error) = check_unchanged(asset) {
        return Action::Fail(error);
    }
    let (crop, rule) = CropPlan { crop: job.crop, preserve: job.preserve_crop }.of(asset);
    let recipe = Recipe {
        clip_path: job.create_mask,
        mask: job.create_mask.then(|| library.mask_path(asset)),
        knockout: job.knockout,
        crop,
        unsharp: job.unsharp,
        ..options.recipe.clone()
    };
    Action::Convert {
        recipe: Box::new(recipe),
        output: library.derivative_path(asset),
        crop: rule,
        publish: publish_mark(job, settings),
        page: None,
    }
}

fn work(planned: &Planned, limits: &rip::Limits, context: &Context, running: &Running<'_>) -> Result<Outcome> {
    let (asset, recipe, output, page) = match (&planned.asset, &planned.action) {
        (Some(asset), Action::Convert { recipe, output, page, .. }) => (asset, recipe, output, page),
        (_, Action::Rip(order)) => {
            let ripped = documents::rip(order, context, running)?;
            check_unchanged(&order.document)?;
            return Ok(Outcome::Ripped(Box::new(ripped)));
        }
        (_, Action::Encode(order)) => {
            let encoded = media::encode(order, context, running)?;
            check_unchanged(&order.original)?;
            return Ok(Outcome::Encoded(Box::new(encoded)));
        }
        (_, Action::Layers(order)) => {
            let extracted = photoshop::extract(order, context, running.stop)?;
            check_unchanged(&order.document)?;
            return Ok(Outcome::Layers(Box::new(extracted)));
        }
        (_, Action::Keep { reason, .. }) => return Ok(Outcome::Kept(reason.clone())),
        (_, Action::Leave(reason)) => return Ok(Outcome::Left(reason.clone())),
        (_, Action::Fail(error)) => return Err(error.clone()),
        (None, Action::Convert { .. }) => unreachable!("only known assets are converted"),
    };
    for folder in [Some(output), recipe.mask.as_ref()].into_iter().flatten().filter_map(|file| file.parent()) {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(Stage::Encode, folder, e))?;
    }
    let (converted, overcome) = retry::with_retries(&retry::PAUSES, running.stop, || match page {
        Some(drawing) => documents::preview(asset, drawing, limits, output, recipe, context),
        None => pipeline::convert(&asset.path, output, recipe, context),
    });
    let mut converted = converted?;
    converted.warnings.extend(overcome.iter().map(|error| format!("tried again after: {error}")));
    // What was read has to be what the catalog describes; the pipeline saw only that it did not change meanwhile.
    check_unchanged(asset)?;
    Ok(Outcome::Converted(Box::new(converted)))
}

/// Collects results and records them together.
struct Recorder<'a> {
    library: &'a mut Library,
    job: &'a Handle,
    pending: Vec<(Handle, AssetResult)>,
    last: Instant,
}

impl Recorder<'_> {
    fn add(&mut self, planned: &Planned, outcome: &Outcome) -> Result<()> {
        let result = AssetResult { report: report::record(planned, outcome), ..asset_result(planned, outcome) };
        self.pending.push((planned.handle.clone(), result));
        if self.pending.len() >= COMMIT_ASSETS || self.last.elapsed() >= COMMIT_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
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
        (Outcome::Ripped(ripped), _, Action::Rip(order)) => ripped_result(ripped, order, begin, end),
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

pub(super) fn converted_result(
    converted: &Converted,
    asset: &Asset,
    crop: CropRule,
    publish: Option<bool>,
    begin: LogEntry,
    end: LogEntry,
) -> AssetResult {
    let mut done = LogEntry::new(LogType::ReoptimizeSuccess, converted.to_string());
    for warning in &converted.warnings {
        done = done.with(LogType::UploadWarning, warning.clone());
    }
    let mut entries = vec![begin, done];
    if asset.derivative.is_some() {
        entries.push(LogEntry::new(LogType::FileUpdated, "the derivative replaces the earlier one"));
    }
    entries.push(end);
    AssetResult {
        derivative: Some(new_derivative(converted, asset)),
        mask: converted.cutout.as_ref().and_then(|cutout| cutout.mask.as_ref()).map(|mask| NewMask {
            bytes: mask.bytes,
            width: converted.original.width,
            height: converted.original.height,
            hash: Some(mask.hash),
            source_hash: asset.hash,
        }),
        crop: crop_change(crop, converted),
        publish,
        ..AssetResult::without_change(TaskOutcome::Success, entries)
    }
}

fn ripped_result(ripped: &Ripped, order: &Order, begin: LogEntry, end: LogEntry) -> AssetResult {
    let mut entries = vec![begin, LogEntry::new(LogType::BeginPdfRip, format!("{} pages", ripped.pages))];
    for page in &ripped.done {
        let mut entry = LogEntry::new(LogType::FileProgress, format!("page {}: {}", page.number, page.converted))
            .about(&page.asset);
        for warning in &page.converted.warnings {
            entry = entry.with(LogType::UploadWarning, warning.clone());
        }
        entries.push(entry);
    }
    for (number, error) in &ripped.failed {
        entries.push(LogEntry::new(LogType::PdfRipError, format!("page {number}: {error}")));
    }
    let (log_type, text, outcome) = match ripped.error() {
        None if ripped.stopped => (LogType::FileCancel, ripped.to_string(), TaskOutcome::Cancelled),
        None => (LogType::ReoptimizeSuccess, ripped.to_string(), TaskOutcome::Success),
        Some(error) => (LogType::ReoptimizeFailure, error.to_string(), TaskOutcome::Failure),
    };
    let mut done = LogEntry::new(log_type, text);
    for warning in &ripped.warnings {
        done = done.with(LogType::UploadWarning, warning.clone());
    }
    entries.push(done);
    let updated = ripped.done.iter().filter(|page| page.asset.derivative.is_some()).count();
    if updated > 0 {
        entries.push(LogEntry::new(LogType::FileUpdated, format!("{updated} page images replace earlier ones")));
    }
    entries.push(end);
    let derived = ripped.done.iter().map(|page| DerivedResult {
        handle: page.asset.handle.clone(),
        derivative: new_derivative(&page.converted, &order.document),
        crop: crop_change(page.crop, &page.converted),
        publish: order.publish,
        words: page.words.clone(),
        image_maps: page.image_maps.clone(),
    });
    AssetResult {
        publish: if outcome == TaskOutcome::Success { order.publish } else { None },
        derived: derived.collect(),
        ecatalog: ripped.ecatalog.clone(),
        unfinished: ripped.stopped,
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

pub(super) fn crop_change(rule: CropRule, converted: &Converted) -> CropChange {
    match (rule, converted.crop) {
        (CropRule::Keep, _) => CropChange::Keep,
        (CropRule::Replace(origin), Some(insets)) => CropChange::Set(StoredCrop { insets, origin }),
        (CropRule::Replace(_), None) | (CropRule::Drop, _) => CropChange::Clear,
    }
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

/// Checks what can be checked of a planned conversion without decoding pixels: the header and the crop.
///
/// # Errors
/// As the conversion would give them.
pub fn rehearse(planned: &Planned) -> Result<()> {
    match (&planned.asset, &planned.action) {
        (Some(asset), Action::Convert { recipe, page: None, .. }) => pipeline::rehearse(&asset.path, recipe),
        (Some(asset), Action::Layers(order)) => match &order.merged {
            Some(merged) => pipeline::rehearse(&asset.path, &merged.recipe),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
