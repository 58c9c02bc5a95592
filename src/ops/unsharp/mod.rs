//! Unsharp mask: `out = in + amount · (in − gauss(in, σ = radius))` where the difference passes the threshold.
//!
//! **Formula.** Separable Gaussian, truncated at ⌈3σ⌉ pixels, first down the columns, then along the rows;
//! cost grows with the radius, not with its square. Edge rule: replicate. Colour encoding: as stored.
//! With alpha, colour is premultiplied while it is worked on, and alpha is sharpened too.
//!
//! **Arithmetic** (unsigned 32 bits unless said otherwise). Work value `v`, full scale `S`, one 8-bit unit `u`:
//!
//! | format | colour `v` | alpha `v` | S | u |
//! |---|---|---|---|---|
//! | 8-bit | `s·256` | | 65280 | 256 |
//! | 16-bit | `s` | | 65535 | 257 |
//! | 8-bit with alpha | `c·a` | `a·255` | 65025 | 255 |
//! | 16-bit with alpha | `(c·a + 32767) / 65535` | `a` | 65535 | 257 |
//!
//! `t = (Σ w·v + 2^15) >> 16` down the columns, `b = (Σ w·t + 2^15) >> 16` along the rows (weights Q16, sum 65536);
//! `d = v − b` (signed); where `|d| > threshold · u`: `v' = clamp(v + ((amount·d + 2^11) >> 12), 0, S)`
//! with `amount` in Q12 and an arithmetic shift; elsewhere `v' = v`.
//! A pixel none of whose differences passes is copied unchanged.
//! Otherwise 8-bit: `(v' + 128) >> 8`; with alpha as [`resample`](super::resample): `A = v'_alpha`, `P = min(v'_colour, A)`;
//! 8-bit `alpha = (A + 127) / 255`, `colour = (P·255 + A/2) / A`; 16-bit `alpha = A`, `colour = (P·65535 + A/2) / A`;
//! colour is 0 where `A` is 0.
//!
//! **Monochrome**: one luma value `L` per pixel stands for the colour components:
//! gray `v`; RGB `(9798·R + 19235·G + 3735·B + 2^14) >> 15` (Rec. 601); CMYK `(L(C, M, Y) + K + 1) >> 1`;
//! `d` is computed on `L` and added to every colour component; alpha keeps its own `d`.
//!
//! Halo: ⌈3σ⌉ on each side. Never applied to the full-resolution level.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub mod cpu;
pub mod gpu;

/// Parameters as the job gives them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unsharp {
    /// 0–5; 1 is 100 %.
    pub amount: f64,
    /// Standard deviation of the Gaussian in pixels, 0–250.
    pub radius_px: f64,
    /// 0–255 on the 8-bit scale.
    pub threshold: u8,
    /// Sharpen luma only.
    pub monochrome: bool,
}

/// The one table that both backends consume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Half of the symmetric Q16 kernel: `weights[0]` is the centre, `weights[k]` stands at ±k.
    /// `weights[0] + 2·Σ weights[1..]` is exactly 65536.
    pub weights: Vec<u32>,
    /// Q12, 0–20480.
    pub amount: i32,
    /// 0–255 on the 8-bit scale.
    pub threshold: u32,
    pub monochrome: bool,
}

impl Plan {
    /// `None` when the parameters change nothing (amount 0, or a radius too small to reach a neighbour).
    pub fn new(unsharp: &Unsharp) -> Option<Self> {
        let amount = (unsharp.amount * 4096.0).round() as i32;
        let sigma = unsharp.radius_px;
        if amount == 0 || sigma <= 0.0 {
            return None;
        }
        let half = (3.0 * sigma).ceil() as usize;
        let gauss: Vec<f64> = (0..=half).map(|k| (-((k * k) as f64) / (2.0 * sigma * sigma)).exp()).collect();
        let total = gauss[0] + 2.0 * gauss[1..].iter().sum::<f64>();
        // Round the running sum from the far end inwards, not each weight: no weight of a wide kernel
        // is large enough to be rounded alone.
        let mut weights = vec![0u32; half + 1];
        let (mut exact, mut given) = (0.0, 0u32);
        for k in (1..=half).rev() {
            exact += gauss[k] / total * 65536.0;
            weights[k] = exact.round() as u32 - given;
            given += weights[k];
        }
        weights[0] = 65536 - 2 * given;
        while weights.len() > 1 && weights.last() == Some(&0) {
            weights.pop();
        }
        (weights.len() > 1).then_some(Plan {
            weights,
            amount,
            threshold: unsharp.threshold.into(),
            monochrome: unsharp.monochrome,
        })
    }

    /// Rows and columns of context on each side.
    pub fn halo(&self) -> u32 {
        self.weights.len() as u32 - 1
    }
}
