//! Text layers: the type tool object, and the text engine's own data in it.

mod engine_data;

use engine_data::Node;

use super::descriptor;
use crate::error::{Error, Result, Stage};

/// A text layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// Lines end with `\n`.
    pub text: String,
    /// Parts of the text in one style; together they are the whole text.
    pub runs: Vec<Run>,
    /// xx, xy, yx, yy, tx, ty: from the text's own coordinates to pixels of the canvas. (tx, ty) is where the first
    /// line begins on its base line, or the corner of the text box.
    pub transform: [f64; 6],
}

/// A part of a text in one style.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub text: String,
    /// PostScript name.
    pub font: Option<String>,
    /// In pixels of the canvas.
    pub size_px: Option<f64>,
    /// Red, green and blue, 0–1.
    pub color: Option<[f64; 3]>,
}

impl Text {
    /// Reads a type tool object (`TySh`).
    ///
    /// # Errors
    /// `Malformed`. A text whose styles cannot be read has one run without style.
    pub fn read(block: &[u8]) -> Result<Self> {
        let broken = || Error::malformed(Stage::Open, "the text of a layer is broken");
        let (version, rest) = block.split_first_chunk::<2>().ok_or_else(broken)?;
        if u16::from_be_bytes(*version) != 1 {
            return Err(Error::unsupported(Stage::Open, "a text layer of an unknown version is not read"));
        }
        let (numbers, rest) = rest.split_first_chunk::<48>().ok_or_else(broken)?;
        let mut transform = [0.0; 6];
        for (value, bytes) in transform.iter_mut().zip(numbers.as_chunks::<8>().0) {
            *value = f64::from_be_bytes(*bytes);
        }
        if transform.iter().any(|value| !value.is_finite()) {
            return Err(broken());
        }
        // Text version and descriptor version.
        let object = descriptor::read(rest.get(6..).ok_or_else(broken)?)?;
        let text = plain(object.text("Txt").ok_or_else(broken)?);
        let styles = object.raw("EngineData").and_then(engine_data::parse);
        let scale = transform[2].hypot(transform[3]);
        let runs = styles.and_then(|styles| runs(&styles, scale)).unwrap_or_default();
        let whole: String = runs.iter().map(|run| run.text.as_str()).collect();
        let runs = if whole == text && !text.is_empty() {
            runs
        } else {
            // The styles of another text than the one shown, but for its size and font they are still the best guess.
            let style = runs.into_iter().next();
            let (font, size_px, color) = style.map_or((None, None, None), |run| (run.font, run.size_px, run.color));
            vec![Run { text: text.clone(), font, size_px, color }]
        };
        Ok(Text { text, runs, transform })
    }
}

/// Photoshop ends paragraphs by a carriage return and lines inside of them by 3.
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n").replace(['\r', '\u{3}'], "\n")
}

fn runs(styles: &Node, scale: f64) -> Option<Vec<Run>> {
    let resources = styles.get("ResourceDict").or_else(|| styles.get("DocumentResources"));
    let fonts: Vec<Option<&str>> = resources
        .and_then(|resources| resources.get("FontSet"))
        .map(|fonts| fonts.items().iter().map(|font| font.get("Name").and_then(Node::text)).collect())
        .unwrap_or_default();
    let normal = resources.and_then(|resources| {
        let number = resources.get("TheNormalStyleSheet").and_then(Node::number).unwrap_or(0.0);
        resources.get("StyleSheetSet")?.items().get(number as usize)?.get("StyleSheetData")
    });
    let engine = styles.get("EngineDict")?;
    let text = engine.get("Editor")?.get("Text")?.text()?;
    let units: Vec<u16> = text.encode_utf16().collect();
    let run = engine.get("StyleRun")?;
    let lengths = run.get("RunLengthArray")?.items();
    let mut rest = units.as_slice();
    let mut runs: Vec<Run> = Vec::new();
    for (style, length) in run.get("RunArray")?.items().iter().zip(lengths) {
        let (part, after) = rest.split_at((length.number()?.max(0.0) as usize).min(rest.len()));
        rest = after;
        let own = style.get("StyleSheet").and_then(|sheet| sheet.get("StyleSheetData"));
        let value = |key| own.and_then(|own| own.get(key)).or_else(|| normal.and_then(|normal| normal.get(key)));
        let font = value("Font").and_then(Node::number).and_then(|index| *fonts.get(index as usize)?);
        let size_px = value("FontSize").and_then(Node::number).map(|size| size * scale);
        // Alpha, red, green, blue.
        let color = value("FillColor").and_then(|color| match color.get("Values")?.items() {
            [_, r, g, b] => Some([r.number()?, g.number()?, b.number()?]),
            _ => None,
        });
        runs.push(Run { text: plain(&String::from_utf16_lossy(part)), font: font.map(str::to_owned), size_px, color });
    }
    // The engine ends its text by a return that is not part of it.
    if let Some(last) = runs.last_mut()
        && last.text.ends_with('\n')
    {
        last.text.pop();
    }
    runs.retain(|run| !run.text.is_empty());
    // Runs that look alike were told apart by something that does not matter here.
    runs.dedup_by(|next, before| {
        let same = (&next.font, next.size_px, next.color) == (&before.font, before.size_px, before.color);
        if same {
            before.text.push_str(&next.text);
        }
        same
    });
    Some(runs)
}
