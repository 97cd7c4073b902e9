//! What is in the file: sessions by key, keys by owner.

use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, WriteTransaction,
};

use super::clock::millis;
use crate::store::{Refresh, SessionKey};

/// What the file is: its `format`, and the latest `time` that it has seen.
pub(super) const ABOUT: TableDefinition<'static, &str, u64> =
    TableDefinition::new("mcp-session-guard");
/// Changes whenever an older reader would misread what is written.
pub(super) const FORMAT: u64 = 1;

/// A session's key, its scope first; when it expires, whether it has an owner, its owner, its value.
const SESSIONS: TableDefinition<'static, Key, Row> = TableDefinition::new("sessions");
type Key = (&'static str, &'static str);
type Row = (u64, bool, &'static str, &'static [u8]);
/// Each session that has an owner: the owner first, then the key.
const OWNERS: TableDefinition<'static, Owned, ()> = TableDefinition::new("owners");
type Owned = (&'static str, &'static str, &'static str);

/// Makes an empty store of an empty database.
pub(super) fn make(database: &Database) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    writing.open_table(ABOUT)?.insert("format", FORMAT)?;
    writing.open_table(SESSIONS)?;
    writing.open_table(OWNERS)?;
    Ok(writing.commit()?)
}

/// The latest time that the file has seen.
pub(super) fn time_seen(database: &Database) -> Result<u64, redb::Error> {
    let about = database.begin_read()?.open_table(ABOUT)?;
    let time = about.get("time")?.map(|time| time.value());
    Ok(time.unwrap_or_default())
}

/// Writes down the latest time that the file has seen.
pub(super) fn see_time(writing: &WriteTransaction, now: u64) -> Result<(), redb::Error> {
    writing.open_table(ABOUT)?.insert("time", now)?;
    Ok(())
}

/// How soon a change must be on the disk.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Urgency {
    /// There is none.
    Unchanged,
    /// It may be lost if the process dies within a second.
    Soon,
    /// Before it is answered.
    Now,
}

/// The sessions at one moment, for those who write nothing: no disk is too full for them.
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

/// The tables at one moment, to be changed.
pub(super) struct Tables<'t> {
    sessions: Table<'t, Key, Row>,
    owners: Table<'t, Owned, ()>,
    /// When they are read and written, by the store's clock.
    pub(super) now: u64,
    urgency: Urgency,
}

/// The last key that a search for what has expired has seen.
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

    /// Of all that was done.
    pub(super) fn urgency(&self) -> Urgency {
        self.urgency
    }

    pub(super) fn len(&self) -> Result<u64, redb::Error> {
        Ok(self.sessions.len()?)
    }

    /// Whether it was free.
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
        // One that has expired, with its owner's entry.
        self.take(key.scope(), key.id())?;
        let expires = self.in_time(expires_in);
        let row = (expires, owner.is_some(), owner.unwrap_or_default(), value);
        self.sessions.insert((key.scope(), key.id()), row)?;
        if let Some(owner) = owner {
            self.owners.insert((owner, key.scope(), key.id()), ())?;
        }
        self.urge(Urgency::Now);
        Ok(true)
    }

    /// Whether it is still there.
    pub(super) fn refresh(&mut self, session: &Refresh) -> Result<bool, redb::Error> {
        let key = &session.key;
        let Some(expiry) = self.expiry(key)? else {
            return Ok(false);
        };
        let expires = self.in_time(session.expires_in);
        if expires > expiry {
            let row = self.sessions.remove((key.scope(), key.id()))?;
            let row = row.map(|row| {
                let (_, is_owned, owner, value) = row.value();
                (is_owned, owner.to_owned(), value.to_owned())
            });
            if let Some((is_owned, owner, value)) = row {
                let row = (expires, is_owned, &*owner, &*value);
                self.sessions.insert((key.scope(), key.id()), row)?;
                self.urge(Urgency::Soon);
            }
        }
        Ok(true)
    }

    pub(super) fn remove(&mut self, key: &SessionKey) -> Result<(), redb::Error> {
        if self.take(key.scope(), key.id())? {
            self.urge(Urgency::Now);
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
            self.urge(Urgency::Now);
        }
        Ok(())
    }

    /// Removes what has expired among the next so many sessions. Begins anew after the last.
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
            self.urge(Urgency::Soon);
        }
        Ok(last.filter(|_| seen == most))
    }

    /// When it expires, if it has not.
    fn expiry(&self, key: &SessionKey) -> Result<Option<u64>, redb::Error> {
        let row = self.sessions.get((key.scope(), key.id()))?;
        let expiry = row.map(|row| row.value().0);
        Ok(expiry.filter(|expires| self.now < *expires))
    }

    /// Takes a session out, expired or not. Whether there was one.
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

    fn in_time(&self, duration: Duration) -> u64 {
        self.now.saturating_add(millis(duration))
    }

    fn urge(&mut self, urgency: Urgency) {
        self.urgency = self.urgency.max(urgency);
    }
}
