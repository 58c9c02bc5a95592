//! The library's folder, its database connection, settings and locks.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};

use super::schema;
use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result, Stage};

const CATALOG_FILE: &str = "library.sqlite";
const LOCK_FILE: &str = "run.lock";
/// Folder of the derivatives inside a library.
pub(super) const PYRAMIDS: &str = "pyramids";
/// Folder of the masks of clipping paths inside a library.
pub(super) const MASKS: &str = "masks";
/// Folder of what is known of documents.
pub(super) const DOCUMENTS: &str = "documents";
/// Folder of encoded video and audio.
pub(super) const RENDITIONS: &str = "renditions";
/// Folder of the report pages.
const REPORTS: &str = "reports";

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// How often and after what pause the run lock is tried again.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Statements kept prepared; more than this module has.
const STATEMENT_CACHE: usize = 64;

/// An open library: its folder and one connection to its catalog.
///
/// `Send`, not `Sync`: one thread uses it at a time. Several processes may have the same library open.
/// Unless said otherwise, every method fails with kind `Catalog` when the catalog cannot be read or written, and
/// then has changed nothing.
#[derive(Debug)]
pub struct Library {
    dir: PathBuf,
    connection: Connection,
}

impl Library {
    /// Makes a library in `dir`, together with the folders above it.
    ///
    /// # Errors
    /// `Misuse` when there is one already, `Io` when the folder cannot be made.
    pub fn create(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        fs::create_dir_all(dir).map_err(|error| Error::io(Stage::Catalog, dir, error))?;
        let file = dir.join(CATALOG_FILE);
        match File::create_new(&file) {
            Ok(_) => Self::open(dir),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Error::misuse(
                Stage::Catalog,
                "the folder is a library already; use it as it is or choose another folder",
            )
            .of(dir.display().to_string())),
            Err(error) => Err(Error::io(Stage::Catalog, &file, error)),
        }
    }

    /// Opens the library in `dir` and brings its catalog up to date.
    ///
    /// # Errors
    /// `Misuse` when the folder is no library; `Catalog` when its catalog is damaged, locked, or made by a newer program.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let file = dir.join(CATALOG_FILE);
        if !file.is_file() {
            return Err(Error::misuse(
                Stage::Catalog,
                format!("the folder is not a library: it has no {CATALOG_FILE}; `reprise init` makes a library"),
            )
            .of(dir.display().to_string()));
        }
        let dir = fs::canonicalize(dir).map_err(|error| Error::io(Stage::Catalog, dir, error))?;
        let connection = connect(&file).map_err(|error| error.of(file.display().to_string()))?;
        Ok(Library { dir, connection })
    }

    /// The library's folder, absolute and canonical.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folders inside the library that runs write to, pyramids first, then renditions. They may not exist yet.
    pub fn written_folders(&self) -> [PathBuf; 4] {
        [PYRAMIDS, RENDITIONS, MASKS, REPORTS].map(|folder| self.dir.join(folder))
    }

    /// Takes the library for one run; it is free again when the lock is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// `Catalog` when another run has it, `Io` when the lock file cannot be made.
    pub fn lock_for_run(&self) -> Result<RunLock> {
        let path = self.dir.join(LOCK_FILE);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| Error::io(Stage::Catalog, &path, error))?;
        // Someone who only asks whether a run is under way holds the lock for a moment.
        let mut tries = 0;
        let locked = loop {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                locked => break locked,
            }
        };
        match locked {
            Ok(()) => Ok(RunLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Catalog,
                Stage::Catalog,
                "another run is using this library; wait until it has ended",
            )
            .of(self.dir.display().to_string())),
            Err(TryLockError::Error(error)) => Err(Error::io(Stage::Catalog, &path, error)),
        }
    }

    /// Whether some process holds the library for a run.
    ///
    /// # Errors
    /// `Io` when the lock file cannot be looked at.
    pub fn is_run_under_way(&self) -> Result<bool> {
        let path = self.dir.join(LOCK_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io(Stage::Catalog, &path, error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(Error::io(Stage::Catalog, &path, error)),
        }
    }

    /// The company's settings.
    pub fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::default();
        let mut statement = self.connection.prepare_cached("SELECT name, value FROM settings WHERE company_id = ?")?;
        let mut rows = statement.query([schema::COMPANY])?;
        while let Some(row) = rows.next()? {
            let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
            // A setting of another version of the program is left alone.
            if Settings::NAMES.contains(&name.as_str()) {
                settings.set(&name, &value).map_err(|e| Error::new(ErrorKind::Catalog, Stage::Catalog, e.message))?;
            }
        }
        Ok(settings)
    }

    pub fn set_settings(&mut self, settings: &Settings) -> Result<()> {
        let transaction = self.begin()?;
        for name in Settings::NAMES {
            transaction
                .prepare_cached(
                    "INSERT INTO settings (company_id, name, value) VALUES (?, ?, ?)
                     ON CONFLICT DO UPDATE SET value = excluded.value",
                )?
                .execute(params![schema::COMPANY, name, settings.get(name)?])?;
        }
        transaction.commit()?;
        Ok(())
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A transaction that has the write lock from its start, so that it never fails half-way for another writer.
    pub(super) fn begin(&mut self) -> Result<Transaction<'_>> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

/// Whether `path` is one of the files and folders that the library in `dir` itself keeps there; both canonical.
pub fn is_own_file(dir: &Path, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(dir) else { return false };
    let Some(Component::Normal(first)) = inside.components().next() else { return false };
    // The database has companions: -wal, -shm, -journal.
    first == PYRAMIDS
        || first == MASKS
        || first == DOCUMENTS
        || first == RENDITIONS
        || first == LOCK_FILE
        || first.as_encoded_bytes().starts_with(CATALOG_FILE.as_bytes())
}

fn connect(file: &Path) -> Result<Connection> {
    // Without SQLITE_OPEN_URI: a folder's name is never read as a URI.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    schema::check(&connection)?;
    // File systems without shared memory keep their journal mode; that is slower, not wrong.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // In WAL mode a power cut may lose the last transactions, never the catalog's consistency.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// Holds the library for one run; see [`Library::lock_for_run`].
#[derive(Debug)]
#[must_use = "the library is free again when the lock is dropped"]
pub struct RunLock {
    _file: File,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as Sql;
        let message = match (error.sqlite_error_code(), &error) {
            (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => format!(
                "another process has kept the catalog locked for {} s; wait for it to end and try again",
                BUSY_TIMEOUT.as_secs()
            ),
            (Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt), _) => format!(
                "the catalog is damaged ({error}); restore {CATALOG_FILE} from a backup, or salvage it with \
                 `sqlite3 {CATALOG_FILE} .recover`"
            ),
            (Some(ErrorCode::DiskFull), _) => "the disk is full; make room and try again".to_owned(),
            (Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen), _) => {
                format!(
                    "the catalog cannot be opened for writing ({error}); check the permissions of the library's folder"
                )
            }
            (_, Sql::FromSqlConversionFailure(..) | Sql::InvalidColumnType(..) | Sql::IntegralValueOutOfRange(..)) => {
                format!("the catalog holds a value that this program does not know ({error}); use the newest program")
            }
            _ => format!("the catalog could not be used: {error}"),
        };
        Error::new(ErrorKind::Catalog, Stage::Catalog, message).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn database_failures_say_what_to_do() {
        for (code, words) in [
            (ffi::SQLITE_BUSY, "try again"),
            (ffi::SQLITE_BUSY_SNAPSHOT, "try again"),
            (ffi::SQLITE_LOCKED, "try again"),
            (ffi::SQLITE_NOTADB, "backup"),
            (ffi::SQLITE_CORRUPT, "backup"),
            (ffi::SQLITE_FULL, "make room"),
            (ffi::SQLITE_READONLY, "permissions"),
            (ffi::SQLITE_CANTOPEN, "permissions"),
        ] {
            let error = Error::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            assert_eq!((error.kind, error.stage), (ErrorKind::Catalog, Stage::Catalog));
            assert!(error.message.contains(words), "{code}: {}", error.message);
        }
    }
}
