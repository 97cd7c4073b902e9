"""Prints what json.loads reads in messages: one in hex per input line, one JSON answer per line."""

import json
import sys

CLAIM = "io.modelcontextprotocol/protocolVersion"
# Accept integers of any length.
sys.set_int_max_str_digits(0)


def member(value, key):
    return value.get(key) if isinstance(value, dict) else None


def text(value):
    return value if isinstance(value, str) else None


def see(message):
    params = message.get("params")
    has_method, has_id = "method" in message, "id" in message
    return {
        "kind": ("Request" if has_id else "Notification") if has_method else "Response",
        "method": message.get("method"),
        "id": message.get("id"),
        "claim": text(member(member(params, "_meta"), CLAIM)),
        "name": text(member(params, "name")),
        "uri": text(member(params, "uri")),
    }


for line in sys.stdin:
    print(json.dumps(see(json.loads(bytes.fromhex(line)))), flush=True)
