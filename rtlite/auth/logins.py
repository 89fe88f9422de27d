"""Who is logged in to the console: a session for a cookie that no script of a page can read.

An admin key is shown to the server once, and a random session stands for it from then on: in memory,
by its digest, for a while, and never longer than its key. A browser sends the cookie along with every
request, whoever's page makes it. ``SameSite=Strict`` keeps other sites from using that; it does not keep
other ports of the same host from it, since ports make no other site, and cookies do not know them at
all. So whatever changes something, or lasts, must be a request of our own pages (:mod:`rtlite.auth.origins`).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs

from rtlite.model import Identity

NAME: Final = "rtlite_session"
_OVER_TLS: Final = "__Host-"  # browsers take such a cookie over TLS alone, and from this host alone (RFC 6265bis)
_PORT: Final = re.compile(r":([0-9]{1,5})")
_COOKIE: Final = re.compile(r"\s*([^\s=;,]+)=([A-Za-z0-9_-]{43})\s*")
_MOST: Final = 1_000  # then the oldest goes


@attrs.define(eq=False)
class Login:
    """One session. ``on_end`` is what to call when it is over: what it has open ends there."""

    identity: Identity
    until: float
    on_end: list[Callable[[], None]] = attrs.field(factory=list)


class Logins:
    """The sessions of one server. They do not survive a restart.

    :param lifetime: seconds. :param now: the wall clock, in seconds since 1970.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        lifetime: float,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lifetime = lifetime
        self._now = now
        self._clock = clock
        # All live equally long, so the order in which they began is about that in which they end.
        self._logins: OrderedDict[bytes, Login] = OrderedDict()

    def begin(self, identity: Identity) -> tuple[str, Login]:
        """A new session for an admin key; returns the secret of its cookie. No secret is ever taken over from
        the browser, so that nobody can give it one that somebody else knows (session fixation)."""
        now = self._clock()
        for digest, login in list(self._logins.items()):
            if login.until <= now or len(self._logins) >= _MOST:
                self._end(digest)
        expires = min(self._now() + self._lifetime, identity.expires or float("inf"))
        secret = secrets.token_urlsafe(32)
        login = Login(attrs.evolve(identity, expires=expires), now + expires - self._now())
        self._logins[_digest(secret)] = login
        return secret, login

    def find(self, headers: Mapping[str, str]) -> Login | None:
        """The session that the cookies of a request name; ``None`` if there is none, or it is over."""
        return next((login for _, login in self._named(headers)), None)

    def end(self, headers: Mapping[str, str]) -> None:
        """Log out: the sessions that the cookies of a request name are over."""
        for digest, _ in list(self._named(headers)):
            self._end(digest)

    def forget(self, key: str) -> None:
        """A key was revoked: its sessions are over, and so is what they have open."""
        for digest in [digest for digest, login in self._logins.items() if login.identity.rests_on(key)]:
            self._end(digest)

    def __len__(self) -> int:
        return len(self._logins)

    def _named(self, headers: Mapping[str, str]) -> Iterator[tuple[bytes, Login]]:
        cookies = headers.get("cookie")
        if cookies is None:
            return
        names = (cookie_name(headers, secure=True), cookie_name(headers, secure=False))
        for name, secret in filter(None, map(_pair, re.split("[;,]", cookies))):
            login = self._logins.get(digest := _digest(secret)) if name in names else None
            if login is not None and self._clock() < login.until and self._now() < (login.identity.expires or 0):
                yield digest, login

    def _end(self, digest: bytes) -> None:
        login = self._logins.pop(digest)
        for callback in login.on_end:
            callback()


def cookie_name(headers: Mapping[str, str], *, secure: bool) -> str:
    """The cookie's name. Two servers on the ports of one host, whose cookies would be the same, do not share it.

    :param headers: the request's, of which ``Host`` has the port that the browser sees.
    """
    port = _PORT.search(headers.get("host", "").rpartition("]")[2])
    return (_OVER_TLS if secure else "") + NAME + (f"_{port[1]}" if port else "")


def _pair(text: str) -> tuple[str, str] | None:
    match = _COOKIE.fullmatch(text)
    return (match[1], match[2]) if match else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
