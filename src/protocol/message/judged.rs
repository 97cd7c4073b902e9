//! Finds judged keys, and lookalikes: keys that another parser reads as a judged key.
//!
//! Go's `encoding/json` folds case. Parsers in C (cJSON, json-c) end a key at its first U+0000.

use super::escape::unescape_start;
use super::string::Quoted;

/// How a key compares with the judged keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found<K> {
    /// The judged key, with or without escapes.
    Same(K),
    /// A lookalike: another key that some parser reads as this one.
    Lookalike(K),
    Other,
}

/// Compares a key with the judged keys, none of which is longer than [`LONGEST`].
#[inline]
pub(super) fn find<K: Copy>(key: Quoted<'_>, judged: &[(&str, K)]) -> Found<K> {
    let mut buffer = [0; BUFFER_SIZE];
    let (text, is_cut) = match key.is_escaped() {
        true => unescape_start(key.inside(), &mut buffer),
        // JSON does not allow a raw NUL.
        false => (key.inside(), false),
    };
    match judged.iter().find(|(name, _)| folds_to(text, name)) {
        Some((name, known)) if !is_cut && text == name.as_bytes() => Found::Same(*known),
        Some((_, known)) => Found::Lookalike(*known),
        None => Found::Other,
    }
}

/// Returns whether `text` equals `name` if case is folded as parsers do. `text` may be invalid UTF-8.
#[inline]
fn folds_to(mut text: &[u8], name: &str) -> bool {
    for expected in name.bytes() {
        let (byte, rest) = match text {
            [0xc5, 0xbf, rest @ ..] => (b's', rest), // U+017F, long s
            [0xe2, 0x84, 0xaa, rest @ ..] => (b'k', rest), // U+212A, kelvin
            [byte, rest @ ..] => (*byte, rest),
            [] => return false,
        };
        if !byte.eq_ignore_ascii_case(&expected) {
            return false;
        }
        text = rest;
    }
    text.is_empty()
}

/// Returns whether a key is private to serde_json. Its `Value` replaces
/// `{"$serde_json::private::RawValue": "…"}` with the JSON in the string, which the guard does not read.
#[cold]
pub(super) fn is_private(key: Quoted<'_>) -> bool {
    let inside = key.inside();
    // Nearly all keys that reach this function only have an escape.
    if !inside.starts_with(b"$") && !inside.starts_with(br"\u0024") {
        return false;
    }
    let mut buffer = [0; BUFFER_SIZE];
    let (text, is_cut) = unescape_start(inside, &mut buffer);
    // With serde_json's feature `arbitrary_precision` every number has the excepted key.
    text.starts_with(PRIVATE) && (is_cut || text != PRIVATE_NUMBER)
}

/// The length of the longest judged key.
pub(super) const LONGEST: usize = 39;
/// The size of the buffer for a key. A letter takes up to three bytes, so a key that leaves at most three
/// bytes free is longer than every spelling of the longest judged key.
const BUFFER_SIZE: usize = 3 * LONGEST + 4;
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
    fn a_key_is_a_lookalike_if_it_folds_or_ends_at_nul() {
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
            assert_eq!(found(inside), Found::Lookalike(known), "{inside}");
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
            assert_eq!(find(key, &[(&name, 1)]), Found::Lookalike(1), "{inside}");
        }
        for behind in ["k", r"\u212a", r"\ud83d\ude00", "x\\u0000"] {
            let text = format!("\"{kelvins}{behind}\":");
            let key = Quoted::read(text.as_bytes()).unwrap();
            assert_eq!(find(key, &[(&name, 1)]), Found::Other, "{behind}");
        }
    }

    #[test]
    fn other_keys_match_no_judged_key() {
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
    fn a_private_key_is_one_that_serde_json_reserves_for_itself() {
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
