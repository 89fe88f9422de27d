"""A document's rows: a log that is appended to, replaced, read and found damaged."""

import sqlite3
from contextlib import closing

import pytest

from rtlite.store import documents, schema
from rtlite.store.documents import Log


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        yield connection


def test_updates_come_back_in_their_order(connection):
    id = documents.append(connection, "r", 0, Log([b"a", b"bc"]), 1000)
    assert documents.append(connection, "r", 2, Log([b"def"]), 2000) == id
    documents.append(connection, "other", 0, Log([b"x"]), 1)
    document, updates = documents.load(connection, "r")
    assert updates == Log([b"a", b"bc", b"def"], [])
    assert (document.top, document.bytes, document.squashed, document.created, document.updated) == (
        3,
        6,
        0,
        1000,
        2000,
    )
    assert documents.load(connection, "nothing") == (None, Log([]))


def test_each_change_has_a_later_time_than_the_one_before_also_where_the_clock_stands(connection):
    for top in range(3):
        documents.append(connection, "r", top, Log([b"a"]), 1000)
    assert documents.find(connection, "r").updated == 1002


def test_what_is_replaced_stands_before_what_came_meanwhile(connection):
    id = documents.append(connection, "r", 0, Log([b"a", b"b", b"c"]), 1)
    documents.append(connection, "r", 3, Log([b"new"]), 2)
    assert documents.replace(connection, id, 3, Log([b"abc"], [b"waits"])) == 8
    document, updates = documents.load(connection, "r")
    assert updates == Log([b"abc", b"new"], [b"waits"])
    assert (document.bytes, document.squashed, document.top) == (11, 8, 4)
    documents.append(connection, "r", 4, Log([b"more"]), 3)
    assert documents.load(connection, "r")[1].updates[-1] == b"more"


def test_a_document_that_was_deleted_meanwhile_is_not_replaced(connection):
    id = documents.append(connection, "r", 0, Log([b"a"]), 1)
    assert documents.delete(connection, "r") and not documents.delete(connection, "r")
    assert documents.replace(connection, id, 1, Log([b"a"])) == 0
    assert documents.append(connection, "r", 0, Log([b"b"]), 1) != id
    assert documents.load(connection, "r")[1].updates == [b"b"]


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM document_updates WHERE number = 1",
        "UPDATE document_updates SET data = x''",
        "UPDATE document_updates SET data = x'62' WHERE number = 1",
        "UPDATE document_updates SET data = 'a' WHERE number = 1",
        "UPDATE document_updates SET number = 3 - number + 10",
        "UPDATE documents SET top = 1",
    ],
)
def test_rows_that_are_gone_or_not_what_was_stored_are_noticed(connection, harm):
    documents.append(connection, "r", 0, Log([b"a", b"b"]), 1)
    connection.execute(harm)
    with pytest.raises(documents.Damaged):
        documents.load(connection, "r")


def test_pages_go_by_name(connection):
    for room in "bca":
        documents.append(connection, room, 0, Log([b"x"]), 1)
    assert [document.room for document in documents.page(connection, "", 2)] == ["a", "b"]
    assert [document.room for document in documents.page(connection, "b", 2)] == ["c"]


def test_what_was_not_announced_is_found(connection):
    id = documents.append(connection, "r", 0, Log([b"a"]), 1)
    assert [document.room for document in documents.unannounced(connection, 10)] == ["r"]
    documents.set_announced(connection, id)
    assert documents.unannounced(connection, 10) == []
    documents.append(connection, "r", 1, Log([b"b"]), 1)
    assert [document.room for document in documents.unannounced(connection, 10)] == ["r"]
