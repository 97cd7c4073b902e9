//! Tests the reader of messages as a whole.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod ids;
mod keys;
mod surrogates;

fn read_64(text: &str) -> Result<Message<'_>, InvalidMessage<'_>> {
    read(text.as_bytes(), Bounds::for_requests(64))
}

fn reason(text: &[u8]) -> Option<RefusalReason> {
    read(text, Bounds::for_requests(64))
        .err()
        .map(|flaw| flaw.reason)
}

#[test]
fn a_request_is_read_without_a_copy() {
    let message =
        read_64(r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{}}"#).unwrap();
    assert_eq!(message.kind, MessageKind::Request);
    assert_eq!(message.id, Some(&br#""a""#[..]));
    assert!(matches!(message.method, Some(Cow::Borrowed(b"tools/call"))));
}

#[test]
fn initialize_is_read_with_its_client_info() {
    let text = r#"{"method":"initialize","params":{"clientInfo":{"version":"2","x":[],"name":"n"},
        "protocolVersion":"2025-11-25","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}},
        "jsonrpc":"2.0","id":0}"#;
    let fields = read_64(text).unwrap();
    assert_eq!(fields.client_name().as_deref(), Some("n"));
    assert_eq!(fields.client_version().as_deref(), Some("2"));
    assert_eq!(fields.protocol_version().as_deref(), Some("2025-11-25"));
    assert_eq!(fields.claim, Claim::Text("2026-07-28".into()));
}

#[test]
fn the_version_of_a_result_is_read() {
    let text = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}"#;
    let message = read_64(text).unwrap();
    assert_eq!(message.kind, MessageKind::Response);
    assert_eq!(message.protocol_version().as_deref(), Some("2025-06-18"));
}

#[test]
fn invalid_json_is_a_parse_error() {
    for text in [
        &b""[..],
        b" ",
        b"{",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\\ud80\"}",
        b"{\"a\":\"\\ud800\xff\"}",
        b"{\"a\":[\"\\udc00\"}",
        b"{} {}",
        b"{}x",
        b"[1,]",
        b"{\"a\":01}",
        b"{\"a\":1e999}",
        b"{\"a\":NaN}",
        b"{'a':1}",
        b"{\"a\":\"\x01\"}",
        b"{\"a\":1,}",
        b"{,\"a\":1}",
        b"{\"a\":1 \"b\":1}",
        b"{\"params\":{,\"a\":1}}",
        b"{\"params\":{\"a\":1 \"b\":1}}",
        b"// {}",
    ] {
        assert_eq!(
            reason(text),
            Some(RefusalReason::ParseError),
            "{}",
            text.escape_ascii()
        );
    }
}

#[test]
fn invalid_utf_8_is_found_even_if_its_bytes_come_in_pairs() {
    for distance in [64, 128, 192] {
        for place in 0..300 {
            let mut inside = [b'a'; 600];
            (inside[place], inside[place + distance]) = (0x80, 0x80);
            let text = [b"{\"a\":\"", &inside[..], b"\"}"].concat();
            assert_eq!(reason(&text), Some(RefusalReason::ParseError), "{place}");
        }
    }
}

#[test]
fn whitespace_is_allowed_around_every_token() {
    for space in [" ", "\n", "\t", "\r", "\r\n\t "] {
        let text = r#"_{_"jsonrpc"_:_"2.0"_,_"id"_:_1_,_"method"_:_"x"_,_"params"_:_{_"name"_:_"n"_,_"a"_:_[_[_]_,_{_}_,_{_"b"_:_1_}_,_true_]_}_}_"#;
        let message = text.replace('_', space);
        let message = read_64(&message).unwrap();
        assert_eq!(message.id, Some(&b"1"[..]), "{space:?}");
        assert_eq!(message.name().as_deref(), Some(&b"n"[..]), "{space:?}");
    }
}

#[test]
fn the_depth_after_a_member_equals_the_depth_before_it() {
    let text = r#"{"params":{"_meta":{},"clientInfo":{}},"x":[[]],"jsonrpc":"2.0","method":"x"}"#;
    assert!(read(text.as_bytes(), Bounds::for_requests(3)).is_ok());
}

/// Returns spellings of `"key":` that name the same key.
fn spellings(key: &str) -> [String; 4] {
    let first = u32::from(key.chars().next().unwrap());
    [
        format!(r#""{key}":"#),
        format!(r#""{key}" :"#),
        format!("\n\"{key}\": "),
        format!(r#""\u{first:04x}{}":"#, &key[1..]),
    ]
}

#[test]
fn a_key_is_found_in_every_spelling() {
    for at in 0..4 {
        let key = |key: &str| spellings(key)[at].clone();
        let [jsonrpc, id, method, params] = ["jsonrpc", "id", "method", "params"].map(key);
        let [meta, name, uri, version, client, arguments] = [
            "_meta",
            "name",
            "uri",
            "protocolVersion",
            "clientInfo",
            "arguments",
        ]
        .map(key);
        let claim = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        let text = format!(
            r#"{{{jsonrpc}"2.0",{id}7,{method}"m",{params}{{{name}"n",{arguments}{{"name":1}},{uri}"u",
            {version}"v",{client}{{{name}"c",{}"1"}},{meta}{claim}}}}}"#,
            key("version")
        );
        let message = read_64(&text).unwrap();
        assert_eq!(message.id, Some(&b"7"[..]), "{text}");
        assert_eq!(message.method.as_deref(), Some(&b"m"[..]), "{text}");
        assert_eq!(message.name().as_deref(), Some(&b"n"[..]), "{text}");
        assert_eq!(message.uri().as_deref(), Some(&b"u"[..]), "{text}");
        assert_eq!(message.protocol_version().as_deref(), Some("v"), "{text}");
        assert_eq!(message.client_name().as_deref(), Some("c"), "{text}");
        assert_eq!(message.client_version().as_deref(), Some("1"), "{text}");
        assert_eq!(message.claim, Claim::Text("2026-07-28".into()), "{text}");

        let [result, server, error] = ["result", "serverInfo", "error"].map(key);
        let text = format!(
            r#"{{{jsonrpc}"2.0",{id}7,{result}{{{server}{{"protocolVersion":"x"}},{version}"v"}}}}"#
        );
        let message = read_64(&text).unwrap();
        assert_eq!(message.kind, MessageKind::Response, "{text}");
        assert_eq!(message.protocol_version().as_deref(), Some("v"), "{text}");
        let text = format!(r#"{{{jsonrpc}"2.0",{id}7,{error}{{}}}}"#);
        assert!(read_64(&text).unwrap().is_error, "{text}");
    }
}

#[test]
fn an_empty_object_counts_as_a_level() {
    for (params, depth) in [
        ("{}", 2),
        (r#"{"a":{}}"#, 3),
        (r#"{"arguments":{}}"#, 3),
        ("[{}]", 3),
        (r#"{"_meta":{"a":{}}}"#, 4),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{params}}}"#);
        let read = |depth| read(text.as_bytes(), Bounds::for_requests(depth));
        assert!(read(depth).is_ok(), "{params}");
        let flaw = read(depth - 1).unwrap_err();
        assert_eq!(flaw.reason, RefusalReason::TooDeep, "{params}");
    }
    for broken in [r#"{"a":{}"#, r#"{"a":{,}}"#, r#"{"a":{}}}"#, r#"{"a":{]}"#] {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{broken}}}"#);
        assert_eq!(
            reason(text.as_bytes()),
            Some(RefusalReason::ParseError),
            "{broken}"
        );
    }
    // An empty object may stand at the deepest level, and no deeper.
    let levels = "[".repeat(125) + "{}" + &"]".repeat(125);
    let text = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{levels}}}"#);
    assert!(read(text.as_bytes(), Bounds::for_requests(127)).is_ok());
    let text = format!(r#"{{"jsonrpc":"2.0","method":"x","params":[{levels}]}}"#);
    assert_eq!(reason(text.as_bytes()), Some(RefusalReason::TooDeep));
}

#[test]
fn endless_nesting_is_refused_without_a_stack_overflow() {
    for open in ["[", r#"{"a":"#] {
        let nested = open.repeat(100_000);
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{nested}"#);
        assert_eq!(reason(text.as_bytes()), Some(RefusalReason::ParseError));
    }
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(reason(nested.as_bytes()), Some(RefusalReason::TooDeep));
}

#[test]
fn depth_is_counted_in_every_member() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for (before, after, around) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":"#, "}", 1),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","other":"#, "}", 1),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"a":"#,
            "}}}",
            3,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"clientInfo":"#,
            "}}",
            2,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"#,
            "}}",
            2,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"error":"#, "}", 1),
    ] {
        let text = |depth: usize| format!("{before}{}{after}", nested(depth - around));
        assert_eq!(reason(text(64).as_bytes()), None, "{before}");
        assert_eq!(
            reason(text(65).as_bytes()),
            Some(RefusalReason::TooDeep),
            "{before}"
        );
    }
}

#[test]
fn the_id_is_found_after_a_value_of_any_depth() {
    for (limit, depth) in [
        (1, 1),
        (64, 64),
        (64, 126),
        (64, 127),
        (64, 100_000),
        (126, 200),
    ] {
        let nested = "[".repeat(depth) + &"]".repeat(depth);
        let text = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{nested},"id":8}}"#);
        let flaw = read(text.as_bytes(), Bounds::for_requests(limit)).unwrap_err();
        let expected = InvalidMessage {
            reason: RefusalReason::TooDeep,
            id: Some(b"8"),
        };
        assert_eq!(flaw, expected, "{limit} {depth}");
    }
    let nested = "[".repeat(126) + &"]".repeat(126);
    let text = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{nested},"id":8}}"#);
    assert!(read(text.as_bytes(), Bounds::for_requests(127)).is_ok());
    let text = text.replace(&nested, &format!("[{nested}]"));
    let flaw = read(text.as_bytes(), Bounds::for_requests(127)).unwrap_err();
    assert_eq!(flaw.reason, RefusalReason::TooDeep);
}

#[test]
fn a_claim_is_read_from_params_only() {
    let claim = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{claim}}}"#);
    assert_eq!(read_64(&text).unwrap().claim, Claim::Absent);
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{}},"params":{claim}}}"#);
    assert_eq!(
        read_64(&text).unwrap().claim,
        Claim::Text("2026-07-28".into())
    );
}

#[test]
fn malformed_json_wins_over_too_deep_up_to_level_127() {
    let text = format!(
        r#"{{"jsonrpc":"2.0","params":{}{}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    assert_eq!(reason(text.as_bytes()), Some(RefusalReason::ParseError));
}

#[test]
fn a_million_keys_and_a_long_string_are_read() {
    let keys: Vec<_> = (0..1_000_000).map(|key| format!(r#""k{key}":0"#)).collect();
    let keys = keys.join(",");
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{{keys}}}}}"#);
    assert_eq!(read_64(&text).unwrap().id, Some(&b"1"[..]));
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":["{}"]}}"#,
        "é".repeat(1 << 19)
    );
    assert_eq!(read_64(&text).unwrap().id, Some(&b"1"[..]));
}

#[test]
fn a_message_has_at_most_64_members_that_json_rpc_does_not_define() {
    for (count, expected) in [(64, None), (65, Some(RefusalReason::AmbiguousKeys))] {
        let keys: Vec<_> = (0..count).map(|key| format!(r#""k{key}":0"#)).collect();
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x",{}}}"#,
            keys.join(",")
        );
        assert_eq!(reason(text.as_bytes()), expected, "{count}");
    }
}

#[test]
fn an_answer_of_the_inner_service_is_read_leniently() {
    for text in [
        r#"{"jsonrpc":"2.0","id":0,"ID\u0000":7,"result":{"protocolVersion":"1"},"error":null}"#,
        r#"{"id":0,"result":{"protocolVersion":"1"}}"#,
        r#"{"jsonrpc":"2.0","id":0,"ID":7,"x":1,"x":2,"result":{"protocolVersion":"1"}}"#,
    ] {
        let message = read(text.as_bytes(), Bounds::FOR_ANSWERS).unwrap();
        assert_eq!(
            (message.kind, message.is_error),
            (MessageKind::Response, false),
            "{text}"
        );
        assert_eq!(message.protocol_version().as_deref(), Some("1"));
        assert!(read_64(text).is_err());
    }
}

/// Generates JSON values with the members that the reader looks at, in the wrong places too.
fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("2.0"),
        Just("initialize"),
        Just("ping"),
        Just("2026-07-28"),
        Just(""),
        Just("é\u{0}\"\\"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_i64..5).prop_map(Value::from),
        (-1e9_f64..1e9).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof![
            Just("jsonrpc"),
            Just("id"),
            Just("method"),
            Just("params"),
            Just("result"),
            Just("error"),
            Just("_meta"),
            Just("name"),
            Just("clientInfo"),
            Just("protocolVersion"),
            Just("io.modelcontextprotocol/protocolVersion"),
            Just("x"),
            Just("Method"),
            Just("method\0"),
            Just("arguments"),
            Just("Name"),
            Just("argumentſ"),
            Just("name\0x"),
            Just("_META"),
            Just("io.modelcontextprotocol/protocolversion"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..7).prop_map(|members| {
                Value::Object(
                    members
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

fn message_like() -> impl Strategy<Value = Value> {
    (
        any_value(),
        any_value(),
        prop::sample::select(vec!["method", "result", "error"]),
        any_value(),
    )
        .prop_map(|(id, other, member, value)| {
            let mut message = json!({ "jsonrpc": "2.0", "id": id, "params": other });
            message[member] = match member {
                "method" => Value::from("tools/call"),
                _ => value,
            };
            message
        })
}

/// Returns whether a message holds a lookalike of a judged key.
fn has_lookalike(message: &Value) -> bool {
    let any_lookalike = |object: &Value, judged: &[&str]| {
        let is_lookalike = |key: &String| {
            let start = key.split('\0').next().unwrap_or_default();
            let folded = start.replace('ſ', "s").to_lowercase();
            !judged.contains(&&**key) && judged.iter().any(|name| name.to_lowercase() == folded)
        };
        object
            .as_object()
            .is_some_and(|object| object.keys().any(is_lookalike))
    };
    let of_method: &[&str] = match message["method"].as_str() {
        Some("tools/call") => &["name", "arguments"],
        Some("initialize") => &["protocolVersion", "clientInfo"],
        _ => &[],
    };
    let params = &message["params"];
    let reserved = ["jsonrpc", "id", "method", "params", "result", "error"];
    any_lookalike(message, &reserved)
        || any_lookalike(params, &["_meta"])
        || any_lookalike(params, of_method)
        || any_lookalike(
            &params["_meta"],
            &["io.modelcontextprotocol/protocolVersion"],
        )
}

proptest! {
    #[test]
    fn serde_json_reads_an_accepted_message_the_same_way(value in prop_oneof![any_value(), message_like()]) {
        let text = value.to_string();
        if let Ok(message) = read_64(&text) {
            prop_assert_eq!(message.method.as_deref(), value["method"].as_str().map(str::as_bytes));
            let id = message.id.map(|id| serde_json::from_slice::<Value>(id).unwrap());
            prop_assert_eq!(id.as_ref(), value.get("id").filter(|id| !id.is_null()));
            prop_assert_eq!(message.kind == MessageKind::Response, value.get("method").is_none());
            let is_there = |member| value.get(member).is_some_and(|value| !value.is_null());
            prop_assert_eq!(message.is_error, is_there("error"));
            prop_assert!(!has_lookalike(&value));
            let fields = if value.get("result").is_some() && !message.is_error { &value["result"] } else { &value["params"] };
            let claim = &fields["_meta"]["io.modelcontextprotocol/protocolVersion"];
            let expected = match claim {
                Value::Null if value["params"]["_meta"].get("io.modelcontextprotocol/protocolVersion").is_none() => Claim::Absent,
                Value::String(text) => Claim::Text(text.into()),
                _ => Claim::NotText,
            };
            let name = message.name();
            prop_assert_eq!(message.claim, expected);
            prop_assert_eq!(name.as_deref(), value["params"]["name"].as_str().map(str::as_bytes));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&bytes, Bounds::for_requests(64));
    }

    #[test]
    fn text_that_serde_json_refuses_is_refused(text in r#"[\[\]{}",:0-9a-z\\ \-.e]{0,24}"#) {
        if serde_json::from_str::<Value>(&text).is_err() {
            prop_assert!(read_64(&text).is_err());
        }
    }
}
