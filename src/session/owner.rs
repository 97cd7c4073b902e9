//! The owner of a session and the caller of a request (contract §5).

use std::fmt;
use std::sync::Arc;

use axum::BoxError;
use http::request::Parts;
use serde_json::{Value, json};

use crate::unwind::catch_panic;

/// The owner of a session.
///
/// Use a key that stays the same as long as the user does: issuer and subject of a token, or the key
/// of an account. Do not use the token itself: it changes whenever it is refreshed, and the user
/// would lose the session. Do not use the id of a client program alone: all users of the program
/// share it.
///
/// `Debug` and `Display` show the owner. It is not a secret, but it may be personal data.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Owner(Arc<Name>);

#[derive(Eq, Hash, PartialEq)]
struct Name {
    issuer: Option<Box<str>>,
    subject: Box<str>,
}

impl Owner {
    /// Creates an owner from one key of any form. An empty key is invalid: the guard answers 500 if a
    /// resolver returns it.
    #[must_use]
    pub fn new(key: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Name {
            issuer: None,
            subject: key.into(),
        }))
    }

    /// Creates the owner whom `issuer` knows as `subject`: the claims `iss` and `sub` of a token.
    /// Neither may be empty.
    #[must_use]
    pub fn from_issuer_subject(issuer: impl Into<Box<str>>, subject: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Name {
            issuer: Some(issuer.into()),
            subject: subject.into(),
        }))
    }

    /// Returns the issuer; `None` for an owner with one key.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }

    /// Returns the subject, or the key.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Returns the owner as text for a store. Equal owners have equal texts.
    pub(crate) fn to_text(&self) -> String {
        match self.issuer() {
            Some(issuer) => json!([issuer, self.subject()]),
            None => json!([self.subject()]),
        }
        .to_string()
    }

    /// Parses a text of [`to_text`](Self::to_text); `None` if it is invalid.
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

/// Resolves the owner of a request. Passed to
/// [`SessionGuardBuilder::owner`](crate::SessionGuardBuilder::owner), usually as a closure.
///
/// # Contract
///
/// - The guard calls the resolver once per request, before it looks up a session, on the thread that
///   serves the request. The resolver must not block. Slow work (introspection, a database) belongs
///   in an authentication layer outside the guard, which leaves its result in the request's
///   extensions.
/// - Everything in `request` that no outer layer has added comes from the client. A header proves
///   nothing unless a layer has checked it.
/// - `Ok(None)` is an anonymous request, which opens and uses anonymous sessions only.
/// - The guard answers an error, a panic and an empty owner with 500, for any session that the
///   request names. It never treats them as anonymous. The client does not see the error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot resolve the owner of a request",
    label = "not an `OwnerResolver`",
    note = "write the closure as `|request: &http::request::Parts| -> Result<Option<Owner>, axum::BoxError> {{ .. }}`: the compiler cannot infer these types",
    note = "to use a value in the request's extensions, call `owner_from_extension`"
)]
pub trait OwnerResolver: Send + Sync + 'static {
    /// Returns the owner of `request`; `None` for an anonymous request.
    ///
    /// # Errors
    ///
    /// The resolver cannot resolve the owner.
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

/// The resolver of owners, and whether every request must have one.
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
        match catch_panic(|| resolver.resolve(parts)) {
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

/// The caller of a request.
#[derive(Debug)]
pub(crate) enum Caller {
    /// The owner; `None` for an anonymous request where these are allowed.
    Known(Option<Owner>),
    /// An anonymous request where an owner is required.
    Missing,
    /// The resolver failed.
    Unresolved,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_parsed_from_its_text_and_from_no_other() {
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
