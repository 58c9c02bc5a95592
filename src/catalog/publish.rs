//! What is published, where, and what is still due for jobs that are finished.

use rusqlite::params;

use super::asset::{Asset, StoredHash, get_u64, to_integer};
use super::handle::Handle;
use super::joblog;
use super::names::named_enum;
use super::store::Library;
use crate::error::Result;

named_enum! {
    /// What can be due when the assets of a job are done; in this order.
    Due { Notice, Mail, Publish }
}

/// A file at a publish context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// Relative to the context's URL.
    pub path: String,
    pub hash: blake3::Hash,
    pub bytes: u64,
    /// Number of the last manifest that lists it.
    pub generation: Option<u64>,
}

impl Library {
    /// Assets that are marked for publishing, with those made of them and the members of marked sets.
    pub fn publishable(&self) -> Result<Vec<Asset>> {
        self.query_assets(
            "WHERE a.ready_for_publish = 1
                OR g.originator_id IN (SELECT id FROM assets WHERE ready_for_publish = 1)
                OR a.id IN (SELECT m.asset_id FROM set_members m JOIN assets s ON s.id = m.set_id
                            WHERE s.ready_for_publish = 1)
             ORDER BY a.id",
            [],
        )
    }

    /// What is due for a job, in the order in which it is to be done.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn due(&self, job: &Handle) -> Result<Vec<Due>> {
        let id = joblog::job_id(self.connection(), job)?;
        let mut statement = self.connection().prepare_cached("SELECT action FROM due WHERE job_id = ?")?;
        let found: Vec<Due> = statement.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(Due::ALL.iter().copied().filter(|due| found.contains(due)).collect())
    }

    /// Records that something due is done.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn settle_due(&mut self, job: &Handle, due: Due) -> Result<()> {
        let id = joblog::job_id(self.connection(), job)?;
        self.connection()
            .prepare_cached("DELETE FROM due WHERE job_id = ? AND action = ?")?
            .execute(params![id, due])?;
        Ok(())
    }

    /// Adds to the counts of files that a publish job sent, and could not send.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn add_transfers(&mut self, job: &Handle, sent: u64, failed: u64) -> Result<()> {
        let id = joblog::job_id(self.connection(), job)?;
        self.connection()
            .prepare_cached(
                "UPDATE jobs SET transfer_success_count = transfer_success_count + ?,
                     transfer_error_count = transfer_error_count + ? WHERE id = ?",
            )?
            .execute(params![to_integer(sent)?, to_integer(failed)?, id])?;
        Ok(())
    }

    /// The files that jobs of one kind have at the address of a context.
    pub fn published(&self, address: &str, target: &str) -> Result<Vec<PublishedFile>> {
        let mut statement = self.connection().prepare_cached(
            "SELECT path, hash, size_bytes, generation FROM published WHERE address = ? AND target = ?",
        )?;
        let files = statement.query_map(params![address, target], |row| {
            Ok(PublishedFile {
                path: row.get("path")?,
                hash: row.get::<_, StoredHash>("hash")?.0,
                bytes: get_u64(row, "size_bytes")?,
                generation: row.get::<_, Option<i64>>("generation")?.map(i64::unsigned_abs),
            })
        })?;
        Ok(files.collect::<rusqlite::Result<_>>()?)
    }

    /// Records files at an address, or what is newly known of them: all or none.
    pub fn record_published(&mut self, address: &str, target: &str, files: &[PublishedFile]) -> Result<()> {
        let transaction = self.begin()?;
        for file in files {
            let generation = file.generation.map(to_integer).transpose()?;
            transaction
                .prepare_cached(
                    "INSERT INTO published (address, target, path, hash, size_bytes, generation)
                     VALUES (?, ?, ?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET hash = excluded.hash, size_bytes = excluded.size_bytes,
                         generation = coalesce(excluded.generation, generation)",
                )?
                .execute(params![
                    address,
                    target,
                    file.path,
                    StoredHash(file.hash),
                    to_integer(file.bytes)?,
                    generation
                ])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Forgets files that are gone from an address.
    pub fn forget_published(&mut self, address: &str, target: &str, paths: &[String]) -> Result<()> {
        let transaction = self.begin()?;
        for path in paths {
            transaction
                .prepare_cached("DELETE FROM published WHERE address = ? AND target = ? AND path = ?")?
                .execute(params![address, target, path])?;
        }
        transaction.commit()?;
        Ok(())
    }
}
