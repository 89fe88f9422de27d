"""Sample events over HTTP: the templates of the console's publish box, the same as those of ``rtlite trigger``."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypedDict

from rtlite.domain import samples
from rtlite.domain.samples import SAMPLES, Sample, Turn
from rtlite.endpoints.pages import Page
from rtlite.errors import InvalidRequest, NotFound
from rtlite.model import MAX_CHANNEL, check_channel
from rtlite.rules import Channel, EventName, Rule
from rtlite.transports.contract import UNKNOWN, Asked
from rtlite.transports.routes import Call, Reply, Route, json_reply


class SampleJson(TypedDict):
    """An event to try a client with, and the paths where clients get it."""

    name: str
    about: str
    channel: Channel
    event: EventName
    data: Any
    arrivesAt: list[str]


class SamplesEndpoint:
    def routes(self) -> list[Route]:
        return [
            Route("GET", "/api/samples", self.list_samples, "List the sample events", gives={200: Page[SampleJson]}),
            Route(
                "GET",
                "/api/samples/{name}",
                self.sample,
                "A sample event, on a channel and as if it happened now",
                asks=[
                    Asked(
                        "channel",
                        Annotated[str, Rule(maxLength=MAX_CHANNEL, pattern="^[!-~]*$")],
                        "The sample's own, if it is empty",
                    ),
                    Asked("turn", Annotated[int, Rule(minimum=0, maximum=999_999, default=0)]),
                ],
                gives={200: SampleJson},
                refuses={400: "invalid_channel", **UNKNOWN},
            ),
        ]

    async def list_samples(self, call: Call) -> Reply:
        return json_reply({"items": [_shown(each, each.channel, Turn()) for each in SAMPLES], "next": None})

    async def sample(self, call: Call) -> Reply:
        """``?channel=&turn=``: its data fits the channel, and differs from turn to turn as real ones would."""
        sample = samples.find(call.params["name"])
        if sample is None:
            raise NotFound("no such sample")
        return json_reply(_shown(sample, check_channel(call.query.get("channel") or sample.channel), _turn(call)))


def _turn(call: Call) -> Turn:
    text = call.query.get("turn", "0")
    if not re.fullmatch("[0-9]{1,6}", text):
        raise InvalidRequest("turn: a whole number from 0 to 999999 is wanted")
    return Turn(int(text))


def _shown(sample: Sample, channel: str, turn: Turn) -> SampleJson:
    return {
        "name": sample.name,
        "about": sample.about,
        "channel": channel,
        "event": sample.event_name,
        "data": sample.data(channel, turn),
        "arrivesAt": samples.doors(channel),
    }
