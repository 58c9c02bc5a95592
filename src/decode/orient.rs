//! EXIF orientation applied to a whole raster.

use rayon::prelude::*;

use crate::geometry::Orientation;
use crate::pixel::Raster;

/// Side of the square blocks in which rows become columns, so that what is read and what is written stay in cache.
const BLOCK: usize = 32;

/// The image as it is shown: pixel (x, y) is the stored pixel `orientation.stored_pixel(x, y, image.size())`.
pub fn orient(image: &Raster, orientation: Orientation) -> Raster {
    if orientation == Orientation::Upright {
        return image.clone();
    }
    let mut out = Raster::zeroed(image.format, orientation.oriented(image.size()));
    match image.format.bytes_per_pixel() {
        1 => orient_of::<1>(image, orientation, &mut out),
        2 => orient_of::<2>(image, orientation, &mut out),
        3 => orient_of::<3>(image, orientation, &mut out),
        4 => orient_of::<4>(image, orientation, &mut out),
        5 => orient_of::<5>(image, orientation, &mut out),
        6 => orient_of::<6>(image, orientation, &mut out),
        8 => orient_of::<8>(image, orientation, &mut out),
        10 => orient_of::<10>(image, orientation, &mut out),
        bytes => unreachable!("no format has {bytes} bytes per pixel"),
    }
    out
}

/// `N` bytes per pixel.
fn orient_of<const N: usize>(image: &Raster, orientation: Orientation, out: &mut Raster) {
    let stored = image.size();
    let (width, out_width) = (stored.width as usize, out.width as usize);
    let pixels = image.samples.as_bytes().as_chunks::<N>().0;
    let out_pixels = out.samples.as_bytes_mut().as_chunks_mut::<N>().0;
    out_pixels.par_chunks_mut(out_width * BLOCK).enumerate().for_each(|(block, rows)| {
        let first_row = block * BLOCK;
        for first_column in (0..out_width).step_by(BLOCK) {
            let columns = first_column..out_width.min(first_column + BLOCK);
            for (y, row) in rows.chunks_exact_mut(out_width).enumerate() {
                for x in columns.clone() {
                    let (x_stored, y_stored) = orientation.stored_pixel(x as u32, (first_row + y) as u32, stored);
                    row[x] = pixels[y_stored as usize * width + x_stored as usize];
                }
            }
        }
    });
}
