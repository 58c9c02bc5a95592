//! From stored samples to pixels: gray, RGB or CMYK of 8 or 16 bits.
//!
//! | stored | becomes |
//! |---|---|
//! | bitmap | gray, 8 bits; a set bit is black |
//! | indexed | RGB by the table; the transparent index, if there is one, gets alpha 0 |
//! | duotone | gray: what its inks make of it stands in no specification |
//! | multichannel | one or two channels: the first as gray; three: cyan, magenta and yellow; more: the first four as CMYK |
//! | Lab | sRGB, clipped: CIE Lab of D50 to XYZ, adapted to D65 by Bradford's matrix, sRGB's curve |
//! | CMYK | CMYK; stored is the absence of ink |
//! | 32-bit floating point | clipped to 0–1 and rounded to 16 bits: linear where the file has a profile, which says so, else with the curve of sRGB or, in gray, of gamma 2.2 |

use super::{ColorMode, Document, Header};
use crate::pixel::{Color, Depth, PixelFormat, Raster, Samples};

/// How the samples of one document become pixels.
#[derive(Debug, Clone)]
pub struct Pixels {
    header: Header,
    color: Color,
    /// 256 colours of an indexed image.
    palette: Vec<[u8; 3]>,
    transparent_index: Option<u8>,
    /// Linear samples get the curve of sRGB or gamma 2.2.
    curve: bool,
}

impl Pixels {
    /// `transparent_index` is that of image resource 1047; `has_profile` tells whether the file carries an ICC profile.
    pub fn new(document: &Document, transparent_index: Option<u8>, has_profile: bool) -> Self {
        let header = document.header;
        let color = match header.mode {
            ColorMode::Bitmap | ColorMode::Grayscale | ColorMode::Duotone => Color::Gray,
            ColorMode::Indexed | ColorMode::Rgb | ColorMode::Lab => Color::Rgb,
            ColorMode::Cmyk => Color::Cmyk,
            ColorMode::Multichannel if header.channels < 3 => Color::Gray,
            ColorMode::Multichannel => Color::Cmyk,
        };
        let table = &document.color_table;
        let entry = |i: usize, part: usize| table.get(part * (table.len() / 3) + i).copied().unwrap_or(0);
        let palette = match header.mode {
            ColorMode::Indexed => (0..256.min(table.len() / 3)).map(|i| [0, 1, 2].map(|part| entry(i, part))).collect(),
            _ => Vec::new(),
        };
        let transparent_index = transparent_index.filter(|_| header.mode == ColorMode::Indexed);
        Pixels { header, color, palette, transparent_index, curve: header.depth == 32 && !has_profile }
    }

    /// Format of the pixels; `alpha` tells whether there is a channel for it.
    pub fn format(&self, alpha: bool) -> PixelFormat {
        let depth = if self.header.depth > 8 { Depth::U16 } else { Depth::U8 };
        PixelFormat::new(self.color, alpha || self.transparent_index.is_some(), depth)
    }

    /// Colour channels that are read.
    pub fn planes(&self) -> usize {
        match self.header.mode {
            ColorMode::Multichannel => self.color.components().min(self.header.channels.into()),
            mode => mode.components().unwrap_or(1),
        }
    }

    /// Whether an ICC profile of the file describes the pixels.
    pub fn keeps_profile(&self) -> bool {
        self.header.mode != ColorMode::Lab
    }

    /// What is lost or assumed, for the user.
    pub fn warning(&self) -> Option<&'static str> {
        match self.header.mode {
            ColorMode::Duotone => Some("is a duotone; its inks are left out and the gray image is used"),
            ColorMode::Multichannel if self.color == Color::Gray => {
                Some("is a multichannel image; its first channel is taken to be gray")
            }
            ColorMode::Multichannel => {
                Some("is a multichannel image; its first channels are taken to be cyan, magenta, yellow and black")
            }
            ColorMode::Lab => Some("is a Lab image; its colours become sRGB, and those outside of sRGB are clipped"),
            _ if self.header.depth == 32 => {
                Some("has 32-bit samples; they become 16 bits, and values beyond black and white are clipped")
            }
            _ => None,
        }
    }

    /// Appends a row of stored samples to `band`; `alpha` is the row of transparency.
    ///
    /// Where there is transparency, the merged image is stored on white: colours get back what white covers.
    pub fn push_stored(&self, planes: &[Vec<u8>], alpha: Option<&[u8]>, band: &mut Raster) {
        if self.header.mode == ColorMode::Lab || self.header.depth == 32 {
            let floats: Vec<Vec<f32>> = planes.iter().map(|plane| self.floats(plane)).collect();
            let alpha = alpha.map(|alpha| self.floats(alpha));
            let floats = match &alpha {
                Some(alpha) => floats.iter().map(|plane| off_white(plane, alpha)).collect(),
                None => floats,
            };
            return self.push_floats(&floats, alpha.as_deref(), band);
        }
        let (start, channels, width) = (band.samples.len(), band.format.channels(), band.width as usize);
        band.set_rows(band.height + 1);
        match &mut band.samples {
            Samples::U8(samples) => {
                let row = &mut samples[start..];
                match self.header.mode {
                    ColorMode::Bitmap => {
                        for (x, gray) in row.iter_mut().enumerate() {
                            *gray = if planes[0][x / 8] >> (7 - x % 8) & 1 == 1 { 0 } else { 255 };
                        }
                    }
                    ColorMode::Indexed => self.push_indexed(&planes[0], row, channels),
                    _ => {
                        for (c, plane) in planes.iter().enumerate() {
                            for (x, value) in plane.iter().enumerate().take(width) {
                                row[x * channels + c] = *value;
                            }
                        }
                        if let Some(alpha) = alpha {
                            for (pixel, alpha) in row.chunks_exact_mut(channels).zip(alpha) {
                                let a = i32::from(*alpha);
                                if a != 0 && a != 255 {
                                    for value in &mut pixel[..planes.len()] {
                                        let c = i32::from(*value);
                                        *value = (((c + a - 255) * 255 + a / 2) / a).clamp(0, 255) as u8;
                                    }
                                }
                                pixel[channels - 1] = *alpha;
                            }
                        }
                        self.invert_inks(row, channels, 255, |value, max| max - value);
                    }
                }
            }
            Samples::U16(samples) => {
                let row = &mut samples[start..];
                for (c, plane) in planes.iter().enumerate() {
                    for (x, value) in plane.as_chunks::<2>().0.iter().enumerate().take(width) {
                        row[x * channels + c] = u16::from_be_bytes(*value);
                    }
                }
                if let Some(alpha) = alpha {
                    for (pixel, alpha) in row.chunks_exact_mut(channels).zip(alpha.as_chunks::<2>().0) {
                        let alpha = u16::from_be_bytes(*alpha);
                        let a = i64::from(alpha);
                        if a != 0 && a != 65535 {
                            for value in &mut pixel[..planes.len()] {
                                let c = i64::from(*value);
                                *value = (((c + a - 65535) * 65535 + a / 2) / a).clamp(0, 65535) as u16;
                            }
                        }
                        pixel[channels - 1] = alpha;
                    }
                }
                self.invert_inks(row, channels, 65535, |value, max| max - value);
            }
        }
    }

    /// From no ink at the maximum to no ink at 0; a black that the file does not have is 0.
    fn invert_inks<S: Copy + Default>(&self, row: &mut [S], channels: usize, max: S, invert: impl Fn(S, S) -> S) {
        if self.color == Color::Cmyk {
            let stored = self.planes();
            for pixel in row.chunks_exact_mut(channels) {
                for value in &mut pixel[..stored] {
                    *value = invert(*value, max);
                }
            }
        }
    }

    fn push_indexed(&self, indices: &[u8], row: &mut [u8], channels: usize) {
        for (pixel, &index) in row.chunks_exact_mut(channels).zip(indices) {
            pixel[..3].copy_from_slice(self.palette.get(usize::from(index)).unwrap_or(&[0; 3]));
            if channels == 4 {
                pixel[3] = if self.transparent_index == Some(index) { 0 } else { 255 };
            }
        }
    }

    /// Stored samples as numbers, as [`number`] gives them.
    pub fn floats(&self, row: &[u8]) -> Vec<f32> {
        row.chunks_exact(usize::from(self.header.depth / 8).max(1)).map(number).collect()
    }

    /// Appends a row of numbers as [`Pixels::floats`] gives them to `band`.
    pub fn push_floats(&self, planes: &[Vec<f32>], alpha: Option<&[f32]>, band: &mut Raster) {
        let (start, channels, components) =
            (band.samples.len(), band.format.channels(), band.format.color.components());
        band.set_rows(band.height + 1);
        let max = band.format.depth.max() as f32;
        let mut put = |index: usize, value: f32| {
            let value = (value.clamp(0.0, 1.0) * max + 0.5) as u32;
            match &mut band.samples {
                Samples::U8(samples) => samples[start + index] = value as u8,
                Samples::U16(samples) => samples[start + index] = value as u16,
            }
        };
        let width = planes.first().map_or(0, Vec::len).min(band.width as usize);
        for x in 0..width {
            let mut color = [0.0; 4];
            for (value, plane) in color.iter_mut().zip(planes) {
                *value = plane[x];
            }
            match self.header.mode {
                ColorMode::Lab => {
                    let [l, a, b, _] = color;
                    let rgb = lab_to_srgb([l * 100.0, self.opponent(a), self.opponent(b)]);
                    color[..3].copy_from_slice(&rgb);
                }
                ColorMode::Cmyk | ColorMode::Multichannel if self.color == Color::Cmyk => {
                    for value in &mut color[..planes.len().min(4)] {
                        *value = 1.0 - *value;
                    }
                }
                ColorMode::Grayscale if self.curve => color[0] = color[0].max(0.0).powf(1.0 / 2.2),
                _ if self.curve => color = color.map(srgb_curve),
                _ => {}
            }
            for (c, value) in color.into_iter().enumerate().take(components) {
                put(x * channels + c, value);
            }
            if channels > components {
                put(x * channels + components, alpha.map_or(1.0, |alpha| alpha[x]));
            }
        }
    }

    /// a* or b* of a stored one: 0 is stored as 128 of 8 bits and as 32768 of 16.
    fn opponent(&self, stored: f32) -> f32 {
        if self.header.depth == 8 { stored * 255.0 - 128.0 } else { stored * (65535.0 / 256.0) - 128.0 }
    }
}

/// A stored sample of 8, 16 or 32 bits as a number, 0–1 but for 32 bits.
pub fn number(stored: &[u8]) -> f32 {
    match *stored {
        [v] => f32::from(v) / 255.0,
        [a, b] => f32::from(u16::from_be_bytes([a, b])) / 65535.0,
        [a, b, c, d] => Some(f32::from_be_bytes([a, b, c, d])).filter(|v| v.is_finite()).unwrap_or(0.0),
        _ => 0.0,
    }
}

/// What white covers of a colour that was put on it.
fn off_white(plane: &[f32], alpha: &[f32]) -> Vec<f32> {
    let off = |(c, a): (&f32, &f32)| if *a > 0.0 && *a < 1.0 { ((c + a - 1.0) / a).clamp(0.0, 1.0) } else { *c };
    plane.iter().zip(alpha).map(off).collect()
}

fn srgb_curve(linear: f32) -> f32 {
    if linear <= 0.003_130_8 { 12.92 * linear.max(0.0) } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

/// CIE Lab of D50 to sRGB, 0–1, not clipped above.
fn lab_to_srgb([l, a, b]: [f32; 3]) -> [f32; 3] {
    let fy = (l + 16.0) / 116.0;
    let inverse = |t: f32| if t > 6.0 / 29.0 { t * t * t } else { 3.0 * (6.0f32 / 29.0).powi(2) * (t - 4.0 / 29.0) };
    // White of D50.
    let x = 0.964_22 * inverse(fy + a / 500.0);
    let y = inverse(fy);
    let z = 0.825_21 * inverse(fy - b / 200.0);
    // XYZ of D50 to linear sRGB, adapted by Bradford's matrix.
    [
        3.133_856 * x - 1.616_866_7 * y - 0.490_614_6 * z,
        -0.978_768_4 * x + 1.916_141_5 * y + 0.033_454 * z,
        0.071_945_3 * x - 0.228_991_4 * y + 1.405_242_7 * z,
    ]
    .map(srgb_curve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lab_meets_known_colors() {
        for (lab, rgb) in [
            ([100.0, 0.0, 0.0], [255, 255, 255]),
            ([0.0, 0.0, 0.0], [0, 0, 0]),
            ([53.585, 0.0, 0.0], [128, 128, 128]),
            // sRGB's primaries in Lab of D50.
            ([54.29, 80.81, 69.89], [255, 0, 0]),
            ([29.57, 68.30, -112.03], [0, 0, 255]),
        ] {
            let found = lab_to_srgb(lab).map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as i32);
            for (found, expected) in found.into_iter().zip(rgb) {
                assert!((found - expected).abs() <= 1, "{lab:?}: {found} for {expected}");
            }
        }
    }
}
