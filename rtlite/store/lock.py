"""The lock beside the file: one server alone has it."""

from __future__ import annotations

import fcntl
import os

from rtlite.errors import StartError


class lock_file:  # used as a function: with lock_file(path)
    """Hold the lock beside the file, so that one server alone has it. Freed by the kernel if we die.

    :raises StartError: another process holds it, or its directory cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> None:
        if self._path == ":memory:":
            return
        name = f"{self._path}.lock"
        try:
            self._descriptor = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.__exit__()
            raise StartError(f"{self._path} is in use by another rtlite") from error
        except OSError as error:
            self.__exit__()
            raise StartError(f"cannot open {name}: {error.strerror}") from error

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
