//! The operator's page and what it calls. It has no login: whoever can connect may end sessions, so
//! it belongs on the loopback interface or behind a layer that knows the operator.

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

/// The page runs no script but its own, makes no markup of text, and stands in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

/// What the charts show, in seconds, and the table, in sessions.
const HISTORY: usize = 300;
const ROWS: usize = 100;

/// The page, for a server that listens at `address`, a loopback one.
pub(crate) fn dashboard(sessions: Sessions, address: SocketAddr) -> Router {
    let (pages, latest) = watch::channel(String::new());
    tokio::spawn(take_stock(sessions.clone(), pages));

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

/// Keeps other sites' pages from reading anything: one that has rebound its own name to 127.0.0.1
/// still has that name in `Host`. From pressing the button `CsrfLayer` keeps them.
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

/// Looks once a second, however many pages are open.
async fn take_stock(sessions: Sessions, pages: Sender<String>) {
    let (mut history, mut refused) = (VecDeque::new(), 0);
    loop {
        let stats = sessions.stats();
        let before = std::mem::replace(&mut refused, stats.refused.values().sum::<u64>());
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back((stats.open, refused - before));

        let mut newest = sessions.snapshot();
        // Cached, for ages grow while they are compared.
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
        pages.send_replace(report.to_string());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The fingerprint stands for the id, by which whoever reads it could use the session.
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

async fn events(
    State(latest): State<Receiver<String>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold(latest, |mut latest| async {
        latest.changed().await.ok()?;
        let event = Event::default().data(latest.borrow_and_update().as_str());
        Some((Ok(event.retry(Duration::from_secs(1))), latest))
    }))
}

async fn end(State(sessions): State<Sessions>, Path(fingerprint): Path<String>) -> StatusCode {
    let open = sessions.snapshot();
    let named = |session: &&McpSession| session.fingerprint().to_string() == fingerprint;
    match open.iter().find(named).is_some_and(McpSession::end) {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_FOUND,
    }
}
