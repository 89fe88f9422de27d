"""``/api/keys``, ``/api/tokens``, ``/api/tickets``: what one shows to be let in, made and taken away."""

from __future__ import annotations

from typing import Annotated, TypedDict

import attrs

from rtlite.auth.claims import MAX_PATTERNS
from rtlite.auth.gate import presented
from rtlite.auth.keyring import MAX_NAME, Keyring
from rtlite.auth.tickets import PREFIX as TICKET_PREFIX
from rtlite.auth.tickets import TicketJson, Tickets
from rtlite.auth.tokens import Tokens
from rtlite.endpoints.pages import Page
from rtlite.errors import Forbidden, InvalidRequest
from rtlite.model import Kind, Role
from rtlite.protocols import jsonframes
from rtlite.rules import Duration, Rule, Subscribable, User
from rtlite.settings import Settings, duration
from rtlite.store.keys import KeyJson
from rtlite.transports.contract import UNKNOWN
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply

Patterns = Annotated[
    list[Subscribable], Rule(maxItems=MAX_PATTERNS, description="Channels, kinds as `changes:*`, or `*`")
]


@attrs.frozen
class NewKey:
    kind: Annotated[str, Rule(enum=["blog", "project", "stream", "admin"])]
    user: User
    name: Annotated[str, Rule(maxLength=MAX_NAME)] = ""
    expires: Duration | None = None
    scope: Annotated[str, Rule(enum=["read", "write"], description="Of a project key")] | None = None
    test: bool = False


@attrs.frozen
class NewToken:
    user: User
    role: Annotated[str, Rule(enum=["user", "customer", "collab", "admin"])] = "user"
    ttl: Duration = "1h"
    subscribe: Patterns = attrs.field(factory=list)
    publish: Patterns = attrs.field(factory=list)


class SecretKey(KeyJson):
    """A key and its secret, which is shown this once."""

    key: str


class SignedToken(TypedDict):
    """A JWT."""

    token: str
    user: User
    role: str
    expiresIn: float


class CredentialsEndpoint:
    def __init__(self, keyring: Keyring, tokens: Tokens, tickets: Tickets, settings: Settings) -> None:
        self._keyring = keyring
        self._tokens = tokens
        self._tickets = tickets
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/api/keys", self.list_keys, "List keys", gives={200: Page[KeyJson]}),
            Route(
                "POST",
                "/api/keys",
                self.create_key,
                "Create a key; the secret is shown this once",
                takes=NewKey,
                gives={201: SecretKey},
            ),
            Route(
                "DELETE",
                "/api/keys/{id}",
                self.revoke_key,
                "Revoke a key and close its connections",
                gives={200: KeyJson},
                refuses=UNKNOWN,
            ),
            Route(
                "POST",
                "/api/tokens",
                self.create_token,
                "Sign a JWT",
                takes=NewToken,
                gives={201: SignedToken},
                refuses={400: "invalid_channel", 409: "signed_elsewhere"},
            ),
            Route(
                "POST",
                "/api/tickets",
                self.create_ticket,
                "Trade a credential for a single-use ticket",
                Access.CREDENTIAL,
                gives={201: TicketJson},
            ),
        ]

    async def list_keys(self, call: Call) -> Reply:
        return json_reply({"items": [key.as_json() for key in self._keyring.list()], "next": None})

    async def create_key(self, call: Call) -> Reply:
        wanted = jsonframes.decode(call.body, NewKey)
        if wanted.kind not in {Kind.BLOG, Kind.PROJECT, Kind.STREAM, Kind.ADMIN}:
            raise InvalidRequest("kind: one of blog, project, stream, admin is wanted")
        if wanted.scope not in {None, "read", "write"}:
            raise InvalidRequest("scope: read or write is wanted")
        key, secret = await self._keyring.create(
            Kind(wanted.kind),
            wanted.user,
            name=wanted.name,
            expires_in=None if wanted.expires is None else _seconds("expires", wanted.expires),
            write=wanted.scope == "write",
            live=not wanted.test,
        )
        return json_reply({**key.as_json(), "key": secret}, 201)

    async def revoke_key(self, call: Call) -> Reply:
        return json_reply((await self._keyring.revoke(call.params["id"])).as_json())

    async def create_token(self, call: Call) -> Reply:
        wanted = jsonframes.decode(call.body, NewToken)
        if wanted.role not in set(Role):
            raise InvalidRequest("role: one of user, customer, collab, admin is wanted")
        lifetime = _seconds("ttl", wanted.ttl)
        token = self._tokens.sign(
            wanted.user, Role(wanted.role), lifetime, tuple(wanted.subscribe), tuple(wanted.publish)
        )
        return json_reply({"token": token, "user": wanted.user, "role": wanted.role, "expiresIn": lifetime}, 201)

    async def create_ticket(self, call: Call) -> Reply:
        """Not for a ticket: whoever found one in a log would renew it for ever."""
        if (presented(call.headers, call.query) or "").startswith(TICKET_PREFIX):
            raise Forbidden("a ticket buys no other ticket")
        ticket = self._tickets.issue(call.identity)
        return json_reply({"ticket": ticket, "expiresIn": self._settings.ticket_lifetime}, 201)


def _seconds(field: str, text: str) -> float:
    try:
        return duration(text)
    except ValueError as error:
        raise InvalidRequest(f"{field}: {error}") from error
