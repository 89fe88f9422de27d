"""A Trio program in a thread of its own, for callers that know nothing of Trio."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Any, Generic, TypeVar, TypeVarTuple
from weakref import WeakSet

import trio

from rtlite.client.failures import Closed

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Portal(Generic[T]):
    """Keeps an asynchronous context open in a thread, and runs functions beside it for any other thread.

    It is open until :meth:`close`, or until the main thread ends: a program that forgets it exits all the same, and
    in order. A process that was forked has no such thread, and is refused.

    :param context: what to keep open, ``Client(url)`` say; entered in the thread.
    :param name: of the thread, and in what is raised.
    """

    def __init__(self, context: AbstractAsyncContextManager[T], name: str) -> None:
        self._context = context
        self._name = name
        self._process = os.getpid()
        self._opened: Future[T] = Future()
        self._ended: Future[None] = Future()
        self._nursery: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken
        self._over: trio.Event
        self._thread = threading.Thread(target=self._run, name=name)

    def open(self) -> T:
        """Start; returns what the context gives. Raises what it raises."""
        _close_at_exit(self)
        self._thread.start()
        return self._opened.result()

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: BLE001  # told to whoever opens or closes it
            while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
                error = error.exceptions[0]
            if self._opened.done():
                self._ended.set_exception(error)
            else:
                self._ended.set_result(None)
                self._opened.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._over = trio.Event()
        async with self._context as value, trio.open_nursery() as nursery:
            self._nursery = nursery
            self._opened.set_result(value)
            try:
                await self._over.wait()
            finally:
                self._nursery = None
            nursery.cancel_scope.cancel()

    def call(self, work: Callable[[*Ts], Awaitable[Any]], *args: *Ts) -> Any:
        """Run ``work(*args)`` in the thread's loop; returns what it returns, raises what it raises.

        :raises Closed: it is closed, or closes meanwhile. :raises RuntimeError: this is a forked process.
        """
        self._check()
        future: Future[Any] = Future()
        scope = trio.CancelScope()

        async def job() -> None:
            with scope:
                try:
                    future.set_result(await work(*args))
                except trio.Cancelled:
                    future.set_exception(Closed(f"{self._name} is closed"))
                    raise
                except BaseException as error:  # noqa: BLE001  # the caller's
                    future.set_exception(error)

        def begin() -> None:
            if self._nursery is None:
                future.set_exception(Closed(f"{self._name} is closed"))
            else:
                self._nursery.start_soon(job)

        self._soon(begin)
        try:
            return future.result()
        except BaseException:
            if not future.done():  # Ctrl-C in this thread
                self._soon(scope.cancel)
            raise

    def _soon(self, work: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(work)
        except trio.RunFinishedError as error:
            raise Closed(f"{self._name} is closed") from error

    def _check(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(f"{self._name} belongs to the process that this one was forked from; open one here")
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"{self._name} waits for its own thread; in a Trio program use the asynchronous one")

    @contextmanager
    def iterate(self, context: AbstractAsyncContextManager[AsyncIterator[Any]]) -> Iterator[Iterator[Any]]:
        """An asynchronous context that gives an iterator, as a plain one. The iterator ends when the portal closes."""
        opened: Future[Any] = Future()
        over = trio.Event()
        ended: Future[None] = Future()

        async def hold() -> None:
            try:
                async with context as events:
                    opened.set_result(events)
                    await over.wait()
            except Exception as error:
                if opened.done():
                    raise
                opened.set_exception(error)
            except trio.Cancelled:
                if not opened.done():
                    opened.set_exception(Closed(f"{self._name} is closed"))
                raise
            finally:
                ended.set_result(None)

        async def begin() -> None:
            if self._nursery is not None:
                self._nursery.start_soon(hold)
            elif not opened.done():
                opened.set_exception(Closed(f"{self._name} is closed"))

        self.call(begin)
        try:
            yield _Items(self, opened.result())
        finally:
            if os.getpid() == self._process and not self._ended.done():
                with suppress(Closed):  # its own end ended this as well
                    self._soon(over.set)
                    ended.result()

    def close(self) -> None:
        """End the context, and wait for it. Idempotent. Raises what ended it before, if anything did."""
        self._check()
        self.end()
        self._ended.result()
        self._thread.join()

    def end(self) -> None:
        """As :meth:`close`, without waiting for it."""
        if self._opened.done():
            with suppress(Closed):
                self._soon(self._over.set)


class _Items(Iterator[Any]):
    """An asynchronous iterator's items. What one step raises does not end it."""

    def __init__(self, portal: Portal[Any], items: AsyncIterator[Any]) -> None:
        self._portal = portal
        self._items = items

    def __next__(self) -> Any:
        try:
            return self._portal.call(self._items.__anext__)
        except (Closed, StopAsyncIteration):
            raise StopIteration from None


_open: WeakSet[Portal[Any]] = WeakSet()
_watched = 0  # by a thread of this process
_lock = threading.Lock()


def _close_at_exit(portal: Portal[Any]) -> None:
    """The interpreter waits for a portal's thread before it runs what is registered with atexit; so one more
    thread waits for the main one's end."""
    global _watched
    with _lock:
        _open.add(portal)
        if _watched != os.getpid():
            _watched = os.getpid()
            threading.Thread(target=_watch, name="rtlite exit", daemon=True).start()


def _watch() -> None:
    threading.main_thread().join()
    with _lock:
        portals = list(_open)
    for portal in portals:
        portal.end()
