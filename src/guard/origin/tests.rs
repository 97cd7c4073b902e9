//! Tests of the lists of hosts and origins.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::hosts::{AllowedHosts, HostPredicate};
use super::origins::{AllowedOrigins, OriginPredicate};
use crate::builder::lists;
use crate::protocol::host::{Host, Origin};

fn hosts(listed: &[&str]) -> AllowedHosts {
    lists::hosts(listed).unwrap()
}

fn allows(hosts: &AllowedHosts, text: &str) -> bool {
    hosts.allows(&Host::parse_in_request(text.as_bytes()).unwrap())
}

#[test]
fn an_empty_port_is_valid_in_a_request_but_not_in_a_list() {
    for text in ["localhost:", "localhost.:", "127.0.0.1:", "[::1]:"] {
        let host = Host::parse_in_request(text.as_bytes()).unwrap();
        assert_eq!(host.port, None, "{text}");
        assert!(Host::parse(text.as_bytes()).is_none(), "{text}");
    }
    for text in [
        "",
        ":",
        ".:",
        "::",
        "localhost::",
        "localhost:80:",
        "[::1",
        "[::1]::",
    ] {
        assert!(Host::parse_in_request(text.as_bytes()).is_none(), "{text}");
        assert!(Host::parse(text.as_bytes()).is_none(), "{text}");
    }
}

#[test]
fn the_fast_check_accepts_no_host_that_the_full_check_refuses() {
    let lists: [&[&str]; 6] = [
        &["localhost"],
        &["mcp.example:443"],
        &["mcp.example:8443", "mcp.example:80"],
        &["[2001:db8::1]:443", "192.0.2.1"],
        &["*.mcp.example:443", "mcp.example"],
        &["MCP.Example."],
    ];
    let names = [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "[2001:db8::1]",
        "192.0.2.1",
        "mcp.example",
        "mcp.example.evil",
        "a.mcp.example",
        "mcp.exampl",
        "192.0.2.10",
    ];
    let ports = [
        "", ":", ":80", ":443", ":8443", ":0443", ":65535", ":65536", ":+80", ":1x", "x",
    ];
    for list in lists {
        let hosts = hosts(list);
        for (name, port) in names.iter().flat_map(|name| ports.map(|port| (name, port))) {
            let text = format!("{name}{port}");
            if hosts.lists_literally(text.as_bytes()) {
                assert!(allows(&hosts, &text), "{list:?} {text}");
            }
        }
    }
}

/// The guard must parse a host that the fast check does not accept, which is slower.
#[test]
fn the_fast_check_accepts_every_listed_host_in_its_usual_spelling() {
    let hosts = hosts(&[
        "localhost",
        "mcp.example:443",
        "www.example:8443",
        "[2001:DB8::1]",
    ]);
    for text in [
        "localhost",
        "localhost:8000",
        "127.0.0.1:1",
        "[::1]:65535",
        "mcp.example",
        "mcp.example:443",
        "www.example:8443",
        "[2001:db8::1]",
    ] {
        assert!(hosts.lists_literally(text.as_bytes()), "{text}");
    }
    assert!(!hosts.lists_literally(b"www.example"));
    assert!(!hosts.lists_literally(b"mcp.example:80"));
}

#[test]
fn an_invalid_wildcard_cannot_be_listed() {
    let bad = [
        "*",
        "*.",
        "*..",
        "*:443",
        "*.:443",
        "*.com",
        "*.com.",
        "*.localhost",
        "*..com",
        "*.example..com",
        "*.example.com..",
        "*.example.com:",
        "*.*.example.com",
        "a.*.com",
        "a.*",
        "*a.example.com",
        "*example.com",
        "a*.example.com",
        "**.example.com",
        "*.1.2",
        "*.0.0.1",
        "*.127.0.0.1",
        "*.example.0x7f",
        "*.example.0X",
        "*.[::1]",
        "[*.example.com]",
        "*.me@example.com",
        " *.example.com",
    ];
    for host in bad {
        assert!(lists::hosts([host]).is_err(), "{host}");
        let origin = format!("https://{host}");
        assert!(lists::origins("cors", [&origin]).is_err(), "{origin}");
    }
    for host in [
        "*.example.com",
        "*.Example.COM.",
        "*.example.com:8443",
        "*.a.b.example.com",
        "*.example.c0m",
        "*.1.example",
        "*.example.0xg",
        "*.xn--exmple-cua.com",
    ] {
        assert!(lists::hosts([host]).is_ok(), "{host}");
        let origin = format!("https://{host}");
        assert!(lists::origins("cors", [&origin]).is_ok(), "{origin}");
    }
    for origin in [
        "*://a.example.com",
        "*.example.com",
        "https://*.example.com/",
    ] {
        assert!(lists::origins("cors", [origin]).is_err(), "{origin}");
    }
}

#[test]
fn an_error_names_the_entry_and_says_how_to_write_it() {
    let error = lists::hosts(["*.example.com", "https://mcp.example"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "allowed_hosts cannot hold \"https://mcp.example\": write `host` or `host:port`, IPv6 as \
         `[::1]`, without a scheme or a path; a wildcard is `*.` before at least two labels, as in \
         `*.example.com`"
    );
}

#[test]
fn a_wildcard_matches_one_label_and_no_address() {
    let hosts = hosts(&["*.example.com"]);
    for text in [
        "a.example.com",
        "A.EXAMPLE.com.:9",
        "_x-1.example.com",
        "1.example.com",
    ] {
        assert!(allows(&hosts, text), "{text}");
    }
    for text in [
        "example.com",
        ".example.com",
        "..example.com",
        "a.b.example.com",
        "aexample.com",
        "a.example.com.evil",
        "a.example.com..",
        "m",
        "127.0.0.1",
        "[::1]",
    ] {
        assert!(!allows(&hosts, text), "{text}");
    }
}

#[test]
fn a_predicate_is_called_only_for_unlisted_names_without_empty_labels() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let predicate = HostPredicate::new(|name, _| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        assert_eq!(name, name.to_lowercase());
        assert!(!name.ends_with('.'));
        name == "b.example"
    });
    let hosts = hosts(&["a.example", "*.example.com"]).or(Some(predicate));
    assert!(allows(&hosts, "a.example") && allows(&hosts, "a.example.com"));
    for text in ["b.example..", ".b.example", "b..example"] {
        assert!(!allows(&hosts, text), "{text}");
    }
    assert_eq!(ASKED.load(Ordering::Relaxed), 0);
    assert!(allows(&hosts, "B.Example.") && !allows(&hosts, "C.Example."));
    assert_eq!(ASKED.load(Ordering::Relaxed), 2);

    let predicate = OriginPredicate::new(|scheme, name, port| {
        (scheme, name, port) == ("https", "127.0.0.1", Some(443))
    });
    let origins = AllowedOrigins::loopback().or(Some(predicate), false);
    let asks = |text: &str| origins.predicate_allows(&Origin::parse(text.as_bytes()).unwrap());
    assert!(asks("HTTPS://127.0.0.1:443"));
    assert!(!asks("https://127.0.0.1") && !asks("https://127.0.0.1..:443"));
}

#[test]
fn only_a_listed_name_makes_an_origin_the_endpoints_own() {
    let own = |hosts: &AllowedHosts, host: &str, origin: &str| {
        let host = Host::parse_in_request(host.as_bytes()).unwrap();
        hosts.is_own_origin(&host, &Origin::parse(origin.as_bytes()).unwrap())
    };
    let listed = hosts(&["mcp.example", "tls.example:443", "*.example.com"]);
    for (host, origin, is_own) in [
        ("mcp.example", "http://mcp.example", true),
        ("mcp.example:", "https://MCP.example.", true),
        ("mcp.example:8443", "https://mcp.example:8443", true),
        ("mcp.example:8443", "https://mcp.example", false),
        ("mcp.example", "ftp://mcp.example", false),
        ("mcp.example", "http://tls.example", false),
        ("tls.example", "https://tls.example", true),
        ("tls.example", "http://tls.example", false),
        ("tls.example:443", "https://tls.example", true),
        ("a.example.com", "https://a.example.com", false),
        ("other.example", "https://other.example", false),
    ] {
        assert_eq!(own(&listed, host, origin), is_own, "{host} {origin}");
    }
    let by_predicate = hosts(&[]).or(Some(HostPredicate::new(|_, _| true)));
    assert!(!own(&by_predicate, "mcp.example", "https://mcp.example"));
    assert!(!own(
        &AllowedHosts::any(),
        "mcp.example",
        "https://mcp.example"
    ));
}
