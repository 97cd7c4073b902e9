//! Whose a session is, and who sends a request (contract §5).

use std::fmt;
use std::sync::Arc;

use axum::BoxError;
use http::request::Parts;
use serde_json::{Value, json};

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
    pub fn from_issuer_subject(issuer: impl Into<Box<str>>, subject: impl Into<Box<str>>) -> Self {
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
            [issuer, subject] => Self::from_issuer_subject(issuer.as_str()?, subject.as_str()?),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_as_a_store_names_it() {
        for owner in [
            Owner::new("a\"b"),
            Owner::from_issuer_subject("https://login.example", "a"),
        ] {
            assert_eq!(Owner::from_text(&owner.to_text()), Some(owner));
        }
        for text in ["", "a", "[]", r#"[""]"#, r#"["","a"]"#, r#"["a",""]"#] {
            assert_eq!(Owner::from_text(text), None, "{text}");
        }
        for text in [r#"["a","b","c"]"#, r#"["a",1]"#, "[1]", r#"{"a":"b"}"#] {
            assert_eq!(Owner::from_text(text), None, "{text}");
        }
    }
}
