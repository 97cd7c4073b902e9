"""Checks that a module imports only modules of lower floors.

    python3 .ci/imports.py             checks src/, unit tests excepted
    python3 .ci/imports.py --self-test seeds each form of a violation, which the check must find
"""

import re
import sys
from pathlib import Path

FLOORS = [
    ["sync", "log", "promises"],
    ["unwind"],
    ["refusal"],
    ["protocol", "store"],
    ["session"],
    ["observe", "extract", "store_sync"],
    ["sessions", "era_split"],
    ["guard"],
    ["builder"],
    ["cors"],
    ["lib"],
]
FLOOR = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}


def without_tests(text):
    """The code alone: no comments, no strings, and nothing of `#[cfg(test)]` modules, which stand last."""
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
    return re.split(r"#\[cfg\(test\)\]\s*(?:mod|impl)\b", text)[0]


def paths(text):
    """What follows `crate::`, in a list too, as the names of modules."""
    for start in re.finditer(r"\bcrate::", text):
        rest = text[start.end() :]
        if rest.startswith("{"):
            depth, end = 0, 0
            for end, letter in enumerate(rest):
                depth += (letter == "{") - (letter == "}")
                if depth == 0:
                    break
            inside = re.sub(r"\{[^{}]*\}", "", re.sub(r"\{[^{}]*\}", "", rest[1:end]))
            yield from (part.strip().split("::")[0] for part in inside.split(","))
        else:
            yield re.match(r"\w*", rest)[0]


def climbs(text, depth):
    """Modules at the top that `super::super::..` reaches from a file that is so deep."""
    for chain in re.finditer(r"\b((?:super::)+)(\w+)", text):
        if chain[1].count("super::") >= depth:
            yield chain[2]


def exported(lib):
    """The module behind each name that lib.rs exports: a re-export does not launder an import."""
    uses = re.findall(r"pub use crate::(\w+)::([\w:]*)(\{[^}]*\}|)", lib)
    return {
        name: module
        for module, path, names in uses
        for name in re.findall(r"\w+", names or path.split("::")[-1])
    }


def violations(files):
    """Pairs of a file and a module that is not below the file's own."""
    found = set()
    modules = exported(files.get("lib.rs", ""))
    for name, text in files.items():
        if re.search(r"(^|/)tests(\.rs|/)", name):
            continue
        own = name.removesuffix(".rs").split("/")[0]
        depth = name.count("/") + (not name.endswith("mod.rs"))
        code = without_tests(text)
        imports = {modules.get(name, name) for name in (*paths(code), *climbs(code, depth))}
        for module in imports - {own}:
            if module in FLOOR and FLOOR[module] >= FLOOR.get(own, len(FLOORS)):
                found.add((name, module))
    return found


LIB = "pub use crate::guard::{ResponseFuture, SessionGuard};\npub use crate::refusal::Refusal;"


def self_test():
    for name, text in {
        "session/events.rs": "use crate::guard::Settings;",
        "session/owner.rs": "use crate::{guard::Settings, sync};",
        "session/id.rs": "fn id() { crate::observe::record(None, None) }",
        "session/entry.rs": "use crate::store_sync::StoreSync;",
        "store/memory.rs": "use super::super::session::Entry;",
        "protocol/era.rs": "pub(crate) use crate::session::Entry;",
        "refusal.rs": "use super::guard::Settings;",
        "observe/mod.rs": "use crate::extract::McpMessage;",
        "session/drain.rs": "use crate::SessionGuard;",
        "session/state.rs": "fn guard() -> crate::ResponseFuture { todo!() }",
    }.items():
        assert violations({name: text, "lib.rs": LIB}), f"{name}: {text}"
    for name, text in {
        "guard/body.rs": "use crate::session::Entry;",
        "session/entry.rs": "// crate::guard\n#[cfg(test)]\nmod tests { use crate::guard::Settings; }",
        "session/entry/in_flight.rs": "use super::super::clock;",
        "session/handle.rs": "use crate::Refusal;",
    }.items():
        assert not violations({name: text, "lib.rs": LIB}), f"{name}: {text}"


if "--self-test" in sys.argv:
    self_test()
    print("each form of a violation is found")
    sys.exit()
source = Path(__file__).parent.parent / "src"
found = violations({str(file.relative_to(source)): file.read_text() for file in source.rglob("*.rs")})
for name, module in sorted(found):
    print(f"src/{name} imports {module}, which is not below it")
print(f"{len(found)} imports run upwards")
sys.exit(bool(found))
