//! Judges the head of a request (contract rows 1 to 9), in two halves. The first identifies the caller and
//! the target, the second decides whether the session allows the request. Between them, the guard may have
//! to ask the store for the session.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method};

use super::admitted::{Admitted, Named};
use super::head::{Head, HeadFlags};
use super::judge::{self, Target};
use super::origin;
use super::shared::Shared;
use crate::protocol::era;
use crate::protocol::headers::{SessionHeader, VersionHeader};
use crate::refusal::RefusalReason;
use crate::session::{Caller, InFlight};
use crate::sessions::Found;

/// A request whose head passed.
pub(crate) enum Admission {
    /// The guard must ask the store for the session with this id.
    AskStore(Identified, HeaderValue),
    Delete(InFlight, HeadFlags),
    Message(Admitted),
    /// A CORS preflight, which belongs to no session.
    Preflight,
    Stream(InFlight, HeadFlags),
}

/// A request whose session has not been looked up yet.
pub(crate) struct Identified {
    pub(crate) target: Target,
    pub(crate) flags: HeadFlags,
    pub(crate) caller: Caller,
}

impl Shared {
    /// Judges the head of a request.
    pub(crate) fn admit(&self, parts: &Parts) -> Result<Admission, RefusalReason> {
        let head = Head::read(parts, self.settings.longest_id);
        origin::verify(&head, parts, &self.settings.hosts, &self.settings.origins)?;
        if is_preflight(parts) {
            return Ok(Admission::Preflight);
        }
        let identified = self.identify(&head, parts)?;
        match self.look_up(&head, &identified) {
            Ok(named) => self.decide(identified, named, head.version),
            Err(id) => Ok(Admission::AskStore(identified, id.clone())),
        }
    }

    /// Identifies the caller and the target (the first half), before any session is looked up.
    fn identify(&self, head: &Head<'_>, parts: &Parts) -> Result<Identified, RefusalReason> {
        let settings = &self.settings;
        let target = judge::target(head, settings)?;
        let has_sessions = settings.mode.has_sessions();
        let caller = match has_sessions {
            true => settings.owners.resolve(parts),
            false => Caller::Known(None),
        };
        match (head.session, &caller) {
            // Row 6. If the owner resolver fails, every id gets the same refusal.
            (SessionHeader::Malformed, Caller::Known(_) | Caller::Missing) if has_sessions => {
                Err(RefusalReason::SessionNotFound)
            }
            _ => Ok(Identified {
                target,
                flags: head.flags,
                caller,
            }),
        }
    }

    /// Looks up the session that a request names. Fails with the id if the guard must ask the store.
    fn look_up<'a>(
        &self,
        head: &Head<'a>,
        identified: &Identified,
    ) -> Result<Named, &'a HeaderValue> {
        let settings = &self.settings;
        let (id, owner) = match (head.session, &identified.caller) {
            _ if !settings.mode.has_sessions() => return Ok(Named::Nothing),
            (SessionHeader::Absent, _) => return Ok(Named::Nothing),
            (SessionHeader::Named(id), Caller::Known(owner)) => (id, owner.as_ref()),
            _ => return Ok(Named::Stale),
        };
        let sessions = &self.sessions;
        match sessions.begin(id.as_bytes(), &settings.scope, owner) {
            Found::Session(session) => Ok(Named::Live(session)),
            Found::Unknown => Ok(Named::Stale),
            // The request is most likely sessionless and must not wait for a store.
            Found::AskStore
                if identified.target == Target::Message
                    && era::header_names_modern(head.version)
                    && sessions.registry().get(id.as_bytes()).is_none() =>
            {
                Ok(Named::Stale)
            }
            Found::AskStore => Err(id),
        }
    }

    /// Asks the store for the session with this id.
    pub(crate) async fn ask_store(&self, identified: &Identified, id: &HeaderValue) -> Named {
        let Caller::Known(owner) = &identified.caller else {
            return Named::Stale;
        };
        let (sessions, scope) = (&self.sessions, &self.settings.scope);
        let found = sessions.look_up(id.as_bytes(), scope, owner.as_ref());
        match found.await {
            Ok(Some(session)) => Named::Live(session),
            Ok(None) => Named::Stale,
            Err(unavailable) => Named::Unavailable(unavailable.into()),
        }
    }

    /// Decides about a request whose session was looked up (the second half).
    pub(crate) fn decide(
        &self,
        identified: Identified,
        named: Named,
        version: VersionHeader<'_>,
    ) -> Result<Admission, RefusalReason> {
        let Identified {
            target,
            flags,
            caller,
        } = identified;
        match target {
            Target::Message => {
                judge::message_head(flags, &named, &caller, version, &self.settings)?;
                Ok(Admission::Message(Admitted {
                    flags,
                    named,
                    caller,
                }))
            }
            Target::Delete => {
                let session = judge::session(named, &caller, version)?;
                Ok(Admission::Delete(session, flags))
            }
            Target::Stream => {
                let session = judge::session(named, &caller, version)?;
                Ok(Admission::Stream(session, flags))
            }
        }
    }
}

/// Returns whether this is a CORS preflight, which a browser sends before a call to another origin. Only an
/// OPTIONS with both headers is one (<https://fetch.spec.whatwg.org/#cors-preflight-fetch>).
fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
