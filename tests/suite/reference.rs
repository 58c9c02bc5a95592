//! The operations once more, slowly, in f64 and straight from the formulas: no fixed point, no rounding.

use reprise::geometry::Size;
use reprise::ops::resample::Filter;
use reprise::ops::unsharp::Unsharp;
use reprise::pixel::{Color, Depth, PixelFormat, Raster};

/// One plane per channel on the scale of the samples, colour premultiplied.
#[derive(Clone)]
pub struct Planes {
    pub size: Size,
    pub format: PixelFormat,
    pub planes: Vec<Vec<f64>>,
}

impl Planes {
    pub fn of(image: &Raster) -> Self {
        let max = f64::from(image.format.depth.max());
        let components = image.format.color.components();
        Planes { size: image.size(), format: image.format, planes: Vec::new() }.filled(|channel, x, y| {
            let (x, y) = (x as u32, y as u32);
            let premultiplied = image.format.alpha && channel < components;
            let alpha = if premultiplied { f64::from(image.at(x, y, components)) / max } else { 1.0 };
            f64::from(image.at(x, y, channel)) * alpha
        })
    }

    /// New values for every channel, x and y.
    fn filled(mut self, value: impl Fn(usize, i64, i64) -> f64) -> Self {
        let points = |y: i64| (0..i64::from(self.size.width)).map(move |x| (x, y));
        let points: Vec<(i64, i64)> = (0..i64::from(self.size.height)).flat_map(points).collect();
        let plane = |channel| points.iter().map(|(x, y)| value(channel, *x, *y)).collect();
        self.planes = (0..self.format.channels()).map(plane).collect();
        self
    }

    /// Clamps to what samples can hold: 0 … max, and colour at most alpha.
    fn clamped(mut self) -> Self {
        let max = f64::from(self.format.depth.max());
        for plane in &mut self.planes {
            plane.iter_mut().for_each(|v| *v = v.clamp(0.0, max));
        }
        if self.format.alpha {
            let (alpha, color) = self.planes.split_last_mut().expect("alpha is a channel");
            for plane in color {
                plane.iter_mut().zip(&*alpha).for_each(|(v, a)| *v = v.min(*a));
            }
        }
        self
    }

    /// Largest differences of `image` from these planes, colour compared premultiplied: of colour, of alpha.
    pub fn distance(&self, image: &Raster) -> (f64, f64) {
        self.distance_where(image, |_| true)
    }

    /// The same over the pixels, by index, that `counts` says.
    pub fn distance_where(&self, image: &Raster, counts: impl Fn(usize) -> bool) -> (f64, f64) {
        assert_eq!((image.size(), image.format), (self.size, self.format), "an image of another shape");
        let actual = Planes::of(image);
        let largest = |channel: usize| {
            let pairs = actual.planes[channel].iter().zip(&self.planes[channel]).enumerate();
            pairs.filter(|(i, _)| counts(*i)).map(|(_, (a, b))| (a - b).abs()).fold(0.0, f64::max)
        };
        let components = image.format.color.components();
        let color = (0..components).map(largest).fold(0.0, f64::max);
        (color, if image.format.alpha { largest(components) } else { 0.0 })
    }
}

/// A sample of a plane, replicated past its edges.
fn at(plane: &[f64], size: Size, x: i64, y: i64) -> f64 {
    let x = x.clamp(0, i64::from(size.width) - 1) as usize;
    let y = y.clamp(0, i64::from(size.height) - 1) as usize;
    plane[y * size.width as usize + x]
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

/// The next pyramid level.
pub fn downsample(filter: Filter, image: &Raster) -> Planes {
    let weights: Vec<f64> = (0..8).map(|k| kernel(filter, (f64::from(k) - 3.5).abs() / 2.0)).collect();
    let sum: f64 = weights.iter().sum();
    let input = Planes::of(image);
    let out = Planes { size: input.size.halved(), ..input.clone() };
    out.filled(|channel, x, y| {
        let mut value = 0.0;
        for (j, wy) in (0..).zip(&weights) {
            for (i, wx) in (0..).zip(&weights) {
                let sample = at(&input.planes[channel], input.size, 2 * x - 3 + i, 2 * y - 3 + j);
                value += wy * wx / (sum * sum) * sample;
            }
        }
        value
    })
    .clamped()
}

/// A sharpened image, and the pixels (by index) where a difference lies so near the threshold
/// that rounding decides.
pub fn sharpen(parameters: &Unsharp, image: &Raster) -> (Planes, Vec<bool>) {
    let input = Planes::of(image);
    let (size, format) = (input.size, input.format);
    let components = format.color.components();
    let unit = if format.depth == Depth::U8 { 1.0 } else { 257.0 };
    let threshold = f64::from(parameters.threshold) * unit;

    let guides: Vec<Vec<f64>> = if parameters.monochrome {
        let luma = luma(format.color, &input.planes);
        let alpha = format.alpha.then(|| input.planes[components].clone());
        [vec![luma; components], alpha.into_iter().collect()].concat()
    } else {
        input.planes.clone()
    };
    let differences: Vec<Vec<f64>> = guides
        .iter()
        .map(|guide| guide.iter().zip(gauss(guide, size, parameters.radius_px)).map(|(v, b)| v - b).collect())
        .collect();

    let undecided = (0..size.pixels() as usize)
        .map(|i| differences.iter().any(|d| (d[i].abs() - threshold).abs() < 0.05 * unit))
        .collect();
    let width = i64::from(size.width);
    let sharpened = input.clone().filled(|channel, x, y| {
        let index = (y * width + x) as usize;
        let d = differences[channel][index];
        input.planes[channel][index] + if d.abs() > threshold { parameters.amount * d } else { 0.0 }
    });
    (sharpened.clamped(), undecided)
}

fn luma(color: Color, planes: &[Vec<f64>]) -> Vec<f64> {
    let rec601 = |i: usize| 0.299 * planes[0][i] + 0.587 * planes[1][i] + 0.114 * planes[2][i];
    let value = |i: usize| match color {
        Color::Gray | Color::Lab => planes[0][i],
        Color::Rgb => rec601(i),
        Color::Cmyk => (rec601(i) + planes[3][i]) / 2.0,
    };
    (0..planes[0].len()).map(value).collect()
}

/// Gaussian of standard deviation `sigma`, cut at ⌈3σ⌉.
fn gauss(plane: &[f64], size: Size, sigma: f64) -> Vec<f64> {
    let half = (3.0 * sigma).ceil() as i64;
    let weights: Vec<f64> = (-half..=half).map(|k| (-((k * k) as f64) / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let pass = |plane: &[f64], dx: i64, dy: i64| -> Vec<f64> {
        let mut out = Vec::with_capacity(plane.len());
        for y in 0..i64::from(size.height) {
            for x in 0..i64::from(size.width) {
                let taps = (-half..=half).zip(&weights);
                out.push(taps.map(|(k, w)| w / sum * at(plane, size, x + k * dx, y + k * dy)).sum());
            }
        }
        out
    };
    pass(&pass(plane, 0, 1), 1, 0)
}
