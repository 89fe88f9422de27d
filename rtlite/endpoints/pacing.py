"""How fast a client is read whose protocol has no way to say that it is too fast."""

from __future__ import annotations

import trio

from rtlite.auth.throttle import Bucket, Buckets
from rtlite.model import Identity, Kind


async def held_back(bucket: Bucket, users: Buckets, identity: Identity | None) -> None:
    """Take one more message, as soon as the connection may send one; of a JWT, all of its user's connections."""
    while wait := bucket.take():  # noqa: ASYNC110  # for a token, which no event brings
        await trio.sleep(wait)
    if identity is not None and identity.kind is Kind.JWT:
        while wait := users.take(identity.user):  # noqa: ASYNC110
            await trio.sleep(wait)
