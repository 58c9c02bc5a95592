//! XML in and out. Reading knows namespaces, the SOAP envelope and `xsi:nil`, but no element of the schema.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

use roxmltree::{Error, NodeType, ParsingOptions, StringStorage};

use super::MAX_DEPTH;
use super::fault::{FaultCode, Problems, quoted};
use super::raw::{Document, Node, Value, is_space, trimmed};
use super::schema::{self, Kind, Type};

/// The API's namespace; dated versions stand below it, such as `/2014-04-03` or `/2022-11-01-beta`.
const IPS: &str = "http://www.scene7.com/IpsApi/xsd";
const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP_1_2: &str = "http://www.w3.org/2003/05/soap-envelope";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Elements and texts together.
const MAX_NODES: u32 = 1 << 20;

/// Equals signs between one `<` and the next, and so attributes of one element.
const MAX_ATTRIBUTES: usize = 500;

/// Distinct namespace prefixes.
const MAX_PREFIXES: usize = 32;

/// Reads a job document; `None` when it is broken or holds no job, with the reason in `problems`.
pub(super) fn read<'a>(text: &'a str, problems: &mut Problems) -> Option<Document<'a>> {
    if let Some((offset, message)) = costly(text) {
        problems.push(FaultCode::InvalidRequest, offset, String::new(), message);
        return None;
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = match roxmltree::Document::parse_with_options(text, options) {
        Ok(document) => document,
        Err(error) => {
            let (offset, message) = explain(&error, text);
            problems.push(FaultCode::InvalidRequest, offset, String::new(), message);
            return None;
        }
    };
    let mut reader = Reader { problems, foreign: HashSet::new(), warnings: Vec::new() };
    let element = reader.payload(document.root_element())?;
    let name = element.tag_name().name();
    if name != schema::SUBMIT_JOB_PARAM.name && name != schema::REPROCESS_ASSETS_JOB.name {
        let message = format!(
            "{} is not a job; expected submitJobParam, reprocessAssetsJob or a SOAP 1.1 Envelope",
            quoted(name)
        );
        reader.refuse(element.range().start, message);
        return None;
    }
    let root = reader.lower(element, 0)?;
    Some(Document { root, warnings: reader.warnings })
}

/// What would take the parser time or memory that grows with the square of the document's size, and where it is.
/// It compares every attribute with every other one of its element, and copies the prefixes in scope to every
/// element that declares one.
fn costly(text: &str) -> Option<(usize, String)> {
    let mut offset = 0;
    for tag in text.split('<') {
        if !tag.starts_with(['!', '?']) && tag.bytes().filter(|byte| *byte == b'=').count() > MAX_ATTRIBUTES {
            return Some((offset, format!("an element has more than {MAX_ATTRIBUTES} attributes")));
        }
        offset += tag.len() + 1;
    }
    let mut prefixes = HashSet::new();
    for (offset, declaration) in text.match_indices("xmlns:") {
        let rest = &text[offset + declaration.len()..];
        prefixes.insert(rest.split(|c: char| c == '=' || is_space(c)).next());
        if prefixes.len() > MAX_PREFIXES {
            return Some((offset, format!("more than {MAX_PREFIXES} namespace prefixes are declared")));
        }
    }
    None
}

/// Where the parser stopped and why, without repeating text that may be secret.
fn explain(error: &Error, text: &str) -> (usize, String) {
    let message = match error {
        Error::DtdDetected => {
            let offset = text.find("<!DOCTYPE").unwrap_or(0);
            return (offset, "a document type definition is refused, and entities with it; remove it".to_string());
        }
        Error::NodesLimitReached => {
            return (text.len(), format!("the document has more than {MAX_NODES} elements and texts"));
        }
        Error::NoRootNode => return (text.len(), "the document has no element".to_string()),
        Error::UnclosedRootNode => return (text.len(), "the document ends before its elements do".to_string()),
        Error::UnexpectedCloseTag(expected, actual, _) => {
            format!("</{}> expected, </{}> found", quoted(expected), quoted(actual))
        }
        Error::UnknownEntityReference(..) => {
            "unknown entity; XML has only &lt; &gt; &amp; &quot; &apos; and character numbers".to_string()
        }
        Error::UnknownNamespace(prefix, _) => format!("the prefix {} is not declared", quoted(prefix)),
        Error::DuplicatedAttribute(name, _) => format!("the attribute {} is given twice", quoted(name)),
        Error::DuplicatedNamespace(prefix, _) => format!("the prefix {} is declared twice", quoted(prefix)),
        Error::NonXmlChar(c, _) => format!("the character U+{:04X} is not allowed in XML", u32::from(*c)),
        Error::InvalidChar(..) | Error::InvalidChar2(..) | Error::InvalidString(..) => {
            "unexpected character".to_string()
        }
        Error::UnexpectedEndOfStream => return (text.len(), "the document ends in the middle of a tag".to_string()),
        other => other.to_string(),
    };
    (offset_of(error.pos(), text), format!("not well-formed XML: {message}"))
}

/// Byte offset of a position given as line and column in characters, both from 1.
fn offset_of(position: roxmltree::TextPos, text: &str) -> usize {
    let line: usize = text.split_inclusive('\n').take(position.row as usize - 1).map(str::len).sum();
    let column = text[line..].char_indices().nth(position.col as usize - 1);
    column.map_or(text.len(), |(index, _)| line + index)
}

fn is_ips_namespace(uri: &str) -> bool {
    let Some(version) = uri.strip_prefix(IPS) else { return false };
    let Some(version) = version.strip_prefix('/') else { return version.is_empty() };
    let date = version.strip_suffix("-beta").unwrap_or(version);
    date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok()
}

struct Reader<'p> {
    problems: &'p mut Problems,
    /// Unknown namespaces reported so far.
    foreign: HashSet<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn refuse(&mut self, offset: usize, message: String) {
        self.problems.push(FaultCode::InvalidRequest, offset, String::new(), message);
    }

    /// The job inside of a SOAP envelope, or `root` itself.
    fn payload<'d, 'a>(&mut self, root: roxmltree::Node<'d, 'a>) -> Option<roxmltree::Node<'d, 'a>> {
        let offset = root.range().start;
        match (root.tag_name().namespace(), root.tag_name().name()) {
            (Some(SOAP), "Envelope") => {}
            (Some(SOAP_1_2), _) => {
                self.refuse(offset, format!("this is a SOAP 1.2 envelope; SOAP 1.1 ({SOAP}) is read"));
                return None;
            }
            _ => return Some(root),
        }
        let mut body = None;
        for part in root.children().filter(roxmltree::Node::is_element) {
            match (part.tag_name().namespace(), part.tag_name().name()) {
                (Some(SOAP), "Header") => {
                    if part.first_element_child().is_some() {
                        self.warnings.push(
                            "the SOAP header is not read: credentials in it are neither checked nor kept".to_string(),
                        );
                    }
                }
                (Some(SOAP), "Body") if body.is_none() => body = Some(part),
                (_, name) => {
                    let message =
                        format!("{} does not belong here; a SOAP Envelope holds a Header and one Body", quoted(name));
                    self.refuse(part.range().start, message);
                }
            }
        }
        let Some(body) = body else {
            self.refuse(offset, "the SOAP Envelope has no Body".to_string());
            return None;
        };
        let mut jobs = body.children().filter(roxmltree::Node::is_element);
        let job = jobs.next();
        if job.is_none() {
            self.refuse(body.range().start, "the SOAP Body is empty; expected submitJobParam".to_string());
        }
        if let Some(second) = jobs.next() {
            let name = quoted(second.tag_name().name());
            self.refuse(second.range().start, format!("{name} is one too many; a SOAP Body holds one element"));
        }
        job
    }

    /// `None` when elements are nested too deep.
    fn lower<'a>(&mut self, element: roxmltree::Node<'_, 'a>, depth: usize) -> Option<Node<'a>> {
        let offset = element.range().start;
        let name = element.tag_name().name();
        if depth == MAX_DEPTH {
            self.refuse(offset, format!("elements are nested more than {MAX_DEPTH} deep"));
            return None;
        }
        if let Some(uri) = element.tag_name().namespace()
            && !is_ips_namespace(uri)
            && self.foreign.insert(uri.to_string())
        {
            let message = format!(
                "the namespace {} of {} is unknown; known are {IPS} and its dated versions such as {IPS}/2014-04-03",
                quoted(uri),
                quoted(name)
            );
            self.refuse(offset, message);
        }
        let nil =
            matches!(element.attribute((XSI, "nil")).map(|value| value.trim_matches(is_space)), Some("true" | "1"));
        if schema::is_ignored(name) {
            let value = if nil { Value::Nil } else { Value::Structure };
            return Some(Node { name: name.into(), offset, value, children: Vec::new() });
        }
        for attribute in element.attributes() {
            if !matches!(attribute.namespace(), Some(XSI | XML | SOAP)) {
                let message = format!("{} has no attribute {}", quoted(name), quoted(attribute.name()));
                self.refuse(attribute.range().start, message);
            }
        }
        let mut children = Vec::new();
        let mut text = Cow::Borrowed("");
        for child in element.children() {
            match child.node_type() {
                NodeType::Element => children.push(self.lower(child, depth + 1)?),
                NodeType::Text => append(&mut text, child.text_storage()),
                _ => {}
            }
        }
        let text = trimmed(text);
        if nil && !(children.is_empty() && text.is_empty()) {
            self.refuse(offset, format!("{} is xsi:nil but not empty", quoted(name)));
        }
        let value = if nil { Value::Nil } else { Value::Text(text) };
        Some(Node { name: name.into(), offset, value, children })
    }
}

fn append<'a>(text: &mut Cow<'a, str>, more: Option<&StringStorage<'a>>) {
    let more = match more {
        Some(StringStorage::Borrowed(more)) => Cow::Borrowed(*more),
        Some(StringStorage::Owned(more)) => Cow::Owned(more.to_string()),
        None => return,
    };
    if text.is_empty() { *text = more } else { text.to_mut().push_str(&more) }
}

/// Writes `node`, which is of type `of`, with its elements in schema order.
pub(super) fn write(node: &Node<'_>, of: &Type) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<{} xmlns=\"{IPS}\">", node.name);
    write_children(&mut out, node, of, 1);
    let _ = writeln!(out, "</{}>", node.name);
    out
}

fn write_children(out: &mut String, node: &Node<'_>, of: &Type, depth: usize) {
    let indent = "  ".repeat(depth);
    for element in of.elements {
        for child in node.children.iter().filter(|child| child.name == element.name) {
            let name = element.name;
            match &element.kind {
                Kind::Structure(inner) => {
                    let _ = writeln!(out, "{indent}<{name}>");
                    write_children(out, child, inner, depth + 1);
                    let _ = writeln!(out, "{indent}</{name}>");
                }
                Kind::Handles { .. } => {
                    let _ = writeln!(out, "{indent}<{name}>");
                    for item in &child.children {
                        let _ = writeln!(out, "{indent}  <items>{}</items>", escaped(item));
                    }
                    let _ = writeln!(out, "{indent}</{name}>");
                }
                _ => {
                    let _ = writeln!(out, "{indent}<{name}>{}</{name}>", escaped(child));
                }
            }
        }
    }
}

/// The text of `node` for element content. A bare carriage return would be read back as a line feed.
fn escaped(node: &Node<'_>) -> String {
    let Value::Text(text) = &node.value else { return String::new() };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
    out
}
