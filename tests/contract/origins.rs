//! Row 2 under lists and predicates of origins, and under the setter for `null`.

use super::check::*;
use mcp_session_guard::SessionGuardBuilder;

rows! {
    under(|guard| guard.allowed_origins([""; 0])) {
        row_02_an_empty_list_refuses_every_other_origin:
            send("{POST}\norigin: http://localhost:9\n\n{PING}") => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_origins(["https://app.example"])) {
        row_02_a_listed_origin_passes_with_its_default_port:
            send("{POST}\norigin: HTTPS://App.Example:443\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.allowed_origins(["http://localhost:3000"])) {
        row_02_a_listed_origin_of_localhost_stands_for_the_address:
            send("POST /mcp\nhost: localhost:8000\norigin: http://127.0.0.1:3000\n{J}\n\n\
                  {INITIALIZE}")
                => passes();
        row_02_a_listed_origin_of_localhost_stands_for_the_address_in_brackets:
            send("POST /mcp\nhost: localhost:8000\norigin: http://[::1]:3000\n{J}\n\n{INITIALIZE}")
                => passes();
        row_02_a_listed_origin_of_localhost_stands_for_no_other_port:
            send("POST /mcp\nhost: 127.0.0.1:8000\norigin: http://127.0.0.1\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_listed_origin_of_localhost_stands_for_no_other_scheme:
            send("POST /mcp\nhost: localhost:8000\norigin: https://127.0.0.1:3000\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_origins(["http://127.0.0.1:3000"])) {
        row_02_a_listed_origin_of_an_address_does_not_stand_for_localhost:
            send("POST /mcp\nhost: localhost:8000\norigin: http://localhost:3000\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_origins(["https://*.example.com"])) {
        row_02_an_origin_under_a_wildcard_passes:
            send("POST /mcp\nhost: localhost:8000\norigin: https://App.Example.com.:443\n{J}\n\n\
                  {INITIALIZE}")
                => passes();
        row_02_an_origin_with_another_port_than_the_wildcard_is_403:
            send("POST /mcp\nhost: localhost:8000\norigin: https://app.example.com:8443\n{J}\n\n\
                  {PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_an_origin_with_another_scheme_than_the_wildcard_is_403:
            send("POST /mcp\nhost: localhost:8000\norigin: http://app.example.com\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_an_origin_two_labels_under_a_wildcard_is_403:
            send("POST /mcp\nhost: localhost:8000\norigin: https://a.app.example.com\n{J}\n\n\
                  {PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_an_origin_of_the_parent_of_a_wildcard_is_403:
            send("POST /mcp\nhost: localhost:8000\norigin: https://example.com\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_origins(["https://*.example.com:8443"])) {
        row_02_an_origin_under_a_wildcard_with_a_port_passes:
            send("POST /mcp\nhost: localhost:8000\norigin: https://app.example.com:8443\n{J}\n\n\
                  {INITIALIZE}")
                => passes();
    }

    under(|guard| guard.allowed_origins_where(|scheme, name, port| {
        scheme == "https" && name == "app.example" && port == Some(8443)
    })) {
        row_02_a_predicate_allows_an_origin_by_its_scheme_name_and_port:
            send("POST /mcp\nhost: localhost:8000\norigin: HTTPS://App.Example.:8443\n{J}\n\n\
                  {INITIALIZE}")
                => passes();
    }

    under(|guard| guard.allowed_origins_where(|_, name, port| name == "[2001:db8::1]" && port.is_none())) {
        row_02_a_predicate_gets_the_port_of_an_origin_as_written:
            send("POST /mcp\nhost: localhost:8000\norigin: https://[2001:DB8::1]\n{J}\n\n\
                  {INITIALIZE}")
                => passes();
    }

    under(|guard| guard.allowed_origins_where(|_, _, _| false)) {
        row_02_a_predicate_that_returns_false_refuses_an_origin:
            send("POST /mcp\nhost: localhost:8000\norigin: https://app.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_origins_where(|_, _, _| panic!("no answer"))) {
        row_02_a_predicate_that_panics_refuses_an_origin:
            send("POST /mcp\nhost: localhost:8000\norigin: https://app.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }

    under(|guard| guard.allowed_origins_where(|_, _, _| panic!("the list matches"))) {
        row_02_a_predicate_adds_to_the_default_origins:
            send("POST /mcp\nhost: localhost:8000\norigin: http://localhost:5173\n{J}\n\n\
                  {INITIALIZE}")
                => passes();
    }

    under(|guard| guard.allowed_origins_where(|_, _, _| true).allowed_origins([""; 0])) {
        row_02_a_list_of_origins_set_after_a_predicate_keeps_the_predicate:
            send("POST /mcp\nhost: localhost:8000\norigin: https://app.example\n{J}\n\n\
                  {INITIALIZE}")
                => passes();
    }

    under(|guard| guard.allowed_origins_where(|_, _, _| true)) {
        row_02_a_predicate_does_not_get_a_null_origin:
            send("POST /mcp\nhost: localhost:8000\norigin: null\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_predicate_does_not_get_the_origin_of_a_file:
            send("POST /mcp\nhost: localhost:8000\norigin: file://\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_predicate_does_not_get_two_origins:
            send("POST /mcp\nhost: localhost:8000\norigin: https://app.example\n\
                  origin: https://app.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }

    under(SessionGuardBuilder::dangerously_allow_null_origin) {
        row_02_a_null_origin_passes_by_its_setter:
            send("POST /mcp\nhost: localhost:8000\norigin: null\n{J}\n\n{INITIALIZE}") => passes();
        row_02_the_origin_of_a_file_passes_by_the_setter_for_null:
            send("POST /mcp\nhost: localhost:8000\norigin: file://\n{J}\n\n{INITIALIZE}")
                => passes();
        row_02_two_null_origins_are_refused_despite_the_setter:
            send("POST /mcp\nhost: localhost:8000\norigin: null\norigin: null\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_the_setter_for_null_allows_no_other_spelling:
            send("POST /mcp\nhost: localhost:8000\norigin: NULL\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_the_setter_for_null_allows_no_path_of_a_file:
            send("POST /mcp\nhost: localhost:8000\norigin: file:///tmp/page.html\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_the_setter_for_null_allows_no_other_origin:
            send("POST /mcp\nhost: localhost:8000\norigin: https://evil.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_the_setter_for_null_keeps_the_check_of_the_host:
            send("POST /mcp\nhost: evil.example\norigin: null\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
    }
}
