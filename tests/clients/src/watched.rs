//! The HTTP client below the official Rust client, with counters that tests can wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::{Error as SseError, Sse};
use tokio::sync::watch;

/// A reqwest client that stores the first session id it receives and counts the streams that begin.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// The client itself, for requests that the Rust client does not know about.
    pub http: reqwest::Client,
    id: Arc<OnceLock<String>>,
    token: Arc<Mutex<Option<String>>>,
    /// The number of GET streams that have begun.
    pub gets: Arc<watch::Sender<usize>>,
    /// The number of POSTs answered by an event stream that has begun.
    pub posts: Arc<watch::Sender<usize>>,
}

type Failure = StreamableHttpError<reqwest::Error>;

impl Watched {
    /// The first session id that it received.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.get().map(String::as_str)
    }

    /// Sets the bearer token of all later requests.
    pub fn set_token(&self, token: &str) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.to_owned());
    }

    fn token(&self) -> Option<String> {
        let token = self.token.lock();
        token.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl StreamableHttpClient for Watched {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let token = self.token().or(auth_header);
        let response = self
            .http
            .post_message(uri, message, session_id, token, custom_headers)
            .await?;
        if let StreamableHttpPostResponse::Json(_, Some(id))
        | StreamableHttpPostResponse::Sse(_, Some(id)) = &response
        {
            let _ = self.id.set(id.clone());
        }
        if matches!(response, StreamableHttpPostResponse::Sse(..)) {
            self.posts.send_modify(|posts| *posts += 1);
        }
        Ok(response)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        let token = self.token().or(auth_header);
        self.http
            .delete_session(uri, session_id, token, custom_headers)
            .await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        let token = self.token().or(auth_header);
        let stream = self
            .http
            .get_stream(uri, session_id, last_event_id, token, custom_headers)
            .await?;
        self.gets.send_modify(|gets| *gets += 1);
        Ok(stream)
    }
}
