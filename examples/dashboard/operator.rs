//! The operator's page and the routes that it calls. It has no login: every program that can connect can
//! end sessions. Serve it on the loopback interface, or behind a layer that authenticates the operator.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{Stream, stream};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST};
use http::{HeaderValue, StatusCode};
use mcp_session_guard::{McpSession, Owner, Sessions};
use serde_json::{Value, json};
use tokio::sync::watch::{self, Receiver, Sender};
use tower_http::csrf::CsrfLayer;

/// The page's content security policy: it runs only its own script, cannot turn text into markup, and no
/// other page can frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

/// How many seconds the charts show.
const HISTORY: usize = 300;
/// How many sessions the table shows.
const ROWS: usize = 100;

/// Makes the routes of the page, for a server that listens at `address`, a loopback address.
pub(crate) fn dashboard(sessions: Sessions, address: SocketAddr) -> Router {
    let (reports, latest) = watch::channel(String::new());
    tokio::spawn(publish_reports(sessions.clone(), reports));

    let file = |kind, text: &'static str| get(([(CONTENT_TYPE, kind)], text));
    let script = file("text/javascript", include_str!("script.js"));
    let end = post(end).with_state(sessions);
    let names = [address.to_string(), format!("localhost:{}", address.port())];
    Router::new()
        .route("/", get(Html(include_str!("page.html"))))
        .route("/style.css", file("text/css", include_str!("style.css")))
        .route("/script.js", script)
        .route("/events", get(events).with_state(latest))
        .route("/sessions/{fingerprint}/end", end)
        .route_layer(CsrfLayer::new())
        .route_layer(from_fn_with_state(names, protect))
}

/// Refuses a request whose `Host` is not this server's. A page of another site that rebinds its own name to
/// 127.0.0.1 still sends that name in `Host`, so it cannot read anything. `CsrfLayer` protects the button.
async fn protect(State(names): State<[String; 2]>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST);
    if !names
        .iter()
        .any(|name| host.is_some_and(|host| host == name))
    {
        let help = "Open the address that the server printed.";
        return (StatusCode::FORBIDDEN, help).into_response();
    }
    let policy = (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    let freshness = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ([policy, freshness], next.run(request).await).into_response()
}

/// Sends one report a second to all open pages.
async fn publish_reports(sessions: Sessions, reports: Sender<String>) {
    let (mut history, mut refused) = (VecDeque::new(), 0);
    loop {
        let stats = sessions.stats();
        let before = std::mem::replace(&mut refused, stats.refused.values().sum::<u64>());
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back((stats.open, refused - before));

        let mut newest = sessions.snapshot();
        // Cached, because ages grow during the sort.
        newest.sort_by_cached_key(McpSession::age);
        newest.truncate(ROWS);
        let ended = stats.ended.iter().map(|(reason, n)| (reason.as_str(), n));
        let refused = stats.refused.iter().map(|(reason, n)| (reason.as_str(), n));
        let report = json!({
            "open": stats.open,
            "streams": stats.open_streams,
            "opened": stats.opened,
            "ended": ended.collect::<BTreeMap<_, _>>(),
            "refused": refused.collect::<BTreeMap<_, _>>(),
            "history": history,
            "sessions": newest.iter().map(row).collect::<Vec<_>>(),
        });
        reports.send_replace(report.to_string());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Returns the table row of a session. It shows the fingerprint, because an id would let its reader
/// use the session.
fn row(session: &McpSession) -> Value {
    json!({
        "fingerprint": session.fingerprint().to_string(),
        "client": session.client_name(),
        "version": session.client_version(),
        "owner": session.owner().map(Owner::to_string),
        "age": session.age().as_secs(),
        "idle": session.idle().as_secs(),
        "in_flight": session.in_flight(),
        "streams": session.open_streams(),
    })
}

/// Streams each report to one page.
async fn events(
    State(latest): State<Receiver<String>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold(latest, |mut latest| async {
        latest.changed().await.ok()?;
        let event = Event::default().data(latest.borrow_and_update().as_str());
        Some((Ok(event.retry(Duration::from_secs(1))), latest))
    }))
}

/// Ends the session with this fingerprint.
async fn end(State(sessions): State<Sessions>, Path(fingerprint): Path<String>) -> StatusCode {
    let open = sessions.snapshot();
    let named = |session: &&McpSession| session.fingerprint().to_string() == fingerprint;
    match open.iter().find(named).is_some_and(McpSession::end) {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_FOUND,
    }
}
