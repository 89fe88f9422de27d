"""Streams over Socket.IO, in the root namespace: first what was missed, then live, nothing in between lost.

Source: the text on streams. The query (or ``auth``, which wins) names ``stream``, ``token``
and ``channel``; ``replay``, ``replayId``, ``replaySince``, ``replayDate`` and
``replayLimit`` ask for what was published before. An event is
``message`` with the data and its id. That id is also the offset of connection state
recovery: a client that asks for it (``recovery``) goes on behind the last event that it got.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from sqlite3 import Connection
from typing import Annotated, Any, Final

import attrs

from rtlite.auth.gate import presented
from rtlite.domain.streams import Streams
from rtlite.endpoints import messages
from rtlite.endpoints.sessions import Sessions
from rtlite.endpoints.socketio import Namespace, Socket
from rtlite.errors import Forbidden, InvalidRequest, Overloaded, Reason, Refused, StorageFailed
from rtlite.hub.hub import Hub
from rtlite.hub.replay import Start, locate
from rtlite.hub.since import EventId, Since, parse_since
from rtlite.model import (
    Event,
    Identity,
    Kind,
    Position,
    check_channel,
    check_event_id,
    check_stream,
    now_ms,
    stream_channel,
)
from rtlite.protocols import socketio
from rtlite.protocols.jsonschema import Listing, Shape
from rtlite.protocols.socketio import Type
from rtlite.rules import EventId as IdOfEvent
from rtlite.rules import EventName, Id, Offset, Rule, SinceText, Timestamp
from rtlite.settings import Settings
from rtlite.store import events
from rtlite.store.database import Database
from rtlite.store.schema import store_epoch
from rtlite.transports.contract import Asked, Message
from rtlite.transports.websocket import text_frame

_NO: Final = frozenset({"", "0", "false", "no", "off"})
_ALL: Final = frozenset({"true", "yes", "all"})
_NAMES: Final = (
    "stream channel replay replayId replaySince replayDate replayLimit includeMetadata recovery".split()  # noqa: SIM905
)
_MISSING: Final = frozenset({"undefined", "null"})  # what JavaScript writes into a query for a value that is none
_NUMBER: Final = re.compile("[0-9]{1,15}")
_UNLIMITED: Final = 2**62
_WORD: Final = re.compile("[0-9.]*[A-Za-z]+")
"""More likely an age that we cannot read, as in ``yesterday`` or ``1week``, than a message's id."""

ASKED: Final = (
    Asked("stream", Id, "The stream; like all that follows, it may stand in `auth` as well", required=True),
    Asked("channel", str, "One of the stream's channels; its standard output without it"),
    Asked("replay", str, "`true` for all that is kept, or a place in history"),
    Asked("replayId", IdOfEvent, "Begin behind this event"),
    Asked("replaySince", SinceText, "Begin behind this place in history"),
    Asked("replayDate", str, "Begin at this time"),
    Asked("replayLimit", Annotated[int, Rule(minimum=0)], "The most messages that are replayed; the newest"),
    Asked("includeMetadata", str, "`1`: the data stands among what else is known of the message"),
    Asked("recovery", str, "`1`: connection state recovery"),
)


_NOTE: Final = Shape({"code": str, "message": str})
_METADATA: Final = Shape(
    {
        "id": IdOfEvent,
        "stream": Id,
        "channel": str,
        "timestamp": Timestamp,
        "offset": Offset,
        "replayed": bool,
        "data": Any,
    }
)
MESSAGES: Final = (
    *messages.events(
        "stream",
        lambda name, data: Listing([name, data, IdOfEvent]),
        lambda event: socketio.message(event).removeprefix(b"42"),
        more=False,
    ),
    Message("event", "Any event of the stream: its name, its data, its id.", Listing([EventName, Any, IdOfEvent])),
    Message("event_whole", "The same with `includeMetadata`.", Listing([EventName, _METADATA, IdOfEvent])),
    Message("warning", "A replay is not all that was asked for.", Listing(["warning", _NOTE])),
    Message("refusal", "Why a client is not let in; a disconnect follows.", Listing(["error", _NOTE])),
)
"""The arguments of Socket.IO's events, which are the JSON of its packets."""


def message(event: Event) -> bytes:
    """What every listener gets that asks for no more: one encoding, one framing for all of them."""
    return text_frame(socketio.message(event))


def message_whole(event: Event) -> bytes:
    """The same with ``includeMetadata``."""
    return _whole(event, replayed=False)


def _whole(event: Event, *, replayed: bool) -> bytes:
    _, stream, *channel = event.channel.split(":", 2)
    return text_frame(socketio.message_whole(event, stream, "".join(channel), replayed=replayed))


@attrs.frozen
class Wanted:
    """What a client asks for, from its query and ``auth``.

    ``since`` is ``None`` if nothing is to be replayed; ``by`` is what names that place, empty if nothing does.
    """

    stream: str
    channel: str
    whole: bool
    since: Since | None
    by: str
    limit: int
    recovery: bool
    pid: str
    offset: str


def wanted(query: Mapping[str, str], auth: Mapping[str, Any], now: int) -> Wanted:
    """Read what a client asks for.

    :param now: milliseconds since 1970, which ages count back from.
    :raises InvalidRequest: something is missing or cannot be read; the detail names it.
    """
    given = {name: value for name, value in query.items() if value not in _MISSING}
    given |= {name: _text(name, auth[name]) for name in _NAMES if auth.get(name) is not None}
    stream, channel = given.get("stream", ""), given.get("channel", "")
    check_stream(stream)
    name = check_channel(stream_channel(stream, channel))
    limit = given.get("replayLimit", "")
    if limit and not _NUMBER.fullmatch(limit):
        raise InvalidRequest("replayLimit: a whole number is wanted")
    since, by = _since(given, now)
    if since is None and limit:
        since = 0
    if limit and not int(limit):
        since = None
    return Wanted(
        stream,
        name,
        whole=_is_on(given.get("includeMetadata")),
        since=since,
        by=by,
        limit=int(limit) if limit else _UNLIMITED,
        recovery=_is_on(given.get("recovery")),
        pid=_text("pid", auth.get("pid", "")),
        offset=_text("offset", auth.get("offset", "")),
    )


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise InvalidRequest(f"{name}: a text is wanted")
    return value


def _is_on(text: str | None) -> bool:
    return text is not None and text.strip().lower() not in _NO


def _since(given: Mapping[str, str], now: int) -> tuple[Since | None, str]:
    """The place that a replay begins behind, and what names it: of several, the first in this order."""
    if id := given.get("replayId", ""):
        return Position.parse(id) or EventId(check_event_id(id)), "replayId"
    for name in ("replaySince", "replayDate", "replay"):
        text = given.get(name, "").strip()
        if text.lower() in _ALL:
            return 0, name
        if text.lower() not in _NO:
            try:
                return parse_since(text, now), name
            except InvalidRequest as error:
                raise InvalidRequest(f"{name}: {error.detail.removeprefix('since: ')}") from error
    return None, ""


@attrs.frozen
class Pid:
    """A client's private id for recovery: who it is, and where it stood before its first event.

    It says all that is needed to go on, so that it outlives the server. The public id is made of
    it, and does not give it away.
    """

    secret: str
    position: Position

    def __str__(self) -> str:
        return f"{self.secret}.{self.position}"

    @classmethod
    def parse(cls, text: str) -> Pid | None:
        secret, _, place = text.partition(".")
        position = Position.parse(place)
        return cls(secret, position) if position is not None and re.fullmatch(r"[\w-]{20,40}", secret) else None

    @property
    def sid(self) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(self.secret.encode()).digest()[:15]).decode()


@attrs.frozen
class _Place:
    """Where a replay begins in a channel, and where the channel was then."""

    epoch: str
    top: int
    start: Start


class StreamSockets:
    def __init__(self, hub: Hub, database: Database, sessions: Sessions, streams: Streams, settings: Settings) -> None:
        self._hub = hub
        self._database = database
        self._sessions = sessions
        self._streams = streams
        self._settings = settings

    def namespace(self) -> Namespace:
        """The root namespace."""
        root = Namespace("/")
        root.on_connect(self.connect)
        return root

    async def connect(self, socket: Socket) -> None:
        """Let a client in to its stream; what is refused is an ``error`` event, and then a disconnect."""
        try:
            await self._subscribe(socket)
        except (Overloaded, StorageFailed):
            socket.link.end(Reason.OVER_CAPACITY)  # it comes back by itself
        except Refused as refusal:
            if socket.connected:  # the right was taken away at this very moment
                socket.link.end(Reason.FORBIDDEN)
                return
            await socket.emit("error", {"code": refusal.code, "message": refusal.detail})
            await socket.disconnect()

    async def _subscribe(self, socket: Socket) -> None:
        link = socket.link
        token = _text("token", socket.auth.get("token", "")) or socket.query.get("token", "")
        secret = presented(link.head.headers, {**socket.query, "token": token})
        identity = self._sessions.identify(link, secret)
        self._sessions.take_on(link, identity)
        want = wanted(socket.query, socket.auth, now_ms())
        await self._admit(identity, want)
        since, warnings, top = await self._place(socket, want)

        def greet(position: Position | None, whole: bool) -> bytes:
            more: dict[str, str] = {}
            if socket.recovered and whole:
                more["pid"] = want.pid
            elif want.recovery and position is not None and self._hub.policies.keeps(want.channel):
                socket.recovered = False
                pid = Pid(secrets.token_urlsafe(15), position)
                socket.id, more["pid"] = pid.sid, str(pid)
            said = [socket.frames(Type.EVENT, ["warning", warning]) for warning in warnings]
            return socket.accept(**more) + b"".join(said)

        subscribed = await self._sessions.listen(
            link,
            identity,
            (want.channel,),
            message_whole if want.whole else message,
            since=since,
            greet=greet,
            replaying=(lambda event: _whole(event, replayed=event.offset <= top)) if want.whole else None,
        )

        channel = want.channel  # all that is kept of what was wanted

        def leave() -> None:
            subscribed.close()
            if link.listed is not None and channel in link.listed.channels:
                link.listed.channels.remove(channel)

        socket.on_disconnect(leave)

    async def _admit(self, identity: Identity, want: Wanted) -> None:
        """:raises Forbidden: this stream is not for this credential. Whose key is the first to name it, owns it."""
        if identity.kind is Kind.STREAM and identity.only is None:
            await self._streams.claim(want.stream, identity.user)
        try:
            await self._sessions.check(identity, (want.channel,))
        except Forbidden as error:
            raise Forbidden("stream: this credential may not read it") from error

    async def _place(self, socket: Socket, want: Wanted) -> tuple[Since | None, list[dict[str, str]], int]:
        """Where to begin, what to warn of, and the newest offset that counts as replayed."""
        pid = Pid.parse(want.pid)
        if not self._hub.policies.keeps(want.channel):
            asked = want.since is not None
            return None, [_warning("no_history", "this stream keeps no history (storeHistory)")] if asked else [], 0
        if pid is not None and (place := await self._resumed(want, pid)) is not None:
            socket.recovered, socket.id = True, pid.sid
            return Position(place.epoch, place.start.after), [], place.top
        if want.since is None:
            return None, [], 0
        place = await self._locate(want.channel, want.since)
        warnings, held = [], place.top - place.start.after
        most = min(want.limit, self._settings.max_replay)
        if held > most < want.limit:
            warnings.append(_warning("replay_limit", f"a replay has {most} messages at most: the newest follow"))
        if want.by and not place.start.recovered:
            if isinstance(want.since, EventId) and want.by != "replayId" and _WORD.fullmatch(want.since.id):
                raise InvalidRequest(f"{want.by}: an age such as 2h, an ISO 8601 time or a message's id is wanted")
            # From a time on, so many as were wanted may be there, whatever was deleted before them.
            if held < want.limit or not isinstance(want.since, int):
                warnings.append(_warning("replay_incomplete", "part of what was asked for is not kept any more"))
        return Position(place.epoch, max(place.start.after, place.top - most)), warnings, place.top

    async def _resumed(self, want: Wanted, pid: Pid) -> _Place | None:
        """Where a client goes on; ``None`` if something that it missed is gone."""
        since: Since = pid.position
        if want.offset:
            try:
                since = EventId(check_event_id(want.offset))
            except InvalidRequest:
                return None
        place = await self._locate(want.channel, since)
        whole = place.start.recovered and place.top - place.start.after <= self._settings.max_replay
        return place if whole else None

    async def _locate(self, channel: str, since: Since) -> _Place:
        def read(connection: Connection) -> _Place:
            info = events.channel_info(connection, channel)
            start = locate(connection, channel, since, _UNLIMITED)
            return _Place(info.epoch if info else store_epoch(connection), info.top if info else 0, start)

        return await self._database.read(read)


def _warning(code: str, text: str) -> dict[str, str]:
    return {"code": code, "message": text}
