//! Whose a session is (contract §5): who asks, and which sessions are theirs.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use axum::BoxError;
use http::request::Parts;
use serde_json::{Value, json};

use super::entry::Entry;
use crate::unwind::unless_it_panics;

/// Whose a session is.
///
/// Take what stays the same as long as the user does: issuer and subject of a token, or the key of
/// an account. Never the token itself, which changes whenever it is refreshed and would lose the
/// user's session, and never the id of a client program alone, which all of its users share.
///
/// `Debug` and `Display` show it; it is no secret, but it may be personal.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Owner(Arc<Name>);

#[derive(Eq, Hash, PartialEq)]
struct Name {
    issuer: Option<Box<str>>,
    subject: Box<str>,
}

impl Owner {
    /// An owner known by one key of any form. An empty key is no owner: requests for which a
    /// resolver makes one are answered 500.
    #[must_use]
    pub fn new(key: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Name {
            issuer: None,
            subject: key.into(),
        }))
    }

    /// The owner whom `issuer` knows as `subject`: the claims `iss` and `sub` of a token. Neither
    /// may be empty.
    #[must_use]
    pub fn of(issuer: impl Into<Box<str>>, subject: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Name {
            issuer: Some(issuer.into()),
            subject: subject.into(),
        }))
    }

    /// Who vouches for the subject; `None` for an owner known by one key.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }

    /// The subject, or the key.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The owner as a store names it: equal for equal owners.
    pub(crate) fn to_text(&self) -> String {
        match self.issuer() {
            Some(issuer) => json!([issuer, self.subject()]),
            None => json!([self.subject()]),
        }
        .to_string()
    }

    /// The owner whom [`to_text`](Self::to_text) has named so.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let names: Value = serde_json::from_str(text).ok()?;
        let owner = match names.as_array()?.as_slice() {
            [subject] => Self::new(subject.as_str()?),
            [issuer, subject] => Self::of(issuer.as_str()?, subject.as_str()?),
            _ => return None,
        };
        (!owner.is_empty()).then_some(owner)
    }

    fn is_empty(&self) -> bool {
        self.subject().is_empty() || self.issuer().is_some_and(str::is_empty)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.issuer() {
            Some(issuer) => write!(f, "{} of {issuer}", self.subject()),
            None => f.write_str(self.subject()),
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({self})")
    }
}

/// Tells who sends a request; given to
/// [`SessionGuardBuilder::owner`](crate::SessionGuardBuilder::owner), most often as a closure.
///
/// # Contract
///
/// - Called once a request, before any session is looked up, on the thread that serves the request:
///   it must not block. What takes time (introspection, a database) belongs into an authentication
///   layer outside the guard, which leaves its result in the request's extensions.
/// - Everything in `request` that no outer layer has put there is the client's own word. Headers
///   prove nothing unless somebody has checked them.
/// - `Ok(None)` is nobody: an anonymous request opens and uses anonymous sessions only.
/// - An error, a panic and an empty owner are answered 500, whatever session the request names; they
///   are never taken for nobody. What the error says is not shown to the client.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can not tell whose a request is",
    label = "not an `OwnerResolver`",
    note = "write `|request: &http::request::Parts| -> Result<Option<Owner>, axum::BoxError> {{ .. }}`, with its types: closures take them from here",
    note = "for a value in the request's extensions there is `owner_from_extension`"
)]
pub trait OwnerResolver: Send + Sync + 'static {
    /// Who sends `request`; `None` is nobody.
    ///
    /// # Errors
    ///
    /// Whatever keeps the resolver from knowing.
    fn resolve(&self, request: &Parts) -> Result<Option<Owner>, BoxError>;
}

impl<F> OwnerResolver for F
where
    F: Fn(&Parts) -> Result<Option<Owner>, BoxError> + Send + Sync + 'static,
{
    fn resolve(&self, request: &Parts) -> Result<Option<Owner>, BoxError> {
        self(request)
    }
}

/// How requests come by their owner.
#[derive(Clone, Default)]
pub(crate) struct OwnerSource {
    pub(crate) resolver: Option<Arc<dyn OwnerResolver>>,
    pub(crate) is_required: bool,
}

impl OwnerSource {
    #[inline]
    pub(crate) fn resolve(&self, parts: &Parts) -> Caller {
        let Some(resolver) = &self.resolver else {
            return Caller::Known(None);
        };
        match unless_it_panics(|| resolver.resolve(parts)) {
            Some(Ok(Some(owner))) if !owner.is_empty() => Caller::Known(Some(owner)),
            Some(Ok(None)) if self.is_required => Caller::Missing,
            Some(Ok(None)) => Caller::Known(None),
            _ => Caller::Unresolved,
        }
    }
}

impl fmt::Debug for OwnerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerSource")
            .field("has_resolver", &self.resolver.is_some())
            .field("is_required", &self.is_required)
            .finish()
    }
}

/// Who sends a request.
#[derive(Debug)]
pub(crate) enum Caller {
    /// `None` is nobody, where nobody may have sessions.
    Known(Option<Owner>),
    /// Nobody, where owners are required.
    Missing,
    /// The resolver failed.
    Unresolved,
}

/// The part of a shared registry that one guard sees: its sessions' name, kept as a thin pointer
/// because every session has one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Scope(Option<Arc<String>>);

impl Scope {
    pub(crate) fn named(name: &str) -> Self {
        Self((!name.is_empty()).then(|| Arc::new(name.to_owned())))
    }

    pub(crate) fn name(&self) -> &str {
        self.0.as_deref().map_or("", String::as_str)
    }
}

/// The sessions of each owner, those that are just opening included, by their address.
#[derive(Default)]
pub(super) struct Holdings(HashMap<Owner, HashMap<usize, Weak<Entry>>>);

impl Holdings {
    /// Adds a session unless its owner has `most` already.
    pub(super) fn add(&mut self, owner: &Owner, entry: &Arc<Entry>, most: usize) -> bool {
        let held = self.0.entry(owner.clone()).or_default();
        let has_room = has_room(held, most);
        if has_room {
            held.insert(address(entry), Arc::downgrade(entry));
        }
        has_room
    }

    /// The sessions of an owner who has `most`.
    pub(super) fn full(&mut self, owner: &Owner, most: usize) -> Option<Vec<Arc<Entry>>> {
        let held = self.0.get_mut(owner)?;
        (!has_room(held, most)).then(|| self.of(owner))
    }

    pub(super) fn remove(&mut self, owner: &Owner, entry: &Arc<Entry>) {
        if let Some(held) = self.0.get_mut(owner) {
            held.remove(&address(entry));
            if held.is_empty() {
                self.0.remove(owner);
            }
        }
    }

    pub(super) fn of(&self, owner: &Owner) -> Vec<Arc<Entry>> {
        let held = self.0.get(owner).into_iter().flat_map(HashMap::values);
        held.filter_map(Weak::upgrade).collect()
    }
}

/// Those that have ended and are about to be taken off the list do not count.
fn has_room(held: &mut HashMap<usize, Weak<Entry>>, most: usize) -> bool {
    if held.len() >= most {
        let is_open = |entry: Arc<Entry>| entry.end_reason().is_none();
        held.retain(|_, held| held.upgrade().is_some_and(is_open));
    }
    held.len() < most
}

fn address(entry: &Arc<Entry>) -> usize {
    Arc::as_ptr(entry) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::EndReason;

    #[test]
    fn an_owner_is_read_as_a_store_names_it() {
        for owner in [Owner::new("a\"b"), Owner::of("https://login.example", "a")] {
            assert_eq!(Owner::from_text(&owner.to_text()), Some(owner));
        }
        for text in ["", "a", "[]", r#"[""]"#, r#"["","a"]"#, r#"["a",""]"#] {
            assert_eq!(Owner::from_text(text), None, "{text}");
        }
        for text in [r#"["a","b","c"]"#, r#"["a",1]"#, "[1]", r#"{"a":"b"}"#] {
            assert_eq!(Owner::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_session_that_has_ended_leaves_its_place_though_it_is_still_listed() {
        let alice = Owner::new("alice");
        let mut holdings = Holdings::default();
        let [first, second, third] = ["1", "2", "3"].map(|id| Entry::alone(id, None));
        assert!(holdings.add(&alice, &first, 1));
        first.end(EndReason::Deleted);
        assert!(holdings.add(&alice, &second, 1));
        assert!(!holdings.add(&alice, &third, 1));
    }

    #[test]
    fn an_owner_is_forgotten_with_the_last_of_his_sessions() {
        let alice = Owner::new("alice");
        let mut holdings = Holdings::default();
        let [first, second] = ["1", "2"].map(|id| Entry::alone(id, Some(alice.clone())));
        assert!(holdings.add(&alice, &first, 2));
        assert!(holdings.add(&alice, &second, 2));
        holdings.remove(&alice, &first);
        assert_eq!(holdings.of(&alice).len(), 1);
        assert!(Arc::ptr_eq(&holdings.of(&alice)[0], &second));
        holdings.remove(&alice, &second);
        assert!(holdings.0.is_empty());
    }
}
