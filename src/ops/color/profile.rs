//! ICC profiles: checked before use, built in or read.

use std::fmt;
use std::sync::{Arc, LazyLock};

use lcms2::{CIExyY, CIExyYTRIPLE, ThreadContext, ToneCurve};

use super::evaluate::{Evaluator, Intent, Rendering};
use crate::error::{Error, Result, Stage};
use crate::pixel::Color;

/// Bytes of the header, and of the smallest tag table behind it.
const HEADER_BYTES: usize = 128;

/// What the header of an ICC profile says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    class: [u8; 4],
    space: [u8; 4],
    connection: [u8; 4],
    /// Major version, and minor version in the high half of the byte.
    version: [u8; 2],
}

impl Description {
    /// # Errors
    /// `Malformed` when `bytes` are not those of an ICC profile.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let malformed = |what: &str| Error::malformed(Stage::Open, format!("the ICC profile {what}"));
        let four = |at: usize| bytes[at..at + 4].try_into().expect("four bytes");
        if bytes.len() < HEADER_BYTES + 4 {
            return Err(malformed("is shorter than its header"));
        }
        if &bytes[36..40] != b"acsp" {
            return Err(malformed("lacks the signature acsp"));
        }
        if u32::from_be_bytes(four(0)) as usize > bytes.len() {
            return Err(malformed("is truncated"));
        }
        Ok(Description { class: four(12), space: four(16), connection: four(20), version: [bytes[8], bytes[9]] })
    }

    fn color(&self) -> Option<Color> {
        match &self.space {
            b"GRAY" => Some(Color::Gray),
            b"RGB " => Some(Color::Rgb),
            b"CMYK" => Some(Color::Cmyk),
            b"Lab " => Some(Color::Lab),
            _ => None,
        }
    }
}

/// A signature without its padding; anything but printable ASCII is replaced.
fn word(signature: &[u8; 4]) -> String {
    let shown = signature.map(|b| if (0x20..0x7f).contains(&b) { b as char } else { '?' });
    shown.iter().collect::<String>().trim_end().to_owned()
}

/// For people: class, colour space, connection space, version.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match &self.class {
            b"scnr" => "input".into(),
            b"mntr" => "display".into(),
            b"prtr" => "output".into(),
            b"spac" => "colour space".into(),
            b"link" => "device link".into(),
            b"abst" => "abstract".into(),
            b"nmcl" => "named colour".into(),
            other => word(other),
        };
        let [major, minor] = self.version;
        write!(
            f,
            "{class} profile, {} to {}, version {major}.{}",
            word(&self.space),
            word(&self.connection),
            minor >> 4
        )
    }
}

/// An ICC profile that the colour engine can convert from. Cheap to clone; equal when the bytes are.
#[derive(Clone)]
pub struct Profile {
    bytes: Arc<[u8]>,
    hash: blake3::Hash,
    color: Color,
    description: Description,
}

impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profile({}, {} bytes)", self.description, self.bytes.len())
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description.fmt(f)
    }
}

impl Profile {
    /// Reads a profile of gray, RGB, CMYK or Lab and lets the engine connect it to Lab.
    ///
    /// # Errors
    /// `Malformed` for a broken one, `Unsupported` for one of another class or colour space.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let description = Description::read(bytes)?;
        let color = match (&description.class, description.color()) {
            (b"scnr" | b"mntr" | b"prtr" | b"spac", Some(color)) => color,
            _ => {
                return Err(Error::unsupported(
                    Stage::Open,
                    format!(
                        "the ICC profile is no input, display or output profile of gray, RGB, CMYK or Lab but {description}"
                    ),
                ));
            }
        };
        if !matches!(&description.connection, b"XYZ " | b"Lab ") {
            return Err(Error::malformed(
                Stage::Open,
                format!("the ICC profile connects to {} instead of XYZ or Lab", word(&description.connection)),
            ));
        }
        let profile = Profile { bytes: bytes.into(), hash: blake3::hash(bytes), color, description };
        Evaluator::to_lab(&profile, Intent::Relative)?;
        Ok(profile)
    }

    pub fn builtin(builtin: Builtin) -> &'static Profile {
        static ALL: LazyLock<[Profile; 4]> = LazyLock::new(|| {
            Builtin::ALL.map(|builtin| Profile::new(&builtin.bytes()).expect("built-in profiles are sound"))
        });
        &ALL[builtin as usize]
    }

    /// What pixels without a profile are taken to be in.
    pub fn assumed(color: Color) -> &'static Profile {
        static LAB: LazyLock<Profile> = LazyLock::new(|| {
            let lab = lcms2::Profile::new_lab4_context(ThreadContext::new(), &D50).and_then(|lab| lab.icc());
            let mut bytes = repeatable(lab.expect("the engine writes a few numbers"));
            // The engine calls it abstract; it stands for a colour space here.
            bytes[12..16].copy_from_slice(b"spac");
            Profile::new(&bytes).expect("Lab is sound")
        });
        match color {
            Color::Gray => Self::builtin(Builtin::Gray),
            Color::Rgb => Self::builtin(Builtin::Srgb),
            Color::Cmyk => Self::builtin(Builtin::Cmyk),
            Color::Lab => &LAB,
        }
    }

    /// The whole profile as in its file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// BLAKE3 of the bytes.
    pub fn hash(&self) -> blake3::Hash {
        self.hash
    }

    /// Components of pixels in this profile.
    pub fn color(&self) -> Color {
        self.color
    }

    /// Whether colours can be converted to this profile.
    ///
    /// # Errors
    /// `Unsupported` when it only leads from device to connection space, or to Lab, which no pyramid holds.
    pub fn check_output(&self) -> Result<()> {
        let connected = Evaluator::new(Profile::builtin(Builtin::Srgb), self, Rendering::default());
        if self.color == Color::Lab || connected.is_err() {
            let message = format!("colours cannot be converted to this ICC profile ({self})");
            return Err(Error::unsupported(Stage::Open, message));
        }
        Ok(())
    }

    /// The bytes of a tag.
    pub(super) fn tag(&self, signature: &[u8; 4]) -> Option<&[u8]> {
        let count = u32::from_be_bytes(*self.bytes.get(HEADER_BYTES..)?.first_chunk()?) as usize;
        let entries = self.bytes[HEADER_BYTES + 4..].as_chunks::<12>().0;
        let entry = entries.iter().take(count).find(|entry| entry.starts_with(signature))?;
        let number = |at: usize| u32::from_be_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]) as usize;
        self.bytes.get(number(4)..)?.get(..number(8))
    }

    /// Opens it in the engine.
    pub(super) fn open(&self, context: &ThreadContext) -> Result<lcms2::Profile<ThreadContext>> {
        lcms2::Profile::new_icc_context(context, &self.bytes)
            .map_err(|_| Error::malformed(Stage::Open, "the ICC profile is broken: its tags cannot be read"))
    }
}

/// Profiles that are always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// IEC 61966-2-1.
    Srgb,
    /// The primaries, white and gamma of Adobe RGB (1998).
    AdobeRgb,
    /// D50 gray with a gamma of 2.2.
    Gray,
    /// Offset on coated paper, FOGRA39; see `profiles/README.md`.
    Cmyk,
}

impl Builtin {
    pub const ALL: [Builtin; 4] = [Builtin::Srgb, Builtin::AdobeRgb, Builtin::Gray, Builtin::Cmyk];

    /// What it is called on the command line and behind `icc|` in handles.
    pub const fn name(self) -> &'static str {
        match self {
            Builtin::Srgb => "srgb",
            Builtin::AdobeRgb => "adobe-rgb",
            Builtin::Gray => "gray",
            Builtin::Cmyk => "cmyk",
        }
    }

    /// The built-in profile of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.name() == name)
    }

    fn bytes(self) -> Vec<u8> {
        let context = ThreadContext::new();
        let xyy = |x, y| CIExyY { x, y, Y: 1.0 };
        let d65 = xyy(0.3127, 0.3290);
        let primaries = |green| CIExyYTRIPLE { Red: xyy(0.64, 0.33), Green: green, Blue: xyy(0.15, 0.06) };
        let made = match self {
            Builtin::Srgb => {
                let curve = ToneCurve::new_parametric(4, &[2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.04045]);
                curve.and_then(|curve| {
                    lcms2::Profile::new_rgb_context(
                        &context,
                        &d65,
                        &primaries(xyy(0.30, 0.60)),
                        &[&curve, &curve, &curve],
                    )
                })
            }
            Builtin::AdobeRgb => {
                // 2 + 51/256, as the specification has it.
                let curve = ToneCurve::new(563.0 / 256.0);
                lcms2::Profile::new_rgb_context(&context, &d65, &primaries(xyy(0.21, 0.71)), &[&curve, &curve, &curve])
            }
            Builtin::Gray => lcms2::Profile::new_gray_context(&context, &D50, &ToneCurve::new(2.2)),
            Builtin::Cmyk => return include_bytes!("../../../profiles/coated-fogra39.icc").to_vec(),
        };
        repeatable(made.and_then(|profile| profile.icc()).expect("the engine writes a few numbers"))
    }
}

pub(super) const D50: CIExyY = CIExyY { x: 0.3457, y: 0.3585, Y: 1.0 };

/// The engine puts the present time into profiles; equal runs shall write equal files.
fn repeatable(mut profile: Vec<u8>) -> Vec<u8> {
    profile[24..36].copy_from_slice(&[0x07, 0xe0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_profiles_are_what_they_say() {
        for (builtin, color) in Builtin::ALL.into_iter().zip([Color::Rgb, Color::Rgb, Color::Gray, Color::Cmyk]) {
            let profile = Profile::builtin(builtin);
            assert_eq!(profile.color(), color);
            assert_eq!(builtin.bytes(), profile.bytes(), "the same bytes each time");
            profile.check_output().unwrap();
        }
        assert_eq!(Profile::builtin(Builtin::Cmyk).to_string(), "output profile, CMYK to Lab, version 2.2");
    }
}
