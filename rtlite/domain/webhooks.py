"""Webhooks: which there are, and their couriers (:mod:`rtlite.domain.courier`).

At least once, and in order: the cursor of a webhook moves when its endpoint has answered 2xx, and is stored
a moment later. So a killed process delivers again what it had not noted, under the same id.
"""

from __future__ import annotations

import os
import secrets as random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Final

import attrs
import trio

from rtlite.domain.courier import Courier, Turns, attempted, secrets
from rtlite.domain.ledger import Ledger
from rtlite.errors import Conflict, InvalidRequest, NotFound, Refused
from rtlite.hub.hub import Hub
from rtlite.hub.replay import locate
from rtlite.hub.since import Since, parse_since
from rtlite.log import MASK, get_logger
from rtlite.metrics import Metrics
from rtlite.model import Position, check_pattern, is_pattern, kind_of, now_ms
from rtlite.protocols import webhooks as wire
from rtlite.rules import Rule, SinceText, Subscribable, of
from rtlite.settings import Settings
from rtlite.store import webhooks as tables
from rtlite.store.database import Database
from rtlite.store.events import last_sequence, read_channel
from rtlite.store.selections import Selection
from rtlite.store.webhooks import Attempt, Webhook
from rtlite.transports.outbound import MAX_URL, Answer, Outbound, check_url

log = get_logger(__name__)

MAX_DESCRIPTION: Final = 200
Url = Annotated[
    str, Rule(maxLength=MAX_URL, pattern="^[hH][tT][tT][pP][sS]?://", examples=["https://example.com/hook"])
]
Names = Annotated[list[Subscribable], Rule(minItems=1, maxItems=of("max_channels"))]
Description = Annotated[str, Rule(maxLength=MAX_DESCRIPTION)]
_PAUSE_SECONDS: Final = 5.0
_NO_LIMIT: Final = 2**62
_MESSAGE: Final = "msg_"


@attrs.frozen
class WebhookChange:
    """What is wanted otherwise; ``None`` stays as it is."""

    url: Url | None = None
    channels: Names | None = None
    description: Description | None = None
    enabled: bool | None = None
    since: SinceText | None = None


class Webhooks:
    """The webhooks of one server.

    :param outbound: the way to their endpoints; tests hand one in.
    """

    def __init__(
        self,
        hub: Hub,
        database: Database,
        settings: Settings,
        metrics: Metrics,
        outbound: Outbound | None = None,
        now: Callable[[], int] = now_ms,
    ) -> None:
        self._hub = hub
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._outbound = outbound or Outbound(settings)
        self._now = now
        self._ledger = Ledger(database, settings, metrics)
        self._turns = Turns(settings.webhook_rate)
        self._changing = trio.Lock()
        self._running: dict[str, tuple[trio.CancelScope, trio.Event]] = {}
        self._nursery: trio.Nursery

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled. It has started once every webhook listens."""
        for webhook in await self._database.read(tables.all):
            self._ledger.webhooks[webhook.id] = webhook
            self._check_still_allowed(webhook)
        self._ledger.count()
        async with self._outbound, trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._ledger.run)
            async with trio.open_nursery() as starting:
                for webhook in self._ledger.webhooks.values():
                    starting.start_soon(self._start, webhook)
            task_status.started()
            await trio.sleep_forever()

    def _check_still_allowed(self, webhook: Webhook) -> None:
        """The settings may have changed since it was made."""
        try:
            check_url(webhook.url, self._settings)
        except InvalidRequest as error:
            log.warning("a webhook is disabled", webhook=webhook.id, reason=error.detail)
            webhook.disabled, webhook.next_attempt = "refused", None
            self._ledger.touch(webhook)

    async def stop(self) -> None:
        """Before the end: store what is not stored yet. :raises StorageFull, StorageFailed: it is delivered again."""
        await self._ledger.flush()

    # --- managing them

    def all(self) -> Sequence[Webhook]:
        return list(self._ledger.webhooks.values())

    def get(self, id: str) -> Webhook:
        """:raises NotFound: there is none."""
        webhook = self._ledger.webhooks.get(id)
        if webhook is None:
            raise NotFound("no such webhook")
        return webhook

    async def create(
        self,
        url: str,
        channels: Sequence[str],
        description: str = "",
        since: str | None = None,
        *,
        enabled: bool = True,
    ) -> tuple[Webhook, bool]:
        """A new webhook, and whether all that ``since`` asked for is there. Without it, it begins with what comes.

        :raises InvalidRequest: a field breaks its rule. :raises Conflict: there are too many.
        """
        url, names, description = self._url(url), self._names(channels), _described(description)
        async with self._changing:
            if len(self._ledger.webhooks) >= self._settings.max_webhooks:
                raise Conflict(f"there are {self._settings.max_webhooks} webhooks at most", code="too_many_webhooks")
            cursor, recovered = await self._locate(names, since)
            webhook = Webhook(
                f"wh_{random.token_hex(8)}", url, names, description, _new_secret(), self._now(), cursor,
                disabled=None if enabled else "operator",
            )  # fmt: skip
            row = tables.row_of(webhook)
            await self._database.write(lambda connection: tables.insert(connection, row))
            self._ledger.webhooks[webhook.id] = webhook
            self._ledger.count()
            await self._start(webhook)
        return webhook, recovered

    async def change(self, id: str, wanted: WebhookChange) -> tuple[Webhook, bool]:
        """Change a webhook; what is on its way meanwhile may come twice. See :meth:`create`.

        To enable it, or ``since``, forgets its failures. ``since`` drops what waits of channels without history, too.

        :raises NotFound: there is none. :raises InvalidRequest: a field breaks its rule.
        """
        webhook = self.get(id)
        url = webhook.url
        if wanted.url is not None and wanted.url != webhook.shown_url:
            url = self._url(wanted.url)
        elif wanted.enabled:
            url = check_url(url, self._settings)
        names = webhook.channels if wanted.channels is None else self._names(wanted.channels)
        description = None if wanted.description is None else _described(wanted.description)
        recovered = True
        async with self._changing:
            self.get(id)
            await self._halt(id)
            try:
                if wanted.since is not None:
                    cursor, recovered = await self._locate(names, wanted.since)
                    await self._ledger.flush()
                    await self._database.write(lambda connection: tables.clear_queue(connection, id))
                    webhook.cursor = cursor
                elif names != webhook.channels:
                    webhook.cursor = await self._database.read(lambda connection: _caught_up(connection, webhook))
                webhook.url = url
                webhook.channels = names
                webhook.description = webhook.description if description is None else description
                if wanted.enabled is not None:
                    webhook.disabled = None if wanted.enabled else webhook.disabled or "operator"
                if wanted.enabled is not None or wanted.since is not None:
                    webhook.attempts, webhook.next_attempt, webhook.failing, webhook.failing_since = 0, None, 0, None
                self._ledger.touch(webhook)
                await self._ledger.flush()
            finally:
                await self._start(webhook)
        return webhook, recovered

    async def delete(self, id: str) -> None:
        """:raises NotFound: there is none."""
        async with self._changing:
            webhook = self.get(id)
            await self._halt(id)
            try:
                await self._database.write(lambda connection: tables.delete(connection, id), vital=True)
            except Refused:
                await self._start(webhook)
                raise
            del self._ledger.webhooks[id]
            self._ledger.count()

    async def rotate(self, id: str) -> Webhook:
        """Give it a new secret, beside which the old one signs for a while. :raises NotFound: there is none."""
        webhook = self.get(id)
        webhook.old_secret = webhook.secret
        webhook.old_secret_until = self._now() + round(self._settings.webhook_rotation * 1000)
        webhook.secret = _new_secret()
        self._ledger.touch(webhook)
        await self._ledger.flush()
        return webhook

    async def test(self, id: str) -> Answer:
        """Send one message of the type ``webhook.test``, once, whatever its state.

        :raises NotFound: there is none. :raises InvalidRequest: the settings do not allow its URL any more.
        """
        check_url(self.get(id).url, self._settings)
        webhook, at, message = self.get(id), self._now(), f"{_MESSAGE}test-{random.token_hex(8)}"
        body = wire.trial_body(webhook.id, at)
        headers = wire.headers(message, at, body, secrets(webhook, at))
        answer = await self._outbound.post(webhook.url, headers, body)
        self._ledger.note(attempted(webhook, message, wire.TEST_TYPE, None, 1, at, answer))
        return answer

    async def attempts(self, id: str, before: int, limit: int) -> list[tuple[int, Attempt]]:
        """What was tried, the newest first, with their numbers. :raises NotFound: there is none."""
        self.get(id)
        with suppress(Refused):  # what was stored can still be read
            await self._ledger.flush()
        return await self._database.read(lambda connection: tables.attempts(connection, id, before, limit))

    def _url(self, text: str) -> str:
        """:raises InvalidRequest: it is none that may be, or one that was shown and then changed."""
        if MASK in text:
            raise InvalidRequest(f"url: {MASK} stands for a secret; the whole URL is wanted")
        return check_url(text, self._settings)

    def _names(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Each once, and none that a pattern among them covers."""
        if not 1 <= len(channels) <= self._settings.max_channels:
            raise InvalidRequest(f"channels: 1 to {self._settings.max_channels} channels or patterns are wanted")
        names = [check_pattern(name) for name in channels]
        kinds = {kind_of(name) for name in names if is_pattern(name)}
        return tuple(dict.fromkeys(name for name in names if is_pattern(name) or kind_of(name) not in kinds))

    async def _locate(self, names: tuple[str, ...], text: str | None) -> tuple[int, bool]:
        """The cursor that ``since`` names, and whether nothing after it is gone."""
        if text is None:
            return await self._database.read(last_sequence), True
        since = parse_since(text.removeprefix(_MESSAGE), self._now())
        among_all = text.startswith(_MESSAGE) or len(names) > 1 or is_pattern(names[0])
        if among_all or not isinstance(since, Position):
            return await self._database.read(lambda connection: _place(connection, names, since))
        return await self._database.read(lambda connection: _place_in_channel(connection, names[0], since))

    # --- their couriers

    async def _start(self, webhook: Webhook) -> None:
        """Deliver from now on, unless it is disabled; returns once no event passes unnoticed."""
        if webhook.disabled is None:
            listening, scope, done = trio.Event(), trio.CancelScope(), trio.Event()
            self._running[webhook.id] = (scope, done)
            self._nursery.start_soon(self._serve, webhook, listening, scope, done)
            await listening.wait()

    async def _serve(self, webhook: Webhook, listening: trio.Event, scope: trio.CancelScope, done: trio.Event) -> None:
        """One webhook's task. Whatever happens to it happens to it alone."""
        try:
            with scope:
                while webhook.disabled is None:
                    try:
                        await self._deliver(webhook, listening)
                    except* Exception:
                        log.exception("a webhook's courier ended; it begins anew", webhook=webhook.id)
                        self._metrics.faults.inc()
                        await trio.sleep(_PAUSE_SECONDS)
        finally:
            await self._outbound.leave(webhook.id)
            listening.set()
            done.set()

    async def _deliver(self, webhook: Webhook, listening: trio.Event) -> None:
        courier = Courier(
            webhook, self._hub, self._database, self._outbound, self._ledger, self._turns, self._settings,
            self._metrics, listening, self._now,
        )  # fmt: skip
        await courier.run()

    async def _halt(self, id: str) -> None:
        """Deliver no more; returns once nothing is on its way."""
        if id in self._running:
            scope, done = self._running.pop(id)
            scope.cancel()
            await done.wait()


def _described(text: str) -> str:
    if len(text) > MAX_DESCRIPTION:
        raise InvalidRequest(f"description: {MAX_DESCRIPTION} characters at most")
    return text


def _new_secret() -> str:
    return wire.new_secret(os.urandom(32))


def _place(connection: sqlite3.Connection, names: tuple[str, ...], since: Since) -> tuple[int, bool]:
    start = locate(connection, names, since, _NO_LIMIT)
    return start.after, start.recovered


def _place_in_channel(connection: sqlite3.Connection, channel: str, since: Position) -> tuple[int, bool]:
    """A position in a single channel is an offset; a cursor is a sequence."""
    start = locate(connection, channel, since, _NO_LIMIT)
    following = read_channel(connection, channel, start.after, 1, 1)
    return (following[0].sequence - 1 if following else last_sequence(connection)), start.recovered


def _caught_up(connection: sqlite3.Connection, webhook: Webhook) -> int:
    """Its cursor; at the end, if nothing of its channels is left to deliver: of a channel that is added, what is
    old is not wanted."""
    last = last_sequence(connection)
    waiting = Selection(webhook.channels).read(connection, webhook.cursor, 1, 1, last)
    return webhook.cursor if waiting else last
