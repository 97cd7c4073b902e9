//! Other parsers read every message that the guard accepts in the same way. `serde_json::Value`
//! agrees on kind, method, id, claim, name and uri, and has no key that another parser could take
//! for a judged key. The typed parser of the official Rust SDK agrees on kind, method and id, or
//! refuses the message. The guard may refuse any message.

use mcp_session_guard::MessageKind;
use mcp_session_guard::fuzzing::{ReadMessage, read_message};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage};
use serde_json::Value;

/// The guard's reading of a message, or `None` if it refuses.
pub(crate) fn read_alike(body: &[u8]) -> Option<ReadMessage> {
    let read = read_message(body)?;

    let value: Value = serde_json::from_slice(body).expect("an accepted message is JSON");
    assert!(value.is_object());
    assert_eq!(value["jsonrpc"], "2.0");
    assert_eq!(read.method.as_deref(), value["method"].as_str());
    let id = read
        .id
        .as_deref()
        .map(|id| serde_json::from_str(id).expect("an id is JSON"));
    assert_eq!(
        id.as_ref().unwrap_or(&Value::Null),
        value.get("id").unwrap_or(&Value::Null)
    );
    let claim = &value["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    assert_eq!(read.claimed_version.as_deref(), claim.as_str());
    assert_eq!(read.name.as_deref(), value["params"]["name"].as_str());
    assert_eq!(read.uri.as_deref(), value["params"]["uri"].as_str());
    let kind = match (value.get("method"), value.get("id")) {
        (None, _) => MessageKind::Response,
        (Some(_), None) => MessageKind::Notification,
        (Some(_), Some(_)) => MessageKind::Request,
    };
    assert_eq!(read.kind, kind);
    assert!(
        is_ordinary(&value),
        "no parser folds or cuts a key to a judged one"
    );

    if let Ok(typed) = serde_json::from_slice::<ClientJsonRpcMessage>(body) {
        let kind = match &typed {
            JsonRpcMessage::Request(_) => MessageKind::Request,
            JsonRpcMessage::Notification(_) => MessageKind::Notification,
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => MessageKind::Response,
        };
        assert_eq!(read.kind, kind);
        let typed = serde_json::to_value(&typed).expect("a parsed message can be serialized");
        assert_eq!(read.method.as_deref(), typed["method"].as_str());
        assert_eq!(id.unwrap_or(Value::Null), typed["id"]);
    }
    Some(read)
}

/// Returns whether no judged key has a lookalike: another key that equals it when both are cut at
/// the first NUL and their case is folded.
fn is_ordinary(message: &Value) -> bool {
    let has_lookalike = |object: &Value, judged: &[&str]| {
        let is_lookalike = |key: &String| {
            let start = key.split('\0').next().unwrap_or_default();
            let folded = start.replace('\u{17f}', "s").replace('\u{212a}', "k");
            let is_alike = |judged: &&str| folded.eq_ignore_ascii_case(judged);
            !judged.contains(&key.as_str()) && judged.iter().any(is_alike)
        };
        object
            .as_object()
            .is_some_and(|object| object.keys().any(is_lookalike))
    };
    let params = &message["params"];
    let in_params: &[&str] = match message["method"].as_str() {
        Some("tools/call" | "prompts/get") => &["_meta", "name", "arguments"],
        Some("initialize") => &["_meta", "protocolVersion", "clientInfo"],
        Some(method) if method.starts_with("resources/") => &["_meta", "uri"],
        _ => &["_meta"],
    };
    let reserved = ["jsonrpc", "id", "method", "params", "result", "error"];
    let claim = ["io.modelcontextprotocol/protocolVersion"];
    !has_lookalike(message, &reserved)
        && !has_lookalike(params, in_params)
        && !has_lookalike(&params["_meta"], &claim)
}
