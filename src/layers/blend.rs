//! How colours are mixed: one backdrop and one source component, or all of them, 0–1 each.
//!
//! Separable modes and the four of hue, saturation, colour and luminosity follow the W3C's Compositing and Blending Level
//! 1, which describes Photoshop's; soft light is Photoshop's own, which the W3C's differs from in the lights. The other
//! modes follow their descriptions in Photoshop's help.

use crate::psd::BlendMode;

/// The mix of one component, for modes that mix each by itself.
pub(super) fn separable(mode: BlendMode) -> Option<fn(f32, f32) -> f32> {
    Some(match mode {
        BlendMode::Normal | BlendMode::Dissolve | BlendMode::PassThrough => |_, s| s,
        BlendMode::Darken => f32::min,
        BlendMode::Lighten => f32::max,
        BlendMode::Multiply => |b, s| b * s,
        BlendMode::Screen => screen,
        BlendMode::Overlay => |b, s| hard_light(s, b),
        BlendMode::HardLight => hard_light,
        BlendMode::SoftLight => soft_light,
        BlendMode::ColorDodge => color_dodge,
        BlendMode::ColorBurn => color_burn,
        BlendMode::LinearDodge => |b, s| (b + s).min(1.0),
        BlendMode::LinearBurn => |b, s| (b + s - 1.0).max(0.0),
        BlendMode::VividLight => vivid_light,
        BlendMode::LinearLight => |b, s| (b + 2.0 * s - 1.0).clamp(0.0, 1.0),
        BlendMode::PinLight => |b, s| if s <= 0.5 { b.min(2.0 * s) } else { b.max(2.0 * s - 1.0) },
        // Ties go to the backdrop.
        BlendMode::HardMix => |b, s| if b >= 1.0 || b + s > 1.0 { 1.0 } else { 0.0 },
        BlendMode::Difference => |b, s| (b - s).abs(),
        BlendMode::Exclusion => |b, s| b + s - 2.0 * b * s,
        BlendMode::Subtract => |b, s| (b - s).max(0.0),
        BlendMode::Divide => divide,
        BlendMode::DarkerColor
        | BlendMode::LighterColor
        | BlendMode::Hue
        | BlendMode::Saturation
        | BlendMode::Color
        | BlendMode::Luminosity => return None,
    })
}

fn screen(b: f32, s: f32) -> f32 {
    b + s - b * s
}

fn hard_light(b: f32, s: f32) -> f32 {
    if s <= 0.5 { b * 2.0 * s } else { screen(b, 2.0 * s - 1.0) }
}

fn soft_light(b: f32, s: f32) -> f32 {
    if s <= 0.5 { b - (1.0 - 2.0 * s) * b * (1.0 - b) } else { b + (2.0 * s - 1.0) * (b.max(0.0).sqrt() - b) }
}

fn color_dodge(b: f32, s: f32) -> f32 {
    if b <= 0.0 {
        0.0
    } else if s >= 1.0 {
        1.0
    } else {
        (b / (1.0 - s)).min(1.0)
    }
}

fn color_burn(b: f32, s: f32) -> f32 {
    if b >= 1.0 {
        1.0
    } else if s <= 0.0 {
        0.0
    } else {
        1.0 - ((1.0 - b) / s).min(1.0)
    }
}

/// Burn and dodge, but black burns everything and white dodges everything.
fn vivid_light(b: f32, s: f32) -> f32 {
    if s <= 0.0 {
        0.0
    } else if s >= 1.0 {
        1.0
    } else if s <= 0.5 {
        color_burn(b, 2.0 * s)
    } else {
        color_dodge(b, 2.0 * s - 1.0)
    }
}

fn divide(b: f32, s: f32) -> f32 {
    if b <= 0.0 {
        0.0
    } else if s <= 0.0 {
        1.0
    } else {
        (b / s).min(1.0)
    }
}

/// The mix of all components by the modes that are not [`separable`]. Gray has no hue and no saturation; black ink
/// comes from where the lightness comes from.
pub(super) fn together(mode: BlendMode, backdrop: &[f32], source: &[f32], out: &mut [f32]) {
    let takes_source = |luminosity: bool| if luminosity { source } else { backdrop };
    let (Some(b), Some(s)) = (backdrop.first_chunk::<3>().copied(), source.first_chunk::<3>().copied()) else {
        let source_wins = match mode {
            BlendMode::DarkerColor => source[0] < backdrop[0],
            BlendMode::LighterColor => source[0] > backdrop[0],
            mode => mode == BlendMode::Luminosity,
        };
        out.copy_from_slice(takes_source(source_wins));
        return;
    };
    let mixed = match mode {
        BlendMode::Hue => set_luminosity(set_saturation(s, saturation(b)), luminosity(b)),
        BlendMode::Saturation => set_luminosity(set_saturation(b, saturation(s)), luminosity(b)),
        BlendMode::Color => set_luminosity(s, luminosity(b)),
        BlendMode::Luminosity => set_luminosity(b, luminosity(s)),
        BlendMode::DarkerColor => {
            if luminosity(s) < luminosity(b) {
                s
            } else {
                b
            }
        }
        _ => {
            if luminosity(s) > luminosity(b) {
                s
            } else {
                b
            }
        }
    };
    out[..3].copy_from_slice(&mixed);
    out[3..].copy_from_slice(&takes_source(mode == BlendMode::Luminosity)[3..]);
}

fn luminosity([r, g, b]: [f32; 3]) -> f32 {
    0.3 * r + 0.59 * g + 0.11 * b
}

fn saturation(color: [f32; 3]) -> f32 {
    color.into_iter().fold(f32::MIN, f32::max) - color.into_iter().fold(f32::MAX, f32::min)
}

fn set_luminosity(color: [f32; 3], target: f32) -> [f32; 3] {
    let change = target - luminosity(color);
    let color = color.map(|c| c + change);
    let l = luminosity(color);
    let (low, high) = (color.into_iter().fold(f32::MAX, f32::min), color.into_iter().fold(f32::MIN, f32::max));
    if low < 0.0 && l > low {
        color.map(|c| l + (c - l) * l / (l - low))
    } else if high > 1.0 && high > l {
        color.map(|c| l + (c - l) * (1.0 - l) / (high - l))
    } else {
        color
    }
}

/// Stretches a colour so that its largest and smallest components are `target` apart and the smallest is 0.
fn set_saturation(color: [f32; 3], target: f32) -> [f32; 3] {
    let low = color.into_iter().fold(f32::MAX, f32::min);
    let range = saturation(color);
    if range <= 0.0 { [0.0; 3] } else { color.map(|c| (c - low) * target / range) }
}
