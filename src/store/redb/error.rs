//! What keeps a file from being a store.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// Why a [`FileStore`](super::FileStore) can not be opened.
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

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> FileStoreErrorKind {
        self.kind
    }
}

impl fmt::Display for FileStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FileStoreErrorKind::Damaged => "it is damaged",
            FileStoreErrorKind::InUse => "another process has it open",
            FileStoreErrorKind::Io => "it can not be read or written",
            FileStoreErrorKind::NotAStore => "it is no session store",
            FileStoreErrorKind::OtherFormat => "it was written by another version",
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
        // Its text is in this one's.
        self.source.as_deref().and_then(Error::source)
    }
}

/// The kinds of [`FileStoreError`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FileStoreErrorKind {
    /// The file has been altered, or cut off. Its sessions are lost: move it away.
    Damaged,
    /// Another process, or this one, has it open.
    InUse,
    /// The operating system refuses: no such folder, no permission, no room.
    Io,
    /// The file is something else. It is left as it is.
    NotAStore,
    /// It is a store that another version of this crate, or of its library, has written.
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
