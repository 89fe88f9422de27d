"""What can be asked over GraphQL: the schema as text, and opened.

graphql-core is an eighth of what a server imports, and none of the other protocols needs it. So
the schema is opened, in a thread, once the server is ready; who asks before that waits a moment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources
from typing import TYPE_CHECKING

import trio

from rtlite.protocols.graphqllimits import Limits
from rtlite.settings import Settings

if TYPE_CHECKING:
    from rtlite.protocols.graphqldocuments import Documents

Opened = Callable[[], Awaitable["Documents"]]
"""Gives the schema's documents, as soon as they can be prepared."""


def read_schema() -> str:
    """The schema, as it stands in its file."""
    return resources.files("rtlite.endpoints").joinpath("schema.graphql").read_text("utf-8")


class Schema:
    """The schema of one server, with what the settings allow to ask of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._documents: Documents | None = None
        self._opening = trio.Lock()

    async def opened(self) -> Documents:
        """Opened by the first who asks; all the others who ask meanwhile wait for the same."""
        if self._documents is None:
            async with self._opening:
                if self._documents is None:
                    self._documents = await trio.to_thread.run_sync(_open, self._settings)
        return self._documents


def _open(settings: Settings) -> Documents:
    from rtlite.protocols.graphqldocuments import Documents

    return Documents(read_schema(), Limits.of(settings), introspection=settings.graphql_introspection)
