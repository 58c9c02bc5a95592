//! Derived assets: page images, layers and the like, made of an asset that was taken in; and what is known of pages.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Serialize, Serializer};

use super::asset::{Asset, nanoseconds, unknown_asset};
use super::finish::{self, CropChange, NewDerivative, NewMask};
use super::handle::{Handle, HandleKind};
use super::joblog;
use super::list::ListTables;
use super::names::named_enum;
use super::store::Library;
use crate::error::{Error, Result, Stage};

named_enum! {
    /// What makes derived assets.
    DerivingEngine {
        /// Pages of PDF, PostScript and Illustrator documents.
        PostScriptRip,
        /// Layers of Photoshop documents.
        PhotoshopLayers,
        /// Renditions of video and audio.
        VideoEncode,
        /// Anything else that one image is made of another by.
        ImageConvert,
    }
}

/// What a derived asset was made of, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Originator {
    pub handle: Handle,
    /// The number in the originator's handle.
    #[serde(skip)]
    pub id: i64,
    pub engine: DerivingEngine,
    /// Page or layer, from 1.
    pub number: u32,
    /// The parameters that made it, a JSON object.
    #[serde(serialize_with = "json")]
    pub parameters: String,
}

/// A derived asset about to be made, or made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDerived {
    pub engine: DerivingEngine,
    /// Page or layer, from 1.
    pub number: u32,
    /// Given once; an asset that exists keeps its name.
    pub name: String,
    /// A JSON object.
    pub parameters: String,
}

/// A rectangle in pixels of an image; right and bottom are outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PixelBox {
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
}

/// A word on a page image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageWord {
    pub word: String,
    #[serde(flatten)]
    pub place: PixelBox,
}

/// A rectangle of an image that leads somewhere. As JSON it names its shape, as areas of HTML do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "shape", rename = "rect")]
pub struct ImageMap {
    #[serde(flatten)]
    pub place: PixelBox,
    pub action: MapAction,
}

/// Where a rectangle of an image leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MapAction {
    Uri(String),
    /// The image of another page.
    Asset(Handle),
}

/// What became of a derived asset; recorded with the result of its originator.
#[derive(Debug, Clone, PartialEq)]
pub struct DerivedResult {
    /// As given by [`Library::derive`].
    pub handle: Handle,
    pub derivative: NewDerivative,
    /// `None` leaves the mask on record as it is.
    pub mask: Option<NewMask>,
    pub crop: CropChange,
    /// The publish mark from now on; `None` leaves it as it is.
    pub publish: Option<bool>,
    /// Replace those on record.
    pub words: Vec<PageWord>,
    pub image_maps: Vec<ImageMap>,
}

/// The pages of a document in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ECatalog {
    pub name: String,
    pub pages: Vec<Handle>,
}

impl Library {
    /// The handle of the derived asset with this engine and number: the one it has had since it was first made, or
    /// that of a new asset.
    ///
    /// # Errors
    /// `Misuse` when there is no such originator, or when it is itself derived.
    pub fn derive(&mut self, originator: &Handle, new: &NewDerived) -> Result<Handle> {
        let transaction = self.begin()?;
        let id = derive_in(&transaction, originator, new)?;
        transaction.commit()?;
        Ok(Handle::new(HandleKind::Asset, id))
    }

    /// The assets derived from `originator` by `engine`, in the order of their numbers.
    pub fn derived(&self, originator: &Handle, engine: DerivingEngine) -> Result<Vec<Asset>> {
        let Some(id) = originator.id(HandleKind::Asset) else { return Ok(Vec::new()) };
        self.query_assets("WHERE g.originator_id = ? AND g.engine = ? ORDER BY g.number", params![id, engine])
    }

    /// Records a part of an asset that a running job is at, so that it need not be done again if the job is cut short.
    /// The result of the whole asset records it once more.
    ///
    /// # Errors
    /// `Misuse` for an unknown job or asset.
    pub fn finish_part(&mut self, job: &Handle, result: &DerivedResult) -> Result<()> {
        let transaction = self.begin()?;
        let job_id = joblog::job_id(&transaction, job)?;
        write_part(&transaction, job_id, result, Timestamp::now())?;
        transaction.commit()?;
        Ok(())
    }

    /// The parts of an asset that `job` had finished when it was cut short, in the order of their numbers, but for those
    /// that another job has done since.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn finished_parts(&self, job: &Handle, originator: &Handle) -> Result<Vec<Asset>> {
        let Some(id) = originator.id(HandleKind::Asset) else { return Ok(Vec::new()) };
        let job_id = joblog::job_id(self.connection(), job)?;
        self.query_assets(
            "WHERE g.originator_id = ? AND a.id IN (SELECT asset_id FROM finished_parts WHERE job_id = ?) ORDER BY g.number",
            params![id, job_id],
        )
    }

    /// The words on record for a page image, in reading order.
    pub fn page_words(&self, asset: &Handle) -> Result<Vec<PageWord>> {
        let Some(id) = asset.id(HandleKind::Asset) else { return Ok(Vec::new()) };
        let mut statement = self.connection().prepare_cached(
            "SELECT box_left, box_top, box_right, box_bottom, word FROM page_words WHERE asset_id = ? ORDER BY position",
        )?;
        let words = statement.query_map([id], |row| Ok(PageWord { place: read_box(row)?, word: row.get(4)? }))?;
        Ok(words.collect::<rusqlite::Result<_>>()?)
    }

    /// The image map on record for an image.
    pub fn image_maps(&self, asset: &Handle) -> Result<Vec<ImageMap>> {
        let Some(id) = asset.id(HandleKind::Asset) else { return Ok(Vec::new()) };
        let mut statement = self.connection().prepare_cached(
            "SELECT box_left, box_top, box_right, box_bottom, uri, target_id FROM image_maps
             WHERE asset_id = ? ORDER BY position",
        )?;
        let maps = statement.query_map([id], |row| {
            let action = match row.get::<_, Option<String>>(4)? {
                Some(uri) => MapAction::Uri(uri),
                None => MapAction::Asset(Handle::new(HandleKind::Asset, row.get(5)?)),
            };
            Ok(ImageMap { place: read_box(row)?, action })
        })?;
        Ok(maps.collect::<rusqlite::Result<_>>()?)
    }

    /// The eCatalog made of a document, if there is one.
    pub fn ecatalog(&self, originator: &Handle) -> Result<Option<ECatalog>> {
        let found = ECATALOGS.read(self.connection(), originator)?;
        Ok(found.map(|(name, pages)| ECatalog { name, pages }))
    }
}

pub(super) const ECATALOGS: ListTables = ListTables { list: "ecatalogs", members: "ecatalog_pages" };

/// Number and name of the derived asset `handle`.
pub(super) fn known(connection: &Connection, handle: &Handle) -> Result<(i64, String)> {
    let asset = match handle.id(HandleKind::Asset) {
        None => None,
        Some(id) => connection
            .prepare_cached(
                "SELECT a.id, a.name FROM assets a JOIN derived_assets g ON g.asset_id = a.id WHERE a.id = ?",
            )?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?,
    };
    asset.ok_or_else(|| unknown_asset(handle))
}

/// The number of the derived asset with this engine and number; it is made if there is none.
pub(super) fn derive_in(connection: &Connection, originator: &Handle, new: &NewDerived) -> Result<i64> {
    let now = nanoseconds(Timestamp::now());
    let originator_id = originator.id(HandleKind::Asset).ok_or_else(|| unknown_asset(originator))?;
    let known: Option<i64> = connection
        .prepare_cached("SELECT asset_id FROM derived_assets WHERE originator_id = ? AND engine = ? AND number = ?")?
        .query_row(params![originator_id, new.engine, new.number], |row| row.get(0))
        .optional()?;
    let id = match known {
        Some(id) => {
            connection
                .prepare_cached("UPDATE derived_assets SET parameters = ? WHERE asset_id = ?")?
                .execute(params![new.parameters, id])?;
            id
        }
        None => {
            let has_original =
                connection.prepare_cached("SELECT 1 FROM originals WHERE asset_id = ?")?.exists([originator_id])?;
            if !has_original {
                return Err(Error::misuse(Stage::Catalog, "only an asset that was taken in has derived assets")
                    .of(originator.as_str()));
            }
            connection
                .prepare_cached(
                    "INSERT INTO assets (name, kind, ready_for_publish, created_ns, updated_ns)
                     SELECT ?1, kind, ready_for_publish, ?2, ?2 FROM assets WHERE id = ?3",
                )?
                .execute(params![new.name, now, originator_id])?;
            let id = connection.last_insert_rowid();
            connection
                .prepare_cached(
                    "INSERT INTO derived_assets (asset_id, originator_id, engine, number, parameters)
                     VALUES (?, ?, ?, ?, ?)",
                )?
                .execute(params![id, originator_id, new.engine, new.number, new.parameters])?;
            id
        }
    };
    Ok(id)
}

fn read_box(row: &rusqlite::Row<'_>) -> rusqlite::Result<PixelBox> {
    Ok(PixelBox { left: row.get(0)?, top: row.get(1)?, right: row.get(2)?, bottom: row.get(3)? })
}

/// Records a derived asset; whether it had a derivative before the job with number `job_id`.
pub(super) fn write_result(
    connection: &Connection,
    job_id: i64,
    result: &DerivedResult,
    now: Timestamp,
) -> Result<bool> {
    let (id, name) = known(connection, &result.handle)?;
    let existed = finish::write_derivative(connection, id, &name, &result.derivative, now)?;
    let replaced: Option<bool> = connection
        .prepare_cached("SELECT replaced FROM finished_parts WHERE asset_id = ? AND job_id = ?")?
        .query_row(params![id, job_id], |row| row.get(0))
        .optional()?;
    connection.prepare_cached("DELETE FROM finished_parts WHERE asset_id = ?")?.execute([id])?;
    if let Some(mask) = &result.mask {
        finish::write_mask(connection, id, &name, mask, now)?;
    }
    finish::write_crop(connection, id, result.crop)?;
    finish::touch(connection, id, result.publish, now)?;
    connection.prepare_cached("DELETE FROM page_words WHERE asset_id = ?")?.execute([id])?;
    let mut insert = connection.prepare_cached("INSERT INTO page_words VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    for (position, PageWord { word, place: b }) in result.words.iter().enumerate() {
        insert.execute(params![id, position as i64, word, b.left, b.top, b.right, b.bottom])?;
    }
    connection.prepare_cached("DELETE FROM image_maps WHERE asset_id = ?")?.execute([id])?;
    let mut insert = connection.prepare_cached("INSERT INTO image_maps VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
    for (position, ImageMap { place: b, action }) in result.image_maps.iter().enumerate() {
        let (uri, target) = match action {
            MapAction::Uri(uri) => (Some(uri), None),
            MapAction::Asset(asset) => (None, Some(asset.id(HandleKind::Asset).ok_or_else(|| unknown_asset(asset))?)),
        };
        insert.execute(params![id, position as i64, b.left, b.top, b.right, b.bottom, uri, target])?;
    }
    Ok(replaced.unwrap_or(existed))
}

/// The same while the asset that it is derived from is not done.
pub(super) fn write_part(connection: &Connection, job_id: i64, result: &DerivedResult, now: Timestamp) -> Result<bool> {
    let replaced = write_result(connection, job_id, result, now)?;
    let id = result.handle.id(HandleKind::Asset);
    connection
        .prepare_cached("INSERT INTO finished_parts (asset_id, job_id, replaced) VALUES (?, ?, ?)")?
        .execute(params![id, job_id, replaced])?;
    Ok(replaced)
}

/// JSON that is stored as text, as JSON.
pub(super) fn json<S: Serializer>(text: &str, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => value.serialize(serializer),
        Err(_) => serializer.serialize_str(text),
    }
}
