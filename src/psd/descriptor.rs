//! Descriptors: the named and typed values that Photoshop writes for text, fills and effects.

use crate::error::{Error, Result, Stage};

/// Descriptors in descriptors.
const MAX_DEPTH: u32 = 64;

/// A descriptor: its class, and values by key.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object {
    pub class: String,
    pub items: Vec<(String, Value)>,
}

/// The kinds of values that somebody here looks at; others keep their place as `Other`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Object(Object),
    List(Vec<Value>),
    /// With or without a unit, or a whole number.
    Number(f64),
    Boolean(bool),
    Text(String),
    /// Type and value.
    Enumeration(String, String),
    Raw(Vec<u8>),
    Other,
}

impl Object {
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.items.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn object(&self, key: &str) -> Option<&Object> {
        if let Some(Value::Object(object)) = self.get(key) { Some(object) } else { None }
    }

    pub fn number(&self, key: &str) -> Option<f64> {
        if let Some(Value::Number(number)) = self.get(key) { Some(*number) } else { None }
    }

    pub fn boolean(&self, key: &str) -> Option<bool> {
        if let Some(Value::Boolean(boolean)) = self.get(key) { Some(*boolean) } else { None }
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        if let Some(Value::Text(text)) = self.get(key) { Some(text) } else { None }
    }

    pub fn raw(&self, key: &str) -> Option<&[u8]> {
        if let Some(Value::Raw(raw)) = self.get(key) { Some(raw) } else { None }
    }
}

impl Value {
    /// Whether it is an object with a true value `key`, or a list with one.
    pub fn has_true(&self, key: &str) -> bool {
        match self {
            Value::Object(object) => object.boolean(key) == Some(true),
            Value::List(values) => values.iter().any(|value| value.has_true(key)),
            _ => false,
        }
    }
}

/// Reads the descriptor that `bytes` begin with.
///
/// # Errors
/// `Malformed`.
pub fn read(bytes: &[u8]) -> Result<Object> {
    read_prefix(bytes).map(|(object, _)| object)
}

/// The same, and what follows it.
///
/// # Errors
/// `Malformed`.
pub fn read_prefix(bytes: &[u8]) -> Result<(Object, &[u8])> {
    let mut reader = Reader { rest: bytes, depth: 0 };
    let object = reader.object().ok_or_else(|| Error::malformed(Stage::Open, "a descriptor is broken"))?;
    Ok((object, reader.rest))
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: u32,
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.array()?)).ok()
    }

    fn number(&mut self) -> Option<f64> {
        self.array().map(f64::from_be_bytes)
    }

    fn unicode(&mut self) -> Option<String> {
        let units = self.count()?;
        let bytes = self.take(units.checked_mul(2)?)?;
        let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit));
        let text: String = char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect();
        Some(text.trim_end_matches('\0').to_owned())
    }

    /// A word with its length, or of four letters where the length is 0.
    fn key(&mut self) -> Option<String> {
        let bytes = self.count()?;
        let word = self.take(if bytes == 0 { 4 } else { bytes })?;
        Some(String::from_utf8_lossy(word).trim_end().to_owned())
    }

    fn object(&mut self) -> Option<Object> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let _name = self.unicode()?;
        let class = self.key()?;
        let mut items = Vec::new();
        for _ in 0..self.count()? {
            let key = self.key()?;
            items.push((key, self.value()?));
        }
        self.depth -= 1;
        Some(Object { class, items })
    }

    fn value(&mut self) -> Option<Value> {
        let kind: [u8; 4] = self.array()?;
        Some(match &kind {
            b"Objc" | b"GlbO" => Value::Object(self.object()?),
            b"VlLs" => Value::List(self.list()?),
            b"doub" => Value::Number(self.number()?),
            b"UntF" => {
                self.take(4)?;
                Value::Number(self.number()?)
            }
            b"UnFl" => {
                self.take(4)?;
                let count = self.count()?;
                self.take(count.checked_mul(8)?)?;
                Value::Other
            }
            b"long" => Value::Number(i32::from_be_bytes(self.array()?).into()),
            b"comp" => Value::Number(i64::from_be_bytes(self.array()?) as f64),
            b"bool" => Value::Boolean(self.array::<1>()? != [0]),
            b"TEXT" => Value::Text(self.unicode()?),
            b"enum" => Value::Enumeration(self.key()?, self.key()?),
            b"type" | b"GlbC" | b"Clss" => {
                self.unicode()?;
                self.key()?;
                Value::Other
            }
            b"tdta" => {
                let bytes = self.count()?;
                Value::Raw(self.take(bytes)?.to_vec())
            }
            b"alis" | b"Pth " => {
                let bytes = self.count()?;
                self.take(bytes)?;
                Value::Other
            }
            b"ObAr" => {
                self.take(4)?;
                Value::Object(self.object()?)
            }
            b"obj " => {
                for _ in 0..self.count()? {
                    self.reference()?;
                }
                Value::Other
            }
            _ => return None,
        })
    }

    fn list(&mut self) -> Option<Vec<Value>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut values = Vec::new();
        for _ in 0..self.count()? {
            values.push(self.value()?);
        }
        self.depth -= 1;
        Some(values)
    }

    /// One part of a reference to something else in the document.
    fn reference(&mut self) -> Option<()> {
        let kind: [u8; 4] = self.array()?;
        match &kind {
            b"prop" => {
                self.unicode()?;
                self.key()?;
                self.key()?;
            }
            b"Clss" => {
                self.unicode()?;
                self.key()?;
            }
            b"Enmr" => {
                self.unicode()?;
                self.key()?;
                self.key()?;
                self.key()?;
            }
            b"rele" => {
                self.unicode()?;
                self.key()?;
                self.take(4)?;
            }
            b"Idnt" | b"indx" => {
                self.take(4)?;
            }
            b"name" => {
                self.unicode()?;
                self.key()?;
                self.unicode()?;
            }
            _ => return None,
        }
        Some(())
    }
}
