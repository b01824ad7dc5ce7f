"""Takes from a process what Windows does not have, and refuses what Windows refuses: for tests on other systems.

It is loaded at the start of an interpreter whose PYTHONPATH has this folder. It shows that the program does without
these things. It does not show that the program runs on Windows.
"""

import asyncio
import asyncio.unix_events
import fcntl
import getpass
import os
import selectors
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import types
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any, NoReturn

MODULES = frozenset({"fcntl", "grp", "nis", "pty", "pwd", "resource", "syslog", "termios", "tty", "uvloop"})
OF_OS = (
    "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK chown fchmod fchown fork forkpty getegid geteuid getgid getgroups "
    "getloadavg getpgid getpriority getuid killpg lchown mkfifo mknod nice posix_fadvise posix_fallocate pread "
    "pwrite readv register_at_fork sched_getaffinity sendfile setgid setpriority setsid setuid sync uname writev"
)
OF_SIGNAL = (
    "SIGALRM SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 SIGXCPU alarm "
    "pause pthread_kill sigpending sigwait"
)
OF_SOCKET = "AF_UNIX SO_REUSEPORT TCP_INFO sendmsg"
FORBIDDEN = frozenset('<>:"|?*')
"""Characters that no name of a file may have."""


class Without(MetaPathFinder):
    """Finds no module that Windows lacks."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name.partition(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


class FakeMsvcrt(types.ModuleType):
    """The module of Windows that locks a part of a file. Other systems have no real one."""

    LK_NBLCK = 2

    @staticmethod
    def locking(descriptor: int, mode: int, size: int) -> None:
        assert (mode, size) == (FakeMsvcrt.LK_NBLCK, 1)
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        if place <= os.fstat(descriptor).st_size:
            raise AssertionError("nobody else can read bytes that are locked")
        # The lock is that of the opened file, as on Windows, and not that of the process.
        reads = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        kind = fcntl.F_RDLCK if reads else fcntl.F_WRLCK
        asked = struct.pack("hhqqi4x", kind, os.SEEK_SET, place, size, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, asked)
        except BlockingIOError:
            raise PermissionError(13, "Permission denied") from None


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what Windows refuses: names, opening folders, moving and removing open files."""
    match event:
        case "open":
            path, mode, _ = arguments
            if not isinstance(path, str) or path.startswith(("/proc/", "/sys/", "/dev/")):
                return
            if FORBIDDEN & set(path):
                raise OSError(22, "Invalid argument", path)
            if mode is None and os.path.isdir(path):  # by os.open
                raise PermissionError(13, "Permission denied", path)
        case "os.rename" | "os.remove":
            for path in arguments[:2]:
                if isinstance(path, (str, os.PathLike)) and _is_open(os.fspath(path)):
                    raise PermissionError(13, "it is open: another process uses the file", str(path))
        case "os.utime":
            if isinstance(arguments[0], int):
                raise TypeError("utime: path should be string, bytes or os.PathLike, not int")


def _is_open(path: str) -> bool:
    try:
        wanted = os.stat(path)
    except OSError:
        return False
    for name in os.listdir("/proc/self/fd"):
        try:
            found = os.fstat(int(name))
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode) and os.path.samestat(found, wanted):
            return True
    return False


def _no_signal_handlers(*_: object) -> NoReturn:
    raise NotImplementedError


def _add_reader(loop: Any, watched: Any, call: Any, *arguments: Any) -> None:
    """Windows waits for sockets alone."""
    if not stat.S_ISSOCK(os.fstat(watched if isinstance(watched, int) else watched.fileno()).st_mode):
        raise NotImplementedError
    _real_add_reader(loop, watched, call, *arguments)


def _fsync(descriptor: int) -> None:
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(9, "Bad file descriptor")
    _real_fsync(descriptor)


def _chmod(path: object, mode: int, **_: object) -> None:
    """Windows knows one right alone: whether a file may be written."""


def _open(path: Any, flags: int, mode: int = 0o777, **_: Any) -> int:
    return _real_open(path, flags, 0o666)


def _kill(process: "subprocess.Popen[Any]") -> None:
    process.send_signal(9)


def _get_signals_in_another_thread() -> None:
    """Let a thread get all signals of the process, as on Windows: no signal interrupts the main thread."""
    threading.Thread(target=threading.Event().wait, name="signals", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1})


def _socketpair() -> tuple[socket.socket, socket.socket]:
    """Windows makes pairs, but not of the family that has no name there."""
    first, second = _real_socketpair()
    return first, second


_real_open, _real_fsync = os.open, os.fsync
_real_add_reader = asyncio.SelectorEventLoop.add_reader
_real_socketpair = partial(socket.socketpair, socket.AF_UNIX)
_get_signals_in_another_thread()
os.umask(0)
REPLACED: tuple[tuple[Any, str, Any], ...] = (
    (signal, "SIGBREAK", signal.SIGUSR1),  # a fake: Windows alone has Ctrl-Break
    (asyncio.SelectorEventLoop, "add_signal_handler", _no_signal_handlers),
    (asyncio.SelectorEventLoop, "add_reader", _add_reader),
    (selectors, "DefaultSelector", selectors.SelectSelector),
    (subprocess.Popen, "kill", _kill),
    (tempfile, "TemporaryFile", tempfile.NamedTemporaryFile),
    (shutil, "_use_fd_functions", False),
    (getpass, "getpass", getattr(getpass, "fallback_getpass")),  # noqa: B009  # types do not know it
    (socket, "socketpair", _socketpair),
    (os, "fsync", _fsync),
    (os, "chmod", _chmod),
    (os, "open", _open),
)
for holder, name, what in REPLACED:
    setattr(holder, name, what)
for holder, names in ((os, OF_OS), (signal, OF_SIGNAL), (socket, OF_SOCKET)):
    for name in names.split():
        if hasattr(holder, name):
            delattr(holder, name)
for name in MODULES:
    sys.modules.pop(name, None)
sys.modules["msvcrt"] = FakeMsvcrt("msvcrt")
sys.meta_path.insert(0, Without())
sys.addaudithook(_refuse)
