//! Every decision of the guard about a request, in three pure functions: by its [`verb`] (contract
//! rows 1 and 3), by its [`head`] (rows 4 to 9) and by its [`message`] (rows 15 to 23). Row 2 is `origin.rs`, rows 10 and 11 are
//! `body_reader.rs`, rows 12 to 14 `message.rs`. First match wins.

use http::HeaderMap;

use super::head::{Head, Verb};
use super::modern;
use crate::guard::settings::{Mode, Settings};
use crate::protocol::era;
use crate::protocol::headers::{SessionHeader, VersionHeader};
use crate::protocol::message::{Message, MessageKind};
use crate::protocol::revision;
use crate::refusal::RefusalReason;
use crate::session::{Caller, InFlight};

/// What a request may do by its head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeadVerdict {
    /// DELETE of a live session.
    End,
    /// POST: the body is read and judged.
    Read(SessionMark),
    /// GET in a live session.
    Stream,
}

/// What a POST's session id turned out to name. The live session itself travels beside it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SessionMark {
    /// No id, or one that is not looked at.
    Absent,
    Live,
    /// An id of no live session, on a request that may be none of a session.
    Stale,
    /// Whether it is a live session's can not be told.
    Unclear(RefusalReason),
}

/// What a message may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MessageVerdict {
    /// To the inner service.
    Forward {
        /// Whether its header names the version that its session negotiated, as is usual.
        names_own: bool,
    },
    /// To the inner service, with nothing of a session.
    ForwardModern,
    /// `initialize` without a session: opens one.
    Open,
}

/// Whether it is known who sends a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OwnerCheck {
    /// Known, or nobody asks.
    Passed,
    /// Nobody, where owners are required.
    Missing,
    /// The resolver failed: no session is looked up, and none is let in for nobody's.
    Failed,
}

impl OwnerCheck {
    #[inline]
    pub(crate) fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Known(_) => Self::Passed,
            Caller::Missing => Self::Missing,
            Caller::Unresolved => Self::Failed,
        }
    }
}

/// The live session that a request names, as far as it is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveSession<'a> {
    /// The version that `initialize` negotiated.
    pub(crate) protocol_version: Option<&'a str>,
}

impl<'a> LiveSession<'a> {
    #[inline]
    pub(crate) fn of(session: &'a InFlight) -> Self {
        Self {
            protocol_version: session.entry().protocol_version(),
        }
    }
}

/// Judges a request's method (contract rows 1 and 3), which needs neither owner nor session.
#[inline]
pub(crate) fn verb(verb: Verb, settings: &Settings) -> Result<(), RefusalReason> {
    match (verb, settings.mode.has_sessions()) {
        (Verb::Post | Verb::Preflight, _) => Ok(()),
        (Verb::Get | Verb::Delete, true) => Ok(()),
        (Verb::Other, true) => Err(RefusalReason::MethodNotAllowed),
        (_, false) => Err(RefusalReason::OnlyPost),
    }
}

/// Judges a request of an admitted [`verb`] by its head. `session` is what the registry knows under its session id, or why
/// that can not be told.
#[inline]
pub(crate) fn head(
    head: &Head<'_>,
    owner: OwnerCheck,
    session: Result<Option<LiveSession<'_>>, RefusalReason>,
    settings: &Settings,
) -> Result<HeadVerdict, RefusalReason> {
    if !settings.mode.has_sessions() {
        return read_body(head, SessionMark::Absent, settings);
    }
    let is_post = head.verb == Verb::Post;
    let is_modern = || era::header_names_modern(head.version);
    if matches!(head.session, SessionHeader::Repeated) {
        return Err(RefusalReason::RepeatedSessionId);
    }
    if head.has_hop_by_hop_mcp_header {
        return Err(RefusalReason::HopByHopMcpHeader);
    }
    let mark = match (head.session, session) {
        (SessionHeader::Absent, _) if is_post => SessionMark::Absent,
        (SessionHeader::Absent, _) if is_modern() => return Err(RefusalReason::OnlyPost),
        (SessionHeader::Absent, _) => return Err(RefusalReason::StreamWithoutSession),
        // A POST is refused once its id is known.
        _ if owner == OwnerCheck::Failed && is_post => SessionMark::Absent,
        _ if owner == OwnerCheck::Failed => return Err(RefusalReason::OwnerUnresolved),
        (SessionHeader::Named(_), Err(reason)) if is_post => SessionMark::Unclear(reason),
        (SessionHeader::Named(_), Err(reason)) => return Err(reason),
        (SessionHeader::Named(_), Ok(Some(_))) => SessionMark::Live,
        (SessionHeader::Named(_), Ok(None))
            if is_post && (is_modern() || settings.reopen_stale) =>
        {
            SessionMark::Stale
        }
        _ => return Err(RefusalReason::SessionNotFound),
    };
    if is_post {
        return read_body(head, mark, settings);
    }
    if !is_modern() {
        check_version(head.version, session.ok().flatten())?;
    }
    Ok(if head.verb == Verb::Get {
        HeadVerdict::Stream
    } else {
        HeadVerdict::End
    })
}

/// Judges a message. `mark` and `session` are what its head left; `session` is `None` if it ended
/// while the body was read.
#[inline]
pub(crate) fn message(
    message: &Message<'_>,
    version: VersionHeader<'_>,
    headers: &HeaderMap,
    owner: OwnerCheck,
    mark: SessionMark,
    session: Option<LiveSession<'_>>,
    settings: &Settings,
) -> Result<MessageVerdict, RefusalReason> {
    if owner == OwnerCheck::Failed {
        return Err(RefusalReason::OwnerUnresolved);
    }
    if let SessionMark::Unclear(reason) = mark {
        return Err(reason);
    }
    if mark == SessionMark::Live && session.is_none() {
        return Err(RefusalReason::SessionNotFound);
    }
    let is_initialize = message.method.as_deref() == Some(b"initialize");
    // Compared once, for all that asks for it.
    let own = session
        .and_then(|session| session.protocol_version)
        .filter(|own| version == VersionHeader::Named(own.as_bytes()));
    if era::is_modern(message, version, own) {
        return match settings.mode.accepts_sessionless() {
            true if owner == OwnerCheck::Missing => Err(RefusalReason::OwnerRequired),
            true => modern::verify(message, version, headers, &settings.modern_versions)
                .map(|()| MessageVerdict::ForwardModern),
            false => Err(RefusalReason::ModernEra),
        };
    }
    if settings.mode == Mode::Sessionless {
        return Err(match message.kind {
            MessageKind::Request => RefusalReason::UnsupportedVersion,
            MessageKind::Notification | MessageKind::Response => RefusalReason::LegacyEra,
        });
    }
    if own.is_none() && !(is_initialize && era::header_names_modern(version)) {
        check_version(version, session)?;
    }
    if is_initialize && message.kind == MessageKind::Notification {
        return Err(RefusalReason::InitializeWithoutId);
    }
    if !settings.mode.has_sessions() {
        return Ok(MessageVerdict::Forward { names_own: false });
    }
    match (is_initialize, mark) {
        (true, SessionMark::Live) => Err(RefusalReason::AlreadyInitialized),
        (true, SessionMark::Stale) if !settings.reopen_stale => Err(RefusalReason::SessionNotFound),
        (true, SessionMark::Absent | SessionMark::Stale) if owner == OwnerCheck::Missing => {
            Err(RefusalReason::OwnerRequired)
        }
        (true, SessionMark::Absent | SessionMark::Stale) => Ok(MessageVerdict::Open),
        (false, SessionMark::Live) => Ok(MessageVerdict::Forward {
            names_own: own.is_some(),
        }),
        (false, SessionMark::Stale) => Err(RefusalReason::SessionNotFound),
        (_, SessionMark::Unclear(reason)) => Err(reason),
        (false, SessionMark::Absent) if owner == OwnerCheck::Missing => {
            Err(RefusalReason::SessionNotFound)
        }
        (false, SessionMark::Absent) => Err(RefusalReason::MissingSessionId),
    }
}

/// Row 9, a POST's media type, and row 10 as far as the length is declared.
#[inline]
fn read_body(
    head: &Head<'_>,
    mark: SessionMark,
    settings: &Settings,
) -> Result<HeadVerdict, RefusalReason> {
    if !head.is_plain_json() {
        return Err(RefusalReason::UnsupportedMediaType);
    }
    let declared = head.flags.length;
    match declared.is_some_and(|length| length > settings.body_limit as u64) {
        true => Err(RefusalReason::BodyTooLarge),
        false => Ok(HeadVerdict::Read(mark)),
    }
}

/// Rows 8 and 17: the version header must be absent, a legacy revision, or the session's own.
#[inline]
fn check_version(
    version: VersionHeader<'_>,
    session: Option<LiveSession<'_>>,
) -> Result<(), RefusalReason> {
    match version {
        VersionHeader::Absent => Ok(()),
        VersionHeader::Conflicting => Err(RefusalReason::ConflictingVersionHeaders),
        VersionHeader::Named(named) => {
            let negotiated = session.and_then(|session| session.protocol_version);
            let is_known = revision::LEGACY_REVISIONS
                .into_iter()
                .chain(negotiated)
                .any(|known| known.as_bytes() == named);
            is_known
                .then_some(())
                .ok_or(RefusalReason::UnsupportedVersionHeader)
        }
    }
}
