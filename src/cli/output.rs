//! Lines on standard output, complaints on standard error, and a progress bar between them.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A line of the result. A reader that went away does not stop the work.
pub fn line(text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Standard output for what is no text, with room for a good part of a page image.
pub fn pipe() -> impl Write {
    std::io::BufWriter::with_capacity(256 << 10, std::io::stdout().lock())
}

/// A line for the person at the terminal.
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// `1234567` → `1.2 MB`.
pub fn bytes(n: u64) -> String {
    bytesize::ByteSize(n).display().si().to_string()
}

/// A bar with rate and time left on a terminal; nothing elsewhere, where the lines themselves tell the progress.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub fn new(total: u64, unit: &str) -> Self {
        Self::with(total, unit, String::new)
    }

    /// A bar that also shows what `activity` says.
    pub fn with(total: u64, unit: &str, activity: impl Fn() -> String + Send + Sync + 'static) -> Self {
        if !std::io::stderr().is_terminal() {
            return Progress { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new(total);
        let template = format!("{{bar:32}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left  {{activity}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            let activity = std::sync::Arc::new(activity);
            let style = style.with_key("activity", move |_: &ProgressState, out: &mut dyn fmt::Write| {
                let _ = out.write_str(&activity());
            });
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress { bar }
    }

    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// A line of the result, above the bar.
    pub fn line(&self, text: fmt::Arguments<'_>) {
        self.bar.suspend(|| line(text));
    }

    /// A complaint, above the bar.
    pub fn complain(&self, text: fmt::Arguments<'_>) {
        self.bar.suspend(|| complain(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
