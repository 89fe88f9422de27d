import pytest

from rtlite.auth.tickets import Tickets
from rtlite.errors import InvalidRequest
from rtlite.model import Identity, Kind

ANN = Identity(kind=Kind.BLOG, user="ann", credential="key_a")
BOB = Identity(kind=Kind.BLOG, user="bob", credential="key_b")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_ticket_stands_for_its_identity_once():
    tickets = Tickets(30)
    secret = tickets.issue(ANN)
    assert secret.startswith("tkt_")
    assert tickets.redeem(secret) == ANN
    assert tickets.redeem(secret) is None


def test_tickets_hold_256_bits_and_are_never_the_same():
    tickets = Tickets(30)
    secrets = {tickets.issue(ANN) for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(secret) == len("tkt_") + 43 for secret in secrets)


def test_a_ticket_is_refused_from_its_lifetime_on():
    clock = Clock()
    tickets = Tickets(30, clock=clock)
    early, late = tickets.issue(ANN), tickets.issue(ANN)
    clock.seconds = 29.9
    assert tickets.redeem(early) == ANN
    clock.seconds = 30
    assert tickets.redeem(late) is None


def test_an_unknown_ticket_is_refused_whatever_it_holds():
    tickets = Tickets(30)
    assert tickets.redeem("tkt_") is None
    assert tickets.redeem("tkt_\ud800") is None


def test_a_ticket_can_be_narrowed():
    tickets = Tickets(30)
    identity = tickets.redeem(tickets.issue(ANN, only=["article:slug"]))
    assert identity is not None
    assert identity.only == ("article:slug",)


def test_a_ticket_got_with_a_narrowed_one_is_never_wider():
    tickets = Tickets(30)
    narrow = tickets.redeem(tickets.issue(ANN, only=["article:a", "changes:*"]))
    assert narrow is not None
    again = tickets.redeem(tickets.issue(narrow, only=["article:a", "article:*", "article:b", "changes:x"]))
    assert again is not None
    assert again.only == ("article:a", "changes:x")
    same = tickets.redeem(tickets.issue(narrow))
    assert same == narrow


@pytest.mark.parametrize("only", [["*"], ["a b"], [""], ["a:b:*"], ["a"] * 129])
def test_a_ticket_for_malformed_channels_is_refused(only):
    tickets = Tickets(30)
    with pytest.raises(InvalidRequest):
        tickets.issue(ANN, only=only)
    assert len(tickets) == 0


def test_forgetting_a_credential_ends_its_tickets_and_no_others():
    tickets = Tickets(30)
    anns, bobs = [tickets.issue(ANN) for _ in range(3)], tickets.issue(BOB)
    tickets.forget("key_a")
    assert [tickets.redeem(secret) for secret in anns] == [None] * 3
    assert tickets.redeem(bobs) == BOB


def test_the_oldest_ticket_goes_when_the_table_is_full():
    tickets = Tickets(30, size=3)
    secrets = [tickets.issue(ANN) for _ in range(4)]
    assert len(tickets) == 3
    assert [tickets.redeem(secret) for secret in secrets] == [None, ANN, ANN, ANN]


def test_old_tickets_leave_when_a_new_one_is_issued():
    clock = Clock()
    tickets = Tickets(30, clock=clock)
    for _ in range(10):
        tickets.issue(ANN)
    clock.seconds = 31
    tickets.issue(ANN)
    assert len(tickets) == 1


def test_a_ticket_is_not_kept_in_the_clear():
    tickets = Tickets(30)
    secret = tickets.issue(ANN)
    assert secret not in repr(vars(tickets))
