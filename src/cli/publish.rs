//! `reprise publish`, and what is printed about publish jobs.

use std::sync::atomic::AtomicBool;

use reprise::catalog::{Handle, Library};
use reprise::engine::publish::{self, Event, Order, Origin, Published};
use reprise::error::Result;
use serde_json::json;

use super::Verdict;
use super::args::{LogFormat, PublishArgs};
use super::output::{Progress, bytes, complain};
use super::signals;

pub fn publish(args: &PublishArgs) -> Result<Verdict> {
    let mut library = Library::open(&args.library)?;
    let order = Order::of(&library, &args.job())?;
    let stop = signals::stop_flag()?;
    run(&mut library, &order, Origin::ByHand(&args.name), args.log_format, &stop)
}

/// Goes on with a publish job that was cut short.
pub fn go_on(library: &mut Library, job: &Handle, format: LogFormat, stop: &AtomicBool) -> Result<Verdict> {
    let order = Order::stored(library, job)?;
    run(library, &order, Origin::Resumed(job), format, stop)
}

fn run(
    library: &mut Library,
    order: &Order,
    origin: Origin<'_>,
    format: LogFormat,
    stop: &AtomicBool,
) -> Result<Verdict> {
    let progress = Progress::new(0, "assets");
    let published = publish::run(library, order, origin, stop, &mut |event| show(&progress, format, &event))?;
    drop(progress);
    Ok(conclude(&published, format))
}

/// Prints what happens in a publish job.
pub fn show(progress: &Progress, format: LogFormat, event: &Event<'_>) {
    match (event, format) {
        (Event::Begun { job, name, assets, context }, LogFormat::Text) => {
            progress.line(format_args!("job {job}: {name}, {assets} assets to {context}"));
        }
        (Event::Begun { job, name, assets, context }, LogFormat::Json) => progress.line(format_args!(
            "{}",
            json!({ "event": "beginPublish", "jobHandle": job, "jobName": name, "totalFileCount": assets, "context": context })
        )),
        (Event::Done { asset, files, error: None }, LogFormat::Text) => {
            progress.line(format_args!("sent  {:<8} {}: {files} files", asset.handle, asset.name));
        }
        (Event::Done { asset, error: Some(error), .. }, LogFormat::Text) => {
            progress.complain(format_args!("FAIL  {:<8} {}: {error}", asset.handle, asset.name));
        }
        (Event::Done { asset, files, error }, LogFormat::Json) => progress.line(format_args!(
            "{}",
            json!({ "event": if error.is_none() { "published" } else { "publishFailure" }, "assetHandle": asset.handle,
                    "assetName": asset.name, "files": files, "message": error })
        )),
    }
}

/// Prints how a publish job ended.
pub fn conclude(published: &Published, format: LogFormat) -> Verdict {
    for warning in &published.warnings {
        complain(format_args!("warning: {warning}"));
    }
    if let Some(error) = &published.error {
        complain(format_args!(
            "error: {error}; readers see what they saw before, `reprise run … --resume '{}'` tries again",
            published.job
        ));
    }
    let seconds = published.elapsed.as_secs_f64();
    match format {
        LogFormat::Text => complain(format_args!(
            "{} of {} assets published, {} files ({}) sent, {} there already, in {seconds:.1} s",
            published.assets - published.failed,
            published.assets,
            published.files_sent,
            bytes(published.bytes_sent),
            published.files_kept,
        )),
        LogFormat::Json => super::output::line(format_args!(
            "{}",
            json!({ "event": "endPublish", "jobHandle": published.job, "totalFileCount": published.assets,
                    "fileErrorCount": published.failed, "transferSuccessCount": published.files_sent,
                    "bytes": published.bytes_sent, "stopped": published.stopped, "message": published.error,
                    "seconds": seconds })
        )),
    }
    match published {
        Published { stopped: true, .. } => Verdict::Stopped,
        Published { error: None, failed: 0, .. } => Verdict::AllGood,
        _ => Verdict::SomeFailed,
    }
}
