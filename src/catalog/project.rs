//! Projects: named groups of assets.

use rusqlite::params;
use serde::Serialize;

use super::asset::get_u64;
use super::handle::{Handle, HandleKind};
use super::joblog::{self, TaskOutcome};
use super::schema::COMPANY;
use super::store::Library;
use crate::error::{Error, Result, Stage};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    pub handle: Handle,
    pub name: String,
    /// How many assets are in it.
    pub asset_count: u64,
}

impl Library {
    /// Makes a project.
    ///
    /// # Errors
    /// `Misuse` for an empty name, or one that another project has.
    pub fn add_project(&mut self, name: &str) -> Result<Handle> {
        if name.trim().is_empty() {
            return Err(Error::misuse(Stage::Catalog, "a project needs a name"));
        }
        let transaction = self.begin()?;
        let made = transaction
            .prepare_cached("INSERT OR IGNORE INTO projects (company_id, name) VALUES (?, ?)")?
            .execute(params![COMPANY, name])?;
        if made == 0 {
            return Err(Error::misuse(Stage::Catalog, "there is a project of this name already").of(name));
        }
        let handle = Handle::new(HandleKind::Project, transaction.last_insert_rowid());
        transaction.commit()?;
        Ok(handle)
    }

    /// All projects from the oldest to the newest.
    pub fn projects(&self) -> Result<Vec<Project>> {
        let mut statement = self.connection().prepare_cached(
            "SELECT id, name, (SELECT count(*) FROM project_assets WHERE project_id = id) AS asset_count
             FROM projects WHERE company_id = ? ORDER BY id",
        )?;
        let projects = statement.query_map([COMPANY], |row| {
            Ok(Project {
                handle: Handle::new(HandleKind::Project, row.get("id")?),
                name: row.get("name")?,
                asset_count: get_u64(row, "asset_count")?,
            })
        })?;
        Ok(projects.collect::<rusqlite::Result<_>>()?)
    }

    /// Puts the assets that a job finished well into projects. Those that are in them already stay.
    ///
    /// # Errors
    /// `Misuse` for an unknown job or project.
    pub fn join_projects(&mut self, job: &Handle, projects: &[Handle]) -> Result<()> {
        let transaction = self.begin()?;
        let job_id = joblog::job_id(&transaction, job)?;
        for project in projects {
            let unknown = || Error::misuse(Stage::Catalog, "no project has this handle").of(project.as_str());
            let id = project.id(HandleKind::Project).ok_or_else(unknown)?;
            transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO project_assets (project_id, asset_id)
                     SELECT ?, assets.id FROM tasks JOIN assets ON tasks.asset_handle = 'a|' || assets.id
                     WHERE tasks.job_id = ? AND tasks.outcome = ?",
                )?
                .execute(params![id, job_id, TaskOutcome::Success])?;
        }
        transaction.commit()?;
        Ok(())
    }
}
