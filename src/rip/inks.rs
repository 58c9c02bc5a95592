//! Which pages of a PDF are in CMYK. What runs in a worker process of its own; never called in the main process.
//!
//! **Rule**: a page is in CMYK when at least one colour that its content sets, or one image that it shows, is in CMYK and
//! none is in RGB or Lab. Gray goes with either. Looked at are the operators for colours, colour spaces, images,
//! shadings and patterns (ISO 32000-1, 8.6–8.9), in the page and in the forms that it shows. An ICC profile counts by its
//! number of components, an index by what it is into, a spot colour by its alternate.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use lopdf::content::Content;
use lopdf::{Dictionary, Document, LoadOptions, Object, ObjectId};

use super::protocol::{self, Answer, Failure, FailureKind};
use crate::error::{Error, Result, Stage};

/// Longest content stream that is looked at, in bytes when it is unpacked.
const MAX_CONTENT_BYTES: usize = 64 << 20;
/// Forms in forms, patterns in patterns, colour spaces on colour spaces.
const MAX_DEPTH: u32 = 20;

/// Answers with what [`scan`] finds in the document at `path`.
///
/// # Errors
/// `Io` when the pipe breaks. What is wrong with the document is an answer.
pub fn serve(path: &Path, mut answers: impl Write) -> io::Result<()> {
    let answer: Answer<Vec<bool>> = match fs::read(path) {
        Ok(document) => {
            scan(&document).map_err(|error| Failure { kind: FailureKind::Malformed, message: error.message })
        }
        Err(error) => Err(Failure { kind: FailureKind::Io, message: error.to_string() }),
    };
    protocol::send(&mut answers, &answer)
}

/// One for each page of a PDF, in order: `true` for a page in CMYK.
///
/// # Errors
/// `Malformed` for a document that cannot be read.
pub fn scan(document: &[u8]) -> Result<Vec<bool>> {
    let options = LoadOptions { max_decompressed_size: Some(MAX_CONTENT_BYTES), ..LoadOptions::default() };
    let document = Document::load_mem_with_options(document, options)
        .map_err(|error| Error::malformed(Stage::Open, error.to_string()))?;
    let mut scan = Scan { document: &document, forms: HashMap::new() };
    let mut cmyk = Vec::new();
    // Pages that are there; the iterator would have room made for as many as the document says it has.
    for page in document.page_iter() {
        cmyk.push(scan.page(page).is_cmyk());
    }
    Ok(cmyk)
}

/// What was found so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Found {
    cmyk: bool,
    /// RGB, Lab, or something unknown.
    other: bool,
}

impl Found {
    const NOTHING: Found = Found { cmyk: false, other: false };
    const CMYK: Found = Found { cmyk: true, other: false };
    const OTHER: Found = Found { cmyk: false, other: true };

    fn is_cmyk(self) -> bool {
        self.cmyk && !self.other
    }

    fn add(&mut self, more: Found) {
        self.cmyk |= more.cmyk;
        self.other |= more.other;
    }
}

struct Scan<'a> {
    document: &'a Document,
    /// Forms and patterns are often shown on every page.
    forms: HashMap<ObjectId, Found>,
}

impl<'a> Scan<'a> {
    fn page(&mut self, page: ObjectId) -> Found {
        let document = self.document;
        let Ok(content) = document.get_page_content_with_limit(page, MAX_CONTENT_BYTES) else { return Found::OTHER };
        // A page has its own resources or those of the nodes above it.
        let Ok((own, inherited)) = document.get_page_resources(page) else { return Found::OTHER };
        let above = inherited.iter().filter_map(|id| document.get_dictionary(*id).ok());
        let resources: Vec<&Dictionary> = own.into_iter().chain(above).collect();
        self.content(&content, &resources, 0)
    }

    fn content(&mut self, content: &[u8], resources: &[&'a Dictionary], depth: u32) -> Found {
        let Ok(content) = Content::decode(content) else { return Found::OTHER };
        let mut found = Found::NOTHING;
        for operation in &content.operations {
            let operands = &operation.operands;
            let name = || operands.last().and_then(|operand| operand.as_name().ok());
            found.add(match operation.operator.as_str() {
                "k" | "K" => Found::CMYK,
                "rg" | "RG" => Found::OTHER,
                "cs" | "CS" => name().map_or(Found::NOTHING, |name| self.named_space(name, resources, depth)),
                "scn" | "SCN" => self
                    .resource(name(), b"Pattern", resources)
                    .map_or(Found::NOTHING, |(id, pattern)| self.pattern(id, pattern, resources, depth)),
                "sh" => self
                    .resource(name(), b"Shading", resources)
                    .map_or(Found::NOTHING, |(_, shading)| self.space_of(shading, depth)),
                "Do" => self
                    .resource(name(), b"XObject", resources)
                    .map_or(Found::NOTHING, |(id, shown)| self.shown(id, shown, resources, depth)),
                "BI" => operands.first().map_or(Found::OTHER, |image| self.inline_image(image, resources, depth)),
                _ => Found::NOTHING,
            });
        }
        found
    }

    /// The resource of this kind and name, and the number of its object.
    fn resource(
        &self,
        name: Option<&[u8]>,
        kind: &[u8],
        resources: &[&'a Dictionary],
    ) -> Option<(Option<ObjectId>, &'a Object)> {
        let name = name?;
        resources.iter().find_map(|resources| {
            let of_kind = self.resolved(resources.get(kind).ok()?)?.1.as_dict().ok()?;
            self.resolved(of_kind.get(name).ok()?)
        })
    }

    fn resolved(&self, object: &'a Object) -> Option<(Option<ObjectId>, &'a Object)> {
        self.document.dereference(object).ok()
    }

    fn entry(&self, dictionary: &'a Dictionary, key: &[u8]) -> Option<&'a Object> {
        self.resolved(dictionary.get(key).ok()?).map(|(_, object)| object)
    }

    /// A form or an image.
    fn shown(&mut self, id: Option<ObjectId>, shown: &'a Object, resources: &[&'a Dictionary], depth: u32) -> Found {
        let Ok(stream) = shown.as_stream() else { return Found::NOTHING };
        match self.entry(&stream.dict, b"Subtype").and_then(|subtype| subtype.as_name().ok()) {
            Some(b"Form") => self.form(id, shown, resources, depth),
            Some(b"Image") => {
                let is_mask = self.entry(&stream.dict, b"ImageMask").and_then(|mask| mask.as_bool().ok());
                if is_mask == Some(true) { Found::NOTHING } else { self.space_of(shown, depth) }
            }
            _ => Found::NOTHING,
        }
    }

    /// The content of a form or of a tile, in its own resources or those of where it is shown.
    fn form(&mut self, id: Option<ObjectId>, form: &'a Object, resources: &[&'a Dictionary], depth: u32) -> Found {
        if let Some(found) = id.and_then(|id| self.forms.get(&id)) {
            return *found;
        }
        let Ok(stream) = form.as_stream() else { return Found::NOTHING };
        if depth >= MAX_DEPTH {
            return Found::OTHER;
        }
        // What shows itself is not looked at again.
        id.map(|id| self.forms.insert(id, Found::NOTHING));
        let own = self.entry(&stream.dict, b"Resources").and_then(|own| own.as_dict().ok());
        let content = if stream.dict.has(b"Filter") {
            stream.decompressed_content_with_limit(MAX_CONTENT_BYTES).ok()
        } else {
            Some(stream.content.clone())
        };
        let found = match (content, own) {
            (None, _) => Found::OTHER,
            (Some(content), Some(own)) => self.content(&content, &[own], depth + 1),
            (Some(content), None) => self.content(&content, resources, depth + 1),
        };
        id.map(|id| self.forms.insert(id, found));
        found
    }

    fn pattern(
        &mut self,
        id: Option<ObjectId>,
        pattern: &'a Object,
        resources: &[&'a Dictionary],
        depth: u32,
    ) -> Found {
        match pattern {
            Object::Stream(_) => self.form(id, pattern, resources, depth),
            Object::Dictionary(dictionary) => match self.entry(dictionary, b"Shading") {
                Some(shading) => self.space_of(shading, depth),
                None => Found::OTHER,
            },
            _ => Found::NOTHING,
        }
    }

    /// The colour space of an image or a shading.
    fn space_of(&self, object: &'a Object, depth: u32) -> Found {
        let dictionary = object.as_dict().or_else(|_| object.as_stream().map(|stream| &stream.dict));
        match dictionary.ok().and_then(|dictionary| self.entry(dictionary, b"ColorSpace")) {
            Some(space) => self.space(space, depth),
            // JPEG 2000 says it inside.
            None => Found::OTHER,
        }
    }

    fn inline_image(&self, image: &Object, resources: &[&'a Dictionary], depth: u32) -> Found {
        let Ok(stream) = image.as_stream() else { return Found::OTHER };
        let entry = |long: &[u8], short: &[u8]| stream.dict.get(long).or_else(|_| stream.dict.get(short)).ok();
        if entry(b"ImageMask", b"IM").and_then(|mask| mask.as_bool().ok()) == Some(true) {
            return Found::NOTHING;
        }
        match entry(b"ColorSpace", b"CS") {
            Some(Object::Name(name)) => self.named_space(name, resources, depth),
            // An index into a device space, which is named in the second place.
            Some(Object::Array(parts)) => match parts.get(1) {
                Some(Object::Name(name)) => self.named_space(name, resources, depth),
                _ => Found::OTHER,
            },
            _ => Found::OTHER,
        }
    }

    fn named_space(&self, name: &[u8], resources: &[&'a Dictionary], depth: u32) -> Found {
        match name {
            b"DeviceGray" | b"G" | b"CalGray" | b"Pattern" => Found::NOTHING,
            b"DeviceCMYK" | b"CMYK" => Found::CMYK,
            b"DeviceRGB" | b"RGB" => Found::OTHER,
            name => match self.resource(Some(name), b"ColorSpace", resources) {
                Some((_, space)) => self.space(space, depth),
                None => Found::OTHER,
            },
        }
    }

    fn space(&self, space: &'a Object, depth: u32) -> Found {
        let parts = match space {
            // Device spaces only: a resource that is called by its own name would go on for ever.
            Object::Name(name) => return self.named_space(name, &[], depth),
            Object::Array(parts) => parts,
            _ => return Found::OTHER,
        };
        let part = |at: usize| parts.get(at).and_then(|part| self.resolved(part)).map(|(_, part)| part);
        let below = |at: usize| match part(at) {
            Some(space) if depth < MAX_DEPTH => self.space(space, depth + 1),
            _ => Found::OTHER,
        };
        match part(0).and_then(|family| family.as_name().ok()) {
            Some(b"ICCBased") => {
                let profile = part(1).and_then(|profile| profile.as_stream().ok());
                match profile.and_then(|stream| self.entry(&stream.dict, b"N")?.as_i64().ok()) {
                    Some(1) => Found::NOTHING,
                    Some(4) => Found::CMYK,
                    _ => Found::OTHER,
                }
            }
            Some(b"Indexed" | b"I") => below(1),
            Some(b"Separation" | b"DeviceN") => below(2),
            Some(b"Pattern") if parts.len() > 1 => below(1),
            Some(name) if parts.len() == 1 || name == b"CalGray" => self.named_space(name, &[], depth),
            _ => Found::OTHER,
        }
    }
}
