"""A long-lived connection, whatever it speaks: its endpoint, its tasks, its end.

WebSockets and event streams are links. What differs (how bytes are framed, how a peer is
found to be gone, how one says goodbye) is theirs; what an endpoint relies on is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Final

import trio

from rtlite.errors import Forbidden, Overloaded, Reason, Refused, StorageFailed, StorageFull
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Identity
from rtlite.settings import Settings
from rtlite.transports.connections import Coming, Connection, Connections
from rtlite.transports.head import Head, parse_head
from rtlite.transports.outbox import Outbox, Spawn
from rtlite.transports.pulse import Beat
from rtlite.transports.stream import ServerStream

log = get_logger(__name__)

ABNORMAL: Final = 1006
"""The code of a connection that ended without a close frame (RFC 6455, section 7.4.1)."""
Life = Coroutine[Any, Any, bool]
"""What a connection does from now on, to its end: returns whether another request may follow."""


class Link(ABC):
    """One open connection, as its endpoint sees it.

    :ivar params: the parts of the path that the route names.
    :ivar outbox: takes framed bytes; what is fanned out goes straight in there.
    :ivar listed: its entry among the open connections, while it is open.
    """

    gone: ClassVar[tuple[type[Exception], ...]] = (trio.BrokenResourceError, trio.ClosedResourceError)
    """What is raised to who reads or writes when the peer has left."""
    farewell: tuple[int, str] | None = None
    """The close code and text, where a fault names them."""

    def __init__(
        self,
        protocol: str,
        outbox: Outbox,
        spawn: Spawn,
        params: Mapping[str, str],
        head: Head,
        settings: Settings,
    ) -> None:
        self._spawn = spawn
        self._settings = settings
        self._scope = trio.CancelScope()
        self._tasks: set[trio.CancelScope] | None = None  # most have none, and an empty set is 216 bytes
        self._reason: Reason | None = None
        self._callbacks: list[Callable[[], None]] = []
        self.protocol = protocol
        self.params = params
        self._head: Head | bytes = head
        self.outbox = outbox
        self.listed: Connection | None = None

    @abstractmethod
    def _converse(self) -> Awaitable[None]:
        """Run the endpoint. (Not ``async``: a frame less, for as long as the connection lasts.)"""

    @abstractmethod
    async def _close(self, reason: Reason) -> None:
        """Tell the peer why, as the protocol has it. It ends, whatever the peer does."""

    @property
    def head(self) -> Head:
        """The request that opened it."""
        return self._head if isinstance(self._head, Head) else parse_head(self._head, self._settings.max_headers)

    @property
    def trusted(self) -> bool:
        """Whether it came by the control socket, which is the operator's alone."""
        return False

    def fold(self) -> None:
        """Keep the head as its bytes, and read it anew whenever it is asked for: a sixth of the memory."""
        if isinstance(self._head, Head):
            self._head = self._head.raw

    def _begin(self) -> Beat | None:
        """Its place among those that are pinged, from now to the end."""
        return None

    @property
    def busy(self) -> bool:
        """Whether the peer still takes what was sent before."""
        return bool(self.outbox.queued)

    @property
    def emptied(self) -> float:
        """When it had last taken all of a backlog."""
        return self.outbox.emptied

    @property
    def again(self) -> bool:
        """Whether another request may follow on the same stream."""
        return False

    @abstractmethod
    def send(self, payload: bytes) -> bool:
        """Frame one message and offer it, without waiting; ``False`` if the reader is too slow."""

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Run a task as long as this connection lives. What it raises ends this connection, and the peer is told."""
        scope = trio.CancelScope()
        self._tasks = self._tasks or set()
        self._tasks.add(scope)
        self._spawn(self._run, scope, function, *args)

    async def _run(self, scope: trio.CancelScope, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        with scope:
            await self._guard(function, *args)
        if self._tasks is not None:
            self._tasks.discard(scope)

    async def _guard(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        try:
            await function(*args)
        except self.gone:
            pass  # the peer is gone, and the reader ends the connection
        except Exception:
            log.exception("a task of a connection failed", protocol=self.protocol)
            self.end(Reason.INTERNAL_ERROR)

    def admit(self, identity: Identity, remaining: float | None) -> None:
        """The credential holds. ``remaining`` seconds from now it expires, and the connection with it."""
        if self.listed is not None:
            self.listed.identity = identity
            self.listed.impair(self.listed)
        # A deadline on the monotonic clock: a wall clock that is set does not drop or immortalise anyone.
        self._scope.deadline = float("inf") if remaining is None else trio.current_time() + max(0.0, remaining)

    def about_to_listen(self, *names: str) -> AbstractContextManager[Coming]:
        """See :meth:`Connection.about_to_listen`; who is not listed (any more) is found by nobody."""
        return nullcontext(Coming(names)) if self.listed is None else self.listed.about_to_listen(names)

    @property
    def reason(self) -> Reason | None:
        """Why it ends, once that is decided."""
        return self._reason

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call this once the endpoint has ended, before the peer is told."""
        self._callbacks.append(callback)

    def end(self, reason: Reason) -> None:
        """Close with this reason, from wherever. The first reason stands."""
        if self._reason is None:
            self._reason = reason
            self._scope.cancel()

    @property
    def stream(self) -> ServerStream | None:
        """What it goes over; ``None`` where it is many requests."""
        return None

    def close_with(self, code: int, text: str) -> None:
        """End it with this WebSocket close code, or what comes closest; 1006 is without a word."""
        if self._reason is None:
            self.farewell = (code, text)
            self.end(Reason.FAULT)
            if code == ABNORMAL and self.stream is not None:
                self.stream.cut()

    def refuse_with(self, refusal: Refused) -> None:
        """End it as one that is not let in: with the refusal's status, where there is still one to say."""
        self.close_with(Reason.OVER_CAPACITY.value.commands, refusal.detail)

    async def serve(self, connections: Connections, metrics: Metrics, address: str) -> bool:
        """The whole life of the connection, listed while it lasts: it ends with :meth:`_close`, whatever happened.

        Its tasks end with it. Returns whether another request may follow.
        """
        self.listed = connections.enter(self.protocol, address, self.outbox, self.end)
        beat: Beat | None = None
        reason = self._reason
        try:
            if len(connections) > connections.limit:
                self.end(Reason.OVER_CAPACITY)
            self.listed.link = self
            self.listed.impair(self.listed)
            try:
                beat = self._begin()
                with self._scope:
                    await self._converse()
                if self._scope.cancelled_caught and self._reason is None:
                    self._reason = Reason.EXPIRED
            except Exception as error:  # noqa: BLE001  # our own mistakes are logged in _judge
                judged = self._judge(error)
                self._reason = self._reason or judged
            finally:  # also when the whole connection is cancelled
                if beat is not None:
                    beat.stop()
                self._call_back()
            reason = self._reason or Reason.NORMAL
            await self._close(reason)
        finally:
            connections.unlist(self.listed, reason or self._reason or Reason.STOPPING)
        if reason is Reason.INTERNAL_ERROR:
            metrics.faults.inc()
        metrics.closed.labels(reason.name.lower()).inc()
        log.debug("connection closed", protocol=self.protocol, reason=reason.name.lower())
        for scope in self._tasks or ():
            scope.cancel()
        return self.again

    def _judge(self, error: Exception) -> Reason:
        """Why an endpoint ended that raised: the peer left, was refused, or met our own mistake."""
        if isinstance(error, self.gone):
            return Reason.NORMAL
        if isinstance(error, Overloaded):
            return Reason.OVER_CAPACITY
        if isinstance(error, Forbidden):
            return Reason.FORBIDDEN
        if isinstance(error, Refused) and not isinstance(error, StorageFailed | StorageFull):
            return Reason.ABUSE
        log.exception("an endpoint failed", protocol=self.protocol)
        return Reason.INTERNAL_ERROR

    def _call_back(self) -> None:
        """Let the endpoint clear up, and say its last words. A slow reader's backlog is dropped before, so that
        it learns why as soon as it reads again."""
        if self._reason is Reason.TOO_SLOW:
            self.outbox.discard_queued()
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                log.exception("a connection's end was not noted", protocol=self.protocol)

    def _patience(self) -> float:
        """Seconds that closing may take: what says why stands behind what the outbox holds."""
        return self._settings.close_timeout + (self._settings.write_timeout if self.outbox.queued else 0.0)
