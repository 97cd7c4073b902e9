//! Makes every decision about a request, in pure functions. The first match wins.
//!
//! [`target`] judges contract rows 1 and 3 to 5, [`message_head`] and [`session`] judge rows 7 to 9, and
//! [`message`] judges rows 15 to 23. The other rows are in other modules: row 2 in `origin`, rows 10 and 11
//! in `body_reader`, rows 12 to 14 in `protocol::message`.

pub(crate) mod message;
mod version;

use http::Method;

use self::version::check_version;
use super::admitted::Named;
use super::head::{Head, HeadFlags};
use super::settings::Settings;
use crate::protocol::era;
use crate::protocol::headers::{SessionHeader, VersionHeader};
use crate::refusal::RefusalReason;
use crate::session::{Caller, InFlight};

/// The purpose of a request, by its method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// DELETE ends a session.
    Delete,
    /// POST carries a message.
    Message,
    /// GET opens a stream of a session.
    Stream,
}

/// Judges the method and the session header, before the owner and the session are known (rows 1 and
/// 3 to 5). Preflights have already passed.
#[inline]
pub(crate) fn target(head: &Head<'_>, settings: &Settings) -> Result<Target, RefusalReason> {
    let has_sessions = settings.mode.has_sessions();
    let target = match *head.method {
        Method::POST => Target::Message,
        Method::GET if has_sessions => Target::Stream,
        Method::DELETE if has_sessions => Target::Delete,
        _ if has_sessions => return Err(RefusalReason::MethodNotAllowed),
        _ => return Err(RefusalReason::OnlyPost),
    };
    match head.session {
        _ if !has_sessions => Ok(target),
        SessionHeader::Repeated => Err(RefusalReason::RepeatedSessionId),
        _ if head.has_hop_by_hop_mcp_header => Err(RefusalReason::HopByHopMcpHeader),
        SessionHeader::Absent if target == Target::Message => Ok(target),
        SessionHeader::Absent if era::header_names_modern(head.version) => {
            Err(RefusalReason::OnlyPost)
        }
        SessionHeader::Absent => Err(RefusalReason::StreamWithoutSession),
        SessionHeader::Malformed | SessionHeader::Named(_) => Ok(target),
    }
}

/// Judges the head of a POST (rows 7 and 9, and row 10 for the declared length).
#[inline]
pub(crate) fn message_head(
    flags: HeadFlags,
    named: &Named,
    caller: &Caller,
    version: VersionHeader<'_>,
    settings: &Settings,
) -> Result<(), RefusalReason> {
    match (named, caller) {
        // The guard refuses these later, when it knows the id of the message.
        (Named::Unavailable(_), _) | (_, Caller::Unresolved) => {}
        (Named::Stale, _) if !settings.reopen_stale && !era::header_names_modern(version) => {
            return Err(RefusalReason::SessionNotFound);
        }
        (Named::Live(_) | Named::Nothing | Named::Stale, _) => {}
    }
    if !flags.is_plain_json {
        return Err(RefusalReason::UnsupportedMediaType);
    }
    let limit = settings.body_limit as u64;
    match flags.length.is_some_and(|length| length > limit) {
        true => Err(RefusalReason::BodyTooLarge),
        false => Ok(()),
    }
}

/// Judges a GET or DELETE by its session (rows 7 and 8).
#[inline]
pub(crate) fn session(
    named: Named,
    caller: &Caller,
    version: VersionHeader<'_>,
) -> Result<InFlight, RefusalReason> {
    let session = match named {
        _ if matches!(caller, Caller::Unresolved) => {
            return Err(RefusalReason::OwnerUnresolved);
        }
        Named::Live(session) => session,
        Named::Unavailable(reason) => return Err(reason),
        Named::Nothing | Named::Stale => return Err(RefusalReason::SessionNotFound),
    };
    if era::header_names_modern(version) {
        return Ok(session);
    }
    check_version(version, session.entry().protocol_version())?;
    Ok(session)
}
