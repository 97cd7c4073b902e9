//! Row 2 under lists and predicates of hosts.

use super::check::*;
use mcp_session_guard::SessionGuardBuilder;

rows! {
    under(|guard| guard.allowed_hosts([""; 0])) {
        row_02_an_empty_list_refuses_every_host:
            send("{POST}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts(["mcp.example:443"])) {
        row_02_a_listed_host_with_a_port_matches_that_port:
            send("POST /mcp\nhost: mcp.example:444\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_listed_host_with_the_port_of_https_matches_no_port:
            send("POST /mcp\nhost: mcp.example\n{J}\n\n{INITIALIZE}") => passes();
        row_02_a_listed_host_with_a_default_port_matches_an_empty_port:
            send("POST /mcp\nhost: MCP.Example.:\n{J}\n\n{INITIALIZE}") => passes();
        row_02_a_listed_host_with_a_default_port_matches_an_authority_without_port:
            send("POST https://mcp.example/mcp HTTP/2\n{J}\n\n{INITIALIZE}") => passes();
        row_02_a_listed_host_with_one_default_port_does_not_match_the_other:
            send("POST /mcp\nhost: mcp.example:80\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_the_endpoints_own_origin_has_the_listed_port_if_the_host_has_none:
            send("POST /mcp\nhost: mcp.example\norigin: https://mcp.example\n{J}\n\n{INITIALIZE}")
                => passes();
        row_02_an_origin_with_another_port_than_the_listed_one_is_not_the_endpoints_own:
            send("POST /mcp\nhost: mcp.example\norigin: http://mcp.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts(["mcp.example:80"])) {
        row_02_a_listed_host_with_the_port_of_http_matches_no_port:
            send("POST /mcp\nhost: mcp.example\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts(["[2001:db8::1]:443"])) {
        row_02_a_listed_address_with_a_default_port_matches_no_port:
            send("POST /mcp\nhost: [2001:DB8::1]\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts(["mcp.example:8443"])) {
        row_02_a_listed_host_with_another_port_does_not_match_no_port:
            send("POST /mcp\nhost: mcp.example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts(["localhost"])) {
        row_02_a_listed_localhost_stands_for_the_address:
            send("POST /mcp\nhost: 127.0.0.1:8000\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts(["LocalHost."])) {
        row_02_a_listed_localhost_stands_for_the_address_in_brackets:
            send("POST /mcp\nhost: [::1]:8000\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts(["localhost:8000"])) {
        row_02_a_listed_localhost_with_a_port_stands_for_the_address_with_that_port:
            send("POST /mcp\nhost: 127.0.0.1:8000\n{J}\n\n{INITIALIZE}") => passes();
        row_02_a_listed_localhost_with_a_port_does_not_stand_for_another:
            send("POST /mcp\nhost: 127.0.0.1:8001\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts(["localhost:80"])) {
        row_02_a_listed_localhost_with_a_default_port_stands_for_the_address_without_port:
            send("POST /mcp\nhost: [::1]\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts(["127.0.0.1", "[::1]"])) {
        row_02_a_listed_address_does_not_stand_for_localhost:
            send("POST /mcp\nhost: localhost\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts(["127.0.0.1"])) {
        row_02_a_listed_loopback_address_does_not_stand_for_the_other:
            send("POST /mcp\nhost: [::1]\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts(["*.example.com"])) {
        row_02_a_wildcard_matches_one_label:
            send("POST /mcp\nhost: Mcp.Example.COM.:9\n{J}\n\n{INITIALIZE}") => passes();
        row_02_a_wildcard_does_not_match_its_parent:
            send("POST /mcp\nhost: example.com\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_a_wildcard_does_not_match_two_labels:
            send("POST /mcp\nhost: a.mcp.example.com\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_wildcard_does_not_match_an_empty_label:
            send("POST /mcp\nhost: .example.com\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_a_wildcard_does_not_match_a_name_with_the_same_ending:
            send("POST /mcp\nhost: evilexample.com\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_wildcard_does_not_match_a_name_that_goes_on:
            send("POST /mcp\nhost: mcp.example.com.evil.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_wildcard_does_not_match_an_address:
            send("POST /mcp\nhost: 127.0.0.1\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_a_wildcard_in_a_host_is_malformed:
            send("POST /mcp\nhost: *.example.com\n{J}\n\n{PING}") => problem(400);
        row_02_the_endpoints_own_origin_does_not_pass_under_a_wildcard:
            send("POST /mcp\nhost: mcp.example.com\norigin: https://mcp.example.com\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts(["*.Example.com."])) {
        row_02_a_wildcard_matches_one_label_of_an_authority:
            send("POST https://mcp.example.com/mcp HTTP/2\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts(["*.example.com:8443"])) {
        row_02_a_wildcard_with_a_port_matches_that_port:
            send("POST /mcp\nhost: mcp.example.com:8443\n{J}\n\n{INITIALIZE}") => passes();
        row_02_a_wildcard_with_a_port_does_not_match_another:
            send("POST /mcp\nhost: mcp.example.com:8444\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_wildcard_with_a_port_does_not_match_no_port:
            send("POST /mcp\nhost: mcp.example.com\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts(["*.example.com:443"])) {
        row_02_a_wildcard_with_a_default_port_matches_no_port:
            send("POST /mcp\nhost: mcp.example.com\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts_where(|name, port| name == "tenant-7.example" && port == Some(8443))) {
        row_02_a_predicate_allows_a_host_by_its_name_and_port:
            send("POST /mcp\nhost: Tenant-7.Example.:8443\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts_where(|name, port| name == "mcp.example" && port.is_none())) {
        row_02_a_predicate_gets_an_authority_without_port:
            send("POST https://mcp.example/mcp HTTP/2\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts_where(|name, port| name == "[2001:db8::1]" && port.is_none())) {
        row_02_a_predicate_gets_an_address_in_its_canonical_form:
            send("POST /mcp\nhost: [2001:DB8:0::1]:\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts_where(|_, _| false)) {
        row_02_a_predicate_that_returns_false_refuses_a_host:
            send("POST /mcp\nhost: mcp.example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts_where(|_, _| panic!("no answer"))) {
        row_02_a_predicate_that_panics_refuses_a_host:
            send("POST /mcp\nhost: mcp.example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts_where(|_, _| panic!("the list matches"))) {
        row_02_a_predicate_adds_to_the_listed_hosts:
            send("POST /mcp\nhost: localhost:8000\n{J}\n{S}\n\n{PING}") => passes();
    }

    under(|guard| guard.allowed_hosts_where(|name, _| name == "other.example").allowed_hosts([""; 0])) {
        row_02_a_list_set_after_a_predicate_keeps_the_predicate:
            send("POST /mcp\nhost: other.example\n{J}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_hosts_where(|_, _| true)) {
        row_02_a_predicate_does_not_get_a_malformed_host:
            send("POST /mcp\nhost: me@mcp.example\n{J}\n\n{PING}") => problem(400);
        row_02_a_predicate_does_not_get_a_name_with_an_empty_label:
            send("POST /mcp\nhost: mcp..example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_the_endpoints_own_origin_does_not_pass_by_a_predicate_for_hosts:
            send("POST /mcp\nhost: mcp.example\norigin: https://mcp.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_hosts(["mcp.example"]).allowed_origins([""; 0])) {
        row_02_the_endpoints_own_origin_passes:
            send("POST /mcp\nhost: mcp.example\n{J}\norigin: https://mcp.example:443\n\n\
                  {INITIALIZE}")
                => passes();
    }

    under(|guard| guard.allowed_hosts(["mcp.example"])) {
        row_02_the_endpoints_own_origin_passes_with_an_empty_port_in_the_host:
            send("POST /mcp\nhost: mcp.example:\norigin: https://mcp.example\n{J}\n\n{INITIALIZE}")
                => passes();
    }

    under(|guard| guard.allowed_hosts(["localhost"]).allowed_origins([""; 0])) {
        row_02_the_endpoints_own_origin_passes_by_the_address_of_a_listed_localhost:
            send("POST /mcp\nhost: 127.0.0.1:8000\norigin: http://127.0.0.1:8000\n{J}\n\n\
                  {INITIALIZE}")
                => passes();
    }

    under(|guard| guard.allowed_hosts(["*.example.com", "mcp.example.com"])) {
        row_02_the_endpoints_own_origin_passes_if_its_name_is_listed_beside_a_wildcard:
            send("POST /mcp\nhost: mcp.example.com\norigin: https://mcp.example.com\n{J}\n\n\
                  {INITIALIZE}")
                => passes();
    }

    under(SessionGuardBuilder::dangerously_allow_any_host) {
        row_02_the_endpoints_own_origin_does_not_pass_without_the_host_check:
            send("POST /mcp\nhost: mcp.example\norigin: https://mcp.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }
}
