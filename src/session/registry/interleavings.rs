//! Explores with loom every interleaving of what may happen to one session at the same moment: the
//! state word, the slots, the map, the owner's list, the notifier. `tests/interleave` runs it.
//!
//! Nothing here sweeps: a sweep reads atomics under a lock of the map, which loom cannot wait for.

use std::future::Future;
use std::pin::pin;
use std::sync::{
    self, Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::current;
use std::time::Duration;

use loom::thread::{Builder as Thread, JoinHandle};

use super::*;
use crate::session::SessionEvent;
use crate::session::lazy::Watch;
use crate::session::{InFlight, StreamKind, StreamSlot};
use crate::sync::atomic::Ordering::Release;

/// An action that may end a session, and others. Returns the entries that it saw: loom does not know
/// that dropping the last `Arc` frees an entry.
type Act = fn(&Arc<Registry>, &Arc<Entry>) -> Vec<Arc<Entry>>;

const HOUR: u64 = 3_600_000_000_000;
const NEVER: Limits = Limits {
    idle: u64::MAX,
    never_used: u64::MAX,
    unconfirmed: u64::MAX,
    silent: u64::MAX,
    lifetime: None,
};
/// Idle sessions end after an hour.
const HOURLY: Limits = Limits {
    idle: HOUR,
    ..NEVER
};

/// Runs `model` once for each interleaving of its threads, and prints their number.
fn every_interleaving(model: impl Fn() + Send + Sync + 'static) {
    within(None, model);
}

/// Runs `model` for the interleavings with at most this number of preemptions. Threads that wait for
/// each other in a loop have no end of interleavings.
fn interleavings_with(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    within(Some(preemptions), model);
}

fn within(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let explored = Arc::new(AtomicUsize::new(0));
    let (count, model) = (explored.clone(), Arc::new(model));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        count.fetch_add(1, SeqCst);
        let model = model.clone();
        // On a thread of its own, because the main thread has a small stack.
        spawn(move || model()).join().unwrap();
    });
    let bound = preemptions.map_or_else(String::new, |most| format!(", {most} preemptions"));
    let explored = explored.load(SeqCst);
    println!(
        "{explored} interleavings{bound}: {}",
        current().name().unwrap_or_default()
    );
}

fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Thread::new().stack_size(1 << 20).spawn(run).unwrap()
}

/// The events that the hook received, by name.
type Events = Arc<sync::Mutex<Vec<&'static str>>>;

fn registry(limits: Limits, max_sessions: usize, max_per_owner: usize) -> (Arc<Registry>, Events) {
    let events = Events::default();
    let seen = events.clone();
    let hook = move |event: &SessionEvent<'_>| {
        seen.lock().unwrap().push(match event {
            SessionEvent::Opened { .. } => "opened",
            SessionEvent::Ended { .. } => "ended",
            _ => return,
        });
    };
    // The same in every run, because the order of the map depends on them.
    let ids = AtomicUsize::new(0);
    let ids = IdSource::custom(move || format!("session-{}", ids.fetch_add(1, SeqCst)));
    let registry = Arc::new(Registry::new(RegistrySettings {
        ids,
        limits,
        max_sessions,
        max_per_owner,
        observers: Arc::new(Observers::new(vec![Arc::new(hook)])),
        on_leave: None,
    }));
    // The registry has just ended a pass for expired sessions over every part of the map.
    registry.last_reclaim.store(u64::MAX, Release);
    registry.next_reclaim.store(registry.parts(), Release);
    (registry, events)
}

fn reserve(registry: &Arc<Registry>, owner: Option<&str>) -> Result<Slot, ReserveError> {
    let new = NewEntry {
        client: Arc::default(),
        owner: owner.map(Owner::new),
        scope: Scope::default(),
    };
    registry.reserve(new, None)
}

/// Returns a session that has opened and waits for its second message.
fn opened(registry: &Arc<Registry>, owner: Option<&str>) -> Arc<Entry> {
    let slot = reserve(registry, owner).unwrap();
    let entry = slot.entry().clone();
    drop(slot.open(Phase::Live).unwrap());
    // For the clocks, the answer to `initialize` ended before the session opened.
    entry.set_age(0);
    entry
}

fn assert_nothing_is_left(registry: &Arc<Registry>) {
    assert_eq!(registry.taken.load(Acquire), 0, "slots taken");
    assert_eq!(registry.open(), 0, "sessions open");
    assert_eq!(registry.all().len(), 0, "ids in the map");
    assert_eq!(registry.of(&alice()).len(), 0, "on the owner's list");
}

fn alice() -> Owner {
    Owner::new("alice")
}

fn revoke(registry: &Arc<Registry>, entry: &Arc<Entry>) -> Vec<Arc<Entry>> {
    registry.end(entry, EndReason::Revoked);
    Vec::new()
}

fn delete(_: &Arc<Registry>, entry: &Arc<Entry>) -> Vec<Arc<Entry>> {
    if entry.begin_delete() {
        entry.leave(EndReason::Deleted);
    }
    Vec::new()
}

fn expire(registry: &Arc<Registry>, entry: &Arc<Entry>) -> Vec<Arc<Entry>> {
    registry.end_if_expired(entry, entry.opened() + HOUR);
    Vec::new()
}

fn evict(registry: &Arc<Registry>, entry: &Arc<Entry>) -> Vec<Arc<Entry>> {
    let before = entry.end_never_used(EndReason::Evicted);
    registry.leave(entry, before);
    Vec::new()
}

/// Does what `Sessions::close` does at its deadline.
fn drain(registry: &Arc<Registry>, _: &Arc<Entry>) -> Vec<Arc<Entry>> {
    registry.drain.begin(Duration::ZERO);
    registry.drain.finish();
    // A loom step, as before every other use of the map.
    registry.map.find(b"");
    let all = registry.all();
    for entry in &all {
        registry.end(entry, EndReason::Drained);
    }
    all
}

fn log_out(registry: &Arc<Registry>, _: &Arc<Entry>) -> Vec<Arc<Entry>> {
    let alices = registry.of(&alice());
    for entry in &alices {
        registry.end(entry, EndReason::Revoked);
    }
    alices
}

/// Whether the waker was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Polls a watch until `is_over`, with `meanwhile` after the first poll. A pending watch must be
/// woken.
fn watch(entry: &Arc<Entry>, is_over: impl Fn(&Entry) -> bool + Copy, meanwhile: impl FnOnce()) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut watch = pin!(Watch::default());
    let mut look = || {
        let (changed, is_over) = (|| entry.lazy.changed(), || is_over(entry));
        watch.as_mut().poll(changed, is_over, &mut context)
    };
    let first = look();
    meanwhile();
    if first.is_pending() {
        assert!(woken.0.load(SeqCst), "the waiter was not woken");
        assert_eq!(look(), Poll::Ready(()));
    }
}

#[test]
fn a_request_that_begins_while_its_session_expires_wins_or_loses_never_both() {
    every_interleaving(|| {
        let (registry, events) = registry(HOURLY, 9, 9);
        let entry = opened(&registry, None);
        let (reaper, idle) = (registry.clone(), entry.clone());
        let reaper = spawn(move || expire(&reaper, &idle));
        let in_flight = entry.clone().begin();
        reaper.join().unwrap();
        assert_eq!(in_flight.is_some(), entry.end_reason().is_none());
        let is_notified = events.lock().unwrap().contains(&"ended");
        assert_eq!(in_flight.is_none(), is_notified);
    });
}

#[test]
fn a_request_that_begins_and_ends_while_its_session_expires_saves_it_or_comes_too_late() {
    every_interleaving(|| {
        let (registry, _) = registry(HOURLY, 9, 9);
        let entry = opened(&registry, None);
        let (reaper, idle) = (registry.clone(), entry.clone());
        let reaper = spawn(move || expire(&reaper, &idle));
        let in_flight = entry.clone().begin().map(|mut in_flight| {
            in_flight.admit_message();
            drop(in_flight);
        });
        reaper.join().unwrap();
        assert_eq!(in_flight.is_some(), entry.end_reason().is_none());
    });
}

#[test]
fn after_an_end_no_request_begins_and_the_count_in_flight_returns_to_zero() {
    for end in [revoke, delete, evict, drain] as [Act; 4] {
        every_interleaving(move || {
            let (registry, events) = registry(NEVER, 9, 9);
            let entry = opened(&registry, None);
            let (ender, ended) = (registry.clone(), entry.clone());
            let ender = spawn(move || {
                let seen = end(&ender, &ended);
                // The session has ended for the thread that ended it.
                assert!(ended.clone().begin().is_none());
                assert!(ender.get(ended.id.to_header().as_bytes()).is_none());
                seen
            });
            let user = entry.clone();
            let user = spawn(move || {
                if let Some(body) = user.clone().begin().map(InFlight::into_body) {
                    assert!(user.in_flight() >= 1);
                    drop(body);
                }
            });
            let _seen = ender.join().unwrap();
            user.join().unwrap();
            assert_eq!(entry.in_flight(), 0);
            assert_eq!(*events.lock().unwrap(), ["opened", "ended"]);
            assert_nothing_is_left(&registry);
        });
    }
}

#[test]
fn a_session_that_two_threads_end_at_once_ends_once_and_notifies_once() {
    for (one, other) in [
        (revoke as Act, delete as Act),
        (delete, expire),
        (expire, evict),
        (evict, drain),
        (drain, log_out),
        (log_out, expire),
    ] {
        every_interleaving(move || {
            let (registry, events) = registry(HOURLY, 9, 9);
            let entry = opened(&registry, Some("alice"));
            let (ender, ended) = (registry.clone(), entry.clone());
            let ender = spawn(move || one(&ender, &ended));
            let _seen = (other(&registry, &entry), ender.join().unwrap());
            assert_eq!(*events.lock().unwrap(), ["opened", "ended"]);
            let ended = registry.stats().ended;
            assert_eq!(ended, [(entry.end_reason().unwrap(), 1)].into());
            assert_nothing_is_left(&registry);
        });
    }
}

#[test]
fn at_most_one_of_two_deletes_is_under_way_and_none_after_the_end() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 9, 9);
        let entry = opened(&registry, None);
        let rivals = [entry.clone(), entry.clone()];
        let rivals = rivals.map(|entry| spawn(move || entry.begin_delete()));
        let (ender, ended) = (registry.clone(), entry.clone());
        let ender = spawn(move || revoke(&ender, &ended));
        let claimed = rivals.map(|rival| rival.join().unwrap());
        ender.join().unwrap();
        assert_ne!(claimed, [true, true]);
        assert!(!entry.begin_delete());
    });
}

#[test]
fn a_refused_delete_allows_another() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 9, 9);
        let entry = opened(&registry, None);
        let rival = entry.clone();
        let rival = spawn(move || {
            let is_claimed = rival.begin_delete();
            if is_claimed {
                rival.cancel_delete();
            }
            is_claimed
        });
        let is_claimed = entry.begin_delete();
        if is_claimed {
            entry.cancel_delete();
        }
        assert!(rival.join().unwrap() || is_claimed);
        assert!(entry.begin_delete() && !entry.begin_delete());
    });
}

#[test]
fn a_slot_is_freed_once_when_an_opening_is_dropped_while_its_session_ends() {
    for end in [revoke, log_out, drain] as [Act; 3] {
        every_interleaving(move || {
            let (registry, events) = registry(NEVER, 1, 1);
            let slot = reserve(&registry, Some("alice")).unwrap();
            let (ender, ended) = (registry.clone(), slot.entry().clone());
            let ender = spawn(move || end(&ender, &ended));
            drop(slot);
            let _seen = ender.join().unwrap();
            assert!(events.lock().unwrap().is_empty());
            assert_nothing_is_left(&registry);
        });
    }
}

#[test]
fn a_session_that_ends_while_it_opens_is_announced_before_its_end_or_not_at_all() {
    for end in [revoke, log_out, drain, evict] as [Act; 4] {
        every_interleaving(move || {
            let (registry, events) = registry(NEVER, 1, 1);
            let slot = reserve(&registry, Some("alice")).unwrap();
            let entry = slot.entry().clone();
            let (ender, ended) = (registry.clone(), entry.clone());
            let ender = spawn(move || end(&ender, &ended));
            let in_flight = slot.open(Phase::Provisional);
            let is_open = in_flight.is_some();
            if in_flight.is_some() {
                entry.confirm();
            }
            drop(in_flight);
            let _seen = ender.join().unwrap();
            let events = events.lock().unwrap().clone();
            match entry.end_reason() {
                Some(_) => assert!(
                    events.is_empty() || events == ["opened", "ended"],
                    "{events:?}"
                ),
                None => assert!(is_open && events == ["opened"], "{events:?}"),
            }
            assert_eq!(entry.in_flight(), 0);
            registry.end(&entry, EndReason::Revoked);
            assert_nothing_is_left(&registry);
        });
    }
}

#[test]
fn a_slot_that_is_reserved_while_all_sessions_end_is_not_left_behind() {
    for end in [log_out, drain] as [Act; 2] {
        every_interleaving(move || {
            let (registry, events) = registry(NEVER, 9, 9);
            let anonymous = opened(&registry, None);
            let ender = registry.clone();
            let ender = spawn(move || end(&ender, &anonymous));
            let slot = reserve(&registry, Some("alice"));
            let opened = slot.ok().and_then(|slot| {
                let entry = slot.entry().clone();
                slot.open(Phase::Live).map(|_| entry)
            });
            let _seen = ender.join().unwrap();
            // A session of an owner who logged out before may be open; after a drain no session is.
            let is_drained = registry.drain.is_over();
            assert!(!(is_drained && opened.is_some_and(|entry| entry.end_reason().is_none())));
            for entry in registry.all() {
                revoke(&registry, &entry);
            }
            assert_nothing_is_left(&registry);
            let events = events.lock().unwrap();
            let count = |word| events.iter().filter(|event| **event == word).count();
            assert_eq!(count("opened"), count("ended"), "{events:?}");
        });
    }
}

#[test]
fn two_openings_never_both_take_the_last_slot() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 1, 9);
        let rival = registry.clone();
        let rival = spawn(move || reserve(&rival, None).ok());
        let slot = reserve(&registry, None).ok();
        assert!(registry.taken.load(Acquire) <= 1);
        let other = rival.join().unwrap();
        assert!(slot.is_some() != other.is_some());
        drop((slot, other));
        assert_nothing_is_left(&registry);
        assert!(reserve(&registry, None).is_ok());
    });
}

#[test]
fn the_slot_of_an_evicted_session_is_taken_once() {
    every_interleaving(|| {
        let (registry, events) = registry(NEVER, 1, 9);
        let never_used = opened(&registry, None);
        let rival = registry.clone();
        let rival = spawn(move || reserve(&rival, None).ok());
        let slot = reserve(&registry, None).ok();
        let other = rival.join().unwrap();
        assert!(slot.is_some() != other.is_some());
        assert_eq!(registry.taken.load(Acquire), 1);
        assert_eq!(never_used.end_reason(), Some(EndReason::Evicted));
        assert_eq!(*events.lock().unwrap(), ["opened", "ended"]);
        drop((slot, other));
        assert_nothing_is_left(&registry);
    });
}

#[test]
fn a_message_that_comes_while_its_session_is_evicted_saves_it_or_comes_too_late() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 1, 9);
        let never_used = opened(&registry, None);
        let user = never_used.clone();
        let user = spawn(move || {
            let mut in_flight = user.clone().begin()?;
            in_flight.admit_message();
            Some(in_flight)
        });
        let slot = reserve(&registry, None).ok();
        let in_flight = user.join().unwrap();
        // Ended if the request had begun but was not admitted yet: its answer then says so.
        assert_eq!(slot.is_some(), never_used.end_reason().is_some());
        assert!(in_flight.is_some() || never_used.end_reason().is_some());
        assert_eq!(registry.taken.load(Acquire), 1);
    });
}

#[test]
fn an_owner_never_has_more_sessions_than_the_limit() {
    interleavings_with(3, || {
        let (registry, events) = registry(NEVER, 9, 1);
        let idle = opened(&registry, Some("alice"));
        let rival = registry.clone();
        let rival = spawn(move || reserve(&rival, Some("alice")).ok());
        let slot = reserve(&registry, Some("alice")).ok();
        assert!(registry.of(&alice()).len() <= 1);
        let other = rival.join().unwrap();
        assert!(slot.is_some() != other.is_some());
        assert_eq!(idle.end_reason(), Some(EndReason::Evicted));
        assert_eq!(*events.lock().unwrap(), ["opened", "ended"]);
        drop((slot, other));
        assert_nothing_is_left(&registry);
    });
}

#[test]
fn a_watcher_that_misses_the_notification_sees_the_mark() {
    for end in [revoke, delete, drain] as [Act; 3] {
        every_interleaving(move || {
            let (registry, _) = registry(NEVER, 9, 9);
            let entry = opened(&registry, None);
            let (ender, ended) = (registry.clone(), entry.clone());
            let ender = spawn(move || end(&ender, &ended));
            let is_over = |entry: &Entry| entry.end_reason().is_some();
            watch(&entry, is_over, || _ = ender.join().unwrap());
        });
    }
}

#[test]
fn tidying_up_does_not_take_the_notifier_from_a_watcher() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 9, 9);
        let entry = opened(&registry, None);
        let tidy = entry.clone();
        let tidy = spawn(move || tidy.lazy.tidy());
        let (ender, ended) = (registry.clone(), entry.clone());
        let ender = spawn(move || revoke(&ender, &ended));
        let is_over = |entry: &Entry| entry.end_reason().is_some();
        watch(&entry, is_over, || {
            tidy.join().unwrap();
            ender.join().unwrap();
        });
    });
}

#[test]
fn a_stream_that_is_held_back_during_a_delete_is_notified_of_the_refusal() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 9, 9);
        let entry = opened(&registry, None);
        assert!(entry.begin_delete());
        let refused = entry.clone();
        let refused = spawn(move || refused.cancel_delete());
        let is_over = |entry: &Entry| !entry.is_deleting();
        watch(&entry, is_over, || refused.join().unwrap());
    });
}

#[test]
fn the_oldest_stream_is_notified_of_its_eviction() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 9, 9);
        let entry = opened(&registry, None);
        let open = |entry| StreamSlot::open(entry, StreamKind::Plain, 1, None);
        let oldest = open(entry.clone());
        let newest = entry.clone();
        let newest = spawn(move || open(newest));
        let mut newest_place = None;
        let is_over = |_: &Entry| oldest.is_evicted();
        watch(&entry, is_over, || {
            newest_place = Some(newest.join().unwrap());
        });
        assert_eq!(entry.lazy.streams(), 1);
    });
}

#[test]
fn the_oldest_get_without_an_answer_is_notified_of_its_eviction() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 9, 9);
        let entry = opened(&registry, None);
        let wait = |entry| StreamSlot::wait(entry, StreamKind::Plain, 1);
        let oldest = wait(entry.clone());
        let newest = entry.clone();
        let newest = spawn(move || wait(newest));
        let mut newest_place = None;
        let is_over = |_: &Entry| oldest.is_lost();
        watch(&entry, is_over, || {
            newest_place = Some(newest.join().unwrap());
        });
        assert!(newest_place.is_some_and(|newest| !newest.is_lost()));
    });
}

#[test]
fn an_inner_service_that_names_its_session_while_it_ends_is_notified_once() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 9, 9);
        let entry = opened(&registry, None);
        let inner_deletes = Arc::new(AtomicUsize::new(0));
        let said = inner_deletes.clone();
        let inner_delete = move |_: &Arc<Entry>| _ = said.fetch_add(1, SeqCst);
        let (ender, ended) = (registry.clone(), entry.clone());
        let ender = spawn(move || revoke(&ender, &ended));
        entry.lazy.set_inner_delete(&entry, Box::new(inner_delete));
        ender.join().unwrap();
        assert_eq!(inner_deletes.load(SeqCst), 1);
    });
}

#[test]
fn an_ended_session_keeps_no_state_that_was_added_meanwhile() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 9, 9);
        let entry = opened(&registry, None);
        let (ender, ended) = (registry.clone(), entry.clone());
        let ender = spawn(move || revoke(&ender, &ended));
        let value = entry.lazy.state_or_insert(&entry, "state");
        ender.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
        assert!(entry.lazy.state::<&str>().is_none());
    });
}

#[test]
fn a_drain_is_notified_of_the_end_of_the_last_session_and_the_last_call() {
    every_interleaving(|| {
        let (registry, _) = registry(NEVER, 9, 9);
        let entry = opened(&registry, None);
        let token = registry.drain.calls().start();
        let caller = spawn(move || drop(token));
        let (ender, ended) = (registry.clone(), entry.clone());
        let ender = spawn(move || revoke(&ender, &ended));
        registry.drain.begin(Duration::MAX);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut emptied = pin!(registry.emptied());
        let mut look = || emptied.as_mut().poll(&mut Context::from_waker(&waker));
        let mut last = look();
        caller.join().unwrap();
        ender.join().unwrap();
        // Woken for the call, the drain may have to wait for the session too.
        while last.is_pending() && woken.0.swap(false, SeqCst) {
            last = look();
        }
        assert!(last.is_ready(), "the waiter was not woken");
    });
}
