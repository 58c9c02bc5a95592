//! What must hold for every image operation on the CPU, and how far each is from the f64 reference.
//! The shaders are held to the CPU's bits in `parity`.

use std::collections::VecDeque;
use std::sync::Arc;

use reprise::decode::orient::orient;
use reprise::geometry::{Corner, Orientation, Rect, Size};
use reprise::ops::crop_detect::{self, Background};
use reprise::ops::knockout::{self, Fill, Knockout};
use reprise::ops::pyramid::{self, Schedule, cpu::CpuExecutor};
use reprise::ops::resample::{self, Filter};
use reprise::ops::unsharp::{self, Unsharp};
use reprise::pixel::{Color, Depth, PixelFormat, Raster};

use crate::reference::{self, Planes};
use crate::support::{Random, SIZES, assert_same, drawn_box, flat, from_fn, levels_of, noise, pool, scene, set};
use crate::tolerances;

const FILTERS: [Filter; 3] = [Filter::Lanczos, Filter::Box, Filter::BicubicSharper];
const CORNERS: [Corner; 4] = [Corner::UpperLeft, Corner::UpperRight, Corner::BottomLeft, Corner::BottomRight];
const MIRRORS: [Orientation; 3] = [Orientation::MirrorHorizontal, Orientation::MirrorVertical, Orientation::Rotate180];

const GRAY_U8: PixelFormat = PixelFormat::new(Color::Gray, false, Depth::U8);
const RGBA_U8: PixelFormat = PixelFormat::new(Color::Rgb, true, Depth::U8);

fn downsampled(filter: Filter, image: &Raster) -> Raster {
    let next = image.size().halved();
    let mut out = Raster::empty(image.format, next.width);
    let plan = resample::Plan::new(filter);
    let window = resample::cpu::Window { start: 0, rows: image, following: None };
    resample::cpu::downsample(&plan, window, image.size(), 0..next.height, &mut out);
    out
}

/// Radius and threshold 0 mean what they say; the plan must not be empty.
fn sharpened(parameters: &Unsharp, image: &Raster) -> Raster {
    let plan = unsharp::Plan::new(parameters).expect("parameters that change something");
    let mut out = Raster::empty(image.format, image.width);
    unsharp::cpu::sharpen(&plan, image, 0, image.size(), 0..image.height, &mut out);
    out
}

fn unsharp(amount: f64, radius_px: f64, threshold: u8, monochrome: bool) -> Unsharp {
    Unsharp { amount, radius_px, threshold, monochrome }
}

fn pyramid_plan(format: PixelFormat, size: Size, tile: u32, sharpening: Option<Unsharp>) -> Arc<pyramid::Plan> {
    Arc::new(pyramid::Plan {
        format,
        levels: size.levels(tile).collect(),
        resample: resample::Plan::new(Filter::default()),
        unsharp: sharpening.as_ref().and_then(unsharp::Plan::new),
    })
}

fn pyramid_of(plan: &Arc<pyramid::Plan>, image: &Raster, band_rows: u32) -> Vec<Raster> {
    levels_of(&mut CpuExecutor::new(plan.clone()), plan, image, band_rows)
}

/// Noise away from black and white, in a flat frame of `frame` pixels: nothing clamps, and edges see no noise.
fn framed_noise(format: PixelFormat, size: Size, frame: u32) -> Raster {
    let max = format.depth.max();
    let mut random = Random(11);
    from_fn(format, size, |x, y, channel| {
        let inside = x >= frame && y >= frame && x + frame < size.width && y + frame < size.height;
        let value = if inside { max * 3 / 8 + random.below(max / 4) } else { max / 2 };
        if format.alpha && channel == format.channels() - 1 { max } else { value }
    })
}

fn mean(image: &Raster) -> f64 {
    let total: u64 = (0..image.samples.len()).map(|i| u64::from(image.samples.value(i))).sum();
    total as f64 / image.samples.len() as f64
}

fn mean_tolerance(format: PixelFormat) -> f64 {
    match format.depth {
        Depth::U8 => tolerances::MEAN_U8,
        Depth::U16 => tolerances::MEAN_U16,
    }
}

// Downsampling

#[test]
fn downsample_stays_near_the_reference() {
    for format in PixelFormat::all() {
        let (plain, premultiplied) = match format.depth {
            Depth::U8 => (tolerances::DOWNSAMPLE_U8, tolerances::DOWNSAMPLE_U8_PREMULTIPLIED),
            Depth::U16 => (tolerances::DOWNSAMPLE_U16, tolerances::DOWNSAMPLE_U16_PREMULTIPLIED),
        };
        let color_bound = if format.alpha { premultiplied } else { plain };
        for filter in FILTERS {
            for size in SIZES {
                for image in [noise(format, size, 3), scene(format, size, 4)] {
                    let reference = reference::downsample(filter, &image);
                    let (color, alpha) = reference.distance(&downsampled(filter, &image));
                    assert!(color <= color_bound, "{format} {filter:?} {size:?}: colour is {color} off");
                    assert!(alpha <= plain, "{format} {filter:?} {size:?}: alpha is {alpha} off");
                }
            }
        }
    }
}

/// Formats without alpha, and images of all widths up to three registers of samples: noise, and black and white, where
/// sums are largest.
fn images_of_all_widths() -> impl Iterator<Item = Raster> {
    PixelFormat::all().filter(|format| !format.alpha).flat_map(|format| {
        (1..=100).flat_map(move |width| {
            let size = Size::new(width, 9);
            let mut random = Random(width.into());
            let max = format.depth.max();
            [noise(format, size, width.into()), from_fn(format, size, move |_, _, _| max * random.below(2))]
        })
    })
}

#[test]
fn downsample_is_the_arithmetic_that_is_written_down() {
    for image in images_of_all_widths() {
        let (shift, max) = (if image.format.depth == Depth::U8 { 8 } else { 14 }, image.format.depth.max());
        for filter in FILTERS {
            let taps = resample::Plan::new(filter).taps.map(i64::from);
            let clamped = |at: i64, end: u32| at.clamp(0, i64::from(end) - 1) as u32;
            let weighted = |value: &dyn Fn(i64) -> i64| (-3..).zip(taps).map(|(k, tap)| tap * value(k)).sum::<i64>();
            let down_columns = |x: u32, y: u32, channel| {
                let row = |k| image.at(x, clamped(2 * i64::from(y) + k, image.height), channel).into();
                (weighted(&row) + (1 << (shift - 1))) >> shift
            };
            let expected = from_fn(image.format, image.size().halved(), |x, y, channel| {
                let sum = weighted(&|k| down_columns(clamped(2 * i64::from(x) + k, image.width), y, channel));
                let shift = 28 - shift;
                ((sum + (1 << (shift - 1))) >> shift).clamp(0, max.into()) as u32
            });
            assert_same(&downsampled(filter, &image), &expected, format!("{filter:?} {} × 9", image.width));
        }
    }
}

#[test]
fn sharpen_is_the_arithmetic_that_is_written_down() {
    for image in images_of_all_widths() {
        let (unit, scale, bits) = if image.format.depth == Depth::U8 { (256, 65280, 8) } else { (257, 65535, 0) };
        for parameters in [unsharp(5.0, 0.6, 0, false), unsharp(1.3, 1.5, 9, false), unsharp(4.0, 3.0, 254, false)] {
            let plan = unsharp::Plan::new(&parameters).unwrap();
            let halo = i64::from(plan.halo());
            let clamped = |at: i64, end: u32| at.clamp(0, i64::from(end) - 1) as u32;
            let weighted = |value: &dyn Fn(i64) -> i64| {
                let weight = |k: i64| i64::from(plan.weights[k.unsigned_abs() as usize]);
                ((-halo..=halo).map(|k| weight(k) * value(k)).sum::<i64>() + (1 << 15)) >> 16
            };
            let value = |x, y, channel| i64::from(image.at(x, y, channel)) << bits;
            let down_columns =
                |x: u32, y: u32, channel| weighted(&|k| value(x, clamped(i64::from(y) + k, image.height), channel));
            let expected = from_fn(image.format, image.size(), |x, y, channel| {
                let blurred = weighted(&|k| down_columns(clamped(i64::from(x) + k, image.width), y, channel));
                let value = value(x, y, channel);
                let difference = value - blurred;
                let change = (i64::from(plan.amount) * difference + (1 << 11)) >> 12;
                let passes = difference.abs() > i64::from(plan.threshold) * unit;
                let changed = if passes { (value + change).clamp(0, scale) } else { value };
                ((changed + (1 << bits >> 1)) >> bits) as u32
            });
            assert_same(&sharpened(&parameters, &image), &expected, format!("{parameters:?} {} × 9", image.width));
        }
    }
}

#[test]
fn downsample_keeps_flat_images() {
    for format in PixelFormat::all() {
        let max = format.depth.max();
        // Premultiplied 16-bit colour is rounded unless alpha is full; the reference bounds that case.
        let alphas = if format.depth == Depth::U16 { vec![max] } else { vec![1, 77, 128, max] };
        for value in [0, 1, max / 3, max / 2, max - 1, max] {
            for alpha in &alphas {
                let mut pixel = vec![value; format.color.components()];
                pixel.extend(format.alpha.then_some(*alpha));
                for filter in FILTERS {
                    let image = flat(format, Size::new(21, 13), &pixel);
                    let expected = flat(format, Size::new(11, 7), &pixel);
                    assert_same(&downsampled(filter, &image), &expected, format!("{format} {filter:?} {pixel:?}"));
                }
            }
        }
    }
}

#[test]
fn downsample_settles_flat_16_bit_colour_under_partial_alpha() {
    // The first level may round, by at most half a premultiplied unit; further levels stay where it is.
    let format = PixelFormat::new(Color::Rgb, true, Depth::U16);
    for alpha in [1, 2, 300, 32768, 65534] {
        let image = flat(format, Size::new(8, 8), &[12345, 1, 65535, alpha]);
        let first = downsampled(Filter::Lanczos, &image);
        assert_same(&downsampled(Filter::Lanczos, &first), &first.cropped(Rect::of(Size::new(2, 2))), alpha);
        for c in 0..3 {
            let moved = first.at(1, 1, c).abs_diff(image.at(1, 1, c));
            assert!(f64::from(moved) <= 0.5 * 65535.0 / f64::from(alpha) + 0.5, "alpha {alpha}: moved by {moved}");
        }
    }
}

#[test]
fn downsample_preserves_the_mean() {
    for format in PixelFormat::all() {
        let image = framed_noise(format, Size::new(96, 80), 4);
        for filter in FILTERS {
            let moved = (mean(&downsampled(filter, &image)) - mean(&image)).abs();
            assert!(moved <= mean_tolerance(format), "{format} {filter:?}: the mean moved by {moved}");
        }
    }
}

#[test]
fn downsample_commutes_with_mirrors() {
    for format in PixelFormat::all() {
        for image in [noise(format, Size::new(38, 22), 6), scene(format, Size::new(38, 22), 6)] {
            for filter in FILTERS {
                for mirror in MIRRORS {
                    let one = orient(&downsampled(filter, &image), mirror);
                    let other = downsampled(filter, &orient(&image, mirror));
                    assert_same(&one, &other, format!("{format} {filter:?} {mirror:?}"));
                }
            }
        }
    }
}

#[test]
fn downsample_and_sharpen_nearly_commute_with_transposition() {
    for format in PixelFormat::all() {
        let bound = match (format.depth, format.alpha) {
            (Depth::U8, false) => tolerances::TRANSPOSED_U8,
            (Depth::U8, true) => tolerances::TRANSPOSED_U8_PREMULTIPLIED,
            (Depth::U16, _) => tolerances::TRANSPOSED_U16,
        };
        let transpose = |image: &Raster| orient(image, Orientation::Transpose);
        for image in [noise(format, Size::new(37, 22), 6), scene(format, Size::new(41, 64), 6)] {
            let down = |image: &Raster| downsampled(Filter::Lanczos, image);
            let sharp = |image: &Raster| sharpened(&unsharp(1.0, 1.5, 0, false), image);
            for operation in [&down as &dyn Fn(&Raster) -> Raster, &sharp] {
                let (color, alpha) =
                    Planes::of(&transpose(&operation(&image))).distance(&operation(&transpose(&image)));
                assert!(color.max(alpha) <= bound, "{format}: colour {color}, alpha {alpha} off");
            }
        }
    }
}

#[test]
fn downsample_puts_edges_where_they_are() {
    for filter in FILTERS {
        for edge in [14, 15, 16, 17] {
            let image = from_fn(GRAY_U8, Size::new(32, 8), |x, _, _| if x < edge { 40 } else { 200 });
            let out = downsampled(filter, &image);
            let row: Vec<u32> = (0..16).map(|x| out.at(x, 2, 0)).collect();
            let k = edge as usize / 2;
            if edge % 2 == 0 {
                // Between two output pixels, which lie symmetrically around the middle value.
                assert!(row[k - 1] < 120 && row[k] > 120, "{filter:?} {edge}: {row:?}");
                assert!((row[k - 1] + row[k]).abs_diff(240) <= 1, "{filter:?} {edge}: {row:?}");
            } else {
                // Through the centre of an output pixel.
                assert_eq!(row[k], 120, "{filter:?} {edge}: {row:?}");
                assert!(row[k - 1] < 60 && row[k + 1] > 180, "{filter:?} {edge}: {row:?}");
            }
        }
    }
}

#[test]
fn colour_hidden_under_alpha_0_does_not_bleed() {
    for format in PixelFormat::all().filter(|f| f.alpha) {
        let size = Size::new(30, 26);
        let alpha_channel = format.channels() - 1;
        let mut visible = noise(format, size, 8);
        for y in 0..size.height {
            for x in 0..size.width {
                if (x / 5 + y / 4) % 2 == 0 {
                    (0..format.channels()).for_each(|c| set(&mut visible, x, y, c, 0));
                }
            }
        }
        let hidden = from_fn(format, size, |x, y, c| {
            let is_hidden = visible.at(x, y, alpha_channel) == 0 && c != alpha_channel;
            if is_hidden { format.depth.max() } else { visible.at(x, y, c) }
        });
        assert_same(&downsampled(Filter::Lanczos, &visible), &downsampled(Filter::Lanczos, &hidden), format);
        let parameters = unsharp(2.0, 1.2, 3, false);
        let (a, b) = (sharpened(&parameters, &visible), sharpened(&parameters, &hidden));
        for (x, y) in (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y))) {
            assert_eq!(a.at(x, y, alpha_channel), b.at(x, y, alpha_channel), "{format}: alpha at ({x}, {y})");
            let shows = a.at(x, y, alpha_channel) > 0;
            let same = (0..alpha_channel).all(|c| a.at(x, y, c) == b.at(x, y, c));
            assert!(same || !shows, "{format}: colour bled into ({x}, {y})");
        }
    }
}

// Unsharp mask

#[test]
fn sharpen_stays_near_the_reference() {
    let settings = [
        unsharp(1.0, 0.8, 0, false),
        unsharp(5.0, 0.4, 20, false),
        unsharp(1.7, 2.6, 6, true),
        unsharp(0.5, 9.0, 2, false),
    ];
    for format in PixelFormat::all() {
        let (plain, premultiplied) = match format.depth {
            Depth::U8 => (tolerances::SHARPEN_U8, tolerances::SHARPEN_U8_PREMULTIPLIED),
            Depth::U16 => (tolerances::SHARPEN_U16, tolerances::SHARPEN_U16_PREMULTIPLIED),
        };
        let color_bound = if format.alpha { premultiplied } else { plain };
        for parameters in &settings {
            for size in SIZES {
                for image in [noise(format, size, 5), scene(format, size, 6)] {
                    let (reference, undecided) = reference::sharpen(parameters, &image);
                    let result = sharpened(parameters, &image);
                    let (color, alpha) = reference.distance_where(&result, |i| !undecided[i]);
                    assert!(color <= color_bound, "{format} {size:?} {parameters:?}: colour is {color} off");
                    assert!(alpha <= plain, "{format} {size:?} {parameters:?}: alpha is {alpha} off");
                }
            }
        }
    }
}

#[test]
fn sharpen_reaches_radius_250() {
    for format in [GRAY_U8, PixelFormat::new(Color::Rgb, false, Depth::U16)] {
        let parameters = unsharp(1.0, 250.0, 0, false);
        let image = scene(format, Size::new(47, 61), 9);
        let (reference, undecided) = reference::sharpen(&parameters, &image);
        let (color, _) = reference.distance_where(&sharpened(&parameters, &image), |i| !undecided[i]);
        let unit = if format.depth == Depth::U8 { 1.0 } else { 257.0 };
        assert!(color <= tolerances::SHARPEN_RADIUS_250 * unit, "{format}: {color} off");
    }
}

#[test]
fn sharpen_keeps_flat_images() {
    for format in PixelFormat::all() {
        let max = format.depth.max();
        for value in [0, 1, max / 3, max - 1, max] {
            for alpha in [0, 1, max / 2, max] {
                let mut pixel = vec![value; format.color.components()];
                pixel.extend(format.alpha.then_some(alpha));
                let image = flat(format, Size::new(9, 7), &pixel);
                for (radius, monochrome) in [(0.5, false), (1.0, true), (30.0, false), (250.0, true)] {
                    let out = sharpened(&unsharp(5.0, radius, 0, monochrome), &image);
                    assert_same(&out, &image, format!("{format} {pixel:?} radius {radius}"));
                }
            }
        }
    }
}

#[test]
fn sharpening_by_nothing_is_identity() {
    assert_eq!(unsharp::Plan::new(&unsharp(0.0, 2.0, 0, false)), None, "amount 0");
    assert_eq!(unsharp::Plan::new(&unsharp(1.0, 0.0, 0, false)), None, "radius 0");
    assert_eq!(unsharp::Plan::new(&unsharp(1.0, 0.05, 0, false)), None, "a radius that reaches no neighbour");
    let image = noise(RGBA_U8, Size::new(40, 30), 2);
    let plain = pyramid_plan(RGBA_U8, image.size(), 8, None);
    let nothing = pyramid_plan(RGBA_U8, image.size(), 8, Some(unsharp(0.0, 2.0, 0, false)));
    for (a, b) in pyramid_of(&plain, &image, 7).iter().zip(&pyramid_of(&nothing, &image, 7)) {
        assert_same(a, b, "amount 0");
    }
    // Beyond the largest possible difference nothing passes.
    for format in PixelFormat::all() {
        let image = noise(format, Size::new(20, 20), 3);
        assert_same(&sharpened(&unsharp(5.0, 1.0, 255, false), &image), &image, "threshold 255");
    }
}

#[test]
fn sharpen_preserves_the_mean() {
    for format in PixelFormat::all() {
        let image = framed_noise(format, Size::new(64, 60), 8);
        for monochrome in [false, true] {
            let moved = (mean(&sharpened(&unsharp(0.7, 1.0, 0, monochrome), &image)) - mean(&image)).abs();
            assert!(moved <= mean_tolerance(format), "{format}: the mean moved by {moved}");
        }
    }
}

#[test]
fn sharpen_commutes_with_mirrors() {
    for format in PixelFormat::all() {
        let image = noise(format, Size::new(37, 23), 6);
        for mirror in MIRRORS {
            for parameters in [unsharp(1.3, 0.9, 4, false), unsharp(2.0, 4.0, 0, true)] {
                let one = orient(&sharpened(&parameters, &image), mirror);
                let other = sharpened(&parameters, &orient(&image, mirror));
                assert_same(&one, &other, format!("{format} {mirror:?} {parameters:?}"));
            }
        }
    }
}

#[test]
fn sharpen_needs_more_than_the_threshold() {
    // A single brighter pixel: its difference from the blur grows with its height, and its own share of the
    // blur is the square of the kernel's centre.
    let format = PixelFormat::new(Color::Gray, false, Depth::U16);
    let share = f64::from(unsharp::Plan::new(&unsharp(1.0, 1.0, 6, false)).expect("a plan").weights[0]) / 65536.0;
    let changes = |height: u32| {
        let mut image = flat(format, Size::new(15, 15), &[20000]);
        set(&mut image, 7, 7, 0, 20000 + height);
        sharpened(&unsharp(1.0, 1.0, 6, false), &image).at(7, 7, 0) != 20000 + height
    };
    let threshold = 6.0 * 257.0;
    let last_kept = (1..5000).take_while(|height| !changes(*height)).last().expect("low pixels are kept");
    let difference = |height: u32| f64::from(height) * (1.0 - share * share);
    assert!(difference(last_kept) <= threshold + 1.0, "{last_kept} is kept, a difference of {}", difference(last_kept));
    assert!(difference(last_kept + 1) >= threshold - 1.0, "{} is changed", last_kept + 1);
}

#[test]
fn monochrome_keeps_chroma_differences() {
    for format in PixelFormat::all().filter(|f| !f.alpha && f.color != Color::Gray) {
        let image = framed_noise(format, Size::new(32, 32), 1);
        let out = sharpened(&unsharp(0.8, 1.0, 0, true), &image);
        assert_ne!(image, out, "{format}: nothing was sharpened");
        for (x, y) in (0..32).flat_map(|y| (0..32).map(move |x| (x, y))) {
            let chroma = |r: &Raster, c: usize| i64::from(r.at(x, y, c)) - i64::from(r.at(x, y, 0));
            for c in 1..format.channels() {
                assert_eq!(chroma(&image, c), chroma(&out, c), "{format}: component {c} at ({x}, {y})");
            }
        }
    }
}

#[test]
fn monochrome_is_the_same_for_gray() {
    for format in PixelFormat::all().filter(|f| f.color == Color::Gray) {
        let image = noise(format, Size::new(33, 21), 4);
        let (color, luma) = (unsharp(1.1, 1.4, 5, false), unsharp(1.1, 1.4, 5, true));
        assert_same(&sharpened(&color, &image), &sharpened(&luma, &image), format);
    }
}

// Pyramid

#[test]
fn band_size_changes_nothing() {
    for format in PixelFormat::all() {
        let image = noise(format, Size::new(67, 53), 5);
        for sharpening in [None, Some(unsharp(1.5, 1.0, 3, false)), Some(unsharp(1.0, 8.0, 0, true))] {
            let plan = pyramid_plan(format, image.size(), 4, sharpening);
            let whole = pyramid_of(&plan, &image, 53);
            for rows in [1, 2, 3, 7, 16, 52] {
                for (level, (a, b)) in whole.iter().zip(&pyramid_of(&plan, &image, rows)).enumerate() {
                    assert_same(a, b, format!("{format} {sharpening:?}, level {level}, bands of {rows}"));
                }
            }
        }
    }
}

#[test]
fn pyramid_is_its_operations_on_whole_levels() {
    for format in PixelFormat::all() {
        let image = scene(format, Size::new(75, 49), 5);
        let sharpening = unsharp(1.5, 1.0, 3, false);
        let plan = pyramid_plan(format, image.size(), 8, Some(sharpening));
        let mut unsharpened = image.clone();
        for (level, result) in pyramid_of(&plan, &image, 16).iter().enumerate().skip(1) {
            unsharpened = downsampled(Filter::default(), &unsharpened);
            assert_same(result, &sharpened(&sharpening, &unsharpened), format!("{format}, level {level}"));
        }
    }
}

#[test]
fn thread_count_changes_nothing() {
    let image = scene(RGBA_U8, Size::new(150, 170), 12);
    let plan = pyramid_plan(RGBA_U8, image.size(), 16, Some(unsharp(1.0, 1.0, 2, false)));
    let crop = crop_detect::Plan::new(Background::Transparent { tolerance: 0.2 }, &image).expect("there is alpha");
    let run = |threads: usize| {
        pool(threads).install(|| {
            let turned = orient(&image, Orientation::Rotate90);
            let bounds = crop_detect::cpu::bounds(&crop, &image);
            (pyramid_of(&plan, &image, 64), turned, bounds, crop_detect::cpu::match_mask(&crop, &image))
        })
    };
    let one = run(1);
    for threads in [2, 3, 8] {
        assert!(run(threads) == one, "{threads} threads give another result than one");
    }
}

#[test]
fn executor_refuses_rows_that_do_not_fit() {
    let plan = pyramid_plan(GRAY_U8, Size::new(8, 4), 2, None);
    let mut executor = CpuExecutor::new(plan);
    let mut push = |format, size| {
        let pushed = pyramid::Executor::push(&mut executor, &flat(format, size, &[0; 5]), &mut |_, _, _| Ok(()));
        pushed.map_err(|error| error.kind)
    };
    assert_eq!(push(GRAY_U8, Size::new(7, 1)), Err(reprise::ErrorKind::Misuse), "another width");
    assert_eq!(push(RGBA_U8, Size::new(8, 1)), Err(reprise::ErrorKind::Misuse), "another format");
    assert_eq!(push(GRAY_U8, Size::new(8, 3)), Ok(()));
    assert_eq!(push(GRAY_U8, Size::new(8, 2)), Err(reprise::ErrorKind::Misuse), "too many rows");
}

#[test]
fn schedule_emits_every_row_once_and_holds_what_is_read() {
    let mut random = Random(17);
    for _ in 0..300 {
        let size = Size::new(1 + random.below(9), 1 + random.below(400));
        let radius = [0.0, 0.5, 1.0, 4.0, 40.0][random.below(5) as usize];
        let plan = pyramid_plan(GRAY_U8, size, 1 + random.below(20), Some(unsharp(1.0, radius, 0, false)));
        let halo = plan.unsharp.as_ref().map_or(0, unsharp::Plan::halo);
        let most_rows = 1 + random.below(70);
        let budget = pyramid::working_bytes(&plan, most_rows);
        let mut schedule = Schedule::new(&plan);
        let mut emitted = vec![0; plan.levels.len()];
        let mut held: Vec<std::ops::Range<u32>> = vec![0..0; plan.levels.len()];
        while !schedule.is_complete() {
            let steps = schedule.advance(schedule.rows_left().min(1 + random.below(most_rows)));
            assert_eq!(steps.len(), plan.levels.len());
            let mut held_bytes = 0;
            for (level, step) in steps.iter().enumerate() {
                let height = plan.levels[level].height;
                assert_eq!(step.new.start, held[level].end, "rows arrive in order");
                assert_eq!(step.window, held[level].start..step.new.end, "the window is what is held and what is new");
                assert_eq!(step.emit.start, emitted[level], "rows are emitted in order");
                emitted[level] = step.emit.end;
                if !step.emit.is_empty() && level > 0 {
                    assert!(step.window.start <= step.emit.start.saturating_sub(halo));
                    assert!(step.window.end >= height.min(step.emit.end + halo));
                }
                if let Some(next) = steps.get(level + 1).filter(|next| !next.new.is_empty()) {
                    assert!(step.window.start <= (2 * next.new.start).saturating_sub(resample::BEFORE));
                    assert!(step.window.end >= height.min(2 * (next.new.end - 1) + resample::AFTER + 1));
                }
                held_bytes += u64::from(step.window.end - step.window.start) * u64::from(plan.levels[level].width);
                held[level] = step.keep..step.window.end;
            }
            assert!(held_bytes <= budget, "{held_bytes} bytes are held, {budget} were announced");
        }
        let heights: Vec<u32> = plan.levels.iter().map(|size| size.height).collect();
        assert_eq!(emitted, heights, "every row is emitted");
        assert!(held.iter().all(|rows| rows.is_empty()), "nothing is held at the end");
    }
}

// Crop

fn bounds(background: Background, image: &Raster) -> Option<Rect> {
    crop_detect::cpu::bounds(&crop_detect::Plan::new(background, image).expect("a plan"), image)
}

#[test]
fn crop_finds_boxes_at_every_tolerance_edge() {
    let (size, rect) = (Size::new(61, 43), Rect { x: 17, y: 5, width: 23, height: 31 });
    for format in PixelFormat::all().filter(|f| !f.alpha) {
        let max = format.depth.max();
        for difference in [1, 2, max / 10, max / 2] {
            for channel in 0..format.channels() {
                for up in [true, false] {
                    let background = vec![max / 2; format.channels()];
                    let mut object = background.clone();
                    object[channel] = if up { max / 2 + difference } else { max / 2 - difference };
                    let image = drawn_box(format, size, rect, &background, &object);
                    let edge = f64::from(difference) / f64::from(max);
                    let step = 1.0 / f64::from(max);
                    for corner in CORNERS {
                        let found = |tolerance| bounds(Background::Color { corner, tolerance }, &image);
                        assert_eq!(found(edge - 0.01 * step), Some(rect), "{format}: below {difference}");
                        assert_eq!(found(edge), None, "{format}: at {difference}");
                        assert_eq!(found(edge + 0.99 * step), None, "{format}: above {difference}");
                    }
                }
            }
        }
    }
}

#[test]
fn crop_compares_premultiplied_with_alpha() {
    let (size, rect) = (Size::new(40, 35), Rect { x: 1, y: 33, width: 38, height: 1 });
    for format in PixelFormat::all().filter(|f| f.alpha) {
        let max = format.depth.max();
        let components = format.color.components();
        let pixel = |color: u32, alpha: u32| [vec![color; components], vec![alpha]].concat();
        let found = |background: &[u32], object: &[u32], tolerance: f64| {
            let image = drawn_box(format, size, rect, background, object);
            bounds(Background::Color { corner: Corner::BottomRight, tolerance }, &image)
        };
        // The same alpha, colours 3 apart: a premultiplied difference of 3·alpha out of max².
        let alpha = max / 3;
        let edge = 3.0 * f64::from(alpha) / (f64::from(max) * f64::from(max));
        let step = 1.0 / (f64::from(max) * f64::from(max));
        assert_eq!(found(&pixel(100, alpha), &pixel(103, alpha), edge - 0.1 * step), Some(rect), "{format}: below");
        assert_eq!(found(&pixel(100, alpha), &pixel(103, alpha), edge + 0.1 * step), None, "{format}: at");
        // Black, alphas 5 apart: only alpha differs.
        let edge = 5.0 / f64::from(max);
        assert_eq!(found(&pixel(0, max), &pixel(0, max - 5), edge - 0.01 / f64::from(max)), Some(rect), "{format}");
        assert_eq!(found(&pixel(0, max), &pixel(0, max - 5), edge), None, "{format}");
        // Colour under alpha 0 is no difference, and the largest products do not overflow.
        assert_eq!(found(&pixel(max, 0), &pixel(7, 0), 0.0), None, "{format}: hidden colour");
        assert_eq!(found(&pixel(0, max), &pixel(max, max), 0.999), Some(rect), "{format}: black and white");
        assert_eq!(found(&pixel(0, max), &pixel(max, max), 1.0), None, "{format}: everything matches");
    }
}

#[test]
fn crop_by_transparency_has_its_edge_at_the_tolerance() {
    let (size, rect) = (Size::new(33, 20), Rect { x: 32, y: 0, width: 1, height: 20 });
    for format in PixelFormat::all() {
        let max = format.depth.max();
        if !format.alpha {
            let image = flat(format, size, &[0; 4]);
            assert_eq!(crop_detect::Plan::new(Background::Transparent { tolerance: 0.5 }, &image), None);
            continue;
        }
        for (tolerance, limit) in [(0.0, 0), (1.0 / f64::from(max), 1), (0.1, max / 10), (0.5, max / 2)] {
            let with_alpha = |alpha: u32| [vec![9; format.color.components()], vec![alpha]].concat();
            let found = |alpha: u32| {
                let image = drawn_box(format, size, rect, &with_alpha(0), &with_alpha(alpha));
                bounds(Background::Transparent { tolerance }, &image)
            };
            assert_eq!(found(limit), None, "{format}: alpha {limit} at tolerance {tolerance}");
            assert_eq!(found(limit + 1), Some(rect), "{format}: alpha {} at tolerance {tolerance}", limit + 1);
        }
    }
}

#[test]
fn crop_and_mask_agree_with_a_look_at_every_pixel() {
    let mut random = Random(23);
    for format in PixelFormat::all() {
        for size in SIZES.into_iter().chain([Size::new(100, 90)]) {
            for _ in 0..6 {
                let background: Vec<u32> = (0..format.channels()).map(|_| random.below(format.depth.max())).collect();
                let mut image = flat(format, size, &background);
                for _ in 0..random.below(4) {
                    let (x, y) = (random.below(size.width), random.below(size.height));
                    let channel = random.below(format.channels() as u32) as usize;
                    set(&mut image, x, y, channel, random.below(format.depth.max()));
                }
                let corner = CORNERS[random.below(4) as usize];
                let by_color = Background::Color { corner, tolerance: f64::from(random.below(30)) / 100.0 };
                let by_alpha = format.alpha.then_some(Background::Transparent { tolerance: 0.4 });
                for background in [Some(by_color), by_alpha].into_iter().flatten() {
                    let plan = crop_detect::Plan::new(background, &image).expect("a plan");
                    let (mask, rect) = look_at_every_pixel(&plan, &image);
                    assert_eq!(crop_detect::cpu::match_mask(&plan, &image), mask, "{format} {size:?} {plan:?}");
                    assert_eq!(crop_detect::cpu::bounds(&plan, &image), rect, "{format} {size:?} {plan:?}");
                }
            }
        }
    }
}

fn look_at_every_pixel(plan: &crop_detect::Plan, image: &Raster) -> (Vec<u8>, Option<Rect>) {
    let mut mask = Vec::new();
    let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
    for (x, y) in (0..image.height).flat_map(|y| (0..image.width).map(move |x| (x, y))) {
        let pixel: Vec<u32> = (0..image.format.channels()).map(|c| image.at(x, y, c)).collect();
        let is_background = plan.is_background(image.format, &pixel);
        mask.push(if is_background { 255 } else { 0 });
        if !is_background {
            (left, top) = (left.min(x), top.min(y));
            (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
        }
    }
    let rect = (right > 0).then(|| Rect { x: left, y: top, width: right - left, height: bottom - top });
    (mask, rect)
}

// Knock-out

/// The mask's pixels connected with the corner, one at a time.
fn breadth_first(mask: &[u8], size: Size, corner: Corner) -> Vec<bool> {
    let mut reached = vec![false; mask.len()];
    let mut queue = VecDeque::from([corner.pixel(size)]);
    while let Some((x, y)) = queue.pop_front() {
        let index = (y * size.width + x) as usize;
        if mask[index] != 255 || std::mem::replace(&mut reached[index], true) {
            continue;
        }
        let neighbours = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
        queue.extend(neighbours.into_iter().filter(|(x, y)| *x < size.width && *y < size.height));
    }
    reached
}

fn assert_knocked_out(image: &Raster, out: &Raster, knocked_out: &[bool], what: impl std::fmt::Display) {
    let components = image.format.color.components();
    let max = image.format.depth.max();
    let expected = from_fn(image.format.with_alpha(), image.size(), |x, y, channel| match channel {
        c if c < components => image.at(x, y, c),
        _ if knocked_out[(y * image.width + x) as usize] => 0,
        c if image.format.alpha => image.at(x, y, c),
        _ => max,
    });
    assert_same(out, &expected, what);
}

#[test]
fn knockout_flood_is_what_a_breadth_first_search_reaches() {
    let mut random = Random(31);
    for size in SIZES.into_iter().chain([Size::new(90, 70)]) {
        for density in [30, 55, 60, 65, 80, 100] {
            let image = noise(GRAY_U8, size, 7);
            let mask: Vec<u8> = (0..size.pixels()).map(|_| if random.below(100) < density { 255 } else { 0 }).collect();
            for corner in CORNERS {
                let knockout = Knockout { corner, tolerance: 0.0, fill: Fill::FloodFill };
                let out = knockout::cpu::apply(&knockout, mask.clone(), &image);
                let reached = breadth_first(&mask, size, corner);
                assert_knocked_out(&image, &out, &reached, format!("{size:?} {density} % {corner:?}"));
            }
        }
    }
}

#[test]
fn knockout_flood_follows_long_ways() {
    // A comb and a serpentine: many runs at once, and one path through the whole image.
    let size = Size::new(301, 299);
    let at = |shape: fn(u32, u32) -> bool| -> Vec<u8> {
        let points = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
        points.map(|(x, y)| if shape(x, y) { 255 } else { 0 }).collect()
    };
    let comb = at(|x, y| y == 0 || x % 2 == 0);
    let serpentine = at(|x, y| y % 2 == 0 || x == if y % 4 == 1 { 300 } else { 0 });
    for (mask, what) in [(comb, "comb"), (serpentine, "serpentine")] {
        let image = flat(GRAY_U8, size, &[200]);
        let knockout = Knockout { corner: Corner::UpperLeft, tolerance: 0.0, fill: Fill::FloodFill };
        let every_match: Vec<bool> = mask.iter().map(|m| *m == 255).collect();
        assert_knocked_out(&image, &knockout::cpu::apply(&knockout, mask, &image), &every_match, what);
    }
}

#[test]
fn knockout_keeps_colour_and_other_alpha() {
    for format in PixelFormat::all() {
        let image = noise(format, Size::new(37, 29), 3);
        let background = Background::Color { corner: Corner::UpperRight, tolerance: 0.3 };
        let plan = crop_detect::Plan::new(background, &image).expect("a plan");
        let mask = crop_detect::cpu::match_mask(&plan, &image);
        let matching: Vec<bool> = mask.iter().map(|m| *m == 255).collect();
        for fill in [Fill::MatchPixel, Fill::FloodFill] {
            let knockout = Knockout { corner: Corner::UpperRight, tolerance: 0.3, fill };
            let expected = match fill {
                Fill::MatchPixel => matching.clone(),
                Fill::FloodFill => breadth_first(&mask, image.size(), Corner::UpperRight),
            };
            let out = knockout::cpu::apply(&knockout, mask.clone(), &image);
            assert_knocked_out(&image, &out, &expected, format!("{format} {fill:?}"));
        }
    }
}

// Orientation

#[test]
fn orient_shows_the_stored_pixels() {
    for format in PixelFormat::all() {
        for size in SIZES.into_iter().chain([Size::new(33, 65)]) {
            let image = noise(format, size, 2);
            for orientation in (1..=8).filter_map(Orientation::from_tag) {
                let expected = from_fn(format, orientation.oriented(size), |x, y, channel| {
                    let (x, y) = orientation.stored_pixel(x, y, size);
                    image.at(x, y, channel)
                });
                assert_same(&orient(&image, orientation), &expected, format!("{format} {size:?} {orientation:?}"));
            }
        }
    }
}

#[test]
fn orient_is_undone_by_its_inverse() {
    let image = noise(RGBA_U8, Size::new(45, 70), 2);
    for orientation in (1..=8).filter_map(Orientation::from_tag) {
        let inverse = match orientation {
            Orientation::Rotate90 => Orientation::Rotate270,
            Orientation::Rotate270 => Orientation::Rotate90,
            mirror => mirror,
        };
        assert_same(&orient(&orient(&image, orientation), inverse), &image, format!("{orientation:?}"));
    }
    // Turned clockwise, the first stored column, read upwards, becomes the first row.
    let turned = orient(&image, Orientation::Rotate90);
    assert_eq!(turned.at(0, 0, 1), image.at(0, 69, 1));
    assert_eq!(turned.at(69, 0, 1), image.at(0, 0, 1));
}
