//! One original to one pyramid TIFF.
//!
//! Order of the steps: decode → orient → clipping path → knock-out → crop → colour conversion → pyramid, each level below full
//! resolution sharpened → tiles → file. Where no step needs the whole image, bands flow: while one band is computed and compressed,
//! the next is decoded, and memory follows the width, not the area.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backend::{Backend, Compute, Used};
use super::carry;
use super::clip;
use super::color::{ColorCache, ColorPolicy, Colors};
use super::memory::MemoryBudget;
use super::original::Stamp;
use super::photoshop;
use super::stream::{Band, Work, stream};
use crate::decode::{self, ClippingPath, Kind, MemorySource, Resolution, ResolutionUnit, RowSource, SourceInfo};
use crate::encode::ptiff;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::{Insets, Orientation, Rect, Size};
use crate::limits::Limits;
use crate::ops::clip_mask;
use crate::ops::crop_detect::{self, Background};
use crate::ops::knockout::{self, Knockout};
use crate::ops::pyramid;
use crate::ops::resample::{self, Filter};
use crate::ops::unsharp::{self, Unsharp};
use crate::pixel::{PixelFormat, Raster};
use crate::rip;
use crate::trace;

/// How an image is cropped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Crop {
    /// Pixels cut from each side of the upright image.
    Insets(Insets),
    /// Bounds are detected.
    Auto(Background),
}

/// What is done to every image of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recipe {
    /// Multiply the file's clipping path into alpha.
    pub clip_path: bool,
    /// Where the mask of that path goes, if it is kept.
    pub mask: Option<PathBuf>,
    pub knockout: Option<Knockout>,
    pub crop: Option<Crop>,
    pub color: ColorPolicy,
    pub filter: Filter,
    pub unsharp: Option<Unsharp>,
    pub output: ptiff::Options,
    /// Pixels per inch, instead of the source's resolution.
    pub dpi: Option<f64>,
    /// Drop metadata other than the ICC profile.
    pub strip: bool,
    /// Encode full resolution anew even where a JPEG source could keep its own coefficients.
    pub reencode: bool,
}

/// Where the tiles of the full-resolution level come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FullResolution {
    /// Compressed from pixels.
    Encoded,
    /// The JPEG source's own coefficients: every pixel decodes as in the source.
    Carried,
    /// Compressed from pixels although the source is a JPEG and the file too; the reason.
    Reencoded(String),
}

/// What a run shares among its images.
#[derive(Debug)]
pub struct Context {
    pub limits: Limits,
    pub backend: Backend,
    pub budget: MemoryBudget,
    pub colors: ColorCache,
    /// Computes and compresses; its size is `--threads`.
    pub pool: rayon::ThreadPool,
    /// Draw pages of documents.
    pub workers: rip::Workers,
}

impl Context {
    /// # Errors
    /// `Misuse` when the threads cannot be started.
    pub fn new(backend: Backend, max_memory_bytes: u64, threads: usize) -> Result<Self> {
        let budget = MemoryBudget::new(max_memory_bytes);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("compute-{i}"))
            .build()
            .map_err(|e| Error::misuse(Stage::Operate, format!("cannot start {threads} threads: {e}")))?;
        let program = std::env::current_exe()
            .map_err(|e| Error::new(ErrorKind::Io, Stage::Open, format!("cannot find this program itself: {e}")))?;
        let at_once = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
        let workers = rip::Workers::new(program, at_once);
        let limits = Limits { max_decode_bytes: budget.total_bytes(), ..Limits::default() };
        Ok(Context { limits, backend, budget, colors: ColorCache::default(), pool, workers })
    }

    /// How many images are worked on at once: enough that some decode while others are compressed or on their way to
    /// the disk.
    pub fn lanes(&self) -> usize {
        2 * self.pool.current_num_threads() + 2
    }
}

/// What a clipping path did to an image.
#[derive(Debug, Clone)]
pub struct Cutout {
    /// On the upright original.
    pub path: ClippingPath,
    /// The mask's file, if it was kept.
    pub mask: Option<ptiff::Written>,
}

/// What became of one image.
#[derive(Debug, Clone)]
pub struct Converted {
    pub kind: Kind,
    /// Size of the upright original.
    pub original: Size,
    /// Format of the pixels written.
    pub format: PixelFormat,
    /// The colour conversion in words, if there was one.
    pub color: Option<String>,
    /// Size of the full-resolution level.
    pub size: Size,
    /// The clipping path that was applied.
    pub cutout: Option<Cutout>,
    /// The crop that was applied, manual or found.
    pub crop: Option<Insets>,
    pub full_resolution: FullResolution,
    pub written: ptiff::Written,
    pub backend: Used,
    pub warnings: Vec<String>,
    pub elapsed: Duration,
}

/// One line for people and logs.
impl std::fmt::Display for Converted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let levels = self.written.levels;
        write!(f, "{} × {} px, {}, ", self.size.width, self.size.height, self.format)?;
        write!(f, "{levels} level{}, {}, ", if levels == 1 { "" } else { "s" }, self.written.compression)?;
        write!(f, "{} bytes, {:.2} s, {}", self.written.bytes, self.elapsed.as_secs_f64(), self.backend)?;
        match &self.full_resolution {
            FullResolution::Encoded => {}
            FullResolution::Carried => f.write_str(", full resolution carried over without loss")?,
            FullResolution::Reencoded(reason) => write!(f, ", full resolution encoded anew: {reason}")?,
        }
        if let Some(cutout) = &self.cutout {
            write!(f, ", cut out by the path {:?}", cutout.path.name)?;
        }
        if let Some(color) = &self.color {
            write!(f, ", {color}")?;
        }
        if let Some(crop) = self.crop {
            let Insets { left, right, top, bottom } = crop;
            write!(f, ", cropped by {left} left, {right} right, {top} top, {bottom} bottom")?;
        }
        Ok(())
    }
}

/// Converts the original at `path` to a pyramid TIFF at `output`, replacing what is there only when all went well.
///
/// # Errors
/// Of every stage; `output` is untouched then. A failing GPU is not an error: the CPU takes over.
pub fn convert(path: &Path, output: &Path, recipe: &Recipe, context: &Context) -> Result<Converted> {
    convert_rows(path, &|| photoshop::open(path, &context.limits), output, recipe, context)
}

/// The same for rows that `open` takes out of the original, such as a page of a document. They are opened again when
/// the GPU fails.
///
/// # Errors
/// As [`convert`].
pub fn convert_rows(
    path: &Path,
    open: &dyn Fn() -> Result<Box<dyn RowSource>>,
    output: &Path,
    recipe: &Recipe,
    context: &Context,
) -> Result<Converted> {
    let start = Instant::now();
    let attempts = |compute: Compute<'_>| {
        let mut not_carried = None;
        loop {
            match attempt(path, open, output, recipe, context, compute, not_carried)? {
                Attempt::Done(converted) => return Ok(*converted),
                Attempt::NotCarried(reason) => not_carried = Some(reason),
            }
        }
    };
    let (mut converted, used) = context.backend.run(attempts).map_err(|e| e.of(path.display().to_string()))?;
    if let Used::CpuAfterGpu(reason) = &used {
        converted.warnings.push(format!("the GPU failed ({reason}); the CPU made this image, with the same result"));
    }
    converted.backend = used;
    converted.elapsed = start.elapsed();
    Ok(converted)
}

/// The rectangle that automatic cropping keeps of the upright original; `None` when it would keep nothing.
///
/// # Errors
/// As for [`convert`]; `Misuse` for cropping by transparency without an alpha channel.
pub fn crop_rect(path: &Path, background: Background, context: &Context) -> Result<(Size, Option<Rect>)> {
    let detect = |compute: Compute<'_>| {
        let mut source = photoshop::open(path, &context.limits)?;
        let needed = whole_bytes(source.info(), false) + source.working_bytes();
        let _permit = context.budget.acquire(needed)?;
        let image = whole_upright(&mut *source, &context.limits)?;
        let plan = crop_detect::Plan::new(background, &image).ok_or_else(|| {
            Error::misuse(
                Stage::Operate,
                "has no alpha channel to find transparent borders by; use color:CORNER:TOLERANCE",
            )
        })?;
        Ok((image.size(), context.pool.install(|| compute.bounds(&plan, &image))?))
    };
    context.backend.run(detect).map(|(found, _)| found).map_err(|e| e.of(path.display().to_string()))
}

/// How an attempt ended that was no error.
enum Attempt {
    Done(Box<Converted>),
    /// The coefficients that were to be carried over turned out to be of no use; the reason.
    NotCarried(String),
}

/// One way through all steps. `not_carried` is why full resolution must be encoded anew, if an earlier attempt found out.
fn attempt(
    path: &Path,
    open: &dyn Fn() -> Result<Box<dyn RowSource>>,
    output: &Path,
    recipe: &Recipe,
    context: &Context,
    compute: Compute<'_>,
    not_carried: Option<String>,
) -> Result<Attempt> {
    let stamp = Stamp::of(path)?;
    let mut source = {
        let _span = trace::span("open");
        open()?
    };
    let mut warnings = source.info().warnings.clone();
    let clip = if recipe.clip_path { clip_plan(source.info(), &mut warnings)? } else { None };
    if let Some((_, plan)) = &clip {
        source = Box::new(clip::Clipped::new(source, Arc::clone(plan)));
    }
    let info = source.info().clone();
    let original = info.orientation.oriented(info.size);

    let whole = info.orientation != Orientation::Upright
        || recipe.knockout.is_some()
        || matches!(recipe.crop, Some(Crop::Auto(_)));
    let decoded = if recipe.knockout.is_some() { info.format.with_alpha() } else { info.format };
    let colors = recipe.color.decide(decoded, info.metadata.icc.as_deref(), &context.colors, &mut warnings)?;
    let format = colors.target(decoded);
    let mut plan = pyramid::Plan {
        format,
        levels: original.levels(recipe.output.tile).collect(),
        resample: resample::Plan::new(recipe.filter),
        unsharp: recipe.unsharp.as_ref().and_then(unsharp::Plan::new),
    };
    let wider = if format.bytes_per_pixel() > decoded.bytes_per_pixel() { format } else { decoded };
    let most_rows = compute.band_rows(recipe.output.tile);
    let band = Band::choose(&plan, wider, recipe.output.tile, most_rows, context);
    let mut needed = source.working_bytes() + band.bytes;
    if let Some(plan) = &colors.plan {
        // Converted rows, beside those that they were converted from.
        let row_bytes = u64::from(original.width) * format.bytes_per_pixel() as u64;
        needed += plan.bytes() + u64::from(band.rows_in_flight) * row_bytes;
    }
    if whole {
        needed += whole_bytes(&info, recipe.knockout.is_some());
    }
    let came_as_jpeg = info.kind == Kind::Jpeg;
    let (compression, note) = ptiff::resolve(recipe.output.compression, format, came_as_jpeg);
    warnings.extend(note);
    let mut full_resolution = FullResolution::Encoded;
    if came_as_jpeg && compression == ptiff::Compression::Jpeg {
        let free_bytes = context.budget.total_bytes().saturating_sub(needed);
        let may_carry = not_carried.map_or_else(|| may_carry(&*source, recipe, &colors, free_bytes), Err);
        full_resolution = match may_carry {
            Ok(bytes) => {
                needed += bytes;
                FullResolution::Carried
            }
            Err(reason) => FullResolution::Reencoded(reason),
        };
    }
    let span = trace::span("wait for memory");
    let _permit = context.budget.acquire(needed)?;
    drop(span);

    // Before the pyramid, so that an asset that fails keeps its pyramid; it takes less memory than the image does.
    let cutout = match clip {
        None => None,
        Some((path, plan)) => {
            let mask = recipe.mask.as_deref();
            let mask = mask.map(|mask| write_mask(mask, &info, plan, recipe, context, compute)).transpose()?;
            Some(Cutout { path, mask })
        }
    };

    let mut crop = recipe.insets();
    if full_resolution == FullResolution::Carried && !whole && !on_block_grid(&*source, kept(crop, original)?) {
        full_resolution = FullResolution::Reencoded(OFF_THE_GRID.into());
    }
    let mut coefficients = None;
    if full_resolution == FullResolution::Carried
        && let Err(reason) = carry::usable(source.keep_coefficients())?
    {
        return Ok(Attempt::NotCarried(reason));
    }
    {
        let _span = trace::span("decode scans");
        source.prepare(&context.pool);
    }
    if whole {
        let mut image = whole_upright(&mut *source, &context.limits)?;
        crop = context.pool.install(|| prepare(&mut image, recipe, compute, &mut warnings))?;
        if full_resolution == FullResolution::Carried {
            let kept = kept(crop, original)?;
            if on_block_grid(&*source, kept) {
                match carry::usable(source.take_coefficients(kept.y..kept.y + kept.height, Some(&context.pool)))? {
                    Ok(taken) => coefficients = Some(taken),
                    Err(reason) => return Ok(Attempt::NotCarried(reason)),
                }
            } else {
                full_resolution = FullResolution::Reencoded(OFF_THE_GRID.into());
            }
        }
        source = Box::new(MemorySource::new(upright(&info, &image), image)?.with_coefficients(coefficients));
    }
    let rect = kept(crop, original)?;
    plan.levels = rect.size().levels(recipe.output.tile).collect();

    let options = ptiff::Options { compression, ..recipe.output.clone() };
    let metadata = recipe.metadata(&info, &colors);
    let target = ptiff::Pyramid { format, levels: plan.levels.clone(), metadata, came_as_jpeg };
    let mut writer = ptiff::Writer::create(output, target, &options, band.spill_bytes)?;
    let tile_px = recipe.output.tile;
    let carried = full_resolution == FullResolution::Carried;
    let work = Work { color: colors.plan.as_deref(), pyramid: plan.into(), band: &band, tile_px, carried };
    if let Some(reason) = stream(&mut *source, rect, work, context, compute, &mut writer)? {
        return Ok(Attempt::NotCarried(reason));
    }
    stamp.check(path)?;
    let written = writer.finish(&context.pool)?;
    Ok(Attempt::Done(Box::new(Converted {
        kind: info.kind,
        original,
        format,
        color: colors.note,
        size: rect.size(),
        cutout,
        crop,
        full_resolution,
        written,
        backend: Used::Cpu,
        warnings,
        elapsed: Duration::ZERO,
    })))
}

/// Checks the header of the original and a manual crop against its size; reads no pixels, writes nothing.
///
/// # Errors
/// As [`convert`] would give them.
pub fn rehearse(path: &Path, recipe: &Recipe) -> Result<()> {
    let check = || {
        let source = decode::open(path, &Limits::default())?;
        let info = source.info();
        if recipe.clip_path {
            clip_plan(info, &mut Vec::new())?;
        }
        kept(recipe.insets(), info.orientation.oriented(info.size)).map(drop)
    };
    check().map_err(|e: Error| e.of(path.display().to_string()))
}

/// The clipping path as it lies on the upright original, and its plan for the stored one; `None`, with a warning, when
/// the file has none.
fn clip_plan(info: &SourceInfo, warnings: &mut Vec<String>) -> Result<Option<(ClippingPath, Arc<clip_mask::Plan>)>> {
    let Some(path) = info.clipping_path.clone()? else {
        warnings.push("not cut out: the file has no clipping path".into());
        return Ok(None);
    };
    let plan = clip_mask::Plan::new(&path.area, info.size)?;
    Ok(Some((path.oriented(info.orientation), Arc::new(plan))))
}

/// Writes the mask of the whole upright original as a gray pyramid.
fn write_mask(
    path: &Path,
    original: &SourceInfo,
    plan: Arc<clip_mask::Plan>,
    recipe: &Recipe,
    context: &Context,
    compute: Compute<'_>,
) -> Result<ptiff::Written> {
    let mut source: Box<dyn RowSource> = Box::new(clip::Mask::new(original, plan));
    let stored = source.info().clone();
    if stored.orientation != Orientation::Upright {
        let image = whole_upright(&mut *source, &context.limits)?;
        source = Box::new(MemorySource::new(upright(&stored, &image), image)?);
    }
    let (format, size) = (source.info().format, source.info().size);
    let options = ptiff::Options { compression: ptiff::Compression::Deflate, ..recipe.output.clone() };
    let plan = pyramid::Plan {
        format,
        levels: size.levels(options.tile).collect(),
        resample: resample::Plan::new(recipe.filter),
        unsharp: None,
    };
    let metadata = Recipe { dpi: recipe.dpi, ..Recipe::default() }.metadata(&stored, &Colors::default());
    let target = ptiff::Pyramid { format, levels: plan.levels.clone(), metadata, came_as_jpeg: false };
    let band = Band::choose(&plan, format, options.tile, compute.band_rows(options.tile), context);
    let mut writer = ptiff::Writer::create(path, target, &options, band.spill_bytes)?;
    let work = Work { color: None, pyramid: plan.into(), band: &band, tile_px: options.tile, carried: false };
    stream(&mut *source, Rect::of(size), work, context, compute, &mut writer)?;
    writer.finish(&context.pool)
}

/// The rectangle that a crop keeps of the upright original.
fn kept(crop: Option<Insets>, original: Size) -> Result<Rect> {
    let Some(insets) = crop else { return Ok(Rect::of(original)) };
    insets.apply(original).ok_or_else(|| {
        Error::misuse(
            Stage::Operate,
            format!(
                "cutting {} px left, {} px right, {} px top and {} px bottom leaves nothing of {} × {} px",
                insets.left, insets.right, insets.top, insets.bottom, original.width, original.height
            ),
        )
    })
}

/// Knock-out and crop detection on the whole upright image; returns the crop.
fn prepare(
    image: &mut Raster,
    recipe: &Recipe,
    compute: Compute<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<Insets>> {
    if let Some(knockout) = &recipe.knockout {
        let background = Background::Color { corner: knockout.corner, tolerance: knockout.tolerance };
        if let Some(plan) = crop_detect::Plan::new(background, image) {
            let mask = compute.match_mask(&plan, image)?;
            *image = knockout::cpu::apply(knockout, mask, image);
        }
    }
    let Some(Crop::Auto(background)) = recipe.crop else { return Ok(recipe.insets()) };
    let Some(plan) = crop_detect::Plan::new(background, image) else {
        warnings.push("not cropped: the image has no alpha channel to find transparent borders by".into());
        return Ok(None);
    };
    match compute.bounds(&plan, image)? {
        Some(rect) => Ok(Some(Insets::leaving(rect, image.size())).filter(|insets| !insets.is_zero())),
        None => {
            warnings.push("not cropped: every pixel counts as background".into());
            Ok(None)
        }
    }
}

/// Bytes needed to keep the source's own JPEG coefficients, as far as can be told before the crop is known; otherwise
/// the reason why full resolution is encoded anew.
fn may_carry(
    source: &dyn RowSource,
    recipe: &Recipe,
    colors: &Colors,
    free_bytes: u64,
) -> std::result::Result<u64, String> {
    if recipe.reencode {
        return Err("as asked".into());
    }
    if source.info().orientation != Orientation::Upright {
        return Err("it was turned upright".into());
    }
    if colors.plan.is_some() {
        return Err("its colours are converted".into());
    }
    let bytes = source.coefficient_bytes()?;
    if bytes > free_bytes {
        return Err(format!("its coefficients take {} MiB, more than --max-memory leaves", bytes >> 20));
    }
    Ok(bytes)
}

const OFF_THE_GRID: &str = "the crop does not start on the JPEG's block grid";

/// Whether `rect` can be cut out of the source's coefficients.
fn on_block_grid(source: &dyn RowSource, rect: Rect) -> bool {
    source.mcu().is_some_and(|mcu| rect.x.is_multiple_of(mcu.width) && rect.y.is_multiple_of(mcu.height))
}

/// Bytes held while a whole image is decoded, turned upright, masked and knocked out.
fn whole_bytes(info: &SourceInfo, knockout: bool) -> u64 {
    let image = info.size.pixels() * info.format.bytes_per_pixel() as u64;
    if knockout {
        image + info.size.pixels() * (info.format.with_alpha().bytes_per_pixel() as u64 + 1)
    } else if info.orientation == Orientation::Upright {
        image
    } else {
        2 * image
    }
}

/// What the source would say of itself if it had been stored as `image` is.
fn upright(info: &SourceInfo, image: &Raster) -> SourceInfo {
    let clipping_path = info.clipping_path.clone().map(|path| path.map(|path| path.oriented(info.orientation)));
    SourceInfo {
        size: image.size(),
        format: image.format,
        orientation: Orientation::Upright,
        clipping_path,
        ..info.clone()
    }
}

fn whole_upright(source: &mut dyn RowSource, limits: &Limits) -> Result<Raster> {
    let orientation = source.info().orientation;
    let image = decode::read_whole(&mut *source, limits)?;
    Ok(if orientation == Orientation::Upright { image } else { decode::orient::orient(&image, orientation) })
}

impl Recipe {
    fn insets(&self) -> Option<Insets> {
        match self.crop {
            Some(Crop::Insets(insets)) if !insets.is_zero() => Some(insets),
            _ => None,
        }
    }

    fn metadata(&self, info: &SourceInfo, colors: &Colors) -> decode::Metadata {
        let mut metadata = decode::Metadata { icc: colors.icc.clone(), ..info.metadata.clone() };
        if colors.plan.is_some() {
            metadata.exif.remove(&decode::metadata::COLOR_SPACE);
        }
        if info.orientation.swaps_sides()
            && let Some(resolution) = &mut metadata.resolution
        {
            std::mem::swap(&mut resolution.x, &mut resolution.y);
        }
        if let Some(dpi) = self.dpi {
            metadata.resolution = Some(Resolution { x: dpi, y: dpi, unit: ResolutionUnit::Inch });
        }
        if self.strip { metadata.stripped() } else { metadata }
    }
}
