//! A child process that is ended when it takes too long, and always when it is no longer needed.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// As much of a complaint as is of use to anybody.
const COMPLAINT_BYTES: u64 = 8 << 10;

/// How often the time is looked at. Waking the watchdog at every read would cost more than it is worth.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Standard input and output are pipes; the beginning of standard error is kept.
#[derive(Debug)]
pub(crate) struct GuardedChild {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    watch: Arc<Watch>,
    watchdog: Option<JoinHandle<()>>,
    complaint: Option<JoinHandle<String>>,
    time_left: Duration,
}

#[derive(Debug)]
struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    child: Child,
    deadline: Option<Instant>,
    timed_out: bool,
    ended: bool,
}

/// Where a child may write, and how much: a child that is killed leaves its files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scratch<'a> {
    pub(crate) folder: &'a Path,
    /// Of each of its files, wherever it is.
    pub(crate) max_file_bytes: u64,
}

/// How a child came to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    TimedOut,
    Exited(ExitStatus),
}

impl GuardedChild {
    /// Starts `program` with at most `max_bytes` of address space, and with its temporary files in `scratch` if given.
    pub(crate) fn spawn<'a>(
        program: &OsStr,
        arguments: impl IntoIterator<Item = &'a OsStr>,
        max_bytes: u64,
        scratch: Option<Scratch<'_>>,
    ) -> io::Result<Self> {
        let mut command = limited(program, max_bytes, scratch.map(|scratch| scratch.max_file_bytes));
        if let Some(scratch) = scratch {
            command.env("TMPDIR", scratch.folder);
        }
        let mut child =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let stderr = child.stderr.take();
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe from the child process"))?;
        let state = State { child, deadline: None, timed_out: false, ended: false };
        let watch = Arc::new(Watch { state: Mutex::new(state), changed: Condvar::new() });
        let watchdog = std::thread::Builder::new().name("child-watchdog".into()).spawn({
            let watch = watch.clone();
            move || watch.run()
        });
        let mut child =
            GuardedChild { stdin, stdout, watch, watchdog: None, complaint: None, time_left: Duration::ZERO };
        if let Some(stderr) = stderr {
            let listen = move || {
                let mut beginning = Vec::new();
                let mut stderr = stderr;
                let _ = (&mut stderr).take(COMPLAINT_BYTES).read_to_end(&mut beginning);
                // The rest goes nowhere, but it must go, or the child would wait for ever.
                let _ = io::copy(&mut stderr, &mut io::sink());
                String::from_utf8_lossy(&beginning).into_owned()
            };
            child.complaint = Some(std::thread::Builder::new().name("child-stderr".into()).spawn(listen)?);
        }
        child.watchdog = Some(watchdog?);
        Ok(child)
    }

    /// What the child may take from now on, counted only while it is waited for.
    pub(crate) fn allow(&mut self, time: Duration) {
        self.time_left = time;
    }

    /// How the child ended, after a read or write has failed. A child that still runs is ended.
    pub(crate) fn end(&mut self) -> io::Result<End> {
        let mut state = self.watch.lock();
        if state.timed_out {
            return Ok(End::TimedOut);
        }
        // Its pipe is closed, so it is about to end by itself; it gets a moment so that its own status is reported.
        for _ in 0..500 {
            if let Some(status) = state.child.try_wait()? {
                return Ok(End::Exited(status));
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(10));
            state = self.watch.lock();
        }
        state.child.kill()?;
        Ok(End::Exited(state.child.wait()?))
    }

    /// The beginning of what the child wrote to standard error; to be asked once, after its end.
    pub(crate) fn complaint(&mut self) -> String {
        self.complaint.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }

    fn timed<T>(&mut self, work: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        let start = Instant::now();
        self.watch.set_deadline(Some(start + self.time_left));
        let result = work(self);
        self.watch.set_deadline(None);
        self.time_left = self.time_left.saturating_sub(start.elapsed());
        result
    }
}

impl Read for GuardedChild {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.timed(|child| child.stdout.read(buffer))
    }
}

impl Write for GuardedChild {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.timed(|child| match &mut child.stdin {
            Some(stdin) => stdin.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for GuardedChild {
    fn drop(&mut self) {
        self.stdin = None;
        {
            let mut state = self.watch.lock();
            state.ended = true;
            // It may have ended already; either way nothing is left of it afterwards.
            let _ = state.child.kill();
            let _ = state.child.wait();
        }
        self.watch.changed.notify_all();
        if let Some(watchdog) = self.watchdog.take() {
            let _ = watchdog.join();
        }
    }
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }

    fn set_deadline(&self, deadline: Option<Instant>) {
        self.lock().deadline = deadline;
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.ended {
            if state.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                state.timed_out = true;
                let _ = state.child.kill();
                return;
            }
            (state, _) = self.changed.wait_timeout(state, WATCH_INTERVAL).expect("no panic while the lock is held");
        }
    }
}

/// The program behind a shell that sets the limits and then becomes the program. Every Unix has that shell, and there
/// is no other way without unsafe code.
#[cfg(unix)]
fn limited(program: &OsStr, max_bytes: u64, max_file_bytes: Option<u64>) -> Command {
    let mut command = Command::new("/bin/sh");
    // Where files are bounded already, that bound stays.
    command
        .arg("-c")
        .arg(r#"ulimit -c 0; [ -z "$2" ] || [ "$(ulimit -f)" != unlimited ] || ulimit -f "$2"; ulimit -v "$1" && shift 2 && exec "$@""#)
        .arg("reprise")
        .arg((max_bytes / 1024).to_string())
        .arg(max_file_bytes.map_or(String::new(), |bytes| (bytes / 512).to_string()))
        .arg(program);
    command
}

/// Elsewhere the checks of page sizes and the time limit must do.
#[cfg(not(unix))]
fn limited(program: &OsStr, _max_bytes: u64, _max_file_bytes: Option<u64>) -> Command {
    Command::new(program)
}
