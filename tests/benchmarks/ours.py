"""rtlite under measurement: its command line, its keys, its doors."""

from __future__ import annotations

import json
import re
import sys
from typing import Any
from urllib.request import Request, urlopen

from tests.benchmarks.load.message import FIRST, event
from tests.benchmarks.servers import Server

JSON, NDJSON = "application/json", "application/x-ndjson"
BATCH_PATH = "/api/publish/batch"


class Rtlite(Server):
    """rtlite as its users run it: ``rtlite serve --data FILE``, durability full, history on, API keys."""

    name = "rtlite"
    channel = "article:bench"

    def __init__(self, *flags: str) -> None:
        self.flags = flags

    def command(self) -> list[str]:
        flags = ["--port", "0", "--data", "rtlite.db", "--publish-rate", "0", "--max-connections", "19000"]
        return [
            sys.executable,
            "-m",
            "rtlite",
            "serve",
            *flags,
            "--ping-interval",
            f"{self.ping_seconds}s",
            *self.flags,
        ]

    def ready(self) -> None:
        if match := re.search(r"\brtk_[\w-]{20,}", self._rest_of_first_start()):
            self.admin = match[0]
            self.key = self.post("/api/keys", '{"kind":"blog","user":"bench"}')["key"]

    def _rest_of_first_start(self) -> str:
        """The admin key may be printed after the ready line; it is printed once per database."""
        assert self.process.stdout is not None
        if "rtk_" not in self.printed and not hasattr(self, "admin"):
            for line in self.process.stdout:
                self.printed += line
                if "rtk_" in line:
                    break
        return self.printed

    def post(self, path: str, body: str, content_type: str = JSON) -> Any:
        """A call with the admin key."""
        return self._call("POST", path, body, self.headers(self.admin, content_type))

    def put(self, path: str, body: str, key: str) -> Any:
        """A call with this key."""
        return self._call("PUT", path, body, self.headers(key, JSON))

    def _call(self, method: str, path: str, body: str, headers: dict[str, str]) -> Any:
        request = Request(f"http://127.0.0.1:{self.port}{path}", body.encode(), headers, method=method)
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def post_batch(self, events: list[str]) -> list[dict[str, Any]]:
        """Publish events atomically; returns their receipts."""
        items: list[dict[str, Any]] = self.post(BATCH_PATH, "\n".join(events), NDJSON)["items"]
        return items

    @staticmethod
    def headers(key: str, content_type: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}", "Content-Type": content_type}

    @property
    def subscriber(self) -> dict[str, Any]:
        url = f"ws://127.0.0.1:{self.port}/blog/ws/articles/bench"
        return {"url": url, "headers": {"Authorization": f"Bearer {self.key}"}}

    @property
    def http(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "headers": self.headers(self.admin, JSON)}

    def publish(self, size: int) -> dict[str, Any]:
        """The request that publishes ``size`` events, as ``hammer`` of the load generator wants it."""
        one = event(self.channel, FIRST)
        if size == 1:
            return {**self.http, "path": "/api/publish", "body": one}
        headers = self.headers(self.admin, NDJSON)
        return {**self.http, "headers": headers, "path": BATCH_PATH, "body": "\n".join([one] * size)}

    def publish_over_websocket(self) -> dict[str, Any]:
        """The same request on an event channel, as ``hammer_sockets`` wants it."""
        body = '{"type":"publish",' + event(self.channel, FIRST).removeprefix("{")
        headers = {"Authorization": f"Bearer {self.admin}"}
        return {"url": f"ws://127.0.0.1:{self.port}/_events", "headers": headers, "body": body}

    @property
    def publisher(self) -> dict[str, Any]:
        batch = {"path": BATCH_PATH, "headers": self.headers(self.admin, NDJSON)}
        return {**self.http, "path": "/api/publish", "batch": batch, "channel": self.channel}
