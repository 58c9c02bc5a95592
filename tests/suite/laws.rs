//! What must hold for every image operation on the CPU, and how far each is from a slow f64 reference that is
//! written straight from the formulas. The shaders are held to the CPU's bits in `parity`.

use std::sync::Arc;

use reprise::geometry::Size;
use reprise::ops::pyramid::{self, cpu::CpuExecutor};
use reprise::ops::resample::{self, Filter};
use reprise::pixel::{Depth, PixelFormat, Raster};

use crate::support::{SIZES, assert_same, flat, from_fn, levels_of, noise, scene};
use crate::tolerances;

const FILTERS: [Filter; 3] = [Filter::Lanczos, Filter::Box, Filter::BicubicSharper];

fn downsampled(filter: Filter, image: &Raster) -> Raster {
    let mut out = Raster::empty(image.format, image.size().halved().width);
    let rows = 0..image.size().halved().height;
    resample::cpu::downsample(&resample::Plan::new(filter), image, 0, image.size(), rows, &mut out);
    out
}

/// Weight of a filter at distance `x`, in output pixels, not yet normalised (Duchon 1979; Keys 1981).
fn kernel(filter: Filter, x: f64) -> f64 {
    let sinc = |x: f64| (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x);
    match filter {
        Filter::Lanczos => sinc(x) * sinc(x / 2.0),
        Filter::Box => f64::from(x < 0.5),
        Filter::BicubicSharper if x < 1.0 => 1.25 * x * x * x - 2.25 * x * x + 1.0,
        Filter::BicubicSharper => -0.75 * (x * x * x - 5.0 * x * x + 8.0 * x - 4.0),
    }
}

/// Planes of f64, colour premultiplied on the scale of the samples.
struct Planes {
    size: Size,
    planes: Vec<Vec<f64>>,
}

impl Planes {
    fn of(image: &Raster) -> Self {
        let max = f64::from(image.format.depth.max());
        let components = image.format.color.components();
        let plane = |channel: usize| {
            let mut plane = Vec::new();
            for y in 0..image.height {
                for x in 0..image.width {
                    let value = f64::from(image.at(x, y, channel));
                    let premultiplied = image.format.alpha && channel < components;
                    let alpha = if premultiplied { f64::from(image.at(x, y, components)) / max } else { 1.0 };
                    plane.push(value * alpha);
                }
            }
            plane
        };
        Planes { size: image.size(), planes: (0..image.format.channels()).map(plane).collect() }
    }

    fn at(&self, channel: usize, x: i64, y: i64) -> f64 {
        let x = x.clamp(0, i64::from(self.size.width) - 1) as usize;
        let y = y.clamp(0, i64::from(self.size.height) - 1) as usize;
        self.planes[channel][y * self.size.width as usize + x]
    }

    /// Clamps to what samples can hold: 0 … max, and colour at most alpha.
    fn clamped(mut self, format: PixelFormat) -> Self {
        let max = f64::from(format.depth.max());
        for plane in &mut self.planes {
            plane.iter_mut().for_each(|v| *v = v.clamp(0.0, max));
        }
        if format.alpha {
            let (alpha, color) = self.planes.split_last_mut().expect("alpha is a channel");
            for plane in color {
                plane.iter_mut().zip(&*alpha).for_each(|(v, a)| *v = v.min(*a));
            }
        }
        self
    }
}

fn reference_downsample(filter: Filter, image: &Raster) -> Planes {
    let weights: Vec<f64> = (0..8).map(|k| kernel(filter, (f64::from(k) - 3.5).abs() / 2.0)).collect();
    let sum: f64 = weights.iter().sum();
    let input = Planes::of(image);
    let size = image.size().halved();
    let plane = |channel: usize| {
        let mut plane = Vec::new();
        for y in 0..i64::from(size.height) {
            for x in 0..i64::from(size.width) {
                let mut value = 0.0;
                for (j, wy) in (0..).zip(&weights) {
                    for (i, wx) in (0..).zip(&weights) {
                        value += wy * wx / (sum * sum) * input.at(channel, 2 * x - 3 + i, 2 * y - 3 + j);
                    }
                }
                plane.push(value);
            }
        }
        plane
    };
    Planes { size, planes: (0..image.format.channels()).map(plane).collect() }.clamped(image.format)
}

/// Largest difference between an image and a reference, colour compared premultiplied; colour first, alpha second.
fn distance(image: &Raster, reference: &Planes) -> (f64, f64) {
    assert_eq!(image.size(), reference.size);
    let actual = Planes::of(image);
    let largest = |channel: usize| {
        actual.planes[channel].iter().zip(&reference.planes[channel]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    let components = image.format.color.components();
    let color = (0..components).map(largest).fold(0.0, f64::max);
    (color, if image.format.alpha { largest(components) } else { 0.0 })
}

#[test]
fn downsample_stays_near_the_reference() {
    for format in PixelFormat::all() {
        let (plain, premultiplied) = match format.depth {
            Depth::U8 => (tolerances::DOWNSAMPLE_U8, tolerances::DOWNSAMPLE_U8_PREMULTIPLIED),
            Depth::U16 => (tolerances::DOWNSAMPLE_U16, tolerances::DOWNSAMPLE_U16_PREMULTIPLIED),
        };
        let color_bound = if format.alpha { premultiplied } else { plain };
        for filter in FILTERS {
            let mut most = (0.0f64, 0.0f64);
            for size in SIZES {
                for image in [noise(format, size, 3), scene(format, size, 4)] {
                    let (color, alpha) = distance(&downsampled(filter, &image), &reference_downsample(filter, &image));
                    most = (most.0.max(color), most.1.max(alpha));
                    assert!(color <= color_bound, "{format} {filter:?} {size:?}: colour is {color} off");
                    assert!(alpha <= plain, "{format} {filter:?} {size:?}: alpha is {alpha} off");
                }
            }
            println!("{format} {filter:?}: colour {:.3}, alpha {:.3}", most.0, most.1);
        }
    }
}

#[test]
fn downsample_keeps_flat_images() {
    for format in PixelFormat::all() {
        let max = format.depth.max();
        for value in [0, 1, max / 3, max / 2, max - 1, max] {
            // 16-bit colour is exact under full alpha; `downsample_stays_near_the_reference` bounds the rest.
            let alphas = if format.depth == Depth::U16 { vec![max] } else { vec![1, 77, 128, max] };
            for alpha in alphas {
                let mut pixel = vec![value; format.color.components()];
                pixel.extend(format.alpha.then_some(alpha));
                for filter in FILTERS {
                    let image = flat(format, Size::new(21, 13), &pixel);
                    let expected = flat(format, Size::new(11, 7), &pixel);
                    assert_same(&downsampled(filter, &image), &expected, format!("{format} {filter:?} {pixel:?}"));
                }
            }
        }
    }
}

fn plan(format: PixelFormat, size: Size, tile: u32) -> pyramid::Plan {
    pyramid::Plan {
        format,
        levels: pyramid::levels(size, tile),
        resample: resample::Plan::new(Filter::default()),
        unsharp: None,
    }
}

#[test]
fn band_size_changes_nothing() {
    for format in PixelFormat::all() {
        let image = noise(format, Size::new(67, 53), 5);
        let plan = Arc::new(plan(format, image.size(), 4));
        let whole = levels_of(&mut CpuExecutor::new(plan.clone()), &plan, &image, 53);
        for rows in [1, 2, 3, 7, 16, 52] {
            let banded = levels_of(&mut CpuExecutor::new(plan.clone()), &plan, &image, rows);
            for (level, (a, b)) in whole.iter().zip(&banded).enumerate() {
                assert_same(a, b, format!("{format}, level {level}, bands of {rows}"));
            }
        }
    }
}
