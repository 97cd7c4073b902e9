//! A request judged by its head (contract rows 1 to 9): who asks, and for which session.

use http::request::Parts;

use super::head::{Head, HeadFlags, Verb};
use super::judge::{self, HeadVerdict, LiveSession, OwnerCheck, SessionMark};
use super::origin;
use super::shared::Shared;
use crate::protocol::era;
use crate::refusal::RefusalReason;
use crate::session::{Caller, InFlight};
use crate::sessions::Found;

/// A request that passed by its head, with the session that it names.
pub(crate) enum Admission {
    /// Only the store knows whether it names a session.
    Ask(Caller),
    End(InFlight, HeadFlags),
    /// A CORS preflight, which is of no session.
    Preflight,
    Read(Admitted),
    Stream(InFlight, HeadFlags),
}

/// What is remembered of a POST's head until its body has come.
pub(crate) struct Admitted {
    pub(crate) flags: HeadFlags,
    pub(crate) mark: SessionMark,
    /// The live session that the head names; from row 7 on the request is in flight.
    pub(crate) session: Option<InFlight>,
    pub(crate) caller: Caller,
}

/// What was found out of a request before it is judged by its head.
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) found: Result<Option<InFlight>, RefusalReason>,
}

impl Shared {
    /// Judges a request by its head (contract rows 1 to 9). With a refusal comes the live session that
    /// the request names, if it came so far. `asked` is what the store has said of it.
    pub(crate) fn admit(
        &self,
        parts: &Parts,
        asked: Option<Asked>,
    ) -> Result<Admission, (RefusalReason, Option<InFlight>)> {
        let settings = &self.settings;
        let head = Head::read(parts, settings.longest_id);
        let (caller, found) = match asked {
            Some(asked) => (asked.caller, asked.found),
            None => {
                origin::verify(&head, parts, settings)
                    .and_then(|()| judge::verb(head.verb, settings))
                    .map_err(|reason| (reason, None))?;
                if head.verb == Verb::Preflight {
                    return Ok(Admission::Preflight);
                }
                // Who asks is settled before any session is looked up.
                let caller = match settings.mode.has_sessions() {
                    true => settings.owners.resolve(parts),
                    false => Caller::Known(None),
                };
                match self.find(&head, &caller) {
                    Found::Session(session) => (caller, Ok(Some(session))),
                    Found::Unknown => (caller, Ok(None)),
                    Found::AskStore => return Ok(Admission::Ask(caller)),
                }
            }
        };
        let (session, unclear) = match found {
            Ok(session) => (session, None),
            Err(reason) => (None, Some(reason)),
        };
        let live = match unclear {
            None => Ok(session.as_ref().map(LiveSession::of)),
            Some(reason) => Err(reason),
        };
        let gone = || (RefusalReason::SessionNotFound, None);
        match judge::head(&head, OwnerCheck::of(&caller), live, settings) {
            Err(reason) => Err((reason, session)),
            Ok(HeadVerdict::Read(mark)) => Ok(Admission::Read(Admitted {
                flags: head.flags,
                mark,
                session,
                caller,
            })),
            Ok(HeadVerdict::Stream) => session
                .map(|session| Admission::Stream(session, head.flags))
                .ok_or_else(gone),
            Ok(HeadVerdict::End) => session
                .map(|session| Admission::End(session, head.flags))
                .ok_or_else(gone),
        }
    }

    /// Looks up the session that a request names.
    fn find(&self, head: &Head<'_>, caller: &Caller) -> Found {
        let settings = &self.settings;
        let (true, Caller::Known(owner), Some(id)) =
            (settings.mode.has_sessions(), caller, head.session.named())
        else {
            return Found::Unknown;
        };
        let sessions = &self.sessions;
        match sessions.begin(id, &settings.scope, owner.as_ref()) {
            // Most likely of the era that has no sessions, which must not wait for a store.
            Found::AskStore
                if head.verb == Verb::Post
                    && era::header_names_modern(head.version)
                    && sessions.registry().get(id).is_none() =>
            {
                Found::Unknown
            }
            begun => begun,
        }
    }
}
