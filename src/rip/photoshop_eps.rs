//! The image resources that Photoshop writes into an EPS file (Adobe Photoshop File Formats Specification, "Photoshop
//! EPS files").
//!
//! The comment `%BeginPhotoshop: BYTES` begins a block of image resources as in other formats, in hexadecimal digits
//! behind the `%` of each line, up to `%EndPhotoshop`. The image fills the bounding box, so that its paths are paths on
//! the page as it is drawn.

use std::io::{self, Read};

use super::dsc::SEARCHED_BYTES;
use crate::error::{Error, Result, Stage};

/// Largest block of image resources that is read, as in other formats.
const MAX_RESOURCE_BYTES: u64 = 64 << 20;

/// The image resources of an EPS file; empty where it has none. That they are broken only matters to those who want them.
///
/// # Errors
/// Those of reading.
pub fn image_resources(file: &mut impl Read) -> io::Result<Result<Vec<u8>>> {
    let mut head = Vec::new();
    file.take(SEARCHED_BYTES).read_to_end(&mut head)?;
    let Some((block, bytes)) = begin(&head) else { return Ok(Ok(Vec::new())) };
    Ok(match bytes {
        Some(bytes) if bytes <= MAX_RESOURCE_BYTES => {
            // Two digits for each byte, and room for the beginnings and ends of short lines.
            file.take(4 * bytes).read_to_end(&mut head)?;
            resources(&head[block..], bytes)
        }
        Some(bytes) => Err(Error::limit(
            Stage::Decode,
            format!("the image resources of the EPS file have {bytes} bytes; at most {MAX_RESOURCE_BYTES} are read"),
        )),
        None => Err(malformed("are of unknown length")),
    })
}

fn malformed(what: &str) -> Error {
    Error::malformed(Stage::Decode, format!("the image resources of the EPS file {what}"))
}

fn is_end_of_line(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Where the block of image resources begins, and its length in bytes, which may be no number. A block inside a
/// document that is placed in this one is that document's.
fn begin(head: &[u8]) -> Option<(usize, Option<u64>)> {
    let mut at = 0;
    for line in head.split_inclusive(is_end_of_line) {
        at += line.len();
        if line.starts_with(b"%%BeginDocument") {
            return None;
        }
        if let Some(length) = line.strip_prefix(b"%BeginPhotoshop:") {
            return Some((at, std::str::from_utf8(length).ok().and_then(|length| length.trim().parse().ok())));
        }
    }
    None
}

/// The `bytes` bytes of image resources in the lines of `text`.
fn resources(text: &[u8], bytes: u64) -> Result<Vec<u8>> {
    let mut found = Vec::new();
    for line in text.split(is_end_of_line).filter(|line| !line.is_empty()) {
        let digits = line.strip_prefix(b"%").ok_or_else(|| malformed("are broken off"))?;
        if digits.starts_with(b"EndPhotoshop") {
            break;
        }
        let digits: Vec<u8> = digits.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let (pairs, []) = digits.as_chunks::<2>() else { return Err(malformed("have half a byte in a line")) };
        for pair in pairs {
            let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(|| malformed("are not hexadecimal"));
            found.push((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
        }
        if found.len() as u64 >= bytes {
            break;
        }
    }
    if (found.len() as u64) < bytes {
        return Err(malformed(&format!("are cut off after {} of {bytes} bytes", found.len())));
    }
    found.truncate(bytes as usize);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::clipping_path;

    #[test]
    fn image_resources_are_read_from_their_comments() {
        // A path of one subpath of two knots.
        let record = |words: &[u16]| {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            bytes.resize(26, 0);
            bytes
        };
        let path = [record(&[0, 2]), record(&[1]), record(&[1])].concat();
        let mut block = b"8BIM\x07\xd0\x01A\0\0\0\x4e".to_vec();
        block.extend(path);
        let hexadecimal = |end: &str| -> String {
            let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
            block.chunks(32).map(|bytes| format!("% {}{end}", line(bytes))).collect()
        };
        let file = |length: &str, lines: &str| {
            let text = format!("%!PS-Adobe-3.0 EPSF-3.0\n%BeginPhotoshop: {length}\n{lines}");
            image_resources(&mut text.as_bytes()).unwrap()
        };
        let length = block.len().to_string();
        for end in ["\r", "\n", "\r\n"] {
            let found = file(&length, &format!("{}%EndPhotoshop{end}", hexadecimal(end))).unwrap();
            assert_eq!(found, block);
            let path = clipping_path::find(&found).unwrap().unwrap();
            assert_eq!((path.name.as_str(), path.area.knots()), ("A", 2));
        }
        for (length, lines, word) in [
            (length.as_str(), "%EndPhotoshop\n".to_owned(), "cut off after 0"),
            (&length, hexadecimal("\n")[..100].to_owned(), "half a byte"),
            (&length, hexadecimal("\n")[..99].to_owned(), "cut off"),
            (&length, "% 3842494X\n".to_owned(), "not hexadecimal"),
            (&length, "% 3842494D\nbeginimage\n".to_owned(), "broken off"),
            ("-3", String::new(), "unknown length"),
            ("999999999999", String::new(), "at most"),
        ] {
            let message = file(length, &lines).unwrap_err().message;
            assert!(message.contains(word), "{message}");
        }
        let placed = format!("%!PS\n%%BeginDocument: a.eps\n%BeginPhotoshop: {length}\n{}", hexadecimal("\n"));
        assert!(image_resources(&mut placed.as_bytes()).unwrap().unwrap().is_empty());
    }
}
