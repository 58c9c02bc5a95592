//! Colour conversion: tables against the engine's float path, both backends, profiles of every sort, jobs end to end.

use std::fmt::Write;
use std::path::Path;

use reprise::encode::ptiff;
use reprise::geometry::Size;
use reprise::gpu::{Adapters, Gpu};
use reprise::ops::color::{self, Builtin, Evaluator, Intent, Plan, Profile, Rendering};
use reprise::pixel::{Color, Depth, PixelFormat, Raster};

use crate::originals::save;
use crate::program::reprise;
use crate::support::{Random, SIZES, assert_same, from_fn, noise, scene};
use crate::tolerances;

/// ΔE2000 of two colours in Lab, as Sharma, Wu and Dalal published it (2005).
fn delta_e_2000(a: [f64; 3], b: [f64; 3]) -> f64 {
    let chroma = |c: [f64; 3]| c[1].hypot(c[2]);
    let mean_chroma = (chroma(a) + chroma(b)) / 2.0;
    let g = 0.5 * (1.0 - (mean_chroma.powi(7) / (mean_chroma.powi(7) + 25f64.powi(7))).sqrt());
    let polar = |c: [f64; 3]| {
        let a = c[1] * (1.0 + g);
        let hue = if a == 0.0 && c[2] == 0.0 { 0.0 } else { c[2].atan2(a).to_degrees().rem_euclid(360.0) };
        (a.hypot(c[2]), hue)
    };
    let ((c1, h1), (c2, h2)) = (polar(a), polar(b));
    let turn = if c1 * c2 == 0.0 {
        0.0
    } else if (h2 - h1).abs() <= 180.0 {
        h2 - h1
    } else if h2 > h1 {
        h2 - h1 - 360.0
    } else {
        h2 - h1 + 360.0
    };
    let (dl, dc) = (b[0] - a[0], c2 - c1);
    let dh = 2.0 * (c1 * c2).sqrt() * (turn / 2.0).to_radians().sin();
    let (l, c) = ((a[0] + b[0]) / 2.0, (c1 + c2) / 2.0);
    let h = if c1 * c2 == 0.0 {
        h1 + h2
    } else if (h1 - h2).abs() <= 180.0 {
        (h1 + h2) / 2.0
    } else if h1 + h2 < 360.0 {
        (h1 + h2 + 360.0) / 2.0
    } else {
        (h1 + h2 - 360.0) / 2.0
    };
    let cos = |degrees: f64| degrees.to_radians().cos();
    let t = 1.0 - 0.17 * cos(h - 30.0) + 0.24 * cos(2.0 * h) + 0.32 * cos(3.0 * h + 6.0) - 0.20 * cos(4.0 * h - 63.0);
    let rotation = 30.0 * (-((h - 275.0) / 25.0).powi(2)).exp();
    let rc = 2.0 * (c.powi(7) / (c.powi(7) + 25f64.powi(7))).sqrt();
    let sl = 1.0 + 0.015 * (l - 50.0).powi(2) / (20.0 + (l - 50.0).powi(2)).sqrt();
    let (sc, sh) = (1.0 + 0.045 * c, 1.0 + 0.015 * c * t);
    let rt = -(2.0 * rotation).to_radians().sin() * rc;
    let (x, y, z) = (dl / sl, dc / sc, dh / sh);
    (x * x + y * y + z * z + rt * y * z).sqrt()
}

#[test]
fn delta_e_2000_gives_the_published_values() {
    // Table 1 of the paper.
    let pairs = [
        ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
        ([50.0, -1.3802, -84.2814], [50.0, 0.0, -82.7485], 1.0000),
        ([50.0, 0.0, 0.0], [50.0, -1.0, 2.0], 2.3669),
        ([50.0, 2.49, -0.001], [50.0, -2.49, 0.0009], 7.1792),
        ([50.0, 2.49, -0.001], [50.0, -2.49, 0.0011], 7.2195),
        ([50.0, -0.001, 2.49], [50.0, 0.0009, -2.49], 4.8045),
        ([50.0, 2.5, 0.0], [73.0, 25.0, -18.0], 27.1492),
        ([50.0, 2.5, 0.0], [58.0, 24.0, 15.0], 19.4535),
        ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
        ([63.0109, -31.0961, -5.8663], [62.8187, -29.7946, -4.0864], 1.2630),
        ([22.7233, 20.0904, -46.694], [23.0331, 14.973, -42.5619], 2.0373),
        ([6.7747, -0.2908, -2.4247], [5.8714, -0.0985, -2.2286], 0.6377),
        ([2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082),
    ];
    for (a, b, expected) in pairs {
        assert!((delta_e_2000(a, b) - expected).abs() < 1e-4, "{a:?} {b:?}: {}", delta_e_2000(a, b));
        assert!((delta_e_2000(b, a) - expected).abs() < 1e-4);
    }
}

fn format(color: Color, depth: Depth) -> PixelFormat {
    PixelFormat::new(color, false, depth)
}

fn plan(from: &Profile, to: &Profile, depth: Depth, rendering: Rendering) -> Plan {
    Plan::new(format(from.color(), depth), from, to, rendering, false).expect("the profiles connect")
}

/// Random colours, then all grays: samples of `depth`.
fn colors(color: Color, depth: Depth, count: u32) -> Raster {
    let format = format(color, depth);
    let grays = depth.max() + 1;
    let mut random = Random(5);
    from_fn(format, Size::new(1024, count.div_ceil(1024) + grays.div_ceil(1024)), |x, y, channel| {
        let index = y * 1024 + x;
        if index < count.next_multiple_of(1024) {
            return random.next() as u32 & depth.max();
        }
        // Gray of CMYK: black ink alone.
        let gray = (index - count.next_multiple_of(1024)) & depth.max();
        if color == Color::Cmyk && channel < 3 { 0 } else { gray }
    })
}

fn unit(image: &Raster) -> Vec<f32> {
    (0..image.samples.len()).map(|i| image.samples.value(i) as f32 / image.format.depth.max() as f32).collect()
}

/// Mean and largest ΔE2000 of converted colours against the engine's float path, rounded to the depth as well.
fn error_of(plan: &Plan, from: &Profile, to: &Profile, rendering: Rendering, count: u32) -> (f64, f64) {
    let image = colors(from.color(), plan.source.depth, count);
    let lab = Evaluator::to_lab(to, Intent::Relative).unwrap();
    let ours = lab.evaluate(&unit(&color::cpu::convert(plan, &image, 0)));
    let engine = Evaluator::new(from, to, rendering).unwrap();
    let max = plan.target.depth.max() as f32;
    let rounded: Vec<f32> = engine.evaluate(&unit(&image)).into_iter().map(|v| (v * max).round() / max).collect();
    let theirs = lab.evaluate(&rounded);
    let triple = |c: &[f32]| [0, 1, 2].map(|i| f64::from(c[i]));
    let errors = ours.chunks_exact(3).zip(theirs.chunks_exact(3)).map(|(a, b)| delta_e_2000(triple(a), triple(b)));
    let (mut sum, mut largest, mut n) = (0.0, 0f64, 0u32);
    for error in errors {
        assert!(error.is_finite());
        sum += error;
        largest = largest.max(error);
        n += 1;
    }
    (sum / f64::from(n), largest)
}

fn largest_allowed(plan: &Plan) -> f64 {
    let tables = match (plan.source.color, plan.target.color) {
        (Color::Cmyk, Color::Rgb) => tolerances::COLOR_LARGEST_CMYK_TO_RGB,
        _ => tolerances::COLOR_LARGEST,
    };
    tables + if plan.target.depth == Depth::U8 { tolerances::COLOR_LARGEST_LEVEL_U8 } else { 0.0 }
}

/// Colours per case; `REPRISE_COLOR_SAMPLES` asks for more.
fn samples() -> u32 {
    std::env::var("REPRISE_COLOR_SAMPLES").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000)
}

#[test]
fn tables_stay_close_to_the_float_path() {
    let profile = Profile::builtin;
    let mut report = String::new();
    let mut wrong = false;
    for from in Builtin::ALL {
        for to in Builtin::ALL {
            for depth in [Depth::U8, Depth::U16] {
                let rendering = Rendering::default();
                let (from_profile, to_profile) = (profile(from), profile(to));
                let start = std::time::Instant::now();
                let plan = plan(from_profile, to_profile, depth, rendering);
                let built = start.elapsed();
                let (mean, largest) = error_of(&plan, from_profile, to_profile, rendering, samples());
                let stage = if matches!(plan.stage, color::Stage::Matrix { .. }) { "matrix" } else { "grid" };
                let bits = 8 * depth.bytes();
                writeln!(
                    report,
                    "{:>9} to {:<9} {bits:>2} bits, {stage:<6} {:>8} bytes {:>4} ms: mean {mean:.4} largest {largest:.4}",
                    from.name(),
                    to.name(),
                    plan.bytes(),
                    built.as_millis(),
                )
                .unwrap();
                wrong |= mean > tolerances::COLOR_MEAN || largest > largest_allowed(&plan);
            }
        }
    }
    println!("{report}");
    assert!(!wrong, "{report}");
}

#[test]
fn every_intent_stays_close_to_the_float_path() {
    for intent in [Intent::Perceptual, Intent::Relative, Intent::Saturation, Intent::Absolute] {
        for black_point_compensation in [false, true] {
            let rendering = Rendering { intent, black_point_compensation };
            for (from, to) in [(Builtin::Cmyk, Builtin::Srgb), (Builtin::Srgb, Builtin::Cmyk)] {
                let (from, to) = (Profile::builtin(from), Profile::builtin(to));
                let plan = plan(from, to, Depth::U16, rendering);
                let (mean, largest) = error_of(&plan, from, to, rendering, 4096);
                let close = mean <= tolerances::COLOR_MEAN && largest <= largest_allowed(&plan);
                assert!(close, "{rendering:?}, {from} to {to}: mean {mean}, largest {largest}");
            }
        }
    }
}

#[test]
fn black_point_compensation_takes_black_to_black() {
    let (cmyk, srgb) = (Profile::builtin(Builtin::Cmyk), Profile::builtin(Builtin::Srgb));
    let black = from_fn(format(Color::Cmyk, Depth::U8), Size::new(1, 1), |_, _, _| 255);
    let converted = |black_point_compensation| {
        let rendering = Rendering { intent: Intent::Relative, black_point_compensation };
        color::cpu::convert(&plan(cmyk, srgb, Depth::U8, rendering), &black, 0)
    };
    let sum = |image: Raster| (0..3).map(|c| image.at(0, 0, c)).sum::<u32>();
    let (with, without) = (sum(converted(true)), sum(converted(false)));
    assert!(with <= 12 && without > with + 10, "{with} with, {without} without");
}

#[test]
fn paper_becomes_white_and_grays_stay_gray() {
    for from in Builtin::ALL {
        let from = Profile::builtin(from);
        let white = if from.color() == Color::Cmyk { 0 } else { 255 };
        let white = from_fn(format(from.color(), Depth::U8), Size::new(1, 1), |_, _, _| white);
        let plan = plan(from, Profile::builtin(Builtin::Srgb), Depth::U8, Rendering::default());
        let converted = color::cpu::convert(&plan, &white, 0);
        assert!((0..3).all(|c| converted.at(0, 0, c) == 255), "{from}: {converted:?}");
    }
    for depth in [Depth::U8, Depth::U16] {
        let max = depth.max();
        let grays = from_fn(format(Color::Rgb, depth), Size::new(256, 1), |x, _, _| x * (max / 255));
        let (adobe, srgb) = (Profile::builtin(Builtin::AdobeRgb), Profile::builtin(Builtin::Srgb));
        for (from, to) in [(adobe, srgb), (srgb, adobe)] {
            let out = color::cpu::convert(&plan(from, to, depth, Rendering::default()), &grays, 0);
            for x in 0..256 {
                let spread =
                    (0..3).map(|c| out.at(x, 0, c)).max().unwrap() - (0..3).map(|c| out.at(x, 0, c)).min().unwrap();
                assert!(spread <= max / 255 / 100, "{depth:?} {x}: {spread}");
            }
        }
    }
}

#[test]
fn alpha_passes_through_untouched() {
    for color in [Color::Gray, Color::Rgb, Color::Cmyk] {
        for depth in [Depth::U8, Depth::U16] {
            let from = Profile::builtin(Builtin::assumed(color));
            let source = PixelFormat::new(color, true, depth);
            let image = noise(source, Size::new(61, 7), 3);
            for to in Builtin::ALL {
                let to = Profile::builtin(to);
                let plan = Plan::new(source, from, to, Rendering::default(), false).unwrap();
                let out = color::cpu::convert(&plan, &image, 0);
                let (last_in, last_out) = (source.channels() - 1, plan.target.channels() - 1);
                for (x, y) in (0..7).flat_map(|y| (0..61).map(move |x| (x, y))) {
                    assert_eq!(out.at(x, y, last_out), image.at(x, y, last_in));
                }
            }
        }
    }
}

#[test]
fn dithering_keeps_the_mean_and_plain_8_bit_colours() {
    let srgb = Profile::builtin(Builtin::Srgb);
    let adobe = Profile::builtin(Builtin::AdobeRgb);
    // A 16-bit gray between two 8-bit ones, as large as several tiles of the pattern.
    let format = PixelFormat::new(Color::Rgb, false, Depth::U16);
    let gray = 100 * 257 + 64;
    let image = from_fn(format, Size::new(64, 64), |_, _, _| gray);
    let exact = color::cpu::convert(&plan(adobe, srgb, Depth::U16, Rendering::default()), &image, 0).at(0, 0, 0);
    let dithered = Plan::new(format, adobe, srgb, Rendering::default(), true).unwrap();
    let out = color::cpu::convert(&dithered, &image, 0);
    assert_eq!(out.format, PixelFormat::new(Color::Rgb, false, Depth::U8));
    let sum: u32 = (0..64 * 64).map(|i| out.at(i % 64, i / 64, 1)).sum();
    let mean = f64::from(sum) / 4096.0;
    assert!((mean - f64::from(exact) / 257.0).abs() < 1.0 / 64.0, "{mean} against {}", f64::from(exact) / 257.0);
    // In bands as in one piece.
    let mut lower = Raster::empty(format, 64);
    lower.append_rows(&image, 13..64);
    let band = color::cpu::convert(&dithered, &lower, 13);
    assert_eq!(band.rows_as_bytes(0..51), out.rows_as_bytes(13..64));
    // White is white without a speck.
    let white = from_fn(format, Size::new(16, 16), |_, _, _| 65535);
    let out = color::cpu::convert(&dithered, &white, 0);
    assert!((0..out.samples.len()).all(|i| out.samples.value(i) == 255));
}

#[test]
fn shaders_give_the_bits_of_the_cpu() {
    let Some(gpu) = crate::parity::shared() else { return };
    let same = |plan: &Plan, image: &Raster, first_row: u32| {
        let got = color::gpu::convert(&gpu, plan, image, first_row).expect("the image fits");
        let what = format!("{} to {}, dither {}, {:?}", plan.source, plan.target, plan.dither, image.size());
        assert_same(&color::cpu::convert(plan, image, first_row), &got, what);
    };
    for source in PixelFormat::all() {
        let from = Profile::builtin(Builtin::assumed(source.color));
        for to in [Builtin::AdobeRgb, Builtin::Gray, Builtin::Cmyk] {
            let to = Profile::builtin(to);
            let dither = to.color() == Color::Rgb && source.alpha;
            let plan = Plan::new(source, from, to, Rendering::default(), dither).unwrap();
            for size in SIZES {
                same(&plan, &noise(source, size, 9), 5);
            }
            same(&plan, &scene(source, Size::new(130, 90), 2), 0);
        }
    }
}

#[test]
fn images_over_the_limits_of_a_gpu_are_converted_in_bands() {
    let config = reprise::gpu::Config { max_binding_bytes: Some(2 << 20), ..reprise::gpu::Config::new(Adapters::Any) };
    let Ok(gpu) = Gpu::open_with(config) else {
        assert!(std::env::var_os("REQUIRE_GPU").is_none_or(|v| v != "1"), "REQUIRE_GPU=1 and there is no adapter");
        println!("skipped: no adapter");
        return;
    };
    let format = PixelFormat::new(Color::Rgb, true, Depth::U16);
    let (from, to) = (Profile::builtin(Builtin::Srgb), Profile::builtin(Builtin::AdobeRgb));
    let plan = Plan::new(format, from, to, Rendering::default(), true).unwrap();
    let image = noise(format, Size::new(700, 500), 1);
    let got = color::gpu::convert(&gpu, &plan, &image, 3).expect("in bands");
    assert_same(&color::cpu::convert(&plan, &image, 3), &got, "bands");
}

#[test]
fn hostile_profiles_end_in_errors_not_in_panics() {
    let mut random = Random(77);
    for builtin in Builtin::ALL {
        let good = Profile::builtin(builtin).bytes().to_vec();
        let format = format(Profile::builtin(builtin).color(), Depth::U8);
        let srgb = Profile::builtin(Builtin::AdobeRgb);
        let attempt = |bytes: &[u8]| {
            let Ok(profile) = Profile::new(bytes) else { return false };
            let _ = profile.check_output();
            if profile.color() == format.color
                && let Ok(plan) = Plan::new(format, &profile, srgb, Rendering::default(), false)
            {
                color::cpu::convert(&plan, &noise(format, Size::new(9, 9), 1), 0);
            }
            true
        };
        assert!(attempt(&good));
        let cuts = (0..good.len()).step_by((good.len() / 60).max(1)).chain([0, 1, 127, 128, 131, 132, good.len() - 1]);
        for cut in cuts {
            assert!(!attempt(&good[..cut]), "{}: accepted at {cut} bytes", builtin.name());
        }
        for _ in 0..40 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(8) {
                // The header and the tag table more often than curves and grids.
                let end = if random.below(2) == 0 { 400.min(bytes.len()) } else { bytes.len() };
                let at = random.below(end as u32) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            attempt(&bytes);
        }
    }
}

/// A CMYK or RGB TIFF of 8 bits with a profile, if one is given.
fn tagged_tiff(image: &Raster, icc: Option<&[u8]>) -> Vec<u8> {
    use crate::tiff_maker::{TiffMaker, Values};
    let (photometric, samples) = match image.format.color {
        Color::Gray => (1, 1),
        Color::Rgb => (2, 3),
        Color::Cmyk => (5, 4),
    };
    let mut maker = TiffMaker::new(image.width, image.height).samples(photometric, 8, samples);
    if let Some(icc) = icc {
        maker = maker.tag(34675, Values::Bytes(icc.to_vec()));
    }
    maker.short(259, 1).chunk(image.samples.as_bytes()).bytes()
}

/// The pyramid's full resolution, and the profile in it.
fn opened(path: &Path) -> (Raster, Option<Vec<u8>>) {
    let limits = reprise::limits::Limits::default();
    let icc = reprise::decode::open(path, &limits).unwrap().info().metadata.icc.clone();
    (ptiff::read_level(path, 0).unwrap(), icc)
}

fn expected(image: &Raster, from: &Profile, to: &Profile) -> Raster {
    color::cpu::convert(&plan(from, to, Depth::U8, Rendering::default()), image, 0)
}

const CMYK: PixelFormat = PixelFormat::new(Color::Cmyk, false, Depth::U8);
const RGB: PixelFormat = PixelFormat::new(Color::Rgb, false, Depth::U8);

#[test]
fn convert_brings_cmyk_to_srgb_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let image = scene(CMYK, Size::new(300, 280), 1);
    let (cmyk, srgb, adobe) =
        (Profile::builtin(Builtin::Cmyk), Profile::builtin(Builtin::Srgb), Profile::builtin(Builtin::AdobeRgb));
    save(folder, "in.tif", &tagged_tiff(&image, None));
    save(folder, "adobe.icc", adobe.bytes());
    let convert = |out: &str, options: &[&str]| {
        let arguments = ["convert", "in.tif", out, "--overwrite"].iter().chain(options).copied().collect::<Vec<_>>();
        let printed = reprise(folder, &arguments).good();
        (opened(&folder.join(out)), printed)
    };
    let ((pixels, icc), printed) = convert("plain.tif", &[]);
    assert_same(&expected(&image, cmyk, srgb), &pixels, "CMYK to sRGB");
    assert_eq!(icc.as_deref(), Some(srgb.bytes()));
    assert!(printed.contains("colours converted from the default CMYK profile to sRGB"), "{printed}");

    let ((pixels, icc), _) = convert("kept.tif", &["--maintain-pixel-type"]);
    assert_same(&image, &pixels, "kept");
    assert_eq!(icc, None);

    for output in ["adobe-rgb", "adobe.icc"] {
        let ((pixels, icc), _) = convert("adobe.tif", &["--output-profile", output]);
        assert_same(&expected(&image, cmyk, adobe), &pixels, output);
        assert_eq!(icc.as_deref(), Some(adobe.bytes()));
    }
    let ((absolute, _), _) = convert("absolute.tif", &["--intent", "absolute"]);
    let ((no_bpc, _), _) = convert("no-bpc.tif", &["--no-bpc"]);
    let ((dithered, _), _) = convert("dither.tif", &["--dither"]);
    let plain = expected(&image, cmyk, srgb);
    assert!(absolute != plain && no_bpc != plain && dithered != plain && absolute != no_bpc);

    // Cropped first, then converted.
    let ((pixels, _), _) = convert("crop.tif", &["--crop", "7,11,13,17"]);
    assert_same(&plain.cropped(reprise::geometry::Rect { x: 7, y: 13, width: 282, height: 250 }), &pixels, "cropped");

    let refused = reprise(folder, &["convert", "in.tif", "x.tif", "--output-profile", "in.tif"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}

#[test]
fn a_jpeg_keeps_its_coefficients_only_while_its_colours_stay() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    save(folder, "in.jpg", &crate::originals::jpeg(&scene(RGB, Size::new(512, 512), 2), true));
    let printed = reprise(folder, &["convert", "in.jpg", "kept.tif"]).good();
    assert!(printed.contains("carried over"), "{printed}");
    let printed = reprise(folder, &["convert", "in.jpg", "made.tif", "--output-profile", "gray"]).good();
    assert!(printed.contains("its colours are converted"), "{printed}");
    let (pixels, icc) = opened(&folder.join("made.tif"));
    assert_eq!(pixels.format.color, Color::Gray);
    assert_eq!(icc.as_deref(), Some(Profile::builtin(Builtin::Gray).bytes()));
}

fn job(folder: &Path, handles: &[&str], options: &str) {
    let items: String = handles.iter().map(|handle| format!("<items>{handle}</items>")).collect();
    let text = format!(
        r#"<reprocessAssetsJob xmlns="http://www.scene7.com/IpsApi/xsd/2014-04-03"><assetHandleArray>{items}</assetHandleArray>
        <createMask>false</createMask>{options}<emailSetting>None</emailSetting></reprocessAssetsJob>"#
    );
    save(folder, "job.xml", text.as_bytes());
}

fn options(mode: &str, profiles: &str) -> String {
    format!("<colorManagementOptions><colorManagement>{mode}</colorManagement>{profiles}</colorManagementOptions>")
}

#[test]
fn jobs_convert_as_their_options_say() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let (cmyk, srgb, adobe) =
        (Profile::builtin(Builtin::Cmyk), Profile::builtin(Builtin::Srgb), Profile::builtin(Builtin::AdobeRgb));
    let (print, photo) = (scene(CMYK, Size::new(260, 259), 3), scene(RGB, Size::new(270, 150), 4));
    save(folder, "in/1-print.tif", &tagged_tiff(&print, None));
    save(folder, "in/2-tagged.tif", &tagged_tiff(&print, Some(cmyk.bytes())));
    save(folder, "in/3-adobe.tif", &tagged_tiff(&photo, Some(adobe.bytes())));
    save(folder, "in/4-broken.tif", &tagged_tiff(&photo, Some(&adobe.bytes()[..200])));
    save(folder, "in/5-profile.icc", adobe.bytes());
    reprise(folder, &["init", "lib"]).good();
    reprise(folder, &["ingest", "lib", "in"]).good();
    let listed = reprise(folder, &["assets", "lib", "--json"]).good();
    assert!(listed.contains("display profile, RGB to XYZ"), "{listed}");

    let images = ["a|1", "a|2", "a|3", "a|4"];
    let run = |text: &str| {
        job(folder, &images, text);
        let run = reprise(folder, &["run", "lib", "job.xml", "--no-report"]);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        let listed = reprise(folder, &["assets", "lib", "--json"]).good();
        let path = |line: &str| {
            let asset: serde_json::Value = serde_json::from_str(line).unwrap();
            opened(Path::new(asset["derivative"]["path"].as_str().unwrap()))
        };
        (listed.lines().take(4).map(path).collect::<Vec<_>>(), run.stderr)
    };
    let is = |(pixels, icc): &(Raster, Option<Vec<u8>>), image: &Raster, profile: Option<&Profile>, what: &str| {
        assert_same(image, pixels, what);
        assert_eq!(icc.as_deref(), profile.map(Profile::bytes), "{what}");
    };

    let (files, said) = run("");
    is(&files[0], &expected(&print, cmyk, srgb), Some(srgb), "default, CMYK without a profile");
    is(&files[1], &print, Some(cmyk), "default, CMYK with a profile");
    is(&files[2], &photo, Some(adobe), "default, RGB");
    is(&files[3], &photo, None, "default, a broken profile");
    assert!(said.contains("truncated") && said.contains("carries no profile"), "{said}");

    let (files, _) = run(&options("MaintainOriginal", ""));
    is(&files[0], &print, None, "maintained");
    is(&files[2], &photo, Some(adobe), "maintained");

    let (files, said) = run(&options("Convert", ""));
    is(&files[1], &expected(&print, cmyk, srgb), Some(srgb), "CMYK to sRGB");
    is(&files[2], &expected(&photo, adobe, srgb), Some(srgb), "Adobe RGB to sRGB");
    is(&files[3], &photo, Some(srgb), "a broken profile counts as sRGB");
    assert!(said.contains("taken to be in sRGB"), "{said}");

    let profiles = "<sourceProfileHandle>icc|srgb</sourceProfileHandle><outputProfileHandle>a|5</outputProfileHandle>";
    let (files, said) = run(&options("Convert", profiles));
    is(&files[0], &expected(&print, cmyk, adobe), Some(adobe), "CMYK to a profile asset");
    is(&files[2], &expected(&photo, srgb, adobe), Some(adobe), "the source profile overrides");
    assert!(said.contains("does not fit"), "the source profile is of RGB: {said}");
}

#[test]
fn a_job_whose_profile_is_none_is_refused_before_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    save(folder, "in/1.tif", &tagged_tiff(&scene(RGB, Size::new(30, 20), 4), None));
    save(folder, "in/2.icc", &Profile::builtin(Builtin::Gray).bytes()[..300]);
    reprise(folder, &["init", "lib"]).good();
    let ingest = reprise(folder, &["ingest", "lib", "in"]);
    assert!(ingest.stderr.contains("truncated"), "{}", ingest.stderr);
    for (handle, why) in
        [("a|1", "not an ICC profile"), ("a|9", "no asset has this handle"), ("icc|rec709", "icc|adobe-rgb")]
    {
        job(folder, &["a|1"], &options("Convert", &format!("<outputProfileHandle>{handle}</outputProfileHandle>")));
        for arguments in [&["run", "lib", "job.xml"][..], &["run", "lib", "job.xml", "--dry-run"]] {
            let run = reprise(folder, arguments);
            assert_eq!(run.code, 2, "{}", run.stderr);
            assert!(run.stderr.contains(why) && run.stderr.contains("outputProfileHandle"), "{}", run.stderr);
        }
    }
    assert!(!reprise(folder, &["log", "lib"]).good().contains("j|1"), "nothing was begun");
}
