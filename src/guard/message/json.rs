//! The small parts of the reader: values that are skipped, or taken if they are strings.
//!
//! `serde::de::IgnoredAny` checks neither depth nor surrogates and allocates on nesting; these
//! visit every value, so that what they skip has been read like everything else.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};

/// What the whole document was found to have.
#[derive(Debug, Default)]
pub(super) struct Findings {
    deepest: Cell<usize>,
    private_key: Cell<bool>,
}

impl Findings {
    pub(super) fn deepest(&self) -> usize {
        self.deepest.get()
    }

    /// Whether a key, at any level, means something to serde_json alone: its `Value` replaces
    /// `{"$serde_json::private::RawValue": "…"}` by what the string says, unseen by any guard.
    pub(super) fn has_private_key(&self) -> bool {
        self.private_key.get()
    }
}

/// How deep a value stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth<'d> {
    level: usize,
    max: usize,
    findings: &'d Findings,
}

impl<'d> Depth<'d> {
    pub(super) fn top(max: usize, findings: &'d Findings) -> Self {
        Self {
            level: 0,
            max,
            findings,
        }
    }

    /// Steps into an object or array.
    pub(super) fn enter(self) -> Self {
        let level = self.level + 1;
        self.findings
            .deepest
            .set(self.findings.deepest.get().max(level));
        Self { level, ..self }
    }

    /// Whether it is known already that the document is refused. It is still read on, without
    /// recursion, for its id may follow.
    pub(super) fn is_exceeded(self) -> bool {
        self.level > self.max
    }

    pub(super) fn note_key(self, key: &str) {
        // With serde_json's feature `arbitrary_precision` every number has this key.
        if key.starts_with(PRIVATE) && key != "$serde_json::private::Number" {
            self.findings.private_key.set(true);
        }
    }
}

/// A value that nobody needs; tells whether it was `null`.
#[derive(Clone, Copy)]
pub(super) struct Skip<'d> {
    pub(super) depth: Depth<'d>,
}

value_seed!(Skip<'_> => bool);

impl<'a> Visitor<'a> for Skip<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<bool, A::Error> {
        let depth = self.depth.enter();
        while map.next_key_seed(AnyKey(depth))?.is_some() {
            map.next_value_seed(Self { depth })?;
        }
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<bool, A::Error> {
        let depth = self.depth.enter();
        while seq.next_element_seed(Self { depth })?.is_some() {}
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    no_text!(false, null: true);
}

key_seed!(AnyKey -> (), |_key| ());

/// A value that is taken if it is a string.
#[derive(Clone, Copy)]
pub(super) struct Text<'d> {
    pub(super) depth: Depth<'d>,
}

value_seed!(Text<'_> => Option<Cow<'a, str>>);

impl<'a> Visitor<'a> for Text<'_> {
    type Value = Option<Cow<'a, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Self::Value, A::Error> {
        Skip { depth: self.depth }.visit_map(map).map(|_| None)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Skip { depth: self.depth }.visit_seq(seq).map(|_| None)
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    no_text!(None);
}

/// The visitor methods of what is neither string, object nor array.
macro_rules! no_text {
    ($value:expr) => {
        $crate::guard::message::json::no_text!($value, null: $value);
    };
    ($value:expr, null: $null:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($null)
        }
    };
}
pub(super) use no_text;

/// The visitor methods of whatever is no object, for visitors to which all of that is one.
macro_rules! no_object {
    ($value:expr) => {
        fn visit_seq<A: ::serde::de::SeqAccess<'a>>(self, seq: A) -> Result<Self::Value, A::Error> {
            $crate::guard::message::json::Skip { depth: self.depth }
                .visit_seq(seq)
                .map(|_| $value)
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }

        $crate::guard::message::json::no_text!($value);
    };
}
pub(super) use no_object;

/// A seed that reads an object's key and makes `$value` of it.
macro_rules! key_seed {
    ($seed:ident -> $type:ty, |$key:ident| $value:expr) => {
        struct $seed<'d>($crate::guard::message::json::Depth<'d>);

        impl<'a> ::serde::de::DeserializeSeed<'a> for $seed<'_> {
            type Value = $type;

            fn deserialize<D: ::serde::Deserializer<'a>>(self, json: D) -> Result<$type, D::Error> {
                json.deserialize_str(self)
            }
        }

        impl<'a> ::serde::de::Visitor<'a> for $seed<'_> {
            type Value = $type;

            fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'a str) -> Result<$type, E> {
                self.0.note_key(key);
                let $key: ::std::borrow::Cow<'a, str> = key.into();
                Ok($value)
            }

            fn visit_str<E>(self, key: &str) -> Result<$type, E> {
                self.0.note_key(key);
                let $key: ::std::borrow::Cow<'a, str> = key.to_owned().into();
                Ok($value)
            }
        }
    };
}
pub(super) use key_seed;

/// Reads any value by the visitor that the seed is, but nothing past the depth limit.
macro_rules! value_seed {
    ($seed:ty => $value:ty) => {
        impl<'a> ::serde::de::DeserializeSeed<'a> for $seed {
            type Value = $value;

            fn deserialize<D: ::serde::Deserializer<'a>>(
                self,
                json: D,
            ) -> Result<$value, D::Error> {
                match self.depth.is_exceeded() {
                    true => <::serde::de::IgnoredAny as ::serde::Deserialize>::deserialize(json)
                        .map(|_| <$value>::default()),
                    false => json.deserialize_any(self),
                }
            }
        }
    };
}
pub(super) use value_seed;

const PRIVATE: &str = "$serde_json::private::";
