"""``/graphql/ws``: GraphQL over WebSocket, by the protocol graphql-transport-ws.

Who connects says who it is in ``connection_init`` (``apiKey``, ``authorization``, or both), or
has said so in the handshake. One message after the other is read and done, so a query or a
mutation is answered before the next message is looked at; who does not read its answers is not
read either. Subscriptions go on by themselves, each executed for all that have the same
(:mod:`rtlite.endpoints.operations`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
import trio

from rtlite.auth.throttle import Bucket, Buckets
from rtlite.endpoints.graphqlmessages import MESSAGES
from rtlite.endpoints.graphqlschema import Opened
from rtlite.endpoints.operations import Executions, Outlet, channel_of
from rtlite.endpoints.pacing import held_back
from rtlite.endpoints.sessions import Sessions
from rtlite.errors import CloseCode, Reason, Refused, TooMany, Unauthorized
from rtlite.hub.hub import Hub, Subscribed
from rtlite.hub.since import parse_since
from rtlite.hub.slices import Pace
from rtlite.hub.topics import CHUNK_BYTES
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Identity, Position, now_ms, rfc3339
from rtlite.protocols import graphqlws
from rtlite.protocols.graphqllimits import QueryRefused
from rtlite.protocols.graphqlws import Answer, Begin, Close, Connect, Request, Session, State, Stop
from rtlite.settings import Settings
from rtlite.store.jobs import Job
from rtlite.transports.websocket import WebSocket, WebSocketRoute, text_frame

if TYPE_CHECKING:
    from rtlite.protocols.graphqldocuments import Operation

log = get_logger(__name__)

PATH: Final = "/graphql/ws"


def _code(row: CloseCode) -> int:
    return row.graphql


Answering = Callable[[Identity, "Operation"], Awaitable[Mapping[str, Any]]]
"""Executes a query or a mutation for whoever asks; what is refused stands in the answer, as one of its errors."""
Ended = Callable[[str], Awaitable[Job | None]]
"""What the job of a channel has come to, if it is over."""


class GraphQLSockets:
    """The door.

    :param answer: what answers queries and mutations.
    :param ended: what a subscription that came too late for the end is told instead.
    :param users: how much each user may ask, over all its connections.
    """

    def __init__(
        self,
        hub: Hub,
        sessions: Sessions,
        opened: Opened,
        answer: Answering,
        ended: Ended,
        users: Buckets,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self.hub = hub
        self.sessions = sessions
        self.opened = opened
        self.answer = answer
        self.ended = ended
        self.users = users
        self.settings = settings
        self.metrics = metrics
        self.executions = Executions(settings)

    def websockets(self) -> list[WebSocketRoute]:
        names = (graphqlws.NAME, graphqlws.OLD_NAME)
        stranger = min(graphqlws.MAX_STRANGER, self.settings.max_message)
        return [WebSocketRoute(PATH, "graphql", self.converse, _code, stranger, subprotocols=names, messages=MESSAGES)]

    async def converse(self, websocket: WebSocket) -> None:
        """One connection, to its end. Who speaks another protocol is told by the close code."""
        if websocket.subprotocol != graphqlws.NAME:
            websocket.end(Reason.SUBPROTOCOL)
            return
        await Conversation(self, websocket).run()


class Conversation:
    """One connection: who it is, and the operations it has."""

    def __init__(self, shared: GraphQLSockets, websocket: WebSocket) -> None:
        self._shared = shared
        self._websocket = websocket
        self._session = Session()
        settings = shared.settings
        self._bucket = Bucket(settings.command_rate, settings.command_burst, clock=trio.current_time)
        self._identity: Identity | None = None
        self._held: dict[str, Listening] = {}
        websocket.on_end(self._end)
        if websocket.listed is not None:
            websocket.listed.drop = self.drop

    async def run(self) -> None:
        deadline = trio.current_time() + self._shared.settings.graphql_init_timeout
        while self._session.state is State.NEW:
            with trio.CancelScope(deadline=deadline) as patience:  # once it came, it is answered
                message = await self._websocket.receive()
            if patience.cancelled_caught:
                await self._close(Reason.INIT_TIMEOUT)
            await self._turn(message)
        self._websocket.head.shed()
        while True:
            await self._turn(await self._websocket.receive())

    async def _turn(self, message: str | bytes) -> None:
        """One message; it is not held while the next is waited for."""
        # Who sends too fast is read more slowly: the protocol knows no other way to say so.
        await held_back(self._bucket, self._shared.users, self._identity)
        pace = Pace()
        step = self._session.receive(message)
        await pace.pause()  # a megabyte may take the parser 30 ms
        match step:
            case Connect():
                await self._connect(step.params)
            case Begin():
                await self._begin(step.id, step.request)
            case Stop():
                self._stop(step.id)
            case Answer():
                await self._say(step.text)
            case Close():
                await self._close(step.reason)

    async def _close(self, reason: Reason) -> None:
        self._websocket.end(reason)
        await trio.lowlevel.checkpoint()  # the scope is cancelled: the conversation ends here

    async def _say(self, *messages: bytes) -> None:
        """Send these together, once there is room."""
        await self._websocket.outbox.send(b"".join(map(text_frame, messages)))

    async def _connect(self, params: dict[str, Any]) -> None:
        """Find out who this is. The answer also says what time it is here: a place for ``since`` to begin with."""
        try:
            identity = self._shared.sessions.identify_by(self._websocket, params)
        except Unauthorized:
            await self._close(Reason.UNAUTHORIZED)
        except TooMany:
            await self._close(Reason.RATE_LIMITED)
        else:
            self._identity = identity
            self._shared.sessions.take_on(self._websocket, identity)
            self._websocket.allow(self._shared.settings.max_message)
            expires = None if identity.expires is None else rfc3339(int(identity.expires * 1000))
            said = {"user": identity.user, "expiresAt": expires, "now": rfc3339(now_ms())}
            await self._say(self._session.acknowledge(said))

    async def _begin(self, id: str, request: Request) -> None:
        """Run one operation, or let it begin; what it raises is its end, and the connection goes on."""
        errors: list[dict[str, Any]]
        try:
            await self._run(id, request)
            return
        except QueryRefused as refusal:
            errors = refusal.errors
        except Refused as refusal:
            errors = [_as_error(refusal)]
        except self._websocket.gone:
            raise
        except Exception:
            log.exception("an operation failed", protocol=self._websocket.protocol)
            self._shared.metrics.faults.inc()
            errors = [{"message": "the server made a mistake", "extensions": {"code": "internal_error"}}]
        self._session.finish(id)
        await self._say(graphqlws.error(graphqlws.written_id(id), errors))

    async def _run(self, id: str, request: Request) -> None:
        """:raises Refused: it was not done."""
        assert self._identity is not None  # noqa: S101  # before that no operation begins
        pace = Pace()
        operation = (await self._shared.opened()).prepare(request.query, request.variables, request.operation_name)
        await pace.pause()
        if operation.kind == "subscription":
            await self._subscribe(self._identity, id, operation)
            return
        answer = orjson.dumps(await self._shared.answer(self._identity, operation))
        self._session.finish(id)
        written = graphqlws.written_id(id)
        await self._say(graphqlws.next_result(written, answer), graphqlws.complete(written))

    async def _subscribe(self, identity: Identity, id: str, operation: Operation) -> None:
        """Let a subscription begin. Nothing says so: its results do, or the error that ends it.

        If something is missing of what ``since`` asks for, that is its first result. Without ``since``,
        a job that is over already is its only one: no event will come that completes it.

        :raises Refused: there is no subscription.
        """
        shared, websocket = self._shared, self._websocket
        if len(self._held) >= (most := shared.settings.max_channels):
            raise Refused(f"a connection has {most} subscriptions at most; complete one first", code="too_many")
        weight = operation.weight + sum(listening.weight for listening in self._held.values())
        if weight > shared.settings.graphql_held:
            raise Refused("the connection's subscriptions are too large together; complete one first", code="too_many")
        channel = channel_of(operation, identity)
        text = operation.roots[0].args.get("since")
        since = None if text is None else parse_since(text, now_ms())
        execution = shared.executions.of(operation, channel)
        await websocket.outbox.room(CHUNK_BYTES)  # who does not read what it has gets no more
        await shared.sessions.check(identity, (channel,))
        outlet = Outlet(websocket.outbox, id, partial(self._complete, id) if execution.last else None)
        listening = Listening(websocket, channel, operation.weight)

        def greet(position: Position | None, recovered: bool) -> bytes:
            lost = since is not None and not recovered
            return text_frame(graphqlws.next_result(outlet.id, _lost(position))) if lost else b""

        with websocket.about_to_listen(channel) as coming:
            await shared.sessions.check(identity, (channel,))
            listening.subscribed = await shared.hub.subscribe(
                channel,
                outlet,
                execution.encoder(len(outlet.id)),
                spawn=listening.spawn,
                on_lost=websocket.end,
                since=since,
                greet=greet,
                listener=websocket.listed,
            )
        self._held[id] = listening
        if websocket.listed is not None:
            websocket.listed.listens_to((channel,))
        if coming.dropped:
            self.drop(channel)
        # Its end may also come while we look: then the subscription is complete, and held no more.
        ended = await shared.ended(channel) if execution.last and since is None else None
        if ended is not None and self._held.get(id) is listening:
            self._complete(id)
            answer = orjson.dumps(operation.answer({execution.key: ended.as_json()}))
            await self._say(graphqlws.next_result(outlet.id, answer), graphqlws.complete(outlet.id))

    def _complete(self, id: str) -> None:
        """The server has said so itself."""
        self._session.finish(id)
        self._stop(id)

    def _stop(self, id: str) -> None:
        """The operation is over: not even what is on its way out of the history is sent any more."""
        if (listening := self._held.pop(id, None)) is not None:
            listening.close()
            if self._websocket.listed is not None:
                self._websocket.listed.channels.remove(listening.channel)

    def drop(self, channel: str) -> None:
        """The right to read this is gone: the operations that do end, and the client is told."""
        for id in [id for id, listening in self._held.items() if listening.channel == channel]:
            self._complete(id)
            gone = {"message": f"{channel} may not be read any more", "extensions": {"code": "forbidden"}}
            notice = text_frame(graphqlws.error(graphqlws.written_id(id), [gone]))
            if not self._websocket.outbox.offer(notice):
                self._websocket.spawn(self._websocket.outbox.send, notice)

    def _end(self) -> None:
        for listening in self._held.values():
            listening.close()
        self._held.clear()


class Listening:
    """A subscription of one connection, and its task while it reads from the history.

    :param weight: the bytes that its document takes, about.
    """

    def __init__(self, websocket: WebSocket, channel: str, weight: int) -> None:
        self._websocket = websocket
        self._reading: trio.CancelScope | None = None
        self.channel = channel
        self.weight = weight
        self.subscribed: Subscribed | None = None

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        self._websocket.spawn(self._read, function, *args)

    async def _read(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        with trio.CancelScope() as self._reading:
            await function(*args)

    def close(self) -> None:
        if self.subscribed is not None:
            self.subscribed.close()
            self.subscribed = None  # which knows us: without the ring, what it was executed by goes at once
        if self._reading is not None:
            self._reading.cancel()


def _as_error(refusal: Refused) -> dict[str, Any]:
    return {"message": refusal.detail, "extensions": {"code": refusal.code}}


def _lost(position: Position | None) -> bytes:
    """The result that says so where something is missing; what is left of it follows."""
    error = {
        "message": "since: part of what was asked for is not kept any more; what is left follows",
        "extensions": {"code": "history_lost"},
    }
    extensions = {} if position is None else {"extensions": {"position": str(position)}}
    return orjson.dumps({"data": None, "errors": [error], **extensions})
