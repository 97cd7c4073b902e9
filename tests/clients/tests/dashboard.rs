//! The operator's page of the example `dashboard` in a real Chromium. It shows sessions as they
//! open and end, its button ends the chosen session, and no id leaves the server.
//!
//! The same test fails if the page's own script is blocked. Requests of pages of other sites are
//! tested without a browser.

use client_tests::{Browser, Server, trial};
use http::{Method, StatusCode};
use libtest_mimic::{Arguments, Failed};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

fn main() {
    let trials = vec![
        trial(
            "the page shows its sessions and ends the one whose button is pressed".to_owned(),
            Browser::find(),
            |browser| follows_and_ends(&browser),
        ),
        trial(
            "without its script the page shows nothing".to_owned(),
            Browser::find(),
            |browser| shows_nothing_without_its_script(&browser),
        ),
        trial(
            "pages of other sites cannot press the button".to_owned(),
            Ok(()),
            |()| Runtime::new()?.block_on(other_sites_cannot_press_the_button()),
        ),
        trial(
            "the dashboard refuses requests with another host name".to_owned(),
            Ok(()),
            |()| Runtime::new()?.block_on(under_another_name()),
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn follows_and_ends(browser: &Browser) -> Result<(), Failed> {
    let (server, page) = start();
    let printed = browser.run("dashboard.mjs", &[&page, server.url()])?;
    let report: Value = serde_json::from_str(&printed)?;
    let hostile = "<img src=x onerror=\"document.title = `owned`\">";
    let expected = json!({
        "client": hostile,
        "version": "1.2.3",
        "owner": "Alice",
        "streams": "1",
        "fingerprint": "xxxxxxxxxxxxxxxx",
        "images": 0,
        "title": "2 open · MCP sessions",
        "refused": 404,
        "refused_shown": "1",
        "asked": format!("End session FINGERPRINT of {hostile}?"),
        "focus": "sessions-title",
        "ended_shown": "revoked1",
        "next_call": "Session not found",
        "status": 404,
        "bystander": {},
        "complaints": [],
        "sent": ["/", "/events", "/script.js", "/sessions/FINGERPRINT/end", "/style.css"],
        "announced": true,
        "leaks": [],
    });
    is(&report, &expected)
}

fn shows_nothing_without_its_script(browser: &Browser) -> Result<(), Failed> {
    let (server, page) = start();
    let Err(failed) = browser.run("dashboard.mjs", &[&page, server.url(), "without-script"]) else {
        return Err("the page shows sessions without its script".into());
    };
    let message = failed.message().unwrap_or_default();
    match message.contains("waiting for getByText('Connection lost')") {
        true => Ok(()),
        false => Err(failed),
    }
}

async fn other_sites_cannot_press_the_button() -> Result<(), Failed> {
    let (server, page) = start();
    let client = Client::new();
    let id = open(&client, server.url()).await?;
    let fingerprint = listed(&client, &page).await?;
    let button = format!("{page}sessions/{fingerprint}/end");

    for (headers, status) in [
        (
            vec![("origin", "https://evil.example")],
            StatusCode::FORBIDDEN,
        ),
        (
            vec![("origin", "http://127.0.0.1:1")],
            StatusCode::FORBIDDEN,
        ),
        (vec![("origin", "null")], StatusCode::FORBIDDEN),
        (
            vec![("sec-fetch-site", "cross-site")],
            StatusCode::FORBIDDEN,
        ),
        (vec![("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
    ] {
        let answer = send(&client, Method::POST, &button, &headers).await?;
        is(&answer, &status)?;
    }
    // The request of an image or a link.
    is(
        &send(&client, Method::GET, &button, &[]).await?,
        &StatusCode::METHOD_NOT_ALLOWED,
    )?;
    let by_id = format!("{page}sessions/{id}/end");
    is(
        &send(&client, Method::POST, &by_id, &[]).await?,
        &StatusCode::NOT_FOUND,
    )?;
    is(&ping(&client, server.url(), &id).await?, &StatusCode::OK)?;

    let own = [
        ("origin", page.trim_end_matches('/')),
        ("sec-fetch-site", "same-origin"),
    ];
    is(
        &send(&client, Method::POST, &button, &own).await?,
        &StatusCode::NO_CONTENT,
    )?;
    is(
        &ping(&client, server.url(), &id).await?,
        &StatusCode::NOT_FOUND,
    )?;
    is(
        &send(&client, Method::POST, &button, &own).await?,
        &StatusCode::NOT_FOUND,
    )
}

async fn under_another_name() -> Result<(), Failed> {
    let (server, page) = start();
    let client = Client::new();
    let id = open(&client, server.url()).await?;
    let fingerprint = listed(&client, &page).await?;
    let end = format!("sessions/{fingerprint}/end");
    let port = page.trim_end_matches('/').rsplit(':').next();
    let own = format!("localhost:{}", port.ok_or("a port")?);
    for (method, path) in [
        (Method::GET, ""),
        (Method::GET, "script.js"),
        (Method::GET, "style.css"),
        (Method::GET, "events"),
        (Method::POST, end.as_str()),
    ] {
        let url = format!("{page}{path}");
        for host in ["evil.example", "127.0.0.1", "localhost:1"] {
            let answer = send(&client, method.clone(), &url, &[("host", host)]).await?;
            is(&answer, &StatusCode::FORBIDDEN)?;
        }
        if method == Method::GET {
            let answer = send(&client, method, &url, &[("host", &own)]).await?;
            is(&answer, &StatusCode::OK)?;
        }
    }
    is(&ping(&client, server.url(), &id).await?, &StatusCode::OK)
}

/// Starts the example. Also returns the URL of its page.
fn start() -> (Server, String) {
    let mut server = Server::start("dashboard", &[]);
    let page = server.next_line("Dashboard at ");
    (server, page)
}

async fn open(client: &Client, url: &str) -> Result<String, Failed> {
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
    let answer = post(client, url, initialize).send().await?;
    let id = answer.headers().get("mcp-session-id");
    Ok(id.ok_or("a session")?.to_str()?.to_owned())
}

async fn ping(client: &Client, url: &str, id: &str) -> Result<StatusCode, Failed> {
    let ping = post(client, url, r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#);
    Ok(ping.header("mcp-session-id", id).send().await?.status())
}

fn post(client: &Client, url: &str, body: &'static str) -> reqwest::RequestBuilder {
    let kind = ("content-type", "application/json");
    client.post(url).header(kind.0, kind.1).body(body)
}

async fn send(
    client: &Client,
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
) -> Result<StatusCode, Failed> {
    let mut request = client.request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.send().await?.status())
}

/// The fingerprint of the only session, as soon as the page's event stream names it.
async fn listed(client: &Client, page: &str) -> Result<String, Failed> {
    let mut events = client.get(format!("{page}events")).send().await?;
    let mut text = String::new();
    while let Some(chunk) = events.chunk().await? {
        text.push_str(std::str::from_utf8(&chunk)?);
        let whole = text
            .split_inclusive("\n\n")
            .filter(|event| event.ends_with("\n\n"));
        for line in whole.flat_map(str::lines) {
            let Some(data) = line.strip_prefix("data: ") else {
                continue;
            };
            let report: Value = serde_json::from_str(data)?;
            if let Some(fingerprint) = report["sessions"][0]["fingerprint"].as_str() {
                return Ok(fingerprint.to_owned());
            }
        }
    }
    Err(format!("no session in {text}").into())
}

fn is<T: PartialEq + std::fmt::Debug>(actual: &T, expected: &T) -> Result<(), Failed> {
    match actual == expected {
        true => Ok(()),
        false => Err(format!("expected {expected:?}\ngot {actual:?}").into()),
    }
}
