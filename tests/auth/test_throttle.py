import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.auth.throttle import Bucket, Buckets, address_key


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_new_key_may_take_its_whole_burst_and_then_waits():
    buckets = Buckets(rate=2, burst=3, clock=Clock())
    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


@given(
    rate=st.sampled_from([0, 0.5, 2, 50]),
    burst=st.integers(0, 5),
    pauses=st.lists(st.sampled_from([0.0, 0.1, 0.25, 1.0, 60.0]), max_size=40),
)
def test_a_single_bucket_does_as_one_of_a_table(rate, burst, pauses):
    clock = Clock()
    single, table = Bucket(rate, burst, clock), Buckets(rate, burst, 1, clock)
    for pause in pauses:
        clock.seconds += pause
        assert single.full == table.full("a")
        assert single.take() == pytest.approx(table.take("a"))


def test_keys_do_not_share_a_bucket():
    buckets = Buckets(rate=1, burst=1, clock=Clock())
    assert buckets.take("a") == 0.0
    assert buckets.take("b") == 0.0


def test_tuples_that_would_join_to_the_same_text_are_two_keys():
    buckets = Buckets(rate=1, burst=1, clock=Clock())
    assert buckets.take(("a_b", "c")) == 0.0
    assert buckets.take(("a", "b_c")) == 0.0


def test_rate_zero_is_no_limit_and_remembers_nobody():
    buckets = Buckets(rate=0, burst=0, clock=Clock())
    assert [buckets.take("a") for _ in range(1000)] == [0.0] * 1000
    assert len(buckets) == 0
    assert buckets.full("a")
    assert buckets.state("a")[2] == 0.0


def test_asking_how_long_to_wait_takes_nothing():
    buckets = Buckets(rate=1, burst=1, clock=Clock())
    assert [buckets.wait("a") for _ in range(3)] == [0.0] * 3
    assert buckets.take("a") == 0.0
    assert buckets.wait("a") == 1.0


def test_a_refused_take_takes_nothing():
    clock = Clock()
    buckets = Buckets(rate=1, burst=2, clock=clock)
    buckets.take("a", 2)
    for _ in range(10):
        buckets.take("a")
    clock.seconds += 1
    assert buckets.take("a") == 0.0


def test_a_cost_above_the_burst_is_allowed_once_the_bucket_is_full_and_paid_off_afterwards():
    clock = Clock()
    buckets = Buckets(rate=10, burst=10, clock=clock)
    assert buckets.take("a", 100) == 0.0
    assert buckets.take("a") == pytest.approx(9.1)
    clock.seconds += 9.1
    assert buckets.take("a") == 0.0


def test_full_says_whether_anything_was_taken_lately():
    clock = Clock()
    buckets = Buckets(rate=1, burst=5, clock=clock)
    assert buckets.full("a")
    buckets.take("a")
    assert not buckets.full("a")
    clock.seconds += 1
    assert buckets.full("a")


def test_state_gives_limit_remaining_and_reset():
    clock = Clock()
    buckets = Buckets(rate=2, burst=10, clock=clock)
    assert buckets.state("a") == (10, 10, 0.0)
    buckets.take("a", 4)
    assert buckets.state("a") == (10, 6, 2.0)
    buckets.take("a", 6)
    clock.seconds += 0.25
    assert buckets.state("a") == (10, 0, 4.75)


def test_remaining_is_never_negative():
    buckets = Buckets(rate=1, burst=2, clock=Clock())
    buckets.take("a", 50)
    assert buckets.state("a")[1] == 0


def test_the_table_is_bounded_and_forgets_whoever_was_quiet_longest():
    buckets = Buckets(rate=0.001, burst=1, size=3, clock=Clock())
    for key in ("a", "b", "c"):
        buckets.take(key)
    for number in range(100):
        buckets.take(number)
    assert len(buckets) == 3
    assert buckets.take("a") == 0.0


@given(
    st.floats(0.01, 1000),
    st.integers(1, 100),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 30)), max_size=60),
)
def test_over_any_time_no_more_than_burst_and_rate_is_allowed(rate, burst, steps):
    clock = Clock()
    buckets = Buckets(rate, burst, clock=clock)
    taken = 0
    for pause, cost in steps:
        clock.seconds += pause
        if cost <= burst and buckets.take("a", cost) == 0.0:
            taken += cost
    assert taken <= burst + rate * (clock.seconds - 1000) + 0.001


@given(st.floats(0.01, 1000), st.integers(1, 100), st.lists(st.integers(1, 300), min_size=1, max_size=30))
def test_who_waits_as_long_as_told_is_allowed(rate, burst, costs):
    clock = Clock()
    buckets = Buckets(rate, burst, clock=clock)
    for cost in costs:
        clock.seconds += buckets.wait("a", cost)
        assert buckets.take("a", cost) == 0.0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix", "unix"),
        ("192.0.2.07", "192.0.2.07"),
    ],
)
def test_addresses_are_counted_by_what_one_customer_holds(address, key):
    assert address_key(address) == key


@given(st.text())
def test_any_text_can_be_counted_by(text):
    assert isinstance(address_key(text), str)
