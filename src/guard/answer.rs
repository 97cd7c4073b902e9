//! The inner service's answers on their way out (contract §5): the session header off, event
//! streams tied to the session, empty acknowledgements 202, its own 404 understood.

pub(crate) mod head;
mod unclear;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, Version};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;

use self::head::{AnswerFlags, AnswerHead};
use self::unclear::Question;
pub(crate) use self::unclear::Unclear;
use super::body::trailers;
use super::body::{Role, SessionBody};
use super::head::HeadFlags;
use super::inner::lost;
use crate::guard::settings::Settings;
use crate::protocol::headers::SESSION_ID;
use crate::protocol::inline_bytes::InlineBytes;
use crate::protocol::sse::Tail;
use crate::refusal::Refusal;
use crate::refusal::RefusalReason;
use crate::session::{EndReason, Entry, InFlight, StreamKind, StreamPlace};

/// A request of a live session that the inner service is answering.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) in_flight: InFlight,
    /// Whether it carries a message: a POST, no GET.
    is_message: bool,
    /// The id of that message, if it is a request.
    request: Option<InlineBytes>,
    /// The request carries `Last-Event-ID`: it resumes a stream.
    resumes: bool,
    max_streams: u16,
    /// Set on a GET that waits for its answer. Boxed, because nearly every call is moved without one.
    place: Option<Box<StreamPlace>>,
    version: Version,
}

impl Call {
    pub(crate) fn stream(
        in_flight: InFlight,
        flags: HeadFlags,
        parts: &Parts,
        settings: &Settings,
    ) -> Self {
        Self {
            is_message: false,
            ..Self::post(in_flight, None, flags, parts, settings)
        }
    }

    #[inline]
    pub(crate) fn post(
        in_flight: InFlight,
        request_id: Option<&[u8]>,
        flags: HeadFlags,
        parts: &Parts,
        settings: &Settings,
    ) -> Self {
        Self {
            in_flight,
            is_message: true,
            request: request_id.map(InlineBytes::new),
            resumes: flags.resumes,
            max_streams: settings.max_streams,
            place: None,
            version: parts.version,
        }
    }

    /// The inner service has not answered at once, so a GET counts among the streams of its session.
    #[inline]
    pub(crate) fn wait(&mut self) {
        if !self.is_message && self.place.is_none() {
            let entry = self.in_flight.entry().clone();
            let (kind, limit) = self.stream_limit();
            self.place = Some(Box::new(StreamPlace::wait(entry, kind, limit)));
        }
    }

    /// Whether the answer is no longer needed: the session has ended, or a GET had to make room.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        !self.in_flight.entry().is_usable()
            || self.place.as_ref().is_some_and(|place| place.is_lost())
    }

    /// The answer if the call was over before the inner service answered. 404 would make one client
    /// repeat the call, so a request gets an error of its own. A GET that had to make room gets an event
    /// stream that is over.
    pub(crate) fn ended(&self) -> Response<Body> {
        let entry = self.in_flight.entry();
        match &self.request {
            Some(id) => Refusal::of_message(RefusalReason::SessionEnded, Some(id.as_bytes()))
                .notify_of(entry)
                .into_response(self.version),
            None if self.place.is_some() && entry.is_usable() => empty_stream(),
            None => not_found(self.version, entry),
        }
    }

    /// What of its session's streams a GET counts as, and how many of these there may be.
    fn stream_limit(&self) -> (StreamKind, usize) {
        let limit = usize::from(self.max_streams);
        match self.resumes {
            false => (StreamKind::Plain, limit),
            true => (
                StreamKind::Resumed,
                LEAST_RESUMED.max(RESUMED_FOR_EACH * limit),
            ),
        }
    }

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
        let role = match self.request {
            _ if !flags.may_end_early(response.body()) => Role::Plain,
            None if self.is_message => Role::Stream { place: None },
            None => {
                let entry = self.in_flight.entry().clone();
                let (kind, limit) = self.stream_limit();
                let place = StreamPlace::open(entry, kind, limit, self.place.as_deref());
                Role::Stream { place: Some(place) }
            }
            Some(request) if !flags.is_encoded => Role::Call {
                request,
                tail: Tail::default(),
                is_held: false,
            },
            Some(_) => Role::Stream { place: None },
        };
        // In the box that axum's body is made of: it would map the errors of any other, which are
        // its own already, once more for each frame.
        Ok(response.map(|body| {
            let body = SessionBody::new(body, self.in_flight, role);
            Body::new(body.boxed_unsync())
        }))
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
        Refusal::of_head(RefusalReason::NoStream)
            .notify_of(self.in_flight.entry())
            .into_response(self.version)
    }
}

pub(crate) fn not_found(version: Version, entry: &Entry) -> Response<Body> {
    Refusal::of_message(RefusalReason::SessionNotFound, None)
        .notify_of(entry)
        .into_response(version)
}

fn is_empty<B: HttpBody>(body: &B) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

/// A client takes this for a stream that has just ended, and may open another.
fn empty_stream() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    AnswerFlags::default().never_buffer(headers);
    response
}

pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A body of known length up to this fits the socket's buffer: it is over with its head, and is
/// passed on as it is.
const SMALL: u64 = 64 << 10;
/// A client with many calls under way resumes all of their streams at once when its network is back.
const LEAST_RESUMED: usize = 32;
const RESUMED_FOR_EACH: usize = 4;
