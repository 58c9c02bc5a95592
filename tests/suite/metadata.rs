//! Metadata arrives whole: what exiftool reads in an original, it reads in the pyramid.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use reprise::decode::{self, Metadata};
use reprise::engine::{Backend, BackendChoice, Context, Recipe, pipeline};
use reprise::geometry::Size;
use reprise::limits::Limits;
use reprise::ops::color::{Builtin, Profile};
use reprise::pixel::{Color, Depth, PixelFormat};
use serde_json::{Map, Value};

use crate::hostile_files::png_chunk;
use crate::originals::{jpeg, png, save, tiff};
use crate::support::{Random, scene};
use crate::tiff_maker::{TiffMaker, Values};

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

fn stored(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)).unwrap()
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
    // How many of the tags the format has no place for: of IPTC in WebP, of all but XMP and ICC in GIF.
    let originals = [
        ("a.jpg", jpeg(&image, true), 0),
        ("a.png", png(&image), 0),
        ("a.tif", tiff(&image), 0),
        ("a.webp", stored("decode/rgb8-lossless.webp"), 2),
        ("a.gif", stored("decode/interlaced.gif"), READ.len() - 6),
        ("a.psd", stored("psd/mode-8bit_rgb.psd"), 0),
    ];
    for (name, bytes, missing) in originals {
        let original = save(dir.path(), name, &bytes);
        let embed = format!("-ICC_Profile<={}", icc.display());
        let mut arguments = vec!["-q", "-overwrite_original", embed.as_str()];
        arguments.extend(WRITTEN);
        exiftool(&arguments, &original);

        let pyramid = dir.path().join("out").join(name).with_extension("tif");
        std::fs::create_dir_all(pyramid.parent().unwrap()).unwrap();
        let converted = pipeline::convert(&original, &pyramid, &Recipe::default(), &context).unwrap();
        assert_eq!(converted.warnings, [""; 0], "{name}");
        let (before, mut after) = (tags(&original), tags(&pyramid));
        let resolution = ["ResolutionUnit", "XResolution", "YResolution"];
        if name == "a.gif" {
            // TIFF must state one.
            assert_eq!(after.remove("ResolutionUnit"), Some("None".into()));
            after.retain(|tag, _| !resolution.contains(&tag.as_str()));
        }
        assert_eq!(before.len() + missing, READ.len(), "{name}: exiftool wrote {before:?}");
        assert_eq!(before, after, "{name}");
        for block in ["-XMP", "-ICC_Profile"] {
            let bytes = |file| exiftool(&["-b", block], file);
            assert!(!bytes(&original).is_empty() && bytes(&original) == bytes(&pyramid), "{name}: {block}");
        }

        let stripped = Recipe { strip: true, ..Recipe::default() };
        pipeline::convert(&original, &pyramid, &stripped, &context).unwrap();
        let left: Vec<String> = tags(&pyramid).keys().cloned().collect();
        let profile = ["ColorSpaceData", "ProfileCopyright", "ProfileDescription"];
        assert_eq!(left, [profile, resolution].concat(), "{name}");
    }
}

/// A block of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Icc,
    Xmp,
    Iptc,
    Exif,
}

impl Block {
    const ALL: [Block; 4] = [Block::Icc, Block::Xmp, Block::Iptc, Block::Exif];

    fn photoshop_id(self) -> u16 {
        match self {
            Block::Icc => 1039,
            Block::Xmp => 1060,
            Block::Iptc => 1028,
            Block::Exif => 1058,
        }
    }

    fn photoshop_resource(self, data: &[u8]) -> Vec<u8> {
        let mut bytes = [&b"8BIM"[..], &self.photoshop_id().to_be_bytes(), &[0, 0]].concat();
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    }
}

/// A file of each format with the block, where the format has a place for it.
fn files_with(block: Block, data: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let image = scene(PixelFormat::new(Color::Rgb, false, Depth::U8), Size::new(64, 64), 1);
    let mut files = vec![("a.jpg", jpeg_with(&jpeg(&image, true), block, data))];
    if let Some(chunk) = png_chunk_of(block, data) {
        let plain = png(&image);
        files.push(("a.png", [&plain[..33], &chunk, &plain[33..]].concat()));
    }
    files.push(("a.tif", tiff_with(block, data)));
    if let Some(name) = match block {
        Block::Icc => Some(b"ICCP"),
        Block::Xmp => Some(b"XMP "),
        Block::Exif => Some(b"EXIF"),
        Block::Iptc => None,
    } {
        files.push(("a.webp", webp_with(&stored("decode/rgb8-lossless.webp"), name, data)));
    }
    if let Some(extension) = gif_extension(block, data) {
        let plain = stored("decode/interlaced.gif");
        let header = 13 + if plain[10] & 0x80 != 0 { 3 << ((plain[10] & 7) + 1) } else { 0 };
        files.push(("a.gif", [&plain[..header], &extension, &plain[header..]].concat()));
    }
    let plain = stored("psd/mode-8bit_rgb.psd");
    // Header, colour mode data, image resources: only the new one, in front of what follows the old ones.
    let resources = block.photoshop_resource(data);
    let old = u32::from_be_bytes(plain[30..34].try_into().unwrap()) as usize;
    let length = (resources.len() as u32).to_be_bytes();
    files.push(("a.psd", [&plain[..30], &length, &resources, &plain[34 + old..]].concat()));
    files
}

fn jpeg_with(plain: &[u8], block: Block, data: &[u8]) -> Vec<u8> {
    let (marker, body) = match block {
        Block::Icc => (0xe2, [b"ICC_PROFILE\0\x01\x01", data].concat()),
        Block::Xmp => (0xe1, [b"http://ns.adobe.com/xap/1.0/\0", data].concat()),
        Block::Iptc => (0xed, [&b"Photoshop 3.0\0"[..], &block.photoshop_resource(data)].concat()),
        Block::Exif => (0xe1, [b"Exif\0\0", data].concat()),
    };
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&plain[..2], &[0xff, marker], &length, &body, &plain[2..]].concat()
}

fn png_chunk_of(block: Block, data: &[u8]) -> Option<Vec<u8>> {
    Some(match block {
        Block::Icc => {
            let mut encoder = flate2::write::ZlibEncoder::new(b"name\0\0".to_vec(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            png_chunk(b"iCCP", &encoder.finish().unwrap())
        }
        Block::Xmp => png_chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\0\0\0\0", data].concat()),
        Block::Iptc => {
            let mut text = format!("Raw profile type iptc\0\niptc\n{:8}\n", data.len());
            for line in data.chunks(36) {
                text.extend(line.iter().map(|byte| format!("{byte:02x}")));
                text.push('\n');
            }
            png_chunk(b"tEXt", text.as_bytes())
        }
        Block::Exif => png_chunk(b"eXIf", data),
    })
}

fn tiff_with(block: Block, data: &[u8]) -> Vec<u8> {
    let maker = TiffMaker::new(2, 2).samples(1, 8, 1).short(259, 1).chunk([1, 2, 3, 4]);
    let tag = match block {
        Block::Icc => 34675,
        Block::Xmp => 700,
        Block::Iptc => 33723,
        Block::Exif => {
            // A directory of one field, UserComment, behind everything else.
            let bytes = |at: u32| maker.clone().tag(34665, Values::Longs(vec![at])).bytes();
            let at = bytes(0).len() as u32;
            let mut file = bytes(at);
            file.extend([1, 0, 0x86, 0x92, 7, 0]);
            file.extend((data.len() as u32).to_le_bytes());
            file.extend((at + 18).to_le_bytes());
            file.extend([0; 4]);
            file.extend(data);
            return file;
        }
    };
    maker.tag(tag, Values::Bytes(data.to_vec())).bytes()
}

/// The extended form of a simple WebP file.
fn webp_with(plain: &[u8], name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let mut chunk = [&name[..], &(data.len() as u32).to_le_bytes(), data].concat();
        chunk.resize(chunk.len().next_multiple_of(2), 0);
        chunk
    };
    // Lossless: 14 bits each of width and height less one, behind a signature.
    let sides = u32::from_le_bytes(plain[21..25].try_into().unwrap());
    let (width, height) = (sides & 0x3fff, sides >> 14 & 0x3fff);
    let flags = match name {
        b"ICCP" => 0x20,
        b"EXIF" => 8,
        _ => 4,
    };
    let mut canvas = vec![flags, 0, 0, 0];
    canvas.extend([width, height].iter().flat_map(|side| side.to_le_bytes()[..3].to_vec()));
    let (before, after) = match name {
        b"ICCP" => (chunk(name, data), Vec::new()),
        _ => (Vec::new(), chunk(name, data)),
    };
    let body = [&b"WEBP"[..], &chunk(b"VP8X", &canvas), &before, &plain[12..], &after].concat();
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}

fn gif_extension(block: Block, data: &[u8]) -> Option<Vec<u8>> {
    match block {
        Block::Icc => {
            let blocks: Vec<u8> = data.chunks(255).flat_map(|part| [&[part.len() as u8], part].concat()).collect();
            Some([b"\x21\xff\x0bICCRGBG1012", &blocks[..], &[0]].concat())
        }
        Block::Xmp => {
            // The packet is bare; what follows it leads a reader of sub-blocks from any place to the end.
            let trailer: Vec<u8> = [1].into_iter().chain((0..=255).rev()).chain([0]).collect();
            Some([b"\x21\xff\x0bXMP DataXMP", data, &trailer].concat())
        }
        Block::Iptc | Block::Exif => None,
    }
}

#[test]
fn blocks_over_the_limit_are_dropped_with_a_warning_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { max_metadata_bytes: 10_000, ..Limits::default() };
    let mut tried = 0;
    for block in Block::ALL {
        let held = |metadata: &Metadata| match block {
            Block::Icc => metadata.icc.is_some(),
            Block::Xmp => metadata.xmp.is_some(),
            Block::Iptc => metadata.iptc.is_some(),
            Block::Exif => !metadata.exif.is_empty(),
        };
        let mut large = vec![b' '; 10_400];
        if block == Block::Icc {
            // As sound as it takes to be carried.
            large[..4].copy_from_slice(&10_400u32.to_be_bytes());
            large[36..40].copy_from_slice(b"acsp");
        }
        for (name, bytes) in files_with(block, &large) {
            let file = save(dir.path(), name, &bytes);
            let mut source = decode::open(&file, &limits).unwrap_or_else(|e| panic!("{name}, {block:?}: {e}"));
            let info = source.info().clone();
            assert!(!held(&info.metadata), "{name}: {block:?} is kept");
            let said = info.warnings.iter().any(|w| w.contains("dropped") || w.contains("left out"));
            assert!(said, "{name}, {block:?}: {:?}", info.warnings);
            decode::read_whole(&mut *source, &limits).unwrap_or_else(|e| panic!("{name}, {block:?}: {e}"));

            // The same block is carried where it is within the limit.
            if block != Block::Exif || name == "a.tif" {
                let source = decode::open(&file, &Limits::default()).unwrap();
                assert!(held(&source.info().metadata), "{name}: {block:?} is lost, {:?}", source.info().warnings);
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 6 + 6 + 4 + 5);
}

#[test]
fn damaged_blocks_never_cost_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::new(Backend::open(BackendChoice::Cpu).unwrap(), 500_000_000, 2).unwrap();
    let output = dir.path().join("out.tif");
    let mut random = Random(8);
    let exif = TiffMaker::new(1, 1).short(274, 6).tag(270, Values::Bytes(b"text\0".to_vec())).bytes();
    let profile = Profile::builtin(Builtin::Srgb).bytes().to_vec();
    let records = b"\x1c\x02\x78\0\x05words".to_vec();
    for (block, sound) in
        [(Block::Icc, profile), (Block::Xmp, b"<x:xmpmeta/>".to_vec()), (Block::Iptc, records), (Block::Exif, exif)]
    {
        for round in 0..6 {
            let mut data = match round {
                0 => Vec::new(),
                1 => vec![0xff; 300],
                2 => sound[..sound.len() / 2].to_vec(),
                _ => sound.clone(),
            };
            if round > 2 {
                for _ in 0..=random.below(6) {
                    let at = random.below(data.len() as u32) as usize;
                    data[at] ^= 1 << random.below(8);
                }
            }
            for (name, bytes) in files_with(block, &data) {
                let file = save(dir.path(), name, &bytes);
                let converted = pipeline::convert(&file, &output, &Recipe::default(), &context);
                let converted = converted.unwrap_or_else(|e| panic!("{name}, {block:?}, round {round}: {e}"));
                if round == 1 && matches!(block, Block::Icc | Block::Exif) && name != "a.tif" {
                    assert!(!converted.warnings.is_empty(), "{name}: {block:?} of nonsense is taken in silence");
                }
            }
        }
    }
}
