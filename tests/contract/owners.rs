//! Rows 1 and 3, and section 5, with owners.

use mcp_session_guard::Eras;

use super::check::*;

rows! {
    under(|guard| owned(guard).require_owner()) {
        row_01_an_anonymous_preflight_passes_where_owners_are_required:
            send("OPTIONS /mcp\n{H}\n{P}\n\n{PING}") => preflight();
        row_01_options_with_an_anonymous_call_is_405:
            send("OPTIONS /mcp\n{H}\n{J}\n\n{PING}")
                => problem(405).with("allow: GET, POST, DELETE");
        section_5_owner_required_initialize_is_403:
            send("{POST}\n\n{INITIALIZE}") => rpc(403, -32600, ANY, "null");
        section_5_owner_required_ping_without_id_is_404:
            send("{POST}\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
        section_5_owner_required_post_is_404:
            send("{POST}\nmcp-session-id: nobody\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
        section_5_owner_required_get_is_404:
            send("GET /mcp\n{H}\nmcp-session-id: nobody") => rpc(404, -32600, NOT_FOUND, "null");
        section_5_owner_required_delete_is_404:
            send("DELETE /mcp\n{H}\nmcp-session-id: nobody") => rpc(404, -32600, NOT_FOUND, "null");
        section_5_owner_required_an_owner_opens_a_session:
            send("{POST}\nuser: bob\n\n{INITIALIZE}") => passes();
    }

    under(owned) {
        row_01_a_preflight_calls_no_resolver:
            send("OPTIONS /mcp\n{H}\n{P}\nuser: panics") => preflight();
        row_01_options_calls_no_resolver:
            send("OPTIONS /mcp\n{H}\nuser: panics")
                => problem(405).with("allow: GET, POST, DELETE");
        row_03_put_calls_no_resolver:
            send("PUT /mcp\n{H}\nuser: fails\n{S}")
                => problem(405).with("allow: GET, POST, DELETE");
        section_5_another_owners_id_on_post_is_404:
            send("{POST}\nuser: bob\n{S}\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
        section_5_another_owners_id_on_get_is_404:
            send("GET /mcp\n{H}\nuser: bob\n{S}") => rpc(404, -32600, NOT_FOUND, "null");
        section_5_another_owners_id_on_get_with_last_event_id_is_404:
            send("GET /mcp\n{H}\nuser: bob\nlast-event-id: 1\n{S}")
                => rpc(404, -32600, NOT_FOUND, "null");
        section_5_another_owners_id_on_delete_is_404:
            send("DELETE /mcp\n{H}\nuser: bob\n{S}") => rpc(404, -32600, NOT_FOUND, "null");
        section_5_initialize_with_another_owners_id_is_404:
            send("{POST}\nuser: bob\n{S}\n\n{INITIALIZE}") => rpc(404, -32600, NOT_FOUND, "null");
        section_5_the_owners_own_id_passes: send("{POST}\n{S}\n\n{PING}") => passes();
        section_5_an_owner_opens_a_session: send("{POST}\nuser: bob\n\n{INITIALIZE}") => passes();
        section_5_a_failing_resolver_with_a_live_id_is_500:
            send("{POST}\nuser: fails\n{S}\n\n{PING}") => rpc(500, -32603, ANY, "1");
        section_5_a_failing_resolver_with_an_unknown_id_is_500:
            send("{POST}\nuser: fails\nmcp-session-id: nobody\n\n{PING}")
                => rpc(500, -32603, ANY, "1");
        section_5_a_failing_resolver_without_an_id_is_500:
            send("{POST}\nuser: fails\n\n{PING}") => rpc(500, -32603, ANY, "1");
        section_5_a_failing_resolver_on_initialize_is_500:
            send("{POST}\nuser: fails\n\n{INITIALIZE}") => rpc(500, -32603, ANY, "0");
        section_5_a_failing_resolver_on_a_notification_is_500:
            send("{POST}\nuser: fails\n\n{INITIALIZED}") => rpc(500, -32603, ANY, "null");
        section_5_a_failing_resolver_on_get_is_500:
            send("GET /mcp\n{H}\nuser: fails\n{S}") => problem(500);
        section_5_a_failing_resolver_on_get_with_an_unknown_id_is_500:
            send("GET /mcp\n{H}\nuser: fails\nmcp-session-id: nobody") => problem(500);
        section_5_a_failing_resolver_on_delete_is_500:
            send("DELETE /mcp\n{H}\nuser: fails\n{S}") => problem(500);
        section_5_a_panicking_resolver_is_500:
            send("{POST}\nuser: panics\n{S}\n\n{PING}") => rpc(500, -32603, ANY, "1");
        section_5_an_empty_owner_is_500:
            send("{POST}\nuser:\n{S}\n\n{PING}") => rpc(500, -32603, ANY, "1");
        section_5_an_empty_issuer_is_500:
            send("DELETE /mcp\n{H}\nuser: noissuer\n{S}") => problem(500);
    }

    under(|guard| owned(guard).require_owner().reopen_stale_sessions()) {
        section_5_owner_required_initialize_with_a_stale_id_under_the_option_is_403:
            send("{POST}\nmcp-session-id: nobody\n\n{INITIALIZE}") => rpc(403, -32600, ANY, "null");
    }

    under(|guard| owned(guard).require_owner().eras(Eras::Both)) {
        section_5_owner_required_a_modern_request_is_403:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: server/discover\n\n\
                  {MODERN}")
                => rpc(403, -32600, ANY, "null");
        section_5_owner_required_a_modern_request_of_an_owner_passes:
            send("{POST}\nuser: bob\nmcp-protocol-version: 2026-07-28\n\
                  mcp-method: server/discover\n\n{MODERN}")
                => passes();
    }

    under(|guard| owned(guard).eras(Eras::Both)) {
        section_5_a_failing_resolver_on_a_modern_request_is_500:
            send("{POST}\nuser: fails\nmcp-protocol-version: 2026-07-28\n\
                  mcp-method: server/discover\n\n{MODERN}")
                => rpc(500, -32603, ANY, "9");
    }
}
