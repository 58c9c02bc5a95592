//! JPEG files as bands of rows.

use std::fs::File;
use std::io::Read;
use std::ops::Range;

use super::{
    Kind, Metadata, Resolution, ResolutionUnit, RowSource, SourceInfo, clipping_path, exif, io_error, photoshop_irb,
};
use crate::error::{Error, Result, Stage};
use crate::geometry::Size;
use crate::jpeg::{Coefficients, Decoder, Jfif};
use crate::limits::Limits;
use crate::pixel::Raster;

/// Opens a JPEG. The compressed file is read into memory.
pub(super) fn open(file: File, limits: &Limits) -> Result<Box<dyn RowSource>> {
    let data = read(file, limits)?;
    let decoder = Decoder::new(data, limits)?;
    let blocks = decoder.blocks(limits);
    let exif = blocks.exif.as_deref().map(exif::parse).unwrap_or_default();
    let mut warnings = blocks.warnings;
    warnings.extend(exif.warning.clone());
    let resolution = resolution(decoder.header().jfif, exif.resolution);
    let iptc = blocks.photoshop.as_deref().and_then(|irb| photoshop_irb::resource(irb, photoshop_irb::IPTC));
    let header = decoder.header();
    let info = SourceInfo {
        kind: Kind::Jpeg,
        size: header.size,
        format: decoder.format(),
        orientation: exif.orientation,
        metadata: exif.give(Metadata {
            iptc: iptc.map(<[u8]>::to_vec),
            icc: blocks.icc,
            xmp: blocks.xmp,
            resolution,
            ..Metadata::default()
        }),
        clipping_path: blocks.photoshop.as_deref().map_or(Ok(None), clipping_path::find),
        warnings: Vec::new(),
    };
    let mut source = JpegSource { decoder, info, metadata_warnings: warnings };
    source.collect_warnings();
    Ok(Box::new(source))
}

/// The compressed file, whole.
fn read(file: File, limits: &Limits) -> Result<Vec<u8>> {
    let io = |error| io_error(error, Stage::Open, "the file");
    let length = file.metadata().map_err(io)?.len();
    limits.check_bytes(length)?;
    let mut data = Vec::with_capacity(length as usize);
    // The file may grow meanwhile, or not be a plain file.
    file.take(limits.max_decode_bytes).read_to_end(&mut data).map_err(io)?;
    Ok(data)
}

/// JFIF's density where it has a unit; else what EXIF says; else JFIF's aspect ratio where it says something.
fn resolution(jfif: Option<Jfif>, exif: Option<Resolution>) -> Option<Resolution> {
    let jfif = jfif.filter(|density| density.x > 0 && density.y > 0).and_then(|density| {
        let unit = match density.unit {
            0 => ResolutionUnit::None,
            1 => ResolutionUnit::Inch,
            2 => ResolutionUnit::Centimeter,
            _ => return None,
        };
        Some(Resolution { x: density.x.into(), y: density.y.into(), unit })
    });
    jfif.filter(|density| density.unit != ResolutionUnit::None).or(exif).or(jfif.filter(|aspect| aspect.x != aspect.y))
}

/// Few enough that new rows of a band are still in cache, as zeros, when they are decoded.
const ROWS_AT_ONCE: u32 = 32;

struct JpegSource {
    decoder: Decoder,
    info: SourceInfo,
    metadata_warnings: Vec<String>,
}

impl JpegSource {
    /// Decoding finds more oddities on its way.
    fn collect_warnings(&mut self) {
        self.info.warnings = self.metadata_warnings.clone();
        self.info.warnings.extend(self.decoder.warnings());
    }
}

impl RowSource for JpegSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        if band.format != self.info.format || band.width != self.info.size.width {
            return Err(Error::misuse(Stage::Decode, "the band has another format or width than the JPEG file"));
        }
        let held = band.height;
        let rows = max_rows.min(ROWS_AT_ONCE);
        if rows == 0 {
            return Ok(0);
        }
        band.set_rows(held + rows);
        let start = held as usize * band.row_bytes();
        let read = self.decoder.read_scanlines(&mut band.samples.as_bytes_mut()[start..]);
        band.set_rows(held + read.as_ref().map_or(0, |rows| *rows as u32));
        self.collect_warnings();
        Ok(read? as u32)
    }

    fn overwrites(&self) -> bool {
        true
    }

    fn overwrite_rows(&mut self, rows: &mut [u8]) -> Result<u32> {
        let read = self.decoder.read_scanlines(rows);
        self.collect_warnings();
        Ok(read? as u32)
    }

    fn coefficient_bytes(&self) -> std::result::Result<u64, String> {
        self.decoder.coefficient_bytes()
    }

    fn prepare(&mut self, pool: &rayon::ThreadPool) {
        self.decoder.read_scans(pool);
    }

    fn mcu(&self) -> Option<Size> {
        self.decoder.mcu()
    }

    fn keep_coefficients(&mut self) -> Result<()> {
        self.decoder.keep_coefficients()
    }

    fn take_coefficients(&mut self, rows: Range<u32>, pool: Option<&rayon::ThreadPool>) -> Result<Coefficients> {
        self.decoder.take_coefficients(rows, pool)
    }

    fn working_bytes(&self) -> u64 {
        self.decoder.working_bytes()
    }
}
