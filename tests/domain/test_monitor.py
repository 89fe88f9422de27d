"""What the operator is shown is counted right and bounded, whatever is published."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from rtlite.domain import monitor
from rtlite.domain.monitor import Monitor, Tail, Wanted
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.model import Event
from rtlite.settings import Settings
from rtlite.transports.connections import Connections


def made(channel: str = "article:a", name: str = "view", data: Any = None, offset: int = 1) -> Event:
    return Event(f"id-{offset}", channel, name, orjson.dumps(data), 1_700_000_000_000, offset, "0123abcd")


class Clock:
    seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(monitor, "time", clock)
    return clock


@pytest.fixture
def watching(clock: Clock) -> Monitor:
    """One that measures, whose ticks are called by hand."""
    metrics = Metrics()
    it = Monitor(Hub(None, Settings(), metrics), Connections(10, metrics), metrics)  # type: ignore[arg-type]
    it._begin()
    it._measure()
    return it


def test_nothing_is_measured_when_the_first_looks_and_that_is_no_rate_of_0(watching: Monitor, clock: Clock) -> None:
    assert watching.latest["published"] is None and watching.latest["delivered"] is None
    assert watching.past[-1]["published"] is None, "the chart has a gap there"
    clock.seconds += 1
    watching._measure()
    assert watching.latest["published"] == 0 and watching.latest["delivered"] == 0


def test_the_rate_of_a_channel_is_that_of_the_time_that_was_measured(watching: Monitor, clock: Clock) -> None:
    def shown() -> float:
        clock.seconds += 1
        watching._measure()
        rate: float = watching.latest["channels"][0]["rate"]
        return rate

    for _ in range(12):
        watching._note([made()] * 3, 0.001)
        assert shown() == 3
    for seconds in range(1, 6):
        assert shown() == pytest.approx(3 * (10 - seconds) / 10)


@pytest.mark.parametrize("scale", [0.0002, 0.003, 0.5])
def test_latencies_are_good_to_a_tenth(watching: Monitor, scale: float) -> None:
    source = random.Random(7)
    times = sorted(scale * source.lognormvariate(0, 1) for _ in range(2000))
    for seconds in times:
        watching._note([made()], seconds)
    watching._measure()
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        assert watching.latest[name] == pytest.approx(times[int(share * len(times)) - 1], rel=0.1)


def test_a_batch_counts_by_its_events(watching: Monitor) -> None:
    watching._note([made(offset=n) for n in range(99)], 0.001)
    watching._note([made()], 1.0)
    watching._measure()
    assert watching.latest["p50"] == pytest.approx(0.001, rel=0.1)
    assert watching.latest["p99"] == pytest.approx(0.001, rel=0.1)


def test_what_was_more_than_ten_ticks_ago_is_forgotten(watching: Monitor) -> None:
    watching._note([made()], 0.01)
    for _ in range(10):
        watching._measure()
        assert [item["channel"] for item in watching.latest["channels"]] == ["article:a"]
        assert watching.latest["p50"] is not None
    watching._measure()
    assert watching.latest["channels"] == [] and watching.latest["p50"] is None and watching._last == {}


def test_the_busiest_of_many_channels_are_shown_and_the_rest_is_counted(watching: Monitor, clock: Clock) -> None:
    clock.seconds += 10
    for number in range(20_000):
        watching._note([made(f"article:{number}")], 0.001)
    for _ in range(50):
        watching._note([made("article:7"), made("article:9")], 0.001)
    watching._measure()
    shown = watching.latest["channels"]
    assert {item["channel"] for item in shown[:2]} == {"article:7", "article:9"} and shown[0]["rate"] == 5.1
    assert len(shown) == 100 and watching.latest["activeChannels"] == monitor._MOST_CHANNELS


def test_the_numbers_of_five_minutes_are_kept(watching: Monitor) -> None:
    for _ in range(305):
        watching._measure()
    assert len(watching.past) == 300 and "channels" not in watching.past[0]


def test_a_tail_holds_the_first_of_a_turn_by_number_and_bytes_and_counts_the_rest() -> None:
    tail = Tail(Wanted(), most=5, largest=1000)
    tail.note([made(offset=n) for n in range(8)])
    events, dropped = tail.take()
    assert ([event.offset for event in events], dropped) == ([0, 1, 2, 3, 4], 3)
    tail.note([made(data="x" * 600, offset=n) for n in range(4)])
    events, dropped = tail.take()
    assert ([event.offset for event in events], dropped) == ([0, 1], 2)
    assert tail.take() == ([], 0)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Wanted(), True),
        (Wanted(channel="article:a"), True),
        (Wanted(channel="article"), False),
        (Wanted(channel="art*"), True),
        (Wanted(channel="*"), True),
        (Wanted(channel="article:a*b"), False),
        (Wanted(event="view"), True),
        (Wanted(event="vie"), False),
        (Wanted(text="vie"), True),
        (Wanted(text="grün"), True),
        (Wanted(text="blue"), False),
        (Wanted("article:*", "view", "grün"), True),
        (Wanted("article:*", "view", "blue"), False),
    ],
)
def test_a_filter_lets_through_what_all_of_it_names(wanted: Wanted, fits: bool) -> None:
    assert wanted.covers(made(data={"colour": "grün"})) is fits


def test_the_memory_of_this_process_is_known() -> None:
    assert 10_000_000 < monitor.resident() < 100_000_000_000
