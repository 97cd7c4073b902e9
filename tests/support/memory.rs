//! Reads the memory and the open files of this process from `/proc`, where it exists.

use std::fs;
use std::time::Duration;

/// Compares the memory in use with the memory in use after warm-up.
pub(crate) struct Memory {
    settled_kib: Option<u64>,
}

impl Memory {
    pub(crate) fn settled() -> Self {
        Self {
            settled_kib: resident_kib(),
        }
    }

    pub(crate) fn print(&self) {
        println!(
            "VmRSS: {:?} KiB after a quarter, {:?} KiB after all",
            self.settled_kib,
            resident_kib()
        );
    }

    /// Asserts that memory has not grown by 64 MiB. Runs shorter than a minute are not measured.
    pub(crate) fn assert_stable_over(&self, time: Duration) {
        if time >= Duration::from_secs(60) {
            let grown = resident_kib()
                .zip(self.settled_kib)
                .map(|(end, settled)| end.saturating_sub(settled));
            assert!(
                grown.is_none_or(|kib| kib < 64 << 10),
                "grown by {grown:?} KiB"
            );
        }
    }
}

pub(crate) fn open_files() -> Option<usize> {
    fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}

fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
