//! The contract, one line a row: what is sent, what is answered. Written from CONTRACT.md.
//!
//! `cargo test --test contract -- --nocapture the_table` prints it. Every line also checks that a
//! refused request never reached the inner service, that a passed one reached it with equal bytes,
//! and that the live session still works afterwards.

mod support;

use std::fmt;
use std::io;

use axum::BoxError;
use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request};
use mcp_session_guard::{Era, Owner, Refusal, SessionGuardBuilder, SessionGuardLayer};
use serde_json::Value;

use support::{INITIALIZE, INITIALIZED, PING, TestServer, post, request};

const H: &str = "host: localhost:8000";
const P: &str = "origin: http://localhost:8000\naccess-control-request-method: POST";
const J: &str = "content-type: application/json";
const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":"srv-1","result":{}}"#;
const MODERN: &str = r#"{"jsonrpc":"2.0","id":9,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
const MISSING: &str = "Bad Request: Missing session ID";
const NOT_FOUND: &str = "Session not found";
const ANY: &str = "*";

/// Declares the rows: a name, what is sent, what is answered.
macro_rules! rows {
    ($($name:ident: $sent:expr => $answered:expr;)*) => {
        $(#[tokio::test(start_paused = true)] async fn $name() { check($sent, $answered).await; })*

        fn table() -> Vec<(&'static str, Sent, Answered)> {
            vec![$((stringify!($name), $sent, $answered)),*]
        }
    };
}

rows! {
    row_01_a_preflight_goes_to_the_inner_service_without_a_body: send("OPTIONS /mcp\n{H}\n{P}") => preflight();
    row_01_a_preflight_loses_body_session_and_fields_of_both: send("OPTIONS /mcp\n{H}\n{P}\n{J}\ncontent-length: 40\ncontent-language: de\ntransfer-encoding: chunked\ntrailer: x\nexpect: 100-continue\nmcp-session-id: {live}\nmcp-session-id: x\nmcp-protocol-version: 1\nmcp-param-a: b\nmcp_session_id: {live}\nlast-event-id: 7\nlast_event_id: 7\n\n{PING}") => preflight();
    row_01_a_preflight_from_a_foreign_page: send("OPTIONS /mcp\n{H}\norigin: https://evil.example\naccess-control-request-method: POST") => rpc(403, -32600, ANY, "null");
    row_01_a_preflight_to_a_foreign_host: send("OPTIONS /mcp\nhost: evil.example\n{P}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_01_a_preflight_without_host: send("OPTIONS /mcp\n{P}") => problem(400);
    row_01_a_preflight_on_http_2: send("OPTIONS http://localhost:8000/mcp HTTP/2\n{P}\n\n{PING}") => preflight();
    row_01_a_preflight_of_nobody_passes_where_owners_are_required: send("OPTIONS /mcp\n{H}\n{P}\n\n{PING}").under(|guard| owned(guard).require_owner()) => preflight();
    row_01_a_preflight_asks_no_resolver: send("OPTIONS /mcp\n{H}\n{P}\nuser: panics").under(owned) => preflight();
    row_01_options_without_origin: send("OPTIONS /mcp\n{H}\naccess-control-request-method: POST\n\n{PING}") => problem(405).with("allow: GET, POST, DELETE");
    row_01_options_without_a_method_to_ask_for: send("OPTIONS /mcp\n{H}\norigin: http://localhost:8000\nmcp-session-id: {live}\n\n{PING}") => problem(405).with("allow: GET, POST, DELETE");
    row_01_options_with_a_call_of_nobody: send("OPTIONS /mcp\n{H}\n{J}\n\n{PING}").under(|guard| owned(guard).require_owner()) => problem(405).with("allow: GET, POST, DELETE");
    row_01_options_asks_no_resolver: send("OPTIONS /mcp\n{H}\nuser: panics").under(owned) => problem(405).with("allow: GET, POST, DELETE");
    row_01_options_to_a_foreign_host: send("OPTIONS /mcp\nhost: evil.example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_01_options_from_a_foreign_page: send("OPTIONS /mcp\n{H}\norigin: https://evil.example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_01_options_on_http_2: send("OPTIONS http://localhost:8000/mcp HTTP/2\n{J}\n\n{PING}") => problem(405).with("allow: GET, POST, DELETE");
    row_02_no_host: send("POST /mcp\n{J}\n\n{PING}") => problem(400);
    row_02_no_host_on_http_1_0: send("POST /mcp HTTP/1.0\n{J}\n\n{PING}") => problem(400);
    row_02_no_host_beside_the_absolute_form: send("POST http://localhost:8000/mcp\n{J}\n\n{PING}") => problem(400);
    row_02_two_hosts: send("POST /mcp\n{H}\n{H}\n{J}\n\n{PING}") => problem(400);
    row_02_host_with_userinfo: send("POST /mcp\nhost: me@localhost\n{J}\n\n{PING}") => problem(400);
    row_02_host_with_a_bad_port: send("POST /mcp\nhost: localhost:80a\n{J}\n\n{PING}") => problem(400);
    row_02_host_with_a_port_too_large: send("POST /mcp\nhost: localhost:65536\n{J}\n\n{PING}") => problem(400);
    row_02_address_with_a_port_too_large: send("POST /mcp\nhost: 127.0.0.1:65536\n{J}\n\n{PING}") => problem(400);
    row_02_address_with_a_bad_port: send("POST /mcp\nhost: 127.0.0.1:4325a\n{J}\n\n{PING}") => problem(400);
    row_02_host_with_a_signed_port: send("POST /mcp\nhost: localhost:+80\n{J}\n\n{PING}") => problem(400);
    row_02_host_with_text_behind_its_brackets: send("POST /mcp\nhost: [::1]8000\n{J}\n\n{PING}") => problem(400);
    row_02_empty_host: send("POST /mcp\nhost:\n{J}\n\n{PING}") => problem(400);
    row_02_host_with_an_empty_port_passes: send("POST /mcp\nhost: localhost:\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_address_in_brackets_with_an_empty_port_passes: send("POST /mcp\nhost: [::1]:\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_an_authority_with_an_empty_port_passes: send("POST http://localhost:/mcp HTTP/2\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_an_empty_port_equals_none_in_the_absolute_form: send("POST http://localhost/mcp\nhost: localhost:\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_an_empty_port_equals_the_default_port_in_the_absolute_form: send("POST http://localhost:80/mcp\nhost: localhost:\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_an_empty_port_is_not_any_port: send("POST http://localhost:8000/mcp\nhost: localhost:\n{J}\n\n{PING}") => problem(400);
    row_02_host_with_nothing_but_an_empty_port: send("POST /mcp\nhost: :\n{J}\n\n{PING}") => problem(400);
    row_02_host_with_two_empty_ports: send("POST /mcp\nhost: localhost::\n{J}\n\n{PING}") => problem(400);
    row_02_host_with_an_empty_port_behind_a_port: send("POST /mcp\nhost: localhost:80:\n{J}\n\n{PING}") => problem(400);
    row_02_host_unlike_the_absolute_form: send("POST http://localhost:9/mcp\n{H}\n{J}\n\n{PING}") => problem(400);
    row_02_host_unlike_the_authority: send("POST http://127.0.0.1/mcp HTTP/2\nhost: localhost\n{J}\n\n{PING}") => problem(400);
    row_02_an_authority_alone_passes_on_http_2: send("POST http://localhost:8000/mcp HTTP/2\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_foreign_host: send("POST /mcp\nhost: evil.example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_host_that_only_begins_like_localhost: send("POST /mcp\nhost: localhost.evil.example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_an_empty_list_refuses_every_host: send("POST /mcp\n{H}\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts([""; 0])) => rpc(403, -32600, ANY, "null");
    row_02_address_that_only_begins_like_loopback: send("POST /mcp\nhost: 127.0.0.10:80\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_address_with_the_highest_port: send("POST /mcp\nhost: 127.0.0.1:65535\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_address_in_brackets_with_a_port: send("POST /mcp\nhost: [::1]:43251\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_host_compares_without_case_and_trailing_dot: send("POST /mcp\nhost: LOCALHOST.:1\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_host_ip_literals_compare_by_value: send("POST /mcp\nhost: [0:0:0:0:0:0:0:1]:8000\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_a_listed_host_with_a_port_matches_that_port: send("POST /mcp\nhost: mcp.example:444\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["mcp.example:443"])) => rpc(403, -32600, ANY, "null");
    row_02_a_listed_host_with_the_port_of_https_matches_no_port: send("POST /mcp\nhost: mcp.example\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["mcp.example:443"])) => passes();
    row_02_a_listed_host_with_the_port_of_http_matches_no_port: send("POST /mcp\nhost: mcp.example\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["mcp.example:80"])) => passes();
    row_02_a_listed_host_with_a_default_port_matches_an_empty_port: send("POST /mcp\nhost: MCP.Example.:\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["mcp.example:443"])) => passes();
    row_02_a_listed_address_with_a_default_port_matches_no_port: send("POST /mcp\nhost: [2001:DB8::1]\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["[2001:db8::1]:443"])) => passes();
    row_02_a_listed_host_with_a_default_port_matches_an_authority_without_port: send("POST https://mcp.example/mcp HTTP/2\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["mcp.example:443"])) => passes();
    row_02_a_listed_host_with_one_default_port_does_not_match_the_other: send("POST /mcp\nhost: mcp.example:80\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["mcp.example:443"])) => rpc(403, -32600, ANY, "null");
    row_02_a_listed_host_with_another_port_does_not_match_no_port: send("POST /mcp\nhost: mcp.example\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["mcp.example:8443"])) => rpc(403, -32600, ANY, "null");
    row_02_a_listed_localhost_stands_for_the_address: send("POST /mcp\nhost: 127.0.0.1:8000\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["localhost"])) => passes();
    row_02_a_listed_localhost_stands_for_the_address_in_brackets: send("POST /mcp\nhost: [::1]:8000\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["LocalHost."])) => passes();
    row_02_a_listed_localhost_with_a_port_stands_for_the_address_with_that_port: send("POST /mcp\nhost: 127.0.0.1:8000\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["localhost:8000"])) => passes();
    row_02_a_listed_localhost_with_a_port_does_not_stand_for_another: send("POST /mcp\nhost: 127.0.0.1:8001\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["localhost:8000"])) => rpc(403, -32600, ANY, "null");
    row_02_a_listed_localhost_with_a_default_port_stands_for_the_address_without_port: send("POST /mcp\nhost: [::1]\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["localhost:80"])) => passes();
    row_02_a_listed_address_does_not_stand_for_localhost: send("POST /mcp\nhost: localhost\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["127.0.0.1", "[::1]"])) => rpc(403, -32600, ANY, "null");
    row_02_a_listed_loopback_address_does_not_stand_for_the_other: send("POST /mcp\nhost: [::1]\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["127.0.0.1"])) => rpc(403, -32600, ANY, "null");
    row_02_a_wildcard_matches_one_label: send("POST /mcp\nhost: Mcp.Example.COM.:9\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["*.example.com"])) => passes();
    row_02_a_wildcard_matches_one_label_of_an_authority: send("POST https://mcp.example.com/mcp HTTP/2\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["*.Example.com."])) => passes();
    row_02_a_wildcard_does_not_match_the_name_behind_it: send("POST /mcp\nhost: example.com\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_a_wildcard_does_not_match_two_labels: send("POST /mcp\nhost: a.mcp.example.com\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_a_wildcard_does_not_match_an_empty_label: send("POST /mcp\nhost: .example.com\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_a_wildcard_does_not_match_a_name_that_only_ends_alike: send("POST /mcp\nhost: evilexample.com\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_a_wildcard_does_not_match_a_name_that_goes_on: send("POST /mcp\nhost: mcp.example.com.evil.example\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_a_wildcard_does_not_match_an_address: send("POST /mcp\nhost: 127.0.0.1\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_a_wildcard_in_a_host_is_malformed: send("POST /mcp\nhost: *.example.com\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["*.example.com"])) => problem(400);
    row_02_a_wildcard_with_a_port_matches_that_port: send("POST /mcp\nhost: mcp.example.com:8443\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["*.example.com:8443"])) => passes();
    row_02_a_wildcard_with_a_port_does_not_match_another: send("POST /mcp\nhost: mcp.example.com:8444\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["*.example.com:8443"])) => rpc(403, -32600, ANY, "null");
    row_02_a_wildcard_with_a_port_does_not_match_no_port: send("POST /mcp\nhost: mcp.example.com\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["*.example.com:8443"])) => rpc(403, -32600, ANY, "null");
    row_02_a_wildcard_with_a_default_port_matches_no_port: send("POST /mcp\nhost: mcp.example.com\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["*.example.com:443"])) => passes();
    row_02_a_predicate_lets_a_host_in_by_its_name_and_port: send("POST /mcp\nhost: Tenant-7.Example.:8443\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts_where(|name, port| name == "tenant-7.example" && port == Some(8443))) => passes();
    row_02_a_predicate_gets_an_authority_without_port: send("POST https://mcp.example/mcp HTTP/2\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts_where(|name, port| name == "mcp.example" && port.is_none())) => passes();
    row_02_a_predicate_gets_an_address_in_its_canonical_form: send("POST /mcp\nhost: [2001:DB8:0::1]:\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts_where(|name, port| name == "[2001:db8::1]" && port.is_none())) => passes();
    row_02_a_predicate_that_says_no_refuses_a_host: send("POST /mcp\nhost: mcp.example\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts_where(|_, _| false)) => rpc(403, -32600, ANY, "null");
    row_02_a_predicate_that_panics_refuses_a_host: send("POST /mcp\nhost: mcp.example\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts_where(|_, _| panic!("no answer"))) => rpc(403, -32600, ANY, "null");
    row_02_a_predicate_adds_to_the_listed_hosts: send("POST /mcp\nhost: localhost:8000\n{J}\nmcp-session-id: {live}\n\n{PING}").under(|guard| guard.allowed_hosts_where(|_, _| panic!("the list matches"))) => passes();
    row_02_a_list_behind_a_predicate_keeps_it: send("POST /mcp\nhost: other.example\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts_where(|name, _| name == "other.example").allowed_hosts([""; 0])) => passes();
    row_02_a_predicate_does_not_get_a_malformed_host: send("POST /mcp\nhost: me@mcp.example\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts_where(|_, _| true)) => problem(400);
    row_02_a_predicate_does_not_get_a_name_with_an_empty_label: send("POST /mcp\nhost: mcp..example\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts_where(|_, _| true)) => rpc(403, -32600, ANY, "null");
    row_02_foreign_origin: send("POST /mcp\n{H}\n{J}\norigin: https://evil.example\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_foreign_origin_with_the_endpoints_port: send("POST /mcp\n{H}\n{J}\norigin: http://evil.example:8000\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_null_origin: send("POST /mcp\n{H}\n{J}\norigin: null\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_two_origins: send("POST /mcp\n{H}\n{J}\norigin: http://localhost\norigin: http://localhost\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_malformed_origin: send("POST /mcp\n{H}\n{J}\norigin: http://localhost/path\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_loopback_origin_of_another_scheme: send("POST /mcp\n{H}\n{J}\norigin: ftp://localhost\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_an_empty_list_refuses_every_other_origin: send("POST /mcp\n{H}\n{J}\norigin: http://localhost:9\n\n{PING}").under(|guard| guard.allowed_origins([""; 0])) => rpc(403, -32600, ANY, "null");
    row_02_loopback_origin_passes: send("POST /mcp\n{H}\n{J}\norigin: http://127.0.0.1:5173\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_02_the_endpoints_own_origin_passes: send("POST /mcp\nhost: mcp.example\n{J}\norigin: https://mcp.example:443\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["mcp.example"]).allowed_origins([""; 0])) => passes();
    row_02_the_endpoints_own_origin_has_the_listed_port_where_the_host_has_none: send("POST /mcp\nhost: mcp.example\norigin: https://mcp.example\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["mcp.example:443"])) => passes();
    row_02_an_origin_of_another_port_than_the_listed_one_is_not_the_endpoints_own: send("POST /mcp\nhost: mcp.example\norigin: http://mcp.example\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["mcp.example:443"])) => rpc(403, -32600, ANY, "null");
    row_02_the_endpoints_own_origin_passes_with_an_empty_port_in_the_host: send("POST /mcp\nhost: mcp.example:\norigin: https://mcp.example\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["mcp.example"])) => passes();
    row_02_the_endpoints_own_origin_passes_by_the_address_of_a_listed_localhost: send("POST /mcp\nhost: 127.0.0.1:8000\norigin: http://127.0.0.1:8000\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["localhost"]).allowed_origins([""; 0])) => passes();
    row_02_the_endpoints_own_origin_does_not_pass_under_a_wildcard: send("POST /mcp\nhost: mcp.example.com\norigin: https://mcp.example.com\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts(["*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_the_endpoints_own_origin_does_not_pass_by_a_predicate_for_hosts: send("POST /mcp\nhost: mcp.example\norigin: https://mcp.example\n{J}\n\n{PING}").under(|guard| guard.allowed_hosts_where(|_, _| true)) => rpc(403, -32600, ANY, "null");
    row_02_the_endpoints_own_origin_passes_where_a_wildcard_stands_beside_its_name: send("POST /mcp\nhost: mcp.example.com\norigin: https://mcp.example.com\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_hosts(["*.example.com", "mcp.example.com"])) => passes();
    row_02_the_endpoints_own_origin_does_not_pass_without_the_host_check: send("POST /mcp\nhost: mcp.example\norigin: https://mcp.example\n{J}\n\n{PING}").under(SessionGuardBuilder::dangerously_allow_any_host) => rpc(403, -32600, ANY, "null");
    row_02_a_listed_origin_passes_with_its_default_port: send("POST /mcp\n{H}\n{J}\norigin: HTTPS://App.Example:443\n\n{INITIALIZE}").under(|guard| guard.allowed_origins(["https://app.example"])) => passes();
    row_02_an_origin_with_an_empty_port_is_malformed: send("POST /mcp\nhost: localhost:8000\norigin: http://localhost:\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_a_listed_origin_of_localhost_stands_for_the_address: send("POST /mcp\nhost: localhost:8000\norigin: http://127.0.0.1:3000\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_origins(["http://localhost:3000"])) => passes();
    row_02_a_listed_origin_of_localhost_stands_for_the_address_in_brackets: send("POST /mcp\nhost: localhost:8000\norigin: http://[::1]:3000\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_origins(["http://localhost:3000"])) => passes();
    row_02_a_listed_origin_of_localhost_stands_for_no_other_port: send("POST /mcp\nhost: 127.0.0.1:8000\norigin: http://127.0.0.1\n{J}\n\n{PING}").under(|guard| guard.allowed_origins(["http://localhost:3000"])) => rpc(403, -32600, ANY, "null");
    row_02_a_listed_origin_of_localhost_stands_for_no_other_scheme: send("POST /mcp\nhost: localhost:8000\norigin: https://127.0.0.1:3000\n{J}\n\n{PING}").under(|guard| guard.allowed_origins(["http://localhost:3000"])) => rpc(403, -32600, ANY, "null");
    row_02_a_listed_origin_of_an_address_does_not_stand_for_localhost: send("POST /mcp\nhost: localhost:8000\norigin: http://localhost:3000\n{J}\n\n{PING}").under(|guard| guard.allowed_origins(["http://127.0.0.1:3000"])) => rpc(403, -32600, ANY, "null");
    row_02_an_origin_under_a_wildcard_passes: send("POST /mcp\nhost: localhost:8000\norigin: https://App.Example.com.:443\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_origins(["https://*.example.com"])) => passes();
    row_02_an_origin_under_a_wildcard_with_a_port_passes: send("POST /mcp\nhost: localhost:8000\norigin: https://app.example.com:8443\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_origins(["https://*.example.com:8443"])) => passes();
    row_02_an_origin_under_a_wildcard_of_another_port: send("POST /mcp\nhost: localhost:8000\norigin: https://app.example.com:8443\n{J}\n\n{PING}").under(|guard| guard.allowed_origins(["https://*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_an_origin_under_a_wildcard_of_another_scheme: send("POST /mcp\nhost: localhost:8000\norigin: http://app.example.com\n{J}\n\n{PING}").under(|guard| guard.allowed_origins(["https://*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_an_origin_two_labels_under_a_wildcard: send("POST /mcp\nhost: localhost:8000\norigin: https://a.app.example.com\n{J}\n\n{PING}").under(|guard| guard.allowed_origins(["https://*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_an_origin_of_the_name_behind_a_wildcard: send("POST /mcp\nhost: localhost:8000\norigin: https://example.com\n{J}\n\n{PING}").under(|guard| guard.allowed_origins(["https://*.example.com"])) => rpc(403, -32600, ANY, "null");
    row_02_a_predicate_lets_an_origin_in_by_its_scheme_name_and_port: send("POST /mcp\nhost: localhost:8000\norigin: HTTPS://App.Example.:8443\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_origins_where(|scheme, name, port| scheme == "https" && name == "app.example" && port == Some(8443))) => passes();
    row_02_a_predicate_gets_the_port_of_an_origin_as_written: send("POST /mcp\nhost: localhost:8000\norigin: https://[2001:DB8::1]\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_origins_where(|_, name, port| name == "[2001:db8::1]" && port.is_none())) => passes();
    row_02_a_predicate_that_says_no_refuses_an_origin: send("POST /mcp\nhost: localhost:8000\norigin: https://app.example\n{J}\n\n{PING}").under(|guard| guard.allowed_origins_where(|_, _, _| false)) => rpc(403, -32600, ANY, "null");
    row_02_a_predicate_that_panics_refuses_an_origin: send("POST /mcp\nhost: localhost:8000\norigin: https://app.example\n{J}\n\n{PING}").under(|guard| guard.allowed_origins_where(|_, _, _| panic!("no answer"))) => rpc(403, -32600, ANY, "null");
    row_02_a_predicate_adds_to_the_default_origins: send("POST /mcp\nhost: localhost:8000\norigin: http://localhost:5173\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_origins_where(|_, _, _| panic!("the list matches"))) => passes();
    row_02_a_list_behind_a_predicate_for_origins_keeps_it: send("POST /mcp\nhost: localhost:8000\norigin: https://app.example\n{J}\n\n{INITIALIZE}").under(|guard| guard.allowed_origins_where(|_, _, _| true).allowed_origins([""; 0])) => passes();
    row_02_a_predicate_does_not_get_a_null_origin: send("POST /mcp\nhost: localhost:8000\norigin: null\n{J}\n\n{PING}").under(|guard| guard.allowed_origins_where(|_, _, _| true)) => rpc(403, -32600, ANY, "null");
    row_02_a_predicate_does_not_get_the_origin_of_a_file: send("POST /mcp\nhost: localhost:8000\norigin: file://\n{J}\n\n{PING}").under(|guard| guard.allowed_origins_where(|_, _, _| true)) => rpc(403, -32600, ANY, "null");
    row_02_a_predicate_does_not_get_two_origins: send("POST /mcp\nhost: localhost:8000\norigin: https://app.example\norigin: https://app.example\n{J}\n\n{PING}").under(|guard| guard.allowed_origins_where(|_, _, _| true)) => rpc(403, -32600, ANY, "null");
    row_02_the_origin_of_a_file: send("POST /mcp\nhost: localhost:8000\norigin: file://\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    row_02_a_null_origin_passes_by_its_setter: send("POST /mcp\nhost: localhost:8000\norigin: null\n{J}\n\n{INITIALIZE}").under(SessionGuardBuilder::dangerously_allow_null_origin) => passes();
    row_02_the_origin_of_a_file_passes_by_the_setter_for_null: send("POST /mcp\nhost: localhost:8000\norigin: file://\n{J}\n\n{INITIALIZE}").under(SessionGuardBuilder::dangerously_allow_null_origin) => passes();
    row_02_two_null_origins_are_refused_in_spite_of_their_setter: send("POST /mcp\nhost: localhost:8000\norigin: null\norigin: null\n{J}\n\n{PING}").under(SessionGuardBuilder::dangerously_allow_null_origin) => rpc(403, -32600, ANY, "null");
    row_02_the_setter_for_null_takes_no_other_spelling: send("POST /mcp\nhost: localhost:8000\norigin: NULL\n{J}\n\n{PING}").under(SessionGuardBuilder::dangerously_allow_null_origin) => rpc(403, -32600, ANY, "null");
    row_02_the_setter_for_null_takes_no_path_of_a_file: send("POST /mcp\nhost: localhost:8000\norigin: file:///tmp/page.html\n{J}\n\n{PING}").under(SessionGuardBuilder::dangerously_allow_null_origin) => rpc(403, -32600, ANY, "null");
    row_02_the_setter_for_null_lets_no_other_origin_in: send("POST /mcp\nhost: localhost:8000\norigin: https://evil.example\n{J}\n\n{PING}").under(SessionGuardBuilder::dangerously_allow_null_origin) => rpc(403, -32600, ANY, "null");
    row_02_the_setter_for_null_keeps_the_check_of_the_host: send("POST /mcp\nhost: evil.example\norigin: null\n{J}\n\n{PING}").under(SessionGuardBuilder::dangerously_allow_null_origin) => rpc(403, -32600, ANY, "null");
    row_02_origin_is_judged_before_the_method: send("PUT /mcp\n{H}\norigin: null") => rpc(403, -32600, ANY, "null");
    row_03_put: send("PUT /mcp\n{H}\n{J}\n\n{PING}") => problem(405).with("allow: GET, POST, DELETE");
    row_03_put_asks_no_resolver: send("PUT /mcp\n{H}\nuser: fails\nmcp-session-id: {live}").under(owned) => problem(405).with("allow: GET, POST, DELETE");
    row_03_head: send("HEAD /mcp\n{H}") => problem(405).with("allow: GET, POST, DELETE");
    row_03_patch_with_a_live_session: send("PATCH /mcp\n{H}\nmcp-session-id: {live}") => problem(405).with("allow: GET, POST, DELETE");
    row_04_two_session_headers: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-session-id: x\n\n{PING}") => problem(400);
    row_04_two_session_headers_the_other_way: send("POST /mcp\n{H}\n{J}\nmcp-session-id: x\nmcp-session-id: {live}\n\n{PING}") => problem(400);
    row_04_two_equal_session_headers: send("GET /mcp\n{H}\nmcp-session-id: {live}\nmcp-session-id: {live}") => problem(400);
    row_04_connection_naming_an_mcp_field: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nconnection: keep-alive, Mcp-Session-Id\n\n{PING}") => problem(400);
    row_04_connection_naming_other_fields_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nconnection: keep-alive, x-mcp-trace\n\n{PING}") => passes();
    row_04_an_empty_session_header_counts_as_none: send("POST /mcp\n{H}\n{J}\nmcp-session-id:\n\n{PING}") => rpc(400, -32600, MISSING, "1");
    row_05_get_without_session: send("GET /mcp\n{H}") => problem(400);
    row_05_delete_without_session: send("DELETE /mcp\n{H}") => problem(400);
    row_05_get_of_the_modern_era: send("GET /mcp\n{H}\nmcp-protocol-version: 2026-07-28") => problem(405).with("allow: POST");
    row_05_delete_of_the_modern_era: send("DELETE /mcp\n{H}\nmcp-protocol-version: 2027-01-01") => problem(405).with("allow: POST");
    row_06_id_with_a_space: send("POST /mcp\n{H}\n{J}\nmcp-session-id: a b\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
    row_06_id_of_latin_1: send("POST /mcp\n{H}\n{J}\nmcp-session-id: \u{e9}\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
    row_06_id_longer_than_any: send("GET /mcp\n{H}\nmcp-session-id: {live}0") => rpc(404, -32600, NOT_FOUND, "null");
    row_06_a_modern_header_does_not_save_a_malformed_id: send("POST /mcp\n{H}\n{J}\nmcp-session-id: a b\nmcp-protocol-version: 2026-07-28\n\n{MODERN}") => rpc(404, -32600, NOT_FOUND, "null");
    row_07_unknown_id_on_post: send("POST /mcp\n{H}\n{J}\nmcp-session-id: 00000000-0000-4000-8000-000000000000\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
    row_07_unknown_id_on_get: send("GET /mcp\n{H}\nmcp-session-id: nobody") => rpc(404, -32600, NOT_FOUND, "null");
    row_07_unknown_id_on_get_with_last_event_id: send("GET /mcp\n{H}\nmcp-session-id: nobody\nlast-event-id: 7") => rpc(404, -32600, NOT_FOUND, "null");
    row_07_unknown_id_on_delete: send("DELETE /mcp\n{H}\nmcp-session-id: nobody") => rpc(404, -32600, NOT_FOUND, "null");
    row_07_ended_id: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {ended}\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
    row_07_id_in_upper_case: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {LIVE}\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
    row_07_two_ids_in_one_header: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live},x\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
    row_07_unknown_id_is_judged_before_the_media_type: send("POST /mcp\n{H}\nmcp-session-id: nobody\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
    row_08_get_with_an_unknown_version: send("GET /mcp\n{H}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-01-01") => problem(400);
    row_08_delete_with_an_unknown_version: send("DELETE /mcp\n{H}\nmcp-session-id: {live}\nmcp-protocol-version: latest") => problem(400);
    row_08_two_different_versions: send("GET /mcp\n{H}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-11-25\nmcp-protocol-version: 2025-06-18") => problem(400);
    row_08_a_list_of_equal_versions_counts_once: send("GET /mcp\n{H}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-11-25, 2025-11-25") => passes_with("mcp-protocol-version: 2025-11-25");
    row_08_a_list_of_two_versions: send("GET /mcp\n{H}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-11-25, 2025-06-18") => problem(400);
    row_08_delete_with_a_list_of_equal_versions: send("DELETE /mcp\n{H}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-11-25,2025-11-25") => no_content();
    row_08_delete_with_a_list_of_two_versions: send("DELETE /mcp\n{H}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-11-25,latest") => problem(400);
    row_08_a_modern_version_may_use_its_live_session: send("GET /mcp\n{H}\nmcp-session-id: {live}\nmcp-protocol-version: 2026-07-28") => passes();
    row_09_no_content_type: send("POST /mcp\n{H}\n\n{PING}") => problem(415);
    row_09_two_content_types: send("POST /mcp\n{H}\n{J}\n{J}\n\n{PING}") => problem(415);
    row_09_text_plain: send("POST /mcp\n{H}\ncontent-type: text/plain\n\n{PING}") => problem(415);
    row_09_form: send("POST /mcp\n{H}\ncontent-type: application/x-www-form-urlencoded\n\n{PING}") => problem(415);
    row_09_jsonp: send("POST /mcp\n{H}\ncontent-type: application/jsonp\n\n{PING}") => problem(415);
    row_09_json_patch: send("POST /mcp\n{H}\ncontent-type: application/json-patch+json\n\n{PING}") => problem(415);
    row_09_latin_1: send("POST /mcp\n{H}\n{J}; charset=latin1\n\n{PING}") => problem(415);
    row_09_charset_with_white_space: send("POST /mcp\n{H}\n{J} ; charset = latin1\n\n{PING}") => problem(415);
    row_09_gzip: send("POST /mcp\n{H}\n{J}\ncontent-encoding: gzip\n\n{PING}") => problem(415);
    row_09_utf_8_in_any_spelling_passes: send("POST /mcp\n{H}\ncontent-type: Application/JSON ; Charset=\"UTF-8\"\ncontent-encoding: identity\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_09_ascii_passes: send("POST /mcp\n{H}\n{J};charset=us-ascii\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_10_declared_over_the_limit: send("POST /mcp\n{H}\n{J}\ncontent-length: 4194305\n\n{PING}") => problem(413).with("connection: close");
    row_10_streamed_over_the_limit: send("POST /mcp\n{H}\n{J}\n\n{PING}").under(|guard| guard.body_limit(39)) => problem(413).with("connection: close");
    row_10_no_connection_header_on_http_2: send("POST http://localhost/mcp HTTP/2\n{J}\n\n{PING}").under(|guard| guard.body_limit(39)) => problem(413);
    row_10_declared_at_the_limit_passes: send("POST /mcp\n{H}\n{J}\ncontent-length: 151\n\n{INITIALIZE}").under(|guard| guard.body_limit(151)) => passes();
    row_10_at_the_limit_passes: send("POST /mcp\n{H}\n{J}\n\n{INITIALIZE}").under(|guard| guard.body_limit(151)) => passes();
    row_11_a_body_that_stalls: send("POST /mcp\n{H}\n{J}").streams(stalls) => problem(408).with("connection: close");
    row_11_a_body_that_breaks_off: send("POST /mcp\n{H}\n{J}").streams(breaks_off) => problem(400);
    row_12_empty: send("POST /mcp\n{H}\n{J}\n\n") => rpc(400, -32700, ANY, "null");
    row_12_malformed: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":1,") => rpc(400, -32700, ANY, "null");
    row_12_byte_order_mark: send("POST /mcp\n{H}\n{J}\n\n\u{feff}{PING}") => rpc(400, -32700, ANY, "null");
    row_12_trailing_data: send("POST /mcp\n{H}\n{J}\n\n{PING}{PING}") => rpc(400, -32700, ANY, "null");
    row_13_batch: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n[{PING}]") => rpc(400, -32600, ANY, "null");
    row_13_batch_with_initialize: send("POST /mcp\n{H}\n{J}\n\n[{INITIALIZE},{PING}]") => rpc(400, -32600, ANY, "null");
    row_13_string: send("POST /mcp\n{H}\n{J}\n\n\"ping\"") => rpc(400, -32600, ANY, "null");
    row_13_too_deep: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{deep63},\"id\":7}").under(|guard| guard.json_depth(63)) => rpc(400, -32600, ANY, "7");
    row_13_at_the_depth_limit_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{deep63},\"id\":7}") => passes();
    row_13_jsonrpc_1: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"1.0\",\"id\":3,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "3");
    row_13_no_jsonrpc: send("POST /mcp\n{H}\n{J}\n\n{\"id\":3,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "3");
    row_13_method_no_string: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":4}") => rpc(400, -32600, ANY, "3");
    row_13_method_beside_result: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\",\"result\":{}}") => rpc(400, -32600, ANY, "3");
    row_13_result_and_error: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{},\"error\":{}}") => rpc(400, -32600, ANY, "null");
    row_13_neither_method_nor_result_nor_error: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":\"three\"}") => rpc(400, -32600, ANY, "\"three\"");
    row_13_null_id_on_a_request: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "null");
    row_13_fractional_id: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":1.0,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "1.0");
    row_13_exponent_id: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":1e2,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "1e2");
    row_13_id_2_to_the_64: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":18446744073709551616,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "18446744073709551616");
    row_13_id_below_minus_2_to_the_63: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":-9223372036854775809,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "-9223372036854775809");
    row_13_minus_zero: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":-0,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "-0");
    row_13_a_number_of_256_digits_is_echoed: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":{n256},\"method\":\"ping\"}") => rpc(400, -32600, ANY, "{n256}");
    row_13_a_number_of_257_digits_is_not_echoed: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":{n256}7,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "null");
    row_13_a_number_that_stands_twice_is_not_echoed: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":1.0,\"id\":1.0,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "null");
    row_13_a_numeric_id_of_a_response_is_not_echoed: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":1.0,\"result\":{}}") => rpc(400, -32600, ANY, "null");
    row_13_object_id: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}") => rpc(400, -32600, ANY, "null");
    row_13_id_of_257_bytes: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":\"{x256}y\",\"method\":\"ping\"}") => rpc(400, -32600, ANY, "null");
    row_13_id_of_256_bytes_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":\"{x256}\",\"method\":\"ping\"}") => passes();
    row_13_the_largest_ids_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":-9007199254740991,\"method\":\"ping\"}") => passes();
    row_13_an_integer_beyond_2_to_the_53_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":9007199254740993,\"method\":\"ping\"}") => passes();
    row_13_the_least_integer_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":-9223372036854775808,\"method\":\"ping\"}") => passes();
    row_13_the_largest_signed_integer_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":9223372036854775807,\"method\":\"ping\"}") => passes();
    row_13_the_largest_integer_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":18446744073709551615,\"method\":\"ping\"}") => passes();
    row_13_a_large_id_is_echoed: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":18446744073709551615,\"method\":\"ping\"}") => rpc(400, -32600, MISSING, "18446744073709551615");
    row_13_a_large_id_opens_a_session: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":9007199254740993,\"method\":\"initialize\"}") => passes();
    row_13_a_null_error_beside_a_result_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{},\"error\":null}") => passes();
    row_13_a_null_result_beside_an_error_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":null,\"error\":{\"code\":1,\"message\":\"x\"}}") => passes();
    row_13_a_null_result_beside_an_error_without_id_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":null,\"error\":{\"code\":1,\"message\":\"x\"}}") => passes();
    row_13_a_null_result_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":null}") => passes();
    row_13_a_null_result_without_id: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"result\":null,\"error\":null}") => rpc(400, -32600, ANY, "null");
    row_13_a_null_error_alone: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":null}") => rpc(400, -32600, ANY, "null");
    row_13_a_null_result_beside_an_error_that_is_no_object: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":null,\"error\":\"x\"}") => rpc(400, -32600, ANY, "null");
    row_13_method_beside_a_null_error: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\",\"error\":null}") => rpc(400, -32600, ANY, "3");
    row_13_method_beside_a_null_result: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\",\"result\":null}") => rpc(400, -32600, ANY, "3");
    row_13_method_beside_both_null: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":null,\"error\":null,\"method\":\"initialize\"}") => rpc(400, -32600, ANY, "3");
    row_13_a_lone_surrogate: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"x\",\"arguments\":{\"text\":\"\\ud83d\"}}}") => rpc(400, -32600, ANY, "3");
    row_13_a_lone_surrogate_in_a_key: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"params\":{\"arguments\":{\"\\uDE00\":1}},\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"tools/call\"}") => rpc(400, -32600, ANY, "\"a\"");
    row_13_a_lone_surrogate_in_initialize: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"x\":\"\\ude00\\ud83d\"}}") => rpc(400, -32600, ANY, "0");
    row_13_a_lone_surrogate_in_a_notification: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\",\"params\":[\"\\ud83d\"]}") => rpc(400, -32600, ANY, "null");
    row_13_a_lone_surrogate_in_a_response: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"text\":\"\\ud83d\"}}") => rpc(400, -32600, ANY, "null");
    row_13_a_lone_surrogate_in_stateless_mode: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\",\"params\":[\"\\ud83d\"]}").under(SessionGuardBuilder::stateless) => rpc(400, -32600, ANY, "3");
    row_13_a_surrogate_pair_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":\"\\ud83d\\ude00\",\"method\":\"ping\",\"params\":[\"\\uD83D\\uDE00\"]}") => passes();
    row_13_a_lone_surrogate_in_the_id: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":\"\\ud83d\",\"method\":\"ping\"}").under(SessionGuardBuilder::accept_lone_surrogates) => rpc(400, -32600, ANY, "null");
    row_13_malformed_wins_over_a_lone_surrogate: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"\\ud83d\",\"params\":}") => rpc(400, -32700, ANY, "null");
    row_13_the_option_lets_a_lone_surrogate_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"x\",\"arguments\":{\"\\uDE00\":\"\\ud83d\"}}}").under(SessionGuardBuilder::accept_lone_surrogates) => passes();
    row_13_the_option_lets_a_response_with_a_lone_surrogate_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"name\":\"\\ud83d\"}}").under(SessionGuardBuilder::accept_lone_surrogates) => passes();
    row_13_the_option_lets_a_lone_surrogate_open_a_session: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"clientInfo\":{\"title\":\"\\ud83d\"}}}").under(SessionGuardBuilder::accept_lone_surrogates) => passes();
    row_13_the_option_lets_no_method_with_a_lone_surrogate_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"x\\ud83d\"}").under(SessionGuardBuilder::accept_lone_surrogates) => rpc(400, -32600, ANY, "3");
    row_13_the_option_lets_no_name_with_a_lone_surrogate_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"\\ud83d\"}}").under(SessionGuardBuilder::accept_lone_surrogates) => rpc(400, -32600, ANY, "3");
    row_13_the_option_lets_no_uri_with_a_lone_surrogate_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"resources/read\",\"params\":{\"uri\":\"\\ud83d\"}}").under(SessionGuardBuilder::accept_lone_surrogates) => rpc(400, -32600, ANY, "3");
    row_13_the_option_lets_no_claim_with_a_lone_surrogate_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"\\ud83d\"}}}").under(SessionGuardBuilder::accept_lone_surrogates) => rpc(400, -32600, ANY, "3");
    row_13_the_option_lets_no_protocol_version_with_a_lone_surrogate_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"\\ud83d\"}}").under(SessionGuardBuilder::accept_lone_surrogates) => rpc(400, -32600, ANY, "3");
    row_13_the_option_lets_no_client_name_with_a_lone_surrogate_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"initialize\",\"params\":{\"clientInfo\":{\"name\":\"\\ud83d\"}}}").under(SessionGuardBuilder::accept_lone_surrogates) => rpc(400, -32600, ANY, "3");
    row_13_the_option_lets_no_client_version_with_a_lone_surrogate_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"initialize\",\"params\":{\"clientInfo\":{\"version\":\"\\ud83d\"}}}").under(SessionGuardBuilder::accept_lone_surrogates) => rpc(400, -32600, ANY, "3");
    row_13_result_without_id: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"result\":{}}") => rpc(400, -32600, ANY, "null");
    row_13_an_error_without_id_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":\"x\"}}") => passes();
    row_13_params_of_any_type_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[1,\"x\"]}") => passes();
    row_13_the_id_is_found_behind_params: send("POST /mcp\n{H}\n{J}\n\n{\"method\":\"tools/call\",\"params\":{\"name\":\"x\"},\"jsonrpc\":\"2.0\",\"id\":\"a\\u0062\"}") => rpc(400, -32600, MISSING, "\"a\\u0062\"");
    row_14_duplicate_method: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"initialize\",\"method\":\"ping\"}") => rpc(400, -32600, ANY, "5");
    row_14_duplicate_id: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"id\":5,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "null");
    row_14_duplicate_of_an_unknown_key: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"x\":1,\"x\":2,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "5");
    row_14_escaped_duplicate: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"\\u006dethod\":\"initialize\"}") => rpc(400, -32600, ANY, "5");
    row_14_duplicate_name_in_params: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"name\":\"b\"}}") => rpc(400, -32600, ANY, "5");
    row_14_duplicate_uri_in_params: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"x\",\"params\":{\"uri\":\"a\",\"uri\":\"b\"}}") => rpc(400, -32600, ANY, "5");
    row_14_duplicate_meta_in_params: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"x\",\"params\":{\"_meta\":{},\"_meta\":{}}}") => rpc(400, -32600, ANY, "5");
    row_14_duplicate_protocol_version_in_params: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"1\",\"protocolVersion\":\"2\"}}") => rpc(400, -32600, ANY, "5");
    row_14_duplicate_client_info_in_params: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"initialize\",\"params\":{\"clientInfo\":{},\"clientInfo\":{}}}") => rpc(400, -32600, ANY, "5");
    row_14_duplicate_version_key_in_meta: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"a\",\"io.modelcontextprotocol/protocolVersion\":\"b\"}}}") => rpc(400, -32600, ANY, "5");
    row_14_method_in_another_case: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"Method\":\"initialize\"}") => rpc(400, -32600, ANY, "5");
    row_14_id_in_another_case: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"ID\":5,\"id\":6,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "null");
    row_14_long_s_folds: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"param\u{17f}\":{}}") => rpc(400, -32600, ANY, "5");
    row_14_a_key_that_only_serde_json_understands: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"x\",\"params\":{\"$serde_json::private::RawValue\":\"{}\"}}") => rpc(400, -32600, ANY, "5");
    row_14_duplicate_arguments_in_params: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"x\",\"params\":{\"arguments\":{},\"\\u0061rguments\":{}}}") => rpc(400, -32600, ANY, "5");
    row_14_a_method_that_ends_at_nul: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\\u0000\":\"tools/call\",\"method\":\"initialize\"}") => rpc(400, -32600, ANY, "5");
    row_14_a_method_that_ends_at_nul_and_no_other: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\\u0000\":\"tools/call\"}") => rpc(400, -32600, ANY, "5");
    row_14_an_escaped_method_in_another_case: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"\\u004dethod\":\"initialize\"}") => rpc(400, -32600, ANY, "5");
    row_14_an_escaped_long_s: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"param\\u017f\":{}}") => rpc(400, -32600, ANY, "5");
    row_14_params_that_end_at_nul_in_another_case: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"PARAMS\\u0000x\":{}}") => rpc(400, -32600, ANY, "5");
    row_14_an_id_that_ends_at_nul: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\\u0000\":6,\"id\":5,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "null");
    row_14_an_id_that_ends_at_nul_and_no_other: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\\u0000\":6,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "null");
    row_14_a_result_that_ends_at_nul: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{},\"result\\u0000\":{}}") => rpc(400, -32600, ANY, "null");
    row_14_name_in_another_case: send("POST /mcp\n{H}\n{J}\n\n{\"params\":{\"Name\":\"rm_rf\"},\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\"}") => rpc(400, -32600, ANY, "5");
    row_14_name_that_ends_at_nul: send("POST /mcp\n{H}\n{J}\n\n{\"params\":{\"name\\u0000\":\"rm_rf\"},\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"prompts/get\"}") => rpc(400, -32600, ANY, "5");
    row_14_arguments_in_another_case: send("POST /mcp\n{H}\n{J}\n\n{\"params\":{\"argumentſ\":{}},\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\"}") => rpc(400, -32600, ANY, "5");
    row_14_uri_in_another_case: send("POST /mcp\n{H}\n{J}\n\n{\"params\":{\"URI\":\"x\"},\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"resources/subscribe\"}") => rpc(400, -32600, ANY, "5");
    row_14_client_info_that_ends_at_nul: send("POST /mcp\n{H}\n{J}\n\n{\"params\":{\"clientInfo\\u0000\":{}},\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"initialize\"}") => rpc(400, -32600, ANY, "5");
    row_14_protocol_version_in_another_case: send("POST /mcp\n{H}\n{J}\n\n{\"params\":{\"protocolversion\":\"x\"},\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"initialize\"}") => rpc(400, -32600, ANY, "5");
    row_14_meta_in_another_case: send("POST /mcp\n{H}\n{J}\n\n{\"params\":{\"_Meta\":{}},\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"notifications/x\"}") => rpc(400, -32600, ANY, "5");
    row_14_meta_that_ends_at_nul: send("POST /mcp\n{H}\n{J}\n\n{\"params\":{\"_meta\\u0000x\":{}},\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\"}") => rpc(400, -32600, ANY, "5");
    row_14_a_version_key_in_another_case: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/ProtocolVersion\":\"2026-07-28\"}}}") => rpc(400, -32600, ANY, "5");
    row_14_a_version_key_that_ends_at_nul: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\\u0000\":\"2026-07-28\"}}}") => rpc(400, -32600, ANY, "5");
    row_14_a_lookalike_in_stateless_mode: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"safe\",\"Name\":\"rm_rf\"}}").under(SessionGuardBuilder::stateless) => rpc(400, -32600, ANY, "5");
    row_14_a_lookalike_of_the_name_in_the_modern_era: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\nmcp-name: safe\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"name\":\"safe\",\"Name\":\"rm_rf\"}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32600, ANY, "5");
    row_14_a_lookalike_of_the_version_key_in_the_modern_era: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/protocolversion\":\"x\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32600, ANY, "5");
    row_14_lookalikes_that_the_method_does_not_know_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"logging/setLevel\",\"params\":{\"Name\":1,\"ARGUMENTS\":2,\"URI\":3,\"clientinfo\":4,\"protocolVersion\\u0000\":5}}") => passes();
    row_14_lookalikes_inside_arguments_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"x\",\"arguments\":{\"name\":1,\"Name\":2,\"method\\u0000\":3}}}") => passes();
    row_14_keys_that_only_begin_like_judged_ones_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"methods\":1,\"method \":2,\"\\u0000method\":3}") => passes();
    row_14_other_duplicates_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"x\",\"params\":{\"arguments\":{\"name\":1,\"name\":2}}}") => passes();
    row_15_a_claim: send("POST /mcp\n{H}\n{J}\n\n{MODERN}") => rpc(400, -32600, ANY, "9");
    row_15_a_claim_in_a_live_session: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{MODERN}") => rpc(400, -32600, ANY, "9");
    row_15_a_modern_header: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\n\n{PING}") => rpc(400, -32600, ANY, "1");
    row_15_a_modern_header_with_an_unknown_id: send("POST /mcp\n{H}\n{J}\nmcp-session-id: nobody\nmcp-protocol-version: 2026-07-28\n\n{MODERN}") => rpc(400, -32600, ANY, "9");
    row_15_a_modern_notification: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\n\n{INITIALIZED}") => rpc(400, -32600, ANY, "null");
    row_15_a_claim_in_a_result_is_none: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}") => passes();
    row_15_an_earlier_date_is_no_claim: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2025-11-25\"}}}") => rpc(400, -32600, MISSING, "1");
    row_16_is_the_modern_era_which_this_guard_refuses: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\n\n{MODERN}") => rpc(400, -32600, ANY, "9");
    row_17_unknown_version: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-01-01\n\n{PING}") => rpc(400, -32600, ANY, "1");
    row_17_two_different_versions: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-11-25\nmcp-protocol-version: 2025-03-26\n\n{PING}") => rpc(400, -32600, ANY, "1");
    row_17_unknown_version_on_a_notification: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: x\n\n{INITIALIZED}") => rpc(400, -32600, ANY, "null");
    row_17_two_equal_versions_pass: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-11-25\nmcp-protocol-version: 2025-11-25\n\n{PING}") => passes();
    row_17_two_equal_lines_go_inward_as_one: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-11-25\nmcp-protocol-version: 2025-11-25\n\n{PING}") => passes_with("mcp-protocol-version: 2025-11-25");
    row_17_a_list_of_equal_versions_counts_once: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-11-25, 2025-11-25\n\n{PING}") => passes_with("mcp-protocol-version: 2025-11-25");
    row_17_lines_and_lists_of_equal_versions_count_once: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: , 2025-06-18 ,\nmcp-protocol-version: 2025-06-18,2025-06-18\n\n{PING}") => passes_with("mcp-protocol-version: 2025-06-18");
    row_17_a_list_of_equal_versions_on_initialize: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2025-11-25, 2025-11-25\n\n{INITIALIZE}") => passes_with("mcp-protocol-version: 2025-11-25");
    row_17_a_list_of_two_versions: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: 2025-11-25, 2025-03-26\n\n{PING}") => rpc(400, -32600, ANY, "1");
    row_17_a_list_of_equal_unknown_versions: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: 1, 1\n\n{PING}") => rpc(400, -32600, ANY, "1");
    row_17_a_list_of_nothing_is_no_version: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: ,\n\n{PING}") => passes_without("mcp-protocol-version");
    row_17_a_listed_version_that_was_not_negotiated_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp-protocol-version: 2024-11-05\n\n{PING}") => passes();
    row_17_no_version_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes();
    row_17_initialize_with_a_modern_header_passes: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\n\n{INITIALIZE}") => passes();
    row_17_initialize_with_an_unknown_version: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 1\n\n{INITIALIZE}") => rpc(400, -32600, ANY, "0");
    row_18_initialize_without_id: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"method\":\"initialize\"}") => rpc(400, -32600, ANY, "null");
    row_18_initialize_in_a_live_session: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{INITIALIZE}") => rpc(400, -32600, "Server already initialized", "0");
    row_19_initialize_with_an_ended_id: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {ended}\n\n{INITIALIZE}") => rpc(404, -32600, NOT_FOUND, "null");
    row_19_initialize_with_an_ended_id_and_a_modern_header: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {ended}\nmcp-protocol-version: 2026-07-28\n\n{INITIALIZE}") => rpc(404, -32600, NOT_FOUND, "null");
    row_19_the_option_opens_a_new_session: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {ended}\n\n{INITIALIZE}").under(SessionGuardBuilder::reopen_stale_sessions) => passes();
    row_20_initialize_opens_a_session: send("POST /mcp\n{H}\n{J}\n\n{INITIALIZE}") => passes();
    row_20_an_empty_session_header_is_none: send("POST /mcp\n{H}\n{J}\nmcp-session-id:\n\n{INITIALIZE}") => passes();
    row_21_another_message_marked_stale: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {ended}\n\n{PING}").under(SessionGuardBuilder::reopen_stale_sessions) => rpc(404, -32600, NOT_FOUND, "null");
    row_22_a_request_without_session: send("POST /mcp\n{H}\n{J}\n\n{PING}") => rpc(400, -32600, MISSING, "1");
    row_22_a_notification_without_session: send("POST /mcp\n{H}\n{J}\n\n{INITIALIZED}") => rpc(400, -32600, MISSING, "null");
    row_22_a_response_without_session: send("POST /mcp\n{H}\n{J}\n\n{RESPONSE}") => rpc(400, -32600, MISSING, "null");
    row_22_an_id_in_the_query_is_missing: send("POST /mcp?sessionId={live}\n{H}\n{J}\ncookie: mcp-session-id={live}\n\n{PING}") => rpc(400, -32600, MISSING, "1");
    row_22_a_method_that_only_looks_like_initialize: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize \"}") => rpc(400, -32600, MISSING, "1");
    row_22_an_escaped_initialize_is_initialize: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\u0069nitialize\"}") => passes();
    row_23_a_request: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n {\"id\" : 1, \"method\":\"ping\",\"jsonrpc\":\"2.0\"} \n") => passes();
    row_23_a_notification: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{INITIALIZED}") => passes();
    row_23_a_response: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{RESPONSE}") => passes();
    row_23_a_get_stream: send("GET /mcp\n{H}\nmcp-session-id: {live}\naccept: text/event-stream") => passes();
    row_23_a_get_carries_no_body_inward: send("GET /mcp\n{H}\n{J}\ncontent-length: 40\nmcp-session-id: {live}\n\n{PING}") => passes_without("content-length");
    row_23_a_get_carries_no_fields_of_a_body_inward: send("GET /mcp\n{H}\n{J}\ncontent-language: de\nmcp-session-id: {live}") => passes_without("content-language");
    row_23_a_get_carries_no_transfer_coding_inward: send("GET /mcp\n{H}\ntransfer-encoding: chunked\nmcp-session-id: {live}\n\n{PING}") => passes_without("transfer-encoding");
    row_23_a_get_expects_nothing_inward: send("GET /mcp\n{H}\nexpect: 100-continue\nmcp-session-id: {live}\n\n{PING}") => passes_without("expect");
    row_23_a_get_announces_no_trailers_inward: send("GET /mcp\n{H}\ntrailer: x\nmcp-session-id: {live}") => passes_without("trailer");
    row_23_a_get_on_http_2_carries_no_body_inward: send("GET http://localhost:8000/mcp HTTP/2\n{J}\nmcp-session-id: {live}\n\n{PING}") => passes_without("content-type");
    row_23_a_get_keeps_the_event_that_it_resumes_from: send("GET /mcp\n{H}\nlast-event-id: 7\nmcp-session-id: {live}") => passes_with("last-event-id: 7");
    row_23_a_session_id_with_an_underscore_never_gets_inward: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp_session_id: x\n\n{PING}") => passes_without("mcp_session_id");
    row_23_a_session_id_with_two_signs_never_gets_inward: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nMcp_Session-Id: x\n\n{PING}") => passes_without("mcp_session-id");
    row_23_a_version_with_an_underscore_never_gets_inward: send("GET /mcp\n{H}\nmcp-session-id: {live}\nmcp_protocol_version: x") => passes_without("mcp_protocol_version");
    row_23_a_method_with_an_underscore_never_gets_inward: send("POST /mcp\n{H}\n{J}\nmcp_method: x\n\n{INITIALIZE}") => passes_without("mcp_method");
    row_23_a_name_with_a_dot_never_gets_inward: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp.name: x\n\n{PING}") => passes_without("mcp.name");
    row_23_a_last_event_id_with_an_underscore_never_gets_inward: send("GET /mcp\n{H}\nmcp-session-id: {live}\nlast_event_id: 7") => passes_without("last_event_id");
    row_23_a_name_that_only_begins_alike_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\nmcp_names: x\n\n{PING}") => passes_with("mcp_names: x");
    row_23_delete_is_answered_by_the_guard: send("DELETE /mcp\n{H}\nmcp-session-id: {live}") => no_content();
    stateless_a_request_passes: send("POST /mcp\n{H}\n{J}\n\n{PING}").under(SessionGuardBuilder::stateless) => passes();
    stateless_a_notification_passes: send("POST /mcp\n{H}\n{J}\n\n{INITIALIZED}").under(SessionGuardBuilder::stateless) => passes();
    stateless_a_response_passes: send("POST /mcp\n{H}\n{J}\n\n{RESPONSE}").under(SessionGuardBuilder::stateless) => passes();
    stateless_initialize_passes: send("POST /mcp\n{H}\n{J}\n\n{INITIALIZE}").under(SessionGuardBuilder::stateless) => passes();
    stateless_session_headers_are_neither_read_nor_stripped: send("POST /mcp\n{H}\n{J}\nmcp-session-id: a b\nmcp-session-id: c\n\n{PING}").under(SessionGuardBuilder::stateless) => passes();
    stateless_a_session_id_with_an_underscore_is_left_alone: send("POST /mcp\n{H}\n{J}\nmcp_session_id: c\n\n{PING}").under(SessionGuardBuilder::stateless) => passes_with("mcp_session_id: c");
    stateless_a_version_with_an_underscore_never_gets_inward: send("POST /mcp\n{H}\n{J}\nmcp_protocol_version: c\n\n{PING}").under(SessionGuardBuilder::stateless) => passes_without("mcp_protocol_version");
    stateless_a_list_of_equal_versions_counts_once: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2025-11-25, 2025-11-25\n\n{PING}").under(SessionGuardBuilder::stateless) => passes_with("mcp-protocol-version: 2025-11-25");
    stateless_a_preflight_passes: send("OPTIONS /mcp\n{H}\n{P}\nmcp-session-id: c\n\n{PING}").under(SessionGuardBuilder::stateless) => preflight();
    stateless_any_other_options: send("OPTIONS /mcp\n{H}\n{J}\n\n{PING}").under(SessionGuardBuilder::stateless) => problem(405).with("allow: POST");
    stateless_options_to_a_foreign_host: send("OPTIONS /mcp\nhost: evil.example\n{J}\n\n{PING}").under(SessionGuardBuilder::stateless) => rpc(403, -32600, ANY, "null");
    stateless_get: send("GET /mcp\n{H}").under(SessionGuardBuilder::stateless) => problem(405).with("allow: POST");
    stateless_delete: send("DELETE /mcp\n{H}\nmcp-session-id: x").under(SessionGuardBuilder::stateless) => problem(405).with("allow: POST");
    stateless_host_is_judged: send("POST /mcp\nhost: evil.example\n{J}\n\n{PING}").under(SessionGuardBuilder::stateless) => rpc(403, -32600, ANY, "null");
    stateless_media_types_are_judged: send("POST /mcp\n{H}\n\n{PING}").under(SessionGuardBuilder::stateless) => problem(415);
    stateless_messages_are_judged: send("POST /mcp\n{H}\n{J}\n\n[]").under(SessionGuardBuilder::stateless) => rpc(400, -32600, ANY, "null");
    stateless_the_modern_era_is_refused: send("POST /mcp\n{H}\n{J}\n\n{MODERN}").under(SessionGuardBuilder::stateless) => rpc(400, -32600, ANY, "9");
    stateless_versions_are_judged: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 1\n\n{PING}").under(SessionGuardBuilder::stateless) => rpc(400, -32600, ANY, "1");
    stateless_initialize_without_id: send("POST /mcp\n{H}\n{J}\n\n{\"jsonrpc\":\"2.0\",\"method\":\"initialize\"}").under(SessionGuardBuilder::stateless) => rpc(400, -32600, ANY, "null");
    section_6_a_request_passes: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => passes();
    section_6_a_session_id_is_stripped_whatever_it_is: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\nmcp-session-id: nobody\nlast-event-id: 7\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => passes();
    section_6_a_live_session_is_not_touched: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\nmcp-session-id: {live}\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => passes();
    section_6_a_list_of_equal_versions_counts_once: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28, 2026-07-28\nmcp-method: tools/list\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => passes_with("mcp-protocol-version: 2026-07-28");
    section_6_two_equal_versions_count_once: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => passes_with("mcp-protocol-version: 2026-07-28");
    section_6_a_list_of_two_versions: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28, 2026-07-29\nmcp-method: tools/list\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_a_name_with_an_underscore_never_gets_inward: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\nmcp-name: add\nmcp_name: rm\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"name\":\"add\"}}").under(SessionGuardBuilder::accept_modern) => passes_without("mcp_name");
    section_6_a_session_id_with_an_underscore_never_gets_inward: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\nmcp_session_id: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => passes_without("mcp_session_id");
    section_6_a_claim_that_is_no_string: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":7}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32602, ANY, "9");
    section_6_an_earlier_claim_beside_a_modern_header: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2025-11-25\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_a_request_without_a_claim: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: ping\n\n{PING}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32602, ANY, "1");
    section_6_a_notification_without_a_claim_passes: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\n\n{INITIALIZED}").under(SessionGuardBuilder::accept_modern) => passes();
    section_6_a_notification_with_a_wrong_method_header: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: x\n\n{INITIALIZED}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "null");
    section_6_a_response_under_a_modern_header: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\n\n{RESPONSE}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32600, ANY, "null");
    section_6_initialize_with_a_claim: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: initialize\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"initialize\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(404, -32601, ANY, "9");
    section_6_no_version_header: send("POST /mcp\n{H}\n{J}\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_two_different_version_headers: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-protocol-version: 2026-07-29\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_a_version_header_unlike_the_claim: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-29\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_a_legacy_version_header_beside_a_claim: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2025-11-25\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_no_method_header: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_two_method_headers: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: x\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_a_method_header_in_another_case: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: X\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_no_name_header: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"name\":\"add\"}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_a_name_header_unlike_the_body: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\nmcp-name: sub\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"name\":\"add\"}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_a_name_header_passes: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: prompts/get\nmcp-name: add\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"prompts/get\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"name\":\"add\"}}").under(SessionGuardBuilder::accept_modern) => passes();
    section_6_a_name_header_in_base64_passes: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\nmcp-name: =?base64?w6TDpA==?=\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"name\":\"ää\"}}").under(SessionGuardBuilder::accept_modern) => passes();
    section_6_a_name_header_in_unpadded_base64: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\nmcp-name: =?base64?w6TDpA?=\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"name\":\"ää\"}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_a_uri_header_passes: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: resources/read\nmcp-name: file:///a\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"resources/read\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"uri\":\"file:///a\"}}").under(SessionGuardBuilder::accept_modern) => passes();
    section_6_a_uri_header_unlike_the_body: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: resources/read\nmcp-name: file:///b\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"resources/read\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"uri\":\"file:///a\"}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32020, ANY, "9");
    section_6_no_name_header_is_needed_where_the_body_has_none: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"name\":7}}").under(SessionGuardBuilder::accept_modern) => passes();
    section_6_an_unknown_later_version_is_the_inner_services_to_judge: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2031-01-01\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2031-01-01\"}}}").under(SessionGuardBuilder::accept_modern) => passes();
    section_6_a_version_that_is_not_listed: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2031-01-01\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2031-01-01\"}}}").under(|guard| guard.accept_modern().modern_versions(["2026-07-28"])) => rpc(400, -32022, ANY, "9").data(r#"{"supported":["2026-07-28"],"requested":"2031-01-01"}"#);
    section_6_a_mismatch_wins_over_a_version_that_is_not_listed: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2031-01-01\nmcp-method: y\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2031-01-01\"}}}").under(|guard| guard.accept_modern().modern_versions(["2026-07-28"])) => rpc(400, -32020, ANY, "9");
    section_6_get_of_the_modern_era: send("GET /mcp\n{H}\nmcp-protocol-version: 2026-07-28").under(SessionGuardBuilder::accept_modern) => problem(405).with("allow: POST");
    section_6_a_legacy_request_still_needs_its_session: send("POST /mcp\n{H}\n{J}\nx: y\n\n{PING}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32600, MISSING, "1");
    section_6_a_claim_of_an_earlier_date_still_needs_a_session: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2025-11-25\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2025-11-25\"}}}").under(SessionGuardBuilder::accept_modern) => rpc(400, -32600, MISSING, "9");
    section_6_initialize_without_a_claim_opens_a_session: send("POST /mcp\n{H}\n{J}\nx: y\n\n{INITIALIZE}").under(SessionGuardBuilder::accept_modern) => passes();
    legacy_refused_initialize: send("POST /mcp\n{H}\n{J}\nx: y\n\n{INITIALIZE}").under(|guard| guard.refuse_legacy().accept_modern()) => rpc(400, -32022, ANY, "0").data(r#"{"supported":["2026-07-28"],"requested":"2025-11-25"}"#);
    legacy_refused_a_request: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2025-06-18\nmcp-session-id: x\n\n{PING}").under(|guard| guard.refuse_legacy().accept_modern()) => rpc(400, -32022, ANY, "1").data(r#"{"supported":["2026-07-28"],"requested":"2025-06-18"}"#);
    legacy_refused_a_version_that_can_not_be_shown: send("POST /mcp\n{H}\n{J}\nx: y\n\n{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"<b>\"}}").under(|guard| guard.refuse_legacy().accept_modern()) => rpc(400, -32022, ANY, "0").data(r#"{"supported":["2026-07-28"],"requested":"unknown"}"#);
    legacy_refused_a_notification: send("POST /mcp\n{H}\n{J}\nx: y\n\n{INITIALIZED}").under(|guard| guard.refuse_legacy().accept_modern()) => rpc(400, -32600, ANY, "null");
    legacy_refused_a_response: send("POST /mcp\n{H}\n{J}\nx: y\n\n{RESPONSE}").under(|guard| guard.refuse_legacy().accept_modern()) => rpc(400, -32600, ANY, "null");
    legacy_refused_a_preflight_passes: send("OPTIONS /mcp\n{H}\n{P}\n\n{PING}").under(|guard| guard.refuse_legacy().accept_modern()) => preflight();
    legacy_refused_any_other_options: send("OPTIONS /mcp\n{H}\n{J}\n\n{PING}").under(|guard| guard.refuse_legacy().accept_modern()) => problem(405).with("allow: POST");
    legacy_refused_get: send("GET /mcp\n{H}\nmcp-session-id: x").under(|guard| guard.refuse_legacy().accept_modern()) => problem(405).with("allow: POST");
    legacy_refused_delete: send("DELETE /mcp\n{H}").under(|guard| guard.refuse_legacy().accept_modern()) => problem(405).with("allow: POST");
    legacy_refused_a_modern_request_passes: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\nmcp-session-id: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(|guard| guard.refuse_legacy().accept_modern()) => passes();
    stateless_and_modern_a_legacy_request_passes: send("POST /mcp\n{H}\n{J}\nx: y\n\n{PING}").under(|guard| guard.stateless().accept_modern()) => passes();
    stateless_and_modern_a_modern_request_passes: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(|guard| guard.stateless().accept_modern()) => passes();
    stateless_and_modern_a_mismatch: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: x\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}").under(|guard| guard.stateless().accept_modern()) => rpc(400, -32020, ANY, "9");
    section_5_another_owners_id_on_post: send("POST /mcp\n{H}\n{J}\nuser: bob\nmcp-session-id: {live}\n\n{PING}").under(owned) => rpc(404, -32600, NOT_FOUND, "null");
    section_5_another_owners_id_on_get: send("GET /mcp\n{H}\nuser: bob\nmcp-session-id: {live}").under(owned) => rpc(404, -32600, NOT_FOUND, "null");
    section_5_another_owners_id_on_get_with_last_event_id: send("GET /mcp\n{H}\nuser: bob\nlast-event-id: 1\nmcp-session-id: {live}").under(owned) => rpc(404, -32600, NOT_FOUND, "null");
    section_5_another_owners_id_on_delete: send("DELETE /mcp\n{H}\nuser: bob\nmcp-session-id: {live}").under(owned) => rpc(404, -32600, NOT_FOUND, "null");
    section_5_initialize_with_another_owners_id: send("POST /mcp\n{H}\n{J}\nuser: bob\nmcp-session-id: {live}\n\n{INITIALIZE}").under(owned) => rpc(404, -32600, NOT_FOUND, "null");
    section_5_the_owners_own_id_passes: send("POST /mcp\n{H}\n{J}\nmcp-session-id: {live}\n\n{PING}").under(owned) => passes();
    section_5_an_owner_opens: send("POST /mcp\n{H}\n{J}\nuser: bob\n\n{INITIALIZE}").under(owned) => passes();
    section_5_a_failing_resolver_with_a_live_id: send("POST /mcp\n{H}\n{J}\nuser: fails\nmcp-session-id: {live}\n\n{PING}").under(owned) => rpc(500, -32603, ANY, "1");
    section_5_a_failing_resolver_with_an_unknown_id: send("POST /mcp\n{H}\n{J}\nuser: fails\nmcp-session-id: nobody\n\n{PING}").under(owned) => rpc(500, -32603, ANY, "1");
    section_5_a_failing_resolver_without_an_id: send("POST /mcp\n{H}\n{J}\nuser: fails\n\n{PING}").under(owned) => rpc(500, -32603, ANY, "1");
    section_5_a_failing_resolver_on_initialize: send("POST /mcp\n{H}\n{J}\nuser: fails\n\n{INITIALIZE}").under(owned) => rpc(500, -32603, ANY, "0");
    section_5_a_failing_resolver_on_a_notification: send("POST /mcp\n{H}\n{J}\nuser: fails\n\n{INITIALIZED}").under(owned) => rpc(500, -32603, ANY, "null");
    section_5_a_failing_resolver_on_get: send("GET /mcp\n{H}\nuser: fails\nmcp-session-id: {live}").under(owned) => problem(500);
    section_5_a_failing_resolver_on_get_with_an_unknown_id: send("GET /mcp\n{H}\nuser: fails\nmcp-session-id: nobody").under(owned) => problem(500);
    section_5_a_failing_resolver_on_delete: send("DELETE /mcp\n{H}\nuser: fails\nmcp-session-id: {live}").under(owned) => problem(500);
    section_5_a_panicking_resolver: send("POST /mcp\n{H}\n{J}\nuser: panics\nmcp-session-id: {live}\n\n{PING}").under(owned) => rpc(500, -32603, ANY, "1");
    section_5_an_empty_owner: send("POST /mcp\n{H}\n{J}\nuser:\nmcp-session-id: {live}\n\n{PING}").under(owned) => rpc(500, -32603, ANY, "1");
    section_5_an_empty_issuer: send("DELETE /mcp\n{H}\nuser: noissuer\nmcp-session-id: {live}").under(owned) => problem(500);
    section_5_owner_required_initialize: send("POST /mcp\n{H}\n{J}\n\n{INITIALIZE}").under(|guard| owned(guard).require_owner()) => rpc(403, -32600, ANY, "null");
    section_5_owner_required_ping_without_id: send("POST /mcp\n{H}\n{J}\n\n{PING}").under(|guard| owned(guard).require_owner()) => rpc(404, -32600, NOT_FOUND, "null");
    section_5_owner_required_post: send("POST /mcp\n{H}\n{J}\nmcp-session-id: nobody\n\n{PING}").under(|guard| owned(guard).require_owner()) => rpc(404, -32600, NOT_FOUND, "null");
    section_5_owner_required_get: send("GET /mcp\n{H}\nmcp-session-id: nobody").under(|guard| owned(guard).require_owner()) => rpc(404, -32600, NOT_FOUND, "null");
    section_5_owner_required_delete: send("DELETE /mcp\n{H}\nmcp-session-id: nobody").under(|guard| owned(guard).require_owner()) => rpc(404, -32600, NOT_FOUND, "null");
    section_5_owner_required_initialize_with_a_stale_id_under_the_option: send("POST /mcp\n{H}\n{J}\nmcp-session-id: nobody\n\n{INITIALIZE}").under(|guard| owned(guard).require_owner().reopen_stale_sessions()) => rpc(403, -32600, ANY, "null");
    section_5_owner_required_an_owner_opens: send("POST /mcp\n{H}\n{J}\nuser: bob\n\n{INITIALIZE}").under(|guard| owned(guard).require_owner()) => passes();
    section_5_owner_required_a_modern_request: send("POST /mcp\n{H}\n{J}\nmcp-protocol-version: 2026-07-28\nmcp-method: server/discover\n\n{MODERN}").under(|guard| owned(guard).require_owner().accept_modern()) => rpc(403, -32600, ANY, "null");
    section_5_owner_required_a_modern_request_of_an_owner_passes: send("POST /mcp\n{H}\n{J}\nuser: bob\nmcp-protocol-version: 2026-07-28\nmcp-method: server/discover\n\n{MODERN}").under(|guard| owned(guard).require_owner().accept_modern()) => passes();
    section_5_a_failing_resolver_on_a_modern_request: send("POST /mcp\n{H}\n{J}\nuser: fails\nmcp-protocol-version: 2026-07-28\nmcp-method: server/discover\n\n{MODERN}").under(|guard| owned(guard).accept_modern()) => rpc(500, -32603, ANY, "9");
}

/// A request, as text.
struct Sent {
    text: &'static str,
    configure: fn(SessionGuardBuilder) -> SessionGuardBuilder,
    /// Another body than the text's.
    body: Option<fn() -> Body>,
}

fn send(text: &'static str) -> Sent {
    Sent {
        text,
        configure: |guard| guard,
        body: None,
    }
}

/// The header `user` names the owner; a few users are none.
fn owned(guard: SessionGuardBuilder) -> SessionGuardBuilder {
    guard.owner(|request: &Parts| -> Result<Option<Owner>, BoxError> {
        match request.headers.get("user").map(|user| user.as_bytes()) {
            None => Ok(None),
            Some(b"fails") => Err("no such user".into()),
            Some(b"panics") => panic!("the resolver panics"),
            Some(b"noissuer") => Ok(Some(Owner::of("", "user"))),
            Some(user) => Ok(Some(Owner::new(String::from_utf8_lossy(user)))),
        }
    })
}

fn stalls() -> Body {
    let first = stream::iter([Ok::<_, io::Error>(Bytes::from("{"))]);
    Body::from_stream(first.chain(stream::pending()))
}

fn breaks_off() -> Body {
    let reset = Err(io::Error::from(io::ErrorKind::ConnectionReset));
    Body::from_stream(stream::iter([Ok(Bytes::from("{")), reset]))
}

impl Sent {
    fn under(self, configure: fn(SessionGuardBuilder) -> SessionGuardBuilder) -> Self {
        Self { configure, ..self }
    }

    fn streams(self, body: fn() -> Body) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }
}

/// An answer, as literals.
struct Answered {
    status: u16,
    kind: Kind,
    header: Option<&'static str>,
    data: Option<&'static str>,
}

enum Kind {
    Rpc {
        code: i64,
        message: &'static str,
        id: &'static str,
    },
    Problem,
    Passes,
    /// Passes with this field, as the one of its name; or without any of this name.
    PassesWith(&'static str),
    PassesWithout(&'static str),
    /// Passes with nothing of a body or of a session.
    Preflight,
    NoContent,
}

fn rpc(status: u16, code: i64, message: &'static str, id: &'static str) -> Answered {
    Answered {
        status,
        kind: Kind::Rpc { code, message, id },
        header: None,
        data: None,
    }
}

fn problem(status: u16) -> Answered {
    Answered {
        status,
        kind: Kind::Problem,
        header: None,
        data: None,
    }
}

fn passes() -> Answered {
    Answered {
        status: 200,
        kind: Kind::Passes,
        header: None,
        data: None,
    }
}

fn passes_with(field: &'static str) -> Answered {
    Answered {
        kind: Kind::PassesWith(field),
        ..passes()
    }
}

fn passes_without(name: &'static str) -> Answered {
    Answered {
        kind: Kind::PassesWithout(name),
        ..passes()
    }
}

fn preflight() -> Answered {
    Answered {
        kind: Kind::Preflight,
        ..passes()
    }
}

fn no_content() -> Answered {
    Answered {
        status: 204,
        kind: Kind::NoContent,
        header: None,
        data: None,
    }
}

impl Answered {
    /// With this `data` in its error.
    fn data(self, data: &'static str) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    fn with(self, header: &'static str) -> Self {
        Self {
            header: Some(header),
            ..self
        }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Rpc { code, message, id } => {
                write!(f, "{} {code} {message:?} id={id}", self.status)?;
            }
            Kind::Problem => write!(f, "{} problem+json", self.status)?,
            Kind::Passes => write!(f, "to inner")?,
            Kind::PassesWith(field) => write!(f, "to inner with {field}")?,
            Kind::PassesWithout(name) => write!(f, "to inner without {name}")?,
            Kind::Preflight => write!(f, "to inner without a body")?,
            Kind::NoContent => write!(f, "204")?,
        }
        self.header.map_or(Ok(()), |header| write!(f, ", {header}"))
    }
}

#[test]
fn the_table() {
    for (name, sent, answered) in table() {
        let text = sent.text.replace('\n', " | ");
        println!(
            "{:<60} {:<120.120} -> {answered}",
            name.replace('_', " "),
            text
        );
    }
}

#[test]
fn every_row_of_the_contract_has_a_line() {
    for row in 1..=23 {
        let prefix = format!("row_{row:02}_");
        assert!(
            table().iter().any(|(name, ..)| name.starts_with(&prefix)),
            "{prefix} is missing"
        );
    }
}

async fn check(sent: Sent, answered: Answered) {
    let server = TestServer::build((sent.configure)(SessionGuardLayer::builder()));
    // Sessions are opened under the default settings' names, if the guard has them.
    let live = open(&server).await;
    let ended = open(&server).await;
    server.sessions.end(ended.as_deref().unwrap_or_default());
    server.inner.clear();

    let text = fill(sent.text, live.as_deref(), ended.as_deref());
    let mut asked = latin_1(request(&text));
    if let Some(body) = sent.body {
        *asked.body_mut() = body();
    }
    let is_head = asked.method() == Method::HEAD;
    let sent_body = text
        .split_once("\n\n")
        .map_or("", |(_, body)| body)
        .to_owned();
    let sent_headers = asked.headers().clone();
    let response = server.send(asked).await;
    let refusal = response.extensions().get::<Refusal>().cloned();
    let calls = server.inner.calls();

    match &answered.kind {
        Kind::Passes | Kind::PassesWith(_) | Kind::PassesWithout(_) | Kind::Preflight => {
            assert!(refusal.is_none(), "{refusal:?}");
            assert!(response.status().is_success());
            assert_eq!(calls.len(), 1, "the inner service is called once");
            let judged = match calls[0].method {
                Method::POST => &*sent_body,
                _ => "",
            };
            assert_eq!(calls[0].body, judged, "it gets the bytes that were judged");
            check_fields(&answered.kind, &calls[0].headers);
            if live.is_some() || is_modern(&calls[0]) {
                assert!(!calls[0].headers.contains_key("last-event-id") || !is_modern(&calls[0]));
                assert!(!calls[0].headers.contains_key("mcp-session-id"));
            } else if sent_headers.contains_key("mcp-session-id")
                && !matches!(answered.kind, Kind::Preflight)
            {
                assert_eq!(calls[0].headers.get_all("mcp-session-id").iter().count(), 2);
            }
            return;
        }
        Kind::NoContent => {
            assert_eq!((response.status().as_u16(), calls.len()), (204, 0));
            return;
        }
        Kind::Rpc { .. } | Kind::Problem => {}
    }
    assert_eq!(
        calls.len(),
        0,
        "a refused request never reaches the inner service"
    );
    assert_eq!(response.status(), answered.status);
    assert_eq!(
        refusal
            .expect("the refusal travels in the extensions")
            .status(),
        answered.status
    );

    let answer = support::Answer::of(response).await;
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "content-length") // axum's router adds it
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    let mut expected = vec![
        "cache-control: no-store".to_owned(),
        match answered.kind {
            Kind::Problem => "content-type: application/problem+json".to_owned(),
            _ => "content-type: application/json".to_owned(),
        },
        "x-content-type-options: nosniff".to_owned(),
    ];
    expected.extend(answered.header.map(str::to_owned));
    expected.sort();
    assert_eq!(headers, expected);

    if is_head {
        return;
    }
    let body = answer.json();
    match answered.kind {
        Kind::Rpc { code, message, id } => {
            let text = body["error"]["message"]
                .as_str()
                .expect("a message")
                .to_owned();
            assert!(message == ANY || text == message, "{text}");
            let data = answered
                .data
                .map(|data| format!(r#","data":{data}"#))
                .unwrap_or_default();
            let id = fill(id, None, None);
            assert_eq!(
                answer.text(),
                format!(
                    r#"{{"jsonrpc":"2.0","error":{{"code":{code},"message":"{text}"{data}}},"id":{id}}}"#
                )
            );
        }
        _ => {
            let members: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
            assert_eq!(members, ["detail", "status", "title"]);
            assert_eq!(body["status"], answered.status);
            assert_eq!(body["title"].as_str(), answer.status.canonical_reason());
            assert!(!body["detail"].as_str().unwrap().is_empty());
        }
    }
    if let Some(live) = live {
        let session = server
            .sessions
            .get(&live)
            .expect("the live session survives a refusal");
        assert_eq!(session.in_flight(), 0);
        assert_eq!(server.sessions.len(), 1);
    }
}

/// What of a request's fields reaches the inner service.
fn check_fields(kind: &Kind, headers: &HeaderMap) {
    match kind {
        Kind::PassesWith(field) => {
            let (name, value) = field.split_once(": ").unwrap();
            let values: Vec<_> = headers.get_all(name).iter().collect();
            assert_eq!(values, [value]);
        }
        Kind::PassesWithout(name) => assert!(!headers.contains_key(*name), "{name}"),
        Kind::Preflight => {
            let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
            names.retain(|name| !["host", "user"].contains(name));
            names.sort_unstable();
            assert_eq!(names, ["access-control-request-method", "origin"]);
        }
        _ => {}
    }
}

fn is_modern(seen: &support::Seen) -> bool {
    seen.era.as_ref().is_some_and(Era::is_modern)
}

/// Opens a session where the guard's settings let `localhost` in.
async fn open(server: &TestServer) -> Option<String> {
    let answer = server.ask(post(None, INITIALIZE)).await;
    Some(
        answer
            .headers
            .get("mcp-session-id")?
            .to_str()
            .unwrap()
            .to_owned(),
    )
}

fn fill(text: &str, live: Option<&str>, ended: Option<&str>) -> String {
    let live = live.unwrap_or("none");
    text.replace("{live}", live)
        .replace("{LIVE}", &live.to_ascii_uppercase())
        .replace("{ended}", ended.unwrap_or("none"))
        .replace("{H}", H)
        .replace("{P}", P)
        .replace("{J}", J)
        .replace("{PING}", PING)
        .replace("{INITIALIZE}", INITIALIZE)
        .replace("{INITIALIZED}", INITIALIZED)
        .replace("{RESPONSE}", RESPONSE)
        .replace("{MODERN}", MODERN)
        .replace("{x256}", &"x".repeat(256))
        .replace("{n256}", &"9".repeat(256))
        .replace("{deep63}", &format!("{}{}", "[".repeat(63), "]".repeat(63)))
}

/// Header values in latin 1, so that bytes above 0x7F stand alone.
fn latin_1(mut request: Request<Body>) -> Request<Body> {
    if let Some(value) = request.headers_mut().get_mut("mcp-session-id")
        && value.to_str().is_err()
    {
        *value = http::HeaderValue::from_bytes(b"\xe9").unwrap();
    }
    request
}

#[tokio::test]
async fn refusals_of_rows_6_and_7_are_byte_identical() {
    let server = TestServer::new(SessionGuardLayer::new());
    let mut answers = Vec::new();
    for id in [
        "nobody",
        "a b",
        "00000000-0000-4000-8000-000000000000",
        &"x".repeat(8192),
    ] {
        for method in ["POST", "GET", "DELETE"] {
            let text = format!("{method} /mcp\n{H}\n{J}\nmcp-session-id: {id}\n\n{PING}");
            let answer = server.ask(request(&text)).await;
            answers.push((answer.status, format!("{:?}", answer.headers), answer.body));
        }
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    let body: Value = serde_json::from_slice(&answers[0].2).unwrap();
    assert_eq!(body["error"]["message"], NOT_FOUND);
}
