"""One matrix drives everything: who × what, for reading and for writing."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.auth.grants import (
    TABLE,
    is_operator,
    may_edit,
    may_edit_all,
    may_publish,
    may_subscribe,
    may_view,
    owns_inbox,
    reads_private,
    row_of,
)
from rtlite.model import Identity, Kind, Role
from rtlite.settings import Settings

PROD = Settings()
DEV = Settings(dev=True)


def who(kind: Kind, user: str = "ann", **more: object) -> Identity:
    return Identity(kind=kind, user=user, credential="key_1", **more)  # type: ignore[arg-type]


ANONYMOUS = who(Kind.ANONYMOUS, user="")
BLOG = who(Kind.BLOG)
PROJECT = who(Kind.PROJECT)
WRITER = who(Kind.PROJECT, write=True)
STREAM = who(Kind.STREAM)
ADMIN = who(Kind.ADMIN)
USER = who(Kind.JWT)
CUSTOMER = who(Kind.JWT, role=Role.CUSTOMER)
COLLAB = who(Kind.JWT, role=Role.COLLAB)
EDITOR = who(Kind.JWT, role=Role.ADMIN)

CHANNELS = (
    "notifications:ann", "notifications:bob", "notifications:*", "article:a", "article:*", "changes:product",
    "changes:*", "jobs:j", "jobs:*", "conversation:c", "stream:s", "stream:s:errors", "free", "*",
)  # fmt: skip

READS = {
    "anonymous": (ANONYMOUS, set()),
    "blog key": (BLOG, {"notifications:ann", "article:a", "article:*"}),
    "project key": (PROJECT, {"changes:product", "changes:*", "jobs:j", "jobs:*"}),
    "writing project key": (WRITER, {"changes:product", "changes:*", "jobs:j", "jobs:*"}),
    "stream key": (STREAM, set()),
    "admin key": (ADMIN, set(CHANNELS)),
    "user": (USER, {"notifications:ann", "article:a", "article:*", "changes:product", "changes:*"}),
    "customer": (CUSTOMER, {"notifications:ann", "article:a", "article:*", "changes:product", "changes:*"}),
    "collab": (
        COLLAB,
        {"notifications:ann", "article:a", "article:*", "changes:product", "changes:*", "jobs:j", "jobs:*"},
    ),
    "editor": (
        EDITOR,
        {"notifications:ann", "article:a", "article:*", "changes:product", "changes:*", "jobs:j", "jobs:*"},
    ),
}
WRITES = {
    "writing project key": {channel for channel in CHANNELS if not channel.endswith("*")},
    "admin key": {channel for channel in CHANNELS if not channel.endswith("*")},
}


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("name", READS)
def test_reading_follows_the_contract(name, channel):
    identity, readable = READS[name]
    assert may_subscribe(identity, channel, PROD) == (channel in readable)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("name", READS)
def test_writing_follows_the_contract_and_never_takes_a_pattern(name, channel):
    identity, _ = READS[name]
    assert may_publish(identity, channel, PROD) == (channel in WRITES.get(name, set()))


@pytest.mark.parametrize("channel", CHANNELS)
def test_in_dev_a_token_reads_every_channel_but_the_notifications_of_others(channel):
    refused = {"notifications:bob", "notifications:*", "*"}
    assert may_subscribe(USER, channel, DEV) == (channel not in refused)
    assert may_publish(USER, channel, DEV) == (channel not in refused and not channel.endswith("*"))


@pytest.mark.parametrize("name", [name for name in READS if READS[name][0].kind is not Kind.JWT])
@pytest.mark.parametrize("channel", CHANNELS)
def test_dev_gives_keys_no_more_than_they_have_elsewhere(name, channel):
    identity, _ = READS[name]
    assert may_subscribe(identity, channel, DEV) == may_subscribe(identity, channel, PROD)
    assert may_publish(identity, channel, DEV) == may_publish(identity, channel, PROD)


def test_a_token_reads_and_writes_what_its_patterns_name_besides():
    token = attrs.evolve(USER, subscribe=("orders:*", "free"), publish=("orders:1",))
    assert may_subscribe(token, "orders:1", PROD)
    assert may_subscribe(token, "orders:*", PROD)
    assert may_subscribe(token, "free", PROD)
    assert not may_subscribe(token, "freely", PROD)
    assert not may_subscribe(token, "ordersx:1", PROD)
    assert may_publish(token, "orders:1", PROD)
    assert not may_publish(token, "orders:2", PROD)
    assert not may_publish(token, "free", PROD)


@pytest.mark.parametrize("name", READS)
def test_documents_are_edited_by_editors_and_the_backend_and_read_by_tokens_and_project_keys(name):
    identity, _ = READS[name]
    for settings in (PROD, DEV) if identity.kind is not Kind.JWT else (PROD,):
        assert may_edit(identity, "collab:r", settings) == (
            name in {"writing project key", "admin key", "collab", "editor"}
        )
        assert may_view(identity, "collab:r", settings) == (name not in {"anonymous", "blog key", "stream key"})


def test_a_documents_rights_follow_patterns_and_tickets():
    assert may_edit(attrs.evolve(USER, publish=("collab:r",)), "collab:r", PROD)
    assert not may_edit(attrs.evolve(USER, publish=("collab:r",)), "collab:s", PROD)
    assert may_view(attrs.evolve(BLOG, publish=("collab:*",)), "collab:s", PROD)
    assert may_edit(attrs.evolve(COLLAB, only=("collab:r",)), "collab:r", PROD)
    assert not may_view(attrs.evolve(COLLAB, only=("collab:r",)), "collab:s", PROD)


@pytest.mark.parametrize("identity", [ADMIN, WRITER, COLLAB, attrs.evolve(USER, publish=("*",))])
def test_nobody_publishes_on_the_channel_of_a_document(identity):
    assert not may_publish(identity, "collab:r", PROD)


def test_a_pattern_wider_than_the_grant_is_refused():
    token = attrs.evolve(USER, subscribe=("orders:1", "orders:2"))
    assert not may_subscribe(token, "orders:*", PROD)


@pytest.mark.parametrize("pattern", ["*", "notifications:*"])
def test_no_pattern_however_wide_opens_the_notifications_of_others(pattern):
    token = attrs.evolve(USER, subscribe=(pattern,))
    for settings in (PROD, DEV):
        assert not may_subscribe(token, "notifications:*", settings)
        assert not may_subscribe(token, "notifications:bob", settings)
        assert not may_subscribe(token, "*", settings)
        assert may_subscribe(token, "notifications:ann", settings)


def test_the_notifications_of_someone_else_can_be_granted_by_their_full_name():
    assert may_subscribe(attrs.evolve(USER, subscribe=("notifications:bob",)), "notifications:bob", PROD)


@pytest.mark.parametrize("user", ["*", ""])
@pytest.mark.parametrize("kind", [Kind.JWT, Kind.BLOG])
def test_a_user_named_like_a_pattern_or_nothing_has_no_notifications(kind, user):
    for settings in (PROD, DEV):
        assert not may_subscribe(who(kind, user=user), f"notifications:{user}", settings)


def test_a_user_with_a_colon_in_its_name_reads_its_own_notifications_only():
    token = who(Kind.JWT, user="ann:x")
    assert may_subscribe(token, "notifications:ann:x", PROD)
    assert not may_subscribe(token, "notifications:ann", PROD)
    assert not may_subscribe(USER, "notifications:ann:x", PROD)


def test_names_are_compared_exactly():
    assert not may_subscribe(who(Kind.JWT, user="Ann"), "notifications:ann", PROD)
    assert not may_subscribe(USER, "Changes:product", PROD)


def test_a_narrowed_ticket_reads_and_writes_only_within_its_patterns():
    ticket = attrs.evolve(WRITER, only=("changes:product",))
    assert may_subscribe(ticket, "changes:product", PROD)
    assert not may_subscribe(ticket, "changes:order", PROD)
    assert not may_subscribe(ticket, "changes:*", PROD)
    assert may_publish(ticket, "changes:product", PROD)
    assert not may_publish(ticket, "free", PROD)


def test_narrowing_gives_nothing_that_was_not_there_before():
    assert not may_subscribe(attrs.evolve(USER, only=("notifications:bob",)), "notifications:bob", PROD)
    assert not may_publish(attrs.evolve(USER, only=("free",)), "free", PROD)


def test_a_ticket_narrowed_to_nothing_may_nothing():
    assert not may_subscribe(attrs.evolve(ADMIN, only=()), "free", PROD)
    assert not may_publish(attrs.evolve(ADMIN, only=()), "free", PROD)


def test_only_an_admin_key_is_the_operator():
    assert is_operator(ADMIN)
    assert not any(is_operator(identity) for identity, _ in READS.values() if identity is not ADMIN)


def test_a_narrowed_ticket_of_an_admin_key_is_not_the_operator_but_reads_what_it_names():
    ticket = attrs.evolve(ADMIN, only=("notifications:bob",))
    assert not is_operator(ticket)
    assert may_subscribe(ticket, "notifications:bob", PROD)
    assert not may_subscribe(ticket, "notifications:ann", PROD)


def test_every_row_of_the_table_is_someones_and_everyone_has_a_row():
    named = {row_of(identity, settings) for identity, _ in READS.values() for settings in (PROD, DEV)}
    assert named == set(TABLE)


names = st.text(alphabet="ab*:_", min_size=1, max_size=8) | st.sampled_from(CHANNELS)
identities = st.builds(
    Identity,
    kind=st.sampled_from([kind for kind in Kind if kind is not Kind.ADMIN]),
    user=st.sampled_from(["ann", "bob", "*", ""]) | names,
    credential=st.just("key_1"),
    role=st.sampled_from(Role),
    write=st.booleans(),
    subscribe=st.lists(names, max_size=3).map(tuple),
    publish=st.lists(names, max_size=3).map(tuple),
    only=st.none() | st.lists(names, max_size=3).map(tuple),
)


@given(identities, names, st.sampled_from([PROD, DEV]))
def test_narrowing_never_widens(identity, channel, settings):
    wide = attrs.evolve(identity, only=None)
    assert may_subscribe(wide, channel, settings) or not may_subscribe(identity, channel, settings)
    assert may_publish(wide, channel, settings) or not may_publish(identity, channel, settings)


@given(identities, st.text(alphabet="abn", min_size=1, max_size=3), names, st.sampled_from([PROD, DEV]))
def test_whoever_may_read_a_pattern_may_read_every_channel_of_it(identity, kind, name, settings):
    if may_subscribe(identity, f"{kind}:*", settings):
        assert may_subscribe(identity, f"{kind}:{name}", settings)


@given(identities, st.sampled_from([PROD, DEV]))
def test_nobody_but_the_operator_reads_all_notifications(identity, settings):
    assert not may_subscribe(identity, "notifications:*", settings)
    assert not may_subscribe(identity, "*", settings)


@pytest.mark.parametrize(
    ("identity", "owns"),
    [
        (Identity(Kind.JWT, "ann", "jwt:ann"), True),
        (Identity(Kind.BLOG, "ann", "key_1"), True),
        (Identity(Kind.JWT, "ann", "jwt:ann", only=("notifications:ann",)), True),
        (Identity(Kind.JWT, "ann", "jwt:ann", only=("article:a",)), False),
        (Identity(Kind.JWT, "bob", "jwt:bob", subscribe=("notifications:ann", "*")), False),
        (Identity(Kind.JWT, "Ann", "jwt:Ann"), False),
        (Identity(Kind.PROJECT, "ann", "key_2", write=True), False),
        (Identity(Kind.ADMIN, "ann", "key_3"), False),
        (Identity(Kind.STREAM, "ann", "key_4"), False),
    ],
)
def test_an_inbox_is_owned_by_its_user_and_by_nobody_who_may_merely_read_it(identity, owns):
    assert owns_inbox(identity, "notifications:ann", Settings()) == owns
    assert not owns_inbox(identity, "article:ann", Settings())


@pytest.mark.parametrize(
    ("identity", "allowed"),
    [
        (ANONYMOUS, False),
        (BLOG, False),
        (PROJECT, False),
        (STREAM, False),
        (USER, False),
        (CUSTOMER, False),
        (attrs.evolve(USER, subscribe=("changes:*",)), False),
        (attrs.evolve(USER, subscribe=("changes:secret",)), True),
        (attrs.evolve(PROJECT, subscribe=("changes:secret",)), False),
        (COLLAB, True),
        (EDITOR, True),
        (WRITER, True),
        (ADMIN, True),
    ],
)
def test_what_is_private_is_for_the_backend_editors_and_tokens_that_name_it(identity, allowed):
    assert reads_private(identity, "changes:secret", PROD) == allowed


@pytest.mark.parametrize("identity", [COLLAB, WRITER, ADMIN, attrs.evolve(USER, subscribe=("changes:secret",))])
def test_a_narrowed_ticket_reads_what_is_private_within_its_patterns_only_whatever_key_is_beside(identity):
    ticket = attrs.evolve(identity, only=("changes:product",))
    for asker in (ticket, attrs.evolve(USER, key=ticket), attrs.evolve(ticket, key=PROJECT)):
        assert not reads_private(asker, "changes:secret", PROD)
    assert reads_private(attrs.evolve(identity, only=("changes:*",)), "changes:secret", PROD)


@pytest.mark.parametrize(
    ("identity", "rights"),
    [
        (ANONYMOUS, ""),
        (BLOG, ""),
        (STREAM, ""),
        (PROJECT, "view"),
        (USER, "view"),
        (CUSTOMER, "view"),
        (COLLAB, "view edit all"),
        (EDITOR, "view edit all"),
        (WRITER, "view edit all"),
        (ADMIN, "view edit all"),
        (attrs.evolve(USER, publish=("collab:notes",)), "view edit"),
        (attrs.evolve(USER, publish=("collab:*",)), "view edit all"),
        (attrs.evolve(USER, publish=("collab:other",)), "view"),
        (attrs.evolve(ADMIN, only=("collab:notes",)), "view edit"),
        (attrs.evolve(ADMIN, only=("collab:*",)), "view edit all"),
        (attrs.evolve(COLLAB, only=("article:a",)), ""),
    ],
)
def test_who_may_view_and_edit_a_document_and_who_all(identity, rights):
    found = [may_view(identity, "collab:notes", PROD), may_edit(identity, "collab:notes", PROD)]
    found.append(may_edit_all(identity, PROD))
    assert " ".join(name for name, may in zip(("view", "edit", "all"), found, strict=True) if may) == rights
