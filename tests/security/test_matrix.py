"""Who may do what, where: every credential, every kind of channel, every door, from one table.

The tables below are written by hand from the contract. Nothing here looks at
``rtlite/auth/grants.py``, so that a mistake there, or a door that forgets to ask, is seen.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import attrs
import orjson
import pytest

from rtlite.domain import samples
from rtlite.model import Kind, Role
from rtlite.settings import KindSettings
from tests.security.graphql import Socket, code_of, graphql_socket, params
from tests.security.scene import Line, Scene, staged
from tests.transports.doors import CLOSE, TEXT, Answer, frame

# r: reads (live, history, presence); w: publishes. Everybody is called ann. Ann may post to conversation:writes,
# read conversation:reads, and is no member of conversation:closed;
# one stream and one job are hers. A pattern can only be read.
TABLE: Final = """
                           own others others:* article article:* change changes:* job myjob  jobs:* writes reads closed conversations:* room room:* free stream mine errors streams:*
blog key                    r     -       -       r        r       -        -      -   -        -      -     -      -           -         -     -      -     -      -    -      -
project key                 -     -       -       -        -       r        r      r   r        r      -     -      -           -         -     -      -     -      -    -      -
project key, write          w     w       -       w        -       rw       r      rw  rw       r      w     w      w           -         w     -      w     w      w    w      -
stream key                  -     -       -       -        -       -        -      -   -        -      -     -      -           -         -     -      -     -      rw   rw     -
admin key                   rw    rw      r       rw       r       rw       r      rw  rw       r      rw    rw     rw          r         rw    r      rw    rw     rw   rw     r
token, user                 r     -       -       r        r       r        r      -   r        -      rw    r      -           -         -     -      -     -      -    -      -
token, customer             r     -       -       r        r       r        r      -   r        -      rw    r      -           -         -     -      -     -      -    -      -
token, collab               r     -       -       r        r       r        r      r   r        r      rw    r      -           -         -     -      -     -      -    -      -
token, admin                r     -       -       r        r       r        r      r   r        r      rw    r      -           -         -     -      -     -      -    -      -
token, some patterns        r     r       -       rw       r       r        r      r   r        -      rw    r      -           -         rw    r      -     -      -    -      -
token, all of others:*      r     -       -       r        r       r        r      -   r        -      rw    r      -           -         -     -      -     -      -    -      -
token, everything           rw    w       -       rw       r       rw       r      rw  rw       r      rw    rw     rw          r         rw    r      rw    rw     rw   rw     r
ticket, blog key            r     -       -       r        r       -        -      -   -        -      -     -      -           -         -     -      -     -      -    -      -
ticket, project key         -     -       -       -        -       r        r      r   r        r      -     -      -           -         -     -      -     -      -    -      -
ticket, stream key          -     -       -       -        -       -        -      -   -        -      -     -      -           -         -     -      -     -      rw   rw     -
ticket, admin key           rw    rw      r       rw       r       rw       r      rw  rw       r      rw    rw     rw          r         rw    r      rw    rw     rw   rw     r
ticket, token               r     -       -       r        r       r        r      -   r        -      rw    r      -           -         -     -      -     -      -    -      -
ticket for an article       -     -       -       r        -       -        -      -   -        -      -     -      -           -         -     -      -     -      -    -      -
"""

# The same server with --dev: "any channel but another user's notifications", and keys as ever.
TABLE_DEV: Final = """
                           own others others:* article article:* change changes:* job myjob  jobs:* writes reads closed conversations:* room room:* free stream mine errors streams:*
blog key                    r     -       -       r        r       -        -      -   -        -      -     -      -           -         -     -      -     -      -    -      -
project key                 -     -       -       -        -       r        r      r   r        r      -     -      -           -         -     -      -     -      -    -      -
stream key                  -     -       -       -        -       -        -      -   -        -      -     -      -           -         -     -      -     -      rw   rw     -
token, user                 rw    -       -       rw       r       rw       r      rw  rw       r      rw    rw     rw          r         rw    r      rw    rw     rw   rw     r
token, admin                rw    -       -       rw       r       rw       r      rw  rw       r      rw    rw     rw          r         rw    r      rw    rw     rw   rw     r
token, all of others:*      rw    -       -       rw       r       rw       r      rw  rw       r      rw    rw     rw          r         rw    r      rw    rw     rw   rw     r
ticket, token               rw    -       -       rw       r       rw       r      rw  rw       r      rw    rw     rw          r         rw    r      rw    rw     rw   rw     r
ticket for an article       -     -       -       r        -       -        -      -   -        -      -     -      -           -         -     -      -     -      -    -      -
"""

NAMES: Final = {
    "own": "notifications:ann",
    "others": "notifications:bob",
    "others:*": "notifications:*",
    "article": "article:a",
    "article:*": "article:*",
    "change": "changes:product",
    "changes:*": "changes:*",
    "job": "jobs:job_9",
    "myjob": "jobs:mine",
    "jobs:*": "jobs:*",
    "writes": "conversation:writes",
    "reads": "conversation:reads",
    "closed": "conversation:closed",
    "conversations:*": "conversation:*",
    "room": "room:1",
    "room:*": "room:*",
    "free": "free",
    "stream": "stream:bobs",
    "mine": "stream:dwd23RWdwE",
    "errors": "stream:dwd23RWdwE:errors",
    "streams:*": "stream:*",
}
EVERYTHING: Final = "*"  # no name that anyone may use: a subscription names a channel or a kind
CHANNELS: Final = [*NAMES.values(), EVERYTHING]

# Nobody: whatever the channel and the door, these are answered as unauthorized.
NOBODY: Final = (
    "anonymous", "unknown key", "revoked key", "expired key", "used ticket", "ticket of a revoked key", "unknown ticket",
    "expired token", "token of tomorrow", "token issued tomorrow", "token for another audience", "token without audience",
    "token of another issuer", "token without exp", "token without sub", "token with alg none", "token with alg None",
    "token signed with HS512", "token that claims RS256", "token signed by another", "token without signature",
    "token with another role", "token for a year",
)  # fmt: skip
SOME_NOBODY: Final = ("anonymous", "revoked key", "expired token", "token with alg none", "token signed by another")


def rights(table: str) -> dict[str, dict[str, str]]:
    """By credential and channel: ``r``, ``w``, ``rw`` or nothing."""
    head, *rows = table.strip().splitlines()
    channels = [NAMES[column] for column in head.split()]
    assert channels == list(NAMES.values())
    found = {}
    for row in rows:
        cells = row[25:].split()
        assert len(cells) == len(channels), row
        found[row[:25].strip()] = {name: cell.strip("-") for name, cell in zip(channels, cells, strict=True)}
    return found


# --- the doors

ALLOWED, FORBIDDEN, UNAUTHORIZED, INVALID, ABSENT = "allowed", "forbidden", "unauthorized", "invalid", "absent"
_OF_STATUS: Final = {
    200: ALLOWED, 201: ALLOWED, 400: INVALID, 401: UNAUTHORIZED, 403: FORBIDDEN, 404: ABSENT,
}  # fmt: skip
_OF_CLOSE: Final = {4401: UNAUTHORIZED, 4403: FORBIDDEN}
_OF_ERROR: Final = {"unauthorized": FORBIDDEN, "invalid_request": INVALID}
_OF_CODE: Final = {
    None: ALLOWED, "forbidden": FORBIDDEN, "unauthorized": UNAUTHORIZED, "not_found": ABSENT, "invalid_request": INVALID,
    "invalid_channel": INVALID, "history_lost": ALLOWED,
}  # fmt: skip

Answers = dict[str, str]
"""What came of it, by channel."""


@attrs.frozen
class Door:
    """One way in.

    :param ask: tries a credential on channels, and says what came of it.
    :param right: what it takes to pass: ``r`` or ``w``.
    :param kinds: whose credentials are taken here at all; everybody else is forbidden whatever the channel.
    :param channels: those that can be named here.
    :param patterns: whether a whole kind can be.
    :param also: a channel that is asked for before, in the same breath; both are given or neither.
    :param late: whether the right is looked at before what cannot be named here.
    :param besides: whom this door lets in whatever the channel.
    """

    ask: Callable[[Stage, str, list[str]], Answers]
    right: str
    kinds: tuple[str, ...] = ("blog", "project", "stream", "admin", "token", "article")
    channels: Callable[[str], bool] = lambda channel: True
    patterns: bool = False
    also: str | None = None
    late: bool = False
    besides: tuple[str, ...] = ()

    def expected(self, credential: str, channel: str, table: dict[str, dict[str, str]]) -> str:
        if credential in NOBODY:
            return UNAUTHORIZED
        if credential in self.besides:
            return ALLOWED
        if not any(kind in credential for kind in self.kinds):
            return FORBIDDEN
        wanted = [name for name in (self.also, channel) if name in table[credential]]
        allowed = all(self.right in table[credential][name] for name in wanted)
        if channel == EVERYTHING or (channel.endswith(":*") and not self.patterns):
            return INVALID if allowed or not self.late else FORBIDDEN
        return ALLOWED if allowed else FORBIDDEN


def over_http(method: str, path: str, body: Callable[[str], Any] = lambda channel: None) -> Any:
    """Asks once for each channel, on one connection; twice if the answer depends on no ticket, as clients do."""

    def ask(stage: Stage, credential: str, channels: list[str]) -> Answers:
        found = {}
        with stage.scene.door.connect() as line:
            for number, channel in enumerate(channels):
                secret = stage.secret(credential)
                target, headers = presented(path.format(channel, channel.partition(":")[2]), secret, number)
                answers = [stage.scene.request(method, target, body(channel), line=line, **headers)]
                if secret is None or not secret.startswith("tkt_"):  # the same head again may take another way
                    answers.append(stage.scene.request(method, target, body(channel), line=line, **headers))
                (status,) = {min(answer.status, 201) if answer.status < 300 else answer.status for answer in answers}
                found[channel] = _OF_STATUS[status]
        return found

    return ask


def over_a_blog_socket(stage: Stage, credential: str, channels: list[str]) -> Answers:
    """A connection for each channel. Who asks for what was missed is greeted, so that success can be seen."""
    found = {}
    for number, channel in enumerate(channels):
        own = channel == NAMES["own"]
        path = "/blog/ws/notifications" if own else f"/blog/ws/articles/{channel.partition(':')[2]}"
        with stage.socket(f"{path}?since=1s", credential, number) as line:
            found[channel] = outcome(line)
    return found


def outcome(line: Line) -> str:
    """Of the first message or the close frame."""
    opcode, payload = line.frame()
    if opcode == CLOSE:
        return _OF_CLOSE[int.from_bytes(payload[:2], "big")]
    assert opcode == TEXT
    message = orjson.loads(payload)
    return ALLOWED if message["type"] in {"connected", "subscribed"} else str(message)


def over_sse(path: str, method: str = "GET") -> Any:
    """A connection for each channel: a status, or a stream whose first event says that it is connected."""

    def ask(stage: Stage, credential: str, channels: list[str]) -> Answers:
        found = {}
        for number, channel in enumerate(channels):
            target, headers = presented(path.format(channel), stage.secret(credential), number)
            fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
            with stage.scene.door.connect() as line:
                line.send(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
                found[channel] = _OF_STATUS[int(line.until(b"\r\n\r\n").split()[1])]
                if found[channel] == ALLOWED and method == "GET":
                    line.until(b"event: connected\n")
        return found

    return ask


_WELCOME: Final = re.compile(rb'40\{"sid":"[^"]+","pid":"[^"]+"\}')
_REFUSED: Final = re.compile(rb'42\["error",\{"code":"(\w+)"')
_OF_SOCKETIO: Final = {"unauthorized": UNAUTHORIZED, "forbidden": FORBIDDEN}


def over_socketio(transport: str) -> Any:
    """A connection for each channel of a stream. Who asks for recovery and is let in gets a private id."""

    def ask(stage: Stage, credential: str, channels: list[str]) -> Answers:
        found = {}
        for number, channel in enumerate(channels):
            _, stream, *name = channel.split(":")
            path = f"/socket.io/?EIO=4&transport={transport}&stream={stream}&channel={''.join(name)}&recovery=1"
            secret = stage.secret(credential)
            said = (by_websocket if transport == "websocket" else by_polls)(stage, path, secret, number)
            refused = _REFUSED.search(said)
            assert bool(refused) is not bool(_WELCOME.search(said)), said
            found[channel] = _OF_SOCKETIO[refused[1].decode()] if refused else ALLOWED
        return found

    return ask


def by_websocket(stage: Stage, path: str, secret: str | None, number: int) -> bytes:
    target, headers = presented(path, secret, number)
    with stage.scene.upgrade(target, **headers) as line:
        assert line.text()[:1] == b"0"
        line.send(frame(b"40"))
        said = line.text()
        return said if _WELCOME.fullmatch(said) else said + line.text()


def by_polls(stage: Stage, path: str, secret: str | None, number: int) -> bytes:
    target, headers = presented(path, secret, number)
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
    with stage.scene.door.connect() as line:

        def request(method: str, body: str = "") -> bytes:
            start = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
            line.send((start + body).encode())
            answer = line.answer()
            assert answer.status == 200
            return answer.body

        target += "&sid=" + orjson.loads(request("GET")[1:])["sid"]
        assert request("POST", "40") == b"ok"
        said = request("GET")
        while not (_WELCOME.search(said) or _REFUSED.search(said)):
            said += request("GET")
        request("POST", "1")
        return said


def over_a_command_socket(path: str, type: str, **fields: Any) -> Any:
    """One connection for all channels."""

    def ask(stage: Stage, credential: str, channels: list[str]) -> Answers:
        with stage.socket(path, credential) as line:
            client = Commands(line, nested=path == "/ws")
            if (closed := client.open()) is not None:
                return dict.fromkeys(channels, closed)
            return {channel: client.ask(type, channel=channel, **fields) for channel in channels}

    return ask


def by_what_arrives(path: str) -> Any:
    """Subscribes to everything, whatever the answers, and looks which events come."""

    def ask(stage: Stage, credential: str, channels: list[str]) -> Answers:
        with stage.socket(path, credential) as line:
            client = Commands(line, nested=path == "/ws")
            if (closed := client.open()) is not None:
                return dict.fromkeys(channels, closed)
            for channel in dict.fromkeys([*CHANNELS, *channels]):
                client.ask("subscribe", channel=channel)
            events = [{"channel": channel, "event": "arrival"} for channel in channels]
            assert stage.scene.request("POST", "/api/publish/batch", {"events": events}).status == 201
            client.ask("ping")
            arrived = {event["channel"] for event in client.events}
            return {channel: ALLOWED if channel in arrived else FORBIDDEN for channel in channels}

    return ask


class Commands:
    """A client of a command socket."""

    def __init__(self, line: Line, *, nested: bool) -> None:
        self._line = line
        self._nested = nested
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def open(self) -> str | None:
        """What the connection was closed for, if it was."""
        if not self._nested:
            self._send({"type": "ping", "id": "first"})
        message = orjson.loads(self._line.text())
        if message["type"] != "error":
            return None
        assert (message["data"] if self._nested else message)["code"] == "unauthorized"
        return _OF_CLOSE[self._line.close_code()]

    def ask(self, type: str, **fields: Any) -> str:
        number = next(self._numbers)
        self._send({"type": type, "id": number} | ({"data": fields} if self._nested else fields))
        while True:
            message = orjson.loads(self._line.text())
            if message.get("id") == number:  # an event's is a text
                break
            self.events.append(message)
        if message["type"] != "error":
            return ALLOWED
        return _OF_ERROR[(message["data"] if self._nested else message)["code"]]

    def _send(self, message: dict[str, Any]) -> None:
        self._line.send(frame(orjson.dumps(message)))


def over_graphql(query: str) -> Any:
    """A query or a mutation over HTTP, with the channel as the variable ``name``."""

    def ask(stage: Stage, credential: str, channels: list[str]) -> Answers:
        found = {}
        with stage.scene.door.connect() as line:
            for number, channel in enumerate(channels):
                target, headers = presented("/graphql", stage.secret(credential), number)
                body = {"query": query, "variables": {"name": channel}}
                answer = stage.scene.request(
                    "POST", target, body, line=line, Content_Type="application/json", **headers
                )
                found[channel] = outcome_of(answer)
        return found

    return ask


def outcome_of(answer: Answer) -> str:
    """Of an answer of GraphQL over HTTP."""
    return _OF_CODE[code_of(answer.json)] if answer.status == 200 else _OF_STATUS[answer.status]


@contextmanager
def connected(stage: Stage, credential: str, number: int = 0) -> Iterator[Socket | str]:
    """A socket on which it is known who asks; or why there is none."""
    with graphql_socket(stage.scene) as socket:
        code = socket.connect(params(stage.secret(credential), number))
        assert code in {None, 4403}
        yield socket if code is None else UNAUTHORIZED


def over_a_graphql_socket(query: str, variables: Callable[[str], dict[str, Any]] = lambda name: {"name": name}) -> Any:
    """One connection for all channels; of a subscription, the first result: each channel has an event from before."""

    def ask(stage: Stage, credential: str, channels: list[str]) -> Answers:
        with connected(stage, credential, len(channels)) as socket:
            if isinstance(socket, str):
                return dict.fromkeys(channels, socket)
            return {
                channel: _OF_CODE[code_of(socket.ask(str(number), query, variables(channel)))]
                for number, channel in enumerate(channels)
            }

    return ask


def by_what_graphql_hears(stage: Stage, credential: str, channels: list[str]) -> Answers:
    """Subscribes to everything, and publishes until each subscription has heard or was refused; and then once more."""
    with connected(stage, credential) as socket:
        if isinstance(socket, str):
            return dict.fromkeys(channels, socket)
        for name in channels:
            socket.begin(name, "subscription ($name: String!) { event(channel: $name) { event } }", {"name": name})
        events = {"events": [{"channel": channel, "event": "arrival"} for channel in channels]}
        once_more = True
        while once_more or {message["id"] for message in socket.heard} != set(channels):
            once_more = {message["id"] for message in socket.heard} != set(channels)
            assert stage.scene.request("POST", "/api/publish/batch", events).status == 201
            socket.ask("now", "{ __typename }")
        arrived = {message["id"] for message in socket.heard if message["type"] == "next"}
        refused = {message["id"] for message in socket.heard if message["type"] == "error"}
        assert not arrived & refused
        return {channel: ALLOWED if channel in arrived else FORBIDDEN for channel in channels}


def _event(channel: str) -> dict[str, Any]:
    return {"channel": channel, "event": "typing", "data": {"n": 1}}


def _status(channel: str) -> dict[str, Any]:
    kind, _, name = channel.partition(":")
    return {"entity_type": kind, "entity_id": name, "status": "done"}


def _has_kind(channel: str) -> bool:
    return ":" in channel


def _is_concrete(channel: str) -> bool:
    return not channel.endswith("*")


def _is_of_a_stream(channel: str) -> bool:
    return channel.startswith("stream:") and _is_concrete(channel)


def _is_conversation(channel: str) -> bool:
    return channel.startswith("conversation:")


def _is_job(channel: str) -> bool:
    return channel.startswith("jobs:") and _is_concrete(channel)


def _is_inbox(channel: str) -> bool:
    return channel.startswith("notifications:") and _is_concrete(channel)


def _named(channel: str) -> dict[str, Any]:
    """What a channel is the channel of; of all jobs there is none to name."""
    return {} if channel == NAMES["jobs:*"] else {"name": channel.partition(":")[2]}


_TOKENS: Final = ("token",)
_BACKEND: Final = ("project key, write", "admin key")
_EVENTS: Final = ("token", "project", "admin")
_GRAPHQL: Final = ("blog", "project", "stream", "admin", "token", "article")
_HISTORY: Final = "query ($name: String!) { history(channel: $name) { nodes { id } } }"
_PUBLISH: Final = 'mutation ($name: String!) { publishEvent(channel: $name, event: "typing", data: {n: 1}) { id } }'
_CHANGES: Final = 'subscription ($name: String!) { recordChanged(modelKey: $name, since: "1h") { type } }'
_JOBS: Final = 'subscription ($name: ID) { jobProgress(jobId: $name, since: "1h") { id } }'
_INBOX: Final = 'subscription { notificationReceived(since: "1h") { id } }'
_SUBSCRIBE: Final = 'subscription ($name: String!) { event(channel: $name, since: "1h") { id } }'

DOORS: Final = {
    "history": Door(over_http("GET", "/api/channels/{0}/history"), "r"),
    "presence": Door(over_http("GET", "/api/channels/{0}/presence"), "r"),
    "publish": Door(over_http("POST", "/api/publish", _event), "w"),
    "batch": Door(over_http("POST", "/api/publish/batch", lambda channel: {"events": [_event(channel)]}), "w"),
    "status": Door(over_http("POST", "/status", _status), "w", channels=_has_kind),
    "messages": Door(
        over_http("POST", "/conversations/{1}/messages", lambda channel: {"content": "hi", "sender_id": "ann"}),
        "w", channels=_is_conversation,
    ),
    "job": Door(over_http("GET", "/jobs/{1}"), "r", channels=_is_job),
    "job, changed": Door(
        over_http("PATCH", "/jobs/{1}", lambda channel: {"progress": 5}), "w", _BACKEND, channels=_is_job
    ),
    "inbox": Door(
        over_http("GET", "/notifications?userId={1}"), "r", channels=_is_inbox, besides=("project key, write",)
    ),
    "notify": Door(
        over_http(
            "POST", "/notifications", lambda channel: {"userId": channel.partition(":")[2], "type": "t", "title": "t"}
        ),
        "w", _BACKEND, channels=_is_inbox,
    ),
    "blog socket": Door(
        over_a_blog_socket, "r", channels=lambda channel: channel in {NAMES["own"], NAMES["article"]}
    ),
    "sse": Door(over_sse("/sse/{0}"), "r", patterns=True),
    "sse resume": Door(over_sse("/sse/{0}?lastEventId=1h"), "r", patterns=True),
    "sse presence": Door(over_sse("/sse/{0}?presence=1"), "r", late=True),
    "sse head": Door(over_sse("/sse/{0}", "HEAD"), "r", patterns=True),
    "sse head of two": Door(
        over_sse("/sse?channel={0}&channel=article:a", "HEAD"), "r", patterns=True, also=NAMES["article"]
    ),
    "sse of one": Door(over_sse("/sse?channel={0}"), "r", patterns=True),
    "sse of two": Door(
        over_sse("/sse?channel=article:a&channel={0}"), "r", patterns=True, also=NAMES["article"], late=True
    ),
    "socket.io": Door(over_socketio("websocket"), "r", channels=_is_of_a_stream),
    "socket.io polling": Door(over_socketio("polling"), "r", channels=_is_of_a_stream),
    "/ws subscribe": Door(over_a_command_socket("/ws", "subscribe"), "r", _TOKENS, patterns=True),
    "/ws resume": Door(over_a_command_socket("/ws", "subscribe", since="1h"), "r", _TOKENS, patterns=True),
    "/ws publish": Door(over_a_command_socket("/ws", "publish", event="typing"), "w", _TOKENS),
    "/ws presence": Door(over_a_command_socket("/ws", "presence", action="list"), "r", _TOKENS),
    "/ws attend": Door(over_a_command_socket("/ws", "subscribe", presence=True), "r", _TOKENS, late=True),
    "/ws arrivals": Door(by_what_arrives("/ws"), "r", _TOKENS, channels=_is_concrete),
    "/_events subscribe": Door(over_a_command_socket("/_events", "subscribe"), "r", _EVENTS, patterns=True),
    "/_events resume": Door(over_a_command_socket("/_events", "subscribe", since="1h"), "r", _EVENTS, patterns=True),
    "/_events publish": Door(over_a_command_socket("/_events", "publish", event="typing"), "w", _EVENTS),
    "/_events presence": Door(over_a_command_socket("/_events", "presence", action="list"), "r", _EVENTS),
    "/_events attend": Door(over_a_command_socket("/_events", "subscribe", presence={"here": 1}), "r", _EVENTS, late=True),
    "/_events arrivals": Door(by_what_arrives("/_events"), "r", _EVENTS, channels=_is_concrete),
    "graphql history": Door(over_graphql(_HISTORY), "r", _GRAPHQL),
    "graphql position": Door(over_graphql("query ($name: String!) { position(channel: $name) }"), "r", _GRAPHQL),
    "graphql publish": Door(over_graphql(_PUBLISH), "w", _GRAPHQL),
    "/graphql/ws history": Door(over_a_graphql_socket(_HISTORY), "r", _GRAPHQL),
    "/graphql/ws publish": Door(over_a_graphql_socket(_PUBLISH), "w", _GRAPHQL),
    "/graphql/ws subscribe": Door(over_a_graphql_socket(_SUBSCRIBE), "r", _GRAPHQL, patterns=True),
    "/graphql/ws recordChanged": Door(
        over_a_graphql_socket(_CHANGES, _named), "r", _GRAPHQL, channels=lambda channel: channel.startswith("changes:"), patterns=True
    ),
    "/graphql/ws jobProgress": Door(
        over_a_graphql_socket(_JOBS, _named), "r", _GRAPHQL, channels=lambda channel: channel.startswith("jobs:"), patterns=True
    ),
    "/graphql/ws inbox": Door(
        over_a_graphql_socket(_INBOX, lambda channel: {}), "r", _GRAPHQL, channels=lambda channel: channel == NAMES["own"]
    ),
    "/graphql/ws arrivals": Door(by_what_graphql_hears, "r", _GRAPHQL, channels=_is_concrete),
}  # fmt: skip


# --- the server, and everyone's credentials

JWT_SECRET: Final = "the matrix has a secret of its own, long enough"
CLAIMS: Final = {"sub": "ann", "aud": "matrix", "iss": "issuer"}


def presented(target: str, secret: str | None, number: int) -> tuple[str, dict[str, str]]:
    """A credential can be shown in four ways; each is used in turn. (An empty header shows none.)"""
    if secret is None:
        return target, {"X-Api-Key": ""}
    sign = "&" if "?" in target else "?"
    return (
        (target, {"X-Api-Key": "", "Authorization": f"Bearer {secret}"}),
        (target, {"X-Api-Key": secret}),
        (f"{target}{sign}token={secret}", {"X-Api-Key": ""}),
        (f"{target}{sign}apiKey={secret}", {"X-Api-Key": ""}),
    )[number % 4]


def forged(claims: dict[str, Any], alg: str = "HS256", digest: Any = hashlib.sha256, secret: str = JWT_SECRET) -> str:
    """A token put together by hand."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    signed = f"{part(json.dumps({'alg': alg, 'typ': 'JWT'}).encode())}.{part(json.dumps(claims).encode())}"
    signature = hmac.new(secret.encode(), signed.encode(), digest).digest() if digest is not None else b""
    return f"{signed}.{part(signature)}"


def kept_event(channel: str) -> dict[str, Any]:
    """Something that happened on a channel before, as the fields of GraphQL have it."""
    kind = channel.partition(":")[0]
    sample = samples.find({"changes": "UPDATED", "jobs": "job.progress"}.get(kind, "notification.new"))
    assert sample is not None
    return {"channel": channel, "event": sample.event_name, "data": sample.data(channel)}


class Stage:
    """A server whose ann has every kind of credential."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._server = scene.server.running.server  # type: ignore[union-attr]  # it runs in a thread
        self._secrets: dict[str, str] = {}
        for conversation, user, write in (("writes", "ann", True), ("reads", "ann", False), ("closed", "bob", True)):
            path = f"/conversations/{conversation}/members/{user}"
            assert scene.request("PUT", path, {"write": write}).status == 201
        assert scene.request("POST", "/blog/v1/articles", {"slug": "a", "title": "A"}).status == 201
        for job, user in (("mine", "ann"), ("job_9", "bob")):
            assert scene.request("POST", "/jobs", {"type": "import", "userId": user, "id": job}).status == 201
        for stream, user in (("dwd23RWdwE", "ann"), ("bobs", "bob")):
            scene.run(partial(self._server.streams.claim, stream, user))
        kept = {"events": [kept_event(name) for name in NAMES.values() if not name.endswith("*")]}
        assert scene.request("POST", "/api/publish/batch", kept).status == 201
        self._make_keys()
        self._make_tokens()

    def secret(self, credential: str) -> str | None:
        """A ticket can be used once, so it is another each time."""
        if credential == "anonymous":
            return None
        if credential == "ticket for an article":
            return str(self.scene.request("POST", "/blog/v1/articles/a/ticket", X_Api_Key="").json["ticket"])
        if credential.startswith("ticket, "):
            of = {"ticket, token": "token, user"}.get(credential, credential.removeprefix("ticket, "))
            return self._ticket(self._secrets[of])
        return self._secrets[credential]

    @contextmanager
    def socket(self, path: str, credential: str, number: int = 0) -> Iterator[Line]:
        target, headers = presented(path, self.secret(credential), number)
        with self.scene.upgrade(target, **headers) as line:
            yield line

    def _ticket(self, secret: str) -> str:
        return str(self.scene.request("POST", "/api/tickets", X_Api_Key=secret).json["ticket"])

    def _make_keys(self) -> None:
        def make(kind: str, **options: Any) -> str:
            async def create() -> str:
                return (await self._server.keyring.create(Kind(kind), "ann", **options))[1]

            return str(self.scene.run(create))

        def revoked(secret: str) -> str:
            async def revoke() -> None:
                await self._server.keyring.revoke(self._server.keyring.find(secret).id)

            self.scene.run(revoke)
            return secret

        for kind in ("blog", "project", "stream", "admin"):
            self._secrets[f"{kind} key"] = make(kind)
        self._secrets["project key, write"] = make("project", write=True)
        self._secrets["revoked key"] = revoked(make("admin"))
        self._secrets["expired key"] = make("admin", expires_in=0.001)
        self._secrets["unknown key"] = "rtk_" + "x" * 43
        self._secrets["unknown ticket"] = "tkt_" + "x" * 43
        ended = make("admin")
        self._secrets["ticket of a revoked key"] = self._ticket(ended)
        revoked(ended)
        self._secrets["used ticket"] = used = self._ticket(self._secrets["admin key"])
        assert self.scene.request("GET", "/api/keys", X_Api_Key=used).status == 200

    def _make_tokens(self) -> None:
        now = time.time()
        hour = CLAIMS | {"exp": now + 3600}
        for role in Role:
            self._secrets[f"token, {role.value}"] = forged(hour | {"role": role.value})
        patterns = {
            "subscribe": ["room:*", "notifications:bob", "jobs:job_9", "changes:secret"],
            "publish": ["room:1", "article:a"],
        }
        everything = {"subscribe": ["*"], "publish": ["*"]}
        self._secrets |= {
            "token, some patterns": forged(hour | patterns),
            "token, all of others:*": forged(hour | {"subscribe": ["notifications:*"]}),
            "token, everything": forged(hour | everything),
        }
        # What follows claims as much as can be claimed, so that nothing but its flaw keeps it out.
        most = hour | everything | {"role": "admin"}

        def without(name: str) -> dict[str, Any]:
            return {claim: value for claim, value in most.items() if claim != name}

        self._secrets |= {
            "expired token": forged(most | {"exp": now - 60}),
            "token of tomorrow": forged(most | {"nbf": now + 1800}),
            "token issued tomorrow": forged(most | {"iat": now + 1800}),
            "token for another audience": forged(most | {"aud": "another"}),
            "token without audience": forged(without("aud")),
            "token of another issuer": forged(most | {"iss": "another"}),
            "token without exp": forged(without("exp")),
            "token without sub": forged(without("sub")),
            "token with alg none": forged(most, "none", None),
            "token with alg None": forged(most, "None"),
            "token signed with HS512": forged(most, "HS512", hashlib.sha512),
            "token that claims RS256": forged(most, "RS256"),
            "token signed by another": forged(most, secret="another secret, and it is just as long as ours"),
            "token without signature": forged(most, digest=None),
            "token with another role": forged(most | {"role": "root"}),
            "token for a year": forged(most | {"exp": now + 365 * 86400}),
        }


@contextmanager
def set_up(**settings: Any) -> Iterator[Stage]:
    unlimited = {"publish_rate": 0, "login_rate": 0, "anonymous_rate": 0, "command_rate": 0, "user_command_rate": 0}
    tokens = {"jwt_secret": JWT_SECRET, "jwt_audience": "matrix", "jwt_issuer": "issuer"}
    kept = {"stream": KindSettings()}  # by default a stream has no history that one could ask for
    with staged(channels=kept, **unlimited, **tokens, **settings) as scene:
        yield Stage(scene)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with set_up() as stage:
        yield stage


@pytest.fixture(scope="module")
def dev_stage() -> Iterator[Stage]:
    with set_up(dev=True) as stage:
        yield stage


def check(stage: Stage, door: Door, credentials: Iterable[str], table: dict[str, dict[str, str]]) -> None:
    channels = [channel for channel in CHANNELS if door.channels(channel)]
    for credential in credentials:
        expected = {channel: door.expected(credential, channel, table) for channel in channels}
        assert door.ask(stage, credential, channels) == expected, credential


# --- the matrix

RIGHTS: Final = rights(TABLE)
RIGHTS_DEV: Final = rights(TABLE_DEV)


@pytest.mark.parametrize("door", DOORS)
def test_each_door_lets_in_whom_the_contract_names_and_nobody_else(door: str, stage: Stage) -> None:
    check(stage, DOORS[door], [*RIGHTS, *NOBODY], RIGHTS)


@pytest.mark.parametrize("door", DOORS)
def test_development_opens_more_to_tokens_and_to_nobody_else(door: str, dev_stage: Stage) -> None:
    check(dev_stage, DOORS[door], [*RIGHTS_DEV, *SOME_NOBODY], RIGHTS_DEV)


def test_the_matrix_has_thousands_of_cases() -> None:
    channels = sum(sum(map(door.channels, CHANNELS)) for door in DOORS.values())
    assert channels * (len(RIGHTS) + len(NOBODY)) > 15_000
