"""``/openapi.json``: the routes as an OpenAPI 3.1 document, made of what each says of itself.

What goes without saying is added here: whom a door lets in, and what any door like it may refuse.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypedDict

import attrs

from rtlite import __version__
from rtlite.auth import hosts
from rtlite.auth.logins import NAME as COOKIE
from rtlite.protocols import webhooks
from rtlite.protocols.jsonschema import Schemas, prose
from rtlite.rules import Rule
from rtlite.settings import Settings
from rtlite.transports.contract import JSON, Answer, Asked, Body
from rtlite.transports.routes import Access, Route

PROBLEM: Final = "application/problem+json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
LICENSE: Final = {"name": "MIT", "identifier": "MIT"}
ABOUT: Final = (
    "An embedded realtime server. What comes over its WebSockets and event streams is in `/asyncapi.json`. "
    "Errors are `application/problem+json` (RFC 9457) with a stable `code`."
)
SCHEMES: Final[Mapping[str, dict[str, Any]]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, a JWT or a ticket"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "An API key"},
    "queryToken": {"type": "apiKey", "in": "query", "name": "token", "description": "Where headers cannot be set"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A login to the console"},
    "queryApiKey": {"type": "apiKey", "in": "query", "name": "apiKey", "description": "Where headers cannot be set"},
}
# By what they come of, in the order of the checks: what any such route may refuse.
_ALWAYS: Final = {400: "bad_request", 408: "request_timeout", 431: "head_too_large", 500: "internal_error"}
_BUSY: Final = {503: "overloaded stopping storage_failed internal_error", 507: "storage_full"}
_CREDENTIAL: Final = {401: "unauthorized", 403: "forbidden", 429: "rate_limited"}
_BODY: Final = {400: "invalid_request invalid_json", 413: "too_large"}
_TITLES: Final = {
    200: "Done",
    201: "Made",
    204: "Done",
    400: "The request is malformed",
    401: "No credential, or one that does not hold",
    403: "The credential may not do this",
    404: "It is not there",
    405: "Another method is wanted",
    406: "None of the accepted types",
    408: "The request did not arrive in time",
    409: "It does not fit what is there",
    412: "`If-Match` names another version",
    413: "The body is too large",
    415: "The body is of another type",
    421: "`Host` names another server",
    429: "Too many requests",
    431: "The head is too large",
    500: "The server made a mistake",
    503: "Try again soon",
    507: "The disk is full",
}
_RETRY: Final = {"Retry-After": "Seconds until it is worth trying again"}
_RATES: Final = {
    "X-RateLimit-Limit": "Requests at once",
    "X-RateLimit-Remaining": "Requests that are left",
    "X-RateLimit-Reset": "Seconds until all are there again",
}
_OFTEN: Final = {401: {"WWW-Authenticate": "`Bearer`"}, 405: {"Allow": "The methods"}, 429: _RETRY}


class Problem(TypedDict):
    """Why a request is refused (RFC 9457): `code` is stable, `detail` is for people."""

    type: Literal["about:blank"]
    title: str
    status: Annotated[int, Rule(minimum=400, maximum=599)]
    code: str
    detail: str


def document(routes: Sequence[Route], settings: Settings) -> dict[str, Any]:
    """All of it, for servers with these settings."""
    return _Document(settings).of(routes)


class _Document:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._schemas = Schemas(settings)
        self._refusals: dict[str, Any] = {}

    def of(self, routes: Sequence[Route]) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        for route in routes:
            paths.setdefault(route.pattern, {})[route.method.lower()] = self._operation(route)
        return {
            "openapi": "3.1.1",
            "jsonSchemaDialect": DIALECT,
            "info": {"title": "rtlite", "version": __version__, "description": ABOUT, "license": LICENSE},
            "servers": [{"url": "/", "description": "This server"}],
            "tags": [{"name": name, "description": about} for name, about in dict.fromkeys(map(_tag, routes))],
            "paths": paths,
            "webhooks": {"event": {"post": self._delivery()}},
            "components": {
                "securitySchemes": SCHEMES,
                "schemas": dict(sorted(self._schemas.named.items())),
                "responses": dict(sorted(self._refusals.items())),
            },
        }

    def _operation(self, route: Route) -> dict[str, Any]:
        operation: dict[str, Any] = {
            "operationId": _name(route),
            "summary": route.summary,
            "tags": [_tag(route)[0]],
            "security": _security(route, self._settings),
        }
        about = prose(inspect.getdoc(route.handler))
        operation["description"] = f"{about}\n\nOpen to: {route.access.value}.".strip()
        if parameters := self._parameters(route):
            operation["parameters"] = parameters
        if route.takes is not None:
            operation["requestBody"] = self._body(route.takes)
        operation["responses"] = self._responses(route)
        return operation

    def _delivery(self) -> dict[str, Any]:
        """What the endpoints of webhooks get."""
        headers = [Asked(name, str, about, "header", required=True) for name, about in webhooks.HEADERS.items()]
        return {
            "operationId": "deliver",
            "summary": "An event, to the endpoint of a webhook",
            "description": "By Standard Webhooks 1.0.0: check the signature before anything else.",
            "parameters": [self._parameter(asked, asked.place) for asked in headers],
            "requestBody": self._body(webhooks.Delivery),
            "responses": {
                "2XX": {"description": "Taken"},
                "410": {"description": "No more of these: the webhook is disabled"},
                "default": {"description": "Not taken: it is tried again, after `Retry-After` if there is one"},
            },
        }

    def _parameters(self, route: Route) -> list[dict[str, Any]]:
        named = re.findall(r"\{(\w+)\}", route.pattern)
        known = {asked.name for asked in route.asks if not asked.place}
        plain = [Asked(name, Annotated[str, Rule(minLength=1)]) for name in named if name not in known]
        return [
            self._parameter(asked, asked.place or ("path" if asked.name in named else "query"))
            for asked in (*plain, *route.asks)
        ]

    def _parameter(self, asked: Asked, place: str) -> dict[str, Any]:
        parameter: dict[str, Any] = {"name": asked.name, "in": place, "schema": self._schemas.of(asked.type)}
        if place == "path" or asked.required:
            parameter["required"] = True
        if asked.about:
            parameter["description"] = asked.about
        return parameter

    def _body(self, takes: Any) -> dict[str, Any]:
        body = takes if isinstance(takes, Body) else Body({JSON: takes})
        schemas = {media: self._schemas.of(type) for media, type in body.media.items()}
        content: dict[str, dict[str, Any]] = {media: {"schema": schema} for media, schema in schemas.items()}
        if body.example is not None:
            content[JSON]["example"] = body.example
        needed = any("required" in self._named(schema) for schema in schemas.values())
        return {"content": content, "required": needed}

    def _named(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a reference refers to."""
        return self._schemas.named[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    def _responses(self, route: Route) -> dict[str, Any]:
        responses: dict[int, Any] = {}
        for status, given in route.gives.items():
            answer = given if isinstance(given, Answer) else Answer(given)
            headers = dict(answer.headers)
            if route.publishing and status < 300 and self._settings.publish_rate:
                headers |= _RATES
            if status == 200 and 201 in route.gives and not answer.about:
                answer = attrs.evolve(answer, about="It was there before")
            responses[status] = self._answer(status, answer, headers)
        for status, codes in self._refused(route).items():
            problem = self._refusal(status, codes)
            if status not in responses:
                responses[status] = problem
            else:  # an answer of its own protocol, or the problem of any route
                refusal = self._refusals[problem["$ref"].rpartition("/")[2]]
                responses[status].setdefault("content", {}).update(refusal["content"])
        return {str(status): responses[status] for status in sorted(responses)}

    def _answer(self, status: int, answer: Answer, headers: Mapping[str, str]) -> dict[str, Any]:
        response: dict[str, Any] = {"description": answer.about or _TITLES[status]}
        if answer.type is not None:
            schema = self._schemas.of(answer.type)
            response["content"] = {media: {"schema": schema if "json" in media else {}} for media in answer.media}
        if headers:
            response["headers"] = _headers(headers)
        return response

    def _refused(self, route: Route) -> dict[int, list[str]]:
        """All codes that the route may refuse with, by status."""
        sources: list[Mapping[int, str]] = [_ALWAYS, route.refuses]
        if route.access is not Access.PUBLIC:
            sources.append(_CREDENTIAL)
            if self._settings.dev:
                sources.append({403: "origin_not_allowed"})
        if _lasts(route):  # of a stream, what may pass is said within it: clients give up for good at a status
            return {status: codes for status, codes in _joined(sources).items() if status < 429}
        sources.append(_BUSY)
        if route.takes is not None:
            sources.append(_BODY)
        if route.asks or "{" in route.pattern:
            sources.append({400: "invalid_request"})
        if route.publishing:
            sources.append({429: "rate_limited"})
        if hosts.checked(self._settings):
            sources.append({421: "misdirected"})
        return _joined(sources)

    def _refusal(self, status: int, codes: Iterable[str]) -> dict[str, Any]:
        """A refusal with one of these codes; those that are alike are one component."""
        wanted = sorted(codes)
        name = ".".join([str(status), *wanted])
        if name not in self._refusals:
            problem = self._schemas.of(Problem)
            code = {"properties": {"code": {"enum": wanted}, "status": {"const": status}}}
            self._refusals[name] = {
                "description": _TITLES[status],
                "content": {PROBLEM: {"schema": {"allOf": [problem, code]}}},
            }
            if headers := _OFTEN.get(status):
                self._refusals[name]["headers"] = _headers(headers)
        return {"$ref": f"#/components/responses/{name}"}


def _joined(sources: Iterable[Mapping[int, str]]) -> dict[int, list[str]]:
    codes: dict[int, list[str]] = {}
    for status, more in (pair for source in sources for pair in source.items()):
        codes.setdefault(status, []).extend(code for code in more.split() if code not in codes[status])
    return codes


def _lasts(route: Route) -> bool:
    """Whether it is answered by a stream of events."""
    answer = route.gives.get(200)
    return isinstance(answer, Answer) and "text/event-stream" in answer.media


def _headers(named: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: {"schema": {"type": "string"}} | ({"description": about} if about else {})
        for name, about in named.items()
    }


def _security(route: Route, settings: Settings) -> list[dict[str, list[str]]]:
    """Any one of these; the empty one is to come without."""
    if route.access is Access.PUBLIC:
        return []
    ways: list[dict[str, list[str]]] = [{name: []} for name in SCHEMES if name != "session" or route.for_console]
    open_too = route.access is Access.VISITOR or (route.access is Access.OPERATOR_OR_DEV and settings.dev)
    return [{}, *ways] if open_too else ways


def _tag(route: Route) -> tuple[str, str]:
    """The module that answers, and what it says of itself first."""
    module = sys.modules[route.handler.__module__]
    return module.__name__.rpartition(".")[2], prose(module.__doc__).partition("\n\n")[0]


def _name(route: Route) -> str:
    """``get_records_modelKey_id``: unique, as the method and the path are together."""
    path = route.pattern.replace("/", "_").strip("_") if route.pattern != "/" else "root"
    ending = "_" if len(route.pattern) > 1 and route.pattern.endswith("/") else ""
    return re.sub(r"[^\w]", "", f"{route.method.lower()}_{path}{ending}".replace(".", "_"))
