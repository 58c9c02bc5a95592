//! JPEG: rows, tiles encoded anew, tiles taken over, and what broken files do.

use std::path::PathBuf;

use reprise::decode::{self, Kind, Resolution, ResolutionUnit, SourceInfo};
use reprise::geometry::{Orientation, Rect, Size};
use reprise::jpeg::{Coefficients, Decoder, Encoding, Process, TileEncoder, TileKind};
use reprise::limits::Limits;
use reprise::pixel::{Color, Depth, PixelFormat, Raster, Samples};
use reprise::{Error, ErrorKind};

use crate::support::{Random, assert_same, coefficients_of, flat, psnr, scene};

const SIZE: Size = Size::new(83, 61);

/// Fixtures with the hash of what other decoders make of them (see the README beside them).
const GOLDEN: [(&str, usize, &str); 15] = [
    ("cmyk_adobe", 4, "f68f66a65b4413ff5ef73e4f293e8708"),
    ("coarse_tables", 3, "4269130c2f6a665d59939e4b7174a50f"),
    ("gray", 1, "4df703f1fd210d03ec10b67e4823cec8"),
    ("metadata", 3, "d086e24e8de2ddeff143249090049c94"),
    ("noninterleaved", 3, "d086e24e8de2ddeff143249090049c94"),
    ("progressive", 3, "d086e24e8de2ddeff143249090049c94"),
    ("progressive444_restart", 3, "7f037f6ea4b4fa214822d6181befee89"),
    ("restart", 3, "d086e24e8de2ddeff143249090049c94"),
    ("rgb", 3, "96b86c91fe2cdfb9a0e661cf024b9c7d"),
    ("ycc411", 3, "cc36eb755eaa60a293ead728e3e8ec0e"),
    ("ycc420", 3, "d086e24e8de2ddeff143249090049c94"),
    ("ycc422", 3, "a5a6b244a5ef9b78ddf087b1e5853979"),
    ("ycc440", 3, "f5a40c256fd6df1a9880af4e33abaf39"),
    ("ycc444", 3, "7f037f6ea4b4fa214822d6181befee89"),
    ("ycck_adobe", 4, "11ba24b660b8ee535c4b801eee4d2f49"),
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg").join(format!("{name}.jpg"))
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect("a fixture")
}

/// All rows that can be had, `rows_per_call` at a time, and the error after them.
fn decode(data: &[u8], rows_per_call: usize) -> Result<(Raster, Option<Error>, Vec<String>), Error> {
    let mut decoder = Decoder::new(data.to_vec(), &Limits::default())?;
    let size = decoder.header().size;
    let mut raster = Raster::empty(decoder.format(), size.width);
    let mut rows = vec![0; rows_per_call * raster.row_bytes()];
    loop {
        match decoder.read_scanlines(&mut rows) {
            Ok(0) => return Ok((raster, None, decoder.warnings())),
            Ok(count) => {
                let Samples::U8(samples) = &mut raster.samples else { panic!("8-bit rows") };
                samples.extend_from_slice(&rows[..count * size.width as usize * raster.format.channels()]);
                raster.height += count as u32;
            }
            Err(error) => return Ok((raster, Some(error), decoder.warnings())),
        }
    }
}

fn decode_whole(data: &[u8]) -> Raster {
    let (raster, error, _) = decode(data, 16).expect("a header");
    assert!(error.is_none(), "{}", error.expect("an error"));
    raster
}

fn header_error(data: Vec<u8>, limits: &Limits) -> Error {
    Decoder::new(data, limits).err().expect("an error")
}

/// A whole file from the shared tables and one tile's stream.
fn join(tables: &[u8], stream: &[u8]) -> Vec<u8> {
    assert!(tables.starts_with(&[0xff, 0xd8]) && tables.ends_with(&[0xff, 0xd9]), "tables are a stream of their own");
    assert!(stream.starts_with(&[0xff, 0xd8]) && stream.ends_with(&[0xff, 0xd9]), "a tile is a stream of its own");
    [&tables[..tables.len() - 2], &stream[2..]].concat()
}

/// Markers before the entropy-coded data, with their segments.
fn markers(stream: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    let mut at = 2;
    while stream[at + 1] != 0xd9 {
        let length = usize::from(u16::from_be_bytes([stream[at + 2], stream[at + 3]]));
        found.push((stream[at + 1], &stream[at + 4..at + 2 + length]));
        if stream[at + 1] == 0xda {
            break;
        }
        at += 2 + length;
    }
    found
}

/// `data` with a segment put behind the start-of-image marker.
fn with_segment(data: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&data[..2], &[0xff, marker, length[0], length[1]], body, &data[2..]].concat()
}

fn find(data: &[u8], pattern: &[u8]) -> usize {
    data.windows(pattern.len()).position(|window| window == pattern).expect("the pattern")
}

fn open(data: &[u8]) -> SourceInfo {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.jpg");
    std::fs::write(&path, data).expect("a temporary file");
    decode::open(&path, &Limits::default()).expect("a source").info().clone()
}

#[test]
fn rows_are_those_of_other_decoders() {
    for (name, channels, golden) in GOLDEN {
        for rows_per_call in [1, 7, 61, 100] {
            let (raster, error, warnings) = decode(&fixture(name), rows_per_call).expect("a header");
            assert!(error.is_none() && warnings.is_empty(), "{name}: {error:?} {warnings:?}");
            assert_eq!(raster.format.channels(), channels, "{name}");
            let mut hash = blake3::Hasher::new();
            hash.update(format!("{}x{}x{channels}\n", raster.width, raster.height).as_bytes());
            hash.update(raster.samples.as_bytes());
            assert_eq!(hash.finalize().to_hex()[..32], *golden, "{name}, {rows_per_call} rows at a time");
        }
    }
}

#[test]
fn headers_tell_what_the_files_are() {
    let decoder = |name| Decoder::new(fixture(name), &Limits::default()).expect("a header");
    for (name, process, encoding, restart_interval) in [
        ("ycc420", Process::Baseline, Encoding::YCbCr, 0),
        ("restart", Process::Baseline, Encoding::YCbCr, 2),
        ("progressive", Process::Progressive, Encoding::YCbCr, 0),
        ("coarse_tables", Process::Extended, Encoding::YCbCr, 0),
        ("gray", Process::Baseline, Encoding::Gray, 0),
        ("rgb", Process::Baseline, Encoding::Rgb, 0),
        ("cmyk_adobe", Process::Baseline, Encoding::Cmyk, 0),
        ("ycck_adobe", Process::Baseline, Encoding::Ycck, 0),
    ] {
        let decoder = decoder(name);
        let header = decoder.header();
        assert_eq!((header.size, header.process, decoder.encoding()), (SIZE, process, encoding), "{name}");
        assert_eq!(header.restart_interval, restart_interval, "{name}");
    }
    let sampling =
        |name| decoder(name).header().components.iter().map(|c| (c.horizontal, c.vertical)).collect::<Vec<_>>();
    assert_eq!(sampling("ycc420"), [(2, 2), (1, 1), (1, 1)]);
    assert_eq!(sampling("ycc422"), [(2, 1), (1, 1), (1, 1)]);
    // All coefficients: 6 × 4 MCUs of 16 × 16 pixels with 6 blocks of 128 bytes.
    assert!(decoder("progressive").working_bytes() >= decoder("ycc420").working_bytes() + 6 * 4 * 6 * 128 - 200);
}

#[test]
fn ink_is_inverted_only_under_an_adobe_marker() {
    let adobe = fixture("cmyk_adobe");
    let mut raw = adobe.clone();
    let start = find(&raw, b"\xff\xee\x00\x0eAdobe");
    raw.drain(start..start + 16);
    let (adobe, mut raw) = (decode_whole(&adobe), decode_whole(&raw));
    assert_eq!(adobe.format, PixelFormat::new(Color::Cmyk, false, Depth::U8));
    raw.samples.as_bytes_mut().iter_mut().for_each(|sample| *sample = 255 - *sample);
    assert_same(&adobe, &raw, "inverted ink");
    // The scene has a white disc at (50, 30): no ink.
    assert!((0..4).all(|ink| adobe.at(50, 30, ink) < 8), "ink where the scene is white");
}

#[test]
fn other_processes_are_refused_by_name() {
    let refused = |data: Vec<u8>, word: &str| {
        let error = header_error(data, &Limits::default());
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    };
    refused(fixture("arithmetic"), "arithmetic");
    let frame = find(&fixture("ycc420"), b"\xff\xc0\x00\x11");
    let patched = |offset: usize, value: u8| {
        let mut data = fixture("ycc420");
        data[frame + offset] = value;
        data
    };
    refused(patched(1, 0xc3), "lossless");
    refused(patched(1, 0xc5), "hierarchical");
    refused(patched(4, 12), "12 bits");
    let mut two = fixture("ycc420");
    two[frame + 3] = 14;
    two[frame + 9] = 2;
    two.drain(frame + 16..frame + 19);
    refused(two, "2 components");
    let mut no_height = fixture("ycc420");
    no_height[frame + 5..frame + 7].fill(0);
    refused(no_height, "height");
}

#[test]
fn limits_hold_before_anything_is_decoded() {
    let limited = |name: &str, limits: Limits| {
        let error = header_error(fixture(name), &limits);
        assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    };
    limited("ycc420", Limits { max_side_px: 82, ..Limits::default() });
    limited("ycc420", Limits { max_pixels: 83 * 61 - 1, ..Limits::default() });
    // Enough for a baseline file of this size, too little for all coefficients.
    let tight = Limits { max_decode_bytes: 18_000, ..Limits::default() };
    Decoder::new(fixture("ycc420"), &tight).expect("rows need little");
    limited("progressive", tight);

    let mut bomb = fixture("progressive");
    let frame = find(&bomb, b"\xff\xc2\x00\x11");
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    assert_eq!(header_error(bomb, &Limits::default()).kind, ErrorKind::Limit);
}

#[test]
fn hundreds_of_scans_are_refused() {
    let mut data = fixture("progressive");
    let last_scan = data.windows(2).rposition(|pair| pair == [0xff, 0xda]).expect("a scan");
    let scan = data[last_scan..data.len() - 2].to_vec();
    data.truncate(data.len() - 2);
    for _ in 0..500 {
        data.extend_from_slice(&scan);
    }
    let error = header_error(data, &Limits::default());
    assert_eq!(error.kind, ErrorKind::Limit);
    assert!(error.to_string().contains("500 scans"), "{error}");
}

#[test]
fn metadata_is_read() {
    let mut source = decode::open(&path("metadata"), &Limits::default()).expect("a source");
    let info = source.info().clone();
    assert_eq!((info.kind, info.size, info.orientation), (Kind::Jpeg, SIZE, Orientation::Rotate90));
    assert_eq!(info.metadata.resolution, Some(Resolution { x: 300.0, y: 300.0, unit: ResolutionUnit::Inch }));
    let contains = |block: &Option<Vec<u8>>, text: &str| find(block.as_ref().expect("a block"), text.as_bytes()) > 0;
    assert!(contains(&info.metadata.xmp, "A title"));
    assert!(contains(&info.metadata.iptc, "A headline"));
    assert!(info.warnings.is_empty(), "{:?}", info.warnings);

    let mut raster = Raster::empty(info.format, info.size.width);
    assert_eq!(source.read_rows(&mut raster, 5).expect("rows"), 5);
    while source.read_rows(&mut raster, 17).expect("rows") > 0 {}
    assert_same(&raster, &decode_whole(&fixture("ycc420")), "rows of the source");
}

#[test]
fn jfif_density_goes_before_exif() {
    let data = fixture("metadata");
    let density = |unit, x: u16, y: u16| {
        let mut body = b"JFIF\0\x01\x01".to_vec();
        body.push(unit);
        body.extend(x.to_be_bytes());
        body.extend(y.to_be_bytes());
        body.extend([0, 0]);
        open(&with_segment(&data, 0xe0, &body)).metadata.resolution.expect("a resolution")
    };
    assert_eq!(density(1, 72, 36), Resolution { x: 72.0, y: 36.0, unit: ResolutionUnit::Inch });
    assert_eq!(density(2, 118, 118), Resolution { x: 118.0, y: 118.0, unit: ResolutionUnit::Centimeter });
    // An aspect ratio says less than EXIF does.
    assert_eq!(density(0, 1, 2), Resolution { x: 300.0, y: 300.0, unit: ResolutionUnit::Inch });
    assert_eq!(open(&fixture("ycc420")).metadata.resolution, None);
}

#[test]
fn icc_chunks_are_put_together_or_left_out() {
    let mut profile: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
    profile[..4].copy_from_slice(&1000u32.to_be_bytes());
    profile[36..40].copy_from_slice(b"acsp");
    let file = |chunks: &[(u8, u8, &[u8])]| {
        chunks.iter().rev().fold(fixture("ycc420"), |data, (number, count, bytes)| {
            let body = [b"ICC_PROFILE\0", &[*number, *count][..], bytes].concat();
            with_segment(&data, 0xe2, &body)
        })
    };
    let info = open(&file(&[(1, 3, &profile[..400]), (2, 3, &profile[400..500]), (3, 3, &profile[500..])]));
    assert_eq!((info.metadata.icc.as_deref(), info.warnings.len()), (Some(&profile[..]), 0));
    let info = open(&file(&[(2, 2, &profile[400..]), (1, 2, &profile[..400])]));
    assert_eq!(info.metadata.icc.as_deref(), Some(&profile[..]), "out of order");

    for broken in [
        &[(1, 3, &profile[..400]), (3, 3, &profile[500..])][..],
        &[(1, 2, &profile[..400]), (1, 2, &profile[400..])],
        &[(0, 1, &profile[..])],
        &[(1, 1, &profile[..999])],
        &[(1, 1, &[0; 200])],
        &[(1, 1, &[])],
    ] {
        let info = open(&file(broken));
        assert_eq!(info.metadata.icc, None);
        assert!(info.warnings.iter().any(|warning| warning.contains("ICC")), "{:?}", info.warnings);
    }
}

#[test]
fn extended_xmp_is_merged_by_guid() {
    const GUID: &str = "0123456789ABCDEF0123456789ABCDEF";
    let packet = format!(
        "http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='r'>\
         <rdf:Description xmlns:xmpNote='n' xmpNote:HasExtendedXMP=\"{GUID}\"/></rdf:RDF></x:xmpmeta>"
    );
    let extension = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='r'>\
         <rdf:Description xmlns:a='b' a:note='long'/></rdf:RDF></x:xmpmeta>";
    let portion = |guid: &str, offset: usize, bytes: &[u8]| {
        let mut body = format!("http://ns.adobe.com/xmp/extension/\0{guid}").into_bytes();
        body.extend((extension.len() as u32).to_be_bytes());
        body.extend((offset as u32).to_be_bytes());
        body.extend(bytes);
        body
    };
    let file = |portions: &[Vec<u8>]| {
        let data = portions.iter().rev().fold(fixture("ycc420"), |data, body| with_segment(&data, 0xe1, body));
        with_segment(&data, 0xe1, packet.as_bytes())
    };
    let stale = portion(&"F".repeat(32), 0, b"stale");
    let info = open(&file(&[portion(GUID, 0, &extension[..50]), stale, portion(GUID, 50, &extension[50..])]));
    assert_eq!(
        String::from_utf8(info.metadata.xmp.expect("XMP")).expect("UTF-8"),
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='r'><rdf:Description xmlns:xmpNote='n' />\
         <rdf:Description xmlns:a='b' a:note='long'/></rdf:RDF></x:xmpmeta>"
    );
    assert!(info.warnings.is_empty(), "{:?}", info.warnings);

    // Without its end, only the packet stays.
    let info = open(&file(&[portion(GUID, 0, &extension[..50])]));
    assert_eq!(info.metadata.xmp.expect("XMP"), packet.as_bytes()[29..]);
    assert!(info.warnings.iter().any(|warning| warning.contains("extended")), "{:?}", info.warnings);
}

#[test]
fn every_truncation_gives_true_rows_and_an_error() {
    for name in ["ycc420", "ycc444", "restart", "gray", "progressive", "noninterleaved", "progressive444_restart"] {
        let data = fixture(name);
        let whole = decode_whole(&data);
        for length in 0..data.len() {
            let Ok((rows, error, warnings)) = decode(&data[..length], 16) else { continue };
            assert_eq!(
                rows.rows_as_bytes(0..rows.height),
                whole.rows_as_bytes(0..rows.height),
                "{name} cut at {length}"
            );
            // Nothing but the end marker may be missing from an image that decodes.
            match error {
                None => {
                    assert!(length >= data.len() - 2, "{name} cut at {length} decodes whole");
                    assert_eq!(rows.height, whole.height);
                    assert!(!warnings.is_empty(), "{name} cut at {length} without a warning");
                }
                Some(error) => {
                    assert_eq!(error.kind, ErrorKind::Malformed, "{name} cut at {length}: {error}");
                    let row = format!("row {} of 61", rows.height);
                    assert!(error.to_string().contains(&row), "{name} cut at {length}: {error}");
                }
            }
        }
    }
    let error = header_error(fixture("truncated"), &Limits::default());
    assert!(error.to_string().contains("before all detail"), "{error}");
}

#[test]
fn flipped_bytes_never_do_worse_than_an_error() {
    let mut random = Random(1);
    let mut decoded = 0;
    for (name, ..) in GOLDEN {
        let data = fixture(name);
        for _ in 0..300 {
            let mut broken = data.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(broken.len() as u32) as usize;
                broken[at] = random.next() as u8;
            }
            // A flipped size may be large and still allowed; this bounds the time.
            let limits = Limits { max_pixels: 1 << 20, ..Limits::default() };
            let Ok(decoder) = Decoder::new(broken.clone(), &limits) else { continue };
            let _ = decoder.blocks(&limits);
            let size = decoder.header().size;
            if let Ok((rows, error, _)) = decode(&broken, 16) {
                assert_eq!(rows.height == size.height, error.is_none());
                decoded += 1;
            }
            if let Ok(coefficients) = coefficients_of(broken.clone(), &limits) {
                let mut tile = Vec::new();
                coefficients.cut_tile(Rect::of(size), 0, 0, 64, &mut tile).expect("a tile");
                decode_whole(&join(coefficients.tables(), &tile));
            }
        }
    }
    assert!(decoded > 500, "only {decoded} of the broken files got as far as their rows");
}

#[test]
fn oddities_that_cost_no_pixel_are_warnings() {
    let data = fixture("ycc420");
    let whole = decode_whole(&data);
    let (rows, error, warnings) = decode(&data[..data.len() - 2], 61).expect("a header");
    assert!(error.is_none() && warnings[0].contains("end-of-image"), "{error:?} {warnings:?}");
    assert_same(&rows, &whole, "without an end marker");
    let stray = [&data[..2], b"stray bytes", &data[2..]].concat();
    let (rows, error, warnings) = decode(&stray, 61).expect("a header");
    assert!(error.is_none() && warnings[0].contains("extraneous"), "{error:?} {warnings:?}");
    assert_same(&rows, &whole, "behind stray bytes");
}

#[test]
fn bytes_left_over_before_a_restart_marker_are_an_error() {
    let mut data = fixture("restart");
    let restart = find(&data, b"\xff\xd3");
    // More than libjpeg's bit buffer swallows.
    data.splice(restart..restart, [0x12; 16]);
    let (rows, error, _) = decode(&data, 16).expect("a header");
    let error = error.expect("an error");
    assert_eq!(error.kind, ErrorKind::Malformed, "{error}");
    assert!(rows.height < SIZE.height);
}

const KINDS: [TileKind; 4] =
    [TileKind::Gray, TileKind::Rgb { half_chroma: true }, TileKind::Rgb { half_chroma: false }, TileKind::Cmyk];

fn pixels(kind: TileKind, side: u32) -> Raster {
    let color = match kind {
        TileKind::Gray => Color::Gray,
        TileKind::Rgb { .. } => Color::Rgb,
        TileKind::Cmyk => Color::Cmyk,
    };
    scene(PixelFormat::new(color, false, Depth::U8), Size::new(side, side), 5)
}

#[test]
fn encoded_tiles_decode_to_their_pixels() {
    for kind in KINDS {
        for side in [16, 64, 256] {
            let tile = pixels(kind, side);
            let mut last = 0.0;
            for quality in [50, 75, 95, 100] {
                let encoder = TileEncoder::new(kind, side, quality).expect("an encoder");
                let mut stream = b"before".to_vec();
                encoder.encode(tile.samples.as_bytes(), tile.row_bytes(), &mut stream).expect("a tile");
                assert_eq!(&stream[..6], b"before", "streams are appended");
                let found: Vec<u8> = markers(&stream[6..]).into_iter().map(|(marker, _)| marker).collect();
                assert_eq!(found, [0xc0, 0xda], "a tile holds frame and scan, no tables, no JFIF, no Adobe marker");
                let decoded = decode_whole(&join(encoder.tables(), &stream[6..]));
                assert_eq!(decoded.format, tile.format);
                let psnr = psnr(&decoded, &tile);
                assert!(psnr > last, "{kind:?} {side} px: {psnr} dB at quality {quality}, {last} dB below it");
                last = psnr;
            }
            // Chroma at half size blurs hard colour edges whatever the quality.
            let least = if kind == (TileKind::Rgb { half_chroma: true }) { 25.0 } else { 46.0 };
            assert!(last > least, "{kind:?} {side} px: {last} dB at quality 100");
        }
    }
}

#[test]
fn tile_tables_are_annex_k_scaled_as_libjpeg_does() {
    // ITU-T T.81, tables K.1 and K.2, in zigzag order.
    const LUMINANCE: [u32; 64] = [
        16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51,
        61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77,
        113, 121, 112, 100, 120, 92, 101, 103, 99,
    ];
    const CHROMINANCE: [u32; 64] = [
        17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ];
    for quality in 0..=100u8 {
        let q = u32::from(quality.max(1));
        let scale = if q < 50 { 5000 / q } else { 200 - 2 * q };
        for (kind, tables) in [
            (TileKind::Gray, &[LUMINANCE][..]),
            (TileKind::Cmyk, &[LUMINANCE]),
            (TileKind::Rgb { half_chroma: true }, &[LUMINANCE, CHROMINANCE]),
        ] {
            let encoder = TileEncoder::new(kind, 16, quality).expect("an encoder");
            let written: Vec<u8> = markers(encoder.tables())
                .into_iter()
                .filter(|(marker, _)| *marker == 0xdb)
                .flat_map(|(_, body)| body.to_vec())
                .collect();
            let expected: Vec<u8> = (0..)
                .zip(tables)
                .flat_map(|(index, table)| {
                    let scaled = table.iter().map(move |base| ((base * scale + 50) / 100).clamp(1, 255) as u8);
                    std::iter::once(index).chain(scaled)
                })
                .collect();
            assert_eq!(written, expected, "{kind:?} at quality {quality}");
            let huffman = markers(encoder.tables()).iter().filter(|(marker, _)| *marker == 0xc4).count();
            assert_eq!(huffman, 2 * tables.len(), "{kind:?}");
        }
    }
}

#[test]
fn ink_goes_into_tiles_as_it_is() {
    let inks = flat(PixelFormat::new(Color::Cmyk, false, Depth::U8), Size::new(16, 16), &[200, 10, 0, 255]);
    let encoder = TileEncoder::new(TileKind::Cmyk, 16, 100).expect("an encoder");
    let mut stream = Vec::new();
    encoder.encode(inks.samples.as_bytes(), inks.row_bytes(), &mut stream).expect("a tile");
    // Without an Adobe marker decoders hand out what is stored.
    assert_same(&decode_whole(&join(encoder.tables(), &stream)), &inks, "ink");
}

#[test]
fn any_encoder_in_any_thread_gives_the_same_bytes() {
    for kind in KINDS {
        let tile = pixels(kind, 64);
        let other = flat(tile.format, tile.size(), &[77; 4]);
        let first = TileEncoder::new(kind, 64, 90).expect("an encoder");
        let mut expected = Vec::new();
        first.encode(tile.samples.as_bytes(), tile.row_bytes(), &mut expected).expect("a tile");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let encoder = TileEncoder::new(kind, 64, 90).expect("an encoder");
                    for _ in 0..3 {
                        encoder.encode(other.samples.as_bytes(), other.row_bytes(), &mut Vec::new()).expect("a tile");
                        let mut again = Vec::new();
                        encoder.encode(tile.samples.as_bytes(), tile.row_bytes(), &mut again).expect("a tile");
                        assert!(again == expected, "{kind:?}: other bytes");
                    }
                });
            }
        });
        // An encoder goes on in another thread.
        let moved = std::thread::spawn(move || first).join().expect("the thread");
        let mut again = Vec::new();
        moved.encode(tile.samples.as_bytes(), tile.row_bytes(), &mut again).expect("a tile");
        assert!(again == expected);
    }
}

#[test]
fn tile_encoders_refuse_what_makes_no_sense() {
    for (side, quality) in [(0, 90), (8, 90), (250, 90), (65_536, 90), (256, 101)] {
        let error = TileEncoder::new(TileKind::Gray, side, quality).err().expect("an error");
        assert_eq!(error.kind, ErrorKind::Misuse);
    }
    let encoder = TileEncoder::new(TileKind::Gray, 16, 90).expect("an encoder");
    let mut out = b"before".to_vec();
    assert_eq!(encoder.encode(&[0; 255], 16, &mut out).expect_err("an error").kind, ErrorKind::Misuse);
    assert_eq!(out, b"before");
}

/// Compares the tiles of `window` with the same region of `whole`; pixels closer than `border` to an edge of the
/// tile that lies inside the image are left out.
fn check_tiles(coefficients: &Coefficients, whole: &Raster, window: Rect, tile_px: u32, border: u32, what: &str) {
    for row in 0..window.height.div_ceil(tile_px) {
        for column in 0..window.width.div_ceil(tile_px) {
            let mut stream = Vec::new();
            coefficients.cut_tile(window, column, row, tile_px, &mut stream).expect("a tile");
            let found: Vec<u8> = markers(&stream).into_iter().map(|(marker, _)| marker).collect();
            assert!(found == [0xc0, 0xda] || found == [0xc1, 0xda], "{what}: {found:02x?}");
            let tile = decode_whole(&join(coefficients.tables(), &stream));
            assert_eq!(tile.size(), Size::new(tile_px, tile_px));
            let (left, top) = (column * tile_px, row * tile_px);
            let (width, height) = (tile_px.min(window.width - left), tile_px.min(window.height - top));
            let x = if window.x + left > 0 { border } else { 0 };
            let y = if window.y + top > 0 { border } else { 0 };
            let right = if window.x + left + width < whole.width { border } else { 0 };
            let bottom = if window.y + top + height < whole.height { border } else { 0 };
            let inner = Rect { x, y, width: width - x - right, height: height - y - bottom };
            let same = Rect { x: window.x + left + x, y: window.y + top + y, ..inner };
            assert_same(&tile.cropped(inner), &whole.cropped(same), format!("{what}, tile ({column}, {row})"));
        }
    }
}

#[test]
fn tiles_taken_over_are_bit_identical() {
    for (name, border) in [
        ("gray", 0),
        ("ycc444", 0),
        ("progressive444_restart", 0),
        // Interpolated chroma reaches one pixel over the edge of a tile.
        ("ycc420", 1),
        ("ycc422", 1),
        ("ycc440", 1),
        ("progressive", 1),
        ("noninterleaved", 1),
        ("restart", 1),
        ("coarse_tables", 1),
    ] {
        let data = fixture(name);
        let coefficients = coefficients_of(data.clone(), &Limits::default()).expect("coefficients");
        assert_eq!((coefficients.size(), coefficients.is_gray()), (SIZE, name == "gray"));
        let whole = decode_whole(&data);
        // The width and height are odd, so that the edge of the image lies inside a block: chroma interpolated there
        // meets what the encoder padded the block with.
        let inside = Rect { x: 0, y: 0, width: SIZE.width - border, height: SIZE.height - border };
        for tile_px in [16, 32, 48, 96] {
            check_tiles(&coefficients, &whole, inside, tile_px, border, name);
        }
        let corner = Rect { x: 16, y: 32, width: 35, height: 20 };
        for tile_px in [16, 32, 64] {
            check_tiles(&coefficients, &whole, corner, tile_px, border, name);
        }
    }
}

#[test]
fn keeping_coefficients_changes_no_row_and_may_stop_early() {
    for name in ["gray", "ycc420", "ycc422", "ycc440", "ycc444", "progressive", "noninterleaved", "restart"] {
        let data = fixture(name);
        let whole = decode_whole(&data);
        let all = coefficients_of(data.clone(), &Limits::default()).expect("coefficients");
        let mut decoder = Decoder::new(data, &Limits::default()).expect("a header");
        decoder.keep_coefficients().expect("coefficients to keep");
        let mut rows = vec![0; 35 * whole.row_bytes()];
        let read = decoder.read_scanlines(&mut rows).expect("rows");
        assert_eq!(read, 35);
        assert_eq!(rows, whole.samples.as_bytes()[..rows.len()], "{name}");
        assert_eq!(decoder.keep_coefficients().expect_err("too late").kind, ErrorKind::Misuse);

        let some = decoder.take_coefficients(0..32, None).expect("coefficients");
        let window = Rect { x: 16, y: 0, width: 48, height: 32 };
        let tile = |coefficients: &Coefficients| {
            let mut stream = coefficients.tables().to_vec();
            coefficients.cut_tile(window, 0, 0, 48, &mut stream).expect("a tile");
            stream
        };
        assert!(tile(&some) == tile(&all), "{name}: another tile");
        // Of rows that were not read yet there is nothing.
        assert_eq!(decoder.take_coefficients(32..96, None).err().expect("not read").kind, ErrorKind::Misuse);
    }
}

#[test]
fn coefficients_taken_piece_by_piece_make_the_same_tiles() {
    for name in ["gray", "ycc420", "ycc422", "ycc440", "ycc444", "progressive", "noninterleaved", "restart"] {
        let data = fixture(name);
        let all = coefficients_of(data.clone(), &Limits::default()).expect("coefficients");
        let tile_px = 32;
        for window in [Rect::of(SIZE), Rect { x: 16, y: 16, width: 35, height: SIZE.height - 16 }] {
            let mut decoder = Decoder::new(data.clone(), &Limits::default()).expect("a header");
            decoder.keep_coefficients().expect("coefficients to keep");
            let mut row = vec![0; SIZE.width as usize * decoder.format().channels()];
            let mut read = 0;
            for tile_row in 0..window.height.div_ceil(tile_px) {
                let rows = window.y + tile_row * tile_px..(window.y + (tile_row + 1) * tile_px).min(SIZE.height);
                while read < rows.end {
                    read += decoder.read_scanlines(&mut row).expect("a row") as u32;
                }
                let some = decoder.take_coefficients(rows.clone(), None).expect("coefficients");
                assert!(some.tables() == all.tables(), "{name}: other tables");
                for column in 0..window.width.div_ceil(tile_px) {
                    let cut = |coefficients: &Coefficients| {
                        let mut stream = Vec::new();
                        coefficients.cut_tile(window, column, tile_row, tile_px, &mut stream).expect("a tile");
                        stream
                    };
                    assert!(cut(&some) == cut(&all), "{name}: tile ({column}, {tile_row}) of {window:?}");
                }
                if tile_row > 0 {
                    let other = some.cut_tile(window, 0, 0, tile_px, &mut Vec::new());
                    assert_eq!(other.expect_err("a tile above").kind, ErrorKind::Misuse);
                }
            }
        }
    }
}

#[test]
fn chroma_at_the_edge_of_the_image_is_that_of_the_source() {
    // The sides are multiples of an MCU, so beyond the edge there is only what the cutter makes up.
    let kind = TileKind::Rgb { half_chroma: true };
    let encoder = TileEncoder::new(kind, 80, 90).expect("an encoder");
    let mut stream = Vec::new();
    encoder.encode(pixels(kind, 80).samples.as_bytes(), 80 * kind.channels(), &mut stream).expect("a tile");
    let data = join(encoder.tables(), &stream);
    let coefficients = coefficients_of(data.clone(), &Limits::default()).expect("coefficients");
    assert_eq!((coefficients.subsampling(), coefficients.mcu()), ((2, 2), Size::new(16, 16)));
    let whole = decode_whole(&data);
    for tile_px in [96, 64, 160] {
        check_tiles(&coefficients, &whole, Rect::of(whole.size()), tile_px, 1, "edge");
    }
}

#[test]
fn nothing_outside_of_the_window_gets_into_a_tile() {
    let format = PixelFormat::new(Color::Gray, false, Depth::U8);
    let streams = [3, 4].map(|seed| {
        let mut image = scene(format, Size::new(64, 64), seed);
        for (y, x) in (0..64).flat_map(|y| (0..64).map(move |x| (y, x))) {
            if x < 40 && y < 24 {
                crate::support::set(&mut image, x, y, 0, x * 5 + y);
            }
        }
        let encoder = TileEncoder::new(TileKind::Gray, 64, 90).expect("an encoder");
        let mut stream = Vec::new();
        encoder.encode(image.samples.as_bytes(), image.row_bytes(), &mut stream).expect("a tile");
        let data = join(encoder.tables(), &stream);
        let coefficients = coefficients_of(data.clone(), &Limits::default()).expect("coefficients");
        let mut tile = Vec::new();
        let window = Rect { x: 8, y: 8, width: 32, height: 16 };
        coefficients.cut_tile(window, 0, 0, 64, &mut tile).expect("a tile");
        decode_whole(&join(coefficients.tables(), &tile))
    });
    assert_same(&streams[0], &streams[1], "tiles of images that differ outside of the window");
}

#[test]
fn tiles_are_cut_by_many_threads_at_once() {
    let coefficients = coefficients_of(fixture("ycc420"), &Limits::default()).expect("coefficients");
    let cut = || {
        let mut all = Vec::new();
        for (column, row) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            coefficients.cut_tile(Rect::of(SIZE), column, row, 48, &mut all).expect("a tile");
        }
        all
    };
    let expected = cut();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(cut() == expected, "other bytes"));
        }
    });
}

#[test]
fn tiles_have_the_tables_of_the_source() {
    // One tile of the size of the source holds the same blocks, so that it is the same stream.
    for kind in [TileKind::Gray, TileKind::Rgb { half_chroma: true }, TileKind::Rgb { half_chroma: false }] {
        let encoder = TileEncoder::new(kind, 256, 90).expect("an encoder");
        let mut standard = Vec::new();
        encoder.encode(pixels(kind, 256).samples.as_bytes(), 256 * kind.channels(), &mut standard).expect("a tile");
        let data = join(encoder.tables(), &standard);
        let coefficients = coefficients_of(data.clone(), &Limits::default()).expect("coefficients");
        let mut tile = Vec::new();
        coefficients.cut_tile(Rect::of(coefficients.size()), 0, 0, 256, &mut tile).expect("a tile");
        assert!(tile == standard, "{kind:?}: another stream");
        assert_same(&decode_whole(&join(coefficients.tables(), &tile)), &decode_whole(&data), "the same pixels");
    }
}

#[test]
fn files_that_cannot_be_taken_over_say_why() {
    for (name, word) in [("cmyk_adobe", "Cmyk"), ("ycck_adobe", "Ycck"), ("rgb", "Rgb"), ("ycc411", "4×1")] {
        let decoder = Decoder::new(fixture(name), &Limits::default()).expect("a header");
        let reason = decoder.coefficient_bytes().expect_err(name);
        assert!(reason.contains(word), "{reason}");
        let error = coefficients_of(fixture(name), &Limits::default()).err().expect("an error");
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.to_string().contains(&reason), "{error}");
    }
    let coefficients = coefficients_of(fixture("ycc420"), &Limits::default()).expect("coefficients");
    let whole = Rect::of(SIZE);
    for (window, column, row, tile_px) in [
        (Rect { x: 8, y: 0, width: 16, height: 16 }, 0, 0, 16),
        (Rect { x: 0, y: 8, width: 16, height: 16 }, 0, 0, 16),
        (Rect { x: 16, y: 0, width: 68, height: 16 }, 0, 0, 16),
        (Rect { x: 0, y: 0, width: 0, height: 16 }, 0, 0, 16),
        (whole, 2, 0, 48),
        (whole, 0, 2, 48),
        (whole, 0, 0, 24),
        (whole, 0, 0, 0),
    ] {
        let error = coefficients.cut_tile(window, column, row, tile_px, &mut Vec::new()).expect_err("an error");
        assert_eq!(error.kind, ErrorKind::Misuse, "{error}");
    }
}
