//! Keys that the guard judges by, and keys that another parser reads as one of them.
//!
//! Go's `encoding/json` folds case, parsers in C (cJSON, json-c) end a key at its first U+0000.

use super::escape::unescape_start;
use super::string::Quoted;

/// What a key is beside those that are judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found<K> {
    /// The key itself, however it is escaped.
    Same(K),
    /// Another key, which some parser reads as this one.
    Alike(K),
    Other,
}

/// Finds a key among those that are judged, none of which is longer than [`LONGEST`].
#[inline]
pub(super) fn find<K: Copy>(key: Quoted<'_>, judged: &[(&str, K)]) -> Found<K> {
    let mut buffer = [0; ROOM];
    let (letters, is_cut) = match key.is_escaped() {
        true => unescape_start(key.inside(), &mut buffer),
        // A raw NUL is no JSON.
        false => (key.inside(), false),
    };
    match judged.iter().find(|(name, _)| folds_to(letters, name)) {
        Some((name, known)) if !is_cut && letters == name.as_bytes() => Found::Same(*known),
        Some((_, known)) => Found::Alike(*known),
        None => Found::Other,
    }
}

/// Whether `letters`, which may be no UTF-8, are those of `name` when case is ignored as parsers do.
#[inline]
fn folds_to(mut letters: &[u8], name: &str) -> bool {
    for expected in name.bytes() {
        let (letter, rest) = match letters {
            [0xc5, 0xbf, rest @ ..] => (b's', rest), // U+017F, long s
            [0xe2, 0x84, 0xaa, rest @ ..] => (b'k', rest), // U+212A, kelvin
            [letter, rest @ ..] => (*letter, rest),
            [] => return false,
        };
        if !letter.eq_ignore_ascii_case(&expected) {
            return false;
        }
        letters = rest;
    }
    letters.is_empty()
}

/// Whether a key means something to serde_json alone: its `Value` replaces
/// `{"$serde_json::private::RawValue": "…"}` by what the string says, unseen by any guard.
#[cold]
pub(super) fn is_private(key: Quoted<'_>) -> bool {
    let inside = key.inside();
    // Nearly all keys that come here are merely escaped.
    if !inside.starts_with(b"$") && !inside.starts_with(br"\u0024") {
        return false;
    }
    let mut buffer = [0; ROOM];
    let (letters, is_cut) = unescape_start(inside, &mut buffer);
    // With serde_json's feature `arbitrary_precision` every number has the excepted key.
    letters.starts_with(PRIVATE) && (is_cut || letters != PRIVATE_NUMBER)
}

/// How many letters a judged key has at most.
pub(super) const LONGEST: usize = 39;
/// What fills it, but for three bytes, is longer than every spelling of the longest key: a letter has
/// up to three bytes.
const ROOM: usize = 3 * LONGEST + 4;
const PRIVATE: &[u8] = b"$serde_json::private::";
const PRIVATE_NUMBER: &[u8] = b"$serde_json::private::Number";

#[cfg(test)]
mod tests {
    use super::*;

    const JUDGED: [(&str, u8); 3] = [
        ("method", 1),
        ("jsonrpc", 2),
        ("io.modelcontextprotocol/protocolVersion", 3),
    ];

    fn found(inside: &str) -> Found<u8> {
        let text = format!("\"{inside}\":");
        find(Quoted::read(text.as_bytes()).unwrap(), &JUDGED)
    }

    #[test]
    fn a_key_is_the_same_however_it_is_escaped() {
        for (inside, known) in [
            ("method", 1),
            (r"\u006dethod", 1),
            (r"metho\u0064", 1),
            (r"\u006d\u0065\u0074\u0068\u006F\u0064", 1),
            (r"io.modelcontextprotocol\/protocolVersion", 3),
        ] {
            assert_eq!(found(inside), Found::Same(known), "{inside}");
        }
    }

    #[test]
    fn a_key_is_alike_if_it_folds_or_ends_at_nul() {
        for (inside, known) in [
            ("Method", 1),
            ("METHOD", 1),
            (r"\u004dethod", 1),
            ("jſonrpc", 2),
            (r"j\u017fonrpc", 2),
            (r"J\u017FONRPC", 2),
            (r"method\u0000", 1),
            (r"method\u0000\ud800", 1),
            (r"METHOD\u0000x", 1),
            (r"jſonrpc\u0000", 2),
            ("io.modelcontextprotocol/protocolversion", 3),
            (r"io.modelcontextprotocol/protocolVersion\u0000", 3),
            ("IO.MODELCONTEXTPROTOCOL/PROTOCOLVERſION", 3),
        ] {
            assert_eq!(found(inside), Found::Alike(known), "{inside}");
        }
    }

    #[test]
    fn every_spelling_of_the_longest_key_is_found() {
        assert_eq!(
            JUDGED.map(|(name, _)| name.len()).into_iter().max(),
            Some(LONGEST)
        );
        let name = "k".repeat(LONGEST);
        let kelvins = r"\u212a".repeat(LONGEST);
        for inside in [
            kelvins.clone(),
            kelvins.clone() + r"\u0000",
            "\u{212a}".repeat(LONGEST),
        ] {
            let text = format!("\"{inside}\":");
            let key = Quoted::read(text.as_bytes()).unwrap();
            assert_eq!(find(key, &[(&name, 1)]), Found::Alike(1), "{inside}");
        }
        for behind in ["k", r"\u212a", r"\ud83d\ude00", "x\\u0000"] {
            let text = format!("\"{kelvins}{behind}\":");
            let key = Quoted::read(text.as_bytes()).unwrap();
            assert_eq!(find(key, &[(&name, 1)]), Found::Other, "{behind}");
        }
    }

    #[test]
    fn other_keys_are_others() {
        for inside in [
            "",
            r"\u0000",
            r"\u0000method",
            "method ",
            " method",
            "methods",
            "metho",
            r"meth\u0000od",
            r"method\n",
            r"method\ud800",
            r"meth\ud800od",
            "m\u{e9}thod",
            "\u{17f}",
            "\u{130}d",
        ] {
            assert_eq!(found(inside), Found::Other, "{inside}");
        }
    }

    #[test]
    fn private_keys_are_those_that_serde_json_takes_for_its_own() {
        for (inside, expected) in [
            ("$serde_json::private::RawValue", true),
            (r"\u0024serde_json::private::RawValue", true),
            (r"$serde_json:\u003aprivate::RawValue", true),
            ("$serde_json::private::", true),
            ("$serde_json::private::Number", false),
            (r"$serde_json::private::Numbe\u0072", false),
            (r"$serde_json::private::Number\u0000", true),
            ("$serde_json::private:", false),
            (r"$serde_json\u0000::private::RawValue", false),
            (r"\u0023serde_json::private::RawValue", false),
            ("$ref", false),
        ] {
            let text = format!("\"{inside}\":");
            assert_eq!(
                is_private(Quoted::read(text.as_bytes()).unwrap()),
                expected,
                "{inside}"
            );
        }
    }
}
