//! The names and versions of clients, each stored once.

use std::collections::HashSet;
use std::sync::Arc;

use crate::session::Client;

/// Clients by name and version, so that a thousand sessions of one client store its name once.
#[derive(Default)]
pub(super) struct Clients {
    known: HashSet<Arc<Client>>,
    /// The client that was asked for last. Most sessions open for the same client as the session
    /// before.
    latest: Option<Arc<Client>>,
    /// The size at which the set drops clients that no session uses.
    purge_at: usize,
}

impl Clients {
    pub(super) fn intern(&mut self, name: Option<&str>, version: Option<&str>) -> Arc<Client> {
        let is_asked = |client: &&Arc<Client>| {
            client.name.as_deref() == name && client.version.as_deref() == version
        };
        match self.latest.as_ref().filter(is_asked) {
            Some(latest) => latest.clone(),
            None => {
                let known = self.look_up(Client {
                    name: name.map(Box::from),
                    version: version.map(Box::from),
                });
                self.latest = Some(known.clone());
                known
            }
        }
    }

    fn look_up(&mut self, client: Client) -> Arc<Client> {
        if let Some(known) = self.known.get(&client) {
            return known.clone();
        }
        if self.known.len() >= self.purge_at {
            self.known.retain(|client| Arc::strong_count(client) > 1);
            self.purge_at = (self.known.len() * 2).max(64);
        }
        let client = Arc::new(client);
        self.known.insert(client.clone());
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(clients: &mut Clients, name: usize) -> Arc<Client> {
        clients.intern(Some(&name.to_string()), Some("1"))
    }

    #[test]
    fn a_client_is_stored_once_as_long_as_a_session_uses_it() {
        let mut clients = Clients::default();
        let used: Vec<_> = (0..100).map(|name| intern(&mut clients, name)).collect();
        for name in 100..1_000 {
            let client = intern(&mut clients, name);
            assert_eq!(client.name.as_deref(), Some(&*name.to_string()));
            assert_eq!(client.version.as_deref(), Some("1"));
            // The set has at most one client without a session for each client with one.
            assert!(clients.known.len() <= 2 * 101, "{name}");
        }
        for (name, client) in used.iter().enumerate() {
            assert!(Arc::ptr_eq(&intern(&mut clients, name), client));
        }
    }

    #[test]
    fn another_version_is_another_client() {
        let mut clients = Clients::default();
        let [one, two] = ["1", "2"].map(|version| clients.intern(Some("a"), Some(version)));
        assert!(!Arc::ptr_eq(&one, &two));
        assert_eq!(two.version.as_deref(), Some("2"));
    }
}
