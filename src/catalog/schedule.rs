//! Jobs that wait for their time.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::asset::{nanoseconds, text, timestamp};
use super::resume::JobRequest;
use super::schema::COMPANY;
use super::store::Library;
use crate::error::{Error, Result, Stage};

/// A job that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// That of the job; no two schedules have the same.
    pub name: String,
    /// Of a recurring job: when, as a Quartz expression.
    pub expression: Option<String>,
    /// When it runs next.
    #[serde(serialize_with = "text")]
    pub due: Timestamp,
    /// When `due` was worked out.
    #[serde(skip)]
    pub planned: Timestamp,
    #[serde(skip)]
    pub request: JobRequest,
}

/// A schedule whose job begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    pub name: String,
    /// The time that it was due at.
    pub due: Timestamp,
    /// The next time, and when that was worked out; `None`: it was the last.
    pub next: Option<(Timestamp, Timestamp)>,
}

impl Library {
    /// Records a schedule; one of this name is replaced.
    pub fn put_schedule(&mut self, schedule: &Schedule) -> Result<()> {
        self.connection()
            .prepare_cached(
                "INSERT INTO schedules (company_id, name, document, options, expression, due_ns, planned_ns)
                 VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (company_id, name) DO UPDATE SET document = excluded.document, options = excluded.options,
                     expression = excluded.expression, due_ns = excluded.due_ns, planned_ns = excluded.planned_ns",
            )?
            .execute(params![
                COMPANY,
                schedule.name,
                schedule.request.document,
                schedule.request.options,
                schedule.expression,
                nanoseconds(schedule.due),
                nanoseconds(schedule.planned)
            ])?;
        Ok(())
    }

    /// All schedules, the one that is due first at the front.
    pub fn schedules(&self) -> Result<Vec<Schedule>> {
        let mut statement =
            self.connection().prepare_cached("SELECT * FROM schedules WHERE company_id = ? ORDER BY due_ns, id")?;
        let schedules = statement.query_map([COMPANY], |row| {
            Ok(Schedule {
                name: row.get("name")?,
                expression: row.get("expression")?,
                due: timestamp(row.get("due_ns")?),
                planned: timestamp(row.get("planned_ns")?),
                request: JobRequest { document: row.get("document")?, options: row.get("options")? },
            })
        })?;
        Ok(schedules.collect::<rusqlite::Result<_>>()?)
    }

    /// Removes a schedule.
    ///
    /// # Errors
    /// `Misuse` when there is none of this name.
    pub fn remove_schedule(&mut self, name: &str) -> Result<()> {
        let removed = self
            .connection()
            .prepare_cached("DELETE FROM schedules WHERE company_id = ? AND name = ?")?
            .execute(params![COMPANY, name])?;
        if removed == 0 {
            return Err(
                Error::misuse(Stage::Catalog, "no schedule has this name; `reprise schedules` lists them").of(name)
            );
        }
        Ok(())
    }

    /// Moves a schedule on without a job.
    ///
    /// # Errors
    /// As [`fire`].
    pub fn skip_firing(&mut self, firing: &Firing) -> Result<()> {
        fire(self.connection(), firing)
    }
}

/// Moves a schedule on to its next time.
///
/// # Errors
/// `Misuse` when the schedule is not due at this time any more: someone else has run it.
pub(super) fn fire(connection: &Connection, firing: &Firing) -> Result<()> {
    let Firing { name, due, next } = firing;
    let changed = match next {
        Some((next, planned)) => connection
            .prepare_cached(
                "UPDATE schedules SET due_ns = ?, planned_ns = ? WHERE company_id = ? AND name = ? AND due_ns = ?",
            )?
            .execute(params![nanoseconds(*next), nanoseconds(*planned), COMPANY, name, nanoseconds(*due)])?,
        None => connection
            .prepare_cached("DELETE FROM schedules WHERE company_id = ? AND name = ? AND due_ns = ?")?
            .execute(params![COMPANY, name, nanoseconds(*due)])?,
    };
    if changed == 0 {
        return Err(Error::misuse(Stage::Catalog, "this schedule was changed or run meanwhile").of(name));
    }
    Ok(())
}
