"""Whose a state is, and when others are told of it."""

from __future__ import annotations

import pytest

from rtlite.protocols.awareness import Awareness, Owner
from rtlite.protocols.yjs import State

ANN = State(1, 1, b'{"name":"ann"}')


@pytest.fixture
def room() -> Awareness:
    return Awareness(max_clients=3)


def said(room: Awareness) -> dict[int, bytes | None]:
    return {state.client: state.state for state in room.present()}


class Other:
    """A client of y-protocols, as far as what it believes of others goes (``applyAwarenessUpdate``)."""

    def __init__(self) -> None:
        self.clocks: dict[int, int] = {}
        self.states: dict[int, bytes] = {}

    def hear(self, states: list[State]) -> None:
        for state in states:
            clock = self.clocks.get(state.client, 0)
            gone = state.state is None and state.client in self.states
            if clock < state.clock or (clock == state.clock and gone):
                self.clocks[state.client] = state.clock
                self.states.pop(state.client, None)
                if state.state is not None:
                    self.states[state.client] = state.state


class TestWhatOneSaysOfItself:
    def test_a_new_state_is_told_and_an_old_one_is_not(self, room: Awareness) -> None:
        ann = Owner("ann")
        assert room.take(ann, [ANN], 0) == [1]
        assert room.take(ann, [ANN], 1) == []
        assert room.take(ann, [State(1, 0, b"{}")], 1) == []
        assert room.take(ann, [State(1, 2, b"{}")], 2) == [1]
        assert said(room) == {1: b"{}"}

    def test_who_adopts_the_clock_that_it_hears_of_itself_and_says_so_is_no_news(self, room: Awareness) -> None:
        """y-websocket repeats whatever it adopts: told of again, it would adopt the next clock, and so for ever."""
        ann, client = Owner("ann"), Other()
        assert room.take(ann, [ANN], 0) == [1]
        client.hear(room.states([1]))
        assert client.clocks[1] > ANN.clock
        assert room.take(ann, [State(1, client.clocks[1], ANN.state)], 20) == []
        assert room.expire(40) == []  # it was heard all the same
        assert room.take(ann, [State(1, client.clocks[1] + 1, ANN.state)], 40) == [1]
        client.hear(room.states([1]))
        assert room.take(ann, [State(1, client.clocks[1], ANN.state)], 40) == []

    def test_null_is_the_end_of_it(self, room: Awareness) -> None:
        ann = Owner("ann")
        room.take(ann, [ANN], 0)
        assert room.take(ann, [State(1, 2, None)], 0) == [1]
        assert said(room) == {}
        assert room.leave(ann) == []

    def test_it_is_gone_with_its_connection(self, room: Awareness) -> None:
        ann = Owner("ann")
        room.take(ann, [ANN], 0)
        assert room.leave(ann) == [1]
        assert said(room) == {} and room.states([1]) == [State(1, 2, None)]

    def test_it_is_gone_after_30_s_of_silence_and_back_when_it_speaks(self, room: Awareness) -> None:
        ann = Owner("ann")
        room.take(ann, [ANN], 0)
        assert room.expire(29.9) == []
        room.take(ann, [State(1, 2, b"{}")], 20)
        assert room.expire(49.9) == []
        assert room.expire(50) == [1]
        assert room.take(ann, [State(1, 3, b"{}")], 60) == [1]

    def test_who_comes_back_to_a_server_that_was_started_anew_is_seen_by_who_knew_it(self, room: Awareness) -> None:
        bob = Other()
        room.take(Owner("ann"), [ANN], 0)
        for _ in range(3):
            bob.hear(room.states([1]))
            assert bob.states == {1: ANN.state}
            bob.states.clear()  # a client forgets all others with its connection, but not their clocks
            room = Awareness(max_clients=3)
            room.take(Owner("ann"), [State(1, bob.clocks[1], ANN.state)], 0)

    def test_a_connection_brings_so_many_ids_and_no_more(self, room: Awareness) -> None:
        ann = Owner("ann")
        assert room.take(ann, [State(id, 1, b"{}") for id in range(10)], 0) == [0, 1, 2]
        assert len(room.leave(ann)) == 3


class TestWhatOthersSayOfIt:
    def test_who_repeats_it_as_y_websocket_does_is_not_heard(self, room: Awareness) -> None:
        ann, bob = Owner("ann"), Owner("bob")
        room.take(ann, [ANN], 0)
        room.take(bob, [State(2, 1, b"{}")], 0)
        assert room.take(bob, [ANN], 1) == []
        room.leave(ann)
        assert room.take(bob, [ANN], 1) == []  # still on its way when ann left: she is not there again
        assert said(room) == {2: b"{}"}

    @pytest.mark.parametrize("state", [b'{"name":"mallory"}', None])
    @pytest.mark.parametrize("has_its_own", [True, False])
    def test_a_forged_state_is_dropped(self, room: Awareness, state: bytes | None, has_its_own: bool) -> None:
        ann, mallory = Owner("ann"), Owner("mallory")
        room.take(ann, [ANN], 0)
        if has_its_own:
            room.take(mallory, [State(9, 1, b"{}")], 0)
        assert room.take(mallory, [State(1, 1000, state)], 1) == []
        assert room.leave(mallory) == ([9] if has_its_own else [])
        assert said(room) == {1: ANN.state}
        assert room.take(ann, [State(1, 2, b"{}")], 2) == [1]

    def test_a_forged_state_does_not_keep_it_from_expiring(self, room: Awareness) -> None:
        room.take(Owner("ann"), [ANN], 0)
        room.take(Owner("mallory"), [State(1, 5, b"{}")], 29)
        assert room.expire(30) == [1]


class TestComingBack:
    def test_who_comes_back_at_its_old_clock_is_seen_at_once(self, room: Awareness) -> None:
        """y-websocket's provider says its state again as it was; its clock goes on at the next change."""
        ann, other = Owner("ann"), Other()
        other.hear(room.states(room.take(ann, [ANN], 0)))
        other.hear(room.states(room.leave(ann)))
        assert other.states == {}
        back = Owner("ann")
        other.hear(room.states(room.take(back, [ANN], 1)))
        assert other.states == {1: ANN.state}
        # It adopts the clock that it hears of itself, or was faster.
        other.hear(room.states(room.take(back, [State(1, 2, b'"faster"')], 2)))
        assert other.states == {1: b'"faster"'}
        other.hear(room.states(room.take(back, [State(1, 3, b'"adopted"')], 2)))
        assert other.states == {1: b'"adopted"'}

    def test_who_comes_back_before_its_old_connection_is_known_to_be_dead_takes_its_id_along(
        self, room: Awareness
    ) -> None:
        dead, back, other = Owner("ann"), Owner("ann"), Other()
        other.hear(room.states(room.take(dead, [ANN], 0)))
        assert room.take(back, [ANN], 1) == [1]
        assert room.leave(dead) == []
        assert said(room) == {1: ANN.state}

    def test_a_tab_whose_id_came_by_another_tab_first_has_its_own_connection_in_the_end(self, room: Awareness) -> None:
        """The tabs of a browser tell each other, and each says on its connection all that it hears."""
        first, second = Owner("ann"), Owner("ann")
        room.take(first, [ANN], 0)
        room.take(first, [State(2, 0, b'"second"')], 0)
        room.take(second, [State(2, 0, b'"second"')], 1)
        assert room.leave(first) == [1]
        assert said(room) == {2: b'"second"'}

    def test_ids_that_are_gone_are_forgotten_in_the_end(self, room: Awareness) -> None:
        for id in range(3000):
            owner = Owner("ann")
            room.take(owner, [State(id, 1, b"{}")], 0)
            room.leave(owner)
        assert len(room._known) <= 1000
