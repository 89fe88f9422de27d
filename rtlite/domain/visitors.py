"""Who has a document open."""

from __future__ import annotations

import attrs

from rtlite.errors import InvalidRequest, Reason, Refused, TooLarge
from rtlite.hub.impaired import Impaired
from rtlite.model import Identity, now_ms
from rtlite.protocols.awareness import Owner
from rtlite.transports.link import Link
from rtlite.transports.outbox import Outbox


@attrs.define(eq=False)
class Visitor:
    """A connection to a room.

    :ivar write: whether its edits count.
    :ivar channel: the room's, as a channel is called.
    :ivar impaired: the way out while faults are for it.
    :ivar behind: the state that it was last sent, if it was too slow since; it then gets what it lacks in one piece.
    :ivar lacking: bytes that there was no room for.
    :ivar refused: whether an edit of its was refused; those behind it build on that.
    """

    link: Link
    identity: Identity
    write: bool
    channel: str = ""
    impaired: Impaired | None = None
    opened: int = attrs.field(factory=now_ms)
    owner: Owner = attrs.field(init=False)
    behind: bytes | None = None
    lacking: int = 0
    refused: bool = False

    def __attrs_post_init__(self) -> None:
        self.owner = Owner(self.identity.user)

    @property
    def outbox(self) -> Outbox | Impaired:
        """The way out."""
        return self.link.outbox if self.impaired is None else self.impaired

    def refuse(self, error: Refused) -> None:
        """End the connection: it cannot go on without the edit that is refused."""
        self.refused = True
        if isinstance(error, TooLarge):
            self.link.end(Reason.TOO_BIG)
        elif isinstance(error, InvalidRequest):
            self.link.end(Reason.ABUSE)
        else:
            self.link.end(Reason.OVER_CAPACITY)
