"""The one door for credentials: a secret and an address in, an identity out, or a refusal.

What is refused looks the same whatever the reason (unknown, wrong, expired, revoked), and
failures are counted per address, so that guessing is neither guided nor quick. What once held is no
guess: a client that does not let go of it must not lock out all others at its address. What comes from
the pages of strangers is counted apart: such a page can have its visitor's browser guess, twenty images
at once, and must not lock the visitor out. Who guesses from elsewhere and says so gains nothing by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from rtlite.auth import keyring as keyrings
from rtlite.auth import origins
from rtlite.auth import tickets as single_use
from rtlite.auth.keyring import Keyring
from rtlite.auth.logins import Logins
from rtlite.auth.throttle import Buckets, address_key
from rtlite.auth.tickets import Tickets
from rtlite.auth.tokens import INVALID, NoGuess, Tokens
from rtlite.errors import InvalidRequest, TooMany, Unauthorized
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Identity, Kind
from rtlite.settings import Settings

log = get_logger(__name__)

# RFC 6750, section 3: the challenge says "invalid_token" only to who presented something.
_NONE_GIVEN: Final = {"WWW-Authenticate": 'Bearer realm="rtlite"'}
_NOT_VALID: Final = {"WWW-Authenticate": 'Bearer realm="rtlite", error="invalid_token"'}
_LONGEST: Final = 8 * 1024  # characters; nothing that we issue or accept is longer


class Gate:
    """Finds out who is asking.

    Tickets and logins of a key end with it: the gate subscribes them to the keyring's revocations.

    :ivar logins: the console's sessions, which a cookie names.

    :param now: the wall clock, in seconds since 1970; :param clock: seconds that never go back.
    """

    def __init__(
        self,
        settings: Settings,
        keyring: Keyring,
        tokens: Tokens,
        tickets: Tickets,
        metrics: Metrics,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keyring = keyring
        self._tokens = tokens
        self._tickets = tickets
        self._metrics = metrics
        self._settings = settings
        self._now = now
        self._failures = Buckets(settings.login_rate / 60, settings.login_rate, clock=clock)
        self.logins = Logins(settings.console_session, now=now, clock=clock)
        keyring.on_revoked += [tickets.forget, self.logins.forget]

    def identify(self, secret: str | None, address: str, headers: Mapping[str, str]) -> Identity:
        """Whom a credential stands for: a ticket, an API key, or else a JWT. Nothing waits.

        :param secret: as :func:`presented` found it; :param address: the client's, as text.
        :param headers: of the request that it came with, by lower-case names: they say which page asks.
        :raises Unauthorized: there is none, or it does not hold.
        :raises Forbidden: it is not for the page that asks (:func:`rtlite.auth.origins.check_operator`).
        :raises TooMany: too many did not hold from this address (IPv6: its /64), or from strangers'
            pages there; this one was not looked at, good or not, so that guessing on is useless.
        """
        if not secret:
            raise Unauthorized("a credential is needed", headers=_NONE_GIVEN)
        who = address_key(address), origins.from_elsewhere(headers, self._settings)
        wait = self._failures.wait(who)
        if wait > 0:
            raise TooMany("too many failed logins from this address", wait)
        try:
            identity = self._check(secret)
        except Unauthorized as refusal:
            if not isinstance(refusal, NoGuess):
                self._failures.take(who)
            self._metrics.logins_failed.inc()
            log.info("login refused", address=who[0], reason=_reason(refusal))
            raise Unauthorized(INVALID, headers=_NOT_VALID) from None
        if identity.kind is Kind.ADMIN and not secret.startswith(single_use.PREFIX):  # a ticket is no public secret
            origins.check_operator(headers, self._settings)
        return identity

    def beside(self, identity: Identity, key: str | None, address: str, headers: Mapping[str, str]) -> Identity:
        """Who asks, where an API key comes beside a token (see :func:`presented_beside`).

        The user is the token's. What either of the two may is allowed, until the first of them ends:
        a key that does not hold is refused, however good the token is.

        :param identity: the token's; :param key: the other secret, if there is one.
        :raises Unauthorized, Forbidden, TooMany: as :meth:`identify`.
        """
        if key is None or identity.kind is not Kind.JWT:
            return identity
        other = self.identify(key, address, headers)
        if other.kind is Kind.JWT:
            raise Unauthorized("one token is enough", headers=_NOT_VALID)
        ends = [each.expires for each in (identity, other) if each.expires is not None]
        return attrs.evolve(identity, key=other, expires=min(ends, default=None))

    def _check(self, secret: str) -> Identity:
        if len(secret) > _LONGEST:
            raise Unauthorized("too long")
        if secret.startswith(single_use.PREFIX):
            identity = self._tickets.redeem(secret)
            if identity is None:
                raise Unauthorized("unknown, used or old ticket")
            # What the ticket stands for may have ended since it was issued.
            if identity.expires is not None and identity.expires <= self._now():
                raise Unauthorized("ticket of an expired credential")
            return identity
        if secret.startswith(keyrings.PREFIXES):
            key = self._keyring.find(secret)
            if key is None:
                refusal = NoGuess if self._keyring.knew(secret) else Unauthorized
                raise refusal("unknown, expired or revoked key")
            return keyrings.identity_of(key)
        return self._tokens.verify(secret)


def presented(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The credential in a request, or ``None``; of several the first, in the order that follows.

    ``Authorization: Bearer X`` (RFC 6750, section 2.1), ``X-Api-Key: X``, ``?token=X``,
    ``?apiKey=X``. Another scheme of ``Authorization`` is some proxy's, and not for us.

    :param headers: by lower-case names; :param query: the decoded query of the URL.
    """
    scheme, _, bearer = headers.get("authorization", "").strip().partition(" ")
    candidates = (
        bearer if scheme.lower() == "bearer" else "",
        headers.get("x-api-key", ""),
        query.get("token", ""),
        query.get("apiKey", ""),
    )
    return next((found for candidate in candidates if (found := candidate.strip())), None)


def presented_beside(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The API key that came besides what :func:`presented` found: ``X-Api-Key`` or ``?apiKey=``."""
    key = (headers.get("x-api-key") or query.get("apiKey") or "").strip()
    return key if key and key != presented(headers, query) else None


def _reason(refusal: Unauthorized) -> str:
    """Why, for the log: our own words, or the kind of a library's error, whose text may quote the peer."""
    cause = refusal.__cause__
    if cause is None:
        return refusal.detail
    return str(cause) if type(cause) in {ValueError, InvalidRequest} else type(cause).__name__
