//! The oracle: the contract's rules for requests to the inner service and for answers to clients.

use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::Body as _;
use mcp_session_guard::{Era, McpSession, Refusal};
use serde_json::Value;

use super::request::{CLAIM, Sent};

/// The settings that all guards of a scenario share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) legacy: Legacy,
    pub(crate) accepts_modern: bool,
    pub(crate) resolves_owners: bool,
    pub(crate) requires_owner: bool,
    pub(crate) reopens_stale: bool,
    pub(crate) ends_inner: bool,
    pub(crate) only_reports: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Legacy {
    Sessions,
    Stateless,
    Refused,
}

/// The sender of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Caller {
    Anonymous,
    Of(&'static str),
    /// The resolver fails, or returns an owner without a name.
    Unclear(&'static str),
}

impl Caller {
    pub(crate) const ALL: [Self; 6] = [
        Self::Anonymous,
        Self::Of("alice"),
        Self::Of("alice"),
        Self::Of("bob"),
        Self::Unclear("fail"),
        Self::Unclear(""),
    ];

    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::Anonymous => None,
            Self::Of(name) | Self::Unclear(name) => Some(name),
        }
    }
}

/// A session caller id a client has.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) caller: Caller,
    pub(crate) scope: usize,
    pub(crate) inner_id: Option<HeaderValue>,
    /// The session has ended: no request of it may reach the inner service.
    pub(crate) is_over: bool,
    /// A DELETE of the session has been answered.
    pub(crate) is_deleted: bool,
}

pub(crate) struct Oracle {
    pub(crate) rules: Rules,
    pub(crate) sent: Vec<Sent>,
    pub(crate) sessions: Vec<Session>,
    /// All session ids that the inner service has issued.
    pub(crate) inner_ids: Vec<HeaderValue>,
}

impl Oracle {
    /// The session that a request names, if a client knows it.
    pub(crate) fn named(&self, tag: usize) -> Option<usize> {
        let [id] = &self.sent[tag].session[..] else {
            return None;
        };
        self.sessions
            .iter()
            .position(|session| session.id.as_bytes() == id.as_bytes())
    }

    /// Checks a DELETE that the guard itself sends.
    pub(crate) fn check_inner_delete(&self, parts: &Parts) {
        assert!(self.rules.ends_inner);
        assert_eq!(parts.method, Method::DELETE);
        let ids = all(&parts.headers, "mcp-session-id");
        assert_eq!(ids.len(), 1);
        assert!(self.inner_ids.contains(&ids[0]));
    }

    /// Checks a request that reaches the inner service. `body` is `None` if it is incomplete.
    pub(crate) fn check(&mut self, tag: usize, parts: &Parts, body: Option<&[u8]>) {
        self.sent[tag].calls += 1;
        let sent = &self.sent[tag];
        let rules = &self.rules;
        assert_eq!(sent.calls, 1, "called twice: {sent:?}");
        assert_eq!(parts.method, sent.method);
        let inward = all(&parts.headers, "mcp-session-id");
        if rules.only_reports {
            let is_dropped = |body: &[u8]| sent.method != Method::POST && body.is_empty();
            let is_as_it_came = |body: &[u8]| !sent.is_whole || body == sent.body;
            assert!(body.is_none_or(|body| is_dropped(body) || is_as_it_came(body)));
            return;
        }
        assert!(sent.has_good_host, "{sent:?}");
        self.check_fields(&parts.headers, sent);
        if sent.method == Method::OPTIONS {
            assert!(sent.is_preflight, "{sent:?}");
            let names = parts.headers.keys().map(HeaderName::as_str);
            let mut of_a_session =
                names.filter(|name| name.starts_with("mcp") || *name == "last-event-id");
            assert_eq!(of_a_session.next(), None);
        }
        if sent.method != Method::POST {
            assert_eq!(body, Some(&[][..]), "a body: {sent:?}");
            let names = parts.headers.keys().map(HeaderName::as_str);
            let mut of_a_body = names.filter(|name| {
                name.starts_with("content-")
                    || ["expect", "trailer", "transfer-encoding"].contains(name)
            });
            assert_eq!(of_a_body.next(), None);
        }
        if sent.method == Method::OPTIONS {
            return;
        }
        assert!(
            inward.len() <= 1 || rules.legacy == Legacy::Stateless,
            "{sent:?}"
        );
        if sent.method != Method::POST {
            self.check_stream(tag, parts, &inward);
            return;
        }
        assert!(sent.has_good_type && sent.is_whole, "{sent:?}");
        assert_eq!(body, Some(&sent.body[..]), "other bytes");
        let lengths = all(&parts.headers, CONTENT_LENGTH.as_str());
        assert!(
            lengths
                .iter()
                .all(|length| *length == sent.body.len().to_string())
        );
        for name in ["transfer-encoding", "expect", "trailer"] {
            assert!(!parts.headers.contains_key(name), "{name}");
        }
        let message: Value = serde_json::from_slice(&sent.body).expect("the body is JSON");
        assert_eq!(message["jsonrpc"], "2.0");
        let handle = McpSession::from_extensions(&parts.extensions);
        let negotiated = handle.and_then(McpSession::protocol_version);
        let is_modern = is_modern(&message, &sent.versions, negotiated);
        assert_eq!(
            Era::from_extensions(&parts.extensions).map(Era::is_modern),
            Some(is_modern)
        );
        match (is_modern, rules.legacy) {
            (true, _) => {
                assert!(handle.is_none() && inward.is_empty());
                self.check_modern(tag, parts, &message);
                self.sent[tag].was_modern = true;
            }
            (false, Legacy::Refused) => panic!("a refused era: {sent:?}"),
            (false, Legacy::Stateless) => {
                assert!(handle.is_none());
                assert_eq!(inward, sent.session);
            }
            (false, Legacy::Sessions) => {
                let is_opening = message["method"] == "initialize";
                assert!(
                    is_opening && names_modern(&sent.versions)
                        || is_legacy(&sent.versions, negotiated),
                    "{sent:?}"
                );
                self.check_owner(tag);
                let handle = handle.expect("a handle");
                assert!(handle.end_reason().is_none(), "the session has ended");
                match is_opening {
                    true => self.check_opening(tag, &message, handle, &inward),
                    false => self.check_session(tag, handle, &inward),
                }
            }
        }
    }

    /// Checks that no field reads differently on another server: one version line, and no other
    /// spelling of an MCP field name.
    fn check_fields(&self, headers: &HeaderMap, sent: &Sent) {
        let versions = all(headers, "mcp-protocol-version");
        assert!(versions.len() <= 1, "{sent:?}");
        if let (Some(version), Some(named)) = (versions.first(), named(&sent.versions)) {
            assert_eq!(version, named);
        }
        for name in ["mcp.protocol-version", "last_event-id"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        let is_stateless = self.rules.legacy == Legacy::Stateless;
        assert!(is_stateless || !headers.contains_key("mcp_session_id"));
    }

    /// Checks a GET or a DELETE.
    fn check_stream(&self, tag: usize, parts: &Parts, inward: &[HeaderValue]) {
        let sent = &self.sent[tag];
        assert!(
            [Method::GET, Method::DELETE].contains(&sent.method),
            "{sent:?}"
        );
        assert_eq!(self.rules.legacy, Legacy::Sessions);
        let handle = McpSession::from_extensions(&parts.extensions).expect("a handle");
        let negotiated = handle.protocol_version();
        let versions = &sent.versions;
        assert!(
            is_legacy(versions, negotiated) || names_modern(versions),
            "{sent:?}"
        );
        assert!(handle.end_reason().is_none(), "the session has ended");
        self.check_owner(tag);
        self.check_session(tag, handle, inward);
        assert!(
            sent.method == Method::GET || !inward.is_empty(),
            "the inner service has no session"
        );
    }

    fn check_owner(&self, tag: usize) {
        let caller = self.sent[tag].caller;
        let rules = &self.rules;
        assert!(!rules.resolves_owners || !matches!(caller, Caller::Unclear(_)));
        assert!(!rules.requires_owner || caller != Caller::Anonymous);
    }

    /// Checks that the message belongs to a live session, its owner and its scope.
    fn check_session(&self, tag: usize, handle: &McpSession, inward: &[HeaderValue]) {
        let sent = &self.sent[tag];
        assert!(!sent.is_hop_by_hop, "{sent:?}");
        let named = self
            .named(tag)
            .unwrap_or_else(|| panic!("no session: {sent:?}"));
        let session = &self.sessions[named];
        assert_eq!(handle.id().as_str(), session.id);
        assert!(!session.is_over, "{session:?}: {sent:?}");
        assert_eq!(sent.scope, session.scope);
        assert!(!self.rules.resolves_owners || sent.caller == session.caller);
        assert_eq!(inward, session.inner_id.as_slice());
    }

    fn check_opening(
        &self,
        tag: usize,
        message: &Value,
        handle: &McpSession,
        inward: &[HeaderValue],
    ) {
        let sent = &self.sent[tag];
        assert!(message.get("id").is_some_and(|id| !id.is_null()));
        assert!(inward.is_empty() && !sent.is_hop_by_hop, "{sent:?}");
        let is_known = |session: &Session| session.id == handle.id().as_str();
        assert!(!self.sessions.iter().any(is_known), "an id twice");
        assert!(sent.session.len() <= 1);
        let names_one = sent.session.iter().any(|id| !id.is_empty());
        assert!(!names_one || self.rules.reopens_stale, "{sent:?}");
    }

    fn check_modern(&self, tag: usize, parts: &Parts, message: &Value) {
        let sent = &self.sent[tag];
        assert!(self.rules.accepts_modern, "{sent:?}");
        assert!(!parts.headers.contains_key("last-event-id"));
        let Some(version) = named(&sent.versions) else {
            panic!("not one version: {sent:?}")
        };
        let claim = claim(message);
        let method = message["method"].as_str().expect("no response");
        assert!(claim.is_none_or(|claim| version == claim && method != "initialize"));
        let says = |header: &HeaderValue| header == method;
        match message.get("id") {
            Some(_) => {
                assert!(claim.is_some(), "{sent:?}");
                assert!(sent.methods.len() == 1 && sent.methods.iter().all(says));
            }
            None => assert!(sent.methods.len() <= 1 && sent.methods.iter().all(says)),
        }
        if self.rules.requires_owner {
            assert_ne!(sent.caller, Caller::Anonymous);
        }
    }

    /// Checks an answer to a client. Returns the session that it opens, if it opens one.
    pub(crate) fn answered(&mut self, tag: usize, response: &Response) -> Option<usize> {
        let sent = &self.sent[tag];
        let ids = all(response.headers(), "mcp-session-id");
        let refusal = response.extensions().get::<Refusal>();
        if let Some(refusal) = refusal {
            let status = response.status();
            assert_eq!(refusal.status(), status);
            let listed = [200, 400, 403, 404, 405, 408, 413, 415, 500, 502, 503];
            assert!(listed.contains(&status.as_u16()), "{status}");
            assert!(ids.is_empty(), "{refusal:?}");
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        }
        if self.rules.only_reports {
            return None;
        }
        if sent.method == Method::OPTIONS {
            assert!(ids.is_empty(), "{sent:?}");
            assert!(sent.calls == 1 || refusal.is_some(), "{sent:?}");
            return None;
        }
        if self.rules.legacy != Legacy::Sessions {
            assert!(sent.calls == 1 || refusal.is_some());
            return None;
        }
        let named = self.named(tag);
        if sent.method == Method::DELETE && response.status() == 204 && refusal.is_none() {
            let session = &mut self.sessions[named.expect("the DELETE names a session")];
            assert!(!session.is_deleted, "deleted twice");
            (session.is_over, session.is_deleted) = (true, true);
            return None;
        }
        // A GET that was evicted while its body was dropped gets an ended stream.
        let is_over = sent.method == Method::GET && response.body().is_end_stream();
        assert!(sent.calls == 1 || refusal.is_some() || is_over, "{sent:?}");
        if named.is_some_and(|named| self.sessions[named].is_deleted)
            && !sent.was_modern
            && !self.rules.reopens_stale
        {
            assert!(refusal.is_some(), "a result after a DELETE: {sent:?}");
        }
        let id = ids.first()?.to_str().unwrap().to_owned();
        assert_eq!(ids.len(), 1);
        assert!(response.status().is_success());
        let message: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(
            (&sent.method, &message["method"]),
            (&Method::POST, &"initialize".into())
        );
        assert!(!sent.was_modern && !self.inner_ids.contains(&ids[0]));
        assert!(
            self.sessions.iter().all(|session| session.id != id),
            "an id twice"
        );
        self.sessions.push(Session {
            id,
            caller: sent.caller,
            scope: sent.scope,
            inner_id: sent.inner_id.clone(),
            is_over: false,
            is_deleted: false,
        });
        Some(self.sessions.len() - 1)
    }
}

fn all(headers: &HeaderMap, name: &str) -> Vec<HeaderValue> {
    headers.get_all(name).iter().cloned().collect()
}

fn claim(message: &Value) -> Option<&str> {
    let claim = message["params"]["_meta"][CLAIM].as_str()?;
    let is_earlier = is_date(claim) && claim < "2026-07-28";
    (!is_earlier).then_some(claim)
}

/// Returns whether the text is `YYYY-MM-DD` with a possible month and day.
fn is_date(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let [year, month, day] = parts[..] else {
        return false;
    };
    let number = |part: &str, digits: usize| {
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<u16>().ok()).flatten()
    };
    number(year, 4).is_some()
        && number(month, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(day, 2).is_some_and(|day| (1..=31).contains(&day))
}

/// The versions that the headers name, in lines and lists.
fn members(versions: &[HeaderValue]) -> Vec<&str> {
    let lines = versions.iter().filter_map(|line| line.to_str().ok());
    let members = lines.flat_map(|line| line.split(',')).map(str::trim);
    members.filter(|member| !member.is_empty()).collect()
}

/// The single version that the headers name.
fn named(versions: &[HeaderValue]) -> Option<&str> {
    let members = members(versions);
    let first = *members.first()?;
    members
        .iter()
        .all(|member| *member == first)
        .then_some(first)
}

fn names_modern(versions: &[HeaderValue]) -> bool {
    named(versions).is_some_and(|version| version == "2026-07-28" || version == "2027-01-01")
}

fn is_legacy(versions: &[HeaderValue], negotiated: Option<&str>) -> bool {
    let known = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
    members(versions).is_empty()
        || named(versions).is_some_and(|version| {
            known
                .into_iter()
                .chain(negotiated)
                .any(|known| version == known)
        })
}

fn is_modern(message: &Value, versions: &[HeaderValue], negotiated: Option<&str>) -> bool {
    let claim = claim(message);
    let is_own = negotiated.is_some_and(|negotiated| {
        named(versions).is_some_and(|version| version == negotiated)
            && claim.is_none_or(|claim| claim == negotiated)
    });
    !is_own && (claim.is_some() || message["method"] != "initialize" && names_modern(versions))
}
