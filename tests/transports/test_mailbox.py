"""The mailbox, the signal and the turns: what they do is what Trio's channel, event and lock do."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from rtlite.transports.mailbox import Mailbox, Signal, Turns


class Gone(Exception):
    pass


def mailbox() -> Mailbox:
    return Mailbox(Gone)


async def test_messages_come_out_as_they_went_in(autojump_clock: trio.testing.MockClock) -> None:
    box = mailbox()
    taken: list[str | bytes] = []

    async def write() -> None:
        for number in range(100):
            await box.send(str(number))
            if number % 7 == 0:
                await trio.sleep(1)
        await box.aclose()

    async def read() -> None:
        with pytest.raises(Gone):
            while True:
                taken.append(await box.receive())
                if len(taken) % 5 == 0:
                    await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        nursery.start_soon(read)
    assert taken == [str(number) for number in range(100)]


async def test_one_message_waits_and_the_writer_of_a_second(autojump_clock: trio.testing.MockClock) -> None:
    box = mailbox()
    await box.send("")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.send, b"second")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await box.send("third")
        assert await box.receive() == ""
        assert await box.receive() == b"second"


async def test_a_message_that_is_there_outlives_the_close(autojump_clock: trio.testing.MockClock) -> None:
    box = mailbox()
    await box.send("last")
    await box.aclose()
    assert await box.receive() == "last"
    with pytest.raises(Gone):
        await box.receive()
    with pytest.raises(trio.ClosedResourceError):
        await box.send("late")


async def test_a_close_wakes_who_waits_to_read_and_who_waits_to_write(autojump_clock: trio.testing.MockClock) -> None:
    empty, full = mailbox(), mailbox()
    await full.send("x")

    async def read() -> None:
        with pytest.raises(Gone):
            await empty.receive()

    async def write() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await full.send("y")

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
            await empty.aclose()
            await full.aclose()


async def test_a_reader_that_is_cancelled_takes_no_message_along(autojump_clock: trio.testing.MockClock) -> None:
    box = mailbox()
    with trio.move_on_after(1):
        await box.receive()
    await box.send("for the next")
    with trio.move_on_after(1):
        await box.send("never sent")
    assert await box.receive() == "for the next"
    with trio.move_on_after(1) as patience:
        await box.receive()
    assert patience.cancelled_caught


async def test_a_second_reader_is_a_mistake(autojump_clock: trio.testing.MockClock) -> None:
    box = mailbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await box.receive()
        await box.send("for the first")


async def test_a_signal_lets_go_on_who_waits_and_who_comes_later(autojump_clock: trio.testing.MockClock) -> None:
    signal = Signal()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(signal.wait)
        nursery.start_soon(signal.wait)
        await trio.testing.wait_all_tasks_blocked()
        signal.set()
        signal.set()
    await signal.wait()


async def test_turns_are_had_one_at_a_time_in_the_order_of_coming(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns()
    order: list[str] = []

    async def have(number: int) -> None:
        async with turns:
            order.append(f"{number} in")
            await trio.sleep(1)
            order.append(f"{number} out")

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(have, number)
            await trio.testing.wait_all_tasks_blocked()
    assert order == [f"{number} {what}" for number in range(4) for what in ("in", "out")]


async def test_who_gives_up_its_turn_holds_up_nobody(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns()

    async def give_up() -> None:
        with trio.move_on_after(1) as patience:
            async with turns:
                pass
        assert patience.cancelled_caught

    async with turns, trio.open_nursery() as nursery:
        nursery.start_soon(give_up)
    with trio.fail_after(1):
        async with turns:
            pass
    assert turns._lock is None  # nothing is kept for whom nobody waits
