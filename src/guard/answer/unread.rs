//! Reads the body of an answer, where only the body shows its meaning.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::Call;
use crate::guard::body::in_flight::InFlightBody;
use crate::promises::{MAX_UNCLEAR_ANSWER, UNCLEAR_ANSWER_TIMEOUT};

/// An answer whose body must be read before the answer can pass.
#[derive(Debug)]
pub(crate) struct UnreadAnswer {
    pub(super) call: Call,
    pub(super) response: Response<Body>,
    pub(super) body_check: BodyCheck,
}

/// The question that the body answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum BodyCheck {
    /// Is a 2xx to a notification or response empty? Then it becomes 202, because one client opens
    /// its GET stream only after a 202.
    IsEmpty,
    /// Does a 404 mean that the inner session is lost? If not, a 404 to a message passes, and a 404 to
    /// a GET means that there is no stream.
    IsSessionLost,
}

impl UnreadAnswer {
    pub(crate) async fn read(self) -> Response<Body> {
        let (mut parts, mut body) = self.response.into_parts();
        match self.body_check {
            BodyCheck::IsEmpty => {
                match timeout(UNCLEAR_ANSWER_TIMEOUT, first_data(&mut body)).await {
                    // No byte arrived in time. The guard treats the body as not empty.
                    Err(_) => {
                        let body = InFlightBody::new(body, self.call.in_flight);
                        Response::from_parts(parts, Body::new(body))
                    }
                    Ok(None) => {
                        parts.status = StatusCode::ACCEPTED;
                        Response::from_parts(parts, Body::empty())
                    }
                    Ok(Some(first)) => {
                        let rest = stream::iter([first]).chain(body.into_data_stream());
                        let body = InFlightBody::new(Body::from_stream(rest), self.call.in_flight);
                        Response::from_parts(parts, Body::new(body))
                    }
                }
            }
            BodyCheck::IsSessionLost => {
                let read =
                    timeout(UNCLEAR_ANSWER_TIMEOUT, to_bytes(body, MAX_UNCLEAR_ANSWER)).await;
                let read = read.ok().and_then(Result::ok).unwrap_or_default();
                match self.call.is_session_lost(&read) {
                    true => self.call.end_as_lost(),
                    false if self.call.is_message => Response::from_parts(parts, Body::from(read)),
                    false => self.call.no_stream(),
                }
            }
        }
    }
}

/// Returns the first bytes of a body, or the error before them. `None` if the body is empty.
async fn first_data(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        match body.frame().await?.map(Frame::into_data) {
            Ok(Ok(data)) if data.is_empty() => {}
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_trailers)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}
