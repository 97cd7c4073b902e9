//! Tests ids and the members of a response.

use super::*;

#[test]
fn strings_and_64_bit_integers_are_valid_ids() {
    for id in [
        "0",
        "-1",
        "9007199254740991",
        "9007199254740992",
        "-9007199254740993",
        "-9223372036854775808",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        r#""""#,
        r#""\u0061\n""#,
        r#""😀""#,
        r#""\ud83d\ude00""#,
    ] {
        for text in [
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x"}}"#),
            format!(r#"{{"result":{{}},"id": {id} ,"jsonrpc":"2.0"}}"#),
        ] {
            assert_eq!(read_64(&text).unwrap().id, Some(id.as_bytes()));
        }
    }
}

#[test]
fn an_invalid_id_is_echoed_only_if_it_is_a_number() {
    let [longest, longer] = [256, 257].map(|digits| "9".repeat(digits));
    let long_text = format!("\"{}\"", "x".repeat(257));
    for (id, is_echoed) in [
        ("null", false),
        ("true", false),
        ("[]", false),
        ("[1]", false),
        ("{}", false),
        ("1.0", true),
        ("1e2", true),
        ("-0", true),
        ("0.5", true),
        ("-0.0", true),
        ("1E0", true),
        ("1e999", true),
        ("18446744073709551616", true),
        ("-9223372036854775809", true),
        ("1180591620717411303424", true),
        (&*longest, true),
        (&*longer, false),
        (r#""\ud800""#, false),
        (&*long_text, false),
    ] {
        for text in [
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x"}}"#),
            format!(r#"{{"method":"x", "id" : {id} ,"jsonrpc":"2.0"}}"#),
        ] {
            let expected = InvalidMessage {
                reason: RefusalReason::InvalidId,
                id: is_echoed.then_some(id.as_bytes()),
            };
            assert_eq!(read_64(&text).unwrap_err(), expected, "{text}");
        }
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        assert_eq!(read_64(&text).unwrap_err().id, None, "{text}");
    }
}

#[test]
fn an_ambiguous_id_is_not_echoed() {
    for members in [
        r#""id":1.0,"id":1.0"#,
        r#""id":1,"id":1.0"#,
        r#""id":1.0,"ID":2"#,
        r#""id\u0000":1,"id":1.0"#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0",{members},"method":"x"}}"#);
        let flaw = read_64(&text).unwrap_err();
        assert_eq!(
            (flaw.reason, flaw.id),
            (RefusalReason::InvalidId, None),
            "{text}"
        );
    }
}

#[test]
fn an_invalid_id_is_echoed_by_refusals_that_win_over_its_own() {
    for (text, reason) in [
        (
            r#"{"jsonrpc":"1.0","id":1.0,"method":"x"}"#,
            RefusalReason::InvalidEnvelope,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1.0}"#,
            RefusalReason::InvalidEnvelope,
        ),
    ] {
        let id = Some(&b"1.0"[..]);
        assert_eq!(
            read_64(text).unwrap_err(),
            InvalidMessage { reason, id },
            "{text}"
        );
    }
}

#[test]
fn a_null_member_of_a_response_counts_as_absent() {
    for (members, is_error) in [
        (r#""result":null"#, false),
        (r#""result":{},"error":null"#, false),
        (r#""error":null,"result":{}"#, false),
        (r#""result":null,"error":null"#, false),
        (r#""result":[],"error":null"#, false),
        (r#""result":null,"error":{}"#, true),
        (r#""error": {} , "result" : null "#, true),
        (r#""error":{"code":1,"message":"x"}"#, true),
        (r#""error":"x""#, true),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,{members}}}"#);
        for bounds in [Bounds::for_requests(64), Bounds::FOR_ANSWERS] {
            let message = read(text.as_bytes(), bounds).unwrap();
            assert_eq!(message.kind, MessageKind::Response, "{text}");
            assert_eq!(message.is_error, is_error, "{text}");
        }
        // Only an error response may lack its id.
        for text in [
            text.replace(r#""id":1,"#, ""),
            text.replace(":1,", ":null,"),
        ] {
            let expected = (!is_error).then_some(RefusalReason::InvalidId);
            assert_eq!(reason(text.as_bytes()), expected, "{text}");
        }
    }
}

#[test]
fn a_null_member_does_not_make_another_message_valid() {
    for members in [
        r#""error":null"#,
        r#""result":null,"error":"x""#,
        r#""result":null,"error":[]"#,
        r#""result":null,"error":0"#,
        r#""result":{},"error":{}"#,
        r#""result":false,"error":{}"#,
        r#""method":"x","error":null"#,
        r#""error":null,"method":"x""#,
        r#""method":"x","result":null"#,
        r#""method":"x","result":null,"error":null"#,
        r#""method":"x","result":null,"error":{}"#,
        r#""method":null,"result":{}"#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,{members}}}"#);
        assert_eq!(
            reason(text.as_bytes()),
            Some(RefusalReason::InvalidEnvelope),
            "{text}"
        );
    }
}

#[test]
fn the_id_of_a_refused_response_is_never_echoed() {
    for text in [
        r#"{"jsonrpc":"1.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"x":1,"x":2}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"Result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error\u0000":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"a":"\ud800"}}"#,
    ] {
        assert_eq!(read_64(text).unwrap_err().id, None, "{text}");
    }
}
