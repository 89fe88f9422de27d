"""Documents and snapshots over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pycrdt
import pytest
import trio

from tests.editors import Editor
from tests.servers import InProcess, running_server
from tests.transports.doors import serving

TEXT = {"Content-Type": "text/plain"}
UPDATE = {"Content-Type": "application/octet-stream"}
DOCUMENT = "/collab/r/document"


@pytest.fixture
async def server() -> AsyncIterator[InProcess]:
    async with serving() as server:
        yield server


@pytest.fixture
async def ed(server: InProcess) -> httpx.AsyncClient:
    return server.http(server.token("ed", role="collab"))


def hi() -> bytes:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc["t"] = pycrdt.Text("hi")
    return doc.get_update()


async def read(client: httpx.AsyncClient, path: str = DOCUMENT, **query: str) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json() if answer.headers["content-type"] == "application/json" else answer.content


# --- rooms


async def test_the_documents_are_listed_in_pages_with_how_many_have_each_open(
    server: InProcess, ed: httpx.AsyncClient
) -> None:
    for room in ("b", "a", "c"):
        assert (await ed.put(f"/collab/{room}/document", content=hi(), headers=UPDATE)).status_code == 204
    editor = Editor()
    async with editor.connected(server, "b", server.token("ann", role="collab")):
        first = (await ed.get("/collab?limit=2")).json()
        assert [(item["room"], item["connections"]) for item in first["items"]] == [("a", 0), ("b", 1)]
        assert list(first["items"][0]) == ["room", "bytes", "createdAt", "updatedAt", "connections"]
        assert first["next"] == "b"
        rest = (await ed.get("/collab?after=b")).json()
        assert ([item["room"] for item in rest["items"]], rest["next"]) == (["c"], None)


async def test_who_has_a_document_open_is_told_with_what_each_says_of_itself(
    server: InProcess, ed: httpx.AsyncClient
) -> None:
    reader = server.http(await server.key("project", "page"))
    assert (await reader.get("/collab/r")).status_code == 404
    async with server.websocket("/collab/r", server.token("ann", role="collab")) as socket:
        state = pycrdt.Awareness(pycrdt.Doc(client_id=7))
        state.set_local_state({"user": {"name": "Ann"}})
        await socket.send_message(pycrdt.create_awareness_message(state.encode_awareness_update([7])))
        with trio.fail_after(5):
            while True:
                answer = (await reader.get("/collab/r")).json()
                if answer.get("connections", [{}])[0].get("awareness"):
                    break
        (connection,) = answer["connections"]
        assert (answer["room"], answer["bytes"]) == ("r", 0)
        assert (connection["user"], connection["write"]) == ("ann", True)
        assert connection["awareness"] == [{"client": 7, "state": {"user": {"name": "Ann"}}}]


async def test_a_deleted_document_is_gone_with_its_snapshots_and_who_has_it_open_is_closed(
    server: InProcess, ed: httpx.AsyncClient
) -> None:
    await ed.put(DOCUMENT, content=hi(), headers=UPDATE)
    assert (await ed.post("/collab/r/snapshots")).status_code == 201
    async with server.websocket("/collab/r", server.token("ann")) as socket:
        assert (await ed.delete("/collab/r")).status_code == 204
        with trio.fail_after(5), pytest.raises(Exception, match="4404"):
            while True:
                await socket.get_message()
    for path in ("/collab/r", DOCUMENT, "/collab/r/snapshots"):
        assert (await ed.get(path)).status_code == 404
    assert (await ed.delete("/collab/r")).status_code == 404


# --- what is in them


async def test_a_document_is_read_as_json_text_xml_and_update(ed: httpx.AsyncClient) -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc["t"] = pycrdt.Text("hi <b>")
    doc["m"] = pycrdt.Map({"k": [1, None]})
    doc["x"] = pycrdt.XmlFragment([pycrdt.XmlElement("p", {}, [pycrdt.XmlText("one")])])
    await ed.put(DOCUMENT, content=doc.get_update(), headers=UPDATE)
    assert await read(ed) == {"m": {"k": [1, None]}, "t": "hi <b>", "x": "<p>one</p>"}
    assert await read(ed, format="text") == b"hi <b>"
    assert await read(ed, format="xml", name="x") == b"<p>one</p>"
    copy: pycrdt.Doc[Any] = pycrdt.Doc()
    copy.apply_update(await read(ed, format="update"))
    assert str(copy.get("t", type=pycrdt.Text)) == "hi <b>"
    for accept, media in {
        "*/*": "application/json",
        "text/plain": "text/plain; charset=utf-8",
        "application/xml, text/plain": "application/xml; charset=utf-8",
        "application/octet-stream": "application/octet-stream",
        "text/*;q=0.5": "text/plain; charset=utf-8",
    }.items():
        answer = await ed.get(DOCUMENT, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, media)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert (await ed.get(DOCUMENT, headers={"Accept": "image/png"})).status_code == 406
    assert (await ed.get(DOCUMENT, params={"format": "pdf"})).status_code == 400
    assert (await ed.get(DOCUMENT, params={"format": "text", "name": "m"})).status_code == 409


async def test_an_import_reaches_those_who_have_the_document_open(server: InProcess, ed: httpx.AsyncClient) -> None:
    editor = Editor()
    async with editor.connected(server, "r", server.token("ann", role="collab")):
        await editor.insert(0, "one two three")
        with trio.fail_after(5):
            while (await ed.get(DOCUMENT)).json() != {"t": "one two three"}:
                pass
        assert (await ed.put(f"{DOCUMENT}?name=t", content="one 2 three", headers=TEXT)).status_code == 204
        await editor.says("one 2 three")
        assert (await ed.put(DOCUMENT, json={"t": "four", "tags": ["x"]})).status_code == 204
        await editor.says("four")
        assert (await ed.put(f"{DOCUMENT}?name=tags", json=["x", "y"])).status_code == 204
    assert await read(ed) == {"t": "four", "tags": ["x", "y"]}


@pytest.mark.parametrize(
    ("headers", "content", "query", "status", "code"),
    [
        (UPDATE, b"\xff", "", 400, "invalid_request"),
        (UPDATE, b"", "", 400, "invalid_request"),
        (TEXT, b"\xff", "?name=t", 400, "invalid_request"),
        (TEXT, b"hi", "", 400, "invalid_request"),
        ({"Content-Type": "application/json"}, b"{", "", 400, "invalid_json"),
        ({"Content-Type": "application/json"}, b"[]", "", 400, "invalid_request"),
        ({"Content-Type": "application/json"}, b'{"t":5}', "", 400, "invalid_request"),
        ({"Content-Type": "application/json"}, b'{"t":[]}', "", 409, "another_type"),
        ({"Content-Type": "application/json"}, b"[" * 500 + b"]" * 500, "?name=a", 400, "invalid_request"),
        ({"Content-Type": "text/html"}, b"hi", "", 415, "unsupported_media_type"),
        ({}, b"hi", "", 415, "unsupported_media_type"),
    ],
)
async def test_what_cannot_be_imported_changes_nothing(
    ed: httpx.AsyncClient, headers: dict[str, str], content: bytes, query: str, status: int, code: str
) -> None:
    await ed.put(DOCUMENT, content=hi(), headers=UPDATE)
    refused = await ed.put(f"{DOCUMENT}{query}", content=content, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    assert await read(ed) == {"t": "hi"}


async def test_a_document_that_is_too_large_is_refused() -> None:
    async with serving(collab_document=1000, collab_log=100) as server:
        ed = server.http(server.token("ed", role="collab"))
        for size, status in ((900, 204), (1100, 413)):
            answer = await ed.put(f"{DOCUMENT}?name=t", content="x" * size, headers=TEXT)
            assert answer.status_code == status
        assert len((await read(ed))["t"]) == 900


@pytest.mark.parametrize("room", ["info", "*", "a b", "é", "x" * 249])
async def test_what_can_be_no_rooms_name_is_refused(ed: httpx.AsyncClient, room: str) -> None:
    refused = await ed.put(f"/collab/{room}/document", content=hi(), headers=UPDATE)
    assert refused.status_code in {400, 403}, refused.text


# --- snapshots


async def test_a_snapshot_is_kept_listed_read_and_deleted(ed: httpx.AsyncClient) -> None:
    assert (await ed.post("/collab/r/snapshots")).status_code == 404
    await ed.put(f"{DOCUMENT}?name=t", content="one", headers=TEXT)
    made = await ed.post("/collab/r/snapshots", json={"name": "first"})
    assert made.status_code == 201
    first = made.json()
    assert list(first) == ["id", "name", "user", "bytes", "createdAt"]
    assert (first["name"], first["user"]) == ("first", "ed")
    await ed.put(f"{DOCUMENT}?name=t", content="two", headers=TEXT)
    second = (await ed.post("/collab/r/snapshots")).json()
    page = (await ed.get("/collab/r/snapshots?limit=1")).json()
    assert page == {"items": [first], "next": first["id"]}
    assert (await ed.get(f"/collab/r/snapshots?after={first['id']}")).json() == {"items": [second], "next": None}
    assert (await ed.get(f"/collab/r/snapshots/{first['id']}")).json() == first
    assert await read(ed, f"/collab/r/snapshots/{first['id']}/document") == {"t": "one"}
    assert await read(ed, f"/collab/r/snapshots/{second['id']}/document", format="text") == b"two"
    assert (await ed.delete(f"/collab/r/snapshots/{first['id']}")).status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/document"), ("POST", "/restore")):
        assert (await ed.request(method, f"/collab/r/snapshots/{first['id']}{path}")).status_code == 404
    await ed.put("/collab/other/document", content=hi(), headers=UPDATE)
    assert (await ed.get(f"/collab/other/snapshots/{second['id']}")).status_code == 404


async def test_a_restored_snapshot_reaches_those_who_have_the_document_open_and_they_go_on(
    server: InProcess, ed: httpx.AsyncClient
) -> None:
    ann, bob = Editor(), Editor()
    token = server.token("ann", role="collab")
    async with ann.connected(server, "r", token), bob.connected(server, "r", token):
        await ann.insert(0, "as it was")
        await bob.says("as it was")
        id = (await ed.post("/collab/r/snapshots")).json()["id"]
        await ann.delete(2, 9)
        await ann.insert(2, " is new")
        await bob.says("as is new")
        assert (await ed.post(f"/collab/r/snapshots/{id}/restore")).status_code == 204
        await ann.says("as it was")
        await bob.says("as it was")
        await bob.insert(9, ", and is")
        await ann.says("as it was, and is")
        assert (await ed.post(f"/collab/r/snapshots/{id}/restore")).status_code == 204
        await ann.says("as it was")
    late = Editor()
    async with late.connected(server, "r", token):
        await late.says("as it was")


@pytest.mark.parametrize("limits", [{"collab_snapshots": 2}, {"collab_snapshot_bytes": 260}])
async def test_snapshots_are_kept_up_to_a_number_and_a_size(limits: dict[str, int]) -> None:
    async with running_server(**limits) as server:
        ed = server.http(server.token("ed", role="collab"))
        await ed.put(f"{DOCUMENT}?name=t", content="x" * 100, headers=TEXT)
        made = [await ed.post("/collab/r/snapshots") for _ in range(3)]
        assert [answer.status_code for answer in made] == [201, 201, 409]
        assert made[2].json()["code"] == "too_many_snapshots"
        await ed.delete(f"/collab/r/snapshots/{made[0].json()['id']}")
        assert (await ed.post("/collab/r/snapshots")).status_code == 201


async def test_a_snapshots_name_is_a_text_of_200_characters_at_most(ed: httpx.AsyncClient) -> None:
    await ed.put(DOCUMENT, content=hi(), headers=UPDATE)
    for name in ("x" * 201, 5):
        assert (await ed.post("/collab/r/snapshots", json={"name": name})).status_code == 400


# --- rights


async def test_readers_read_writers_write_and_who_may_edit_all_lists_and_deletes(
    server: InProcess, ed: httpx.AsyncClient
) -> None:
    await ed.put(f"{DOCUMENT}?name=t", content="x", headers=TEXT)
    snapshots = "/collab/r/snapshots"
    id = (await ed.post(snapshots)).json()["id"]
    readings = [("GET", path) for path in ("/collab/r", DOCUMENT, snapshots, f"{snapshots}/{id}")]
    writings = [("PUT", f"{DOCUMENT}?name=t"), ("POST", snapshots), ("POST", f"{snapshots}/{id}/restore")]
    for who, levels in {
        server.token("ann"): "r",
        await server.key("project", "page"): "r",
        await server.key("blog", "ann"): "",
        await server.key("stream", "ann"): "",
        server.token("ann", publish=["collab:r"]): "rw",
        server.token("ann", publish=["collab:other"]): "r",
        server.token("ann", publish=["collab:*"]): "rwa",
        server.token("ann", role="admin"): "rwa",
        await server.key("project", "app", write=True): "rwa",
        await server.key("admin", "root"): "rwa",
    }.items():
        client = server.http(who)
        spare = (await ed.post(snapshots)).json()["id"]
        await ed.put("/collab/spare/document?name=t", content="x", headers=TEXT)
        deeds = [("GET", "/collab"), ("DELETE", f"{snapshots}/{spare}"), ("DELETE", "/collab/spare")]
        for level, asked in (("r", readings), ("w", writings), ("a", deeds)):
            for method, path in asked:
                content = {"content": "x", "headers": TEXT} if method == "PUT" else {}
                status = (await client.request(method, path, **content)).status_code
                assert (status < 300) == (level in levels) and status in {200, 201, 204, 403}, (levels, method, path)
    assert (await server.http().get(DOCUMENT)).status_code == 401
