"""What the wire keeps of a connection, and when. What it says to its peer is in test_websocket.py."""

from __future__ import annotations

import pytest
import wsproto.events
from wsproto.connection import ConnectionState

from rtlite.transports.wire import Wire
from tests.transports.doors import BINARY, PING, TEXT, close_frame, frame, handshake


def opened() -> Wire:
    wire = Wire(1000, lambda row: row.blog)
    wire.receive_data(handshake("/ws"))
    assert [type(event) for event in wire.events()] == [wsproto.events.Request]
    wire.send(wsproto.events.AcceptConnection())
    wire.opened()
    return wire


def fed(wire: Wire, data: bytes) -> list[str]:
    wire.receive_data(data)
    return [f"{type(event).__name__} {getattr(event, 'data', '')}" for event in wire.events()]


@pytest.mark.parametrize("whole", [frame("hello"), frame(b"\0", BINARY), frame("p", PING), frame("a") + frame("b")])
def test_between_messages_it_holds_nothing(whole: bytes) -> None:
    wire = opened()
    assert wire.connection is None and wire.state is ConnectionState.OPEN and not list(wire.events())
    assert fed(wire, whole)
    assert wire.connection is None and wire.state is ConnectionState.OPEN


@pytest.mark.parametrize(
    "part",
    [
        frame("hello")[:1],
        frame("hello")[:-1],
        frame("hel", fin=False),
        frame("", fin=False),
        frame("hel", fin=False) + frame("p", PING),
        frame("whole") + frame("part")[:3],
        frame("é".encode()[:1], fin=False),
    ],
)
def test_within_a_message_it_holds_what_came(part: bytes) -> None:
    wire = opened()
    fed(wire, part)
    assert wire.connection is not None


def test_a_message_in_any_pieces_with_answers_between_is_whole() -> None:
    wire = opened()
    data = frame("hel", fin=False) + frame("p", PING) + frame("lo", 0) + frame("bye", TEXT)
    events: list[str] = []
    for byte in data:
        events += fed(wire, bytes([byte]))
        wire.send(wsproto.events.Pong(b"p"))  # ours go out at any time
    assert "".join(event.partition(" ")[2] for event in events) == "hellobye"
    assert wire.connection is None


def test_after_our_close_only_the_peers_counts() -> None:
    wire = opened()
    wire.send(wsproto.events.CloseConnection(1000))
    assert wire.state is ConnectionState.LOCAL_CLOSING
    assert fed(wire, frame("late") + frame("p", PING)) == []
    assert [event.split()[0] for event in fed(wire, close_frame())] == ["CloseConnection"]
    assert wire.state is ConnectionState.CLOSED


def test_our_close_in_the_middle_of_what_is_read_stands() -> None:
    wire = opened()
    wire.receive_data(frame("one") + frame("two") + close_frame())
    events = wire.events()
    assert next(events).data == "one"
    wire.send(wsproto.events.CloseConnection(1000))
    assert [type(event) for event in events] == [wsproto.events.CloseConnection]
    assert wire.state is ConnectionState.CLOSED


def test_what_one_connection_left_unfinished_is_not_anothers() -> None:
    first, second = opened(), opened()
    fed(first, frame("secret", fin=False))
    assert fed(second, frame("x")) == ["TextMessage x"]
