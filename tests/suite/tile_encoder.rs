//! The encoder of JPEG tiles writes what libjpeg writes, byte for byte.

use std::f64::consts::PI;

use reprise::geometry::Size;
use reprise::jpeg::{Decoder, TileEncoder, TileKind};
use reprise::limits::Limits;
use reprise::pixel::{Color, Depth, PixelFormat};

use crate::libjpeg::Libjpeg;
use crate::support::{Random, noise, scene};

const KINDS: [TileKind; 4] =
    [TileKind::Gray, TileKind::Rgb { half_chroma: true }, TileKind::Rgb { half_chroma: false }, TileKind::Cmyk];

fn format(kind: TileKind) -> PixelFormat {
    let color = match kind {
        TileKind::Gray => Color::Gray,
        TileKind::Rgb { .. } => Color::Rgb,
        TileKind::Cmyk => Color::Cmyk,
    };
    PixelFormat::new(color, false, Depth::U8)
}

/// Compares tables and tile; rows are `stride` bytes apart.
fn check(kind: TileKind, side: usize, quality: u8, (pixels, stride): (&[u8], usize), what: &str) {
    let what = || format!("{what}, {kind:?}, {side} px, quality {quality}");
    let encoder = TileEncoder::new(kind, side as u32, quality).expect("an encoder");
    let mut reference = Libjpeg::new(kind, side, quality);
    assert!(encoder.tables() == reference.tables(), "{}: other tables", what());
    let mut stream = Vec::new();
    encoder.encode(pixels, stride, &mut stream).expect("a tile");
    let expected = reference.encode(pixels, stride);
    if stream != expected {
        let at = stream.iter().zip(expected).position(|(found, expected)| found != expected);
        panic!("{}: {} bytes in place of {}, other from {at:?} on", what(), stream.len(), expected.len());
    }
}

#[test]
fn bytes_are_those_of_libjpeg() {
    for kind in KINDS {
        for quality in [0, 1, 10, 30, 50, 75, 85, 90, 95, 98, 99, 100] {
            for side in [16, 32, 48, 80, 256] {
                let size = Size::new(side as u32, side as u32);
                for (what, image) in [
                    ("noise", noise(format(kind), size, 3)),
                    ("a scene", scene(format(kind), size, u64::from(quality))),
                ] {
                    check(kind, side, quality, (image.samples.as_bytes(), image.row_bytes()), what);
                }
            }
        }
        for quality in [75, 95] {
            let image = scene(format(kind), Size::new(512, 512), 9);
            check(kind, 512, quality, (image.samples.as_bytes(), image.row_bytes()), "a large scene");
        }
    }
}

/// Compares tiles of 64 px whose samples are 0 or 255, as told by x, y and channel.
fn check_extremes(kind: TileKind, what: &str, mut sample: impl FnMut(usize, usize, usize) -> bool) {
    const SIDE: usize = 64;
    let channels = kind.channels();
    let pixels: Vec<u8> = (0..SIDE * SIDE * channels)
        .map(|at| if sample(at / channels % SIDE, at / channels / SIDE, at % channels) { 255 } else { 0 })
        .collect();
    for quality in [1, 50, 95, 100] {
        check(kind, SIDE, quality, (&pixels, SIDE * channels), what);
    }
}

#[test]
fn extremes_give_the_bytes_of_libjpeg() {
    let mut random = Random(7);
    for kind in KINDS {
        check_extremes(kind, "black", |_, _, _| false);
        check_extremes(kind, "white", |_, _, _| true);
        check_extremes(kind, "black or white", |_, _, _| random.below(2) == 1);
        for step in [1, 2, 4, 8, 16] {
            check_extremes(kind, "checks", |x, y, _| (x / step + y / step) % 2 == 1);
            check_extremes(kind, "columns", |x, _, _| x / step % 2 == 1);
            check_extremes(kind, "rows", |_, y, _| y / step % 2 == 1);
            check_extremes(kind, "saturated colours", |x, y, c| (x / step + y / step) >> c & 1 == 1);
        }
        // Blocks in which one coefficient becomes as large as it can, and their negatives.
        for (u, v) in (0..8).flat_map(|u| (0..8).map(move |v| (u, v))) {
            let cosine = |x: usize, u: usize| ((2 * (x % 8) + 1) as f64 * u as f64 * PI / 16.0).cos();
            check_extremes(kind, "one coefficient", |x, y, _| {
                (cosine(x, u) * cosine(y, v) > 0.0) == ((x / 8 + y / 8) % 2 == 0)
            });
        }
    }
}

#[test]
fn a_photograph_gives_the_bytes_of_libjpeg() {
    for (name, kinds) in [
        ("09-lamp-portrait", &[KINDS[1], KINDS[2]][..]),
        ("10-pears-gray-progressive", &[TileKind::Gray]),
        ("05-fruit-bowl-cmyk", &[TileKind::Cmyk]),
    ] {
        let path = format!("{}/samples/originals/{name}.jpg", env!("CARGO_MANIFEST_DIR"));
        let data = std::fs::read(path).expect("a photograph");
        let mut decoder = Decoder::new(data, &Limits::default()).expect("a header");
        let size = decoder.header().size;
        let stride = size.width as usize * kinds[0].channels();
        let mut pixels = vec![0; stride * size.height as usize];
        assert_eq!(decoder.read_scanlines(&mut pixels).expect("rows"), size.height as usize);
        let side = 256;
        for quality in [60, 95, 100] {
            for (top, left) in (0..size.height as usize / side)
                .flat_map(|row| (0..size.width as usize / side).map(move |column| (row * side, column * side)))
            {
                for kind in kinds {
                    check(*kind, side, quality, (&pixels[top * stride + left * kind.channels()..], stride), name);
                }
            }
        }
    }
}

#[test]
fn only_the_pixels_of_the_tile_are_read() {
    for kind in KINDS {
        let image = noise(format(kind), Size::new(48, 32), 5);
        let (pixels, stride) = (image.samples.as_bytes(), image.row_bytes());
        let (row_bytes, side) = (32 * kind.channels(), 32);
        let last = stride * (side - 1) + row_bytes;
        let encoder = TileEncoder::new(kind, side as u32, 90).expect("an encoder");
        let (mut cut, mut whole) = (Vec::new(), Vec::new());
        encoder.encode(&pixels[..last], stride, &mut cut).expect("a tile");
        let apart: Vec<u8> = pixels.chunks(stride).flat_map(|row| &row[..row_bytes]).copied().collect();
        encoder.encode(&apart, row_bytes, &mut whole).expect("a tile");
        assert!(cut == whole, "{kind:?}");
        assert!(encoder.encode(&pixels[..last - 1], stride, &mut cut).is_err(), "{kind:?}");
    }
}
