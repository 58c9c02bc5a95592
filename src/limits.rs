//! Limits on what a file may ask for, checked before anything is allocated.

use crate::error::{Error, Result, Stage};

/// Bounds on sizes that come from an input file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest width or height in pixels.
    pub max_side_px: u32,
    /// Largest number of pixels in one image.
    pub max_pixels: u64,
    /// Largest number of bytes that a decoder may hold for one image.
    pub max_decode_bytes: u64,
    /// Largest ICC, XMP, IPTC or EXIF block in bytes; larger ones are dropped with a warning.
    pub max_metadata_bytes: u64,
    /// Largest number of layers in a document, beginnings and ends of groups counted.
    pub max_layers: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_side_px: 300_000,
            max_pixels: 4_000_000_000,
            max_decode_bytes: 4 << 30,
            max_metadata_bytes: 64 << 20,
            // Photoshop itself stops at 8000 layers.
            max_layers: 20_000,
        }
    }
}

impl Limits {
    /// Checks the stated size of an image.
    ///
    /// # Errors
    /// `Malformed` when a side is zero, `Limit` when a side or the area is over its limit.
    pub fn check_size(&self, width: u64, height: u64) -> Result<()> {
        if width == 0 || height == 0 {
            return Err(Error::malformed(
                Stage::Decode,
                format!("the header says {width} × {height} pixels; an image has at least one"),
            ));
        }
        if width > u64::from(self.max_side_px) || height > u64::from(self.max_side_px) {
            return Err(Error::limit(
                Stage::Decode,
                format!(
                    "the header says {width} × {height} pixels; the longest side allowed is {} px",
                    self.max_side_px
                ),
            ));
        }
        // Both sides fit u32 here, so the product fits u64.
        if width * height > self.max_pixels {
            return Err(Error::limit(
                Stage::Decode,
                format!("the header says {width} × {height} pixels; at most {} pixels are allowed", self.max_pixels),
            ));
        }
        Ok(())
    }

    /// Checks the bytes that a decoder needs to hold at once.
    ///
    /// # Errors
    /// `Limit`, naming the bytes needed and allowed.
    pub fn check_bytes(&self, needed: u64) -> Result<()> {
        if needed > self.max_decode_bytes {
            return Err(Error::limit(
                Stage::Decode,
                format!(
                    "decoding needs {needed} bytes at once; at most {} are allowed (see --max-memory)",
                    self.max_decode_bytes
                ),
            ));
        }
        Ok(())
    }
}
