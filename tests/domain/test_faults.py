"""Which faults are set: who may, for how long, how often; and what of them is in the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import LogCapture

from rtlite.domain.faults import Faults, check
from rtlite.errors import Conflict, Forbidden, InvalidRequest, NotFound
from rtlite.faults import KINDS, PROTOCOLS, Fault, NewFault
from rtlite.metrics import Metrics
from rtlite.settings import Settings

DEV = Settings(dev=True)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    capture = LogCapture()
    structlog.configure(processors=[capture])
    yield capture.entries
    structlog.reset_defaults()


@asynccontextmanager
async def faults(settings: Settings = DEV) -> Any:
    async with trio.open_nursery() as nursery:
        made = Faults(settings, Metrics())
        nursery.start_soon(made.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_a_fault_ends_when_its_time_is_up(autojump_clock: trio.testing.MockClock) -> None:
    told: list[list[str]] = []

    def on_change(present: Sequence[Fault]) -> None:
        told.append([fault.kind.name for fault in present])

    async with faults() as here:
        here.on_change.append(on_change)
        here.add(NewFault("drop", duration="10s"))
        here.add(NewFault("duplicate", duration="2s"))
        await trio.sleep(3)
        assert [fault.kind.name for fault in here.all()] == ["drop"]
        await trio.sleep(8)
        assert here.all() == []
    assert told == [["drop"], ["drop", "duplicate"], ["drop"], []]


async def test_what_cannot_strike_or_end_ends_nothing_else(
    autojump_clock: trio.testing.MockClock, logs: list[Any]
) -> None:
    told: list[int] = []

    def fail(_: Sequence[Fault]) -> None:
        raise RuntimeError("our own mistake")

    async with faults() as here:
        here.on_change += [fail, lambda present: told.append(len(present))]
        here.add(NewFault("drop", duration="1s"))
        await trio.sleep(2)
    assert told == [1, 0]
    assert [entry["log_level"] for entry in logs if entry.get("exc_info")] == ["error", "error"]


async def test_a_fault_that_does_not_say_how_long_lasts_as_the_setting_has_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with faults(Settings(dev=True, fault_time=60.0)) as here:
        here.add(NewFault("drop"))
        await trio.sleep(59)
        assert len(here.all()) == 1
        await trio.sleep(2)
        assert here.all() == []


async def test_a_fault_strikes_as_often_as_it_is_to_and_is_listed_until_its_time_is_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with faults() as here:
        fault = here.add(NewFault("drop", count=2, duration="10s"))
        draws = fault.draws()
        assert [draws.strikes() for _ in range(3)] == [True, True, False]
        assert [fault.struck for fault in here.all()] == [2]
        await trio.sleep(11)
        assert here.all() == []


async def test_faults_are_ended_one_by_one_or_all_together() -> None:
    async with faults() as here:
        first = here.add(NewFault("drop"))
        here.add(NewFault("duplicate"))
        here.add(NewFault("expire"))
        here.remove(first.id)
        with pytest.raises(NotFound):
            here.remove(first.id)
        assert here.clear() == 2
        assert here.all() == []


async def test_faults_are_off_unless_dev_or_a_setting_lets_them() -> None:
    with pytest.raises(Forbidden) as refusal:
        Faults(Settings(), Metrics()).add(NewFault("drop"))
    assert refusal.value.code == "faults_off"
    assert Faults(Settings(faults=True), Metrics()).add(NewFault("drop")).id
    assert Faults(Settings(dev=True), Metrics()).add(NewFault("drop")).id


async def test_so_many_faults_and_no_more_are_set_at_a_time() -> None:
    here = Faults(Settings(dev=True, max_faults=2), Metrics())
    here.add(NewFault("drop"))
    here.add(NewFault("drop"))
    with pytest.raises(Conflict) as refusal:
        here.add(NewFault("drop"))
    assert refusal.value.code == "too_many_faults"


async def test_without_a_seed_one_is_made_and_shown_so_that_it_can_be_repeated() -> None:
    here = Faults(DEV, Metrics())
    first, second = here.add(NewFault("drop", probability=0.5)), here.add(NewFault("drop", probability=0.5))
    assert first.seed != second.seed
    again = here.add(NewFault("drop", probability=0.5, seed=first.as_json(0.0)["seed"]))
    draws, repeated = first.draws(), again.draws()
    assert [draws.strikes() for _ in range(200)] == [repeated.strikes() for _ in range(200)]


async def test_those_whom_a_fault_strikes_are_struck_each_in_their_own_way_and_again_in_the_same() -> None:
    def strikes() -> list[list[bool]]:
        fault = Faults(DEV, Metrics()).add(NewFault("drop", probability=0.5, seed=7))
        both = [fault.draws(), fault.draws()]
        return [[draws.strikes() for _ in range(50)] for draws in both]

    first, second = strikes()
    assert first != second
    assert strikes() == [first, second]


async def test_a_seed_means_the_same_on_every_machine_and_in_each_version() -> None:
    draws = Faults(DEV, Metrics()).add(NewFault("drop", probability=0.5, seed=7)).draws()
    assert "".join("x" if draws.strikes() else "." for _ in range(20)) == "...x.xx....x.x....xx"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"kind": "earthquake"}, "kind"),
        ({"kind": "latency"}, "latency"),
        ({"kind": "latency", "latency": -1}, "latency"),
        ({"kind": "latency", "latency": 600_001}, "latency"),
        ({"kind": "drop", "latency": 5}, "latency"),
        ({"kind": "slow-reader"}, "rate"),
        ({"kind": "slow-reader", "rate": 10}, "rate"),
        ({"kind": "close", "code": 1005}, "code"),
        ({"kind": "close", "code": 1015}, "code"),
        ({"kind": "close", "code": 5000}, "code"),
        ({"kind": "close", "text": "é" * 62}, "text"),
        ({"kind": "refuse", "status": 200}, "status"),
        ({"kind": "refuse", "retry_after": 100_000}, "retry_after"),
        ({"kind": "refuse", "connection": "con_1"}, "connection"),
        ({"kind": "expire", "channel": "a:b"}, "channel"),
        ({"kind": "disk-full", "user": "u"}, "user"),
        ({"kind": "drop", "protocol": "ftp"}, "protocol"),
        ({"kind": "drop", "channel": "a b"}, "channel"),
        ({"kind": "drop", "user": ""}, "user"),
        ({"kind": "drop", "connection": ""}, "connection"),
        ({"kind": "drop", "probability": 0.0}, "probability"),
        ({"kind": "drop", "probability": 1.5}, "probability"),
        ({"kind": "drop", "probability": float("nan")}, "probability"),
        ({"kind": "drop", "count": 0}, "count"),
        ({"kind": "drop", "seed": -1}, "seed"),
        ({"kind": "drop", "duration": "soon"}, "duration"),
        ({"kind": "drop", "duration": "0s"}, "duration"),
        ({"kind": "drop", "duration": "2h"}, "duration"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_the_field(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check(NewFault(**asked), DEV)
    assert refusal.value.detail.startswith(f"{field}: ")


@given(
    st.sampled_from(list(KINDS)),
    st.sampled_from([None, *PROTOCOLS]),
    st.sampled_from([None, "a:b", "a:*"]),
    st.sampled_from([None, "u"]),
)
def test_a_fault_is_chosen_by_what_its_kind_says(kind: str, protocol: Any, channel: Any, user: Any) -> None:
    needed = {name: 1_000 for name, value in KINDS[kind].takes.items() if value is ...}
    wanted = NewFault(kind, protocol=protocol, channel=channel, user=user, **needed)
    given = {"protocol": protocol, "channel": channel, "user": user}
    fits = all(name in KINDS[kind].chosen for name, value in given.items() if value is not None)
    try:
        check(wanted, DEV)
    except InvalidRequest:
        assert not fits
    else:
        assert fits


async def test_the_log_says_that_a_fault_is_set_and_how_often_it_struck_but_not_for_whom(logs: list[Any]) -> None:
    here = Faults(DEV, Metrics())
    fault = here.add(NewFault("drop", user="mbk_" + "x" * 43, text=None))
    fault.draws().strikes()
    here.clear()
    assert [(entry["event"], entry["kind"], entry["struck"]) for entry in logs] == [
        ("a fault is set", "drop", 0),
        ("a fault is over", "drop", 1),
    ]
    assert "xxx" not in str(logs)


async def test_metrics_count_the_faults_that_are_set_and_each_strike() -> None:
    metrics = Metrics()
    here = Faults(DEV, metrics)
    draws = here.add(NewFault("drop")).draws()
    for _ in range(3):
        draws.strikes()
    text = metrics.render().decode()
    assert "rtlite_faults_set 1.0" in text
    assert 'rtlite_faults_injected_total{kind="drop"} 3.0' in text
    here.clear()
    assert "rtlite_faults_set 0.0" in metrics.render().decode()
