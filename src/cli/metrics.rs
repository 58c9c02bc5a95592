//! Figures of a run for Prometheus, in its text format, on request.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reprise::engine::reprocess::{Event, Outcome};
use reprise::error::{Error, ErrorKind, Result, Stage};

use super::output::complain;

/// Upper bounds of the times that an asset takes, in seconds.
const BUCKETS: [f64; 10] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];
/// Longest head of a request, in bytes.
const MAX_REQUEST: u64 = 8 << 10;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Counts what happens; cheap to hand on.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<Figures>>);

#[derive(Debug, Default)]
struct Figures {
    jobs_begun: u64,
    jobs_done: u64,
    job_start: Option<Timestamp>,
    pending: u64,
    success: u64,
    kept: u64,
    left: u64,
    failure: u64,
    warnings: u64,
    pixels: u64,
    bytes_read: u64,
    bytes_written: u64,
    buckets: [u64; BUCKETS.len()],
    seconds_sum: f64,
    seconds_count: u64,
    published_assets: u64,
    publish_failures: u64,
}

impl Metrics {
    /// Answers `GET /metrics` at `address` as long as the program runs.
    ///
    /// # Errors
    /// `Io` when the address cannot be had.
    pub fn serve(address: SocketAddr) -> Result<Self> {
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Io, Stage::Job, format!("--metrics {address}: {e}; choose another address"))
                .caused_by(e)
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        complain(format_args!("metrics: http://{}/metrics", listener.local_addr().map_err(failed)?));
        let metrics = Metrics::default();
        let answering = metrics.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is its own loss.
                let _ = answering.answer(&stream);
            }
        });
        Ok(metrics)
    }

    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut reader = BufReader::new(stream.take(MAX_REQUEST));
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let target = request.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
        let (status, body) = match target {
            Some("/metrics") => ("200 OK", self.text()),
            Some(_) => ("404 Not Found", String::from("the figures are at /metrics\n")),
            None => ("405 Method Not Allowed", String::from("only GET is answered\n")),
        };
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn with<R>(&self, change: impl FnOnce(&mut Figures) -> R) -> R {
        // Numbers are whole whatever panicked.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note of what happens in a run.
    pub fn on(&self, event: &Event<'_>) {
        self.with(|figures| match event {
            Event::Begun { total, .. } => {
                figures.jobs_begun += 1;
                figures.job_start = Some(Timestamp::now());
                figures.pending = *total as u64;
            }
            Event::Done { planned, outcome } => {
                figures.pending = figures.pending.saturating_sub(1);
                let mut took = |seconds: f64| {
                    figures.seconds_sum += seconds;
                    figures.seconds_count += 1;
                    for (count, bound) in figures.buckets.iter_mut().zip(BUCKETS) {
                        *count += u64::from(seconds <= bound);
                    }
                };
                match outcome {
                    Outcome::Converted(converted) => {
                        took(converted.elapsed.as_secs_f64());
                        figures.success += 1;
                        figures.warnings += converted.warnings.len() as u64;
                        figures.pixels += converted.original.pixels();
                        figures.bytes_read += planned.asset.as_ref().map_or(0, |asset| asset.size_bytes);
                        figures.bytes_written += converted.written.bytes;
                    }
                    Outcome::Ripped(ripped) => {
                        took(ripped.elapsed.as_secs_f64());
                        figures.success += u64::from(ripped.error().is_none());
                        figures.failure += u64::from(ripped.error().is_some());
                        figures.warnings += ripped.warnings.len() as u64;
                        figures.pixels += ripped.pixels();
                        figures.bytes_read += planned.asset.as_ref().map_or(0, |asset| asset.size_bytes);
                        figures.bytes_written +=
                            ripped.done.iter().map(|page| page.converted.written.bytes).sum::<u64>();
                    }
                    Outcome::Layers(extracted) => {
                        took(extracted.elapsed.as_secs_f64());
                        figures.success += u64::from(extracted.error().is_none());
                        figures.failure += u64::from(extracted.error().is_some());
                        figures.warnings += extracted.warnings.len() as u64;
                        figures.pixels += extracted.pixels();
                        figures.bytes_read += planned.asset.as_ref().map_or(0, |asset| asset.size_bytes);
                        figures.bytes_written += extracted.images().map(|image| image.written.bytes).sum::<u64>();
                    }
                    Outcome::Encoded(encoded) => {
                        took(encoded.elapsed.as_secs_f64());
                        figures.success += u64::from(encoded.error().is_none());
                        figures.failure += u64::from(encoded.error().is_some());
                        figures.warnings += encoded.warnings.len() as u64;
                        figures.bytes_read += planned.asset.as_ref().map_or(0, |asset| asset.size_bytes);
                        figures.bytes_written += encoded.done.iter().map(|done| done.result.file.bytes).sum::<u64>();
                    }
                    Outcome::Kept(_) => figures.kept += 1,
                    Outcome::Left(_) => figures.left += 1,
                    Outcome::Failed(_) => figures.failure += 1,
                }
            }
            Event::Publish(reprise::engine::publish::Event::Done { error, .. }) => {
                figures.published_assets += u64::from(error.is_none());
                figures.publish_failures += u64::from(error.is_some());
            }
            Event::Publish(reprise::engine::publish::Event::Begun { .. }) => {}
        });
    }

    /// Takes note that the job that began last has ended.
    pub fn job_ended(&self) {
        self.with(|figures| {
            figures.jobs_done = figures.jobs_begun;
            figures.pending = 0;
        });
    }

    fn text(&self) -> String {
        self.with(|f| {
            let mut out = format!(
                "# HELP reprise_build_info The program.\n# TYPE reprise_build_info gauge\n\
                 reprise_build_info{{version=\"{}\"}} 1\n",
                env!("CARGO_PKG_VERSION")
            );
            let mut family = |name: &str, kind: &str, help: &str, values: &[(&str, f64)]| {
                let _ = writeln!(out, "# HELP reprise_{name} {help}\n# TYPE reprise_{name} {kind}");
                for (labels, value) in values {
                    let _ = writeln!(out, "reprise_{name}{labels} {value}");
                }
            };
            family("jobs_total", "counter", "Jobs that ended.", &[("", f.jobs_done as f64)]);
            family("job_running", "gauge", "Whether a job is running.", &[("", (f.jobs_begun - f.jobs_done) as f64)]);
            if let Some(start) = f.job_start {
                let seconds = start.as_millisecond() as f64 / 1e3;
                family(
                    "job_start_time_seconds",
                    "gauge",
                    "When the last job began, in seconds since 1970.",
                    &[("", seconds)],
                );
            }
            family(
                "assets_pending",
                "gauge",
                "Assets of the running job that are not done.",
                &[("", f.pending as f64)],
            );
            family(
                "assets_total",
                "counter",
                "Assets that are through, by outcome.",
                &[
                    ("{outcome=\"success\"}", f.success as f64),
                    ("{outcome=\"kept\"}", f.kept as f64),
                    ("{outcome=\"left\"}", f.left as f64),
                    ("{outcome=\"failure\"}", f.failure as f64),
                ],
            );
            family("warnings_total", "counter", "Warnings about assets.", &[("", f.warnings as f64)]);
            family("pixels_total", "counter", "Pixels of originals that were reprocessed.", &[("", f.pixels as f64)]);
            family(
                "read_bytes_total",
                "counter",
                "Bytes of originals that were reprocessed.",
                &[("", f.bytes_read as f64)],
            );
            family("written_bytes_total", "counter", "Bytes of pyramids written.", &[("", f.bytes_written as f64)]);
            family(
                "published_assets_total",
                "counter",
                "Assets of publish jobs, by outcome.",
                &[
                    ("{outcome=\"success\"}", f.published_assets as f64),
                    ("{outcome=\"failure\"}", f.publish_failures as f64),
                ],
            );
            let name = "asset_seconds";
            let _ = writeln!(out, "# HELP reprise_{name} Time that an asset took.\n# TYPE reprise_{name} histogram");
            for (bound, count) in BUCKETS.iter().zip(f.buckets) {
                let _ = writeln!(out, "reprise_{name}_bucket{{le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(out, "reprise_{name}_bucket{{le=\"+Inf\"}} {}", f.seconds_count);
            let _ = writeln!(out, "reprise_{name}_sum {}\nreprise_{name}_count {}", f.seconds_sum, f.seconds_count);
            out
        })
    }
}
