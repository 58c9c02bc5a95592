//! Templates: layers of a document in their places, for an image server to put together.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::asset::{nanoseconds, unknown_asset};
use super::handle::{Handle, HandleKind};
use super::store::Library;
use crate::error::{Error, ErrorKind, Result, Stage};

/// A template made of a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    pub name: String,
    /// Of the canvas, in pixels.
    pub width: u32,
    pub height: u32,
    /// The point of each layer that places it, as jobs spell it.
    pub anchor: String,
    /// In image-serving syntax.
    pub modifier: String,
    /// From bottom to top.
    pub layers: Vec<TemplateLayer>,
}

/// A layer of a template.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateLayer {
    /// As in the document.
    pub name: String,
    /// The layer's image.
    pub asset: Handle,
    /// The upper left corner of its image on the canvas.
    pub left: i64,
    pub top: i64,
    pub width: u32,
    pub height: u32,
    /// The place of the anchor on the canvas.
    pub anchor_x: i64,
    pub anchor_y: i64,
    /// Photoshop's name of the blend mode.
    pub blend: String,
    /// 0–100. The layer's image has it in its alpha already.
    pub opacity: f64,
    pub visible: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TemplateText>,
}

/// The text of a text layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateText {
    pub text: String,
    /// Where the text begins on the canvas, in pixels.
    pub x: f64,
    pub y: f64,
    /// Parts in one style each.
    pub runs: Vec<TextRun>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TextRun {
    pub text: String,
    /// PostScript name.
    pub font: Option<String>,
    pub size_px: Option<f64>,
    /// Red, green and blue, 0–255.
    pub color: Option<[u8; 3]>,
}

impl Library {
    /// The template made of a document, if there is one.
    pub fn template(&self, originator: &Handle) -> Result<Option<Template>> {
        let Some(id) = originator.id(HandleKind::Asset) else { return Ok(None) };
        let template = self
            .connection()
            .prepare_cached("SELECT name, width, height, anchor, modifier FROM templates WHERE originator_id = ?")?
            .query_row([id], |row| {
                Ok(Template {
                    name: row.get(0)?,
                    width: row.get(1)?,
                    height: row.get(2)?,
                    anchor: row.get(3)?,
                    modifier: row.get(4)?,
                    layers: Vec::new(),
                })
            })
            .optional()?;
        let Some(mut template) = template else { return Ok(None) };
        let mut statement = self.connection().prepare_cached(
            "SELECT name, asset_id, left_px, top_px, width, height, anchor_x, anchor_y, blend, opacity, visible, text
             FROM template_layers WHERE originator_id = ? ORDER BY position",
        )?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            let text: Option<String> = row.get(11)?;
            template.layers.push(TemplateLayer {
                name: row.get(0)?,
                asset: Handle::new(HandleKind::Asset, row.get(1)?),
                left: row.get(2)?,
                top: row.get(3)?,
                width: row.get(4)?,
                height: row.get(5)?,
                anchor_x: row.get(6)?,
                anchor_y: row.get(7)?,
                blend: row.get(8)?,
                opacity: row.get(9)?,
                visible: row.get(10)?,
                text: text.map(|text| serde_json::from_str(&text)).transpose().map_err(unreadable)?,
            });
        }
        Ok(Some(template))
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Catalog, Stage::Catalog, format!("the text of a template cannot be read: {error}"))
}

/// Replaces the template of the asset with number `originator_id`, if there is one.
pub(super) fn write(connection: &Connection, originator_id: i64, template: &Template, now: Timestamp) -> Result<()> {
    let Template { name, width, height, anchor, modifier, layers } = template;
    connection
        .prepare_cached(
            "INSERT INTO templates (originator_id, name, width, height, anchor, modifier, updated_ns)
             VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET name = excluded.name, width = excluded.width, height = excluded.height,
                 anchor = excluded.anchor, modifier = excluded.modifier, updated_ns = excluded.updated_ns",
        )?
        .execute(params![originator_id, name, width, height, anchor, modifier, nanoseconds(now)])?;
    connection.prepare_cached("DELETE FROM template_layers WHERE originator_id = ?")?.execute([originator_id])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO template_layers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for (position, layer) in layers.iter().enumerate() {
        let asset = layer.asset.id(HandleKind::Asset).ok_or_else(|| unknown_asset(&layer.asset))?;
        let text = layer.text.as_ref().map(serde_json::to_string).transpose().map_err(unreadable)?;
        insert.execute(params![
            originator_id,
            position as i64,
            layer.name,
            asset,
            layer.left,
            layer.top,
            layer.width,
            layer.height,
            layer.anchor_x,
            layer.anchor_y,
            layer.blend,
            layer.opacity,
            layer.visible,
            text
        ])?;
    }
    Ok(())
}
