//! `reprise scheduler` and `schedules`.

use std::path::Path;
use std::sync::atomic::Ordering;

use jiff::tz::TimeZone;
use reprise::catalog::{Library, LogPage};
use reprise::engine::publish;
use reprise::engine::resume::{self, Stored};
use reprise::engine::schedule::{self, DueJob, Event, SystemClock};
use reprise::error::Result;

use super::Verdict;
use super::args::{DocumentArgs, SchedulerArgs};
use super::convert::context;
use super::library::{json, table};
use super::metrics::Metrics;
use super::output::{complain, line};
use super::run::{Manner, ReportPlace, carry_out, kept_args};
use super::signals;

pub fn scheduler(args: &SchedulerArgs) -> Result<Verdict> {
    let mut library = Library::open(&args.library)?;
    let stop = signals::stop_flag()?;
    let manner = Manner {
        context: &context(&args.machine)?,
        fail_fast: args.failures.fail_fast,
        format: args.log_format,
        report: if args.no_report { ReportPlace::None } else { ReportPlace::Library },
        metrics: args.metrics.map(Metrics::serve).transpose()?,
        stop: &stop,
    };
    finish_what_was_begun(&mut library, &args.documents, &manner)?;
    let mut cut_short = false;
    let mut work = |library: &mut Library, due: DueJob| {
        let kept = kept_args(&due.command, &args.documents)?;
        cut_short = carry_out(library, &due.job, &kept, None, Some(due.firing), &manner)? == Verdict::Stopped;
        Ok(())
    };
    schedule::run(&mut library, &SystemClock, &TimeZone::system(), &stop, &mut work, &mut |event| match event {
        Event::Waiting(schedule) => complain(format_args!("next: {} at {}", schedule.name, schedule.due)),
        Event::Idle => {
            complain(format_args!("nothing is scheduled; `reprise run` of a job with an execTime does that"))
        }
        Event::Skipped(name, error) => complain(format_args!("error: {name} could not be run: {error}")),
    })?;
    // A signal is the way in which this command ends; only a job that it cut short is worth an exit code.
    Ok(if cut_short { Verdict::Stopped } else { Verdict::AllGood })
}

/// Goes on with the job that the last process here did not get to finish, as `run --resume` does.
fn finish_what_was_begun(library: &mut Library, bounds: &DocumentArgs, manner: &Manner<'_>) -> Result<()> {
    let Some(handle) = library.latest_unfinished_job()? else { return Ok(()) };
    complain(format_args!("{handle} was cut short and goes on"));
    let going_on = if publish::is_publish(library.job_log_page(&handle, LogPage { offset: 0, limit: 0 })?.log_type) {
        super::publish::go_on(library, &handle, manner.format, manner.stop)
    } else {
        resume::stored(library, &handle).and_then(|Stored { job, command }| {
            carry_out(library, &job, &kept_args(&command, bounds)?, Some(handle.clone()), None, manner)
        })
    };
    match going_on {
        Err(error) if !manner.stop.load(Ordering::Relaxed) => {
            complain(format_args!("error: {handle} could not go on: {error}"));
            Ok(())
        }
        other => other.map(drop),
    }
}

pub fn list(dir: &Path, as_json: bool) -> Result<Verdict> {
    let schedules = Library::open(dir)?.schedules()?;
    if as_json {
        for schedule in &schedules {
            line(format_args!("{}", json(schedule)?));
        }
        return Ok(Verdict::AllGood);
    }
    let mut table = table(["job", "next", "execSchedule"]);
    for schedule in schedules {
        let expression = schedule.expression.unwrap_or_else(|| String::from("–"));
        table.add_row([schedule.name, format!("{:.0}", schedule.due), expression]);
    }
    line(format_args!("{table}"));
    Ok(Verdict::AllGood)
}

pub fn remove(dir: &Path, name: &str) -> Result<Verdict> {
    Library::open(dir)?.remove_schedule(name)?;
    Ok(Verdict::AllGood)
}
