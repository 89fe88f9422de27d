"""The secret that signs tokens, and the first keys."""

from __future__ import annotations

import sqlite3
from typing import Final

from rtlite.auth.keyring import Key, Keyring
from rtlite.model import Kind
from rtlite.settings import DEV_JWT_SECRET, Settings
from rtlite.store import schema
from rtlite.store.database import Database

DEV_ADMIN: Final = "rtk_dev"
DEV_KEYS: Final = {
    "mbk_dev": (Kind.BLOG, "dev"),
    "pk_live_dev": (Kind.PROJECT, "dev"),
    "rts_dev": (Kind.STREAM, "dev"),
    DEV_ADMIN: (Kind.ADMIN, "dev"),
}


async def jwt_secret(settings: Settings, database: Database) -> str:
    """The setting; that of ``--dev``; or the one that the first start made."""
    if settings.jwt_secret:
        return settings.jwt_secret
    if settings.dev:
        return DEV_JWT_SECRET
    return await database.write(_stored_secret)


def _stored_secret(connection: sqlite3.Connection) -> str:
    return schema.secret(connection, "jwt_secret")


async def first_keys(keyring: Keyring, settings: Settings) -> tuple[Key, str] | None:
    """Load the keys; with ``--dev`` add the fixed ones; at the very first start make an admin key.

    Returns that, with its secret. It is for the caller to keep, once the secret was shown: a start that
    fails in between would leave a key that nobody knows, and the next one would show none.
    """
    await keyring.load()
    if settings.dev:
        for secret, (kind, user) in DEV_KEYS.items():
            await keyring.create(kind, user, name="dev", write=kind is Kind.PROJECT, secret=secret)
        return None
    if keyring.list():
        return None
    return await keyring.create(Kind.ADMIN, "operator", name="first start", store=False)
