"""Single-use tickets: what to put into a URL in place of a lasting credential.

URLs end up in logs and histories, and browsers can give a WebSocket or an EventSource no
header. A ticket works once, for half a minute, so that what is found there is worthless.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypedDict

import attrs

from rtlite.errors import InvalidRequest
from rtlite.model import Identity, check_pattern, matches

PREFIX: Final = "tkt_"
_MAX_ONLY: Final = 128


@attrs.frozen(slots=True)
class _Ticket:
    identity: Identity
    until: float


class TicketJson(TypedDict):
    """A ticket opens one connection, in place of a credential, as `?token=`."""

    ticket: str
    expiresIn: float


class Tickets:
    """The tickets that were issued and not redeemed yet. They do not survive a restart.

    :param lifetime: seconds; :param size: how many are kept, then the oldest go.
    :param clock: seconds that never go back.
    """

    def __init__(self, lifetime: float, size: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._size = size
        self._clock = clock
        # By digest, so that neither a timing nor a memory dump gives a ticket away. All live
        # equally long, so the order of issue is the order of expiry.
        self._tickets: OrderedDict[bytes, _Ticket] = OrderedDict()

    def issue(self, identity: Identity, only: Sequence[str] | None = None) -> str:
        """A ticket for ``identity``, narrowed to the channel patterns ``only`` if they are given.

        A ticket that was got with a narrowed ticket is never wider than that one.

        :raises InvalidRequest: for a malformed pattern, or more than 128 of them.
        """
        if only is not None:
            if len(only) > _MAX_ONLY:
                raise InvalidRequest(f"only: up to {_MAX_ONLY} channels are allowed")
            identity = attrs.evolve(identity, only=_narrowed(identity.only, tuple(map(check_pattern, only))))
        now = self._clock()
        while self._tickets and (next(iter(self._tickets.values())).until <= now or len(self) >= self._size):
            self._tickets.popitem(last=False)
        secret = PREFIX + secrets.token_urlsafe(32)
        self._tickets[_digest(secret)] = _Ticket(identity, now + self._lifetime)
        return secret

    def redeem(self, secret: str) -> Identity | None:
        """Whom the ticket stands for, once; ``None`` if it is unknown, used, too old or forgotten."""
        ticket = self._tickets.pop(_digest(secret), None)
        return ticket.identity if ticket is not None and self._clock() < ticket.until else None

    def forget(self, credential: str) -> None:
        """Drop every ticket that was got with this credential: a key that is revoked now, say."""
        for digest in [digest for digest, ticket in self._tickets.items() if ticket.identity.credential == credential]:
            del self._tickets[digest]

    def __len__(self) -> int:
        return len(self._tickets)


def _narrowed(before: tuple[str, ...] | None, only: tuple[str, ...]) -> tuple[str, ...]:
    if before is None:
        return only
    return tuple(pattern for pattern in only if any(matches(wider, pattern) for wider in before))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
