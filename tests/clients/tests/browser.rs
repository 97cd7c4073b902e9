//! A page in a real Chromium calls a guarded server of another origin with the official TypeScript
//! clients. It reads everything that it needs: session id, answers, streams, refusals.
//!
//! The same page fails if the server has no CORS layer, or a CORS layer for another page. So it is
//! the layer that allows the page.

use std::net::Ipv4Addr;
use std::process::Command;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use axum::serve::ListenerExt;
use client_tests::{Browser, Server, folder, node_script, trial};
use http::header::CONTENT_TYPE;
use libtest_mimic::{Arguments, Failed};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// An origin at which no server listens.
const NO_PAGE: &str = "http://127.0.0.1:1";

fn main() {
    let mut trials = Vec::new();
    for (client, version) in [
        ("the TypeScript client v1", "v1"),
        ("the TypeScript client v2", "v2"),
        ("the dual-era TypeScript client", "auto"),
    ] {
        let name = format!("{client} works in a page of the listed origin");
        trials.push(trial(name, Browser::find(), |browser| {
            let page = Page::serve()?;
            let server = Server::start("browser", &[&page.origin]);
            page.works(&browser, version, &server)
        }));
    }
    let name = "the page cannot call a server without the CORS layer";
    trials.push(trial(name.to_owned(), Browser::find(), |browser| {
        let page = Page::serve()?;
        let server = Server::start("browser", &[&page.origin, "without-cors"]);
        page.is_blocked(&browser, "v2", &server)
    }));
    let name = "the page cannot call a server that lists another page";
    trials.push(trial(name.to_owned(), Browser::find(), |browser| {
        let page = Page::serve()?;
        let server = Server::start("browser", &[NO_PAGE]);
        page.is_blocked(&browser, "v2", &server)
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// `node/page.mjs`, bundled and served on its own port.
struct Page {
    origin: String,
    /// The page is served until this is dropped.
    _runtime: Runtime,
}

impl Page {
    fn serve() -> Result<Self, Failed> {
        let bundle = Command::new(node_script("esbuild"))
            .current_dir(folder())
            .args(["node/page.mjs", "--bundle"])
            .output()?;
        if !bundle.status.success() {
            return Err(String::from_utf8_lossy(&bundle.stderr).into());
        }
        let script = ([(CONTENT_TYPE, "text/javascript")], bundle.stdout);
        let app = Router::new()
            .route(
                "/",
                get(Html("<!doctype html><script src=page.js></script>")),
            )
            .route("/page.js", get(script));

        let runtime = Runtime::new()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let origin = format!("http://{}", listener.local_addr()?);
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        runtime.spawn(async { axum::serve(listener, app).await });
        let _runtime = runtime;
        Ok(Self { origin, _runtime })
    }

    fn works(&self, browser: &Browser, client: &str, server: &Server) -> Result<(), Failed> {
        let report = self.talk(browser, client, server)?;
        let expected = json!({
            "blocked": [],
            "seen": {
                "session": 36,
                "tools": ["count"],
                "progress": [1, 2, 3],
                "called": "three",
                "heard": "hello, page",
                "without_id": [400, "Bad Request: Missing session ID"],
                "wrong_id": [404, "Session not found"],
                "right_id": [200, null],
                "after_end": [404, "Session not found"],
                "deleted": 204,
                "call_after_end": "Session not found",
            },
        });
        match report == expected {
            true => Ok(()),
            false => Err(format!("expected {expected}\ngot {report}").into()),
        }
    }

    /// The script learns only that the call failed. The browser's console has the reason.
    fn is_blocked(&self, browser: &Browser, client: &str, server: &Server) -> Result<(), Failed> {
        let report = self.talk(browser, client, server)?;
        let reason = format!(
            "Access to fetch at '{}' from origin '{}' has been blocked by CORS policy: ",
            server.url(),
            self.origin
        );
        let is_blocked = report["blocked"][0]
            .as_str()
            .is_some_and(|line| line.starts_with(&reason));
        match is_blocked && report["seen"] == json!({ "error": "TypeError: Failed to fetch" }) {
            true => Ok(()),
            false => Err(format!("expected {reason}\ngot {report}").into()),
        }
    }

    fn talk(&self, browser: &Browser, client: &str, server: &Server) -> Result<Value, Failed> {
        let printed = browser.run("cors.mjs", &[&self.origin, client, server.url()])?;
        Ok(serde_json::from_str(&printed)?)
    }
}
