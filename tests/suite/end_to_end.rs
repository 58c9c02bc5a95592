//! From original to file: every level of the samples' pyramids against the f64 reference and in other programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reprise::encode::ptiff::{self, Compression, Options};
use reprise::engine::{Backend, ColorPolicy, Context, Conversion, Recipe, pipeline};
use reprise::ops::resample::Filter;
use reprise::pixel::{Depth, Raster};

use crate::ptiff::{assert_read_exactly, read_elsewhere};
use crate::support::psnr;
use crate::{reference, tolerances};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/originals").join(name)
}

fn levels(path: &Path) -> Vec<Raster> {
    let count = ptiff::read_structure(path).unwrap().levels.len();
    (0..count).map(|level| ptiff::read_level(path, level).unwrap()).collect()
}

fn convert(name: &str, folder: &Path, options: Options) -> PathBuf {
    let context = Context::new(Backend::cpu(), 1 << 30, 2).unwrap();
    // CMYK stays CMYK.
    let color = ColorPolicy { conversion: Conversion::Never, ..ColorPolicy::default() };
    let recipe = Recipe { output: options, color, ..Recipe::default() };
    let output = folder.join(name).with_extension("tif");
    pipeline::convert(&sample(name), &output, &recipe, &context).unwrap();
    output
}

#[test]
fn every_level_of_the_samples_meets_the_reference_and_other_readers() {
    let dir = tempfile::tempdir().unwrap();
    let names = [
        "01-mug-on-white.jpg",
        "02-mug-cutout.png",
        "06-tea-label-cmyk.tif",
        "07-lens-16bit.tif",
        "08-chess-gray16.png",
    ];
    let mut written = BTreeMap::new();
    for name in names {
        let path = convert(name, dir.path(), Options { compression: Compression::Deflate, ..Options::default() });
        let levels = levels(&path);
        assert!(levels.len() > 2, "{name}");
        for (above, below) in levels.iter().zip(&levels[1..]) {
            let (color, alpha) = reference::downsample(Filter::Lanczos, above).distance(below);
            let bound = match (above.format.depth, above.format.alpha) {
                (Depth::U8, false) => tolerances::DOWNSAMPLE_U8,
                (Depth::U8, true) => tolerances::DOWNSAMPLE_U8_PREMULTIPLIED,
                (Depth::U16, false) => tolerances::DOWNSAMPLE_U16,
                (Depth::U16, true) => tolerances::DOWNSAMPLE_U16_PREMULTIPLIED,
            };
            assert!(color <= bound && alpha <= bound, "{name}: {color} and {alpha} against {bound}");
        }
        written.insert(path, levels);
    }
    let files: Vec<PathBuf> = written.keys().cloned().collect();
    if let Some(readings) = read_elsewhere(&files, dir.path(), false) {
        assert_read_exactly(&readings, &written);
    }
}

#[test]
fn jpeg_levels_stay_within_the_error_of_their_quality() {
    let dir = tempfile::tempdir().unwrap();
    let lossless_folder = dir.path().join("lossless");
    std::fs::create_dir(&lossless_folder).unwrap();
    for name in ["01-mug-on-white.jpg", "09-lamp-portrait.jpg", "10-pears-gray-progressive.jpg"] {
        let deflate = Options { compression: Compression::Deflate, ..Options::default() };
        let exact = levels(&convert(name, &lossless_folder, deflate));
        let lossy = levels(&convert(name, dir.path(), Options::default()));
        for (level, (exact, lossy)) in exact.iter().zip(&lossy).enumerate() {
            let quality_db = psnr(exact, lossy);
            println!("{name} level {level}: {quality_db:.1} dB");
            assert!(quality_db >= tolerances::JPEG_95_PSNR_DB, "{name} level {level}: {quality_db:.1} dB");
        }
    }
}
