"""``/api/webhooks``: the operator says who is told of what, tries it, and reads what came of it."""

from __future__ import annotations

import re
from typing import Any, Final

import attrs

from rtlite.domain.webhooks import Change, Webhooks
from rtlite.errors import InvalidRequest
from rtlite.protocols import jsonframes
from rtlite.transports.routes import Call, Reply, Route, json_reply

MAX_PAGE: Final = 1000


@attrs.frozen
class NewWebhook:
    url: str
    channels: list[str]
    description: str = ""
    since: str | None = None
    enabled: bool = True


class WebhooksEndpoint:
    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        one = "/api/webhooks/{id}"
        return [
            Route("GET", "/api/webhooks", self.list, "List webhooks"),
            Route("POST", "/api/webhooks", self.create, "Create a webhook; its secret is shown this once"),
            Route("GET", one, self.get, "One webhook"),
            Route("PATCH", one, self.change, "Change, enable or disable a webhook, or send it elsewhere in history"),
            Route("DELETE", one, self.delete, "Delete a webhook"),
            Route("POST", f"{one}/test", self.test, "Send one test message and say what came of it"),
            Route("POST", f"{one}/rotate", self.rotate, "Give a webhook a new secret; it is shown this once"),
            Route("GET", f"{one}/attempts", self.attempts, "What was delivered, and what failed and why"),
        ]

    async def list(self, call: Call) -> Reply:
        return json_reply({"items": [webhook.as_json() for webhook in self._webhooks.all()], "next": None})

    async def create(self, call: Call) -> Reply:
        """``recovered`` is false if part of what ``since`` named is gone."""
        wanted = jsonframes.decode(call.body, NewWebhook)
        webhook, recovered = await self._webhooks.create(
            wanted.url, wanted.channels, wanted.description, wanted.since, enabled=wanted.enabled
        )
        return json_reply({**webhook.as_json(), "secret": webhook.secret, **_place(wanted.since, recovered)}, 201)

    async def get(self, call: Call) -> Reply:
        return json_reply(self._webhooks.get(call.params["id"]).as_json())

    async def change(self, call: Call) -> Reply:
        wanted = jsonframes.decode(call.body, Change)
        webhook, recovered = await self._webhooks.change(call.params["id"], wanted)
        return json_reply({**webhook.as_json(), **_place(wanted.since, recovered)})

    async def delete(self, call: Call) -> Reply:
        await self._webhooks.delete(call.params["id"])
        return Reply(204)

    async def test(self, call: Call) -> Reply:
        answer = await self._webhooks.test(call.params["id"])
        return json_reply(
            {"delivered": answer.taken, "status": answer.status, "error": answer.error, "duration": answer.duration}
        )

    async def rotate(self, call: Call) -> Reply:
        webhook = await self._webhooks.rotate(call.params["id"])
        return json_reply({**webhook.as_json(), "secret": webhook.secret})

    async def attempts(self, call: Call) -> Reply:
        """``?limit=&before=``, the newest first; ``next`` is the ``before`` of the following page."""
        limit = _number(call, "limit", 100, MAX_PAGE)
        found = await self._webhooks.attempts(call.params["id"], _number(call, "before", 2**53, 2**53), limit)
        items = [{"number": number, **attempt.as_json()} for number, attempt in found]
        return json_reply({"items": items, "next": found[-1][0] if len(found) == limit else None})


def _place(since: str | None, recovered: bool) -> dict[str, Any]:
    return {} if since is None else {"recovered": recovered}


def _number(call: Call, name: str, default: int, most: int) -> int:
    text = call.query.get(name, str(default))
    if not re.fullmatch("[0-9]{1,16}", text) or not 1 <= int(text) <= most:
        raise InvalidRequest(f"{name}: a whole number from 1 to {most} is wanted")
    return int(text)
