"""Faults for events on their way: who is listened to by whom, and which of them a fault is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rtlite.domain.documents import Documents
from rtlite.domain.visitors import Visitor
from rtlite.faults import Fault, Level
from rtlite.hub.hub import Hub
from rtlite.hub.impaired import Impaired
from rtlite.hub.parcels import Apart
from rtlite.hub.topics import Encoder, Subscription
from rtlite.settings import Settings
from rtlite.transports.connections import Connection


class DeliveryFaults:
    """Puts faults before the subscriptions and visitors that they are for. Others are not touched."""

    def __init__(self, hub: Hub, documents: Documents, settings: Settings) -> None:
        self._hub = hub
        self._documents = documents
        self._settings = settings
        self._faults: list[Fault] = []

    def apply(self, faults: Sequence[Fault]) -> None:
        """From now on these are set."""
        self._faults = [fault for fault in faults if Level.DELIVERIES in fault.kind.levels]
        self._hub.impair = self._impair if self._faults else None
        self._documents.impair = self._impair_visitor if self._faults else None
        for subscription in self._hub.fanout.subscriptions():
            self._impair(subscription)
        for visitor in self._documents.visitors():
            self._impair_visitor(visitor)

    def _for(self, connection: object, names: Sequence[str]) -> list[Fault]:
        if not isinstance(connection, Connection):  # of a webhook, or of a program that we are part of
            return []
        user = connection.identity.user if connection.identity else None
        return [
            fault
            for fault in self._faults
            if fault.picks(connection.protocol, user, connection.id) and any(map(fault.touches, names))
        ]

    def _impair(self, subscription: Subscription) -> None:
        name = subscription.topic.name
        chosen = self._for(subscription.listener, (name,) if isinstance(name, str) else name)
        way = subscription.outbox
        if isinstance(way, Impaired):
            if isinstance(subscription.encode, Apart) != bool(chosen):
                _hand_over(subscription, apart=bool(chosen))
        elif chosen:

            def retire() -> None:
                if subscription.outbox is way:
                    subscription.outbox = subscription.carrier

            way = subscription.outbox = self._before(
                subscription.outbox, _spawner(subscription), lambda: subscription.closed, retire
            )
            _hand_over(subscription, apart=True)
        if isinstance(way, Impaired):
            _decide(way, chosen)

    def _impair_visitor(self, visitor: Visitor) -> None:
        chosen = self._for(visitor.link.listed, (visitor.channel,))
        if visitor.impaired is None and chosen:

            def retire() -> None:
                visitor.impaired = None

            visitor.impaired = self._before(visitor.link.outbox, visitor.link.spawn, lambda: False, retire)
        if visitor.impaired is not None:
            _decide(visitor.impaired, chosen)

    def _before(
        self, outbox: Any, spawn: Callable[..., None], closed: Callable[[], bool], retire: Callable[[], None]
    ) -> Impaired:
        return Impaired(outbox, self._settings.outbox, spawn, closed, retire)


def _decide(way: Impaired, chosen: Sequence[Fault]) -> None:
    """Faults that were for it before go on where they are."""
    known = {draw.fault: draw for draw in way.draws}
    way.decide_by([known.get(fault) or fault.draws() for fault in chosen])


def _hand_over(subscription: Subscription, *, apart: bool) -> None:
    """Events are handed over one by one from now on, or no longer."""
    subscription.topic.regroup(subscription, _apart(subscription.encode, apart=apart))
    if subscription.replaying is not None:
        subscription.replaying = _apart(subscription.replaying, apart=apart)


def _apart(encode: Encoder, *, apart: bool) -> Encoder:
    if isinstance(encode, Apart):
        return encode if apart else encode.encode
    return Apart(encode) if apart else encode


def _spawner(subscription: Subscription) -> Callable[..., None]:
    def spawn(drain: Callable[[], Any]) -> None:
        async def work(_: Subscription) -> None:
            await drain()

        subscription.spawn(work, subscription)

    return spawn
