//! Sets: assets that show other assets in an order.

use jiff::Timestamp;
use rusqlite::params;
use serde::Serialize;

use super::asset::{nanoseconds, text, timestamp};
use super::handle::{Handle, HandleKind};
use super::joblog::{self, TaskOutcome};
use super::names::named_enum;
use super::preset::unknown_preset;
use super::store::Library;
use crate::error::Result;

/// One place of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetMember {
    pub asset_handle: Handle,
    pub asset_name: String,
    /// Position in a set of two axes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

/// A set on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssetSet {
    pub handle: Handle,
    pub name: String,
    pub set_type: String,
    /// Folder that it belongs to; empty: none.
    pub folder: String,
    pub ready_for_publish: bool,
    /// The preset that it was made by, while there is one.
    pub preset: Option<Handle>,
    #[serde(serialize_with = "text")]
    pub updated: Timestamp,
    pub members: Vec<SetMember>,
}

/// A set about to be made, or made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSet {
    pub preset: Handle,
    /// What the names of its members have in common; with the preset it tells the set from all others.
    pub base_name: String,
    pub name: String,
    pub set_type: &'static str,
    pub folder: String,
    pub members: Vec<SetMember>,
}

named_enum! {
    /// What making a set came to.
    SetOutcome { New, Updated, Unchanged }
}

/// An image that can be a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCandidate {
    pub handle: Handle,
    pub name: String,
}

impl Library {
    /// Records a set. The one that this preset made for this base name keeps its handle.
    ///
    /// `publish` is the mark from now on; `None` leaves it, and a new set is not marked.
    ///
    /// # Errors
    /// `Misuse` for an unknown preset.
    pub fn put_set(&mut self, new: &NewSet, publish: Option<bool>) -> Result<(Handle, SetOutcome)> {
        let now = nanoseconds(Timestamp::now());
        let before = self.set_of(&new.preset, &new.base_name)?;
        let preset_id = new.preset.id(HandleKind::PropertySet).ok_or_else(|| unknown_preset(&new.preset))?;
        let transaction = self.begin()?;
        let (id, outcome) = match before {
            None => {
                transaction
                    .prepare_cached(
                        "INSERT INTO assets (name, kind, ready_for_publish, created_ns, updated_ns)
                         VALUES (?1, ?2, ?3, ?4, ?4)",
                    )?
                    .execute(params![new.name, new.set_type, publish.unwrap_or(false), now])?;
                let id = transaction.last_insert_rowid();
                transaction
                    .prepare_cached("INSERT INTO sets (asset_id, preset_id, base_name, folder) VALUES (?, ?, ?, ?)")?
                    .execute(params![id, preset_id, new.base_name, new.folder])?;
                (id, SetOutcome::New)
            }
            Some(set) => {
                let id = set.handle.id(HandleKind::Asset).expect("as made by the catalog");
                let same = set.name == new.name
                    && set.set_type == new.set_type
                    && set.folder == new.folder
                    && set.members == new.members
                    && publish.is_none_or(|publish| publish == set.ready_for_publish);
                if same {
                    return Ok((set.handle, SetOutcome::Unchanged));
                }
                transaction
                    .prepare_cached(
                        "UPDATE assets SET name = ?, kind = ?, updated_ns = ?,
                             ready_for_publish = coalesce(?, ready_for_publish) WHERE id = ?",
                    )?
                    .execute(params![new.name, new.set_type, now, publish, id])?;
                transaction
                    .prepare_cached("UPDATE sets SET folder = ? WHERE asset_id = ?")?
                    .execute(params![new.folder, id])?;
                transaction.prepare_cached("DELETE FROM set_members WHERE set_id = ?")?.execute([id])?;
                (id, SetOutcome::Updated)
            }
        };
        for (position, member) in new.members.iter().enumerate() {
            let asset_id = member.asset_handle.id(HandleKind::Asset);
            transaction
                .prepare_cached(
                    "INSERT INTO set_members (set_id, position, asset_id, set_row, set_column) VALUES (?, ?, ?, ?, ?)",
                )?
                .execute(params![id, position as i64, asset_id, member.row, member.column])?;
        }
        transaction.commit()?;
        Ok((Handle::new(HandleKind::Asset, id), outcome))
    }

    /// All sets from the oldest to the newest.
    pub fn sets(&self) -> Result<Vec<AssetSet>> {
        self.query_sets("ORDER BY s.asset_id", [])
    }

    /// The set that a preset made for a base name.
    pub fn set_of(&self, preset: &Handle, base_name: &str) -> Result<Option<AssetSet>> {
        let id = preset.id(HandleKind::PropertySet);
        Ok(self.query_sets("WHERE s.preset_id = ? AND s.base_name = ?", params![id, base_name])?.pop())
    }

    fn query_sets(&self, clause: &str, parameters: impl rusqlite::Params) -> Result<Vec<AssetSet>> {
        let mut statement = self.connection().prepare_cached(&format!(
            "SELECT s.asset_id, a.name, a.kind, a.ready_for_publish, a.updated_ns, s.folder, s.preset_id
             FROM sets s JOIN assets a ON a.id = s.asset_id {clause}"
        ))?;
        let sets = statement.query_map(parameters, |row| {
            Ok(AssetSet {
                handle: Handle::new(HandleKind::Asset, row.get("asset_id")?),
                name: row.get("name")?,
                set_type: row.get("kind")?,
                folder: row.get("folder")?,
                ready_for_publish: row.get("ready_for_publish")?,
                preset: row.get::<_, Option<i64>>("preset_id")?.map(|id| Handle::new(HandleKind::PropertySet, id)),
                updated: timestamp(row.get("updated_ns")?),
                members: Vec::new(),
            })
        })?;
        let mut sets: Vec<AssetSet> = sets.collect::<rusqlite::Result<_>>()?;
        let mut members = self.connection().prepare_cached(
            "SELECT m.asset_id, a.name, m.set_row, m.set_column FROM set_members m JOIN assets a ON a.id = m.asset_id
             WHERE m.set_id = ? ORDER BY m.position",
        )?;
        for set in &mut sets {
            let found = members.query_map([set.handle.id(HandleKind::Asset)], |row| {
                Ok(SetMember {
                    asset_handle: Handle::new(HandleKind::Asset, row.get(0)?),
                    asset_name: row.get(1)?,
                    row: row.get(2)?,
                    column: row.get(3)?,
                })
            })?;
            set.members = found.collect::<rusqlite::Result<_>>()?;
        }
        Ok(sets)
    }

    /// All images that have a pyramid.
    pub fn set_candidates(&self) -> Result<Vec<SetCandidate>> {
        self.query_candidates("SELECT a.id, a.name FROM assets a JOIN derivatives d ON d.asset_id = a.id", [])
    }

    /// The images that a job did well, the pages and layers of its documents among them.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn images_of_job(&self, job: &Handle) -> Result<Vec<SetCandidate>> {
        let id = joblog::job_id(self.connection(), job)?;
        self.query_candidates(
            "WITH done (handle) AS (SELECT asset_handle FROM tasks WHERE job_id = ? AND outcome = ?)
             SELECT a.id, a.name FROM done JOIN assets a ON done.handle = 'a|' || a.id
                 JOIN derivatives d ON d.asset_id = a.id
             UNION
             SELECT a.id, a.name FROM done JOIN derived_assets g ON done.handle = 'a|' || g.originator_id
                 JOIN assets a ON a.id = g.asset_id JOIN derivatives d ON d.asset_id = a.id",
            params![id, TaskOutcome::Success],
        )
    }

    fn query_candidates(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<SetCandidate>> {
        let mut statement = self.connection().prepare_cached(sql)?;
        let found = statement.query_map(parameters, |row| {
            Ok(SetCandidate { handle: Handle::new(HandleKind::Asset, row.get(0)?), name: row.get(1)? })
        })?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}
