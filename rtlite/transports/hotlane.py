"""The hot lane: keep-alive connections that publish one event after another, served by one task.

A backend that publishes sends the same head over and over, with another body behind it. Each
connection's own task would be woken twice for each event, by its bytes and by its commit, which
is a third of such a request's cost. So a connection whose last request was one of these waits
here: one task reads what arrives on any of them and answers it in place, and the committer, when
it is done, writes all answers of a batch one right after the other.

Only the exact same head with one whole body behind it is answered here. Whatever else comes
(another head, part of a request, more than one, the end, a peer that does not read its answers)
goes back to the connection's own task, which does everything that is unusual.
"""

from __future__ import annotations

import math
import os
import select
import time
from functools import partial
from typing import Final

import attrs
import outcome
import trio

from rtlite.auth.gate import presented
from rtlite.auth.tickets import PREFIX as TICKET_PREFIX
from rtlite.model import Identity
from rtlite.settings import Settings
from rtlite.transports.head import Head
from rtlite.transports.lean import LeanLane
from rtlite.transports.routes import Call, Reply, Route, Router
from rtlite.transports.stream import ServerStream

_READ: Final = 16 * 1024
_MOST: Final = 64  # requests in one go: some 2 ms
_PATIENCE: Final = 0.00006  # seconds


@attrs.define(eq=False, slots=True)
class _Parked:
    """A connection that waits here, and its task."""

    descriptor: int
    stream: ServerStream
    head: Head
    route: Route
    address: str
    scheme: str
    patience: trio.CancelScope
    task: trio.lowlevel.Task
    who: tuple[bytes, str, bool] = attrs.field(init=False)
    """What tells who asks: what is sent, and from where."""
    extended: float = -math.inf
    """When the deadline of its patience was moved last."""
    busy: bool = False
    """A request is under way: nothing may be answered before it, and the task must not leave."""
    result: outcome.Value[bool] | outcome.Error | None = None
    """What the task goes on with, once nothing is under way."""
    awake: bool = False

    def __attrs_post_init__(self) -> None:
        self.who = (self.head.raw, self.address, self.stream.trusted)

    def settle(self) -> None:
        """Let the task go on, if that is due."""
        if self.result is not None and not self.busy and not self.awake:
            self.awake = True
            trio.lowlevel.reschedule(self.task, self.result)


class HotLane:
    """The task (:meth:`run`), and the way in for connections (:meth:`read_ahead`)."""

    def __init__(self, router: Router, lean: LeanLane, settings: Settings) -> None:
        self._router = router
        self._lean = lean
        self._settings = settings
        self._epoll = select.epoll()
        self._parked: dict[int, _Parked] = {}
        self._running = False
        self._owed = 0
        """Peers that were answered and may be about to ask again."""
        self._asked = 0
        """Requests under way."""
        self._answers: list[tuple[_Parked, bytes]] = []
        self._statuses: list[int] = []
        self._seen: dict[tuple[bytes, str, bool], Identity] = {}
        """Who asked in this go: nothing else runs meanwhile that could end a credential."""
        self._some = trio.Event()

    async def run(self) -> None:
        """Serve until cancelled. Nobody may be parked by then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            await self._read()

    async def _write(self) -> None:
        while True:
            await self._some.wait()
            self._some = trio.Event()
            self._write_answers()

    def _write_answers(self) -> None:
        """Write the answers of a batch one right after the other: a write that wakes a sleeping peer
        costs 24 µs here, one to a peer that is awake 8."""
        answers, self._answers = self._answers, []
        statuses, self._statuses = self._statuses, []
        self._router.count("hot", statuses)
        for parked, answer in answers:
            self._over(parked)
            try:
                parked.stream.outbox.offer(answer)
                parked.settle()
            except Exception as error:  # noqa: BLE001  # raised in the connection's own task, which it ends
                self._give_back(parked, outcome.Error(error))
        self._owed += len(answers)

    def _over(self, parked: _Parked) -> None:
        """Its request is answered, or will not be."""
        if parked.busy:
            parked.busy = False
            self._asked -= 1

    async def _read(self) -> None:
        self._running = True
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                until = time.perf_counter() + _PATIENCE
                served = 0
                self._seen.clear()
                while True:
                    ready = self._epoll.poll(0, _MOST)
                    clock = trio.current_time()
                    for descriptor, _ in ready:
                        parked = self._parked[descriptor]
                        try:
                            self._serve(parked, clock)
                        except Exception as error:  # noqa: BLE001  # raised in the connection's own task, which it ends
                            self._over(parked)
                            self._give_back(parked, outcome.Error(error))
                    served += len(ready)
                    now = time.perf_counter()
                    if ready:
                        until = now + _PATIENCE
                    if served >= _MOST or self._owed <= 0 or now > until:
                        break
                self._owed = 0
        finally:
            self._running = False
            self._epoll.close()

    def takes(self, stream: ServerStream, head: Head) -> Route | None:
        """The route, if repeats of this head can be answered here."""
        if not self._running or stream.descriptor is None or not head.keep_alive or "origin" in head.headers:
            return None
        if (presented(head.headers, head.query) or "").startswith(TICKET_PREFIX):  # it is used up
            return None
        found = self._lean.takes(head)
        return None if found is None or found[0].soon is None else found[0]

    async def read_ahead(
        self, stream: ServerStream, head: Head, route: Route, address: str, scheme: str, patience: trio.CancelScope
    ) -> bool:
        """As :meth:`ServerStream.read_ahead`, but that repeats of the request are answered meanwhile.

        :param patience: the scope of the wait, whose deadline moves with each request.
        :raises trio.BrokenResourceError: the connection was reset.
        """
        descriptor = stream.descriptor
        assert descriptor is not None  # noqa: S101  # takes() saw to it
        parked = _Parked(descriptor, stream, head, route, address, scheme, patience, trio.lowlevel.current_task())

        def abort(_: object) -> trio.lowlevel.Abort:
            parked.result = outcome.Value(True)  # and then the cancellation finds the task at its next step
            self._forget(descriptor)
            if parked.busy or parked.awake:
                return trio.lowlevel.Abort.FAILED
            parked.awake = True
            return trio.lowlevel.Abort.SUCCEEDED

        self._parked[descriptor] = parked
        self._epoll.register(descriptor, select.EPOLLIN)
        again: bool = await trio.lowlevel.wait_task_rescheduled(abort)
        return again

    def _forget(self, descriptor: int) -> None:
        """Look no longer at what arrives there: it is for the task to read."""
        if self._parked.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _serve(self, parked: _Parked, now: float) -> None:
        """Something arrived: answer it, or give it back."""
        stream, head = parked.stream, parked.head
        self._owed -= 1
        try:
            data = os.read(parked.descriptor, _READ)
        except BlockingIOError:
            return
        except OSError as error:
            broken = trio.BrokenResourceError("the connection was reset")
            broken.__cause__ = error
            self._give_back(parked, outcome.Error(broken))
            return
        start = len(head.raw)
        whole = len(data) == start + (head.content_length or 0) and data.startswith(head.raw)
        if not whole or parked.busy or stream.outbox.queued:
            stream.keep(data)
            self._give_back(parked, outcome.Value(bool(data)))
            return

        if now - parked.extended > self._settings.keep_alive_timeout / 2:  # moving it is not for nothing
            parked.extended = now
            parked.patience.deadline = now + self._settings.keep_alive_timeout
        parked.busy = True
        self._asked += 1
        address, scheme = parked.address, parked.scheme
        call = Call(head.method, {}, head.query, head.headers, data[start:], address, scheme, stream.trusted)
        answered = partial(self._answered, parked)
        if not self._router.answer_soon(call, parked.route, answered, self._seen, parked.who):
            self._over(parked)
            stream.keep(data)
            self._give_back(parked, outcome.Value(True))

    def _answered(self, parked: _Parked, reply: Reply) -> None:
        try:
            answer = self._lean.whole(reply, keep_alive=True)
        except Exception as error:  # noqa: BLE001  # raised in the connection's own task, which it ends
            self._over(parked)
            self._give_back(parked, outcome.Error(error))
            return
        self._statuses.append(reply.status)
        self._answers.append((parked, answer))
        if len(self._answers) == self._asked:
            self._write_answers()
        elif len(self._answers) == 1:
            self._some.set()

    def _give_back(self, parked: _Parked, result: outcome.Value[bool] | outcome.Error) -> None:
        self._forget(parked.descriptor)
        parked.result = result
        parked.settle()
