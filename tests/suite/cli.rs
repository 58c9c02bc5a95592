//! The command line, from arguments to files and exit codes.

use std::path::Path;

use reprise::encode::ptiff;
use reprise::geometry::{Rect, Size};
use reprise::pixel::{Color, Depth, PixelFormat, Raster};

use crate::originals::{jpeg, png, save, tiff};
use crate::program::reprise;
use crate::support::{self, assert_same, scene};

const RGB: PixelFormat = PixelFormat::new(Color::Rgb, false, Depth::U8);

/// A library with four originals, `a|1` to `a|4`: PNG, JPEG, 16-bit TIFF, CMYK TIFF.
fn library(folder: &Path) {
    save(folder, "in/1.png", &png(&scene(RGB, Size::new(700, 300), 1)));
    save(folder, "in/2.jpg", &jpeg(&scene(RGB, Size::new(512, 512), 2), true));
    save(folder, "in/3.tif", &tiff(&scene(PixelFormat { depth: Depth::U16, ..RGB }, Size::new(301, 411), 3)));
    save(folder, "in/4.tif", &tiff(&scene(PixelFormat { color: Color::Cmyk, ..RGB }, Size::new(260, 260), 4)));
    reprise(folder, &["init", "lib"]).good();
    let printed = reprise(folder, &["ingest", "lib", "in"]).good();
    let handles: Vec<_> = printed.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(handles, ["a|1", "a|2", "a|3", "a|4"]);
}

fn job(folder: &Path, handles: &[&str], more: &str) {
    let items: String = handles.iter().map(|h| format!("<items>{h}</items>")).collect();
    let text = format!(
        r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>
        <submitJobParam xmlns="http://www.scene7.com/IpsApi/xsd/2014-04-03"><companyHandle>c|1</companyHandle>
        <jobName>test</jobName><reprocessAssetsJob><assetHandleArray>{items}</assetHandleArray>
        <createMask>false</createMask>{more}<emailSetting>None</emailSetting></reprocessAssetsJob></submitJobParam>
        </soapenv:Body></soapenv:Envelope>"#
    );
    save(folder, "job.xml", text.as_bytes());
}

fn assets(folder: &Path) -> Vec<serde_json::Value> {
    let printed = reprise(folder, &["assets", "lib", "--json"]).good();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn pyramid(folder: &Path, index: usize) -> std::path::PathBuf {
    assets(folder)[index]["derivative"]["path"].as_str().unwrap().into()
}

#[test]
fn a_job_makes_pyramids_and_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    job(folder, &["a|1", "a|2", "a|3", "a|4", "a|1"], "");
    let run = reprise(folder, &["run", "lib", "job.xml"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);

    for asset in assets(folder) {
        let path = asset["derivative"]["path"].as_str().unwrap();
        let description = ptiff::read_structure(Path::new(path)).unwrap();
        assert_eq!(u64::from(description.levels[0].size.width), asset["width"].as_u64().unwrap());
        assert!(description.levels.len() > 1, "{path}");
    }
    let log: serde_json::Value =
        serde_json::from_str(&reprise(folder, &["log", "lib", "j|1", "--json"]).good()).unwrap();
    assert_eq!(log["jobName"], "test");
    assert_eq!(log["totalFileCount"], 4);
    assert_eq!(log["fileSuccessCount"], 4);
    assert_eq!(log["fileErrorCount"], 0);
    assert_eq!(log["fileDuplicateCount"], 1);
    let types: Vec<_> = log["detailArray"].as_array().unwrap().iter().map(|e| e["logType"].as_str().unwrap()).collect();
    assert_eq!(types.first(), Some(&"BeginReoptimize"));
    assert_eq!(types.last(), Some(&"EndReoptimize"));
    assert_eq!(types.iter().filter(|t| **t == "ReoptimizeSuccess").count(), 4);
    assert!(reprise(folder, &["log", "lib", "j|1"]).good().contains("DuplicateSkipped"));

    // Again: the same bytes, and the log says that they replaced the earlier ones.
    let before: Vec<_> = (0..4).map(|i| std::fs::read(pyramid(folder, i)).unwrap()).collect();
    reprise(folder, &["run", "lib", "job.xml"]).good();
    let after: Vec<_> = (0..4).map(|i| std::fs::read(pyramid(folder, i)).unwrap()).collect();
    assert!(before == after, "a second run changed the bytes");
    assert!(reprise(folder, &["log", "lib", "j|2"]).good().contains("4 replaced an earlier pyramid"));
}

#[test]
fn ingesting_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    library(dir.path());
    let before = assets(dir.path());
    let printed = reprise(dir.path(), &["ingest", "lib", "in"]).good();
    assert!(printed.lines().all(|line| line.contains("\tunchanged\t")), "{printed}");
    assert_eq!(assets(dir.path()), before);
}

#[test]
fn one_bad_asset_costs_exit_code_1_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    job(folder, &["a|1", "a|2", "a|3"], "");
    reprise(folder, &["run", "lib", "job.xml"]).good();
    let kept = std::fs::read(pyramid(folder, 1)).unwrap();

    // The JPEG loses its end without changing its size.
    let path = folder.join("in/2.jpg");
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0);
    std::fs::write(&path, bytes).unwrap();
    job(folder, &["a|1", "a|2", "a|99", "a|3"], "");
    let run = reprise(folder, &["run", "lib", "job.xml"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("2.jpg") && run.stderr.contains("a|99"), "{}", run.stderr);
    assert!(run.stderr.contains("2 of 4 reprocessed, 2 failed"), "{}", run.stderr);
    assert!(std::fs::read(pyramid(folder, 1)).unwrap() == kept, "the failed asset lost its pyramid");

    // More assets than are worked on at once.
    for copy in 0..20 {
        std::fs::copy(folder.join("in/1.png"), folder.join(format!("in/copy-{copy}.png"))).unwrap();
    }
    reprise(folder, &["ingest", "lib", "in"]).good();
    let handles: Vec<String> = (2..24).map(|number| format!("a|{number}")).collect();
    job(folder, &handles.iter().map(String::as_str).collect::<Vec<_>>(), "");
    std::fs::write(&path, "not a picture").unwrap();
    let run = reprise(folder, &["run", "lib", "job.xml", "--fail-fast", "--threads", "1"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("not started"), "{}", run.stderr);
}

#[test]
fn a_refused_job_costs_exit_code_2_and_names_line_field_value_and_range() {
    let dir = tempfile::tempdir().unwrap();
    library(dir.path());
    job(dir.path(), &["a|1"], "\n<unsharpMaskOptions>\n<amount>7</amount></unsharpMaskOptions>");
    let run = reprise(dir.path(), &["run", "lib", "job.xml"]);
    assert_eq!(run.code, 2);
    for word in ["line 6", "unsharpMaskOptions/amount", "7", "0", "5"] {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
    assert!(assets(dir.path())[0]["derivative"].is_null());
}

#[test]
fn a_busy_library_costs_exit_code_3() {
    let dir = tempfile::tempdir().unwrap();
    library(dir.path());
    job(dir.path(), &["a|1"], "");
    let busy = reprise::catalog::Library::open(dir.path().join("lib")).unwrap();
    let _lock = busy.lock_for_run().unwrap();
    let run = reprise(dir.path(), &["run", "lib", "job.xml"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("another run"), "{}", run.stderr);
}

#[test]
fn a_dry_run_tells_everything_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    let crop =
        "<manualCropOptions><left>400</left><right>200</right><top>0</top><bottom>0</bottom></manualCropOptions>";
    job(folder, &["a|1", "a|2", "a|99"], crop);
    let before = std::fs::read(folder.join("lib/library.sqlite")).unwrap();
    let run = reprise(folder, &["run", "lib", "job.xml", "--dry-run"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("convert  a|1"), "{}", run.stdout);
    assert!(run.stdout.contains("leaves nothing of 512 × 512"), "{}", run.stdout);
    assert!(run.stdout.contains("no asset has this handle"), "{}", run.stdout);
    assert!(!folder.join("lib/pyramids").exists());
    assert!(std::fs::read(folder.join("lib/library.sqlite")).unwrap() == before);
    assert!(reprise(folder, &["log", "lib", "--json"]).good().is_empty());
}

#[test]
fn crops_are_kept_reapplied_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    let size = |folder: &Path| {
        let asset = &assets(folder)[0];
        (asset["derivative"]["width"].as_u64().unwrap(), asset["derivative"]["height"].as_u64().unwrap())
    };
    let crop =
        "<manualCropOptions><left>10</left><right>20</right><top>30</top><bottom>40</bottom></manualCropOptions>";
    job(folder, &["a|1"], crop);
    reprise(folder, &["run", "lib", "job.xml"]).good();
    assert_eq!(size(folder), (670, 230));
    let original = scene(RGB, Size::new(700, 300), 1);
    let expected = original.cropped(Rect { x: 10, y: 30, width: 670, height: 230 });
    assert_same(&ptiff::read_level(&pyramid(folder, 0), 0).unwrap(), &expected, "the cropped image");

    // No new crop: the stored one is applied again.
    job(folder, &["a|1"], "");
    reprise(folder, &["run", "lib", "job.xml"]).good();
    assert_eq!(size(folder), (670, 230));
    // Zeros are no new crop.
    let zeros = "<manualCropOptions><left>0</left><right>0</right><top>0</top><bottom>0</bottom></manualCropOptions>";
    job(folder, &["a|1"], zeros);
    reprise(folder, &["run", "lib", "job.xml"]).good();
    assert_eq!(size(folder), (670, 230));
    // A new crop wins, measured on the whole original.
    job(folder, &["a|1"], &crop.replace("<left>10", "<left>100"));
    reprise(folder, &["run", "lib", "job.xml"]).good();
    assert_eq!(size(folder), (580, 230));
    assert_eq!(assets(folder)[0]["crop"]["left"], 100);
    // Told to drop it.
    job(folder, &["a|1"], "<preserveCrop>false</preserveCrop>");
    reprise(folder, &["run", "lib", "job.xml"]).good();
    assert_eq!(size(folder), (700, 300));
    assert!(assets(folder)[0]["crop"].is_null());
}

#[test]
fn publish_marks_follow_the_job_and_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    let mark_after = |more: &str| {
        job(folder, &["a|1"], more);
        reprise(folder, &["run", "lib", "job.xml"]).good();
        assets(folder)[0]["readyForPublish"].as_bool().unwrap()
    };
    assert!(!mark_after(""));
    assert!(mark_after("<readyForPublish>true</readyForPublish>"));
    assert!(mark_after(""), "unset leaves the mark");
    assert!(mark_after("<readyForPublish>false</readyForPublish><preservePublishState>true</preservePublishState>"));
    assert!(!mark_after("<readyForPublish>false</readyForPublish><preservePublishState>false</preservePublishState>"));
}

#[test]
fn what_is_not_acted_on_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    save(folder, "doc/paper.icc", include_bytes!("../../profiles/coated-fogra39.icc"));
    reprise(folder, &["ingest", "lib", "doc"]).good();
    job(folder, &["a|1", "a|5"], "<postHttpUrl>http://localhost/done</postHttpUrl>");
    let run = reprise(folder, &["run", "lib", "job.xml"]);
    assert_eq!(run.code, 1, "an asset that was left alone is not all good");
    let log = reprise(folder, &["log", "lib", "j|1"]).good();
    assert!(log.contains("postHttpUrl"), "{log}");
    assert!(log.contains("files cannot be reprocessed"), "{log}");
}

#[test]
fn json_log_lines_are_json() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    job(folder, &["a|1", "a|99"], "");
    let run = reprise(folder, &["run", "lib", "job.xml", "--log-format", "json"]);
    let events: Vec<serde_json::Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names.first(), Some(&"begin"));
    assert_eq!(names[names.len() - 2..], ["end", "report"]);
    assert!(names.contains(&"success") && names.contains(&"failure"), "{names:?}");
}

#[test]
fn jobs_come_from_standard_input_and_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    let text = r#"{"companyHandle":"c|1","jobName":"j","reprocessAssetsJob":{"assetHandleArray":["a|1"],
        "createMask":false,"emailSetting":"None"}}"#;
    save(folder, "job.json", text.as_bytes());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_reprise"));
    let input = std::fs::File::open(folder.join("job.json")).unwrap();
    let output = command.args(["run", "lib", "-"]).current_dir(folder).stdin(input).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn convert_honours_every_option() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let image = scene(RGB, Size::new(700, 500), 5);
    save(folder, "a.png", &png(&image));
    let run = |name: &str, options: &[&str]| {
        let mut arguments = vec!["convert", "a.png", name];
        arguments.extend(options);
        reprise(folder, &arguments).good();
        let path = folder.join(name);
        (ptiff::read_structure(&path).unwrap(), path)
    };
    let (plain, path) = run("plain.tif", &[]);
    assert_eq!(plain.levels[0].compression, ptiff::Compression::Deflate);
    assert_same(&ptiff::read_level(&path, 0).unwrap(), &image, "full resolution");
    let plain_below = ptiff::read_level(&path, 1).unwrap();

    for (word, compression) in [
        ("none", ptiff::Compression::None),
        ("lzw", ptiff::Compression::Lzw),
        ("zstd", ptiff::Compression::Zstd),
        ("jpeg", ptiff::Compression::Jpeg),
    ] {
        let (description, _) = run(&format!("{word}.tif"), &["--compression", word]);
        assert_eq!(description.levels[1].compression, compression);
    }
    let (full, _) = run("444.tif", &["--compression", "jpeg", "--chroma", "444"]);
    let (half, _) = run("420.tif", &["--compression", "jpeg", "--chroma", "420"]);
    assert_eq!((full.levels[0].subsampling, half.levels[0].subsampling), (Some((1, 1)), Some((2, 2))));
    let (poor, _) = run("poor.tif", &["--compression", "jpeg", "--quality", "10"]);
    assert!(poor.bytes * 2 < half.bytes);
    let (tiled, _) = run("tile.tif", &["--tile", "128"]);
    assert_eq!((tiled.tile, tiled.levels.len()), (128, 4));
    let (sub, _) = run("sub.tif", &["--layout", "subifd"]);
    assert_eq!(sub.layout, ptiff::Layout::SubIfd);
    for filter in ["box", "bicubic-sharper"] {
        let (_, path) = run(&format!("{filter}.tif"), &["--filter", filter]);
        assert_ne!(ptiff::read_level(&path, 1).unwrap(), plain_below, "{filter}");
    }
    let (_, path) = run("sharp.tif", &["--unsharp", "1,1.5,0,0"]);
    assert_same(&ptiff::read_level(&path, 0).unwrap(), &image, "full resolution is never sharpened");
    assert_ne!(ptiff::read_level(&path, 1).unwrap(), plain_below);
    let (cut, path) = run("cut.tif", &["--crop", "1,2,3,4"]);
    assert_eq!(cut.levels[0].size, Size::new(697, 493));
    assert_same(
        &ptiff::read_level(&path, 0).unwrap(),
        &image.cropped(Rect { x: 1, y: 3, width: 697, height: 493 }),
        "the crop",
    );
    let (dpi, _) = run("dpi.tif", &["--dpi", "240"]);
    assert_eq!(dpi.levels[0].resolution.unwrap().x, 240.0);

    let refused = reprise(folder, &["convert", "a.png", "plain.tif"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
    run("plain.tif", &["--overwrite"]);
}

#[test]
fn what_is_no_original_is_skipped_in_folders_only() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    save(folder, "in/a.png", &png(&scene(RGB, Size::new(20, 20), 1)));
    save(folder, "in/notes.txt", b"Call the studio.");
    let run = reprise(folder, &["convert", "in", "out"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("skipped: in/notes.txt") && run.stderr.contains("1 skipped"), "{}", run.stderr);
    reprise(folder, &["init", "lib"]).good();
    assert_eq!(reprise(folder, &["ingest", "lib", "in"]).code, 0);
    // By name it is asked for, and a name that promises an image is a promise.
    assert_eq!(reprise(folder, &["ingest", "lib", "in/notes.txt"]).code, 1);
    save(folder, "in/b.jpg", b"Call the studio.");
    assert_eq!(reprise(folder, &["ingest", "lib", "in"]).code, 1);
    assert_eq!(reprise(folder, &["convert", "in", "out2"]).code, 1);
}

#[test]
fn strip_drops_all_metadata_but_the_profile() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg/metadata.jpg");
    let source = source.to_str().unwrap();
    reprise(folder, &["convert", source, "kept.tif"]).good();
    reprise(folder, &["convert", source, "stripped.tif", "--strip"]).good();
    let kept = ptiff::read_structure(&folder.join("kept.tif")).unwrap().metadata;
    let stripped = ptiff::read_structure(&folder.join("stripped.tif")).unwrap().metadata;
    assert!(kept.xmp > 0 && kept.iptc > 0, "{kept:?}");
    assert_eq!(stripped, ptiff::MetadataBytes { xmp: 0, iptc: 0, ..kept });
}

#[test]
fn knockout_and_automatic_crop_meet_the_drawn_box() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let rect = Rect { x: 41, y: 17, width: 201, height: 99 };
    let image = support::drawn_box(RGB, Size::new(300, 150), rect, &[250, 250, 250], &[10, 20, 30]);
    save(folder, "box.png", &png(&image));
    let printed = reprise(folder, &["crop-rect", "box.png", "--auto-crop", "color:BottomRight:0"]).good();
    assert_eq!(printed, "41 17 201 99\n");
    let rules = ["--auto-crop", "alpha:0", "--knockout", "UpperLeft:0.01:flood"];
    reprise(folder, &[&["convert", "box.png", "out.tif"][..], &rules].concat()).good();
    let out = ptiff::read_level(&folder.join("out.tif"), 0).unwrap();
    let expected = support::flat(RGB.with_alpha(), rect.size(), &[10, 20, 30, 255]);
    assert_same(&out, &expected, "the object alone");
}

#[test]
fn a_jpeg_keeps_its_own_coefficients() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let image = scene(RGB, Size::new(512, 512), 6);
    let source = save(folder, "a.jpg", &jpeg(&image, false));
    let decoded = read(&source);
    let printed = reprise(folder, &["convert", "a.jpg", "kept.tif"]).good();
    assert!(printed.contains("without loss"), "{printed}");
    assert_same(&ptiff::read_level(&folder.join("kept.tif"), 0).unwrap(), &decoded, "carried pixels");
    // A crop on the block grid stays lossless, one off the grid does not.
    let printed = reprise(folder, &["convert", "a.jpg", "grid.tif", "--crop", "16,7,8,3"]).good();
    assert!(printed.contains("without loss"), "{printed}");
    let expected = decoded.cropped(Rect { x: 16, y: 8, width: 489, height: 501 });
    assert_same(&ptiff::read_level(&folder.join("grid.tif"), 0).unwrap(), &expected, "carried crop");
    let printed = reprise(folder, &["convert", "a.jpg", "off.tif", "--crop", "3,0,0,0"]).good();
    assert!(printed.contains("block grid"), "{printed}");
    let printed = reprise(folder, &["convert", "a.jpg", "anew.tif", "--reencode"]).good();
    assert!(printed.contains("encoded anew: as asked"), "{printed}");
}

#[test]
fn coefficients_that_turn_out_to_be_of_no_use_cost_no_image() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let image = scene(RGB, Size::new(800, 800), 6);
    // Bytes too many behind the last block: rows of tiles have been carried before they are seen.
    let mut bytes = jpeg(&image, false);
    let end = bytes.len() - 2;
    assert_eq!(bytes[end..], [0xff, 0xd9]);
    bytes.splice(end..end, [0x12, 0x34, 0x56]);
    let source = save(folder, "odd.jpg", &bytes);
    let printed = reprise(folder, &["convert", "odd.jpg", "odd.tif", "--quality", "100"]).good();
    assert!(printed.contains("encoded anew: its stream is unusual"), "{printed}");
    let difference = support::psnr(&ptiff::read_level(&folder.join("odd.tif"), 0).unwrap(), &read(&source));
    assert!(difference > 40.0, "{difference} dB");
}

#[test]
fn a_crop_that_is_found_and_one_that_is_given_carry_the_same_tiles() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let rect = Rect { x: 32, y: 48, width: 544, height: 640 };
    let image = support::drawn_box(RGB, Size::new(800, 800), rect, &[250, 250, 250], &[10, 20, 30]);
    save(folder, "box.jpg", &jpeg(&image, false));
    let crops = [["found.tif", "--auto-crop", "color:UpperLeft:0.1"], ["given.tif", "--crop", "32,224,48,112"]];
    let files = crops.map(|[out, option, value]| {
        let printed = reprise(folder, &["convert", "box.jpg", out, option, value]).good();
        assert!(printed.contains("544 × 640") && printed.contains("without loss"), "{printed}");
        std::fs::read(folder.join(out)).unwrap()
    });
    assert!(files[0] == files[1], "other bytes");
}

fn read(path: &Path) -> Raster {
    let limits = reprise::limits::Limits::default();
    reprise::decode::read_whole(&mut *reprise::decode::open(path, &limits).unwrap(), &limits).unwrap()
}

#[test]
fn validate_tells_good_files_from_bad_ones() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    save(folder, "a.png", &png(&scene(RGB, Size::new(300, 300), 7)));
    reprise(folder, &["convert", "a.png", "a.tif"]).good();
    let printed = reprise(folder, &["validate", "a.png", "a.tif", "--pixels"]).good();
    assert!(printed.contains("PNG 300 × 300") && printed.contains("pyramid TIFF"), "{printed}");
    let mut bytes = std::fs::read(folder.join("a.tif")).unwrap();
    let end = bytes.len() - 40;
    bytes[end..].fill(0x55);
    save(folder, "bad.tif", &bytes);
    let run = reprise(folder, &["validate", "bad.tif", "a.png", "--pixels"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("FAIL  ") && run.stdout.contains("ok    a.png"), "{}", run.stdout);
}

/// The bytes of every pyramid of a conversion of mixed originals.
fn bytes_with(folder: &Path, out: &str, options: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut arguments = vec!["convert", "in", out, "--unsharp", "0.8,1.2,2,0"];
    arguments.extend(options);
    reprise(folder, &arguments).good();
    let mut files: Vec<_> = std::fs::read_dir(folder.join(out))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn bytes_do_not_depend_on_backend_threads_memory_or_run() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    save(folder, "in/5.png", &png(&scene(RGB.with_alpha(), Size::new(333, 290), 8)));
    let cpu = bytes_with(folder, "cpu", &["--backend", "cpu", "--threads", "1"]);
    assert_eq!(cpu.len(), 5);
    assert!(cpu == bytes_with(folder, "cpu8", &["--backend", "cpu", "--threads", "8"]), "8 threads");
    assert!(cpu == bytes_with(folder, "small", &["--backend", "cpu", "--max-memory", "100M"]), "little memory");
    if reprise::gpu::adapters().is_empty() {
        assert!(std::env::var_os("REQUIRE_GPU").is_none(), "REQUIRE_GPU is set and there is no adapter");
        println!("skipped: no adapter");
        return;
    }
    assert!(cpu == bytes_with(folder, "gpu", &["--backend", "gpu", "--threads", "2"]), "GPU");
}
