//! Generated images and comparisons that several test files share.

use std::fmt;

use reprise::geometry::{Rect, Size};
use reprise::jpeg::{Coefficients, Decoder};
use reprise::limits::Limits;
use reprise::ops::pyramid::{Executor, Plan};
use reprise::pixel::{PixelFormat, Raster, Samples};

/// Sides that meet every edge case of halos and tiles: single pixels, primes, a tile ± 1.
pub const SIZES: [Size; 12] = [
    Size::new(1, 1),
    Size::new(1, 2),
    Size::new(2, 1),
    Size::new(1, 19),
    Size::new(23, 1),
    Size::new(3, 2),
    Size::new(7, 7),
    Size::new(31, 37),
    Size::new(64, 50),
    Size::new(255, 5),
    Size::new(256, 6),
    Size::new(257, 7),
];

/// An image from a function of x, y and channel.
pub fn from_fn(format: PixelFormat, size: Size, mut sample: impl FnMut(u32, u32, usize) -> u32) -> Raster {
    let mut image = Raster::zeroed(format, size);
    let mut index = 0;
    for y in 0..size.height {
        for x in 0..size.width {
            for channel in 0..format.channels() {
                let value = sample(x, y, channel);
                match &mut image.samples {
                    Samples::U8(s) => s[index] = value.try_into().expect("an 8-bit value"),
                    Samples::U16(s) => s[index] = value.try_into().expect("a 16-bit value"),
                }
                index += 1;
            }
        }
    }
    image
}

/// One pixel everywhere.
pub fn flat(format: PixelFormat, size: Size, pixel: &[u32]) -> Raster {
    from_fn(format, size, |_, _, channel| pixel[channel])
}

/// Evenly distributed values, the extremes more often; the same for the same seed.
pub fn noise(format: PixelFormat, size: Size, seed: u64) -> Raster {
    let mut random = Random(seed);
    let max = format.depth.max();
    from_fn(format, size, |_, _, _| {
        let bits = random.next();
        match bits >> 61 {
            0 => 0,
            1 => max,
            _ => bits as u32 & max,
        }
    })
}

/// Something like a photograph: slopes, soft waves, hard edges and a little grain. Alpha, where there is some,
/// runs from transparent through a soft edge to opaque.
pub fn scene(format: PixelFormat, size: Size, seed: u64) -> Raster {
    let mut random = Random(seed);
    let max = f64::from(format.depth.max());
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    from_fn(format, size, |x, y, channel| {
        let (u, v) = ((f64::from(x) + 0.5) / width, (f64::from(y) + 0.5) / height);
        let grain = (random.next() >> 40) as f64 / f64::from(1 << 24) - 0.5;
        let value = if format.alpha && channel == format.channels() - 1 {
            // A disc with a soft rim.
            (0.5 - (u - 0.5).hypot(v - 0.5)) * 6.0
        } else {
            let phase = channel as f64 * 1.3;
            let slope = 0.25 + 0.5 * (u * (channel + 1) as f64 / 4.0 + v * 0.3);
            let wave = 0.12 * (u * 21.0 + phase).sin() * (v * 17.0).cos();
            let bar = if ((u * 9.0) as u32 + (v * 7.0) as u32).is_multiple_of(3) { 0.3 } else { 0.0 };
            slope + wave + bar + 0.02 * grain
        };
        (value.clamp(0.0, 1.0) * max).round() as u32
    })
}

/// `object` inside `rect`, `background` around it.
pub fn drawn_box(format: PixelFormat, size: Size, rect: Rect, background: &[u32], object: &[u32]) -> Raster {
    from_fn(format, size, |x, y, channel| {
        let inside = (rect.x..rect.x + rect.width).contains(&x) && (rect.y..rect.y + rect.height).contains(&y);
        if inside { object[channel] } else { background[channel] }
    })
}

/// Sets one sample.
pub fn set(image: &mut Raster, x: u32, y: u32, channel: usize, value: u32) {
    let index = (y as usize * image.width as usize + x as usize) * image.format.channels() + channel;
    match &mut image.samples {
        Samples::U8(s) => s[index] = value.try_into().expect("an 8-bit value"),
        Samples::U16(s) => s[index] = value.try_into().expect("a 16-bit value"),
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An even number of 0 … `end` − 1.
    pub fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end)) as u32
    }
}

/// Why two images are not the same.
#[derive(Debug, PartialEq)]
pub enum Difference {
    Shape { left: String, right: String },
    Pixel { x: u32, y: u32, left: Vec<u32>, right: Vec<u32>, differing_pixels: usize },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Shape { left, right } => write!(f, "{left} against {right}"),
            Difference::Pixel { x, y, left, right, differing_pixels } => {
                write!(f, "{differing_pixels} pixels differ, the first at ({x}, {y}): {left:?} against {right:?}")
            }
        }
    }
}

/// The first difference in reading order; `None` when size, format and every sample are the same.
pub fn difference(left: &Raster, right: &Raster) -> Option<Difference> {
    let shape = |r: &Raster| format!("{} × {} px, {}, {} samples", r.width, r.height, r.format, r.samples.len());
    if shape(left) != shape(right) {
        return Some(Difference::Shape { left: shape(left), right: shape(right) });
    }
    let channels = left.format.channels();
    let pixel = |r: &Raster, index: usize| -> Vec<u32> {
        (0..channels).map(|c| r.samples.value(index * channels + c)).collect()
    };
    let mut differing = (0..left.samples.len() / channels).filter(|i| pixel(left, *i) != pixel(right, *i));
    let first = differing.next()?;
    Some(Difference::Pixel {
        x: (first % left.width as usize) as u32,
        y: (first / left.width as usize) as u32,
        left: pixel(left, first),
        right: pixel(right, first),
        differing_pixels: 1 + differing.count(),
    })
}

/// Fails unless both images are the same, naming the first pixel that differs.
#[track_caller]
pub fn assert_same(left: &Raster, right: &Raster, what: impl fmt::Display) {
    if let Some(difference) = difference(left, right) {
        panic!("{what}: {difference}");
    }
}

/// Peak signal-to-noise ratio in dB over all samples; infinite for equal images.
pub fn psnr(left: &Raster, right: &Raster) -> f64 {
    assert_eq!((left.size(), left.format), (right.size(), right.format), "images of another shape");
    let count = left.samples.len();
    let squares: f64 =
        (0..count).map(|i| (f64::from(left.samples.value(i)) - f64::from(right.samples.value(i))).powi(2)).sum();
    20.0 * f64::from(left.format.depth.max()).log10() - 10.0 * (squares / count as f64).log10()
}

/// Pushes `image` in bands of `band_rows` rows and collects all levels; the first is the image itself.
/// Checks on the way that rows of each level arrive in order and none twice.
pub fn levels_of(executor: &mut dyn Executor, plan: &Plan, image: &Raster, band_rows: u32) -> Vec<Raster> {
    let mut levels: Vec<Raster> = plan.levels.iter().map(|size| Raster::empty(plan.format, size.width)).collect();
    levels[0] = image.clone();
    for start in (0..image.height).step_by(band_rows as usize) {
        let end = image.height.min(start + band_rows);
        let mut band = Raster::empty(image.format, image.width);
        band.append_rows(image, start..end);
        let mut sink = |level: usize, first: u32, rows: &Raster| {
            assert!(level > 0, "full resolution is not handed back");
            assert_eq!(first, levels[level].height, "rows of level {level} out of order");
            levels[level].append_rows(rows, 0..rows.height);
            Ok(())
        };
        executor.push(&band, &mut sink).expect("the executor takes the band");
    }
    let sizes: Vec<Size> = levels.iter().map(Raster::size).collect();
    assert_eq!(sizes, plan.levels, "levels are incomplete");
    levels
}

#[test]
fn comparer_finds_a_single_planted_fault() {
    for format in PixelFormat::all() {
        let image = scene(format, Size::new(19, 11), 1);
        assert_eq!(difference(&image, &image.clone()), None);
        for (x, y, channel) in [(0, 0, 0), (18, 10, format.channels() - 1), (7, 5, format.channels() / 2)] {
            let mut faulty = image.clone();
            set(&mut faulty, x, y, channel, image.at(x, y, channel) ^ 1);
            let Some(Difference::Pixel { x: at_x, y: at_y, differing_pixels, .. }) = difference(&image, &faulty) else {
                panic!("{format}: the fault at ({x}, {y}) was not found");
            };
            assert_eq!((at_x, at_y, differing_pixels), (x, y, 1));
        }
    }
}

#[test]
#[should_panic(expected = "planted: 1 pixels differ, the first at (3, 2)")]
fn comparison_fails_on_a_single_planted_fault() {
    let image = scene(PixelFormat::all().next().expect("a format"), Size::new(5, 4), 1);
    let mut faulty = image.clone();
    set(&mut faulty, 3, 2, 0, image.at(3, 2, 0) ^ 1);
    assert_same(&image, &faulty, "planted");
}

#[test]
fn comparer_sees_moved_pixels_and_other_shapes() {
    let format = PixelFormat::all().next().expect("a format");
    let row = from_fn(format, Size::new(4, 1), |x, _, _| x);
    let moved = from_fn(format, Size::new(4, 1), |x, _, _| 3 - x);
    assert!(difference(&row, &moved).is_some(), "the same sum of samples, in another order");
    let column = from_fn(format, Size::new(1, 4), |_, y, _| y);
    assert!(matches!(difference(&row, &column), Some(Difference::Shape { .. })));
}

#[test]
fn psnr_of_known_errors() {
    let format = PixelFormat::all().next().expect("a format");
    let black = flat(format, Size::new(10, 10), &[0]);
    assert_eq!(psnr(&black, &black), f64::INFINITY);
    assert!((psnr(&black, &flat(format, Size::new(10, 10), &[255]))).abs() < 1e-9);
    assert!((psnr(&black, &flat(format, Size::new(10, 10), &[1])) - 48.1308).abs() < 1e-3);
}

/// Mean structural similarity of windows of 8 × 8 samples (Wang and others 2004), of 1 at most.
pub fn ssim(a: &Raster, b: &Raster) -> f64 {
    let max = f64::from(a.format.depth.max());
    let (c1, c2) = ((0.01 * max).powi(2), (0.03 * max).powi(2));
    let (mut sum, mut windows) = (0.0, 0.0);
    for channel in 0..a.format.channels() {
        for top in (0..a.height).step_by(4) {
            for left in (0..a.width).step_by(4) {
                let place = |i: u32| ((left + i % 8).min(a.width - 1), (top + i / 8).min(a.height - 1));
                let values = |image: &Raster| -> Vec<f64> {
                    (0..64).map(|i| f64::from(image.at(place(i).0, place(i).1, channel))).collect()
                };
                let (x, y) = (values(a), values(b));
                let mean = |v: &[f64]| v.iter().sum::<f64>() / 64.0;
                let (mx, my) = (mean(&x), mean(&y));
                let covariance = |v: &[f64], w: &[f64], mv: f64, mw: f64| {
                    v.iter().zip(w).map(|(v, w)| (v - mv) * (w - mw)).sum::<f64>() / 63.0
                };
                let (vx, vy) = (covariance(&x, &x, mx, mx), covariance(&y, &y, my, my));
                let vxy = covariance(&x, &y, mx, my);
                sum += (2.0 * mx * my + c1) * (2.0 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2));
                windows += 1.0;
            }
        }
    }
    sum / windows
}

pub fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
}

/// All coefficients of a JPEG, of which every row is read.
pub fn coefficients_of(data: Vec<u8>, limits: &Limits) -> reprise::Result<Coefficients> {
    let mut decoder = Decoder::new(data, limits)?;
    decoder.keep_coefficients()?;
    let mut row = vec![0; decoder.header().size.width as usize * decoder.format().bytes_per_pixel()];
    while decoder.read_scanlines(&mut row)? > 0 {}
    decoder.take_coefficients(0..decoder.header().size.height, None)
}
