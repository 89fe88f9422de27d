"""Editors of a document: pycrdt's Doc behind a WebSocket, as y-websocket's provider is Yjs' behind one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pycrdt
import trio
import trio_websocket

from tests.servers import Doors

SYNC, AWARENESS = b"\x00", b"\x01"


class Editor:
    """One that edits the text ``t`` of a document. It keeps what it has, as a tab does, over its connections."""

    def __init__(self) -> None:
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self.text: pycrdt.Text = self.doc.get("t", type=pycrdt.Text)
        self.socket: trio_websocket.WebSocketConnection | None = None
        self.synced = trio.Event()
        self.heard = 0
        """Edits of others."""
        self._unsent: list[bytes] = []
        self._listening = True
        self._subscription = self.doc.observe(self._note)

    def _note(self, event: Any) -> None:
        if self._listening:
            self._unsent.append(event.update)

    def __str__(self) -> str:
        return str(self.text)

    async def insert(self, index: int, text: str) -> None:
        """Insert, and send it if there is a connection."""
        self.text.insert(index, text)
        await self._send()

    async def delete(self, start: int, end: int) -> None:
        del self.text[start:end]
        await self._send()

    async def _send(self) -> None:
        updates, self._unsent = self._unsent, []
        if self.socket is not None:
            for update in updates:
                await self.socket.send_message(pycrdt.create_update_message(update))

    @asynccontextmanager
    async def connected(self, server: Doors, room: str, secret: str) -> AsyncIterator[None]:
        """Connected, and in sync, while this lasts."""
        async with server.websocket(f"/collab/{room}", secret) as socket, trio.open_nursery() as nursery:
            nursery.start_soon(self.talk, socket)
            with trio.fail_after(20):
                await self.synced.wait()
            yield
            nursery.cancel_scope.cancel()

    async def talk(self, socket: trio_websocket.WebSocketConnection) -> None:
        """The client's part of the protocol, until the connection ends."""
        self.socket = socket
        try:
            await socket.send_message(pycrdt.create_sync_message(self.doc))
            while True:
                await self.take(await socket.get_message())
        except trio_websocket.ConnectionClosed:
            pass
        finally:
            self.socket, self.synced = None, trio.Event()

    async def take(self, message: bytes) -> None:
        if message[:1] != SYNC:
            return
        self._listening = False
        try:
            reply = pycrdt.handle_sync_message(message[1:], self.doc)
        finally:
            self._listening = True
        if reply is not None and self.socket is not None:
            await self.socket.send_message(reply)
        self.heard += message[1] == pycrdt.YSyncMessageType.SYNC_UPDATE
        if message[1] == pycrdt.YSyncMessageType.SYNC_STEP2:
            self.synced.set()

    async def says(self, text: str) -> None:
        """Wait until this is what the document says."""
        with trio.fail_after(20):
            while True:
                if str(self) == text:
                    return
                await trio.sleep(0.002)
