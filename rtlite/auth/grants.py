"""What an identity may: one table, and the functions that read it.

Whatever no row and no pattern of the credential's own allows is denied. Some rights
depend on what is stored (own jobs, membership of a conversation, ownership of a stream);
whoever knows those asks here first and adds its own answer.
"""

from __future__ import annotations

from typing import Final

import attrs

from rtlite.errors import Forbidden
from rtlite.model import Identity, Kind, Role, is_pattern, kind_of, matches
from rtlite.settings import Settings

_INBOX: Final = "notifications"
_ROOM: Final = "collab"
_ALL_ROOMS: Final = "collab:*"
"""The kind that documents go by. Its names stand for rights alone: no events are published there."""


@attrs.frozen
class Grant:
    """One row: the channels that a kind of credential may read and write without naming them.

    ``inbox`` is the right to read one's own ``notifications:{user}``; nobody but the
    operator gets those of others from a pattern, however wide it is.
    """

    subscribe: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    inbox: bool = False


TABLE: Final[dict[str, Grant]] = {
    "anonymous": Grant(),
    "blog key": Grant(subscribe=("article:*",), inbox=True),
    "project key": Grant(subscribe=("changes:*", "jobs:*", "collab:*")),
    "project key, write": Grant(subscribe=("changes:*", "jobs:*", "collab:*"), publish=("*",)),
    "stream key": Grant(),  # its streams, which domain/access.py knows
    "admin key": Grant(subscribe=("*",), publish=("*",)),
    "token": Grant(subscribe=("changes:*", "article:*", "collab:*"), inbox=True),
    "token, collab or admin": Grant(
        subscribe=("changes:*", "article:*", "jobs:*", "collab:*"), publish=("collab:*",), inbox=True
    ),
    "token, --dev": Grant(subscribe=("*",), publish=("*",), inbox=True),
}


_ROWS: Final = {
    Kind.ANONYMOUS: "anonymous",
    Kind.BLOG: "blog key",
    Kind.STREAM: "stream key",
    Kind.ADMIN: "admin key",
}


def row_of(identity: Identity, settings: Settings) -> str:
    """The name of the identity's row in :data:`TABLE`."""
    if identity.kind is Kind.JWT:
        if settings.dev:
            return "token, --dev"
        return "token, collab or admin" if identity.role in {Role.COLLAB, Role.ADMIN} else "token"
    if identity.kind is Kind.PROJECT:
        return "project key, write" if identity.write else "project key"
    return _ROWS[identity.kind]


def is_operator(identity: Identity) -> bool:
    """Whether everything under ``/api`` is open: an admin key, and no ticket narrower than it.

    A token's role ``admin`` is an editor's, not the operator's.
    """
    return identity.kind is Kind.ADMIN and identity.only is None


def is_backend(identity: Identity) -> bool:
    """Whether this is the application's own server: the operator, or a project key with write, and no ticket."""
    if identity.key is not None and is_backend(identity.key):
        return True
    return is_operator(identity) or (identity.kind is Kind.PROJECT and identity.write and identity.only is None)


def check_backend(identity: Identity) -> None:
    """:raises Forbidden: this is not the application's own server."""
    if not is_backend(identity):
        raise Forbidden("an admin key or a project key with write is needed")


def may_subscribe(identity: Identity, channel: str, settings: Settings) -> bool:
    """Whether ``identity`` may read ``channel``: a channel's name, or a pattern such as ``changes:*``.

    A pattern is allowed only as a whole: one that is wider than the grant is denied.
    """
    if identity.key is not None and may_subscribe(identity.key, channel, settings):
        return True
    if not within(identity.only, channel):
        return False
    if identity.kind is Kind.ADMIN:
        return True
    grant = TABLE[row_of(identity, settings)]
    if channel == "*" or kind_of(channel) == _INBOX:
        # Someone else's inbox is open only to who is given it by its full name.
        wide = channel == "*" or is_pattern(channel)
        return not wide and ((grant.inbox and _is_own_inbox(identity, channel)) or channel in identity.subscribe)
    return _covered((*grant.subscribe, *identity.subscribe), channel)


def reads_private(identity: Identity, channel: str, settings: Settings) -> bool:
    """Whether ``channel``, which is private, is open to ``identity`` if the table and its patterns allow it anyway.

    It is for the backend, for editors, and for tokens that name it in full; with ``--dev``, for every token.
    """
    if identity.key is not None and reads_private(identity.key, channel, settings):
        return True
    if not within(identity.only, channel):
        return False
    if identity.kind is Kind.JWT:
        editor = settings.dev or identity.role in {Role.COLLAB, Role.ADMIN}
        return editor or channel in identity.subscribe
    return identity.kind is Kind.ADMIN or (identity.kind is Kind.PROJECT and identity.write)


def may_publish(identity: Identity, channel: str, settings: Settings) -> bool:
    """Whether ``identity`` may publish to ``channel``, which is one channel and no pattern."""
    return kind_of(channel) != _ROOM and _may_write(identity, channel, settings)


def may_edit(identity: Identity, room: str, settings: Settings) -> bool:
    """Whether ``identity`` may change a document, by its name among channels: ``collab:{room}``."""
    return _may_write(identity, room, settings)


def may_edit_all(identity: Identity, settings: Settings) -> bool:
    """Whether ``identity`` may change whatever document there is, and so list and delete them."""
    if identity.key is not None and may_edit_all(identity.key, settings):
        return True
    granted = (*TABLE[row_of(identity, settings)].publish, *identity.publish)
    return within(identity.only, _ALL_ROOMS) and _covered(granted, _ALL_ROOMS)


def may_view(identity: Identity, room: str, settings: Settings) -> bool:
    """Whether ``identity`` may read a document. Who may change it may."""
    return may_subscribe(identity, room, settings) or may_edit(identity, room, settings)


def _may_write(identity: Identity, channel: str, settings: Settings) -> bool:
    if identity.key is not None and _may_write(identity.key, channel, settings):
        return True
    if channel == "*" or is_pattern(channel) or not within(identity.only, channel):
        return False
    if _covered(identity.publish, channel):
        return True
    row = row_of(identity, settings)
    if row == "token, --dev" and kind_of(channel) == _INBOX:
        return _is_own_inbox(identity, channel)
    return _covered(TABLE[row].publish, channel)


def owns_inbox(identity: Identity, channel: str, settings: Settings) -> bool:
    """Whether ``channel`` is the identity's own inbox, so that it is for it to say what is read."""
    own = TABLE[row_of(identity, settings)].inbox and _is_own_inbox(identity, channel)
    return own and within(identity.only, channel)


def within(only: tuple[str, ...] | None, channel: str) -> bool:
    """Whether a ticket that is narrowed to ``only`` reaches ``channel``; without one everything is in reach."""
    return only is None or _covered(only, channel)


def _covered(patterns: tuple[str, ...], channel: str) -> bool:
    return any(matches(pattern, channel) for pattern in patterns)


def _is_own_inbox(identity: Identity, channel: str) -> bool:
    # Compared part by part; the user "*" has no inbox, since that name is a pattern.
    kind, _, name = channel.partition(":")
    return bool(identity.user) and not is_pattern(channel) and (kind, name) == (_INBOX, identity.user)
