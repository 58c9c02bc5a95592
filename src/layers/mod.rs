//! Layers of Photoshop documents as images: each alone, groups, and all of them put together.
//!
//! **What is drawn**: pixels, transparency, layer masks with their density, vector masks, opacity and fill opacity, one
//! colour fills, clipping, groups that pass through and groups that do not, and all blend modes but dissolve, which is
//! drawn as normal. Colours are mixed as stored, as Photoshop does it: not in linear light unless the document has 32
//! bits; inks as their absence. Numbers are `f32`, rounded once.
//!
//! **Rule**: where "Blend Clipped Layers as Group" is off, the blend mode and the fill opacity of a layer are its own,
//! and what it clips is blended with all that is below; its opacity and its shape are still theirs (Adobe's help, "Group
//! blend effects").
//!
//! **What is not drawn**, and said in a warning: adjustment layers, gradient and pattern fills without pixels, effects
//! (shadows, glows, strokes), the feather of masks, knock-outs and "Blend If". A group that passes through and that layers
//! are clipped by is drawn as its layers look on what is below, without what is below.
//!
//! Rows flow from the file through masks and groups to the result, so memory follows the width and the number of
//! layers, not the area.

mod blend;
mod image;
mod paint;
pub mod template;

use crate::error::{Error, Result, Stage};
use crate::psd::{Bounds, ChannelId, Document, Layer, Section};

pub use image::LayerImage;

/// Groups in groups.
const MAX_DEPTH: usize = 100;

/// A layer or group in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Of the record in the document.
    pub index: usize,
    /// From 1 at the bottom; groups count, after their layers.
    pub number: u32,
    /// From bottom to top; `None` for layers.
    pub children: Option<Vec<Node>>,
    /// Those that are shown only where this one is, from bottom to top.
    pub clipped: Vec<Node>,
}

/// The layers of a document, from bottom to top.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    pub nodes: Vec<Node>,
}

impl Tree {
    /// # Errors
    /// What is wrong with the layers; `Limit` for groups nested too deep.
    pub fn of(document: &Document) -> Result<Self> {
        let layers = document.layers.as_ref().map_err(Clone::clone)?;
        let mut open: Vec<Vec<Node>> = vec![Vec::new()];
        let mut number = 0;
        for (index, layer) in layers.iter().enumerate() {
            let children = match layer.section {
                Some(Section::GroupEnd) => {
                    open.push(Vec::new());
                    if open.len() > MAX_DEPTH {
                        let what = format!("groups are nested more than {MAX_DEPTH} deep");
                        return Err(Error::limit(Stage::Decode, what));
                    }
                    continue;
                }
                // A group whose end is missing has nothing in it.
                Some(Section::Group) if open.len() > 1 => open.pop(),
                Some(Section::Group) => Some(Vec::new()),
                None => None,
            };
            number += 1;
            let node = Node { index, number, children, clipped: Vec::new() };
            let siblings = open.last_mut().expect("the outermost stays");
            match siblings.last_mut() {
                Some(base) if layer.clipped => base.clipped.push(node),
                _ => siblings.push(node),
            }
        }
        // What stands in a group that never begins belongs to where the group would.
        let nodes = open.into_iter().flatten().collect();
        Ok(Tree { nodes })
    }

    /// All layers and groups in the order of their numbers, each with the one that it is clipped by.
    pub fn all(&self) -> Vec<(&Node, Option<&Node>)> {
        fn collect<'a>(nodes: &'a [Node], base: Option<&'a Node>, all: &mut Vec<(&'a Node, Option<&'a Node>)>) {
            for node in nodes {
                collect(node.children.as_deref().unwrap_or_default(), None, all);
                all.push((node, base));
                collect(&node.clipped, Some(node), all);
            }
        }
        let mut all = Vec::new();
        collect(&self.nodes, None, &mut all);
        all.sort_by_key(|(node, _)| node.number);
        all
    }
}

/// What makes each layer the same one when the document is saved anew: Photoshop's own numbers, where every layer
/// has one and no two the same, else their numbers from the bottom.
pub fn identities(document: &Document, tree: &Tree) -> Vec<u32> {
    let layers = document.layers.as_deref().unwrap_or_default();
    let all = tree.all();
    let own: Vec<u32> = all.iter().filter_map(|(node, _)| layers[node.index].id.filter(|id| *id > 0)).collect();
    let mut distinct = own.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() == all.len() { own } else { all.iter().map(|(node, _)| node.number).collect() }
}

/// Where a layer or group has pixels; empty where there are none to be drawn.
pub fn bounds(document: &Document, node: &Node) -> Bounds {
    let Ok(layers) = &document.layers else { return Bounds::default() };
    let layer = &layers[node.index];
    match &node.children {
        None if fills_canvas(layer) => canvas(document),
        None if layer.adjustment || layer.channel(ChannelId::Color(0)).is_none() => Bounds::default(),
        None => layer.bounds,
        Some(_) if layer.artboard.is_some() => layer.artboard.as_ref().map_or(layer.bounds, |artboard| artboard.bounds),
        Some(children) => children
            .iter()
            .filter(|child| layers[child.index].visible)
            .map(|child| bounds(document, child))
            .fold(Bounds::default(), Bounds::union),
    }
}

/// The document's own area.
pub fn canvas(document: &Document) -> Bounds {
    let size = document.header.size;
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    Bounds { left: 0, top: 0, right: side(size.width), bottom: side(size.height) }
}

/// One colour everywhere, without pixels of its own.
fn fills_canvas(layer: &Layer) -> bool {
    layer.bounds.is_empty() && layer.solid_color.is_some()
}

/// What of a layer is not drawn, for the user.
pub fn not_drawn(layer: &Layer) -> Vec<&'static str> {
    let feathered =
        [&layer.mask, &layer.real_mask].into_iter().flatten().any(|mask| !mask.disabled && mask.feather > 0.0);
    let without_pixels = layer.filled && layer.solid_color.is_none() && layer.bounds.is_empty();
    let dissolves = layer.blend == crate::psd::BlendMode::Dissolve;
    [
        (layer.adjustment, "is an adjustment layer, which has no pixels of its own"),
        (without_pixels, "is filled with a gradient or pattern whose pixels are not stored"),
        (layer.effects, "has effects such as shadows or strokes, which are left out"),
        (feathered, "has a feathered mask, which is applied without the feather"),
        (dissolves, "is blended by dissolve, which is drawn as normal"),
        (layer.blend_if, "is blended only where Blend If says, which is not looked at"),
        (layer.knockout, "knocks out what is below it, which is drawn as if it did not"),
    ]
    .into_iter()
    .filter_map(|(so, what)| so.then_some(what))
    .collect()
}
