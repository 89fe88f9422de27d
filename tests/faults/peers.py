"""Clients that do not behave: bare sockets that never read, never finish, or are gone without a word."""

from __future__ import annotations

import base64
import os
import re
import socket
import struct
import subprocess

_TCP_REPAIR = 19


def connect(port: int, request: bytes = b"", *, receive_buffer: int = 0, source: str = "127.0.0.1") -> socket.socket:
    """A blocking socket, on which ``request`` was sent. A small receive buffer leaves what is not read to the peer."""
    peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer.settimeout(10)
    peer.bind((source, 0))
    peer.connect(("127.0.0.1", port))
    peer.sendall(request)
    return peer


def websocket(port: int, path: str, key: str, *, receive_buffer: int = 0, source: str = "127.0.0.1") -> socket.socket:
    """The same, after a WebSocket handshake; nothing else was read from it."""
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    )
    peer = connect(port, head.encode(), receive_buffer=receive_buffer, source=source)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        received = peer.recv(1)
        assert received, answer
        answer += received
    assert b" 101 " in answer.partition(b"\r\n")[0], answer
    return peer


def vanish(peer: socket.socket) -> None:
    """Close without a FIN or an RST, as a machine whose cable was pulled. Needs root."""
    peer.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
    peer.close()


def reset(peer: socket.socket) -> None:
    """Close with an RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def kernel_memory(port: int) -> list[int]:
    """What the kernel holds for each connection of this server's port, in bytes. Needs ss."""
    done = subprocess.run(["ss", "-Htmn", "sport", "=", f":{port}"], capture_output=True, text=True, check=True)
    found = []
    for numbers in re.findall(r"skmem:\((.*?)\)", done.stdout):
        held = dict(re.findall(r"\b([rwfo])(\d+)", numbers))
        found.append(sum(map(int, held.values())))
    return found
