"""What a command that goes on and on says of a server that is away."""

from __future__ import annotations

from rtlite.cli import output
from rtlite.client.failures import CallFailed


class Trouble:
    """Says once that the server is away, and once that it is back."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._away = False

    def __call__(self, failure: CallFailed | None) -> None:
        if failure is not None and not self._away:
            output.note(f"{failure}; trying again")
        elif failure is None and self._away:
            output.note(f"{self._url} answers again")
        self._away = failure is not None
