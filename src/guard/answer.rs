//! The inner service's answers on their way out (contract §5): the session header off, event
//! streams tied to the session, empty acknowledgements 202, its own 404 understood.

pub(crate) mod call;
pub(crate) mod head;
mod unclear;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::header::HeaderName;
use http::{Response, StatusCode, Version};
use http_body::Body as HttpBody;

use self::call::Call;
use self::head::{AnswerFlags, AnswerHead};
use self::unclear::Question;
pub(crate) use self::unclear::Unclear;
use super::body::boxed;
use super::body::endable::EndableStream;
use super::body::in_flight::InFlightBody;
use super::body::session_end::SessionEnd;
use super::body::trailers;
use super::inner::lost;
use crate::protocol::headers::SESSION_ID;
use crate::refusal::Refusal;
use crate::refusal::RefusalReason;
use crate::session::{EndReason, Entry, StreamPlace};

impl Call {
    /// Passes the answer on, unless its body must be read first.
    pub(crate) fn pass<B>(self, response: Response<B>) -> Result<Response<Body>, Box<Unclear>>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut response = response.map(Body::new);
        let flags = AnswerHead::read(response.headers()).flags;
        if flags.has_session_id {
            response.headers_mut().remove(&SESSION_ID);
        }
        if flags.is_event_stream {
            flags.never_buffer(response.headers_mut());
            if !self.is_message && response.status().is_success() {
                self.in_flight.entry().mark_streamed();
            }
        }
        let hint = response.body().size_hint();
        let is_sized = hint.exact().is_some();
        let question = self.question(response.status(), flags);
        match question {
            Some(Question::IsEmpty) if is_empty(response.body()) => {
                *response.status_mut() = StatusCode::ACCEPTED;
            }
            Some(Question::IsEmpty) if is_sized => {}
            Some(question) => {
                return Err(Box::new(Unclear {
                    call: self,
                    response,
                    question,
                }));
            }
            None => {}
        }
        let may_have_trailers = trailers::may_follow(response.body(), flags, self.version);
        if is_sized && hint.lower() <= SMALL && !may_have_trailers {
            return Ok(response);
        }
        Ok(response.map(|body| match flags.may_end_early(&body) {
            true => boxed(self.endable(body, flags)),
            false => boxed(InFlightBody::new(body, self.in_flight)),
        }))
    }

    /// Ends an event stream with the session, or a GET's also to make room for a newer one.
    fn endable(self, body: Body, flags: AnswerFlags) -> EndableStream<SessionEnd> {
        let (kind, limit) = self.stream_limit();
        let end = match self.request {
            Some(request) if !flags.is_encoded => SessionEnd::of_call(self.in_flight, request),
            None if !self.is_message => {
                let entry = self.in_flight.entry().clone();
                let place = StreamPlace::open(entry, kind, limit, self.place.as_ref());
                SessionEnd::of_get(self.in_flight, place)
            }
            Some(_) | None => SessionEnd::new(self.in_flight),
        };
        EndableStream::new(body, end)
    }

    #[inline]
    fn question(&self, status: StatusCode, flags: AnswerFlags) -> Option<Question> {
        // An encoded answer to a message may be one that only looks like a loss.
        let may_be_read = !self.is_message || !flags.is_encoded;
        if status == StatusCode::NOT_FOUND
            && !self.resumes
            && may_be_read
            && self.in_flight.entry().inner_id().is_some()
        {
            return Some(Question::IsSessionLost);
        }
        let expects_no_answer = self.is_message && self.request.is_none();
        let may_be_empty = status.is_success() && status != StatusCode::ACCEPTED;
        (expects_no_answer && may_be_empty && !flags.is_event_stream).then_some(Question::IsEmpty)
    }
}

impl Call {
    /// Whether the inner service's 404 means that its session is lost.
    fn is_session_lost(&self, body: &[u8]) -> bool {
        match self.is_message {
            true => lost::by_message(body, self.request.as_ref()),
            false => lost::by_stream(body, self.in_flight.entry().has_streamed()),
        }
    }

    /// The inner service's session is lost, so ours ends.
    fn lost(&self) -> Response<Body> {
        let entry = self.in_flight.entry();
        entry.leave(EndReason::InnerLost);
        not_found(self.version, entry)
    }

    fn no_stream(&self) -> Response<Body> {
        Refusal::of_head(RefusalReason::NoStream).respond_in(self.in_flight.entry(), self.version)
    }
}

pub(crate) fn not_found(version: Version, entry: &Entry) -> Response<Body> {
    Refusal::of_message(RefusalReason::SessionNotFound, None).respond_in(entry, version)
}

fn is_empty<B: HttpBody>(body: &B) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A body of known length up to this fits the socket's buffer: it is over with its head, and is
/// passed on as it is.
const SMALL: u64 = 64 << 10;
