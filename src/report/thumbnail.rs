//! Small pictures for the page.

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::Size;
use crate::pixel::{Color, Raster};

/// A PNG, 8-bit RGB or RGBA, of a raster of any format, at most `max_side_px` wide and high.
///
/// Larger rasters are reduced by the smallest whole factor that fits, each pixel the mean of a square (weighted by
/// alpha). CMYK becomes RGB as `(1 − ink) × (1 − black)`, which is enough to recognise a picture, not to judge colour.
///
/// # Errors
/// `Misuse` for a raster without pixels or `max_side_px` 0; `Io` when the encoder refuses.
pub fn thumbnail_png(raster: &Raster, max_side_px: u32) -> Result<Vec<u8>> {
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
    let format = raster.format;
    let unit = 1.0 / format.depth.max() as f32;
    let at = |channel| raster.at(x, y, channel) as f32 * unit;
    let [r, g, b] = match format.color {
        Color::Gray => [at(0); 3],
        Color::Rgb => [at(0), at(1), at(2)],
        Color::Cmyk => [0, 1, 2].map(|ink| (1.0 - at(ink)) * (1.0 - at(3))),
    };
    [r, g, b, if format.alpha { at(format.color.components()) } else { 1.0 }]
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

    fn one(color: Color, alpha: bool, depth: Depth, values: &[u16]) -> Vec<u8> {
        let format = PixelFormat::new(color, alpha, depth);
        let mut raster = Raster::zeroed(format, Size::new(1, 1));
        raster.samples = match depth {
            Depth::U8 => Samples::U8(values.iter().map(|v| *v as u8).collect()),
            Depth::U16 => Samples::U16(values.to_vec()),
        };
        decode(&thumbnail_png(&raster, 1).unwrap()).3
    }

    #[test]
    fn every_format_becomes_rgb() {
        assert_eq!(one(Color::Gray, false, Depth::U8, &[77]), [77, 77, 77]);
        assert_eq!(one(Color::Rgb, false, Depth::U16, &[65535, 257, 0]), [255, 1, 0]);
        assert_eq!(one(Color::Rgb, true, Depth::U8, &[9, 8, 7, 128]), [9, 8, 7, 128]);
        assert_eq!(one(Color::Cmyk, false, Depth::U8, &[255, 0, 0, 0]), [0, 255, 255]);
        assert_eq!(one(Color::Cmyk, false, Depth::U8, &[0, 0, 0, 255]), [0, 0, 0]);
        assert_eq!(one(Color::Gray, true, Depth::U16, &[65535, 0]), [0, 0, 0, 0]);
        for format in PixelFormat::all() {
            let raster = Raster::zeroed(format, Size::new(5, 3));
            let (width, height, color, _) = decode(&thumbnail_png(&raster, 64).unwrap());
            assert_eq!((width, height, color == png::ColorType::Rgba), (5, 3, format.alpha), "{format}");
        }
    }

    #[test]
    fn reduction_is_the_mean_weighted_by_alpha() {
        let mut raster = Raster::zeroed(PixelFormat::new(Color::Gray, true, Depth::U8), Size::new(3, 2));
        raster.samples = Samples::U8(vec![200, 255, 0, 0, 40, 255, 100, 255, 0, 0, 60, 255]);
        let (width, height, _, samples) = decode(&thumbnail_png(&raster, 2).unwrap());
        assert_eq!((width, height), (2, 1));
        assert_eq!(samples, [150, 150, 150, 128, 50, 50, 50, 255]);
    }

    #[test]
    fn sizes_stay_inside_the_bound() {
        let format = PixelFormat::new(Color::Gray, false, Depth::U8);
        for (width, height, bound) in [(1, 1000, 7), (1001, 3, 500), (64, 64, 64), (65, 64, 64)] {
            let (w, h, ..) = decode(&thumbnail_png(&Raster::zeroed(format, Size::new(width, height)), bound).unwrap());
            assert!(w <= bound && h <= bound && w >= 1 && h >= 1, "{width} × {height} became {w} × {h}");
        }
        assert!(thumbnail_png(&Raster::empty(format, 3), 10).is_err());
    }
}
