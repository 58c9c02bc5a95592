//! Presets of every kind; what stands in their documents is not looked at here.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use super::asset::{nanoseconds, text, timestamp};
use super::derived::json;
use super::handle::{Handle, HandleKind};
use super::schema::COMPANY;
use super::store::Library;
use crate::error::{Error, Result, Stage};

/// A preset on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PresetRecord {
    pub handle: Handle,
    pub kind: String,
    pub name: String,
    /// A JSON object.
    #[serde(serialize_with = "json")]
    pub document: String,
    #[serde(serialize_with = "text")]
    pub updated: Timestamp,
}

impl Library {
    /// Records a preset. One of this kind and name gets the new document and keeps its handle.
    pub fn put_preset(&mut self, kind: &str, name: &str, document: &str) -> Result<Handle> {
        let id = self
            .connection()
            .prepare_cached(
                "INSERT INTO presets (company_id, kind, name, document, updated_ns) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (company_id, kind, name) DO UPDATE SET
                     document = excluded.document, updated_ns = excluded.updated_ns
                 RETURNING id",
            )?
            .query_row(params![COMPANY, kind, name, document, nanoseconds(Timestamp::now())], |row| row.get(0))?;
        Ok(Handle::new(HandleKind::PropertySet, id))
    }

    /// The preset with this handle; `None` when there is none.
    pub fn preset(&self, handle: &Handle) -> Result<Option<PresetRecord>> {
        let Some(id) = handle.id(HandleKind::PropertySet) else { return Ok(None) };
        let mut statement = self.connection().prepare_cached("SELECT * FROM presets WHERE id = ?")?;
        Ok(statement.query_row([id], read_preset).optional()?)
    }

    /// All presets from the oldest to the newest.
    pub fn presets(&self) -> Result<Vec<PresetRecord>> {
        let mut statement =
            self.connection().prepare_cached("SELECT * FROM presets WHERE company_id = ? ORDER BY id")?;
        let presets = statement.query_map([COMPANY], read_preset)?;
        Ok(presets.collect::<rusqlite::Result<_>>()?)
    }

    /// Removes a preset. What was made by it stays, and its handle is never given again.
    ///
    /// # Errors
    /// `Misuse` for an unknown preset.
    pub fn remove_preset(&mut self, handle: &Handle) -> Result<()> {
        let removed = match handle.id(HandleKind::PropertySet) {
            None => 0,
            Some(id) => self.connection().prepare_cached("DELETE FROM presets WHERE id = ?")?.execute([id])?,
        };
        if removed == 0 { Err(unknown_preset(handle)) } else { Ok(()) }
    }
}

/// No preset has this handle.
pub fn unknown_preset(handle: &Handle) -> Error {
    Error::misuse(Stage::Catalog, "no preset has this handle; `reprise presets` lists those that exist")
        .of(handle.as_str())
}

fn read_preset(row: &Row<'_>) -> rusqlite::Result<PresetRecord> {
    Ok(PresetRecord {
        handle: Handle::new(HandleKind::PropertySet, row.get("id")?),
        kind: row.get("kind")?,
        name: row.get("name")?,
        document: row.get("document")?,
        updated: timestamp(row.get("updated_ns")?),
    })
}
