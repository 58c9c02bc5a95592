//! The colour engine's float path: what tables are made from and measured against.

#![allow(clippy::manual_clamp, reason = "max and min turn the NaN of a hostile profile into 0, clamp keeps it")]

use lcms2::{DisallowCache, Flags, PixelFormat as Encoding, ThreadContext, Transform};

use super::profile::{D50, Profile};
use crate::error::{Error, Result, Stage};
use crate::pixel::Color;

/// ICC rendering intents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Intent {
    Perceptual,
    /// Relative colorimetric.
    #[default]
    Relative,
    Saturation,
    /// Absolute colorimetric.
    Absolute,
}

impl From<Intent> for lcms2::Intent {
    fn from(intent: Intent) -> Self {
        match intent {
            Intent::Perceptual => lcms2::Intent::Perceptual,
            Intent::Relative => lcms2::Intent::RelativeColorimetric,
            Intent::Saturation => lcms2::Intent::Saturation,
            Intent::Absolute => lcms2::Intent::AbsoluteColorimetric,
        }
    }
}

/// How colours of one profile are brought into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rendering {
    pub intent: Intent,
    /// The darkest colour of the source becomes the darkest of the target. Without effect on the absolute intent.
    pub black_point_compensation: bool,
}

impl Default for Rendering {
    fn default() -> Self {
        Rendering { intent: Intent::Relative, black_point_compensation: true }
    }
}

/// Evaluates a transform for single colours.
pub struct Evaluator {
    transform: Transform<u8, u8, ThreadContext, DisallowCache>,
    from: Scale,
    to: Scale,
    /// Whether values come out in a profile's device space, 0–1.
    to_device: bool,
}

/// Values of one end: how many, and what the engine takes for their 0 and 1.
#[derive(Clone, Copy)]
struct Scale {
    components: usize,
    /// Of each component: the value of 0, and the distance from there to 1.
    ranges: [(f32, f32); 4],
}

impl Scale {
    fn even(components: usize, full: f32) -> Self {
        Scale { components, ranges: [(0.0, full); 4] }
    }

    fn of(color: Color) -> (Self, Encoding) {
        match color {
            Color::Gray => (Self::even(1, 1.0), Encoding::GRAY_FLT),
            Color::Rgb => (Self::even(3, 1.0), Encoding::RGB_FLT),
            // Per cent of ink.
            Color::Cmyk => (Self::even(4, 100.0), Encoding::CMYK_FLT),
            Color::Lab => {
                let ranges = [(0.0, 100.0), (-128.0, 255.0), (-128.0, 255.0), (0.0, 1.0)];
                (Scale { components: 3, ranges }, Encoding::Lab_FLT)
            }
        }
    }
}

impl Evaluator {
    /// # Errors
    /// `Malformed` or `Unsupported` when the engine cannot read or connect the profiles.
    pub fn new(from: &Profile, to: &Profile, rendering: Rendering) -> Result<Self> {
        let context = ThreadContext::new();
        let target = to.open(&context)?;
        let (scale, encoding) = Scale::of(to.color());
        let evaluator = Self::connect(&context, from, &target, scale, encoding, rendering)?;
        Ok(Evaluator { to_device: true, ..evaluator })
    }

    /// Device values to L\*, a\*, b\* relative to the medium's white (D50).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn to_lab(from: &Profile, intent: Intent) -> Result<Self> {
        let context = ThreadContext::new();
        let lab = lcms2::Profile::new_lab4_context(&context, &D50)
            .map_err(|_| Error::unsupported(Stage::Operate, "the colour engine cannot make a Lab profile"))?;
        let rendering = Rendering { intent, black_point_compensation: false };
        Self::connect(&context, from, &lab, Scale::even(3, 1.0), Encoding::Lab_FLT, rendering)
    }

    /// Device values to X, Y, Z (D50, white is Y = 1), as a target whose black is 0 would be given them.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn to_xyz(from: &Profile, rendering: Rendering) -> Result<Self> {
        let context = ThreadContext::new();
        let xyz = lcms2::Profile::new_xyz_context(&context);
        Self::connect(&context, from, &xyz, Scale::even(3, 1.0), Encoding::XYZ_FLT, rendering)
    }

    fn connect(
        context: &ThreadContext,
        from: &Profile,
        target: &lcms2::Profile<ThreadContext>,
        to: Scale,
        encoding: Encoding,
        rendering: Rendering,
    ) -> Result<Self> {
        let source = from.open(context)?;
        let (scale, source_encoding) = Scale::of(from.color());
        let mut flags = Flags::NO_CACHE | Flags::NO_OPTIMIZE;
        if rendering.black_point_compensation && rendering.intent != Intent::Absolute {
            flags = flags | Flags::BLACKPOINT_COMPENSATION;
        }
        let transform = Transform::new_flags_context(
            context,
            &source,
            source_encoding,
            target,
            encoding,
            rendering.intent.into(),
            flags,
        )
        .map_err(|_| {
            Error::unsupported(
                Stage::Operate,
                format!("the ICC profile ({from}) is broken or lacks what the conversion needs"),
            )
        })?;
        Ok(Evaluator { transform, from: scale, to, to_device: false })
    }

    /// Converts colours: components 0–1, one colour after the other; Lab and XYZ in their own units. Device
    /// values that come out are clamped to 0–1.
    pub fn evaluate(&self, colors: &[f32]) -> Vec<f32> {
        let scaled = |(value, (zero, range)): (&f32, &(f32, f32))| zero + value * range;
        let color = |color| <[f32]>::iter(color).zip(&self.from.ranges).map(scaled);
        let scaled: Vec<f32> = colors.chunks_exact(self.from.components).flat_map(color).collect();
        let mut out = vec![0f32; colors.len() / self.from.components * self.to.components];
        self.transform.transform_pixels(bytemuck::cast_slice(&scaled), bytemuck::cast_slice_mut(&mut out));
        for value in &mut out {
            if value.is_nan() {
                // From a broken profile.
                *value = 0.0;
            } else if self.to_device {
                // All components of gray, RGB and CMYK have the same range.
                *value = (*value / self.to.ranges[0].1).clamp(0.0, 1.0);
            }
        }
        out
    }
}
