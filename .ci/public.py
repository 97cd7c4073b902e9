"""Checks the public API of all features.

    python3 .ci/public.py            fails where the API is not that of tests/public-api.txt, or a type of another
                                     crate is public that the page "Versions" of the documentation does not name
    python3 .ci/public.py --update   writes tests/public-api.txt
"""

import difflib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

LIST = Path("tests/public-api.txt")

STANDARD = {"alloc", "core", "std"}
# What `src/lib.rs` names under "Versions": an item, or a crate with all that is in it.
ALLOWED = {
    "axum_core",  # axum's own types
    "bytes",
    "futures_core::stream::Stream",
    "http",
    "http_body",
    "pin_project_lite::__private::PinnedFieldsOf",  # its macro's, in a bound that no program can name
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


def signature(item):
    """What follows a function's name in the source, on one line."""
    lines = Path(item["span"]["filename"]).read_text(encoding="utf-8").splitlines(keepends=True)
    start = re.compile(rf"fn {item['name']}\b")
    # What a macro makes has the place of its call, above which it is written in the same file.
    text = "".join(lines[item["span"]["begin"][0] - 1 : item["span"]["end"][0]])
    text = (start.split(text, 1)[1:] + start.split("".join(lines), 1)[1:])[0].split("{")[0].split(";")[0]
    text = re.sub(r"\s+", " ", text).replace("mut self", "self")
    return re.sub(r",? \)", ")", text.replace("( ", "(")).strip(" ,")


def api(identity, path=""):
    """One line for each public item at this path, itself included."""
    item = crate["index"].get(str(identity))
    if not item or item["visibility"] not in ("public", "default"):
        return
    [(kind, inner)] = item["inner"].items()
    here = f"{path}::{item['name']}".removeprefix("::")
    if kind == "use":
        used = crate["index"].get(str(inner["id"]))
        inside = used["inner"]["module"]["items"] if used and inner["is_glob"] else [inner["id"]]
        parts = [(part, path) for part in inside]
    elif kind == "impl":
        if inner["trait"] and is_written(item) and inner["trait"]["path"] != "StructuralPartialEq":
            yield f"impl {inner['trait']['path']} for {path}"
        parts = [] if inner["trait"] else [(part, path) for part in inner["items"]]
    else:
        is_async = kind == "function" and inner["header"]["is_async"]
        yield f"{'async ' * is_async}{kind} {here}{signature(item) if kind == 'function' else ''}"
        shape = inner.get("kind") if isinstance(inner, dict) else None
        fields = shape.get("plain", shape.get("struct", {})).get("fields", []) if isinstance(shape, dict) else []
        names = ("items", "variants", "impls")
        parts = [(part, here) for part in [*fields, *(part for name in names for part in inner.get(name, []))]]
    for part, where in parts:
        yield from api(part, where)


def place(line):
    """By path; what a type implements stands behind it."""
    return re.sub(r"^(async )?\w+ (.* for )?", "", line), line.startswith("impl "), line


name = crate["index"][str(crate["root"])]["name"]
public = {line.replace(f"{name}::", "") for line in api(crate["root"])} - {f"module {name}"}
public = sorted(public, key=place)
if "--update" in sys.argv:
    LIST.write_text("\n".join(public) + "\n", encoding="utf-8")
listed = LIST.read_text(encoding="utf-8").splitlines()
differences = list(difflib.unified_diff(listed, public, str(LIST), "the public API", lineterm="", n=0))
if differences:
    print("\n".join(differences))
    print("The public API has changed. If that is meant: python3 .ci/public.py --update")

allowed_of = {path: {path, path.split("::")[0]} & (ALLOWED | STANDARD) for path in seen}
unnamed = sorted(path for path, allowed in allowed_of.items() if not allowed)
for path in unnamed:
    print(f"{path} is public in {seen[path]}")
unused = sorted(ALLOWED.difference(*allowed_of.values()))
for name in unused:
    print(f"{name} is allowed, but not public")
print(f"{len(seen)} items of other crates are public, of {len(ALLOWED)} crates and names beside std")
print(f"{len(public)} items of this one")
sys.exit(bool(unnamed or unused or differences))
