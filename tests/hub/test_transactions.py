"""A refused transaction leaves nothing behind."""

from __future__ import annotations

from rtlite.errors import Conflict
from tests.hub.batching import in_one_batch
from tests.hub.readers import new, running_hub


async def test_refused_transaction_gives_its_offsets_and_ids_back(tmp_path):
    async with running_hub(tmp_path / "r.db") as hub:

        def refuse(transaction):
            transaction.publish("news:a", "tick", None, "x")
            transaction.publish("news:b", "tick", None, "x")
            raise Conflict("no")

        _, refused, second, third = await in_one_batch(
            hub,
            lambda: hub.publish(new(id="first")),
            lambda: hub.transact(refuse),
            lambda: hub.publish(new(id="x")),
            lambda: hub.publish(new("news:b", id="x")),
        )

        assert isinstance(refused, Conflict)
        assert (second.event.offset, second.duplicate) == (2, False)
        assert (third.event.offset, third.duplicate) == (1, False)
        assert third.event.sequence == second.event.sequence + 1 == 4  # the gate's event was the first
