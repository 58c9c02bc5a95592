//! Named lists of assets that are made of one asset: eCatalogs of documents, adaptive sets of videos. Their tables have
//! one shape: an asset has at most one list of a kind, which a later run replaces.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::asset::{nanoseconds, unknown_asset};
use super::handle::{Handle, HandleKind};
use crate::error::Result;

/// The two tables of a kind of list.
pub(super) struct ListTables {
    /// `originator_id`, `name`, `updated_ns`.
    pub list: &'static str,
    /// `originator_id`, `position`, `asset_id`.
    pub members: &'static str,
}

impl ListTables {
    /// Name and members of the list made of `originator`, if there is one.
    pub(super) fn read(&self, connection: &Connection, originator: &Handle) -> Result<Option<(String, Vec<Handle>)>> {
        let Some(id) = originator.id(HandleKind::Asset) else { return Ok(None) };
        let Self { list, members } = self;
        let name = connection
            .prepare_cached(&format!("SELECT name FROM {list} WHERE originator_id = ?"))?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let Some(name) = name else { return Ok(None) };
        let mut statement = connection
            .prepare_cached(&format!("SELECT asset_id FROM {members} WHERE originator_id = ? ORDER BY position"))?;
        let found = statement.query_map([id], |row| Ok(Handle::new(HandleKind::Asset, row.get(0)?)))?;
        Ok(Some((name, found.collect::<rusqlite::Result<_>>()?)))
    }

    /// Replaces the list of the asset with number `originator_id`, if there is one.
    pub(super) fn write(
        &self,
        connection: &Connection,
        originator_id: i64,
        (name, found): (&str, &[Handle]),
        now: Timestamp,
    ) -> Result<()> {
        let Self { list, members } = self;
        connection
            .prepare_cached(&format!(
                "INSERT INTO {list} (originator_id, name, updated_ns) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET name = excluded.name, updated_ns = excluded.updated_ns"
            ))?
            .execute(params![originator_id, name, nanoseconds(now)])?;
        connection
            .prepare_cached(&format!("DELETE FROM {members} WHERE originator_id = ?"))?
            .execute([originator_id])?;
        let mut insert = connection
            .prepare_cached(&format!("INSERT INTO {members} (originator_id, position, asset_id) VALUES (?, ?, ?)"))?;
        for (position, member) in found.iter().enumerate() {
            let id = member.id(HandleKind::Asset).ok_or_else(|| unknown_asset(member))?;
            insert.execute(params![originator_id, position as i64, id])?;
        }
        Ok(())
    }
}
