//! Where the nodes of a grid stand along its axes.

use lcms2::{Tag, TagSignature, ThreadContext};

use super::{Intent, Profile};
use crate::pixel::{Color, Depth, PixelFormat};

/// A rising map of device values, 0–1, to places along an axis, 0–1: linear between equally spaced values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spacing(Vec<f64>);

impl Spacing {
    fn even() -> Self {
        Spacing(vec![0.0, 1.0])
    }

    /// `None` unless `places` rise from 0 to 1.
    fn new(places: Vec<f64>) -> Option<Self> {
        const CLOSE: f64 = 1e-3;
        let (first, last) = (places.first()?, places.last()?);
        let whole = places.len() >= 2 && first.abs() < CLOSE && (last - 1.0).abs() < CLOSE;
        (whole && places.is_sorted()).then_some(Spacing(places))
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let Spacing(places) = self;
        let at = value * (places.len() - 1) as f64;
        let below = (at as usize).min(places.len() - 2);
        places[below] + (places[below + 1] - places[below]) * (at - below as f64)
    }

    /// The value at `place`.
    fn value(&self, place: f64) -> f64 {
        let Spacing(places) = self;
        let above = places.partition_point(|p| *p < place).clamp(1, places.len() - 1);
        let (low, high) = (places[above - 1], places[above]);
        let part = if high > low { ((place - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        ((above - 1) as f64 + part) / (places.len() - 1) as f64
    }
}

/// The axes of a grid, one per component of its source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axes {
    /// Nodes along each.
    pub(super) side: u32,
    pub(super) spacings: Vec<Spacing>,
}

/// Bounds of the side of a grid that stands on the nodes of a profile's own table, and its side where there is none.
struct Sides {
    fewest: u32,
    most: u32,
    free: u32,
}

const SIDES_RGB: Sides = Sides { fewest: 33, most: 49, free: 33 };
/// One more axis, so that each takes fewer.
const SIDES_CMYK: Sides = Sides { fewest: 16, most: 25, free: 25 };
/// Inks bend more than lightness does.
const SIDES_CMYK_TO_INKS: Sides = Sides { fewest: 24, ..SIDES_CMYK };
/// Of 16-bit gray; 8-bit gray has a node for every value.
const SIDE_GRAY: u32 = 4097;

impl Axes {
    /// A profile that is a table itself bends at the nodes of that table, between curves of its own: every one of them
    /// is a node of the grid too, so that the grid adds no error of its own there.
    /// `to_inks`: what comes out is CMYK.
    pub(super) fn new(source: PixelFormat, from: &Profile, intent: Intent, to_inks: bool) -> Self {
        let components = source.color.components();
        let evenly = |side, spacing| Axes { side, spacings: vec![spacing; components] };
        let sides = match source.color {
            Color::Gray if source.depth == Depth::U8 => return evenly(256, Spacing::even()),
            Color::Gray => return evenly(SIDE_GRAY, Spacing::even()),
            Color::Rgb | Color::Lab => SIDES_RGB,
            Color::Cmyk if to_inks => SIDES_CMYK_TO_INKS,
            Color::Cmyk => SIDES_CMYK,
        };
        match table_of(from, intent).and_then(|table| read_table(table, components)) {
            Some((own, spacings)) => Axes { side: sides.over(own), spacings },
            None => evenly(sides.free, spacing_of_light(from)),
        }
    }

    /// Device values of the nodes along one axis.
    pub(super) fn nodes(&self, axis: usize) -> Vec<f32> {
        let last = f64::from(self.side - 1);
        (0..self.side).map(|i| self.spacings[axis].value(f64::from(i) / last) as f32).collect()
    }
}

impl Sides {
    /// The fewest nodes, inside the bounds if it can be, such that the `own` ones of a profile's table are among them.
    fn over(&self, own: u32) -> u32 {
        let with_own = || (1..).map(|parts| parts * (own - 1) + 1).take_while(|side| *side <= self.most);
        with_own().find(|side| *side >= self.fewest).or(with_own().last()).unwrap_or(self.free)
    }
}

/// The tag that the engine reads for `intent`.
fn table_of(profile: &Profile, intent: Intent) -> Option<&[u8]> {
    let tag = match intent {
        Intent::Perceptual => b"A2B0",
        Intent::Relative | Intent::Absolute => b"A2B1",
        Intent::Saturation => b"A2B2",
    };
    profile.tag(tag).or_else(|| profile.tag(b"A2B0"))
}

/// Nodes a side of a table of type lut8 or lut16, and the curves before it (ICC.1:2022, 10.10 and 10.11).
fn read_table(tag: &[u8], components: usize) -> Option<(u32, Vec<Spacing>)> {
    const HEADER: usize = 48;
    let (side, bytes_each) = (
        *tag.get(10)?,
        match tag.get(..4)? {
            b"mft1" => 1,
            b"mft2" => 2,
            _ => return None,
        },
    );
    if usize::from(tag[8]) != components || side < 2 {
        return None;
    }
    let (entries, start) = match bytes_each {
        1 => (256, HEADER),
        _ => (u16::from_be_bytes(*tag.get(HEADER..)?.first_chunk()?).into(), HEADER + 4),
    };
    let spacing = |component: usize| {
        let bytes = tag.get(start + component * entries * bytes_each..)?.get(..entries * bytes_each)?;
        let place = |value: &[u8]| match *value {
            [high, low] => f64::from(u16::from_be_bytes([high, low])) / 65535.0,
            _ => f64::from(value[0]) / 255.0,
        };
        Spacing::new(bytes.chunks_exact(bytes_each).map(place).collect())
    };
    // A curve that cannot be turned round costs accuracy, not correctness.
    let spacings = (0..components).map(|component| spacing(component).unwrap_or_else(Spacing::even)).collect();
    Some((side.into(), spacings))
}

/// Even to the eye. Profiles of linear light would have nearly all of their nodes in the highlights.
fn spacing_of_light(from: &Profile) -> Spacing {
    const ENTRIES: u32 = 4096;
    let context = ThreadContext::new();
    let gamma = from.open(&context).ok().and_then(|profile| match profile.read_tag(TagSignature::GreenTRCTag) {
        Tag::ToneCurve(curve) => curve.estimated_gamma(1.0),
        _ => None,
    });
    match gamma {
        Some(gamma) if gamma > 0.1 && gamma < 1.6 => {
            let place = |i: u32| (f64::from(i) / f64::from(ENTRIES)).powf(gamma / 2.2);
            Spacing((0..=ENTRIES).map(place).collect())
        }
        _ => Spacing::even(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::color::Builtin;

    #[test]
    fn values_and_places_undo_each_other() {
        let curved = Spacing::new((0..=64).map(|i| (f64::from(i) / 64.0).powf(0.4)).collect()).unwrap();
        for spacing in [Spacing::even(), curved] {
            for i in 0..=1000 {
                let value = f64::from(i) / 1000.0;
                assert!((spacing.value(spacing.place(value)) - value).abs() < 1e-12, "{value}");
            }
        }
        for bad in
            [vec![], vec![0.0], vec![0.0, 0.7, 0.6, 1.0], vec![0.1, 1.0], vec![0.0, 0.9], vec![0.0, f64::NAN, 1.0]]
        {
            assert!(Spacing::new(bad.clone()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn nodes_of_a_table_are_nodes_of_the_grid() {
        assert_eq!([9, 17, 7, 16, 23, 26, 255].map(|own| SIDES_CMYK.over(own)), [17, 17, 19, 16, 23, 25, 25]);
        assert_eq!([9, 17, 7, 11].map(|own| SIDES_CMYK_TO_INKS.over(own)), [25, 17, 25, 21]);
        let format = PixelFormat::new(Color::Cmyk, false, Depth::U8);
        let axes = Axes::new(format, Profile::builtin(Builtin::Cmyk), Intent::Relative, false);
        assert_eq!(axes.side, 17);
        assert!(axes.spacings.iter().all(|spacing| *spacing != Spacing::even()));
    }
}
