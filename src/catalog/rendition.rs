//! Renditions of video and audio, and the adaptive sets that they make up.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::asset::{
    Asset, StoredHash, StoredKind, lossy, nanoseconds, optional_text, plan_file, text, to_integer, unknown_asset,
};
use super::derived::{self, DerivingEngine, NewDerived};
use super::finish;
use super::handle::{Handle, HandleKind};
use super::list::ListTables;
use super::store::{Library, RENDITIONS};
use crate::decode::Kind;
use crate::error::Result;

/// The file that was encoded for an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rendition {
    /// Absolute.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    #[serde(flatten)]
    pub file: RenditionFile,
    /// Whether it was made from the content that the catalog now has for the original.
    pub current: bool,
    #[serde(serialize_with = "text")]
    pub updated: Timestamp,
}

/// What is known of an encoded file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenditionFile {
    pub bytes: u64,
    pub video_codec: Option<String>,
    pub audio_codec: Option<String>,
    /// Of a frame, in pixels.
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub duration_ms: Option<u64>,
    pub bits_per_second: Option<u64>,
    /// Whether it belongs to the adaptive set.
    pub adaptive: bool,
    /// BLAKE3 of the file; `None` for files that were encoded before hashes were kept.
    #[serde(serialize_with = "optional_text")]
    pub hash: Option<blake3::Hash>,
}

/// A rendition about to be made, or made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRendition {
    /// Handle of the preset; with `container` it tells the renditions of an original apart.
    pub preset: Handle,
    /// Ending of the file.
    pub container: &'static str,
    /// Given once; an asset that exists keeps its name.
    pub name: String,
    /// A JSON object.
    pub parameters: String,
}

/// A rendition just written to [`Library::rendition_path`]; recorded with the result of its originator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenditionResult {
    /// As given by [`Library::derive_rendition`].
    pub handle: Handle,
    pub kind: Kind,
    pub file: RenditionFile,
    /// The publish mark from now on; `None` leaves it as it is.
    pub publish: Option<bool>,
    /// Hash of the original that it was made from: `Asset::hash` as read before the work began.
    pub source_hash: blake3::Hash,
}

/// The renditions of a video that a player may change between, from the lowest bit rate to the highest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VideoSet {
    pub name: String,
    pub members: Vec<Handle>,
}

impl Library {
    /// The handle of the rendition of `originator` by this preset and in this container: the one it has had since it
    /// was first made, or that of a new asset.
    ///
    /// # Errors
    /// `Misuse` when there is no such originator, or when it is itself derived.
    pub fn derive_rendition(&mut self, originator: &Handle, new: &NewRendition) -> Result<Handle> {
        let transaction = self.begin()?;
        let originator_id = originator.id(HandleKind::Asset).ok_or_else(|| unknown_asset(originator))?;
        let engine = DerivingEngine::VideoEncode;
        let known: Option<u32> = transaction
            .prepare_cached(
                "SELECT g.number FROM renditions r JOIN derived_assets g ON g.asset_id = r.asset_id
                 WHERE r.originator_id = ? AND r.preset = ? AND r.container = ?",
            )?
            .query_row(params![originator_id, new.preset.as_str(), new.container], |row| row.get(0))
            .optional()?;
        let number = match known {
            Some(number) => number,
            None => transaction
                .prepare_cached(
                    "SELECT coalesce(max(number), 0) + 1 FROM derived_assets WHERE originator_id = ? AND engine = ?",
                )?
                .query_row(params![originator_id, engine], |row| row.get(0))?,
        };
        let derived = NewDerived { engine, number, name: new.name.clone(), parameters: new.parameters.clone() };
        let id = derived::derive_in(&transaction, originator, &derived)?;
        transaction.prepare_cached("INSERT OR IGNORE INTO renditions VALUES (?, ?, ?, ?)")?.execute(params![
            id,
            originator_id,
            new.preset.as_str(),
            new.container
        ])?;
        transaction.commit()?;
        Ok(Handle::new(HandleKind::Asset, id))
    }

    /// Where the rendition `asset` in `container` belongs. The folder may not exist yet.
    pub fn rendition_path(&self, asset: &Asset, container: &str) -> PathBuf {
        self.dir().join(plan_file(RENDITIONS, asset.id, &asset.name, container))
    }

    pub(super) fn is_place_of_rendition(&self, asset: &Asset, file: &Path) -> Result<bool> {
        let container: Option<String> = self
            .connection()
            .prepare_cached("SELECT container FROM renditions WHERE asset_id = ?")?
            .query_row([asset.id], |row| row.get(0))
            .optional()?;
        Ok(container.is_some_and(|container| self.rendition_path(asset, &container) == file))
    }

    /// The adaptive set of a video, if there is one.
    pub fn video_set(&self, originator: &Handle) -> Result<Option<VideoSet>> {
        let found = VIDEO_SETS.read(self.connection(), originator)?;
        Ok(found.map(|(name, members)| VideoSet { name, members }))
    }
}

pub(super) const VIDEO_SETS: ListTables = ListTables { list: "video_sets", members: "video_set_members" };

/// Records a rendition; whether there was a file before.
pub(super) fn write_result(connection: &Connection, result: &RenditionResult, now: Timestamp) -> Result<bool> {
    let (id, name) = derived::known(connection, &result.handle)?;
    let container: String = connection
        .prepare_cached("SELECT container FROM renditions WHERE asset_id = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?
        .ok_or_else(|| unknown_asset(&result.handle))?;
    let existed = connection.prepare_cached("SELECT 1 FROM rendition_files WHERE asset_id = ?")?.exists([id])?;
    let file = &result.file;
    connection
        .prepare_cached("INSERT OR REPLACE INTO rendition_files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            id,
            plan_file(RENDITIONS, id, &name, &container),
            to_integer(file.bytes)?,
            file.video_codec,
            file.audio_codec,
            file.width,
            file.height,
            file.duration_ms.map(to_integer).transpose()?,
            file.bits_per_second.map(to_integer).transpose()?,
            file.adaptive,
            StoredHash(result.source_hash),
            nanoseconds(now),
            file.hash.map(StoredHash),
        ])?;
    connection
        .prepare_cached("UPDATE assets SET kind = ? WHERE id = ?")?
        .execute(params![StoredKind(result.kind), id])?;
    finish::touch(connection, id, result.publish, now)?;
    Ok(existed)
}
