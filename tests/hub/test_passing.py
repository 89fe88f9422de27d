"""Channels without history are ordered all the same."""

from __future__ import annotations

from rtlite.hub import passing
from rtlite.settings import KindSettings
from tests.hub.readers import Reader, new, running_hub

PASSING = {"live": KindSettings(history=False)}


async def test_channels_without_history_are_forgotten_oldest_first_even_if_only_listened_to(monkeypatch):
    monkeypatch.setattr(passing, "_CHANNELS", 10)
    async with running_hub(channels=PASSING) as hub:
        for number in range(50):
            answer = await Reader().subscribe(hub, f"live:{number}")
            answer.subscription.close()

        assert len(hub.committer._passing._tops) == 10


async def test_offsets_on_a_channel_without_history_count_from_one(tmp_path):
    async with running_hub(tmp_path / "r.db", channels=PASSING) as hub:
        results = await hub.publish_all([new("live:a"), new("news:a"), new("live:a"), new("live:b")])

        assert [result.event.offset for result in results] == [1, 1, 2, 1]
        assert [result.event.sequence for result in results] == [0, 1, 0, 0]
