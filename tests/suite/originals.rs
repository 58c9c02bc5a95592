//! Original files made on the spot: images of `support` written by encoders that are not ours where there are some.

use std::path::Path;

use reprise::jpeg::{TileEncoder, TileKind};
use reprise::pixel::{Color, Depth, PixelFormat, Raster, Samples};

/// A PNG of a gray or RGB raster, with or without alpha.
pub fn png(image: &Raster) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width, image.height);
    encoder.set_color(match (image.format.color, image.format.alpha) {
        (Color::Gray, false) => png::ColorType::Grayscale,
        (Color::Gray, true) => png::ColorType::GrayscaleAlpha,
        (Color::Rgb, false) => png::ColorType::Rgb,
        (Color::Rgb, true) => png::ColorType::Rgba,
        (Color::Cmyk | Color::Lab, _) => panic!("PNG has neither CMYK nor Lab"),
    });
    encoder.set_depth(if image.format.depth == Depth::U8 { png::BitDepth::Eight } else { png::BitDepth::Sixteen });
    encoder.set_compression(png::Compression::Fast);
    let big_endian: Vec<u8> = match &image.samples {
        Samples::U8(samples) => samples.clone(),
        Samples::U16(samples) => samples.iter().flat_map(|s| s.to_be_bytes()).collect(),
    };
    encoder.write_header().unwrap().write_image_data(&big_endian).unwrap();
    bytes
}

/// An uncompressed TIFF of any raster without alpha.
pub fn tiff(image: &Raster) -> Vec<u8> {
    use tiff::encoder::{TiffEncoder, colortype as c};
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    let (w, h) = (image.width, image.height);
    match (&image.samples, image.format.color) {
        (Samples::U8(s), Color::Gray) => encoder.write_image::<c::Gray8>(w, h, s).unwrap(),
        (Samples::U8(s), Color::Rgb) => encoder.write_image::<c::RGB8>(w, h, s).unwrap(),
        (Samples::U8(s), Color::Cmyk) => encoder.write_image::<c::CMYK8>(w, h, s).unwrap(),
        (Samples::U16(s), Color::Gray) => encoder.write_image::<c::Gray16>(w, h, s).unwrap(),
        (Samples::U16(s), Color::Rgb) => encoder.write_image::<c::RGB16>(w, h, s).unwrap(),
        (Samples::U16(s), Color::Cmyk) => encoder.write_image::<c::CMYK16>(w, h, s).unwrap(),
        (_, Color::Lab) => panic!("this encoder writes no Lab"),
    }
    bytes.into_inner()
}

/// A JPEG of a square 8-bit gray or RGB raster whose side is a multiple of 16.
pub fn jpeg(image: &Raster, half_chroma: bool) -> Vec<u8> {
    assert_eq!(image.width, image.height);
    let kind = match image.format {
        PixelFormat { color: Color::Gray, alpha: false, depth: Depth::U8 } => TileKind::Gray,
        PixelFormat { color: Color::Rgb, alpha: false, depth: Depth::U8 } => TileKind::Rgb { half_chroma },
        other => panic!("no JPEG of {other}"),
    };
    let encoder = TileEncoder::new(kind, image.width, 90).unwrap();
    // Tables end with an end marker and the image begins with a start marker: four bytes to leave out.
    let mut bytes = encoder.tables().to_vec();
    bytes.truncate(bytes.len() - 2);
    let mut stream = Vec::new();
    encoder.encode(image.samples.as_bytes(), image.row_bytes(), &mut stream).unwrap();
    bytes.extend_from_slice(&stream[2..]);
    bytes
}

/// Writes a file and names it.
pub fn save(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}
