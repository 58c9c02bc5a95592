//! Where everything goes: directories, tag data and tiles, planned before the first byte is written.
//!
//! All sizes are known when this runs, so the choice between classic TIFF and BigTIFF is exact.
//!
//! Resolution is physical: level n has X/YResolution × (its width or height) / (full width or height), so that every
//! level has the same size on paper. Without a resolution in the source the tags, which baseline TIFF requires, say
//! "no unit, square pixels".

use std::collections::BTreeMap;

use super::tags::{self, photometric};
use super::{BigTiff, Compression, Layout};
use crate::decode::{Field, Metadata, Resolution, ResolutionUnit};
use crate::geometry::Size;
use crate::pixel::{Color, PixelFormat};

/// Everything the plan depends on.
#[derive(Debug)]
pub struct Contents<'a> {
    pub format: PixelFormat,
    /// Resolved: not `Auto`.
    pub compression: Compression,
    /// Side of the tiles in pixels.
    pub tile: u32,
    pub layout: Layout,
    pub big_tiff: BigTiff,
    pub metadata: &'a Metadata,
    /// Full resolution first.
    pub levels: Vec<LevelContents<'a>>,
}

/// One level as its directory describes it.
#[derive(Debug)]
pub struct LevelContents<'a> {
    pub size: Size,
    /// Compressed sizes of the tiles, row by row.
    pub byte_counts: Vec<u32>,
    /// Present exactly with JPEG compression.
    pub jpeg: Option<&'a JpegLevel>,
}

/// What the JPEG streams of one level share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JpegLevel {
    /// Abbreviated stream that holds only tables (TIFF Technical Note 2).
    pub tables: Vec<u8>,
    /// Sampling factors of luma over chroma, horizontal and vertical; RGB only, which is stored as YCbCr.
    pub subsampling: Option<(u16, u16)>,
}

/// The finished plan.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub big_tiff: bool,
    /// Header, directories and tag data: the file up to the first tile, which is the first of the last level. The
    /// tiles follow without gaps, smallest level first, each level row by row.
    pub head: Vec<u8>,
    /// Size of the whole file.
    pub bytes: u64,
}

/// Plans a file.
pub fn plan(contents: &Contents<'_>) -> Plan {
    let classic = (contents.big_tiff == BigTiff::Auto).then(|| Planner::new(contents, false));
    match classic {
        Some(planner) if planner.end <= u64::from(u32::MAX) => planner.plan(),
        _ => Planner::new(contents, true).plan(),
    }
}

/// Values of one tag.
enum Value<'a> {
    Bytes(&'a [u8]),
    Undefined(&'a [u8]),
    /// Written with a closing NUL.
    Ascii(&'a [u8]),
    Short(Vec<u16>),
    Long(Vec<u32>),
    Rational(Vec<[u32; 2]>),
    /// Offsets of this level's tiles.
    TileOffsets,
    /// Compressed sizes of this level's tiles.
    TileByteCounts,
    /// Offsets of the directories of all lower levels.
    SubIfds,
    /// As it came.
    Field(&'a Field),
    /// Offset of this one of the directories behind those of the levels.
    Directory(usize),
}

/// Sizes and places of everything for one offset width.
struct Planner<'a> {
    contents: &'a Contents<'a>,
    big: bool,
    /// Tags of each level, then of the directories of metadata; ascending.
    directories: Vec<Vec<(u16, Value<'a>)>>,
    directory_at: Vec<u64>,
    /// Where the tag data begins, after the last directory.
    tag_data_at: u64,
    /// First tile of each level.
    tiles_at: Vec<u64>,
    end: u64,
}

impl<'a> Planner<'a> {
    fn new(contents: &'a Contents<'a>, big: bool) -> Self {
        let levels = contents.levels.len();
        let of_metadata = metadata_directories(contents)
            .into_iter()
            .map(|(_, fields)| fields.iter().map(|(tag, field)| (*tag, Value::Field(field))).collect());
        let directories: Vec<_> = (0..levels).map(|level| directory(contents, level)).chain(of_metadata).collect();
        let mut planner = Planner {
            contents,
            big,
            directory_at: Vec::with_capacity(directories.len()),
            directories,
            tag_data_at: 0,
            tiles_at: vec![0; levels],
            end: if big { 16 } else { 8 },
        };
        for index in 0..planner.directories.len() {
            planner.directory_at.push(planner.end);
            let entries = planner.directories[index].len() as u64;
            planner.end += if big { 8 + 20 * entries + 8 } else { 2 + 12 * entries + 4 };
        }
        planner.tag_data_at = planner.end;
        for (index, directory) in planner.directories.iter().enumerate() {
            let outside: u64 = directory.iter().map(|(_, value)| planner.bytes_outside(index, value)).sum();
            planner.end += outside;
        }
        for level in (0..levels).rev() {
            planner.tiles_at[level] = planner.end;
            planner.end += contents.levels[level].byte_counts.iter().map(|&n| u64::from(n)).sum::<u64>();
        }
        planner
    }

    /// Field type and number of values.
    fn shape(&self, level: usize, value: &Value<'_>) -> (u16, u64) {
        let offset = |classic, big| if self.big { big } else { classic };
        match value {
            Value::Bytes(bytes) => (tags::BYTE, bytes.len() as u64),
            Value::Undefined(bytes) => (tags::UNDEFINED, bytes.len() as u64),
            Value::Ascii(text) => (tags::ASCII, text.len() as u64 + 1),
            Value::Short(values) => (tags::SHORT, values.len() as u64),
            Value::Long(values) => (tags::LONG, values.len() as u64),
            Value::Rational(values) => (tags::RATIONAL, values.len() as u64),
            Value::TileOffsets => {
                (offset(tags::LONG, tags::LONG8), self.contents.levels[level].byte_counts.len() as u64)
            }
            Value::TileByteCounts => (tags::LONG, self.contents.levels[level].byte_counts.len() as u64),
            Value::SubIfds => (offset(tags::IFD, tags::IFD8), self.contents.levels.len() as u64 - 1),
            Value::Field(field) => (field.kind(), field.count() as u64),
            Value::Directory(_) => (offset(tags::LONG, tags::LONG8), 1),
        }
    }

    fn bytes(&self, level: usize, value: &Value<'_>) -> u64 {
        let (field_type, count) = self.shape(level, value);
        count * tags::type_bytes(field_type).expect("a known field type")
    }

    /// Bytes of tag data outside the directory, padded so that the next value begins on a word boundary.
    fn bytes_outside(&self, level: usize, value: &Value<'_>) -> u64 {
        let bytes = self.bytes(level, value);
        if bytes <= self.inline_bytes() as u64 { 0 } else { bytes.next_multiple_of(2) }
    }

    fn inline_bytes(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    fn plan(self) -> Plan {
        let mut head = Vec::new();
        let mut tag_data = Vec::new();
        head.extend_from_slice(b"II");
        if self.big {
            // Version, bytes of an offset, reserved.
            [43u16, 8, 0].iter().for_each(|word| head.extend_from_slice(&word.to_le_bytes()));
        } else {
            head.extend_from_slice(&42u16.to_le_bytes());
        }
        self.put_offset(&mut head, self.directory_at[0]);
        for level in 0..self.directories.len() {
            debug_assert_eq!(head.len() as u64, self.directory_at[level]);
            self.put_directory(level, &mut head, &mut tag_data);
        }
        head.append(&mut tag_data);
        Plan { big_tiff: self.big, head, bytes: self.end }
    }

    fn put_directory(&self, level: usize, head: &mut Vec<u8>, tag_data: &mut Vec<u8>) {
        let entries = &self.directories[level];
        debug_assert!(entries.is_sorted_by_key(|(tag, _)| tag), "tags of a directory must ascend");
        if self.big {
            head.extend_from_slice(&(entries.len() as u64).to_le_bytes());
        } else {
            head.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        }
        for (tag, value) in entries {
            let (field_type, count) = self.shape(level, value);
            head.extend_from_slice(&tag.to_le_bytes());
            head.extend_from_slice(&field_type.to_le_bytes());
            self.put_offset(head, count);
            if self.bytes_outside(level, value) == 0 {
                let start = head.len();
                self.put_value(level, value, head);
                head.resize(start + self.inline_bytes(), 0);
            } else {
                self.put_offset(head, self.tag_data_at + tag_data.len() as u64);
                self.put_value(level, value, tag_data);
                tag_data.resize(tag_data.len().next_multiple_of(2), 0);
            }
        }
        let next = match self.contents.layout {
            Layout::Pages if level + 1 < self.contents.levels.len() => self.directory_at[level + 1],
            Layout::Pages | Layout::SubIfd => 0,
        };
        self.put_offset(head, next);
    }

    fn put_value(&self, level: usize, value: &Value<'_>, out: &mut Vec<u8>) {
        match value {
            Value::Bytes(bytes) | Value::Undefined(bytes) => out.extend_from_slice(bytes),
            Value::Ascii(text) => {
                out.extend_from_slice(text);
                out.push(0);
            }
            Value::Short(values) => values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
            Value::Long(values) => values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
            Value::Rational(values) => values.iter().flatten().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
            Value::TileOffsets => {
                let mut offset = self.tiles_at[level];
                for &bytes in &self.contents.levels[level].byte_counts {
                    self.put_offset(out, offset);
                    offset += u64::from(bytes);
                }
            }
            Value::TileByteCounts => {
                let counts = &self.contents.levels[level].byte_counts;
                counts.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
            }
            Value::SubIfds => {
                let lower = &self.directory_at[1..self.contents.levels.len()];
                lower.iter().for_each(|&offset| self.put_offset(out, offset));
            }
            Value::Field(field) => out.extend_from_slice(field.bytes()),
            Value::Directory(index) => self.put_offset(out, self.directory_at[self.contents.levels.len() + index]),
        }
    }

    fn put_offset(&self, out: &mut Vec<u8>, offset: u64) {
        if self.big {
            out.extend_from_slice(&offset.to_le_bytes());
        } else {
            // The planner is used only when the whole file stays below 4 GiB.
            out.extend_from_slice(&(offset as u32).to_le_bytes());
        }
    }
}

/// Directories of metadata that are not empty, and the tags that point to them.
fn metadata_directories<'a>(contents: &'a Contents<'_>) -> Vec<(u16, &'a BTreeMap<u16, Field>)> {
    let Metadata { exif, gps, .. } = contents.metadata;
    let mut directories = vec![(tags::EXIF_DIRECTORY, exif), (tags::GPS_DIRECTORY, gps)];
    directories.retain(|(_, fields)| !fields.is_empty());
    directories
}

/// Tags of one level, ascending.
fn directory<'a>(contents: &'a Contents<'a>, level: usize) -> Vec<(u16, Value<'a>)> {
    let &Contents { format, compression, tile, metadata, .. } = contents;
    let LevelContents { size, jpeg, .. } = contents.levels[level];
    let top = level == 0;
    let short = |value| Value::Short(vec![value]);
    let long = |value| Value::Long(vec![value]);
    let ([x_resolution, y_resolution], unit) = resolution(metadata.resolution, size, contents.levels[0].size);

    let photometric = match (format.color, compression) {
        (Color::Gray, _) => photometric::BLACK_IS_ZERO,
        (Color::Rgb, Compression::Jpeg) => photometric::YCBCR,
        (Color::Rgb, _) => photometric::RGB,
        (Color::Cmyk, _) => photometric::SEPARATED,
        (Color::Lab, _) => unreachable!("refused when the writer is created"),
    };
    let compression_code = tags::compression::code(compression).expect("the writer has resolved the compression");

    let mut fields = vec![
        (tags::NEW_SUBFILE_TYPE, long(u32::from(!top))),
        (tags::IMAGE_WIDTH, long(size.width)),
        (tags::IMAGE_LENGTH, long(size.height)),
        (tags::BITS_PER_SAMPLE, Value::Short(vec![8 * format.depth.bytes() as u16; format.channels()])),
        (tags::COMPRESSION, short(compression_code)),
        (tags::PHOTOMETRIC, short(photometric)),
        (tags::ORIENTATION, short(1)),
        (tags::SAMPLES_PER_PIXEL, short(format.channels() as u16)),
        (tags::X_RESOLUTION, Value::Rational(vec![x_resolution])),
        (tags::Y_RESOLUTION, Value::Rational(vec![y_resolution])),
        (tags::PLANAR_CONFIG, short(1)),
        (tags::RESOLUTION_UNIT, short(unit)),
    ];
    if top {
        fields.push((tags::SOFTWARE, Value::Ascii(concat!("reprise ", env!("CARGO_PKG_VERSION")).as_bytes())));
    }
    if compression.has_predictor() {
        fields.push((tags::PREDICTOR, short(2)));
    }
    fields.extend([
        (tags::TILE_WIDTH, long(tile)),
        (tags::TILE_LENGTH, long(tile)),
        (tags::TILE_OFFSETS, Value::TileOffsets),
        (tags::TILE_BYTE_COUNTS, Value::TileByteCounts),
    ]);
    if top && contents.layout == Layout::SubIfd && contents.levels.len() > 1 {
        fields.push((tags::SUB_IFDS, Value::SubIfds));
    }
    if format.color == Color::Cmyk {
        fields.push((tags::INK_SET, short(1)));
    }
    if format.alpha {
        // 2: unassociated.
        fields.push((tags::EXTRA_SAMPLES, short(2)));
    }
    if let Some(jpeg) = jpeg {
        fields.push((tags::JPEG_TABLES, Value::Undefined(&jpeg.tables)));
        if let Some((horizontal, vertical)) = jpeg.subsampling {
            fields.extend([
                (tags::YCBCR_SUBSAMPLING, Value::Short(vec![horizontal, vertical])),
                // 1: chroma samples lie in the middle of the pixels they cover, as JFIF has it.
                (tags::YCBCR_POSITIONING, short(1)),
                // Full range, as JFIF has it: black and white of Y, zero and maximum of Cb and Cr.
                (
                    tags::REFERENCE_BLACK_WHITE,
                    Value::Rational([0, 255, 128, 255, 128, 255].map(|value| [value, 1]).to_vec()),
                ),
            ]);
        }
    }
    if top {
        let blocks = [(tags::XMP, &metadata.xmp), (tags::IPTC, &metadata.iptc), (tags::ICC, &metadata.icc)];
        for (tag, block) in blocks {
            // An empty tag is invalid TIFF.
            if let Some(block) = block.as_deref().filter(|block| !block.is_empty()) {
                let value = if tag == tags::XMP { Value::Bytes(block) } else { Value::Undefined(block) };
                fields.push((tag, value));
            }
        }
        fields.extend(metadata.texts.iter().map(|(&tag, text)| (tag, Value::Ascii(text))));
        let pointers = metadata_directories(contents).into_iter().enumerate();
        fields.extend(pointers.map(|(index, (tag, _))| (tag, Value::Directory(index))));
        fields.sort_by_key(|(tag, _)| *tag);
    }
    fields
}

/// X and Y resolution of a level of size `level`, and the code of the unit.
fn resolution(source: Option<Resolution>, level: Size, full: Size) -> ([[u32; 2]; 2], u16) {
    let unknown = ([[1, 1], [1, 1]], 1);
    let Some(Resolution { x, y, unit }) = source else { return unknown };
    let ratio = |part, whole| f64::from(part) / f64::from(whole);
    let scaled = (x * ratio(level.width, full.width), y * ratio(level.height, full.height));
    let ((x, y), unit) = match unit {
        ResolutionUnit::None => ((x, y), 1),
        ResolutionUnit::Inch => (scaled, 2),
        ResolutionUnit::Centimeter => (scaled, 3),
    };
    match (rational(x), rational(y)) {
        (Some(x), Some(y)) => ([x, y], unit),
        _ => unknown,
    }
}

/// The fraction with the smallest denominator that is as close to `value` as f64 can tell, or the closest that fits
/// 32 bits: the convergents of its continued fraction. `None` unless `value` is positive and fits.
fn rational(value: f64) -> Option<[u32; 2]> {
    if !(value > 0.0 && value <= f64::from(u32::MAX)) {
        return None;
    }
    let (mut before, mut last) = ([0u64, 1u64], [1u64, 0u64]);
    let mut rest = value;
    loop {
        let whole = rest.floor();
        let next = [0, 1].map(|i| (whole as u64).saturating_mul(last[i]).saturating_add(before[i]));
        if next.iter().any(|&part| part > u64::from(u32::MAX)) {
            break;
        }
        (before, last) = (last, next);
        if (next[0] as f64 / next[1] as f64 - value).abs() <= value * f64::EPSILON || rest == whole {
            break;
        }
        rest = 1.0 / (rest - whole);
    }
    (last[0] > 0).then_some([last[0] as u32, last[1] as u32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::Depth;

    fn contents(metadata: &Metadata) -> Contents<'_> {
        Contents {
            format: PixelFormat::new(Color::Rgb, true, Depth::U8),
            compression: Compression::Deflate,
            tile: 256,
            layout: Layout::Pages,
            big_tiff: BigTiff::Auto,
            metadata,
            levels: vec![
                LevelContents { size: Size::new(300, 200), byte_counts: vec![1001, 999], jpeg: None },
                LevelContents { size: Size::new(150, 100), byte_counts: vec![77], jpeg: None },
            ],
        }
    }

    #[test]
    fn rationals_are_the_ones_people_wrote() {
        for (value, expected) in [
            (300.0, [300, 1]),
            (72.5, [145, 2]),
            (1.0 / 3.0, [1, 3]),
            (118.11, [11811, 100]),
            (37.5 / 8.0, [75, 16]),
            (4294967295.0, [u32::MAX, 1]),
        ] {
            assert_eq!(rational(value), Some(expected), "{value}");
        }
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-12, 5e9] {
            assert_eq!(rational(value), None, "{value}");
        }
        let [n, d] = rational(std::f64::consts::PI * 100.0).unwrap();
        assert!((f64::from(n) / f64::from(d) - std::f64::consts::PI * 100.0).abs() < 1e-12);
    }

    #[test]
    fn every_level_keeps_its_size_on_paper() {
        let dpi = |x, y, unit| Some(Resolution { x, y, unit });
        let (full, level) = (Size::new(301, 100), Size::new(151, 50));
        assert_eq!(resolution(dpi(300.0, 72.0, ResolutionUnit::Inch), full, full), ([[300, 1], [72, 1]], 2));
        assert_eq!(resolution(dpi(301.0, 72.0, ResolutionUnit::Centimeter), level, full), ([[151, 1], [36, 1]], 3));
        assert_eq!(resolution(dpi(2.0, 1.0, ResolutionUnit::None), level, full), ([[2, 1], [1, 1]], 1));
        assert_eq!(resolution(dpi(f64::NAN, 1.0, ResolutionUnit::Inch), full, full), ([[1, 1], [1, 1]], 1));
    }

    #[test]
    fn bigtiff_begins_where_classic_ends() {
        let metadata = Metadata::default();
        let mut contents = contents(&metadata);
        let small = plan(&contents);
        assert!(!small.big_tiff);
        assert_eq!(small.bytes, small.head.len() as u64 + 1001 + 999 + 77);

        let room = u32::MAX - (small.bytes - 1001) as u32;
        contents.levels[0].byte_counts[0] = room;
        let last = plan(&contents);
        assert_eq!((last.big_tiff, last.bytes), (false, u64::from(u32::MAX)));

        contents.levels[0].byte_counts[0] = room + 1;
        let first = plan(&contents);
        assert!(first.big_tiff);
        assert_eq!(&first.head[..8], b"II\x2b\0\x08\0\0\0");
    }
}
