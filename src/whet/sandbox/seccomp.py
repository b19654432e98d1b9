"""A filter of system calls for the sandbox, as the program that the kernel runs (classic BPF; seccomp(2)).

What a program that computes never needs and attacks on kernels do: looking into other processes, namespaces, mounts,
keys, kernel modules, tracing. Such a call fails with EPERM; `clone3`, whose flags a filter cannot see, with ENOSYS,
upon which libraries use `clone`.
"""

from __future__ import annotations

import errno
import platform
import struct
from functools import lru_cache

from whet.sandbox.limits import SandboxError

# Numbers from the kernel's tables: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
_REFUSED = {
    "x86_64": {
        **{"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312},
        **{"unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161},
        **{"open_by_handle_at": 304, "quotactl": 179, "swapon": 167, "swapoff": 168, "reboot": 169},
        **{"add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323},
        **{"init_module": 175, "delete_module": 176, "finit_module": 313, "kexec_load": 246, "kexec_file_load": 320},
    },
    "aarch64": {
        **{"ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272},
        **{"unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51},
        **{"open_by_handle_at": 265, "quotactl": 60, "swapon": 224, "swapoff": 225, "reboot": 142},
        **{"add_key": 217, "request_key": 218, "keyctl": 219, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282},
        **{"init_module": 105, "delete_module": 106, "finit_module": 273, "kexec_load": 104, "kexec_file_load": 294},
    },
}
_EVERYWHERE = {  # the same on both
    **{"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427},
    **{"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433},
    **{"mount_setattr": 442},
}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_NAMESPACES = 0x7E020080  # CLONE_NEW*: TIME, NS, CGROUP, UTS, IPC, USER, PID, NET (linux/sched.h)
_FOREIGN = 0x40000000  # from here on x86_64 has a second set of numbers (x32)

_NUMBER, _ARCH, _FIRST = 0, 4, 16  # offsets in struct seccomp_data; the lower half of the first argument
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


@lru_cache(maxsize=1)
def program(machine: str = "") -> bytes:
    """The filter for this kind of machine. SandboxError for one whose numbers are not known here."""
    machine = machine or platform.machine()
    if machine not in _REFUSED:
        raise SandboxError(f"the sandbox knows the system calls of {', '.join(_REFUSED)}, not of {machine}")
    refused = sorted({*_REFUSED[machine].values(), *_EVERYWHERE.values()})
    lines = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, _AUDIT[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_answered(_AT_LEAST, _FOREIGN, _ERROR | errno.ENOSYS),
        *_answered(_EQUAL, _CLONE3, _ERROR | errno.ENOSYS),
    ]
    for number in refused:
        lines += _answered(_EQUAL, number, _ERROR | errno.EPERM)
    lines += [(_EQUAL, 0, 3, _CLONE[machine]), (_LOAD, 0, 0, _FIRST), (_ANY_BIT, 0, 1, _NAMESPACES)]
    lines += [(_RETURN, 0, 0, _ERROR | errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _answered(test: int, value: int, answer: int) -> list[tuple[int, int, int, int]]:
    """`answer` if the number that was loaded passes the test, else on to the next line."""
    return [(test, 0, 1, value), (_RETURN, 0, 0, answer)]
