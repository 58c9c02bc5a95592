//! Clipping paths: read from image resources, rasterised, multiplied into alpha, kept as masks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use reprise::decode::{clipping_path, orient};
use reprise::encode::ptiff;
use reprise::engine::{Backend, BackendChoice, Context, Recipe, pipeline};
use reprise::error::ErrorKind;
use reprise::geometry::{BezierPath, Combine, Knot, Orientation, Point, Shape, Size};
use reprise::ops::clip_mask::{Plan, cpu::Scanner};
use reprise::pixel::{Color, Depth, PixelFormat, Raster};

use crate::originals::{jpeg, png, save};
use crate::program::reprise;
use crate::support::{Random, assert_same, scene};
use crate::tiff_maker::{TiffMaker, Values};
use crate::tolerances::{
    CLIP_MASK_GIMP_EDGE_U8, CLIP_MASK_GIMP_INSIDE_U8, CLIP_MASK_MEAN_U8, CLIP_MASK_TURNED_U8, CLIP_MASK_U8,
};

const RGB: PixelFormat = PixelFormat::new(Color::Rgb, false, Depth::U8);

// --- paths ---

/// A straight-sided outline through points in pixels of an image of `size`.
fn polygon(size: Size, points: &[(f64, f64)]) -> Vec<Knot> {
    let knot = |&(x, y): &(f64, f64)| {
        let anchor = Point { x: x / f64::from(size.width), y: y / f64::from(size.height) };
        Knot { before: anchor, anchor, after: anchor }
    };
    points.iter().map(knot).collect()
}

fn rectangle(size: Size, left: f64, top: f64, right: f64, bottom: f64) -> Vec<Knot> {
    polygon(size, &[(left, top), (right, top), (right, bottom), (left, bottom)])
}

/// An ellipse of four cubics, in parts of the image.
fn ellipse(x: f64, y: f64, radius_x: f64, radius_y: f64) -> Vec<Knot> {
    const HANDLE: f64 = 0.552_284_75;
    let knot = |dx: f64, dy: f64| {
        let anchor = Point { x: x + radius_x * dx, y: y + radius_y * dy };
        let handle = |sign: f64| Point {
            x: anchor.x - sign * HANDLE * radius_x * dy,
            y: anchor.y + sign * HANDLE * radius_y * dx,
        };
        Knot { before: handle(-1.0), anchor, after: handle(1.0) }
    };
    vec![knot(1.0, 0.0), knot(0.0, 1.0), knot(-1.0, 0.0), knot(0.0, -1.0)]
}

fn shape(combine: Combine, outline: Vec<Knot>) -> Shape {
    Shape { combine, outlines: vec![outline] }
}

fn path(shapes: Vec<Shape>) -> BezierPath {
    BezierPath { starts_full: false, shapes }
}

/// Wild curves, partly outside, crossing themselves and each other.
fn wild(random: &mut Random) -> BezierPath {
    let mut number = || f64::from(random.below(1 << 16)) / f64::from(1 << 15) - 0.5;
    let mut outline = |knots: usize| -> Vec<Knot> {
        let mut point = || Point { x: number(), y: number() };
        (0..knots).map(|_| Knot { before: point(), anchor: point(), after: point() }).collect()
    };
    path(vec![
        Shape { combine: Combine::Unite, outlines: vec![outline(4), outline(3)] },
        shape(Combine::Exclude, outline(3)),
        shape(Combine::Subtract, outline(3)),
        shape(Combine::Unite, outline(2)),
    ])
}

fn mask(path: &BezierPath, size: Size, depth: Depth) -> Raster {
    let mut scanner = Scanner::new(Arc::new(Plan::new(path, size).unwrap()));
    let mut mask = Raster::empty(PixelFormat::new(Color::Gray, false, depth), size.width);
    while scanner.read_rows(&mut mask, 7).unwrap() > 0 {}
    mask
}

fn row(mask: &Raster, y: u32) -> Vec<u32> {
    (0..mask.width).map(|x| mask.at(x, y, 0)).collect()
}

// --- the slow reference ---

const LINES: u32 = 256;

/// Area inside the path of each pixel, 0 to 1: exact along x on 256 lines to a row, each cubic as 400 chords.
fn reference(path: &BezierPath, size: Size) -> Vec<f64> {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let mut chords: Vec<(Point, Point, usize)> = Vec::new();
    for (index, shape) in path.shapes.iter().enumerate() {
        for outline in &shape.outlines {
            for (i, from) in outline.iter().enumerate() {
                let to = &outline[(i + 1) % outline.len()];
                let mix = |p: Point, q: Point, t: f64| Point { x: p.x + (q.x - p.x) * t, y: p.y + (q.y - p.y) * t };
                let at = |t: f64| {
                    let (a, b, c) =
                        (mix(from.anchor, from.after, t), mix(from.after, to.before, t), mix(to.before, to.anchor, t));
                    let p = mix(mix(a, b, t), mix(b, c, t), t);
                    Point { x: p.x * width, y: p.y * height }
                };
                chords.extend((0..400).map(|n| (at(f64::from(n) / 400.0), at(f64::from(n + 1) / 400.0), index)));
            }
        }
    }
    let mut areas = vec![0.0; size.pixels() as usize];
    for line in 0..size.height * LINES {
        let y = (f64::from(line) + 0.5) / f64::from(LINES);
        let mut crossings: Vec<(f64, usize, i32)> = Vec::new();
        for &(p, q, shape) in &chords {
            if (p.y <= y) != (q.y <= y) {
                let x = p.x + (q.x - p.x) * (y - p.y) / (q.y - p.y);
                crossings.push((x, shape, if p.y < q.y { 1 } else { -1 }));
            }
        }
        crossings.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut windings = vec![0; path.shapes.len()];
        let mut from = f64::NEG_INFINITY;
        for (x, shape, winding) in crossings.into_iter().chain([(f64::INFINITY, 0, 0)]) {
            let inside = path.shapes.iter().zip(&windings).fold(path.starts_full, |inside, (shape, winding)| {
                let filled = *winding != 0;
                match shape.combine {
                    Combine::Exclude => inside ^ filled,
                    Combine::Unite => inside | filled,
                    Combine::Subtract => inside & !filled,
                    Combine::Intersect => inside & filled,
                }
            });
            if inside {
                for pixel in 0..size.width {
                    let overlap = x.min(f64::from(pixel + 1)) - from.max(f64::from(pixel));
                    areas[(line / LINES * size.width + pixel) as usize] += overlap.max(0.0) / f64::from(LINES);
                }
            }
            windings[shape] += winding;
            from = x;
        }
    }
    areas
}

#[test]
fn coverage_meets_the_slow_reference() {
    let mut random = Random(7);
    let size = Size::new(37, 23);
    let mut paths: Vec<BezierPath> = (0..12).map(|_| wild(&mut random)).collect();
    paths.push(path(vec![shape(Combine::Exclude, ellipse(0.5, 0.5, 0.4, 0.4))]));
    paths.push(BezierPath { starts_full: true, ..paths[0].clone() });
    let (mut sum, mut worst) = (0.0f64, 0.0f64);
    for (index, path) in paths.iter().enumerate() {
        let (mask, areas) = (mask(path, size, Depth::U8), reference(path, size));
        for (i, area) in areas.iter().enumerate() {
            let error = (f64::from(mask.samples.value(i)) - 255.0 * area).abs();
            assert!(error <= CLIP_MASK_U8, "path {index}, pixel {i}: off by {error:.3} of 255");
            sum += error;
            worst = worst.max(error);
        }
    }
    let mean = sum / (paths.len() as f64 * size.pixels() as f64);
    println!("mean {mean:.4}, worst {worst:.3} of 255");
    assert!(mean <= CLIP_MASK_MEAN_U8, "{mean}");
}

// --- laws ---

#[test]
fn a_rectangle_on_pixel_edges_is_exact() {
    let size = Size::new(13, 9);
    for depth in [Depth::U8, Depth::U16] {
        let path = path(vec![shape(Combine::Exclude, rectangle(size, 2.0, 3.0, 11.0, 7.0))]);
        let mask = mask(&path, size, depth);
        for y in 0..9 {
            for x in 0..13 {
                let inside = (2..11).contains(&x) && (3..7).contains(&y);
                assert_eq!(mask.at(x, y, 0), if inside { depth.max() } else { 0 }, "({x}, {y})");
            }
        }
    }
}

#[test]
fn half_and_quarter_pixels_are_halves_and_quarters() {
    let size = Size::new(8, 4);
    let path = path(vec![shape(Combine::Exclude, rectangle(size, 1.5, 0.5, 6.0, 3.0))]);
    let mask = mask(&path, size, Depth::U8);
    assert_eq!(row(&mask, 0), [0, 64, 128, 128, 128, 128, 0, 0]);
    assert_eq!(row(&mask, 1), [0, 128, 255, 255, 255, 255, 0, 0]);
    assert_eq!(row(&mask, 3), [0; 8]);
}

#[test]
fn a_diagonal_halves_its_pixels() {
    let size = Size::new(16, 16);
    let path = path(vec![shape(Combine::Unite, polygon(size, &[(0.0, 0.0), (16.0, 16.0), (0.0, 16.0)]))]);
    let mask = mask(&path, size, Depth::U8);
    for y in 0..16 {
        for x in 0..16 {
            let expected = if x < y {
                255
            } else if x == y {
                128
            } else {
                0
            };
            assert_eq!(mask.at(x, y, 0), expected, "({x}, {y})");
        }
    }
}

#[test]
fn shapes_are_put_together_as_they_say() {
    let size = Size::new(6, 1);
    // 0–4 first, 2–6 second.
    let both = |combine| {
        path(vec![
            shape(Combine::Unite, rectangle(size, 0.0, 0.0, 4.0, 1.0)),
            shape(combine, rectangle(size, 2.0, 0.0, 6.0, 1.0)),
        ])
    };
    for (combine, expected) in [
        (Combine::Exclude, [255, 255, 0, 0, 255, 255]),
        (Combine::Unite, [255; 6]),
        (Combine::Subtract, [255, 255, 0, 0, 0, 0]),
        (Combine::Intersect, [0, 0, 255, 255, 0, 0]),
    ] {
        assert_eq!(row(&mask(&both(combine), size, Depth::U8), 0), expected, "{combine:?}");
    }
    let nowhere = shape(Combine::Intersect, rectangle(size, 0.0, 5.0, 6.0, 6.0));
    let mut kept = both(Combine::Unite);
    kept.shapes.push(nowhere);
    assert_eq!(row(&mask(&kept, size, Depth::U8), 0), [0; 6], "a shape without edges still has a say");
}

#[test]
fn outlines_of_one_shape_fill_by_the_non_zero_rule() {
    let size = Size::new(6, 1);
    let around = rectangle(size, 0.0, 0.0, 6.0, 1.0);
    let within = rectangle(size, 2.0, 0.0, 4.0, 1.0);
    let mut against = within.clone();
    against.reverse();
    let fill = |inner| {
        let outlines = vec![around.clone(), inner];
        row(&mask(&path(vec![Shape { combine: Combine::Unite, outlines }]), size, Depth::U8), 0)
    };
    assert_eq!(fill(within), [255; 6], "the same way round");
    assert_eq!(fill(against), [255, 255, 0, 0, 255, 255], "against it: a hole");
}

#[test]
fn shapes_that_touch_leave_no_seam() {
    let size = Size::new(31, 29);
    let third = (10.3, 7.7);
    let left = polygon(size, &[(0.0, 0.0), third, (20.9, 29.0), (0.0, 29.0)]);
    let right = polygon(size, &[(0.0, 0.0), (31.0, 0.0), (31.0, 29.0), (20.9, 29.0), third]);
    let path = path(vec![shape(Combine::Unite, left), shape(Combine::Unite, right)]);
    assert!(mask(&path, size, Depth::U16).samples == reprise::pixel::Samples::U16(vec![65535; 31 * 29]));
}

#[test]
fn outside_is_empty_and_around_everything_is_full() {
    let size = Size::new(12, 10);
    for (left, top, right, bottom, value) in [
        (-9.0, 0.0, -1.0, 10.0, 0),
        (13.0, 0.0, 90.0, 10.0, 0),
        (0.0, -7.0, 12.0, -2.0, 0),
        (0.0, 11.0, 12.0, 900.0, 0),
        (-1000.0, -1000.0, 1000.0, 1000.0, 255),
    ] {
        let path = path(vec![shape(Combine::Exclude, rectangle(size, left, top, right, bottom))]);
        let mask = mask(&path, size, Depth::U8);
        assert!((0..10).all(|y| row(&mask, y).iter().all(|v| *v == value)), "{left} {top} {right} {bottom}");
    }
    // A slope that crosses the image's corner covers what the part inside covers.
    let slope = path(vec![shape(Combine::Exclude, polygon(size, &[(-4.0, 4.0), (4.0, -4.0), (-90.0, -90.0)]))]);
    assert_eq!(mask(&slope, size, Depth::U8).samples.value(0), 0, "the line passes the corner itself");
    let slope = path(vec![shape(Combine::Exclude, polygon(size, &[(-4.0, 5.0), (5.0, -4.0), (-90.0, -90.0)]))]);
    assert_eq!(mask(&slope, size, Depth::U8).samples.value(0), 128);
}

#[test]
fn inside_and_outside_add_up() {
    let mut random = Random(3);
    let size = Size::new(40, 33);
    for _ in 0..6 {
        let path = wild(&mut random);
        let mut inverse = path.clone();
        inverse.shapes.push(shape(Combine::Exclude, rectangle(size, -100.0, -100.0, 200.0, 200.0)));
        let (a, b) = (mask(&path, size, Depth::U16), mask(&inverse, size, Depth::U16));
        for i in 0..a.samples.len() {
            assert!((65535..=65536).contains(&(a.samples.value(i) + b.samples.value(i))), "pixel {i}");
        }
    }
}

#[test]
fn the_sum_is_the_area() {
    let size = Size::new(500, 400);
    let circle = path(vec![shape(Combine::Exclude, ellipse(0.5, 0.5, 0.3, 0.375))]);
    let mask = mask(&circle, size, Depth::U16);
    let sum: f64 = (0..mask.samples.len()).map(|i| f64::from(mask.samples.value(i)) / 65535.0).sum();
    // Four cubics exceed a circle's area by up to 0.03 %.
    let expected = std::f64::consts::PI * 150.0 * 150.0;
    assert!((sum / expected - 1.0).abs() < 4e-4, "{sum} instead of {expected}");
}

#[test]
fn turned_paths_give_turned_masks() {
    let mut random = Random(11);
    let size = Size::new(41, 27);
    let path = wild(&mut random);
    let stored = mask(&path, size, Depth::U8);
    for tag in 1..=8 {
        let orientation = Orientation::from_tag(tag).unwrap();
        let turned = mask(&path.oriented(orientation), orientation.oriented(size), Depth::U8);
        let shown = orient::orient(&stored, orientation);
        assert_eq!(turned.size(), shown.size());
        for i in 0..shown.samples.len() {
            let error = turned.samples.value(i).abs_diff(shown.samples.value(i));
            assert!(error <= CLIP_MASK_TURNED_U8, "orientation {tag}, pixel {i}: {error}");
        }
    }
}

#[test]
fn bands_do_not_change_a_mask() {
    let path = wild(&mut Random(5));
    let size = Size::new(30, 50);
    let whole = mask(&path, size, Depth::U8);
    let mut scanner = Scanner::new(Arc::new(Plan::new(&path, size).unwrap()));
    let mut bands = Raster::empty(whole.format, size.width);
    for rows in [1, 2, 30, 1, 100] {
        scanner.read_rows(&mut bands, rows).unwrap();
    }
    assert_same(&whole, &bands, "in bands");
    assert_eq!(scanner.read_rows(&mut bands, 1).unwrap(), 0);
}

#[test]
fn curves_without_end_are_refused() {
    let far = |x: f64, y: f64| Point { x: 127.0 * x, y: 127.0 * y };
    let knot = Knot { before: far(-1.0, 1.0), anchor: far(1.0, -1.0), after: far(1.0, 1.0) };
    let path = path(vec![shape(Combine::Unite, vec![knot; 100_000])]);
    let error = Plan::new(&path, Size::new(200_000, 200_000)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
}

// --- image resources ---

fn resource(id: u16, name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = b"8BIM".to_vec();
    out.extend(id.to_be_bytes());
    out.push(name.len() as u8);
    out.extend(name);
    out.resize(out.len().next_multiple_of(2), 0);
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(2), 0);
    out
}

fn records(path: &BezierPath) -> Vec<u8> {
    let record = |selector: u16, words: &[u16]| {
        let mut bytes: Vec<u8> = [selector].iter().chain(words).flat_map(|word| word.to_be_bytes()).collect();
        bytes.resize(26, 0);
        bytes
    };
    let mut out = [record(6, &[]), record(8, &[path.starts_full.into()])].concat();
    for shape in &path.shapes {
        for (index, outline) in shape.outlines.iter().enumerate() {
            let operation = match shape.combine {
                _ if index > 0 => 0xffff,
                Combine::Exclude => 0,
                Combine::Unite => 1,
                Combine::Subtract => 2,
                Combine::Intersect => 3,
            };
            out.extend(record(0, &[outline.len() as u16, operation, 1]));
            for knot in outline {
                out.extend(2u16.to_be_bytes());
                for value in [knot.before, knot.anchor, knot.after].into_iter().flat_map(|p| [p.y, p.x]) {
                    out.extend(((value * f64::from(1 << 24)).round() as i32).to_be_bytes());
                }
            }
        }
    }
    out
}

/// What Photoshop writes behind the name; only printing uses it.
const FLATNESS_AND_RULE: &[u8] = &[0, 1, 0, 0, 0, 1];

fn clipping(name: &str) -> Vec<u8> {
    resource(2999, b"", &[&[name.len() as u8], name.as_bytes(), FLATNESS_AND_RULE].concat())
}

/// An ellipse with a hole.
fn cutout() -> BezierPath {
    path(vec![
        shape(Combine::Exclude, ellipse(0.5, 0.5, 0.4, 0.3)),
        shape(Combine::Exclude, ellipse(0.45, 0.5, 0.1, 0.125)),
    ])
}

pub fn cutout_block() -> Vec<u8> {
    let other = path(vec![shape(Combine::Exclude, ellipse(0.2, 0.2, 0.1, 0.1))]);
    [
        resource(1005, b"", b"sixteen bytes ..."),
        resource(2000, b"Other", &records(&other)),
        resource(2001, b"Cut out", &records(&cutout())),
        resource(2002, b"Third", &records(&other)),
        clipping("Cut out"),
    ]
    .concat()
}

#[test]
fn the_named_path_is_taken_or_else_the_only_one() {
    let named = clipping_path::find(&cutout_block()).unwrap().unwrap();
    assert_eq!(named.name, "Cut out");
    assert_eq!(named.area.shapes.len(), 2);
    assert_eq!(named.area.shapes[0].outlines[0].len(), 4);
    let anchor = named.area.shapes[0].outlines[0][0].anchor;
    assert!((anchor.x - 0.9).abs() < 1e-7 && (anchor.y - 0.5).abs() < 1e-7, "{anchor:?}");

    let data = records(&cutout());
    let only = resource(2500, b"A", &data);
    assert_eq!(clipping_path::find(&only).unwrap().unwrap().name, "A");
    assert_eq!(clipping_path::find(&[only.clone(), clipping("gone")].concat()).unwrap().unwrap().name, "A");
    for none in [
        Vec::new(),
        resource(1028, b"", b"x"),
        clipping("A"),
        [only.clone(), resource(2501, b"B", &data)].concat(),
        resource(2998, b"A", &data),
        resource(1025, b"", &data),
        resource(2000, b"A", &records(&path(Vec::new()))),
    ] {
        assert_eq!(clipping_path::find(&none).unwrap(), None);
    }
    let cut = resource(2000, b"A", &data[..data.len() - 26]);
    assert!(clipping_path::find(&cut).unwrap_err().message.contains("\"A\" is cut off"));
}

#[test]
fn damaged_resources_never_panic() {
    let whole = cutout_block();
    let look = |block: &[u8]| {
        if let Ok(Some(path)) = clipping_path::find(block)
            && let Ok(plan) = Plan::new(&path.area, Size::new(19, 17))
        {
            let mut rows = Raster::empty(PixelFormat::new(Color::Gray, false, Depth::U8), 19);
            assert_eq!(Scanner::new(Arc::new(plan)).read_rows(&mut rows, 17).unwrap(), 17);
        }
    };
    for end in 0..whole.len() {
        look(&whole[..end]);
    }
    let mut random = Random(2999);
    for _ in 0..3000 {
        let mut block = whole.clone();
        for _ in 0..=random.below(6) {
            let at = random.below(block.len() as u32) as usize;
            block[at] ^= 1 << random.below(8);
        }
        look(&block);
    }
}

// --- files ---

/// A JPEG with image resources, in two segments.
fn jpeg_with(image: &Raster, resources: &[u8]) -> Vec<u8> {
    let plain = jpeg(image, true);
    let mut out = plain[..2].to_vec();
    for part in resources.chunks(resources.len().div_ceil(2)) {
        let body = [b"Photoshop 3.0\0", part].concat();
        out.extend([0xff, 0xed]);
        out.extend((body.len() as u16 + 2).to_be_bytes());
        out.extend(body);
    }
    out.extend(&plain[2..]);
    out
}

/// A TIFF of one strip with image resources.
pub fn tiff_with(image: &Raster, resources: &[u8], orientation: u16) -> Vec<u8> {
    let maker = TiffMaker::new(image.width, image.height)
        .short(259, 1)
        .short(274, orientation)
        .tag(278, Values::Longs(vec![image.height]))
        .tag(34377, Values::Bytes(resources.to_vec()));
    let channels = image.format.channels() as u16;
    let maker = match image.format {
        PixelFormat { depth: Depth::U16, .. } => maker.samples(2, 16, channels),
        _ => maker.samples(2, 8, channels),
    };
    let maker = if image.format.alpha { maker.short(338, 2) } else { maker };
    match &image.samples {
        reprise::pixel::Samples::U8(samples) => maker.chunk(samples.clone()),
        reprise::pixel::Samples::U16(samples) => maker.chunk16(samples),
    }
    .bytes()
}

fn convert(input: &Path, output: &Path, recipe: &Recipe) -> reprise::error::Result<pipeline::Converted> {
    let context = Context::new(Backend::open(BackendChoice::Cpu).unwrap(), 500_000_000, 2).unwrap();
    pipeline::convert(input, output, recipe, &context)
}

fn clip_recipe() -> Recipe {
    Recipe { clip_path: true, ..Recipe::default() }
}

fn alpha(image: &Raster) -> Raster {
    let last = image.format.channels() - 1;
    let format = PixelFormat::new(Color::Gray, false, image.format.depth);
    crate::support::from_fn(format, image.size(), |x, y, _| image.at(x, y, last))
}

#[test]
fn a_jpeg_is_cut_out_and_keeps_its_colours() {
    let dir = tempfile::tempdir().unwrap();
    let image = scene(RGB, Size::new(320, 320), 1);
    let input = save(dir.path(), "a.jpg", &jpeg_with(&image, &cutout_block()));
    let plain = save(dir.path(), "plain.jpg", &jpeg(&image, true));
    let (output, plain_output) = (dir.path().join("a.tif"), dir.path().join("plain.tif"));
    let converted = convert(&input, &output, &clip_recipe()).unwrap();
    assert_eq!(converted.format, RGB.with_alpha());
    assert_eq!(converted.written.compression, ptiff::Compression::Deflate);
    assert_eq!(converted.warnings, [""; 0]);
    let lossless = Recipe {
        output: ptiff::Options { compression: ptiff::Compression::Deflate, ..ptiff::Options::default() },
        ..Recipe::default()
    };
    convert(&plain, &plain_output, &lossless).unwrap();
    let (cut, whole) = (ptiff::read_level(&output, 0).unwrap(), ptiff::read_level(&plain_output, 0).unwrap());
    assert_same(&alpha(&cut), &mask(&named(), image.size(), Depth::U8), "alpha");
    for y in 0..320 {
        for x in 0..320 {
            assert!((0..3).all(|c| cut.at(x, y, c) == whole.at(x, y, c)), "colour at ({x}, {y})");
        }
    }
}

/// The path as fixed point keeps it.
fn named() -> BezierPath {
    clipping_path::find(&cutout_block()).unwrap().unwrap().area
}

#[test]
fn every_orientation_turns_image_and_mask_alike() {
    let dir = tempfile::tempdir().unwrap();
    for depth in [Depth::U8, Depth::U16] {
        let image = scene(PixelFormat { depth, ..RGB }, Size::new(67, 43), 2);
        let stored = mask(&named(), image.size(), depth);
        for tag in 1..=8 {
            let input = save(dir.path(), "a.tif", &tiff_with(&image, &cutout_block(), tag));
            let (output, mask_file) = (dir.path().join("out.tif"), dir.path().join("mask.tif"));
            let recipe = Recipe { mask: Some(mask_file.clone()), ..clip_recipe() };
            let converted = convert(&input, &output, &recipe).unwrap();
            let orientation = Orientation::from_tag(tag.into()).unwrap();
            let cut = ptiff::read_level(&output, 0).unwrap();
            assert_same(&alpha(&cut), &orient::orient(&stored, orientation), format_args!("orientation {tag}"));
            let kept = ptiff::read_level(&mask_file, 0).unwrap();
            let expected = orient::orient(&mask(&named(), image.size(), Depth::U8), orientation);
            assert_same(&kept, &expected, format_args!("mask, orientation {tag}"));
            assert_eq!(converted.cutout.unwrap().path.area, named().oriented(orientation));
        }
    }
}

#[test]
fn alpha_that_is_there_is_multiplied() {
    let dir = tempfile::tempdir().unwrap();
    let image = scene(RGB.with_alpha(), Size::new(61, 47), 3);
    let input = save(dir.path(), "a.tif", &tiff_with(&image, &cutout_block(), 1));
    let output = dir.path().join("out.tif");
    convert(&input, &output, &clip_recipe()).unwrap();
    let (cut, mask) = (ptiff::read_level(&output, 0).unwrap(), mask(&named(), image.size(), Depth::U8));
    for y in 0..47 {
        for x in 0..61 {
            let expected = (f64::from(image.at(x, y, 3)) * f64::from(mask.at(x, y, 0)) / 255.0).round() as u32;
            assert_eq!(cut.at(x, y, 3), expected, "({x}, {y})");
        }
    }
}

#[test]
fn no_path_warns_and_a_broken_path_fails() {
    let dir = tempfile::tempdir().unwrap();
    let image = scene(RGB, Size::new(48, 48), 4);
    let output = dir.path().join("out.tif");
    let without = save(dir.path(), "a.png", &png(&image));
    let converted = convert(&without, &output, &clip_recipe()).unwrap();
    assert!(converted.warnings.iter().any(|w| w.contains("no clipping path")), "{:?}", converted.warnings);
    assert!(!converted.format.alpha && converted.cutout.is_none());

    let data = records(&cutout());
    let broken = resource(2000, b"Broken", &data[..data.len() - 52]);
    let broken = save(dir.path(), "broken.jpg", &jpeg_with(&image, &broken));
    let error = convert(&broken, &output, &clip_recipe()).unwrap_err();
    assert!(error.kind == ErrorKind::Malformed && error.message.contains("\"Broken\""), "{error}");
    convert(&broken, &output, &Recipe::default()).unwrap();
}

#[test]
fn a_job_makes_masks_and_the_catalog_and_the_report_know_them() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let image = scene(RGB, Size::new(480, 480), 5);
    save(folder, "in/1.jpg", &jpeg_with(&image, &cutout_block()));
    save(folder, "in/2.png", &png(&image));
    reprise(folder, &["init", "lib"]).good();
    reprise(folder, &["ingest", "lib", "in"]).good();
    let job = r#"{"companyHandle":"c|1","jobName":"j","reprocessAssetsJob":{"assetHandleArray":["a|1","a|2"],
        "createMask":true,"emailSetting":"None"}}"#;
    save(folder, "job.json", job.as_bytes());
    assert!(reprise(folder, &["run", "lib", "job.json", "--dry-run"]).good().contains("clipping path"));
    reprise(folder, &["run", "lib", "job.json"]).good();
    let printed = reprise(folder, &["assets", "lib", "--json"]).good();
    let assets: Vec<serde_json::Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let file = PathBuf::from(assets[0]["mask"]["path"].as_str().unwrap());
    assert!(file.starts_with(folder.canonicalize().unwrap().join("lib/masks/0000")), "{file:?}");
    assert_eq!(assets[0]["mask"]["width"], 480);
    assert_eq!(assets[0]["mask"]["current"], true);
    assert!(assets[1]["mask"].is_null());
    assert_same(&ptiff::read_level(&file, 0).unwrap(), &mask(&named(), image.size(), Depth::U8), "the mask's file");
    let log = reprise(folder, &["log", "lib", "j|1"]).good();
    assert!(log.contains("no clipping path") && log.contains("Cut out"), "{log}");
    let page = std::fs::read_to_string(folder.join("lib/reports/j-1.html")).unwrap();
    assert_eq!(page.matches("class=\"outline\"").count(), 1);
    assert!(page.contains("Cut out by the path"), "what was done is said");
    // Masks are the library's own files, not originals.
    assert!(!reprise(folder, &["ingest", "lib", "lib"]).stdout.contains("new"));
}

/// ImageMagick reads the path with a parser of its own and draws it by the even-odd rule. Its edges are as hard or as
/// soft as its build makes them, so pixels that the edge runs
/// through the middle of do not count.
#[test]
fn imagemagick_sees_the_same_mask() {
    let dir = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    if Command::new("identify").arg("-version").output().is_err() {
        assert!(std::env::var_os("REPRISE_REQUIRE_TOOLS").is_none_or(|v| v != "1"), "ImageMagick is not installed");
        println!("skipped: ImageMagick is not installed");
        return;
    }
    let image = scene(RGB, Size::new(320, 320), 6);
    let block = resource(2000, b"Path 1", &records(&cutout()));
    save(dir.path(), "a.jpg", &jpeg_with(&image, &block));
    let svg = run("identify", &["-format", "%[8BIM:1999,2998:#1]", "a.jpg"]);
    let start = svg.find(" d=\"").expect("path data") + 4;
    let data = svg[start..].split('"').next().unwrap().replace('\n', " ");
    // Drawing takes whole numbers as the middle of pixels.
    let draw = format!("translate -0.5,-0.5 fill-rule evenodd path '{data}'");
    run("convert", &["-size", "320x320", "xc:black", "-fill", "white", "-draw", &draw, "-depth", "8", "gray:theirs"]);
    let theirs = std::fs::read(dir.path().join("theirs")).unwrap();
    let ours = mask(&clipping_path::find(&block).unwrap().unwrap().area, image.size(), Depth::U8);
    assert_eq!(theirs.len(), ours.samples.len());
    for (i, &their) in theirs.iter().enumerate() {
        let our = ours.samples.value(i);
        if !(32..224).contains(&our) {
            assert_eq!(their >= 128, our >= 128, "pixel {i}: {their} against our {our}");
        }
    }
}

/// Image resources that another program wrote.
fn stored_block(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/paths").join(name)).unwrap()
}

#[test]
fn paths_of_photoshop_give_the_masks_of_the_slow_reference() {
    let size = Size::new(24, 36);
    for (name, outlines) in [("bottle", 1), ("jar", 1), ("card-with-hole", 2), ("tub", 2)] {
        let path = clipping_path::find(&stored_block(&format!("photoshop-{name}.8bim"))).unwrap().expect("a path");
        assert_eq!((path.name.as_str(), path.area.outlines().count()), ("Path 1", outlines), "{name}");
        let ours = mask(&path.area, size, Depth::U8);
        for (i, area) in reference(&path.area, size).iter().enumerate() {
            let error = (f64::from(ours.samples.value(i)) - 255.0 * area).abs();
            assert!(error <= CLIP_MASK_U8, "{name}, pixel {i}: off by {error:.3} of 255");
        }
        assert_eq!([(0, 0), (23, 0), (12, 18), (0, 35), (23, 35)].map(|(x, y)| ours.at(x, y, 0)), [0, 0, 255, 0, 0]);
        // Where the card hangs.
        assert_eq!(ours.at(12, 6, 0), if name == "card-with-hole" { 0 } else { 255 }, "{name}");
    }
}

/// GIMP wrote both the TIFF, with a path of two shapes and a hole, and a picture of what it selects by that path.
#[test]
fn a_path_of_gimp_gives_the_mask_that_gimp_selects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/paths");
    let file = folder.join("gimp.tif");
    let source = reprise::decode::open(&file, &reprise::limits::Limits::default()).unwrap();
    let path = source.info().clipping_path.clone().unwrap().expect("a path");
    let size = source.info().size;
    assert_eq!((path.name.as_str(), path.area.outlines().count()), ("Cut out", 3));

    let ours = mask(&path.area, size, Depth::U8);
    for (i, area) in reference(&path.area, size).iter().enumerate() {
        let error = (f64::from(ours.samples.value(i)) - 255.0 * area).abs();
        assert!(error <= CLIP_MASK_U8, "pixel {i}: off by {error:.3} of 255");
    }
    assert_eq!([(30, 30), (10, 32), (75, 25), (65, 32)].map(|(x, y)| ours.at(x, y, 0)), [0, 255, 255, 0]);

    let theirs = crate::documents::decoded(&folder.join("gimp-selection.png"));
    assert_eq!(theirs.size(), size);
    for i in 0..ours.samples.len() {
        let (our, their) = (ours.samples.value(i), theirs.samples.value(i));
        let bound = if matches!(our, 0 | 255) { CLIP_MASK_GIMP_INSIDE_U8 } else { CLIP_MASK_GIMP_EDGE_U8 };
        assert!(our.abs_diff(their) <= bound, "pixel {i}: {their} against our {our}");
    }

    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.tif");
    convert(&file, &output, &clip_recipe()).unwrap();
    assert_same(&alpha(&ptiff::read_level(&output, 0).unwrap()), &ours, "alpha");
}

/// An EPS file of 64 × 48 pixels at 144 to the inch, as Photoshop writes it around `resources`: the comments are
/// Photoshop's, the image is drawn by simpler means.
fn eps_with(resources: &[u8], drawing: &str) -> Vec<u8> {
    let hexadecimal: String = resources
        .chunks(32)
        .map(|line| format!("% {}\r", line.iter().map(|byte| format!("{byte:02X}")).collect::<String>()))
        .collect();
    format!(
        "%!PS-Adobe-3.0 EPSF-3.0\r%%Creator: Adobe Photoshop Version 21.0.0\r%%BoundingBox: 0 0 32 24\r\
         %%EndComments\r%ImageData: 64 48 8 3 1 64 2 \"beginimage\"\r%BeginPhotoshop: {}\r{hexadecimal}\
         %EndPhotoshop\r{drawing}\r%%EOF\r",
        resources.len()
    )
    .into_bytes()
}

const EPS_PICTURE: &str = "1 0 0 setrgbcolor 0 0 32 24 rectfill 0 0 1 setrgbcolor 0 0 20 9 rectfill";

#[test]
fn an_eps_of_photoshop_is_cut_out_by_its_path() {
    if reprise::external::ghostscript().is_none() {
        return crate::documents::skip("Ghostscript");
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let photoshop = stored_block("photoshop-card-with-hole.8bim");
    let cut_off = resource(2000, b"Broken", &records(&cutout())[..100]);
    // The caption "Mugs" as IPTC, and a packet of XMP.
    let (iptc, xmp) = (b"\x1c\x02\x78\0\x04Mugs", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>");
    let said = [cutout_block(), resource(1028, b"", iptc), resource(1060, b"", xmp)].concat();
    crate::documents::library(
        folder,
        &[
            ("cut.eps", eps_with(&said, EPS_PICTURE)),
            ("card.eps", eps_with(&photoshop, EPS_PICTURE)),
            ("broken.eps", eps_with(&cut_off, EPS_PICTURE)),
            // This one clips by itself, on pixel edges.
            ("itself.eps", eps_with(&[], &format!("4 6 20 12 rectclip {EPS_PICTURE}"))),
        ],
    );
    let run = |handles: &str, create_mask: bool, alpha: bool| {
        let job = format!(
            r#"{{"companyHandle":"c|1","jobName":"j","reprocessAssetsJob":{{"assetHandleArray":{handles},
            "createMask":{create_mask},"emailSetting":"None",
            "postScriptOptions":{{"process":"Rasterize","alpha":{alpha}}}}}}}"#
        );
        save(folder, "job.json", job.as_bytes());
        reprise(folder, &["run", "lib", "job.json"])
    };
    let page = |document: &str| crate::documents::pages_of(folder, document).remove(0);
    let level = |file: &serde_json::Value| ptiff::read_level(Path::new(file["path"].as_str().unwrap()), 0).unwrap();
    let size = Size::new(64, 48);
    for with_alpha in [false, true] {
        run(r#"["a|1","a|2"]"#, true, with_alpha).good();
        for (document, block) in [("a|1", &cutout_block()), ("a|2", &photoshop)] {
            let expected = mask(&clipping_path::find(block).unwrap().unwrap().area, size, Depth::U8);
            let page = page(document);
            let image = level(&page["derivative"]);
            assert_same(&alpha(&image), &expected, format_args!("alpha of {document}, drawn with {with_alpha}"));
            assert_eq!([0, 1, 2].map(|c| image.at(5, 5, c)), [255, 0, 0]);
            assert_same(&level(&page["mask"]), &expected, format_args!("mask of {document}"));
        }
        let pyramid = page("a|1")["derivative"]["path"].as_str().unwrap().to_owned();
        let kept = reprise::decode::open(Path::new(&pyramid), &reprise::limits::Limits::default())
            .unwrap()
            .info()
            .metadata
            .clone();
        assert_eq!((kept.iptc.as_deref(), kept.xmp.as_deref()), (Some(&iptc[..]), Some(&xmp[..])));
    }
    let log = reprise(folder, &["log", "lib", "j|1"]).good();
    assert_eq!(log.matches("cut out by the path").count(), 2, "{log}");
    let failed = run(r#"["a|3"]"#, true, false);
    assert!(failed.code == 1 && failed.stderr.contains("\"Broken\""), "{}", failed.stderr);
    run(r#"["a|3"]"#, false, false).good();

    run(r#"["a|4"]"#, false, true).good();
    let clipped = level(&page("a|4")["derivative"]);
    for (x, y) in (0..48).flat_map(|y| (0..64).map(move |x| (x, y))) {
        let inside = (8..48).contains(&x) && (12..36).contains(&y);
        assert_eq!(clipped.at(x, y, 3), if inside { 255 } else { 0 }, "({x}, {y})");
    }
}

#[test]
fn paths_of_too_many_knots_are_refused() {
    const RECORD_BYTES: usize = 26;
    let path = |knots: usize| -> Vec<u8> {
        let mut bytes = Vec::new();
        // A subpath says in 16 bits how many knots it has.
        for part in (0..knots).step_by(60_000).map(|done| (knots - done).min(60_000)) {
            let mut begin = [0; RECORD_BYTES];
            begin[2..4].copy_from_slice(&(part as u16).to_be_bytes());
            bytes.extend(begin);
            let mut knot = [0; RECORD_BYTES];
            knot[1] = 1;
            bytes.extend(knot.repeat(part));
        }
        bytes
    };
    assert_eq!(clipping_path::parse(&path(clipping_path::MAX_KNOTS)).unwrap().knots(), clipping_path::MAX_KNOTS);
    let error = clipping_path::parse(&path(clipping_path::MAX_KNOTS + 1)).unwrap_err();
    assert!(error.kind == ErrorKind::Limit && error.message.contains("131072 knots"), "{error}");
}
