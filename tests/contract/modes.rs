//! Section 6, and rows in other modes: stateless, the modern era accepted, the legacy era refused.

use super::check::*;
use mcp_session_guard::{Eras, SessionGuardBuilder};

rows! {
    under(SessionGuardBuilder::stateless) {
        row_13_a_lone_surrogate_in_stateless_mode_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":3,"method":"ping","params":["\ud83d"]}"#)
                => rpc(400, -32600, ANY, "3");
        row_14_a_lookalike_in_stateless_mode_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"safe","Name":"rm_rf"}}"#)
                => rpc(400, -32600, ANY, "5");
        stateless_a_request_passes: send("{POST}\n\n{PING}") => passes();
        stateless_a_notification_passes: send("{POST}\n\n{INITIALIZED}") => passes();
        stateless_a_response_passes: send("{POST}\n\n{RESPONSE}") => passes();
        stateless_initialize_passes: send("{POST}\n\n{INITIALIZE}") => passes();
        stateless_session_headers_are_neither_read_nor_removed:
            send("{POST}\nmcp-session-id: a b\nmcp-session-id: c\n\n{PING}") => passes();
        stateless_a_malformed_session_id_is_not_read:
            send("{POST}\nmcp-session-id: a b\n\n{PING}") => passes();
        stateless_a_session_id_with_an_underscore_passes:
            send("{POST}\nmcp_session_id: c\n\n{PING}") => passes_with("mcp_session_id: c");
        stateless_a_version_with_an_underscore_never_gets_inward:
            send("{POST}\nmcp_protocol_version: c\n\n{PING}")
                => passes_without("mcp_protocol_version");
        stateless_a_list_of_equal_versions_counts_once:
            send("{POST}\nmcp-protocol-version: 2025-11-25, 2025-11-25\n\n{PING}")
                => passes_with("mcp-protocol-version: 2025-11-25");
        stateless_a_preflight_passes:
            send("OPTIONS /mcp\n{H}\n{P}\nmcp-session-id: c\n\n{PING}") => preflight();
        stateless_any_other_options_is_405:
            send("OPTIONS /mcp\n{H}\n{J}\n\n{PING}") => problem(405).with("allow: POST");
        stateless_options_to_a_foreign_host_is_403:
            send("OPTIONS /mcp\nhost: evil.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        stateless_get_is_405: send("GET /mcp\n{H}") => problem(405).with("allow: POST");
        stateless_delete_is_405:
            send("DELETE /mcp\n{H}\nmcp-session-id: x") => problem(405).with("allow: POST");
        stateless_the_host_is_judged:
            send("POST /mcp\nhost: evil.example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
        stateless_media_types_are_judged: send("POST /mcp\n{H}\n\n{PING}") => problem(415);
        stateless_messages_are_judged: send("{POST}\n\n[]") => rpc(400, -32600, ANY, "null");
        stateless_the_modern_era_is_refused:
            send("{POST}\n\n{MODERN}") => rpc(400, -32600, ANY, "9");
        stateless_versions_are_judged:
            send("{POST}\nmcp-protocol-version: 1\n\n{PING}") => rpc(400, -32600, ANY, "1");
        stateless_initialize_without_id_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","method":"initialize"}"#)
                => rpc(400, -32600, ANY, "null");
    }

    under(|guard| guard.eras(Eras::Both)) {
        row_14_a_lookalike_of_the_name_in_the_modern_era_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\nmcp-name: safe")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{{CLAIM},"name":"safe","Name":"rm_rf"}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_lookalike_of_the_version_key_in_the_modern_era_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/protocolversion":"x"}}}"#)
                => rpc(400, -32600, ANY, "5");
        section_6_a_request_passes:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => passes();
        section_6_any_session_id_is_removed:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\n\
                  mcp-session-id: nobody\nlast-event-id: 7")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => passes();
        section_6_a_live_session_is_not_touched:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => passes();
        section_6_a_list_of_equal_versions_counts_once:
            send("{POST}\nmcp-protocol-version: 2026-07-28, 2026-07-28\nmcp-method: tools/list")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => passes_with("mcp-protocol-version: 2026-07-28");
        section_6_two_equal_versions_count_once:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-protocol-version: 2026-07-28\n\
                  mcp-method: tools/list")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => passes_with("mcp-protocol-version: 2026-07-28");
        section_6_a_list_of_two_versions_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28, 2026-07-29\nmcp-method: tools/list")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_a_name_with_an_underscore_never_gets_inward:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\n\
                  mcp-name: add\nmcp_name: rm")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{CLAIM},"name":"add"}}"#)
                => passes_without("mcp_name");
        section_6_a_session_id_with_an_underscore_never_gets_inward:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\n\
                  mcp_session_id: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => passes_without("mcp_session_id");
        section_6_a_claim_that_is_not_a_string_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":7}}}"#)
                => rpc(400, -32602, ANY, "9");
        section_6_an_earlier_claim_beside_a_modern_header_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_a_request_without_a_claim_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: ping\n\n{PING}")
                => rpc(400, -32602, ANY, "1");
        section_6_a_notification_without_a_claim_passes:
            send("{POST}\nmcp-protocol-version: 2026-07-28\n\n{INITIALIZED}") => passes();
        section_6_a_notification_with_a_wrong_method_header_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: x\n\n{INITIALIZED}")
                => rpc(400, -32020, ANY, "null");
        section_6_a_response_under_a_modern_header_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\n\n{RESPONSE}")
                => rpc(400, -32600, ANY, "null");
        section_6_initialize_with_a_claim_is_404:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: initialize")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"initialize","params":{{CLAIM}}}"#)
                => rpc(404, -32601, ANY, "9");
        section_6_a_missing_version_header_is_400:
            send("{POST}\nmcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{{CLAIM}}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_two_different_version_headers_are_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-protocol-version: 2026-07-29\n\
                  mcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{{CLAIM}}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_a_version_header_unlike_the_claim_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-29\nmcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{{CLAIM}}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_a_legacy_version_header_beside_a_claim_is_400:
            send("{POST}\nmcp-protocol-version: 2025-11-25\nmcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{{CLAIM}}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_a_missing_method_header_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{{CLAIM}}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_two_method_headers_are_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: x\nmcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{{CLAIM}}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_a_method_header_in_another_case_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: X")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{{CLAIM}}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_a_missing_name_header_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{CLAIM},"name":"add"}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_a_name_header_unlike_the_body_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\nmcp-name: sub")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{CLAIM},"name":"add"}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_a_name_header_passes:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: prompts/get\nmcp-name: add")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"prompts/get","params":{{CLAIM},"name":"add"}}"#)
                => passes();
        section_6_a_name_header_in_base64_passes:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\n\
                  mcp-name: =?base64?w6TDpA==?=")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{CLAIM},"name":"ää"}}"#)
                => passes();
        section_6_a_name_header_in_unpadded_base64_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call\n\
                  mcp-name: =?base64?w6TDpA?=")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{CLAIM},"name":"ää"}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_a_uri_header_passes:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: resources/read\n\
                  mcp-name: file:///a")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"resources/read","params":{{CLAIM},"uri":"file:///a"}}"#)
                => passes();
        section_6_a_uri_header_unlike_the_body_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: resources/read\n\
                  mcp-name: file:///b")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"resources/read","params":{{CLAIM},"uri":"file:///a"}}"#)
                => rpc(400, -32020, ANY, "9");
        section_6_no_name_header_is_needed_if_the_body_has_no_name:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/call")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{CLAIM},"name":7}}"#)
                => passes();
        section_6_an_unknown_later_version_passes_to_the_inner_service:
            send("{POST}\nmcp-protocol-version: 2031-01-01\nmcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2031-01-01"}}}"#)
                => passes();
        section_6_get_of_the_modern_era_is_405:
            send("GET /mcp\n{H}\nmcp-protocol-version: 2026-07-28")
                => problem(405).with("allow: POST");
        section_6_a_legacy_request_still_needs_its_session:
            send("{POST}\nx: y\n\n{PING}") => rpc(400, -32600, MISSING, "1");
        section_6_a_claim_of_an_earlier_date_still_needs_a_session:
            send("{POST}\nmcp-protocol-version: 2025-11-25")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}}}"#)
                => rpc(400, -32600, MISSING, "9");
        section_6_initialize_without_a_claim_opens_a_session:
            send("{POST}\nx: y\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.eras(Eras::Both).modern_versions(["2026-07-28"])) {
        section_6_an_unlisted_version_is_400:
            send("{POST}\nmcp-protocol-version: 2031-01-01\nmcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2031-01-01"}}}"#)
                => rpc(400, -32022, ANY, "9")
                    .data(r#"{"supported":["2026-07-28"],"requested":"2031-01-01"}"#);
        section_6_a_mismatch_wins_over_an_unlisted_version:
            send("{POST}\nmcp-protocol-version: 2031-01-01\nmcp-method: y")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2031-01-01"}}}"#)
                => rpc(400, -32020, ANY, "9");
    }

    under(|guard| guard.eras(Eras::Sessionless)) {
        legacy_refused_initialize_is_400:
            send("{POST}\nx: y\n\n{INITIALIZE}")
                => rpc(400, -32022, ANY, "0")
                    .data(r#"{"supported":["2026-07-28"],"requested":"2025-11-25"}"#);
        legacy_refused_a_request_is_400:
            send("{POST}\nmcp-protocol-version: 2025-06-18\nmcp-session-id: x\n\n{PING}")
                => rpc(400, -32022, ANY, "1")
                    .data(r#"{"supported":["2026-07-28"],"requested":"2025-06-18"}"#);
        legacy_refused_a_version_that_cannot_be_repeated_is_unknown:
            send("{POST}\nx: y")
                .json(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"<b>"}}"#)
                => rpc(400, -32022, ANY, "0")
                    .data(r#"{"supported":["2026-07-28"],"requested":"unknown"}"#);
        legacy_refused_a_notification_is_400:
            send("{POST}\nx: y\n\n{INITIALIZED}") => rpc(400, -32600, ANY, "null");
        legacy_refused_a_response_is_400:
            send("{POST}\nx: y\n\n{RESPONSE}") => rpc(400, -32600, ANY, "null");
        legacy_refused_a_preflight_passes: send("OPTIONS /mcp\n{H}\n{P}\n\n{PING}") => preflight();
        legacy_refused_any_other_options_is_405:
            send("OPTIONS /mcp\n{H}\n{J}\n\n{PING}") => problem(405).with("allow: POST");
        legacy_refused_get_is_405:
            send("GET /mcp\n{H}\nmcp-session-id: x") => problem(405).with("allow: POST");
        legacy_refused_delete_is_405: send("DELETE /mcp\n{H}") => problem(405).with("allow: POST");
        legacy_refused_a_modern_request_passes:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\n\
                  mcp-session-id: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => passes();
        legacy_refused_a_malformed_session_id_is_not_read:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list\n\
                  mcp-session-id: a b")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => passes();
    }

    under(|guard| guard.stateless().eras(Eras::Both)) {
        stateless_and_modern_a_legacy_request_passes: send("{POST}\nx: y\n\n{PING}") => passes();
        stateless_and_modern_a_modern_request_passes:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: tools/list")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => passes();
        stateless_and_modern_a_mismatch_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\nmcp-method: x")
                .json(r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{{CLAIM}}}"#)
                => rpc(400, -32020, ANY, "9");
    }
}
