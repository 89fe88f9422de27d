"""GraphQL over HTTP: queries and mutations at ``/graphql``.

Source: GraphQL over HTTP (draft of 2025). A document that cannot be executed is answered with 400
where the client accepts ``application/graphql-response+json``; to older clients, which read
``application/json``, all is 200 that is a well-formed request. What is asked for with a
browser's simple requests is refused, so that no page asks for anything without a preflight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, NotRequired, TypedDict

import attrs
import orjson
import trio

from rtlite.auth.gate import Gate, presented_beside
from rtlite.endpoints.graphiql import GraphiQL
from rtlite.endpoints.graphqlschema import Opened
from rtlite.endpoints.resolvers import Resolvers
from rtlite.errors import InvalidRequest, MethodNotAllowed, NotAcceptable, Unauthorized, UnsupportedMediaType
from rtlite.model import Kind
from rtlite.protocols import jsonframes
from rtlite.protocols.graphqllimits import QueryRefused
from rtlite.rules import Rule
from rtlite.transports.contract import Answer, Asked
from rtlite.transports.routes import Access, Call, Reply, Route

GRAPHQL_RESPONSE: Final = "application/graphql-response+json"
JSON: Final = "application/json"
_QUALITY: Final = re.compile(r"[01](?:\.[0-9]{0,3})?")


@attrs.frozen
class GraphQLRequest:
    """The parameters of a request; ``extensions`` are taken and ignored."""

    query: Annotated[str, Rule(examples=["{ __typename }"])]
    operationName: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


class GraphQLAnswer(TypedDict):
    """What was asked for, and what went wrong: each error has its `code` in `extensions`."""

    data: NotRequired[dict[str, Any] | None]
    errors: NotRequired[list[dict[str, Any]]]


ANSWER: Final = Answer(GraphQLAnswer, "", [JSON, GRAPHQL_RESPONSE], {"Vary": "Accept"})
REFUSED: Final = Answer(GraphQLAnswer, "A document that cannot be executed", [JSON, GRAPHQL_RESPONSE])
WHAT: Final = (
    Asked("query", str, "A GraphQL document", required=True),
    Asked("operationName"),
    Asked("variables", str, "As JSON"),
    Asked("extensions", str, "As JSON"),
)


class GraphQLEndpoint:
    """:param page: GraphiQL, which is shown with ``--dev`` only."""

    def __init__(self, opened: Opened, resolvers: Resolvers, gate: Gate, page: GraphiQL | None) -> None:
        self._opened = opened
        self._resolvers = resolvers
        self._gate = gate
        self._page = page

    def routes(self) -> list[Route]:
        # GraphiQL itself is shown without a credential; what it asks for then has one.
        visitors = Access.VISITOR if self._page is not None else Access.CREDENTIAL
        return [
            Route(
                "POST",
                "/graphql",
                self.post,
                "GraphQL queries and mutations",
                Access.CREDENTIAL,
                lean=True,
                publishing=True,
                takes=GraphQLRequest,
                gives={200: ANSWER, 400: REFUSED},
                refuses={406: "not_acceptable", 415: "unsupported_media_type"},
            ),
            Route(
                "GET",
                "/graphql",
                self.get,
                "GraphQL queries; GraphiQL with --dev",
                visitors,
                publishing=True,
                asks=WHAT,
                gives={
                    400: REFUSED,
                    200: ANSWER if self._page is None else attrs.evolve(ANSWER, media=[*ANSWER.media, "text/html"]),
                },
                refuses={405: "method_not_allowed", 406: "not_acceptable"},
            ),
            *(self._page.routes() if self._page is not None else ()),
        ]

    async def post(self, call: Call) -> Reply:
        media = negotiate(call.headers.get("accept", ""))
        _check_content_type(call.headers.get("content-type", ""))
        try:
            request = jsonframes.decode(call.body, GraphQLRequest)
        except InvalidRequest as error:
            return _reply(_refusal(QueryRefused(error.detail, code=error.code)), 400, media)
        await trio.lowlevel.checkpoint()  # a megabyte may have taken the parser long enough
        return await self._answer(call, request, media)

    async def get(self, call: Call) -> Reply:
        """``?query=&operationName=&variables=``; to a browser, with ``--dev``, the page."""
        if self._page is not None and "text/html" in call.headers.get("accept", ""):
            return self._page.page(call)
        if call.identity.kind is Kind.ANONYMOUS and not call.trusted:
            raise Unauthorized("a credential is needed", headers={"WWW-Authenticate": "Bearer"})
        media = negotiate(call.headers.get("accept", ""))
        try:
            request = jsonframes.structure(_parameters(call.query), GraphQLRequest)
        except InvalidRequest as error:
            return _reply(_refusal(QueryRefused(error.detail, code=error.code)), 400, media)
        return await self._answer(call, request, media)

    async def _answer(self, call: Call, request: GraphQLRequest, media: str) -> Reply:
        identity = self._gate.beside(
            call.identity, presented_beside(call.headers, call.query), call.address, call.headers
        )
        try:
            operation = (await self._opened()).prepare(request.query, request.variables, request.operationName)
            if operation.kind == "mutation" and call.method != "POST":
                raise MethodNotAllowed("a mutation is sent with POST", headers={"Allow": "POST"})
            if operation.kind == "subscription":
                text = "subscriptions are at /graphql/ws, a WebSocket that speaks graphql-transport-ws"
                raise QueryRefused(text, code="subscription_over_http")
            await trio.lowlevel.checkpoint()
            answer = await self._resolvers.answer(identity, operation)
        except QueryRefused as refusal:
            return _reply(_refusal(refusal), 400 if media == GRAPHQL_RESPONSE else 200, media)
        return _reply(answer, 200, media)


def negotiate(accept: str) -> str:
    """The media type of the answer: ``application/json`` where the client does not care, as older ones do not.

    :raises NotAcceptable: it takes neither of the two.
    """
    best, chosen = 0.0, ""
    for item in accept.split(",") if accept.strip() else ["*/*"]:
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = _quality(parameters)
        if any(part.startswith("charset=") and part.strip('charset="') not in {"utf-8", "utf8"} for part in parameters):
            continue
        media = GRAPHQL_RESPONSE if name == GRAPHQL_RESPONSE else JSON if name in {JSON, "application/*", "*/*"} else ""
        if media and (quality > best or (quality == best > 0 and media == GRAPHQL_RESPONSE)):
            best, chosen = quality, media
    if not chosen:
        raise NotAcceptable(f"the answer is {GRAPHQL_RESPONSE} or {JSON}, in UTF-8")
    return chosen


def _quality(parameters: list[str]) -> float:
    for part in parameters:
        if part.startswith("q="):
            return float(part[2:]) if _QUALITY.fullmatch(part[2:]) else 0.0
    return 1.0


def _check_content_type(text: str) -> None:
    """:raises UnsupportedMediaType: the body is not JSON in UTF-8, or does not say so."""
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    charset = next((part[8:].strip('"') for part in parameters if part.startswith("charset=")), "utf-8")
    if name != JSON or charset not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType(f"the body is {JSON}, in UTF-8", headers={"Accept-Post": JSON})


def _parameters(query: Mapping[str, str]) -> dict[str, Any]:
    """Those of a GET, where two are JSON in the URL. :raises InvalidRequest: one of them is none."""
    found: dict[str, Any] = {name: query[name] for name in ("query", "operationName") if name in query}
    for name in ("variables", "extensions"):
        if query.get(name):
            try:
                found[name] = jsonframes.parse(query[name])
            except InvalidRequest as error:
                raise InvalidRequest(f"{name}: JSON is wanted", code=error.code) from error
    return found


def _refusal(refusal: QueryRefused) -> dict[str, Any]:
    return {"errors": refusal.errors}


def _reply(answer: dict[str, Any], status: int, media: str) -> Reply:
    return Reply(status, orjson.dumps(answer), f"{media}; charset=utf-8", {"Vary": "Accept"})
