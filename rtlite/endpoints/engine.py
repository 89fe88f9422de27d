"""Engine.IO 4: requests and handshakes to sessions, over long polling, WebSocket, and from the one to the other."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Annotated, Final, TypedDict

import trio

from rtlite.auth import origins
from rtlite.endpoints.enginesockets import PROTOCOL, Application, EngineSocket, PollingSession
from rtlite.errors import InvalidRequest, Reason, TooLarge
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.protocols import engineio
from rtlite.protocols.engineio import Refusal
from rtlite.rules import Rule
from rtlite.settings import Settings
from rtlite.transports.connections import Connections
from rtlite.transports.contract import TEXT, Answer, Asked, Body, Message
from rtlite.transports.head import Head
from rtlite.transports.longpoll import LongPollRoute, Poll
from rtlite.transports.pulse import Pulse
from rtlite.transports.routes import Access, Call, Reply, Route
from rtlite.transports.websocket import WebSocket, WebSocketRoute, text_frame

log = get_logger(__name__)

_PLAIN: Final = "text/plain; charset=UTF-8"


class EngineRefusal(TypedDict):
    """Why a request is refused, as Engine.IO has it."""

    code: Annotated[int, Rule(minimum=0, maximum=5)]
    message: str


ASKED: Final = (
    Asked("EIO", Annotated[str, Rule(enum=["4"])], "The protocol's version", required=True),
    Asked("transport", Annotated[str, Rule(enum=["polling", "websocket"])], "", required=True),
    Asked("sid", str, "The session; without it, one is opened"),
)
PACKETS: Final = Answer(str, "Packets of Engine.IO, once there are any", [TEXT])
UPGRADED: Final = Answer(None, "The WebSocket is open; what goes over it is in `/asyncapi.json`")
REFUSED: Final = {
    400: Answer(EngineRefusal, "Engine.IO's own refusal"),
    403: Answer(EngineRefusal, "The origin of the page is not allowed"),
    413: Answer(EngineRefusal, "Too large"),
    503: Answer(None, "Too many sessions", headers={"Retry-After": "Seconds"}),
}


class Engine:
    """The sessions.

    :param path: where they are served; :param application: runs each of them.
    :param asks: its parameters; :param messages: its packets. Both are for the description.
    """

    def __init__(
        self,
        path: str,
        application: Application,
        settings: Settings,
        connections: Connections,
        metrics: Metrics,
        asks: Sequence[Asked] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        self._paths = (path, path + "/")
        self._application = application
        self._settings = settings
        self._connections = connections
        self._metrics = metrics
        self._asks = asks
        self._messages = messages
        self._sessions: dict[str, PollingSession] = {}
        self._strangers: dict[str, PollingSession] = {}
        self._pulse = Pulse(settings.socketio_ping_interval, settings.socketio_ping_timeout)
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
                max_message=self._settings.socketio_max_payload,
                pings=False,
                refuse=self._refuse,
                asks=[*ASKED, *self._asks],
                messages=self._messages,
            )
            for path in self._paths
        ]

    def long_polls(self) -> list[LongPollRoute]:
        return [LongPollRoute(path, self._answer, PROTOCOL, _continues) for path in self._paths]

    def routes(self) -> list[Route]:
        """The same paths for the router, which answers the preflights of browsers."""
        access, what = Access.PUBLIC, "Socket.IO, over long polling and WebSocket (Engine.IO 4)"
        return [
            route
            for path in self._paths
            for route in (
                Route(
                    "GET", path, _elsewhere, what, access, asks=ASKED, gives={200: PACKETS, 101: UPGRADED, **REFUSED}
                ),
                Route(
                    "POST",
                    path,
                    _elsewhere,
                    "Packets of a Socket.IO session that polls",
                    access,
                    asks=ASKED,
                    takes=Body({TEXT: str}),
                    gives={200: Answer(str, "`ok`", ["text/html"]), **REFUSED},
                ),
            )
        ]

    # --- WebSocket

    def _refuse(self, head: Head) -> Reply | None:
        """Why a handshake is refused: it is of another protocol, or of a session that has no use for it."""
        refusal = engineio.refuse(head.query, engineio.WEBSOCKET)
        sid = head.query.get("sid")
        if refusal is None and sid is not None and sid not in self._sessions:
            refusal = engineio.UNKNOWN_SID
        return None if refusal is None else _refused(refusal)

    def _converse(self, websocket: WebSocket) -> Awaitable[None]:
        sid = websocket.head.query.get("sid")
        if sid is not None:
            return self._upgrade(websocket, sid)
        socket = EngineSocket(websocket, websocket.receive, self._settings)
        websocket.outbox.offer(socket.open([]))
        socket.begin(self._pulse)
        return self._application(socket)

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
        websocket.head.shed()  # the session has its own
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
                session = PollingSession(self._application, nursery.start_soon, poll.head, self._settings)
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


def _continues(head: Head) -> bool:
    return "sid" in head.query


async def _elsewhere(_: Call) -> Reply:
    """What a HEAD is answered; the listener has the others answered before they reach the router."""
    return _refused(engineio.BAD_METHOD)


def _refused(refusal: Refusal) -> Reply:
    return Reply(400, refusal.encode())
