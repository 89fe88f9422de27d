"""A JWKS (RFC 7517), cached: from a file, or from a URL that the settings fix.

Nothing in a token says where keys are fetched from. Redirects are not followed, and size,
number and time are bounded, so that an issuer's trouble stays the issuer's.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from rtlite.auth.public_keys import MAX_BYTES, PublicKey, read_set
from rtlite.errors import StartError
from rtlite.later import later
from rtlite.log import get_logger

if TYPE_CHECKING:
    import httpx
else:
    httpx = later("httpx")

log = get_logger(__name__)

FETCH_TIMEOUT: Final = 5.0  # seconds, from connecting to the last byte
MAX_AGE: Final = 3600.0  # a key that its issuer withdraws is refused within the hour
UNKNOWN_KID_INTERVAL: Final = 300.0  # made-up kids must not make us flood the issuer
RETRY_INTERVAL: Final = 30.0


class KeySet:
    """A JWKS, cached.

    :param source: a file's path, or an https URL (http on loopback only).
    :param transport: how httpx reaches the URL; tests hand one in.
    :param clock: seconds that never go back.
    :raises StartError: the file cannot be read, or the URL is not allowed.
    """

    def __init__(
        self,
        source: str,
        algorithm: str,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._algorithm = algorithm
        self._transport = transport
        self._clock = clock
        self._keys: dict[str | None, PublicKey] = {}
        self._unknown_kid = False
        self._tried: float | None = None
        self._failed = False
        self._url = _url(source)
        if self._url is None:
            try:
                self._keys = read_set(Path(source).read_bytes(), algorithm)
            except OSError as error:
                raise StartError(f"jwt_jwks: cannot read {source}: {error.strerror}") from error
            except ValueError as error:
                raise StartError(f"jwt_jwks: {source}: {error}") from error
            self._tried = clock()

    def find(self, kid: str | None) -> PublicKey | None:
        """The key that a token names; without a name the only one. An unknown name makes a refresh due."""
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        key = self._keys.get(kid)
        self._unknown_kid |= key is None
        return key

    @property
    def due(self) -> bool:
        """Whether :meth:`refresh` would read the source now."""
        if self._tried is None:
            return True
        age = self._clock() - self._tried
        if self._failed:
            return age >= RETRY_INTERVAL
        return age >= (UNKNOWN_KID_INTERVAL if self._unknown_kid else MAX_AGE)

    async def refresh(self) -> None:
        """Read the source again if that is due; if it fails, the old keys stay and the log says why."""
        if not self.due:
            return
        self._tried = self._clock()  # before the wait, so that two callers fetch once
        self._unknown_kid = False
        try:
            # A file is local and small: reading it is quicker than a thread.
            text = Path(self._source).read_bytes() if self._url is None else await self._fetch(self._url)  # noqa: ASYNC240
            self._keys = read_set(text, self._algorithm)
            self._failed = False
        except (OSError, ValueError, httpx.HTTPError, trio.TooSlowError) as error:
            self._failed = True
            where = self._source if self._url is None else self._url.host  # a query may hold a secret
            log.warning("the JWKS could not be read; the keys from before stay", source=where, reason=_reason(error))

    async def _fetch(self, url: httpx.URL) -> bytes:
        # Uncompressed, so that the bound on the size holds before anything is inflated.
        headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
        with trio.fail_after(FETCH_TIMEOUT):
            async with (
                httpx.AsyncClient(transport=self._transport, timeout=FETCH_TIMEOUT, follow_redirects=False) as client,
                client.stream("GET", url, headers=headers) as response,
            ):
                if response.status_code != 200 or response.headers.get("Content-Encoding", "identity") != "identity":
                    raise ValueError(f"status {response.status_code}, wanted 200 and no content encoding")
                body = bytearray()
                # Leaving the loop would leave httpx's generators unfinished; cancelling ends each of them.
                with trio.CancelScope() as reading:
                    async for chunk in response.aiter_bytes(16 * 1024):
                        body += chunk[: MAX_BYTES + 1 - len(body)]
                        if len(body) > MAX_BYTES:
                            reading.cancel()
                return bytes(body)  # read_set refuses what is too large


def _url(source: str) -> httpx.URL | None:
    """The URL, or ``None`` for a file's path."""
    if "://" not in source:
        return None
    try:
        url = httpx.URL(source)
    except httpx.InvalidURL as error:
        raise StartError("jwt_jwks: not a URL") from error
    if not url.host or not (url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host))):
        raise StartError("jwt_jwks: an https URL is needed (http on loopback only)")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name, which may lead anywhere


def _reason(error: Exception) -> str:
    return "no answer in time" if isinstance(error, trio.TooSlowError) else f"{type(error).__name__}: {error}"
