//! Decides whether the inner service's 404 means that the inner session is lost (contract §5).

use serde_json::Value;

use crate::protocol::inline_bytes::InlineBytes;

/// Returns whether a 404 to a message means that the inner session is lost. Some servers also answer an
/// unknown method or tool with a JSON-RPC error and this status.
pub(crate) fn by_message(body: &[u8], request: Option<&InlineBytes>) -> bool {
    match JsonRpcError::read(body) {
        Some(error) if error.code == METHOD_NOT_FOUND => false,
        Some(error) => error.is_session_error() || !request.is_some_and(|id| error.answers(id)),
        None => true,
    }
}

/// Returns whether a 404 to a GET means that the inner session is lost. To many clients, and from a server
/// without a route for GET, it means that there is no stream.
pub(crate) fn by_stream(body: &[u8], has_streamed: bool) -> bool {
    let is_lost = match JsonRpcError::read(body) {
        Some(error) if error.code == METHOD_NOT_FOUND => false,
        Some(error) if error.is_session_error() => true,
        _ => mentions_session(body),
    };
    is_lost || has_streamed
}

struct JsonRpcError {
    code: i64,
    id: Value,
}

impl JsonRpcError {
    fn read(body: &[u8]) -> Option<Self> {
        let mut message = serde_json::from_slice::<Value>(body).ok()?;
        Some(Self {
            code: message["error"]["code"].as_i64()?,
            id: message["id"].take(),
        })
    }

    fn is_session_error(&self) -> bool {
        SESSION_NOT_FOUND.contains(&self.code)
    }

    fn answers(&self, id: &InlineBytes) -> bool {
        serde_json::from_slice::<Value>(id.as_bytes()).is_ok_and(|id| id == self.id)
    }
}

fn mentions_session(text: &[u8]) -> bool {
    text.windows(SESSION.len())
        .any(|part| part.eq_ignore_ascii_case(SESSION))
}

const METHOD_NOT_FOUND: i64 = -32601;
/// The codes with which the official servers report a lost session.
const SESSION_NOT_FOUND: [i64; 3] = [-32600, -32000, -32001];
const SESSION: &[u8] = b"session";
