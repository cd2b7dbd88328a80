"""Tests of `bulksync.tally`."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.model import Execution, Outcome, Reply
from bulksync.tally import Tally


def acknowledged(disposition: str = "updated") -> Reply:
    """Return an acknowledgement."""
    return Reply(200, "", execution=Execution("COMPLETED", disposition, "", "", ()))


def test_counts_requests_and_what_came_back() -> None:
    """Every request counts once: as a retry, a 429, a latency if it was answered, a disposition if there is one."""
    tally = Tally()
    tally.count(Reply(429, "http_429"), sent=100.0, duration=0.0104, is_retry=False)
    tally.count(acknowledged(), sent=101.0, duration=0.0206, is_retry=True)
    tally.count(Reply(None, "request_timeout"), sent=102.0, duration=30.0, is_retry=False)
    tally.count(acknowledged(""), sent=103.0, duration=0.0206, is_retry=True)
    assert tally == Tally(
        dispositions=Counter({"updated": 1}),
        latencies=Counter({10: 1, 21: 2}),
        requests=4,
        retries=2,
        throttled=1,
        first_sent=100.0,
        last_answer=103.0206,
    )


def test_counts_rows_done_and_failures() -> None:
    """Every outcome is done, and rejected, failed and unknown rows count against the budget."""
    tally = Tally(outcomes=Counter({outcome: 10**number for number, outcome in enumerate(Outcome)}))
    assert (tally.done, tally.failures) == (1_111_111, 110_100)


@pytest.mark.parametrize(
    ("latencies", "median", "most"),
    [
        ({}, None, None),
        ({5: 1}, 5, 5),
        ({5: 50, 9: 50}, 5, 9),
        ({9: 51, 5: 49}, 9, 9),
        ({1: 98, 70: 1, 900: 1}, 1, 70),
    ],
)
def test_percentiles(latencies: dict[int, int], median: int | None, most: int | None) -> None:
    """A percentile is the smallest latency that this share of the answers did not exceed."""
    tally = Tally(latencies=Counter(latencies))
    assert (tally.percentile(0.5), tally.percentile(0.99)) == (median, most)


@given(st.lists(st.integers(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_reached_by_its_share(latencies: list[int], share: float) -> None:
    """At least that share is no slower, and fewer than that share is faster."""
    found = Tally(latencies=Counter(latencies)).percentile(share)
    assert found is not None
    wanted = share * len(latencies)
    assert sum(latency <= found for latency in latencies) >= wanted
    assert sum(latency < found for latency in latencies) < wanted
