//! The tests that every [`McpSessionStore`] must pass (feature `test-util`).
//!
//! ```
//! use mcp_session_guard::store::{MemoryStore, conformance};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // Two handles to one store, as two processes have them.
//! let store = MemoryStore::new();
//! conformance::check(&store, &store.clone()).await;
//! # }
//! ```
//!
//! Each run creates new keys, so the store need not be empty. The tests wait up to one second, by tokio's
//! clock, for a session that expires by the store's clock. Pause tokio's clock only if the store uses it
//! too.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{
    McpSessionStore, NewSession, Refresh, SessionKey, StoreError, StoreEvent, StoreEvents,
};

/// Checks [all] cases, one after another.
///
/// # Panics
///
/// Panics if the store fails a case. The message begins with the name of the case.
pub async fn check(one: &dyn McpSessionStore, other: &dyn McpSessionStore) {
    for case in all() {
        case.check(one, other).await;
    }
}

/// Returns all cases, for harnesses that show each one as a separate test.
#[must_use]
pub fn all() -> Vec<Case> {
    macro_rules! cases {
        ($($name:ident)*) => {
            vec![$(Case {
                name: stringify!($name),
                run: |stores| Box::pin($name(stores)),
            }),*]
        };
    }
    cases! {
        a_created_session_loads_through_both_handles
        a_key_that_was_never_created_loads_none
        create_does_not_overwrite_a_session
        one_of_many_concurrent_creates_of_a_key_succeeds
        one_of_many_concurrent_creates_succeeds_after_the_owner_was_removed
        scopes_ids_and_owners_with_special_characters_stay_separate
        a_session_expires_and_its_key_is_free_again
        a_refresh_postpones_the_expiry_and_never_shortens_it
        a_refresh_answers_in_order_and_restores_no_session
        a_removed_session_loads_through_no_handle
        remove_owner_ends_only_that_owners_sessions_in_every_scope
        remove_owner_does_not_end_later_sessions
        a_reused_key_ends_with_its_latest_owner_only
        every_end_is_announced_before_the_next_heartbeat
        heartbeats_come_three_times_per_lease_and_are_fresh
        a_cancelled_call_leaves_the_store_usable
        debug_shows_no_id
    }
}

/// One sentence of the contract, with its check.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    run: for<'a> fn(Stores<'a>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

impl Case {
    /// Returns the sentence, its words joined by underscores.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Checks the case with two handles to one store, as two processes have them.
    ///
    /// # Panics
    ///
    /// Panics if the store fails the case, or does not answer within 30 seconds.
    pub async fn check(&self, one: &dyn McpSessionStore, other: &dyn McpSessionStore) {
        let name = self.name;
        let checked = timeout(TIME_LIMIT, (self.run)(Stores { name, one, other }));
        assert!(
            checked.await.is_ok(),
            "{name}: the store did not answer in time"
        );
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

async fn a_created_session_loads_through_both_handles(stores: Stores<'_>) {
    let key = key("");
    let largest: Vec<u8> = (0..8 << 10).map(|byte: u32| byte as u8).collect();
    stores.created(stores.create(&key, &largest, None).await);
    stores.is(stores.one.load(&key).await, Some(largest.clone()));
    stores.is(stores.other.load(&key).await, Some(largest));
}

async fn a_key_that_was_never_created_loads_none(stores: Stores<'_>) {
    stores.is(stores.one.load(&key("")).await, None);
}

async fn create_does_not_overwrite_a_session(stores: Stores<'_>) {
    let key = key("");
    stores.created(stores.create(&key, b"first", None).await);
    let again = stores.other.create(new(&key, b"second", None, LONG)).await;
    stores.is(again, false);
    stores.is(stores.one.load(&key).await, Some(b"first".to_vec()));
}

async fn one_of_many_concurrent_creates_of_a_key_succeeds(stores: Stores<'_>) {
    let key = key("");
    let creations = (0..20_usize).map(|number| {
        let store = [stores.one, stores.other][number % 2];
        store.create(new(&key, b"x", None, LONG))
    });
    let created = join_all(creations).await;
    let created = created.iter().filter(|created| matches!(created, Ok(true)));
    stores.that(created.count() == 1, "not exactly one of twenty succeeded");
}

async fn one_of_many_concurrent_creates_succeeds_after_the_owner_was_removed(stores: Stores<'_>) {
    let (alice, key) = (owner(), key(""));
    stores.created(stores.create(&key, b"old", Some(&alice)).await);
    stores.done(stores.one.remove_owner(&alice).await);
    let values: Vec<[u8; 1]> = (0..20).map(|number| [number]).collect();
    let creations = values.iter().enumerate().map(|(number, value)| {
        let store = [stores.one, stores.other][number % 2];
        let owner = [None, Some(&*alice)][number / 2 % 2];
        store.create(new(&key, value, owner, LONG))
    });
    let created = join_all(creations).await;
    let stored = created.iter().zip(&values);
    let stored = stored.filter(|(created, _)| matches!(created, Ok(true)));
    let stored: Vec<Vec<u8>> = stored.map(|(_, value)| value.to_vec()).collect();
    stores.that(stored.len() == 1, "not exactly one of twenty succeeded");
    stores.is(stores.one.load(&key).await, stored.first().cloned());
}

async fn scopes_ids_and_owners_with_special_characters_stay_separate(stores: Stores<'_>) {
    let run = Uuid::new_v4();
    let ids = [
        "", ":", "}", "{", "*", "?", "[a]", "'", "\"", "\\", "%", ":x",
    ];
    let owners = [
        "a",
        "a:",
        "A",
        "*",
        "[\"a\",\"b\"]",
        "ä\u{1F511}",
        "a\nb",
        "a\0b",
        "",
    ];
    let mut keys = Vec::new();
    for scope in ["", "a", "a.", "A"] {
        for (number, id) in ids.into_iter().enumerate() {
            let key = SessionKey::new(scope, format!("{run}{id}"));
            let owner = format!("{run}{}", owners[number % owners.len()]);
            let value = format!("{scope} {number}").into_bytes();
            let created = stores.create(&key, &value, Some(&owner)).await;
            stores.created(created);
            keys.push((key, owner, value));
        }
    }
    for (key, _, value) in &keys {
        stores.is(stores.other.load(key).await, Some(value.clone()));
    }
    let removed = format!("{run}*");
    stores.done(stores.one.remove_owner(&removed).await);
    for (key, owner, value) in keys {
        let left = (owner != removed).then_some(value);
        stores.is(stores.other.load(&key).await, left);
    }
}

async fn a_session_expires_and_its_key_is_free_again(stores: Stores<'_>) {
    let key = key("");
    let short = new(&key, b"first", Some("owner"), SHORT);
    stores.created(stores.one.create(short).await);
    sleep(SHORT * 2).await;
    stores.is(stores.other.load(&key).await, None);
    stores.created(stores.other.create(new(&key, b"second", None, LONG)).await);
    stores.is(stores.one.load(&key).await, Some(b"second".to_vec()));
}

async fn a_refresh_postpones_the_expiry_and_never_shortens_it(stores: Stores<'_>) {
    let [postponed, not_shortened] = [key(""), key("")];
    stores.created(stores.one.create(new(&postponed, b"x", None, SHORT)).await);
    stores.created(
        stores
            .one
            .create(new(&not_shortened, b"y", None, LONG))
            .await,
    );
    let both = [refresh(&postponed, LONG), refresh(&not_shortened, SHORT)];
    let refreshed = stores.other.refresh(&both);
    stores.is(refreshed.await, vec![true, true]);
    sleep(SHORT * 2).await;
    stores.is(stores.one.load(&postponed).await, Some(b"x".to_vec()));
    stores.is(stores.one.load(&not_shortened).await, Some(b"y".to_vec()));
}

async fn a_refresh_answers_in_order_and_restores_no_session(stores: Stores<'_>) {
    let [first, removed, unknown, last] = [key("a"), key("a"), key("b"), key("")];
    for key in [&first, &removed, &last] {
        stores.created(stores.create(key, b"x", None).await);
    }
    stores.done(stores.other.remove(&removed).await);
    let all = [&first, &removed, &unknown, &last].map(|key| refresh(key, LONG));
    stores.is(
        stores.one.refresh(&all).await,
        vec![true, false, false, true],
    );
    stores.is(stores.one.refresh(&[]).await, vec![]);
    stores.is(stores.one.load(&removed).await, None);
    stores.is(stores.one.load(&unknown).await, None);
}

async fn a_removed_session_loads_through_no_handle(stores: Stores<'_>) {
    let key = key("a");
    stores.created(stores.create(&key, b"x", Some("owner")).await);
    stores.done(stores.other.remove(&key).await);
    stores.is(stores.one.load(&key).await, None);
    stores.is(stores.other.load(&key).await, None);
    // This is not an error: a process may know a session that the store does not know.
    stores.done(stores.other.remove(&key).await);
    stores.created(stores.create(&key, b"y", None).await);
}

async fn remove_owner_ends_only_that_owners_sessions_in_every_scope(stores: Stores<'_>) {
    let [alice, bob] = [owner(), owner()];
    let (here, there, bobs, anonymous) = (key(""), key("a"), key("a"), key(""));
    for (key, owner) in [
        (&here, Some(&alice)),
        (&there, Some(&alice)),
        (&bobs, Some(&bob)),
        (&anonymous, None),
    ] {
        let created = stores.create(key, b"x", owner.map(String::as_str)).await;
        stores.created(created);
    }
    stores.done(stores.other.remove_owner(&alice).await);
    stores.is(stores.one.load(&here).await, None);
    stores.is(stores.one.load(&there).await, None);
    stores.is(stores.one.load(&bobs).await, Some(b"x".to_vec()));
    stores.is(stores.one.load(&anonymous).await, Some(b"x".to_vec()));
    stores.done(stores.one.remove_owner(&owner()).await);
}

async fn remove_owner_does_not_end_later_sessions(stores: Stores<'_>) {
    let (alice, key) = (owner(), key(""));
    stores.created(stores.create(&key, b"x", Some(&alice)).await);
    stores.done(stores.one.remove_owner(&alice).await);
    stores.created(stores.create(&key, b"y", Some(&alice)).await);
    stores.is(stores.other.load(&key).await, Some(b"y".to_vec()));
    // The store still knows that the session belongs to the owner.
    stores.done(stores.other.remove_owner(&alice).await);
    stores.is(stores.one.load(&key).await, None);
}

async fn a_reused_key_ends_with_its_latest_owner_only(stores: Stores<'_>) {
    let (alice, bob) = (owner(), owner());
    let [removed, expired] = [key(""), key("")];
    stores.created(stores.create(&removed, b"x", Some(&alice)).await);
    let short = new(&expired, b"x", Some(&alice), SHORT);
    stores.created(stores.one.create(short).await);
    stores.done(stores.one.remove(&removed).await);
    sleep(SHORT * 2).await;
    for key in [&removed, &expired] {
        stores.created(stores.create(key, b"y", Some(&bob)).await);
    }
    stores.done(stores.other.remove_owner(&alice).await);
    for key in [&removed, &expired] {
        stores.is(stores.one.load(key).await, Some(b"y".to_vec()));
    }
    stores.done(stores.other.remove_owner(&bob).await);
    for key in [&removed, &expired] {
        stores.is(stores.one.load(key).await, None);
    }
}

async fn every_end_is_announced_before_the_next_heartbeat(stores: Stores<'_>) {
    let Some(mut ends) = stores.subscribe(stores.one).await else {
        return;
    };
    let (alice, key, unknown, own) = (owner(), key("a"), key(""), key("b"));
    stores.created(stores.create(&key, b"x", Some(&alice)).await);
    stores.done(stores.other.remove(&key).await);
    stores.done(stores.other.remove(&unknown).await);
    stores.done(stores.one.remove(&own).await);
    stores.done(stores.other.remove_owner(&alice).await);
    let after_the_ends = Instant::now();
    let (mut ended, mut owners) = (Vec::new(), Vec::new());
    loop {
        match stores.next(&mut ends).await {
            StoreEvent::Heartbeat { as_of } if as_of >= after_the_ends => break,
            StoreEvent::Heartbeat { .. } => {}
            StoreEvent::Ended(key) => ended.push(key),
            StoreEvent::OwnerEnded(owner) => owners.push(owner),
        }
    }
    for key in [key, unknown, own] {
        stores.that(
            ended.contains(&key),
            "the end of a session was not announced",
        );
    }
    let is_announced = owners.iter().any(|owner| **owner == *alice);
    stores.that(
        is_announced,
        "the end of an owner's sessions was not announced",
    );
}

async fn heartbeats_come_three_times_per_lease_and_are_fresh(stores: Stores<'_>) {
    let asked = Instant::now();
    let Some(mut ends) = stores.subscribe(stores.one).await else {
        return;
    };
    let began = Instant::now();
    let mut heartbeats = 0;
    let mut newest = asked;
    while heartbeats < 6 {
        if let StoreEvent::Heartbeat { as_of } = stores.next(&mut ends).await {
            stores.that(
                as_of >= newest,
                "a heartbeat is older than the previous one",
            );
            stores.that(as_of <= Instant::now(), "a heartbeat is in the future");
            newest = as_of;
            heartbeats += 1;
        }
    }
    // Six heartbeats take two leases. The third lease is a reserve for a busy machine.
    stores.that(began.elapsed() <= LEASE * 3, "heartbeats come too late");
}

async fn a_cancelled_call_leaves_the_store_usable(stores: Stores<'_>) {
    let (alice, key) = (owner(), key(""));
    for _ in 0..50 {
        let session = new(&key, b"x", Some(&alice), LONG);
        let _ = stores.one.create(session).now_or_never();
        let _ = stores.one.load(&key).now_or_never();
        let _ = stores.one.refresh(&[refresh(&key, LONG)]).now_or_never();
        let _ = stores.one.remove(&key).now_or_never();
        let _ = stores.one.remove_owner(&alice).now_or_never();
    }
    stores.done(stores.one.remove(&key).await);
    let other = self::key("");
    stores.created(stores.create(&other, b"y", Some(&alice)).await);
    stores.is(stores.one.load(&other).await, Some(b"y".to_vec()));
}

async fn debug_shows_no_id(stores: Stores<'_>) {
    let key = key("");
    stores.created(stores.create(&key, b"a secret", Some("an owner")).await);
    let shown = format!("{:?}", stores.one);
    for secret in [key.id(), "a secret", "an owner"] {
        stores.that(!shown.contains(secret), "Debug shows a secret");
    }
}

/// Two handles to one store, and the name of the case under test.
#[derive(Clone, Copy)]
struct Stores<'a> {
    name: &'static str,
    one: &'a dyn McpSessionStore,
    other: &'a dyn McpSessionStore,
}

impl Stores<'_> {
    async fn create(
        &self,
        key: &SessionKey,
        value: &[u8],
        owner: Option<&str>,
    ) -> Result<bool, StoreError> {
        self.one.create(new(key, value, owner, LONG)).await
    }

    /// Returns the stream of ends from now on, or `None` if the store has none.
    async fn subscribe(&self, store: &dyn McpSessionStore) -> Option<StoreEvents> {
        match store.subscribe(LEASE)?.await {
            Ok(ends) => Some(ends),
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    async fn next(&self, ends: &mut StoreEvents) -> StoreEvent {
        match ends.next().await {
            Some(Ok(event)) => event,
            Some(Err(error)) => panic!("{}: {error}", self.name),
            None => panic!("{}: the stream of ends ended", self.name),
        }
    }

    fn created(&self, answer: Result<bool, StoreError>) {
        self.is(answer, true);
    }

    fn done(&self, answer: Result<(), StoreError>) {
        self.is(answer, ());
    }

    fn is<T: PartialEq + fmt::Debug>(&self, answer: Result<T, StoreError>, expected: T) {
        let answer = answer.map_err(|error| error.to_string());
        assert_eq!(answer, Ok(expected), "{}", self.name);
    }

    fn that(&self, is_so: bool, otherwise: &str) {
        assert!(is_so, "{}: {otherwise}", self.name);
    }
}

fn key(scope: &str) -> SessionKey {
    SessionKey::new(scope, Uuid::new_v4().to_string())
}

fn owner() -> String {
    format!("[\"issuer\",\"{}\"]", Uuid::new_v4())
}

fn new<'a>(
    key: &'a SessionKey,
    value: &'a [u8],
    owner: Option<&'a str>,
    expires_in: Duration,
) -> NewSession<'a> {
    NewSession {
        key,
        value,
        owner,
        expires_in,
    }
}

fn refresh(key: &SessionKey, expires_in: Duration) -> Refresh {
    Refresh {
        key: key.clone(),
        expires_in,
    }
}

const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_millis(1500);
const TIME_LIMIT: Duration = Duration::from_secs(30);
