//! Presets: named settings that jobs refer to by handle (`ps|…`), written as TOML or JSON files.
//!
//! Every file says `kind` and `name`; the rest is its kind's own, one type to a kind. A new kind is a new file here,
//! a variant of [`PresetKind`] and a line in [`read`].

mod encoding;
mod publish;
mod set;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result, Stage};

pub use encoding::{
    ADAPTIVE_ENCODINGS, Audio, AudioCodec, BuiltinEncoding, Container, ENCODINGS, EncodingPreset, Video, VideoCodec,
    adaptive_ladder,
};
pub use publish::PublishContext;
pub use set::{Patterns, SetPreset, SetType, axis_position};

/// Largest file read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// What a preset is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PresetKind {
    /// Groups images into sets by their names.
    AutoSet,
    /// A place that publish jobs send files to.
    PublishContext,
    /// Encodes video and audio.
    VideoEncoding,
}

impl PresetKind {
    pub const ALL: &'static [PresetKind] =
        &[PresetKind::AutoSet, PresetKind::PublishContext, PresetKind::VideoEncoding];

    /// The name in files and in the catalog.
    pub const fn name(self) -> &'static str {
        match self {
            PresetKind::AutoSet => "AutoSet",
            PresetKind::PublishContext => "PublishContext",
            PresetKind::VideoEncoding => "VideoEncoding",
        }
    }
}

/// A preset of one kind.
pub trait Preset: Serialize + DeserializeOwned {
    const KIND: PresetKind;

    /// Whether its values make sense together.
    ///
    /// # Errors
    /// `Misuse`, naming the field, its value and what is allowed.
    fn check(&self) -> Result<()>;
}

/// A preset that was read and found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub kind: PresetKind,
    pub name: String,
    /// All fields, defaults filled in, as a JSON object.
    pub document: String,
}

#[derive(Deserialize)]
struct Head {
    kind: String,
    name: String,
}

/// Reads a preset file: JSON when it begins with `{`, else TOML.
///
/// # Errors
/// `Malformed` with line and column, `Misuse` for what its kind does not allow.
pub fn read(text: &str) -> Result<Checked> {
    let head: Head = parse(text)?;
    let Some(kind) = PresetKind::ALL.iter().copied().find(|kind| kind.name() == head.kind) else {
        let known: Vec<&str> = PresetKind::ALL.iter().map(|kind| kind.name()).collect();
        return Err(misuse(format!("kind is {:?}; there are {}", head.kind, known.join(", "))));
    };
    if head.name.trim().is_empty() {
        return Err(misuse("name is empty; a preset needs a name"));
    }
    let document = match kind {
        PresetKind::AutoSet => normalized::<SetPreset>(text),
        PresetKind::PublishContext => normalized::<PublishContext>(text),
        PresetKind::VideoEncoding => normalized::<EncodingPreset>(text),
    }?;
    Ok(Checked { kind, name: head.name, document })
}

/// A preset out of the catalog, as [`Checked::document`] has it.
///
/// # Errors
/// `Catalog` when it cannot be read, `Misuse` when it is not in order.
pub fn stored<P: Preset>(document: &str) -> Result<P> {
    let preset: P = serde_json::from_str(document).map_err(|e| {
        Error::new(ErrorKind::Catalog, Stage::Catalog, format!("the preset on record cannot be read: {e}"))
    })?;
    preset.check()?;
    Ok(preset)
}

fn normalized<P: Preset>(text: &str) -> Result<String> {
    let preset: P = parse(text)?;
    preset.check()?;
    serde_json::to_string(&preset)
        .map_err(|e| Error::new(ErrorKind::Internal, Stage::Catalog, format!("cannot be written as JSON: {e}")))
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    let malformed = |why: String| Error::malformed(Stage::Catalog, why);
    if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|e| malformed(e.to_string()))
    } else {
        toml::from_str(text).map_err(|e| malformed(e.to_string().trim_end().to_owned()))
    }
}

fn misuse(message: impl Into<String>) -> Error {
    Error::misuse(Stage::Catalog, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIN: &str = r#"
        kind = "AutoSet"
        name = "spins"
        setType = "SpinSet"
        match = '^(.+)_\d+$'
    "#;

    #[test]
    fn toml_and_json_of_one_preset_are_the_same() {
        let toml = read(SPIN).unwrap();
        let json = read(r#"{"kind":"AutoSet","name":"spins","setType":"SpinSet","match":"^(.+)_\\d+$"}"#).unwrap();
        assert_eq!(toml, json);
        // What is on record reads as itself.
        assert_eq!(read(&toml.document).unwrap(), toml);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |line: &str| read(&format!("{SPIN}{line}")).unwrap_err().to_string();
        for (text, words) in [
            (with("colour = \"red\""), "unknown field `colour`"),
            (with("row = '(\\d'"), "row"),
            (read("kind = \"Recipe\"\nname = \"x\"").unwrap_err().to_string(), "AutoSet"),
            (read("kind = \"AutoSet\"\nname = \" \"").unwrap_err().to_string(), "name is empty"),
            (read("kind = \"AutoSet\"").unwrap_err().to_string(), "missing field `name`"),
            (read("kind = ").unwrap_err().to_string(), "line 1"),
            (
                read(r#"{"kind":"AutoSet","name":"x","setType":"Pile","match":"(a)"}"#).unwrap_err().to_string(),
                "line 1",
            ),
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
