"""What only root can do to a machine: small disks, power cuts, failing system calls. Skipped aloud where it cannot."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
import trio

_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN of <linux/fs.h>
_NOLOGFLUSH = 2


def skip(reason: str) -> NoReturn:
    """Skip, and say so where it is seen even without ``-ra``."""
    print(f"SKIPPED: {reason}")
    pytest.skip(reason)


def _call(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")


@contextmanager
def full_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of this size, in memory."""
    _need_root("a small disk")
    path.mkdir()
    try:
        _call("mount", "-t", "tmpfs", "-o", f"size={size}", "rtlite-test", path)
    except OSError as error:
        skip(f"no tmpfs can be mounted: {error}")
    try:
        yield path
    finally:
        _call("umount", "-l", path)


def resize(path: Path, size: str) -> None:
    _call("mount", "-o", f"remount,size={size}", path)


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        skip(f"{what} needs root")


class Disk:
    """An ext4 file system in a file, whose power can be cut."""

    def __init__(self, image: Path, path: Path) -> None:
        self._image = image
        self.path = path
        path.mkdir()
        with image.open("wb") as file:
            file.truncate(256 * 1024 * 1024)
        _call("mkfs.ext4", "-q", "-F", image)
        self.mount()

    def mount(self) -> None:
        _call("mount", "-o", "loop", self._image, self.path)

    def unmount(self) -> None:
        _call("umount", self.path)

    def cut_power(self) -> None:
        """What was not synced is lost; whoever has a file open gets errors from now on."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
        finally:
            os.close(folder)

    def return_power(self) -> None:
        """Mount it anew, which replays the file system's journal. Nobody may have a file open any more."""
        self.unmount()
        self.mount()


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    _need_root("a simulated power cut")
    try:
        made = Disk(folder / "disk.img", folder / "disk")
    except OSError as error:
        skip(f"no loop-mounted ext4: {error}")
    try:
        yield made
    finally:
        _call("umount", "-l", made.path)


def strace() -> str:
    """The program. Skips where there is none, or where it may not trace."""
    found = shutil.which("strace")
    if found is None:
        skip("strace is not installed")
    probe = subprocess.run([found, "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        skip(f"strace cannot trace: {probe.stderr.strip()}")
    return found


def injecting(call: str, what: str) -> list[str]:
    """Words before a command: do ``what`` (``signal=KILL:when=3``, say) to this system call of it."""
    # With -D the command is the child that was started, and strace the one beside it.
    words = ["-D", "-f", "-qq", "-o", "/dev/null"]
    return [strace(), *words, "-e", f"trace={call}", "-e", f"inject={call}:{what}"]


@asynccontextmanager
async def injected(pid: int, call: str, what: str, path: Path | None = None) -> AsyncIterator[None]:
    """Do this to the system calls of a running process (to those on one file), while it lasts or lives."""
    words = ["-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}", "-p", str(pid)]
    process = await trio.lowlevel.open_process([strace(), *(["-P", str(path)] if path else []), *words])
    try:
        with trio.fail_after(10):
            while not _traced(pid):  # noqa: ASYNC110  # the kernel tells nobody
                await trio.sleep(0.005)
        yield
    finally:
        if process.poll() is None:
            process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


def _traced(pid: int) -> bool:
    return all("TracerPid:\t0" not in status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status"))


def faketime() -> str:
    """The library that moves a process's wall clock. Skips where there is none."""
    found = [*Path("/usr/lib").glob("**/libfaketimeMT.so.1")]
    if not found:
        skip("libfaketime is not installed (Debian: faketime)")
    return str(found[0])
