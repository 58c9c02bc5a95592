//! What the report of a run shows: one record per asset, with small pictures of original and pyramid.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::color::{ColorCache, ColorPolicy, Conversion};
use super::photoshop;
use super::pipeline::{Context, Converted};
use super::plan::{Action, Planned};
use super::reprocess::Outcome;
use crate::catalog::{Asset, Handle, Library};
use crate::decode::{self, RowSource, SourceInfo};
use crate::encode::ptiff;
use crate::error::Result;
use crate::geometry::{BezierPath, Rect, Size};
use crate::limits::Limits;
use crate::ops::color;
use crate::ops::pyramid::{self, Executor};
use crate::ops::resample::{self, Filter};
use crate::pixel::Raster;
use crate::report::{CARDS, ReportAsset, ReportOutput, thumbnail_png};

/// Longest side of a picture in pixels.
const PICTURE_PX: u32 = 400;
/// Rows of the list; a page with more than that is slow, and no help to a person.
const LISTED_ASSETS: usize = 20_000;

/// Longest clipping path that is drawn.
const DRAWN_KNOTS: usize = 4000;

/// What is kept of an asset for the report, whatever runs the job takes.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    row: ReportAsset,
    /// Original and pyramid, where there is something to show.
    pictures: Option<(PathBuf, PathBuf)>,
}

/// What the report shows of one asset, to be kept with its result.
pub(super) fn record(planned: &Planned, outcome: &Outcome) -> Option<String> {
    let asset = planned.asset.as_ref();
    let mut row = ReportAsset {
        handle: planned.handle.to_string(),
        name: asset.map_or_else(|| String::from("unknown asset"), |a| a.name.clone()),
        kind: asset.map_or_else(String::new, kind),
        original_size: asset.and_then(|a| Some(Size::new(a.width?, a.height?))),
        original_bytes: asset.map_or(0, |a| a.size_bytes),
        output: None,
        crop: None,
        outline: None,
        done: Vec::new(),
        before_png: None,
        after_png: None,
        seconds: 0.0,
        ended: Timestamp::now().as_millisecond() as f64 / 1e3,
        backend: String::new(),
        warnings: Vec::new(),
        error: None,
    };
    let mut pictures = None;
    match (outcome, planned.output()) {
        (Outcome::Converted(converted), Some(output)) => {
            complete(&mut row, converted, output);
            pictures = asset.map(|a| (a.path.clone(), output.to_path_buf()));
        }
        (Outcome::Converted(_), None) | (Outcome::Kept(_), _) => {}
        (Outcome::Ripped(ripped), _) => {
            // The first page stands for the document.
            if let Some(page) = ripped.done.first() {
                complete(&mut row, &page.converted, &page.output);
                pictures = asset.map(|a| (a.path.clone(), page.output.clone()));
            }
            row.seconds = ripped.elapsed.as_secs_f64();
            row.warnings.extend(ripped.warnings.iter().cloned());
            row.error = ripped.error().map(|error| error.to_string());
        }
        (Outcome::Encoded(encoded), _) => {
            if let (Some(thumbnail), Action::Encode(order)) = (&encoded.thumbnail, &planned.action)
                && let Some(wanted) = &order.thumbnail
            {
                complete(&mut row, thumbnail, &wanted.own.output);
                pictures = Some((order.origin.asset.path.clone(), wanted.own.output.clone()));
            }
            row.seconds = encoded.elapsed.as_secs_f64();
            row.warnings.clone_from(&encoded.warnings);
            row.error = encoded.error().map(|error| error.to_string());
        }
        (Outcome::Layers(extracted), _) => {
            row.kind.push_str(&format!(", {} layers", extracted.done.len()));
            if extracted.template.is_some() {
                row.kind.push_str(" and a template");
            }
            if let (Some(merged), Some(output)) = (&extracted.merged, planned.output()) {
                complete(&mut row, merged, output);
                pictures = asset.map(|a| (a.path.clone(), output.to_path_buf()));
            } else if let Some(layer) = extracted.done.first() {
                complete(&mut row, &layer.image.converted, &layer.image.output);
            }
            row.seconds = extracted.elapsed.as_secs_f64();
            row.warnings.extend(extracted.warnings.iter().cloned());
            row.error = extracted.error().map(|error| error.to_string());
        }
        (Outcome::Left(reason), _) => row.error = Some(reason.clone()),
        (Outcome::Failed(error), _) => row.error = Some(error.to_string()),
    }
    // A path that is not text has no place in JSON; its asset is listed without pictures.
    pictures =
        pictures.filter(|(original, pyramid): &(PathBuf, PathBuf)| original.to_str().and(pyramid.to_str()).is_some());
    serde_json::to_string(&Record { row, pictures }).ok()
}

/// The rows of a job's report in the order of their handles, whatever runs they were done in, the first ones with
/// pictures; and how many assets are left out. Failures are listed however many assets there are. A picture that
/// cannot be made is left out: the report must not fail a run that is done.
///
/// # Errors
/// `Catalog`.
pub fn rows(library: &Library, job: &Handle, context: &Context) -> Result<(Vec<ReportAsset>, usize)> {
    let kept = library.task_reports(job)?;
    let mut records: Vec<Record> = kept.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    let all = records.len();
    if all > LISTED_ASSETS {
        let mut place = 0;
        records.retain(|record| {
            place += 1;
            place <= LISTED_ASSETS || record.row.error.is_some()
        });
    }
    let left_out = all - records.len();
    records.sort_by(|a, b| (a.row.handle.len(), &a.row.handle).cmp(&(b.row.handle.len(), &b.row.handle)));
    let limits = &context.limits;
    context.pool.install(|| {
        records.par_iter_mut().take(CARDS).for_each(|record| {
            let Some((original, pyramid)) = &record.pictures else { return };
            let picture = |small: Result<Small>| {
                small.and_then(|small| small.in_srgb(&context.colors)).and_then(|i| thumbnail_png(&i, PICTURE_PX)).ok()
            };
            record.row.before_png = picture(before(original, limits));
            record.row.after_png = picture(after(pyramid, limits));
        });
    });
    Ok((records.into_iter().map(|record| record.row).collect(), left_out))
}

fn kind(asset: &Asset) -> String {
    match &asset.format {
        Some(format) => format!("{}, {format}", asset.kind.name()),
        None => asset.kind.name().to_owned(),
    }
}

fn complete(row: &mut ReportAsset, converted: &Converted, output: &Path) {
    row.output = Some(ReportOutput {
        path: output.display().to_string(),
        size: converted.size,
        levels: converted.written.levels as u32,
        bytes: converted.written.bytes,
    });
    row.original_size = Some(converted.original);
    row.crop = converted.crop.map(|i| Rect {
        x: i.left,
        y: i.top,
        width: converted.size.width,
        height: converted.size.height,
    });
    row.outline = converted.cutout.as_ref().and_then(|cutout| svg_path(&cutout.path.area));
    let cut_out = converted.cutout.as_ref().map(|cutout| format!("cut out by the path {:?}", cutout.path.name));
    row.done = cut_out.into_iter().chain(converted.color.clone()).map(sentence).collect();
    row.seconds = converted.elapsed.as_secs_f64();
    row.backend = converted.backend.to_string();
    row.warnings = converted.warnings.clone();
}

/// With a capital in front.
fn sentence(mut words: String) -> String {
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// The outlines of a path as SVG path data; `None` for so many knots that they would make the page heavy.
fn svg_path(path: &BezierPath) -> Option<String> {
    if path.knots() > DRAWN_KNOTS {
        return None;
    }
    let mut data = String::new();
    for outline in path.outlines() {
        let Some(first) = outline.first() else { continue };
        data.push_str(&format!("M{:.5} {:.5}", first.anchor.x, first.anchor.y));
        for (from, to) in outline.iter().zip(outline.iter().cycle().skip(1)) {
            for (letter, point) in [("C", from.after), (" ", to.before), (" ", to.anchor)] {
                data.push_str(&format!("{letter}{:.5} {:.5}", point.x, point.y));
            }
        }
        data.push('Z');
    }
    Some(data)
}

/// A picture on its way to the page.
struct Small {
    image: Raster,
    icc: Option<Vec<u8>>,
}

impl Small {
    /// What the page can show: browsers take pictures without a profile to be in sRGB.
    fn in_srgb(self, cache: &ColorCache) -> Result<Raster> {
        let srgb = Conversion::All { source: None, output: None };
        let policy = ColorPolicy { conversion: srgb, ..ColorPolicy::default() };
        // The run has warned of profiles that cannot be used.
        let colors = policy.decide(self.image.format, self.icc.as_deref(), cache, &mut Vec::new())?;
        Ok(match &colors.plan {
            Some(plan) => color::cpu::convert(plan, &self.image, 0),
            None => self.image,
        })
    }
}

/// The original, upright and small.
fn before(path: &Path, limits: &Limits) -> Result<Small> {
    let source = photoshop::open(path, limits)?;
    let SourceInfo { orientation, metadata, .. } = source.info().clone();
    Ok(Small { image: decode::orient::orient(&shrink(source)?, orientation), icc: metadata.icc })
}

/// Halves a source until it fits the picture, in bands.
fn shrink(mut source: Box<dyn RowSource>) -> Result<Raster> {
    let (format, size) = (source.info().format, source.info().size);
    let levels: Vec<Size> = size.levels(PICTURE_PX).collect();
    let last = levels.len() - 1;
    let plan = pyramid::Plan { format, resample: resample::Plan::new(Filter::Box), unsharp: None, levels };
    let mut small = Raster::empty(format, plan.levels[last].width);
    let mut executor = pyramid::cpu::CpuExecutor::new(Arc::new(plan));
    let mut band = Raster::empty(format, size.width);
    while source.read_rows(&mut band, 64)? > 0 {
        if last == 0 {
            small.append_rows(&band, 0..band.height);
        }
        executor.push(&band, &mut |level, _, rows| {
            if level == last {
                small.append_rows(rows, 0..rows.height);
            }
            Ok(())
        })?;
        band.set_rows(0);
    }
    Ok(small)
}

/// The largest level of a pyramid that fits the picture, or the smallest there is.
fn after(path: &Path, limits: &Limits) -> Result<Small> {
    let icc = decode::open(path, limits)?.info().metadata.icc.clone();
    let levels = ptiff::read_structure(path)?.levels;
    let fits = |size: Size| size.width <= PICTURE_PX && size.height <= PICTURE_PX;
    let level = levels.iter().position(|level| fits(level.size)).unwrap_or(levels.len() - 1);
    Ok(Small { image: ptiff::read_level(path, level)?, icc })
}
