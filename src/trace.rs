//! What every thread did when, as a file for trace viewers (Chrome trace event format, JSON array form), and how long
//! each kind of work took as a whole.
//!
//! One trace per process. Both are off until [`start`] and [`add_up`]; a span costs one load of an atomic then.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result, Stage};

/// Spans go into the file.
const RECORDING: u8 = 1;
/// Spans are added up.
const ADDING_UP: u8 = 2;

static ON: AtomicU8 = AtomicU8::new(0);
static TOTALS: Mutex<BTreeMap<&'static str, Duration>> = Mutex::new(BTreeMap::new());
static TRACE: OnceLock<Mutex<Trace>> = OnceLock::new();

struct Trace {
    out: BufWriter<File>,
    start: Instant,
    /// The first write that failed; reported by [`finish`].
    failed: Option<std::io::Error>,
    empty: bool,
}

thread_local! {
    /// 0 until the thread has written its first event.
    static THREAD: Cell<u32> = const { Cell::new(0) };
}

/// Begins to record into `path`.
///
/// # Errors
/// `Io` when the file cannot be made; `Misuse` for a second trace in one process.
pub fn start(path: &Path) -> Result<()> {
    let file = File::create(path).map_err(|e| Error::io(Stage::Open, path, e))?;
    let trace = Trace { out: BufWriter::new(file), start: Instant::now(), failed: None, empty: true };
    TRACE.set(Mutex::new(trace)).map_err(|_| Error::misuse(Stage::Open, "a trace is being recorded already"))?;
    ON.fetch_or(RECORDING, Ordering::Release);
    Ok(())
}

/// Ends the recording, if there is one, and closes the file.
///
/// # Errors
/// `Io` when something could not be written.
pub fn finish() -> Result<()> {
    let Some(mut trace) = trace() else { return Ok(()) };
    ON.fetch_and(!RECORDING, Ordering::Release);
    let ended = if trace.empty { trace.out.write_all(b"[]\n") } else { trace.out.write_all(b"\n]\n") };
    match trace.failed.take().map_or(ended, Err).and_then(|()| trace.out.flush()) {
        Ok(()) => Ok(()),
        Err(e) => Err(Error::new(ErrorKind::Io, Stage::Encode, "the trace could not be written whole").caused_by(e)),
    }
}

/// Adds up the time of each kind of work, from nothing.
pub fn add_up() {
    TOTALS.lock().unwrap_or_else(PoisonError::into_inner).clear();
    ON.fetch_or(ADDING_UP, Ordering::Release);
}

/// Time of each kind of work since [`add_up`], all threads together, the longest first. Waiting is no work.
pub fn totals() -> Vec<(&'static str, Duration)> {
    let totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut totals: Vec<_> = totals.iter().map(|(name, time)| (*name, *time)).collect();
    totals.retain(|(name, _)| !name.starts_with("wait"));
    totals.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    totals
}

/// Records from now until it is dropped, on the row of the current thread.
#[must_use = "a span ends when it is dropped"]
pub struct Span {
    name: &'static str,
    bytes: u64,
    start: Option<Instant>,
}

/// A span of work called `name`.
pub fn span(name: &'static str) -> Span {
    Span { name, bytes: 0, start: (ON.load(Ordering::Acquire) != 0).then(Instant::now) }
}

impl Span {
    /// The same, with the bytes that are moved.
    pub fn bytes(mut self, bytes: u64) -> Span {
        self.bytes = bytes;
        self
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(start) = self.start else { return };
        let end = Instant::now();
        if ON.load(Ordering::Acquire) & ADDING_UP != 0 {
            *TOTALS.lock().unwrap_or_else(PoisonError::into_inner).entry(self.name).or_default() += end - start;
        }
        let Some(mut trace) = trace() else { return };
        let thread = trace.thread();
        let at = start.saturating_duration_since(trace.start).as_nanos() as f64 / 1e3;
        let duration = end.duration_since(start).as_nanos() as f64 / 1e3;
        let name = self.name;
        let bytes = if self.bytes > 0 { format!(r#","args":{{"bytes":{}}}"#, self.bytes) } else { String::new() };
        trace.event(format_args!(
            r#"{{"name":"{name}","ph":"X","ts":{at:.3},"dur":{duration:.3},"pid":1,"tid":{thread}{bytes}}}"#
        ));
    }
}

fn trace() -> Option<MutexGuard<'static, Trace>> {
    (ON.load(Ordering::Acquire) & RECORDING != 0)
        .then(|| TRACE.get())?
        .map(|trace| trace.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Trace {
    /// Number of the current thread; the first time, its name goes into the file.
    fn thread(&mut self) -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let known = THREAD.get();
        if known > 0 {
            return known;
        }
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        THREAD.set(id);
        let name = std::thread::current().name().map_or_else(|| format!("thread {id}"), str::to_string);
        let name = serde_json::to_string(&name).expect("a string is JSON");
        self.event(format_args!(r#"{{"name":"thread_name","ph":"M","pid":1,"tid":{id},"args":{{"name":{name}}}}}"#));
        id
    }

    fn event(&mut self, event: std::fmt::Arguments<'_>) {
        let before = if std::mem::take(&mut self.empty) { "[\n" } else { ",\n" };
        if let Err(error) = write!(self.out, "{before}{event}") {
            self.failed.get_or_insert(error);
        }
    }
}
