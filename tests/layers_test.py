#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes point one way: reads every #include "room/..." line and fails on one that points up."""
import os
import pathlib
import re
import sys

MAY_USE = {
    "core": set(),
    "auth": {"core"},
    "schema": {"core"},
    "engine": {"core"},
    "store": {"engine", "schema", "core"},
    "net": {"core"},
    "server": {"auth", "store", "schema", "engine", "net", "core"},
    "client": {"auth", "core"},
    "admin": {"client", "auth", "store", "engine", "core"},  # verify opens a data folder
    "bench": {"client", "auth", "engine", "core", "store", "server"},  # nothing includes it
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z]+)/([^"]+)"')


def violations(root):
    for room, allowed in sorted(MAY_USE.items()):
        for path in sorted((root / room).rglob("*")):
            if path.suffix not in (".c", ".h", ".cc", ".hh"):
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match or match.group(1) not in MAY_USE or match.group(1) == room:
                    continue
                if match.group(1) not in allowed:
                    yield f"{path.relative_to(root)}:{number}: {room} may not include {match.group(1)}"


def main():
    root = pathlib.Path(os.environ.get("WFL_SOURCE_ROOT", pathlib.Path(__file__).parent.parent))
    found = list(violations(root))
    print("TAP version 13\n1..1")
    print(("not ok" if found else "ok") + " 1 - includes point down only")
    for line in found:
        print("# " + line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
