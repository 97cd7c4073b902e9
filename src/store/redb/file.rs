//! The file itself: one process's, made whole or not at all, checked before it is believed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, TableError};

use super::error::{FileStoreError, FileStoreErrorKind};
use super::tables::{self, ABOUT, FORMAT};
use crate::unwind::unless_it_panics;

/// Makes the file at this path this process's as long as what is returned lives. redb locks it too,
/// but lets go of it whenever it fails and is opened anew.
pub(super) fn locked(path: &Path) -> Result<File, FileStoreError> {
    let beside = beside(path, ".lock");
    let file = private().truncate(false).open(&beside);
    let file = file.map_err(|error| FileStoreError::new(&beside, error.into()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FileStoreError::of(FileStoreErrorKind::InUse, path)),
        Err(TryLockError::Error(error)) => Err(FileStoreError::new(&beside, error.into())),
    }
}

/// Opens what is there, or makes an empty store.
pub(super) fn open(path: &Path) -> Result<Database, FileStoreError> {
    unless_damaged(path, || match path.exists() {
        true => compacted(path),
        false => made(path),
    })
}

/// Opens what was there.
pub(super) fn reopen(path: &Path) -> Result<Database, FileStoreError> {
    unless_damaged(path, || existing(path))
}

/// redb's checks of a file panic in debug builds.
fn unless_damaged(
    path: &Path,
    open: impl FnOnce() -> Result<Database, FileStoreError>,
) -> Result<Database, FileStoreError> {
    let opened = unless_it_panics(open);
    opened.unwrap_or_else(|| Err(FileStoreError::of(FileStoreErrorKind::Damaged, path)))
}

fn existing(path: &Path) -> Result<Database, FileStoreError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|error| FileStoreError::new(path, error.into()))?;
    // redb would take it for a new one.
    if file.metadata().is_ok_and(|about| about.len() == 0) {
        return Err(FileStoreError::of(FileStoreErrorKind::Damaged, path));
    }
    checked(file, path)
}

/// Gives back what sessions of a busier time have left, where the disk has the room that this takes.
fn compacted(path: &Path) -> Result<Database, FileStoreError> {
    let mut database = existing(path)?;
    if let Some(Ok(_)) = unless_it_panics(|| database.compact()) {
        return Ok(database);
    }
    // It takes nothing more after a failure, and closing it may panic.
    let _ = unless_it_panics(|| drop(database));
    existing(path)
}

/// Makes it elsewhere first: one that is killed meanwhile must not leave half a file behind.
fn made(path: &Path) -> Result<Database, FileStoreError> {
    let draft = beside(path, ".new");
    let database = match drafted(&draft) {
        // Somebody was killed meanwhile.
        Err(error) if is_unfinished(&error) => {
            let removed = fs::remove_file(&draft);
            removed.map_err(|error| FileStoreError::new(&draft, error.into()))?;
            drafted(&draft)?
        }
        drafted => drafted?,
    };
    // The draft is locked: whoever else makes one has done so already, or comes too late.
    if path.exists() {
        drop(database);
        return compacted(path);
    }
    let renamed = fs::rename(&draft, path).and_then(|()| persist_name(path));
    renamed.map_err(|error| FileStoreError::new(path, error.into()))?;
    Ok(database)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = OsString::from(path);
    beside.push(suffix);
    beside.into()
}

fn drafted(draft: &Path) -> Result<Database, FileStoreError> {
    let file = private().truncate(false).open(draft);
    let file = file.map_err(|error| FileStoreError::new(draft, error.into()))?;
    checked(file, draft)
}

/// What is made is for its user's eyes only.
fn private() -> OpenOptions {
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

/// A power cut must not take the name away either.
fn persist_name(path: &Path) -> std::io::Result<()> {
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

fn checked(file: File, path: &Path) -> Result<Database, FileStoreError> {
    let database = opened(file).map_err(|error| FileStoreError::new(path, error))?;
    let format = format(&database).map_err(|error| FileStoreError::new(path, error))?;
    match format {
        Format::Ours => Ok(database),
        Format::Other => Err(FileStoreError::of(FileStoreErrorKind::OtherFormat, path)),
        Format::Foreign => Err(FileStoreError::of(FileStoreErrorKind::NotAStore, path)),
        Format::Empty => {
            let made = tables::make(&database);
            made.map_err(|error| FileStoreError::new(path, error))?;
            Ok(database)
        }
    }
}

fn opened(file: File) -> Result<Database, redb::Error> {
    let database = Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .create_with_backend(FileBackend::new(file)?)?;
    Ok(database)
}

enum Format {
    Empty,
    Ours,
    Other,
    Foreign,
}

fn format(database: &Database) -> Result<Format, redb::Error> {
    let reading = database.begin_read()?;
    match reading.open_table(ABOUT) {
        Ok(about) => Ok(match about.get("format")?.map(|format| format.value()) {
            Some(FORMAT) => Format::Ours,
            _ => Format::Other,
        }),
        Err(TableError::TableDoesNotExist(_)) => {
            let is_empty = reading.list_tables()?.next().is_none()
                && reading.list_multimap_tables()?.next().is_none();
            Ok(match is_empty {
                true => Format::Empty,
                false => Format::Foreign,
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Bytes of memory: more than most files ever have.
const CACHE: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use redb::{TableDefinition, TableHandle};

    use super::super::test_folder::TestFolder;
    use super::*;

    fn refused(fill: impl FnOnce(&Database)) -> FileStoreErrorKind {
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
        let kind = refused(|database| write(database, ABOUT.name(), FORMAT + 1));
        assert_eq!(kind, FileStoreErrorKind::OtherFormat);
    }

    #[test]
    fn a_database_of_somebody_else_is_refused() {
        let kind = refused(|database| write(database, "theirs", FORMAT));
        assert_eq!(kind, FileStoreErrorKind::NotAStore);
    }

    #[test]
    fn a_table_of_our_name_with_other_types_is_refused() {
        let kind = refused(|database| {
            let writing = database.begin_write().unwrap();
            let definition = TableDefinition::<u64, u64>::new(ABOUT.name());
            writing.open_table(definition).unwrap();
            writing.commit().unwrap();
        });
        assert_eq!(kind, FileStoreErrorKind::NotAStore);
    }
}
