//! Assets: originals taken in, their crops, publish marks and derivatives.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::vec;

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row, ToSql, params};
use serde::{Serialize, Serializer};

use super::derived::Originator;
use super::handle::{Handle, HandleKind};
use super::names::named_enum;
use super::rendition::{Rendition, RenditionFile};
use super::store::{DOCUMENTS, Library, MASKS, PYRAMIDS};
use crate::decode::Kind;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::geometry::Insets;

/// An original as found on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOriginal {
    /// Absolute, without `.` and `..`.
    pub path: PathBuf,
    pub kind: Kind,
    pub size_bytes: u64,
    pub modified: Timestamp,
    /// BLAKE3 of the whole file.
    pub hash: blake3::Hash,
    /// Size in pixels as shown, with the orientation applied; `None` for kinds without a decoder.
    pub width: Option<u32>,
    pub height: Option<u32>,
    /// Pixel format, for people.
    pub format: Option<String>,
}

/// What taking in an original came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ingested {
    pub handle: Handle,
    pub outcome: IngestOutcome,
}

named_enum! {
    /// How an original relates to what the catalog knew.
    IngestOutcome {
        /// A new asset.
        New,
        /// This file was known with this content.
        Unchanged,
        /// The file was known with other content; the asset keeps its handle, name, crop and publish mark.
        Updated,
        /// An asset with this content exists and its file is still there; that asset is returned and keeps its path.
        Duplicate,
        /// An asset with this content exists but its file is gone; the asset now has the new path, and keeps its name.
        Moved,
    }
}

named_enum! {
    /// Where a stored crop came from.
    CropOrigin {
        Manual,
        Automatic,
    }
}

/// The crop stored for an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Crop {
    /// In pixels of the oriented original.
    #[serde(flatten, with = "InsetsFields")]
    pub insets: Insets,
    pub origin: CropOrigin,
}

#[derive(Serialize)]
#[serde(remote = "Insets")]
struct InsetsFields {
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
}

/// The pyramid made of an asset.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Derivative {
    /// Absolute.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    pub bytes: u64,
    /// Size in pixels of the full-resolution level.
    pub width: u32,
    pub height: u32,
    pub levels: u32,
    pub compression: String,
    /// BLAKE3 of the file, where it was computed.
    #[serde(serialize_with = "optional_text")]
    pub hash: Option<blake3::Hash>,
    /// Whether it was made from the content that the catalog now has for the original.
    pub current: bool,
    #[serde(serialize_with = "text")]
    pub updated: Timestamp,
}

/// The mask made of an asset's clipping path.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mask {
    /// Absolute.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    pub bytes: u64,
    /// Size in pixels: that of the upright original.
    pub width: u32,
    pub height: u32,
    /// BLAKE3 of the file, where it was computed.
    #[serde(serialize_with = "optional_text")]
    pub hash: Option<blake3::Hash>,
    /// Whether it was made from the content that the catalog now has for the original.
    pub current: bool,
    #[serde(serialize_with = "text")]
    pub updated: Timestamp,
}

/// One asset with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asset {
    pub handle: Handle,
    /// The number in the handle and in the derivative's file name.
    pub id: i64,
    /// File name of the original without its extension when it was first taken in; never changes.
    pub name: String,
    #[serde(serialize_with = "kind_text")]
    pub kind: Kind,
    /// The original: absolute and canonical.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    pub size_bytes: u64,
    #[serde(serialize_with = "text")]
    pub modified: Timestamp,
    #[serde(serialize_with = "text")]
    pub hash: blake3::Hash,
    /// Size in pixels as shown, with the orientation applied.
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub format: Option<String>,
    #[serde(serialize_with = "text")]
    pub created: Timestamp,
    #[serde(serialize_with = "text")]
    pub updated: Timestamp,
    pub ready_for_publish: bool,
    pub crop: Option<Crop>,
    pub derivative: Option<Derivative>,
    pub mask: Option<Mask>,
    /// The encoded file, where it is a rendition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rendition: Option<Rendition>,
    /// What it was made of, where it is derived: path, size, time and hash are then those of that asset.
    pub originator: Option<Originator>,
}

impl Asset {
    /// The word that the job log uses for assets like this one.
    pub fn log_type(&self) -> &'static str {
        asset_type(self.kind, self.originator.is_some())
    }
}

/// Which assets to list; the default lists all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AssetFilter {
    pub kind: Option<Kind>,
    /// Letter case matters.
    pub name_contains: Option<String>,
    pub ready_for_publish: Option<bool>,
    /// Only assets after this one.
    pub after: Option<Handle>,
    pub limit: Option<u64>,
}

/// The word that the job log uses for assets of a kind; what is derived is an image, whatever it was made of, unless
/// it plays.
pub(super) fn asset_type(kind: Kind, derived: bool) -> &'static str {
    match kind {
        Kind::Video => "Video",
        Kind::Audio => "NoType",
        _ if derived => "MasterImage",
        Kind::Jpeg | Kind::Png | Kind::Tiff | Kind::Gif | Kind::Bmp | Kind::WebP | Kind::Photoshop => "MasterImage",
        Kind::Pdf => "Pdf",
        Kind::IccProfile => "IccProfile",
        Kind::PostScript | Kind::Illustrator | Kind::InDesign | Kind::Unknown => "NoType",
    }
}

impl Library {
    /// Takes in one original; see [`IngestOutcome`]. Taking in the same file again changes nothing.
    ///
    /// # Errors
    /// `Misuse` for a path that is not absolute or has `.` or `..` in it.
    pub fn ingest(&mut self, original: &NewOriginal) -> Result<Ingested> {
        let transaction = self.begin()?;
        let ingested = ingest_one(&transaction, original, Timestamp::now())?;
        transaction.commit()?;
        Ok(ingested)
    }

    /// Takes in many originals in one transaction: all or none. The answers are in the order of the originals.
    ///
    /// # Errors
    /// As [`Library::ingest`].
    pub fn ingest_all(&mut self, originals: &[NewOriginal]) -> Result<Vec<Ingested>> {
        if originals.is_empty() {
            return Ok(Vec::new());
        }
        let now = Timestamp::now();
        let transaction = self.begin()?;
        let ingested =
            originals.iter().map(|original| ingest_one(&transaction, original, now)).collect::<Result<_>>()?;
        transaction.commit()?;
        Ok(ingested)
    }

    /// The asset whose file has this path, size and time of change, which saves reading it again.
    pub fn unchanged(&self, path: &Path, size_bytes: u64, modified: Timestamp) -> Result<Option<Handle>> {
        let id = self
            .connection()
            .prepare_cached("SELECT asset_id FROM originals WHERE path = ? AND size_bytes = ? AND modified_ns = ?")?
            .query_row(params![StoredPath(path), to_integer(size_bytes)?, nanoseconds(modified)], |row| row.get(0))
            .optional()?;
        Ok(id.map(|id| Handle::new(HandleKind::Asset, id)))
    }

    /// The asset with this handle; `None` when there is none.
    pub fn asset(&self, handle: &Handle) -> Result<Option<Asset>> {
        let Some(id) = handle.id(HandleKind::Asset) else { return Ok(None) };
        Ok(self.query_assets("WHERE a.id = ?", [id])?.pop())
    }

    /// The assets that a clause behind [`SELECT_ASSET`] finds.
    pub(super) fn query_assets(&self, clause: &str, parameters: impl Params) -> Result<Vec<Asset>> {
        let mut statement = self.connection().prepare_cached(&format!("{SELECT_ASSET} {clause}"))?;
        let mut rows = statement.query(parameters)?;
        let mut assets = Vec::new();
        while let Some(row) = rows.next()? {
            assets.push(self.read_asset(row)?);
        }
        Ok(assets)
    }

    /// Assets in the order in which they were taken in, read in pages while the iterator advances.
    pub fn assets(&self, filter: AssetFilter) -> Assets<'_> {
        Assets {
            library: self,
            left: filter.limit.unwrap_or(u64::MAX),
            filter,
            page: Vec::new().into_iter(),
            done: false,
        }
    }

    pub fn asset_count(&self) -> Result<u64> {
        let count = self
            .connection()
            .prepare_cached("SELECT count(*) FROM assets WHERE id NOT IN (SELECT asset_id FROM sets)")?
            .query_row([], |row| get_u64(row, "count(*)"))?;
        Ok(count)
    }

    /// Where the derivative of `asset` belongs: always the same place, inside the library. The folder may not exist yet.
    pub fn derivative_path(&self, asset: &Asset) -> PathBuf {
        match &asset.derivative {
            Some(derivative) => derivative.path.clone(),
            None => self.dir().join(plan_path(PYRAMIDS, asset.id, &asset.name)),
        }
    }

    /// Where the mask of `asset` belongs, likewise.
    pub fn mask_path(&self, asset: &Asset) -> PathBuf {
        match &asset.mask {
            Some(mask) => mask.path.clone(),
            None => self.dir().join(plan_path(MASKS, asset.id, &asset.name)),
        }
    }

    /// Where what is known of the pages of a document is written as JSON. The folder may not exist yet.
    pub fn document_path(&self, asset: &Asset) -> PathBuf {
        self.dir().join(plan_file(DOCUMENTS, asset.id, &asset.name, "json"))
    }

    fn read_asset(&self, row: &Row<'_>) -> Result<Asset> {
        let id: i64 = row.get("id")?;
        let hash = row.get::<_, StoredHash>("hash")?.0;
        let derivative = match row.get::<_, Option<String>>("derivative_path")? {
            None => None,
            Some(path) => Some(Derivative {
                path: self.inside(&path)?,
                bytes: get_u64(row, "derivative_bytes")?,
                width: row.get("derivative_width")?,
                height: row.get("derivative_height")?,
                levels: row.get("levels")?,
                compression: row.get("compression")?,
                hash: row.get::<_, Option<StoredHash>>("derivative_hash")?.map(|hash| hash.0),
                current: row.get::<_, StoredHash>("source_hash")?.0 == hash,
                updated: timestamp(row.get("derivative_updated_ns")?),
            }),
        };
        let mask = match row.get::<_, Option<String>>("mask_path")? {
            None => None,
            Some(path) => Some(Mask {
                path: self.inside(&path)?,
                bytes: get_u64(row, "mask_bytes")?,
                width: row.get("mask_width")?,
                height: row.get("mask_height")?,
                hash: row.get::<_, Option<StoredHash>>("mask_hash")?.map(|hash| hash.0),
                current: row.get::<_, StoredHash>("mask_source_hash")?.0 == hash,
                updated: timestamp(row.get("mask_updated_ns")?),
            }),
        };
        let rendition = match row.get::<_, Option<String>>("rendition_path")? {
            None => None,
            Some(path) => Some(Rendition {
                path: self.inside(&path)?,
                file: RenditionFile {
                    bytes: get_u64(row, "rendition_bytes")?,
                    video_codec: row.get("video_codec")?,
                    audio_codec: row.get("audio_codec")?,
                    width: row.get("rendition_width")?,
                    height: row.get("rendition_height")?,
                    duration_ms: get_optional_u64(row, "duration_ms")?,
                    bits_per_second: get_optional_u64(row, "bits_per_second")?,
                    adaptive: row.get("adaptive")?,
                    hash: row.get::<_, Option<StoredHash>>("rendition_hash")?.map(|hash| hash.0),
                },
                current: row.get::<_, StoredHash>("rendition_source_hash")?.0 == hash,
                updated: timestamp(row.get("rendition_updated_ns")?),
            }),
        };
        let crop = match row.get::<_, Option<CropOrigin>>("origin")? {
            None => None,
            Some(origin) => Some(Crop {
                insets: Insets {
                    left: row.get("inset_left")?,
                    right: row.get("inset_right")?,
                    top: row.get("inset_top")?,
                    bottom: row.get("inset_bottom")?,
                },
                origin,
            }),
        };
        Ok(Asset {
            handle: Handle::new(HandleKind::Asset, id),
            id,
            name: row.get("name")?,
            kind: row.get::<_, StoredKind>("kind")?.0,
            path: row.get::<_, StoredPathBuf>("path")?.0,
            size_bytes: get_u64(row, "size_bytes")?,
            modified: timestamp(row.get("modified_ns")?),
            hash,
            width: row.get("width")?,
            height: row.get("height")?,
            format: row.get("format")?,
            created: timestamp(row.get("created_ns")?),
            updated: timestamp(row.get("updated_ns")?),
            ready_for_publish: row.get("ready_for_publish")?,
            crop,
            derivative,
            mask,
            rendition,
            originator: match row.get::<_, Option<i64>>("originator_id")? {
                None => None,
                Some(id) => Some(Originator {
                    handle: Handle::new(HandleKind::Asset, id),
                    id,
                    engine: row.get("engine")?,
                    number: row.get("number")?,
                    parameters: row.get("parameters")?,
                }),
            },
        })
    }

    /// A path of the catalog as an absolute one; the catalog is a file, so it is not trusted to stay inside the library.
    fn inside(&self, relative: &str) -> Result<PathBuf> {
        let relative = Path::new(relative);
        if relative.components().all(|component| matches!(component, Component::Normal(_))) {
            return Ok(self.dir().join(relative));
        }
        Err(Error::new(
            ErrorKind::Catalog,
            Stage::Catalog,
            format!("the catalog is damaged: the path {} leads out of the library", relative.display()),
        ))
    }
}

const SELECT_ASSET: &str = "
    SELECT a.id, a.name, a.kind, a.ready_for_publish, a.created_ns, a.updated_ns,
           o.path, o.size_bytes, o.modified_ns, o.hash,
           CASE WHEN g.asset_id IS NULL THEN o.width END AS width,
           CASE WHEN g.asset_id IS NULL THEN o.height END AS height,
           CASE WHEN g.asset_id IS NULL THEN o.format END AS format,
           c.inset_left, c.inset_right, c.inset_top, c.inset_bottom, c.origin,
           d.path AS derivative_path, d.size_bytes AS derivative_bytes, d.width AS derivative_width,
           d.height AS derivative_height, d.levels, d.compression, d.hash AS derivative_hash, d.source_hash,
           d.updated_ns AS derivative_updated_ns,
           m.path AS mask_path, m.size_bytes AS mask_bytes, m.width AS mask_width, m.height AS mask_height,
           m.hash AS mask_hash,
           m.source_hash AS mask_source_hash, m.updated_ns AS mask_updated_ns,
           g.originator_id, g.engine, g.number, g.parameters,
           r.path AS rendition_path, r.size_bytes AS rendition_bytes, r.video_codec, r.audio_codec,
           r.width AS rendition_width, r.height AS rendition_height, r.duration_ms, r.bits_per_second, r.adaptive,
           r.hash AS rendition_hash, r.source_hash AS rendition_source_hash, r.updated_ns AS rendition_updated_ns
    FROM assets a
    LEFT JOIN derived_assets g ON g.asset_id = a.id
    JOIN originals o ON o.asset_id = coalesce(g.originator_id, a.id)
    LEFT JOIN crops c ON c.asset_id = a.id
    LEFT JOIN derivatives d ON d.asset_id = a.id
    LEFT JOIN masks m ON m.asset_id = a.id
    LEFT JOIN rendition_files r ON r.asset_id = a.id";

/// Iterator of [`Library::assets`]. Ends after the first error.
#[derive(Debug)]
pub struct Assets<'a> {
    library: &'a Library,
    filter: AssetFilter,
    left: u64,
    page: vec::IntoIter<Asset>,
    done: bool,
}

impl Assets<'_> {
    const PAGE: u64 = 500;

    fn next_page(&mut self) -> Result<Vec<Asset>> {
        let after = match &self.filter.after {
            None => 0,
            Some(handle) => handle.id(HandleKind::Asset).ok_or_else(|| unknown_asset(handle))?,
        };
        self.library.query_assets(
            "WHERE a.id > ?1 AND (?2 IS NULL OR a.kind = ?2) AND (?3 IS NULL OR instr(a.name, ?3) > 0)
               AND (?4 IS NULL OR a.ready_for_publish = ?4)
             ORDER BY a.id LIMIT ?5",
            params![
                after,
                self.filter.kind.map(StoredKind),
                self.filter.name_contains,
                self.filter.ready_for_publish,
                self.left.min(Self::PAGE) as i64
            ],
        )
    }
}

impl Iterator for Assets<'_> {
    type Item = Result<Asset>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(asset) = self.page.next() {
            return Some(Ok(asset));
        }
        if self.done || self.left == 0 {
            return None;
        }
        match self.next_page() {
            Ok(page) => {
                let found = page.len() as u64;
                self.done = found < self.left.min(Self::PAGE);
                self.left -= found;
                self.filter.after = page.last().map(|asset| asset.handle.clone());
                self.page = page.into_iter();
                self.page.next().map(Ok)
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}

fn ingest_one(connection: &Connection, new: &NewOriginal, now: Timestamp) -> Result<Ingested> {
    let plain = |component| !matches!(component, Component::ParentDir | Component::CurDir);
    if !new.path.is_absolute() || !new.path.components().all(plain) {
        return Err(Error::misuse(Stage::Catalog, "an original is recorded with its absolute, canonical path")
            .of(new.path.display().to_string()));
    }
    let known: Option<(i64, StoredHash)> = connection
        .prepare_cached("SELECT asset_id, hash FROM originals WHERE path = ?")?
        .query_row([StoredPath(&new.path)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let found = match known {
        Some((id, StoredHash(hash))) if hash == new.hash => Some((id, IngestOutcome::Unchanged)),
        Some((id, _)) => Some((id, IngestOutcome::Updated)),
        None => find_copy(connection, &new.hash)?,
    };
    let (id, outcome) = match found {
        Some(found) => found,
        None => (insert(connection, new, now)?, IngestOutcome::New),
    };
    match outcome {
        IngestOutcome::New | IngestOutcome::Duplicate => {}
        // The file's time of change may be another although its content is not.
        IngestOutcome::Unchanged => write_original(connection, id, new)?,
        IngestOutcome::Updated | IngestOutcome::Moved => {
            write_original(connection, id, new)?;
            connection.prepare_cached("UPDATE assets SET kind = ?, updated_ns = ? WHERE id = ?")?.execute(params![
                StoredKind(new.kind),
                nanoseconds(now),
                id
            ])?;
        }
    }
    Ok(Ingested { handle: Handle::new(HandleKind::Asset, id), outcome })
}

/// The asset that a file with this content at a new path belongs to, and how.
fn find_copy(connection: &Connection, hash: &blake3::Hash) -> Result<Option<(i64, IngestOutcome)>> {
    let mut statement =
        connection.prepare_cached("SELECT asset_id, path FROM originals WHERE hash = ? ORDER BY asset_id")?;
    let mut rows = statement.query([StoredHash(*hash)])?;
    let mut duplicate = None;
    while let Some(row) = rows.next()? {
        let (id, StoredPathBuf(path)) = (row.get(0)?, row.get(1)?);
        // A path that cannot be looked at (no permission) counts as being there.
        if let Ok(false) = path.try_exists() {
            return Ok(Some((id, IngestOutcome::Moved)));
        }
        duplicate.get_or_insert((id, IngestOutcome::Duplicate));
    }
    Ok(duplicate)
}

fn insert(connection: &Connection, new: &NewOriginal, now: Timestamp) -> Result<i64> {
    let name = new.path.file_stem().map_or(Cow::Borrowed(""), |stem| stem.to_string_lossy());
    connection
        .prepare_cached("INSERT INTO assets (name, kind, created_ns, updated_ns) VALUES (?1, ?2, ?3, ?3)")?
        .execute(params![name, StoredKind(new.kind), nanoseconds(now)])?;
    let id = connection.last_insert_rowid();
    write_original(connection, id, new)?;
    Ok(id)
}

fn write_original(connection: &Connection, id: i64, new: &NewOriginal) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO originals (asset_id, path, size_bytes, modified_ns, hash, width, height, format)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (asset_id) DO UPDATE SET
                 path = excluded.path, size_bytes = excluded.size_bytes, modified_ns = excluded.modified_ns,
                 hash = excluded.hash, width = excluded.width, height = excluded.height, format = excluded.format",
        )?
        .execute(params![
            id,
            StoredPath(&new.path),
            to_integer(new.size_bytes)?,
            nanoseconds(new.modified),
            StoredHash(new.hash),
            new.width,
            new.height,
            new.format,
        ])?;
    Ok(())
}

pub(super) fn unknown_asset(handle: &Handle) -> Error {
    Error::misuse(Stage::Catalog, "no asset has this handle; `reprise assets` lists those that exist")
        .of(handle.as_str())
}

/// Path of a file made of an asset, relative to the library: `pyramids/0012/12345-name.tif`.
///
/// The number makes it unique and the thousands keep folders small; the name is there for people.
pub(super) fn plan_path(folder: &str, id: i64, name: &str) -> String {
    plan_file(folder, id, name, "tif")
}

pub(super) fn plan_file(folder: &str, id: i64, name: &str, ending: &str) -> String {
    let stem = safe_stem(name);
    let dash = if stem.is_empty() { "" } else { "-" };
    format!("{folder}/{:04}/{id}{dash}{stem}.{ending}", id / 1000)
}

/// Longest stem in bytes: with number and ending far below the 255 bytes that file systems allow.
const STEM_BYTES: usize = 80;

/// `name` with everything but letters, digits, `-`, `_` and inner dots replaced, cut to [`STEM_BYTES`].
fn safe_stem(name: &str) -> String {
    let mut stem = String::new();
    for c in name.chars() {
        let c = if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
        if stem.len() + c.len_utf8() > STEM_BYTES {
            break;
        }
        stem.push(c);
    }
    stem.trim_matches('.').to_owned()
}

/// Nanoseconds since 1970; times outside the years 1677–2262 become the nearest of them.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    time.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

pub(super) fn timestamp(nanoseconds: i64) -> Timestamp {
    // jiff covers the years −9999 to 9999, more than 64 bits of nanoseconds.
    Timestamp::from_nanosecond(nanoseconds.into()).expect("64 bits of nanoseconds are in range")
}

pub(super) fn to_integer(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Error::misuse(Stage::Catalog, format!("{value} is more than a catalog can hold")))
}

/// Reads a column that is never negative.
pub(super) fn get_u64(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    let index = row.as_ref().column_index(column)?;
    let value: i64 = row.get(index)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, value))
}

fn get_optional_u64(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    if row.get::<_, Option<i64>>(column)?.is_none() { Ok(None) } else { get_u64(row, column).map(Some) }
}

/// A path as text, or as a blob of its bytes where it is not UTF-8.
struct StoredPath<'a>(&'a Path);

impl ToSql for StoredPath<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0.to_str() {
            Some(text) => text.into(),
            None => self.0.as_os_str().as_encoded_bytes().into(),
        })
    }
}

struct StoredPathBuf(PathBuf);

impl FromSql for StoredPathBuf {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Blob(bytes) => Ok(StoredPathBuf(os_string(bytes)?.into())),
            text => Ok(StoredPathBuf(text.as_str()?.into())),
        }
    }
}

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> FromSqlResult<OsString> {
    use std::os::unix::ffi::OsStringExt;
    Ok(OsString::from_vec(bytes.to_vec()))
}

/// Elsewhere names are not bytes: such a path was stored by another system and names nothing here.
#[cfg(not(unix))]
fn os_string(_: &[u8]) -> FromSqlResult<OsString> {
    Err(FromSqlError::Other("a path in bytes, stored by another operating system".into()))
}

pub(super) struct StoredHash(pub blake3::Hash);

impl ToSql for StoredHash {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_bytes().as_slice().into())
    }
}

impl FromSql for StoredHash {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; blake3::OUT_LEN]>::column_result(value).map(|bytes| StoredHash(bytes.into()))
    }
}

pub(super) struct StoredKind(pub Kind);

impl ToSql for StoredKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.id().into())
    }
}

impl FromSql for StoredKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let id = value.as_str()?;
        Kind::from_id(id).map(StoredKind).ok_or_else(|| FromSqlError::Other(format!("{id:?} is not a kind").into()))
    }
}

pub(super) fn text<T: std::fmt::Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn optional_text<T: std::fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// JSON has no way to write bytes that are not UTF-8; they are shown as replacement characters.
pub(super) fn lossy<S: Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn kind_text<S: Serializer>(kind: &Kind, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_paths_stay_in_their_folder_whatever_the_name() {
        let long = "ä".repeat(300);
        for name in ["", ".", "..", "../../etc/passwd", "/", "a/b", "C:\\x", "new\nline", "nul\0", "…", "~", "-", &long]
        {
            let path = plan_path(PYRAMIDS, 1_234_567, name);
            let path = Path::new(&path);
            assert!(path.starts_with("pyramids/1234"), "{path:?}");
            assert_eq!(path.components().count(), 3, "{path:?}");
            let file = path.file_name().unwrap().to_str().unwrap();
            assert!(file.starts_with("1234567") && file.ends_with(".tif"), "{file}");
            assert!(file.len() <= 7 + 1 + STEM_BYTES + 4, "{file}");
            assert!(!file.contains(['\n', '\0', '/', '\\', ':']), "{file}");
        }
    }

    #[test]
    fn readable_names_stay_readable() {
        assert_eq!(plan_path(PYRAMIDS, 7, "Schuhe größe 42"), "pyramids/0000/7-Schuhe_größe_42.tif");
        assert_eq!(plan_path(MASKS, 12_345, "写真_01.v2"), "masks/0012/12345-写真_01.v2.tif");
        assert_eq!(plan_path(PYRAMIDS, 1, "..."), "pyramids/0000/1.tif");
    }

    #[test]
    fn times_beyond_64_bits_are_clamped() {
        let late: Timestamp = "9000-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(nanoseconds(late), i64::MAX);
        let exact: Timestamp = "2024-02-29T12:00:00.123456789Z".parse().unwrap();
        assert_eq!(timestamp(nanoseconds(exact)), exact);
        assert_eq!(nanoseconds(timestamp(i64::MIN)), i64::MIN);
    }
}
