//! The inner service. The oracle checks every request that reaches it. The scenario selects its
//! answers.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;
use tower_service::Service;

use super::frames::{End, Frames};
use super::input::Input;
use super::oracle::Oracle;
use super::request::Tag;

/// The answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// `None` means that no answer comes.
    delay: Option<Duration>,
    fails: bool,
    status: u16,
    own_ids: u8,
    content_type: &'static str,
    pub(crate) is_events: bool,
    text: Text,
    version: &'static str,
    is_encoded: bool,
    /// The body has no known length.
    pub(crate) is_streamed: bool,
    size: usize,
    end: End,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Text {
    Result,
    Error,
    UnknownMethod,
    /// The response to another request.
    Other,
    Nothing,
    Junk,
    Large,
}

impl Answer {
    pub(crate) fn decode(input: &mut Input<'_>) -> Self {
        let is_events = input.byte() % 3 == 1;
        let usual = input.number(3) != 2;
        let rare = |is_rare: bool| !usual && is_rare;
        let delays = [0, 0, 1, 3_000, 70_000];
        Self {
            delay: match input.number(16) {
                15 => None,
                number => Some(Duration::from_millis(delays[number % 5])),
            },
            fails: rare(input.seldom()),
            status: match usual {
                true => 200,
                false => input.pick(&[200, 202, 204, 400, 404, 404, 405, 500, 307]),
            },
            own_ids: match input.number(8) {
                0..=3 => 0,
                4..=6 => 1,
                _ => input.pick(&[1, 2, 3, 4]),
            },
            content_type: match (is_events, usual) {
                (true, _) => "text/event-stream",
                (false, true) => "application/json",
                (false, false) => input.pick(&["application/json", "text/plain"]),
            },
            is_events,
            text: match usual {
                true => Text::Result,
                false => input.pick(&[
                    Text::Result,
                    Text::Error,
                    Text::UnknownMethod,
                    Text::Other,
                    Text::Nothing,
                    Text::Junk,
                    Text::Large,
                ]),
            },
            version: input.pick(&["2025-11-25", "2025-06-18", "2026-07-28", "x"]),
            is_encoded: rare(input.seldom()),
            is_streamed: is_events || input.number(4) == 3,
            size: input.number(40),
            end: match usual {
                true => input.pick(&[End::Clean, End::Stalls]),
                false => input.pick(&[End::Clean, End::Breaks, End::Stalls]),
            },
        }
    }

    /// An immediate answer that opens a session.
    pub(crate) fn usual() -> Self {
        Self::decode(&mut Input::new(&[]))
    }

    fn response(&self, id: &Value, own_id: Option<&HeaderValue>) -> Response<Body> {
        let message = match self.text {
            Text::Result => {
                json!({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": self.version}})
                    .to_string()
            }
            Text::Error => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": 1, "message": "m"}})
                    .to_string()
            }
            Text::UnknownMethod => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "m"}})
                    .to_string()
            }
            Text::Other => json!({"jsonrpc": "2.0", "id": "other", "result": {}}).to_string(),
            Text::Nothing => String::new(),
            Text::Junk => "{\"jsonrpc\":".to_owned(),
            Text::Large => " ".repeat(70_000),
        };
        let text = match self.is_events {
            true if self.size % 2 == 1 => {
                format!(
                    "id: 1\n\n: hi\n\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"n\"}}\n\ndata: {message}\n\n"
                )
            }
            true => format!("data: {message}\r\n\r\n"),
            false => message,
        };
        let mut response = Response::builder()
            .status(self.status)
            .header("content-type", self.content_type);
        if self.is_encoded {
            response = response.header("content-encoding", "br");
        }
        let own_ids = match (self.own_ids, own_id) {
            (1, Some(id)) => vec![id.clone()],
            (2, Some(id)) => vec![id.clone(), id.clone()],
            (3, _) => vec![HeaderValue::from_static("")],
            (4, Some(id)) => vec![id.clone(), HeaderValue::from_static("other")],
            _ => vec![],
        };
        for id in own_ids {
            response = response.header("mcp-session-id", id);
        }
        let body = match self.is_streamed {
            true => Body::new(Frames::new(text.as_bytes(), self.size, self.end)),
            false => Body::from(text),
        };
        response.body(body).unwrap()
    }
}

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) oracle: Arc<Mutex<Oracle>>,
}

impl Service<Request<Body>> for Inner {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (parts, body) = request.into_parts();
        // A judged body is available at once.
        let bytes = to_bytes(body, usize::MAX).now_or_never();
        let bytes = bytes.and_then(Result::ok);
        let mut oracle = self.oracle.lock().unwrap();
        let Some(Tag(tag)) = parts.extensions.get().copied() else {
            oracle.check_inner_delete(&parts);
            let response = Response::builder().status(StatusCode::NO_CONTENT);
            let response = response.body(Body::empty()).unwrap();
            return Box::pin(async { Ok(response) });
        };
        oracle.check(tag, &parts, bytes.as_deref());
        let message: Value = serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default();
        let answer = oracle.sent[tag].answer.clone();
        let own_id = (answer.own_ids > 0).then(|| {
            let id = HeaderValue::try_from(format!("inner-{}", oracle.inner_ids.len())).unwrap();
            oracle.inner_ids.push(id.clone());
            id
        });
        oracle.sent[tag].inner_id = own_id.clone().filter(|_| matches!(answer.own_ids, 1 | 2));
        drop(oracle);
        Box::pin(async move {
            match answer.delay {
                Some(Duration::ZERO) => {}
                Some(delay) => sleep(delay).await,
                None => pending().await,
            }
            match answer.fails {
                true => Err(io::ErrorKind::BrokenPipe.into()),
                false => Ok(answer.response(&message["id"], own_id.as_ref())),
            }
        })
    }
}
