//! What `--trace` records.

use std::path::Path;

use reprise::geometry::Size;
use reprise::pixel::{Color, Depth, PixelFormat};
use serde::Deserialize;

use crate::originals::{jpeg, save};
use crate::parity;
use crate::program::reprise;
use crate::support::scene;

const RGB: PixelFormat = PixelFormat::new(Color::Rgb, false, Depth::U8);

/// One event of the Chrome trace event format.
#[derive(Debug, Deserialize)]
struct Event {
    name: String,
    ph: char,
    tid: u32,
    #[serde(default)]
    ts: f64,
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    args: serde_json::Value,
}

impl Event {
    fn bytes(&self) -> u64 {
        self.args["bytes"].as_u64().unwrap_or(0)
    }
}

/// Spans by their start, and the names of threads by number.
fn record(folder: &Path, options: &[&str]) -> (Vec<Event>, std::collections::BTreeMap<u32, String>) {
    reprise(folder, &[&["convert", "a.jpg", "a.tif", "--overwrite", "--trace", "trace.json"][..], options].concat())
        .good();
    let text = std::fs::read_to_string(folder.join("trace.json")).unwrap();
    let events: Vec<Event> = serde_json::from_str(&text).expect("the trace is JSON");
    let (mut spans, names): (Vec<Event>, Vec<Event>) = events.into_iter().partition(|event| event.ph == 'X');
    let names = names.iter().map(|event| (event.tid, event.args["name"].as_str().unwrap().to_string())).collect();
    spans.sort_by(|a, b| a.ts.total_cmp(&b.ts));
    (spans, names)
}

fn total_bytes(spans: &[Event], name: &str) -> u64 {
    spans.iter().filter(|span| span.name == name).map(Event::bytes).sum()
}

#[test]
fn every_tile_and_every_step_is_in_the_trace() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), "a.jpg", &jpeg(&scene(RGB, Size::new(1104, 1104), 4), false));
    let (spans, threads) = record(dir.path(), &["--backend", "cpu", "--threads", "2", "--reencode"]);
    let count = |name: &str| spans.iter().filter(|span| span.name == name).count();
    // Squares of 1104, 552, 276 and 138 in tiles of 256.
    assert_eq!(count("compress tile"), 5 * 5 + 3 * 3 + 2 * 2 + 1);
    // Bands of half a row of tiles.
    assert_eq!(count("decode"), 9);
    for once in ["open", "write file", "flush file", "verify file", "rename file"] {
        assert_eq!(count(once), 1, "{once}");
    }
    let written = std::fs::metadata(dir.path().join("a.tif")).unwrap().len();
    assert_eq!(total_bytes(&spans, "write file"), written);

    assert!(spans.iter().all(|span| span.dur >= 0.0 && threads.contains_key(&span.tid)));
    // Decoding and waiting for the disk have a thread of their own, so that the pool can work meanwhile.
    for span in &spans {
        let in_pool = threads[&span.tid].starts_with("compute-");
        let waits = ["wait for memory", "wait for room", "write file", "flush file", "rename file"];
        let outside = [&["open", "decode scans", "decode"][..], &waits].concat();
        assert_eq!(in_pool, !outside.contains(&&*span.name), "{span:?}");
    }
    let (carried, _) = record(dir.path(), &["--backend", "cpu"]);
    assert_eq!(carried.iter().filter(|span| span.name == "cut tile").count(), 5 * 5);
}

#[test]
fn each_band_goes_to_the_gpu_and_back_once_while_the_next_is_decoded() {
    if parity::shared().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), "a.jpg", &jpeg(&scene(RGB, Size::new(1104, 1104), 4), false));
    let (spans, threads) = record(dir.path(), &["--backend", "gpu", "--threads", "2", "--reencode"]);
    let order: Vec<&str> = spans
        .iter()
        .map(|span| span.name.as_str())
        .filter(|name| ["upload", "submission", "download"].contains(name))
        .collect();
    assert_eq!(order, ["upload", "submission", "download"].repeat(5));
    // Rows of RGB pixels in whole words of 4 bytes; the levels below come back.
    assert_eq!(total_bytes(&spans, "upload"), 1104 * 1104 * 3);
    let below: u64 = [552u64, 276, 138].iter().map(|side| (side * 3).next_multiple_of(4) * side).sum();
    assert_eq!(total_bytes(&spans, "download"), below);
    let on_pool = |name: &str| spans.iter().filter(|s| s.name == name).all(|s| threads[&s.tid].starts_with("compute-"));
    assert!(on_pool("upload") && on_pool("submission") && on_pool("download") && !on_pool("decode"));
    // Decoding runs ahead: the last band was decoded before the last one but two came back.
    let starts = |name: &str| spans.iter().filter(|s| s.name == name).map(|s| s.ts).collect::<Vec<_>>();
    let (decode, download) = (starts("decode"), starts("download"));
    assert!((0..3).all(|band| decode[band + 1] < download[band]), "{decode:?} {download:?}");
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), "a.jpg", &jpeg(&scene(RGB, Size::new(64, 64), 4), false));
    let done = reprise(dir.path(), &["convert", "a.jpg", "a.tif", "--trace", "missing/trace.json"]);
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(done.stderr.contains("missing/trace.json"), "{}", done.stderr);
    assert!(!dir.path().join("a.tif").exists());
}
