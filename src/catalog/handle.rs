//! Handles: opaque names of the things in a catalog.

use std::fmt;

use serde::Serialize;

/// What a handle names, as told by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandleKind {
    Asset,
    Company,
    User,
    Project,
    /// A preset.
    PropertySet,
    Job,
}

impl HandleKind {
    const ALL: [HandleKind; 6] = [
        HandleKind::Asset,
        HandleKind::Company,
        HandleKind::User,
        HandleKind::Project,
        HandleKind::PropertySet,
        HandleKind::Job,
    ];

    /// The type prefix, before the bar.
    pub const fn prefix(self) -> &'static str {
        match self {
            HandleKind::Asset => "a",
            HandleKind::Company => "c",
            HandleKind::User => "u",
            HandleKind::Project => "p",
            HandleKind::PropertySet => "ps",
            HandleKind::Job => "j",
        }
    }
}

/// An opaque name with a type prefix, such as `a|17` or `j|3`.
///
/// Any text can be a handle, since job documents bring their own; one that names nothing here is simply unknown.
/// Every thing has one spelling only, so equal handles name the same thing and different ones do not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Handle(String);

impl Handle {
    pub(super) fn new(kind: HandleKind, id: i64) -> Self {
        Handle(format!("{}|{id}", kind.prefix()))
    }

    /// The only company of a library, there from the start.
    pub fn company() -> Self {
        Handle::new(HandleKind::Company, super::schema::COMPANY)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the prefix says it names; `None` for an unknown prefix.
    pub fn kind(&self) -> Option<HandleKind> {
        let (prefix, _) = self.0.split_once('|')?;
        HandleKind::ALL.into_iter().find(|kind| kind.prefix() == prefix)
    }

    /// The row that this handle names, if it is a `kind` handle in the spelling that the catalog gives out.
    pub(super) fn id(&self, kind: HandleKind) -> Option<i64> {
        let digits = self.0.strip_prefix(kind.prefix())?.strip_prefix('|')?;
        let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        if canonical { digits.parse().ok() } else { None }
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<String> for Handle {
    fn from(text: String) -> Self {
        Handle(text)
    }
}

impl From<&str> for Handle {
    fn from(text: &str) -> Self {
        Handle(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_spelling_given_out_names_a_row() {
        assert_eq!(Handle::from("a|17").id(HandleKind::Asset), Some(17));
        for alias in
            ["a|017", "a|+17", "a| 17", "a|17 ", "A|17", "a17", "a|", "a|0", "a|-1", "j|17", "a|99999999999999999999"]
        {
            assert_eq!(Handle::from(alias).id(HandleKind::Asset), None, "{alias}");
        }
    }

    #[test]
    fn the_prefix_tells_the_kind() {
        assert_eq!(Handle::from("ps|4").kind(), Some(HandleKind::PropertySet));
        assert_eq!(Handle::from("p|4").kind(), Some(HandleKind::Project));
        assert_eq!(Handle::from("a|732|1|535").kind(), Some(HandleKind::Asset));
        assert_eq!(Handle::from("x|4").kind(), None);
        assert_eq!(Handle::from("").kind(), None);
    }
}
