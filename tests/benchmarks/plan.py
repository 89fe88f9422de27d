"""How much of each measurement a run makes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes and durations. ``--quick`` keeps what the promises are about and shortens the rest."""

    paced_subscribers: int = 1000
    paced_messages: int = 200
    paced_interval: float = 0.030
    burst_subscribers: int = 500
    burst_messages: int = 200
    bursts: int = 10
    """A burst costs rtlite 20 ms of CPU and the kernel counts in ticks of 10 ms, so several are added up."""
    latency_subscribers: int = 100
    latency_messages: int = 500
    latency_interval: float = 0.020
    publish_seconds: float = 5.0
    publish_rounds: int = 7
    idle_sizes: tuple[int, ...] = (5000, 15000)
    idle_streams: int = 5000
    ping_seconds: float = 10.0
    replay_events: int = 10_000
    replays: int = 5
    starts: int = 5
    lag_seconds: float = 8.0
    collab_rate: int = 10
    collab_seconds: int = 15
    collab_joins: int = 9
    history_gigabyte: bool = False


FULL = Plan()
QUICK = Plan(
    paced_messages=70,
    bursts=3,
    latency_messages=100,
    publish_seconds=2.0,
    publish_rounds=5,
    idle_sizes=(2000,),
    ping_seconds=4.0,
    replays=2,
    starts=2,
    lag_seconds=3.0,
    collab_seconds=5,
    collab_joins=3,
)
