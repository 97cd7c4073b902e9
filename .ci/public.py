"""No type of another crate may be public that the page "Versions" of the crate's documentation does not name."""

import json
import os
import subprocess
import sys

STANDARD = {"alloc", "core", "std"}
# What `src/lib.rs` names under "Versions": an item, or a crate with all that is in it.
ALLOWED = {
    "axum_core",  # axum's own types
    "bytes",
    "futures_core::stream::Stream",
    "http",
    "http_body",
    "pin_project_lite::__private::PinnedFieldsOf",  # its macro's, in a bound that nobody can name
    "tokio::time::instant::Instant",
    "tower_http::cors::CorsLayer",
    "tower_layer",
    "tower_service",
}

# rustdoc writes JSON for nightly alone; nothing that is built depends on it.
subprocess.run(
    "cargo rustdoc --quiet --package mcp-session-guard --lib --all-features --locked"
    " -- -Z unstable-options --output-format json --cap-lints allow".split(),
    env=os.environ | {"RUSTC_BOOTSTRAP": "1"},
    check=True,
)
target = json.loads(
    subprocess.check_output("cargo metadata --format-version 1 --no-deps --locked".split())
)["target_directory"]
with open(f"{target}/doc/mcp_session_guard.json", encoding="utf-8") as file:
    crate = json.load(file)

seen = {}


def visit(value, where):
    """Every path to an item, however deep in a signature, and what is exported anew."""
    if isinstance(value, list):
        for part in value:
            visit(part, where)
    elif isinstance(value, dict):
        is_path = "path" in value or "source" in value
        item = crate["paths"].get(str(value.get("id"))) if is_path else None
        if item and item["crate_id"] != 0:
            seen.setdefault("::".join(item["path"]), where)
        for part in value.values():
            visit(part, where)


def is_written(item):
    """Not one that the compiler or another crate's blanket implementation adds."""
    implementation = item["inner"].get("impl", {})
    is_added = implementation.get("is_synthetic") or implementation.get("blanket_impl")
    return item["crate_id"] == 0 and not is_added


for item in crate["index"].values():
    if is_written(item):
        visit(item["inner"], item["name"] or "an implementation")

allowed_of = {path: {path, path.split("::")[0]} & (ALLOWED | STANDARD) for path in seen}
unnamed = sorted(path for path, allowed in allowed_of.items() if not allowed)
for path in unnamed:
    print(f"{path} is public in {seen[path]}")
unused = sorted(ALLOWED.difference(*allowed_of.values()))
for name in unused:
    print(f"{name} is allowed, but not public")
print(f"{len(seen)} items of other crates are public, of {len(ALLOWED)} crates and names beside std")
sys.exit(bool(unnamed or unused))
