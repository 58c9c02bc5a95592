//! `reprise run`: a job over a library.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use reprise::catalog::{Firing, Handle, Library, LogPage, Schedule, SetCandidate};
use reprise::encode::ptiff;
use reprise::engine::activity::Activity;
use reprise::engine::media::{self, Choice};
use reprise::engine::plan::{self, Action, Planned};
use reprise::engine::reprocess::{self, Event, Outcome, RunOptions, Summary};
use reprise::engine::resume::{self, Stored};
use reprise::engine::sets::{AutoSets, PlannedSet};
use reprise::engine::{self, Context, Conversion, Crop, Recipe};
use reprise::engine::{publish, schedule};
use reprise::error::{Error, ErrorKind, Result, Stage};
use reprise::job::{self, Job, Start};
use reprise::report::{self, ReportJob};
use reprise::trace;
use serde_json::json;

use super::Verdict;
use super::args::{DocumentArgs, KeptArgs, LogFormat, OutputArgs, RunArgs};
use super::convert::context;
use super::library::json;
use super::metrics::Metrics;
use super::output::{Progress, complain, line};
use super::signals;

pub fn run(args: &RunArgs) -> Result<Verdict> {
    let mut library = Library::open(&args.library)?;
    if let Some(handle) = resumed(args, &library)?
        && publish::is_publish(library.job_log_page(&handle, LogPage { offset: 0, limit: 0 })?.log_type)
    {
        let stop = signals::stop_flag()?;
        return super::publish::go_on(&mut library, &handle, args.log_format, &stop);
    }
    let Some(Order { mut job, kept, resume }) = order(args, &library)? else {
        complain(format_args!("no job was cut short; there is nothing to resume"));
        return Ok(Verdict::AllGood);
    };
    let stop = signals::stop_flag()?;
    if args.dry_run {
        let options = run_options(&kept, args.failures.fail_fast, &stop)?;
        return dry_run(&library, &job, &options, args.log_format);
    }
    if args.wait && !wait_for(&mut job, &stop) {
        return Ok(Verdict::Stopped);
    }
    let command = json(&kept)?;
    if let Some(schedule) = schedule::submit(&mut library, &job, &command, Timestamp::now(), &TimeZone::system())? {
        let Schedule { name, due, .. } = schedule;
        complain(format_args!("{name} is scheduled for {due}; `reprise scheduler LIB` runs it"));
        return Ok(Verdict::AllGood);
    }
    let manner = Manner {
        context: &context(&args.machine)?,
        fail_fast: args.failures.fail_fast,
        format: args.log_format,
        report: match &args.report {
            _ if args.no_report => ReportPlace::None,
            Some(path) => ReportPlace::At(path),
            None => ReportPlace::Library,
        },
        metrics: args.metrics.map(Metrics::serve).transpose()?,
        stop: &stop,
    };
    carry_out(&mut library, &job, &kept, resume, None, &manner)
}

/// How jobs are carried out, one or many of them.
pub struct Manner<'a> {
    pub context: &'a Context,
    pub fail_fast: bool,
    pub format: LogFormat,
    pub report: ReportPlace<'a>,
    pub metrics: Option<Metrics>,
    pub stop: &'a Arc<AtomicBool>,
}

/// Where reports go.
#[derive(Debug, Clone, Copy)]
pub enum ReportPlace<'a> {
    None,
    /// The library's folder of reports.
    Library,
    At(&'a Path),
}

fn run_options(kept: &KeptArgs, fail_fast: bool, stop: &Arc<AtomicBool>) -> Result<RunOptions> {
    let KeptArgs { output, documents } = kept;
    Ok(RunOptions {
        recipe: Recipe { filter: output.filter(), output: output.options(), ..Recipe::default() },
        documents: documents.limits(),
        media: documents.media_limits(),
        encodings: Vec::new(),
        fail_fast,
        stop: Arc::clone(stop),
        command: json(kept)?,
        resume: None,
        firing: None,
        activity: Arc::default(),
    })
}

/// Runs a job to its end and says how it went.
pub fn carry_out(
    library: &mut Library,
    job: &Job,
    kept: &KeptArgs,
    resume: Option<Handle>,
    firing: Option<Firing>,
    manner: &Manner<'_>,
) -> Result<Verdict> {
    let options = RunOptions { resume, firing, ..run_options(kept, manner.fail_fast, manner.stop)? };
    let mut watcher = Watcher::new(manner.format, job.reprocess.assets.len(), &options.activity);
    trace::add_up();
    let done = reprocess::run(library, job, manner.context, &options, &mut |event| {
        if let Some(metrics) = &manner.metrics {
            metrics.on(&event);
        }
        watcher.on(&event);
    });
    if let Some(metrics) = &manner.metrics {
        metrics.job_ended();
    }
    let summary = done?;
    watcher.end(&summary);
    let path = match manner.report {
        ReportPlace::None => None,
        // Nothing but what was due was done.
        _ if summary.total == 0 && options.resume.is_some() => None,
        ReportPlace::Library => Some(write_report(None, library, job, &summary, manner.context)?),
        ReportPlace::At(path) => Some(write_report(Some(path), library, job, &summary, manner.context)?),
    };
    match (path, manner.format) {
        (Some(path), LogFormat::Text) => complain(format_args!("report: {}", path.display())),
        (Some(path), LogFormat::Json) => {
            line(format_args!("{}", json!({ "event": "report", "path": path.display().to_string() })))
        }
        (None, _) => {}
    }
    let published = summary.published.as_ref().map(|published| super::publish::conclude(published, manner.format));
    let all_good = summary.converted == summary.total
        && summary.failed_before == 0
        && published.is_none_or(|verdict| verdict == Verdict::AllGood);
    Ok(match (summary.stopped, all_good) {
        (true, _) => Verdict::Stopped,
        (false, true) => Verdict::AllGood,
        (false, false) => Verdict::SomeFailed,
    })
}

/// What is to be run.
struct Order {
    job: Job,
    kept: KeptArgs,
    /// The job on record that goes on.
    resume: Option<Handle>,
}

/// A new job from a document, or one on record with the options that it had; `None` when there is none to resume.
fn order(args: &RunArgs, library: &Library) -> Result<Option<Order>> {
    if let Some(document) = &args.job {
        let kept = KeptArgs { output: args.output.clone(), documents: args.documents.clone() };
        return Ok(Some(Order { job: read_job(document)?, kept, resume: None }));
    }
    if args.output != OutputArgs::defaults() {
        let message = "a job that runs again keeps the options of the pyramid TIFF that it had; leave them out";
        return Err(Error::misuse(Stage::Job, message));
    }
    let handle = match &args.retry_failed {
        Some(handle) => Handle::from(handle.as_str()),
        None => match resumed(args, library)? {
            Some(handle) => handle,
            None => return Ok(None),
        },
    };
    let Stored { mut job, command } = resume::stored(library, &handle)?;
    let kept = kept_args(&command, &args.documents).map_err(|e| e.of(handle.as_str()))?;
    if args.retry_failed.is_some() {
        resume::keep_failed(library, &handle, &mut job)?;
        return Ok(Some(Order { job, kept, resume: None }));
    }
    Ok(Some(Order { job, kept, resume: Some(handle) }))
}

/// The options on record of a job. A document may have failed at a bound: those that are given anew take its place.
pub fn kept_args(command: &str, bounds: &DocumentArgs) -> Result<KeptArgs> {
    let mut kept: KeptArgs = serde_json::from_str(command).map_err(|e| {
        Error::new(ErrorKind::Catalog, Stage::Catalog, format!("the options on record cannot be read: {e}"))
    })?;
    if *bounds != DocumentArgs::default() {
        kept.documents = bounds.clone();
    }
    Ok(kept)
}

/// The job on record that goes on, if one does: the one that is named, or the newest that is not finished.
fn resumed(args: &RunArgs, library: &Library) -> Result<Option<Handle>> {
    match &args.resume {
        None => Ok(None),
        Some(Some(handle)) => Ok(Some(Handle::from(handle.as_str()))),
        Some(None) => library.latest_unfinished_job(),
    }
}

/// Waits for the time at which a job wants to start; false when a signal came first. The clock is asked again and
/// again, so that setting it forward or back, or sleep, moves the start with it.
fn wait_for(job: &mut Job, stop: &AtomicBool) -> bool {
    let Start::At(time) = job.start else { return true };
    if Timestamp::now() < time {
        complain(format_args!("waiting until {time}"));
    }
    while Timestamp::now() < time {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    job.start = Start::Now;
    true
}

/// A job document from a file, or from standard input for `-`.
fn read_job(path: &Path) -> Result<Job> {
    let mut bytes = Vec::new();
    let limit = job::MAX_DOCUMENT_BYTES as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|e| Error::io(Stage::Job, path, e))?;
    job::parse(&bytes)
        .map_err(|problems| Error::misuse(Stage::Job, problems.to_string()).of(path.display().to_string()))
}

/// Prints what would be done; fails as the run would, as far as that can be known without decoding pixels.
fn dry_run(library: &Library, job: &Job, options: &RunOptions, format: LogFormat) -> Result<Verdict> {
    let mut failed = 0;
    for warning in job.warnings.iter().cloned().chain(reprocess::not_acted_on(job)) {
        match format {
            LogFormat::Text => line(format_args!("warning: {warning}")),
            LogFormat::Json => line(format_args!("{}", json!({ "event": "warning", "message": warning }))),
        }
    }
    let auto_sets = AutoSets::of(library, job)?;
    let mut images = Vec::new();
    for planned in plan::plan(library, job, options)? {
        let planned = planned?;
        if let (Some(asset), Action::Convert { .. }) = (&planned.asset, &planned.action) {
            images.push(SetCandidate { handle: asset.handle.clone(), name: asset.name.clone() });
        }
        let (word, text) = match (&planned.action, plan::rehearse(&planned)) {
            (Action::Convert { recipe, output, .. }, Ok(())) => {
                ("convert", format!("{} → {}", steps(recipe), output.display()))
            }
            (Action::Convert { .. }, Err(error)) => ("fail", error.to_string()),
            (Action::Rip(order), _) => ("rip", format!("{} → one image a page", steps(&order.parts.recipe))),
            (Action::Encode(order), _) => ("encode", encodings(order)),
            (Action::Layers(_), Err(error)) => ("fail", error.to_string()),
            (Action::Layers(order), Ok(())) => {
                let what =
                    if order.origin.only.is_some() { "this layer" } else { "merged image and one image a layer" };
                ("layers", format!("{} → {what}", steps(&order.parts.recipe)))
            }
            (Action::Keep { reason, .. }, _) => ("keep", reason.clone()),
            (Action::Leave(reason), _) => ("leave", reason.clone()),
            (Action::Fail(error), _) => ("fail", error.to_string()),
        };
        if matches!(word, "leave" | "fail") {
            failed += 1;
        }
        match format {
            LogFormat::Text => line(format_args!("{word:<8} {}  {}: {text}", planned.handle, name(&planned))),
            LogFormat::Json => line(format_args!(
                "{}",
                json!({ "event": word, "assetHandle": planned.handle, "assetName": name(&planned), "message": text })
            )),
        }
    }
    for PlannedSet { set, existing, problems } in auto_sets.plan(library, &images)? {
        let members: Vec<&str> = set.members.iter().map(|member| member.asset_name.as_str()).collect();
        match format {
            LogFormat::Text => {
                let place = existing.map_or(String::from("new"), |handle| handle.to_string());
                line(format_args!("set      {place}  {}: {} of {}", set.name, set.set_type, members.join(", ")));
                for problem in problems {
                    line(format_args!("warning: {}: {problem}", set.name));
                }
            }
            LogFormat::Json => line(format_args!(
                "{}",
                json!({ "event": "set", "assetHandle": existing, "assetName": set.name, "setType": set.set_type,
                        "members": members, "problems": problems })
            )),
        }
    }
    complain(format_args!("dry run: nothing was written"));
    Ok(if failed == 0 { Verdict::AllGood } else { Verdict::SomeFailed })
}

/// What is made of a video, in words.
fn encodings(order: &media::Order) -> String {
    let thumbnail = order.thumbnail.as_ref().map(|thumbnail| format!("thumbnail: {}", steps(&thumbnail.own.recipe)));
    let choices = order.choices.iter().map(|choice| match choice {
        Choice::Named(handle, _) => handle.to_string(),
        Choice::Adaptive => "the adaptive presets that fit".into(),
    });
    choices.chain(thumbnail).collect::<Vec<_>>().join("; ")
}

/// The steps of a recipe, in words.
fn steps(recipe: &Recipe) -> String {
    let mut steps = Vec::new();
    if recipe.clip_path {
        steps.push("cut out by the clipping path".into());
    }
    if let Some(knockout) = &recipe.knockout {
        steps.push(format!("knock out {:?} from {:?} within {}", knockout.fill, knockout.corner, knockout.tolerance));
    }
    match recipe.crop {
        Some(Crop::Insets(i)) => steps.push(format!("crop {},{},{},{}", i.left, i.right, i.top, i.bottom)),
        Some(Crop::Auto(background)) => steps.push(format!("crop by {background:?}")),
        None => {}
    }
    if let Conversion::All { .. } = &recipe.color.conversion {
        steps.push("convert colours".into());
    }
    if let Some(u) = &recipe.unsharp {
        let luma = if u.monochrome { " of luma" } else { "" };
        steps.push(format!("sharpen{luma} {} × radius {} px over {}", u.amount, u.radius_px, u.threshold));
    }
    steps.push("pyramid".into());
    steps.join(", ")
}

fn name(planned: &Planned) -> &str {
    planned.asset.as_ref().map_or("unknown asset", |asset| asset.name.as_str())
}

/// Writes the report of a run, by default as `reports/<job number>.html` in the library.
fn write_report(
    path: Option<&Path>,
    library: &Library,
    job: &Job,
    summary: &Summary,
    context: &Context,
) -> Result<PathBuf> {
    let path = path.map_or_else(
        || library.dir().join("reports").join(format!("{}.html", summary.job.as_str().replace('|', "-"))),
        Path::to_path_buf,
    );
    let log = library.job_log_page(&summary.job, LogPage { offset: 0, limit: 0 })?;
    let mut messages = job.warnings.clone();
    messages.extend(reprocess::not_acted_on(job));
    let (rows, left_out) = engine::report::rows(library, &summary.job, context)?;
    if left_out > 0 {
        messages.push(format!("{left_out} more assets were done and are not listed here; the job log has them"));
    }
    messages.extend(summary.warnings.iter().cloned());
    let report = ReportJob {
        name: log.job_name,
        handle: summary.job.to_string(),
        description: job.description.clone(),
        started: format!("{:.0}", log.start_date),
        // Of a resumed job the time of all its runs.
        seconds: match summary.resumed {
            true => report::work_seconds(&rows),
            false => summary.elapsed.as_secs_f64(),
        },
        backend: context.backend.to_string(),
        stages: trace::totals().into_iter().map(|(name, time)| (name.to_string(), time.as_secs_f64())).collect(),
        messages,
    };
    let page = report::render(&report, &rows);
    let io = |e| Error::io(Stage::Encode, &path, e);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let mut file = ptiff::temporary_beside(&path).map_err(io)?;
    file.write_all(page.as_bytes()).map_err(io)?;
    file.persist(&path).map_err(|e| io(e.error))?;
    Ok(path)
}

/// Turns events into lines and a progress bar, and keeps what the report shows.
struct Watcher {
    format: LogFormat,
    progress: Progress,
}

impl Watcher {
    fn new(format: LogFormat, total: usize, activity: &Arc<Activity>) -> Self {
        let activity = Arc::clone(activity);
        Watcher { format, progress: Progress::with(total as u64, "assets", move || activity.line()) }
    }

    fn on(&mut self, event: &Event<'_>) {
        match (event, self.format) {
            (Event::Begun { job, total, warnings, backend }, LogFormat::Text) => {
                self.progress.line(format_args!("job {job}: {total} assets, on {backend}"));
                for warning in *warnings {
                    self.progress.complain(format_args!("warning: {warning}"));
                }
            }
            (Event::Begun { job, total, warnings, backend }, LogFormat::Json) => self.progress.line(format_args!(
                "{}",
                json!({ "event": "begin", "jobHandle": job, "totalFileCount": total, "warnings": warnings, "backend": backend.to_string() })
            )),
            (Event::Done { planned, outcome }, LogFormat::Text) => {
                self.text(planned, outcome);
                self.progress.step();
            }
            (Event::Done { planned, outcome }, LogFormat::Json) => {
                self.progress.line(format_args!("{}", as_json(planned, outcome)));
                self.progress.step();
            }
            (Event::Publish(event), format) => super::publish::show(&self.progress, format, event),
        }
    }

    fn text(&self, planned: &Planned, outcome: &Outcome) {
        let (handle, name) = (&planned.handle, name(planned));
        match outcome {
            Outcome::Converted(converted) => {
                self.progress.line(format_args!("ok    {handle:<8} {name}: {}", converted));
                for warning in &converted.warnings {
                    self.progress.complain(format_args!("warning: {handle} {name}: {warning}"));
                }
            }
            Outcome::Ripped(ripped) => {
                match ripped.error() {
                    None if ripped.stopped => self.progress.line(format_args!("part  {handle:<8} {name}: {ripped}")),
                    None => self.progress.line(format_args!("ok    {handle:<8} {name}: {ripped}")),
                    Some(error) => self.progress.complain(format_args!("FAIL  {handle:<8} {name}: {error}")),
                }
                for (number, error) in ripped.failed.iter().skip(1) {
                    self.progress.complain(format_args!("      {handle:<8} {name}: page {number}: {error}"));
                }
                let of_pages = ripped.done.iter().flat_map(|page| &page.converted.warnings);
                for warning in ripped.warnings.iter().chain(of_pages) {
                    self.progress.complain(format_args!("warning: {handle} {name}: {warning}"));
                }
            }
            Outcome::Encoded(encoded) => {
                match (encoded.error(), encoded.stopped) {
                    (Some(error), _) => self.progress.complain(format_args!("FAIL  {handle:<8} {name}: {error}")),
                    (None, false) => self.progress.line(format_args!("ok    {handle:<8} {name}: {encoded}")),
                    (None, true) => self.progress.line(format_args!("part  {handle:<8} {name}: {encoded}")),
                }
                for done in &encoded.done {
                    self.progress.line(format_args!("      {:<8} {}: {done}", done.asset.handle, done.asset.name));
                }
                for (what, error) in encoded.failed.iter().skip(1) {
                    self.progress.complain(format_args!("      {handle:<8} {name}: {what}: {error}"));
                }
                for warning in &encoded.warnings {
                    self.progress.complain(format_args!("warning: {handle} {name}: {warning}"));
                }
            }
            Outcome::Layers(extracted) => {
                match extracted.error() {
                    None => self.progress.line(format_args!("ok    {handle:<8} {name}: {extracted}")),
                    Some(error) => self.progress.complain(format_args!("FAIL  {handle:<8} {name}: {error}")),
                }
                for (layer, error) in extracted.failed.iter().skip(1) {
                    self.progress.complain(format_args!("      {handle:<8} {name}: layer {layer:?}: {error}"));
                }
                let of_merged = extracted.merged.iter().flat_map(|converted| &converted.warnings);
                for warning in of_merged.chain(&extracted.warnings) {
                    self.progress.complain(format_args!("warning: {handle} {name}: {warning}"));
                }
                for layer in &extracted.done {
                    for warning in &layer.image.converted.warnings {
                        let about = format_args!("warning: {handle} {name}, layer {:?}: {warning}", layer.name);
                        self.progress.complain(about);
                    }
                }
            }
            Outcome::Kept(reason) => self.progress.line(format_args!("kept  {handle:<8} {name}: {reason}")),
            Outcome::Left(reason) => self.progress.complain(format_args!("left  {handle:<8} {name}: {reason}")),
            Outcome::Failed(error) => self.progress.complain(format_args!("FAIL  {handle:<8} {name}: {error}")),
        }
    }

    fn end(self, summary: &Summary) {
        drop(self.progress);
        for warning in &summary.warnings {
            complain(format_args!("warning: {warning}"));
        }
        if summary.stopped {
            complain(format_args!(
                "stopped; `reprise run … --resume '{}'` does what is left, {} assets among it",
                summary.published.as_ref().map_or(&summary.job, |published| &published.job),
                summary.not_started
            ));
        }
        let seconds = summary.elapsed.as_secs_f64();
        let megapixels = summary.pixels as f64 / 1e6;
        match self.format {
            LogFormat::Json => line(format_args!(
                "{}",
                json!({
                    "event": "end", "jobHandle": summary.job, "totalFileCount": summary.total,
                    "fileSuccessCount": summary.converted, "fileErrorCount": summary.failed,
                    "fileDuplicateCount": summary.duplicates, "left": summary.left,
                    "notStarted": summary.not_started, "stopped": summary.stopped, "seconds": seconds, "megapixels": megapixels,
                })
            )),
            LogFormat::Text => complain(format_args!(
                "{} of {} reprocessed, {} failed{}{}; {megapixels:.1} megapixels in {seconds:.1} s ({:.1} per second)",
                summary.converted,
                summary.total,
                summary.failed,
                if summary.left > 0 { format!(", {} left as they were", summary.left) } else { String::new() },
                if summary.not_started > 0 { format!(", {} not started", summary.not_started) } else { String::new() },
                megapixels / seconds.max(1e-9),
            )),
        }
    }
}

fn as_json(planned: &Planned, outcome: &Outcome) -> serde_json::Value {
    let (handle, name) = (&planned.handle, name(planned));
    match outcome {
        Outcome::Converted(c) => json!({
            "event": "success", "assetHandle": handle, "assetName": name, "width": c.size.width, "height": c.size.height,
            "levels": c.written.levels, "compression": c.written.compression.to_string(), "bytes": c.written.bytes,
            "seconds": c.elapsed.as_secs_f64(), "backend": c.backend.to_string(), "warnings": c.warnings,
            "crop": c.crop.map(|i| json!({ "left": i.left, "right": i.right, "top": i.top, "bottom": i.bottom })),
        }),
        Outcome::Ripped(ripped) => json!({
            "event": if ripped.error().is_none() { "success" } else { "failure" },
            "assetHandle": handle, "assetName": name, "pageCount": ripped.pages,
            "pages": ripped.done.iter().map(|page| page.asset.handle.as_str()).collect::<Vec<_>>(),
            "seconds": ripped.elapsed.as_secs_f64(), "warnings": ripped.warnings,
            "message": ripped.error().map(|error| error.to_string()),
        }),
        Outcome::Encoded(encoded) => json!({
            "event": if encoded.error().is_none() { "success" } else { "failure" },
            "assetHandle": handle, "assetName": name,
            "renditions": encoded.done.iter().map(|done| done.asset.handle.as_str()).collect::<Vec<_>>(),
            "seconds": encoded.elapsed.as_secs_f64(), "warnings": encoded.warnings, "stopped": encoded.stopped,
            "message": encoded.error().map(|error| error.to_string()),
        }),
        Outcome::Layers(extracted) => json!({
            "event": if extracted.error().is_none() { "success" } else { "failure" },
            "assetHandle": handle, "assetName": name, "layerCount": extracted.wanted,
            "layers": extracted.done.iter().map(|layer| layer.image.asset.handle.as_str()).collect::<Vec<_>>(),
            "template": extracted.template.is_some(),
            "seconds": extracted.elapsed.as_secs_f64(), "warnings": extracted.warnings,
            "message": extracted.error().map(|error| error.to_string()),
        }),
        Outcome::Kept(reason) => {
            json!({ "event": "kept", "assetHandle": handle, "assetName": name, "message": reason })
        }
        Outcome::Left(reason) => {
            json!({ "event": "left", "assetHandle": handle, "assetName": name, "message": reason })
        }
        Outcome::Failed(error) => {
            json!({ "event": "failure", "assetHandle": handle, "assetName": name, "message": error.to_string() })
        }
    }
}
