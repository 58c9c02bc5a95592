//! The merged image of Photoshop documents, PSD and PSB; see [`crate::psd`] for the format.

use std::fs::File;
use std::sync::Arc;

use super::metadata::within_limit;
use super::{Kind, Metadata, Resolution, ResolutionUnit, RowSource, SourceInfo, clipping_path, exif, photoshop_irb};
use crate::error::Result;
use crate::geometry::Orientation;
use crate::limits::Limits;
use crate::pixel::Raster;
use crate::psd::pixels::Pixels;
use crate::psd::rows::{PLANE_BYTES, PlaneRows};
use crate::psd::{Document, Header};

/// Image resources by their numbers.
mod id {
    pub const RESOLUTION: u16 = 1005;
    pub const ICC_PROFILE: u16 = 1039;
    pub const TRANSPARENT_INDEX: u16 = 1047;
    pub const VERSION_INFO: u16 = 1057;
    pub const EXIF: u16 = 1058;
}

pub(super) fn open(file: File, limits: &Limits) -> Result<Box<dyn RowSource>> {
    let document = Document::read(Arc::new(file), limits)?;
    Ok(Box::new(MergedImage::open(&document, limits)?))
}

/// What is known of a document beside its pixels, and how they are read.
///
/// The size is that of the canvas, the format that of the merged image.
pub fn describe(document: &Document, limits: &Limits) -> (SourceInfo, Pixels) {
    let blocks = &document.resources;
    let mut warnings = document.warnings.clone();
    let mut block = |what: &str, id| {
        let data = photoshop_irb::resource(blocks, id).filter(|data| !data.is_empty())?;
        within_limit(what, data.len() as u64, limits, &mut warnings).then(|| data.to_vec())
    };
    let icc = block("ICC profile", id::ICC_PROFILE);
    let xmp = block("XMP", photoshop_irb::XMP);
    let iptc = block("IPTC", photoshop_irb::IPTC);
    let exif = block("EXIF", id::EXIF).map(|data| exif::parse(&data)).unwrap_or_default();
    warnings.extend(exif.warning.clone());
    let number = |id| photoshop_irb::resource(blocks, id).and_then(|data| data.first_chunk::<2>().copied());
    let transparent = number(id::TRANSPARENT_INDEX).and_then(|bytes| u8::try_from(u16::from_be_bytes(bytes)).ok());
    let pixels = Pixels::new(document, transparent, icc.is_some());
    warnings.extend(pixels.warning().map(str::to_owned));
    let info = SourceInfo {
        kind: Kind::Photoshop,
        size: document.header.size,
        format: pixels.format(merged_alpha(document)),
        // Photoshop stores the image as it is shown, whatever EXIF still says of the camera.
        orientation: Orientation::Upright,
        metadata: exif.give(Metadata {
            icc: icc.filter(|_| pixels.keeps_profile()),
            xmp,
            iptc,
            resolution: photoshop_irb::resource(blocks, id::RESOLUTION).and_then(resolution),
            ..Metadata::default()
        }),
        clipping_path: clipping_path::find(blocks),
        warnings,
    };
    (info, pixels)
}

/// Whether the merged image has transparency.
fn merged_alpha(document: &Document) -> bool {
    let Header { mode, channels, .. } = document.header;
    document.merged_transparency && mode.components().is_some_and(|components| usize::from(channels) > components)
}

/// Whether the merged image shows what the layers show; programs may save a blank one to save space.
pub fn has_merged_image(document: &Document) -> bool {
    photoshop_irb::resource(&document.resources, id::VERSION_INFO).and_then(|data| data.get(4)) != Some(&0)
}

/// Pixels per inch: horizontal in 16.16 fixed point, two units for display, vertical, two units.
fn resolution(data: &[u8]) -> Option<Resolution> {
    let fixed = |at: usize| {
        let bytes = data.get(at..)?.first_chunk::<4>()?;
        Some(f64::from(u32::from_be_bytes(*bytes)) / 65536.0)
    };
    Resolution::new(fixed(0)?, fixed(8)?, ResolutionUnit::Inch)
}

/// Rows of the merged image.
pub struct MergedImage {
    info: SourceInfo,
    pixels: Pixels,
    planes: Vec<PlaneRows>,
    alpha: Option<PlaneRows>,
    next_row: u32,
    rows: Vec<Vec<u8>>,
    alpha_row: Vec<u8>,
}

impl MergedImage {
    /// # Errors
    /// `Malformed` for image data that cannot fill the image, `Unsupported`, `Io`.
    pub fn open(document: &Document, limits: &Limits) -> Result<Self> {
        let (mut info, pixels) = describe(document, limits);
        if !has_merged_image(document) {
            info.warnings.push("was saved without a merged image; what stands in its place is used".into());
        }
        let has_alpha = merged_alpha(document);
        let mut planes = document.merged_rows(pixels.planes() + usize::from(has_alpha))?;
        let alpha = if has_alpha { planes.pop() } else { None };
        let rows = planes.iter().map(|_| Vec::new()).collect();
        Ok(MergedImage { info, pixels, planes, alpha, next_row: 0, rows, alpha_row: Vec::new() })
    }
}

impl RowSource for MergedImage {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_rows(&mut self, band: &mut Raster, max_rows: u32) -> Result<u32> {
        let count = max_rows.min(self.info.size.height - self.next_row);
        for _ in 0..count {
            for (plane, row) in self.planes.iter_mut().zip(&mut self.rows) {
                plane.next_row(row)?;
            }
            if let Some(alpha) = &mut self.alpha {
                alpha.next_row(&mut self.alpha_row)?;
            }
            let alpha = self.alpha.is_some().then_some(self.alpha_row.as_slice());
            self.pixels.push_stored(&self.rows, alpha, band);
            self.next_row += 1;
        }
        Ok(count)
    }

    fn working_bytes(&self) -> u64 {
        let planes = self.planes.len() as u64 + u64::from(self.alpha.is_some());
        // Rows as stored, packed and, of modes that need it, as numbers.
        planes * (PLANE_BYTES + 8 * u64::from(self.info.size.width))
    }
}
