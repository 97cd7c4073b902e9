"""Checks that the library compiles without warnings with no feature, with each feature, and with each pair."""

import itertools
import json
import subprocess
import sys

metadata = json.loads(
    subprocess.check_output("cargo metadata --format-version 1 --no-deps --locked".split())
)
root = next(p for p in metadata["packages"] if p["name"] == "mcp-session-guard")
# Features with an underscore are not for users.
features = [name for name in root["features"] if name != "default" and not name.startswith("_")]
sets = [chosen for size in range(3) for chosen in itertools.combinations(features, size)]
failed = []
for chosen in sets:
    name = ",".join(chosen)
    clippy = "cargo clippy --quiet --package mcp-session-guard --lib --locked --no-default-features"
    ran = subprocess.run([*clippy.split(), f"--features={name}", "--", "-D", "warnings"], check=False)
    if ran.returncode:
        failed.append(name)
        print(f"[{name}] FAILED")
print(f"{len(sets)} sets of the features {', '.join(features)}")
sys.exit(bool(failed))
