//! A temporary folder for one test.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// An empty folder. It is removed on drop.
pub(super) struct TestFolder(PathBuf);

impl TestFolder {
    pub(super) fn new() -> Self {
        let path = env::temp_dir().join(format!("mcp-session-guard-{}", Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        // Best effort: the system cleans its temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
