import pytest

from rtlite.settings import KindSettings, Settings
from rtlite.store.policies import Policies

KEPT = KindSettings(history=True, retention_count=5)


def test_a_channel_keeps_what_its_kind_does_and_a_streams_channels_what_their_stream_does() -> None:
    policies = Policies(Settings(channels={"cursor": KindSettings(history=False)}))
    policies.set_stream("s", KEPT)
    assert policies.of("stream:s") == policies.of("stream:s:errors") == policies.of("stream:s:a:b") == KEPT
    assert not policies.of("stream:t").history and not policies.of("stream:").history
    assert not policies.of("stream:s t").history
    assert not policies.of("cursor:s").history
    assert policies.of("news:stream:s").retention_count == 10_000


def test_all_streams_together_have_no_history_whatever_each_keeps() -> None:
    policies = Policies(Settings(channels={"stream": KEPT}))
    assert policies.keeps("stream:s") and policies.keeps("news:*") and not policies.keeps("stream:*")


def test_a_stream_that_is_as_the_settings_say_takes_no_room() -> None:
    policies = Policies(Settings())
    before = policies.version
    policies.set_stream("s", KEPT)
    policies.set_stream("s", Settings().for_kind("stream"))
    assert policies._streams == {}
    assert policies.version > before


def test_what_a_thread_found_out_before_a_change_is_not_remembered_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find_out = Policies._of

    def interrupted(self: Policies, channel: str) -> KindSettings:
        found = find_out(self, channel)
        if not self._streams:
            self.set_stream("s", KEPT)  # as the loop's thread does, while retention is at it in the database's
        return found

    monkeypatch.setattr(Policies, "_of", interrupted)
    policies = Policies(Settings())
    policies.of("stream:s")
    assert policies.of("stream:s") == KEPT


def test_the_strictest_bound_of_a_kind_is_of_any_of_its_streams() -> None:
    policies = Policies(Settings())
    policies.set_stream("s", KEPT)
    policies.set_stream("t", KindSettings(retention_age=60.0, retention_bytes=10**12))
    found = policies.strictest("stream")
    assert (found.retention_age, found.retention_count, found.retention_bytes) == (60.0, 5, 64 * 1024 * 1024)
    assert policies.strictest("news").retention_count == 10_000
