"""Requests that this server makes of its own accord, to where an operator said: one POST, one answer.

A name is resolved once for each connection, every address that it has is checked, and the connection goes to
one that was checked: a second answer of the name server changes nothing. No redirect is followed, no proxy of the
environment is used, and time and bytes are bounded.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import attrs
import httpcore
import trio

from rtlite.errors import InvalidRequest
from rtlite.later import later
from rtlite.settings import Settings
from rtlite.transports.addresses import literal, may_reach

if TYPE_CHECKING:
    import httpx
else:
    httpx = later("httpx")

MAX_URL: Final = 2048
_HOST: Final = re.compile(rb"[a-z0-9._-]+|[0-9a-f:.]+")  # as it goes to the name server
_IDLE_SECONDS: Final = (
    2.0  # less than any receiver keeps an idle connection open, so that it is not closed under a request
)

_FAILURES: Final = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a name."""


@attrs.frozen
class Answer:
    """What came of a request. ``status`` is ``None`` without an answer; ``error`` says in a few words what failed.

    ``duration`` is in milliseconds; ``retry_after`` is the header as it came.
    """

    status: int | None
    error: str | None
    duration: int
    retry_after: str | None = None

    @property
    def taken(self) -> bool:
        """Whether the endpoint has it: 2xx, and nothing else."""
        return self.status is not None and 200 <= self.status < 300


class _Refusal(Exception):
    """A connection that is not made; the text says why."""


def check_url(text: str, settings: Settings) -> str:
    """Return a webhook's URL, normalised. What its name leads to is checked at each connection.

    :raises InvalidRequest: it is none, or leads where it may not.
    """
    private = allows_private(settings)
    try:
        url = httpx.URL(text) if len(text) <= MAX_URL else httpx.URL("")
    except httpx.InvalidURL as error:
        raise InvalidRequest("url: an http or https URL is wanted") from error
    if url.scheme not in {"http", "https"} or not _HOST.fullmatch(url.raw_host):
        raise InvalidRequest(f"url: an http or https URL of up to {MAX_URL} characters is wanted")
    if url.scheme == "http" and not private:
        raise InvalidRequest("url: https is wanted (the setting webhook_private allows http)")
    if url.userinfo or url.fragment:
        raise InvalidRequest("url: neither user nor fragment may be in it")
    port = url.port or (443 if url.scheme == "https" else 80)
    if port not in settings.webhook_ports and not private:
        raise InvalidRequest("url: this port is not among the setting webhook_ports")
    address = literal(url.host)
    if address is not None and not may_reach(address, private=private):
        raise InvalidRequest("url: this address may not be reached")
    return str(url)


def allows_private(settings: Settings) -> bool:
    """Whether private and loopback addresses may be reached."""
    return settings.webhook_private or settings.dev


class Outbound:
    """The way to other servers. Use it as a context: the end closes its idle connections.

    :param resolve: finds a name's addresses; tests hand one in.
    :param tls: whose certificates are trusted; the system's if not given.
    """

    def __init__(self, settings: Settings, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._resolve = resolve or _Names(settings.max_webhooks)
        self._tls = tls
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}

    async def __aenter__(self) -> Outbound:
        return self

    async def __aexit__(self, *_: object) -> None:
        for sender in list(self._pools):
            await self.leave(sender)

    async def leave(self, sender: str) -> None:
        """This sender has no more to send."""
        if sender in self._pools:
            with trio.CancelScope(shield=True):
                await self._pools.pop(sender).aclose()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, sender: str = "") -> Answer:
        """Send ``body`` and read the answer. Whatever goes wrong is in the answer: nothing but cancellation is raised.

        The status decides. Once it is here, an answer that is longer than it may be, or never ends, is cut.

        :param sender: each has connections of its own, which it uses again.
        """
        begun = trio.current_time()
        status, error, wait = None, "no answer in time", None
        target = httpx.URL(url)
        where = httpcore.URL(scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path)
        sent = {"user-agent": "rtlite", "content-length": str(len(body)), **headers}
        fields = [(name.encode(), value.encode()) for name, value in sent.items()]
        with trio.move_on_after(self._settings.webhook_timeout):
            try:
                pool = self._connections(sender)
                async with pool.stream("POST", where, headers=fields, content=_Body(body)) as response:
                    status, wait = response.status, _field(response.headers, b"retry-after")
                    await self._read(response)
            except (_Refusal, *_FAILURES) as failure:
                error = _reason(failure)
        duration = round((trio.current_time() - begun) * 1000)
        if status is None:
            return Answer(None, error, duration)
        taken = 200 <= status < 300
        return Answer(status, None if taken else f"answered {status}", duration, wait)

    async def _read(self, response: httpcore.Response) -> None:
        """To the end, so that the connection can be used again, or as far as an answer may go."""
        size = 0
        # To leave the loop would leave the generators unfinished; cancelling ends each of them.
        with trio.CancelScope() as reading:
            async for chunk in response.aiter_stream():
                size += len(chunk)
                if size > self._settings.webhook_reply:
                    reading.cancel()

    def _connections(self, sender: str) -> httpcore.AsyncConnectionPool:
        # Not one pool for all: each request looks at every connection of its pool.
        if (pool := self._pools.get(sender)) is None:
            if self._tls is None:  # not before it is needed: to read the system's certificates takes a while
                self._tls = ssl.create_default_context()
            pool = self._pools[sender] = httpcore.AsyncConnectionPool(
                ssl_context=self._tls,
                max_connections=None,
                max_keepalive_connections=1,
                keepalive_expiry=_IDLE_SECONDS,
                network_backend=_Checked(self._resolve, private=allows_private(self._settings)),
            )
        return pool


class _Body:
    """A request's body in one piece. httpcore's own is a generator, which would be left unfinished if given up."""

    def __init__(self, body: bytes) -> None:
        self._parts = [body]

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop()


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to addresses that may be reached, and to no other."""

    def __init__(self, resolve: Resolve, *, private: bool) -> None:
        self._resolve = resolve
        self._private = private
        self._plain = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        known = literal(host)
        try:
            addresses = [str(known)] if known is not None else await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise _Refusal("its name leads nowhere") from error
        # Every one: who controls the name must not get a forbidden one in among others.
        if not addresses or not all(may_reach(ip_address(item), private=self._private) for item in addresses):
            raise _Refusal("its address may not be reached")
        for number, address in enumerate(addresses):
            try:
                return _Stream(await self._plain.connect_tcp(address, port, timeout, local_address, socket_options))
            except httpcore.ConnectError:
                if number == len(addresses) - 1:
                    raise
        raise AssertionError  # the last one returned or raised


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that closes at once: TLS's goodbye would wait, shielded, for a peer that does not read."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        with trio.move_on_after(0):
            await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Names:
    """The system's resolver. It has threads of its own: one that hangs for half a minute holds up nobody else."""

    def __init__(self, most: int) -> None:
        self._limiter = trio.CapacityLimiter(max(1, most))

    async def __call__(self, host: str, port: int) -> list[str]:
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await trio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=self._limiter)
        return list(dict.fromkeys(str(item[4][0]) for item in found))


def _field(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)


def _reason(failure: BaseException) -> str:
    """What failed, in words that say nothing of what stands at the other end."""
    if isinstance(failure, _Refusal):
        return str(failure)
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "its certificate does not hold" if isinstance(cause, ssl.SSLCertVerificationError) else "TLS failed"
        cause = cause.__cause__ or cause.__context__
    if isinstance(failure, httpcore.ConnectError | httpcore.ConnectTimeout):
        return "it could not be connected to"
    if isinstance(failure, httpcore.ProtocolError):
        return "its answer is no HTTP"
    return "the connection broke"
