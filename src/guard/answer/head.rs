//! Reads the head of an answer once.

use axum::body::Body;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TRAILER,
};
use http::{HeaderMap, HeaderValue};
use http_body::Body as HttpBody;

use crate::protocol::headers::{SESSION_ID, names_encoding};

/// The parts of an answer's head that the guard uses. One pass over its few fields costs less than two
/// lookups.
pub(crate) struct AnswerHead<'a> {
    pub(crate) flags: AnswerFlags,
    content_type: Option<&'a HeaderValue>,
}

/// The facts of a head that are needed while the guard changes it.
#[derive(Clone, Copy, Default)]
pub(crate) struct AnswerFlags {
    pub(crate) has_session_id: bool,
    pub(crate) is_encoded: bool,
    pub(crate) is_event_stream: bool,
    pub(crate) has_trailer: bool,
    has_accel_buffering: bool,
    has_cache_control: bool,
    has_length: bool,
}

impl<'a> AnswerHead<'a> {
    #[inline]
    pub(crate) fn read(headers: &'a HeaderMap) -> Self {
        let mut head = Self {
            flags: AnswerFlags::default(),
            content_type: None,
        };
        let flags = &mut head.flags;
        for (name, value) in headers {
            match name {
                name if *name == CACHE_CONTROL => flags.has_cache_control = true,
                name if *name == CONTENT_ENCODING => flags.is_encoded |= names_encoding(value),
                name if *name == CONTENT_LENGTH => flags.has_length = true,
                name if *name == CONTENT_TYPE => {
                    head.content_type = head.content_type.or(Some(value));
                }
                name if *name == TRAILER => flags.has_trailer = true,
                name if *name == SESSION_ID => flags.has_session_id = true,
                name if *name == X_ACCEL_BUFFERING => flags.has_accel_buffering = true,
                _ => {}
            }
        }
        head.flags.is_event_stream = head.is_of("text/event-stream");
        head
    }

    /// Returns whether the media type of the answer has this essence.
    #[inline]
    pub(crate) fn is_of(&self, essence: &str) -> bool {
        self.content_type.is_some_and(|value| is_of(value, essence))
    }
}

impl AnswerFlags {
    /// Returns whether this is an event stream whose length was not announced.
    pub(crate) fn may_end_early(self, body: &Body) -> bool {
        self.is_event_stream && !self.has_length && body.size_hint().exact().is_none()
    }

    /// Asks proxies not to buffer an event stream.
    pub(crate) fn never_buffer(self, headers: &mut HeaderMap) {
        if !self.has_accel_buffering {
            headers.insert(&X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        }
        if !self.has_cache_control {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
    }
}

/// Returns whether a media type has this essence.
#[inline]
fn is_of(value: &HeaderValue, essence: &str) -> bool {
    let text = value.as_bytes().trim_ascii_start();
    text.split_at_checked(essence.len())
        .is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(essence.as_bytes())
                && matches!(rest.trim_ascii_start(), [] | [b';', ..])
        })
}

static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
