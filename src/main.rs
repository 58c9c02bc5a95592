//! The `reprise` command.

mod cli;

fn main() -> std::process::ExitCode {
    start_anew_quietly();
    cli::main()
}

/// Replaces this process by itself with the variable that keeps graphics drivers quiet, if it is not set yet.
/// Goes on as it is where that fails: the drivers' complaints are harmless.
fn start_anew_quietly() {
    #[cfg(unix)]
    if let Some((name, value)) = reprise::gpu::quiet_environment()
        && let Ok(program) = std::env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        let mut arguments = std::env::args_os();
        let mut again = std::process::Command::new(program);
        if let Some(called) = arguments.next() {
            again.arg0(called);
        }
        let _failed = again.args(arguments).env(name, value).exec();
    }
}
