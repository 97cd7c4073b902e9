//! Rows 10 to 14, under the default settings: decided by the body of a POST.

use super::check::*;

rows! {
    under(|guard| guard) {
        row_10_a_body_declared_over_the_limit_is_413:
            send("{POST}\ncontent-length: 4194305\n\n{PING}")
                => problem(413).with("connection: close");
        row_11_a_body_that_stalls_is_408:
            send("{POST}").streams(stalls) => problem(408).with("connection: close");
        row_11_a_body_that_breaks_off_is_400: send("{POST}").streams(breaks_off) => problem(400);
        row_12_an_empty_body_is_400: send("{POST}\n\n") => rpc(400, -32700, ANY, "null");
        row_12_malformed_json_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":1,"#) => rpc(400, -32700, ANY, "null");
        row_12_a_byte_order_mark_is_400:
            send("{POST}\n\n\u{feff}{PING}") => rpc(400, -32700, ANY, "null");
        row_12_trailing_data_is_400:
            send("{POST}\n\n{PING}{PING}") => rpc(400, -32700, ANY, "null");
        row_13_a_batch_is_400: send("{POST}\n{S}\n\n[{PING}]") => rpc(400, -32600, ANY, "null");
        row_13_a_batch_with_initialize_is_400:
            send("{POST}\n\n[{INITIALIZE},{PING}]") => rpc(400, -32600, ANY, "null");
        row_13_a_message_that_is_a_string_is_400:
            send("{POST}").json(r#""ping""#) => rpc(400, -32600, ANY, "null");
        row_13_a_message_at_the_depth_limit_passes:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","method":"x","params":{deep63},"id":7}"#)
                => passes();
        row_13_jsonrpc_1_0_is_400:
            send("{POST}").json(r#"{"jsonrpc":"1.0","id":3,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_a_message_without_jsonrpc_is_400:
            send("{POST}").json(r#"{"id":3,"method":"ping"}"#) => rpc(400, -32600, ANY, "3");
        row_13_a_method_that_is_not_a_string_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":3,"method":4}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_a_method_beside_a_result_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":3,"method":"ping","result":{}}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_a_result_beside_an_error_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":3,"result":{},"error":{}}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_a_message_without_method_result_and_error_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":"three"}"#)
                => rpc(400, -32600, ANY, "\"three\"");
        row_13_a_null_id_on_a_request_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_a_fractional_id_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "1.0");
        row_13_an_exponent_id_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":1e2,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "1e2");
        row_13_the_id_2_to_the_64_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "18446744073709551616");
        row_13_an_id_below_minus_2_to_the_63_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":-9223372036854775809,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "-9223372036854775809");
        row_13_the_id_minus_zero_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":-0,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "-0");
        row_13_a_number_of_256_digits_is_echoed:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":{n256},"method":"ping"}"#)
                => rpc(400, -32600, ANY, "{n256}");
        row_13_a_number_of_257_digits_is_not_echoed:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":{n256}7,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_a_number_that_stands_twice_is_not_echoed:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":1.0,"id":1.0,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_a_numeric_id_of_a_response_is_not_echoed:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":1.0,"result":{}}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_an_object_id_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_an_id_of_257_bytes_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":"{x256}y","method":"ping"}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_an_id_of_256_bytes_passes:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":"{x256}","method":"ping"}"#)
                => passes();
        row_13_the_largest_ids_pass:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":-9007199254740991,"method":"ping"}"#)
                => passes();
        row_13_an_integer_beyond_2_to_the_53_passes:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}"#)
                => passes();
        row_13_the_least_integer_passes:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":-9223372036854775808,"method":"ping"}"#)
                => passes();
        row_13_the_largest_signed_integer_passes:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":9223372036854775807,"method":"ping"}"#)
                => passes();
        row_13_the_largest_integer_passes:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"ping"}"#)
                => passes();
        row_13_a_large_id_is_echoed:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"ping"}"#)
                => rpc(400, -32600, MISSING, "18446744073709551615");
        row_13_a_large_id_opens_a_session:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"initialize"}"#)
                => passes();
        row_13_a_null_error_beside_a_result_passes:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":3,"result":{},"error":null}"#)
                => passes();
        row_13_a_null_result_beside_an_error_passes:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":3,"result":null,"error":{"code":1,"message":"x"}}"#)
                => passes();
        row_13_a_null_result_beside_an_error_without_id_passes:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":null,"result":null,"error":{"code":1,"message":"x"}}"#)
                => passes();
        row_13_a_null_result_passes:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":3,"result":null}"#) => passes();
        row_13_a_null_result_without_id_is_400:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","result":null,"error":null}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_a_null_error_alone_is_400:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":3,"error":null}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_a_null_result_beside_an_error_that_is_not_an_object_is_400:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":3,"result":null,"error":"x"}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_a_method_beside_a_null_error_is_400:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":3,"method":"ping","error":null}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_a_method_beside_a_null_result_is_400:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":3,"method":"ping","result":null}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_a_method_beside_a_null_result_and_a_null_error_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":3,"result":null,"error":null,"method":"initialize"}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_a_lone_surrogate_is_400:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x","arguments":{"text":"\ud83d"}}}"#)
                => rpc(400, -32600, ANY, "3");
        row_13_a_lone_surrogate_in_a_key_is_400:
            send("{POST}\n{S}")
                .json(r#"{"params":{"arguments":{"\uDE00":1}},"jsonrpc":"2.0","id":"a","method":"tools/call"}"#)
                => rpc(400, -32600, ANY, "\"a\"");
        row_13_a_lone_surrogate_in_initialize_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"x":"\ude00\ud83d"}}"#)
                => rpc(400, -32600, ANY, "0");
        row_13_a_lone_surrogate_in_a_notification_is_400:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","method":"notifications/x","params":["\ud83d"]}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_a_lone_surrogate_in_a_response_is_400:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":3,"result":{"text":"\ud83d"}}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_a_surrogate_pair_passes:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":"\ud83d\ude00","method":"ping","params":["\uD83D\uDE00"]}"#)
                => passes();
        row_13_malformed_json_wins_over_a_lone_surrogate:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":3,"method":"\ud83d","params":}"#)
                => rpc(400, -32700, ANY, "null");
        row_13_a_result_without_id_is_400:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","result":{}}"#)
                => rpc(400, -32600, ANY, "null");
        row_13_an_error_without_id_passes:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","error":{"code":1,"message":"x"}}"#)
                => passes();
        row_13_params_of_any_type_pass:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1,"x"]}"#)
                => passes();
        row_13_the_id_is_found_after_params:
            send("{POST}")
                .json(r#"{"method":"tools/call","params":{"name":"x"},"jsonrpc":"2.0","id":"a\u0062"}"#)
                => rpc(400, -32600, MISSING, "\"a\\u0062\"");
        row_14_a_duplicate_method_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":5,"method":"initialize","method":"ping"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_duplicate_id_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":5,"id":5,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "null");
        row_14_a_duplicate_of_an_unknown_key_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":5,"x":1,"x":2,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_an_escaped_duplicate_method_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"ping","\u006dethod":"initialize"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_duplicate_name_in_params_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"a","name":"b"}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_duplicate_uri_in_params_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"x","params":{"uri":"a","uri":"b"}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_duplicate_meta_in_params_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"x","params":{"_meta":{},"_meta":{}}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_duplicate_protocol_version_in_params_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"initialize","params":{"protocolVersion":"1","protocolVersion":"2"}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_duplicate_client_info_in_params_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"initialize","params":{"clientInfo":{},"clientInfo":{}}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_duplicate_version_key_in_meta_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"a","io.modelcontextprotocol/protocolVersion":"b"}}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_method_in_another_case_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":5,"method":"ping","Method":"initialize"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_an_id_in_another_case_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","ID":5,"id":6,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "null");
        row_14_params_with_a_long_s_are_400:
            send("{POST}")
                .json("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"param\u{17f}\":{}}")
                => rpc(400, -32600, ANY, "5");
        row_14_a_key_that_only_serde_json_understands_is_400:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"x","params":{"$serde_json::private::RawValue":"{}"}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_duplicate_arguments_in_params_are_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"x","params":{"arguments":{},"\u0061rguments":{}}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_method_that_ends_at_nul_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method\u0000":"tools/call","method":"initialize"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_method_that_ends_at_nul_and_no_other_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":5,"method\u0000":"tools/call"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_an_escaped_method_in_another_case_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"ping","\u004dethod":"initialize"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_an_escaped_long_s_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":5,"method":"ping","param\u017f":{}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_params_that_end_at_nul_in_another_case_are_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id":5,"method":"ping","PARAMS\u0000x":{}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_an_id_that_ends_at_nul_is_400:
            send("{POST}").json(r#"{"jsonrpc":"2.0","id\u0000":6,"id":5,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "null");
        row_14_an_id_that_ends_at_nul_and_no_other_is_400:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id\u0000":6,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "null");
        row_14_a_result_that_ends_at_nul_is_400:
            send("{POST}\n{S}").json(r#"{"jsonrpc":"2.0","id":5,"result":{},"result\u0000":{}}"#)
                => rpc(400, -32600, ANY, "null");
        row_14_a_name_in_another_case_is_400:
            send("{POST}")
                .json(r#"{"params":{"Name":"rm_rf"},"jsonrpc":"2.0","id":5,"method":"tools/call"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_name_that_ends_at_nul_is_400:
            send("{POST}")
                .json(r#"{"params":{"name\u0000":"rm_rf"},"jsonrpc":"2.0","id":5,"method":"prompts/get"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_arguments_in_another_case_are_400:
            send("{POST}")
                .json(r#"{"params":{"argumentſ":{}},"jsonrpc":"2.0","id":5,"method":"tools/call"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_uri_in_another_case_is_400:
            send("{POST}")
                .json(r#"{"params":{"URI":"x"},"jsonrpc":"2.0","id":5,"method":"resources/subscribe"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_client_info_that_ends_at_nul_is_400:
            send("{POST}")
                .json(r#"{"params":{"clientInfo\u0000":{}},"jsonrpc":"2.0","id":5,"method":"initialize"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_protocol_version_in_another_case_is_400:
            send("{POST}")
                .json(r#"{"params":{"protocolversion":"x"},"jsonrpc":"2.0","id":5,"method":"initialize"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_meta_in_another_case_is_400:
            send("{POST}")
                .json(r#"{"params":{"_Meta":{}},"jsonrpc":"2.0","id":5,"method":"notifications/x"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_meta_that_ends_at_nul_is_400:
            send("{POST}")
                .json(r#"{"params":{"_meta\u0000x":{}},"jsonrpc":"2.0","id":5,"method":"ping"}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_version_key_in_another_case_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"x","params":{"_meta":{"io.modelcontextprotocol/ProtocolVersion":"2026-07-28"}}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_a_version_key_that_ends_at_nul_is_400:
            send("{POST}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion\u0000":"2026-07-28"}}}"#)
                => rpc(400, -32600, ANY, "5");
        row_14_lookalikes_that_the_method_does_not_know_pass:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"logging/setLevel","params":{"Name":1,"ARGUMENTS":2,"URI":3,"clientinfo":4,"protocolVersion\u0000":5}}"#)
                => passes();
        row_14_lookalikes_inside_arguments_pass:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"x","arguments":{"name":1,"Name":2,"method\u0000":3}}}"#)
                => passes();
        row_14_keys_that_only_begin_like_judged_keys_pass:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"ping","methods":1,"method ":2,"\u0000method":3}"#)
                => passes();
        row_14_other_duplicates_pass:
            send("{POST}\n{S}")
                .json(r#"{"jsonrpc":"2.0","id":5,"method":"x","params":{"arguments":{"name":1,"name":2}}}"#)
                => passes();
    }
}
