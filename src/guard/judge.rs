//! Every decision of the guard about a request, in pure functions: by its [`target`] (contract rows 1 and
//! 3 to 5), by its [`session`] (rows 7 to 9) and by its [`message`] (rows 15 to 23). Row 2 is `origin.rs`,
//! rows 10 and 11 are `body_reader.rs`, rows 12 to 14 `message.rs`. First match wins.

pub(crate) mod message;
mod version;

use http::Method;

use self::version::check_version;
use super::admit::Named;
use super::head::{Head, HeadFlags};
use super::refuse::Refused;
use super::settings::Settings;
use crate::protocol::era;
use crate::protocol::headers::{SessionHeader, VersionHeader};
use crate::refusal::RefusalReason;
use crate::session::{Caller, InFlight};

/// What a request is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// DELETE: the end of a session.
    Delete,
    /// POST.
    Message,
    /// GET: a stream of a session.
    Stream,
}

/// Judges what needs neither owner nor session (rows 1 and 3 to 5). A preflight is none of these.
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

/// Judges a POST by what its head names (rows 7 and 9, and 10 as far as the length is declared).
#[inline]
pub(crate) fn message_head(
    flags: HeadFlags,
    named: &Named,
    caller: &Caller,
    version: VersionHeader<'_>,
    settings: &Settings,
) -> Result<(), RefusalReason> {
    match (named, caller) {
        // Refused once the message's id is known.
        (Named::Unclear(_), _) | (_, Caller::Unresolved) => {}
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

/// Judges a GET or DELETE by the session that it names (rows 7 and 8).
#[inline]
pub(crate) fn session(
    named: Named,
    caller: &Caller,
    version: VersionHeader<'_>,
) -> Result<InFlight, Refused> {
    let session = match named {
        _ if matches!(caller, Caller::Unresolved) => {
            return Err(RefusalReason::OwnerUnresolved.into());
        }
        Named::Live(session) => session,
        Named::Unclear(reason) => return Err(reason.into()),
        Named::Nothing | Named::Stale => return Err(RefusalReason::SessionNotFound.into()),
    };
    if era::header_names_modern(version) {
        return Ok(session);
    }
    match check_version(version, session.entry().protocol_version()) {
        Ok(()) => Ok(session),
        Err(reason) => Err(Refused::by_head(reason, Some(session))),
    }
}
