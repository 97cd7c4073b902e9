//! Rows under options that change a limit or let more requests pass.

use super::check::*;
use mcp_session_guard::SessionGuardBuilder;

rows! {
    under(|guard| guard.body_limit(39)) {
        row_10_a_body_streamed_over_the_limit_is_413:
            send("{POST}\n\n{PING}") => problem(413).with("connection: close");
        row_10_a_413_has_no_connection_header_on_http_2:
            send("POST http://localhost/mcp HTTP/2\n{J}\n\n{PING}") => problem(413);
    }

    under(|guard| guard.body_limit(151)) {
        row_10_a_body_declared_at_the_limit_passes:
            send("{POST}\ncontent-length: 151\n\n{INITIALIZE}") => passes();
        row_10_a_body_at_the_limit_passes: send("{POST}\n\n{INITIALIZE}") => passes();
    }

    under(|guard| guard.json_depth(63)) {
        row_13_a_message_that_is_too_deep_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","method":"x","params":{deep63},"id":7}"#)
                => rpc(400, -32600, ANY, "7");
    }

    under(SessionGuardBuilder::accept_lone_surrogates) {
        row_13_a_lone_surrogate_in_the_id_is_400:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":"\ud83d","method":"ping"}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_the_option_passes_a_lone_surrogate:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x","arguments":{"\uDE00":"\ud83d"}}}"#)
                => passes();
        row_13_the_option_passes_a_response_with_a_lone_surrogate:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":3,"result":{"name":"\ud83d"}}"#)
                => passes();
        row_13_the_option_lets_a_lone_surrogate_open_a_session:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"clientInfo":{"title":"\ud83d"}}}"#)
                => passes();
        row_13_the_option_passes_no_method_with_a_lone_surrogate:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":3,"method":"x\ud83d"}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_the_option_passes_no_name_with_a_lone_surrogate:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"\ud83d"}}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_the_option_passes_no_uri_with_a_lone_surrogate:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"\ud83d"}}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_the_option_passes_no_claim_with_a_lone_surrogate:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":3,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"\ud83d"}}}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_the_option_passes_no_protocol_version_with_a_lone_surrogate:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":3,"method":"initialize","params":{"protocolVersion":"\ud83d"}}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_the_option_passes_no_client_name_with_a_lone_surrogate:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":3,"method":"initialize","params":{"clientInfo":{"name":"\ud83d"}}}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_the_option_passes_no_client_version_with_a_lone_surrogate:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":3,"method":"initialize","params":{"clientInfo":{"version":"\ud83d"}}}"#)
                => rpc(400, -32600, ANY, "3");
    }

    under(SessionGuardBuilder::reopen_stale_sessions) {
        row_19_the_option_opens_a_new_session:
            send("{POST}\nmcp-session-id: {ended}\n\n{INITIALIZE}") => passes();
        row_21_another_message_with_a_stale_id_is_404:
            send("{POST}\nmcp-session-id: {ended}\n\n{PING}")
                => rpc(404, -32600, NOT_FOUND, "null");
    }
}
