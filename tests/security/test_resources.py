"""Who may do what with records, models, jobs, inboxes and documents: every credential, over REST and GraphQL.

As the matrix of channels (``test_matrix.py``), it is written by hand from the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
import pytest

from tests.security.graphql import code_of
from tests.security.test_matrix import (
    _OF_CODE,
    _OF_STATUS,
    ALLOWED,
    DOORS,
    FORBIDDEN,
    NOBODY,
    SOME_NOBODY,
    UNAUTHORIZED,
    Stage,
    connected,
    outcome_of,
    presented,
    set_up,
)
from tests.security.test_matrix import RIGHTS as MATRIX

# r: reads; w: changes. The model secret is private. One job is ann's, one is bob's; so are the inboxes. "all jobs" is the
# list of everybody's, "jobs" that of one's own; "backend" is what only the backend does; "documents" is the list of them. A private
# model is open to a token that names it, and to none by a wide pattern. Who reads an inbox may not thereby say what is read
# in it.
TABLE: Final = """
                           product secret backend jobs all-jobs own-job bobs-job own-inbox bobs-inbox document documents
blog key                    -       -      -      -    -        -       -        rw        -     -        -
project key                 r       -      -      r    r        r       r        -         -     r        -
project key, write          rw      rw     rw     rw   r        rw      rw       rw        rw    rw       r
stream key                  -       -      -      -    -        -       -        -         -     -        -
admin key                   rw      rw     rw     rw   r        rw      rw       rw        rw    rw       r
token, user                 r       -      -      r    -        r       -        rw        -     r        -
token, customer             r       -      -      r    -        r       -        rw        -     r        -
token, collab               r       r      -      r    r        r       r        rw        -     rw       r
token, admin                r       r      -      r    r        r       r        rw        -     rw       r
token, some patterns        r       r      -      r    -        r       -        rw        r     r        -
token, all of others:*      r       -      -      r    -        r       -        rw        -     r        -
token, everything           r       -      -      r    r        r       r        rw        -     rw       r
ticket, blog key            -       -      -      -    -        -       -        rw        -     -        -
ticket, project key         r       -      -      r    r        r       r        -         -     r        -
ticket, stream key          -       -      -      -    -        -       -        -         -     -        -
ticket, admin key           rw      rw     rw     rw   r        rw      rw       rw        rw    rw       r
ticket, token               r       -      -      r    -        r       -        rw        -     r        -
ticket for an article       -       -      -      -    -        -       -        -         -     -        -
"""


def rights(table: str) -> dict[str, dict[str, str]]:
    head, *rows = table.strip().splitlines()
    columns = head.split()
    return {row[:25].strip(): dict(zip(columns, row[25:].split(), strict=True)) for row in rows}


RIGHTS: Final = rights(TABLE)


@attrs.frozen
class Deed:
    """Something that one may do, as REST and as GraphQL have it; ``{…}`` are ids that the stage knows."""

    column: str
    right: str
    method: str
    path: str
    body: Any = None
    graphql: str = ""

    def expected(self, credential: str) -> str:
        if credential in NOBODY:
            return UNAUTHORIZED
        return ALLOWED if self.right in RIGHTS[credential][self.column] else FORBIDDEN


def of_records(model: str) -> Iterator[Deed]:
    key, id = f'modelKey: "{model}"', f'modelKey: "{model}", id: "{{{model}}}"'
    path = f"/records/{model}/{{{model}}}"
    yield Deed(model, "r", "GET", f"/records/{model}", None, f"query {{ records({key}) {{ nodes {{ id }} }} }}")
    yield Deed(model, "r", "GET", path, None, f"query {{ record({id}) {{ id }} }}")
    yield Deed(
        model, "r", "GET", f"{path}/versions", None, f"query {{ recordVersions({id}) {{ nodes {{ version }} }} }}"
    )
    yield Deed(
        model,
        "w",
        "POST",
        f"/records/{model}",
        {"data": {}},
        f"mutation {{ createRecord({key}, data: {{}}) {{ id }} }}",
    )
    yield Deed(
        model, "w", "PATCH", path, {"data": {"a": 1}}, f"mutation {{ updateRecord({id}, data: {{a: 2}}) {{ id }} }}"
    )
    yield Deed(
        model, "w", "PUT", path, {"data": {"b": 1}}, f"mutation {{ replaceRecord({id}, data: {{b: 2}}) {{ id }} }}"
    )
    yield Deed(model, "w", "POST", f"{path}/publish", None, f"mutation {{ publishRecord({id}) {{ id }} }}")
    yield Deed(model, "w", "POST", f"{path}/unpublish", None, f"mutation {{ unpublishRecord({id}) {{ id }} }}")
    yield Deed(model, "w", "DELETE", path, None, f"mutation {{ deleteRecord({id}) {{ id }} }}")


def of_job(column: str) -> Iterator[Deed]:
    id = f'id: "{{{column}}}"'
    yield Deed(column, "r", "GET", f"/jobs/{{{column}}}", None, f"query {{ job({id}) {{ id }} }}")
    yield Deed(
        column,
        "w",
        "PATCH",
        f"/jobs/{{{column}}}",
        {"progress": 1},
        f"mutation {{ updateJob({id}, progress: 2) {{ id }} }}",
    )


def of_inbox(column: str, user: str) -> Iterator[Deed]:
    note = f"{{{column}}}"
    listed = f'query {{ notifications(userId: "{user}") {{ nodes {{ id }} }} }}'
    yield Deed(column, "r", "GET", f"/notifications?userId={user}", None, listed)
    yield Deed(
        column,
        "r",
        "GET",
        f"/notifications?userId={user}&unread=true",
        None,
        f'query {{ unreadCount(userId: "{user}") }}',
    )
    read = f'mutation {{ markNotificationRead(id: "{note}", userId: "{user}") {{ id }} }}'
    all_read = f'mutation {{ markAllNotificationsRead(userId: "{user}") }}'
    yield Deed(column, "w", "POST", f"/notifications/{note}/read?userId={user}", None, read)
    yield Deed(column, "w", "POST", f"/notifications/read-all?userId={user}", None, all_read)


DEEDS: Final = (
    *of_records("product"),
    *of_records("secret"),
    Deed("backend", "r", "GET", "/models", None, "query { models { nodes { key } } }"),
    Deed("backend", "r", "GET", "/models/secret"),
    Deed("backend", "w", "PUT", "/models/another", {"private": False}),
    Deed("backend", "w", "DELETE", "/models/another"),
    Deed("jobs", "r", "GET", "/jobs", None, "query { jobs { nodes { id } } }"),
    Deed("all-jobs", "r", "GET", "/jobs?userId=bob", None, 'query { jobs(userId: "bob") { nodes { id } } }'),
    Deed("jobs", "w", "POST", "/jobs", {"type": "t"}, 'mutation { createJob(type: "t", userId: "ann") { id } }'),
    *of_job("own-job"),
    *of_job("bobs-job"),
    *of_inbox("own-inbox", "ann"),
    *of_inbox("bobs-inbox", "bob"),
    Deed("documents", "r", "GET", "/collab"),
    *(Deed("document", "r", "GET", f"/collab/r{part}") for part in ("", "/document", "/snapshots")),
    *(Deed("document", "r", "GET", f"/collab/r/snapshots/{{document}}{part}") for part in ("", "/document")),
    Deed("document", "w", "POST", "/collab/r/snapshots"),
    Deed("document", "w", "POST", "/collab/r/snapshots/{document}/restore"),
    Deed("backend", "w", "POST", "/notifications", {"userId": "ann", "type": "t", "title": "T"},
         'mutation { createNotification(userId: "ann", type: "t", title: "T") { id } }'),
)  # fmt: skip


@attrs.frozen
class Scenery:
    """The stage, and the things on it."""

    stage: Stage
    ids: dict[str, str]

    def fresh(self, deed: Deed) -> dict[str, str]:
        """The ids, with a record of its own for who may delete it."""
        if deed.right == "w" and deed.column in {"product", "secret"}:
            return self.ids | {deed.column: self.make(f"/records/{deed.column}", data={"n": 1})}
        return self.ids

    def make(self, path: str, **body: Any) -> str:
        answer = self.stage.scene.request("POST", path, body)
        assert answer.status == 201, answer.body
        return str(answer.json["id"])


@pytest.fixture(scope="module")
def scenery() -> Iterator[Scenery]:
    with set_up() as stage:
        scenery = Scenery(stage, {})
        for model in ("secret", "hidden"):  # no token names the second
            assert stage.scene.request("PUT", f"/models/{model}", {"private": True}).status in {200, 201}
        for model in ("product", "secret"):
            scenery.ids[model] = scenery.make(f"/records/{model}", data={"n": 1})
        for name, user in (("own", "ann"), ("bobs", "bob")):
            scenery.ids[f"{name}-job"] = scenery.make("/jobs", type="t", userId=user)
            scenery.ids[f"{name}-inbox"] = scenery.make("/notifications", userId=user, type="t", title="T")
        written = {"Content_Type": "application/json"}
        assert stage.scene.request("PUT", "/collab/r/document", {"t": "x"}, **written).status == 204
        scenery.ids["document"] = scenery.make("/collab/r/snapshots")
        yield scenery


def filled(text: str, ids: dict[str, str]) -> str:
    for name, id in ids.items():
        text = text.replace(f"{{{name}}}", id)
    return text


def over_rest(scenery: Scenery, credential: str) -> Iterator[tuple[Deed, str]]:
    stage = scenery.stage
    for number, deed in enumerate(DEEDS):
        target, headers = presented(filled(deed.path, scenery.fresh(deed)), stage.secret(credential), number)
        answer = stage.scene.request(deed.method, target, deed.body, **headers)
        yield deed, ALLOWED if answer.status == 204 else _OF_STATUS[answer.status]


def over_graphql(scenery: Scenery, credential: str) -> Iterator[tuple[Deed, str]]:
    stage = scenery.stage
    for number, deed in enumerate(DEEDS):
        if deed.graphql:
            target, headers = presented("/graphql", stage.secret(credential), number)
            body = {"query": filled(deed.graphql, scenery.fresh(deed))}
            answer = stage.scene.request("POST", target, body, Content_Type="application/json", **headers)
            yield deed, outcome_of(answer)


def over_a_graphql_socket(scenery: Scenery, credential: str) -> Iterator[tuple[Deed, str]]:
    for number in (0, 1):
        with connected(scenery.stage, credential, number) as socket:
            for deed in DEEDS:
                if isinstance(socket, str):
                    yield deed, socket
                elif deed.graphql:
                    answer = socket.ask("x", filled(deed.graphql, scenery.fresh(deed)))
                    yield deed, _OF_CODE[code_of(answer)]


WAYS: Final[dict[str, Callable[[Scenery, str], Iterator[tuple[Deed, str]]]]] = {
    "REST": over_rest, "GraphQL": over_graphql, "GraphQL over a WebSocket": over_a_graphql_socket,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_a_thing_lets_in_whom_the_contract_names_and_nobody_else(way: str, scenery: Scenery) -> None:
    for credential in (*RIGHTS, *NOBODY):
        done = list(WAYS[way](scenery, credential))
        assert len(done) >= 25
        wrong = [(deed, came) for deed, came in done if came != deed.expected(credential)]
        assert wrong == [], credential


# The channels of the same things, at every door of the matrix: while a model is private, a pattern over all is for
# those who may read it.
CHANNELS_TABLE: Final = """
                           changes:product changes:secret changes:* own-job bobs-job jobs:*
blog key                    -               -              -         -       -        -
project key                 r               -              -         r       r        r
project key, write          rw              rw             r         rw      rw       r
stream key                  -               -              -         -       -        -
admin key                   rw              rw             r         rw      rw       r
token, user                 r               -              -         r       -        -
token, customer             r               -              -         r       -        -
token, collab               r               r              r         r       r        r
token, admin                r               r              r         r       r        r
token, some patterns        r               r              -         r       -        -
token, all of others:*      r               -              -         r       -        -
token, everything           rw              w              -         rw      rw       r
ticket, blog key            -               -              -         -       -        -
ticket, project key         r               -              -         r       r        r
ticket, stream key          -               -              -         -       -        -
ticket, admin key           rw              rw             r         rw      rw       r
ticket, token               r               -              -         r       -        -
ticket for an article       -               -              -         -       -        -
"""
CHANNEL_RIGHTS: Final = rights(CHANNELS_TABLE)


@pytest.mark.parametrize("door", DOORS)
def test_at_each_door_private_models_and_jobs_of_others_are_closed(door: str, scenery: Scenery) -> None:
    def named(column: str) -> str:
        return f"jobs:{scenery.ids[column]}" if column.endswith("-job") else column

    own = {row: {named(column): cell for column, cell in cells.items()} for row, cells in CHANNEL_RIGHTS.items()}
    table = {row: MATRIX[row] | cells for row, cells in own.items()}
    channels = [channel for channel in own["admin key"] if DOORS[door].channels(channel)]
    for credential in (*RIGHTS, *SOME_NOBODY):
        expected = {channel: DOORS[door].expected(credential, channel, table) for channel in channels}
        assert DOORS[door].ask(scenery.stage, credential, channels) == expected, credential
