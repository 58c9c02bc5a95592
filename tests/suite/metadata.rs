//! Metadata arrives whole: what exiftool reads in an original, it reads in the pyramid.

use std::path::Path;
use std::process::Command;

use reprise::engine::{Backend, BackendChoice, Context, Recipe, pipeline};
use reprise::geometry::Size;
use reprise::ops::color::{Builtin, Profile};
use reprise::pixel::{Color, Depth, PixelFormat};
use serde_json::{Map, Value};

use crate::originals::{jpeg, png, save, tiff};
use crate::support::scene;

/// Written into each original.
const WRITTEN: [&str; 30] = [
    "-EXIF:ImageDescription=Ein Stück Küste",
    "-EXIF:Make=Maker",
    "-EXIF:Model=Model 1",
    "-EXIF:ModifyDate=2024:02:29 12:34:56",
    "-EXIF:Artist=Ada Lovelace",
    "-EXIF:Copyright=© 2024 Ada",
    "-ExifIFD:DateTimeOriginal=2024:02:28 07:08:09",
    "-ExifIFD:SubSecTimeOriginal=123",
    "-ExifIFD:ExposureTime=1/250",
    "-ExifIFD:FNumber=5.6",
    "-ExifIFD:ISO=400",
    "-ExifIFD:ExposureCompensation=-0.7",
    "-ExifIFD:FocalLength=85",
    "-ExifIFD:LensModel=A lens 85mm",
    "-ExifIFD:UserComment=Über Wasser",
    "-GPS:GPSLatitude=54.3213",
    "-GPS:GPSLatitudeRef=N",
    "-GPS:GPSLongitude=10.1349",
    "-GPS:GPSLongitudeRef=E",
    "-GPS:GPSDateStamp=2024:02:28",
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
const READ: [&str; 31] = [
    "ImageDescription",
    "Make",
    "Model",
    "ModifyDate",
    "Artist",
    "Copyright",
    "EXIF:DateTimeOriginal",
    "EXIF:SubSecTimeOriginal",
    "EXIF:ExposureTime",
    "EXIF:FNumber",
    "EXIF:ISO",
    "EXIF:ExposureCompensation",
    "EXIF:FocalLength",
    "EXIF:LensModel",
    "EXIF:UserComment",
    "EXIF:GPSLatitude",
    "EXIF:GPSLatitudeRef",
    "EXIF:GPSLongitude",
    "EXIF:GPSLongitudeRef",
    "EXIF:GPSDateStamp",
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
    "ICC_Profile:ColorSpaceData",
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

fn webp() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/decode/rgb8-lossless.webp")).unwrap()
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
    let icc = save(dir.path(), "test.icc", Profile::builtin(Builtin::Srgb).bytes());
    let context = Context::new(Backend::open(BackendChoice::Cpu).unwrap(), 500_000_000, 2).unwrap();
    let originals =
        [("a.jpg", jpeg(&image, true)), ("a.png", png(&image)), ("a.tif", tiff(&image)), ("a.webp", webp())];
    for (name, bytes) in originals {
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
        // WebP has no place for IPTC.
        let missing = if name == "a.webp" { 2 } else { 0 };
        assert_eq!(before.len() + missing, READ.len(), "{name}: exiftool wrote {before:?}");
        assert_eq!(before, after, "{name}");
        for block in ["-XMP", "-ICC_Profile"] {
            let bytes = |file| exiftool(&["-b", block], file);
            assert!(!bytes(&original).is_empty() && bytes(&original) == bytes(&pyramid), "{name}: {block}");
        }

        let stripped = Recipe { strip: true, ..Recipe::default() };
        pipeline::convert(&original, &pyramid, &stripped, &context).unwrap();
        let left: Vec<String> = tags(&pyramid).keys().cloned().collect();
        let kept = [
            "ColorSpaceData",
            "ProfileCopyright",
            "ProfileDescription",
            "ResolutionUnit",
            "XResolution",
            "YResolution",
        ];
        assert!(left.iter().all(|tag| kept.contains(&tag.as_str())) && left.len() == kept.len(), "{name}: {left:?}");
    }
}
