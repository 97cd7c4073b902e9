//! The inner service's answers on their way out (contract §5): the session header off, event
//! streams tied to the session, empty acknowledgements 202, its own 404 understood.

use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TRAILER,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::body::{Role, SessionBody};
use super::head::Traits;
use super::lost;
use super::trailers;
use crate::guard::settings::Settings;
use crate::protocol::headers::{SESSION_ID, names_encoding};
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
        traits: Traits,
        parts: &Parts,
        settings: &Settings,
    ) -> Self {
        Self {
            is_message: false,
            ..Self::post(in_flight, None, traits, parts, settings)
        }
    }

    #[inline]
    pub(crate) fn post(
        in_flight: InFlight,
        request_id: Option<&[u8]>,
        traits: Traits,
        parts: &Parts,
        settings: &Settings,
    ) -> Self {
        Self {
            in_flight,
            is_message: true,
            request: request_id.map(InlineBytes::new),
            resumes: traits.resumes,
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
                .told_by(entry)
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
        let traits = AnswerHead::read(response.headers()).traits;
        if traits.has_session_id {
            response.headers_mut().remove(&SESSION_ID);
        }
        if traits.is_event_stream {
            traits.never_buffer(response.headers_mut());
            if !self.is_message && response.status().is_success() {
                self.in_flight.entry().mark_streamed();
            }
        }
        let hint = response.body().size_hint();
        let is_sized = hint.exact().is_some();
        let question = self.question(response.status(), traits);
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
        let may_have_trailers = trailers::may_follow(response.body(), traits, self.version);
        if is_sized && hint.lower() <= SMALL && !may_have_trailers {
            return Ok(response);
        }
        let role = match self.request {
            _ if !traits.may_end_early(response.body()) => Role::Plain,
            None if self.is_message => Role::Stream { place: None },
            None => {
                let entry = self.in_flight.entry().clone();
                let (kind, limit) = self.stream_limit();
                let place = StreamPlace::open(entry, kind, limit, self.place.as_deref());
                Role::Stream { place: Some(place) }
            }
            Some(request) if !traits.is_encoded => Role::Call {
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
    fn question(&self, status: StatusCode, traits: AnswerTraits) -> Option<Question> {
        // An encoded answer to a message may be one that only looks like a loss.
        let may_be_read = !self.is_message || !traits.is_encoded;
        if status == StatusCode::NOT_FOUND
            && !self.resumes
            && may_be_read
            && self.in_flight.entry().inner_id().is_some()
        {
            return Some(Question::IsSessionLost);
        }
        let expects_no_answer = self.is_message && self.request.is_none();
        let may_be_empty = status.is_success() && status != StatusCode::ACCEPTED;
        (expects_no_answer && may_be_empty && !traits.is_event_stream).then_some(Question::IsEmpty)
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
            .told_by(self.in_flight.entry())
            .into_response(self.version)
    }
}

/// An answer whose body must be read before it can be passed on.
#[derive(Debug)]
pub(crate) struct Unclear {
    call: Call,
    response: Response<Body>,
    question: Question,
}

/// What only an answer's body tells.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// Is a 2xx to a notification or response empty? Then it becomes 202: one client opens its
    /// GET stream only on that.
    IsEmpty,
    /// Is a 404 the end of the inner service's own session, an answer, or a GET without a stream?
    IsSessionLost,
}

impl Unclear {
    pub(crate) async fn read(self) -> Response<Body> {
        let (mut parts, mut body) = self.response.into_parts();
        match self.question {
            Question::IsEmpty => match timeout(PATIENCE, first_data(&mut body)).await {
                // It is not empty, whatever it is.
                Err(_) => {
                    let body = SessionBody::new(body, self.call.in_flight, Role::Plain);
                    Response::from_parts(parts, Body::new(body))
                }
                Ok(None) => {
                    parts.status = StatusCode::ACCEPTED;
                    Response::from_parts(parts, Body::empty())
                }
                Ok(Some(first)) => {
                    let rest = stream::iter([first]).chain(body.into_data_stream());
                    let body =
                        SessionBody::new(Body::from_stream(rest), self.call.in_flight, Role::Plain);
                    Response::from_parts(parts, Body::new(body))
                }
            },
            Question::IsSessionLost => {
                let read = timeout(PATIENCE, to_bytes(body, LARGEST_ERROR)).await;
                let read = read.ok().and_then(Result::ok).unwrap_or_default();
                match self.call.is_session_lost(&read) {
                    true => self.call.lost(),
                    false if self.call.is_message => Response::from_parts(parts, Body::from(read)),
                    false => self.call.no_stream(),
                }
            }
        }
    }
}

/// The first bytes of a body, or what went wrong before them.
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

/// What the guard reads of an answer's head. One look at each of its few fields costs less than two
/// lookups.
pub(super) struct AnswerHead<'a> {
    pub(super) traits: AnswerTraits,
    content_type: Option<&'a HeaderValue>,
}

/// What of it is needed while it is changed.
#[derive(Clone, Copy, Default)]
pub(super) struct AnswerTraits {
    pub(super) has_session_id: bool,
    pub(super) is_encoded: bool,
    pub(super) is_event_stream: bool,
    pub(super) has_trailer: bool,
    has_accel_buffering: bool,
    has_cache_control: bool,
    has_length: bool,
}

impl<'a> AnswerHead<'a> {
    #[inline]
    pub(super) fn read(headers: &'a HeaderMap) -> Self {
        let mut head = Self {
            traits: AnswerTraits::default(),
            content_type: None,
        };
        let traits = &mut head.traits;
        for (name, value) in headers {
            match name {
                name if *name == CACHE_CONTROL => traits.has_cache_control = true,
                name if *name == CONTENT_ENCODING => traits.is_encoded |= names_encoding(value),
                name if *name == CONTENT_LENGTH => traits.has_length = true,
                name if *name == CONTENT_TYPE => {
                    head.content_type = head.content_type.or(Some(value));
                }
                name if *name == TRAILER => traits.has_trailer = true,
                name if *name == SESSION_ID => traits.has_session_id = true,
                name if *name == X_ACCEL_BUFFERING => traits.has_accel_buffering = true,
                _ => {}
            }
        }
        head.traits.is_event_stream = head.is_of("text/event-stream");
        head
    }

    /// Whether its media type has this essence.
    #[inline]
    pub(super) fn is_of(&self, essence: &str) -> bool {
        self.content_type.is_some_and(|value| is_of(value, essence))
    }
}

impl AnswerTraits {
    /// Whether this is an event stream that nobody has promised a length of.
    pub(super) fn may_end_early(self, body: &Body) -> bool {
        self.is_event_stream && !self.has_length && body.size_hint().exact().is_none()
    }

    /// Asks proxies to pass an event stream on as it comes.
    pub(super) fn never_buffer(self, headers: &mut HeaderMap) {
        if !self.has_accel_buffering {
            headers.insert(&X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        }
        if !self.has_cache_control {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
    }
}

/// Whether a media type has this essence.
#[inline]
fn is_of(value: &HeaderValue, essence: &str) -> bool {
    let text = value.as_bytes().trim_ascii_start();
    text.split_at_checked(essence.len())
        .is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(essence.as_bytes())
                && matches!(rest.trim_ascii_start(), [] | [b';', ..])
        })
}

pub(crate) fn not_found(version: Version, entry: &Entry) -> Response<Body> {
    Refusal::of_message(RefusalReason::SessionNotFound, None)
        .told_by(entry)
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
    AnswerTraits::default().never_buffer(headers);
    response
}

static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A body of known length up to this fits the socket's buffer: it is over with its head, and is
/// passed on as it is.
const SMALL: u64 = 64 << 10;
const LARGEST_ERROR: usize = 64 << 10;
/// A client with many calls under way resumes all of their streams at once when its network is back.
const LEAST_RESUMED: usize = 32;
const RESUMED_FOR_EACH: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);
