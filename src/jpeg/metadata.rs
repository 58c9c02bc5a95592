//! Metadata that a JPEG spreads over its application segments, put together.

use super::header::Header;
use crate::limits::Limits;

/// Metadata blocks of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocks {
    /// TIFF-structured EXIF block (APP1).
    pub exif: Option<Vec<u8>>,
    /// XMP packet (APP1), with extended XMP merged into it.
    pub xmp: Option<Vec<u8>>,
    /// ICC profile (APP2), complete and of the length that it states.
    pub icc: Option<Vec<u8>>,
    /// Photoshop image resource blocks (APP13).
    pub photoshop: Option<Vec<u8>>,
    /// What was left out and why.
    pub warnings: Vec<String>,
}

pub(super) fn blocks(header: &Header, data: &[u8], limits: &Limits) -> Blocks {
    let mut blocks = Blocks::default();
    let mut warnings = Vec::new();
    // The second padding byte is not always zero.
    let exif = header.segments(data, 1, b"Exif\0").find_map(|body| body.get(1..));
    blocks.exif = whole(exif, limits).unwrap_or_else(|reason| {
        warnings.push(format!("the EXIF block was left out: {reason}"));
        None
    });
    blocks.icc = icc(header, data, limits).unwrap_or_else(|reason| {
        warnings.push(format!("the ICC profile was left out: {reason}"));
        None
    });
    blocks.photoshop = photoshop(header, data, limits).unwrap_or_else(|reason| {
        warnings.push(format!("the Photoshop resources were left out: {reason}"));
        None
    });
    let xmp = header.segments(data, 1, b"http://ns.adobe.com/xap/1.0/\0").next();
    blocks.xmp = whole(xmp, limits).unwrap_or_else(|reason| {
        warnings.push(format!("the XMP was left out: {reason}"));
        None
    });
    if let Some(packet) = &mut blocks.xmp {
        match extended_xmp(header, data, limits, packet) {
            Ok(None) => {}
            Ok(Some(merged)) => *packet = merged,
            Err(reason) => warnings.push(format!("the extended part of the XMP was left out: {reason}")),
        }
    }
    blocks.warnings = warnings;
    blocks
}

fn check_length(bytes: usize, limits: &Limits) -> Result<(), String> {
    if bytes as u64 > limits.max_metadata_bytes {
        return Err(format!("its {bytes} bytes are over the limit of {}", limits.max_metadata_bytes));
    }
    Ok(())
}

/// A block of one segment.
fn whole(block: Option<&[u8]>, limits: &Limits) -> Result<Option<Vec<u8>>, String> {
    block.map(|block| check_length(block.len(), limits).map(|()| block.to_vec())).transpose()
}

fn photoshop(header: &Header, data: &[u8], limits: &Limits) -> Result<Option<Vec<u8>>, String> {
    let parts: Vec<_> = header.segments(data, 13, b"Photoshop 3.0\0").collect();
    check_length(parts.iter().map(|part| part.len()).sum(), limits)?;
    Ok((!parts.is_empty()).then(|| parts.concat()))
}

/// ICC.1:2022, annex B.4: chunks numbered from 1, in any order.
fn icc(header: &Header, data: &[u8], limits: &Limits) -> Result<Option<Vec<u8>>, String> {
    let mut chunks: Vec<(u8, u8, &[u8])> = header
        .segments(data, 2, b"ICC_PROFILE\0")
        .map(|chunk| match chunk {
            [number, count, bytes @ ..] => Ok((*number, *count, bytes)),
            _ => Err("a chunk is too short".to_string()),
        })
        .collect::<Result<_, _>>()?;
    if chunks.is_empty() {
        return Ok(None);
    }
    chunks.sort_by_key(|(number, ..)| *number);
    let complete = chunks
        .iter()
        .enumerate()
        .all(|(i, (n, count, _))| usize::from(*n) == i + 1 && usize::from(*count) == chunks.len());
    if !complete {
        return Err("its chunks are not numbered from 1 to their count".to_string());
    }
    check_length(chunks.iter().map(|(.., bytes)| bytes.len()).sum(), limits)?;
    let mut profile = chunks.iter().map(|(.., bytes)| *bytes).collect::<Vec<_>>().concat();
    // ICC.1:2022, 7.2: size at 0, signature at 36; the header is 128 bytes.
    let stated = profile.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize);
    if stated < 128 || stated > profile.len() || &profile[36..40] != b"acsp" {
        return Err("it is not an ICC profile of the length that it states".to_string());
    }
    profile.truncate(stated);
    Ok(Some(profile))
}

/// XMP Specification Part 3, 1.1.3.1: the standard packet names the GUID of the extension, whose portions carry
/// GUID, full length and offset.
fn extended_xmp(header: &Header, data: &[u8], limits: &Limits, packet: &[u8]) -> Result<Option<Vec<u8>>, String> {
    const PROPERTY: &str = "xmpNote:HasExtendedXMP";
    let mut portions = header.segments(data, 1, b"http://ns.adobe.com/xmp/extension/\0").peekable();
    if portions.peek().is_none() {
        return Ok(None);
    }
    let packet = std::str::from_utf8(packet).map_err(|_| "the packet is not UTF-8")?;
    let mut assembled: Option<Vec<u8>> = None;
    let mut filled = 0;
    for portion in portions {
        let Some((guid, rest)) = portion.split_at_checked(32) else { continue };
        // Portions of another GUID are left over from an older version of the metadata.
        if !std::str::from_utf8(guid).is_ok_and(|guid| packet.contains(guid)) {
            continue;
        }
        let (Some(&length), Some(&offset)) = (rest.first_chunk(), rest.get(4..).and_then(<[u8]>::first_chunk)) else {
            return Err("a portion is too short".to_string());
        };
        let (length, offset) = (u32::from_be_bytes(length) as usize, u32::from_be_bytes(offset) as usize);
        let bytes = &rest[8..];
        check_length(length, limits)?;
        // A file can only fill what it holds, so it cannot ask for more.
        if length > data.len() {
            return Err("portions are missing".to_string());
        }
        let whole = assembled.get_or_insert_with(|| vec![0; length]);
        if whole.len() != length || filled != offset {
            return Err("its portions do not fit together".to_string());
        }
        whole.get_mut(offset..offset + bytes.len()).ok_or("a portion is too long")?.copy_from_slice(bytes);
        filled += bytes.len();
    }
    let Some(whole) = assembled else { return Err(format!("no portion has the GUID of {PROPERTY}")) };
    if filled != whole.len() {
        return Err("portions are missing".to_string());
    }
    let whole = std::str::from_utf8(&whole).map_err(|_| "it is not UTF-8")?;
    let descriptions = descriptions(whole)?;
    let end = packet.rfind("</rdf:RDF>").ok_or("the packet has no rdf:RDF element")?;
    let mut merged = String::with_capacity(packet.len() + descriptions.len());
    merged.push_str(&without_attribute(&packet[..end], PROPERTY));
    merged.push_str(descriptions);
    merged.push_str(&packet[end..]);
    Ok(Some(merged.into_bytes()))
}

/// What stands inside the `rdf:RDF` element, provided that it needs no namespace from the elements around it.
fn descriptions(xmp: &str) -> Result<&str, &'static str> {
    const SHAPE: &str = "it has no rdf:RDF element";
    let open = xmp.find("<rdf:RDF").ok_or(SHAPE)?;
    let start = open + xmp[open..].find('>').ok_or(SHAPE)? + 1;
    let end = xmp.rfind("</rdf:RDF>").filter(|end| *end >= start).ok_or(SHAPE)?;
    let around = xmp[..start].match_indices("xmlns:").filter(|(at, _)| {
        let name = &xmp[at + "xmlns:".len()..start];
        !name.starts_with("rdf=") && !name.starts_with("x=")
    });
    if around.count() > 0 {
        return Err("its namespaces are declared outside of its descriptions");
    }
    Ok(&xmp[start..end])
}

/// Removes `name="…"`, or leaves the text as it is.
fn without_attribute(text: &str, name: &str) -> String {
    let cut = || {
        let start = text.find(name)?;
        let rest = text[start + name.len()..].strip_prefix('=')?;
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let length = rest[1..].find(quote)? + 2;
        Some(format!("{}{}", &text[..start], &rest[length..]))
    };
    cut().unwrap_or_else(|| text.to_string())
}
