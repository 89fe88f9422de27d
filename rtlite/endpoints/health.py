"""Is it alive, is it ready, how does it do; and what rtlite is, for who opens ``/``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NotRequired, TypedDict

from rtlite import __version__
from rtlite.metrics import Metrics
from rtlite.transports.contract import TEXT, Answer
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply


class Alive(TypedDict):
    """The process answers; `dev` is there with `--dev`."""

    status: str
    version: str
    dev: NotRequired[bool]


class Ready(TypedDict):
    """Whether the server can serve, or why it cannot."""

    status: str
    reason: NotRequired[str]


class Health:
    """:param ready: why the server cannot serve, or ``None`` if it can. :param dev: whether ``--dev`` was given."""

    def __init__(self, metrics: Metrics, ready: Callable[[], str | None], *, dev: bool = False) -> None:
        self._metrics = metrics
        self._ready = ready
        self._dev = dev

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/healthz", self.alive, "The process answers", Access.PUBLIC, gives={200: Alive}),
            Route("GET", "/readyz", self.ready, "The server can serve", Access.PUBLIC, gives={200: Ready, 503: Ready}),
            Route(
                "GET",
                "/metrics",
                self.metrics,
                "Prometheus metrics",
                Access.OPERATOR_OR_DEV,
                gives={200: Answer(str, "In Prometheus' text format", [TEXT])},
            ),
        ]

    async def alive(self, call: Call) -> Reply:
        """``dev`` tells a client on this machine that the fixed credentials hold."""
        return json_reply({"status": "ok", "version": __version__} | ({"dev": True} if self._dev else {}))

    async def ready(self, call: Call) -> Reply:
        why = self._ready()
        return (
            json_reply({"status": "ready"}) if why is None else json_reply({"status": "not ready", "reason": why}, 503)
        )

    async def metrics(self, call: Call) -> Reply:
        return Reply(200, self._metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
