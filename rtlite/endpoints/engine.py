"""Engine.IO 4: sessions over long polling, over WebSocket, and from the one to the other.

A session is a link like any other: what is said to it goes to one outbox, as frames of a
WebSocket. One that begins as a WebSocket is that WebSocket. One that begins with a poll
holds its frames for the polls, until a WebSocket takes them over in one step: what waits
goes out there first, so nothing is lost, said twice, or said in another order.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from rtlite.auth import origins
from rtlite.endpoints.pulse import Beat, Pulse
from rtlite.errors import InvalidRequest, Reason, TooLarge
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.protocols import engineio
from rtlite.protocols.engineio import Refusal
from rtlite.settings import Settings
from rtlite.transports.connections import Connections
from rtlite.transports.head import Head
from rtlite.transports.link import Link
from rtlite.transports.longpoll import LongPollRoute, Poll, PollOutbox, frames
from rtlite.transports.routes import Access, Call, Reply, Route
from rtlite.transports.websocket import WebSocket, WebSocketRoute, text_frame

log = get_logger(__name__)

PROTOCOL: Final = "socketio"
_PING: Final = text_frame(engineio.PING.encode())
_PLAIN: Final = "text/plain; charset=UTF-8"
_SOON: Final = 0.1
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

    def __init__(self, application: Application, nursery: trio.Nursery, head: Head, settings: Settings) -> None:
        super().__init__(PROTOCOL, PollOutbox(settings.outbox), nursery, {}, head, settings)
        self._application = application
        self._incoming, self._read = trio.open_memory_channel[str | bytes](_WAITING)
        self.socket = EngineSocket(self, self._read.receive, settings)
        self.outbox.offer(self.socket.open([engineio.WEBSOCKET]))  # before anything that the application says
        self.carrier: WebSocket | None = None
        self.upgrading = False
        self.polled = self.posting = False
        self._left = False
        self._told = trio.Event()

    @property
    def queue(self) -> PollOutbox:
        assert isinstance(self.outbox, PollOutbox)  # noqa: S101  # __init__ made it
        return self.outbox

    async def heartbeat(self) -> None:
        """The pulse of all sessions is theirs too."""

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
            self.listed.outbox = websocket.outbox

    async def _converse(self) -> None:
        await self._application(self.socket)

    async def _close(self, reason: Reason) -> None:
        """Say what there is to say, by the WebSocket or by the next polls. It ends at a deadline."""
        self._incoming.close()
        self._read.close()
        if self.carrier is not None:
            self.carrier.end(reason)
            return
        self.queue.release()
        if reason is not Reason.NO_PONG:
            with trio.move_on_after(self._settings.close_timeout):
                await self._told.wait()
        self.queue.close()


class Engine:
    """The sessions.

    :param path: where they are served; :param application: runs each of them.
    """

    def __init__(
        self,
        path: str,
        application: Application,
        settings: Settings,
        connections: Connections,
        metrics: Metrics,
    ) -> None:
        self._paths = (path, path + "/")
        self._application = application
        self._settings = settings
        self._connections = connections
        self._metrics = metrics
        self._sessions: dict[str, PollingSession] = {}
        self._strangers: dict[str, PollingSession] = {}
        self._pulse = Pulse(settings)
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold the sessions that outlive a request, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await self._pulse.run()

    def websockets(self) -> list[WebSocketRoute]:
        return [
            WebSocketRoute(
                path,
                PROTOCOL,
                self._converse,
                lambda row: row.commands,
                max_message=self._settings.socketio_max_payload,
                pings=False,
                refuse=self._refuse,
            )
            for path in self._paths
        ]

    def long_polls(self) -> list[LongPollRoute]:
        return [LongPollRoute(path, self._answer) for path in self._paths]

    def routes(self) -> list[Route]:
        """The same paths for the router, which answers the preflights of browsers."""
        access, what = Access.PUBLIC, "Socket.IO, over long polling and WebSocket (Engine.IO 4)"
        return [Route(method, path, _elsewhere, what, access) for path in self._paths for method in ("GET", "POST")]

    # --- WebSocket

    def _refuse(self, head: Head) -> Reply | None:
        """Why a handshake is refused: it is of another protocol, or of a session that has no use for it."""
        refusal = engineio.refuse(head.query, engineio.WEBSOCKET)
        sid = head.query.get("sid")
        if refusal is None and sid is not None and sid not in self._sessions:
            refusal = engineio.UNKNOWN_SID
        return None if refusal is None else _refused(refusal)

    async def _converse(self, websocket: WebSocket) -> None:
        sid = websocket.head.query.get("sid")
        if sid is not None:
            await self._upgrade(websocket, sid)
            return
        socket = EngineSocket(websocket, websocket.receive, self._settings)
        await websocket.outbox.send(socket.open([]))
        socket.begin(self._pulse)
        await self._application(socket)

    async def _upgrade(self, websocket: WebSocket, sid: str) -> None:
        """A WebSocket for a session that polls: probed, and then in the place of the polls."""
        session = self._sessions.get(sid)
        if session is None or session.upgrading or session.carrier is not None:
            websocket.end(Reason.ABUSE)
            return
        with trio.move_on_after(self._settings.socketio_upgrade_timeout) as patience:
            if not await self._probed(websocket, session):
                websocket.end(Reason.ABUSE)
                return
        if patience.cancelled_caught or session.reason is not None:
            websocket.end(Reason.NORMAL)
            return
        session.carry(websocket)
        if websocket.listed is not None:
            self._connections.unlist(websocket.listed)  # the session stands in the list
        websocket.on_end(lambda: session.end(Reason.NORMAL))
        while True:
            await session.take(await websocket.receive())

    @staticmethod
    async def _probed(websocket: WebSocket, session: PollingSession) -> bool:
        try:
            if await websocket.receive() != engineio.PROBE:
                return False
            session.probe()
            await websocket.outbox.send(text_frame(engineio.PROBED.encode()))
            return await websocket.receive() == engineio.UPGRADE
        finally:
            session.upgrading = False

    # --- polling

    async def _answer(self, poll: Poll) -> Reply:
        """One request of polling. Pages are let in as they are to a WebSocket (see the listener)."""
        head = poll.head
        origin, host = head.headers.get("origin"), head.headers.get("host")
        ticket = head.query.get("token", "").startswith("tkt_")
        if not ticket and not origins.allowed(origin, host, poll.scheme, self._settings):
            return Reply(403, engineio.FORBIDDEN.encode())
        if (refusal := engineio.refuse(head.query)) is not None:
            return _refused(refusal)
        sid = head.query.get("sid")
        if sid is None:
            if head.method != "GET":
                return _refused(engineio.BAD_METHOD)
            if head.query["transport"] != engineio.POLLING:
                return _refused(engineio.BAD_REQUEST)
            return await self._open(poll)
        session = self._sessions.get(sid)
        if session is None:
            return _refused(engineio.UNKNOWN_SID)
        if head.query["transport"] != engineio.POLLING or session.carrier is not None:
            return _refused(engineio.BAD_REQUEST)
        if head.method == "GET":
            return await self._poll(session)
        if head.method == "POST":
            return await self._post(session, poll)
        return _refused(engineio.BAD_METHOD)

    async def _open(self, poll: Poll) -> Reply:
        if self._nursery is None or self._connections.full:
            return Reply(503, b"", _PLAIN, {"Retry-After": "5"})
        session: PollingSession = await self._nursery.start(self._live, poll)
        self._make_room()
        return await self._poll(session)

    def _make_room(self) -> None:
        """Of those that nobody vouches for yet, the oldest go."""
        while len(self._strangers) > self._settings.socketio_max_strangers:
            oldest = self._strangers.pop(next(iter(self._strangers)))
            if not oldest.socket.settled:
                oldest.leave()
                oldest.end(Reason.OVER_CAPACITY)

    async def _live(self, poll: Poll, task_status: trio.TaskStatus[PollingSession]) -> None:
        """The life of one session."""
        try:
            async with trio.open_nursery() as nursery:
                session = PollingSession(self._application, nursery, poll.head, self._settings)
                self._sessions[session.socket.sid] = self._strangers[session.socket.sid] = session
                session.socket.begin(self._pulse)
                task_status.started(session)
                try:
                    await session.serve(self._connections, self._metrics, poll.address)
                finally:
                    del self._sessions[session.socket.sid]
                    self._strangers.pop(session.socket.sid, None)
        except Exception:
            self._metrics.faults.inc()
            log.exception("a session of long polling failed; it was closed")

    async def _poll(self, session: PollingSession) -> Reply:
        if session.polled:
            session.end(Reason.ABUSE)
            return _refused(engineio.BAD_REQUEST)
        answered = False
        try:
            body = await session.poll()
            answered = True
        finally:
            if not answered:  # the client left while it waited
                session.leave()
                session.end(Reason.NORMAL)
        return _refused(engineio.BAD_REQUEST) if body is None else Reply(200, body, _PLAIN)

    async def _post(self, session: PollingSession, poll: Poll) -> Reply:
        length = poll.head.content_length
        if session.posting or length is None:
            session.end(Reason.ABUSE)
            return _refused(engineio.BAD_REQUEST)
        if length > self._settings.socketio_max_payload:
            return Reply(TooLarge.status, engineio.BAD_REQUEST.encode())
        session.posting = True
        try:
            for packet in engineio.decode_payload(await poll.body(), self._settings.socketio_max_packets):
                engineio.decode(packet)
                await session.take(packet)
        except InvalidRequest:
            session.leave()  # a client that does not speak the protocol is told nothing more
            session.end(Reason.ABUSE)
            return _refused(engineio.BAD_REQUEST)
        except (trio.ClosedResourceError, trio.BrokenResourceError):  # the session ended meanwhile
            return _refused(engineio.UNKNOWN_SID)
        finally:
            session.posting = False
        return Reply(200, b"ok", "text/html")


async def _elsewhere(_: Call) -> Reply:
    """What a HEAD is answered; the listener has the others answered before they reach the router."""
    return _refused(engineio.BAD_METHOD)


def _refused(refusal: Refusal) -> Reply:
    return Reply(400, refusal.encode())
