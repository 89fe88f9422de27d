"""The table of HTTP routes, and how one request is answered.

Both lanes, the lean one and Quart's, end here: find the route, find out who asks, hold the
limits, call the endpoint's function, and turn whatever it raises into problem+json
(RFC 9457). So no endpoint can forget one of these steps.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Mapping, Sequence
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

import attrs
import orjson

from rtlite.auth import origins
from rtlite.auth.gate import Gate, presented
from rtlite.auth.grants import is_operator
from rtlite.auth.throttle import Buckets, address_key
from rtlite.errors import Forbidden, MethodNotAllowed, NotFound, Refused, TooLarge, TooMany, Unauthorized
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Identity, Kind
from rtlite.settings import Settings
from rtlite.transports.bodies import Bodies
from rtlite.transports.contract import Asked
from rtlite.transports.head import Head, UpgradeRequired, decode_segment

log = get_logger(__name__)

R = TypeVar("R")
W = TypeVar("W", bound=Hashable)

_ASKED_FOR: Final = {Kind.JWT, Kind.STREAM}  # whose rights may depend on what is stored
_READING: Final = {"GET", "HEAD"}
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
ANONYMOUS: Final = Identity(Kind.ANONYMOUS, "", "anonymous")
OPERATOR: Final = Identity(Kind.ADMIN, "operator", "control")
"""Who may open the control socket, and this process itself."""


class Access(Enum):
    """Who may call a route at all; what exactly they may is the endpoint's to decide."""

    PUBLIC = "anyone"
    VISITOR = "anyone; without a credential, the rate is limited per address"
    CREDENTIAL = "any valid credential"
    OPERATOR = "an admin key"
    OPERATOR_OR_DEV = "an admin key; anyone with --dev"


@attrs.define(slots=True)
class Call:
    """One request, as an endpoint's function gets it."""

    method: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    address: str
    scheme: str = "http"
    trusted: bool = False
    identity: Identity = ANONYMOUS
    pieces: AsyncIterable[bytes] | None = None
    values: Callable[[str], list[str]] = lambda name: []
    """Every value of a query parameter, in order; ``query`` has only the last. For what cannot be lean."""


@attrs.define(slots=True)
class Reply:
    """An answer, which nobody changes once it is made. ``body`` is ready to send."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = _NONE


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps(value), headers=headers or _NONE)


@attrs.frozen(eq=False)
class Route:
    """One row of the table.

    :param pattern: the path, with ``{name}`` for a segment.
    :param summary: one line for the descriptions.
    :param limit: the largest body, in bytes; ``None`` is the setting ``max_body``.
    :param lean: a hot write, answered without Quart.
    :param publishing: counts towards the publish rate of the key.
    :param soon: for the hottest: as ``handler``, but it returns at once, and calls back with a function, and
        its arguments, that gives the answer or raises why there is none. It is not asked for tokens and stream
        keys, whose rights may have to be read.
    :param streamed: a body of lines is taken as it comes, in ``call.pieces``, however long it is.
    :param open_to_pages: readable by pages of any origin (CORS), because it holds nothing private.

    For the descriptions (:mod:`rtlite.transports.contract`):

    :param asks: the parameters, but those of the path that are plain texts.
    :param takes: the type of the body. :param gives: the type of the answer, by status.
    :param refuses: the codes of its own refusals, by status; what any such route refuses goes without saying.
    """

    method: str
    pattern: str
    handler: Callable[[Call], Awaitable[Reply]]
    summary: str
    access: Access = Access.OPERATOR
    limit: int | None = None
    lean: bool = False
    publishing: bool = False
    open_to_pages: bool = False
    streamed: bool = False
    soon: Callable[[Call, Callable[..., None]], None] | None = None
    asks: Sequence[Asked] = ()
    takes: Any = None
    gives: Mapping[int, Any] = attrs.field(factory=dict)
    refuses: Mapping[int, str] = attrs.field(factory=dict)

    @property
    def for_console(self) -> bool:
        """Whether a login to the console is a credential here. Elsewhere its cookie is nothing."""
        return self.pattern.startswith("/api/") or self.access is Access.OPERATOR_OR_DEV


class PathTable(Generic[R]):
    """Finds the rows whose pattern a path matches, segment by segment, before percent-decoding.

    A path that is spelled out in some row matches no names: ``/collab/info`` is no room.
    """

    def __init__(self, rows: Sequence[tuple[str, R]]) -> None:
        self._spelled_out: dict[str, list[R]] = {}
        for pattern, row in rows:
            if "{" not in pattern:
                self._spelled_out.setdefault(pattern, []).append(row)
        self._rows = [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)), row) for pattern, row in rows]

    def find(self, path: str) -> list[tuple[R, dict[str, str]]]:
        if (rows := self._spelled_out.get(path)) is not None:
            return [(row, {}) for row in rows]
        return [
            (row, {name: decode_segment(value) for name, value in match.groupdict().items()})
            for pattern, row in self._rows
            if (match := pattern.fullmatch(path))
        ]


def problem(error: Refused) -> Reply:
    """A refusal as ``application/problem+json``."""
    body = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
    }
    return Reply(error.status, orjson.dumps(body), "application/problem+json", error.headers)


class InternalError(Refused):
    status = 500
    title = "Internal error"
    code = "internal_error"


class Router:
    """Answers requests by the table. :param websockets: patterns of paths that WebSockets are served at."""

    def __init__(
        self, routes: Sequence[Route], gate: Gate, settings: Settings, metrics: Metrics, websockets: Sequence[str] = ()
    ) -> None:
        self.routes = routes
        self._websockets = PathTable([(pattern, pattern) for pattern in websockets])
        self._table = PathTable([(route.pattern, route) for route in routes])
        self._fixed = {(route.method, route.pattern): route for route in routes if "{" not in route.pattern}
        self._counters: dict[tuple[str, int], Any] = {}
        self._gate = gate
        self._settings = settings
        self._metrics = metrics
        self.bodies = Bodies(settings.upload_bytes)
        self.impair: Callable[[Route, Call], Awaitable[None]] | None = None
        """Called with each request, once it is known whose it is, while faults may be for it."""
        self._publishing = Buckets(settings.publish_rate, max(1, settings.publish_rate))
        self._visiting = Buckets(settings.anonymous_rate / 60, max(1, settings.anonymous_rate))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route for a request. :raises NotFound, MethodNotAllowed, UpgradeRequired, BadHead: there is none."""
        if (fixed := self._fixed.get((method, path))) is not None:
            return fixed, {}
        found = self._table.find(path)
        for route, params in found:
            if route.method == method or (method == "HEAD" and route.method == "GET"):
                return route, params
        if method in _READING and self._websockets.find(path):
            raise UpgradeRequired("an upgrade to WebSocket is wanted; does a proxy drop it?")
        if not found:
            raise NotFound("no such path")
        allowed = sorted({route.method for route, _ in found})
        raise MethodNotAllowed(f"only {', '.join(allowed)} here", headers={"Allow": ", ".join(allowed)})

    def knows(self, path: str) -> bool:
        """Whether any method is served at this path."""
        return bool(self._table.find(path))

    def refuse_strangers(self, route: Route, head: Head, trusted: bool) -> None:
        """Before a body is waited for. :raises Unauthorized: a credential is needed, and none is shown."""
        open_to_all = trusted or route.access in {Access.PUBLIC, Access.VISITOR} or self._settings.dev
        if open_to_all or presented(head.headers, head.query) is not None:
            return
        if not route.for_console or self._gate.logins.find(head.headers) is None:
            raise Unauthorized("a credential is needed", headers={"WWW-Authenticate": "Bearer"})

    def body_limit(self, route: Route) -> int:
        return self._settings.max_body if route.limit is None else route.limit

    async def answer(
        self,
        call: Call,
        path: str,
        lane: str = "quart",
        found: tuple[Route, dict[str, str]] | None = None,
        refusal: Refused | None = None,
    ) -> Reply:
        """The whole answer to a request; raises nothing but cancellation.

        :param found: the route and its parameters, where the caller looked them up already.
        :param refusal: why the caller could not read the body.
        """
        origin = call.headers.get("origin")
        public = False
        try:
            if call.method == "OPTIONS":
                reply, public = self._preflight(call, path)
            else:
                route, call.params = found or self.find(call.method, path)
                public = route.open_to_pages
                if refusal is not None:
                    raise refusal
                reply = await self._answer(route, call)
        except Exception as error:  # noqa: BLE001  # logged where it is our own
            reply = self._failed(error, path)
        self.count(lane, [reply.status])
        if call.method in _READING and call.identity is not ANONYMOUS and "Cache-Control" not in reply.headers:
            # Shared caches know that Authorization makes an answer private, not that X-Api-Key or ?token= does.
            reply = attrs.evolve(reply, headers={**reply.headers, "Cache-Control": "no-store"})
        if origin is not None:
            cors = origins.cors_headers(origin, self._settings, public=public)
            reply = attrs.evolve(reply, headers={**reply.headers, **cors})
        if "token" in call.query or "apiKey" in call.query:  # what is read at this address must not pass it on
            reply = attrs.evolve(reply, headers={**reply.headers, "Referrer-Policy": "no-referrer"})
        return reply

    async def ask(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Reply:
        """A request of this process's own, with the operator's rights. :raises Refused: it is refused."""
        route, params = self.find(method, path)
        call = Call(method, params, query, {"content-type": "application/json"}, body, "", trusted=True)
        call.values = lambda name: [query[name]] if name in query else []
        return await self._answer(route, call)

    def answer_soon(
        self, call: Call, route: Route, done: Callable[[Reply], None], seen: dict[W, Identity], who: W
    ) -> bool:
        """As :meth:`answer`, for a request to a route with ``soon``, without a task that waits. It counts none.

        :param done: gets the answer, later or before this returns.
        :param seen: the API keys' owners that were identified since anything else had its turn, by ``who``;
            they are not identified again.
        :returns: whether there will be an answer; else the request is to be answered the other way.
        """
        soon = route.soon
        if soon is None or self.impair is not None:
            return False
        try:
            known = seen.get(who)
            if known is not None:
                call.identity = known
            else:
                self._identify(route, call)
                if call.identity.kind in _ASKED_FOR:
                    return False
                if route.access is Access.CREDENTIAL:
                    seen[who] = call.identity
            soon(call, partial(self._finish, route, done, self._limit(route, call)))
        except Exception as error:  # noqa: BLE001  # logged where it is our own
            done(self._failed(error, route.pattern))
        return True

    def _finish(
        self,
        route: Route,
        done: Callable[[Reply], None],
        extra: dict[str, str],
        make: Callable[..., Reply],
        *arguments: Any,
    ) -> None:
        try:
            reply = make(*arguments)
            if extra:
                reply = attrs.evolve(reply, headers={**reply.headers, **extra})
        except Exception as error:  # noqa: BLE001  # logged where it is our own
            reply = self._failed(error, route.pattern)
        done(reply)

    def _failed(self, error: Exception, path: str) -> Reply:
        """What the client is told: a refusal, or that we made a mistake in this one request (its traceback is ours)."""
        if isinstance(error, Refused):
            return problem(error)
        log.error("a request failed", path=path, exc_info=error)
        self._metrics.faults.inc()
        return problem(InternalError("the server made a mistake"))

    def count(self, lane: str, statuses: list[int]) -> None:
        """Count answers in the metrics."""
        for status in set(statuses):
            counter = self._counters.get((lane, status))
            if counter is None:
                counter = self._counters[lane, status] = self._metrics.requests.labels(lane, str(status))
            counter.inc(statuses.count(status))

    async def _answer(self, route: Route, call: Call) -> Reply:
        if len(call.body) > self.body_limit(route):
            raise TooLarge(f"the body may have {self.body_limit(route)} bytes")
        self._identify(route, call)
        if self.impair is not None:
            await self.impair(route, call)
        extra = self._limit(route, call)
        reply = await route.handler(call)
        return attrs.evolve(reply, headers={**reply.headers, **extra}) if extra else reply

    def _identify(self, route: Route, call: Call) -> None:
        """Who asks, and whether they may."""
        if route.access is Access.PUBLIC:  # a stale key in a monitor's settings must not fail its health checks
            return
        secret = presented(call.headers, call.query)
        if call.trusted and secret is None:  # our own control socket, mode 0600
            call.identity = OPERATOR
        elif secret is not None:
            call.identity = self._gate.identify(secret, call.address, call.headers)
        elif route.for_console and (login := self._gate.logins.find(call.headers)) is not None:
            if not origins.from_our_page(call.headers, call.scheme, self._settings, method=call.method):
                raise Forbidden("a login to the console is for the console's own page", code="origin_not_allowed")
            call.identity = login.identity
        elif route.access is Access.VISITOR:
            self._take(self._visiting, address_key(call.address), self._settings.anonymous_rate)
        elif route.access in {Access.CREDENTIAL, Access.OPERATOR} or (
            route.access is Access.OPERATOR_OR_DEV and not self._settings.dev
        ):
            raise Unauthorized("a credential is needed", headers={"WWW-Authenticate": "Bearer"})
        if route.access is Access.OPERATOR and not is_operator(call.identity):
            raise Forbidden("an admin key is needed")
        if route.access is Access.OPERATOR_OR_DEV and self._settings.dev:
            origins.check_operator(call.headers, self._settings)
        elif route.access is Access.OPERATOR_OR_DEV and not is_operator(call.identity):
            raise Forbidden("an admin key is needed")

    def _limit(self, route: Route, call: Call) -> dict[str, str]:
        """Hold the publish rate; returns headers that the answer carries."""
        if route.publishing and self._settings.publish_rate and not call.trusted:
            return self._take(self._publishing, call.identity.credential, self._settings.publish_rate)
        return {}

    @staticmethod
    def _take(buckets: Buckets, key: str, rate: int) -> dict[str, str]:
        if not rate:
            return {}
        wait = buckets.take(key)
        limit, remaining, reset = buckets.state(key)
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(int(remaining)),
            "X-RateLimit-Reset": str(round(reset + 0.5)),
        }
        if wait:
            raise TooMany("too many requests", wait, headers)
        return headers

    def _preflight(self, call: Call, path: str) -> tuple[Reply, bool]:
        """A browser's question before a request of another origin (CORS)."""
        wanted = call.headers.get("access-control-request-method", "")
        found = self._table.find(path)
        if not found:
            raise NotFound("no such path")
        allowed = sorted({route.method for route, _ in found})
        public = any(route.open_to_pages for route, _ in found if route.method == wanted)
        headers = {
            "Allow": ", ".join(allowed),
            "Access-Control-Allow-Methods": ", ".join(allowed),
            "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Api-Key, If-Match, Last-Event-ID",
            "Access-Control-Max-Age": "600",
        }
        return Reply(204, headers=headers), public
