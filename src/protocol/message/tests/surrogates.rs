//! Tests strings with lone surrogates.

use super::*;

fn accepting() -> Bounds {
    Bounds::for_requests(64).with_lone_surrogates(true)
}

/// Returns the reasons of the refusals by default and with the setting that accepts lone surrogates.
fn reasons(text: &str) -> [Option<RefusalReason>; 2] {
    let reason = |bounds| read(text.as_bytes(), bounds).err().map(|flaw| flaw.reason);
    [reason(Bounds::for_requests(64)), reason(accepting())]
}

#[test]
fn a_lone_surrogate_is_refused_with_the_requests_id_unless_it_is_accepted() {
    for params in [
        r#"{"a":"\ud83d"}"#,
        r#"{"a":["x","\ude00"]}"#,
        r#"{"a":"\ud83d\ud83d\ude00"}"#,
        r#"{"\uD83D":1}"#,
        r#"{"name":"n","arguments":{"\ud83d":{"b":[[{"c":"\udE00"}]]}}}"#,
        r#"{"name":["\ud83d"],"uri":{"a":"\ud83d"}}"#,
        r#"{"_meta":{"progressToken":"\ud83d"}}"#,
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":["\ud83d"]}}"#,
        r#"{"_meta":"\ud83d"}"#,
        r#"{"clientInfo":{"title":"\ud83d"}}"#,
        r#"["\ud83d"]"#,
        r#""\ud83d""#,
    ] {
        for text in [
            format!(r#"{{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{params}}}"#),
            format!(r#"{{"params":{params},"method":"x","id":"a","jsonrpc":"2.0"}}"#),
            format!(r#"{{"jsonrpc":"2.0","extra":{params},"id":"a","method":"initialize"}}"#),
        ] {
            let expected = InvalidMessage {
                reason: RefusalReason::LoneSurrogate,
                id: Some(br#""a""#),
            };
            assert_eq!(read_64(&text).unwrap_err(), expected, "{text}");
            let message = read(text.as_bytes(), accepting()).unwrap();
            assert_eq!(message.id, expected.id, "{text}");
        }
    }
    for text in [
        r#"{"jsonrpc":"2.0","method":"x","params":["\ud83d"]}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"a":"\ud83d"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":"\ud83d"}"#,
        r#"{"jsonrpc":"2.0","error":{"message":"\ud83d"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"\ud83d":0}}"#,
    ] {
        assert_eq!(
            reasons(text),
            [Some(RefusalReason::LoneSurrogate), None],
            "{text}"
        );
        assert_eq!(read_64(text).unwrap_err().id, None, "{text}");
    }
}

#[test]
fn text_that_the_guard_reads_must_not_hold_a_lone_surrogate() {
    for members in [
        r#""id":1,"method":"x\ud83d""#,
        r#""id":1,"method":"tools/call","params":{"name":"\ud83d"}"#,
        r#""id":1,"method":"x","params":{"name":"a\ud83db"}"#,
        r#""id":1,"method":"resources/read","params":{"uri":"\ude00"}"#,
        r#""id":1,"method":"initialize","params":{"protocolVersion":"\ud83d"}"#,
        r#""id":1,"method":"initialize","params":{"clientInfo":{"name":"\ud83d"}}"#,
        r#""id":1,"method":"initialize","params":{"clientInfo":{"version":"\ud83d"}}"#,
        r#""id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"\ud83d"}}"#,
        r#""id":1,"result":{"protocolVersion":"\ud83d"}"#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0",{members}}}"#);
        assert_eq!(
            reasons(&text),
            [Some(RefusalReason::LoneSurrogate); 2],
            "{text}"
        );
        // The id of a response belongs to the server.
        let id = (!text.contains("result")).then_some(&b"1"[..]);
        assert_eq!(
            read(text.as_bytes(), accepting()).unwrap_err().id,
            id,
            "{text}"
        );
    }
}

#[test]
fn other_refusals_win_over_lone_surrogates() {
    let deep = "[".repeat(64) + &"]".repeat(64);
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x\ud83d","params":{deep}}}"#);
    let far = "[".repeat(200) + r#""\ud83d""# + &"]".repeat(200);
    let far = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{far}}}"#);
    for (text, reason) in [
        (
            r#"{"jsonrpc":"2.0","method":"\ud83d","params":}"#,
            RefusalReason::ParseError,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"\ud83d"}}"#,
            RefusalReason::ParseError,
        ),
        (r#"["\ud83d"]"#, RefusalReason::NotOneMessage),
        (r#""\ud83d""#, RefusalReason::NotOneMessage),
        (&*deep, RefusalReason::TooDeep),
        (&*far, RefusalReason::TooDeep),
        (
            r#"{"jsonrpc":"2.0\ud83d","id":1,"method":"x"}"#,
            RefusalReason::InvalidEnvelope,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"x":"\ud83d"}"#,
            RefusalReason::InvalidEnvelope,
        ),
        (
            r#"{"jsonrpc":"2.0","id":"\ud83d","method":"x"}"#,
            RefusalReason::InvalidId,
        ),
        (
            r#"{"jsonrpc":"2.0","id":["\ud83d"],"method":"x"}"#,
            RefusalReason::InvalidId,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1.0,"method":"\ud83d"}"#,
            RefusalReason::InvalidId,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","method\u0000\ud83d":1}"#,
            RefusalReason::AmbiguousKeys,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","a":"\ud83d","a":1}"#,
            RefusalReason::AmbiguousKeys,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x\ud83d","params":{"name":1,"name":1}}"#,
            RefusalReason::AmbiguousKeys,
        ),
    ] {
        assert_eq!(reasons(text), [Some(reason); 2], "{text}");
    }
    let invalid = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\ud83d\xff\"}";
    assert_eq!(reason(invalid), Some(RefusalReason::ParseError));
}

#[test]
fn keys_with_lone_surrogates_are_compared_unescaped() {
    for (members, expected) in [
        (r#""\ud83d":1,"\ude00":2"#, None),
        (r#""\ud83d":1,"\ud83d\ude00":2"#, None),
        (
            r#""\ud83d":1,"\uD83D":2"#,
            Some(RefusalReason::AmbiguousKeys),
        ),
        (
            r#""a\ud83d":1,"\u0061\ud83d":2"#,
            Some(RefusalReason::AmbiguousKeys),
        ),
        (r#""method\ud83d":1"#, None),
        (r#""\ud83did":1"#, None),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x",{members}}}"#);
        assert_eq!(reasons(&text)[1], expected, "{text}");
    }
}

#[test]
fn an_answer_to_initialize_may_hold_lone_surrogates_in_text_that_the_guard_does_not_read() {
    for (result, is_read) in [
        (r#"{"protocolVersion":"1","instructions":"\ud83d"}"#, true),
        (
            r#"{"\ud83d":1,"protocolVersion":"1","serverInfo":{"name":"\ude00"}}"#,
            true,
        ),
        (r#"{"protocolVersion":"\ud83d"}"#, false),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":0,"result":{result}}}"#);
        let message = read(text.as_bytes(), Bounds::FOR_ANSWERS);
        assert_eq!(message.is_ok(), is_read, "{text}");
        if let Ok(message) = message {
            assert_eq!(message.protocol_version().as_deref(), Some("1"), "{text}");
        }
    }
}
