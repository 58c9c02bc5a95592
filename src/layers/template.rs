//! What of a document a template is made of: images that, laid over each other, give the whole.

use super::{Node, Tree};
use crate::psd::{BlendMode, Document, Layer};

/// A layer or group that is one image of a template.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part<'a> {
    pub node: &'a Node,
    /// What it is clipped by.
    pub base: Option<&'a Node>,
    /// With all groups around it.
    pub visible: bool,
}

/// The parts from bottom to top. A group that only passes its layers through stands for them one by one; of any other,
/// the group's own image is the part.
pub fn parts<'a>(document: &Document, tree: &'a Tree) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    if let Ok(layers) = &document.layers {
        collect(layers, &tree.nodes, true, &mut parts);
    }
    parts
}

fn collect<'a>(layers: &[Layer], nodes: &'a [Node], shown: bool, parts: &mut Vec<Part<'a>>) {
    for node in nodes {
        let layer = &layers[node.index];
        let visible = shown && layer.visible;
        match &node.children {
            Some(children) if passes_through(layer) && node.clipped.is_empty() => {
                collect(layers, children, visible, parts);
            }
            _ => parts.push(Part { node, base: None, visible }),
        }
        for clipped in &node.clipped {
            parts.push(Part { node: clipped, base: Some(node), visible: visible && layers[clipped.index].visible });
        }
    }
}

fn passes_through(layer: &Layer) -> bool {
    let masked =
        layer.mask.is_some_and(|mask| !mask.disabled) || layer.vector_mask.as_ref().is_some_and(|v| !v.disabled);
    let plain = layer.blend == BlendMode::PassThrough && layer.artboard.is_none();
    plain && layer.opacity == 255 && layer.fill == 255 && !masked
}

/// The word of image serving's `blendMode` for a mode; `None` for those that it does not have.
pub fn image_serving_blend(mode: BlendMode) -> Option<&'static str> {
    Some(match mode {
        BlendMode::Normal | BlendMode::PassThrough => "norm",
        BlendMode::Dissolve => "dissolve",
        BlendMode::Lighten => "lighten",
        BlendMode::Darken => "darken",
        BlendMode::Multiply => "mult",
        BlendMode::Screen => "screen",
        _ => return None,
    })
}
