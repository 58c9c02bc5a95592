//! Presets that group images into sets by their names.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::{Preset, PresetKind, misuse};
use crate::error::Result;

/// Most memory that one compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;
/// Most patterns in a sequence: no set has more members.
const MAX_SEQUENCE: usize = 1000;
/// Longest name part in bytes, so that names stay usable as names of files.
const MAX_AFFIX_BYTES: usize = 80;

/// What kind of set is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SetType {
    /// Views of one thing.
    ImageSet,
    /// Colours of one thing.
    SwatchSet,
    /// One turn around a thing, by positions.
    SpinSet,
    /// Turns around two axes: rows and columns.
    MultiAxisSpinSet,
}

impl SetType {
    pub const fn name(self) -> &'static str {
        match self {
            SetType::ImageSet => "ImageSet",
            SetType::SwatchSet => "SwatchSet",
            SetType::SpinSet => "SpinSet",
            SetType::MultiAxisSpinSet => "MultiAxisSpinSet",
        }
    }
}

/// How sets are made. Patterns are regular expressions in the syntax of Rust's `regex`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetPreset {
    pub kind: PresetKind,
    pub name: String,
    pub set_type: SetType,
    /// Which assets belong to a set, by name. Its first group is the base name that the members of a set share.
    #[serde(rename = "match")]
    pub matching: String,
    /// Finds the base name in the asset's name instead: its first group, or all that it matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_name: Option<String>,
    /// Order of the members: those that the first pattern matches, then those of the second, … and last those that
    /// none matches; among equals by name, numbers by value.
    #[serde(default)]
    pub sequence: Vec<String>,
    /// A member stands in every place whose pattern matches it, not only in the first.
    #[serde(default)]
    pub allow_repeats: bool,
    /// Position in a set of two axes: one group that is a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Put before and behind the base name, which makes the name of the set.
    #[serde(default)]
    pub prefix: String,
    #[serde(default)]
    pub suffix: String,
    /// Folder that the sets belong to, such as `shop/spins`; empty: none.
    #[serde(default)]
    pub folder: String,
}

/// The compiled patterns of a preset.
#[derive(Debug)]
pub struct Patterns {
    matching: Regex,
    base_name: Option<Regex>,
    pub sequence: Vec<Regex>,
    /// Of rows and of columns.
    pub axes: Option<(Regex, Regex)>,
}

impl Patterns {
    /// The base name of the set that an asset of this name belongs to, if it belongs to one.
    pub fn base_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        let found = self.matching.captures(name)?;
        let base = match &self.base_name {
            None => found.get(1)?,
            Some(pattern) => {
                let found = pattern.captures(name)?;
                found.get(1).or_else(|| found.get(0))?
            }
        };
        (!base.is_empty()).then_some(base.as_str())
    }
}

/// The number that a pattern of [`Patterns::axes`] finds in a name.
pub fn axis_position(pattern: &Regex, name: &str) -> Option<u32> {
    pattern.captures(name)?.get(1)?.as_str().parse().ok()
}

impl SetPreset {
    /// # Errors
    /// `Misuse` for a pattern that cannot be read, naming the field.
    pub fn patterns(&self) -> Result<Patterns> {
        let matching = compile("match", &self.matching)?;
        let base_name = self.base_name.as_deref().map(|pattern| compile("baseName", pattern)).transpose()?;
        if base_name.is_none() && matching.captures_len() < 2 {
            return Err(misuse(format!(
                "match is {:?} and has no group; put the part that the members of a set share in (…), or give baseName",
                self.matching
            )));
        }
        let sequence = self
            .sequence
            .iter()
            .enumerate()
            .map(|(i, pattern)| compile(&format!("sequence[{i}]"), pattern))
            .collect::<Result<_>>()?;
        let axis = |field, pattern: &Option<String>| {
            let pattern = pattern.as_deref().map(|pattern| compile(field, pattern)).transpose()?;
            match &pattern {
                Some(regex) if regex.captures_len() != 2 => {
                    Err(misuse(format!("{field} is {:?}; it needs exactly one group, the number", regex.as_str())))
                }
                _ => Ok(pattern),
            }
        };
        let axes = match (self.set_type, axis("row", &self.row)?, axis("column", &self.column)?) {
            (SetType::MultiAxisSpinSet, Some(row), Some(column)) => Some((row, column)),
            (SetType::MultiAxisSpinSet, ..) => return Err(misuse("a MultiAxisSpinSet needs row and column")),
            (_, None, None) => None,
            (other, ..) => {
                return Err(misuse(format!("row and column are for MultiAxisSpinSet, setType is {}", other.name())));
            }
        };
        Ok(Patterns { matching, base_name, sequence, axes })
    }
}

impl Preset for SetPreset {
    const KIND: PresetKind = PresetKind::AutoSet;

    fn check(&self) -> Result<()> {
        if self.sequence.len() > MAX_SEQUENCE {
            return Err(misuse(format!("sequence has {} patterns; at most {MAX_SEQUENCE}", self.sequence.len())));
        }
        for (field, text) in [("prefix", &self.prefix), ("suffix", &self.suffix)] {
            if text.len() > MAX_AFFIX_BYTES || text.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) {
                let what = format!("{field} is {text:?}; at most {MAX_AFFIX_BYTES} bytes without / and \\ are allowed");
                return Err(misuse(what));
            }
        }
        let parts = self.folder.split('/');
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(|c| c.is_control() || c == '\\');
        if !self.folder.is_empty() && !parts.into_iter().all(plain) {
            return Err(misuse(format!("folder is {:?}; it is relative, such as shop/spins", self.folder)));
        }
        if self.allow_repeats && (self.sequence.is_empty() || self.set_type == SetType::MultiAxisSpinSet) {
            return Err(misuse("allowRepeats needs a sequence, and is not for sets of two axes"));
        }
        self.patterns().map(drop)
    }
}

fn compile(field: &str, pattern: &str) -> Result<Regex> {
    RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build().map_err(|e| {
        // The last line says what is wrong, those above draw where.
        let why = e.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        misuse(format!("{field} is {pattern:?}, which is no regular expression: {why}"))
    })
}
