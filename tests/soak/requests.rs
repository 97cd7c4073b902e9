//! Requests of the soak, as bytes.

use serde_json::json;

/// A session as a client knows it.
#[derive(Clone)]
pub(crate) struct KnownSession {
    pub(crate) id: String,
    pub(crate) owner: Option<&'static str>,
}

pub(crate) fn initialize(mode: &str, owner: Option<&str>) -> Vec<u8> {
    post(None, owner, &initialize_body(mode))
}

pub(crate) fn initialize_body(mode: &str) -> String {
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "mode": mode});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string()
}

pub(crate) fn call(session: &KnownSession, mode: &str) -> Vec<u8> {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "call", "params": {"mode": mode}});
    post(Some(&session.id), session.owner, &call.to_string())
}

pub(crate) fn post(session: Option<&str>, owner: Option<&str>, body: &str) -> Vec<u8> {
    let length = body.len();
    let framed = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
    [head("POST", session, owner), framed, format!("\r\n{body}")]
        .concat()
        .into()
}

/// A request without a body.
pub(crate) fn bare(method: &str, session: &KnownSession) -> Vec<u8> {
    [
        head(method, Some(&session.id), session.owner),
        "\r\n".to_owned(),
    ]
    .concat()
    .into()
}

fn head(method: &str, session: Option<&str>, owner: Option<&str>) -> String {
    let mut head = format!("{method} /mcp HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in [("mcp-session-id", session), ("user", owner)] {
        if let Some(value) = value {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head
}
