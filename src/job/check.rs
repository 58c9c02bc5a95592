//! Holds a raw tree against the schema table: names, structure, types, ranges, choices, defaults.

use jiff::Timestamp;

use super::fault::{FaultCode, Problems, quoted};
use super::model::Words;
use super::raw::{self, Node};
use super::schema::{self, Element, Kind, Occurs, Type};
use super::{cron, forms};

/// Longest name that a similar one is searched for, in bytes.
const MAX_SIMILAR_BYTES: usize = 64;

/// A structure whose elements were all found to be right; values stand in the order of the table.
pub(super) struct Record {
    of: &'static Type,
    values: Vec<Option<Value>>,
}

pub(super) enum Value {
    Text(String),
    Handles(Vec<String>),
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Word(&'static str),
    Time(Timestamp),
    Record(Record),
}

/// Reading a checked record. The names and kinds asked for are those of the table,
/// so a panic here is a mistake in this crate, whatever the document says.
impl Record {
    fn get(&self, name: &str) -> Option<&Value> {
        let index = self.of.elements.iter().position(|element| element.name == name);
        self.values[index.unwrap_or_else(|| panic!("{} has no {name}", self.of.name))].as_ref()
    }

    fn mismatch(&self, name: &str) -> ! {
        panic!("{}: {name} is not of the kind that the table says", self.of.name)
    }

    pub fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Text(text) => Some(text.clone()),
            _ => self.mismatch(name),
        }
    }

    /// The handles, none when the array is absent.
    pub fn handles(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Value::Handles(handles)) => handles.clone(),
            Some(_) => self.mismatch(name),
            None => Vec::new(),
        }
    }

    pub fn optional_boolean(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Boolean(value) => Some(*value),
            _ => self.mismatch(name),
        }
    }

    pub fn optional_integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Integer(value) => Some(*value),
            _ => self.mismatch(name),
        }
    }

    pub fn time(&self, name: &str) -> Option<Timestamp> {
        match self.get(name)? {
            Value::Time(time) => Some(*time),
            _ => self.mismatch(name),
        }
    }

    pub fn record(&self, name: &str) -> Option<&Record> {
        match self.get(name)? {
            Value::Record(record) => Some(record),
            _ => self.mismatch(name),
        }
    }

    /// A structure that is required or has a default.
    pub fn structure(&self, name: &str) -> &Record {
        self.record(name).unwrap_or_else(|| self.mismatch(name))
    }

    pub fn boolean(&self, name: &str) -> bool {
        self.optional_boolean(name).unwrap_or_else(|| self.mismatch(name))
    }

    /// An integer whose range in the table fits `T`.
    pub fn integer<T: TryFrom<i64>>(&self, name: &str) -> T {
        let value = self.optional_integer(name).and_then(|value| T::try_from(value).ok());
        value.unwrap_or_else(|| self.mismatch(name))
    }

    pub fn double(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Value::Double(value)) => *value,
            _ => self.mismatch(name),
        }
    }

    pub fn word<T: Words>(&self, name: &str) -> T {
        let word = match self.get(name) {
            Some(Value::Word(word)) => T::from_word(word),
            _ => None,
        };
        word.unwrap_or_else(|| self.mismatch(name))
    }
}

/// Checks documents; collects what is wrong and what deserves a warning.
pub(super) struct Checker<'p> {
    pub problems: &'p mut Problems,
    pub warnings: Vec<String>,
    /// Names of the elements around the present one, without `submitJobParam`.
    pub path: Vec<&'static str>,
}

impl Checker<'_> {
    fn refuse(&mut self, code: FaultCode, offset: usize, message: String) {
        self.problems.push(code, offset, self.path.join("/"), message);
    }

    /// Checks `node` against `of`. The record is only to be used if no problem was found.
    pub fn record(&mut self, node: &Node<'_>, of: &'static Type) -> Record {
        self.no_text(node);
        let mut found: Vec<Option<&Node>> = of.elements.iter().map(|_| None).collect();
        for child in &node.children {
            match of.elements.iter().position(|element| element.name == child.name) {
                None => self.unknown(child, of),
                Some(index) if found[index].is_some() => self.repeated(child),
                Some(_) if matches!(child.value, raw::Value::Nil) => {}
                Some(index) => found[index] = Some(child),
            }
        }
        for group in of.choices {
            let present = |name: &&&str| found.iter().flatten().any(|child| child.name == ***name);
            let present: Vec<&str> = group.iter().filter(present).copied().collect();
            if present.len() > 1 {
                let last = found.iter().flatten().filter(|child| present.contains(&child.name.as_ref()));
                let offset = last.map(|child| child.offset).max().unwrap_or(node.offset);
                let message = format!("{} exclude each other; keep one", present.join(" and "));
                self.refuse(FaultCode::InvalidParameter, offset, message);
            }
        }
        let mut values = Vec::with_capacity(found.len());
        for (element, child) in of.elements.iter().zip(found) {
            self.path.push(element.name);
            values.push(match (child, element.occurs) {
                (Some(child), _) => self.value(child, element),
                (None, Occurs::Optional) => None,
                (None, Occurs::Default(text)) => {
                    self.value(&Node { offset: node.offset, ..Node::leaf(element.name, text) }, element)
                }
                (None, Occurs::Required) => {
                    let message = format!("missing, but required; expected {}", element.kind.allowed());
                    self.refuse(FaultCode::MissingParameter, node.offset, message);
                    None
                }
            });
            self.path.pop();
        }
        Record { of, values }
    }

    fn value(&mut self, node: &Node<'_>, element: &Element) -> Option<Value> {
        match &element.kind {
            Kind::Structure(of) => return Some(Value::Record(self.record(node, of))),
            Kind::Handles { prefix, at_least } => return self.handles(node, prefix, *at_least, &element.kind),
            Kind::Ignored => {
                self.warnings.push(format!("{} is accepted but not acted on", element.name));
                return None;
            }
            _ => {}
        }
        let text = self.scalar(node, &element.kind)?;
        let value = match &element.kind {
            Kind::Text => Ok(Value::Text(text.to_string())),
            Kind::Name if text.is_empty() => Err("is empty".to_string()),
            Kind::Name => Ok(Value::Text(text.to_string())),
            Kind::Handle(_) if text.is_empty() => Err("is empty".to_string()),
            Kind::Handle(prefix) => {
                if !text.starts_with(prefix) {
                    let name = self.path.join("/");
                    self.warnings.push(format!("{name}: {} does not start with {prefix}", quoted(text)));
                }
                Ok(Value::Text(text.to_string()))
            }
            Kind::Boolean => match text {
                "true" | "1" => Ok(Value::Boolean(true)),
                "false" | "0" => Ok(Value::Boolean(false)),
                _ => Err(format!("{} is neither true nor false", quoted(text))),
            },
            Kind::Integer(min, max) => integer(text, *min, *max).map(Value::Integer),
            Kind::Double(min, max) => double(text, *min, *max).map(Value::Double),
            Kind::Word(words) => match words.iter().find(|word| **word == text) {
                Some(word) => Ok(Value::Word(word)),
                None => Err(match similar(text, words) {
                    Some((word, true)) => format!("{} is not known, did you mean {word}?", quoted(text)),
                    _ => format!("{} is not known", quoted(text)),
                }),
            },
            Kind::Locale if forms::is_locale(text) => Ok(Value::Text(text.to_string())),
            Kind::Locale => Err(format!("{} is not a locale", quoted(text))),
            Kind::DateTime => match forms::date_time(text) {
                Some(time) => Ok(Value::Time(time)),
                None => Err(format!("{} is not a date and time", quoted(text))),
            },
            Kind::Cron => match cron::normalized(text) {
                Ok(expression) => Ok(Value::Text(expression)),
                Err(reason) => Err(format!("{}: {reason}", quoted(text))),
            },
            Kind::Url => match forms::check_http_url(text) {
                Ok(()) => Ok(Value::Text(text.to_string())),
                Err(reason) => Err(format!("{} {reason}", quoted(text))),
            },
            Kind::Structure(_) | Kind::Handles { .. } | Kind::Ignored => unreachable!("handled above"),
        };
        match value {
            Ok(value) => Some(value),
            Err(reason) => {
                let message = format!("{reason}; allowed: {}", element.kind.allowed());
                self.refuse(FaultCode::InvalidParameter, node.offset, message);
                None
            }
        }
    }

    fn handles(&mut self, node: &Node<'_>, prefix: &str, at_least: usize, kind: &Kind) -> Option<Value> {
        static ITEMS: Element =
            Element { name: "items", kind: Kind::Handle(""), occurs: Occurs::Optional, meaning: "" };
        static ARRAY: Type = Type { name: "HandleArray", elements: std::slice::from_ref(&ITEMS), choices: &[] };
        self.no_text(node);
        let mut handles = Vec::with_capacity(node.children.len());
        let mut listed = 0;
        for child in &node.children {
            if child.name != ITEMS.name {
                self.unknown(child, &ARRAY);
            } else if !matches!(child.value, raw::Value::Nil) {
                listed += 1;
                self.path.push(ITEMS.name);
                if let Some(Value::Text(handle)) = self.value(child, &ITEMS) {
                    handles.push(handle);
                }
                self.path.pop();
            }
        }
        if listed < at_least {
            let message = format!("holds {listed} items; allowed: {}", kind.allowed());
            self.refuse(FaultCode::InvalidParameter, node.offset, message);
        }
        let odd = handles.iter().filter(|handle| !handle.starts_with(prefix)).count();
        if odd > 0 {
            let (name, total) = (self.path.join("/"), handles.len());
            self.warnings.push(format!("{name}: {odd} of {total} handles do not start with {prefix}"));
        }
        Some(Value::Handles(handles))
    }

    /// The text of an element that holds no elements.
    fn scalar<'n>(&mut self, node: &'n Node<'_>, kind: &Kind) -> Option<&'n str> {
        let wrong = match &node.value {
            _ if !node.children.is_empty() => "holds elements",
            raw::Value::Text(text) => return Some(text),
            raw::Value::Literal(text) => match kind {
                Kind::Boolean | Kind::Integer(..) | Kind::Double(..) => return Some(text),
                _ => "is a number or boolean instead of a string",
            },
            raw::Value::Structure => "is an object or array",
            raw::Value::Nil => return None,
        };
        self.refuse(FaultCode::InvalidParameter, node.offset, format!("{wrong}; allowed: {}", kind.allowed()));
        None
    }

    fn no_text(&mut self, node: &Node<'_>) {
        if let raw::Value::Text(text) | raw::Value::Literal(text) = &node.value
            && !text.is_empty()
        {
            let message = format!("holds the text {} but may hold only elements", quoted(text));
            self.refuse(FaultCode::InvalidRequest, node.offset, message);
        }
    }

    fn repeated(&mut self, node: &Node<'_>) {
        let message = format!("{} is given more than once", quoted(&node.name));
        self.refuse(FaultCode::InvalidRequest, node.offset, message);
    }

    fn unknown(&mut self, node: &Node<'_>, of: &'static Type) {
        let name = quoted(&node.name);
        let names: Vec<&str> = of.elements.iter().map(|element| element.name).collect();
        // The search is what takes time in a document full of unknown elements.
        let near = if self.problems.is_full() { None } else { similar(&node.name, &names) };
        let advice = match (near, schema::home_of(&node.name)) {
            (Some((near, true)), _) => format!(", did you mean {near}?"),
            (_, Some(home)) => format!(", it belongs in {home}"),
            (Some((near, false)), None) => format!(", the nearest known name is {near}"),
            (None, None) => String::new(),
        };
        self.refuse(FaultCode::InvalidRequest, node.offset, format!("unknown element {name}{advice}"));
    }
}

/// The name most like `name`, and whether it is so like that it was probably meant.
fn similar<'n>(name: &str, names: &[&'n str]) -> Option<(&'n str, bool)> {
    if name.len() > MAX_SIMILAR_BYTES {
        return None;
    }
    let lower = name.to_lowercase();
    let distances = names.iter().map(|near| (strsim::osa_distance(&lower, &near.to_lowercase()), *near));
    let (distance, near) = distances.min_by_key(|(distance, _)| *distance)?;
    Some((near, distance <= near.len().max(3) / 3))
}

fn integer(text: &str, min: i64, max: i64) -> Result<i64, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    match text.parse::<i64>() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        Ok(_) => Err(format!("{} is out of range", quoted(text))),
        Err(error) if matches!(error.kind(), NegOverflow | PosOverflow) => {
            Err(format!("{} is out of range", quoted(text)))
        }
        Err(_) => Err(format!("{} is not a whole number", quoted(text))),
    }
}

fn double(text: &str, min: f64, max: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        // Adding zero turns -0 into 0.
        Ok(value) if (min..=max).contains(&value) => Ok(value + 0.0),
        Ok(value) if value.is_finite() || text.contains(|c: char| c.is_ascii_digit()) => {
            Err(format!("{} is out of range", quoted(text)))
        }
        _ => Err(format!("{} is not a finite number", quoted(text))),
    }
}
