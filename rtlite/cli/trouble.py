"""What a command that goes on and on says: that the server is away, that events are gone."""

from __future__ import annotations

from rtlite.cli import output
from rtlite.client.failures import CallFailed
from rtlite.client.follower import Page
from rtlite.hub.since import EventId, parse_since
from rtlite.model import now_ms


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


class Gaps:
    """Says where events are gone, or that the place to begin at is none.

    :param since: that place, as it was given. An event's id may be any word, so that only the server knows.
    """

    def __init__(self, since: str | None) -> None:
        word = since is not None and isinstance(parse_since(since, now_ms()), EventId)
        self._word = since if word else None
        self._begun: set[str] = set()

    def __call__(self, page: Page) -> None:
        first = page.of not in self._begun
        self._begun.add(page.of)
        if page.recovered:
            return
        why = "events before this place are gone"
        if first and self._word is not None:
            why = f"--since {self._word}: no event has this id, or not any more; other places are an age (2h), a time"
            why += " (ISO 8601) or a position"
        output.note(f"{page.of}: {why}; going on with what is left")
