//! Trying again what may pass by itself: a busy file, a network share that is gone for a moment. Never what would
//! fail in the same way again: damaged input, a full disk, a missing permission.

use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

/// Pauses before the second, third and fourth attempt at an asset.
pub const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

/// Numbers of Linux and macOS for which [`io::ErrorKind`] has no stable name: input/output error (a share or a cable
/// that dropped out), too many open files in the system, too many in this process.
const PASSING_OS_ERRORS: [i32; 3] = [5, 23, 24];

/// Runs `work`, and again after each of `pauses` while it fails in a way that may pass and nobody asks to stop.
/// Also returns the errors that were overcome or that came before the last one.
pub fn with_retries<R>(
    pauses: &[Duration],
    stop: &AtomicBool,
    mut work: impl FnMut() -> Result<R>,
) -> (Result<R>, Vec<Error>) {
    let mut overcome = Vec::new();
    for pause in pauses {
        match work() {
            Err(error) if may_pass(&error) && wait(*pause, stop) => overcome.push(error),
            done => return (done, overcome),
        }
    }
    (work(), overcome)
}

/// Whether the same work may succeed a moment later.
fn may_pass(error: &Error) -> bool {
    use io::ErrorKind as Io;
    if error.kind != ErrorKind::Io {
        return false;
    }
    let Some(cause) = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()) else { return false };
    matches!(
        cause.kind(),
        Io::Interrupted
            | Io::WouldBlock
            | Io::TimedOut
            | Io::ResourceBusy
            | Io::StaleNetworkFileHandle
            | Io::NetworkDown
            | Io::NetworkUnreachable
            | Io::HostUnreachable
            | Io::NotConnected
            | Io::ConnectionReset
            | Io::ConnectionAborted
    ) || cause.raw_os_error().is_some_and(|number| PASSING_OS_ERRORS.contains(&number))
}

/// Whether the work ran out of time.
pub fn timed_out(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    error.kind == ErrorKind::Limit && cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

/// Waits; false when it was asked to stop.
pub fn wait(pause: Duration, stop: &AtomicBool) -> bool {
    let end = Instant::now() + pause;
    while !stop.load(Ordering::Relaxed) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Stage;

    const SHORT: [Duration; 3] = [Duration::from_millis(1); 3];

    /// How often work that fails `failures` times is tried, and whether it succeeds.
    fn attempts(failures: usize, error: &Error) -> (usize, bool) {
        let mut calls = 0;
        let (done, overcome) = with_retries(&SHORT, &AtomicBool::new(false), || {
            calls += 1;
            if calls <= failures { Err(error.clone()) } else { Ok(()) }
        });
        assert_eq!(overcome.len(), calls - 1);
        (calls, done.is_ok())
    }

    fn io(error: io::Error) -> Error {
        Error::io(Stage::Open, "file", error)
    }

    #[test]
    fn what_may_pass_is_tried_four_times() {
        for error in [
            io(io::ErrorKind::TimedOut.into()),
            io(io::Error::from_raw_os_error(5)),
            io(io::Error::from_raw_os_error(24)),
        ] {
            assert_eq!(attempts(0, &error), (1, true));
            assert_eq!(attempts(2, &error), (3, true), "{error}");
            assert_eq!(attempts(9, &error), (4, false), "{error}");
        }
    }

    #[test]
    fn what_cannot_pass_is_tried_once() {
        for error in [
            Error::malformed(Stage::Decode, "damaged"),
            io(io::ErrorKind::NotFound.into()),
            io(io::ErrorKind::PermissionDenied.into()),
            io(io::ErrorKind::StorageFull.into()),
        ] {
            assert_eq!(attempts(9, &error), (1, false), "{error}");
        }
    }

    #[test]
    fn a_stop_ends_the_waiting() {
        let start = Instant::now();
        let (done, _) = with_retries(&[Duration::from_secs(60)], &AtomicBool::new(true), || {
            Err::<(), _>(io(io::ErrorKind::TimedOut.into()))
        });
        assert!(done.is_err() && start.elapsed() < Duration::from_secs(30));
    }
}
