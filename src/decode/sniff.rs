//! What a file is, from its first bytes; names and extensions are never asked.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result, Stage};

/// Kind of an original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Jpeg,
    Png,
    Tiff,
    Gif,
    Bmp,
    WebP,
    Pdf,
    /// PostScript and EPS.
    PostScript,
    Illustrator,
    Photoshop,
    InDesign,
    Video,
    Audio,
    IccProfile,
    Unknown,
}

impl Kind {
    pub const ALL: [Kind; 15] = [
        Kind::Jpeg,
        Kind::Png,
        Kind::Tiff,
        Kind::Gif,
        Kind::Bmp,
        Kind::WebP,
        Kind::Pdf,
        Kind::PostScript,
        Kind::Illustrator,
        Kind::Photoshop,
        Kind::InDesign,
        Kind::Video,
        Kind::Audio,
        Kind::IccProfile,
        Kind::Unknown,
    ];

    /// Name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Jpeg => "JPEG",
            Kind::Png => "PNG",
            Kind::Tiff => "TIFF",
            Kind::Gif => "GIF",
            Kind::Bmp => "BMP",
            Kind::WebP => "WebP",
            Kind::Pdf => "PDF",
            Kind::PostScript => "PostScript",
            Kind::Illustrator => "Illustrator",
            Kind::Photoshop => "Photoshop",
            Kind::InDesign => "InDesign",
            Kind::Video => "video",
            Kind::Audio => "audio",
            Kind::IccProfile => "ICC profile",
            Kind::Unknown => "unknown",
        }
    }

    /// Stable identifier for storage; never changes.
    pub const fn id(self) -> &'static str {
        match self {
            Kind::Jpeg => "jpeg",
            Kind::Png => "png",
            Kind::Tiff => "tiff",
            Kind::Gif => "gif",
            Kind::Bmp => "bmp",
            Kind::WebP => "webp",
            Kind::Pdf => "pdf",
            Kind::PostScript => "postscript",
            Kind::Illustrator => "illustrator",
            Kind::Photoshop => "photoshop",
            Kind::InDesign => "indesign",
            Kind::Video => "video",
            Kind::Audio => "audio",
            Kind::IccProfile => "icc_profile",
            Kind::Unknown => "unknown",
        }
    }

    /// The kind with this [`id`](Kind::id).
    pub fn from_id(id: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.id() == id)
    }

    /// Whether [`open`](super::open) has a decoder for it.
    pub const fn is_raster(self) -> bool {
        matches!(self, Kind::Jpeg | Kind::Png | Kind::Tiff | Kind::Gif | Kind::Bmp | Kind::WebP | Kind::Photoshop)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How much of a file [`sniff`] profits from. Illustrator marks its PDFs inside the first objects.
pub const HEAD_BYTES: usize = 64 << 10;

/// The first [`HEAD_BYTES`] of a reader, or all of a shorter one.
///
/// # Errors
/// What the reader reports.
pub fn read_head(reader: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Kind of the file at `path`.
///
/// # Errors
/// `Io` when the file cannot be read.
pub fn sniff_file(path: &Path) -> Result<Kind> {
    let head = File::open(path)
        .and_then(|mut file| read_head(&mut file))
        .map_err(|error| Error::io(Stage::Open, path, error))?;
    Ok(sniff(&head))
}

/// Kind of the file that begins with `head`.
///
/// A PDF that carries Illustrator's private data, and PostScript whose creator is Illustrator, are Illustrator files;
/// what Illustrator exports as EPS stays PostScript. AVIF and HEIC are `Unknown`: they share their container with
/// video but are still images without a decoder here.
pub fn sniff(head: &[u8]) -> Kind {
    const INDESIGN: [u8; 16] =
        [0x06, 0x06, 0xed, 0xf5, 0xd8, 0x1d, 0x46, 0xe5, 0xbd, 0x31, 0xef, 0xe7, 0xfe, 0x74, 0xb7, 0x1d];

    match head {
        [0xff, 0xd8, 0xff, ..] => Kind::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Kind::Png,
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Kind::Tiff,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Kind::Gif,
        [b'R', b'I', b'F', b'F', _, _, _, _, form @ ..] => match form {
            [b'W', b'E', b'B', b'P', ..] => Kind::WebP,
            [b'W', b'A', b'V', b'E', ..] => Kind::Audio,
            [b'A', b'V', b'I', b' ', ..] => Kind::Video,
            _ => Kind::Unknown,
        },
        [b'8', b'B', b'P', b'S', 0, 1 | 2, ..] => Kind::Photoshop,
        [b'%', b'!', b'P', b'S', ..] => postscript(head),
        [0xc5, 0xd0, 0xd3, 0xc6, ..] => Kind::PostScript,
        [b'B', b'M', ..] if is_bmp(head) => Kind::Bmp,
        _ if head.starts_with(&INDESIGN) || is_idml(head) => Kind::InDesign,
        _ if head.get(36..40) == Some(b"acsp") => Kind::IccProfile,
        _ if is_video(head) => Kind::Video,
        _ if is_audio(head) => Kind::Audio,
        // Readers of PDF accept the header anywhere in the first 1024 bytes.
        _ if contains(&head[..head.len().min(1024 + 5)], b"%PDF-") => pdf(head),
        _ => Kind::Unknown,
    }
}

/// What to tell the user about a file whose kind is unknown.
pub(crate) fn describe_unknown(head: &[u8]) -> String {
    if let Some(brand) = iso_brand(head).filter(|brand| is_image_brand(brand)) {
        let brand = String::from_utf8_lossy(brand);
        return format!("is an AVIF or HEIC image (brand {brand}), which this program does not read; convert it first");
    }
    let first = &head[..head.len().min(16)];
    let shown = if first.iter().all(|b| matches!(b, 0x20..0x7f | b'\t' | b'\r' | b'\n')) {
        format!("{:?}", String::from_utf8_lossy(first))
    } else {
        first.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
    };
    format!("is not in a format that this program knows; its first bytes are {shown}")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn pdf(head: &[u8]) -> Kind {
    const MARKS: [&[u8]; 5] = [
        b"/AIPrivateData",
        b"/Illustrator",
        b"CreatorTool>Adobe Illustrator",
        b"/Creator (Adobe Illustrator",
        b"/Creator(Adobe Illustrator",
    ];
    if MARKS.iter().any(|mark| contains(head, mark)) { Kind::Illustrator } else { Kind::Pdf }
}

fn postscript(head: &[u8]) -> Kind {
    let first_line = head.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
    if contains(head, b"%%Creator: Adobe Illustrator") && !contains(first_line, b"EPSF") {
        Kind::Illustrator
    } else {
        Kind::PostScript
    }
}

/// A ZIP archive whose first entry says that it is an InDesign package, as IDML wants it.
fn is_idml(head: &[u8]) -> bool {
    const TYPE: &[u8] = b"mimetypeapplication/vnd.adobe.indesign-idml-package";
    head.starts_with(b"PK\x03\x04") && contains(&head[..head.len().min(256)], TYPE)
}

/// Two letters are too little to go by: the size of the second header must be one that exists.
fn is_bmp(head: &[u8]) -> bool {
    matches!(head.get(14..18), Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// Major brand of an ISO base media file.
fn iso_brand(head: &[u8]) -> Option<&[u8]> {
    (head.get(4..8)? == b"ftyp").then(|| head.get(8..12)).flatten()
}

fn is_image_brand(brand: &[u8]) -> bool {
    matches!(brand, b"avif" | b"avis" | b"heic" | b"heix" | b"heim" | b"heis" | b"mif1" | b"msf1" | b"crx ")
}

fn is_video(head: &[u8]) -> bool {
    const ASF: [u8; 8] = [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11];
    if let Some(brand) = iso_brand(head) {
        return !is_image_brand(brand) && !matches!(brand, b"M4A " | b"M4B " | b"M4P ");
    }
    // QuickTime files may come without a type box.
    matches!(head.get(4..8), Some(b"moov" | b"mdat" | b"wide" | b"pnot"))
        || head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3])
        || head.starts_with(b"FLV\x01")
        || head.starts_with(&ASF)
        || matches!(head, [0, 0, 1, 0xba | 0xb3, ..])
        || is_ogg_video(head)
        // Transport stream: a sync byte every 188 bytes, with four bytes before each in M2TS.
        || [(0, 188), (4, 192)].iter().any(|&(at, step)| (0..3).all(|n| head.get(at + n * step) == Some(&0x47)))
}

/// The first packet of an Ogg stream, behind the page header, says what it holds.
fn is_ogg_video(head: &[u8]) -> bool {
    head.starts_with(b"OggS") && contains(&head[..head.len().min(64)], b"theora")
}

fn is_audio(head: &[u8]) -> bool {
    iso_brand(head).is_some_and(|brand| matches!(brand, b"M4A " | b"M4B " | b"M4P "))
        || head.starts_with(b"ID3")
        || head.starts_with(b"fLaC")
        || head.starts_with(b"OggS")
        || (head.starts_with(b"FORM") && matches!(head.get(8..12), Some(b"AIFF" | b"AIFC")))
        || is_mpeg_audio(head)
}

/// Sync word of MPEG audio layer II or III, or of AAC in ADTS. Layer I is left out: its sync word is also the byte
/// order mark of UTF-16 text.
fn is_mpeg_audio(head: &[u8]) -> bool {
    let [0xff, second, third, ..] = head else { return false };
    match second & 0xf6 {
        0xf0 => (third >> 2) & 15 < 13,
        _ => {
            second & 0xe0 == 0xe0
                && (second >> 3) & 3 != 1
                && matches!((second >> 1) & 3, 1 | 2)
                && !matches!(third >> 4, 0 | 15)
                && (third >> 2) & 3 != 3
        }
    }
}
