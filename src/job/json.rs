//! JSON in, with the names of the XML; strict RFC 8259: no comments, no trailing commas, no key twice.

use std::borrow::Cow;
use std::collections::HashSet;

use jsonc_parser::ast::{self, Object};
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::MAX_DEPTH;
use super::fault::{FaultCode, Problems, quoted};
use super::raw::{Document, Node, Value, trimmed};
use super::schema;

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Reads a job document; `None` when it is broken, with the reason in `problems`.
///
/// An object with the one key `submitJobParam` or `reprocessAssetsJob` is that element;
/// any other object is the content of a `submitJobParam`.
pub(super) fn read<'a>(text: &'a str, problems: &mut Problems) -> Option<Document<'a>> {
    let mut refuse = |offset: usize, message: String| {
        problems.push(FaultCode::InvalidRequest, offset, String::new(), message);
        None
    };
    let value = match parse_to_ast(text, &CollectOptions::default(), &STRICT) {
        Ok(parsed) => parsed.value,
        Err(error) => {
            let message = match error.kind() {
                // The parser's own message repeats a part of the string, which may be secret.
                ParseErrorKind::String(_) => "a string does not end or holds a wrong escape sequence".to_string(),
                kind => kind.to_string(),
            };
            return refuse(error.range().start, format!("not well-formed JSON: {message}"));
        }
    };
    let Some(ast::Value::Object(object)) = value else {
        return refuse(0, "a job document in JSON is an object".to_string());
    };
    let offset = object.start();
    let mut reader = Reader { problems };
    let mut nodes = reader.lower_object(object, 0)?;
    let wrapped = matches!(nodes.as_slice(), [only]
        if only.name == schema::SUBMIT_JOB_PARAM.name || only.name == schema::REPROCESS_ASSETS_JOB.name);
    let root = match nodes.pop() {
        Some(only) if wrapped => only,
        last => {
            nodes.extend(last);
            Node { offset, ..Node::branch(schema::SUBMIT_JOB_PARAM.name, nodes) }
        }
    };
    Some(Document { root, warnings: Vec::new() })
}

struct Reader<'p> {
    problems: &'p mut Problems,
}

impl Reader<'_> {
    fn refuse(&mut self, offset: usize, message: String) {
        self.problems.push(FaultCode::InvalidRequest, offset, String::new(), message);
    }

    /// `None` when values are nested too deep.
    fn lower_object<'a>(&mut self, object: Object<'a>, depth: usize) -> Option<Vec<Node<'a>>> {
        let mut nodes = Vec::with_capacity(object.properties.len());
        let mut names = HashSet::with_capacity(object.properties.len());
        for property in object.properties {
            let offset = property.range.start;
            let name = match property.name {
                ast::ObjectPropName::String(name) => name.value,
                ast::ObjectPropName::Word(name) => Cow::Borrowed(name.value),
            };
            if !names.insert(name.clone()) {
                self.refuse(offset, format!("{} is given twice in one object", quoted(&name)));
                continue;
            }
            match property.value {
                ast::Value::Array(items) if name == "items" => {
                    for item in items.elements {
                        let offset = item.start();
                        nodes.push(self.lower("items".into(), offset, item, depth + 1)?);
                    }
                }
                value => nodes.push(self.lower(name, offset, value, depth + 1)?),
            }
        }
        Some(nodes)
    }

    fn lower<'a>(
        &mut self,
        name: Cow<'a, str>,
        offset: usize,
        value: ast::Value<'a>,
        depth: usize,
    ) -> Option<Node<'a>> {
        if depth == MAX_DEPTH {
            self.refuse(offset, format!("values are nested more than {MAX_DEPTH} deep"));
            return None;
        }
        let mut children = Vec::new();
        let ignored = schema::is_ignored(&name);
        let value = match value {
            ast::Value::NullKeyword(_) => Value::Nil,
            _ if ignored => Value::Structure,
            ast::Value::StringLit(string) => {
                if let Some(c) = string.value.chars().find(|c| !is_xml_char(*c)) {
                    let (name, code) = (quoted(&name), u32::from(c));
                    self.refuse(offset, format!("{name} holds the character U+{code:04X}, which no text may hold"));
                }
                Value::Text(trimmed(string.value))
            }
            ast::Value::NumberLit(number) => Value::Literal(number.value.into()),
            ast::Value::BooleanLit(boolean) => Value::Literal(if boolean.value { "true" } else { "false" }.into()),
            ast::Value::Object(object) => {
                children = self.lower_object(object, depth)?;
                Value::Structure
            }
            ast::Value::Array(array) => {
                children.reserve(array.elements.len());
                for item in array.elements {
                    let offset = item.start();
                    children.push(self.lower("items".into(), offset, item, depth + 1)?);
                }
                Value::Structure
            }
        };
        Some(Node { name, offset, value, children })
    }
}

/// Whether XML 1.0 can hold `c`; a job is written as XML.
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}
