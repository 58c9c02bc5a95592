//! From the samples of planes to rows of pixels: chroma interpolated, then YCbCr to RGB; the same bits as libjpeg with
//! "fancy upsampling".

use multiversion::multiversion;

use super::frame::Plane;
use super::idct::{self, Samples};

/// The samples of one plane in two rows of MCUs: the one that was decoded last and the one before it.
pub(super) struct Rows {
    samples: Vec<u8>,
    stride: usize,
    /// In one row of MCUs.
    rows: usize,
    /// Of the image.
    width: usize,
    height: usize,
    across: usize,
    down: usize,
}

impl Rows {
    pub(super) fn new(plane: &Plane) -> Self {
        let (stride, rows) = (8 * plane.blocks.width as usize, 8 * plane.v);
        Rows {
            samples: vec![0; 2 * rows * stride],
            stride,
            rows,
            width: plane.size.width as usize,
            height: plane.size.height as usize,
            across: plane.across,
            down: plane.down,
        }
    }

    /// Bytes that planes of an image take.
    pub(super) fn bytes(planes: &[Plane]) -> u64 {
        planes.iter().map(|plane| 2 * 64 * plane.v as u64 * u64::from(plane.blocks.width)).sum()
    }

    /// Takes the samples of the block at (`x`, `y`) in blocks.
    #[inline]
    fn put(&mut self, (x, y): (usize, usize), samples: &Samples) {
        let row = 8 * y % (2 * self.rows);
        let out = &mut self.samples[row * self.stride + 8 * x..];
        for (row, samples) in samples.iter().enumerate() {
            out[row * self.stride..][..8].copy_from_slice(samples);
        }
    }

    /// Row `y`, or the nearest that the image has.
    fn row(&self, y: usize) -> &[u8] {
        let y = y.min(self.height - 1) % (2 * self.rows);
        &self.samples[y * self.stride..][..self.width]
    }

    /// Samples for the pixels of row `y`, maybe one more.
    fn pixels<'a>(&'a self, y: usize, scratch: &'a mut Scratch) -> &'a [u8] {
        let Scratch { sums, pixels } = scratch;
        let (near, bias) = (self.row(y / self.down), (y % 2) as u16);
        // The row above or below, whichever is next to the pixel.
        let far = || if y % 2 == 1 { self.row(y / 2 + 1) } else { self.row((y / 2).saturating_sub(1)) };
        // A plane of one or two columns is not interpolated across.
        match (self.across, self.down) {
            (1, 1) => return near,
            (1, _) => {
                pixels.clear();
                pixels.extend(
                    near.iter()
                        .zip(far())
                        .map(|(near, far)| ((3 * u16::from(*near) + u16::from(*far) + 1 + bias) >> 2) as u8),
                );
            }
            _ if self.width <= 2 => {
                pixels.clear();
                pixels.extend(near.iter().flat_map(|sample| [*sample; 2]));
            }
            (_, 1) => {
                sums.resize(near.len() + 2, 0);
                sums[1..].iter_mut().zip(near).for_each(|(sum, near)| *sum = (*near).into());
                interpolate::<2>([1, 2], sums, pixels);
            }
            _ => {
                sums.resize(near.len() + 2, 0);
                down_columns(near, far(), &mut sums[1..]);
                interpolate::<4>([8, 7], sums, pixels);
            }
        }
        pixels
    }
}

/// Blocks on their way to samples, which are computed for two of them at a time.
pub(super) struct Pairs<'a> {
    rows: &'a mut [Rows],
    /// Steps of quantisation of each plane.
    quantization: &'a [[i16; 64]],
    blocks: [[i16; 64]; 2],
    /// What the blocks are that are there, at most one between calls.
    places: [Place; 2],
    count: usize,
}

/// A block of an image: which one, in blocks, and whether only its DC value is not zero.
#[derive(Clone, Copy, Default)]
struct Place {
    plane: usize,
    at: (usize, usize),
    flat: bool,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(rows: &'a mut [Rows], quantization: &'a [[i16; 64]]) -> Self {
        Pairs { rows, quantization, blocks: [[0; 64]; 2], places: Default::default(), count: 0 }
    }

    /// Where the next block goes, in natural order; all zero.
    #[inline]
    pub(super) fn block(&mut self) -> &mut [i16; 64] {
        let block = &mut self.blocks[self.count];
        *block = [0; 64];
        block
    }

    /// That block is whole; `flat` says that only its DC value is not zero.
    #[inline]
    pub(super) fn put(&mut self, plane: usize, at: (usize, usize), flat: bool) {
        self.places[self.count] = Place { plane, at, flat };
        self.count += 1;
        if self.count == 2 {
            self.finish();
        }
    }

    /// Computes the samples of what is there.
    #[inline]
    pub(super) fn finish(&mut self) {
        let places = &self.places[..std::mem::take(&mut self.count)];
        if places.iter().all(|place| place.flat) {
            for (place, block) in places.iter().zip(&self.blocks) {
                let sample = idct::flat(block[0], self.quantization[place.plane][0]);
                self.rows[place.plane].put(place.at, &[[sample; 8]; 8]);
            }
            return;
        }
        let quantization = self.places.map(|place| &self.quantization[place.plane]);
        let samples = idct::inverse(&self.blocks, quantization);
        for (place, samples) in places.iter().zip(&samples) {
            self.rows[place.plane].put(place.at, samples);
        }
    }
}

/// Three parts of each sample of the one row, and one of the other's.
#[multiversion(targets("x86_64+avx2"))]
fn down_columns(near: &[u8], far: &[u8], sums: &mut [u16]) {
    for ((near, far), sum) in near.iter().zip(far).zip(sums) {
        *sum = 3 * u16::from(*near) + u16::from(*far);
    }
}

/// Two pixels for each sum but the first and the last, which are made those next to them: three parts of it and one of the
/// one before, and behind.
fn interpolate<const SHIFT: u32>(bias: [u16; 2], sums: &mut [u16], pixels: &mut Vec<u8>) {
    let last = sums.len() - 1;
    (sums[0], sums[last]) = (sums[1], sums[last - 1]);
    pixels.resize(2 * (last - 1), 0);
    along_row::<SHIFT>(bias, sums, pixels);
}

#[multiversion(targets("x86_64+avx2"))]
fn along_row<const SHIFT: u32>(bias: [u16; 2], sums: &[u16], pixels: &mut [u8]) {
    let count = sums.len() - 2;
    // Separate slices and one store for each pair, so that the compiler uses vectors.
    let sums = sums[..count].iter().zip(&sums[1..=count]).zip(&sums[2..]);
    for (((before, middle), behind), pair) in sums.zip(pixels.as_chunks_mut::<2>().0) {
        let (left, right) = (3 * middle + before + bias[0], 3 * middle + behind + bias[1]);
        *pair = (left >> SHIFT | right >> SHIFT << 8).to_le_bytes();
    }
}

/// Buffers for one row of one plane.
#[derive(Default)]
pub(super) struct Scratch {
    sums: Vec<u16>,
    pixels: Vec<u8>,
}

/// Writes row `y` of the image: gray from one plane, RGB from three.
pub(super) fn row(planes: &[Rows], y: usize, scratch: &mut [Scratch; 2], out: &mut [u8]) {
    match planes {
        [luma, cb, cr] => {
            let [first, second] = scratch;
            to_rgb(luma.row(y), cb.pixels(y, first), cr.pixels(y, second), out);
        }
        _ => out.copy_from_slice(planes[0].row(y)),
    }
}

/// YCbCr to RGB (JFIF 1.02, ITU-R BT.601), rounded as libjpeg does with 16 bits behind the point.
fn to_rgb(luma: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    let done = avx2::to_rgb(luma, cb, cr, out);
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    let pixels = luma[done..].iter().zip(&cb[done..]).zip(&cr[done..]);
    for (((y, cb), cr), out) in pixels.zip(out[3 * done..].as_chunks_mut::<3>().0) {
        let (y, cb, cr) = (i32::from(*y), i32::from(*cb) - 128, i32::from(*cr) - 128);
        const HALF: i32 = 1 << 15;
        let red = y + ((91_881 * cr + HALF) >> 16);
        let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
        let blue = y + ((116_130 * cb + HALF) >> 16);
        *out = [red, green, blue].map(|value| value.clamp(0, 255) as u8);
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    /// Pixels converted at once.
    const WIDE: usize = 16;

    /// For each 16 bytes of 16 pixels and each channel: which pixel's value a byte takes, none where the top bit is set.
    const PLACES: [[[u8; WIDE]; 3]; 3] = {
        let mut places = [[[0x80; WIDE]; 3]; 3];
        let mut at = 0;
        while at < 3 * WIDE {
            places[at / WIDE][at % 3][at % WIDE] = (at / 3) as u8;
            at += 1;
        }
        places
    };

    /// Converts pixels from the start as far as whole vectors go; returns how many.
    pub(super) fn to_rgb(luma: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) -> usize {
        if !is_x86_feature_detected!("avx2") {
            return 0;
        }
        // SAFETY: the machine has AVX2.
        unsafe { whole_vectors(luma, cb, cr, out) }
    }

    #[target_feature(enable = "avx2")]
    fn whole_vectors(luma: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) -> usize {
        let pixels = luma.as_chunks::<WIDE>().0.iter().zip(cb.as_chunks::<WIDE>().0).zip(cr.as_chunks::<WIDE>().0);
        let count = luma.len() / WIDE * WIDE;
        for (((y, cb), cr), out) in pixels.zip(out.as_chunks_mut::<{ 3 * WIDE }>().0) {
            *out = sixteen(*y, *cb, *cr);
        }
        count
    }

    #[target_feature(enable = "avx2")]
    fn sixteen(y: [u8; WIDE], cb: [u8; WIDE], cr: [u8; WIDE]) -> [u8; 3 * WIDE] {
        let widen = |bytes: [u8; WIDE]| _mm256_cvtepu8_epi16(bytemuck::cast(bytes));
        let middle = _mm256_set1_epi16(128);
        let y = widen(y);
        let cb = _mm256_sub_epi16(widen(cb), middle);
        let cr = _mm256_sub_epi16(widen(cr), middle);
        // (f c + 2^15) >> 16 with f of 16 bits.
        let part = |c: __m256i, factor: i16| {
            let product = _mm256_mulhi_epi16(_mm256_slli_epi16::<1>(c), _mm256_set1_epi16(factor));
            _mm256_srai_epi16::<1>(_mm256_add_epi16(product, _mm256_set1_epi16(1)))
        };
        // 91881 = 65536 + 26345, 116130 = 2 · 65536 - 14942, -46802 = -65536 + 18734.
        let red = _mm256_add_epi16(y, _mm256_add_epi16(cr, part(cr, 26_345)));
        let blue = _mm256_add_epi16(y, _mm256_add_epi16(_mm256_slli_epi16::<1>(cb), part(cb, -14_942)));
        let factors = _mm256_set1_epi32((-22_554i16 as u16 as u32 | 18_734 << 16).cast_signed());
        let half = _mm256_set1_epi32(1 << 15);
        let both = |pairs: __m256i| _mm256_srai_epi32::<16>(_mm256_add_epi32(_mm256_madd_epi16(pairs, factors), half));
        let sum = _mm256_packs_epi32(both(_mm256_unpacklo_epi16(cb, cr)), both(_mm256_unpackhi_epi16(cb, cr)));
        let green = _mm256_add_epi16(_mm256_sub_epi16(y, cr), sum);

        let bytes =
            |words: __m256i| _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        let [red, green, blue] = [bytes(red), bytes(green), bytes(blue)];
        let third = |places: &[[u8; WIDE]; 3]| {
            let [r, g, b]: [__m128i; 3] = bytemuck::cast(*places);
            _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(red, r), _mm_shuffle_epi8(green, g)), _mm_shuffle_epi8(blue, b))
        };
        bytemuck::cast([third(&PLACES[0]), third(&PLACES[1]), third(&PLACES[2])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_and_single_pixels_give_the_same_colours() {
        let all: Vec<[u8; 3]> = (0..1 << 18)
            .map(|i: u32| {
                [(i as u8 & 63) * 4 + (i >> 16) as u8, ((i >> 6 & 63) * 4 + 1) as u8, ((i >> 12) * 4 + 2) as u8]
            })
            .collect();
        let plane = |c: usize| all.iter().map(|pixel| pixel[c]).collect::<Vec<u8>>();
        let (y, cb, cr) = (plane(0), plane(1), plane(2));
        let (mut fast, mut slow) = (vec![0; 3 * y.len()], vec![0; 3 * y.len()]);
        to_rgb(&y, &cb, &cr, &mut fast);
        for i in 0..y.len() {
            to_rgb(&y[i..=i], &cb[i..=i], &cr[i..=i], &mut slow[3 * i..3 * i + 3]);
        }
        assert_eq!(fast, slow);
    }
}
