//! ICC profiles that jobs and settings name by handle: assets of the library, or built in.

use super::color::Defaults;
use super::original;
use crate::catalog::{Handle, Library, Settings};
use crate::decode::Kind;
use crate::error::{Error, Result, Stage};
use crate::ops::color::{Builtin, Profile};
use crate::pixel::Color;

/// Handles of built-in profiles begin with this.
const BUILTIN_PROFILE: &str = "icc|";

/// The profile with this handle. `field` says where the handle stands.
///
/// # Errors
/// `Misuse` when there is none, `Malformed` or `Unsupported` when it cannot be used.
pub fn named(library: &Library, field: &str, handle: &str) -> Result<Profile> {
    let refuse = |why: String| Error::misuse(Stage::Job, format!("{field} is {handle:?}; {why}"));
    if let Some(name) = handle.strip_prefix(BUILTIN_PROFILE) {
        return Builtin::from_name(name).map(|builtin| Profile::builtin(builtin).clone()).ok_or_else(|| {
            let known: Vec<_> = Builtin::ALL.iter().map(|b| format!("{BUILTIN_PROFILE}{}", b.name())).collect();
            refuse(format!("the built-in profiles are {}", known.join(", ")))
        });
    }
    let Some(asset) = library.asset(&Handle::from(handle))? else {
        return Err(refuse("no asset has this handle; take the profile in with `reprise ingest`".into()));
    };
    if asset.kind != Kind::IccProfile {
        return Err(refuse(format!("the asset is of kind {}, not an ICC profile", asset.kind)));
    }
    original::check_unchanged(&asset)?;
    let bytes = std::fs::read(&asset.path).map_err(|e| Error::io(Stage::Open, &asset.path, e))?;
    Profile::new(&bytes).map_err(|e| e.of(asset.path.display().to_string()))
}

/// What the company's settings say about images that say nothing themselves.
///
/// # Errors
/// As [`named`]; `Misuse` for a profile of other components than its setting is for, or one that colours cannot be
/// converted to as the default output.
pub fn defaults(library: &Library, settings: &Settings) -> Result<Defaults> {
    let profile = |name: &str| {
        let handle = settings.get(name)?;
        if handle.is_empty() { Ok(None) } else { named(library, &format!("the setting {name}"), &handle).map(Some) }
    };
    let source = |name: &str, color: Color| {
        let found = profile(name)?;
        match &found {
            Some(profile) if profile.color() != color => Err(Error::misuse(
                Stage::Job,
                format!("the setting {name} is {:?}, which does not fit: {profile}", settings.get(name)?),
            )),
            _ => Ok(found),
        }
    };
    let output = profile(Settings::OUTPUT_PROFILE)?;
    output.as_ref().map_or(Ok(()), Profile::check_output)?;
    Ok(Defaults {
        gray: source(Settings::SOURCE_PROFILE_GRAY, Color::Gray)?,
        rgb: source(Settings::SOURCE_PROFILE_RGB, Color::Rgb)?,
        cmyk: source(Settings::SOURCE_PROFILE_CMYK, Color::Cmyk)?,
        output,
    })
}
