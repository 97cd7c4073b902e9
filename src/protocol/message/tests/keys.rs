//! Tests duplicate keys and lookalikes of judged keys.

use super::*;

#[test]
fn a_duplicate_key_is_found_in_every_spelling() {
    let is_ambiguous = |members: String| {
        let text = format!("{{{members}}}");
        assert_eq!(
            reason(text.as_bytes()),
            Some(RefusalReason::AmbiguousKeys),
            "{text}"
        );
    };
    for one in 0..4 {
        for other in 0..4 {
            let twice = |key: &str, value: &str| {
                let [one, other] = [one, other].map(|at| spellings(key)[at].clone());
                format!("{one}{value},{other}{value}")
            };
            let rest = r#""jsonrpc":"2.0","id":1,"method":"x""#;
            is_ambiguous(format!(r#"{},"method":"x""#, twice("jsonrpc", r#""2.0""#)));
            is_ambiguous(format!(
                r#"{},"jsonrpc":"2.0","method":"x""#,
                twice("id", "1")
            ));
            is_ambiguous(format!(r#"{},"jsonrpc":"2.0""#, twice("method", r#""x""#)));
            is_ambiguous(format!("{rest},{}", twice("params", "{}")));
            for key in [
                "_meta",
                "name",
                "uri",
                "protocolVersion",
                "clientInfo",
                "arguments",
            ] {
                is_ambiguous(format!(r#"{rest},"params":{{{}}}"#, twice(key, "{}")));
            }
        }
    }
}

#[test]
fn private_keys_of_serde_json_are_refused_at_every_level() {
    let raw = r#"{"$serde_json::private::RawValue":"{\"name\":1,\"name\":2}"}"#;
    for text in [
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{raw}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{raw}}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"arguments":[{raw}]}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","other":[[{raw}]]}}"#),
        r#"{"jsonrpc":"2.0","id":1,"method":"x","$serde_json::private::RawValue":"5"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"\u0024serde_json::private::RawValue":"5"}}"#.to_owned(),
    ] {
        let flaw = read_64(&text).unwrap_err();
        let expected = InvalidMessage {
            reason: RefusalReason::AmbiguousKeys,
            id: Some(b"1"),
        };
        assert_eq!(flaw, expected, "{text}");
    }
}

#[test]
fn a_later_member_does_not_hide_an_ambiguity() {
    let key = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    for params in [
        format!(r#"{{"name":"a","name":"b","_meta":{{{key}}}}}"#),
        format!(r#"{{"_meta":{{{key},{key}}}}}"#),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{params}}}"#);
        assert_eq!(
            reason(text.as_bytes()),
            Some(RefusalReason::AmbiguousKeys),
            "{params}"
        );
    }
}

#[test]
fn a_key_with_space_or_another_letter_is_another_key() {
    for key in [
        "method ",
        " method",
        "methods",
        "metho",
        "m\\u0000ethod",
        "\\u0000method",
        "methöd",
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","{key}":"initialize"}}"#);
        assert_eq!(
            read_64(&text).unwrap().method.as_deref(),
            Some(&b"ping"[..]),
            "{key}"
        );
    }
}

#[test]
fn keys_fold_as_in_the_parsers_that_fold() {
    for key in [
        "ID", "Id", "JSONRPC", "jſonrpc", "METHOD", "paramſ", "reſult", "Error", "PARAMS",
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","{key}":0}}"#);
        assert_eq!(
            reason(text.as_bytes()),
            Some(RefusalReason::AmbiguousKeys),
            "{key}"
        );
    }
}

/// Returns lookalikes of `key`: folded, cut at U+0000, or both, raw and escaped.
fn lookalikes(key: &str) -> Vec<String> {
    let escaped = |text: &str| -> String {
        let units = text.encode_utf16();
        units.map(|unit| format!("\\u{unit:04x}")).collect()
    };
    let upper = key.to_ascii_uppercase();
    let mut folded = vec![upper.clone(), key[..1].to_uppercase() + &key[1..]];
    folded.extend(["s", "S"].map(|s| key.replacen(s, "ſ", 1)));
    folded.extend(["k", "K"].map(|k| upper.replacen(k, "\u{212a}", 1)));
    folded.retain(|other| other != key);
    let mut all: Vec<_> = folded.iter().map(|other| escaped(other)).collect();
    for name in [vec![key.to_owned()], folded.clone()].concat() {
        all.extend(["", "x", "\\ud800", "\\u0000"].map(|behind| format!("{name}\\u0000{behind}")));
        all.push(format!("{}\\u0000", escaped(&name)));
    }
    [all, folded].concat()
}

fn assert_ambiguous(text: &str, id: Option<&str>) {
    let flaw = read_64(text).map(|_| "passes").unwrap_err();
    let expected = InvalidMessage {
        reason: RefusalReason::AmbiguousKeys,
        id: id.map(str::as_bytes),
    };
    assert_eq!(flaw, expected, "{text}");
}

#[test]
fn a_lookalike_of_a_reserved_key_is_refused() {
    for key in ["jsonrpc", "id", "method", "params", "result", "error"] {
        let id = (key != "id").then_some("1");
        for other in lookalikes(key) {
            for value in ["0", r#""tools/call""#, "{}"] {
                let rest = r#""jsonrpc":"2.0","id":1,"method":"ping""#;
                assert_ambiguous(&format!(r#"{{"{other}":{value},{rest}}}"#), id);
                assert_ambiguous(&format!(r#"{{{rest},"{other}":{value}}}"#), id);
            }
        }
    }
    for other in lookalikes("id") {
        assert_ambiguous(
            &format!(r#"{{"jsonrpc":"2.0","{other}":7,"method":"ping"}}"#),
            None,
        );
        assert_ambiguous(
            &format!(r#"{{"jsonrpc":"2.0","{other}":7,"id":1,"result":{{}}}}"#),
            None,
        );
    }
}

#[test]
fn a_lookalike_of_a_judged_key_in_params_is_refused() {
    for (keys, judging, passing) in [
        (
            &["_meta"][..],
            &[
                "tools/call",
                "initialize",
                "x",
                "notifications/x",
                "resources/read",
            ][..],
            &[][..],
        ),
        (
            &["name", "arguments"],
            &[
                "tools/call",
                "prompts/get",
                r"tools\/call",
                r"\u0074ools/call",
            ],
            &[
                "x",
                "tools/list",
                "tools/call ",
                "Tools/call",
                "initialize",
                "resources/read",
            ],
        ),
        (
            &["uri"],
            &[
                "resources/read",
                "resources/subscribe",
                "resources/",
                r"\u0072esources\/x",
            ],
            &["x", "resources", "tools/call", "initialize"],
        ),
        (
            &["protocolVersion", "clientInfo"],
            &["initialize", r"initi\u0061lize"],
            &["x", "initialize ", "tools/call", "resources/read"],
        ),
    ] {
        for other in keys.iter().flat_map(|key| lookalikes(key)) {
            let params = format!(r#""params":{{"a":1,"{other}":"b","c":[]}}"#);
            for method in judging {
                let (head, method) = (r#""jsonrpc":"2.0""#, format!(r#""method":"{method}""#));
                assert_ambiguous(
                    &format!(r#"{{{head},"id":1,{method},{params}}}"#),
                    Some("1"),
                );
                assert_ambiguous(
                    &format!(r#"{{{params},{method},"id":1,{head}}}"#),
                    Some("1"),
                );
                assert_ambiguous(&format!(r#"{{{head},{params},{method}}}"#), None);
            }
            // With these methods the key is no lookalike, so only its lone surrogate is refused.
            let expected = other
                .contains("ud800")
                .then_some(RefusalReason::LoneSurrogate);
            for method in passing {
                let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}",{params}}}"#);
                assert_eq!(reason(text.as_bytes()), expected, "{text}");
            }
        }
    }
}

#[test]
fn a_lookalike_of_the_version_key_in_meta_is_refused() {
    let key = "io.modelcontextprotocol/protocolVersion";
    for other in lookalikes(key) {
        for method in ["x", "tools/call", "initialize"] {
            let meta = format!(r#""_meta":{{"progressToken":1,"{other}":"2026-07-28"}}"#);
            let head = format!(r#""jsonrpc":"2.0","id":1,"method":"{method}""#);
            assert_ambiguous(&format!(r#"{{{head},"params":{{{meta}}}}}"#), Some("1"));
            let both = format!(r#""_meta":{{"{other}":"2026-07-28","{key}":"2026-07-28"}}"#);
            assert_ambiguous(&format!(r#"{{"params":{{{both}}},{head}}}"#), Some("1"));
        }
    }
}

#[test]
fn keys_that_are_not_judged_may_look_alike() {
    for params in [
        r#"{"arguments":{"name":1,"Name":2,"method\u0000":3}}"#,
        r#"{"clientInfo":{"Name":"x","VERSION":"1"}}"#,
        r#"{"_meta":{"progresstoken":1,"progressToken":2,"Name":3}}"#,
        r#"{"Uri":1,"PROTOCOLVERSION":2,"clientinfo":3}"#,
        r#"{"x":1,"X":2,"x\u0000":3}"#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        assert_eq!(reason(text.as_bytes()), None, "{params}");
    }
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"x","extra":1,"Extra":2,"extra\u0000":3}"#;
    assert_eq!(reason(text.as_bytes()), None);
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"_META":1,"Name":2,"protocolversion":3}}"#;
    assert_eq!(reason(text.as_bytes()), None);
}
