"""The command line of bubblewrap for one run: what it sees, and as whom it runs.

It sees /usr and the Python it may need, read-only; /box, read-only, with its own files; /scratch, its working folder,
with a size; a /proc and a /dev of its own. It has no network, no capabilities, no system calls that a program has no
need of, and no environment but what stands here.

Run by root it becomes another user, since root's own processes are not counted; by anybody else it stays that user in a
user namespace.
"""

from __future__ import annotations

import os
import shutil
import sys
from functools import lru_cache
from pathlib import Path

from whet.sandbox.limits import Limits, SandboxError

BOX, SCRATCH = "/box", "/scratch"
PYTHON = os.path.realpath(sys.executable)  # the interpreter itself: a shim in front of it costs more than the run
_USERS = range(61_184, 65_520)  # numbers that systemd sets aside for users who exist only while something runs
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")  # on most systems links into /usr
_CONFIGURED = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/R", "/etc/fonts")
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": SCRATCH,
    "TMPDIR": SCRATCH,
    "LC_ALL": "C.UTF-8",  # decimals have a point everywhere
    "PYTHONHASHSEED": "0",  # the same output in every run
    "PYTHONDONTWRITEBYTECODE": "1",
}


@lru_cache(maxsize=1)
def found() -> str:
    """The path of bubblewrap. SandboxError if there is none: nothing is ever run without it."""
    if not sys.platform.startswith("linux"):
        raise SandboxError(
            f"the sandbox needs Linux and bubblewrap, this is {sys.platform}; name an engine of "
            "containers instead, WHET_SANDBOX=docker"
        )
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxError(
            "the sandbox needs bubblewrap, and there is no bwrap on the PATH; install it, on Debian and Ubuntu with: "
            "apt-get install bubblewrap. Code is never run without it"
        )
    return path


def user(place: int) -> int | None:
    """As whom a run runs if we are root; each `place`, the number of the process that starts it, has a user of its own,
    so that processes are counted apart."""
    return _USERS[place % len(_USERS)] if os.geteuid() == 0 else None


def command(
    argv: list[str],
    files: dict[str, tuple[int, bool]],
    status: int,
    seccomp: int,
    gate: int,
    limits: Limits,
    place: int,
) -> list[str]:
    """`argv` in the sandbox. `files`: {name: (a descriptor with its bytes, may be executed?)}, put into /box. Further
    descriptors: on `status` bubblewrap tells how far it came, from `seccomp` it takes the filter of system calls, from
    `gate` it reads before it starts the program."""
    me = user(place)
    line = [found(), "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    line += ["--unshare-uts", "--hostname", "box", "--unshare-cgroup-try"]
    if me is None:
        line += ["--unshare-user", "--cap-drop", "ALL"]
    else:
        line += ["--cap-drop", "ALL"]
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):  # given up by setpriv
            line += ["--cap-add", capability]
    line += ["--ro-bind", "/usr", "/usr"]
    for path in _SYSTEM:
        if os.path.islink(path):
            line += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            line += ["--ro-bind", path, path]
    for path in _prefix():
        for parent in reversed(Path(path).parents[:-1]):
            line += ["--perms", "0755", "--dir", str(parent)]
        line += ["--ro-bind", path, path]
    for path in _packages():
        line += ["--tmpfs", path, "--remount-ro", path]  # the standard library alone, without what .pth files start
    line += ["--perms", "0755", "--dir", "/etc"]
    for path in _CONFIGURED:
        line += ["--ro-bind-try", path, path]
    own = ["--perms", "1777", "--size", str(limits.scratch), "--tmpfs"]
    line += ["--proc", "/proc", "--dev", "/dev", *own, "/dev/shm", "--remount-ro", "/dev", *own, SCRATCH]
    line += ["--symlink", SCRATCH, "/tmp", "--dir", BOX]
    for name, (handle, executable) in files.items():
        line += ["--perms", "0555" if executable else "0444", "--file", str(handle), f"{BOX}/{name}"]
    line += ["--remount-ro", "/", "--chdir", SCRATCH, "--clearenv"]
    for name, value in ENVIRONMENT.items():
        line += ["--setenv", name, value]
    descriptors = ["--json-status-fd", str(status), "--seccomp", str(seccomp), "--block-fd", str(gate)]
    return [*line, *descriptors, "--", *_as(me, limits), *argv]


def _as(me: int | None, limits: Limits) -> list[str]:
    """What stands between bubblewrap and the program: the last steps that only the inside can take."""
    if me is None:  # counted within the user namespace, which is new; bubblewrap's own one is there, too
        return ["/usr/bin/prlimit", f"--nproc={limits.processes + 1}", "--"]
    who = [f"--reuid={me}", f"--regid={me}", "--clear-groups"]
    return ["/usr/bin/setpriv", *who, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--"]


def _prefix() -> list[str]:
    """Where Python lives, if that is not in /usr."""
    prefix = Path(sys.base_prefix).resolve()
    return [] if prefix.is_relative_to("/usr") else [str(prefix)]


def _packages() -> list[str]:
    """The folders of installed packages that this Python would look into."""
    library = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folders = [Path(prefix) / "lib" / library / "site-packages" for prefix in _prefix()]
    if not folders:  # the system's own
        folders = [Path("/usr/local/lib") / library / "dist-packages", Path("/usr/lib/python3/dist-packages")]
    return [str(folder) for folder in folders if folder.is_dir()]
