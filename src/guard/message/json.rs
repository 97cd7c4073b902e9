//! The small parts of the reader: values that are skipped, or taken if they are strings.
//!
//! `serde::de::IgnoredAny` checks neither depth nor surrogates and allocates on nesting; these
//! visit every value, so that what they skip has been read like everything else.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// How deep a value stands, and how deep the document was found to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth<'d> {
    level: usize,
    deepest: &'d Cell<usize>,
}

impl<'d> Depth<'d> {
    pub(super) fn top(deepest: &'d Cell<usize>) -> Self {
        Self { level: 0, deepest }
    }

    /// Steps into an object or array. Too deep a document is read on, for its id may follow.
    pub(super) fn enter(self) -> Self {
        let level = self.level + 1;
        self.deepest.set(self.deepest.get().max(level));
        Self { level, ..self }
    }
}

/// A value that nobody needs.
#[derive(Clone, Copy)]
pub(super) struct Skip<'d>(pub(super) Depth<'d>);

impl<'a> DeserializeSeed<'a> for Skip<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Skip<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let inside = Self(self.0.enter());
        while map.next_key_seed(inside)?.is_some() {
            map.next_value_seed(inside)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let inside = Self(self.0.enter());
        while seq.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    no_text!(());
}

/// A value that is taken if it is a string.
#[derive(Clone, Copy)]
pub(super) struct Text<'d>(pub(super) Depth<'d>);

impl<'a> DeserializeSeed<'a> for Text<'_> {
    type Value = Option<Cow<'a, str>>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Text<'_> {
    type Value = Option<Cow<'a, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Self::Value, A::Error> {
        Skip(self.0).visit_map(map).map(|()| None)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Skip(self.0).visit_seq(seq).map(|()| None)
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
            Ok($value)
        }
    };
}
pub(super) use no_text;

/// The visitor methods of whatever is no object, for visitors to which all of that is one.
macro_rules! no_object {
    ($value:expr) => {
        fn visit_seq<A: ::serde::de::SeqAccess<'a>>(self, seq: A) -> Result<Self::Value, A::Error> {
            $crate::guard::message::json::Skip(self.depth)
                .visit_seq(seq)
                .map(|()| $value)
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
        struct $seed;

        impl<'a> ::serde::de::DeserializeSeed<'a> for $seed {
            type Value = $type;

            fn deserialize<D: ::serde::Deserializer<'a>>(self, json: D) -> Result<$type, D::Error> {
                json.deserialize_str(self)
            }
        }

        impl<'a> ::serde::de::Visitor<'a> for $seed {
            type Value = $type;

            fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'a str) -> Result<$type, E> {
                let $key: ::std::borrow::Cow<'a, str> = key.into();
                Ok($value)
            }

            fn visit_str<E>(self, key: &str) -> Result<$type, E> {
                let $key: ::std::borrow::Cow<'a, str> = key.to_owned().into();
                Ok($value)
            }
        }
    };
}
pub(super) use key_seed;
