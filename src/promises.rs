//! Every number that the contract promises, with its clause. A number that only the code knows, such as the
//! size of a batch, stands where it is used.

use std::time::Duration;

/// The defaults of the settings (§1).
pub(crate) mod defaults {
    use super::Duration;

    pub(crate) const BODY_LIMIT: usize = 4 << 20;
    pub(crate) const JSON_DEPTH: usize = 64;
    pub(crate) const BODY_PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);
    pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(120);
    pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
    pub(crate) const NEVER_USED_TIMEOUT: Duration = Duration::from_secs(5 * 60);
    pub(crate) const SILENT_STREAM_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
    pub(crate) const MAX_SESSIONS: usize = 10_000;
    pub(crate) const MAX_STREAMS: usize = 32;
    pub(crate) const STORE_LEASE: Duration = Duration::from_secs(5);
    pub(crate) const STORE_GRACE: Duration = Duration::from_secs(30);
    pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(2);
}

/// §1: the longest session id, in bytes.
pub(crate) const MAX_SESSION_ID: usize = 128;
/// §1: how many bytes a request body must bring before the progress timeout begins anew.
pub(crate) const BODY_PROGRESS: usize = 16 << 10;
/// §1: how long a session may stay provisional.
pub(crate) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);
/// §1: how many resumed GET streams a session may have at least ...
pub(crate) const MIN_RESUMED_STREAMS: usize = 32;
/// ... and how many for each plain GET stream that it may have.
pub(crate) const RESUMED_PER_STREAM: usize = 4;

/// §2, row 13: the longest id of a JSON-RPC message, in bytes as written.
pub(crate) const MAX_MESSAGE_ID: usize = 256;

/// §3: `Retry-After` of a 503, in seconds, unless the server drains.
pub(crate) const RETRY_AFTER_SECONDS: u64 = 5;
/// §3: how long the rest of a refused request's body is read and dropped ...
pub(crate) const DROP_TIMEOUT: Duration = Duration::from_secs(2);
/// ... and how much of it, in body limits.
pub(crate) const DROPPED_BODY_LIMITS: usize = 2;

/// §4.1: how often a registry at its session limit looks for expired sessions, at most.
pub(crate) const RECLAIM_INTERVAL: Duration = Duration::from_secs(1);
/// §4.1: how often the guard asks for an id that is free.
pub(crate) const ID_ATTEMPTS: usize = 4;
/// §4.3: how long a JSON answer to `initialize` may take after its head.
pub(crate) const OPENING_TIMEOUT: Duration = Duration::from_secs(60);
/// §4.3: the longest answer to `initialize` up to its response, in bytes.
pub(crate) const MAX_OPENING: usize = 1 << 20;
/// §4.3: how often an answer to `initialize` that opens no session is logged, at most.
pub(crate) const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// §4.6: the longest name and version of a client that a session keeps, in bytes.
pub(crate) const MAX_CLIENT_TEXT: usize = 128;

/// §5: how long the inner service may take to answer a client's DELETE.
pub(crate) const DELETE_TIMEOUT: Duration = Duration::from_secs(5);
/// §5: how many inner DELETEs run at once ...
pub(crate) const INNER_DELETES_AT_ONCE: usize = 32;
/// ... how many run or wait ...
pub(crate) const MAX_INNER_DELETES: usize = 1024;
/// ... and how long each may take.
pub(crate) const INNER_DELETE_TIMEOUT: Duration = Duration::from_secs(5);
/// §5: how long a drain waits, after its deadline, until the inner services and the store know.
pub(crate) const DRAIN_NOTIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// §5: how long the body of an inner service's 404, or of its answer to a notification, may take ...
pub(crate) const UNCLEAR_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// ... and how long it may be, in bytes, to be read.
pub(crate) const MAX_UNCLEAR_ANSWER: usize = 64 << 10;

/// §6: how many `subscriptions/listen` streams may be open.
pub(crate) const MAX_LISTENERS: usize = 1024;

/// §7: the longest record of a session, in bytes.
pub(crate) const MAX_RECORD: usize = 8 << 10;
/// §7: a record is refreshed once in this part of the idle timeout, at most.
pub(crate) const REFRESHES_PER_IDLE_TIMEOUT: u64 = 10;
/// §7: a record expires this part of the limit later than the session.
pub(crate) const EXPIRY_MARGIN: u64 = 5;
