"""C++ that comes with the package, built at first use by the compiler on the machine, into the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from whet.files import cache

# No -ffast-math: a library that was linked with it sets flush-to-zero for the whole process when it is loaded.
_FLAGS = (
    "-std=c++17",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fvisibility=hidden",
    "-Wno-psabi",
)
_LINK = ("-shared", "-fPIC", "-pthread")
_CPU = (("-march=native",), ("-mcpu=native",), ())  # not every compiler knows the first for every processor
_PATIENCE = 300  # seconds


class CannotBuild(Exception):
    """Says why."""


@functools.cache
def library(source: Path, openmp: bool = False) -> ctypes.CDLL:
    """The library that `source` becomes. CannotBuild without a compiler, or where it fails."""
    try:
        return ctypes.CDLL(str(built(source, openmp)))
    except OSError as error:
        raise CannotBuild(f"{source.name} can not be built or loaded: {error}") from error


def built(source: Path, openmp: bool = False) -> Path:
    """Where the library is; it is made if it is not there."""
    compiler = _compiler()
    why = ""
    for cpu in _CPU:
        flags = (*_FLAGS, *cpu, *_LINK, *(("-fopenmp",) if openmp else ()))
        path = (
            cache() / "built" / f"{source.stem}-{key(source.read_bytes(), _version(compiler), flags, _processor())}.so"
        )
        if path.exists():
            return path
        why = _build(compiler, flags, source, path)
        if not why:
            return path
    raise CannotBuild(f"{compiler} can not build {source.name}: {why}")


def key(source: bytes, compiler: str, flags: tuple[str, ...], processor: str) -> str:
    """Another one for whatever could make another library."""
    return hashlib.sha256(repr((source, compiler, flags, processor)).encode()).hexdigest()[:24]


def _build(compiler: str, flags: tuple[str, ...], source: Path, path: Path) -> str:
    """Make the library, whole or not at all, whoever else makes it now; why it could not be made, or ""."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        command = [compiler, *flags, "-o", str(made), str(source)]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return f"it took more than {_PATIENCE} s"
        if ran.returncode:
            return next((line for line in ran.stderr.splitlines() if "error" in line), f"exit code {ran.returncode}")
        made.replace(path)
    return ""


def _compiler() -> str:
    for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise CannotBuild("there is no C++ compiler (c++, g++, clang++ or $CXX)")


@functools.cache
def _version(compiler: str) -> str:
    ran = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=_PATIENCE, check=False)
    return f"{compiler} {ran.stdout}"


@functools.cache
def _processor() -> str:
    """What of it a library that was built for it may depend on."""
    said = [platform.machine(), platform.processor()]
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        for name in ("model name", "flags", "Features", "CPU part"):
            said += [line for line in lines if line.startswith(name)][:1]
    return "\n".join(said)
