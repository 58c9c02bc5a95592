//! Jobs that wait for their time, one at a time.
//!
//! Only the clock on the wall counts, and it is asked again and again, so that a machine that slept or a clock that
//! was set is noticed. Times that passed meanwhile are made up for by one run, however many they were. A clock that
//! is set back by less than an hour makes nothing run twice; beyond that, recurring jobs are planned anew from then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{resume, retry};
use crate::catalog::{Firing, Library, Schedule};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::job::{self, Job, Start};

/// How often schedules and clock are looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// A clock that is set back by more than this is taken for one that was wrong.
const SET_BACK: SignedDuration = SignedDuration::from_hours(1);

/// The time on the wall, and a way to wait.
pub trait Clock {
    fn now(&self) -> Timestamp;
    /// Waits; less, when it was asked to stop.
    fn wait(&self, pause: Duration, stop: &AtomicBool);
}

/// The machine's own.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wait(&self, pause: Duration, stop: &AtomicBool) {
        retry::wait(pause, stop);
    }
}

/// Keeps `job` until its time; `None` when it has none, or one that has passed, and runs now.
///
/// # Errors
/// `Misuse` for an expression that holds at no time to come.
pub fn submit(
    library: &mut Library,
    job: &Job,
    command: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Option<Schedule>> {
    let (expression, due) = match &job.start {
        Start::At(time) if *time > now => (None, *time),
        Start::Now | Start::At(_) => return Ok(None),
        Start::Cron(expression) => {
            let why =
                || Error::misuse(Stage::Job, format!("execSchedule is {expression:?}, which names no time to come"));
            (Some(expression.clone()), job::next_run(expression, now, zone).ok_or_else(why)?)
        }
    };
    let request = resume::request(job, command);
    let schedule = Schedule { name: job.name.clone(), expression, due, planned: now, request };
    library.put_schedule(&schedule)?;
    Ok(Some(schedule))
}

/// A job whose time has come.
#[derive(Debug)]
pub struct DueJob {
    pub job: Job,
    /// As given to [`submit`].
    pub command: String,
    /// For [`RunOptions::firing`](super::reprocess::RunOptions).
    pub firing: Firing,
}

/// Told to whoever watches.
#[derive(Debug)]
pub enum Event<'a> {
    /// The next job, and when it is due.
    Waiting(&'a Schedule),
    /// Nothing is scheduled.
    Idle,
    /// A job could not be run at its time; the reason. A recurring one waits for its next time.
    Skipped(&'a str, &'a Error),
}

/// Runs jobs at their times until `stop` says so. `work` runs one and returns when it is done; it has to begin the job
/// with the firing, which moves the schedule on in the same transaction.
///
/// # Errors
/// `Catalog` of the schedules themselves.
pub fn run(
    library: &mut Library,
    clock: &dyn Clock,
    zone: &TimeZone,
    stop: &AtomicBool,
    work: &mut dyn FnMut(&mut Library, DueJob) -> Result<()>,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<()> {
    let mut told: Option<Option<Schedule>> = None;
    while !stop.load(Ordering::Relaxed) {
        let now = clock.now();
        for schedule in library.schedules()?.iter().filter(|schedule| now < schedule.planned - SET_BACK) {
            replan(library, schedule, now, zone)?;
        }
        let first = library.schedules()?.into_iter().next();
        match &first {
            Some(schedule) if schedule.due <= now => {
                told = None;
                let firing = Firing { name: schedule.name.clone(), due: schedule.due, next: next(schedule, now, zone) };
                match due_job(schedule, &firing).and_then(|due| work(library, due)) {
                    Ok(()) => continue,
                    // Another run has the library: this one's turn comes.
                    Err(error) if error.kind == ErrorKind::Catalog && library.is_run_under_way()? => {}
                    Err(error) => {
                        on_event(Event::Skipped(&schedule.name, &error));
                        // Begun jobs have moved it on already.
                        if library.schedules()?.iter().any(|s| s.name == schedule.name && s.due == schedule.due) {
                            library.skip_firing(&firing)?;
                        }
                        continue;
                    }
                }
            }
            _ if told.as_ref() != Some(&first) => {
                on_event(first.as_ref().map_or(Event::Idle, Event::Waiting));
                told = Some(first);
            }
            _ => {}
        }
        clock.wait(INTERVAL, stop);
    }
    Ok(())
}

fn next(schedule: &Schedule, now: Timestamp, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let expression = schedule.expression.as_deref()?;
    Some((job::next_run(expression, now, zone)?, now))
}

/// Works out the time of a recurring job anew, by a clock that was set back.
fn replan(library: &mut Library, schedule: &Schedule, now: Timestamp, zone: &TimeZone) -> Result<()> {
    let due = next(schedule, now, zone).map_or(schedule.due, |(due, _)| due);
    library.put_schedule(&Schedule { due, planned: now, ..schedule.clone() })
}

fn due_job(schedule: &Schedule, firing: &Firing) -> Result<DueJob> {
    let mut job = job::parse(schedule.request.document.as_bytes()).map_err(|problems| {
        Error::new(ErrorKind::Internal, Stage::Job, format!("the document on record cannot be read: {problems}"))
    })?;
    job.start = Start::Now;
    Ok(DueJob { job, command: schedule.request.options.clone(), firing: firing.clone() })
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A clock that a test sets: each wait moves it on, and at some times it jumps.
    struct FakeClock<'a> {
        now: Cell<Timestamp>,
        /// At the first wait behind this time, it jumps to that one.
        jumps: RefCell<Vec<(Timestamp, Timestamp)>>,
        end: Timestamp,
        stop: &'a AtomicBool,
    }

    impl Clock for FakeClock<'_> {
        fn now(&self) -> Timestamp {
            self.now.get()
        }

        fn wait(&self, _: Duration, stop: &AtomicBool) {
            let mut now = self.now.get() + SignedDuration::from_mins(1);
            let jump = self.jumps.borrow().first().copied();
            if let Some((_, to)) = jump.filter(|(at, _)| now >= *at) {
                self.jumps.borrow_mut().remove(0);
                now = to;
            }
            self.now.set(now);
            stop.store(now > self.end && self.jumps.borrow().is_empty(), Ordering::Relaxed);
            assert!(std::ptr::eq(self.stop, stop));
        }
    }

    fn time(text: &str) -> Timestamp {
        format!("2026-06-{text}:00Z").parse().unwrap()
    }

    /// When a job with this start runs, as day, hour and minute, while the clock runs from `from` to `to`.
    fn fired(start: &str, from: &str, to: &str, jumps: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let mut library = Library::create(dir.path().join("lib")).unwrap();
        let document = format!(
            r#"{{"companyHandle":"c|1","jobName":"nightly",{start},"reprocessAssetsJob":
            {{"assetHandleArray":["a|1"],"createMask":false,"emailSetting":"None"}}}}"#
        );
        let job = job::parse(document.as_bytes()).unwrap();
        submit(&mut library, &job, "options", time(from), &TimeZone::UTC).unwrap().unwrap();
        let stop = AtomicBool::new(false);
        let jumps = jumps.iter().map(|(at, to)| (time(at), time(to))).collect();
        let clock = FakeClock { now: Cell::new(time(from)), jumps: RefCell::new(jumps), end: time(to), stop: &stop };
        let mut fired = Vec::new();
        let mut work = |library: &mut Library, due: DueJob| {
            assert_eq!((due.command.as_str(), &due.job.start), ("options", &Start::Now));
            fired.push(clock.now().strftime("%d %H:%M").to_string());
            library.skip_firing(&due.firing)
        };
        run(&mut library, &clock, &TimeZone::UTC, &stop, &mut work, &mut |_| {}).unwrap();
        fired
    }

    const NIGHTLY: &str = r#""execSchedule":"0 0 3 * * ?""#;

    #[test]
    fn recurring_jobs_run_at_their_times_and_others_once() {
        assert_eq!(fired(NIGHTLY, "01T12:00", "04T12:00", &[]), ["02 03:00", "03 03:00", "04 03:00"]);
        assert_eq!(fired(r#""execTime":"2026-06-02T04:05:00Z""#, "01T12:00", "04T12:00", &[]), ["02 04:05"]);
    }

    #[test]
    fn times_that_were_slept_through_are_made_up_for_by_one_run() {
        // The machine sleeps through three nights.
        let slept = fired(NIGHTLY, "01T12:00", "06T12:00", &[("01T20:00", "04T20:00")]);
        assert_eq!(slept, ["04 20:00", "05 03:00", "06 03:00"]);
    }

    #[test]
    fn a_clock_that_is_set_back_runs_nothing_twice_unless_it_was_wrong_by_far() {
        let by_minutes = fired(NIGHTLY, "01T12:00", "03T12:00", &[("02T03:10", "02T02:50")]);
        assert_eq!(by_minutes, ["02 03:00", "03 03:00"]);
        // The clock was days ahead: it does not wait until those days have passed.
        let by_days = fired(NIGHTLY, "01T12:00", "04T12:00", &[("20T04:00", "02T12:00")]);
        assert_eq!(by_days.last().unwrap(), "04 03:00");
        assert_eq!(by_days.len(), 19 + 2, "{by_days:?}");
    }

    #[test]
    fn a_job_that_cannot_run_waits_for_its_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut library = Library::create(dir.path().join("lib")).unwrap();
        let request = crate::catalog::JobRequest { document: "<nonsense/>".into(), options: String::new() };
        let schedule = Schedule {
            name: "nightly".into(),
            expression: Some("0 0 3 * * ?".into()),
            due: time("02T03:00"),
            planned: time("01T12:00"),
            request,
        };
        library.put_schedule(&schedule).unwrap();
        let stop = AtomicBool::new(false);
        let clock = FakeClock {
            now: Cell::new(time("01T12:00")),
            jumps: RefCell::default(),
            end: time("03T12:00"),
            stop: &stop,
        };
        let mut skipped = 0;
        run(&mut library, &clock, &TimeZone::UTC, &stop, &mut |_, _| Ok(()), &mut |event| {
            skipped += usize::from(matches!(event, Event::Skipped("nightly", _)));
        })
        .unwrap();
        assert_eq!(skipped, 2);
        assert_eq!(library.schedules().unwrap()[0].due, time("04T03:00"));
    }
}
