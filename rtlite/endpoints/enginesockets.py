"""The sessions of Engine.IO, each a link like any other: what is said to it goes to one outbox, as frames.

One that begins as a WebSocket is that WebSocket. One that begins with a poll holds its
frames for the polls, until a WebSocket takes them over in one step: what waits goes out
there first, so nothing is lost, said twice, or said in another order.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from rtlite.errors import InvalidRequest, Reason
from rtlite.protocols import engineio
from rtlite.settings import Settings
from rtlite.transports.head import Head
from rtlite.transports.link import Link
from rtlite.transports.longpoll import PollOutbox, frames
from rtlite.transports.mailbox import Signal
from rtlite.transports.outbox import Spawn
from rtlite.transports.pulse import Beat, Pulse
from rtlite.transports.stream import ServerStream
from rtlite.transports.websocket import WebSocket, text_frame

PROTOCOL: Final = "socketio"
_PING: Final = text_frame(engineio.PING.encode())
_SOON: Final = 0.1  # seconds
_WAITING: Final = 32  # messages that polls brought and nobody took yet; then the next POST waits


class EngineSocket:
    """One session, as the application sees it.

    :ivar link: the connection: its request, its outbox (which takes frames), its tasks, its end.
    :ivar settled: set by the application once it knows who this is. Of sessions of polling that are not, which
        cost their clients no connection, only so many are kept.
    """

    def __init__(self, link: Link, read: Callable[[], Awaitable[str | bytes]], settings: Settings) -> None:
        self.sid = secrets.token_urlsafe(15)
        self.link = link
        self._read = read
        self._settings = settings
        self._beat: Beat | None = None
        self.settled = False

    async def receive(self) -> str | bytes:
        """The next message. Where there is none any more, the connection ends, and with it whoever waits here.

        :raises InvalidRequest: what came is no packet that may come now.
        """
        while True:
            type, data = engineio.decode(await self._read())
            if type == engineio.MESSAGE:
                return data
            if type == engineio.PONG:
                if self._beat is not None:
                    self._beat.answered()
            elif type == engineio.CLOSE:
                self.link.end(Reason.NORMAL)
                await trio.lowlevel.checkpoint()  # the scope is cancelled: the application ends here
            elif type != engineio.NOOP:
                raise InvalidRequest("a client sends no such packet now")

    def open(self, upgrades: list[str]) -> bytes:
        """The first frame of the session."""
        settings = self._settings
        interval, timeout = settings.socketio_ping_interval, settings.socketio_ping_timeout
        return text_frame(engineio.handshake(self.sid, upgrades, interval, timeout, settings.socketio_max_payload))

    @property
    def busy(self) -> bool:
        """Whether the peer still takes what was sent before. Of polls that cannot be told: they come or do not."""
        outbox = self.link.outbox
        return bool(outbox.queued) and not (isinstance(outbox, PollOutbox) and not outbox.carried)

    @property
    def emptied(self) -> float:
        return self.link.outbox.emptied

    def ping(self) -> bool:
        return self.link.outbox.offer(_PING)

    def end(self, reason: Reason) -> None:
        self.link.end(reason)

    def begin(self, pulse: Pulse) -> None:
        """Be pinged from now on."""
        self._beat = pulse.add(self)
        self.link.on_end(self._beat.stop)


Application = Callable[[EngineSocket], Awaitable[None]]
"""Runs one session; when it returns, the session is closed as normal."""


class PollingSession(Link):
    """A session that began with a poll."""

    gone = (*Link.gone, trio.EndOfChannel)

    def __init__(self, application: Application, spawn: Spawn, head: Head, settings: Settings) -> None:
        super().__init__(PROTOCOL, PollOutbox(settings.outbox), spawn, {}, head, settings)
        self._application = application
        self._incoming, self._read = trio.open_memory_channel[str | bytes](_WAITING)
        self.socket = EngineSocket(self, self._read.receive, settings)
        self.outbox.offer(self.socket.open([engineio.WEBSOCKET]))  # before anything that the application says
        self.carrier: WebSocket | None = None
        self.upgrading = False
        self.polled = self.posting = False
        self._left = False
        self._told = Signal()

    @property
    def queue(self) -> PollOutbox:
        assert isinstance(self.outbox, PollOutbox)  # noqa: S101  # __init__ made it
        return self.outbox

    def send(self, payload: bytes) -> bool:
        return self.outbox.offer(text_frame(payload))

    async def take(self, message: str | bytes) -> None:
        """What the client sent. It waits while the application has not taken what came before."""
        if message == engineio.CLOSE:
            self.leave()
        await self._incoming.send(message)

    def leave(self) -> None:
        """The client wants no more; there is nothing to tell it any more."""
        self._left = True
        self._told.set()

    async def poll(self) -> bytes | None:
        """The body of the answer to a poll, once there is something to say; ``None`` if a WebSocket has taken over.

        While one is about to, a poll is answered soon, since the client changes over only without one.
        """
        self.polled, late = True, self.upgrading
        try:
            with trio.move_on_after(_SOON if late else math.inf):
                await self.queue.filled()
            if late and self.carrier is not None:
                return None
            packets = list(frames(self.queue.take()))
            if packets and self._reason is not None:
                self.queue.release()  # the close is for the next poll: clients drop what comes together with it
            elif not packets:
                ended = self._reason is not None and not self._left
                packets = [((engineio.CLOSE if ended else engineio.NOOP).encode(), False)]
                if ended:
                    self._told.set()
            return engineio.encode_payload(packets)
        finally:
            self.polled = False

    def probe(self) -> None:
        """A WebSocket is there: the poll that waits is answered, so that the client can change over."""
        self.upgrading = True
        if self.polled:
            self.queue.release()

    def carry(self, websocket: WebSocket) -> None:
        """Everything goes over this WebSocket from here on."""
        self.carrier = websocket
        self.queue.hand_over(websocket.outbox)
        if self.listed is not None:
            self.listed.outbox, self.listed.carried = websocket.outbox, self.queue
            self.listed.impair(self.listed)

    @property
    def stream(self) -> ServerStream | None:
        return None if self.carrier is None else self.carrier.stream

    async def _converse(self) -> None:
        await self._application(self.socket)

    async def _close(self, reason: Reason) -> None:
        """Say what there is to say, by the WebSocket or by the next polls. It ends at a deadline."""
        self._incoming.close()
        self._read.close()
        if self.carrier is not None:
            if self.farewell is not None:
                self.carrier.close_with(*self.farewell)
            self.carrier.end(reason)
            return
        self.queue.release()
        if reason is not Reason.NO_PONG:
            with trio.move_on_after(self._settings.close_timeout):
                await self._told.wait()
        self.queue.close()
