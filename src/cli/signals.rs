//! Signals: one stops after the assets in flight, a second one at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use reprise::error::{Error, ErrorKind, Result, Stage};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit code of a command that a signal stopped.
pub const EXIT_CODE: u8 = 130;

/// A flag that the first SIGINT or SIGTERM sets; the second one ends the process.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let failed = |e: std::io::Error| {
        Error::new(ErrorKind::Internal, Stage::Operate, format!("signals cannot be caught: {e}")).caused_by(e)
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the flag is still clear when the first signal asks whether to end.
        flag::register_conditional_shutdown(signal, EXIT_CODE.into(), Arc::clone(&stop)).map_err(failed)?;
        flag::register(signal, Arc::clone(&stop)).map_err(failed)?;
    }
    // Where file sizes are limited (`ulimit -f`), a write over the limit is an error of that file, not the end.
    #[cfg(unix)]
    flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false))).map_err(failed)?;
    Ok(stop)
}
