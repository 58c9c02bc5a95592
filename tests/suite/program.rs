//! The program run as a user runs it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a finished command left.
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn of(output: &Output) -> Self {
        Finished {
            code: output.status.code().expect("ended by itself"),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// Standard output of a command that had to end well.
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// The program with its arguments, to be run in `folder`.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs the program in `folder`.
pub fn reprise(folder: &Path, arguments: &[&str]) -> Finished {
    Finished::of(&command(folder, arguments).output().unwrap())
}

/// Runs the program in `folder`; also returns the most memory that it held, in bytes.
pub fn reprise_with_peak(folder: &Path, arguments: &[&str]) -> (Finished, u64) {
    let child = command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    // The kernel keeps the high-water mark while the process lives, so looking often enough is exact enough.
    let watcher = std::thread::spawn(move || {
        let mut peak_kib = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:")) else { break };
            peak_kib = line.split_whitespace().next().unwrap().parse().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        peak_kib * 1024
    });
    let output = child.wait_with_output().unwrap();
    (Finished::of(&output), watcher.join().unwrap())
}
