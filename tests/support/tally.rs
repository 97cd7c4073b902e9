//! Counts requests and their outcomes. A request without an outcome was lost.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// Requests sent and their outcomes, by client.
#[derive(Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, BTreeMap<String, u64>>>);

pub(crate) const SENT: &str = "sent";

impl Tally {
    pub(crate) fn count(&self, client: &'static str, what: &str) {
        self.add(client, what, 1);
    }

    pub(crate) fn add(&self, client: &'static str, what: &str, count: u64) {
        let mut rows = self
            .0
            .lock()
            .expect("no thread panics while it holds the lock");
        *rows
            .entry(client)
            .or_default()
            .entry(what.to_owned())
            .or_default() += count;
    }

    pub(crate) fn answered(&self, client: &'static str, status: u16, expected: &[u16]) {
        assert!(
            expected.contains(&status),
            "{client}: {expected:?}, not {status}"
        );
        self.count(client, &status.to_string());
    }

    pub(crate) fn print(&self) {
        let rows = self
            .0
            .lock()
            .expect("no thread panics while it holds the lock");
        for (client, row) in &*rows {
            let outcomes = row.iter().filter(|(what, _)| *what != SENT);
            let outcomes: Vec<_> = outcomes
                .map(|(what, count)| format!("{what}: {count}"))
                .collect();
            println!("{client:34} sent {:8}   {}", row[SENT], outcomes.join(", "));
        }
    }

    pub(crate) fn print_all(&self) {
        let rows = self
            .0
            .lock()
            .expect("no thread panics while it holds the lock");
        let all = |is_meant: fn(&str) -> bool| -> u64 {
            let rows = rows.values().flatten();
            rows.filter(|(what, _)| is_meant(what))
                .map(|(_, count)| count)
                .sum()
        };
        let (sent, settled) = (all(|what| what == SENT), all(|what| what != SENT));
        let (refused, lost) = (all(|what| what == "503"), sent - settled);
        println!("in all: sent {sent}, refused {refused}, lost {lost}");
    }

    pub(crate) fn assert_none_is_lost(&self) {
        for (client, row) in &*self
            .0
            .lock()
            .expect("no thread panics while it holds the lock")
        {
            let outcomes: u64 = row
                .iter()
                .filter(|(what, _)| *what != SENT)
                .map(|(_, count)| count)
                .sum();
            assert_eq!(outcomes, row[SENT], "{client}: some went unanswered");
        }
    }
}
