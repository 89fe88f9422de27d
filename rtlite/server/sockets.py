"""Where a server listens: the public sockets, and the control socket beside the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import trio

from rtlite.settings import Settings, control_path
from rtlite.transports.sockets import close_all, open_tcp, open_unix


@contextlib.contextmanager
def open_sockets(
    settings: Settings, listen: bool
) -> Iterator[tuple[list[trio.SocketListener], list[trio.SocketListener]]]:
    """The public ones (none, unless it is to ``listen``) and the control socket; they are closed with the block."""
    with contextlib.ExitStack() as stack:
        control: list[trio.SocketListener] = []
        public: list[trio.SocketListener] = []
        if settings.data != ":memory:":
            control = stack.enter_context(open_unix(control_path(settings.data), settings, 0o600))
        if not listen:
            pass
        elif settings.uds:
            public = stack.enter_context(open_unix(settings.uds, settings, 0o666))
        else:
            public = open_tcp(settings)
            stack.callback(close_all, public)
        yield public, control


def address(settings: Settings, scheme: str, public: list[trio.SocketListener]) -> tuple[str, int | None]:
    """The URL and the port of the public sockets; an empty one if there are none."""
    if not public:
        return "", None
    if settings.uds:
        return f"http+unix:{settings.uds}", None
    port: int = public[0].socket.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{port}", port
