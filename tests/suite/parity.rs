//! The shaders give the CPU's bits: every operation, format and filter, sizes and bands that meet every edge;
//! and the GPU's limits, its loss and its sharing between threads change no pixel and end no process.

use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::thread;

use reprise::geometry::{Corner, Size};
use reprise::gpu::{AdapterKind, Adapters, Config, Gpu};
use reprise::ops::crop_detect::{self, Background};
use reprise::ops::pyramid::{Executor, Plan, cpu::CpuExecutor, gpu::GpuExecutor, gpu::band_rows};
use reprise::ops::resample::{self, Filter};
use reprise::ops::unsharp::{self, Unsharp};
use reprise::pixel::{Color, Depth, PixelFormat, Raster};
use reprise::{Error, ErrorKind};

use crate::support::{SIZES, assert_same, difference, levels_of, noise, scene, set};

const FILTERS: [Filter; 3] = [Filter::Lanczos, Filter::Box, Filter::BicubicSharper];
const RGBA: PixelFormat = PixelFormat::new(Color::Rgb, true, Depth::U8);
const NO_BUDGET: u64 = u64::MAX;

/// A device with this configuration; `None`, said aloud, when there is no adapter and `REQUIRE_GPU` is not set.
pub fn open(config: Config) -> Option<Gpu> {
    match Gpu::open_with(config) {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            assert!(std::env::var_os("REQUIRE_GPU").is_none_or(|v| v != "1"), "REQUIRE_GPU=1, but {error}");
            println!("skipped: no adapter ({error})");
            None
        }
    }
}

/// The device that most tests share.
pub fn shared() -> Option<Gpu> {
    static SHARED: LazyLock<Option<Gpu>> = LazyLock::new(|| open(Config::new(Adapters::Any)));
    if SHARED.is_none() {
        println!("skipped: no adapter");
    }
    SHARED.clone()
}

fn plan(image: &Raster, tile: u32, filter: Filter, unsharp: Option<Unsharp>) -> Arc<Plan> {
    Arc::new(Plan {
        format: image.format,
        levels: image.size().levels(tile).collect(),
        resample: resample::Plan::new(filter),
        unsharp: unsharp.and_then(|u| unsharp::Plan::new(&u)),
    })
}

fn on_cpu(plan: &Arc<Plan>, image: &Raster) -> Vec<Raster> {
    levels_of(&mut CpuExecutor::new(Arc::clone(plan)), plan, image, image.height)
}

fn on_gpu(gpu: &Gpu, plan: &Arc<Plan>, image: &Raster, band: u32) -> Vec<Raster> {
    let mut executor = GpuExecutor::new(gpu, Arc::clone(plan), band).expect("the band fits");
    levels_of(&mut executor, plan, image, band)
}

fn same_levels(gpu: &Gpu, plan: &Arc<Plan>, image: &Raster, bands: &[u32], what: &str) {
    let expected = on_cpu(plan, image);
    for &band in bands {
        let levels = on_gpu(gpu, plan, image, band);
        for (level, (expected, got)) in expected.iter().zip(&levels).enumerate() {
            let what =
                format!("{what}, {}, {} × {}, bands of {band}, level {level}", image.format, image.width, image.height);
            assert_same(expected, got, what);
        }
    }
}

#[test]
fn downsampling_every_format_filter_and_size() {
    let Some(gpu) = shared() else { return };
    for format in PixelFormat::all() {
        for filter in FILTERS {
            for size in SIZES {
                let image = noise(format, size, 7);
                same_levels(&gpu, &plan(&image, 1, filter, None), &image, &[size.height], &format!("{filter:?}"));
            }
        }
    }
}

#[test]
fn downsampling_in_bands_of_any_height() {
    let Some(gpu) = shared() else { return };
    for format in PixelFormat::all() {
        let image = scene(format, Size::new(67, 83), 3);
        same_levels(&gpu, &plan(&image, 4, Filter::Lanczos, None), &image, &[83, 1, 2, 7, 16, 41, 82], "Lanczos");
    }
}

#[test]
fn extremes_of_every_format_survive_alike() {
    let Some(gpu) = shared() else { return };
    // Full-scale checkers drive every sum of the contracts to its bounds.
    for format in PixelFormat::all() {
        for period in [1, 2, 3, 4] {
            let image = crate::support::from_fn(format, Size::new(41, 39), |x, y, _| {
                if ((x / period) + (y / period)) % 2 == 0 { format.depth.max() } else { 0 }
            });
            let strong = Unsharp { amount: 5.0, radius_px: 2.0, threshold: 0, monochrome: false };
            for filter in FILTERS {
                same_levels(&gpu, &plan(&image, 8, filter, Some(strong)), &image, &[39], "checkers");
            }
        }
    }
}

#[test]
fn unsharp_every_format_and_size() {
    let Some(gpu) = shared() else { return };
    let parameters = [
        Unsharp { amount: 1.0, radius_px: 1.0, threshold: 6, monochrome: false },
        Unsharp { amount: 1.75, radius_px: 1.3, threshold: 2, monochrome: true },
        Unsharp { amount: 5.0, radius_px: 0.6, threshold: 0, monochrome: false },
        Unsharp { amount: 5.0, radius_px: 2.5, threshold: 40, monochrome: true },
    ];
    for format in PixelFormat::all() {
        for unsharp in parameters {
            for size in SIZES {
                let image = noise(format, size, 11);
                let plan = plan(&image, 1, Filter::Lanczos, Some(unsharp));
                same_levels(&gpu, &plan, &image, &[size.height], &format!("{unsharp:?}"));
            }
        }
    }
}

#[test]
fn unsharp_in_bands_of_any_height() {
    let Some(gpu) = shared() else { return };
    for format in PixelFormat::all() {
        for monochrome in [false, true] {
            let image = scene(format, Size::new(75, 91), 5);
            let unsharp = Unsharp { amount: 2.0, radius_px: 1.7, threshold: 1, monochrome };
            let plan = plan(&image, 8, Filter::Box, Some(unsharp));
            same_levels(&gpu, &plan, &image, &[91, 1, 13, 64], &format!("{unsharp:?}"));
        }
    }
}

#[test]
fn unsharp_with_kernels_wider_than_the_image() {
    let Some(gpu) = shared() else { return };
    for radius_px in [30.0, 250.0] {
        let image = scene(RGBA, Size::new(40, 60), 5);
        let unsharp = Unsharp { amount: 1.0, radius_px, threshold: 0, monochrome: false };
        let plan = plan(&image, 8, Filter::Lanczos, Some(unsharp));
        same_levels(&gpu, &plan, &image, &[60, 23], &format!("{unsharp:?}"));
    }
}

#[test]
fn luma_rounds_ties_alike() {
    let Some(gpu) = shared() else { return };
    // The luma of every other block of 2 × 2 pixels lies exactly between two integers: 3735 · 16384 / 2^15.
    let format = PixelFormat::new(Color::Rgb, false, Depth::U16);
    let image = crate::support::from_fn(format, Size::new(40, 40), |x, y, channel| {
        let tie = [0, 0, 16384];
        if (x / 2 + y / 2) % 2 == 0 { tie[channel] } else { [9000, 30000, 5000][channel] }
    });
    let unsharp = Unsharp { amount: 5.0, radius_px: 1.0, threshold: 0, monochrome: true };
    same_levels(&gpu, &plan(&image, 20, Filter::Box, Some(unsharp)), &image, &[40], "ties");
}

#[test]
fn a_larger_image_of_many_workgroups() {
    let Some(gpu) = shared() else { return };
    for format in [RGBA, PixelFormat::new(Color::Cmyk, false, Depth::U16)] {
        let image = scene(format, Size::new(1031, 517), 9);
        let unsharp = Unsharp { amount: 1.5, radius_px: 1.0, threshold: 3, monochrome: false };
        same_levels(&gpu, &plan(&image, 256, Filter::Lanczos, Some(unsharp)), &image, &[517, 128], "larger");
    }
}

#[test]
fn a_planted_fault_is_found() {
    let Some(gpu) = shared() else { return };
    let image = scene(RGBA, Size::new(64, 50), 1);
    let plan = plan(&image, 8, Filter::Lanczos, None);
    let expected = on_cpu(&plan, &image);

    let mut faulty = image.clone();
    set(&mut faulty, 40, 25, 3, image.at(40, 25, 3) ^ 0x40);
    assert!(difference(&expected[1], &on_gpu(&gpu, &plan, &faulty, 50)[1]).is_some(), "one pixel of the input");

    // The smallest fault that a loop can have: one weight, by one unit.
    let mut weights = Plan::clone(&plan);
    weights.resample.taps[3] += 1;
    let levels = on_gpu(&gpu, &Arc::new(weights), &image, 50);
    assert!(expected.iter().zip(&levels).any(|(a, b)| difference(a, b).is_some()), "one weight");
}

fn backgrounds() -> Vec<Background> {
    let mut all = Vec::new();
    for tolerance in [0.0, 0.02, 0.1, 0.5, 1.0] {
        all.push(Background::Transparent { tolerance });
        for corner in [Corner::UpperLeft, Corner::UpperRight, Corner::BottomLeft, Corner::BottomRight] {
            all.push(Background::Color { corner, tolerance });
        }
    }
    all
}

fn same_crop(gpu: &Gpu, image: &Raster) {
    for background in backgrounds() {
        let Some(plan) = crop_detect::Plan::new(background, image) else { continue };
        let what = format!("{background:?}, {}, {} × {}", image.format, image.width, image.height);
        let mask = crop_detect::gpu::match_mask(gpu, &plan, image).expect("a mask");
        assert_eq!(mask.len(), image.width as usize * image.height as usize);
        assert!(mask == crop_detect::cpu::match_mask(&plan, image), "mask: {what}");
        let bounds = crop_detect::gpu::bounds(gpu, &plan, image).expect("bounds");
        assert_eq!(bounds, crop_detect::cpu::bounds(&plan, image), "bounds: {what}");
    }
}

#[test]
fn crop_bounds_and_masks_of_every_format_and_size() {
    let Some(gpu) = shared() else { return };
    for format in PixelFormat::all() {
        for size in SIZES {
            same_crop(&gpu, &noise(format, size, 13));
        }
        same_crop(&gpu, &scene(format, Size::new(130, 150), 2));
    }
}

#[test]
fn crop_finds_one_pixel_anywhere() {
    let Some(gpu) = shared() else { return };
    let format = PixelFormat::new(Color::Rgb, false, Depth::U8);
    let size = Size::new(131, 140);
    for (x, y) in [(130, 139), (64, 0), (1, 63), (63, 64), (65, 127), (127, 16)] {
        let mut image = Raster::zeroed(format, size);
        set(&mut image, x, y, 2, 9);
        let background = Background::Color { corner: Corner::UpperLeft, tolerance: 8.0 / 255.0 };
        let plan = crop_detect::Plan::new(background, &image).expect("a plan");
        let found = crop_detect::gpu::bounds(&gpu, &plan, &image).expect("bounds").expect("a pixel");
        assert_eq!((found.x, found.y, found.width, found.height), (x, y, 1, 1));
    }
}

#[test]
fn images_over_the_binding_limit_go_in_bands() {
    let config = Config { max_binding_bytes: Some(64 << 10), ..Config::new(Adapters::Any) };
    let Some(gpu) = open(config) else { return };
    assert_eq!(gpu.adapter().max_binding_bytes, 64 << 10);
    for format in PixelFormat::all() {
        let image = scene(format, Size::new(271, 419), 4);
        let unsharp = Unsharp { amount: 1.0, radius_px: 1.0, threshold: 2, monochrome: false };
        for unsharp in [None, Some(unsharp)] {
            let plan = plan(&image, 64, Filter::Lanczos, unsharp);
            let band = band_rows(&gpu, &plan, NO_BUDGET).expect("bands fit");
            assert!((16..image.height).contains(&band), "{format}: bands of {band}");
            same_levels(&gpu, &plan, &image, &[band], "lowered limit");
            let over = GpuExecutor::new(&gpu, Arc::clone(&plan), band + 1).expect_err("one row more is too many");
            assert_eq!(over.kind, ErrorKind::Device);
        }
        same_crop(&gpu, &image);
    }
}

#[test]
fn images_that_fit_go_in_one_band_and_rows_that_do_not_are_refused() {
    let config = Config { max_binding_bytes: Some(1 << 20), ..Config::new(Adapters::Any) };
    let Some(gpu) = open(config) else { return };
    let small = Raster::zeroed(RGBA, Size::new(200, 300));
    assert_eq!(band_rows(&gpu, &plan(&small, 64, Filter::Lanczos, None), NO_BUDGET), Some(300));
    let few_bytes = band_rows(&gpu, &plan(&small, 64, Filter::Lanczos, None), 300 << 10).expect("bands fit");
    assert!(few_bytes < 300, "a budget makes bands smaller: {few_bytes}");

    let wide = Raster::zeroed(RGBA, Size::new(300_000, 20));
    let wide_plan = plan(&wide, 256, Filter::Lanczos, None);
    assert_eq!(band_rows(&gpu, &wide_plan, NO_BUDGET), None);
    assert_eq!(GpuExecutor::new(&gpu, wide_plan, 20).expect_err("too wide").kind, ErrorKind::Device);
    let crop = crop_detect::Plan::Transparent { alpha_limit: 0 };
    assert_eq!(crop_detect::gpu::bounds(&gpu, &crop, &wide).expect_err("too wide").kind, ErrorKind::Device);
}

#[test]
fn a_band_is_one_upload_one_submission_one_download() {
    let Some(gpu) = open(Config::new(Adapters::Any)) else { return };
    let image = scene(RGBA, Size::new(120, 90), 6);
    let unsharp = Unsharp { amount: 1.0, radius_px: 1.0, threshold: 2, monochrome: false };
    let plan = plan(&image, 8, Filter::Lanczos, Some(unsharp));
    let mut executor = GpuExecutor::new(&gpu, plan, 90).expect("fits");
    let before = gpu.traffic();
    executor.push(&image, &mut |_, _, _| Ok(())).expect("runs");
    let after = gpu.traffic();
    let made =
        [after.uploads - before.uploads, after.submissions - before.submissions, after.downloads - before.downloads];
    assert_eq!(made, [1, 1, 1]);
}

#[test]
fn wrong_bands_are_refused() {
    let Some(gpu) = shared() else { return };
    let image = scene(RGBA, Size::new(40, 30), 6);
    let mut executor = GpuExecutor::new(&gpu, plan(&image, 8, Filter::Box, None), 20).expect("fits");
    let mut push = |band: &Raster| executor.push(band, &mut |_, _, _| Ok(()));
    let kind = |result: Result<(), Error>| result.expect_err("refused").kind;
    assert_eq!(kind(push(&Raster::zeroed(RGBA, Size::new(41, 5)))), ErrorKind::Misuse);
    assert_eq!(kind(push(&Raster::zeroed(RGBA, Size::new(40, 21)))), ErrorKind::Misuse);
    push(&Raster::zeroed(RGBA, Size::new(40, 20))).expect("fits");
    assert_eq!(kind(push(&Raster::zeroed(RGBA, Size::new(40, 11)))), ErrorKind::Misuse);
    push(&Raster::zeroed(RGBA, Size::new(40, 10))).expect("fits");
}

#[test]
fn a_lost_device_fails_every_call_and_hangs_none() {
    let Some(gpu) = open(Config::new(Adapters::Any)) else { return };
    let image = scene(RGBA, Size::new(120, 90), 6);
    let unsharp = Unsharp { amount: 1.0, radius_px: 1.0, threshold: 2, monochrome: false };
    let plan = plan(&image, 8, Filter::Lanczos, Some(unsharp));
    let mut executor = GpuExecutor::new(&gpu, Arc::clone(&plan), 40).expect("fits");
    let band = |rows: std::ops::Range<u32>| {
        let mut band = Raster::empty(RGBA, image.width);
        band.append_rows(&image, rows);
        band
    };
    let mut emitted = 0;
    let mut sink = |_: usize, _: u32, rows: &Raster| {
        emitted += rows.height;
        Ok(())
    };
    executor.push(&band(0..40), &mut sink).expect("the device works");
    assert!(emitted > 0);
    assert_eq!(gpu.lost(), None);

    gpu.destroy();
    assert!(gpu.lost().is_some());
    for _ in 0..2 {
        let error = executor.push(&band(40..80), &mut |_, _, _| panic!("rows after the loss")).expect_err("lost");
        assert_eq!(error.kind, ErrorKind::Device, "{error}");
    }
    assert_eq!(GpuExecutor::new(&gpu, plan, 40).expect_err("lost").kind, ErrorKind::Device);
    let crop = crop_detect::Plan::Transparent { alpha_limit: 0 };
    assert_eq!(crop_detect::gpu::bounds(&gpu, &crop, &image).expect_err("lost").kind, ErrorKind::Device);
    assert_eq!(crop_detect::gpu::match_mask(&gpu, &crop, &image).expect_err("lost").kind, ErrorKind::Device);
}

#[test]
fn a_device_lost_while_threads_work_fails_them_all() {
    let Some(gpu) = open(Config::new(Adapters::Any)) else { return };
    let image = scene(RGBA, Size::new(200, 150), 6);
    let plan = plan(&image, 8, Filter::Lanczos, None);
    let expected = on_cpu(&plan, &image);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    // Whole images until the loss; what comes back before it is right.
                    loop {
                        let mut executor = match GpuExecutor::new(&gpu, Arc::clone(&plan), 150) {
                            Ok(executor) => executor,
                            Err(error) => return error,
                        };
                        let mut levels = Vec::new();
                        let mut sink = |_: usize, _: u32, rows: &Raster| {
                            levels.push(rows.clone());
                            Ok(())
                        };
                        if let Err(error) = executor.push(&image, &mut sink) {
                            return error;
                        }
                        assert_same(&expected[1], &levels[0], "before the loss");
                    }
                })
            })
            .collect();
        thread::sleep(std::time::Duration::from_millis(300));
        gpu.destroy();
        for worker in workers {
            let error = worker.join().expect("no panic");
            assert_eq!(error.kind, ErrorKind::Device, "{error}");
        }
    });
}

#[test]
fn threads_share_a_device_and_its_budget() {
    // The pool holds about two of these images at once, so threads wait for each other.
    let config = Config { pool_bytes: 3 << 20, ..Config::new(Adapters::Any) };
    let Some(gpu) = open(config) else { return };
    thread::scope(|scope| {
        for (seed, format) in PixelFormat::all().enumerate() {
            let gpu = &gpu;
            scope.spawn(move || {
                for round in 0..3 {
                    let image = scene(format, Size::new(190, 120 + round), seed as u64);
                    let unsharp = Unsharp { amount: 1.0, radius_px: 1.0, threshold: 2, monochrome: false };
                    let plan = plan(&image, 32, Filter::Lanczos, Some(unsharp));
                    same_levels(gpu, &plan, &image, &[50, 120 + round], "shared");
                    let crop = Background::Color { corner: Corner::UpperLeft, tolerance: 0.2 };
                    let crop = crop_detect::Plan::new(crop, &image).expect("a plan");
                    let bounds = crop_detect::gpu::bounds(gpu, &crop, &image).expect("bounds");
                    assert_eq!(bounds, crop_detect::cpu::bounds(&crop, &image));
                }
            });
        }
    });
    let pooled = gpu.pooled_bytes();
    assert!(pooled <= gpu.pool_bytes(), "{pooled} bytes are kept");
}

#[test]
fn buffers_are_used_again() {
    let Some(gpu) = open(Config::new(Adapters::Any)) else { return };
    let image = scene(RGBA, Size::new(120, 90), 6);
    let unsharp = Unsharp { amount: 1.0, radius_px: 1.0, threshold: 2, monochrome: false };
    let plan = plan(&image, 8, Filter::Lanczos, Some(unsharp));
    let first = on_gpu(&gpu, &plan, &image, 40);
    let pooled = gpu.pooled_bytes();
    for _ in 0..3 {
        assert!(on_gpu(&gpu, &plan, &image, 40) == first);
    }
    assert_eq!(gpu.pooled_bytes(), pooled);
}

#[test]
fn software_adapters_are_opened_only_when_asked_for() {
    match Gpu::open(Adapters::Hardware) {
        Ok(gpu) => assert_ne!(gpu.adapter().kind, AdapterKind::Software),
        Err(error) => assert_eq!(error.kind, ErrorKind::Device),
    }
}

#[test]
fn more_than_the_whole_budget_is_refused_at_once() {
    let config = Config { pool_bytes: 1 << 20, ..Config::new(Adapters::Any) };
    let Some(gpu) = open(config) else { return };
    assert_eq!(gpu.reserve((1 << 20) + 1).expect_err("too much").kind, ErrorKind::Device);
    let image = Raster::zeroed(RGBA, Size::new(1000, 1000));
    let plan = plan(&image, 256, Filter::Lanczos, None);
    let band = band_rows(&gpu, &plan, NO_BUDGET).expect("bands fit");
    assert!(band < 1000, "the pool bounds the band: {band}");
    GpuExecutor::new(&gpu, plan, band).expect("fits");
}

/// The inner half of the test after this one: runs in a process that has little memory.
#[test]
#[ignore = "run by exhausted_memory_fails_one_call_and_leaves_the_device_alive"]
fn in_a_process_with_little_memory() {
    let Some(gpu) = open(Config { pool_bytes: u64::MAX, ..Config::new(Adapters::Any) }) else { return };
    let mut held = Vec::new();
    let error = loop {
        match gpu.storage(256 << 20) {
            Ok(buffer) => held.push(buffer),
            Err(error) => break error,
        }
        assert!(held.len() < 64, "memory is not limited");
    };
    assert!(error.kind == ErrorKind::Device && error.message.contains("out of memory"), "{error}");
    assert_eq!(gpu.lost(), None);
    held.clear();
    let image = scene(RGBA, Size::new(64, 50), 1);
    same_levels(&gpu, &plan(&image, 8, Filter::Lanczos, None), &image, &[50], "after exhaustion");
}

#[test]
fn exhausted_memory_fails_one_call_and_leaves_the_device_alive() {
    let Some(gpu) = shared() else { return };
    if gpu.adapter().kind != AdapterKind::Software || !cfg!(target_os = "linux") {
        println!("skipped: only a software adapter takes its memory from its process");
        return;
    }
    let this = std::env::current_exe().expect("the test binary");
    let inner = ["parity::in_a_process_with_little_memory", "--exact", "--ignored", "--nocapture"];
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 3000000 && exec \"$0\" \"$@\""])
        .arg(this)
        .args(inner)
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn adapters_are_listed_with_their_limits() {
    for adapter in reprise::gpu::adapters() {
        assert!(!adapter.name.is_empty() && adapter.max_binding_bytes > 0 && adapter.max_workgroups >= 65535);
    }
}
