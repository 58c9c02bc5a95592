//! Pyramid TIFFs: written here, read by this crate and by programs that were written by others.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reprise::decode::{Metadata, Resolution, ResolutionUnit};
use reprise::encode::ptiff::{
    self, BigTiff, Chroma, Compression, Layout, Options, Pyramid, Writer, Written, read_level, read_structure, validate,
};
use reprise::geometry::{Rect, Size};
use reprise::jpeg::{Decoder, TileEncoder, TileKind};
use reprise::limits::Limits;
use reprise::pixel::{Color, Depth, PixelFormat, Raster};
use reprise::{ErrorKind, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Random, assert_same, coefficients_of, pool, psnr, scene};

const LOSSLESS: [Compression; 4] = [Compression::None, Compression::Lzw, Compression::Deflate, Compression::Zstd];
const LAYOUTS: [Layout; 2] = [Layout::Pages, Layout::SubIfd];

const GRAY: PixelFormat = PixelFormat::new(Color::Gray, false, Depth::U8);
const RGB: PixelFormat = PixelFormat::new(Color::Rgb, false, Depth::U8);
const RGBA: PixelFormat = PixelFormat::new(Color::Rgb, true, Depth::U8);
const CMYK: PixelFormat = PixelFormat::new(Color::Cmyk, false, Depth::U8);

/// A pyramid to write. Its levels show different scenes, so that none can pass for another.
#[derive(Debug, Clone)]
struct Case {
    format: PixelFormat,
    size: Size,
    options: Options,
    metadata: Metadata,
    /// Rows handed over at once.
    band: u32,
    spill_bytes: u64,
}

impl Case {
    fn new(format: PixelFormat, size: Size, compression: Compression) -> Self {
        let options = Options { compression, tile: 32, ..Options::default() };
        Case { format, size, options, metadata: Metadata::default(), band: 19, spill_bytes: u64::MAX }
    }

    fn sizes(&self) -> Vec<Size> {
        self.size.levels(self.options.tile).collect()
    }

    fn levels(&self) -> Vec<Raster> {
        let level = |(seed, size)| scene(self.format, self.size, seed).cropped(Rect::of(size));
        (1..).zip(self.sizes()).map(level).collect()
    }

    fn writer(&self, path: &Path) -> Result<Writer> {
        let pyramid =
            Pyramid { format: self.format, levels: self.sizes(), metadata: self.metadata.clone(), came_as_jpeg: false };
        Writer::create(path, pyramid, &self.options, self.spill_bytes)
    }

    fn write_levels(&self, path: &Path, levels: &[Raster]) -> Written {
        self.write_in(&pool(2), path, levels)
    }

    fn write_in(&self, pool: &rayon::ThreadPool, path: &Path, levels: &[Raster]) -> Written {
        let mut writer = self.writer(path).expect("the writer is made");
        // All levels a band at a time, as the engine's levels arrive.
        let mut start = 0;
        while start < self.size.height {
            for (index, level) in levels.iter().enumerate() {
                let end = level.height.min(start + self.band);
                if start < end {
                    let rows = rows(level, start..end);
                    pool.install(|| writer.write_rows(index, &rows)).expect("the rows are taken");
                }
            }
            start += self.band;
        }
        writer.finish(pool).expect("the file is written")
    }

    fn write(&self, path: &Path) -> Written {
        self.write_levels(path, &self.levels())
    }

    /// A file name that says what is in the file.
    fn name(&self) -> String {
        let Size { width, height } = self.size;
        let Options { compression, tile, layout, big_tiff, chroma, .. } = &self.options;
        let name = format!(
            "{}-{width}x{height}-{compression:?}-{chroma:?}-{tile}-{layout:?}-{big_tiff:?}.tif",
            self.format.to_string().replace(' ', "-")
        );
        name.to_lowercase()
    }
}

fn rows(raster: &Raster, range: std::ops::Range<u32>) -> Raster {
    let mut band = Raster::empty(raster.format, raster.width);
    band.append_rows(raster, range);
    band
}

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

/// Every combination of pixel format, lossless compression and layout, and sizes around a tile.
fn lossless_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in PixelFormat::all() {
        for compression in LOSSLESS {
            for layout in LAYOUTS {
                let mut case = Case::new(format, Size::new(150, 83), compression);
                case.options.layout = layout;
                cases.push(case);
            }
        }
    }
    let sides = [(1, 1), (255, 255), (256, 256), (257, 257), (700, 300), (600, 1), (1, 600)];
    for (width, height) in sides {
        for format in [GRAY, RGBA, CMYK, PixelFormat::new(Color::Rgb, false, Depth::U16)] {
            for (compression, layout) in [(Compression::Deflate, Layout::Pages), (Compression::Lzw, Layout::SubIfd)] {
                let mut case = Case::new(format, Size::new(width, height), compression);
                (case.options.tile, case.options.layout) = (256, layout);
                cases.push(case);
            }
        }
    }
    for layout in LAYOUTS {
        let mut case = Case::new(RGBA, Size::new(150, 83), Compression::Deflate);
        (case.options.layout, case.options.big_tiff) = (layout, BigTiff::Always);
        cases.push(case);
    }
    cases
}

// --- this crate's own reader ---

#[test]
fn every_level_comes_back_bit_for_bit() {
    let folder = folder();
    for case in lossless_cases() {
        let path = folder.path().join(case.name());
        let levels = case.levels();
        let written = case.write_levels(&path, &levels);
        let description = read_structure(&path).expect("a good file");
        assert_eq!(written.bytes, path.metadata().expect("the file is there").len());
        assert_eq!(written.bytes, description.bytes);
        assert_eq!(written.levels, levels.len());
        assert_eq!(written.compression, case.options.compression);
        assert_eq!(written.big_tiff, case.options.big_tiff == BigTiff::Always);
        assert_eq!(description.big_tiff, written.big_tiff);
        assert_eq!((description.format, description.tile), (case.format, case.options.tile));
        let expected = if levels.len() > 1 { case.options.layout } else { Layout::Pages };
        assert_eq!(description.layout, expected, "SubIFDs are never empty");
        for (index, level) in levels.iter().enumerate() {
            assert_same(&read_level(&path, index).expect("a good level"), level, format!("{case:?}, level {index}"));
        }
        let report = validate(&path, true).expect("the file can be read");
        assert_eq!(report.findings, [], "{case:?}");
        assert_eq!(report.tiles_decoded, description.levels.iter().map(|level| level.tiles).sum::<u64>());
        std::fs::remove_file(&path).expect("the file goes");
    }
}

#[test]
fn directories_come_first_and_the_smallest_level_follows() {
    let folder = folder();
    for layout in LAYOUTS {
        for big_tiff in [BigTiff::Auto, BigTiff::Always] {
            let mut case = Case::new(RGB, Size::new(300, 200), Compression::Deflate);
            case.metadata = metadata();
            (case.options.layout, case.options.big_tiff) = (layout, big_tiff);
            let path = folder.path().join(case.name());
            let written = case.write(&path);
            let levels = read_structure(&path).expect("a good file").levels;
            let last = levels.last().expect("levels");
            // Everything that is not a tile stands before the first tile.
            let tile_bytes: u64 = levels.iter().map(|level| level.tile_bytes).sum();
            assert_eq!(last.range.start, written.bytes - tile_bytes);
            for pair in levels.windows(2) {
                assert_eq!(pair[1].range.end, pair[0].range.start, "smallest first, without gaps");
            }
            assert_eq!(levels[0].range.end, written.bytes);
        }
    }
}

// --- JPEG ---

fn jpeg_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (format, chroma) in [(GRAY, Chroma::Half), (RGB, Chroma::Half), (RGB, Chroma::Full), (CMYK, Chroma::Half)] {
        for layout in LAYOUTS {
            let mut case = Case::new(format, Size::new(150, 83), Compression::Jpeg);
            case.options = Options { chroma, layout, ..case.options };
            cases.push(case);
        }
    }
    cases
}

/// What quality 95 must keep of a scene with hard coloured edges; half of the chroma costs most there.
fn least_psnr_db(case: &Case) -> f64 {
    if case.format == RGB && case.options.chroma == Chroma::Half { 29.0 } else { 38.0 }
}

#[test]
fn jpeg_levels_come_back_within_their_error() {
    let folder = folder();
    let mut expected = BTreeMap::new();
    for case in jpeg_cases() {
        let path = folder.path().join(case.name());
        let levels = case.levels();
        let written = case.write_levels(&path, &levels);
        assert_eq!(written.compression, Compression::Jpeg);
        assert_eq!(validate(&path, true).expect("the file can be read").findings, [], "{case:?}");
        let subsampling = (case.format == RGB).then_some(match case.options.chroma {
            Chroma::Half => (2, 2),
            Chroma::Full => (1, 1),
        });
        let description = read_structure(&path).expect("a good file");
        for (index, level) in levels.iter().enumerate() {
            assert_eq!(description.levels[index].subsampling, subsampling);
            let db = psnr(&read_level(&path, index).expect("a good level"), level);
            assert!(db > least_psnr_db(&case), "{case:?}, level {index}: {db} dB");
        }
        expected.insert(path, (case, levels));
    }
    let files: Vec<PathBuf> = expected.keys().cloned().collect();
    let Some(readings) = read_elsewhere(&files, folder.path(), true) else { return };
    let mut seen = 0;
    for Reading { file, reader, level, facts } in &readings {
        assert_ne!(reader, "error", "{}: {}", file.display(), facts["error"]);
        if reader == "tags" {
            continue;
        }
        let (case, levels) = &expected[file];
        assert_eq!(facts_read(facts)[..4], facts_of(&levels[*level])[..4]);
        let mut raster = Raster::zeroed(case.format, levels[*level].size());
        let raw = std::fs::read(facts["raw"].as_str().expect("a path")).expect("samples");
        raster.samples.as_bytes_mut().copy_from_slice(&raw);
        let db = psnr(&raster, &levels[*level]);
        assert!(db > least_psnr_db(case), "{}: {reader}, level {level}: {db} dB", file.display());
        seen += 1;
    }
    assert_eq!(seen, 2 * expected.values().map(|(_, levels)| levels.len()).sum::<usize>());
}

#[test]
fn carried_tiles_keep_the_pixels_of_their_source() {
    let folder = folder();
    let limits = Limits::default();
    for kind in [TileKind::Gray, TileKind::Rgb { half_chroma: false }, TileKind::Rgb { half_chroma: true }] {
        let format = if kind == TileKind::Gray { GRAY } else { RGB };
        // A whole JPEG: tables and image of one large tile, coarse enough for a second generation to show.
        let size = Size::new(208, 208);
        let encoder = TileEncoder::new(kind, size.width, 60).expect("an encoder");
        let mut image = Vec::new();
        encoder
            .encode(scene(format, size, 5).samples.as_bytes(), size.width as usize * format.channels(), &mut image)
            .expect("an image");
        let source = [encoder.tables().strip_suffix(&[0xff, 0xd9]).expect("an end"), &image[2..]].concat();
        let mut decoded = Raster::zeroed(format, size);
        let mut decoder = Decoder::new(source.clone(), &limits).expect("a JPEG");
        let (bytes, mut filled) = (decoded.samples.as_bytes_mut(), 0);
        while filled < bytes.len() {
            filled +=
                decoder.read_scanlines(&mut bytes[filled..]).expect("rows") * size.width as usize * format.channels();
        }

        let coefficients = coefficients_of(source.clone(), &limits).expect("coefficients");
        let case = Case::new(format, size, Compression::Jpeg);
        let path = folder.path().join(case.name());
        let mut levels = case.levels();
        let mut writer = case.writer(&path).expect("the writer is made");
        let subsampling = (!coefficients.is_gray()).then(|| coefficients.subsampling());
        let carried = ptiff::Carried { tables: coefficients.tables().to_vec(), subsampling };
        writer.split().0.carry(carried).expect("it is carried");
        let across = size.width.div_ceil(case.options.tile);
        for index in 0..across * across {
            let mut tile = Vec::new();
            let (column, row) = (index % across, index / across);
            coefficients.cut_tile(Rect::of(size), column, row, case.options.tile, &mut tile).expect("a tile");
            writer.split().0.write_carried(index as usize, &[tile]).expect("the tile is taken");
        }
        for (index, level) in levels.iter().enumerate().skip(1) {
            writer.write_rows(index, level).expect("the rows are taken");
        }
        writer.finish(&pool(1)).expect("the file is written");
        assert_eq!(validate(&path, true).expect("the file can be read").findings, [], "{kind:?}");

        let top = read_level(&path, 0).expect("a good level");
        if kind == (TileKind::Rgb { half_chroma: true }) {
            // Interpolated chroma sees one tile at a time.
            assert!(psnr(&top, &decoded) > 45.0, "{} dB", psnr(&top, &decoded));
        } else {
            assert_same(&top, &decoded, format!("{kind:?}"));
        }
        assert!(psnr(&read_level(&path, 1).expect("a good level"), &levels[1]) > least_psnr_db(&case));

        let Some(readings) = read_elsewhere(std::slice::from_ref(&path), folder.path(), true) else { continue };
        levels[0] = top;
        for Reading { reader, level, facts, .. } in readings {
            assert_ne!(reader, "error", "{}", facts["error"]);
            if reader != "tags" {
                let mut raster = Raster::zeroed(format, levels[level].size());
                let raw = std::fs::read(facts["raw"].as_str().expect("a path")).expect("samples");
                raster.samples.as_bytes_mut().copy_from_slice(&raw);
                let least = if level == 0 { 45.0 } else { least_psnr_db(&case) };
                assert!(psnr(&raster, &levels[level]) > least, "{reader}: level {level}");
            }
        }
    }
}

// --- repeatable ---

#[test]
fn bytes_depend_on_pixels_and_options_only() {
    let folder = folder();
    let path = folder.path().join("a.tif");
    let (one, eight) = (pool(1), pool(8));
    for compression in LOSSLESS.into_iter().chain([Compression::Jpeg]) {
        let mut case = Case::new(RGB, Size::new(500, 270), compression);
        case.metadata = metadata();
        let mut bytes = |pool: &rayon::ThreadPool, band, spill_bytes| {
            (case.band, case.spill_bytes) = (band, spill_bytes);
            case.write_in(pool, &path, &case.levels());
            std::fs::read(&path).expect("the file")
        };
        let first = bytes(&one, 270, u64::MAX);
        assert!(first == bytes(&one, 270, u64::MAX), "{compression:?}: a second run");
        assert!(first == bytes(&eight, 270, u64::MAX), "{compression:?}: eight threads");
        assert!(first == bytes(&eight, 1, u64::MAX), "{compression:?}: rows one by one");
        assert!(first == bytes(&eight, 45, 0), "{compression:?}: all tiles spilled");
        assert!(first == bytes(&eight, 64, 20_000), "{compression:?}: some tiles spilled");
    }
}

// --- safe to write ---

/// Names of all files in a folder.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).expect("the folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn an_unfinished_file_changes_nothing() {
    let folder = folder();
    let path = folder.path().join("a.tif");
    std::fs::write(&path, "old").expect("the old file");
    let case = Case { spill_bytes: 1000, ..Case::new(RGB, Size::new(100, 100), Compression::Deflate) };
    let levels = case.levels();

    let mut writer = case.writer(&path).expect("the writer is made");
    writer.write_rows(0, &rows(&levels[0], 0..70)).expect("the rows are taken");
    drop(writer);
    assert_eq!(names(&folder), ["a.tif"]);

    let mut writer = case.writer(&path).expect("the writer is made");
    writer.write_rows(0, &levels[0]).expect("the rows are taken");
    let error = writer.finish(&pool(1)).expect_err("rows of the lower levels are missing");
    assert_eq!(error.kind, ErrorKind::Misuse);
    assert!(error.to_string().contains("a.tif") && error.to_string().contains("level 1"), "{error}");
    assert_eq!(names(&folder), ["a.tif"]);
    assert_eq!(std::fs::read(&path).expect("the old file"), b"old");

    case.write(&path);
    assert_eq!(names(&folder), ["a.tif"]);
    assert!(read_structure(&path).is_ok());
}

#[cfg(unix)]
#[test]
fn permissions_are_those_of_the_file_before() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("a.tif");
    let mode = || path.metadata().expect("the file").permissions().mode() & 0o777;
    let usual = folder.path().join("usual");
    std::fs::write(&usual, "").expect("a file");
    let case = Case::new(GRAY, Size::new(5, 5), Compression::None);
    case.write(&path);
    assert_eq!(mode(), usual.metadata().expect("a file").permissions().mode() & 0o777);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("permissions");
    case.write(&path);
    assert_eq!(mode(), 0o640);
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    let folder = folder();
    let case = Case::new(GRAY, Size::new(5, 5), Compression::None);
    let missing = folder.path().join("missing/a.tif");
    let error = case.writer(&missing).err().expect("there is no such folder");
    assert_eq!(error.kind, ErrorKind::Io);
    assert!(error.to_string().contains("missing/a.tif"), "{error}");

    let taken = folder.path().join("taken.tif");
    std::fs::create_dir(&taken).expect("a folder");
    let mut writer = case.writer(&taken).expect("the writer is made");
    writer.write_rows(0, &case.levels()[0]).expect("the rows are taken");
    let error = writer.finish(&pool(1)).expect_err("a folder is in the way");
    assert_eq!(error.kind, ErrorKind::Io);
    assert!(error.to_string().contains("taken.tif"), "{error}");
    assert_eq!(names(&folder), ["taken.tif"]);
}

/// Runs [`write_into_too_little_room`] in a process that may write only small files.
#[cfg(unix)]
#[test]
fn a_write_that_fails_midway_keeps_the_old_file() {
    let itself = std::env::current_exe().expect("the test binary");
    // Ignored, the signal turns into an error of the write.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$0\" --exact ptiff::write_into_too_little_room --ignored"])
        .arg(itself)
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by a_write_that_fails_midway_keeps_the_old_file"]
fn write_into_too_little_room() {
    let folder = folder();
    let path = folder.path().join("a.tif");
    std::fs::write(&path, "old").expect("the old file");
    for spill_bytes in [0, u64::MAX] {
        let case = Case { spill_bytes, ..Case::new(RGB, Size::new(300, 200), Compression::None) };
        let mut writer = case.writer(&path).expect("the writer is made");
        let written = case
            .levels()
            .iter()
            .enumerate()
            .try_for_each(|(index, level)| writer.write_rows(index, level))
            .and_then(|()| writer.finish(&pool(1)));
        let error = written.expect_err("there is no room for the file");
        assert_eq!(error.kind, ErrorKind::Io);
        assert!(error.to_string().contains("a.tif"), "{error}");
        assert_eq!(names(&folder), ["a.tif"]);
        assert_eq!(std::fs::read(&path).expect("the old file"), b"old");
    }
}

#[test]
fn rows_in_pieces_make_the_same_file() {
    let folder = folder();
    let words = PixelFormat::new(Color::Rgb, false, Depth::U16);
    for (format, compression) in [
        (RGB, Compression::Jpeg),
        (GRAY, Compression::Jpeg),
        (CMYK, Compression::Jpeg),
        (RGBA, Compression::Deflate),
        (words, Compression::Lzw),
        (words, Compression::None),
    ] {
        // The last row of tiles ends in the middle of a piece, or with one.
        for height in [150, 160] {
            let mut case = Case::new(format, Size::new(140, height), compression);
            case.options.tile = 64;
            case.options.chroma = if height == 150 { Chroma::Half } else { Chroma::Full };
            let levels = case.levels();
            let whole = case.write_levels(&folder.path().join("whole.tif"), &levels);
            for piece_rows in [16, 32, 64] {
                let mut writer = case.writer(&folder.path().join("pieces.tif")).expect("the writer is made");
                let (mut full, mut below) = writer.split();
                let mut start = 0;
                while start < height {
                    let end = height.min(start + 64);
                    assert_eq!(full.missing_rows(0), end - start);
                    let pieces: Vec<Raster> = (start..end)
                        .step_by(piece_rows)
                        .map(|row| rows(&levels[0], row..end.min(row + piece_rows as u32)))
                        .collect();
                    full.write_pieces(0, &pieces.iter().collect::<Vec<_>>()).expect("the rows are taken");
                    start = end;
                }
                assert_eq!(full.missing_rows(0), 0);
                for (index, level) in levels.iter().enumerate().skip(1) {
                    below.write(index, level).expect("the rows are taken");
                }
                let written = writer.finish(&pool(1)).expect("the file is written");
                assert_eq!(
                    written.hash, whole.hash,
                    "{format} {compression:?}, {height} rows in pieces of {piece_rows}"
                );
            }
        }
    }
}

#[test]
fn misuse_is_refused() {
    let folder = folder();
    let path = folder.path().join("a.tif");
    let case = Case::new(RGB, Size::new(100, 50), Compression::Deflate);
    let misuse = |result: Result<()>, what: &str| {
        assert_eq!(result.expect_err(what).kind, ErrorKind::Misuse, "{what}");
    };
    let writer = || case.writer(&path).expect("the writer is made");
    let rows = |format, width, height| Raster::zeroed(format, Size::new(width, height));
    misuse(writer().write_rows(0, &rows(RGB, 99, 1)), "another width");
    misuse(writer().write_rows(0, &rows(RGBA, 100, 1)), "another format");
    misuse(writer().write_rows(3, &rows(RGB, 100, 1)), "no such level");
    misuse(writer().write_rows(0, &rows(RGB, 100, 51)), "more rows than there are");
    let in_pieces = |heights: &[u32]| {
        let pieces: Vec<Raster> = heights.iter().map(|height| rows(RGB, 100, *height)).collect();
        writer().split().0.write_pieces(0, &pieces.iter().collect::<Vec<_>>())
    };
    in_pieces(&[16, 16]).expect("a row of tiles");
    misuse(in_pieces(&[]), "no pieces");
    misuse(in_pieces(&[16]), "half a row of tiles");
    misuse(in_pieces(&[32, 18]), "all rows of tiles at once");
    misuse(in_pieces(&[8, 8, 8, 8]), "pieces of half an MCU");
    misuse(in_pieces(&[16, 32, 2]), "uneven pieces");
    misuse(in_pieces(&[16, 0, 16]), "an empty piece");
    misuse(writer().split().0.write_carried(0, &[b""]), "nothing is carried");
    let carried = ptiff::Carried { tables: Vec::new(), subsampling: Some((1, 1)) };
    misuse(writer().split().0.carry(carried), "not a JPEG pyramid");
    let uneven = Pyramid {
        format: RGB,
        levels: vec![case.size, Size::new(51, 25), Size::new(26, 13)],
        metadata: Metadata::default(),
        came_as_jpeg: false,
    };
    let created = Writer::create(&path, uneven, &case.options, 0).map(drop);
    misuse(created, "levels that do not halve");
    assert_eq!(names(&folder), [""; 0]);
}

// --- hostile files ---

#[test]
fn a_truncated_file_is_always_found_out() {
    let folder = folder();
    let path = folder.path().join("a.tif");
    for (compression, big_tiff) in
        [(Compression::Deflate, BigTiff::Auto), (Compression::Lzw, BigTiff::Always), (Compression::Jpeg, BigTiff::Auto)]
    {
        let mut case = Case::new(GRAY, Size::new(30, 20), compression);
        (case.options.tile, case.options.big_tiff) = (16, big_tiff);
        case.metadata = metadata();
        case.write(&path);
        let bytes = std::fs::read(&path).expect("the file");
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).expect("a shorter file");
            let report = validate(&path, true).expect("the file can be read");
            assert!(!report.findings.is_empty(), "{length} of {} bytes pass for a pyramid", bytes.len());
            assert_eq!(read_level(&path, 0).expect_err("a truncated file").kind, ErrorKind::Malformed);
        }
    }
}

#[test]
fn a_damaged_file_never_brings_the_reader_down() {
    let folder = folder();
    let path = folder.path().join("a.tif");
    let mut random = Random(7);
    for (compression, layout, big_tiff) in [
        (Compression::None, Layout::Pages, BigTiff::Auto),
        (Compression::Lzw, Layout::SubIfd, BigTiff::Always),
        (Compression::Deflate, Layout::SubIfd, BigTiff::Auto),
        (Compression::Zstd, Layout::Pages, BigTiff::Always),
        (Compression::Jpeg, Layout::Pages, BigTiff::Auto),
    ] {
        let mut case = Case::new(RGB, Size::new(40, 20), compression);
        case.options = Options { tile: 16, layout, big_tiff, ..case.options };
        case.write(&path);
        let bytes = std::fs::read(&path).expect("the file");
        let head = read_structure(&path).expect("a good file").levels.last().expect("levels").range.start as u32;
        for round in 0..500 {
            let mut damaged = bytes.clone();
            // Three in four hit the directories, which are what a reader could be led astray by.
            let end = if round % 4 == 0 { bytes.len() as u32 } else { head };
            for _ in 0..=random.below(3) {
                let value = [0, 1, 0x7f, 0xff, random.next() as u8][random.below(5) as usize];
                damaged[random.below(end) as usize] = value;
            }
            std::fs::write(&path, &damaged).expect("a damaged file");
            let report = validate(&path, true).expect("the file can be read");
            assert_eq!(read_structure(&path).is_ok(), validate(&path, false).expect("readable").findings.is_empty());
            for level in 0..report.description.map_or(0, |description| description.levels.len()) {
                let _ = read_level(&path, level);
            }
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let folder = folder();
    let path = folder.path().join("a.tif");
    let finding = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("a file");
        let report = validate(&path, true).expect("the file can be read");
        report.findings.first().map(ToString::to_string).unwrap_or_default()
    };
    assert!(finding(b"").contains("ends inside its header"));
    assert!(finding(b"\x89PNG\r\n\x1a\n").contains("not a TIFF"));
    assert!(finding(b"MM\0\x2a\0\0\0\x08").contains("big-endian"));
    assert!(finding(b"II\x2a\0\x08\0\0\0").contains("directory"));
    // A directory that is its own successor.
    assert!(finding(b"II\x2a\0\x08\0\0\0\x01\0\x00\x01\x04\0\x01\0\0\0\x01\0\0\0\x08\0\0\0").contains("does not end"));

    let case = Case::new(RGBA, Size::new(70, 50), Compression::Deflate);
    case.write(&path);
    let good = std::fs::read(&path).expect("the file");
    // Changes the inline value of a tag of level 0.
    let changed = |tag: u16, value: u32| {
        let mut bytes = good.clone();
        let entry = (10..).step_by(12).find(|at| bytes[*at..at + 2] == tag.to_le_bytes()).expect("the tag is there");
        bytes[entry + 8..entry + 12].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    for (tag, value, expected) in [
        (254, 1, "level 0: NewSubfileType is [1], not [0]"),
        (256, 0, "level 0: ImageWidth"),
        (259, 6, "level 0: Compression 6"),
        (262, 5, "level 0: ExtraSamples is there without an extra sample"),
        (274, 6, "level 0: Orientation is [6], not [1]"),
        (284, 2, "level 0: PlanarConfiguration is [2], not [1]"),
        (317, 1, "level 0: Predictor is [1], not [2]"),
        (322, 48, "level 0: TileWidth"),
        (338, 1, "level 0: ExtraSamples is [1], not [2]"),
    ] {
        let found = finding(&changed(tag, value));
        assert!(found.starts_with(expected), "{found}, for {expected}");
    }
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert!(finding(&flipped).starts_with("level 0: tile 5: the deflate stream is broken"), "{}", finding(&flipped));
}

// --- programs that were written by others ---

/// The command `program` runs, or `None`, aloud, when it is not installed.
fn tool(program: &str, probe: &str) -> Option<Command> {
    let found = Command::new(program).arg(probe).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        let required = std::env::var_os("REPRISE_REQUIRE_TOOLS").is_some_and(|value| value == "1");
        assert!(!required, "{program} is not installed");
        eprintln!("skipped: {program} is not installed");
    }
    found.then(|| Command::new(program))
}

/// What another program read: one level, or the tags of one directory.
pub struct Reading {
    file: PathBuf,
    reader: String,
    level: usize,
    facts: Value,
}

/// Reads all levels of `files` with libvips and tifffile; with `raw`, their samples too.
pub fn read_elsewhere(files: &[PathBuf], raw_folder: &Path, raw: bool) -> Option<Vec<Reading>> {
    let python = std::env::var("REPRISE_TEST_PYTHON")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/.deps/venv/bin/python3").into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/external/read_levels.py");
    let mut child = tool(&python, "--version")?
        .args([Path::new(script), raw_folder])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut input = child.stdin.take().expect("a pipe");
    let list: String =
        files.iter().map(|file| format!("{}{}\n", if raw { "raw " } else { "" }, file.display())).collect();
    let feeder = std::thread::spawn(move || input.write_all(list.as_bytes()));
    let output = child.wait_with_output().expect("Python ends");
    feeder.join().expect("the feeder ends").expect("the list is taken");
    assert!(output.status.success(), "the script failed; are pyvips and tifffile installed?");
    let readings = String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(|line| {
            let facts: Value = serde_json::from_str(line).expect("JSON");
            Reading {
                file: facts["file"].as_str().expect("a path").into(),
                reader: facts["reader"].as_str().expect("a reader").into(),
                level: facts["level"].as_u64().expect("a level") as usize,
                facts,
            }
        })
        .collect();
    Some(readings)
}

/// Size, format and samples as the script describes them.
fn facts_of(raster: &Raster) -> [u64; 5] {
    [
        raster.height.into(),
        raster.width.into(),
        raster.format.channels() as u64,
        8 * raster.format.depth.bytes() as u64,
        libdeflater::crc32(raster.samples.as_bytes()).into(),
    ]
}

fn facts_read(facts: &Value) -> [u64; 5] {
    ["height", "width", "channels", "bits", "crc32"].map(|name| facts[name].as_u64().unwrap_or(u64::MAX))
}

/// Compares what libvips and tifffile read with what was written.
pub fn assert_read_exactly(readings: &[Reading], expected: &BTreeMap<PathBuf, Vec<Raster>>) {
    let mut seen: BTreeMap<(&PathBuf, &String), usize> = BTreeMap::new();
    for Reading { file, reader, level, facts } in readings {
        assert_ne!(reader, "error", "{}: {}", file.display(), facts["error"]);
        if facts["unsupported"] == true {
            // libvips' Python wheels come without it.
            assert!(file.to_string_lossy().contains("zstd"), "{}: {reader} cannot read it", file.display());
            seen.insert((file, reader), expected[file].len());
        } else if reader != "tags" {
            let levels = &expected[file];
            assert!(*level < levels.len(), "{}: {reader} sees more levels than were written", file.display());
            assert_eq!(facts_read(facts), facts_of(&levels[*level]), "{}: {reader}, level {level}", file.display());
            *seen.entry((file, reader)).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 2 * expected.len(), "both programs read every file");
    for ((file, reader), count) in seen {
        assert_eq!(count, expected[file].len(), "{}: {reader} sees all levels", file.display());
    }
}

#[test]
fn libvips_and_tifffile_read_every_level_exactly() {
    let folder = folder();
    let mut expected = BTreeMap::new();
    for case in lossless_cases() {
        let path = folder.path().join(case.name());
        let levels = case.levels();
        case.write_levels(&path, &levels);
        expected.insert(path, levels);
    }
    let files: Vec<PathBuf> = expected.keys().cloned().collect();
    if let Some(readings) = read_elsewhere(&files, folder.path(), false) {
        assert_read_exactly(&readings, &expected);
    }
}

#[test]
fn libtiff_reads_every_level_without_a_word() {
    let folder = folder();
    let (Some(_), Some(_)) = (tool("tiffinfo", "-h"), tool("tiffcp", "-h")) else { return };
    let mut expected = BTreeMap::new();
    let mut cases: Vec<Case> = PixelFormat::all()
        .flat_map(|format| LOSSLESS.map(|compression| Case::new(format, Size::new(150, 83), compression)))
        .collect();
    cases.extend([RGB, GRAY, CMYK].map(|format| Case::new(format, Size::new(150, 83), Compression::Jpeg)));
    for case in &mut cases {
        case.metadata = metadata();
        for (layout, big_tiff) in [(Layout::Pages, BigTiff::Auto), (Layout::SubIfd, BigTiff::Always)] {
            (case.options.layout, case.options.big_tiff) = (layout, big_tiff);
            let path = folder.path().join(case.name());
            let levels = case.levels();
            case.write_levels(&path, &levels);
            // -D reads all tiles, but knows no subsampled ones.
            let flags: &[&str] =
                if case.format == RGB && case.options.compression == Compression::Jpeg { &[] } else { &["-D"] };
            let output = Command::new("tiffinfo").args(flags).arg(&path).output().expect("tiffinfo runs");
            let (text, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", path.display());
            assert_eq!(text.matches("Tile Width: 32").count(), levels.len(), "{text}");

            if layout == Layout::Pages {
                let copy = folder.path().join(format!("copy-{}", case.name()));
                let mut tiffcp = Command::new("tiffcp");
                let output = tiffcp.args(["-c", "none"]).args([&path, &copy]).output().expect("tiffcp runs");
                let complaints = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", path.display());
                if case.options.compression != Compression::Jpeg {
                    expected.insert(copy, levels);
                }
            }
        }
    }
    let files: Vec<PathBuf> = expected.keys().cloned().collect();
    if let Some(readings) = read_elsewhere(&files, folder.path(), false) {
        assert_read_exactly(&readings, &expected);
    }
}

#[test]
fn openslide_sees_the_levels_and_their_pixels() {
    let folder = folder();
    let (Some(_), Some(_)) = (tool("openslide-show-properties", "--version"), tool("openslide-write-png", "--version"))
    else {
        return;
    };
    for compression in [Compression::Deflate, Compression::Lzw, Compression::Jpeg] {
        // OpenSlide places regions in coordinates of full resolution, so only sizes that halve without rounding come
        // back unresampled.
        let case = Case::new(RGB, Size::new(320, 192), compression);
        let path = folder.path().join(case.name());
        let levels = case.levels();
        case.write_levels(&path, &levels);
        let output = Command::new("openslide-show-properties").arg(&path).output().expect("openslide runs");
        let properties = String::from_utf8_lossy(&output.stdout).into_owned();
        let property = |name: &str, value: u32| {
            assert!(properties.contains(&format!("{name}: '{value}'")), "{name} is not {value} in {properties}");
        };
        property("openslide.level-count", levels.len() as u32);
        for (index, level) in levels.iter().enumerate() {
            property(&format!("openslide.level[{index}].width"), level.width);
            property(&format!("openslide.level[{index}].height"), level.height);
            property(&format!("openslide.level[{index}].tile-width"), 32);

            if compression != Compression::Jpeg && level.height < 32 {
                // OpenSlide 3.4 reads nothing but JPEG from levels smaller than a tile, whoever wrote them.
                continue;
            }
            let png = folder.path().join("level.png");
            let numbers = [0, 0, index as u32, level.width, level.height].map(|number| number.to_string());
            let output = Command::new("openslide-write-png").arg(&path).args(numbers).arg(&png).output();
            assert!(output.expect("openslide runs").status.success());
            let seen = read_png(&png);
            if compression == Compression::Jpeg {
                assert!(psnr(&seen, level) > least_psnr_db(&case), "level {index}: {} dB", psnr(&seen, level));
            } else {
                assert_same(&seen, level, format!("{compression:?}, level {index}"));
            }
        }
    }
}

/// The colours of an opaque 8-bit PNG.
fn read_png(path: &Path) -> Raster {
    let file = std::io::BufReader::new(std::fs::File::open(path).expect("the PNG"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("pixels");
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgba, png::BitDepth::Eight));
    let mut raster = Raster::zeroed(RGB, Size::new(info.width, info.height));
    for (to, from) in raster.samples.as_bytes_mut().chunks_exact_mut(3).zip(pixels.chunks_exact(4)) {
        to.copy_from_slice(&from[..3]);
    }
    raster
}

/// Blocks of odd lengths, so that padding shows.
fn metadata() -> Metadata {
    let mut random = Random(3);
    let mut block = |length| Some((0..length).map(|_| random.next() as u8).collect::<Vec<u8>>());
    Metadata {
        icc: block(1001),
        xmp: Some(b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>".to_vec()),
        iptc: block(333),
        resolution: Some(Resolution { x: 300.0, y: 72.5, unit: ResolutionUnit::Inch }),
        texts: [(270, b"What it shows".to_vec()), (315, b"Who".to_vec())].into(),
        ..Metadata::default()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn metadata_is_carried_byte_for_byte() {
    let folder = folder();
    let mut files = Vec::new();
    for layout in LAYOUTS {
        let mut case = Case::new(RGB, Size::new(64, 48), Compression::Deflate);
        (case.options.layout, case.metadata) = (layout, metadata());
        files.push(folder.path().join(case.name()));
        case.write(files.last().expect("a path"));
        let description = read_structure(files.last().expect("a path")).expect("a good file");
        assert_eq!(description.metadata, ptiff::MetadataBytes { icc: 1001, xmp: 37, iptc: 333 });
        assert_eq!(description.levels[0].resolution, metadata().resolution);
    }
    let Some(readings) = read_elsewhere(&files, folder.path(), false) else { return };
    let Metadata { icc, xmp, iptc, .. } = metadata();
    let blocks = [("icc", 34675, icc), ("xmp", 700, xmp), ("iptc", 33723, iptc)];
    for Reading { file, reader, level, facts } in &readings {
        assert_ne!(reader, "error", "{}: {}", file.display(), facts["error"]);
        for (name, tag, block) in &blocks {
            let expected = hex(block.as_deref().expect("a block"));
            let found = match reader.as_str() {
                "libvips" => &facts["blocks"][name],
                "tags" => &facts["tags"][tag.to_string()]["value"],
                _ => continue,
            };
            if *level == 0 {
                assert_eq!(found, &Value::from(expected), "{reader}: {name}");
            } else if reader == "tags" {
                assert_eq!(found, &Value::Null, "{name} on level {level}");
            }
        }
        if reader == "tags" {
            // The same size on paper on every level.
            let expected = [[(300, 1), (145, 2)], [(150, 1), (145, 4)]][*level];
            for (tag, (above, below)) in [("282", expected[0]), ("283", expected[1])] {
                assert_eq!(facts["tags"][tag]["value"], serde_json::json!([above, below]), "level {level}");
            }
            assert_eq!(facts["tags"]["296"]["value"], 2);
        }
    }
}

#[test]
fn tags_are_exactly_those_that_readers_want() {
    let folder = folder();
    let deep = PixelFormat::new(Color::Cmyk, true, Depth::U16);
    let mut cases = Vec::new();
    for (format, compression, layout) in [
        (RGB, Compression::None, Layout::Pages),
        (RGBA, Compression::Deflate, Layout::SubIfd),
        (deep, Compression::Zstd, Layout::Pages),
        (GRAY, Compression::Jpeg, Layout::Pages),
        (RGB, Compression::Jpeg, Layout::SubIfd),
        (CMYK, Compression::Jpeg, Layout::Pages),
    ] {
        let mut case = Case::new(format, Size::new(64, 48), compression);
        case.options.layout = layout;
        case.write(&folder.path().join(case.name()));
        cases.push(case);
    }
    let files: Vec<PathBuf> = cases.iter().map(|case| folder.path().join(case.name())).collect();
    let Some(readings) = read_elsewhere(&files, folder.path(), false) else { return };
    for (case, file) in cases.iter().zip(&files) {
        let Options { compression, layout, .. } = case.options;
        let jpeg = compression == Compression::Jpeg;
        let ycbcr = jpeg && case.format.color == Color::Rgb;
        for level in 0..2 {
            let reading = readings
                .iter()
                .find(|reading| (&reading.file, reading.reader.as_str(), reading.level) == (file, "tags", level))
                .unwrap_or_else(|| panic!("{}: level {level} was not read", file.display()));
            let tags = &reading.facts["tags"];
            let is = |tag: u16, value: Value| {
                assert_eq!(tags[tag.to_string()]["value"], value, "{}, level {level}: {tag}", file.display());
            };
            let channels = case.format.channels();
            is(254, level.into());
            is(258, if channels == 1 { 8.into() } else { vec![8 * case.format.depth.bytes(); channels].into() });
            is(274, 1.into());
            is(277, channels.into());
            is(282, serde_json::json!([1, 1]));
            is(296, 1.into());
            is(284, 1.into());
            is(322, 32.into());
            is(323, 32.into());
            let (code, photometric) = match (compression, case.format.color) {
                (Compression::None, _) => (1, 2),
                (Compression::Deflate, _) => (8, 2),
                (Compression::Zstd, _) => (50000, 5),
                (_, Color::Gray) => (7, 1),
                (_, Color::Rgb) => (7, 6),
                (_, Color::Cmyk) => (7, 5),
                (_, Color::Lab) => unreachable!("no pyramid has it"),
            };
            is(259, code.into());
            is(262, photometric.into());
            if ycbcr {
                is(530, serde_json::json!([2, 2]));
                is(531, serde_json::json!([1]));
                is(532, serde_json::json!([0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1]));
            }

            let mut expected = vec![254, 256, 257, 258, 259, 262, 274, 277, 282, 283, 284, 296];
            expected.extend((level == 0).then_some(305));
            expected.extend((compression != Compression::None && !jpeg).then_some(317));
            expected.extend([322, 323, 324, 325]);
            expected.extend((level == 0 && layout == Layout::SubIfd).then_some(330));
            expected.extend((case.format.color == Color::Cmyk).then_some(332));
            expected.extend(case.format.alpha.then_some(338));
            expected.extend(jpeg.then_some(347));
            expected.extend(if ycbcr { vec![530, 531, 532] } else { Vec::new() });
            let mut found: Vec<u16> =
                tags.as_object().expect("tags").keys().map(|tag| tag.parse().expect("a number")).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{}, level {level}", file.display());
        }
    }
}
