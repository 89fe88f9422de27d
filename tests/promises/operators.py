"""Clients of ``/graphql/ws`` that wander: the same as :mod:`tests.promises.wanderers`, by a protocol of its own.

Nothing says that a subscription stands, so each names the place that it begins behind.
"""

from __future__ import annotations

import itertools
from typing import Any

import trio

from tests.endpoints.graphqlclients import GraphQLClient, graphql_client
from tests.promises.wanderers import Target, Wanderer

DOOR = "/graphql/ws"
_QUERY = """subscription ($channel: String!, $since: String) {
  event(channel: $channel, since: $since) { id channel event }
}"""
_START = "00000000-0"  # where one stands that has heard nothing yet


class Operator(Wanderer):
    """One client, whose operations have ids of any length."""

    async def run(self, quiet: trio.Event) -> None:
        while not all(target.done for target in self.targets):
            await self._operate(quiet)

    async def _operate(self, quiet: trio.Event) -> None:
        client = await graphql_client(self._server, self._buffer, authorization=self._token)
        self._running: dict[str, Target] = {}
        self._numbers = itertools.count()
        for target in self.targets:
            await self._begin(client, target, target.last)
        left = self._dice.randrange(5, 80)
        while left and not quiet.is_set():
            await self._move(client, self._dice.choice(self.targets), quiet)
            left -= 1
        if quiet.is_set():
            for target in self.targets:
                if not target.open:
                    await self._begin(client, target, target.last)
            while not all(target.done for target in self.targets):
                self._take(await client.hear())
        for target in self.targets:
            target.open = False
        await trio.aclose_forcefully(client.peer.stream)

    async def _move(self, client: GraphQLClient, target: Target, quiet: trio.Event) -> None:
        match self._dice.choice(["read"] * 6 + ["rest"] * 4 + ["leave", "again", "rewind"]):
            case "read":
                await self._settle(client)
            case "rest":
                await self._rest(quiet)
            case "leave":
                await self._leave(client, target)
                await self._settle(client)
            case "again":
                await self._begin(client, target, target.last)
            case "rewind" if target.places:
                await self._begin(client, target, self._dice.choice(target.places[-300:]))

    async def _leave(self, client: GraphQLClient, target: Target) -> None:
        """What is on its way may still come, under an id that is nobody's any more."""
        for id in [id for id, running in self._running.items() if running is target]:
            del self._running[id]
            await client.say("complete", id=id)
        target.open = False

    async def _begin(self, client: GraphQLClient, target: Target, since: str | None) -> None:
        await self._leave(client, target)
        id = str(next(self._numbers)) * self._dice.choice([1, 1, 7, 30])
        self._running[id] = target
        since = since or _START
        target.begins({"position": since, "recovered": True})
        await client.begin(id, _QUERY, channel=target.names[0], since="1h" if since == _START else since)
        await self._settle(client)

    async def _settle(self, client: GraphQLClient) -> None:
        """Read all that is on its way."""
        for message in await client.settled():
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        assert message["type"] == "next", message
        target = self._running.get(message["id"])
        if target is None:
            return
        payload = message["payload"]
        if "errors" in payload:
            target.wrong.append(str(payload["errors"]))
            return
        event = payload["data"]["event"]
        target.hears(payload["extensions"]["position"], event["channel"], event["event"], event["id"])
