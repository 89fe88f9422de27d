"""Clients that wander: they listen, stop reading, leave, come back, rewind, and publish without an echo.

Each keeps what it got as sessions, one from each ``subscribed`` (or ``connected``) to the end
of that subscription, in a form that :mod:`tests.history_checker` can judge.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import attrs
import orjson
import trio

from rtlite.model import Event, Position, is_pattern, kind_of
from rtlite.settings import KIB
from tests.endpoints.sockets import Client
from tests.history_checker import Attempt, History, Outcome, Session, Violation, check_history
from tests.servers import InProcess
from tests.streams import ask
from tests.transports.doors import tcp

CHANNELS = ("news:a", "news:b", "jobs:1", "jobs:2")
LAST = "last"
"""The name of the event that ends the test; one on each channel."""


@attrs.define
class Heard:
    """One subscription's life: where it began, what came, and what it published and does not want."""

    after: int
    arrivals: list[tuple[int, str]] = attrs.field(factory=list)
    muted: set[str] = attrs.field(factory=set)


@attrs.define(eq=False)
class Target:
    """What one listens to by one subscription, and its sessions."""

    names: tuple[str, ...]
    heard: list[Heard] = attrs.field(factory=list)
    open: bool = False
    last: str | None = None
    """Where to resume: the newest place that was told."""
    places: list[str] = attrs.field(factory=list)
    wrong: list[str] = attrs.field(factory=list)
    """Events that came while nothing was subscribed; places that did not hold."""
    ended: set[str] = attrs.field(factory=set)

    @property
    def many(self) -> bool:
        return len(self.names) > 1 or is_pattern(self.names[0])

    def covers(self, channel: str) -> bool:
        return channel in self.names or kind_of(channel) + ":*" in self.names

    @property
    def channels(self) -> list[str]:
        return [channel for channel in CHANNELS if self.covers(channel)]

    @property
    def done(self) -> bool:
        """Whether the last event of every channel came."""
        return self.ended.issuperset(self.channels)

    def begins(self, answer: dict[str, Any]) -> None:
        place = Position.parse(answer["position"])
        assert place is not None, answer
        if not answer["recovered"]:
            self.wrong.append(f"not recovered from {self.last}")
        self.open, self.last = True, answer["position"]
        self.ended.clear()
        self.heard.append(Heard(place.offset))

    def hears(self, position: str, channel: str, name: str, id: str) -> None:
        place = Position.parse(position)
        assert place is not None, position
        if not self.open:
            self.wrong.append(f"{id} came while nothing was subscribed")
            return
        self.heard[-1].arrivals.append((place.offset, id))
        self.last = position
        self.places.append(position)
        if name == LAST:
            self.ended.add(channel)

    def violations(self, who: str, events: Sequence[Event]) -> list[Violation]:
        """Judge every session by what it was owed: the events it covers without those it muted, numbered from 1."""
        found = [Violation("wrong", f"{who} {self.names}: {what}") for what in self.wrong]
        covered = [event for event in events if self.covers(event.channel)]
        for number, heard in enumerate(self.heard):
            owed = [event for event in covered if event.id not in heard.muted]
            keys = [event.sequence if self.many else event.offset for event in owed]
            rank = {key: place for place, key in enumerate(keys, 1)}
            # Who heard the last of every channel is gone; what others publish of their own after that is not owed.
            last = max((place for place, event in enumerate(owed, 1) if event.name == LAST), default=len(owed))
            session = Session(
                f"{who} {self.names} session {number}",
                [(rank.get(key, 10**9), id) for key, id in heard.arrivals],
                after=bisect_right(keys, heard.after),
                until=last if heard is self.heard[-1] else None,
            )
            attempts = [Attempt("anyone", event.id, 0, 0, Outcome.UNKNOWN) for event in owed]
            log = [(place, event.id) for place, event in enumerate(owed, 1)]
            found += check_history(History(attempts, [session], log))
        return found


class Wanderer:
    """One client: by which door, to what, and the dice that say what it does next."""

    def __init__(self, number: int, seed: int, server: InProcess, door: str, targets: list[Target]) -> None:
        self.name = f"client {number} on {door}"
        self.targets = targets
        self._dice = random.Random(seed * 1000 + number)
        self._server = server
        self._door = door
        self._token = server.token(f"u{number}", subscribe=["news:*", "jobs:*"], publish=["news:*", "jobs:*"])
        self._buffer = self._dice.choice([0, 16 * KIB])  # less than a send buffer, and TCP may wait for seconds

    async def run(self, quiet: trio.Event) -> None:
        """Wander until it is quiet, and then listen to the end."""
        while not all(target.done for target in self.targets):
            await (self._stream if self._door == "/sse" else self._converse)(quiet)

    async def _rest(self, quiet: trio.Event) -> None:
        """Not read for a moment."""
        if not quiet.is_set():
            await trio.sleep(self._dice.choice([0, 0.002, 0.02, 0.1]))

    # --- event streams: one channel or several, resumed by the id that came last

    async def _stream(self, quiet: trio.Event) -> None:
        (target,) = self.targets
        peer = await tcp(self._server, self._buffer)
        query = "&".join(f"channel={name}" for name in target.names)
        headers = {} if target.last is None else {"Last_Event_ID": target.last}
        stream = await ask(peer, f"/sse?{query}&token={self._token}&includeMetadata=1", **headers)
        target.begins(orjson.loads((await stream.next()).data))
        left = self._dice.randrange(1, 400)
        while not target.done and (left or quiet.is_set()):
            incoming = await stream.next()
            data = orjson.loads(incoming.data)
            target.hears(str(incoming.id), data["channel"], data["event"], data["id"])
            left = max(0, left - 1)
            if self._dice.random() < 0.03:
                await self._rest(quiet)
        target.open = False
        await trio.aclose_forcefully(peer.stream)

    # --- sockets: several subscriptions, each of its own

    async def _converse(self, quiet: trio.Event) -> None:
        client = await self._connect()
        for target in self.targets:
            await self._subscribe(client, target, target.last)
        left = self._dice.randrange(5, 80)
        while left and not quiet.is_set():
            await self._act(client, self._dice.choice(self.targets), quiet)
            left -= 1
        if quiet.is_set():
            for target in self.targets:
                if not target.open:
                    await self._subscribe(client, target, target.last)
            while not all(target.done for target in self.targets):
                self._note(await client.hear())
        for target in self.targets:
            target.open = False
        await trio.aclose_forcefully(client.peer.stream)

    async def _connect(self) -> Client:
        peer = await tcp(self._server, self._buffer)
        assert (await peer.upgrade(f"{self._door}?token={self._token}")).status == 101
        client = Client(peer, self._door)
        if client.nested:
            assert (await client.hear())["type"] == "connected"
        return client

    async def _act(self, client: Client, target: Target, quiet: trio.Event) -> None:
        match self._dice.choice(["read"] * 6 + ["rest"] * 4 + ["leave", "again", "rewind", "publish", "publish"]):
            case "read":  # all that is on its way
                await self._ask(client, "pong", "ping")
            case "rest":
                await self._rest(quiet)
            case "leave":
                await self._ask(client, "unsubscribed", "unsubscribe", channel=target.names[0])
                target.open = False
            case "again":
                await self._subscribe(client, target, target.last)
            case "rewind" if target.places:
                await self._subscribe(client, target, self._dice.choice(target.places[-300:]))
            case "publish" if target.open:
                await self._publish(client, target)

    async def _subscribe(self, client: Client, target: Target, since: str | None) -> None:
        fields = {} if since is None else {"since": since}
        target.begins(await self._ask(client, "subscribed", "subscribe", channel=target.names[0], **fields))

    async def _publish(self, client: Client, target: Target) -> None:
        """Publish something that is not to come by this subscription."""
        id = f"own-{self._dice.randrange(2**60):x}"
        target.heard[-1].muted.add(id)
        fields = {
            "channel": self._dice.choice(target.channels),
            "event": "own",
            "data": "x" * self._dice.randrange(500),
        }
        await self._ask(client, "published", "publish", event_id=id, echo=False, **fields)

    async def _ask(self, client: Client, answer: str, verb: str, **fields: Any) -> dict[str, Any]:
        """Send a command; what comes before its answer are events."""
        await client.say(verb, **fields)
        while (message := await client.hear()).get("type") != answer:
            self._note(message)
        return message["data"] if client.nested else message

    def _note(self, message: dict[str, Any]) -> None:
        assert message.get("type") != "error", message
        (target,) = (target for target in self.targets if target.covers(message["channel"]))
        target.hears(message["position"], message["channel"], message.get("event", message.get("type")), message["id"])
