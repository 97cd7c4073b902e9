//! Judges a message (contract rows 15 to 23).

use http::HeaderMap;

use super::version::check_version;
use crate::guard::admitted::{Admitted, Named};
use crate::guard::modern;
use crate::guard::settings::{Mode, Settings};
use crate::protocol::era::{self, Era};
use crate::protocol::headers::VersionHeader;
use crate::protocol::message::{Message, MessageKind};
use crate::refusal::RefusalReason;
use crate::session::Caller;

/// What the guard does with an accepted message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Forwards the message to the inner service.
    Forward(Era),
    /// Forwards a sessionless message to the inner service.
    Modern(Era),
    /// Opens a session for an `initialize`.
    Open(Era),
}

/// Judges a message, with the head and the session of its request.
#[inline]
pub(crate) fn message(
    message: &Message<'_>,
    version: VersionHeader<'_>,
    headers: &HeaderMap,
    admitted: &Admitted,
    settings: &Settings,
) -> Result<Verdict, RefusalReason> {
    if matches!(admitted.caller, Caller::Unresolved) {
        return Err(RefusalReason::OwnerUnresolved);
    }
    let negotiated = match &admitted.named {
        Named::Unavailable(reason) => return Err(*reason),
        // The session ended while the guard read the body.
        Named::Live(session) if !session.entry().is_usable() => {
            return Err(RefusalReason::SessionNotFound);
        }
        Named::Live(session) => session.entry().protocol_version(),
        Named::Nothing | Named::Stale => None,
    };
    // Compared once, because several checks need the result.
    let own = negotiated.filter(|own| version == VersionHeader::Named(own.as_bytes()));
    if era::is_modern(message, version, own) {
        return modern(message, version, headers, &admitted.caller, settings);
    }
    if settings.mode == Mode::Sessionless {
        return Err(match message.kind {
            MessageKind::Request => RefusalReason::UnsupportedVersion,
            MessageKind::Notification | MessageKind::Response => RefusalReason::LegacyEra,
        });
    }
    let is_initialize = message.method.as_deref() == Some(b"initialize");
    if own.is_none() && !(is_initialize && era::header_names_modern(version)) {
        check_version(version, negotiated)?;
    }
    if is_initialize && message.kind == MessageKind::Notification {
        return Err(RefusalReason::InitializeWithoutId);
    }
    let era = Era::legacy(message.method.as_deref(), version, negotiated);
    match is_initialize && settings.mode.has_sessions() {
        true => initialize(admitted, settings).map(|()| Verdict::Open(era)),
        false => in_session(admitted, settings).map(|()| Verdict::Forward(era)),
    }
}

/// Judges a sessionless message (rows 15 and 16).
fn modern(
    message: &Message<'_>,
    version: VersionHeader<'_>,
    headers: &HeaderMap,
    caller: &Caller,
    settings: &Settings,
) -> Result<Verdict, RefusalReason> {
    match (settings.mode.accepts_sessionless(), caller) {
        (false, _) => Err(RefusalReason::ModernEra),
        (true, Caller::Missing) => Err(RefusalReason::OwnerRequired),
        (true, _) => {
            modern::verify(message, version, headers, &settings.modern_versions)?;
            Ok(Verdict::Modern(Era::modern(message, version)))
        }
    }
}

/// Judges an `initialize` with an id (rows 18 to 20).
fn initialize(admitted: &Admitted, settings: &Settings) -> Result<(), RefusalReason> {
    match (&admitted.named, &admitted.caller) {
        (Named::Unavailable(reason), _) => Err(*reason),
        (Named::Live(_), _) => Err(RefusalReason::AlreadyInitialized),
        (Named::Stale, _) if !settings.reopen_stale => Err(RefusalReason::SessionNotFound),
        (Named::Nothing | Named::Stale, Caller::Missing) => Err(RefusalReason::OwnerRequired),
        (Named::Nothing | Named::Stale, _) => Ok(()),
    }
}

/// Judges any other message (rows 21 to 23).
#[inline]
fn in_session(admitted: &Admitted, settings: &Settings) -> Result<(), RefusalReason> {
    match (&admitted.named, &admitted.caller) {
        _ if !settings.mode.has_sessions() => Ok(()),
        (Named::Unavailable(reason), _) => Err(*reason),
        (Named::Live(_), _) => Ok(()),
        (Named::Stale, _) | (Named::Nothing, Caller::Missing) => {
            Err(RefusalReason::SessionNotFound)
        }
        (Named::Nothing, _) => Err(RefusalReason::MissingSessionId),
    }
}
