//! 2:1 downsampling, exactly centred: output pixel `i` lies between input pixels `2i` and `2i + 1`.
//!
//! **Formula.** `out[i] = Σ_k taps[k] · in[clamp(2i − 3 + k)]`, k = 0…7, first down the columns, then along
//! the rows. Edge rule: replicate the outermost pixel. Colour encoding: as stored (no linearisation);
//! alpha is unassociated in and out, and colour is premultiplied while it is filtered.
//!
//! **Arithmetic** (the contract of both backends; `>>` is an arithmetic shift, all in 32 bits):
//!
//! | format | value `v` | after columns | after rows |
//! |---|---|---|---|
//! | 8-bit | `s` | `t = (Σ w·v + 2^7) >> 8` (Q6) | `clamp((Σ w·t + 2^19) >> 20, 0, 255)` |
//! | 16-bit | `s` | `t = (Σ w·v + 2^13) >> 14` | `clamp((Σ w·t + 2^13) >> 14, 0, 65535)` |
//! | 8-bit with alpha | colour `c·a`, alpha `a·255` | as 16-bit | `r = (Σ w·t + 2^13) >> 14`, see below |
//! | 16-bit with alpha | colour `(c·a + 32767) / 65535`, alpha `a` | as 16-bit | `r` likewise |
//!
//! With alpha, `A = clamp(r_alpha, 0, 65025 or 65535)`, `P = clamp(r_colour, 0, A)`;
//! 8-bit: `alpha = (A + 127) / 255`, `colour = (P·255 + A/2) / A`;
//! 16-bit: `alpha = A`, `colour = (P·65535 + A/2) / A` (unsigned); colour is 0 where `A` is 0.
//!
//! A flat image stays exactly what it is, with one exception: 16-bit colour under partial alpha has a premultiplied
//! value that is rounded to a unit, so its first level may move by up to `0.5·65535/a + 0.5`; further levels stay there.
//!
//! The taps are Q14 and sum to exactly 16384; Σ|w| ≤ 1.41 · 16384 keeps every sum inside an `i32`.
//!
//! Halo: 3 rows or columns before, 3 after the pair. Sources: Duchon 1979 (Lanczos window);
//! Keys 1981 (cubic convolution), with a = −0.75 for the sharper variant.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub mod cpu;
pub mod gpu;

/// Downsampling filter, stretched to 2:1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Filter {
    /// Lanczos with two lobes: 8 taps at 2:1.
    #[default]
    Lanczos,
    /// Mean of 2 × 2 pixels.
    Box,
    /// Keys' cubic with a = −0.75: crisper, with more ringing.
    BicubicSharper,
}

/// Number of taps of every filter; the box pads with zeros.
pub const TAPS: usize = 8;
/// Input rows (columns) before `2i` that output `i` reads.
pub const BEFORE: u32 = 3;
/// Input rows (columns) after `2i` that output `i` reads: up to `2i + 4`.
pub const AFTER: u32 = 4;
/// Fixed point of the taps: `1.0` is `1 << TAP_BITS`.
pub const TAP_BITS: u32 = 14;

/// The one table that both backends consume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Symmetric Q14 weights, sum 16384.
    pub taps: [i32; TAPS],
}

impl Plan {
    pub fn new(filter: Filter) -> Self {
        let weights = filter.weights();
        let mut taps = weights.map(|w| (w * f64::from(1 << TAP_BITS)).round() as i32);
        // Put the rounding error of the sum on the two centre taps; a symmetric sum is even.
        let missing = (1 << TAP_BITS) - taps.iter().sum::<i32>();
        taps[3] += missing / 2;
        taps[4] += missing / 2;
        Plan { taps }
    }
}

impl Filter {
    /// The eight weights in f64, sum 1; tap k stands at distance |k − 3.5| from the output's centre.
    pub fn weights(self) -> [f64; TAPS] {
        let mut weights = [0.0; TAPS];
        for (k, weight) in weights.iter_mut().enumerate() {
            // Distance in output pixels, which are two input pixels wide.
            *weight = self.kernel((k as f64 - 3.5).abs() / 2.0);
        }
        let sum: f64 = weights.iter().sum();
        weights.map(|w| w / sum)
    }

    /// The continuous kernel at distance `x` ≥ 0, in output pixels.
    fn kernel(self, x: f64) -> f64 {
        match self {
            Filter::Lanczos => {
                let sinc =
                    |t: f64| if t == 0.0 { 1.0 } else { (std::f64::consts::PI * t).sin() / (std::f64::consts::PI * t) };
                if x < 2.0 { sinc(x) * sinc(x / 2.0) } else { 0.0 }
            }
            Filter::Box => f64::from(x < 0.5),
            Filter::BicubicSharper => {
                let a = -0.75;
                if x < 1.0 {
                    (a + 2.0) * x.powi(3) - (a + 3.0) * x.powi(2) + 1.0
                } else if x < 2.0 {
                    a * (x.powi(3) - 5.0 * x.powi(2) + 8.0 * x - 4.0)
                } else {
                    0.0
                }
            }
        }
    }
}
