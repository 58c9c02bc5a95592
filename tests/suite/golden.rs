//! Goldens: what the operations gave when their laws and references held. A changed bit is a decision, not an accident.
//!
//! `REPRISE_BLESS=1 cargo test --test suite golden::` writes the file anew.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use reprise::geometry::{Corner, Size};
use reprise::ops::crop_detect::{self, Background};
use reprise::ops::knockout::{self, Fill, Knockout};
use reprise::ops::pyramid::{self, cpu::CpuExecutor};
use reprise::ops::resample::{self, Filter};
use reprise::ops::unsharp::{self, Unsharp};
use reprise::pixel::{PixelFormat, Raster};

use crate::support::{levels_of, scene};

fn file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/golden/operations.txt"].iter().collect()
}

/// Size, format and samples in order; 16-bit samples little-endian.
fn hash(image: &Raster) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{} {} {}\n", image.width, image.height, image.format).as_bytes());
    for index in 0..image.samples.len() {
        hasher.update(&image.samples.value(index).to_le_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

fn pyramid_of(image: &Raster, filter: Filter, unsharp: Option<Unsharp>) -> Vec<Raster> {
    let plan = Arc::new(pyramid::Plan {
        format: image.format,
        levels: image.size().levels(16).collect(),
        resample: resample::Plan::new(filter),
        unsharp: unsharp.as_ref().and_then(unsharp::Plan::new),
    });
    levels_of(&mut CpuExecutor::new(Arc::clone(&plan)), &plan, image, 32)
}

/// One line for each operation and format: what, then the hash of everything it gave.
fn now() -> String {
    let sharp = |radius_px, monochrome| Some(Unsharp { amount: 1.3, radius_px, threshold: 3, monochrome });
    let mut lines = String::new();
    for format in PixelFormat::all() {
        let image = scene(format, Size::new(97, 61), 11);
        let pyramids = [
            ("lanczos", Filter::Lanczos, None),
            ("box", Filter::Box, None),
            ("bicubic-sharper", Filter::BicubicSharper, None),
            ("unsharp", Filter::Lanczos, sharp(1.5, false)),
            ("unsharp monochrome", Filter::Lanczos, sharp(4.0, true)),
        ];
        for (name, filter, unsharp) in pyramids {
            let hashes: Vec<_> = pyramid_of(&image, filter, unsharp).iter().map(hash).collect();
            writeln!(lines, "{format}, {name}: {}", hashes.join(" ")).unwrap();
        }
        let background = Background::Color { corner: Corner::BottomRight, tolerance: 0.12 };
        let plan = crop_detect::Plan::new(background, &image).unwrap();
        let bounds = crop_detect::cpu::bounds(&plan, &image);
        writeln!(lines, "{format}, crop: {bounds:?}").unwrap();
        for fill in [Fill::FloodFill, Fill::MatchPixel] {
            let knockout = Knockout { corner: Corner::BottomRight, tolerance: 0.12, fill };
            let mask = crop_detect::cpu::match_mask(&plan, &image);
            let out = knockout::cpu::apply(&knockout, mask, &image);
            writeln!(lines, "{format}, knock-out {fill:?}: {}", hash(&out)).unwrap();
        }
    }
    lines
}

#[test]
fn operations_give_what_they_gave() {
    let now = now();
    if std::env::var_os("REPRISE_BLESS").is_some() {
        std::fs::create_dir_all(file().parent().unwrap()).unwrap();
        std::fs::write(file(), &now).unwrap();
    }
    let then = std::fs::read_to_string(file()).expect("the goldens are in the repository");
    for (now, then) in now.lines().zip(then.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(now.lines().count(), then.lines().count());
}
