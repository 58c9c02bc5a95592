//! TIFF and BigTIFF headers, directories and tag values, every size checked against the file before it is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use crate::decode::io_error;
use crate::decode::metadata::Field;
use crate::error::{Error, Result, Stage};
use crate::read_at::RangeReader;

/// Tags that the decoder reads.
pub(super) mod tag {
    pub const NEW_SUBFILE_TYPE: u16 = 254;
    pub const SUBFILE_TYPE: u16 = 255;
    pub const WIDTH: u16 = 256;
    pub const LENGTH: u16 = 257;
    pub const BITS_PER_SAMPLE: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const ORIENTATION: u16 = 274;
    pub const SAMPLES_PER_PIXEL: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_BYTE_COUNTS: u16 = 279;
    pub const X_RESOLUTION: u16 = 282;
    pub const Y_RESOLUTION: u16 = 283;
    pub const PLANAR: u16 = 284;
    pub const T4_OPTIONS: u16 = 292;
    pub const RESOLUTION_UNIT: u16 = 296;
    pub const PREDICTOR: u16 = 317;
    pub const COLOR_MAP: u16 = 320;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_LENGTH: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_BYTE_COUNTS: u16 = 325;
    pub const INK_SET: u16 = 332;
    pub const EXTRA_SAMPLES: u16 = 338;
    pub const SAMPLE_FORMAT: u16 = 339;
    pub const JPEG_TABLES: u16 = 347;
    pub const XMP: u16 = 700;
    pub const IPTC: u16 = 33723;
    pub const PHOTOSHOP: u16 = 34377;
    pub const EXIF_DIRECTORY: u16 = 34665;
    pub const ICC: u16 = 34675;
    pub const GPS_DIRECTORY: u16 = 34853;
}

/// Type and place of a tag's values.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    field_type: u16,
    count: u64,
    offset: u64,
}

impl Entry {
    fn value_bytes(self) -> Option<u64> {
        match self.field_type {
            1 | 2 | 6 | 7 => Some(1),
            3 | 8 => Some(2),
            4 | 9 | 11 | 13 => Some(4),
            5 | 10 | 12 | 16 | 17 | 18 => Some(8),
            _ => None,
        }
    }

    pub(super) fn is_text(self) -> bool {
        self.field_type == 2
    }

    /// Bytes of all values; 0 for a type that does not exist.
    pub(super) fn bytes(self) -> u64 {
        self.value_bytes().unwrap_or(0).saturating_mul(self.count)
    }
}

/// One image file directory: its tags, and where the next one is (0 = nowhere).
pub(super) struct Directory {
    entries: BTreeMap<u16, Entry>,
    pub(super) next: u64,
}

impl Directory {
    pub(super) fn entries(&self) -> impl Iterator<Item = (u16, Entry)> {
        self.entries.iter().map(|(tag, entry)| (*tag, *entry))
    }

    pub(super) fn entry(&self, tag: u16) -> Option<Entry> {
        self.entries.get(&tag).copied()
    }
}

/// The container: byte order, offset size and positioned reads.
pub(super) struct Container {
    pub(super) file: Arc<File>,
    pub(super) bytes: u64,
    pub(super) big_endian: bool,
    big: bool,
    pub(super) first_directory: u64,
}

impl Container {
    pub(super) fn open(file: File) -> Result<Container> {
        let bytes = file.metadata().map_err(|e| io_error(e, Stage::Open, "the file"))?.len();
        let mut container =
            Container { file: Arc::new(file), bytes, big_endian: false, big: false, first_directory: 0 };
        let header = container.read(0, 8, "the TIFF header")?;
        container.big_endian = header[0] == b'M';
        container.big = container.number(&header[2..4]) == 43;
        container.first_directory = if container.big {
            let rest = container.read(4, 12, "the BigTIFF header")?;
            if container.number(&rest[..2]) != 8 {
                return Err(Error::malformed(Stage::Open, "the BigTIFF header does not say that offsets have 8 bytes"));
            }
            container.number(&rest[4..])
        } else {
            container.number(&header[4..8])
        };
        Ok(container)
    }

    pub(super) fn directory(&self, offset: u64) -> Result<Directory> {
        const WHAT: &str = "a TIFF directory";
        let (count_bytes, entry_bytes, offset_bytes) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(&self.read(offset, count_bytes, WHAT)?);
        let table = count.saturating_mul(entry_bytes).saturating_add(offset_bytes);
        let start = offset + count_bytes;
        let table = self.read(start, table, WHAT)?;
        let (table, next) = table.split_at(table.len() - offset_bytes as usize);
        let mut entries = BTreeMap::new();
        for (index, bytes) in table.chunks_exact(entry_bytes as usize).enumerate() {
            let value_at = (entry_bytes - offset_bytes) as usize;
            let mut entry = Entry {
                field_type: self.number(&bytes[2..4]) as u16,
                count: self.number(&bytes[4..value_at]),
                offset: self.number(&bytes[value_at..]),
            };
            if entry.bytes() <= offset_bytes {
                entry.offset = start + index as u64 * entry_bytes + value_at as u64;
            }
            entries.entry(self.number(&bytes[..2]) as u16).or_insert(entry);
        }
        Ok(Directory { entries, next: self.number(next) })
    }

    /// The values of a tag as they stand in the file, whatever their type.
    pub(super) fn raw(&self, entry: Entry, tag: u16) -> Result<Vec<u8>> {
        self.read(entry.offset, entry.bytes(), &format!("TIFF tag {tag}"))
    }

    /// The same as a field to be carried; `None` for a type that EXIF lacks.
    pub(super) fn field(&self, entry: Entry, tag: u16) -> Result<Option<Field>> {
        let Some(word_bytes) = Field::word_bytes(entry.field_type) else { return Ok(None) };
        let mut bytes = self.raw(entry, tag)?;
        if self.big_endian {
            bytes.chunks_exact_mut(word_bytes).for_each(<[u8]>::reverse);
        }
        Ok(Field::new(entry.field_type, bytes))
    }

    /// All values of an integer tag.
    pub(super) fn unsigned(&self, directory: &Directory, tag: u16) -> Result<Option<Vec<u64>>> {
        let Some(entry) = directory.entry(tag) else { return Ok(None) };
        let size = match entry.field_type {
            1 | 3 | 4 | 7 | 13 | 16 | 18 => entry.value_bytes().unwrap_or(1) as usize,
            other => {
                return Err(Error::malformed(
                    Stage::Open,
                    format!("TIFF tag {tag} has type {other}, not an integer one"),
                ));
            }
        };
        let raw = self.raw(entry, tag)?;
        Ok(Some(raw.chunks_exact(size).map(|value| self.number(value)).collect()))
    }

    /// The first value of an integer tag; an empty one counts as absent.
    pub(super) fn first(&self, directory: &Directory, tag: u16) -> Result<Option<u64>> {
        // Only the first value is read, however many a hostile count claims.
        let Some(entry) = directory.entry(tag).filter(|entry| entry.count > 0) else { return Ok(None) };
        let mut only = Directory { entries: BTreeMap::new(), next: 0 };
        only.entries.insert(tag, Entry { count: 1, ..entry });
        Ok(self.unsigned(&only, tag)?.and_then(|values| values.first().copied()))
    }

    /// The first value of an unsigned rational tag.
    pub(super) fn rational(&self, directory: &Directory, tag: u16) -> Result<Option<f64>> {
        let Some(entry) = directory.entry(tag).filter(|e| e.field_type == 5 && e.count > 0) else { return Ok(None) };
        let raw = self.raw(Entry { count: 1, ..entry }, tag)?;
        Ok(Some(self.number(&raw[..4]) as f64 / self.number(&raw[4..]) as f64))
    }

    fn read(&self, offset: u64, bytes: u64, what: &str) -> Result<Vec<u8>> {
        if offset.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            return Err(Error::malformed(
                Stage::Open,
                format!("{what} should be {bytes} bytes at offset {offset}, but the file has {} bytes", self.bytes),
            ));
        }
        let mut data = vec![0; bytes as usize];
        RangeReader::new(self.file.clone(), offset, bytes)
            .read_exact(&mut data)
            .map_err(|e| io_error(e, Stage::Open, what))?;
        Ok(data)
    }

    /// One number of up to 8 bytes in the file's byte order.
    pub(super) fn number(&self, bytes: &[u8]) -> u64 {
        let add = |value, &byte: &u8| value << 8 | u64::from(byte);
        if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }
}
