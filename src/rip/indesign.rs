//! Pictures of pages that InDesign stored in its documents. Nothing but InDesign draws the pages themselves.
//!
//! They stand in the XMP packet: `xmp:PageInfo` holds one for each of the first pages where InDesign was told to save
//! them, older documents have one of the first page in `xmp:Thumbnails`. An INDD file keeps the packet behind its
//! database pages (XMP specification, part 3, 2020, 1.1.5), an IDML file, which is a ZIP archive, in
//! `META-INF/metadata.xml`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::DeflateDecoder;
use roxmltree::{Document, Node, ParsingOptions};

use super::Limits;
use crate::error::{Error, Result, Stage};

/// Longest XMP packet.
const MAX_PACKET_BYTES: u64 = 256 << 20;
/// More nodes than any packet has.
const MAX_NODES: u32 = 5_000_000;
/// Most objects that are looked through for the packet.
const MAX_OBJECTS: u32 = 100_000;

const DATABASE_PAGE_BYTES: u64 = 4096;
const DATABASE: [u8; 16] =
    [0x06, 0x06, 0xed, 0xf5, 0xd8, 0x1d, 0x46, 0xe5, 0xbd, 0x31, 0xef, 0xe7, 0xfe, 0x74, 0xb7, 0x1d];
const OBJECT_BEGINS: [u8; 16] =
    [0xde, 0x39, 0x39, 0x79, 0x51, 0x88, 0x4b, 0x6c, 0x8e, 0x63, 0xee, 0xf8, 0xae, 0xe0, 0xdd, 0x38];
/// Both the header and the trailer of an object.
const MARKER_BYTES: u64 = 32;

const XMP: &str = "http://ns.adobe.com/xap/1.0/";
const XMP_IMAGE: &str = "http://ns.adobe.com/xap/1.0/g/img/";
const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const XMP_PAGES: &str = "http://ns.adobe.com/xap/1.0/t/pg/";

/// The pictures in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previews {
    /// By the number of the page, from 1: an image file each.
    pub pages: BTreeMap<u32, Vec<u8>>,
    /// How many pages the document has, where it says so.
    pub total: Option<u32>,
}

/// Reads the pictures in the INDD or IDML file at `path`: of every page the largest one.
///
/// # Errors
/// `Unsupported` when there are none, saying what to do; `Malformed` for a file that breaks its format, `Limit` for a
/// packet or a number of pages over the limits, `Io` when it cannot be read.
pub fn previews(path: &Path, limits: &Limits) -> Result<Previews> {
    let file = File::open(path).map_err(|e| Error::io(Stage::Open, path, e))?;
    read_previews(BufReader::new(file), limits)
}

/// The same from any reader.
///
/// # Errors
/// As [`previews`].
pub fn read_previews(mut file: impl Read + Seek, limits: &Limits) -> Result<Previews> {
    let mut head = [0; 16];
    let is_database = file.read_exact(&mut head).is_ok() && head == DATABASE;
    file.rewind().map_err(unreadable)?;
    let packet = if is_database { database_packet(&mut file)? } else { archive_packet(file)? };
    let previews = match &packet {
        Some(packet) => parse(packet)?,
        None => Previews { pages: BTreeMap::new(), total: None },
    };
    match previews.pages.last_key_value() {
        None => Err(Error::unsupported(
            Stage::Decode,
            "the document holds no pictures of its pages, and only InDesign draws them: save it with Preferences, File \
             Handling, Always Save Preview Images with Documents, or export it as PDF",
        )),
        Some((last, _)) => limits.check_pages(*last).map(|()| previews),
    }
}

/// The packet behind the pages of a database.
fn database_packet(file: &mut (impl Read + Seek)) -> Result<Option<Vec<u8>>> {
    let mut masters = [[0; DATABASE_PAGE_BYTES as usize]; 2];
    for master in &mut masters {
        file.read_exact(master).map_err(unreadable)?;
    }
    let sequence = |page: &[u8]| u64::from_le_bytes(bytes(page, 264));
    // The one with the higher number is the one in force.
    let [first, second] = &masters;
    let valid = second.starts_with(&DATABASE) && sequence(second) > sequence(first);
    let master = if valid { second } else { first };
    let little_endian = master[24] != 2;
    let pages = u32::from_le_bytes(bytes(master, 280));
    file.seek(SeekFrom::Start(u64::from(pages) * DATABASE_PAGE_BYTES)).map_err(unreadable)?;
    for _ in 0..MAX_OBJECTS {
        let mut header = [0; MARKER_BYTES as usize];
        match file.read_exact(&mut header) {
            // Behind the last object the file ends, or is filled up.
            Ok(()) if header.starts_with(&OBJECT_BEGINS) => {}
            Ok(()) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        }
        let length = u64::from(u32::from_le_bytes(bytes(&header, 24)));
        let mut stream = Vec::new();
        if length > 4 {
            let mut begin = [0; 4];
            file.read_exact(&mut begin).map_err(unreadable)?;
            let said = u64::from(if little_endian { u32::from_le_bytes(begin) } else { u32::from_be_bytes(begin) });
            const MARK: &[u8] = b"<?xpacket begin=";
            file.by_ref().take((length - 4).min(MARK.len() as u64)).read_to_end(&mut stream).map_err(unreadable)?;
            if stream == MARK {
                let left = said.min(length - 4).saturating_sub(MARK.len() as u64);
                return read_packet(file, left, stream).map(Some);
            }
        }
        let read = if length > 4 { 4 + stream.len() as u64 } else { 0 };
        file.seek_relative((length - read) as i64).map_err(unreadable)?;
        // The trailer; that it is there shows that the file goes on to here.
        file.read_exact(&mut header).map_err(unreadable)?;
    }
    Err(Error::limit(Stage::Decode, format!("the document has more than {MAX_OBJECTS} objects behind its pages")))
}

/// The packet in an archive. Only what IDML uses of ZIP is read (APPNOTE 6.3, 4.3): one disk, sizes below 4 GiB, entries
/// that are stored or deflated.
fn archive_packet(mut file: impl Read + Seek) -> Result<Option<Vec<u8>>> {
    const NAME: &[u8] = b"META-INF/metadata.xml";
    let malformed = |why: &str| Error::malformed(Stage::Open, format!("the IDML archive cannot be read: {why}"));
    // The end record, with a comment of up to 65 535 bytes behind it.
    let length = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
    file.seek(SeekFrom::Start(length.saturating_sub(22 + 65_535))).map_err(unreadable)?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).map_err(unreadable)?;
    let end = tail.windows(22).rposition(|window| window.starts_with(b"PK\x05\x06"));
    let end = end.ok_or_else(|| malformed("its directory is missing, so it is truncated"))?;
    let entries = u16::from_le_bytes(bytes(&tail, end + 10));
    let directory = u32::from_le_bytes(bytes(&tail, end + 16));
    file.seek(SeekFrom::Start(directory.into())).map_err(unreadable)?;
    for _ in 0..entries {
        let mut entry = [0; 46];
        file.read_exact(&mut entry).map_err(unreadable)?;
        if !entry.starts_with(b"PK\x01\x02") {
            return Err(malformed("its directory is damaged"));
        }
        let short = |at| u16::from_le_bytes(bytes(&entry, at));
        let long = |at| u64::from(u32::from_le_bytes(bytes(&entry, at)));
        let mut name = vec![0; short(28).into()];
        file.read_exact(&mut name).map_err(unreadable)?;
        if name != NAME {
            file.seek_relative(i64::from(short(30)) + i64::from(short(32))).map_err(unreadable)?;
            continue;
        }
        let (method, packed, unpacked) = (short(10), long(20), long(24));
        // The entry has a header of its own, with fields of other lengths.
        file.seek(SeekFrom::Start(long(42))).map_err(unreadable)?;
        let mut header = [0; 30];
        file.read_exact(&mut header).map_err(unreadable)?;
        let skip =
            i64::from(u16::from_le_bytes(bytes(&header, 26))) + i64::from(u16::from_le_bytes(bytes(&header, 28)));
        file.seek_relative(skip).map_err(unreadable)?;
        return match method {
            0 => read_packet(&mut file, unpacked, Vec::new()).map(Some),
            8 => read_packet(&mut DeflateDecoder::new(file.take(packed)), unpacked, Vec::new()).map(Some),
            other => Err(malformed(&format!("compression {other} is not that of IDML"))),
        };
    }
    Ok(None)
}

/// `start`, and the next `length` bytes.
fn read_packet(file: &mut impl Read, length: u64, mut start: Vec<u8>) -> Result<Vec<u8>> {
    if length > MAX_PACKET_BYTES {
        let message = format!("the XMP packet has {length} bytes; at most {MAX_PACKET_BYTES} are read");
        return Err(Error::limit(Stage::Decode, message));
    }
    file.take(length).read_to_end(&mut start).map_err(unreadable)?;
    Ok(start)
}

fn unreadable(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Error::malformed(Stage::Open, "the InDesign document is truncated").caused_by(error);
    }
    Error::malformed(Stage::Open, format!("the InDesign document cannot be read: {error}")).caused_by(error)
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&from[at..at + N]);
    bytes
}

fn parse(packet: &[u8]) -> Result<Previews> {
    let malformed = |why: String| Error::malformed(Stage::Decode, format!("the XMP packet of the document: {why}"));
    let text = std::str::from_utf8(packet).map_err(|e| malformed(e.to_string()))?;
    // Packets are filled up with white space, and sometimes with zeros.
    let text = text.trim_matches(|c: char| c == '\0' || c == '\u{feff}' || c.is_whitespace());
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|e| malformed(e.to_string()))?;
    let items = |list: &'static str| {
        let lists = document.descendants().filter(move |node| node.has_tag_name((XMP, list)));
        lists.flat_map(|list| list.descendants()).filter(|node| node.has_tag_name((RDF, "li")))
    };
    let of_pages = items("PageInfo").filter_map(|item| Some((number(item, XMP_PAGES, "PageNumber")?, item)));
    let mut largest = largest_of(of_pages);
    if largest.is_empty() {
        largest = largest_of(items("Thumbnails").map(|item| (1, item)));
    }
    let mut pages = BTreeMap::new();
    for (page, (_, picture)) in largest {
        let plain: String = picture.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let image = BASE64.decode(plain).map_err(|e| malformed(format!("the picture of page {page}: {e}")))?;
        pages.insert(page, image);
    }
    Ok(Previews { pages, total: number(document.root(), XMP_PAGES, "NPages") })
}

/// Of every page the picture of the largest area, in base64.
fn largest_of<'a, 'i: 'a>(items: impl Iterator<Item = (u32, Node<'a, 'i>)>) -> BTreeMap<u32, (u64, &'a str)> {
    let mut largest = BTreeMap::new();
    for (page, item) in items.filter(|(page, _)| *page > 0) {
        let side = |name| u64::from(number(item, XMP_IMAGE, name).unwrap_or(0));
        let area = side("width") * side("height");
        let Some(picture) = value(item, XMP_IMAGE, "image") else { continue };
        let known: &mut (u64, &str) = largest.entry(page).or_insert((area, picture));
        if area > known.0 {
            *known = (area, picture);
        }
    }
    largest
}

fn number(within: Node<'_, '_>, namespace: &str, name: &str) -> Option<u32> {
    value(within, namespace, name)?.trim().parse().ok()
}

/// The first property of this name in or below a node: RDF has them as elements or as attributes.
fn value<'a>(within: Node<'a, '_>, namespace: &str, name: &str) -> Option<&'a str> {
    within.descendants().find_map(|node| {
        if node.has_tag_name((namespace, name)) { node.text() } else { node.attribute((namespace, name)) }
    })
}
