//! What this process holds of the system, where that tells.

use std::fs;
use std::time::Duration;

/// Memory in use since it has settled.
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

    /// A shorter run tells nothing.
    pub(crate) fn assert_kept_over(&self, time: Duration) {
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
