//! A job document as written: names, texts and positions, nothing understood yet.

use std::borrow::Cow;

/// What a reader hands on.
pub(super) struct Document<'a> {
    /// A `submitJobParam` or a `reprocessAssetsJob`.
    pub root: Node<'a>,
    pub warnings: Vec<String>,
}

/// An XML element, a JSON property or one item of a JSON array.
pub(super) struct Node<'a> {
    pub name: Cow<'a, str>,
    /// Byte position in the document.
    pub offset: usize,
    pub value: Value<'a>,
    pub children: Vec<Node<'a>>,
}

/// What a node holds beside its children.
pub(super) enum Value<'a> {
    /// `xsi:nil` or JSON null: as if the node were not there.
    Nil,
    /// Text without surrounding white space; empty for an XML element that holds only elements.
    Text(Cow<'a, str>),
    /// A JSON number or boolean, as written.
    Literal(Cow<'a, str>),
    /// A JSON object or array.
    Structure,
}

impl<'a> Node<'a> {
    /// A node that was not read from a document.
    pub fn leaf(name: &'static str, text: impl Into<Cow<'a, str>>) -> Self {
        Node { name: name.into(), offset: 0, value: Value::Text(text.into()), children: Vec::new() }
    }

    /// A node that was not read from a document.
    pub fn branch(name: &'static str, children: Vec<Node<'a>>) -> Self {
        Node { name: name.into(), offset: 0, value: Value::Structure, children }
    }
}

/// White space of XML 1.0, which is that of JSON too.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// `text` without surrounding white space, borrowed as before where it can be.
pub(super) fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(is_space)),
        Cow::Owned(text) => {
            let trimmed = text.trim_matches(is_space);
            if trimmed.len() == text.len() { Cow::Owned(text) } else { Cow::Owned(trimmed.to_owned()) }
        }
    }
}
