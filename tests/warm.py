"""Processes that start in milliseconds, since they are forked from one that has imported all of rtlite already.

``python -m rtlite`` spends a second on its imports, and the suite starts two hundred of them. :class:`Popen` is
``subprocess.Popen`` for such commands: the process is a child of this one, has the streams, the environment and the
directory that it is given, runs ``MODULE`` as ``__main__``, and ends as an interpreter ends. Only its command line and
``/proc/PID/environ`` are another's. What is asked of the start itself, a test asks of a process of ``subprocess``'s.

Where Linux is not, or an option is given that is not known here, that is what is started too.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
_SUBREAPER: Final = 36  # prctl(2): who is orphaned among what we started becomes our child
_OF_THE_INTERPRETER: Final = ("LD_PRELOAD", "PYTHON")  # variables that are looked at before any module is imported


class Popen(subprocess.Popen[Any]):
    """``subprocess.Popen([sys.executable, "-m", MODULE, …])``, from the warm process."""

    def _execute_child(  # type: ignore[override]
        self,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: bool,
        pass_fds: Any,
        cwd: Any,
        env: Any,
        startupinfo: Any,
        creationflags: int,
        shell: bool,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        *others: Any,
    ) -> None:
        environment = dict(os.environ if env is None else env)
        plain = not (executable or preexec_fn or pass_fds or shell) and close_fds and others == _OTHERS
        if sys.platform != "linux" or not plain or not _is_ours(args) or not _as_here(environment):
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell,
                p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *others,
            )  # fmt: skip
            return
        streams = [given if given != -1 else own for own, given in enumerate((p2cread, c2pwrite, errwrite))]
        words = [os.fspath(word) for word in args[2:]]
        self.pid = _parent().fork(words, environment, os.fspath(cwd or os.getcwd()), streams)
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


# restore_signals, gid, gids, uid, umask, start_new_session, process_group
_OTHERS: Final = (True, None, None, None, -1, False, -1)


def _is_ours(args: Any) -> bool:
    return isinstance(args, list) and args[:2] == [sys.executable, "-m"] and args[2] in _MODULES


def _as_here(environment: dict[str, str]) -> bool:
    """Whether an interpreter would be the same with this environment."""
    names = {name for name in {*environment, *os.environ} if name.startswith(_OF_THE_INTERPRETER)}
    return all(environment.get(name) == os.environ.get(name) for name in names)


# --- the parent of them all


class _Parent:
    """The warm process, and the line to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())], cwd=ROOT, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        atexit.register(self.close)

    def fork(self, words: list[str], environment: dict[str, str], directory: str, streams: list[int]) -> int:
        """The process id of a new child of ours.

        It is the grandchild of the warm process, whose child ends at once: so it is an orphan, and comes to us.
        """
        request = json.dumps([words, environment, directory]).encode()
        with self._lock:
            _prctl(_SUBREAPER, 1)
            try:
                socket.send_fds(self._line, [request], streams)
                answer = self._line.recv(64)
            finally:
                _prctl(_SUBREAPER, 0)
        assert answer, "the warm process has ended"
        return int(answer)

    def close(self) -> None:
        self._line.close()
        self._process.wait()


_started: _Parent | None = None
_starting = threading.Lock()


def _parent() -> _Parent:
    global _started
    with _starting:
        if _started is None:
            _started = _Parent()
        return _started


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


# --- within it

_MODULES: Final = ("rtlite", "tests.faults.altered", "tests.examples.program")


def _warm_up() -> None:
    from rtlite import later
    from rtlite.cli.program import COMMANDS

    for name in (*COMMANDS.values(), "rtlite.server", "rtlite.protocols.graphqldocuments"):
        importlib.import_module(name)
    later.load()
    gc.collect()
    gc.freeze()  # children leave these pages as they are


def _serve(line: socket.socket) -> list[str] | None:
    """Fork whenever asked; returns in each child, with its words, and when nobody can ask any more."""
    while True:
        request, streams, *_ = socket.recv_fds(line, 1 << 20, 3)
        if not request:
            return None
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            if grandchild == 0:
                line.close()
                return _become(*json.loads(request), streams, besides=(ours, theirs))
            os.write(theirs, str(grandchild).encode())
            os._exit(0)
        os.waitpid(child, 0)
        line.send(os.read(ours, 64))
        for descriptor in (ours, theirs, *streams):
            os.close(descriptor)


def _become(
    words: list[str], environment: dict[str, str], directory: str, streams: list[int], besides: tuple[int, ...]
) -> list[str]:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for descriptor in (*streams, *besides):
        os.close(descriptor)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return words


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, and for what we forked
    _warm_up()
    if words := _serve(socket.socket(fileno=int(sys.argv[1]))):
        sys.argv[1:] = words[1:]
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
