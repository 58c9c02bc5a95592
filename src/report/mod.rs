//! The report of a run: one HTML page with the pictures before and after.
//!
//! The page holds everything it needs and asks nothing of a network; it opens from disk. Names, messages and every
//! other text of the data are escaped, so an asset may be called anything.

mod format;
mod thumbnail;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::geometry::{Rect, Size};
pub use format::Text;
use format::{Base64, Bytes, Duration, Ratio};
pub use thumbnail::thumbnail_png;

/// What a run was and how it went as a whole.
#[derive(Debug, Clone, Default)]
pub struct ReportJob {
    /// Name that the job document gives.
    pub name: String,
    /// Such as `j|3`.
    pub handle: String,
    pub description: Option<String>,
    /// RFC 3339 or any other readable form; shown as it is.
    pub started: String,
    /// Wall-clock time of the whole run in seconds; the throughput follows from it.
    pub seconds: f64,
    /// What computed, and why: `CPU, 8 threads: no hardware adapter`.
    pub backend: String,
    /// Kinds of work with their time in seconds, all threads together, the longest first.
    pub stages: Vec<(String, f64)>,
    /// Warnings and errors that concern the job, not one asset.
    pub messages: Vec<String>,
}

/// What was written for an asset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportOutput {
    /// Path as the reader should look for it.
    pub path: String,
    /// Full-resolution level, in pixels.
    pub size: Size,
    /// Levels of the pyramid, full resolution included.
    pub levels: u32,
    /// Size of the file in bytes.
    pub bytes: u64,
}

/// One asset of the run. Without an output it failed, and `error` says why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportAsset {
    pub handle: String,
    pub name: String,
    /// File format and pixels: `JPEG, 8-bit RGB`.
    pub kind: String,
    /// As shown, after EXIF orientation; `None` when the header could not be read.
    pub original_size: Option<Size>,
    /// Size of the original file in bytes.
    pub original_bytes: u64,
    pub output: Option<ReportOutput>,
    /// Part of the original that was kept, in pixels of `original_size`; `None`: all of it.
    pub crop: Option<Rect>,
    /// The clipping path that was applied, as SVG path data: the original is the unit square.
    pub outline: Option<String>,
    /// What was done besides the crop, a sentence each: cut out, colours converted.
    #[serde(default)]
    pub done: Vec<String>,
    /// Small PNG of the whole original, see [`thumbnail_png`].
    #[serde(skip)]
    pub before_png: Option<Vec<u8>>,
    /// Small PNG of the output.
    #[serde(skip)]
    pub after_png: Option<Vec<u8>>,
    /// Time spent on this asset in seconds.
    pub seconds: f64,
    /// When it was done, in seconds since 1970.
    pub ended: f64,
    /// `gpu` or `cpu`.
    pub backend: String,
    pub warnings: Vec<String>,
    pub error: Option<String>,
}

impl ReportAsset {
    fn failed(&self) -> bool {
        self.error.is_some() || self.output.is_none()
    }

    fn state(&self) -> State {
        match self {
            asset if asset.failed() => State::Failed,
            asset if !asset.warnings.is_empty() => State::Warned,
            _ => State::Done,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Done,
    Warned,
    Failed,
}

impl State {
    fn class(self) -> &'static str {
        match self {
            State::Done => "done",
            State::Warned => "warned",
            State::Failed => "failed",
        }
    }

    fn label(self) -> &'static str {
        match self {
            State::Done => "Done",
            State::Warned => "Done with warnings",
            State::Failed => "Failed",
        }
    }
}

/// Sums over the assets of a run.
struct Totals {
    assets: usize,
    failed: usize,
    warned: usize,
    /// Original pixels of the assets that were done.
    pixels: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Totals {
    fn of(assets: &[ReportAsset]) -> Self {
        let count = |state| assets.iter().filter(|a| a.state() == state).count();
        let done = || assets.iter().filter(|a| !a.failed());
        Totals {
            assets: assets.len(),
            failed: count(State::Failed),
            warned: count(State::Warned),
            pixels: done().filter_map(|a| a.original_size).map(Size::pixels).sum(),
            bytes_in: done().map(|a| a.original_bytes).sum(),
            bytes_out: done().filter_map(|a| a.output.as_ref()).map(|o| o.bytes).sum(),
        }
    }

    fn done(&self) -> usize {
        self.assets - self.failed
    }
}

/// The page as HTML in UTF-8. Assets appear in the order given.
pub fn render(job: &ReportJob, assets: &[ReportAsset]) -> String {
    let pictures: usize = assets.iter().flat_map(|a| [&a.before_png, &a.after_png]).flatten().map(Vec::len).sum();
    let mut page = String::with_capacity(16_384 + assets.len() * 3072 + pictures * 4 / 3);
    write_page(&mut page, job, assets).expect("a String takes every write");
    page
}

fn write_page(page: &mut String, job: &ReportJob, assets: &[ReportAsset]) -> std::fmt::Result {
    write!(
        page,
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="reprise {version}">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{name} – reprise</title>
<style>
{css}</style>
</head>
<body>
"#,
        version = env!("CARGO_PKG_VERSION"),
        name = Text(&job.name),
        css = include_str!("page.css"),
    )?;
    let totals = Totals::of(assets);
    write_header(page, job, &totals)?;
    write_totals(page, job, &totals)?;
    page.push_str("<main>\n");
    if totals.failed + totals.warned > 0 {
        page.push_str("<div class=\"filter\" role=\"group\" aria-label=\"Which assets to show\">\n");
        for (show, label, count) in
            [("all", "All", totals.assets), ("warned", "Warnings", totals.warned), ("failed", "Failed", totals.failed)]
        {
            let pressed = show == "all";
            writeln!(
                page,
                "<button type=\"button\" data-show=\"{show}\" aria-pressed=\"{pressed}\">{label} <b>{count}</b></button>"
            )?;
        }
        page.push_str("</div>\n");
    }
    write_course(page, job, assets)?;
    page.push_str("<section class=\"cards\" aria-label=\"Before and after\">\n");
    let mut failed = 0;
    for (index, asset) in assets.iter().enumerate() {
        failed += usize::from(asset.failed());
        if index < CARDS || asset.failed() && failed <= FAILED_CARDS {
            write_card(page, asset)?;
        }
    }
    page.push_str("</section>\n");
    if assets.len() > CARDS {
        page.push_str("<p class=\"facts\">The list below has all assets, with every message.</p>\n");
    }
    write_table(page, assets)?;
    page.push_str("</main>\n");
    page.push_str(include_str!("compare.html"));
    write!(page, "<script>\n{}</script>\n</body>\n</html>\n", include_str!("page.js"))
}

fn write_header(page: &mut String, job: &ReportJob, totals: &Totals) -> std::fmt::Result {
    let (state, words) = match totals {
        Totals { failed: 0, warned: 0, .. } => (State::Done, "all done".to_owned()),
        Totals { failed: 0, warned, .. } => (State::Warned, format!("all done, {warned} with warnings")),
        Totals { failed, assets, .. } => (State::Failed, format!("{failed} of {assets} failed")),
    };
    write!(
        page,
        "<header>\n<p class=\"over\">Reprocessing job <bdi>{}</bdi></p>\n<h1><bdi>{}</bdi> <span class=\"chip {}\">{words}</span></h1>\n",
        Text(&job.handle),
        Text(&job.name),
        state.class(),
    )?;
    if let Some(description) = &job.description {
        writeln!(page, "<p class=\"description\"><bdi>{}</bdi></p>", Text(description))?;
    }
    writeln!(page, "<p class=\"facts\">Started {} · computed on {}</p>", Text(&job.started), Text(&job.backend))?;
    if !job.messages.is_empty() {
        page.push_str("<ul class=\"notes\">\n");
        for message in &job.messages {
            writeln!(page, "<li><bdi>{}</bdi></li>", Text(message))?;
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</header>\n");
    Ok(())
}

fn write_totals(page: &mut String, job: &ReportJob, totals: &Totals) -> std::fmt::Result {
    let megapixels = totals.pixels as f64 / 1e6;
    page.push_str("<dl class=\"totals\">\n");
    let mut total = |term: &str, value: std::fmt::Arguments, more: std::fmt::Arguments| {
        writeln!(page, "<div><dt>{term}</dt><dd>{value}<small>{more}</small></dd></div>")
    };
    total(
        "Assets done",
        format_args!("{}", totals.done()),
        format_args!("of {} · {} failed · {} with warnings", totals.assets, totals.failed, totals.warned),
    )?;
    total("Pixels", format_args!("{megapixels:.1} MP"), format_args!("of originals, full resolution"))?;
    total(
        "Throughput",
        format_args!("{:.1} MP/s", if job.seconds > 0.0 { megapixels / job.seconds } else { 0.0 }),
        format_args!("in {}", Duration(job.seconds)),
    )?;
    total("Originals", format_args!("{}", Bytes(totals.bytes_in)), format_args!("read"))?;
    total(
        "Pyramids",
        format_args!("{}", Bytes(totals.bytes_out)),
        format_args!("written{}", Ratio(totals.bytes_out, totals.bytes_in)),
    )?;
    page.push_str("</dl>\n");
    Ok(())
}

fn write_card(page: &mut String, asset: &ReportAsset) -> std::fmt::Result {
    let state = asset.state();
    let crop = asset.crop.zip(asset.original_size).filter(|(rect, size)| *rect != Rect::of(*size));
    write!(
        page,
        "<article class=\"{}\">\n<h2><bdi>{}</bdi> <code>{}</code>{}</h2>\n<div class=\"pair\">\n",
        state.class(),
        Text(&asset.name),
        Text(&asset.handle),
        match state {
            State::Done => String::new(),
            _ => format!(" <span class=\"chip {}\">{}</span>", state.class(), state.label()),
        },
    )?;
    let original = match asset.original_size {
        Some(size) => format!("{} × {}", size.width, size.height),
        None => "size unknown".to_owned(),
    };
    write_figure(page, "Before", &original, asset, asset.before_png.as_deref(), crop, asset.outline.as_deref())?;
    let output = match &asset.output {
        Some(ReportOutput { size, levels, .. }) => {
            let plural = if *levels == 1 { "" } else { "s" };
            format!("{} × {} · {levels} level{plural}", size.width, size.height)
        }
        None => "nothing written".to_owned(),
    };
    write_figure(page, "After", &output, asset, asset.after_png.as_deref(), None, None)?;
    page.push_str("</div>\n");
    for done in &asset.done {
        writeln!(page, "<p class=\"facts\"><bdi>{}</bdi></p>", Text(done))?;
    }
    if let Some((rect, _)) = crop {
        writeln!(page, "<p class=\"facts\">Cropped to {} × {} at {}, {}</p>", rect.width, rect.height, rect.x, rect.y)?;
    }
    if let Some(error) = &asset.error {
        writeln!(page, "<p class=\"error\"><bdi>{}</bdi></p>", Text(error))?;
    }
    for warning in &asset.warnings {
        writeln!(page, "<p class=\"warning\"><bdi>{}</bdi></p>", Text(warning))?;
    }
    page.push_str("</article>\n");
    Ok(())
}

/// One of a card's two pictures, or the words that there is none.
fn write_figure(
    page: &mut String,
    term: &str,
    facts: &str,
    asset: &ReportAsset,
    png: Option<&[u8]>,
    crop: Option<(Rect, Size)>,
    outline: Option<&str>,
) -> std::fmt::Result {
    page.push_str("<figure><div class=\"frame\">");
    match png {
        Some(png) => {
            write!(
                page,
                "<div class=\"picture\"><img loading=\"lazy\" alt=\"{term}: {}\" src=\"data:image/png;base64,{}\">",
                Text(&asset.name),
                Base64(png)
            )?;
            if let Some(outline) = outline {
                write!(
                    page,
                    "<svg class=\"outline\" viewBox=\"0 0 1 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
                     <path d=\"{0}\"/><path d=\"{0}\"/></svg>",
                    Text(outline)
                )?;
            }
            if let Some((rect, size)) = crop {
                let percent = |part: u32, whole: u32| 100.0 * f64::from(part) / f64::from(whole);
                write!(
                    page,
                    "<i class=\"crop\" style=\"left:{:.4}%;top:{:.4}%;width:{:.4}%;height:{:.4}%\"></i>",
                    percent(rect.x, size.width),
                    percent(rect.y, size.height),
                    percent(rect.width, size.width),
                    percent(rect.height, size.height),
                )?;
            }
            page.push_str("</div>");
        }
        None => page.push_str("<p class=\"none\">no picture</p>"),
    }
    writeln!(page, "</div><figcaption><b>{term}</b> {facts}</figcaption></figure>")
}

/// How the run went: throughput over time, and what took how long.
fn write_course(page: &mut String, job: &ReportJob, assets: &[ReportAsset]) -> std::fmt::Result {
    let course = Course::of(assets);
    if course.seconds <= 0.0 {
        return Ok(());
    }
    page.push_str("<section class=\"course\">\n<div><h2>Throughput over time</h2>\n");
    let most = course.rates.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    write!(
        page,
        "<svg viewBox=\"0 0 {BINS} 20\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"Megapixels a second over the run, at most {most:.1}\">"
    )?;
    for (bin, rate) in course.rates.iter().enumerate() {
        let height = 20.0 * rate / most;
        write!(page, "<rect x=\"{bin}\" y=\"{:.2}\" width=\"0.9\" height=\"{height:.2}\"/>", 20.0 - height)?;
    }
    writeln!(
        page,
        "</svg>\n<p class=\"facts\">0 to {} of work, up to {most:.1} MP/s, {:.1} assets a second on average</p></div>",
        Duration(course.seconds),
        assets.len() as f64 / course.seconds,
    )?;
    page.push_str("<div><h2>Where time went</h2>\n<table class=\"bars\">\n");
    let all: f64 = course.kinds.iter().map(|kind| kind.seconds).sum();
    for kind in &course.kinds {
        writeln!(
            page,
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"bar-cell\"><i style=\"width:{:.2}%\"></i></td></tr>",
            Text(&kind.name),
            kind.count,
            Duration(kind.seconds),
            100.0 * kind.seconds / all.max(f64::MIN_POSITIVE),
        )?;
    }
    page.push_str("</table>\n<p class=\"facts\">Assets and time by kind, all threads together. The slowest: ");
    for (place, asset) in course.slowest.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        write!(page, "{comma}<bdi>{}</bdi> {}", Text(&asset.name), Duration(asset.seconds))?;
    }
    page.push_str("</p>\n");
    let all: f64 = job.stages.iter().map(|(_, seconds)| seconds).sum();
    if all > 0.0 {
        page.push_str("<table class=\"bars\">\n");
        for (name, seconds) in &job.stages {
            writeln!(
                page,
                "<tr><th scope=\"row\">{}</th><td></td><td class=\"number\">{}</td>\
                 <td class=\"bar-cell\"><i style=\"width:{:.2}%\"></i></td></tr>",
                Text(name),
                Duration(*seconds),
                100.0 * seconds / all,
            )?;
        }
        page.push_str("</table>\n<p class=\"facts\">Time of images by stage in the last run of this job, all threads together.</p>\n");
    }
    page.push_str("</div>\n</section>\n");
    Ok(())
}

/// Bars of the chart.
const BINS: usize = 60;
/// Assets with a card of their own: the first ones …
pub const CARDS: usize = 48;
/// … and the first ones that failed.
const FAILED_CARDS: usize = 100;
/// Assets that are named for taking longest.
const SLOWEST: usize = 5;
/// Kinds that are told apart; the rest is one.
const MAX_KINDS: usize = 8;
/// Nothing done for so long, beyond what an asset took, is a break: the run was cut short and went on later.
const BREAK_SECONDS: f64 = 30.0;

/// The course of a run.
struct Course<'a> {
    /// Time of work, without breaks.
    seconds: f64,
    /// Megapixels a second in equal parts of that time.
    rates: Vec<f64>,
    kinds: Vec<KindTime>,
    slowest: Vec<&'a ReportAsset>,
}

struct KindTime {
    name: String,
    count: usize,
    seconds: f64,
}

/// For each asset that was done, in order: when, in seconds of work since the first began.
fn work_times(assets: &[ReportAsset]) -> Vec<(f64, &ReportAsset)> {
    let mut done: Vec<&ReportAsset> = assets.iter().filter(|asset| asset.ended > 0.0).collect();
    done.sort_by(|a, b| a.ended.total_cmp(&b.ended));
    let mut time = 0.0;
    let mut before: Option<f64> = None;
    let times = done.into_iter().map(|asset| {
        let passed = before.map_or(asset.seconds, |before| asset.ended - before);
        time += passed.min(asset.seconds + BREAK_SECONDS);
        before = Some(asset.ended);
        (time, asset)
    });
    times.collect()
}

/// How long the work on `assets` took as a whole in seconds, as far as it can be told from when each was done: breaks
/// between the runs of a job that was resumed are left out.
pub fn work_seconds(assets: &[ReportAsset]) -> f64 {
    work_times(assets).last().map_or(0.0, |(time, _)| *time)
}

impl<'a> Course<'a> {
    fn of(assets: &'a [ReportAsset]) -> Self {
        let times = work_times(assets);
        let seconds = times.last().map_or(0.0, |(time, _)| *time);
        let mut rates = vec![0.0; BINS];
        for (time, asset) in &times {
            // The pixels of an asset were worked on while it was in work.
            let megapixels =
                asset.original_size.filter(|_| !asset.failed()).map_or(0.0, |size| size.pixels() as f64 / 1e6);
            let bin = |time: f64| ((time / seconds * BINS as f64) as usize).min(BINS - 1);
            let (first, last) = (bin((time - asset.seconds).max(0.0)), bin(*time));
            for rate in &mut rates[first..=last] {
                *rate += megapixels / (last - first + 1) as f64 / (seconds / BINS as f64);
            }
        }
        let mut kinds: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
        for asset in assets {
            let kind = asset.kind.split(',').next().filter(|kind| !kind.is_empty()).unwrap_or("unknown");
            let (count, seconds) = kinds.entry(kind).or_default();
            *count += 1;
            *seconds += asset.seconds;
        }
        let named = |(name, (count, seconds)): (&str, (usize, f64))| KindTime { name: name.to_owned(), count, seconds };
        let mut kinds: Vec<KindTime> = kinds.into_iter().map(named).collect();
        kinds.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        if kinds.len() > MAX_KINDS {
            let rest = kinds.split_off(MAX_KINDS - 1);
            kinds.push(KindTime {
                name: "others".into(),
                count: rest.iter().map(|kind| kind.count).sum(),
                seconds: rest.iter().map(|kind| kind.seconds).sum(),
            });
        }
        let mut slowest: Vec<&ReportAsset> = assets.iter().collect();
        slowest.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        slowest.truncate(SLOWEST);
        Course { seconds, rates, kinds, slowest }
    }
}

/// The list of all assets, as data: the script shows a page of it at a time, so that many rows stay fast.
fn write_table(page: &mut String, assets: &[ReportAsset]) -> std::fmt::Result {
    page.push_str(
        "<section class=\"list\"><h2>All assets</h2>\n\
         <div class=\"filter\"><input type=\"search\" id=\"search\" placeholder=\"Handle, name or message\" aria-label=\"Search\">\
         <button type=\"button\" id=\"previous\">Previous</button><output id=\"place\"></output>\
         <button type=\"button\" id=\"next\">Next</button></div>\n\
         <noscript>The list needs JavaScript; `reprise log --json` has the same.</noscript>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"All assets\">\n<table>\n<thead><tr>",
    );
    for (label, class) in [
        ("Handle", ""),
        ("Name", ""),
        ("State", ""),
        ("Kind", ""),
        ("Original", "number"),
        ("Output", "number"),
        ("Read", "number"),
        ("Written", "number"),
        ("Time", "number"),
        ("Ran on", ""),
        ("File", ""),
        ("Message", ""),
    ] {
        write!(page, "<th scope=\"col\" class=\"{class}\"><button type=\"button\">{label}</button></th>")?;
    }
    page.push_str("</tr></thead>\n<tbody id=\"rows\"></tbody>\n</table>\n</div></section>\n");
    page.push_str("<script type=\"application/json\" id=\"data\">[");
    for (index, asset) in assets.iter().enumerate() {
        let size = |size: Option<Size>| size.map_or([0, 0], |size| [size.width, size.height]);
        let message = asset.error.iter().chain(&asset.warnings).map(String::as_str).collect::<Vec<_>>().join("\n");
        let row = serde_json::json!([
            asset.handle,
            asset.name,
            asset.state() as u8,
            asset.kind,
            size(asset.original_size),
            size(asset.output.as_ref().map(|output| output.size)),
            asset.original_bytes,
            asset.output.as_ref().map_or(0, |output| output.bytes),
            (asset.seconds * 1e3).round() / 1e3,
            asset.backend,
            asset.output.as_ref().map_or("", |output| &output.path),
            message,
        ]);
        // No text can end the element.
        let row = row.to_string().replace('<', "\\u003c");
        write!(page, "{}{row}", if index == 0 { "\n" } else { ",\n" })?;
    }
    page.push_str("]</script>\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::{Color, Depth, PixelFormat, Raster};

    fn asset(name: &str) -> ReportAsset {
        ReportAsset {
            handle: "a|1".into(),
            name: name.into(),
            kind: "PNG, 8-bit RGB".into(),
            original_size: Some(Size::new(2000, 1000)),
            original_bytes: 3_000_000,
            output: Some(ReportOutput {
                path: "pyramids/0000/1-x.tif".into(),
                size: Size::new(1000, 500),
                levels: 3,
                bytes: 1_500_000,
            }),
            crop: Some(Rect { x: 500, y: 250, width: 1000, height: 500 }),
            outline: None,
            done: Vec::new(),
            before_png: Some(vec![1, 2, 3]),
            after_png: Some(vec![4, 5]),
            seconds: 0.25,
            ended: 1_767_225_600.0,
            backend: "cpu".into(),
            warnings: Vec::new(),
            error: None,
        }
    }

    fn job() -> ReportJob {
        ReportJob { name: "Autumn".into(), handle: "j|1".into(), seconds: 2.0, ..ReportJob::default() }
    }

    #[test]
    fn hostile_text_stays_text() {
        let evil = "</script><script>alert(1)</script>\" onerror='x' &amp; \u{202e}gpj\u{0}";
        let mut hostile = asset(evil);
        hostile.handle = evil.into();
        hostile.kind = evil.into();
        hostile.backend = evil.into();
        hostile.warnings = vec![evil.into()];
        hostile.error = Some(evil.into());
        hostile.output.as_mut().unwrap().path = evil.into();
        let job = ReportJob {
            name: evil.into(),
            handle: evil.into(),
            description: Some(evil.into()),
            started: evil.into(),
            backend: evil.into(),
            messages: vec![evil.into()],
            seconds: f64::NAN,
            stages: vec![(evil.into(), 1.0)],
        };
        let clean = render(&ReportJob::default(), &[]);
        let page = render(&job, &[hostile]);
        assert_eq!(page.matches("<script").count(), clean.matches("<script").count());
        let (markup, rest) = page.split_once("id=\"data\">").unwrap();
        assert!(!markup.contains("onerror='x'") && !markup.contains("\" onerror"), "quotes must be escaped");
        // Data is no markup: only the end of its element has to be kept out of it.
        let data = rest.split_once("</script>").unwrap().0;
        let rows: serde_json::Value = serde_json::from_str(data).unwrap();
        assert!(rows[0][1] == evil && !data.contains('<'), "{data}");
        assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)"));
        assert!(page.contains("&amp;amp;"), "an ampersand is escaped, not taken for a reference");
        assert!(!page.contains('\u{0}') && !page.contains("<script>alert"));
        // Each hostile string is given to the page at least once, and every time inside an isolating or plain element.
        assert!(page.matches("alert(1)").count() >= 12, "{}", page.matches("alert(1)").count());
    }

    #[test]
    fn counts_and_sums() {
        let mut warned = asset("warned");
        warned.warnings.push("no clipping path".into());
        let mut failed = asset("failed");
        failed.output = None;
        failed.error = Some("decode: cut off".into());
        let page = render(&job(), &[asset("done"), warned, failed]);
        assert!(page.contains("<dt>Assets done</dt><dd>2<small>of 3 · 1 failed · 1 with warnings</small>"));
        assert!(page.contains("<dd>4.0 MP<small>"), "failed assets count no pixels");
        assert!(page.contains("<dd>2.0 MP/s<small>in 2.00 s</small>"));
        assert!(page.contains("<dd>6.0 MB<small>read</small>"));
        assert!(page.contains("<dd>3.0 MB<small>written, 50 % of what was read</small>"));
        assert!(page.contains("1 of 3 failed"));
    }

    #[test]
    fn page_is_whole_and_needs_no_network() {
        let assets = [asset("one"), asset("two")];
        let page = render(&job(), &assets);
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert_eq!(page.matches("<article").count(), 2);
        let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
        let rows: Vec<serde_json::Value> = serde_json::from_str(data).unwrap();
        assert_eq!((rows.len(), &rows[1][1], &rows[1][4]), (2, &"two".into(), &serde_json::json!([2000, 1000])));
        assert_eq!(page.matches("data:image/png;base64,AQID\"").count(), 2);
        assert_eq!(page.matches("data:image/png;base64,BAU=\"").count(), 2);
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src=\"/"));
        for element in ["article", "figure", "table", "section", "main", "header", "script", "style", "dialog", "ul"] {
            let open = page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
            assert_eq!(open, page.matches(&format!("</{element}>")).count(), "{element} is closed");
        }
    }

    #[test]
    fn crop_is_drawn_in_percent_of_the_original() {
        let page = render(&job(), &[asset("cropped")]);
        assert!(page.contains("left:25.0000%;top:25.0000%;width:50.0000%;height:50.0000%"));
        let mut whole = asset("whole");
        whole.crop = Some(Rect::of(Size::new(2000, 1000)));
        assert!(!render(&job(), &[whole]).contains("class=\"crop\""), "a crop to everything is no crop");
    }

    #[test]
    fn no_pictures_and_no_assets() {
        let mut bare = asset("bare");
        (bare.before_png, bare.after_png, bare.original_size, bare.crop) = (None, None, None, None);
        assert!(render(&job(), &[bare]).contains("no picture"));
        assert!(render(&ReportJob::default(), &[]).contains("<dd>0<small>of 0"));
    }

    #[test]
    fn work_is_told_from_breaks() {
        let done = |ended: f64, seconds: f64| ReportAsset { ended, seconds, ..asset("x") };
        assert_eq!(work_seconds(&[]), 0.0);
        // Two side by side, one behind them, then a day's break and one more.
        let assets = [done(102.0, 2.0), done(102.5, 2.0), done(104.0, 1.5), done(90_000.0, 2.0)];
        assert_eq!(work_seconds(&assets), 2.0 + 0.5 + 1.5 + 2.0 + BREAK_SECONDS);
        let course = Course::of(&assets[..3]);
        let area: f64 = course.rates.iter().map(|rate| rate * course.seconds / BINS as f64).sum();
        assert!((area - 3.0 * 2.0).abs() < 1e-9, "the chart's area is the megapixels: {area}");
        assert_eq!((course.kinds[0].name.as_str(), course.kinds[0].count, course.kinds[0].seconds), ("PNG", 3, 5.5));
    }

    #[test]
    fn many_assets_make_few_cards_and_all_rows() {
        let mut assets: Vec<ReportAsset> = (0..10_000)
            .map(|i| ReportAsset { handle: format!("a|{i}"), before_png: None, after_png: None, ..asset("plain") })
            .collect();
        for (i, asset) in assets.iter_mut().enumerate() {
            if i < CARDS {
                asset.before_png = Some(vec![1]);
            } else if i % 20 == 0 {
                asset.error = Some("decode: cut off".into());
            }
        }
        let page = render(&job(), &assets);
        assert_eq!(page.matches("<article").count(), CARDS + FAILED_CARDS);
        assert_eq!(page.matches("\n[\"a|").count(), 10_000);
        assert!(page.len() < 4 << 20, "{} bytes", page.len());
    }

    /// Writes a page with every kind of outcome to `REPORT_SAMPLE`, to look at: `cargo test report -- --ignored`.
    #[test]
    #[ignore = "writes a page for people to look at"]
    fn sample_page() {
        let path = std::env::var_os("REPORT_SAMPLE").expect("REPORT_SAMPLE names the file to write");
        let picture = |name: &str| std::fs::read(std::path::Path::new("samples/originals").join(name)).ok();
        let gray =
            thumbnail_png(&Raster::zeroed(PixelFormat::new(Color::Gray, false, Depth::U8), Size::new(90, 120)), 512);
        let mut assets = Vec::new();
        for (n, (name, kind, width, height)) in [
            ("02-mug-cutout.png", "PNG, 8-bit RGB with alpha", 960, 960),
            ("03-lipstick-wide-border.png", "PNG, 8-bit RGB", 1500, 1000),
            ("04-glaze-card.png", "PNG, 8-bit RGB", 1240, 1754),
            ("08-chess-gray16.png", "PNG, 16-bit gray", 800, 600),
        ]
        .into_iter()
        .enumerate()
        {
            let mut next = asset(name);
            next.handle = format!("a|{}", n + 1);
            next.kind = kind.into();
            next.original_size = Some(Size::new(width, height));
            next.original_bytes = 400_000 + 70_000 * n as u64;
            next.seconds = 0.04 * (n + 1) as f64;
            next.crop = None;
            next.before_png = picture(name);
            next.after_png = picture(name);
            next.output.as_mut().unwrap().size = Size::new(width, height);
            assets.push(next);
        }
        assets[1].crop = Some(Rect { x: 600, y: 230, width: 420, height: 500 });
        assets[2].warnings = vec!["createMask: the file has no clipping path; no mask was made".into()];
        let mut failed = asset("broken-file.jpg");
        (failed.output, failed.after_png, failed.crop) = (None, None, None);
        failed.handle = "a|5".into();
        failed.before_png = gray.ok();
        failed.error =
            Some("a|5 broken-file.jpg: decode: the file ends in row 312 of 1200; restore the original".into());
        assets.push(failed);
        let job = ReportJob {
            stages: vec![("decode".into(), 4.0), ("compress tile".into(), 9.0)],
            name: "Sharpen the autumn catalogue".into(),
            handle: "j|1".into(),
            description: Some("All sample originals: sharpened pyramids, stored crops kept.".into()),
            started: "2026-01-31 10:20:30 UTC".into(),
            seconds: 1.9,
            backend: "CPU, 2 threads: no hardware adapter".into(),
            messages: vec!["postHttpUrl is not acted on".into()],
        };
        std::fs::write(path, render(&job, &assets)).expect("the page is written");
    }
}
