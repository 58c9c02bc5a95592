//! InDesign documents: the previews stored in them are found whatever the file looks like, and nothing else is made up.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reprise::error::ErrorKind;
use reprise::geometry::Size;
use reprise::pixel::{Color, Depth, PixelFormat};
use reprise::rip::Limits;
use reprise::rip::indesign::{Previews, read_previews};

use crate::documents::{assets, decoded, handles, library, mean_difference, pages_of, run, skip};
use crate::originals::{jpeg, save};
use crate::program::reprise;
use crate::support::scene;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/documents").join(name)
}

const RASTERIZE: &str = r#","inDesignOptions":{"process":"Rasterize"}"#;

#[test]
fn previews_of_documents_by_others_are_those_that_exiftool_finds() {
    if Command::new("exiftool").arg("-ver").output().is_err() {
        return skip("exiftool");
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let bytes = |name| std::fs::read(fixture(name)).unwrap();
    // Names say nothing.
    library(folder, &[("book.indd", bytes("four-pages.indd")), ("book.zip", bytes("four-pages.idml"))]);
    assert!(run(folder, &["a|1"], "", &[]).good().contains("nothing was ripped"));
    let done = run(folder, &["a|1", "a|2"], RASTERIZE, &[]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("InDesign pages are not drawn") && done.stderr.contains("px for page 2"),
        "{}",
        done.stderr
    );
    assert!(reprise(folder, &["log", "lib", "j|2"]).good().contains("px for page 2"));

    let found =
        Command::new("exiftool").args(["-b", "-a", "-PageImage"]).arg(fixture("four-pages.indd")).output().unwrap();
    // Both pictures one after the other, with a line's end between them.
    let second = found
        .stdout
        .windows(4)
        .rposition(|w| w[..3] == [0xff, 0xd8, 0xff] && matches!(w[3], 0xe0 | 0xee | 0xdb | 0xed))
        .unwrap();
    for (document, name) in [("a|1", "book"), ("a|2", "book")] {
        let pages = pages_of(folder, document);
        let names: Vec<_> = pages.iter().map(|page| page["name"].as_str().unwrap()).collect();
        assert_eq!(names, [format!("{name}_1"), format!("{name}_2")]);
        for (page, picture) in pages.iter().zip([&found.stdout[..second], &found.stdout[second..]]) {
            let theirs = decoded(&save(folder, "theirs.jpg", picture));
            let ours = reprise::encode::ptiff::read_level(&crate::documents::pyramid(page), 0).unwrap();
            assert_eq!(mean_difference(&ours, &theirs), 0.0, "{document}");
        }
    }
    let before = handles(&assets(folder)).join(" ");
    run(folder, &["a|1", "a|2"], RASTERIZE, &[]);
    assert_eq!(handles(&assets(folder)).join(" "), before);
}

/// A picture of `side` × `side` pixels.
fn picture(side: u32) -> Vec<u8> {
    jpeg(&scene(PixelFormat::new(Color::Rgb, false, Depth::U8), Size::new(side, side), 3), true)
}

/// A packet with these properties.
fn packet(properties: &str) -> String {
    format!(
        "<?xpacket begin='\u{feff}' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>
         <r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><r:Description r:about=''
          xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmlns:g='http://ns.adobe.com/xap/1.0/g/img/'
          xmlns:p='http://ns.adobe.com/xap/1.0/t/pg/'>{properties}</r:Description></r:RDF></x:xmpmeta>
         <?xpacket end='w'?>\n\n"
    )
}

fn item(page: &str, side: u32, image: &str) -> String {
    format!(
        "<r:li r:parseType='Resource'>{page}<g:format>JPEG</g:format><g:width>{side}</g:width>
         <g:height>{side}</g:height><g:image>{image}</g:image></r:li>"
    )
}

fn page(number: i64, side: u32) -> String {
    item(&format!("<p:PageNumber>{number}</p:PageNumber>"), side, &BASE64.encode(picture(side)))
}

fn pages(items: &str) -> String {
    format!("<xmp:PageInfo><r:Seq>{items}</r:Seq></xmp:PageInfo>")
}

/// A database with one object in front of the packet, after the XMP specification, part 3.
fn database(packet: &str, little_endian: bool) -> Vec<u8> {
    let guid = *b"\x06\x06\xed\xf5\xd8\x1d\x46\xe5\xbd\x31\xef\xe7\xfe\x74\xb7\x1d";
    let mut file = vec![0; 4 * 4096];
    // The page in front is out of date and knows of fewer pages.
    for (at, sequence, pages) in [(0, 7u64, 3u32), (4096, 8, 4)] {
        file[at..at + 16].copy_from_slice(&guid);
        file[at + 16..at + 24].copy_from_slice(b"DOCUMENT");
        file[at + 24] = if little_endian { 1 } else { 2 };
        file[at + 264..at + 272].copy_from_slice(&sequence.to_le_bytes());
        file[at + 280..at + 284].copy_from_slice(&pages.to_le_bytes());
    }
    let length = packet.len() as u32;
    let length = if little_endian { length.to_le_bytes() } else { length.to_be_bytes() };
    for stream in [b"something else".to_vec(), [&length, packet.as_bytes()].concat()] {
        let begins = *b"\xde\x39\x39\x79\x51\x88\x4b\x6c\x8e\x63\xee\xf8\xae\xe0\xdd\x38";
        let ends = *b"\xfd\xce\xdb\x70\xf7\x86\x4b\x4f\xa4\xd3\xc7\x28\xb3\x41\x71\x06";
        let rest = [1u32, 2, stream.len() as u32, u32::MAX].map(u32::to_le_bytes).concat();
        for part in [&begins[..], &rest, &stream, &ends, &rest] {
            file.extend(part);
        }
    }
    file.resize(file.len().next_multiple_of(4096), 0);
    file
}

/// A ZIP archive as IDML has it; checksums are left out.
fn archive(packet: Option<&str>) -> Vec<u8> {
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflated.write_all(packet.unwrap_or_default().as_bytes()).unwrap();
    let kind = b"application/vnd.adobe.indesign-idml-package".to_vec();
    let entries = [
        ("mimetype", 0u16, kind.len(), kind),
        ("META-INF/metadata.xml", 8, packet.unwrap_or_default().len(), deflated.finish().unwrap()),
    ];
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let count = if packet.is_some() { 2 } else { 1 };
    for (name, method, length, data) in entries.iter().take(count) {
        let start = file.len() as u32;
        let sizes = [0, data.len() as u32, *length as u32].map(u32::to_le_bytes).concat();
        let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
        let about = [&20u16.to_le_bytes()[..], &[0; 2], &method.to_le_bytes(), &[0; 4], &sizes, &lengths].concat();
        file.extend([b"PK\x03\x04", &about[..], name.as_bytes(), data].concat());
        directory.extend([b"PK\x01\x02\x14\0", &about[..], &[0; 10], &start.to_le_bytes(), name.as_bytes()].concat());
    }
    let place = [directory.len() as u32, file.len() as u32].map(u32::to_le_bytes).concat();
    file.extend(&directory);
    let count = [0, 0, count as u16, count as u16].map(u16::to_le_bytes).concat();
    file.extend([b"PK\x05\x06", &count[..], &place, &[0; 2]].concat());
    file
}

fn read(file: &[u8]) -> reprise::Result<Previews> {
    read_previews(Cursor::new(file), &Limits::default())
}

#[test]
fn every_page_gives_its_largest_preview() {
    let attribute = format!(
        "<r:li><r:Description p:PageNumber='3' g:width='16' g:height='16' g:image='{}'/></r:li>",
        BASE64.encode(picture(16)).replace('A', "&#xA;A")
    );
    let properties = pages(&[page(1, 32), page(2, 16), page(1, 64), page(0, 96), page(-1, 96), attribute].concat())
        + "<p:NPages>12</p:NPages>";
    let packet = packet(&properties);
    let expected = [(1, picture(64)), (2, picture(16)), (3, picture(16))].into();
    for file in [database(&packet, true), database(&packet, false), archive(Some(&packet))] {
        let found = read(&file).unwrap();
        assert_eq!((&found.pages, found.total), (&expected, Some(12)));
    }
    // Old documents have one thumbnail.
    let old = format!("<xmp:Thumbnails><r:Alt>{}</r:Alt></xmp:Thumbnails>", item("", 16, &BASE64.encode(picture(16))));
    let found = read(&archive(Some(&self::packet(&old)))).unwrap();
    assert_eq!((found.pages, found.total), ([(1, picture(16))].into(), None));
}

#[test]
fn without_previews_the_advice_is_to_store_some() {
    let empty = packet("<p:NPages>4</p:NPages>");
    let mut bare = database(&empty, true);
    bare.truncate(4 * 4096);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let files = [database(&empty, true), bare, archive(Some(&empty)), archive(None)];
    for file in &files {
        let error = read(file).unwrap_err();
        assert!(
            error.kind == ErrorKind::Unsupported && error.message.contains("Always Save Preview Images"),
            "{error}"
        );
    }
    library(folder, &[("bare.idml", files[3].clone()), ("good.idml", archive(Some(&packet(&pages(&page(1, 16))))))]);
    let done = run(folder, &["a|1", "a|2"], RASTERIZE, &[]);
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.contains("holds no pictures of its pages") && done.stdout.contains("1 page ripped"),
        "{}",
        done.stderr
    );
}

#[test]
fn broken_documents_are_refused() {
    let packet = packet(&pages(&page(1, 32)));
    let whole = database(&packet, true);
    for cut in [5, 4095, 4096, 8191, 4 * 4096 + 40, whole.len() - 8192] {
        // Cut off inside an object it is broken; in front of all objects there is simply nothing.
        assert!(read(&whole[..cut]).is_err(), "{cut}");
    }
    assert_eq!(read(&whole[..8191]).unwrap_err().kind, ErrorKind::Malformed);
    assert_eq!(read(&whole[..4 * 4096 + 40]).unwrap_err().kind, ErrorKind::Malformed);
    let archive_of = |text: &str| read(&archive(Some(text))).unwrap_err().message;
    assert!(archive_of(&self::packet(&pages(&item("<p:PageNumber>1</p:PageNumber>", 8, "***")))).contains("page 1"));
    assert!(archive_of("<x>").contains("XMP packet"));
    assert!(archive_of(&self::packet(&pages(&page(5_001, 16)))).contains("--max-pages"));
    assert_eq!(read(b"PK\x03\x04 and no more").unwrap_err().kind, ErrorKind::Malformed);
}
