//! Small pictures for the page.

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::Size;
use crate::pixel::{Color, Raster};

/// A PNG, 8-bit RGB or RGBA, of an RGB raster, at most `max_side_px` wide and high.
///
/// Larger rasters are reduced by the smallest whole factor that fits, each pixel the mean of a square (weighted by
/// alpha).
///
/// # Errors
/// `Misuse` for a raster without pixels or `max_side_px` 0; `Io` when the encoder refuses.
pub fn thumbnail_png(raster: &Raster, max_side_px: u32) -> Result<Vec<u8>> {
    assert_eq!(raster.format.color, Color::Rgb, "pictures of the page are in sRGB");
    if raster.width == 0 || raster.height == 0 || max_side_px == 0 {
        return Err(Error::misuse(Stage::Encode, "a thumbnail needs at least one pixel"));
    }
    let factor = raster.width.max(raster.height).div_ceil(max_side_px);
    let size = Size::new(raster.width.div_ceil(factor), raster.height.div_ceil(factor));
    let channels = if raster.format.alpha { 4 } else { 3 };
    let mut samples = Vec::with_capacity(size.width as usize * size.height as usize * channels);
    for y in 0..size.height {
        for x in 0..size.width {
            samples.extend_from_slice(&mean(raster, x * factor, y * factor, factor)[..channels]);
        }
    }
    let failed = |error: png::EncodingError| {
        Error::new(ErrorKind::Io, Stage::Encode, format!("the thumbnail could not be encoded: {error}"))
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.width, size.height);
    encoder.set_color(if raster.format.alpha { png::ColorType::Rgba } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&samples).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

/// Mean of the square of `side` pixels at (`x`, `y`), or of what of it lies inside, as RGBA.
fn mean(raster: &Raster, x: u32, y: u32, side: u32) -> [u8; 4] {
    let (mut sums, mut weight, mut count) = ([0.0; 3], 0.0, 0.0);
    for y in y..raster.height.min(y.saturating_add(side)) {
        for x in x..raster.width.min(x.saturating_add(side)) {
            let [r, g, b, alpha] = rgba(raster, x, y);
            for (sum, value) in sums.iter_mut().zip([r, g, b]) {
                *sum += value * alpha;
            }
            weight += alpha;
            count += 1.0;
        }
    }
    let byte = |value: f32| (value * 255.0 + 0.5) as u8;
    let color = |sum: f32| if weight > 0.0 { byte(sum / weight) } else { 0 };
    [color(sums[0]), color(sums[1]), color(sums[2]), byte(weight / count)]
}

/// One pixel, each component from 0 to 1.
fn rgba(raster: &Raster, x: u32, y: u32) -> [f32; 4] {
    let unit = 1.0 / raster.format.depth.max() as f32;
    let at = |channel| raster.at(x, y, channel) as f32 * unit;
    [at(0), at(1), at(2), if raster.format.alpha { at(3) } else { 1.0 }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::{Depth, PixelFormat, Samples};

    fn decode(png: &[u8]) -> (u32, u32, png::ColorType, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut samples = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut samples).unwrap();
        (info.width, info.height, info.color_type, samples)
    }

    #[test]
    fn every_depth_and_alpha_becomes_8_bits() {
        let one = |alpha, samples| {
            let depth = if matches!(samples, Samples::U8(_)) { Depth::U8 } else { Depth::U16 };
            let format = PixelFormat::new(Color::Rgb, alpha, depth);
            let raster = Raster { samples, ..Raster::zeroed(format, Size::new(1, 1)) };
            decode(&thumbnail_png(&raster, 1).unwrap()).3
        };
        assert_eq!(one(false, Samples::U16(vec![65535, 257, 0])), [255, 1, 0]);
        assert_eq!(one(true, Samples::U8(vec![9, 8, 7, 128])), [9, 8, 7, 128]);
        assert_eq!(one(true, Samples::U16(vec![65535, 65535, 65535, 0])), [0, 0, 0, 0]);
    }

    #[test]
    fn reduction_is_the_mean_weighted_by_alpha() {
        let mut raster = Raster::zeroed(PixelFormat::new(Color::Rgb, true, Depth::U8), Size::new(3, 2));
        let pixels = [[200, 255], [0, 0], [40, 255], [100, 255], [0, 0], [60, 255]];
        raster.samples = Samples::U8(pixels.iter().flat_map(|&[v, alpha]| [v, v, v, alpha]).collect());
        let (width, height, _, samples) = decode(&thumbnail_png(&raster, 2).unwrap());
        assert_eq!((width, height), (2, 1));
        assert_eq!(samples, [150, 150, 150, 128, 50, 50, 50, 255]);
    }

    #[test]
    fn sizes_stay_inside_the_bound() {
        let format = PixelFormat::new(Color::Rgb, false, Depth::U8);
        for (width, height, bound) in [(1, 1000, 7), (1001, 3, 500), (64, 64, 64), (65, 64, 64)] {
            let (w, h, ..) = decode(&thumbnail_png(&Raster::zeroed(format, Size::new(width, height)), bound).unwrap());
            assert!(w <= bound && h <= bound && w >= 1 && h >= 1, "{width} × {height} became {w} × {h}");
        }
        assert!(thumbnail_png(&Raster::empty(format, 3), 10).is_err());
    }
}
