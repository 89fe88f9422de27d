"""``/api/session``: logging in to the console with an admin key, and out."""

from __future__ import annotations

from typing import Any, Final, TypedDict

import attrs

from rtlite import __version__
from rtlite.auth import origins
from rtlite.auth.gate import Gate
from rtlite.auth.grants import is_operator
from rtlite.auth.logins import cookie_name
from rtlite.auth.tickets import PREFIX as TICKET_PREFIX
from rtlite.errors import Forbidden, Unauthorized
from rtlite.model import Identity, rfc3339
from rtlite.protocols import jsonframes
from rtlite.settings import KIB, Settings
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply

_NO_STORE: Final = {"Cache-Control": "no-store"}


@attrs.frozen
class NewLogin:
    key: str = ""


class SessionJson(TypedDict):
    """A login to the console."""

    user: str
    credential: str
    expires: str
    version: str


class LoginState(TypedDict):
    """``session`` is null to who is not logged in; with ``dev``, that takes no key."""

    dev: bool
    session: SessionJson | None


class LoginsEndpoint:
    """:param dev_key: what a login without a key is taken to show, with ``--dev``; else ``None``."""

    def __init__(self, gate: Gate, settings: Settings, dev_key: str | None) -> None:
        self._gate = gate
        self._settings = settings
        self._dev_key = dev_key

    def routes(self) -> list[Route]:
        path, anyone = "/api/session", Access.PUBLIC
        return [
            Route("GET", path, self.state, "Who is logged in to the console", anyone, gives={200: LoginState}),
            Route(
                "POST",
                path,
                self.begin,
                "Log in to the console with an admin key",
                anyone,
                4 * KIB,
                takes=NewLogin,
                gives={201: LoginState},
                refuses={401: "unauthorized", 403: "forbidden origin_not_allowed", 429: "rate_limited"},
            ),
            Route(
                "DELETE",
                path,
                self.end,
                "Log out of the console",
                anyone,
                gives={204: None},
                refuses={403: "origin_not_allowed"},
            ),
        ]

    async def state(self, call: Call) -> Reply:
        login = self._gate.logins.find(call.headers)
        return self._answer(None if login is None else login.identity)

    async def begin(self, call: Call) -> Reply:
        """:raises Unauthorized, TooMany: as at any door. :raises Forbidden: it is no admin key, or no page of ours."""
        key = jsonframes.decode(call.body, NewLogin).key.strip() or self._dev_key
        self._check_page(call)
        if key is None:
            raise Unauthorized("key: an admin key is needed")
        identity = self._gate.identify(key, call.address, call.headers)
        if not is_operator(identity) or key.startswith(TICKET_PREFIX):  # a ticket is not to last for hours
            raise Forbidden("an admin key (rtk_…) is needed")
        self._gate.logins.end(call.headers)
        secret, login = self._gate.logins.begin(identity)
        return self._answer(login.identity, 201, self._cookie(call, secret, round(self._settings.console_session)))

    async def end(self, call: Call) -> Reply:
        self._check_page(call)
        self._gate.logins.end(call.headers)
        return Reply(204, headers={**_NO_STORE, **self._cookie(call, "", 0)})

    def _check_page(self, call: Call) -> None:
        if not origins.from_our_page(call.headers, call.scheme, self._settings, method=call.method):
            raise Forbidden("one logs in to the console from its own page", code="origin_not_allowed")

    def _cookie(self, call: Call, secret: str, seconds: int) -> dict[str, str]:
        secure = call.scheme == "https" or self._settings.public_url.startswith("https:")
        name = cookie_name(call.headers, secure=secure)
        flags = f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
        return {"Set-Cookie": f"{name}={secret}; {flags}"}

    def _answer(self, identity: Identity | None, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
        state: dict[str, Any] = {"dev": self._settings.dev, "session": None}
        if identity is not None:
            state["session"] = {
                "user": identity.user,
                "credential": identity.credential,
                "expires": rfc3339(round((identity.expires or 0) * 1000)),
                "version": __version__,
            }
        return json_reply(state, status, {**_NO_STORE, **(headers or {})})
