//! The errors of opening a store file.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// Why a [`FileStore`](super::FileStore) cannot be opened.
#[derive(Debug)]
pub struct FileStoreError {
    kind: FileStoreErrorKind,
    path: Box<Path>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl FileStoreError {
    pub(super) fn new(path: &Path, source: redb::Error) -> Self {
        Self {
            kind: kind(&source),
            path: path.into(),
            source: Some(source.into()),
        }
    }

    pub(super) fn of(kind: FileStoreErrorKind, path: &Path) -> Self {
        Self {
            kind,
            path: path.into(),
            source: None,
        }
    }

    /// Returns the kind of error.
    #[must_use]
    pub fn kind(&self) -> FileStoreErrorKind {
        self.kind
    }
}

impl fmt::Display for FileStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FileStoreErrorKind::Damaged => {
                "the file is damaged (move it away if it can no longer be opened)"
            }
            FileStoreErrorKind::InUse => "another process has it open",
            FileStoreErrorKind::Io => "the file cannot be read or written",
            FileStoreErrorKind::NotAStore => "the file is no session store (choose another path)",
            FileStoreErrorKind::OtherFormat => {
                "another version of this crate or of redb wrote the file (use that version, or move the file away)"
            }
        };
        write!(f, "{}: {what}", self.path.display())?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for FileStoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // `Display` shows the text of `source` already.
        self.source.as_deref().and_then(Error::source)
    }
}

/// The kinds of [`FileStoreError`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FileStoreErrorKind {
    /// The file was altered or truncated. Its sessions are lost. Move the file away.
    Damaged,
    /// Another process, or this one, has the file open.
    InUse,
    /// The operating system refuses access: no such folder, no permission, or no room.
    Io,
    /// The file is no session store. It stays as it is.
    NotAStore,
    /// Another version of this crate, or of redb, wrote the store.
    OtherFormat,
}

fn kind(error: &redb::Error) -> FileStoreErrorKind {
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            FileStoreErrorKind::InUse
        }
        redb::Error::UpgradeRequired(_) => FileStoreErrorKind::OtherFormat,
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            FileStoreErrorKind::NotAStore
        }
        redb::Error::Io(_) | redb::Error::PreviousIo => FileStoreErrorKind::Io,
        redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => FileStoreErrorKind::NotAStore,
        _ => FileStoreErrorKind::Damaged,
    }
}
