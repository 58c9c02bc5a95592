//! Metadata arrives whole: what exiftool reads in an original, it reads in the pyramid.

use std::path::Path;
use std::process::Command;

use reprise::engine::{Backend, BackendChoice, Context, Recipe, pipeline};
use reprise::geometry::Size;
use reprise::pixel::{Color, Depth, PixelFormat};
use serde_json::{Map, Value};

use crate::originals::{jpeg, png, save, tiff};
use crate::support::scene;

/// Written into each original.
const WRITTEN: [&str; 16] = [
    "-EXIF:ImageDescription=Ein Stück Küste",
    "-EXIF:Make=Maker",
    "-EXIF:Model=Model 1",
    "-EXIF:ModifyDate=2024:02:29 12:34:56",
    "-EXIF:Artist=Ada Lovelace",
    "-EXIF:Copyright=© 2024 Ada",
    "-XMP-dc:Title=A coast",
    "-XMP-dc:Subject=sea",
    "-XMP-dc:Subject=rock",
    "-XMP-photoshop:Instructions=none, really",
    "-IPTC:Caption-Abstract=Waves on rocks",
    "-IPTC:Keywords=sea",
    "-IPTC:Keywords=coast",
    "-XResolution=240",
    "-YResolution=240",
    "-ResolutionUnit=inches",
];

/// Read in the original and in the pyramid.
const READ: [&str; 17] = [
    "ImageDescription",
    "Make",
    "Model",
    "ModifyDate",
    "Artist",
    "Copyright",
    "XMP:Title",
    "XMP:Subject",
    "XMP:Instructions",
    "IPTC:Caption-Abstract",
    "IPTC:Keywords",
    "EXIF:XResolution",
    "EXIF:YResolution",
    "EXIF:ResolutionUnit",
    "ICC_Profile:ProfileDescription",
    "ICC_Profile:ProfileCopyright",
    "ICC_Profile:DeviceModel",
];

fn exiftool(arguments: &[&str], file: &Path) -> Vec<u8> {
    let output = Command::new("exiftool").args(arguments).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn tags(file: &Path) -> Map<String, Value> {
    let asked: Vec<String> = READ.iter().map(|tag| format!("-{tag}")).collect();
    let mut arguments = vec!["-j"];
    arguments.extend(asked.iter().map(String::as_str));
    let mut read: Vec<Map<String, Value>> = serde_json::from_slice(&exiftool(&arguments, file)).unwrap();
    let mut tags = read.remove(0);
    tags.remove("SourceFile");
    tags
}

/// An ICC profile that is little more than its header, a description and a copyright (ICC.1:2001-04).
fn profile() -> Vec<u8> {
    let mut description = b"desc\0\0\0\0".to_vec();
    description.extend(11u32.to_be_bytes());
    description.extend(b"A test RGB\0");
    // No Unicode and no Macintosh description: language, counts, script code and 67 bytes.
    description.extend([0; 4 + 4 + 2 + 1 + 67]);
    description.resize(description.len().next_multiple_of(4), 0);
    let copyright = b"text\0\0\0\0nobody's\0\0\0\0".to_vec();
    let data_at = 128 + 4 + 2 * 12;
    let mut out = vec![0; 128];
    out[8..12].copy_from_slice(&[2, 0x40, 0, 0]);
    out[12..24].copy_from_slice(b"mntrRGB XYZ ");
    out[36..40].copy_from_slice(b"acsp");
    out[52..56].copy_from_slice(b"REPR");
    out.extend(2u32.to_be_bytes());
    for (name, at, bytes) in
        [(b"desc", data_at, description.len()), (b"cprt", data_at + description.len(), copyright.len())]
    {
        out.extend(name);
        out.extend((at as u32).to_be_bytes());
        out.extend((bytes as u32).to_be_bytes());
    }
    out.extend(description);
    out.extend(copyright);
    let length = (out.len() as u32).to_be_bytes();
    out[..4].copy_from_slice(&length);
    out
}

#[test]
fn exiftool_reads_the_same_before_and_after() {
    if Command::new("exiftool").arg("-ver").output().is_err() {
        assert!(std::env::var_os("REPRISE_REQUIRE_TOOLS").is_none_or(|v| v != "1"), "exiftool is not installed");
        println!("skipped: exiftool is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = scene(PixelFormat::new(Color::Rgb, false, Depth::U8), Size::new(320, 320), 1);
    let icc = save(dir.path(), "test.icc", &profile());
    let context = Context::new(Backend::open(BackendChoice::Cpu).unwrap(), 500_000_000, 2).unwrap();
    for (name, bytes) in [("a.jpg", jpeg(&image, true)), ("a.png", png(&image)), ("a.tif", tiff(&image))] {
        let original = save(dir.path(), name, &bytes);
        let embed = format!("-ICC_Profile<={}", icc.display());
        let mut arguments = vec!["-q", "-overwrite_original", embed.as_str()];
        arguments.extend(WRITTEN);
        exiftool(&arguments, &original);

        let pyramid = dir.path().join("out").join(name).with_extension("tif");
        std::fs::create_dir_all(pyramid.parent().unwrap()).unwrap();
        let converted = pipeline::convert(&original, &pyramid, &Recipe::default(), &context).unwrap();
        assert_eq!(converted.warnings, [""; 0], "{name}");
        let (before, after) = (tags(&original), tags(&pyramid));
        assert_eq!(before.len(), READ.len(), "{name}: exiftool wrote {before:?}");
        assert_eq!(before, after, "{name}");
        for block in ["-XMP", "-ICC_Profile"] {
            let bytes = |file| exiftool(&["-b", block], file);
            assert!(!bytes(&original).is_empty() && bytes(&original) == bytes(&pyramid), "{name}: {block}");
        }

        let stripped = Recipe { strip: true, ..Recipe::default() };
        pipeline::convert(&original, &pyramid, &stripped, &context).unwrap();
        let left: Vec<String> = tags(&pyramid).keys().cloned().collect();
        let kept =
            ["DeviceModel", "ProfileCopyright", "ProfileDescription", "ResolutionUnit", "XResolution", "YResolution"];
        assert!(left.iter().all(|tag| kept.contains(&tag.as_str())) && left.len() == kept.len(), "{name}: {left:?}");
    }
}
