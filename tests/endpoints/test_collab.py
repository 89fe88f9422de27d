"""``/collab/{room}``: edits, awareness, who may what, and what is hostile."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pycrdt
import pytest
import trio
import trio_websocket

from rtlite.domain import audience, documents
from rtlite.errors import StorageFull
from rtlite.protocols import awareness, yjs
from rtlite.protocols.yjs import Awareness, State, Step1, Step2, Update
from tests.editors import Editor
from tests.servers import InProcess, running_server
from tests.transports.doors import BINARY, serving, tcp

HI = bytes.fromhex("010101000401017402686900")  # client 1: a text "t" that says "hi"
HO = bytes.fromhex("010102000401017402686f00")  # client 2: "ho" beside it
STATE = b'{"user":{"name":"Zo\xc3\xab"}}'


class Client:
    """A client that speaks bytes."""

    def __init__(self, socket: trio_websocket.WebSocketConnection) -> None:
        self.socket = socket

    async def say(self, message: bytes | str) -> None:
        await self.socket.send_message(message)

    async def hear(self) -> yjs.Message | bytes:
        """The next message; as bytes where clients do not send such."""
        with trio.fail_after(10):
            data = await self.socket.get_message()
        return data if data[:1] == b"\x02" else yjs.decode(data)[0]

    async def synced(self) -> bytes:
        """Everything, as an update."""
        await self.say(yjs.step_1(yjs.NOBODY))
        while not isinstance(answer := await self.hear(), Step2):
            pass
        return answer.update

    async def close_code(self) -> int:
        with trio.fail_after(10), pytest.raises(trio_websocket.ConnectionClosed) as closed:
            while True:
                await self.socket.get_message()
        assert closed.value.reason is not None
        return closed.value.reason.code


def editor_token(server: InProcess, user: str = "ann") -> str:
    return server.token(user, role="collab")


def join(server: InProcess, room: str, secret: str) -> Any:
    return server.websocket(f"/collab/{room}", secret)


def stored(path: Path, room: str = "r") -> list[bytes]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [
            data
            for (data,) in connection.execute(
                "SELECT data FROM document_updates JOIN documents ON id = document WHERE room = ? ORDER BY number",
                (room,),
            )
        ]


def text_of(*updates: bytes) -> str:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for update in updates:
        doc.apply_update(update)
    return str(doc.get("t", type=pycrdt.Text))


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while True:
            if condition():
                return
            await trio.sleep(0.005)


class TestEditing:
    async def test_an_edit_reaches_the_others_once_it_is_on_disk(self, tmp_path: Path) -> None:
        path = tmp_path / "r.db"
        async with running_server(data=str(path)) as server:
            token = editor_token(server)
            async with join(server, "r", token) as first, join(server, "r", token) as second:
                ann, bob = Client(first), Client(second)
                assert await ann.hear() == await bob.hear() == Step1(yjs.NOBODY)
                await ann.say(yjs.update(HI))
                assert await bob.hear() == Update(HI)
                assert stored(path) == [HI]
                await bob.say(yjs.update(HO))
                assert await ann.hear() == Update(HO)  # and not its own

    async def test_who_comes_later_gets_what_it_lacks_and_is_asked_for_what_it_has(self) -> None:
        async with running_server() as server:
            token = editor_token(server)
            async with join(server, "r", token) as first, join(server, "r", token) as second:
                ann, bob = Client(first), Client(second)
                assert await bob.hear() == Step1(yjs.NOBODY)
                await ann.say(yjs.update(HI))
                assert await bob.hear() == Update(HI)
                async with join(server, "r", token) as third:
                    eve = Client(third)
                    assert await eve.hear() == Step1(bytes.fromhex("010102"))
                    await eve.say(yjs.step_2(HO))
                    assert await bob.hear() == Update(HO)
                    assert text_of(await eve.synced()) in {"hiho", "hohi"}
                    await eve.say(yjs.step_1(bytes.fromhex("010102")))
                    answer = await eve.hear()
                    assert isinstance(answer, Step2) and len(answer.update) < len(await eve.synced())

    async def test_an_answer_that_tells_nothing_new_is_neither_stored_nor_delivered(self, tmp_path: Path) -> None:
        """Yjs tells all deletions each time."""
        path = tmp_path / "r.db"
        deletion = bytes.fromhex("000101010001")
        async with running_server(data=str(path)) as server:
            token = editor_token(server)
            async with join(server, "r", token) as first, join(server, "r", token) as second:
                ann, bob = Client(first), Client(second)
                await bob.hear()
                await ann.say(yjs.update(HI))
                await ann.say(yjs.update(deletion))
                assert [await bob.hear(), await bob.hear()] == [Update(HI), Update(deletion)]
                await ann.say(yjs.step_2(yjs.NOTHING))
                await ann.say(yjs.step_2(deletion))
                await ann.say(yjs.step_2(bytes.fromhex("01010100040101740268690101010001")))
                await ann.say(yjs.update(HO))
                assert await bob.hear() == Update(HO)
                assert stored(path) == [HI, deletion, HO]

    async def test_an_edit_whose_ground_is_missing_waits_and_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "r.db"
        ann = Editor()
        for index, letter in enumerate("abc"):
            ann.text.insert(index, letter)
        first, second, third = ann._unsent
        for squash in (False, True):
            async with running_server(data=str(path)) as server:
                async with join(server, "r", editor_token(server)) as socket:
                    client = Client(socket)
                    for update in (third, first):
                        await client.say(yjs.update(update))
                    assert text_of(await client.synced()) == "a"
                if squash:
                    await server.running.server.documents.squash("r")
        async with running_server(data=str(path)) as server, join(server, "r", editor_token(server)) as socket:
            client = Client(socket)
            await client.say(yjs.update(second))
            assert text_of(await client.synced()) == "abc"

    async def test_a_deletion_that_comes_before_what_it_deletes_is_not_lost(self, tmp_path: Path) -> None:
        """A client that comes back sends what it does next at once, and what it did meanwhile when it is asked."""
        path = tmp_path / "r.db"
        ann = Editor()
        ann.text.insert(0, "abc")
        del ann.text[0:1]
        first, first_deletion = ann._unsent
        ann._unsent = []
        other = Editor()
        other.doc.apply_update(ann.doc.get_update())
        other.text.insert(2, "xyz")
        del other.text[0:4]  # of both
        second, both = other._unsent[-2:]
        async with running_server(data=str(path)) as server:
            token = editor_token(server)
            async with join(server, "r", token) as socket, join(server, "r", token) as witness:
                client, bob = Client(socket), Client(witness)
                await bob.hear()
                for update in (both, first_deletion, second):
                    await client.say(yjs.update(update))
                assert await client.synced() == yjs.NOTHING
                await client.say(yjs.step_2(first))
                assert text_of(await client.synced()) == "z"
                heard = [await bob.hear() for _ in range(5)]  # each builds on those before
                assert text_of(*[message.update for message in heard if isinstance(message, Update)]) == "z"
        async with running_server(data=str(path)) as server, join(server, "r", editor_token(server)) as socket:
            assert text_of(await Client(socket).synced()) == "z"
            await server.running.server.documents.squash("r")
            assert text_of(*stored(path)) == "z" and len(stored(path)) == 1

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_half_an_emoji_may_be_deleted(self, at_once: bool, tmp_path: Path) -> None:
        """As by an editor that compares texts by JavaScript's characters. What is stored is that of Yjs."""
        path = tmp_path / "r.db"
        smile = bytes.fromhex("01010100040101740661") + "😀b\0".encode()
        half = bytes.fromhex("000101010101")
        async with running_server(data=str(path)) as server, join(server, "r", editor_token(server)) as socket:
            ann = Client(socket)
            await ann.say(yjs.update(smile))
            if not at_once:
                assert text_of(await ann.synced()) == "a😀b"
            await ann.say(yjs.update(half))
            assert text_of(await ann.synced()) == "a\ufffdb"
            assert len(stored(path)) == 1
            await ann.say(yjs.update(bytes.fromhex("01010300840103012100")))  # behind the b
            assert text_of(await ann.synced()) == "a\ufffdb!"
            assert [document.bytes for document in (await server.running.server.documents.page())[0]] == [
                sum(map(len, stored(path)))
            ]
        async with running_server(data=str(path)) as server, join(server, "r", editor_token(server)) as socket:
            assert text_of(await Client(socket).synced()) == "a\ufffdb!"
            await server.running.server.documents.squash("r")
            assert len(stored(path)) == 1

    async def test_editors_converge_and_a_restart_changes_nothing(self, tmp_path: Path) -> None:
        editors = [Editor() for _ in range(5)]
        for part in range(2):
            async with running_server(data=str(tmp_path / "r.db")) as server, trio.open_nursery() as nursery:
                token = editor_token(server)

                async def type(editor: Editor, number: int, server=server, token=token, part=part) -> None:
                    async with editor.connected(server, "r", token):
                        for turn in range(10):
                            await editor.insert(0, f"<{part}.{number}.{turn}>")
                        await until(lambda: str(editor).count("<") == 50 * (part + 1))

                for number, editor in enumerate(editors):
                    nursery.start_soon(type, editor, number)
        assert len({str(editor) for editor in editors}) == 1

    async def test_the_servers_own_side_reads_and_edits_as_editors_do(self) -> None:
        async with running_server() as server:
            own = server.running.server.documents
            await own.edit("r", HI)
            async with join(server, "r", editor_token(server)) as socket:
                ann = Client(socket)
                assert text_of(await ann.synced()) == "hi"
                await own.edit("r", HO)
                assert await ann.hear() == Update(HO)
                assert text_of(await own.export("r")) == text_of(HI, HO)
                room = own.room("r")
                assert room is not None and [visitor.identity.user for visitor in room.visitors] == ["ann"]
            assert [document.room for document in (await own.page())[0]] == ["r"]


class TestAwareness:
    async def test_everyone_is_told_also_who_said_it_and_who_comes_later(self) -> None:
        """Clients of y-websocket up to 3 hang up if they do not hear themselves."""
        async with running_server() as server:
            token = editor_token(server)
            async with join(server, "r", token) as first:
                ann = Client(first)
                await ann.hear()
                said = Awareness((State(300, 2, STATE),))  # newer than whatever others know of it
                await ann.say(yjs.awareness([State(300, 1, STATE)]))
                assert await ann.hear() == said
                async with join(server, "r", server.token("bob")) as second:
                    bob = Client(second)
                    assert await bob.hear() == said
                    await bob.say(yjs.awareness([State(7, 1, b"{}")]))
                    assert await ann.hear() == await bob.hear() == Awareness((State(7, 2, b"{}"),))
                    await bob.say(b"\x03")
                    assert await bob.hear() == Awareness((State(300, 2, STATE), State(7, 2, b"{}")))
                assert await ann.hear() == Awareness((State(7, 2, None),))

    async def test_a_forged_state_goes_nowhere(self) -> None:
        async with (
            running_server() as server,
            join(server, "r", editor_token(server)) as first,
            join(server, "r", server.token("m")) as second,
        ):
            ann, mallory = Client(first), Client(second)
            await ann.hear()
            await ann.say(yjs.awareness([State(300, 1, STATE)]))
            await ann.hear()
            await mallory.say(yjs.awareness([State(300, 99, b'{"user":"mallory"}'), State(5, 1, b"{}")]))
            await mallory.say(yjs.awareness([State(300, 100, None)]))
            assert await ann.hear() == Awareness((State(5, 2, b"{}"),))
            await ann.say(b"\x03")
            assert await ann.hear() == Awareness((State(300, 2, STATE), State(5, 2, b"{}")))

    async def test_silence_ends_a_state_and_a_quiet_room_shows_that_we_are_here(self, monkeypatch) -> None:
        monkeypatch.setattr(awareness, "LIFETIME", 0.2)
        monkeypatch.setattr(audience, "_KEEP_ALIVE", 0.3)
        monkeypatch.setattr(documents, "_TICK", 0.02)
        async with running_server() as server, join(server, "r", editor_token(server)) as socket:
            ann = Client(socket)
            await ann.hear()
            await ann.say(yjs.awareness([State(300, 1, STATE)]))
            heard = [await ann.hear() for _ in range(4)]
            nobody = Awareness(())
            assert heard == [Awareness((State(300, 2, STATE),)), Awareness((State(300, 2, None),)), nobody, nobody]


# May edit, may read, or the close code. The contract's table.
RIGHTS: dict[str, str | int] = {
    "token user": "r",
    "token customer": "r",
    "token collab": "w",
    "token admin": "w",
    "token user publish=collab:r": "w",
    "token user publish=collab:*": "w",
    "token user publish=collab:other": "r",
    "token user subscribe=collab:r": "r",
    "project": "r",
    "project write": "w",
    "admin": "w",
    "blog": 4403,
    "stream": 4403,
    "ticket project write, changes:*": 4403,
    "ticket project write, collab:r": "w",
    "ticket project write": "w",
    "ticket project": "r",
    "nothing": 4401,
    "nonsense": 4401,
}


async def secret_of(server: InProcess, who: str) -> str | None:
    kind, *words = who.replace(",", "").split()
    if kind == "token":
        patterns = {name: [value] for name, _, value in (word.partition("=") for word in words[1:])}
        return server.token("ann", role=words[0], **patterns)
    if kind == "ticket":
        key = await server.key("project", "p", write="write" in words)
        only = tuple(word for word in words if ":" in word)
        return server.running.server.tickets.issue(server.running.server.gate.identify(key, "", {}), only or None)
    if kind in {"nothing", "nonsense"}:
        return None if kind == "nothing" else "rtk_nonsense"
    return await server.key(kind, "p", write="write" in words)


class TestRights:
    @pytest.mark.parametrize("dev", [False, True])
    async def test_who_may_do_what(self, dev: bool) -> None:
        wrong = {}
        async with running_server(dev=dev) as server:
            own = server.running.server.documents
            for who, right in RIGHTS.items():
                if dev and who.startswith("token"):
                    right = "w"  # any channel, as everywhere
                await own.edit("r", HI)
                secret = await secret_of(server, who)
                query = f"?token={secret}" if secret else ""
                async with server.websocket(f"/collab/r{query}") as socket:
                    client = Client(socket)
                    print(who)
                    if isinstance(right, int):
                        found: str | int = await client.close_code()
                    else:
                        await client.say(yjs.update(HO))
                        found = {"hi": "r"}.get(text_of(await client.synced()), "w")
                        assert text_of(await own.export("r")) == ("hi" if found == "r" else text_of(HI, HO))
                if found != right:
                    wrong[who] = found
                if "r" in {document.room for document in (await own.page())[0]}:
                    await own.delete("r")
        assert wrong == {}

    async def test_who_may_only_read_hears_edits_and_is_told_once_that_its_own_are_dropped(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "r.db"
        async with (
            running_server(data=str(path)) as server,
            join(server, "r", editor_token(server)) as first,
            join(server, "r", server.token("reader")) as second,
        ):
            ann, reader = Client(first), Client(second)
            assert await reader.hear() == Awareness(())  # it is not asked for what it has
            await reader.say(yjs.step_2(yjs.NOTHING))
            for message in (yjs.update(HO), yjs.step_2(HO), yjs.update(HO)):
                await reader.say(message)
            assert await reader.hear() == yjs.permission_denied("read-only: edits are dropped")
            await ann.say(yjs.update(HI))
            assert await reader.hear() == Update(HI)
            assert await reader.synced() == HI
            assert stored(path) == [HI]

    async def test_no_door_publishes_on_a_rooms_channel(self) -> None:
        async with running_server() as server:
            event = {"channel": "collab:r", "event": "x", "data": 1}
            for secret in (
                await server.key("admin", "root"),
                await server.key("project", "p", write=True),
                editor_token(server),
                server.token("ann", publish=["collab:*"]),
            ):
                client = server.http(secret)
                assert (await client.post("/api/publish", json=event)).status_code == 403
                assert (await client.post("/api/publish/batch", json={"events": [event]})).status_code == 403

    async def test_a_key_that_is_revoked_is_closed(self) -> None:
        async with running_server() as server:
            key = await server.key("project", "p", write=True)
            async with join(server, "r", key) as socket:
                client = Client(socket)
                await client.hear()
                await server.revoke(key)
                assert await client.close_code() == 4401

    @pytest.mark.parametrize("room", ["info", "a%20b", "%C3%A9", "x" * 250, "a:*", "%00"])
    async def test_what_can_be_no_name_is_refused(self, room: str) -> None:
        async with running_server() as server, join(server, room, editor_token(server)) as socket:
            assert await Client(socket).close_code() == 4403

    async def test_a_name_may_have_a_slash_that_is_encoded(self) -> None:
        async with running_server() as server:
            async with join(server, "a%2Fb", editor_token(server)) as socket:
                await Client(socket).say(yjs.update(HI))
                await Client(socket).synced()
            assert [document.room for document in (await server.running.server.documents.page())[0]] == ["a/b"]


async def test_info_names_our_own_address() -> None:
    async with running_server() as server:
        key = await server.key("project", "p")
        answer = (await server.http(key).get("/collab/info")).json()
        url = f"ws://127.0.0.1:{server.port}/collab"
        assert answer == {"enabled": True, "provider": "yjs", "websocketUrl": url}
        assert (await server.http().get("/collab/info")).status_code == 401
    async with running_server(public_url="https://live.example", trusted_proxy=("127.0.0.1",)) as server:
        key = await server.key("project", "p")
        answer = (await server.http(key, host="live.example").get("/collab/info")).json()
        assert answer["websocketUrl"] == "wss://live.example/collab"


def nested(depth: int) -> bytes:
    """An update with a value that is a list in a list in a list …"""
    return b"\x01\x01\x07\x00\x08\x01\x01a\x01" + b"\x75\x01" * depth + b"\x7e\x00"


def bomb(depth: int) -> bytes:
    """A map in a map in a map …"""
    rest = b"".join(b"\x27\x00\x03" + yjs.uint(number) + b"\x01k\x01" for number in range(depth - 1))
    return b"\x01" + yjs.uint(depth) + b"\x03\x00\x27\x01\x01m\x01k\x01" + rest + b"\x00"


HOSTILE: dict[str, bytes | str] = {
    "text": "hello",
    "nothing": b"",
    "a number cut short": b"\x00\x02\xff",
    "a length of 2^53": bytes.fromhex("0002ffffffffffffff0f00"),
    "a length past 2^53": bytes.fromhex("0002ffffffffffffff7f00"),
    "a type that there is not": b"\x09",
    "a step that there is not": bytes.fromhex("0003020000"),
    "denying us": bytes.fromhex("020000"),
    "an update that is cut short": yjs.update(HI[:-3]),
    "an answer that is cut short": yjs.step_2(HI[:-3]),
    "an empty update": yjs.update(b""),
    "an update that is longer than it says": yjs.update(HI + b"\x00"),
    "2^32 clients": yjs.update(bytes.fromhex("ffffffff0f00")),
    "2^32 structs": yjs.update(bytes.fromhex("01ffffffff0f010000")),
    "a client without structs": yjs.update(bytes.fromhex("010001bc0400")),
    "a struct of no length": yjs.update(bytes.fromhex("01017801000000")),
    "content that is no JSON": yjs.update(bytes.fromhex("0101010582010301000000")),
    "a parent that can have no children": yjs.update(bytes.fromhex("0102ae0601030701000103017101ff3f80000000")),
    "a value nested beyond any stack": yjs.update(nested(100_000)),
    "a state vector that is none": yjs.step_1(b"\x05\x01"),
    "an empty state vector": yjs.step_1(b""),
    "a state vector of 2^60 clients": yjs.step_1(bytes.fromhex("ffffffffffffffff0f")),
    "awareness that is no JSON": bytes.fromhex("010601ac020103666f6f"),
    "awareness of 2^32 clients": bytes.fromhex("0106ffffffffff0f"),
}


class TestHostileFrames:
    @pytest.mark.parametrize("name", HOSTILE)
    async def test_each_closes_its_connection_and_nothing_else(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "r.db"
        async with running_server(data=str(path)) as server:
            token = editor_token(server)
            async with join(server, "r", token) as first, join(server, "r", editor_token(server, "mallory")) as second:
                ann, mallory = Client(first), Client(second)
                await ann.hear()
                await ann.say(yjs.update(HI))
                await ann.synced()
                await mallory.say(HOSTILE[name])
                assert await mallory.close_code() == 1008
                await ann.say(yjs.update(HO))
                assert text_of(await ann.synced()) == text_of(HI, HO)
                assert stored(path) == [HI, HO]
            assert server.running.server.metrics.faults._value.get() == 0

    async def test_a_document_that_is_nested_beyond_any_stack_can_be_deleted_again(self) -> None:
        async with running_server(collab_message=2**21) as server, join(server, "r", editor_token(server)) as socket:
            ann = Client(socket)
            await ann.say(yjs.update(bomb(100_000)))
            assert len(await ann.synced()) > 100_000
            await ann.say(yjs.update(bytes.fromhex("000103010001")))
            assert len(await ann.synced()) < 100

    async def test_thousands_of_mutations_leave_the_document_as_it_is(self) -> None:
        dice = random.Random(1)
        closings = 0
        messages = [yjs.update(HO), yjs.step_1(bytes.fromhex("010102")), yjs.awareness([State(300, 1, STATE)])]

        async def listen(socket: trio_websocket.WebSocketConnection) -> None:
            with suppress(trio_websocket.ConnectionClosed):
                while True:
                    await socket.get_message()

        async with running_server(login_rate=0) as server:
            token = editor_token(server)
            async with join(server, "r", token) as first:
                ann = Client(first)
                await ann.hear()
                await ann.say(yjs.update(HI))
                whole = await ann.synced()
                for _ in range(60):
                    async with join(server, "r", server.token("reader")) as other, trio.open_nursery() as nursery:
                        nursery.start_soon(listen, other)
                        try:
                            for _ in range(50):
                                message = bytearray(dice.choice(messages))
                                message[dice.randrange(len(message))] = dice.randrange(256)
                                await other.send_message(bytes(message))
                        except trio_websocket.ConnectionClosed as closed:
                            closings += closed.reason is not None and closed.reason.code == 1008
                        nursery.cancel_scope.cancel()
                assert closings > 30
                assert await ann.synced() == whole
            assert server.running.server.metrics.faults._value.get() == 0


class TestFailures:
    async def test_an_edit_that_cannot_be_stored_reaches_nobody_and_its_editor_comes_back_with_it(
        self, tmp_path: Path, monkeypatch
    ) -> None:
        path = tmp_path / "r.db"
        async with running_server(data=str(path)) as server:
            token = editor_token(server)
            ann, bob = Editor(), Editor()
            async with bob.connected(server, "r", token):
                async with join(server, "r", token) as socket, trio.open_nursery() as nursery:
                    nursery.start_soon(ann.talk, socket)
                    await ann.synced.wait()
                    await ann.insert(0, "kept ")
                    await bob.says("kept ")
                    transact = server.running.server.hub.transact

                    async def full(work: Any) -> Any:
                        raise StorageFull("the disk is full; nothing was stored")

                    monkeypatch.setattr(server.running.server.hub, "transact", full)
                    await ann.insert(5, "lost?")
                    await until(lambda: ann.socket is None)
                    assert socket.closed is not None and socket.closed.code == 1013
                    monkeypatch.setattr(server.running.server.hub, "transact", transact)
                assert str(bob) == "kept " and text_of(*stored(path)) == "kept "
                await bob.insert(0, "meanwhile ")
                async with ann.connected(server, "r", token):
                    await bob.says("meanwhile kept lost?")
                    assert text_of(*stored(path)) == "meanwhile kept lost?"

    @pytest.mark.parametrize(
        "harm", ["data = x'0101'", "data = x'010101000401017402686800'", "data = x'ffffffffffffffffffffffff'", None]
    )
    async def test_a_document_that_is_damaged_is_refused_and_not_written(
        self, harm: str | None, tmp_path: Path
    ) -> None:
        path = tmp_path / "r.db"
        async with running_server(data=str(path)) as server:
            await server.running.server.documents.edit("r", HI)
            await server.running.server.documents.edit("r", HO)
        with closing(sqlite3.connect(path)) as connection, connection:
            if harm is None:
                connection.execute("DELETE FROM document_updates WHERE number = 1")
            else:
                connection.execute(f"UPDATE document_updates SET {harm} WHERE number = 1")
        before = stored(path)
        async with running_server(data=str(path)) as server:
            token = editor_token(server)
            async with join(server, "r", token) as socket:
                client = Client(socket)
                await client.say(yjs.update(HI))
                assert await client.close_code() == 1011
            async with join(server, "other", token) as socket:
                await Client(socket).say(yjs.update(HI))
                assert await Client(socket).synced() == HI
        assert stored(path) == before

    async def test_a_reader_that_is_too_slow_gets_all_in_the_end_and_little_waits_for_it(self) -> None:
        async with serving(outbox=64 * 1024, send_buffer=4096, ping_interval=60.0) as server:
            token = editor_token(server)
            ann = Editor()
            async with ann.connected(server, "r", token):
                slow = await tcp(server, receive_buffer=4096)
                assert (await slow.upgrade(f"/collab/r?token={server.token('slow')}")).status == 101
                for number in range(300):
                    await ann.insert(len(ann.text), f"{number}:" + "x" * 1000)
                room = server.running.server.documents.room("r")
                assert room is not None
                await until(lambda: len(room._manuscript.whole()) > 300_000 and not room._agenda)
                assert all(visitor.link.outbox.queued < 128 * 1024 for visitor in room.visitors)
                reader = Editor()
                while str(reader) != str(ann):
                    opcode, payload = await slow.frame()
                    assert opcode == BINARY
                    await reader.take(payload)
                assert server.running.server.metrics.spilled._value.get() > 0
                # And it is live again.
                await ann.insert(0, "!")
                while str(reader) != str(ann):
                    await reader.take((await slow.frame())[1])


class TestLimits:
    async def test_a_message_that_is_too_large(self) -> None:
        async with running_server(collab_message=1000) as server, join(server, "r", editor_token(server)) as socket:
            await Client(socket).say(bytes(1001))
            assert await Client(socket).close_code() == 1009

    async def test_a_state_that_is_too_large(self) -> None:
        async with running_server(collab_awareness=20) as server, join(server, "r", editor_token(server)) as socket:
            await Client(socket).say(yjs.awareness([State(1, 1, b'"' + b"x" * 19 + b'"')]))
            assert await Client(socket).close_code() == 1009

    async def test_more_edits_that_wait_for_earlier_ones_than_may(self, tmp_path: Path) -> None:
        path = tmp_path / "r.db"
        async with running_server(data=str(path), collab_waiting=1000) as server:
            async with join(server, "r", editor_token(server)) as socket:
                for clock in range(1, 5):  # each takes 256 at least
                    await Client(socket).say(yjs.update(bytes([0, 1, 1, 1, clock, 1])))
                assert await Client(socket).close_code() == 1013
            await until(lambda: len(stored(path)) == 3)

    async def test_a_document_that_is_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "r.db"
        async with running_server(data=str(path), collab_document=2000, collab_log=1000) as server:
            token = editor_token(server)
            ann = Editor()
            async with join(server, "r", token) as socket, trio.open_nursery() as nursery:
                nursery.start_soon(ann.talk, socket)
                await ann.synced.wait()
                while ann.socket is not None:
                    await ann.insert(0, "x" * 100)
                    await trio.sleep(0.01)
                assert socket.closed is not None and socket.closed.code == 1009
            assert sum(map(len, stored(path))) <= 3000
            async with join(server, "r", server.token("reader")) as socket:
                assert len(text_of(await Client(socket).synced())) > 1500

    async def test_more_connections_to_a_document_than_may_be(self) -> None:
        async with running_server(collab_connections=1) as server:
            token = editor_token(server)
            async with join(server, "r", token) as first, join(server, "r", token) as second:
                await Client(first).hear()
                assert await Client(second).close_code() == 1013
                async with join(server, "other", token) as third:
                    await Client(third).hear()

    async def test_more_documents_than_may_be_in_memory(self) -> None:
        async with running_server(collab_rooms=1) as server:
            token = editor_token(server)
            async with join(server, "a", token) as first:
                await Client(first).say(yjs.update(HI))
                await Client(first).synced()
                async with join(server, "b", token) as second:
                    assert await Client(second).close_code() == 1013
            own = server.running.server.documents
            await until(lambda: not own.open_rooms())
            async with join(server, "b", token) as third:  # nobody has the other one open: it goes
                await Client(third).hear()
                assert own.room("a") is None
            await until(lambda: not own.open_rooms())
            assert await own.export("a") == HI


class TestKeeping:
    async def test_the_log_is_squashed_as_it_grows_and_what_is_deleted_is_collected(self, tmp_path: Path) -> None:
        path = tmp_path / "r.db"
        async with running_server(data=str(path), collab_log=4000) as server:
            ann = Editor()
            async with ann.connected(server, "r", editor_token(server)):
                most = 0
                for turn in range(600):
                    await ann.insert(0, f"[{turn:03}]" + "x" * 15)
                    if turn >= 10:
                        await ann.delete(20, len(ann.text))
                    if turn % 20 == 0:
                        await trio.sleep(0.02)
                        most = max(most, sum(map(len, stored(path))))
                await until(lambda: text_of(*stored(path)) == str(ann))
            assert most < 2 * (4000 + 600 * 20)  # a squashed document, doubled, and the limit
            assert len(stored(path)) < 600

    async def test_who_goes_last_leaves_a_document_that_is_squashed_and_out_of_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "r.db"
        async with running_server(data=str(path), collab_idle=0.05) as server:
            ann = Editor()
            own = server.running.server.documents
            for turn in range(3):
                async with ann.connected(server, "r", editor_token(server)):
                    for _ in range(20):
                        await ann.insert(0, "x")
                    await until(lambda turn=turn: len(text_of(*stored(path))) == 20 * (turn + 1))
                await until(lambda: own.room("r") is None and not own._rooms)
                assert len(stored(path)) == 1
                assert text_of(*stored(path)) == str(ann)

    async def test_a_document_that_is_deleted_is_gone_and_who_had_it_open_stays_away(self, tmp_path: Path) -> None:
        path = tmp_path / "r.db"
        async with running_server(data=str(path)) as server:
            token, own = editor_token(server), server.running.server.documents
            async with join(server, "r", token) as socket:
                ann = Client(socket)
                await ann.say(yjs.update(HI))
                await ann.synced()
                await own.delete("r")
                assert await ann.close_code() == 4404
            assert stored(path) == []
            with pytest.raises(Exception, match="no such document"):
                await own.export("r")
            async with join(server, "r", token) as socket:
                assert await Client(socket).synced() == yjs.NOTHING

    async def test_changes_are_told_once_they_are_saved(self, tmp_path: Path) -> None:
        path = tmp_path / "r.db"
        async with running_server(data=str(path), collab_saved=0.1) as server:
            operator = await server.operator()
            history = partial(operator.get, "/api/channels/changes:documents/history")
            async with join(server, "r", editor_token(server)) as socket:
                ann = Client(socket)
                await ann.say(yjs.update(HI))
                await ann.say(yjs.update(HO))
                await ann.synced()
                assert (await history()).json()["items"] == []
                items: list[Any] = []
                with trio.fail_after(5):
                    while True:
                        if items := (await history()).json()["items"]:
                            break
                        await trio.sleep(0.01)
                assert [(item["event"], item["data"]["room"], item["data"]["bytes"]) for item in items] == [
                    ("document.saved", "r", len(HI + HO))
                ]
            await trio.sleep(0.15)
            assert len((await history()).json()["items"]) == 1
        with closing(sqlite3.connect(path)) as connection, connection:  # as if it had been killed before it told
            connection.execute("UPDATE documents SET announced = 0")
        async with running_server(data=str(path)) as server:
            answer = await (await server.operator()).get("/api/channels/changes:documents/history")
            assert len(answer.json()["items"]) == 2
