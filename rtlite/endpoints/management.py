"""The operator's API under ``/api``: publish, history, channels, connections, backups."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Annotated, Any, Final, TypedDict

import attrs
import orjson
import trio

from rtlite.auth.grants import may_publish
from rtlite.domain import access as rights
from rtlite.domain.monitor import WatchedConnection, watched
from rtlite.endpoints import history as pages_of_history
from rtlite.endpoints.history import ChannelJson, History, HistoryPage
from rtlite.endpoints.messages import example
from rtlite.endpoints.pages import AFTER, Page, Size, page_size
from rtlite.errors import Forbidden, InvalidRequest, NotFound, Reason, StartError, TooLarge
from rtlite.hub.hub import Hub
from rtlite.hub.slices import Pace
from rtlite.model import Published
from rtlite.protocols import jsonframes, verbs
from rtlite.protocols.jsonframes import EventJson, Receipt
from rtlite.protocols.verbs import Publication
from rtlite.rules import Channel, Count, Rule, of
from rtlite.settings import KIB, MIB, Settings
from rtlite.store import backup
from rtlite.store.database import Database
from rtlite.transports.connections import Connections
from rtlite.transports.contract import JSON, NDJSON, UNKNOWN, Asked, Body
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply

_LONG: Final = 64 * KIB
_LONGEST_LIST: Final = MIB  # of a batch as one JSON text, which is parsed in one go; NDJSON goes line by line

_FILTER: Final = Asked("filter", str, "A part of the user's id, the protocol, the address or a channel's name")
PUBLISHED: Final = {"channel": "article:hello", "event": "view_update", "data": example("view_update")}


@attrs.frozen
class Backup:
    file: Annotated[
        str,
        Rule(pattern="^/", description="An absolute path on the server's machine", examples=["/var/backups/rtlite.db"]),
    ]


@attrs.frozen
class Batch:
    events: Annotated[list[Publication], Rule(maxItems=of("max_batch_events"))]


class Receipts(TypedDict):
    """What is known of each event, in order."""

    items: list[Receipt]


class ConnectionPage(TypedDict):
    """A page of the open connections; `total` is how many there are on all pages."""

    items: list[WatchedConnection]
    next: str | None
    total: Count


class MadeBackup(TypedDict):
    """Where the backup is."""

    file: str


class Management:
    def __init__(
        self,
        hub: Hub,
        database: Database,
        history: History,
        access: rights.Access,
        connections: Connections,
        settings: Settings,
    ) -> None:
        self._hub = hub
        self._database = database
        self._history = history
        self._access = access
        self._connections = connections
        self._settings = settings
        # Publishers name the same few channels over and over, and reading the table for it takes 2 µs.
        self._may_publish = lru_cache(1024)(partial(may_publish, settings=settings))

    def routes(self) -> list[Route]:
        key = Access.CREDENTIAL
        batch = self._settings.max_batch
        return [
            Route(
                "POST",
                "/api/publish",
                self.publish,
                "Publish an event",
                key,
                lean=True,
                publishing=True,
                soon=self.publish_soon,
                takes=Body({JSON: Publication}, example=PUBLISHED),
                gives={201: Receipt, 200: Receipt},
                refuses={400: "invalid_channel"},
            ),
            Route(
                "POST",
                "/api/publish/batch",
                self.publish_batch,
                "Publish events atomically",
                key,
                batch,
                lean=True,
                publishing=True,
                takes=Body({JSON: Batch, NDJSON: str}),
                gives={201: Receipts},
                refuses={400: "invalid_channel"},
            ),
            Route(
                "GET",
                "/api/channels",
                self.channels,
                "List channels",
                asks=[Asked("prefix", str, "How their names begin"), AFTER],
                gives={200: Page[ChannelJson]},
            ),
            Route(
                "GET",
                "/api/channels/{channel}/history",
                self._history.answer,
                "A channel's events, page by page or as they come",
                key,
                asks=[Asked("channel", Channel), *pages_of_history.ASKED],
                gives={200: HistoryPage[EventJson]},
                refuses={400: "invalid_channel", 404: "no_history"},
            ),
            Route(
                "GET",
                "/api/connections",
                self.list_connections,
                "List open connections",
                asks=[Asked("limit", Size, "The most items of a page; without it, there is one page"), AFTER, _FILTER],
                gives={200: ConnectionPage},
            ),
            Route(
                "DELETE",
                "/api/connections/{id}",
                self.close_connection,
                "Close a connection",
                gives={204: None},
                refuses=UNKNOWN,
            ),
            Route(
                "POST",
                "/api/backup",
                self.backup,
                "Write a backup on the server's machine",
                takes=Backup,
                gives={201: MadeBackup},
            ),
        ]

    async def publish(self, call: Call) -> Reply:
        wanted = jsonframes.decode(call.body, Publication)
        if len(call.body) > _LONG:
            await trio.lowlevel.checkpoint()  # a megabyte may have taken the parser 30 ms
        event = wanted.as_event()
        if not self._may_publish(call.identity, event.channel):
            await self._check_right(call, wanted)
        del wanted  # while it waits for the disk, a large event stands in the memory once, not three times
        call.body = b""
        return _answer(await self._hub.publish(event))

    def publish_soon(self, call: Call, done: Callable[..., None]) -> None:
        """As :meth:`publish`, where the table of grants alone decides."""
        event = verbs.event_in(call.body)
        if not self._may_publish(call.identity, event.channel):
            raise Forbidden("channel: this credential may not publish to it")
        self._hub.publish_soon(event, partial(done, _outcome))

    async def _check_right(self, call: Call, wanted: Publication, read: dict[str, Any] | None = None) -> None:
        """Where the table of grants, which is asked first and without waiting, says no, what is stored may say yes."""
        if not await self._access.may_write(call.identity, wanted.channel, wanted.event, wanted.data, read=read):
            raise Forbidden("channel: this credential may not publish to it")

    async def publish_batch(self, call: Call) -> Reply:
        """NDJSON, or ``{"events": […]}``; all are stored or none."""
        await trio.lowlevel.checkpoint()  # to have taken in 16 MiB was long enough
        lined = call.headers.get("content-type", "").startswith("application/x-ndjson")
        values = self._lines(call.body) if lined else _listed(call.body)
        if len(values) > self._settings.max_batch_events:
            raise InvalidRequest(f"events: {self._settings.max_batch_events} at most")
        events, pace = [], Pace()
        read: dict[str, Any] = {}
        await trio.lowlevel.checkpoint()
        for number, value in enumerate(values):
            await pace.pause()
            try:
                wanted = jsonframes.structure(jsonframes.parse(value) if lined else value, Publication)
                events.append(wanted.as_event())
                if not self._may_publish(call.identity, wanted.channel):
                    await self._check_right(call, wanted, read)
            except InvalidRequest as error:
                raise InvalidRequest(f"events[{number}]: {error.detail}", code=error.code) from error
        receipts = []
        for item in await self._hub.publish_all(events):
            await pace.pause()
            receipts.append(jsonframes.receipt(item.event))
        return json_reply({"items": receipts}, 201)

    def _lines(self, body: bytes) -> list[bytes]:
        """The lines of NDJSON that are not blank, each no longer than a single event's body may be."""
        if body.count(b"\n") > 2 * self._settings.max_batch_events + 2:  # blank ones too must have an end
            raise InvalidRequest(f"events: {self._settings.max_batch_events} at most")
        lines = [line for line in body.split(b"\n") if line.strip()]
        if any(len(line) > self._settings.max_body for line in lines):
            raise TooLarge(f"each event may have {self._settings.max_body} bytes")
        return lines

    async def channels(self, call: Call) -> Reply:
        """Channels with history or subscribers, by name."""
        return json_reply(await self._history.channels(call.query.get("prefix", ""), call.query.get("after", "")))

    async def list_connections(self, call: Call) -> Reply:
        """``?limit=&after=&filter=``, the oldest first; ``total`` is how many there are on all pages."""
        limit = page_size(call, self._settings.max_page) if "limit" in call.query else None
        wanted, after = call.query.get("filter", ""), _number_of(call.query.get("after", ""))
        found = [item for item in self._connections if not wanted or item.mentions(wanted)]
        total = len(found)
        if after:
            found = found[bisect_right(found, after, key=lambda item: _number_of(item.id)) :]
        page, behind = found[:limit], self._hub.fanout.behind()
        following = page[-1].id if len(page) < len(found) else None
        return json_reply({"items": [watched(item, behind) for item in page], "next": following, "total": total})

    async def close_connection(self, call: Call) -> Reply:
        connection = self._connections.get(call.params["id"])
        if connection is None:
            raise NotFound("no such connection")
        connection.end(Reason.CLOSED_BY_OPERATOR)
        return Reply(204)

    async def backup(self, call: Call) -> Reply:
        wanted = jsonframes.decode(call.body, Backup)
        if not os.path.isabs(wanted.file):
            raise InvalidRequest("file: an absolute path on the server's machine is wanted")
        if not call.trusted:  # a file name from the network must not reach the disk
            raise Forbidden("backups are made through the control socket: rtlite backup FILE")
        try:
            await backup.write(self._database, wanted.file)
        except StartError as error:
            raise InvalidRequest(f"file: {error}") from error
        return json_reply({"file": wanted.file}, 201)


def _number_of(connection: str) -> int:
    """They are numbered in the order in which they came; 0 of no id."""
    number = connection.rpartition("_")[2]
    if connection and not re.fullmatch("[0-9]{1,18}", number):
        raise InvalidRequest("after: the next of the page before is wanted")
    return int(number or 0)


def _listed(body: bytes) -> list[Any]:
    """The events of ``{"events": […]}``."""
    if len(body) > _LONGEST_LIST:
        raise TooLarge(f"more than {_LONGEST_LIST} bytes are taken as NDJSON only")
    whole = jsonframes.parse(body)
    values = whole.get("events") if isinstance(whole, dict) else None
    if not isinstance(values, list):
        raise InvalidRequest('events: a list is wanted, as {"events": […]} or as NDJSON')
    return values


def _answer(published: Published) -> Reply:
    return Reply(200 if published.duplicate else 201, orjson.dumps(jsonframes.receipt(published.event)))


def _outcome(published: list[Published], error: BaseException | None) -> Reply:
    if error is not None:
        raise error
    return _answer(published[0])
