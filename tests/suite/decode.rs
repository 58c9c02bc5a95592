//! Decoders: goldens against other programs, odd files against slow expectations, metadata, and files that lie.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reprise::decode::{
    self, Kind, MemorySource, Metadata, Resolution, ResolutionUnit, RowSource, SourceInfo, read_whole, sniff,
};
use reprise::encode::ptiff::{self, Chroma, Compression, Layout, Options, Pyramid, Writer};
use reprise::geometry::{Orientation, Rect, Size};
use reprise::limits::Limits;
use reprise::pixel::{Color, Depth, PixelFormat, Raster, Samples};
use reprise::{Error, ErrorKind};

use crate::hostile_files::{damaged, header_bombs, png_chunk, twenty_broken_files};
use crate::support::{Random, noise, pool, scene};
use crate::tiff_maker::{TiffMaker, Values};

fn data_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/decode")
}

fn data_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(data_folder()).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| matches!(f.extension().and_then(|e| e.to_str()), Some("tif" | "png" | "gif" | "webp" | "bmp")));
    files.sort();
    assert!(files.len() > 50);
    files
}

fn open(path: &Path) -> Result<Box<dyn RowSource>, Error> {
    decode::open(path, &Limits::default())
}

fn read(path: &Path) -> Result<Raster, Error> {
    read_whole(&mut *open(path)?, &Limits::default())
}

/// Reads in bands of `rows` rows into one raster.
fn read_in_bands(source: &mut dyn RowSource, rows: u32) -> Result<Raster, Error> {
    let mut all = Raster::empty(source.info().format, source.info().size.width);
    let mut band = all.clone();
    loop {
        band.set_rows(0);
        let read = source.read_rows(&mut band, rows)?;
        assert_eq!(band.height, read);
        if read == 0 {
            return Ok(all);
        }
        all.append_rows(&band, 0..read);
    }
}

/// A file with this content, and the folder that keeps it.
fn file_of(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("original");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn open_bytes(bytes: &[u8]) -> Result<Box<dyn RowSource>, Error> {
    // An open file outlives its folder.
    open(&file_of(bytes).1)
}

fn read_bytes(bytes: &[u8]) -> Result<Raster, Error> {
    let (_folder, path) = file_of(bytes);
    read(&path)
}

fn failure<T>(result: Result<T, Error>) -> Error {
    result.err().expect("should be refused")
}

fn hash(raster: &Raster) -> String {
    let bytes: Vec<u8> = match &raster.samples {
        Samples::U8(samples) => samples.clone(),
        Samples::U16(samples) => samples.iter().flat_map(|s| s.to_le_bytes()).collect(),
    };
    blake3::hash(&bytes).to_string()
}

#[test]
fn files_of_other_programs_decode_to_what_went_into_them() {
    let mut wrong = String::new();
    let golden = std::fs::read_to_string(data_folder().join("golden.txt")).unwrap();
    for line in golden.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(' ').next().unwrap();
        match read(&data_folder().join(name)) {
            Ok(raster) => {
                let (format, size) = (raster.format, raster.size());
                let bits = 8 * format.depth.bytes();
                let found =
                    format!("{name} {} {} {} {bits} {}", size.width, size.height, format.channels(), hash(&raster));
                if found != line {
                    writeln!(wrong, "is   {found}\nnot  {line}").unwrap();
                }
            }
            Err(error) => writeln!(wrong, "{error}").unwrap(),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn bands_of_any_height_give_the_same_rows() {
    for path in data_files() {
        let whole = read(&path).unwrap();
        for rows in [1, 7, 16, u32::MAX] {
            let banded = read_in_bands(&mut *open(&path).unwrap(), rows).unwrap();
            assert!(whole == banded, "{} in bands of {rows}", path.display());
        }
    }
}

/// JPEG decoders may round the inverse transform differently, by one level of 255; upsampled chroma and the colour
/// matrix make up to three of that. WebP leaves no room: its decoding is exact.
#[test]
fn lossy_files_stay_near_the_reference_decoders() {
    for (name, bound, mean_bound) in [
        ("rgb8-jpeg-ycbcr.tif", 3, 0.4),
        ("rgb8-jpeg-tiles.tif", 3, 0.4),
        ("rgb8-jpeg-raw.tif", 1, 0.01),
        ("gray8-jpeg.tif", 1, 0.01),
        ("cmyk8-jpeg.tif", 1, 0.01),
        ("rgb8-lossy.webp", 0, 0.0),
        ("rgba8-lossy.webp", 0, 0.0),
    ] {
        let path = data_folder().join(name);
        let raster = read(&path).unwrap();
        let reference = std::fs::read(path.with_extension("raw")).unwrap();
        let found = raster.samples.as_bytes();
        assert_eq!(found.len(), reference.len(), "{name}");
        let differences = found.iter().zip(&reference).map(|(a, b)| u32::from(a.abs_diff(*b)));
        let (largest, sum) = differences.fold((0, 0), |(largest, sum), d| (d.max(largest), sum + d));
        let mean = f64::from(sum) / found.len() as f64;
        assert!(largest <= bound && mean <= mean_bound, "{name}: largest difference {largest}, mean {mean}");
    }
}

#[test]
fn further_pages_and_frames_are_told_but_reduced_copies_are_not() {
    let warnings = |name: &str| open(&data_folder().join(name)).unwrap().info().warnings.clone();
    assert_eq!(warnings("pages.tif"), ["holds 2 pages; only the first is used"]);
    assert_eq!(warnings("reduced.tif"), [""; 0]);
    assert_eq!(warnings("animated.gif"), ["holds several frames; only the first is used"]);
    assert_eq!(warnings("transparent.gif"), [""; 0]);
    assert_eq!(warnings("rgb8-extra-unspecified.tif").len(), 1);
}

#[test]
fn bmp_resolution_is_read() {
    let metadata = open(&data_folder().join("rgb24.bmp")).unwrap().info().metadata.clone();
    let resolution = metadata.resolution.unwrap();
    assert_eq!(resolution.unit, ResolutionUnit::Centimeter);
    assert!((resolution.x * 2.54 - 300.0).abs() < 0.1, "{resolution:?}");
}

// Kinds.

#[test]
fn kinds_are_told_by_content() {
    let pdf_later = [&[b'\n'; 1000][..], b"%PDF-1.7\n"].concat();
    let mut transport_stream = vec![0; 600];
    transport_stream.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
    let mut profile = vec![0; 128];
    profile[36..40].copy_from_slice(b"acsp");
    let heads: &[(&[u8], Kind)] = &[
        (b"\xff\xd8\xff\xe0\0\x10JFIF", Kind::Jpeg),
        (b"\x89PNG\r\n\x1a\n", Kind::Png),
        (b"II*\0\x08\0\0\0", Kind::Tiff),
        (b"MM\0*\0\0\0\x08", Kind::Tiff),
        (b"II+\0\x08\0\0\0", Kind::Tiff),
        (b"MM\0+\0\x08\0\0", Kind::Tiff),
        (b"GIF87a", Kind::Gif),
        (b"GIF89a", Kind::Gif),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", Kind::Bmp),
        (b"BMW is a make of car, not an image.", Kind::Unknown),
        (b"RIFF\x10\0\0\0WEBPVP8 ", Kind::WebP),
        (b"RIFF\x10\0\0\0AVI LIST", Kind::Video),
        (b"RIFF\x10\0\0\0WAVEfmt ", Kind::Audio),
        (b"%PDF-1.4\n1 0 obj <</Type/Catalog>>", Kind::Pdf),
        (&pdf_later, Kind::Pdf),
        (b"%PDF-1.5\n<</PieceInfo<</Illustrator 8 0 R>>>>", Kind::Illustrator),
        (b"%!PS-Adobe-3.0 \n%%Creator: Adobe Illustrator(R) 8.0\n", Kind::Illustrator),
        (b"%!PS-Adobe-3.1 EPSF-3.0\n%%Creator: Adobe Illustrator(R) 24\n", Kind::PostScript),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%Creator: dvips\n", Kind::PostScript),
        (b"\xc5\xd0\xd3\xc6\x20\0\0\0", Kind::PostScript),
        (b"8BPS\0\x01", Kind::Photoshop),
        (b"8BPS\0\x02", Kind::Photoshop),
        (b"\x06\x06\xed\xf5\xd8\x1d\x46\xe5\xbd\x31\xef\xe7\xfe\x74\xb7\x1dDOCUMENT", Kind::InDesign),
        (b"\0\0\0\x18ftypmp42", Kind::Video),
        (b"\0\0\0\x14ftypqt  ", Kind::Video),
        (b"\0\0\0\x08wide\0\0", Kind::Video),
        (b"\0\0\0\x18ftypM4A ", Kind::Audio),
        (b"\0\0\0\x18ftypavif", Kind::Unknown),
        (b"\0\0\0\x18ftypheic", Kind::Unknown),
        (b"\x1a\x45\xdf\xa3\x01", Kind::Video),
        (b"FLV\x01\x05", Kind::Video),
        (b"\0\0\x01\xba\x44", Kind::Video),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", Kind::Video),
        (&transport_stream, Kind::Video),
        (b"ID3\x03\0\0\0", Kind::Audio),
        (b"\xff\xfb\x90\x64", Kind::Audio),
        (b"\xff\xf1\x50\x80", Kind::Audio),
        (b"\xff\xfeH\0e\0l\0", Kind::Unknown),
        (b"fLaC\0\0\0\x22", Kind::Audio),
        (b"OggS\0\x02", Kind::Audio),
        (&profile, Kind::IccProfile),
        (b"plain text", Kind::Unknown),
        (b"", Kind::Unknown),
    ];
    for (head, kind) in heads {
        assert_eq!(sniff::sniff(head), *kind, "{:?}", String::from_utf8_lossy(&head[..head.len().min(40)]));
    }
    assert_eq!(sniff::sniff_file(&data_folder().join("animated.gif")).unwrap(), Kind::Gif);
    assert_eq!(failure(sniff::sniff_file(Path::new("/nonexistent/file"))).kind, ErrorKind::Io);
}

#[test]
fn kinds_go_through_their_stable_identifiers() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_id(kind.id()), Some(kind));
        assert_eq!(kind.id(), kind.id().to_lowercase());
    }
    assert_eq!(Kind::from_id("JPEG"), None);
}

#[test]
fn what_is_not_an_image_is_refused_by_name() {
    for (bytes, kind, part) in [
        (&b""[..], ErrorKind::Malformed, "is empty"),
        (b"%PDF-1.4 named .png", ErrorKind::Unsupported, "PDF"),
        (b"just some text", ErrorKind::Unsupported, "its first bytes are \"just some text\""),
        (b"\x01\x02\x03", ErrorKind::Unsupported, "its first bytes are 01 02 03"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", ErrorKind::Unsupported, "AVIF"),
    ] {
        let error = failure(open_bytes(bytes));
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(part), "{error}");
        assert!(error.subject.is_some_and(|s| s.ends_with("original")));
    }
    assert_eq!(failure(open(Path::new("/nonexistent/file"))).kind, ErrorKind::Io);
    assert_eq!(failure(open(&data_folder())).kind, ErrorKind::Io);
}

// PNG.

/// A 5 × 4 gray PNG with further chunks before and behind the image data.
fn png_with(before: &[Vec<u8>], after: &[Vec<u8>]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut encoder = png::Encoder::new(&mut plain, 5, 4);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&(0..20).collect::<Vec<u8>>()).unwrap();
    let (head, tail) = (&plain[..33], &plain[33..]);
    let (data, end) = tail.split_at(tail.len() - 12);
    [head, &before.concat(), data, &after.concat(), end].concat()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn icc_chunk(profile: &[u8]) -> Vec<u8> {
    png_chunk(b"iCCP", &[&b"name\0\0"[..], &zlib(profile)].concat())
}

fn xmp_chunk(packet: &[u8]) -> Vec<u8> {
    png_chunk(b"iTXt", &[&b"XML:com.adobe.xmp\0\0\0\0\0"[..], packet].concat())
}

/// A minimal EXIF block with an orientation.
fn exif_block(orientation: u16) -> Vec<u8> {
    TiffMaker::new(1, 1).short(274, orientation).bytes()
}

#[test]
fn png_metadata_is_carried_byte_for_byte() {
    let profile: Vec<u8> = (0..3000u32).map(|i| (i * 7) as u8).collect();
    let packet = b"<x:xmpmeta>\xc3\xa4</x:xmpmeta>";
    let records = b"\x1c\x02\x78\0\x05words";
    let mut text = format!("Raw profile type iptc\0\0\niptc\n{:8}\n", records.len()).into_bytes();
    let keyword = text.iter().position(|&b| b == 0).unwrap() + 2;
    let digits: String = records.iter().map(|b| format!("{b:02x}")).collect();
    text.extend(digits.bytes());
    let compressed = [&text[..keyword], &zlib(&text[keyword..])].concat();
    let pixels_per_metre = [&11811u32.to_be_bytes()[..], &5906u32.to_be_bytes(), &[1]].concat();

    for late in [false, true] {
        let early = [icc_chunk(&profile), png_chunk(b"pHYs", &pixels_per_metre)];
        let text = [xmp_chunk(packet), png_chunk(b"zTXt", &compressed), png_chunk(b"eXIf", &exif_block(6))];
        let bytes = if late { png_with(&early, &text) } else { png_with(&[early.as_slice(), &text].concat(), &[]) };
        let mut source = open_bytes(&bytes).unwrap();
        let info = source.info();
        assert_eq!(info.metadata.icc.as_deref(), Some(&profile[..]));
        assert_eq!(info.metadata.xmp.as_deref(), Some(&packet[..]));
        assert_eq!(info.metadata.iptc.as_deref(), Some(&records[..]));
        let expected = Resolution { x: 118.11, y: 59.06, unit: ResolutionUnit::Centimeter };
        assert_eq!(info.metadata.resolution, Some(expected));
        assert_eq!(info.orientation, Orientation::Rotate90);
        assert_eq!(info.warnings, [""; 0]);
        assert_eq!(read_whole(&mut *source, &Limits::default()).unwrap().samples, Samples::U8((0..20).collect()));
    }
}

#[test]
fn png_metadata_that_is_too_much_or_broken_is_dropped_with_a_warning() {
    let limits = Limits { max_metadata_bytes: 10_000, ..Limits::default() };
    let mut wrong_sum = xmp_chunk(b"<x/>");
    *wrong_sum.last_mut().unwrap() ^= 1;
    for (what, chunk) in [
        ("long text", xmp_chunk(&[b' '; 10_001])),
        ("a profile that inflates beyond the limit", icc_chunk(&vec![0; 5_000_000])),
        ("a profile that is no deflate stream", png_chunk(b"iCCP", b"name\0\0broken")),
        ("a wrong checksum", wrong_sum),
    ] {
        let (_folder, path) = file_of(&png_with(&[], &[chunk]));
        let mut source = decode::open(&path, &limits).unwrap();
        assert_eq!(source.info().metadata, Metadata::default(), "{what}");
        assert_eq!(source.info().warnings.len(), 1, "{what}: {:?}", source.info().warnings);
        assert!(source.info().warnings[0].contains("dropped"), "{what}");
        assert_eq!(read_whole(&mut *source, &limits).unwrap().height, 4, "{what}");
    }
}

#[test]
fn rows_before_the_damage_stay_valid() {
    let size = Size::new(300, 200);
    let image = noise(PixelFormat::new(Color::Gray, false, Depth::U8), size, 5);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.width, size.height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(image.samples.as_bytes()).unwrap();
    bytes.truncate(bytes.len() / 2);

    let mut source = open_bytes(&bytes).unwrap();
    let mut band = Raster::empty(image.format, size.width);
    let error = failure(source.read_rows(&mut band, size.height));
    assert_eq!(error.kind, ErrorKind::Malformed);
    assert!(error.message.contains(&format!("row {} of 200", band.height)), "{error}");
    assert!(band.height > 50);
    assert_eq!(band, image.cropped(Rect { x: 0, y: 0, width: 300, height: band.height }));
}

// TIFF.

fn u8s(raster: &Raster) -> &[u8] {
    let Samples::U8(samples) = &raster.samples else { panic!("8 bits expected, {} found", raster.format) };
    samples
}

fn u16s(raster: &Raster) -> &[u16] {
    let Samples::U16(samples) = &raster.samples else { panic!("16 bits expected, {} found", raster.format) };
    samples
}

#[test]
fn tiff_samples_of_few_bits_are_spread_over_the_range() {
    let one = TiffMaker::new(10, 2).samples(0, 1, 1).chunk([0b1010_0000, 0b0100_0000, 0xff, 0xff]);
    let expected = [0, 255, 0, 255, 255, 255, 255, 255, 255, 0].into_iter().chain([0; 10]).collect::<Vec<u8>>();
    assert_eq!(u8s(&read_bytes(&one.bytes()).unwrap()), expected);
    let two = TiffMaker::new(5, 1).samples(1, 2, 1).chunk([0b0001_1011, 0b1100_0000]);
    assert_eq!(u8s(&read_bytes(&two.bytes()).unwrap()), [0, 85, 170, 255, 255]);
    let four = TiffMaker::new(1, 1).samples(2, 4, 3).chunk([0x1f, 0x80]);
    assert_eq!(u8s(&read_bytes(&four.bytes()).unwrap()), [17, 255, 136]);
}

#[test]
fn tiff_one_bit_tiles_are_cut_at_the_edge() {
    // Two tiles of 16 × 16 for 20 × 3 pixels; the second is black in its first two columns.
    let white = [0u8; 32];
    let mut edge = [0u8; 32];
    edge.iter_mut().step_by(2).for_each(|byte| *byte = 0b1100_0000);
    let file = TiffMaker::new(20, 3).samples(0, 1, 1).tiles(16, 16).chunk(white).chunk(edge).bytes();
    let row: Vec<u8> = (0..20).map(|x| if x == 16 || x == 17 { 0 } else { 255 }).collect();
    assert_eq!(u8s(&read_bytes(&file).unwrap()), row.repeat(3));
}

#[test]
fn tiff_cmyk_with_alpha_in_planes_of_either_byte_order() {
    let planes: [[u16; 4]; 5] = std::array::from_fn(|c| std::array::from_fn(|i| (c * 1000 + i * 17 + 5) as u16));
    let expected: Vec<u16> = (0..4).flat_map(|pixel| planes.map(|plane| plane[pixel])).collect();
    for (big_endian, big) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut maker = TiffMaker::new(2, 2);
        maker.big_endian = big_endian;
        maker.big = big;
        let mut maker = maker.samples(5, 16, 5).short(338, 2).short(284, 2);
        for plane in &planes {
            maker = maker.chunk16(plane);
        }
        let raster = read_bytes(&maker.bytes()).unwrap();
        assert_eq!(raster.format, PixelFormat::new(Color::Cmyk, true, Depth::U16));
        assert_eq!(u16s(&raster), expected, "big-endian {big_endian}, BigTIFF {big}");
    }
}

#[test]
fn tiff_alpha_is_found_behind_a_sample_without_meaning() {
    let file = TiffMaker::new(2, 1)
        .samples(2, 8, 5)
        .tag(338, Values::Shorts(vec![0, 2]))
        .chunk([1, 2, 3, 99, 4, 5, 6, 7, 99, 8])
        .bytes();
    let mut source = open_bytes(&file).unwrap();
    assert_eq!(source.info().warnings.len(), 1);
    assert_eq!(u8s(&read_whole(&mut *source, &Limits::default()).unwrap()), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn tiff_associated_alpha_is_divided_out() {
    for (bits, max) in [(8, 255u32), (16, 65535)] {
        // Colour 0, half and full at every kind of alpha, and one colour above its alpha.
        let half = max.div_ceil(2);
        let stored = [[0, max], [half, max], [max, max], [1, 3], [3, 3], [5, 3], [0, 0], [9, 0], [half / 2, half]];
        let maker = TiffMaker::new(9, 1).samples(1, bits, 2).short(338, 1);
        let samples: Vec<u16> = stored.as_flattened().iter().map(|v| *v as u16).collect();
        let maker = if bits == 8 {
            maker.chunk(samples.iter().map(|v| *v as u8).collect::<Vec<u8>>())
        } else {
            maker.chunk16(&samples)
        };
        let raster = read_bytes(&maker.bytes()).unwrap();
        for (x, [color, alpha]) in stored.into_iter().enumerate() {
            let exact = if alpha == 0 { 0.0 } else { f64::from(max) * f64::from(color) / f64::from(alpha) };
            assert_eq!(raster.at(x as u32, 0, 0), (exact.round() as u32).min(max), "{color} at alpha {alpha}");
            assert_eq!(raster.at(x as u32, 0, 1), alpha);
        }
    }
}

#[test]
fn tiff_palettes_keep_16_bits_only_where_they_are_used() {
    let map = |scale: fn(u16) -> u16| (0..48u16).map(|i| scale(i * 5)).collect::<Vec<u16>>();
    let file = |map| TiffMaker::new(2, 1).samples(3, 4, 1).tag(320, Values::Shorts(map)).chunk([0x1f]).bytes();
    // Indices 1 and 15 in maps of 16 reds, greens and blues.
    let indices: [u16; 6] = [1, 17, 33, 15, 31, 47];
    let expected = indices.map(|i| (i * 5) as u8);
    for scale in [|v| v, |v| v * 257, |v| v << 8] {
        assert_eq!(u8s(&read_bytes(&file(map(scale))).unwrap()), expected);
    }
    let deep = read_bytes(&file(map(|v| v * 255 + 3))).unwrap();
    assert_eq!(deep.format, PixelFormat::new(Color::Rgb, false, Depth::U16));
    assert_eq!(u16s(&deep), indices.map(|i| i * 5 * 255 + 3));
}

#[test]
fn tiff_metadata_is_carried_byte_for_byte() {
    let profile: Vec<u8> = (0..300u32).map(|i| (i * 13) as u8).collect();
    let records = b"\x1c\x02\x78\0\x05words\0\0".to_vec();
    let resources = [&b"8BIM\x04\x04\0\0\0\0\0\x05"[..], b"\x1c\x02\x05ab\0"].concat();
    for big_endian in [false, true] {
        let mut maker = TiffMaker::new(1, 1);
        maker.big_endian = big_endian;
        let maker = maker
            .samples(1, 8, 1)
            .short(274, 8)
            .tag(282, Values::Rationals(vec![(7200, 100)]))
            .tag(283, Values::Rationals(vec![(144, 1)]))
            .tag(34675, Values::Bytes(profile.clone()))
            .tag(700, Values::Bytes(b"<x:xmpmeta/>".to_vec()))
            .tag(34377, Values::Bytes(resources.clone()))
            .chunk([7]);
        let with_both = maker.clone().tag(33723, Values::BytesAsLongs(records.clone())).bytes();
        let source = open_bytes(&with_both).unwrap();
        let info = source.info();
        assert_eq!(info.orientation, Orientation::Rotate270);
        let expected = Metadata {
            icc: Some(profile.clone()),
            xmp: Some(b"<x:xmpmeta/>".to_vec()),
            iptc: Some(records.clone()),
            resolution: Some(Resolution { x: 72.0, y: 144.0, unit: ResolutionUnit::Inch }),
            texts: BTreeMap::new(),
            ..Metadata::default()
        };
        assert_eq!(info.metadata, expected, "big-endian {big_endian}");
        assert_eq!(info.warnings, [""; 0]);
        let fallback = open_bytes(&maker.bytes()).unwrap();
        assert_eq!(fallback.info().metadata.iptc.as_deref(), Some(&b"\x1c\x02\x05ab"[..]));
    }
}

#[test]
fn tiff_metadata_over_the_limit_is_dropped_with_a_warning() {
    let limits = Limits { max_metadata_bytes: 99, ..Limits::default() };
    let file = TiffMaker::new(1, 1).samples(1, 8, 1).tag(34675, Values::Bytes(vec![1; 100])).chunk([7]).bytes();
    let source = decode::open(&file_of(&file).1, &limits).unwrap();
    assert_eq!(source.info().metadata.icc, None);
    assert!(source.info().warnings[0].contains("100 bytes is dropped"), "{:?}", source.info().warnings);
}

/// Writes a pyramid whose levels are `scene`s of their own.
fn write_pyramid(path: &Path, format: PixelFormat, metadata: &Metadata, options: &Options) -> Raster {
    let mut levels = vec![Size::new(70, 45)];
    while levels.last().is_some_and(|level| level.width > options.tile || level.height > options.tile) {
        levels.push(levels[levels.len() - 1].halved());
    }
    let images: Vec<Raster> = levels.iter().map(|level| scene(format, *level, 11)).collect();
    let pyramid = Pyramid { format, levels, metadata: metadata.clone(), came_as_jpeg: false };
    let mut writer = Writer::create(path, pyramid, options, 1 << 20).unwrap();
    for (level, image) in images.iter().enumerate() {
        writer.write_rows(level, image).unwrap();
    }
    writer.finish(&pool(1)).unwrap();
    images.into_iter().next().unwrap()
}

#[test]
fn own_pyramids_are_read_at_full_resolution() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pyramid.tif");
    let metadata = Metadata {
        icc: Some(vec![7; 200]),
        xmp: Some(b"<x:xmpmeta/>".to_vec()),
        iptc: Some(b"\x1c\x02\x78\0\x05words".to_vec()),
        resolution: Some(Resolution { x: 300.0, y: 300.0, unit: ResolutionUnit::Inch }),
        texts: BTreeMap::from([(270, b"a".to_vec()), (33432, b"one\0two".to_vec())]),
        ..Metadata::default()
    };
    for format in PixelFormat::all() {
        for (compression, layout) in [
            (Compression::None, Layout::Pages),
            (Compression::Lzw, Layout::SubIfd),
            (Compression::Deflate, Layout::Pages),
            (Compression::Zstd, Layout::SubIfd),
        ] {
            let options = Options { compression, layout, tile: 32, ..Options::default() };
            let image = write_pyramid(&path, format, &metadata, &options);
            let mut source = open(&path).unwrap();
            assert_eq!(source.info().metadata, metadata);
            assert_eq!(source.info().warnings, [""; 0]);
            let read = read_whole(&mut *source, &Limits::default()).unwrap();
            assert!(read == image, "{format}, {compression:?}, {layout:?}");
        }
    }
}

/// Two JPEG decoders read the same tiles: this one and libjpeg.
#[test]
fn own_jpeg_pyramids_are_read_as_libjpeg_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pyramid.tif");
    for color in [Color::Gray, Color::Rgb, Color::Cmyk] {
        for chroma in [Chroma::Half, Chroma::Full] {
            let options = Options { compression: Compression::Jpeg, chroma, tile: 32, ..Options::default() };
            let format = PixelFormat::new(color, false, Depth::U8);
            write_pyramid(&path, format, &Metadata::default(), &options);
            let found = read(&path).unwrap();
            let reference = ptiff::read_level(&path, 0).unwrap();
            assert_eq!((found.size(), found.format), (reference.size(), reference.format));
            let pairs = found.samples.as_bytes().iter().zip(reference.samples.as_bytes());
            let largest = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(largest <= 3, "{format}, {chroma:?}: {largest}");
        }
    }
}

#[test]
fn tiff_features_without_a_decoder_are_named_with_tag_and_value() {
    let gray = || TiffMaker::new(4, 1).samples(1, 8, 1).chunk([1, 2, 3, 4]);
    for (maker, parts) in [
        (gray().samples(10, 8, 3), ["262", "10 (ITU L*a*b*)"]),
        (gray().samples(32803, 8, 1), ["262", "32803"]),
        (gray().samples(6, 8, 3), ["262", "without JPEG"]),
        (gray().short(259, 2), ["259", "2 (modified Huffman"]),
        (gray().short(259, 6), ["259", "6 (JPEG"]),
        (gray().short(259, 34712), ["259", "34712"]),
        (gray().samples(1, 32, 1).short(339, 3), ["339", "floating point"]),
        (gray().samples(1, 32, 1), ["258", "32"]),
        (gray().samples(1, 12, 1), ["258", "12"]),
        (gray().tag(258, Values::Shorts(vec![5, 6, 5])).short(262, 2).short(277, 3), ["258", "[5, 6, 5]"]),
        (gray().short(259, 8).short(317, 3), ["317", "3 (floating"]),
        (gray().samples(5, 8, 4).short(332, 2), ["332", "inks"]),
    ] {
        let error = failure(open_bytes(&maker.bytes()));
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(parts.iter().all(|part| error.message.contains(part)), "{error}");
    }
}

#[test]
fn tiff_headers_that_contradict_themselves_are_malformed() {
    let gray = || TiffMaker::new(4, 1).samples(1, 8, 1).chunk([1, 2, 3, 4]);
    for maker in [
        TiffMaker::new(0, 1).samples(1, 8, 1).chunk([1]),
        gray().short(277, 0),
        gray().short(278, 0),
        gray().short(284, 3),
        gray().samples(2, 8, 2),
        gray().samples(3, 8, 1),
        gray().samples(3, 8, 1).tag(320, Values::Shorts(vec![0; 767])),
        gray().tag(273, Values::Longs(vec![4_000_000_000])),
        TiffMaker::new(4, 2).samples(1, 8, 1).tag(278, Values::Longs(vec![1])).chunk([1, 2, 3, 4]),
        gray().tiles(0, 16),
    ] {
        let error = failure(open_bytes(&maker.bytes()));
        assert_eq!(error.kind, ErrorKind::Malformed, "{error}");
    }
    // A directory that is its own successor.
    let mut circle = gray().bytes();
    let start = u32::from_le_bytes(circle[4..8].try_into().unwrap());
    let end = circle.len() - 4;
    circle[end..].copy_from_slice(&start.to_le_bytes());
    assert_eq!(u8s(&read_bytes(&circle).unwrap()), [1, 2, 3, 4]);
}

// Files that lie or are damaged.

#[test]
fn header_bombs_fail_at_once() {
    for bomb in header_bombs() {
        let start = Instant::now();
        let error = failure(read_bytes(&bomb.bytes));
        assert!(matches!(error.kind, ErrorKind::Malformed | ErrorKind::Limit), "{}: {error}", bomb.name);
        assert!(error.message.contains(bomb.error), "{}: {error}", bomb.name);
        assert!(start.elapsed() < Duration::from_secs(1), "{} took {:?}", bomb.name, start.elapsed());
    }
}

#[test]
fn the_twenty_broken_files_all_fail() {
    let originals: Vec<(String, Vec<u8>)> = ["rgba8.png", "rgb8-lzw.tif", "rgb24.bmp"]
        .map(|name| (name.to_string(), std::fs::read(data_folder().join(name)).unwrap()))
        .into();
    for broken in twenty_broken_files(&originals) {
        let error = failure(read_bytes(&broken.bytes));
        assert!(error.message.contains(broken.error), "{}: {error}", broken.name);
    }
}

#[test]
fn sizes_are_checked_against_the_limits() {
    let small = Limits { max_side_px: 36, ..Limits::default() };
    let few = Limits { max_pixels: 1000, ..Limits::default() };
    for path in data_files() {
        for limits in [&small, &few] {
            assert_eq!(failure(decode::open(&path, limits)).kind, ErrorKind::Limit, "{}", path.display());
        }
    }
    let lean = Limits { max_decode_bytes: 1000, ..Limits::default() };
    assert_eq!(failure(read_whole(&mut *open(&data_files()[0]).unwrap(), &lean)).kind, ErrorKind::Limit);
}

/// Reads what can be read; whatever comes out must be consistent, and nothing may panic.
fn read_anything(path: &Path) {
    let limits = Limits { max_pixels: 1 << 22, max_decode_bytes: 64 << 20, ..Limits::default() };
    let Ok(mut source) = decode::open(path, &limits) else { return };
    let mut band = Raster::empty(source.info().format, source.info().size.width);
    for _ in 0..8 {
        let before = band.height;
        match source.read_rows(&mut band, 16) {
            Ok(0) => break,
            Ok(rows) => assert_eq!(band.height, before + rows),
            Err(error) => {
                assert_ne!(error.kind, ErrorKind::Misuse, "{error}");
                break;
            }
        }
        assert_eq!(band.samples.len(), band.height as usize * band.stride());
    }
}

#[test]
fn no_truncation_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("original");
    for name in [
        "gray4.png",
        "palette8.png",
        "animated.gif",
        "bilevel-g4.tif",
        "bilevel-g3.tif",
        "gray8-jpeg.tif",
        "rgb8-zstd.tif",
        "rgb8-lossy.webp",
        "rgb8-lossless.webp",
        "palette8-rle.bmp",
        "bilevel.bmp",
    ] {
        std::fs::copy(data_folder().join(name), &path).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        for keep in (0..file.metadata().unwrap().len()).rev() {
            file.set_len(keep).unwrap();
            read_anything(&path);
        }
    }
}

#[test]
fn no_damage_panics() {
    let mut random = Random(20);
    for original in data_files() {
        let bytes = std::fs::read(&original).unwrap();
        for _ in 0..60 {
            let (_folder, path) = file_of(&damaged(&bytes, &mut random));
            read_anything(&path);
        }
    }
}

/// Tags with values that no writer would choose, alone and in pairs.
#[test]
fn no_odd_directory_panics() {
    const TAGS: [u16; 26] = [
        254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 284, 292, 296, 317, 320, 322, 323, 324,
        325, 338, 339, 347,
    ];
    const VALUES: [u32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 31, 255, 32773, 65535, 0x7fff_ffff, 0xffff_ffff];
    let mut random = Random(4);
    for round in 0..4000 {
        let (bits, samples) = ([1, 4, 8, 16][random.below(4) as usize], 1 + random.below(4) as u16);
        let mut maker = TiffMaker::new(9, 7).samples(random.below(7) as u16, bits, samples);
        maker.big_endian = round % 2 == 0;
        maker.big = round % 3 == 0;
        maker = maker.short(259, [1, 3, 4, 5, 7, 8, 32773, 50000][random.below(8) as usize]);
        if round % 5 == 0 {
            maker = maker.tiles(16, 16);
        }
        for _ in 0..1 + random.below(2) {
            let tag = TAGS[random.below(26) as usize];
            let count = 1 + random.below(4) as usize;
            let values: Vec<u32> = (0..count).map(|_| VALUES[random.below(16) as usize]).collect();
            maker = maker.tag(
                tag,
                match random.below(3) {
                    0 => Values::Longs(values),
                    1 => Values::Shorts(values.iter().map(|v| *v as u16).collect()),
                    _ => Values::Rationals(values.iter().map(|v| (*v, 1)).collect()),
                },
            );
        }
        let data: Vec<u8> = (0..9 * 7 * 8).map(|_| random.next() as u8).collect();
        let (_folder, path) = file_of(&maker.chunk(data).bytes());
        read_anything(&path);
    }
}

// Memory.

#[test]
fn a_raster_in_memory_is_a_source() {
    let raster = noise(PixelFormat::new(Color::Cmyk, true, Depth::U16), Size::new(9, 11), 3);
    let info = SourceInfo {
        kind: Kind::Tiff,
        size: raster.size(),
        format: raster.format,
        orientation: Orientation::Upright,
        metadata: Metadata::default(),
        clipping_path: Ok(None),
        warnings: Vec::new(),
    };
    let mut source = MemorySource::new(info.clone(), raster.clone()).unwrap();
    assert_eq!(read_whole(&mut source, &Limits::default()).unwrap(), raster);
    let mut source = MemorySource::new(info.clone(), raster.clone()).unwrap();
    assert_eq!(read_in_bands(&mut source, 4).unwrap(), raster);
    let wrong = SourceInfo { size: Size::new(9, 12), ..info };
    assert_eq!(failure(MemorySource::new(wrong, raster)).kind, ErrorKind::Misuse);
}
