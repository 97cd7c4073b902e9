//! Rows 1 to 9, under the default settings: what the head of a request decides.

use super::check::*;

rows! {
    under(|guard| guard) {
        row_01_a_preflight_goes_to_the_inner_service_without_a_body:
            send("OPTIONS /mcp\n{H}\n{P}") => preflight();
        row_01_a_preflight_loses_body_session_and_fields_of_both:
            send("OPTIONS /mcp\n{H}\n{P}\n{J}\ncontent-length: 40\ncontent-language: de\n\
                  transfer-encoding: chunked\ntrailer: x\nexpect: 100-continue\n{S}\n\
                  mcp-session-id: x\nmcp-protocol-version: 1\nmcp-param-a: b\n\
                  mcp_session_id: {live}\nlast-event-id: 7\nlast_event_id: 7\n\n{PING}")
                => preflight();
        row_01_a_preflight_from_a_foreign_page:
            send("OPTIONS /mcp\n{H}\norigin: https://evil.example\n\
                  access-control-request-method: POST")
                => rpc(403, -32600, ANY, "null");
        row_01_a_preflight_to_a_foreign_host:
            send("OPTIONS /mcp\nhost: evil.example\n{P}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_01_a_preflight_without_host: send("OPTIONS /mcp\n{P}") => problem(400);
        row_01_a_preflight_on_http_2:
            send("OPTIONS http://localhost:8000/mcp HTTP/2\n{P}\n\n{PING}") => preflight();
        row_01_options_without_origin:
            send("OPTIONS /mcp\n{H}\naccess-control-request-method: POST\n\n{PING}")
                => problem(405).with("allow: GET, POST, DELETE");
        row_01_options_without_a_method_to_ask_for:
            send("OPTIONS /mcp\n{H}\norigin: http://localhost:8000\n{S}\n\n{PING}")
                => problem(405).with("allow: GET, POST, DELETE");
        row_01_options_to_a_foreign_host:
            send("OPTIONS /mcp\nhost: evil.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_01_options_from_a_foreign_page:
            send("OPTIONS /mcp\n{H}\norigin: https://evil.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_01_options_on_http_2:
            send("OPTIONS http://localhost:8000/mcp HTTP/2\n{J}\n\n{PING}")
                => problem(405).with("allow: GET, POST, DELETE");
        row_02_no_host: send("POST /mcp\n{J}\n\n{PING}") => problem(400);
        row_02_no_host_on_http_1_0: send("POST /mcp HTTP/1.0\n{J}\n\n{PING}") => problem(400);
        row_02_no_host_beside_the_absolute_form:
            send("POST http://localhost:8000/mcp\n{J}\n\n{PING}") => problem(400);
        row_02_two_hosts: send("POST /mcp\n{H}\n{H}\n{J}\n\n{PING}") => problem(400);
        row_02_host_with_userinfo:
            send("POST /mcp\nhost: me@localhost\n{J}\n\n{PING}") => problem(400);
        row_02_host_with_a_bad_port:
            send("POST /mcp\nhost: localhost:80a\n{J}\n\n{PING}") => problem(400);
        row_02_host_with_a_port_too_large:
            send("POST /mcp\nhost: localhost:65536\n{J}\n\n{PING}") => problem(400);
        row_02_address_with_a_port_too_large:
            send("POST /mcp\nhost: 127.0.0.1:65536\n{J}\n\n{PING}") => problem(400);
        row_02_address_with_a_bad_port:
            send("POST /mcp\nhost: 127.0.0.1:4325a\n{J}\n\n{PING}") => problem(400);
        row_02_host_with_a_signed_port:
            send("POST /mcp\nhost: localhost:+80\n{J}\n\n{PING}") => problem(400);
        row_02_host_with_text_behind_its_brackets:
            send("POST /mcp\nhost: [::1]8000\n{J}\n\n{PING}") => problem(400);
        row_02_empty_host: send("POST /mcp\nhost:\n{J}\n\n{PING}") => problem(400);
        row_02_host_with_an_empty_port_passes:
            send("POST /mcp\nhost: localhost:\n{J}\n{S}\n\n{PING}") => passes();
        row_02_address_in_brackets_with_an_empty_port_passes:
            send("POST /mcp\nhost: [::1]:\n{J}\n{S}\n\n{PING}") => passes();
        row_02_an_authority_with_an_empty_port_passes:
            send("POST http://localhost:/mcp HTTP/2\n{J}\n{S}\n\n{PING}") => passes();
        row_02_an_empty_port_equals_none_in_the_absolute_form:
            send("POST http://localhost/mcp\nhost: localhost:\n{J}\n{S}\n\n{PING}") => passes();
        row_02_an_empty_port_equals_the_default_port_in_the_absolute_form:
            send("POST http://localhost:80/mcp\nhost: localhost:\n{J}\n{S}\n\n{PING}") => passes();
        row_02_an_empty_port_is_not_any_port:
            send("POST http://localhost:8000/mcp\nhost: localhost:\n{J}\n\n{PING}") => problem(400);
        row_02_host_with_nothing_but_an_empty_port:
            send("POST /mcp\nhost: :\n{J}\n\n{PING}") => problem(400);
        row_02_host_with_two_empty_ports:
            send("POST /mcp\nhost: localhost::\n{J}\n\n{PING}") => problem(400);
        row_02_host_with_an_empty_port_behind_a_port:
            send("POST /mcp\nhost: localhost:80:\n{J}\n\n{PING}") => problem(400);
        row_02_host_unlike_the_absolute_form:
            send("POST http://localhost:9/mcp\n{H}\n{J}\n\n{PING}") => problem(400);
        row_02_host_unlike_the_authority:
            send("POST http://127.0.0.1/mcp HTTP/2\nhost: localhost\n{J}\n\n{PING}")
                => problem(400);
        row_02_an_authority_alone_passes_on_http_2:
            send("POST http://localhost:8000/mcp HTTP/2\n{J}\n{S}\n\n{PING}") => passes();
        row_02_foreign_host:
            send("POST /mcp\nhost: evil.example\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_host_that_only_begins_like_localhost:
            send("POST /mcp\nhost: localhost.evil.example\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_address_that_only_begins_like_loopback:
            send("POST /mcp\nhost: 127.0.0.10:80\n{J}\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_address_with_the_highest_port:
            send("POST /mcp\nhost: 127.0.0.1:65535\n{J}\n{S}\n\n{PING}") => passes();
        row_02_address_in_brackets_with_a_port:
            send("POST /mcp\nhost: [::1]:43251\n{J}\n{S}\n\n{PING}") => passes();
        row_02_host_compares_without_case_and_trailing_dot:
            send("POST /mcp\nhost: LOCALHOST.:1\n{J}\n{S}\n\n{PING}") => passes();
        row_02_host_ip_literals_compare_by_value:
            send("POST /mcp\nhost: [0:0:0:0:0:0:0:1]:8000\n{J}\n{S}\n\n{PING}") => passes();
        row_02_foreign_origin:
            send("{POST}\norigin: https://evil.example\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_foreign_origin_with_the_endpoints_port:
            send("{POST}\norigin: http://evil.example:8000\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_null_origin: send("{POST}\norigin: null\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_two_origins:
            send("{POST}\norigin: http://localhost\norigin: http://localhost\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_malformed_origin:
            send("{POST}\norigin: http://localhost/path\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_loopback_origin_of_another_scheme:
            send("{POST}\norigin: ftp://localhost\n\n{PING}") => rpc(403, -32600, ANY, "null");
        row_02_loopback_origin_passes:
            send("{POST}\norigin: http://127.0.0.1:5173\n{S}\n\n{PING}") => passes();
        row_02_an_origin_with_an_empty_port_is_malformed:
            send("POST /mcp\nhost: localhost:8000\norigin: http://localhost:\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_the_origin_of_a_file:
            send("POST /mcp\nhost: localhost:8000\norigin: file://\n{J}\n\n{PING}")
                => rpc(403, -32600, ANY, "null");
        row_02_origin_is_judged_before_the_method:
            send("PUT /mcp\n{H}\norigin: null") => rpc(403, -32600, ANY, "null");
        row_03_put:
            send("PUT /mcp\n{H}\n{J}\n\n{PING}") => problem(405).with("allow: GET, POST, DELETE");
        row_03_head: send("HEAD /mcp\n{H}") => problem(405).with("allow: GET, POST, DELETE");
        row_03_patch_with_a_live_session:
            send("PATCH /mcp\n{H}\n{S}") => problem(405).with("allow: GET, POST, DELETE");
        row_04_two_session_headers:
            send("{POST}\n{S}\nmcp-session-id: x\n\n{PING}") => problem(400);
        row_04_two_session_headers_the_other_way:
            send("{POST}\nmcp-session-id: x\n{S}\n\n{PING}") => problem(400);
        row_04_two_equal_session_headers: send("GET /mcp\n{H}\n{S}\n{S}") => problem(400);
        row_04_connection_naming_an_mcp_field:
            send("{POST}\n{S}\nconnection: keep-alive, Mcp-Session-Id\n\n{PING}") => problem(400);
        row_04_connection_naming_other_fields_passes:
            send("{POST}\n{S}\nconnection: keep-alive, x-mcp-trace\n\n{PING}") => passes();
        row_04_an_empty_session_header_counts_as_none:
            send("{POST}\nmcp-session-id:\n\n{PING}") => rpc(400, -32600, MISSING, "1");
        row_05_get_without_session: send("GET /mcp\n{H}") => problem(400);
        row_05_delete_without_session: send("DELETE /mcp\n{H}") => problem(400);
        row_05_get_of_the_modern_era:
            send("GET /mcp\n{H}\nmcp-protocol-version: 2026-07-28")
                => problem(405).with("allow: POST");
        row_05_delete_of_the_modern_era:
            send("DELETE /mcp\n{H}\nmcp-protocol-version: 2027-01-01")
                => problem(405).with("allow: POST");
        row_06_id_with_a_space:
            send("{POST}\nmcp-session-id: a b\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
        row_06_id_of_latin_1:
            send("{POST}\nmcp-session-id: \u{e9}\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
        row_06_id_longer_than_any:
            send("GET /mcp\n{H}\nmcp-session-id: {live}0") => rpc(404, -32600, NOT_FOUND, "null");
        row_06_a_modern_header_does_not_save_a_malformed_id:
            send("{POST}\nmcp-session-id: a b\nmcp-protocol-version: 2026-07-28\n\n{MODERN}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_07_unknown_id_on_post:
            send("{POST}\nmcp-session-id: 00000000-0000-4000-8000-000000000000\n\n{PING}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_07_unknown_id_on_get:
            send("GET /mcp\n{H}\nmcp-session-id: nobody") => rpc(404, -32600, NOT_FOUND, "null");
        row_07_unknown_id_on_get_with_last_event_id:
            send("GET /mcp\n{H}\nmcp-session-id: nobody\nlast-event-id: 7")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_07_unknown_id_on_delete:
            send("DELETE /mcp\n{H}\nmcp-session-id: nobody") => rpc(404, -32600, NOT_FOUND, "null");
        row_07_ended_id:
            send("{POST}\nmcp-session-id: {ended}\n\n{PING}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_07_id_in_upper_case:
            send("{POST}\nmcp-session-id: {LIVE}\n\n{PING}") => rpc(404, -32600, NOT_FOUND, "null");
        row_07_two_ids_in_one_header:
            send("{POST}\nmcp-session-id: {live},x\n\n{PING}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_07_unknown_id_is_judged_before_the_media_type:
            send("POST /mcp\n{H}\nmcp-session-id: nobody\n\n{PING}")
                => rpc(404, -32600, NOT_FOUND, "null");
        row_08_get_with_an_unknown_version:
            send("GET /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-01-01") => problem(400);
        row_08_delete_with_an_unknown_version:
            send("DELETE /mcp\n{H}\n{S}\nmcp-protocol-version: latest") => problem(400);
        row_08_two_different_versions:
            send("GET /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-11-25\n\
                  mcp-protocol-version: 2025-06-18")
                => problem(400);
        row_08_a_list_of_equal_versions_counts_once:
            send("GET /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-11-25, 2025-11-25")
                => passes_with("mcp-protocol-version: 2025-11-25");
        row_08_a_list_of_two_versions:
            send("GET /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-11-25, 2025-06-18")
                => problem(400);
        row_08_delete_with_a_list_of_equal_versions:
            send("DELETE /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-11-25,2025-11-25")
                => no_content();
        row_08_delete_with_a_list_of_two_versions:
            send("DELETE /mcp\n{H}\n{S}\nmcp-protocol-version: 2025-11-25,latest") => problem(400);
        row_08_a_modern_version_may_use_its_live_session:
            send("GET /mcp\n{H}\n{S}\nmcp-protocol-version: 2026-07-28") => passes();
        row_09_no_content_type: send("POST /mcp\n{H}\n\n{PING}") => problem(415);
        row_09_two_content_types: send("{POST}\n{J}\n\n{PING}") => problem(415);
        row_09_text_plain:
            send("POST /mcp\n{H}\ncontent-type: text/plain\n\n{PING}") => problem(415);
        row_09_form:
            send("POST /mcp\n{H}\ncontent-type: application/x-www-form-urlencoded\n\n{PING}")
                => problem(415);
        row_09_jsonp:
            send("POST /mcp\n{H}\ncontent-type: application/jsonp\n\n{PING}") => problem(415);
        row_09_json_patch:
            send("POST /mcp\n{H}\ncontent-type: application/json-patch+json\n\n{PING}")
                => problem(415);
        row_09_latin_1: send("POST /mcp\n{H}\n{J}; charset=latin1\n\n{PING}") => problem(415);
        row_09_charset_with_white_space:
            send("POST /mcp\n{H}\n{J} ; charset = latin1\n\n{PING}") => problem(415);
        row_09_gzip: send("{POST}\ncontent-encoding: gzip\n\n{PING}") => problem(415);
        row_09_utf_8_in_any_spelling_passes:
            send("POST /mcp\n{H}\ncontent-type: Application/JSON ; Charset=\"UTF-8\"\n\
                  content-encoding: identity\n{S}\n\n{PING}")
                => passes();
        row_09_ascii_passes:
            send("POST /mcp\n{H}\n{J};charset=us-ascii\n{S}\n\n{PING}") => passes();
    }
}
