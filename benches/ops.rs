//! Every operation on every backend, in megapixels of input per second ("Mitem/s" counts pixels).
//!
//! `cargo bench --bench ops -- downsample` runs one operation; `RAYON_NUM_THREADS=1` measures one core.
//! `OnGpu` takes the best adapter, a software one if there is no other, and is left out when there is none.
//! Its figures count upload and download.

use std::fmt;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use divan::counter::ItemsCount;
use reprise::decode::orient::orient;
use reprise::geometry::{Corner, Orientation, Size};
use reprise::gpu::{AdapterKind, Adapters, Gpu};
use reprise::ops::color::{self, Builtin, Profile, Rendering};
use reprise::ops::crop_detect::{self, Background};
use reprise::ops::knockout::{self, Fill, Knockout};
use reprise::ops::pyramid::{self, Executor, cpu::CpuExecutor, gpu::GpuExecutor};
use reprise::ops::resample::{self, Filter};
use reprise::ops::unsharp::{self, Unsharp};
use reprise::pixel::{Color, Depth, PixelFormat, Raster, Samples};

fn main() {
    match &*GPU {
        Some(gpu) => println!("OnGpu: {}", gpu.adapter()),
        None => println!("OnGpu: skipped, no adapter"),
    }
    divan::main();
}

const SIZE: Size = Size::new(5120, 2880);
/// Rows that the CPU gets at once.
const BAND_ROWS: u32 = 256;

const FORMATS: [Format; 6] = [
    Format(PixelFormat::new(Color::Rgb, false, Depth::U8)),
    Format(PixelFormat::new(Color::Gray, false, Depth::U8)),
    Format(PixelFormat::new(Color::Cmyk, false, Depth::U8)),
    Format(PixelFormat::new(Color::Rgb, true, Depth::U8)),
    Format(PixelFormat::new(Color::Rgb, false, Depth::U16)),
    Format(PixelFormat::new(Color::Rgb, true, Depth::U16)),
];

#[derive(Clone, Copy)]
struct Format(PixelFormat);

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

static GPU: LazyLock<Option<Gpu>> = LazyLock::new(|| Gpu::open(Adapters::Any).ok());

/// What computes. Each bench runs once for every type in its list.
trait Backend {
    /// Whether a bench of this cost, in taps for each pixel of a level, can be run here in reasonable time.
    fn can_run(taps: u32) -> bool;
    fn band_rows(plan: &pyramid::Plan) -> u32;
    fn executor(plan: &Arc<pyramid::Plan>) -> Box<dyn Executor>;
    fn bounds(plan: &crop_detect::Plan, image: &Raster) -> Option<reprise::geometry::Rect>;
    fn match_mask(plan: &crop_detect::Plan, image: &Raster) -> Vec<u8>;
    fn convert(plan: &color::Plan, image: &Raster) -> Raster;
}

struct Cpu;

impl Backend for Cpu {
    fn can_run(_taps: u32) -> bool {
        true
    }
    fn band_rows(_plan: &pyramid::Plan) -> u32 {
        BAND_ROWS
    }
    fn executor(plan: &Arc<pyramid::Plan>) -> Box<dyn Executor> {
        Box::new(CpuExecutor::new(plan.clone()))
    }
    fn bounds(plan: &crop_detect::Plan, image: &Raster) -> Option<reprise::geometry::Rect> {
        crop_detect::cpu::bounds(plan, image)
    }
    fn match_mask(plan: &crop_detect::Plan, image: &Raster) -> Vec<u8> {
        crop_detect::cpu::match_mask(plan, image)
    }
    fn convert(plan: &color::Plan, image: &Raster) -> Raster {
        color::cpu::convert(plan, image, 0)
    }
}

struct OnGpu;

impl OnGpu {
    fn gpu() -> &'static Gpu {
        GPU.as_ref().expect("can_run was asked")
    }
}

impl Backend for OnGpu {
    fn can_run(taps: u32) -> bool {
        GPU.as_ref().is_some_and(|gpu| taps < 64 || gpu.adapter().kind != AdapterKind::Software)
    }
    fn band_rows(plan: &pyramid::Plan) -> u32 {
        let gpu = Self::gpu();
        pyramid::gpu::band_rows(gpu, plan, gpu.pool_bytes()).expect("the bench image fits the adapter")
    }
    fn executor(plan: &Arc<pyramid::Plan>) -> Box<dyn Executor> {
        let executor = GpuExecutor::new(Self::gpu(), plan.clone(), Self::band_rows(plan));
        Box::new(executor.expect("the bench image fits the adapter"))
    }
    fn bounds(plan: &crop_detect::Plan, image: &Raster) -> Option<reprise::geometry::Rect> {
        crop_detect::gpu::bounds(Self::gpu(), plan, image).expect("the adapter works")
    }
    fn match_mask(plan: &crop_detect::Plan, image: &Raster) -> Vec<u8> {
        crop_detect::gpu::match_mask(Self::gpu(), plan, image).expect("the adapter works")
    }
    fn convert(plan: &color::Plan, image: &Raster) -> Raster {
        color::gpu::convert(Self::gpu(), plan, image, 0).expect("the adapter works")
    }
}

/// A product photo of sorts: white around a textured disc, which alpha cuts out softly.
fn photo(format: PixelFormat) -> Raster {
    let mut image = Raster::zeroed(format, SIZE);
    let channels = format.channels();
    let max = format.depth.max() as f32;
    let (cx, cy, radius) = (SIZE.width as f32 / 2.0, SIZE.height as f32 / 2.0, SIZE.height as f32 * 0.45);
    for index in 0..image.samples.len() {
        let (pixel, channel) = (index / channels, index % channels);
        let (x, y) = ((pixel % SIZE.width as usize) as f32, (pixel / SIZE.width as usize) as f32);
        let inside = (radius - (x - cx).hypot(y - cy)) / 8.0;
        let value = if format.alpha && channel == channels - 1 {
            inside
        } else if inside > 0.0 {
            0.5 + 0.3 * (x * 0.05 + channel as f32).sin() * (y * 0.07).cos() + 0.05 * (x * 1.9).sin() * (y * 2.3).sin()
        } else {
            1.0
        };
        let value = (value.clamp(0.0, 1.0) * max) as u32;
        match &mut image.samples {
            Samples::U8(s) => s[index] = value as u8,
            Samples::U16(s) => s[index] = value as u16,
        }
    }
    image
}

fn plan(format: PixelFormat, levels: Vec<Size>, unsharp: Option<Unsharp>) -> Arc<pyramid::Plan> {
    let unsharp = unsharp.as_ref().and_then(unsharp::Plan::new);
    Arc::new(pyramid::Plan { format, levels, resample: resample::Plan::new(Filter::default()), unsharp })
}

/// Pushes the whole image in bands, cut beforehand, and drops what comes out.
fn run<B: Backend>(bencher: Bencher, plan: Arc<pyramid::Plan>) {
    let taps = plan.unsharp.as_ref().map_or(0, |unsharp| 2 * unsharp.halo() + 1);
    if !B::can_run(taps) {
        return;
    }
    let image = photo(plan.format);
    let band_rows = B::band_rows(&plan);
    let bands: Vec<Raster> = (0..SIZE.height)
        .step_by(band_rows as usize)
        .map(|start| {
            let mut band = Raster::empty(image.format, image.width);
            band.append_rows(&image, start..SIZE.height.min(start + band_rows));
            band
        })
        .collect();
    bencher.counter(ItemsCount::new(SIZE.pixels())).with_inputs(|| B::executor(&plan)).bench_values(|mut executor| {
        for band in &bands {
            let mut sink = |_: usize, _: u32, rows: &Raster| {
                divan::black_box(rows);
                Ok(())
            };
            executor.push(band, &mut sink).expect("the bench image fits its plan");
        }
    });
}

/// One level below full resolution.
#[divan::bench(types = [Cpu, OnGpu], args = FORMATS, sample_count = 10)]
fn downsample<B: Backend>(bencher: Bencher, Format(format): Format) {
    run::<B>(bencher, plan(format, vec![SIZE, SIZE.halved()], None));
}

/// All levels.
#[divan::bench(types = [Cpu, OnGpu], args = FORMATS, sample_count = 10)]
fn pyramid_plain<B: Backend>(bencher: Bencher, Format(format): Format) {
    run::<B>(bencher, plan(format, SIZE.levels(256).collect(), None));
}

/// All levels, sharpened with the settings that product photos usually get.
#[divan::bench(types = [Cpu, OnGpu], args = FORMATS, sample_count = 10)]
fn pyramid_unsharp<B: Backend>(bencher: Bencher, Format(format): Format) {
    let unsharp = Unsharp { amount: 1.75, radius_px: 0.9, threshold: 2, monochrome: false };
    run::<B>(bencher, plan(format, SIZE.levels(256).collect(), Some(unsharp)));
}

/// All levels of 8-bit RGB, by radius of the unsharp mask.
#[divan::bench(types = [Cpu, OnGpu], args = [0.5, 2.0, 10.0, 50.0, 250.0], sample_count = 5)]
fn pyramid_unsharp_radius<B: Backend>(bencher: Bencher, radius_px: f64) {
    let Format(format) = FORMATS[0];
    let unsharp = Unsharp { amount: 1.0, radius_px, threshold: 2, monochrome: false };
    run::<B>(bencher, plan(format, SIZE.levels(256).collect(), Some(unsharp)));
}

fn crop_plan(image: &Raster) -> crop_detect::Plan {
    let background = Background::Color { corner: Corner::UpperLeft, tolerance: 0.02 };
    crop_detect::Plan::new(background, image).expect("colour needs no alpha")
}

#[divan::bench(types = [Cpu, OnGpu], args = FORMATS, sample_count = 10)]
fn crop_detect_bounds<B: Backend>(bencher: Bencher, Format(format): Format) {
    if !B::can_run(0) {
        return;
    }
    let image = photo(format);
    let plan = crop_plan(&image);
    bencher.counter(ItemsCount::new(SIZE.pixels())).bench_local(|| B::bounds(&plan, &image));
}

#[divan::bench(types = [Cpu, OnGpu], args = FORMATS, sample_count = 10)]
fn crop_detect_mask<B: Backend>(bencher: Bencher, Format(format): Format) {
    if !B::can_run(0) {
        return;
    }
    let image = photo(format);
    let plan = crop_plan(&image);
    bencher.counter(ItemsCount::new(SIZE.pixels())).bench_local(|| B::match_mask(&plan, &image));
}

/// To Adobe RGB: RGB through a matrix, the others through grids. The tables are made beforehand.
#[divan::bench(types = [Cpu, OnGpu], args = FORMATS, sample_count = 10)]
fn color_convert<B: Backend>(bencher: Bencher, Format(format): Format) {
    if !B::can_run(0) {
        return;
    }
    let image = photo(format);
    let from = Profile::assumed(format.color);
    let to = Profile::builtin(Builtin::AdobeRgb);
    let plan = color::Plan::new(format, from, to, Rendering::default(), false).expect("built-in profiles connect");
    bencher.counter(ItemsCount::new(SIZE.pixels())).bench_local(|| B::convert(&plan, &image));
}

/// The tables alone, once per pair of profiles and format.
#[divan::bench(args = [Builtin::AdobeRgb, Builtin::Gray, Builtin::Cmyk], sample_count = 10)]
fn color_plan(bencher: Bencher, from: Builtin) {
    let (from, to) = (Profile::builtin(from), Profile::builtin(Builtin::Srgb));
    let format = PixelFormat::new(from.color(), false, Depth::U8);
    bencher.bench_local(|| color::Plan::new(format, from, to, Rendering::default(), false));
}

/// Filling and applying, which the CPU always does.
#[divan::bench(args = FORMATS, sample_count = 10)]
fn knockout_flood(bencher: Bencher, Format(format): Format) {
    let image = photo(format);
    let mask = crop_detect::cpu::match_mask(&crop_plan(&image), &image);
    let knockout = Knockout { corner: Corner::UpperLeft, tolerance: 0.02, fill: Fill::FloodFill };
    bencher
        .counter(ItemsCount::new(SIZE.pixels()))
        .with_inputs(|| mask.clone())
        .bench_values(|mask| knockout::cpu::apply(&knockout, mask, &image));
}

#[divan::bench(args = FORMATS, sample_count = 10)]
fn orient_rotate90(bencher: Bencher, Format(format): Format) {
    let image = photo(format);
    bencher.counter(ItemsCount::new(SIZE.pixels())).bench_local(|| orient(&image, Orientation::Rotate90));
}
