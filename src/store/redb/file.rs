//! The file of a store. One process uses it at a time. The store creates it whole or not at all, and
//! checks it before use.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, TableError};

use super::error::{FileStoreError, FileStoreErrorKind};
use super::tables::{self, ABOUT, FORMAT};
use crate::unwind::catch_panic;

/// Locks the file at this path for this process, as long as the returned file lives. redb locks the file
/// too, but releases it each time that it fails and is reopened.
pub(super) fn lock(path: &Path) -> Result<File, FileStoreError> {
    let lock_path = with_suffix(path, ".lock");
    let file = private_options().truncate(false).open(&lock_path);
    let file = file.map_err(|error| FileStoreError::new(&lock_path, error.into()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FileStoreError::of(FileStoreErrorKind::InUse, path)),
        Err(TryLockError::Error(error)) => Err(FileStoreError::new(&lock_path, error.into())),
    }
}

/// Opens the store, or creates an empty one if there is no file.
pub(super) fn open(path: &Path) -> Result<Database, FileStoreError> {
    unless_damaged(path, || match path.exists() {
        true => open_and_compact(path),
        false => create(path),
    })
}

/// Opens the store again after a failure. Never creates one.
pub(super) fn reopen(path: &Path) -> Result<Database, FileStoreError> {
    unless_damaged(path, || open_existing(path))
}

/// Turns a panic into an error, because the file checks of redb panic in debug builds.
fn unless_damaged(
    path: &Path,
    open: impl FnOnce() -> Result<Database, FileStoreError>,
) -> Result<Database, FileStoreError> {
    let opened = catch_panic(open);
    opened.unwrap_or_else(|| Err(FileStoreError::of(FileStoreErrorKind::Damaged, path)))
}

fn open_existing(path: &Path) -> Result<Database, FileStoreError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|error| FileStoreError::new(path, error.into()))?;
    // redb would take an empty file for a new database.
    if file.metadata().is_ok_and(|about| about.len() == 0) {
        return Err(FileStoreError::of(FileStoreErrorKind::Damaged, path));
    }
    check(file, path)
}

/// Opens a store and returns unused room to the disk, if the disk has the room that this takes.
fn open_and_compact(path: &Path) -> Result<Database, FileStoreError> {
    let mut database = open_existing(path)?;
    if let Some(Ok(_)) = catch_panic(|| database.compact()) {
        return Ok(database);
    }
    // redb accepts no more operations after a failure, and closing it may panic.
    let _ = catch_panic(|| drop(database));
    open_existing(path)
}

/// Creates a store under another name first, so that a process that is killed does not leave half a
/// store behind.
fn create(path: &Path) -> Result<Database, FileStoreError> {
    let draft = with_suffix(path, ".new");
    let database = match open_draft(&draft) {
        // A process was killed before it finished its draft.
        Err(error) if is_unfinished(&error) => {
            let removed = fs::remove_file(&draft);
            removed.map_err(|error| FileStoreError::new(&draft, error.into()))?;
            open_draft(&draft)?
        }
        database => database?,
    };
    // This process has the lock on the draft. If the store exists now, another process created it first.
    if path.exists() {
        drop(database);
        return open_and_compact(path);
    }
    let renamed = fs::rename(&draft, path).and_then(|()| sync_folder(path));
    renamed.map_err(|error| FileStoreError::new(path, error.into()))?;
    Ok(database)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn open_draft(draft: &Path) -> Result<Database, FileStoreError> {
    let file = private_options().truncate(false).open(draft);
    let file = file.map_err(|error| FileStoreError::new(draft, error.into()))?;
    check(file, draft)
}

/// Returns options that create a file which only its user can read.
fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    options.mode(0o600);
    options
}

fn is_unfinished(error: &FileStoreError) -> bool {
    matches!(
        error.kind(),
        FileStoreErrorKind::NotAStore | FileStoreErrorKind::Damaged
    )
}

/// Writes the folder to the disk, so that a power cut does not remove the name of the new file.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        File::open(folder)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn check(file: File, path: &Path) -> Result<Database, FileStoreError> {
    let database = open_database(file).map_err(|error| FileStoreError::new(path, error))?;
    let format = format(&database).map_err(|error| FileStoreError::new(path, error))?;
    match format {
        Format::Current => Ok(database),
        Format::OtherVersion => Err(FileStoreError::of(FileStoreErrorKind::OtherFormat, path)),
        Format::NoStore => Err(FileStoreError::of(FileStoreErrorKind::NotAStore, path)),
        Format::Empty => {
            let made = tables::make(&database);
            made.map_err(|error| FileStoreError::new(path, error))?;
            Ok(database)
        }
    }
}

fn open_database(file: File) -> Result<Database, redb::Error> {
    let database = Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .create_with_backend(FileBackend::new(file)?)?;
    Ok(database)
}

/// The content of a database.
enum Format {
    Empty,
    Current,
    OtherVersion,
    NoStore,
}

fn format(database: &Database) -> Result<Format, redb::Error> {
    let reading = database.begin_read()?;
    match reading.open_table(ABOUT) {
        Ok(about) => Ok(match about.get("format")?.map(|format| format.value()) {
            Some(FORMAT) => Format::Current,
            _ => Format::OtherVersion,
        }),
        Err(TableError::TableDoesNotExist(_)) => {
            let is_empty = reading.list_tables()?.next().is_none()
                && reading.list_multimap_tables()?.next().is_none();
            Ok(match is_empty {
                true => Format::Empty,
                false => Format::NoStore,
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// The size of the cache, in bytes: more than most stores ever need.
const CACHE: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use redb::{TableDefinition, TableHandle};

    use super::super::test_folder::TestFolder;
    use super::*;

    fn error_kind_after(fill: impl FnOnce(&Database)) -> FileStoreErrorKind {
        let folder = TestFolder::new();
        let path = folder.path().join("sessions.redb");
        fill(&Database::create(&path).unwrap());
        open(&path).unwrap_err().kind()
    }

    fn write(database: &Database, table: &str, value: u64) {
        let writing = database.begin_write().unwrap();
        let definition = TableDefinition::<&str, u64>::new(table);
        let mut opened = writing.open_table(definition).unwrap();
        opened.insert("format", value).unwrap();
        drop(opened);
        writing.commit().unwrap();
    }

    #[test]
    fn a_store_of_another_format_is_refused() {
        let kind = error_kind_after(|database| write(database, ABOUT.name(), FORMAT + 1));
        assert_eq!(kind, FileStoreErrorKind::OtherFormat);
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        let kind = error_kind_after(|database| write(database, "theirs", FORMAT));
        assert_eq!(kind, FileStoreErrorKind::NotAStore);
    }

    #[test]
    fn a_table_with_our_name_but_other_types_is_refused() {
        let kind = error_kind_after(|database| {
            let writing = database.begin_write().unwrap();
            let definition = TableDefinition::<u64, u64>::new(ABOUT.name());
            writing.open_table(definition).unwrap();
            writing.commit().unwrap();
        });
        assert_eq!(kind, FileStoreErrorKind::NotAStore);
    }
}
