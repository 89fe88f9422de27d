"""``/api/webhooks``: the operator says who is told of what, tries it, and reads what came of it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, NotRequired, TypedDict

import attrs

from rtlite.domain.webhooks import Description, Names, Url, WebhookChange, Webhooks
from rtlite.endpoints.pages import Page
from rtlite.errors import InvalidRequest
from rtlite.protocols import jsonframes
from rtlite.rules import Count, Offset, Rule, SinceText
from rtlite.store.webhooks import AttemptJson, WebhookJson
from rtlite.transports.contract import UNKNOWN, Asked
from rtlite.transports.routes import Call, Reply, Route, json_reply

MAX_PAGE: Final = 1000


@attrs.frozen
class NewWebhook:
    url: Url
    channels: Names
    description: Description = ""
    since: SinceText | None = None
    enabled: bool = True


class PlacedWebhook(WebhookJson):
    """`recovered` is false if part of what `since` named is gone."""

    recovered: NotRequired[bool]


class SecretWebhook(PlacedWebhook):
    """A webhook and its secret, which is shown this once."""

    secret: str


class Tested(TypedDict):
    """What came of a test message; `duration` is in milliseconds."""

    delivered: bool
    status: int | None
    error: str | None
    duration: Count


class NumberedAttempt(AttemptJson):
    """An attempt with its number, by which pages go."""

    number: Offset


class AttemptsPage(TypedDict):
    """A page of attempts; `next` is the `before` of the following one."""

    items: list[NumberedAttempt]
    next: int | None


ATTEMPTS_ASKED: Final = (
    Asked("limit", Annotated[int, Rule(minimum=1, maximum=MAX_PAGE, default=100)]),
    Asked("before", Annotated[int, Rule(minimum=1, maximum=2**53)], "The `next` of the page before"),
)


class WebhooksEndpoint:
    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        one = "/api/webhooks/{id}"
        return [
            Route("GET", "/api/webhooks", self.list, "List webhooks", gives={200: Page[WebhookJson]}),
            Route(
                "POST",
                "/api/webhooks",
                self.create,
                "Create a webhook; its secret is shown this once",
                takes=NewWebhook,
                gives={201: SecretWebhook},
                refuses={400: "invalid_channel", 409: "too_many_webhooks"},
            ),
            Route("GET", one, self.get, "One webhook", gives={200: WebhookJson}, refuses=UNKNOWN),
            Route(
                "PATCH",
                one,
                self.change,
                "Change, enable or disable a webhook, or send it elsewhere in history",
                takes=WebhookChange,
                gives={200: PlacedWebhook},
                refuses={400: "invalid_channel", **UNKNOWN},
            ),
            Route("DELETE", one, self.delete, "Delete a webhook", gives={204: None}, refuses=UNKNOWN),
            Route(
                "POST",
                f"{one}/test",
                self.test,
                "Send one test message and say what came of it",
                gives={200: Tested},
                refuses={400: "invalid_request", **UNKNOWN},
            ),
            Route(
                "POST",
                f"{one}/rotate",
                self.rotate,
                "Give a webhook a new secret; it is shown this once",
                gives={200: SecretWebhook},
                refuses=UNKNOWN,
            ),
            Route(
                "GET",
                f"{one}/attempts",
                self.attempts,
                "What was delivered, and what failed and why",
                asks=ATTEMPTS_ASKED,
                gives={200: AttemptsPage},
                refuses=UNKNOWN,
            ),
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
        wanted = jsonframes.decode(call.body, WebhookChange)
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
