"""Checks that no crate that users build needs a newer Rust than Cargo.toml promises."""

import json
import subprocess
import sys

metadata = json.loads(
    subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--locked"])
)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}


def version(package):
    numbers = [int(number) for number in (package["rust_version"] or "1.0").split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


root = next(p for p in metadata["packages"] if p["name"] == "mcp-session-guard")
promised = version(root)
reached, waiting = set(), [root["id"]]
while waiting:
    node = waiting.pop()
    if node in reached:
        continue
    reached.add(node)
    for dependency in nodes[node]["deps"]:
        if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
            waiting.append(dependency["pkg"])

newer = [packages[node] for node in reached if version(packages[node]) > promised]
for package in newer:
    print(f"{package['name']} {package['version']} needs Rust {package['rust_version']}")
newest = max((packages[node] for node in reached if node != root["id"]), key=version)
print(
    f"{len(reached) - 1} dependencies; the newest Rust is needed by"
    f" {newest['name']} {newest['version']}: {newest['rust_version']}"
)
sys.exit(bool(newer))
