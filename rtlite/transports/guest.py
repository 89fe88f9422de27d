"""The application of a program that we are embedded in: it answers at the paths that are not ours.

Its requests come through the same door as ours: checked heads, deadlines for head and body,
no request smuggled to it. What it answers, and to whom, is its own business.
"""

from __future__ import annotations

from typing import Any

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.typing import ASGIFramework
from hypercorn.utils import LifespanFailureError, LifespanTimeoutError

from rtlite.errors import StartError
from rtlite.transports.head import Head
from rtlite.transports.http import Logger
from rtlite.transports.routes import Router


class Guest:
    """An ASGI application for Trio, such as a ``QuartTrio``, beside ours. Its WebSockets are not served.

    :ivar app: what Hypercorn calls with each of its requests.
    """

    def __init__(self, app: ASGIFramework, router: Router) -> None:
        self._theirs = app
        self._router = router
        config = Config()
        config.logger_class = Logger  # type: ignore[assignment]
        self._lifespan = Lifespan(ASGIWrapper(app), config, {})
        self.app = ASGIWrapper(self._answer)

    def takes(self, head: Head) -> bool:
        """Whether this request is for the guest."""
        return not self._router.knows(head.path)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        scope = {**scope, "state": {}}  # our own state of the request stays here
        await self._theirs(scope, receive, send)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start it as ASGI's lifespan has it, and keep it until :meth:`stop`. :raises StartError: it will not."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._lifespan.handle_lifespan)
                await self._lifespan.wait_for_startup()
                if not (over := self._lifespan.shutdown.is_set()):
                    task_status.started()
            if over:  # it has no lifespan; had it failed, the nursery would have said so
                task_status.started()
        except* (LifespanFailureError, LifespanTimeoutError) as group:
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise StartError(f"the application does not start: {first}") from group

    async def stop(self) -> None:
        """Tell it that there are no more requests, and wait until it is done with that."""
        if not self._lifespan.shutdown.is_set():
            await self._lifespan.wait_for_shutdown()
