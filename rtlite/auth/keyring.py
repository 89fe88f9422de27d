"""API keys: made, found, revoked.

All keys stand in memory by the SHA-256 digest of their secret, so that a login never
waits for the disk. A fast hash is right here: the secrets are 256 random bits, which no
dictionary holds (a slow one would let anyone keep us busy with guesses).
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import attrs

from rtlite.errors import InvalidRequest, NotFound
from rtlite.log import get_logger
from rtlite.model import Identity, Kind, check_user, inbox_of
from rtlite.store import keys
from rtlite.store.database import Database
from rtlite.store.keys import Key

__all__ = ["PREFIXES", "Key", "Keyring", "identity_of"]

log = get_logger(__name__)

PREFIXES: Final = ("mbk_", "pk_live_", "pk_test_", "rts_", "rtk_")
_PREFIX_OF: Final = {Kind.BLOG: "mbk_", Kind.PROJECT: "pk_live_", Kind.STREAM: "rts_", Kind.ADMIN: "rtk_"}
_SHOWN: Final = 4  # characters of the random part: 24 of its 256 bits
MAX_NAME: Final = 128
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST: Final = 100 * 365 * 86_400.0  # seconds; more would leave the years that dates can show
_NO_DIGEST: Final = secrets.token_bytes(32)  # compared with when there is no such key


class Keyring:
    """Every API key of one server.

    ``on_revoked`` holds functions that are called with the key's id once its revocation
    is stored: whoever keeps connections or tickets for it ends them there.

    :param now: the wall clock, in seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._keys: dict[str, Key] = {}
        self._by_digest: dict[bytes, tuple[bytes, str]] = {}
        self._unstored: dict[str, bytes] = {}  # by id, the digests of keys that are in memory alone
        self._used: dict[str, int] = {}
        self.on_revoked: list[Callable[[str], None]] = []

    async def load(self) -> None:
        """Read every key from the database. :raises StorageFailed: it cannot be read."""
        for digest, key in await self._database.read(keys.all):
            self._add(digest, key)

    async def create(
        self,
        kind: Kind,
        user: str,
        *,
        name: str = "",
        expires_in: float | None = None,
        write: bool = False,
        live: bool = True,
        secret: str | None = None,
        store: bool = True,
    ) -> tuple[Key, str]:
        """Make a key; returns it and its secret, which cannot be had again.

        :param expires_in: seconds from now, or ``None`` for a key that does not expire.
        :param write: a project key's scope; :param live: ``pk_live_`` and not ``pk_test_``.
        :param secret: one of the fixed credentials of ``--dev``. Such a key is kept in memory
            alone: a file that was once opened with ``--dev`` must not let ``rtk_dev`` in later.
        :param store: ``False`` for a key that is in memory alone, until :meth:`keep`.
        :raises InvalidRequest: the text names the field.
        :raises StorageFull, StorageFailed: it could not be stored, and does not hold.
        """
        if kind not in _PREFIX_OF:
            raise InvalidRequest("kind: blog, project, stream or admin is allowed")
        if write and kind is not Kind.PROJECT:
            raise InvalidRequest("write: only project keys have this scope")
        if len(name) > MAX_NAME or _CONTROL.search(name):
            raise InvalidRequest(f"name: up to {MAX_NAME} characters without control characters are allowed")
        if expires_in is not None and not (math.isfinite(expires_in) and 0 < expires_in <= _LONGEST):
            raise InvalidRequest("expires: from now up to 100 years is allowed")
        check_user(user)
        if kind is Kind.BLOG:
            inbox_of(user)
        prefix = "pk_test_" if kind is Kind.PROJECT and not live else _PREFIX_OF[kind]
        created = self._now_ms()
        fixed = secret is not None
        secret = prefix + secrets.token_urlsafe(32) if secret is None else secret
        key = Key(
            id=f"key_{secrets.token_hex(6)}",
            prefix=prefix if fixed else secret[: len(prefix) + _SHOWN],
            kind=kind,
            user=user,
            name=name,
            write=write,
            created=created,
            expires=None if expires_in is None else created + int(expires_in * 1000),
        )
        digest = _digest(secret)
        if fixed or not store:
            self._unstored[key.id] = digest
        else:
            await self._database.write(lambda connection: keys.insert(connection, key, digest))
        self._add(digest, key)
        return key, secret

    async def keep(self, key_id: str) -> None:
        """Store a key that is in memory alone. :raises StorageFull, StorageFailed: it ends with this process."""
        digest, key = self._unstored.pop(key_id), self._keys[key_id]
        await self._database.write(lambda connection: keys.insert(connection, key, digest))

    async def revoke(self, key_id: str) -> Key:
        """End a key for good; returns it. A key that is revoked already stays as it was.

        :raises NotFound: there is no such key.
        :raises StorageFull, StorageFailed: it could not be stored, and the key still holds.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise NotFound("there is no key with this id")
        if key.revoked is not None:
            return key
        at = self._now_ms()
        if key_id not in self._unstored:
            await self._database.write(lambda connection: keys.revoke(connection, key_id, at), vital=True)
        # From here to the callbacks nothing waits, so no login slips in between.
        revoked = self._keys[key_id] = attrs.evolve(self._keys[key_id], revoked=at)
        for listener in tuple(self.on_revoked):
            try:
                listener(key_id)
            except Exception:  # our own bug; the other listeners still have connections to close
                log.exception("a listener failed to end what a revoked key had open", key=key_id)
        return revoked

    def list(self) -> tuple[Key, ...]:
        """Every key, revoked and expired ones too, the oldest first."""
        return tuple(
            attrs.evolve(key, last_used=self._used.get(key.id, key.last_used))
            for key in sorted(self._keys.values(), key=lambda key: (key.created, key.id))
        )

    def find(self, secret: str) -> Key | None:
        """The key with this secret, if it is in force; else ``None``. Notes that it was used.

        An unknown secret costs the same work as a known one: a hash, a look-up, a comparison.
        """
        digest = _digest(secret)
        stored, key_id = self._by_digest.get(digest, (_NO_DIGEST, ""))
        same = hmac.compare_digest(stored, digest)
        key = self._keys.get(key_id)
        at = self._now_ms()
        if key is None or not same or not key.in_force(at):
            return None
        self._used[key.id] = at
        return key

    def knew(self, secret: str) -> bool:
        """Whether there was ever a key with this secret."""
        return _digest(secret) in self._by_digest

    async def flush_last_used(self) -> None:
        """Store when keys were last used, all in one transaction; nothing if none was.

        :raises StorageFull, StorageFailed: not stored; the times are kept for the next call.
        """
        used = dict(self._used)
        if not used:
            return
        await self._database.write(lambda connection: keys.touch(connection, used))
        for key_id, at in used.items():
            self._keys[key_id] = attrs.evolve(self._keys[key_id], last_used=at)
            if self._used.get(key_id) == at:  # not used again meanwhile
                del self._used[key_id]

    def _add(self, digest: bytes, key: Key) -> None:
        self._keys[key.id] = key
        self._by_digest[digest] = (digest, key.id)

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


@lru_cache(maxsize=1024)  # keys are few and frozen, requests are many
def identity_of(key: Key) -> Identity:
    """Whom a key stands for."""
    expires = None if key.expires is None else key.expires / 1000
    return Identity(kind=key.kind, user=key.user, credential=key.id, write=key.write, expires=expires)


def _digest(secret: str) -> bytes:
    # A peer's text may hold lone surrogates; they hash like anything else and match nothing.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
