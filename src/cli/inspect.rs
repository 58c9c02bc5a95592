//! `reprise crop-rect` and `reprise validate`: look, and write nothing.

use std::path::{Path, PathBuf};

use reprise::decode::{self, Kind, sniff};
use reprise::encode::ptiff::{self, Description, Finding};
use reprise::engine::pipeline;
use reprise::error::{Error, Result, Stage};
use reprise::geometry::Rect;
use reprise::limits::Limits;
use reprise::pixel::Raster;

use super::Verdict;
use super::args::CropRectArgs;
use super::convert::{context, files_below};
use super::output::{complain, line};

pub fn crop_rect(args: &CropRectArgs) -> Result<Verdict> {
    let context = context(&args.machine)?;
    let (size, found) = pipeline::crop_rect(&args.input, args.auto_crop, &context)?;
    let rect = found.unwrap_or_else(|| {
        complain(format_args!("warning: every pixel counts as background; nothing would be cropped"));
        Rect::of(size)
    });
    line(format_args!("{} {} {} {}", rect.x, rect.y, rect.width, rect.height));
    Ok(Verdict::AllGood)
}

pub fn validate(paths: &[PathBuf], pixels: bool, fail_fast: bool) -> Result<Verdict> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() { files.extend(files_below(path)?) } else { files.push(path.clone()) }
    }
    let mut failed = 0;
    for (i, file) in files.iter().enumerate() {
        match check(file, pixels) {
            Ok(what) => line(format_args!("ok    {}: {what}", file.display())),
            Err(error) => {
                failed += 1;
                line(format_args!("FAIL  {}", error.of(file.display().to_string())));
                if fail_fast {
                    complain(format_args!(
                        "stopped; {} of {} files were not looked at",
                        files.len() - i - 1,
                        files.len()
                    ));
                    break;
                }
            }
        }
    }
    complain(format_args!("{} files, {failed} failed", files.len()));
    Ok(if failed == 0 { Verdict::AllGood } else { Verdict::SomeFailed })
}

fn describe_pyramid(pyramid: &Description, findings: &[Finding]) -> Result<String> {
    if !findings.is_empty() {
        let all: Vec<String> = findings.iter().map(Finding::to_string).collect();
        return Err(Error::malformed(Stage::Verify, all.join("; ")));
    }
    let levels: Vec<String> = pyramid.levels.iter().map(|l| format!("{} × {}", l.size.width, l.size.height)).collect();
    let compression = pyramid.levels.first().map_or(String::new(), |l| format!(", {}", l.compression));
    Ok(format!("pyramid TIFF, {}{compression}, levels {}", pyramid.format, levels.join(", ")))
}

/// What a file is, in words; an error with every finding when it is not what it should be.
fn check(path: &Path, pixels: bool) -> Result<String> {
    let kind = sniff::sniff_file(path)?;
    if kind == Kind::Tiff {
        let report = ptiff::validate(path, pixels)?;
        if let Some(pyramid) = &report.description {
            return describe_pyramid(pyramid, &report.findings);
        }
    }
    if !kind.is_raster() {
        return Ok(format!("{}, recognised by its first bytes; its content is not checked", kind.name()));
    }
    let limits = Limits::default();
    let mut source = decode::open(path, &limits)?;
    let info = source.info().clone();
    if pixels {
        let mut band = Raster::empty(info.format, info.size.width);
        let mut rows = 0;
        while rows < info.size.height {
            band.set_rows(0);
            match source.read_rows(&mut band, 64)? {
                0 => {
                    return Err(Error::malformed(
                        Stage::Decode,
                        format!("ends after row {rows} of {}", info.size.height),
                    ));
                }
                got => rows += got,
            }
        }
    }
    let warnings: String = info.warnings.iter().map(|w| format!("; warning: {w}")).collect();
    Ok(format!("{} {} × {} px, {}{warnings}", info.kind.name(), info.size.width, info.size.height, info.format))
}
