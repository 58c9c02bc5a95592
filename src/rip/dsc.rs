//! What the comments of a PostScript document say of it (Document Structuring Conventions 3.0; `%ImageData` is
//! Photoshop's own), and the header of DOS EPS files (Encapsulated PostScript 3.0, 5.2). Comments are claims: what is
//! taken from them are a resolution within bounds and whether to draw in CMYK.

use crate::decode::{Resolution, ResolutionUnit};

/// How much of a document is searched for comments, at its beginning and at its end. A preview may stand in front of
/// Photoshop's.
pub const SEARCHED_BYTES: u64 = 1 << 20;

/// Pixels per inch of an image that Photoshop saved, from the comments `%ImageData: COLUMNS ROWS …` and
/// `%%BoundingBox: LEFT BOTTOM RIGHT TOP` in the beginning of a document; 1–100 000.
pub fn image_resolution(head: &[u8]) -> Option<Resolution> {
    if !comment(head, "%%Creator:")?.trim_start_matches('(').starts_with("Adobe Photoshop") {
        return None;
    }
    let numbers = |text: &str| -> Vec<f64> { text.split_whitespace().map_while(|word| word.parse().ok()).collect() };
    let image = numbers(comment(head, "%ImageData:")?);
    let bounds = comment(head, "%%HiResBoundingBox:").or_else(|| comment(head, "%%BoundingBox:"))?;
    let (&[columns, rows, ..], &[left, bottom, right, top, ..]) = (&image[..], &numbers(bounds)[..]) else {
        return None;
    };
    let (x, y) = (columns * 72.0 / (right - left), rows * 72.0 / (top - bottom));
    let sound = |dpi: f64| (1.0..=100_000.0).contains(&dpi);
    (sound(x) && sound(y)).then_some(Resolution { x, y, unit: ResolutionUnit::Inch })
}

/// Whether a document says that it is in inks: an image by the fourth number of `%ImageData` (4 is CMYK), others by
/// `%%DocumentProcessColors` with another ink than black in it. `tail` is searched where the comment says `(atend)`.
pub fn is_cmyk(head: &[u8], tail: &[u8]) -> bool {
    if let Some(image) = comment(head, "%ImageData:") {
        return image.split_whitespace().nth(3) == Some("4");
    }
    let named = |inks: &str| inks.split_whitespace().any(|ink| matches!(ink, "Cyan" | "Magenta" | "Yellow"));
    match comment(head, "%%DocumentProcessColors:") {
        Some("(atend)") => last_comment(tail, "%%DocumentProcessColors:").is_some_and(named),
        inks => inks.is_some_and(named),
    }
}

/// Where the PostScript of a DOS EPS file is, offset and length in bytes, from its first 12 bytes; `None` for other
/// files.
pub fn dos_eps(head: &[u8]) -> Option<(u32, u32)> {
    let [0xc5, 0xd0, 0xd3, 0xc6, o0, o1, o2, o3, l0, l1, l2, l3] = *head.first_chunk()? else { return None };
    Some((u32::from_le_bytes([o0, o1, o2, o3]), u32::from_le_bytes([l0, l1, l2, l3])))
}

fn comment<'a>(text: &'a [u8], name: &str) -> Option<&'a str> {
    comments(text, name).next()
}

fn last_comment<'a>(text: &'a [u8], name: &str) -> Option<&'a str> {
    comments(text, name).last()
}

/// The values of the comments called `name`. Lines end as on any system.
fn comments<'a>(text: &'a [u8], name: &str) -> impl Iterator<Item = &'a str> {
    let lines = text.split(|byte| matches!(byte, b'\r' | b'\n'));
    lines.filter_map(move |line| std::str::from_utf8(line.strip_prefix(name.as_bytes())?).ok().map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photoshop_says_how_large_its_image_is() {
        let eps = |creator: &str, data: &str, bounds: &str| {
            let text =
                format!("%!PS-Adobe-3.0 EPSF-3.0\r%%Creator: {creator}\r{bounds}\r%%EndComments\r{data}\rbeginimage");
            image_resolution(text.as_bytes()).map(|resolution| (resolution.x, resolution.y))
        };
        let (photoshop, data) = ("Adobe Photoshop Version 21.0", "%ImageData: 600 300 8 3 1 600 2 \"beginimage\"");
        assert_eq!(eps(photoshop, data, "%%BoundingBox: 0 0 144 72"), Some((300.0, 300.0)));
        assert_eq!(
            eps(photoshop, data, "%%BoundingBox: 0 0 145 72\r%%HiResBoundingBox: 0 0 144.0 36.0"),
            Some((300.0, 600.0))
        );
        assert_eq!(eps("Someone", data, "%%BoundingBox: 0 0 144 72"), None);
        assert_eq!(eps(photoshop, "", "%%BoundingBox: 0 0 144 72"), None);
        assert_eq!(eps(photoshop, data, "%%BoundingBox: 0 0 0 72"), None);
        assert_eq!(eps(photoshop, data, "%%BoundingBox: (atend)"), None);
        assert_eq!(eps(photoshop, "%ImageData: 1e300 1 8", "%%BoundingBox: 0 0 1 1"), None);
    }

    #[test]
    fn inks_are_named_in_the_head_or_at_the_end() {
        let of = |head: &str, tail: &str| is_cmyk(head.as_bytes(), tail.as_bytes());
        assert!(of("%!PS\n%%DocumentProcessColors: Cyan Magenta Yellow Black\n", ""));
        assert!(of("%!PS\r%%DocumentProcessColors:  Magenta\r", ""));
        assert!(!of("%!PS\n%%DocumentProcessColors: Black\n", ""));
        assert!(!of("%!PS\n", "%%DocumentProcessColors: Cyan\n"));
        let end = "%%DocumentProcessColors: Black\nshowpage\n%%Trailer\n%%DocumentProcessColors: Cyan Black\n%%EOF\n";
        assert!(of("%!PS\n%%DocumentProcessColors: (atend)\n", end));
        assert!(of("%ImageData: 60 30 8 4 1 60 2\n", "") && !of("%ImageData: 60 30 8 3 1 60 2\n", ""));
    }
}
