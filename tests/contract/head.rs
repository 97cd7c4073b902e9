//! Rows 1 to 9, under the default settings: decided by the head of a request.

use super::check::*;

rows! {
    under(|guard| guard) {
        row_01_a_preflight_goes_to_the_inner_service_without_a_body:
            send("OPTIONS /mcp\n{H}\n{P}") => preflight();
        row_01_a_preflight_loses_its_body_its_session_and_their_fields:
            send("OPTIONS /mcp\n{H}\n{P}\n{J}\ncontent-length: 40\ncontent-language: de\n\
                  transfer-encoding: chunked\ntrailer: x\nexpect: 100-continue\n{S}\n\
                  mcp-session-id: x\nmcp-protocol-version: 1\nmcp-param-a: b\n\
                  mcp_session_id: {live}\nlast-event-id: 7\nlast_event_id: 7\n\n{PING}")
                => preflight();
        row_01_a_preflight_from_a_foreign_page_is_403:
            send("OPTIONS /mcp\n{H}\norigin: https://evil.example\n\
                  access-control-request-method: POST")
                => rpc(403, -32600, ANY, "null");
        row_01_a_preflight_to_a_foreign_host_is_403:
            send("OPTIONS /mcp\nhost: evil.example\n{P}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_01_a_preflight_without_host_is_400: send("OPTIONS /mcp\n{P}") => problem(400);
        row_01_a_preflight_on_http_2_goes_to_the_inner_service:
            send("OPTIONS http://localhost:8000/mcp HTTP/2\n{P}\n\n{PING}") => preflight();
        row_01_options_without_origin_is_405:
            send("OPTIONS /mcp\n{H}\naccess-control-request-method: POST\n\n{PING}")
                => problem(405).with("allow: GET, POST, DELETE");
        row_01_options_without_a_requested_method_is_405:
            send("OPTIONS /mcp\n{H}\norigin: http://localhost:8000\n{S}\n\n{PING}")
                => problem(405).with("allow: GET, POST, DELETE");
        row_01_options_to_a_foreign_host_is_403:
            send("OPTIONS /mcp\nhost: evil.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_01_options_from_a_foreign_page_is_403:
            send("OPTIONS /mcp\n{H}\norigin: https://evil.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_01_options_on_http_2_is_405:
            send("OPTIONS http://localhost:8000/mcp HTTP/2\n{J}\n\n{PING}")
                => problem(405).with("allow: GET, POST, DELETE");
        row_02_a_request_without_host_is_400: send("POST /mcp\n{J}\n\n{PING}") => problem(400);
        row_02_an_http_1_0_request_without_host_is_400:
            send("POST /mcp HTTP/1.0\n{J}\n\n{PING}") => problem(400);
        row_02_an_absolute_target_without_host_is_400:
            send("POST http://localhost:8000/mcp\n{J}\n\n{PING}") => problem(400);
        row_02_two_hosts_are_400: send("POST /mcp\n{H}\n{H}\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_with_userinfo_is_400:
            send("POST /mcp\nhost: me@localhost\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_with_a_bad_port_is_400:
            send("POST /mcp\nhost: localhost:80a\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_with_a_port_too_large_is_400:
            send("POST /mcp\nhost: localhost:65536\n{J}\n\n{PING}") => problem(400);
        row_02_an_address_with_a_port_too_large_is_400:
            send("POST /mcp\nhost: 127.0.0.1:65536\n{J}\n\n{PING}") => problem(400);
        row_02_an_address_with_a_bad_port_is_400:
            send("POST /mcp\nhost: 127.0.0.1:4325a\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_with_a_signed_port_is_400:
            send("POST /mcp\nhost: localhost:+80\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_with_text_after_its_brackets_is_400:
            send("POST /mcp\nhost: [::1]8000\n{J}\n\n{PING}") => problem(400);
        row_02_an_empty_host_is_400: send("POST /mcp\nhost:\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_with_an_empty_port_passes:
            send("POST /mcp\nhost: localhost:\n{J}\n{S}\n\n{PING}") => passes();
        row_02_an_address_in_brackets_with_an_empty_port_passes:
            send("POST /mcp\nhost: [::1]:\n{J}\n{S}\n\n{PING}") => passes();
        row_02_an_authority_with_an_empty_port_passes:
            send("POST http://localhost:/mcp HTTP/2\n{J}\n{S}\n\n{PING}") => passes();
        row_02_an_empty_port_equals_none_in_the_absolute_form:
            send("POST http://localhost/mcp\nhost: localhost:\n{J}\n{S}\n\n{PING}") => passes();
        row_02_an_empty_port_equals_the_default_port_in_the_absolute_form:
            send("POST http://localhost:80/mcp\nhost: localhost:\n{J}\n{S}\n\n{PING}") => passes();
        row_02_an_empty_port_is_not_any_port:
            send("POST http://localhost:8000/mcp\nhost: localhost:\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_with_only_an_empty_port_is_400:
            send("POST /mcp\nhost: :\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_with_two_empty_ports_is_400:
            send("POST /mcp\nhost: localhost::\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_with_an_empty_port_after_a_port_is_400:
            send("POST /mcp\nhost: localhost:80:\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_unlike_the_absolute_form_is_400:
            send("POST http://localhost:9/mcp\n{H}\n{J}\n\n{PING}") => problem(400);
        row_02_a_host_unlike_the_authority_is_400:
            send("POST http://127.0.0.1/mcp HTTP/2\nhost: localhost\n{J}\n\n{PING}")
                => problem(400);
        row_02_an_authority_alone_passes_on_http_2:
            send("POST http://localhost:8000/mcp HTTP/2\n{J}\n{S}\n\n{PING}") => passes();
        row_02_a_foreign_host_is_403:
            send("POST /mcp\nhost: evil.example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_a_host_that_only_begins_like_localhost_is_403:
            send("POST /mcp\nhost: localhost.evil.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_an_address_that_only_begins_like_loopback_is_403:
            send("POST /mcp\nhost: 127.0.0.10:80\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_an_address_with_the_highest_port_passes:
            send("POST /mcp\nhost: 127.0.0.1:65535\n{J}\n{S}\n\n{PING}") => passes();
        row_02_an_address_in_brackets_with_a_port_passes:
            send("POST /mcp\nhost: [::1]:43251\n{J}\n{S}\n\n{PING}") => passes();
        row_02_hosts_compare_without_case_and_trailing_dot:
            send("POST /mcp\nhost: LOCALHOST.:1\n{J}\n{S}\n\n{PING}") => passes();
        row_02_ip_literals_compare_by_value:
            send("POST /mcp\nhost: [0:0:0:0:0:0:0:1]:8000\n{J}\n{S}\n\n{PING}") => passes();
        row_02_a_foreign_origin_is_403:
            send("{POST}\norigin: https://evil.example\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_a_foreign_origin_with_the_endpoints_port_is_403:
            send("{POST}\norigin: http://evil.example:8000\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_null_origin_is_403:
            send("{POST}\norigin: null\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_two_origins_are_403:
            send("{POST}\norigin: http://localhost\norigin: http://localhost\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_malformed_origin_is_403:
            send("{POST}\norigin: http://localhost/path\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_a_loopback_origin_of_another_scheme_is_403:
            send("{POST}\norigin: ftp://localhost\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_a_loopback_origin_passes:
            send("{POST}\norigin: http://127.0.0.1:5173\n{S}\n\n{PING}") => passes();
        row_02_an_origin_with_an_empty_port_is_malformed:
            send("POST /mcp\nhost: localhost:8000\norigin: http://localhost:\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_the_origin_of_a_file_is_403:
            send("POST /mcp\nhost: localhost:8000\norigin: file://\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_the_origin_is_judged_before_the_method:
            send("PUT /mcp\n{H}\norigin: null") => rpc(403, -32600, ANY, "null");
        row_03_put_is_405:
            send("PUT /mcp\n{H}\n{J}\n\n{PING}") => problem(405).with("allow: GET, POST, DELETE");
        row_03_head_is_405: send("HEAD /mcp\n{H}") => problem(405).with("allow: GET, POST, DELETE");
        row_03_patch_with_a_live_session_is_405:
            send("PATCH /mcp\n{H}\n{S}") => problem(405).with("allow: GET, POST, DELETE");
        row_04_two_session_headers_are_400:
            send("{POST}\n{S}\nmcp-session-id: x\n\n{PING}") => problem(400);
        row_04_two_session_headers_in_the_other_order_are_400:
            send("{POST}\nmcp-session-id: x\n{S}\n\n{PING}") => problem(400);
        row_04_two_equal_session_headers_are_400: send("GET /mcp\n{H}\n{S}\n{S}") => problem(400);
        row_04_connection_naming_an_mcp_field_is_400:
            send("{POST}\n{S}\nconnection: keep-alive, Mcp-Session-Id\n\n{PING}") => problem(400);
        row_04_connection_naming_other_fields_passes:
            send("{POST}\n{S}\nconnection: keep-alive, x-mcp-trace\n\n{PING}") => passes();
        row_04_an_empty_session_header_counts_as_none:
            send("{POST}\nmcp-session-id:\n\n{PING}") => rpc(400, -32600, MISSING, "1");
        row_05_get_without_session_is_400: send("GET /mcp\n{H}") => problem(400);
        row_05_delete_without_session_is_400: send("DELETE /mcp\n{H}") => problem(400);
        row_05_get_of_the_modern_era_is_405:
            send("GET /mcp\n{H}\nmcp-protocol-version: 2026-07-28")
                => problem(405).with("allow: POST");
        row_05_delete_of_the_modern_era_is_405:
            send("DELETE /mcp\n{H}\nmcp-protocol-version: 2027-01-01")
                => problem(405).with("allow: POST");
        row_06_an_id_with_a_space_is_404:
            send("{POST}\nmcp-session-id: a b\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
        row_06_a_latin_1_id_is_404:
            send("{POST}\nmcp-session-id: \u{e9}\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
        row_06_an_id_longer_than_any_issued_one_is_404:
            send("GET /mcp\n{H}\nmcp-session-id: {live}0") => rpc(404, -32600, NOT_FOUND, "null");
        row_06_a_modern_header_does_not_save_a_malformed_id:
            send("{POST}\nmcp-session-id: a b\nmcp-protocol-version: 2026-07-28\n\n{MODERN}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_07_an_unknown_id_on_post_is_404:
            send("{POST}\nmcp-session-id: 00000000-0000-4000-8000-000000000000\n\n{PING}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_07_an_unknown_id_on_get_is_404:
            send("GET /mcp\n{H}\nmcp-session-id: nobody") => rpc(404, -32600, NOT_FOUND, "null");
        row_07_an_unknown_id_on_get_with_last_event_id_is_404:
            send("GET /mcp\n{H}\nmcp-session-id: nobody\nlast-event-id: 7")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_07_an_unknown_id_on_delete_is_404:
            send("DELETE /mcp\n{H}\nmcp-session-id: nobody") => rpc(404, -32600, NOT_FOUND, "null");
        row_07_an_ended_id_is_404:
            send("{POST}\nmcp-session-id: {ended}\n\n{PING}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_07_an_id_in_upper_case_is_404:
            send("{POST}\nmcp-session-id: {LIVE}\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
        row_07_two_ids_in_one_header_are_404:
            send("{POST}\nmcp-session-id: {live},x\n\n{PING}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_07_an_unknown_id_is_judged_before_the_media_type:
            send("POST /mcp\n{H}\nmcp-session-id: nobody\n\n{PING}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_08_get_with_an_unknown_version_is_400:
            send("GET /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-01-01") => problem(400);
        row_08_delete_with_an_unknown_version_is_400:
            send("DELETE /mcp\n{H}\n{S}\nmcp-protocol-version: latest") => problem(400);
        row_08_two_different_versions_are_400:
            send("GET /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-11-25\n\
                  mcp-protocol-version: 2025-06-18")
                => problem(400);
        row_08_a_list_of_equal_versions_counts_once:
            send("GET /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-11-25, 2025-11-25")
                => passes_with("mcp-protocol-version: 2025-11-25");
        row_08_a_list_of_two_versions_is_400:
            send("GET /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-11-25, 2025-06-18")
                => problem(400);
        row_08_delete_with_a_list_of_equal_versions_is_204:
            send("DELETE /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-11-25,2025-11-25")
                => no_content();
        row_08_delete_with_a_list_of_two_versions_is_400:
            send("DELETE /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-11-25,latest") => problem(400);
        row_08_a_modern_version_may_use_its_live_session:
            send("GET /mcp\n{H}\n{S}\nmcp-protocol-version: 2026-07-28") => passes();
        row_09_a_missing_content_type_is_415: send("POST /mcp\n{H}\n\n{PING}") => problem(415);
        row_09_two_content_types_are_415: send("{POST}\n{J}\n\n{PING}") => problem(415);
        row_09_text_plain_is_415:
            send("POST /mcp\n{H}\ncontent-type: text/plain\n\n{PING}") => problem(415);
        row_09_a_form_is_415:
            send("POST /mcp\n{H}\ncontent-type: application/x-www-form-urlencoded\n\n{PING}")
                => problem(415);
        row_09_jsonp_is_415:
            send("POST /mcp\n{H}\ncontent-type: application/jsonp\n\n{PING}") => problem(415);
        row_09_json_patch_is_415:
            send("POST /mcp\n{H}\ncontent-type: application/json-patch+json\n\n{PING}")
                => problem(415);
        row_09_latin_1_is_415:
            send("POST /mcp\n{H}\n{J}; charset=latin1\n\n{PING}") => problem(415);
        row_09_a_charset_with_white_space_is_415:
            send("POST /mcp\n{H}\n{J} ; charset = latin1\n\n{PING}") => problem(415);
        row_09_gzip_is_415: send("{POST}\ncontent-encoding: gzip\n\n{PING}") => problem(415);
        row_09_utf_8_in_any_spelling_passes:
            send("POST /mcp\n{H}\ncontent-type: Application/JSON ; Charset=\"UTF-8\"\n\
                  content-encoding: identity\n{S}\n\n{PING}")
                => passes();
        row_09_ascii_passes:
            send("POST /mcp\n{H}\n{J};charset=us-ascii\n{S}\n\n{PING}") => passes();
    }
}
