//! Broken originals: what arrives in any large library, and what somebody might send on purpose.

use crate::support::Random;
use crate::tiff_maker::{TiffMaker, Values};

/// One broken file.
pub struct Broken {
    pub name: String,
    pub bytes: Vec<u8>,
    /// A part of the error that names the reason.
    pub error: &'static str,
}

/// A file that says 60000 × 60000 pixels and holds next to none, in each raster format.
pub fn header_bombs() -> Vec<Broken> {
    const SIDE: u32 = 60000;
    let bomb = |name: &str, bytes, error| Broken { name: name.to_string(), bytes, error };
    vec![
        bomb("bomb.jpg", jpeg_header(SIDE as u16, SIDE as u16, 0xc0), ""),
        bomb("bomb-progressive.jpg", jpeg_header(SIDE as u16, SIDE as u16, 0xc2), ""),
        bomb("bomb.png", png_header(SIDE, SIDE, 8, 2, 0), "cannot hold"),
        bomb("bomb-interlaced.png", png_header(SIDE, SIDE, 8, 0, 1), "cannot hold"),
        bomb("bomb.tif", strip_bomb(SIDE, 1), "cannot hold"),
        bomb("bomb-lzw.tif", strip_bomb(SIDE, 5), "cannot hold"),
        bomb("bomb-deflate.tif", strip_bomb(SIDE, 8), "cannot hold"),
        bomb("bomb-jpeg.tif", strip_bomb(SIDE, 7), "at once"),
        bomb("bomb-fax.tif", fax_bomb(SIDE), "strip 0"),
        bomb("bomb-table.tif", strip_table_bomb(SIDE), "TIFF tag 273"),
        bomb("bomb.gif", gif_header(SIDE as u16, SIDE as u16), "cannot hold"),
        bomb("bomb.bmp", bmp_header(SIDE as i32, SIDE as i32), ""),
        bomb("bomb.webp", webp_canvas(SIDE, SIDE), ""),
    ]
}

/// Twenty broken files for a batch: truncated ones made from `originals` (name and content, at least one), empty and
/// zero-filled ones, ones whose name lies, and header bombs.
pub fn twenty_broken_files(originals: &[(String, Vec<u8>)]) -> Vec<Broken> {
    let mut broken = header_bombs();
    broken.truncate(9);
    for (index, (name, bytes)) in originals.iter().cycle().take(5).enumerate() {
        let keep = bytes.len() * (index + 2) / 8;
        broken.push(Broken { name: format!("truncated-{index}-{name}"), bytes: bytes[..keep].to_vec(), error: "" });
    }
    let named = |name: &str, bytes: &[u8], error| Broken { name: name.to_string(), bytes: bytes.to_vec(), error };
    broken.push(named("empty.jpg", b"", "is empty"));
    broken.push(named("empty.tif", b"", "is empty"));
    broken.push(named("zeros.png", &[0; 4096], "not in a format"));
    broken.push(named("text.jpg", b"Dear colleague, the picture follows by separate mail.\n", "Dear colleague"));
    broken.push(named("page.png", b"<!DOCTYPE html><title>404</title>", "not in a format"));
    broken.push(named("song.tif", b"ID3\x03\0\0\0\0\0\0", "audio"));
    assert_eq!(broken.len(), 20);
    broken
}

/// `bytes` with one to eight bytes changed.
pub fn damaged(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() as u32) as usize;
        bytes[at] = random.next() as u8;
    }
    bytes
}

/// A chunk with its checksum.
pub fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
}

fn png_header(width: u32, height: u32, bits: u8, color_type: u8, interlaced: u8) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[bits, color_type, 0, 0, interlaced]].concat();
    let empty_deflate = [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1];
    [
        &b"\x89PNG\r\n\x1a\n"[..],
        &png_chunk(b"IHDR", &header),
        &png_chunk(b"IDAT", &empty_deflate),
        &png_chunk(b"IEND", &[]),
    ]
    .concat()
}

/// Tables, a frame of `frame` type (0xc0 baseline, 0xc2 progressive) and a scan of a few bytes.
fn jpeg_header(width: u16, height: u16, frame: u8) -> Vec<u8> {
    let segment =
        |marker: u8, data: &[u8]| [&[0xff, marker], &(data.len() as u16 + 2).to_be_bytes()[..], data].concat();
    let quantization = [&[0][..], &[1; 64]].concat();
    // One code of one bit, for symbol 0.
    let huffman = |class: u8| [&[class, 1][..], &[0; 15], &[0]].concat();
    let [w, h] = [width.to_be_bytes(), height.to_be_bytes()];
    let spectrum_end = if frame == 0xc2 { 0 } else { 63 };
    [
        &[0xff, 0xd8][..],
        &segment(0xdb, &quantization),
        &segment(frame, &[8, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0]),
        &segment(0xc4, &huffman(0x00)),
        &segment(0xc4, &huffman(0x10)),
        &segment(0xda, &[1, 1, 0, 0, spectrum_end, 0]),
        &[0; 16],
        &[0xff, 0xd9],
    ]
    .concat()
}

fn strip_bomb(side: u32, compression: u16) -> Vec<u8> {
    TiffMaker::new(side, side).samples(2, 8, 3).short(259, compression).chunk(vec![0x80; 64]).bytes()
}

fn fax_bomb(side: u32) -> Vec<u8> {
    TiffMaker::new(side, side).samples(0, 1, 1).short(259, 4).chunk(vec![0; 64]).bytes()
}

/// One row per strip, but only one strip in the table.
fn strip_table_bomb(side: u32) -> Vec<u8> {
    TiffMaker::new(side, side).samples(1, 8, 1).tag(278, Values::Longs(vec![1])).chunk(vec![0; 64]).bytes()
}

fn gif_header(width: u16, height: u16) -> Vec<u8> {
    let [w, h] = [width.to_le_bytes(), height.to_le_bytes()];
    let palette = [0, 0, 0, 255, 255, 255];
    let pixels = [2, 2, 0x44, 0x01, 0];
    [&b"GIF89a"[..], &w, &h, &[0x80, 0, 0], &palette, &[0x2c, 0, 0, 0, 0], &w, &h, &[0], &pixels, &[0x3b]].concat()
}

fn bmp_header(width: i32, height: i32) -> Vec<u8> {
    let mut file = b"BM".to_vec();
    for value in [118i32, 0, 54, 40, width, height, 1 | 24 << 16, 0, 64, 2835, 2835, 0, 0] {
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 64]);
    file
}

fn webp_canvas(width: u32, height: u32) -> Vec<u8> {
    let side = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
    let canvas = [&[0u8, 0, 0, 0][..], &side(width), &side(height)].concat();
    // One pixel of lossless data.
    let image = [0x2f, 0, 0, 0, 0, 0x07, 0x10, 0x11, 0xfd, 0x0f, 0x44, 0x44];
    let chunk = |kind: &[u8; 4], data: &[u8]| [&kind[..], &(data.len() as u32).to_le_bytes(), data].concat();
    let body = [&b"WEBP"[..], &chunk(b"VP8X", &canvas), &chunk(b"VP8L", &image)].concat();
    chunk(b"RIFF", &body)
}
