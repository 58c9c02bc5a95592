//! What the engine needs from an EXIF block: orientation, resolution and the fields that are carried.

use std::collections::BTreeMap;

use ::exif::{Context, In, Reader, Tag, Value};

use super::metadata::{Field, Metadata, Resolution, ResolutionUnit, TEXT_TAGS, is_carried};
use crate::geometry::Orientation;

/// What an EXIF block says. The default is what a file without one says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exif {
    pub orientation: Orientation,
    pub resolution: Option<Resolution>,
    /// As [`Metadata::texts`](super::Metadata::texts).
    pub texts: BTreeMap<u16, Vec<u8>>,
    /// As [`Metadata::exif`](super::Metadata::exif).
    pub exif: BTreeMap<u16, Field>,
    /// As [`Metadata::gps`](super::Metadata::gps).
    pub gps: BTreeMap<u16, Field>,
    /// What was wrong with the block; the other fields hold what could still be read.
    pub warning: Option<String>,
}

/// Reads a TIFF-structured EXIF block, without the `Exif\0\0` that JPEG puts before it.
///
/// Never fails: an unreadable block gives defaults and a warning.
pub fn parse(block: &[u8]) -> Exif {
    let mut warning = None;
    let parsed = Reader::new().continue_on_error(true).read_raw(block.to_vec()).or_else(|error| {
        error.distill_partial_result(|errors| {
            warning = errors.first().map(|first| format!("the EXIF block is damaged ({first})"));
        })
    });
    let fields = match parsed {
        Ok(fields) => fields,
        Err(error) => {
            return Exif { warning: Some(format!("the EXIF block was ignored ({error})")), ..Exif::default() };
        }
    };
    let uint = |tag| fields.get_field(tag, In::PRIMARY).and_then(|field| field.value.get_uint(0));
    let rational = |tag| match &fields.get_field(tag, In::PRIMARY)?.value {
        Value::Rational(values) => values.first().map(|value| value.to_f64()).filter(|v| v.is_finite() && *v > 0.0),
        _ => None,
    };

    let orientation = match uint(Tag::Orientation) {
        None => Orientation::Upright,
        Some(value) => Orientation::from_tag(value).unwrap_or_else(|| {
            // Some cameras write 0 for "not known"; that is no reason to warn.
            if value != 0 {
                warning = Some(format!("EXIF orientation {value} was ignored; it must be 1 to 8"));
            }
            Orientation::Upright
        }),
    };
    let resolution = rational(Tag::XResolution).zip(rational(Tag::YResolution)).map(|(x, y)| {
        let unit = match uint(Tag::ResolutionUnit) {
            Some(1) => ResolutionUnit::None,
            Some(3) => ResolutionUnit::Centimeter,
            // The EXIF default.
            _ => ResolutionUnit::Inch,
        };
        Resolution { x, y, unit }
    });
    let text = |tag| match &fields.get_field(Tag(Context::Tiff, tag), In::PRIMARY)?.value {
        // A copyright may have two parts with a NUL between them.
        Value::Ascii(parts) => Some((tag, parts.join(&0))).filter(|(_, text)| !text.is_empty()),
        _ => None,
    };
    let texts = TEXT_TAGS.into_iter().filter_map(text).collect();
    let directory = |context| -> BTreeMap<u16, Field> {
        let of_it = fields.fields().filter(|field| field.ifd_num == In::PRIMARY && field.tag.context() == context);
        of_it.filter_map(|entry| Some((entry.tag.number(), field(&entry.value)?))).collect()
    };
    let mut exif = directory(Context::Exif);
    exif.retain(|tag, _| is_carried(*tag));
    Exif { orientation, resolution, texts, exif, gps: directory(Context::Gps), warning }
}

impl Exif {
    /// Adds the fields that are carried to `metadata`.
    pub fn give(self, metadata: Metadata) -> Metadata {
        Metadata { texts: self.texts, exif: self.exif, gps: self.gps, ..metadata }
    }
}

fn field(value: &Value) -> Option<Field> {
    fn words<const N: usize>(values: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
        values.flatten().collect()
    }
    let (kind, bytes) = match value {
        Value::Byte(bytes) => (1, bytes.clone()),
        Value::Ascii(parts) => (2, [parts.join(&0), vec![0]].concat()),
        Value::Short(values) => (3, words(values.iter().map(|v| v.to_le_bytes()))),
        Value::Long(values) => (4, words(values.iter().map(|v| v.to_le_bytes()))),
        Value::Rational(values) => (5, words(values.iter().flat_map(|v| [v.num, v.denom]).map(u32::to_le_bytes))),
        Value::SByte(values) => (6, words(values.iter().map(|v| v.to_le_bytes()))),
        Value::Undefined(bytes, _) => (7, bytes.clone()),
        Value::SShort(values) => (8, words(values.iter().map(|v| v.to_le_bytes()))),
        Value::SLong(values) => (9, words(values.iter().map(|v| v.to_le_bytes()))),
        Value::SRational(values) => (10, words(values.iter().flat_map(|v| [v.num, v.denom]).map(i32::to_le_bytes))),
        Value::Float(values) => (11, words(values.iter().map(|v| v.to_le_bytes()))),
        Value::Double(values) => (12, words(values.iter().map(|v| v.to_le_bytes()))),
        Value::Unknown(..) => return None,
    };
    Field::new(kind, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Big-endian block with orientation, 300/1 × 1501/10 and a unit.
    fn block(orientation: u16, unit: u16) -> Vec<u8> {
        let mut out = b"MM\0\x2a\0\0\0\x08".to_vec();
        out.extend(4u16.to_be_bytes());
        let data = 8 + 2 + 4 * 12 + 4;
        for (tag, kind, value) in [
            (0x0112u16, 3u16, u32::from(orientation) << 16),
            (0x011a, 5, data),
            (0x011b, 5, data + 8),
            (0x0128, 3, u32::from(unit) << 16),
        ] {
            out.extend(tag.to_be_bytes());
            out.extend(kind.to_be_bytes());
            out.extend(1u32.to_be_bytes());
            out.extend(value.to_be_bytes());
        }
        out.extend(0u32.to_be_bytes());
        for number in [300u32, 1, 1501, 10] {
            out.extend(number.to_be_bytes());
        }
        out
    }

    #[test]
    fn reads_orientation_and_resolution() {
        for value in 1..=8 {
            let exif = parse(&block(value, 3));
            assert_eq!(Some(exif.orientation), Orientation::from_tag(value.into()));
            assert_eq!(exif.resolution, Some(Resolution { x: 300.0, y: 150.1, unit: ResolutionUnit::Centimeter }));
            assert_eq!(exif.warning, None);
        }
    }

    #[test]
    fn values_out_of_range_give_defaults() {
        let exif = parse(&block(9, 7));
        assert_eq!(exif.orientation, Orientation::Upright);
        assert!(exif.warning.expect("a warning").contains('9'));
        assert_eq!(exif.resolution.expect("still read").unit, ResolutionUnit::Inch);
        assert_eq!(parse(&block(0, 2)).warning, None);
    }

    #[test]
    fn broken_blocks_never_fail() {
        let whole = block(6, 2);
        for end in 0..whole.len() {
            let exif = parse(&whole[..end]);
            assert!(exif.warning.is_some() || exif.orientation == Orientation::Rotate90, "cut at {end}: {exif:?}");
        }
        assert!(parse(b"not EXIF at all").warning.is_some());
    }
}
