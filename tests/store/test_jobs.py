"""Jobs' rows: pages, what goes, and that nothing of it walks through them all."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import attrs
import pytest

from rtlite.store import jobs, schema
from rtlite.store.jobs import Job
from tests.store.plans import plans, walks


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        yield connection


def add(connection, *ids, **fields):
    for id in ids:
        jobs.insert(connection, Job(id, "import", **fields))


def listed(connection, user=None, status=None, before=2**62, limit=100):
    found, more = jobs.page(connection, user, status, before, limit)
    return [job.id for job in found], more


def test_a_job_comes_back_as_it_was_stored(connection):
    job = Job("a", "import", "running", 40, "ann", b'{"x":1}', "none yet", 1, 2)
    jobs.insert(connection, job)
    jobs.insert(connection, Job("b", "export", progress=12.5))
    assert jobs.find(connection, "a") == job
    assert jobs.find(connection, "b").progress == 12.5
    assert jobs.find(connection, "A") is None


def test_whole_progress_stays_a_whole_number(connection):
    add(connection, "a", progress=40.0)
    assert str(jobs.find(connection, "a").progress) == "40"


def test_what_changes_is_stored_and_nothing_else(connection):
    add(connection, "a", "b", user="ann")
    changed = Job("a", "another type", "failed", 7, "another user", b"1", "why", 99, 5)
    jobs.change(connection, changed)
    assert jobs.find(connection, "a") == attrs.evolve(changed, type="import", user="ann", created=0)
    assert jobs.find(connection, "b") == Job("b", "import", user="ann")


def test_a_job_belongs_to_its_user_alone(connection):
    add(connection, "a", user="ann")
    add(connection, "b")
    assert jobs.belongs_to(connection, "a", "ann")
    for id, user in (("a", "bob"), ("a", "Ann"), ("b", "ann"), ("b", ""), ("c", "ann")):
        assert not jobs.belongs_to(connection, id, user)


def test_pages_go_from_the_newest_to_the_oldest(connection):
    add(connection, "a", "b", "c", "d")
    assert listed(connection, limit=2) == (["d", "c"], True)
    assert listed(connection, before=jobs.find(connection, "c").number, limit=2) == (["b", "a"], False)


def test_pages_are_of_one_user_and_one_status(connection):
    add(connection, "a", "b", user="ann")
    add(connection, "c", user="bob")
    add(connection, "d")
    jobs.change(connection, Job("a", "import", "running"))
    jobs.change(connection, Job("c", "import", "running"))
    assert listed(connection, user="ann") == (["b", "a"], False)
    assert listed(connection, status="running") == (["c", "a"], False)
    assert listed(connection, user="ann", status="running") == (["a"], False)
    assert listed(connection, user="nobody") == ([], False)


def test_a_page_of_large_results_is_cut_and_has_one_job_at_least(connection, monkeypatch):
    monkeypatch.setattr(jobs, "PAGE_BYTES", 5)
    for id, result in (("a", b'"123456"'), ("b", b"1"), ("c", b"1234"), ("d", b"1")):
        add(connection, id, result=result)
    assert listed(connection) == (["d", "c"], True)
    assert listed(connection, before=jobs.find(connection, "c").number) == (["b"], True)
    assert listed(connection, before=jobs.find(connection, "b").number) == (["a"], False)


def test_jobs_that_nobody_touched_go_whatever_their_status(connection, monkeypatch):
    monkeypatch.setattr(jobs, "STEP", 2)
    for number, status in enumerate(jobs.STATUSES):
        add(connection, status, status=status, updated=number)
    assert jobs.forget_untouched(connection, 3) == ["pending", "running"]
    assert jobs.forget_untouched(connection, 3) == ["completed"]
    assert jobs.forget_untouched(connection, 3) == []
    assert listed(connection) == (["cancelled", "failed"], False)


def test_of_those_that_are_over_the_first_to_end_go_and_no_others(connection, monkeypatch):
    monkeypatch.setattr(jobs, "STEP", 2)
    add(connection, "pending", "running")
    add(connection, "a", "b", "c", "d", "e", status="failed", updated=7)  # in the same millisecond
    last = jobs.last_kept(connection, 2)
    assert sorted(jobs.forget_ended(connection, last)) == ["a", "b"]
    assert jobs.forget_ended(connection, last) == ["c"]
    assert jobs.forget_ended(connection, last) == []
    assert listed(connection) == (["e", "d", "running", "pending"], False)
    assert jobs.last_kept(connection, 2) is None
    assert jobs.last_kept(connection, 0) is not None


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda it: jobs.find(it, "a"), "sqlite_autoindex_jobs_1 (id=?)"),
        (lambda it: jobs.belongs_to(it, "a", "ann"), "sqlite_autoindex_jobs_1 (id=?)"),
        (lambda it: jobs.change(it, Job("a", "import")), "sqlite_autoindex_jobs_1 (id=?)"),
        (lambda it: jobs.page(it, None, None, 9, 9), "INTEGER PRIMARY KEY (rowid<?)"),
        (lambda it: jobs.page(it, "ann", None, 9, 9), "jobs_by_user (user=? AND rowid<?)"),
        (lambda it: jobs.page(it, None, "failed", 9, 9), "jobs_by_status (status=? AND rowid<?)"),
        (lambda it: jobs.page(it, "ann", "failed", 9, 9), "jobs_by_user_and_status (user=? AND status=? AND rowid<?)"),
        (lambda it: jobs.forget_untouched(it, 9), "jobs_by_age (updated<?)"),
        (lambda it: jobs.last_kept(it, 9), "jobs_by_end (ended>?)"),
        (lambda it: jobs.forget_ended(it, (9, 9)), "jobs_by_end"),
    ],
)
def test_an_index_finds_whatever_is_asked_for(connection, ask, index):
    add(connection, "a", "b", user="ann")
    steps = plans(connection, lambda: ask(connection))
    assert any(index in step for step in steps), steps
    assert not walks(steps), steps
