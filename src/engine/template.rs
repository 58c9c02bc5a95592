//! Templates of Photoshop documents: which image where, for an image server to put together.
//!
//! **Modifier**, in image-serving syntax: layer 0 is a transparent area of the canvas's size with its origin in the
//! upper left corner; then each layer from bottom to top with `src` (or `text` for text layers whose text is extracted),
//! `origin`, the anchor in pixels of its image, `pos`, the anchor's place on the canvas, `blendMode` and `hide`. Opacity
//! is not written: the images have it in their alpha. Values are percent-encoded.
//!
//! Image serving knows the blend modes normal, dissolve, darken, lighten, multiply and screen. For others the modifier
//! says `norm`, a warning names the layer, and the record keeps Photoshop's name.

use std::fmt::Write as _;

use super::photoshop::LayerDone;
use crate::catalog::{Template, TemplateLayer, TemplateText, TextRun};
use crate::job::{Anchor, LayerOptions};
use crate::layers::{self, Tree};
use crate::psd::Document;
use crate::psd::text::Text;

/// The template of a document whose layers are all done, and what is to be said about it.
pub(super) fn make(
    document: &Document,
    tree: &Tree,
    name: &str,
    options: &LayerOptions,
    done: &[LayerDone],
) -> (Template, Vec<String>) {
    let records = document.layers.as_deref().unwrap_or_default();
    let mut warnings = Vec::new();
    let mut parts = Vec::new();
    let size = document.header.size;
    let mut modifier = format!("layer=0&size={},{}&color=255,255,255,0&origin=0,0", size.width, size.height);
    for part in layers::template::parts(document, tree) {
        // Those without pixels are warned of already.
        let Some(made) = done.iter().find(|made| made.image.number == part.node.number) else { continue };
        let LayerDone { name, image, region, text } = made;
        let record = &records[part.node.index];
        let insets = image.converted.crop.unwrap_or_default();
        let (width, height) = (image.converted.size.width, image.converted.size.height);
        let (left, top) =
            (i64::from(region.left) + i64::from(insets.left), i64::from(region.top) + i64::from(insets.top));
        let (origin_x, origin_y) = origin(options.anchor, width, height);
        let layer = TemplateLayer {
            name: name.clone(),
            asset: image.asset.handle.clone(),
            left,
            top,
            width,
            height,
            anchor_x: left + i64::from(origin_x),
            anchor_y: top + i64::from(origin_y),
            blend: record.blend.name().to_owned(),
            opacity: f64::from(record.opacity) * f64::from(record.fill) / (255.0 * 255.0) * 100.0,
            visible: part.visible,
            text: text.clone(),
        };
        let _ = write!(modifier, "&layer={}", parts.len() + 1);
        match &layer.text {
            Some(text) => {
                let _ = write!(modifier, "&text={}&size={width},{height}", encoded(&rtf(text)));
            }
            None => {
                let _ = write!(modifier, "&src={}", encoded(&image.asset.name));
            }
        }
        let _ = write!(modifier, "&origin={origin_x},{origin_y}&pos={},{}", layer.anchor_x, layer.anchor_y);
        match layers::template::image_serving_blend(record.blend) {
            Some("norm") => {}
            Some(word) => {
                let _ = write!(modifier, "&blendMode={word}");
            }
            None => warnings.push(format!(
                "template: image serving has no blend mode {} (layer {:?}); the modifier says norm",
                record.blend.name(),
                record.name
            )),
        }
        if !layer.visible {
            modifier.push_str("&hide=1");
        }
        parts.push(layer);
    }
    let template = Template {
        name: name.to_owned(),
        width: size.width,
        height: size.height,
        anchor: format!("{:?}", options.anchor),
        modifier,
        layers: parts,
    };
    (template, warnings)
}

/// The anchor in pixels of an image.
fn origin(anchor: Anchor, width: u32, height: u32) -> (u32, u32) {
    let x = match anchor {
        Anchor::West | Anchor::Northwest | Anchor::Southwest => 0,
        Anchor::North | Anchor::Center | Anchor::South => width / 2,
        Anchor::East | Anchor::Northeast | Anchor::Southeast => width,
    };
    let y = match anchor {
        Anchor::North | Anchor::Northeast | Anchor::Northwest => 0,
        Anchor::West | Anchor::Center | Anchor::East => height / 2,
        Anchor::South | Anchor::Southeast | Anchor::Southwest => height,
    };
    (x, y)
}

/// The text of a layer, for a template.
pub(super) fn text(text: &Text) -> TemplateText {
    let byte = |value: f64| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    let runs = text.runs.iter().map(|run| TextRun {
        text: run.text.clone(),
        font: run.font.clone(),
        size_px: run.size_px,
        color: run.color.map(|color| color.map(byte)),
    });
    let [.., x, y] = text.transform;
    TemplateText { text: text.text.clone(), x, y, runs: runs.collect() }
}

/// Rich text (RTF 1.9) of a text's runs: fonts, sizes in half points of 1/72 inch, and colours.
fn rtf(text: &TemplateText) -> String {
    let mut fonts: Vec<&str> = Vec::new();
    let mut colors: Vec<[u8; 3]> = Vec::new();
    let mut body = String::new();
    for run in &text.runs {
        body.push('{');
        if let Some(font) = run.font.as_deref() {
            let index = fonts.iter().position(|known| *known == font).unwrap_or_else(|| {
                fonts.push(font);
                fonts.len() - 1
            });
            let _ = write!(body, "\\f{index}");
        }
        if let Some(size) = run.size_px {
            let _ = write!(body, "\\fs{}", (2.0 * size).round().clamp(1.0, 65535.0) as u32);
        }
        if let Some(color) = run.color {
            let index = colors.iter().position(|known| *known == color).unwrap_or_else(|| {
                colors.push(color);
                colors.len() - 1
            });
            // Colour 0 is the reader's own.
            let _ = write!(body, "\\cf{}", index + 1);
        }
        body.push(' ');
        for c in run.text.chars() {
            match c {
                '\n' => body.push_str("\\line "),
                '\\' | '{' | '}' => body.extend(['\\', c]),
                ' '..='~' => body.push(c),
                _ => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        let _ = write!(body, "\\u{}?", *unit as i16);
                    }
                }
            }
        }
        body.push('}');
    }
    let fonts: String = fonts.iter().enumerate().map(|(i, font)| format!("{{\\f{i} {};}}", plain(font))).collect();
    let colors: String = colors.iter().map(|[r, g, b]| format!("\\red{r}\\green{g}\\blue{b};")).collect();
    format!("{{\\rtf1\\ansi{{\\fonttbl{fonts}}}{{\\colortbl;{colors}}}{body}}}")
}

/// A font's name without what RTF would read as its own.
fn plain(font: &str) -> String {
    font.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '\\' | '{' | '}' | ';')).collect()
}

/// Percent-encoded but for letters, digits and `-._~/` (RFC 3986).
fn encoded(value: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rich_text_escapes_and_numbers_fonts_and_colors() {
        let run = |text: &str, font: &str| TextRun {
            text: text.into(),
            font: Some(font.into()),
            size_px: Some(12.5),
            color: Some([255, 0, 0]),
        };
        let text =
            TemplateText { text: String::new(), x: 0.0, y: 0.0, runs: vec![run("a{b\n", "One"), run("é", "Two")] };
        assert_eq!(
            rtf(&text),
            "{\\rtf1\\ansi{\\fonttbl{\\f0 One;}{\\f1 Two;}}{\\colortbl;\\red255\\green0\\blue0;}\
             {\\f0\\fs25\\cf1 a\\{b\\line }{\\f1\\fs25\\cf1 \\u233?}}"
        );
        assert_eq!(encoded("a b/ü&"), "a%20b/%C3%BC%26");
    }
}
