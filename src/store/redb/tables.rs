//! The tables of the file: sessions by key, and keys by owner.

use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, WriteTransaction,
};

use super::clock::millis;
use crate::store::{Refresh, SessionKey};

/// About the file: its `format`, and the latest `time` that it has recorded.
pub(super) const ABOUT: TableDefinition<'static, &str, u64> =
    TableDefinition::new("mcp-session-guard");
/// The version of the format. It changes whenever an older version would misread the file.
pub(super) const FORMAT: u64 = 1;

/// The sessions. The key is the scope and the id. The row has the expiry, whether the session has an
/// owner, the owner, and the value.
const SESSIONS: TableDefinition<'static, Key, Row> = TableDefinition::new("sessions");
type Key = (&'static str, &'static str);
type Row = (u64, bool, &'static str, &'static [u8]);
/// The sessions with an owner: the owner, then the key of the session.
const OWNERS: TableDefinition<'static, Owned, ()> = TableDefinition::new("owners");
type Owned = (&'static str, &'static str, &'static str);

/// Creates the tables of an empty store in an empty database.
pub(super) fn make(database: &Database) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    writing.open_table(ABOUT)?.insert("format", FORMAT)?;
    writing.open_table(SESSIONS)?;
    writing.open_table(OWNERS)?;
    Ok(writing.commit()?)
}

/// Returns the latest time that the file has recorded.
pub(super) fn recorded_time(database: &Database) -> Result<u64, redb::Error> {
    let about = database.begin_read()?.open_table(ABOUT)?;
    let time = about.get("time")?.map(|time| time.value());
    Ok(time.unwrap_or_default())
}

/// Records a time in the file.
pub(super) fn record_time(writing: &WriteTransaction, now: u64) -> Result<(), redb::Error> {
    writing.open_table(ABOUT)?.insert("time", now)?;
    Ok(())
}

/// The urgency of a change: how soon it must be on the disk.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Urgency {
    /// There is no change.
    Unchanged,
    /// The change may be lost if the process dies within a second.
    Soon,
    /// The change must be on the disk before its answer.
    Now,
}

/// A view of the sessions at one moment. It writes nothing, so it also works on a full disk.
pub(super) struct Reading {
    sessions: ReadOnlyTable<Key, Row>,
    now: u64,
}

impl Reading {
    pub(super) fn open(database: &Database, now: u64) -> Result<Self, redb::Error> {
        let sessions = database.begin_read()?.open_table(SESSIONS)?;
        Ok(Self { sessions, now })
    }

    pub(super) fn load(&self, key: &SessionKey) -> Result<Option<Vec<u8>>, redb::Error> {
        let row = self.sessions.get((key.scope(), key.id()))?;
        let value = row.and_then(|row| {
            let (expires, _, _, value) = row.value();
            (self.now < expires).then(|| value.to_owned())
        });
        Ok(value)
    }
}

/// The tables at one moment, in a transaction that changes them.
pub(super) struct Tables<'t> {
    sessions: Table<'t, Key, Row>,
    owners: Table<'t, Owned, ()>,
    /// The time of the transaction, by the clock of the store.
    pub(super) now: u64,
    urgency: Urgency,
}

/// The last key that [`Tables::purge`] has looked at.
pub(super) type Cursor = (String, String);

impl<'t> Tables<'t> {
    pub(super) fn open(writing: &'t WriteTransaction, now: u64) -> Result<Self, redb::Error> {
        Ok(Self {
            sessions: writing.open_table(SESSIONS)?,
            owners: writing.open_table(OWNERS)?,
            now,
            urgency: Urgency::Unchanged,
        })
    }

    /// Returns the highest urgency of all changes so far.
    pub(super) fn urgency(&self) -> Urgency {
        self.urgency
    }

    pub(super) fn len(&self) -> Result<u64, redb::Error> {
        Ok(self.sessions.len()?)
    }

    /// Stores a session, unless its key is taken. Returns whether it stored the session.
    pub(super) fn create(
        &mut self,
        key: &SessionKey,
        value: &[u8],
        owner: Option<&str>,
        expires_in: Duration,
    ) -> Result<bool, redb::Error> {
        if self.expiry(key)?.is_some() {
            return Ok(false);
        }
        // An expired session may still have the key.
        self.take(key.scope(), key.id())?;
        let expires = self.expiry_after(expires_in);
        let row = (expires, owner.is_some(), owner.unwrap_or_default(), value);
        self.sessions.insert((key.scope(), key.id()), row)?;
        if let Some(owner) = owner {
            self.owners.insert((owner, key.scope(), key.id()), ())?;
        }
        self.raise_urgency(Urgency::Now);
        Ok(true)
    }

    /// Postpones the expiry of a session. Returns whether the session exists.
    pub(super) fn refresh(&mut self, session: &Refresh) -> Result<bool, redb::Error> {
        let key = &session.key;
        let Some(expiry) = self.expiry(key)? else {
            return Ok(false);
        };
        let expires = self.expiry_after(session.expires_in);
        if expires > expiry {
            let row = self.sessions.remove((key.scope(), key.id()))?;
            let row = row.map(|row| {
                let (_, is_owned, owner, value) = row.value();
                (is_owned, owner.to_owned(), value.to_owned())
            });
            if let Some((is_owned, owner, value)) = row {
                let row = (expires, is_owned, &*owner, &*value);
                self.sessions.insert((key.scope(), key.id()), row)?;
                self.raise_urgency(Urgency::Soon);
            }
        }
        Ok(true)
    }

    pub(super) fn remove(&mut self, key: &SessionKey) -> Result<(), redb::Error> {
        if self.take(key.scope(), key.id())? {
            self.raise_urgency(Urgency::Now);
        }
        Ok(())
    }

    pub(super) fn remove_owner(&mut self, owner: &str) -> Result<(), redb::Error> {
        let mut keys = Vec::new();
        for entry in self.owners.range((owner, "", "")..)? {
            let (key, _) = entry?;
            let (of, scope, id) = key.value();
            if of != owner {
                break;
            }
            keys.push((scope.to_owned(), id.to_owned()));
        }
        for (scope, id) in keys {
            self.take(&scope, &id)?;
            self.raise_urgency(Urgency::Now);
        }
        Ok(())
    }

    /// Removes the expired sessions among the next `most` sessions after `after`. Returns where to
    /// continue, or `None` after the last session.
    pub(super) fn purge(
        &mut self,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Option<Cursor>, redb::Error> {
        let begin = match after {
            Some((scope, id)) => Excluded((&**scope, &**id)),
            None => Unbounded,
        };
        let mut expired = Vec::new();
        let mut last = None;
        let mut seen = 0;
        for entry in self
            .sessions
            .range::<(&str, &str)>((begin, Unbounded))?
            .take(most)
        {
            let (key, row) = entry?;
            let (scope, id) = key.value();
            let key = (scope.to_owned(), id.to_owned());
            if row.value().0 <= self.now {
                expired.push(key.clone());
            }
            last = Some(key);
            seen += 1;
        }
        for (scope, id) in expired {
            self.take(&scope, &id)?;
            self.raise_urgency(Urgency::Soon);
        }
        Ok(last.filter(|_| seen == most))
    }

    /// Returns when a session expires. Returns `None` if there is none, or it has expired.
    fn expiry(&self, key: &SessionKey) -> Result<Option<u64>, redb::Error> {
        let row = self.sessions.get((key.scope(), key.id()))?;
        let expiry = row.map(|row| row.value().0);
        Ok(expiry.filter(|expires| self.now < *expires))
    }

    /// Removes a session, expired or not, with its entry in `owners`. Returns whether there was one.
    fn take(&mut self, scope: &str, id: &str) -> Result<bool, redb::Error> {
        let owner = match self.sessions.remove((scope, id))? {
            None => return Ok(false),
            Some(row) => {
                let (_, is_owned, owner, _) = row.value();
                is_owned.then(|| owner.to_owned())
            }
        };
        if let Some(owner) = owner {
            self.owners.remove((&*owner, scope, id))?;
        }
        Ok(true)
    }

    fn expiry_after(&self, duration: Duration) -> u64 {
        self.now.saturating_add(millis(duration))
    }

    fn raise_urgency(&mut self, urgency: Urgency) {
        self.urgency = self.urgency.max(urgency);
    }
}
