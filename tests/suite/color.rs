//! Colour conversion: tables against the engine's float path, both backends, profiles of every sort, jobs end to end.

use std::path::Path;

use rayon::prelude::*;
use reprise::encode::ptiff;
use reprise::geometry::Size;
use reprise::gpu::{Adapters, Config};
use reprise::ops::color::{self, Builtin, Evaluator, Intent, Plan, Profile, Rendering, delta_e_2000};
use reprise::pixel::{Color, Depth, PixelFormat, Raster};

use crate::originals::save;
use crate::program::reprise;
use crate::support::{Random, SIZES, assert_same, from_fn, noise, scene};
use crate::tolerances;

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

/// ΔE2000 of converted colours.
struct Errors {
    /// Against the engine's float path rounded to the same depth.
    mean: f64,
    largest: f64,
    /// The largest that this rounding costs by itself.
    rounding: f64,
}

impl Errors {
    fn of(plan: &Plan, from: &Profile, to: &Profile, rendering: Rendering, count: u32) -> Self {
        let image = colors(from.color(), plan.source.depth, count);
        let lab = Evaluator::to_lab(to, Intent::Relative).unwrap();
        let ours = lab.evaluate(&unit(&color::cpu::convert(plan, &image, 0)));
        let max = plan.target.depth.max() as f32;
        let exact = Evaluator::new(from, to, rendering).unwrap().evaluate(&unit(&image));
        let rounded = lab.evaluate(&exact.iter().map(|v| (v * max).round() / max).collect::<Vec<_>>());
        let exact = lab.evaluate(&exact);
        let (mean, largest) = mean_and_largest(&ours, &rounded);
        Errors { mean, largest, rounding: mean_and_largest(&exact, &rounded).1 }
    }

    fn are_small(&self, depth: Depth) -> bool {
        // A level of 8 bits that is rounded the other way costs what rounding costs, once more.
        let rounding = if depth == Depth::U8 { self.rounding } else { 0.0 };
        self.mean <= tolerances::COLOR_MEAN && self.largest <= tolerances::COLOR_LARGEST + rounding
    }
}

/// ΔE2000 of L*a*b* colours.
fn mean_and_largest(ours: &[f32], theirs: &[f32]) -> (f64, f64) {
    let triple = |c: &[f32]| [0, 1, 2].map(|i| f64::from(c[i]));
    let (mut sum, mut largest) = (0.0, 0f64);
    for (a, b) in ours.chunks_exact(3).zip(theirs.chunks_exact(3)) {
        let error = delta_e_2000(triple(a), triple(b));
        assert!(error.is_finite());
        sum += error;
        largest = largest.max(error);
    }
    (sum / (ours.len() / 3) as f64, largest)
}

/// Random colours per case.
const MILLION: u32 = 1_000_000;

#[test]
fn tables_stay_close_to_the_float_path() {
    let pairs: Vec<_> = Builtin::ALL.into_iter().flat_map(|from| Builtin::ALL.map(|to| (from, to))).collect();
    let lines: Vec<(bool, String)> = pairs
        .into_par_iter()
        .filter(|(from, to)| from != to)
        .flat_map(|(from, to)| [Depth::U8, Depth::U16].map(|depth| (from, to, depth)))
        .map(|(from, to, depth)| {
            let rendering = Rendering::default();
            let (from_profile, to_profile) = (Profile::builtin(from), Profile::builtin(to));
            let plan = plan(from_profile, to_profile, depth, rendering);
            // All there are of gray come behind.
            let random = if from == Builtin::Gray { 0 } else { MILLION };
            let errors = Errors::of(&plan, from_profile, to_profile, rendering, random);
            let stage = if matches!(plan.stage, color::Stage::Matrix { .. }) { "matrix" } else { "grid" };
            let line = format!(
                "{:>9} to {:<9} {:>2} bits, {stage:<6} {:>8} bytes: mean {:.4} largest {:.4}, rounding alone {:.4}",
                from.name(),
                to.name(),
                8 * depth.bytes(),
                plan.bytes(),
                errors.mean,
                errors.largest,
                errors.rounding,
            );
            (errors.are_small(depth), line)
        })
        .collect();
    let report: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
    println!("{report}");
    assert!(lines.iter().all(|(small, _)| *small), "{report}");
}

#[test]
fn every_intent_stays_close_to_the_float_path() {
    for intent in [Intent::Perceptual, Intent::Relative, Intent::Saturation, Intent::Absolute] {
        for black_point_compensation in [false, true] {
            let rendering = Rendering { intent, black_point_compensation };
            for (from, to) in [(Builtin::Cmyk, Builtin::Srgb), (Builtin::Srgb, Builtin::Cmyk)] {
                let (from, to) = (Profile::builtin(from), Profile::builtin(to));
                let plan = plan(from, to, Depth::U16, rendering);
                let errors = Errors::of(&plan, from, to, rendering, 4096);
                let Errors { mean, largest, .. } = errors;
                assert!(errors.are_small(Depth::U16), "{rendering:?}, {from} to {to}: mean {mean}, largest {largest}");
            }
        }
    }
}

/// A profile whose only way to Lab is a table of 9 nodes along each axis, between curves that are straight: `lut16Type`
/// in version 2, `lutAToBType` in version 4 (ICC.1:2022, 10.10 and 10.12). It describes about what `like` does.
fn table_profile(version: u8, like: &Profile) -> Vec<u8> {
    const SIDE: usize = 9;
    let axes = like.color().components();
    let nodes = SIDE.pow(axes as u32);
    let place = |index: usize, axis: usize| (index / SIDE.pow((axes - 1 - axis) as u32) % SIDE) as f32 / 8.0;
    let colors: Vec<f32> = (0..nodes).flat_map(|index| (0..axes).map(move |axis| place(index, axis))).collect();
    let lab = Evaluator::to_lab(like, Intent::Relative).unwrap().evaluate(&colors);
    // Version 2 encodes a little less than the full range of 16 bits.
    let unit = if version == 2 { 65280.0 } else { 65535.0 };
    let word = |(i, value): (usize, &f32)| {
        let part = if i % 3 == 0 { value / 100.0 } else { (value + 128.0) / 255.0 };
        (part * unit).round() as u16
    };
    let table: Vec<u8> = lab.iter().enumerate().map(word).flat_map(u16::to_be_bytes).collect();
    let long = |value: usize| (value as u32).to_be_bytes();
    let mut lut = Vec::new();
    if version == 2 {
        lut.extend(b"mft2\0\0\0\0");
        lut.extend([axes as u8, 3, SIDE as u8, 0]);
        lut.extend([1, 0, 0, 0, 1, 0, 0, 0, 1].into_iter().flat_map(|one: usize| long(one << 16)));
        lut.extend([0, 2, 0, 2]);
        let straight = [0, 0, 0xff, 0xff];
        lut.extend(straight.repeat(axes));
        lut.extend(table);
        lut.extend(straight.repeat(3));
    } else {
        let straight = b"curv\0\0\0\0\0\0\0\0";
        let (b_curves, grid) = (32, 32 + 36);
        let a_curves = grid + 20 + table.len().next_multiple_of(4);
        lut.extend(b"mAB \0\0\0\0");
        lut.extend([axes as u8, 3, 0, 0]);
        lut.extend([b_curves, 0, 0, grid, a_curves].into_iter().flat_map(long));
        lut.extend(straight.repeat(3));
        lut.extend((0..16).map(|axis| if axis < axes { SIDE as u8 } else { 0 }));
        lut.extend([2, 0, 0, 0]);
        lut.extend(table);
        lut.resize(a_curves, 0);
        lut.extend(straight.repeat(axes));
    }
    let d50: Vec<u8> = [0xf6d6, 0x10000, 0xd32d].into_iter().flat_map(long).collect();
    let white = [&b"XYZ \0\0\0\0"[..], &d50].concat();
    let space = if axes == 4 { b"CMYK" } else { b"RGB " };
    let lut_at = 128 + 4 + 24 + white.len();
    let mut bytes = [&long(lut_at + lut.len())[..], &[0; 4], &[version, 0x20, 0, 0], b"prtr", space, b"Lab "].concat();
    bytes.extend([7, 0xe0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(b"acsp");
    bytes.resize(68, 0);
    bytes.extend(&d50);
    bytes.resize(128, 0);
    bytes.extend(long(2));
    bytes.extend([&b"wtpt"[..], &long(128 + 4 + 24), &long(white.len())].concat());
    bytes.extend([&b"A2B0"[..], &long(lut_at), &long(lut.len())].concat());
    bytes.extend(white);
    bytes.extend(lut);
    bytes
}

#[test]
fn tables_of_profiles_of_both_versions_are_followed() {
    for like in [Builtin::Srgb, Builtin::Cmyk].map(Profile::builtin) {
        let [old, new] = [2, 4].map(|version| {
            let profile = Profile::new(&table_profile(version, like)).unwrap();
            assert!(profile.to_string().ends_with(&format!("to Lab, version {version}.2")), "{profile}");
            profile
        });
        for to in [Builtin::AdobeRgb, Builtin::Gray, Builtin::Cmyk].map(Profile::builtin) {
            let all = [Intent::Relative, Intent::Perceptual, Intent::Saturation, Intent::Absolute];
            for intent in all.into_iter().take(if to.color() == Color::Rgb { 4 } else { 1 }) {
                let rendering = Rendering { intent, black_point_compensation: true };
                let lab = Evaluator::to_lab(to, Intent::Relative).unwrap();
                let [from_old, from_new] = [&old, &new].map(|from| {
                    let plan = plan(from, to, Depth::U16, rendering);
                    let Errors { mean, largest, .. } = Errors::of(&plan, from, to, rendering, 4096);
                    let most = match intent {
                        Intent::Perceptual => tolerances::COLOR_LARGEST_PERCEPTUAL,
                        _ => tolerances::COLOR_LARGEST,
                    };
                    let close = mean <= tolerances::COLOR_MEAN && largest <= most;
                    assert!(close, "{from} to {to}, {intent:?}: mean {mean}, largest {largest}");
                    lab.evaluate(&unit(&color::cpu::convert(&plan, &colors(from.color(), Depth::U16, 4096), 0)))
                });
                // The same table in two encodings. Perceptual blacks are the versions' own.
                if matches!(intent, Intent::Relative | Intent::Absolute) {
                    let (mean, _) = mean_and_largest(&from_old, &from_new);
                    assert!(mean < 0.05, "{like} to {to}, {intent:?}: the versions are {mean} apart");
                }
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
    for color in [Color::Gray, Color::Rgb, Color::Cmyk, Color::Lab] {
        for depth in [Depth::U8, Depth::U16] {
            let from = Profile::assumed(color);
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
        let from = Profile::assumed(source.color);
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
fn tables_go_to_the_device_once() {
    // A device of its own, so that its counters are.
    let Some(gpu) = crate::parity::open(Config::new(Adapters::Any)) else { return };
    let source = PixelFormat::new(Color::Cmyk, false, Depth::U8);
    let (from, to) = (Profile::builtin(Builtin::Cmyk), Profile::builtin(Builtin::AdobeRgb));
    let plan = Plan::new(source, from, to, Rendering::default(), false).unwrap();
    let image = noise(source, Size::new(64, 8), 1);
    let uploads = || {
        let before = gpu.traffic().uploads;
        color::gpu::convert(&gpu, &plan, &image, 0).unwrap();
        gpu.traffic().uploads - before
    };
    assert_eq!([uploads(), uploads()], [3, 1], "pixels and two tables, then pixels alone");
}

#[test]
fn images_over_the_limits_of_a_gpu_are_converted_in_bands() {
    let config = Config { max_binding_bytes: Some(2 << 20), ..Config::new(Adapters::Any) };
    let Some(gpu) = crate::parity::open(config) else { return };
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
        Color::Lab => (9, 3),
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
fn an_embedded_profile_of_other_pixels_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let gray = scene(format(Color::Gray, Depth::U8), Size::new(40, 30), 5);
    let (rgb, srgb) = (scene(RGB, Size::new(40, 30), 6), Profile::builtin(Builtin::Srgb));
    for (image, profile, assumed) in [
        (&gray, Builtin::Srgb, Builtin::Gray),
        (&rgb, Builtin::Cmyk, Builtin::Srgb),
        (&rgb, Builtin::Gray, Builtin::Srgb),
    ] {
        save(folder, "in.tif", &tagged_tiff(image, Some(Profile::builtin(profile).bytes())));
        let run = reprise(folder, &["convert", "in.tif", "out.tif", "--overwrite", "--output-profile", "srgb"]);
        assert!(
            run.code == 0 && run.stderr.contains("warning") && run.stderr.contains("taken to be in"),
            "{}",
            run.stderr
        );
        let (pixels, icc) = opened(&folder.join("out.tif"));
        let assumed = Profile::builtin(assumed);
        let wanted = if assumed == srgb { image.clone() } else { expected(image, assumed, srgb) };
        assert_same(&wanted, &pixels, profile.name());
        assert_eq!(icc.as_deref(), Some(srgb.bytes()));
    }
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

/// L*, a*, b* of what TIFF can say of them, by photometric interpretation and depth.
fn lab_tiff(photometric: u16, bits: u16, colors: &[[f64; 3]]) -> Vec<u8> {
    use crate::tiff_maker::TiffMaker;
    let maker = TiffMaker::new(colors.len() as u32, 1).samples(photometric, bits, 3).short(259, 1);
    let full = if bits == 8 { 255.0 } else { 65535.0 };
    let unit = if bits == 8 { 1.0 } else { 256.0 };
    let stored = colors.iter().flat_map(|&[l, a, b]| {
        let l = match (photometric, bits) {
            (9, 16) => l * 652.8,
            _ => l / 100.0 * full,
        };
        // Signed, or from −128 on.
        let chroma = |v: f64| if photometric == 8 { v * unit } else { (v + 128.0) * unit };
        [l, chroma(a), chroma(b)].map(|v| v.round() as i32 as u16)
    });
    let stored: Vec<u16> = stored.collect();
    if bits == 8 { maker.chunk(stored.iter().map(|v| *v as u8).collect::<Vec<_>>()) } else { maker.chunk16(&stored) }
        .bytes()
}

#[test]
fn lab_of_tiff_becomes_the_colours_it_means() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    // White, black, mid gray, and colours inside sRGB.
    let colors = [
        [100.0, 0.0, 0.0],
        [0.0, 0.0, 0.0],
        [50.0, 0.0, 0.0],
        [60.0, 40.0, 20.0],
        [50.0, -10.0, -20.0],
        [80.0, -12.0, 50.0],
    ];
    let srgb = Profile::builtin(Builtin::Srgb);
    for (photometric, bits) in [(8, 8), (8, 16), (9, 8), (9, 16)] {
        save(folder, "lab.tif", &lab_tiff(photometric, bits, &colors));
        let printed = reprise(folder, &["convert", "lab.tif", "out.tif", "--overwrite"]).good();
        assert!(printed.contains("from Lab to sRGB"), "{printed}");
        let (pixels, icc) = opened(&folder.join("out.tif"));
        assert_eq!(icc.as_deref(), Some(srgb.bytes()));
        let made = Evaluator::to_lab(srgb, Intent::Relative).unwrap().evaluate(&unit(&pixels));
        for (made, meant) in made.chunks_exact(3).zip(colors) {
            let error = delta_e_2000([0, 1, 2].map(|i| f64::from(made[i])), meant);
            assert!(error < 1.2, "photometric {photometric}, {bits} bits: {meant:?} became {made:?}");
        }
    }
    let kept = reprise(folder, &["convert", "lab.tif", "out.tif", "--overwrite", "--maintain-pixel-type"]);
    assert_eq!(kept.code, 0, "{}", kept.stderr);
    assert!(kept.stderr.contains("Lab pixels cannot be kept"), "{}", kept.stderr);
}

#[test]
fn the_companys_profiles_count_where_nothing_else_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let (cmyk, srgb, adobe) =
        (Profile::builtin(Builtin::Cmyk), Profile::builtin(Builtin::Srgb), Profile::builtin(Builtin::AdobeRgb));
    let (print, photo) = (scene(CMYK, Size::new(40, 30), 3), scene(RGB, Size::new(50, 20), 4));
    save(folder, "in/1.tif", &tagged_tiff(&print, None));
    save(folder, "in/2.tif", &tagged_tiff(&photo, None));
    reprise(folder, &["init", "lib"]).good();
    reprise(folder, &["ingest", "lib", "in"]).good();
    for (name, value, why) in [
        ("sourceProfileRgb", "icc|cmyk", "does not fit"),
        ("outputProfile", "icc|rec709", "icc|adobe-rgb"),
        ("sourceProfileGray", "a|1", "not an ICC profile"),
    ] {
        let refused = reprise(folder, &["settings", "lib", name, value]);
        assert_eq!(refused.code, 2, "{name}");
        assert!(refused.stderr.contains(why) && refused.stderr.contains(name), "{}", refused.stderr);
    }
    let run = |text: &str| {
        job(folder, &["a|1", "a|2"], text);
        let run = reprise(folder, &["run", "lib", "job.xml", "--no-report"]);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        let listed = reprise(folder, &["assets", "lib", "--json"]).good();
        let path = |line: &str| {
            let asset: serde_json::Value = serde_json::from_str(line).unwrap();
            opened(Path::new(asset["derivative"]["path"].as_str().unwrap()))
        };
        listed.lines().map(path).collect::<Vec<_>>()
    };
    reprise(folder, &["settings", "lib", "sourceProfileRgb", "icc|adobe-rgb"]).good();
    let files = run("");
    assert!(files[1] == (photo.clone(), Some(adobe.bytes().to_vec())), "kept, and described by the company's profile");
    let files = run(&options("Convert", ""));
    assert_same(&expected(&photo, adobe, srgb), &files[1].0, "converted from the company's profile");
    reprise(folder, &["settings", "lib", "outputProfile", "icc|adobe-rgb"]).good();
    for files in [run(""), run(&options("Convert", ""))] {
        assert_same(&expected(&print, cmyk, adobe), &files[0].0, "CMYK to the company's output");
        assert_eq!(files[0].1.as_deref(), Some(adobe.bytes()));
    }
    let files = run(&options("Convert", "<outputProfileHandle>icc|srgb</outputProfileHandle>"));
    assert_same(&expected(&print, cmyk, srgb), &files[0].0, "the job's own output counts first");
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
