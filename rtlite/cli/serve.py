"""``rtlite serve``: run the server, say when it is ready, stop in order."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click
import trio

from rtlite import log, settings
from rtlite.cli import allocator, options, welcome
from rtlite.cli.program import run
from rtlite.settings import Settings

if TYPE_CHECKING:
    from rtlite.server import Running


@click.command(cls=options.WithSettings)
@options.setting_flags
def serve(config: str | None, **flags: Any) -> None:
    """Run the server.

    A setting comes from the first of these that has it: its flag, its environment variable, the
    file, its default. `rtlite config` shows which. SIGINT (Ctrl-C) and SIGTERM stop it in order; a
    second one ends it at once.
    """
    loaded = settings.load(flags, file=config)
    log.configure()
    allocator.give_memory_back()
    run(serve_until_signal, loaded.settings, _announce)


async def _announce(running: Running) -> None:
    click.echo("\n".join(welcome.lines(running)))


async def serve_until_signal(chosen: Settings, on_ready: Callable[[Running], Awaitable[None]]) -> None:
    """Run a server; returns when a signal or ``running.stop()`` has stopped it.

    :raises StartError: it cannot start.
    """
    allocator.collect_nothing()
    # Imported here, so that help and refused settings need not wait half a second for it.
    from rtlite.server import serve as run_server

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as outer:
            stop = _Stop(outer.cancel_scope.cancel)
            outer.start_soon(stop.on_signal, signals)
            async with trio.open_nursery() as inner:
                running: Running = await inner.start(run_server, chosen)
                stop.stop = running.stop
                await on_ready(running)
                await running.keep_admin_key()
                allocator.set_aside()  # takes 70 ms: now, before anyone is connected
                await running.server.settle()
                allocator.set_aside()
            outer.cancel_scope.cancel()


class _Stop:
    """Stops on the first signal: before the server is ready by cancelling its start, then in order."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop

    async def on_signal(self, signals: AsyncIterator[int]) -> None:
        await anext(signals)
        self.stop()
        number = await anext(signals)
        os._exit(128 + number)  # what was acknowledged is on disk
