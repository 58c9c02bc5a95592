//! Which profile an image is in, and whether and to what its colours are converted.
//!
//! **Fallback.** An embedded profile that is broken, or whose colour space is not that of the pixels, is not used: the
//! image counts as one without a profile, the derivative does not carry the bad one, and a warning says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::ops::color::{Builtin, Plan, Profile, Rendering};
use crate::pixel::{Color, PixelFormat};

/// Whether and when colours are converted.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Conversion {
    /// CMYK without a profile is converted, from the default CMYK profile; nothing else is.
    #[default]
    UntaggedCmyk,
    /// CMYK is converted, with or without a profile; nothing else is.
    Cmyk,
    /// Nothing is converted but Lab, which no pyramid holds.
    Never,
    /// Everything, to `output` or else the default output.
    All {
        /// What images of its colour space are in, whatever they embed.
        source: Option<Profile>,
        output: Option<Profile>,
    },
}

/// What counts where neither image nor job says anything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Defaults {
    /// What gray, RGB and CMYK images without a profile are in, instead of the built-in assumptions.
    pub gray: Option<Profile>,
    pub rgb: Option<Profile>,
    pub cmyk: Option<Profile>,
    /// What conversions lead to, instead of sRGB.
    pub output: Option<Profile>,
}

impl Defaults {
    /// `profile` for images of its components, nothing else.
    pub fn of_source(profile: Profile) -> Self {
        let mut defaults = Defaults::default();
        match profile.color() {
            Color::Gray => defaults.gray = Some(profile),
            Color::Rgb => defaults.rgb = Some(profile),
            Color::Cmyk => defaults.cmyk = Some(profile),
            // Lab says itself what it is.
            Color::Lab => {}
        }
        defaults
    }

    fn source(&self, color: Color) -> Option<&Profile> {
        match color {
            Color::Gray => self.gray.as_ref(),
            Color::Rgb => self.rgb.as_ref(),
            Color::Cmyk => self.cmyk.as_ref(),
            Color::Lab => None,
        }
    }
}

/// What a run does about colours.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColorPolicy {
    pub conversion: Conversion,
    pub defaults: Defaults,
    pub rendering: Rendering,
    /// Convert to 8 bits with ordered dithering.
    pub dither: bool,
}

/// What is done about the colours of one image.
#[derive(Debug, Clone, Default)]
pub struct Colors {
    /// Describes the pixels that are written.
    pub icc: Option<Vec<u8>>,
    pub plan: Option<Arc<Plan>>,
    /// The conversion in words, if there is one.
    pub note: Option<String>,
}

impl Colors {
    /// Format of the pixels that are written, for decoded pixels of `format`.
    pub fn target(&self, format: PixelFormat) -> PixelFormat {
        self.plan.as_ref().map_or(format, |plan| plan.target)
    }
}

impl ColorPolicy {
    /// What to do with pixels of `format` that came with the profile `embedded`.
    ///
    /// # Errors
    /// `Unsupported` when the engine cannot connect the profiles of a conversion.
    pub fn decide(
        &self,
        format: PixelFormat,
        embedded: Option<&[u8]>,
        cache: &ColorCache,
        warnings: &mut Vec<String>,
    ) -> Result<Colors> {
        let of_pixels = |profile: &Profile| profile.color() == format.color;
        let mut dropped = None;
        let embedded = embedded.and_then(|bytes| match cache.profile(bytes) {
            Ok(profile) if of_pixels(&profile) => Some(profile),
            Ok(profile) => {
                dropped = Some(format!("the embedded ICC profile ({profile}) does not fit {format} pixels"));
                None
            }
            Err(error) => {
                dropped = Some(format!("the embedded ICC profile cannot be used ({})", error.message));
                None
            }
        });
        let own_is_embedded = embedded.is_some();
        let own = embedded.or_else(|| self.defaults.source(format.color).cloned());
        let known = own.is_some();
        let from = || own.clone().unwrap_or_else(|| Profile::assumed(format.color).clone());
        let output = || self.defaults.output.clone().unwrap_or_else(|| Profile::builtin(Builtin::Srgb).clone());
        let is_cmyk = format.color == Color::Cmyk;
        let ends = match &self.conversion {
            Conversion::UntaggedCmyk if is_cmyk && !own_is_embedded => Some((from(), output())),
            Conversion::Cmyk if is_cmyk => Some((from(), output())),
            Conversion::UntaggedCmyk | Conversion::Cmyk if format.color == Color::Lab => Some((from(), output())),
            Conversion::Never if format.color == Color::Lab => {
                warnings.push("Lab pixels cannot be kept in a pyramid; they are converted".into());
                Some((from(), output()))
            }
            Conversion::UntaggedCmyk | Conversion::Cmyk | Conversion::Never => None,
            Conversion::All { source, output: named } => {
                let source = source.clone().filter(|profile| {
                    let fits = of_pixels(profile);
                    if !fits {
                        warnings.push(format!(
                            "the source profile ({profile}) does not fit {format} pixels; the image's own counts"
                        ));
                    }
                    fits
                });
                Some((source.unwrap_or_else(from), named.clone().unwrap_or_else(output)))
            }
        };
        let mut ends = ends;
        let mut plan = None;
        if let Some((from, to)) = &ends
            && from != to
        {
            match cache.plan(format, from, to, self.rendering, self.dither) {
                Ok(made) => plan = Some(made),
                // Sound enough to be read, but not for this intent or without the tags that compensation needs.
                Err(error) if own_is_embedded && Some(from) == own.as_ref() => {
                    dropped = Some(format!("the embedded ICC profile cannot be used ({})", error.message));
                    let assumed =
                        self.defaults.source(format.color).unwrap_or_else(|| Profile::assumed(format.color)).clone();
                    if assumed != *to {
                        plan = Some(cache.plan(format, &assumed, to, self.rendering, self.dither)?);
                    }
                    ends = Some((assumed, to.clone()));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(reason) = dropped {
            let instead = match &ends {
                Some((from, _)) => format!("the pixels are taken to be in {}", name(from)),
                None if known => "the profile given for such images is used".into(),
                None => "the derivative carries no profile".into(),
            };
            warnings.push(format!("{reason}; {instead}"));
        }
        let note = plan.is_some().then_some(ends.as_ref()).flatten();
        let note = note.map(|(from, to)| format!("colours converted from {} to {}", name(from), name(to)));
        let describing = ends.map(|(_, to)| to).or(own);
        Ok(Colors { icc: describing.map(|profile| profile.bytes().to_vec()), plan, note })
    }
}

/// For people.
fn name(profile: &Profile) -> String {
    let builtin = Builtin::ALL.into_iter().find(|builtin| Profile::builtin(*builtin) == profile);
    match builtin {
        Some(Builtin::Srgb) => "sRGB".into(),
        Some(Builtin::AdobeRgb) => "Adobe RGB".into(),
        Some(Builtin::Gray) => "gray gamma 2.2".into(),
        Some(Builtin::Cmyk) => "the default CMYK profile".into(),
        None if profile == Profile::assumed(Color::Lab) => "Lab".into(),
        None => format!("an ICC profile ({profile})"),
    }
}

/// Profiles and tables that images of a run share. Pictures of one camera or studio come with the same few.
#[derive(Debug, Default)]
pub struct ColorCache {
    profiles: Mutex<HashMap<blake3::Hash, Result<Profile>>>,
    plans: Mutex<HashMap<PlanKey, Arc<Plan>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PlanKey {
    format: PixelFormat,
    from: blake3::Hash,
    to: blake3::Hash,
    rendering: Rendering,
    dither: bool,
}

impl ColorCache {
    /// Profiles kept. More are forgotten all at once, which costs a little time and no colour.
    const PROFILES: usize = 16;
    /// Plans kept, of a few megabytes each.
    const PLANS: usize = 8;

    fn profile(&self, bytes: &[u8]) -> Result<Profile> {
        let hash = blake3::hash(bytes);
        if let Some(known) = lock(&self.profiles).get(&hash) {
            return known.clone();
        }
        let profile = Profile::new(bytes);
        let mut profiles = lock(&self.profiles);
        if profiles.len() >= Self::PROFILES {
            profiles.clear();
        }
        profiles.insert(hash, profile.clone());
        profile
    }

    fn plan(
        &self,
        format: PixelFormat,
        from: &Profile,
        to: &Profile,
        rendering: Rendering,
        dither: bool,
    ) -> Result<Arc<Plan>> {
        let key = PlanKey { format, from: from.hash(), to: to.hash(), rendering, dither };
        // Held while a plan is made: several images that need the same one wait for it instead of making their own.
        let mut plans = lock(&self.plans);
        if let Some(plan) = plans.get(&key) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(Plan::new(format, from, to, rendering, dither)?);
        if plans.len() >= Self::PLANS {
            plans.clear();
        }
        plans.insert(key, Arc::clone(&plan));
        Ok(plan)
    }
}

/// What is inside stays sound when a thread panics: entries are put in whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::Depth;

    fn decide(conversion: Conversion, color: Color, embedded: Option<&[u8]>) -> (Colors, Vec<String>) {
        let policy = ColorPolicy { conversion, ..ColorPolicy::default() };
        let mut warnings = Vec::new();
        let format = PixelFormat::new(color, false, Depth::U8);
        let colors = policy.decide(format, embedded, &ColorCache::default(), &mut warnings).unwrap();
        (colors, warnings)
    }

    fn bytes(builtin: Builtin) -> Vec<u8> {
        Profile::builtin(builtin).bytes().to_vec()
    }

    fn all(source: Option<Builtin>, output: Option<Builtin>) -> Conversion {
        let profile = |builtin| Profile::builtin(builtin).clone();
        Conversion::All { source: source.map(profile), output: output.map(profile) }
    }

    #[test]
    fn the_default_keeps_all_but_untagged_cmyk() {
        let cmyk = bytes(Builtin::Cmyk);
        let (kept, warnings) = decide(Conversion::UntaggedCmyk, Color::Cmyk, Some(&cmyk));
        assert!(kept.plan.is_none() && kept.icc == Some(cmyk) && warnings.is_empty());
        let (kept, _) = decide(Conversion::UntaggedCmyk, Color::Rgb, None);
        assert!(kept.plan.is_none() && kept.icc.is_none());
        let (converted, warnings) = decide(Conversion::UntaggedCmyk, Color::Cmyk, None);
        assert!(converted.plan.is_some() && converted.icc == Some(bytes(Builtin::Srgb)) && warnings.is_empty());
        let (kept, _) = decide(Conversion::Never, Color::Cmyk, None);
        assert!(kept.plan.is_none() && kept.icc.is_none());
    }

    #[test]
    fn the_source_profile_overrides_the_embedded_one_where_it_fits() {
        let adobe = bytes(Builtin::AdobeRgb);
        let (converted, _) = decide(all(Some(Builtin::Srgb), None), Color::Rgb, Some(&adobe));
        assert!(converted.plan.is_none() && converted.icc == Some(bytes(Builtin::Srgb)));
        let (converted, warnings) = decide(all(Some(Builtin::Cmyk), None), Color::Rgb, Some(&adobe));
        assert!(converted.note.unwrap().contains("from Adobe RGB to sRGB"));
        assert!(warnings[0].contains("does not fit"), "{warnings:?}");
        let (converted, _) = decide(all(None, Some(Builtin::Gray)), Color::Gray, None);
        assert!(converted.plan.is_none() && converted.icc == Some(bytes(Builtin::Gray)));
    }

    #[test]
    fn a_profile_that_does_not_fit_is_dropped_with_a_warning() {
        let (kept, warnings) = decide(Conversion::UntaggedCmyk, Color::Gray, Some(&bytes(Builtin::Srgb)));
        assert!(kept.icc.is_none() && kept.plan.is_none());
        assert!(warnings[0].contains("does not fit") && warnings[0].contains("carries no profile"), "{warnings:?}");
        let (converted, warnings) = decide(Conversion::UntaggedCmyk, Color::Cmyk, Some(b"not a profile"));
        assert!(converted.plan.is_some());
        assert!(warnings[0].contains("default CMYK profile"), "{warnings:?}");
    }
}
