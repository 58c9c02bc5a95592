//! Encoding of JPEG tiles of 256 px against libjpeg with its vector instructions: one thread, the same bytes out.
//!
//! `cargo bench --bench jpeg -- PHOTOGRAPH…` prints, for each photograph (JPEGs of YCbCr) and for random pixels, each
//! kind of tile and some qualities, the median time of a tile with either. Both run by turns.

#[path = "../tests/suite/libjpeg.rs"]
mod libjpeg;

use std::error::Error;
use std::time::{Duration, Instant};

use libjpeg::Libjpeg;
use reprise::jpeg::{Decoder, TileEncoder, TileKind};
use reprise::limits::Limits;

const SIDE: usize = 256;
const QUALITIES: [u8; 3] = [75, 95, 100];
const TURNS: usize = 9;

/// RGB rows.
struct Picture {
    name: String,
    width: usize,
    pixels: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut pictures = vec![random()];
    for path in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
        pictures.push(photograph(path)?);
    }
    println!("| picture | tiles | quality | bytes | libjpeg, µs | reprise, µs | ratio |");
    println!("|---|---|---|---|---|---|---|");
    for picture in &pictures {
        for (what, kind) in [
            ("4:2:0", TileKind::Rgb { half_chroma: true }),
            ("4:4:4", TileKind::Rgb { half_chroma: false }),
            ("gray", TileKind::Gray),
            ("CMYK", TileKind::Cmyk),
        ] {
            let pixels = converted(&picture.pixels, kind);
            for quality in QUALITIES {
                let (bytes, [theirs, ours]) = compare(kind, quality, &pixels, picture.width * kind.channels())?;
                let us = |time: Duration| time.as_secs_f64() * 1e6;
                println!(
                    "| {} | {what} | {quality} | {bytes} | {:.0} | {:.0} | {:.2} × |",
                    picture.name,
                    us(theirs),
                    us(ours),
                    us(theirs) / us(ours)
                );
            }
        }
    }
    Ok(())
}

fn random() -> Picture {
    let mut state = 1u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let width = 4 * SIDE;
    Picture { name: "random".into(), width, pixels: (0..width * width * 3).map(|_| byte()).collect() }
}

fn photograph(path: String) -> Result<Picture, Box<dyn Error>> {
    let mut decoder = Decoder::new(std::fs::read(&path)?, &Limits::default())?;
    let size = decoder.header().size;
    let mut pixels = vec![0; size.width as usize * size.height as usize * 3];
    decoder.read_scanlines(&mut pixels)?;
    Ok(Picture { name: path, width: size.width as usize, pixels })
}

fn converted(rgb: &[u8], kind: TileKind) -> Vec<u8> {
    let pixels = rgb.chunks_exact(3);
    match kind {
        TileKind::Rgb { .. } => rgb.to_vec(),
        TileKind::Gray => pixels.map(|pixel| pixel[1]).collect(),
        TileKind::Cmyk => pixels.flat_map(|p| [255 - p[0], 255 - p[1], 255 - p[2], p[1] / 4]).collect(),
    }
}

/// Mean bytes of a tile, and the median of the mean times of a tile, of libjpeg and of the encoder in Rust.
fn compare(
    kind: TileKind,
    quality: u8,
    pixels: &[u8],
    stride: usize,
) -> Result<(usize, [Duration; 2]), Box<dyn Error>> {
    let mut theirs = Libjpeg::new(kind, SIDE, quality);
    let ours = TileEncoder::new(kind, SIDE as u32, quality)?;
    let (columns, rows) = (stride / kind.channels() / SIDE, pixels.len() / stride / SIDE);
    assert!(ours.tables() == theirs.tables(), "other tables");
    let mut times = [[Duration::ZERO; 2]; TURNS];
    let (mut bytes, mut stream) = (0, Vec::new());
    for time in &mut times {
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let tile = &pixels[row * SIDE * stride + column * SIDE * kind.channels()..];
            let start = Instant::now();
            let expected = theirs.encode(tile, stride);
            let middle = Instant::now();
            stream.clear();
            ours.encode(tile, stride, &mut stream)?;
            time[1] += middle.elapsed();
            time[0] += middle - start;
            assert!(stream == expected, "other bytes");
            bytes += stream.len();
        }
    }
    let tiles = rows * columns;
    let medians = [0, 1].map(|encoder| {
        times.sort_by_key(|time| time[encoder]);
        times[TURNS / 2][encoder] / tiles as u32
    });
    Ok((bytes / tiles / TURNS, medians))
}
