//! Tables and numbered migrations.
//!
//! `user_version` counts the migrations applied; `application_id` marks the file as ours.
//! A migration that has been released is never changed; the next change is a new one.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Error, ErrorKind, Result, Stage};

/// "RPRS", in the header of every catalog.
const APPLICATION_ID: i32 = 0x5250_5253;

/// The row of the only company.
pub(super) const COMPANY: i64 = 1;

/// Migration `n` brings a catalog from version `n` to `n + 1`.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
    include_str!("migrations/5.sql"),
    include_str!("migrations/6.sql"),
    include_str!("migrations/7.sql"),
    include_str!("migrations/8.sql"),
    include_str!("migrations/9.sql"),
    include_str!("migrations/10.sql"),
    include_str!("migrations/11.sql"),
    include_str!("migrations/12.sql"),
];

/// What an open database is.
enum Found {
    /// Nothing in it: a library whose creation was cut short.
    Empty,
    Catalog {
        version: usize,
    },
    Foreign,
}

fn identify(connection: &Connection) -> rusqlite::Result<Found> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (id, usize::try_from(version)) {
        (APPLICATION_ID, Ok(version)) => Found::Catalog { version },
        (0, Ok(0)) if tables == 0 => Found::Empty,
        _ => Found::Foreign,
    })
}

/// Checks that the database is a catalog that this program can read, before anything in it is changed.
///
/// # Errors
/// `Misuse` for another program's database, `Catalog` for a catalog made by a newer program.
pub(super) fn check(connection: &Connection) -> Result<()> {
    match identify(connection)? {
        Found::Empty => Ok(()),
        Found::Catalog { version } if version <= MIGRATIONS.len() => Ok(()),
        Found::Catalog { version } => Err(Error::new(
            ErrorKind::Catalog,
            Stage::Catalog,
            format!(
                "the library has catalog version {version}, made by a newer program; this one knows versions up to {}: \
                 use the newer program",
                MIGRATIONS.len()
            ),
        )),
        Found::Foreign => {
            Err(Error::misuse(Stage::Catalog, "the database belongs to another program, not to a library"))
        }
    }
}

/// Brings the catalog to the newest version; all missing migrations together or none.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    apply(connection, MIGRATIONS)
}

fn apply(connection: &mut Connection, migrations: &[&str]) -> Result<()> {
    let version = |connection: &Connection| -> rusqlite::Result<usize> {
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).map(|v| v as usize)
    };
    // An up-to-date catalog is opened without taking the write lock.
    if version(connection)? >= migrations.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have migrated while this one waited for the lock.
    let done = version(&transaction)?;
    for migration in migrations.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    if done < migrations.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", migrations.len() as i64)?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i64 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn migrations_run_once_each_and_in_order() {
        let steps = ["CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);", "UPDATE t SET a = a * 10;"];
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, &steps[..1]).unwrap();
        assert_eq!(version(&connection), 1);
        apply(&mut connection, &steps).unwrap();
        apply(&mut connection, &steps).unwrap();
        assert_eq!(version(&connection), 2);
        let value: i64 = connection.query_row("SELECT a FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(value, 10);
    }

    #[test]
    fn a_failing_migration_leaves_the_version_before() {
        let steps = ["CREATE TABLE t (a INTEGER);", "CREATE TABLE u (a INTEGER);", "INSERT INTO nowhere VALUES (1);"];
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, &steps[..1]).unwrap();
        apply(&mut connection, &steps).unwrap_err();
        assert_eq!(version(&connection), 1);
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }
}
