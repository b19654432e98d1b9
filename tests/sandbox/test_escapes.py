"""What code in the sandbox may try. Each attempt fails, and succeeds once what prevents it is taken away: so it is the
protection that holds, and the attempt that is real. Attempts are bounded: a process or a tenth of the memory too many.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import dropped

import whet
from whet.sandbox.bubblewrap import PYTHON
from whet.sandbox.cgroups import Group
from whet.sandbox.limits import MIB

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
ROOT = os.geteuid() == 0
ROOM = Path(whet.__path__[0])
COUNTED = ["group", "watch", "RLIMIT_DATA"]  # whatever counts memory


def tried(code: str | list[str], drop: list[str] | None = None, **limits: Any) -> dict[str, Any]:
    """The result of the last of these snippets, with `took`, the seconds for all."""
    jobs = [
        {
            "files": {"main.py": text},
            "build": None,
            "artifact": "",
            "argv": [PYTHON, "/box/main.py"],
            "stdins": [""],
            "limits": {"seconds": 20.0, **limits},
            "build_limits": {},
        }
        for text in ([code] if isinstance(code, str) else code)
    ]
    told = json.dumps({"jobs": jobs, "drop": drop or []})
    ran = subprocess.run([sys.executable, dropped.__file__, told], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    reply = json.loads(ran.stdout)
    return {**reply["results"][-1], "took": reply["took"]}


def control_groups() -> bool:
    """Whether the kernel counts here; where it does not, the sandbox does by looking."""
    try:
        Group().remove()
    except OSError:
        return False
    return True


@pytest.fixture
def listener() -> Iterator[tuple[int, list[Any]]]:
    """A server on this machine: its port, and who has called."""
    called: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                called.append(server.accept()[1])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], called
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize("drop", [[], ["--unshare-net"]], ids=["kept", "dropped"])
def test_no_server_on_this_machine_can_be_reached(listener: tuple[int, list[Any]], drop: list[str]) -> None:
    port, called = listener
    result = tried(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\nprint('called')", drop)
    assert (result["stdout"] == "called\n") == bool(drop) == bool(called)


def test_no_name_is_resolved_and_no_other_machine_reached() -> None:
    result = tried("import socket\nprint(socket.if_nameindex())\nsocket.getaddrinfo('localhost.invalid', 80)")
    assert result["outcome"] == "error" and result["stdout"] == "[(1, 'lo')]\n"


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file that every user of this machine may read."""
    folder = Path("/var/tmp") / f"whet-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    (folder / "gold").write_text("42")
    (folder / "gold").chmod(0o666)
    folder.chmod(0o777)
    yield folder / "gold"
    shutil.rmtree(folder)


def test_files_of_the_user_are_not_there(secret: Path) -> None:
    code = f"import os\nos.symlink({str(secret)!r}, 'link')\nprint(open('link').read())"
    assert tried(code)["stderr"].strip().endswith("No such file or directory: 'link'")
    assert tried(code, [f"show {secret.parent}"])["stdout"] == "42\n"
    for path in (Path.home(), "/home", "/var", "/opt", "/srv", "/mnt", "/sys", "/etc/passwd", "/etc/shadow"):
        shown = tried(f"import os\np = {str(path)!r}\nprint(os.listdir(p) if os.path.isdir(p) else os.path.exists(p))")
        names = [name for name in (".pyenv", ".local", ".venv", "opt", "lib") if name in shown["stdout"]]
        assert shown["stdout"] in ("False\n", "[]\n") or names == [Path(PYTHON).relative_to(path).parts[0]]


def test_the_environment_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret-key")
    code = (
        "import os, glob\nfound = str(os.environ)\n"
        "for f in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try: found += open(f).read()\n    except OSError: pass\n"
        "print('secret-key' in found)"
    )
    assert tried(code)["stdout"] == "False\n"
    assert tried(code, ["environment"])["stdout"] == "False\n"  # not even handed to bubblewrap


def test_another_run_leaves_nothing_behind(secret: Path) -> None:
    write = "import os\nfor d in ('/scratch', '/tmp', '/dev/shm'): open(d + '/left', 'w').write('x')"
    read = "import os\nprint([os.path.exists(d + '/left') for d in ('/scratch', '/tmp', '/dev/shm')])"
    assert tried([write, read])["stdout"] == "[False, False, False]\n"


WRITE = """
import os
done = []
for path in ('/new', '/usr/new', '/box/new', '/box/main.py', '/etc/new', '/dev/new', '/bin/sh', PYTHON):
    try:
        open(path, 'a').close()
        done.append(path)
    except OSError:
        pass
print(done)
"""


def test_nothing_outside_scratch_can_be_written(secret: Path) -> None:
    code = WRITE.replace("PYTHON", repr(PYTHON))
    assert tried(code)["stdout"] == "[]\n"
    if ROOT:  # the user is a second line: without it the read-only view still holds, and the other way round
        assert tried(code, ["user"])["stdout"] == "[]\n"
        assert tried(code, ["--remount-ro /"])["stdout"] == "[]\n"
        assert "/new" in tried(code, ["user", "--remount-ro /"])["stdout"]
    assert tried(f"open({str(secret)!r}, 'w').write('x')", [f"show {secret.parent}"])["outcome"] == "ok"


FORK = """
import os, sys, time
made = 0
try:
    for _ in range(9):
        if os.fork() == 0:
            time.sleep(1)
            os._exit(0)
        made += 1
except OSError as error:
    pass
print(made)
"""


def test_processes_are_counted() -> None:
    assert tried(FORK, processes=8)["stdout"] == "7\n"  # and the first
    limit = "RLIMIT_NPROC" if ROOT else "prlimit"
    if control_groups():
        assert tried(FORK, [limit], processes=4)["stdout"] == "3\n"
    assert tried(FORK, ["group"], processes=4)["stdout"] == "3\n"
    assert tried(FORK, [limit, "group"], processes=4)["stdout"] == "9\n"


def test_threads_are_counted() -> None:
    code = "import threading, time\nfor _ in range(9): threading.Thread(target=time.sleep, args=(1,)).start()"
    assert tried(code, processes=8)["stderr"].strip().endswith("can't start new thread")


MEMORY = "x = bytearray(55 * 2**20)\nprint(len(x))"
SHARED = """
import os, time
for _ in range(2):
    if os.fork() == 0:
        x = bytearray(30 * 2**20)
        time.sleep(1)
        os._exit(0)
x = bytearray(10 * 2**20)
os.wait(), os.wait()
print('all')
"""


@pytest.mark.parametrize("code", [MEMORY, SHARED, "open('x', 'wb').write(bytes(55 * 2**20))"])
@pytest.mark.parametrize("counted", [True, False], ids=["by the kernel", "by looking"])
def test_memory_is_counted_over_all_processes_and_files(code: str, counted: bool) -> None:
    if counted and not control_groups():
        pytest.skip("no control group can be made here")
    if not counted and "open" in code:
        pytest.skip("files are counted by the kernel alone; there the size of the folder is the limit")
    drop = [] if counted else ["group"]
    assert tried(code, drop, memory=50 * MIB)["outcome"] == "out of memory"
    assert tried(code, [*drop, *COUNTED], memory=50 * MIB)["outcome"] == "ok"


@pytest.mark.parametrize("folder", ["/scratch", "/dev/shm", "/tmp"])
def test_the_disk_is_counted(folder: str) -> None:
    code = f"open('{folder}/x', 'wb').write(bytes(11 * 2**20))"
    assert tried(code, scratch=10 * MIB)["stderr"].strip().endswith("No space left on device")
    assert tried(code, ["--size"], scratch=10 * MIB)["outcome"] == "ok"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_is_counted(stream: str) -> None:
    code = f"import sys\nsys.{stream}.write('x' * 1001)"
    assert tried(code, output=1000)["outcome"] == "output too long"
    assert len(tried(code, output=1000)[stream]) == 1000
    assert tried(code, ["output"], output=1000)["outcome"] == "ok"
    assert tried(code.replace("1001", "1000"), output=1000)["outcome"] == "ok"


def test_time_is_counted_asleep_and_at_work() -> None:
    assert tried("import time\ntime.sleep(3)", seconds=0.5)["outcome"] == "timed out"
    assert tried("import time\ntime.sleep(3)", ["wall"], seconds=0.5)["outcome"] == "ok"
    busy = "import time\nwhile time.process_time() < 3: pass"
    assert tried(busy, ["wall"], seconds=1)["detail"] == "the CPU time was over"
    assert tried(busy, ["wall", "RLIMIT_CPU"], seconds=1)["outcome"] == "ok"
    ignoring = f"import signal\nsignal.signal({int(signal.SIGXCPU)}, signal.SIG_IGN)\n{busy}"
    assert tried(ignoring, ["wall"], seconds=1)["outcome"] == "killed"


def test_nobody_outside_gets_a_signal() -> None:
    victim = subprocess.Popen(["sleep", "60"])
    try:
        code = f"import os\nos.kill({victim.pid}, 9)"
        assert "ProcessLookupError" in tried(code)["stderr"]
        assert victim.poll() is None
        if ROOT:  # who it is holds, too
            assert "PermissionError" in tried(code, ["--unshare-pid"])["stderr"]
            assert tried(code, ["--unshare-pid", "user"])["outcome"] == "ok"
            assert victim.wait(10) == -signal.SIGKILL
        everyone = "import os\nfor p in (os.getppid(), 1, -1):\n    try: os.kill(p, 9)\n    except OSError: pass"
        assert tried(everyone)["outcome"] in ("ok", "killed")
    finally:
        victim.kill()
        victim.wait()


CALLS = """
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
child = os.fork()
if child == 0:
    time.sleep(5)
print(libc.ptrace(16, child, 0, 0), libc.unshare(0x10000000))
os.kill(child, 9)
"""


def test_other_processes_cannot_be_traced_nor_namespaces_made() -> None:
    assert tried(CALLS)["stdout"] == "-1 -1\n"
    assert tried(CALLS, ["--seccomp"])["stdout"] == "0 0\n"


def test_the_kernel_cannot_be_told_anything() -> None:
    code = (
        "done = []\nfor path in ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/self/oom_score_adj'):\n"
        "    try:\n        with open(path, 'w') as file: file.write('-1000')\n        done.append(path)\n"
        "    except OSError: pass\nprint(done)"
    )
    assert tried(code)["stdout"] == "[]\n"


def test_the_way_out_through_proc_is_closed() -> None:
    code = (
        "import os, glob\nfound = []\nfor p in glob.glob('/proc/[0-9]*/root') + glob.glob('/proc/[0-9]*/cwd'):\n"
        "    try: found += os.listdir(p)\n    except OSError: pass\n"
        "for f in glob.glob('/proc/self/fd/*'):\n"
        "    try: found.append(os.readlink(f))\n    except OSError: pass\n"
        "print(sorted(f for f in found if f in ('home', 'var', 'boot') or 'memfd' in f or f.startswith('/work')))"
    )
    assert tried(code)["stdout"] == "[]\n"


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for i in (0, 1, 2): os.close(i)
        time.sleep(4)
    os._exit(0)
os.wait()
"""


def test_a_daemon_ends_with_the_run() -> None:
    assert tried(DAEMON)["took"] < 3
    assert tried(DAEMON, ["--unshare-pid", "group"])["took"] > 3  # what it left was waited for


ZIP = """
import io, zipfile
data = io.BytesIO()
with zipfile.ZipFile(data, 'w', zipfile.ZIP_DEFLATED) as bomb:
    bomb.writestr('x', bytes(110 * 2**20))
del bomb
print(len(zipfile.ZipFile(data).read('x')))
"""


@pytest.mark.parametrize(
    ("code", "outcomes"),
    [
        ("def f(): f()\nf()", {"error"}),
        ("import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()", {"out of memory", "killed"}),
        ("x = 10 ** 10 ** 9", {"timed out", "out of memory"}),
        (ZIP, {"out of memory"}),
        ("import ctypes\nctypes.string_at(0)", {"killed"}),
        ("import os\nos.abort()", {"killed"}),
        ("import os\nos.close(1), os.close(2)\nwhile True: pass", {"timed out"}),
        ("print(open('/dev/zero').read())", {"out of memory", "timed out"}),
        ("\0", {"error"}),
        ("print('\\ud800')", {"error"}),
        ("import sys\nsys.stdout.buffer.write(bytes([255, 254]))", {"ok"}),
        ("raise SystemExit(3)", {"error"}),
        ("exit()", {"ok"}),
    ],
)
def test_whatever_happens_has_a_name(code: str, outcomes: set[str]) -> None:
    assert tried(code, seconds=4.0, memory=100 * MIB)["outcome"] in outcomes


@pytest.mark.skipif(not ROOT or not Path("/usr/bin/python3").exists(), reason="needs root, to become somebody else")
def test_it_holds_for_an_ordinary_user_without_control_groups(secret: Path) -> None:
    """Nobody's own processes and memory, with the system's Python and the same source."""
    source = secret.parent / "source"
    for room in ("sandbox", "verifiers"):
        shutil.copytree(ROOM / room, source / "whet" / room)
    for file in (ROOM / "__init__.py", ROOM / "idle.py"):
        shutil.copy(file, source / "whet")
    shutil.copy(dropped.__file__, source)
    jobs = [
        {
            "files": {"main.py": code},
            "build": None,
            "artifact": "",
            "argv": ["/usr/bin/python3", "/box/main.py"],
            "stdins": [""],
            "limits": {"seconds": 20.0, "memory": 50 * MIB, "processes": 8},
            "build_limits": {},
        }
        for code in ("import os\nprint(os.getuid())", FORK, MEMORY, SHARED, WRITE.replace("PYTHON", "'/x'"), CALLS)
    ]
    line = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "dropped.py"]
    told = json.dumps({"jobs": jobs, "drop": []})
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(source)}
    ran = subprocess.run([*line, told], cwd=source, env=environment, capture_output=True, text=True, timeout=120)
    if "bubblewrap did not start" in ran.stderr:
        pytest.skip(f"an ordinary user may not make namespaces here: {ran.stderr[-200:]}")
    assert ran.returncode == 0, ran.stderr
    results = json.loads(ran.stdout)["results"]
    assert [r["stdout"] for r in results] == ["65534\n", "7\n", "", "", "[]\n", "-1 -1\n"]
    assert [r["outcome"] for r in results] == ["ok", "ok", "out of memory", "out of memory", "ok", "ok"]
