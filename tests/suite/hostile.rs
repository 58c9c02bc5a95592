//! What must not stop a batch: broken originals, a lost device, too little memory.

use std::path::Path;

use reprise::encode::ptiff;
use reprise::engine::{Backend, Context, Recipe, Used, batch, pipeline};
use reprise::geometry::Size;
use reprise::gpu::{Adapters, Gpu};
use reprise::ops::unsharp::Unsharp;
use reprise::pixel::{Color, Depth, PixelFormat};

use crate::hostile_files::twenty_broken_files;
use crate::originals::{jpeg, png, save, tiff};
use crate::program::reprise_with_peak;
use crate::support::scene;

const RGB: PixelFormat = PixelFormat::new(Color::Rgb, false, Depth::U8);

/// 480 good originals of many kinds: mostly small, some of several megapixels.
fn good_originals() -> Vec<(String, Vec<u8>)> {
    let gray = PixelFormat { color: Color::Gray, ..RGB };
    let cmyk = PixelFormat { color: Color::Cmyk, ..RGB };
    let deep = PixelFormat { depth: Depth::U16, ..RGB };
    let mut kinds: Vec<(&str, Vec<u8>)> = vec![
        ("png", png(&scene(RGB, Size::new(300, 200), 1))),
        ("png", png(&scene(RGB.with_alpha(), Size::new(257, 129), 2))),
        ("png", png(&scene(gray, Size::new(64, 500), 3))),
        ("jpg", jpeg(&scene(RGB, Size::new(272, 272), 4), true)),
        ("jpg", jpeg(&scene(gray, Size::new(304, 304), 5), false)),
        ("tif", tiff(&scene(cmyk, Size::new(280, 190), 6))),
        ("tif", tiff(&scene(deep, Size::new(200, 280), 7))),
    ];
    let small = kinds.len();
    kinds.push(("jpg", jpeg(&scene(RGB, Size::new(2048, 2048), 8), true)));
    kinds.push(("tif", tiff(&scene(RGB, Size::new(3000, 2000), 9))));
    (0..480)
        .map(|i| {
            let (extension, bytes) = &kinds[if i % 60 == 0 { small + (i / 60) % 2 } else { i % small }];
            (format!("{i:03}.{extension}"), bytes.clone())
        })
        .collect()
}

#[test]
fn a_batch_of_500_with_20_broken_files_gives_480_results_and_20_errors() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let good = good_originals();
    let samples: Vec<_> = good.iter().take(7).cloned().collect();
    let broken = twenty_broken_files(&samples);
    assert_eq!((good.len(), broken.len()), (480, 20));
    for (name, bytes) in &good {
        save(folder, &format!("in/{name}"), bytes);
    }
    for file in &broken {
        save(folder, &format!("in/broken/{}", file.name), &file.bytes);
    }
    const LIMIT_BYTES: u64 = 256_000_000;
    let (run, peak_bytes) = reprise_with_peak(folder, &["convert", "in", "out", "--max-memory", "256M"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(run.stdout.lines().count(), 480);
    let errors: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 20, "{errors:#?}");
    for file in &broken {
        let naming: Vec<_> = errors.iter().filter(|line| line.contains(&format!("broken/{}:", file.name))).collect();
        assert_eq!(naming.len(), 1, "{}: {errors:#?}", file.name);
    }
    assert!(peak_bytes > 0 && peak_bytes <= LIMIT_BYTES, "{peak_bytes} bytes of {LIMIT_BYTES}");
    let written = walkdir::WalkDir::new(folder.join("out"));
    let files: Vec<_> = written.into_iter().map(|e| e.unwrap()).filter(|e| e.file_type().is_file()).collect();
    assert_eq!(files.len(), 480, "half-written files were left behind");
}

fn context(backend: Backend) -> Context {
    Context::new(backend, 1 << 30, 2).unwrap()
}

fn recipe() -> Recipe {
    let unsharp = Unsharp { amount: 1.0, radius_px: 1.0, threshold: 0, monochrome: false };
    Recipe { unsharp: Some(unsharp), ..Recipe::default() }
}

#[test]
fn a_device_lost_in_the_middle_of_a_batch_costs_no_image_and_no_bit() {
    let Ok(gpu) = Gpu::open(Adapters::Any) else {
        assert!(std::env::var_os("REQUIRE_GPU").is_none(), "REQUIRE_GPU is set and there is no adapter");
        println!("skipped: no adapter");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let inputs: Vec<_> = (0..12)
        .map(|i| save(folder, &format!("{i}.png"), &png(&scene(RGB, Size::new(600 + i, 400), i.into()))))
        .collect();
    let convert_all = |context: &Context, out: &Path, on_each: &mut dyn FnMut(usize)| {
        std::fs::create_dir_all(out).unwrap();
        let mut done = Vec::new();
        batch::run(
            inputs.iter().enumerate(),
            2,
            || false,
            |(i, path)| pipeline::convert(path, &out.join(format!("{i}.tif")), &recipe(), context),
            |(i, _), result| {
                done.push((i, result.unwrap()));
                on_each(done.len());
            },
        );
        done
    };
    convert_all(&context(Backend::cpu()), &folder.join("cpu"), &mut |_| ());
    let lost = gpu.clone();
    let done = convert_all(&context(Backend::gpu(gpu, Adapters::Any)), &folder.join("gpu"), &mut |finished| {
        if finished == 4 {
            lost.destroy();
        }
    });
    assert_eq!(done.len(), 12);
    for i in 0..12 {
        let name = format!("{i}.tif");
        let same = std::fs::read(folder.join("cpu").join(&name)).unwrap()
            == std::fs::read(folder.join("gpu").join(&name)).unwrap();
        assert!(same, "{name}");
    }
    assert!(done.iter().any(|(_, c)| matches!(c.backend, Used::Gpu(_))), "the GPU was used");
    for (_, converted) in &done {
        if let Used::CpuAfterGpu(reason) = &converted.backend {
            assert!(
                !reason.is_empty() && converted.warnings.iter().any(|w| w.contains(reason)),
                "{:?}",
                converted.warnings
            );
        }
    }
}

#[test]
fn a_device_that_is_lost_before_an_image_is_replaced() {
    let Ok(gpu) = Gpu::open(Adapters::Any) else {
        println!("skipped: no adapter");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let input = save(dir.path(), "a.png", &png(&scene(RGB, Size::new(300, 300), 1)));
    let output = dir.path().join("a.tif");
    gpu.destroy();
    let context = context(Backend::gpu(gpu, Adapters::Any));
    let converted = pipeline::convert(&input, &output, &recipe(), &context).unwrap();
    assert!(matches!(converted.backend, Used::Gpu(_)), "{:?}", converted.backend);
}

#[test]
fn an_image_beyond_the_memory_limit_fails_alone_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let input = save(dir.path(), "a.png", &png(&scene(RGB, Size::new(6000, 4000), 1)));
    let small = Context::new(Backend::cpu(), 100 << 20, 2).unwrap();
    // Bands of this image fit; the whole of it, which knock-out needs, does not.
    let banded = pipeline::convert(&input, &dir.path().join("a.tif"), &Recipe::default(), &small).unwrap();
    assert_eq!(ptiff::read_structure(&dir.path().join("a.tif")).unwrap().levels[0].size, banded.size);
    let knockout = reprise::ops::knockout::Knockout {
        corner: reprise::geometry::Corner::UpperLeft,
        tolerance: 0.0,
        fill: reprise::ops::knockout::Fill::FloodFill,
    };
    let recipe = Recipe { knockout: Some(knockout), ..Recipe::default() };
    let error = pipeline::convert(&input, &dir.path().join("b.tif"), &recipe, &small).unwrap_err();
    assert_eq!(error.kind, reprise::ErrorKind::Limit);
    assert!(error.message.contains("--max-memory"), "{error}");
    assert!(!dir.path().join("b.tif").exists());
}
