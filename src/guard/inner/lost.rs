//! What a 404 of an inner service with session ids of its own means (contract §5): that its session
//! is lost, or something less.

use serde_json::Value;

use crate::protocol::inline_bytes::InlineBytes;

/// Whether the 404 that answers a message means that the inner session is lost. Some servers answer
/// an unknown method or tool with a JSON-RPC error under this status.
pub(crate) fn by_message(body: &[u8], request: Option<&InlineBytes>) -> bool {
    match JsonRpcError::read(body) {
        Some(error) if error.code == METHOD_NOT_FOUND => false,
        Some(error) => error.tells_of_a_session() || !request.is_some_and(|id| error.answers(id)),
        None => true,
    }
}

/// Whether the 404 that answers a GET means so. To many clients, and of a server without a route for
/// GET, it means that there is no stream.
pub(crate) fn by_stream(body: &[u8], has_streamed: bool) -> bool {
    let is_told = match JsonRpcError::read(body) {
        Some(error) if error.code == METHOD_NOT_FOUND => false,
        Some(error) if error.tells_of_a_session() => true,
        _ => names_a_session(body),
    };
    is_told || has_streamed
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

    fn tells_of_a_session(&self) -> bool {
        SESSION_NOT_FOUND.contains(&self.code)
    }

    fn answers(&self, id: &InlineBytes) -> bool {
        serde_json::from_slice::<Value>(id.as_bytes()).is_ok_and(|id| id == self.id)
    }
}

fn names_a_session(text: &[u8]) -> bool {
    text.windows(SESSION.len())
        .any(|part| part.eq_ignore_ascii_case(SESSION))
}

const METHOD_NOT_FOUND: i64 = -32601;
/// The codes under which the official servers say so.
const SESSION_NOT_FOUND: [i64; 3] = [-32600, -32000, -32001];
const SESSION: &[u8] = b"session";
