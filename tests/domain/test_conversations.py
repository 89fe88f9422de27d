"""Members and their end, on a real hub and database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

from rtlite.domain import conversations as module
from rtlite.domain.conversations import Conversations, chat_message, status_update
from rtlite.errors import Conflict, InvalidRequest, Reason
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.model import Identity, Kind
from rtlite.settings import Settings
from rtlite.store.database import open_database
from rtlite.transports.connections import Connection, Connections

ANN = Identity(Kind.JWT, "ann", "jwt:ann")


@attrs.frozen
class Bench:
    conversations: Conversations
    connections: Connections

    async def users(self, conversation: str) -> list[str]:
        return [member.user for member in (await self.conversations.members(conversation, ""))[0]]


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Bench]:
    chosen, metrics = Settings(**settings), Metrics()
    async with open_database(":memory:", "normal") as database, trio.open_nursery() as nursery:
        hub = Hub(database, chosen, metrics)
        await nursery.start(hub.run)
        connections = Connections(100, metrics)
        yield Bench(Conversations(hub, database, connections, chosen), connections)
        nursery.cancel_scope.cancel()


async def test_members_are_listed_by_user_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    async with opened() as bench:
        for user in ("cy", "ann", "bob"):
            await bench.conversations.put_member("c", user, write=True)
        await bench.conversations.put_member("other", "dan", write=True)
        page, following = await bench.conversations.members("c", "")
        assert ([member.user for member in page], following) == (["ann", "bob"], "bob")
        page, following = await bench.conversations.members("c", "bob")
        assert ([member.user for member in page], following) == (["cy"], None)


async def test_to_add_a_member_again_changes_its_right_and_nothing_else() -> None:
    async with opened() as bench:
        first, new = await bench.conversations.put_member("c", "ann", write=True)
        assert new
        again, new = await bench.conversations.put_member("c", "ann", write=False)
        assert not new and again == attrs.evolve(first, write=False)
        assert (await bench.conversations.members("c", ""))[0] == [again]


async def test_a_full_conversation_takes_no_more_but_changes_who_is_in_it() -> None:
    async with opened(conversation_members=2) as bench:
        await bench.conversations.put_member("c", "ann", write=True)
        await bench.conversations.put_member("c", "bob", write=True)
        with pytest.raises(Conflict) as refused:
            await bench.conversations.put_member("c", "cy", write=True)
        assert refused.value.code == "too_many_members"
        await bench.conversations.put_member("c", "bob", write=False)
        await bench.conversations.put_member("d", "cy", write=True)
        await bench.conversations.remove_member("c", "ann")
        await bench.conversations.put_member("c", "cy", write=True)
        assert await bench.users("c") == ["bob", "cy"]


@pytest.mark.parametrize("conversation", ["", "*", "a b", "a\n", "é", "x:*", "x" * 243])
async def test_what_can_be_no_channel_can_be_no_conversation(conversation: str) -> None:
    async with opened() as bench:
        with pytest.raises(InvalidRequest, match="conversation"):
            await bench.conversations.put_member(conversation, "ann", write=True)
        with pytest.raises(InvalidRequest, match="conversation"):
            await bench.conversations.remove_member(conversation, "ann")
        with pytest.raises(InvalidRequest, match="conversation"):
            await bench.conversations.members(conversation, "")


async def test_removing_a_member_ends_its_subscriptions_and_nobody_elses() -> None:
    async with opened() as bench:
        ended: list[str] = []
        dropped: list[tuple[str, str]] = []

        def connect(name: str, identity: Identity | None, *channels: str, droppable: bool) -> Connection:
            connection = stack.enter_context(
                bench.connections.entered("test", "", None, lambda reason: ended.append(f"{name}: {reason.name}"))  # type: ignore[arg-type]
            )
            connection.identity, connection.channels = identity, list(channels)
            if droppable:
                connection.drop = lambda channel: dropped.append((name, channel))
            return connection

        named = attrs.evolve(ANN, subscribe=("conversation:*",))
        with ExitStack() as stack:
            connect("many", ANN, "article:a", "conversation:c", droppable=True)
            connect("one", ANN, "conversation:c", droppable=False)
            connect("elsewhere", ANN, "conversation:d", droppable=False)
            connect("by token", named, "conversation:c", droppable=False)
            connect("key", attrs.evolve(ANN, kind=Kind.ADMIN), "conversation:c", droppable=False)
            connect("other", attrs.evolve(ANN, user="bob"), "conversation:c", droppable=True)
            connect("nobody", None, droppable=False)
            await bench.conversations.put_member("c", "ann", write=True)
            await bench.conversations.remove_member("c", "ann")
        assert dropped == [("many", "conversation:c")]
        assert ended == [f"one: {Reason.FORBIDDEN.name}"]
        assert await bench.users("c") == []


async def test_removing_who_is_no_member_is_no_error() -> None:
    async with opened() as bench:
        await bench.conversations.remove_member("c", "ann")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        (("", "1", "s"), "entity_type"),
        (("a:b", "1", "s"), "entity_type"),
        (("task", "", "s"), "entity_id"),
        (("task", "1", ""), "status"),
        (("task", "*", "s"), "entity_type, entity_id"),
        (("ta sk", "1", "s"), "entity_type, entity_id"),
        (("task", "x" * 251, "s"), "entity_type, entity_id"),
    ],
)
def test_a_status_is_of_something_that_can_be_a_channel(fields: tuple[str, str, str], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{complaint}:"):
        status_update(*fields)


def test_a_message_has_a_sender_and_a_text() -> None:
    with pytest.raises(InvalidRequest, match=r"^sender_id"):
        chat_message("c", "", "hi")
    with pytest.raises(InvalidRequest, match=r"^content"):
        chat_message("c", "ann", "")
