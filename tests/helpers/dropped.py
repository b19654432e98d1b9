"""One job in the sandbox with some of its protections taken away, in a process of its own: `dropped.py '{"job": ...,
"drop": [...]}'` prints the result as JSON. For tests that show what each protection is good for.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from whet.sandbox import warden
from whet.sandbox.bubblewrap import command
from whet.sandbox.jobs import work

_TAKES = {"--seccomp": 1, "--size": 1}  # how many arguments go with an option


def main() -> None:
    told = json.loads(sys.argv[1])
    ctypes.CDLL(None).prctl(36, 1)  # as the warden's main does
    place = warden.Warden()
    drop(place, told["drop"])
    started = time.monotonic()
    replies = [work(job, place.run)["results"][0]._asdict() for job in told["jobs"]]
    print(json.dumps({"results": replies, "took": time.monotonic() - started}))
    place.close()


def drop(place: warden.Warden, names: list[str]) -> None:
    patched: Any = warden

    def weaker(*arguments: Any) -> list[str]:
        line = command(*arguments)
        for name in names:
            if name.startswith("--") and " " not in name:
                while name in line:
                    at = line.index(name)
                    del line[at : at + 1 + _TAKES.get(name, 0)]
            elif name.startswith("--"):  # with its arguments
                words = name.split()
                at = next(i for i in range(len(line)) if line[i : i + len(words)] == words)
                del line[at : at + len(words)]
            elif name.startswith("show "):
                folder = Path(name.split()[1])
                parents = [w for p in reversed(folder.parents[:-1]) for w in ("--perms", "0755", "--dir", str(p))]
                line[1:1] = [*parents, "--bind", str(folder), str(folder)]
            elif name == "prlimit":
                at = line.index("/usr/bin/prlimit")
                del line[at : at + 3]
            elif name == "user" and os.geteuid() == 0:
                at = line.index("/usr/bin/setpriv")
                del line[at : line.index("--", at) + 1]
                line[1:1] = ["--cap-add", "ALL"]
                at = line.index("--cap-drop")
                del line[at : at + 2]
        return line

    patched.command = weaker
    set_limit = warden.resource.prlimit
    ignored = {getattr(warden.resource, name) for name in names if name.startswith("RLIMIT_")}
    patched.resource.prlimit = lambda pid, kind, pair: None if kind in ignored else set_limit(pid, kind, pair)
    watch = warden._Started.watch
    until, most = "wall" in names, "output" in names
    patched._Started.watch = lambda self, stdin, end, caps: watch(
        self, stdin, end + 60 * until, (10**9, 10**9) if most else caps
    )
    if "watch" in names:
        patched._Started._look = lambda self: ""
    if "group" in names:
        place.close()
        place.group = None


if __name__ == "__main__":
    main()
