//! Rows 15 to 23, under the default settings: decided by the message.

use super::check::*;

rows! {
    under(|guard| guard) {
        row_15_a_claim_is_400: send("{POST}\n\n{MODERN}") => rpc(400, -32600, ANY, "9");
        row_15_a_claim_in_a_live_session_is_400:
            send("{POST}\n{S}\n\n{MODERN}") => rpc(400, -32600, ANY, "9");
        row_15_a_modern_header_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\n\n{PING}")
                => rpc(400, -32600, ANY, "1");
        row_15_a_modern_header_with_an_unknown_id_is_400:
            send("{POST}\nmcp-session-id: nobody\nmcp-protocol-version: 2026-07-28\n\n{MODERN}")
                => rpc(400, -32600, ANY, "9");
        row_15_a_modern_notification_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\n\n{INITIALIZED}")
                => rpc(400, -32600, ANY, "null");
        row_15_a_claim_in_a_result_does_not_count:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":5,"result":{{CLAIM}}}"#) => passes();
        row_15_an_earlier_date_is_not_a_claim:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}}}"#)
                => rpc(400, -32600, MISSING, "1");
        row_16_a_request_of_the_refused_modern_era_is_400:
            send("{POST}\nmcp-protocol-version: 2026-07-28\n\n{MODERN}")
                => rpc(400, -32600, ANY, "9");
        row_17_an_unknown_version_is_400:
            send("{POST}\n{S}\nmcp-protocol-version: 2025-01-01\n\n{PING}")
                => rpc(400, -32600, ANY, "1");
        row_17_two_different_versions_are_400:
            send("{POST}\n{S}\nmcp-protocol-version: 2025-11-25\n\
                  mcp-protocol-version: 2025-03-26\n\n{PING}")
                => rpc(400, -32600, ANY, "1");
        row_17_an_unknown_version_on_a_notification_is_400:
            send("{POST}\n{S}\nmcp-protocol-version: x\n\n{INITIALIZED}")
                => rpc(400, -32600, ANY, "null");
        row_17_two_equal_versions_pass:
            send("{POST}\n{S}\nmcp-protocol-version: 2025-11-25\n\
                  mcp-protocol-version: 2025-11-25\n\n{PING}")
                => passes();
        row_17_two_equal_lines_are_forwarded_as_one:
            send("{POST}\n{S}\nmcp-protocol-version: 2025-11-25\n\
                  mcp-protocol-version: 2025-11-25\n\n{PING}")
                => passes_with("mcp-protocol-version: 2025-11-25");
        row_17_a_list_of_equal_versions_counts_once:
            send("{POST}\n{S}\nmcp-protocol-version: 2025-11-25, 2025-11-25\n\n{PING}")
                => passes_with("mcp-protocol-version: 2025-11-25");
        row_17_lines_and_lists_of_equal_versions_count_once:
            send("{POST}\n{S}\nmcp-protocol-version: , 2025-06-18 ,\n\
                  mcp-protocol-version: 2025-06-18,2025-06-18\n\n{PING}")
                => passes_with("mcp-protocol-version: 2025-06-18");
        row_17_a_list_of_equal_versions_on_initialize_counts_once:
            send("{POST}\nmcp-protocol-version: 2025-11-25, 2025-11-25\n\n{INITIALIZE}")
                => passes_with("mcp-protocol-version: 2025-11-25");
        row_17_a_list_of_two_versions_is_400:
            send("{POST}\n{S}\nmcp-protocol-version: 2025-11-25, 2025-03-26\n\n{PING}")
                => rpc(400, -32600, ANY, "1");
        row_17_a_list_of_equal_unknown_versions_is_400:
            send("{POST}\n{S}\nmcp-protocol-version: 1, 1\n\n{PING}") => rpc(400, -32600, ANY, "1");
        row_17_an_empty_list_is_no_version:
            send("{POST}\n{S}\nmcp-protocol-version: ,\n\n{PING}")
                => passes_without("mcp-protocol-version");
        row_17_a_listed_version_that_was_not_negotiated_passes:
            send("{POST}\n{S}\nmcp-protocol-version: 2024-11-05\n\n{PING}") => passes();
        row_17_a_missing_version_passes: send("{POST}\n{S}\n\n{PING}") => passes();
        row_17_initialize_with_a_modern_header_passes:
            send("{POST}\nmcp-protocol-version: 2026-07-28\n\n{INITIALIZE}") => passes();
        row_17_initialize_with_an_unknown_version_is_400:
            send("{POST}\nmcp-protocol-version: 1\n\n{INITIALIZE}") => rpc(400, -32600, ANY, "0");
        row_18_initialize_without_id_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","method":"initialize"}"#)
                => rpc(400, -32600, ANY, "null");
        row_18_initialize_in_a_live_session_is_400:
            send("{POST}\n{S}\n\n{INITIALIZE}")
                => rpc(400, -32600, "Server already initialized", "0");
        row_19_initialize_with_an_ended_id_is_404:
            send("{POST}\nmcp-session-id: {ended}\n\n{INITIALIZE}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_19_initialize_with_an_ended_id_and_a_modern_header_is_404:
            send("{POST}\nmcp-session-id: {ended}\nmcp-protocol-version: 2026-07-28\n\n\
                  {INITIALIZE}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_20_initialize_opens_a_session: send("{POST}\n\n{INITIALIZE}") => passes();
        row_20_an_empty_session_header_counts_as_none:
            send("{POST}\nmcp-session-id:\n\n{INITIALIZE}") => passes();
        row_22_a_request_without_session_is_400:
            send("{POST}\n\n{PING}") => rpc(400, -32600, MISSING, "1");
        row_22_a_notification_without_session_is_400:
            send("{POST}\n\n{INITIALIZED}") => rpc(400, -32600, MISSING, "null");
        row_22_a_response_without_session_is_400:
            send("{POST}\n\n{RESPONSE}") => rpc(400, -32600, MISSING, "null");
        row_22_an_id_only_in_the_query_and_a_cookie_is_400:
            send("POST /mcp?sessionId={live}\n{H}\n{J}\ncookie: mcp-session-id={live}\n\n{PING}")
                => rpc(400, -32600, MISSING, "1");
        row_22_a_method_that_only_resembles_initialize_without_session_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":1,"method":"initialize "}"#)
                => rpc(400, -32600, MISSING, "1");
        row_22_an_escaped_initialize_is_initialize:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":1,"method":"\u0069nitialize"}"#)
                => passes();
        row_23_a_request_passes:
            send("{POST}\n{S}\n\n {\"id\" : 1, \"method\":\"ping\",\"jsonrpc\":\"2.0\"} \n")
                => passes();
        row_23_a_notification_passes: send("{POST}\n{S}\n\n{INITIALIZED}") => passes();
        row_23_a_response_passes: send("{POST}\n{S}\n\n{RESPONSE}") => passes();
        row_23_a_get_stream_passes:
            send("GET /mcp\n{H}\n{S}\naccept: text/event-stream") => passes();
        row_23_a_get_carries_no_body_inward:
            send("GET /mcp\n{H}\n{J}\ncontent-length: 40\n{S}\n\n{PING}")
                => passes_without("content-length");
        row_23_a_get_carries_no_fields_of_a_body_inward:
            send("GET /mcp\n{H}\n{J}\ncontent-language: de\n{S}")
                => passes_without("content-language");
        row_23_a_get_carries_no_transfer_coding_inward:
            send("GET /mcp\n{H}\ntransfer-encoding: chunked\n{S}\n\n{PING}")
                => passes_without("transfer-encoding");
        row_23_a_get_carries_no_expect_field_inward:
            send("GET /mcp\n{H}\nexpect: 100-continue\n{S}\n\n{PING}") => passes_without("expect");
        row_23_a_get_carries_no_trailer_field_inward:
            send("GET /mcp\n{H}\ntrailer: x\n{S}") => passes_without("trailer");
        row_23_a_get_on_http_2_carries_no_body_inward:
            send("GET http://localhost:8000/mcp HTTP/2\n{J}\n{S}\n\n{PING}")
                => passes_without("content-type");
        row_23_a_get_keeps_the_event_that_it_resumes_from:
            send("GET /mcp\n{H}\nlast-event-id: 7\n{S}") => passes_with("last-event-id: 7");
        row_23_a_session_id_with_an_underscore_never_gets_inward:
            send("{POST}\n{S}\nmcp_session_id: x\n\n{PING}") => passes_without("mcp_session_id");
        row_23_a_session_id_with_underscore_and_hyphen_never_gets_inward:
            send("{POST}\n{S}\nMcp_Session-Id: x\n\n{PING}") => passes_without("mcp_session-id");
        row_23_a_version_with_an_underscore_never_gets_inward:
            send("GET /mcp\n{H}\n{S}\nmcp_protocol_version: x")
                => passes_without("mcp_protocol_version");
        row_23_a_method_with_an_underscore_never_gets_inward:
            send("{POST}\nmcp_method: x\n\n{INITIALIZE}") => passes_without("mcp_method");
        row_23_a_name_with_a_dot_never_gets_inward:
            send("{POST}\n{S}\nmcp.name: x\n\n{PING}") => passes_without("mcp.name");
        row_23_a_last_event_id_with_an_underscore_never_gets_inward:
            send("GET /mcp\n{H}\n{S}\nlast_event_id: 7") => passes_without("last_event_id");
        row_23_a_field_name_that_only_begins_like_mcp_name_passes:
            send("{POST}\n{S}\nmcp_names: x\n\n{PING}") => passes_with("mcp_names: x");
        row_23_delete_is_answered_by_the_guard: send("DELETE /mcp\n{H}\n{S}") => no_content();
    }
}
