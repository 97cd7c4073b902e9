//! Whatever the guard lets through, other parsers read the same: `serde_json::Value` the kind, method,
//! id, claim, name and uri, the official Rust SDK's typed parser the kind, method and id. That one may
//! refuse it; the guard may refuse anything.

use mcp_session_guard::MessageKind;
use mcp_session_guard::fuzzing::{ReadMessage, read_message};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage};
use serde_json::Value;

/// What the guard reads; `None` where it refuses.
pub(crate) fn read_alike(body: &[u8]) -> Option<ReadMessage> {
    let read = read_message(body)?;

    let value: Value = serde_json::from_slice(body).expect("what is let through is JSON");
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

    if let Ok(typed) = serde_json::from_slice::<ClientJsonRpcMessage>(body) {
        let kind = match &typed {
            JsonRpcMessage::Request(_) => MessageKind::Request,
            JsonRpcMessage::Notification(_) => MessageKind::Notification,
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => MessageKind::Response,
        };
        assert_eq!(read.kind, kind);
        let typed = serde_json::to_value(&typed).expect("what was read can be written");
        assert_eq!(read.method.as_deref(), typed["method"].as_str());
        assert_eq!(id.unwrap_or(Value::Null), typed["id"]);
    }
    Some(read)
}
