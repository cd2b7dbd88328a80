"""Tests of `bulksync.sender.tally`."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.model import Execution, Outcome, Reply
from bulksync.sender.tally import SLICES, Tally, Timeline


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
        timeline=timeline({32: "other", 3: "acknowledged", 0: "throttled", 1: "acknowledged"}),
    )


def timeline(answers: dict[int, str], width: float = 1.0) -> Timeline:
    """Return a timeline with one answer in each of these parts."""
    counts = {kind: [0] * SLICES for kind in ("acknowledged", "throttled", "other")}
    for part, answer in answers.items():
        counts[answer][part] += 1
    return Timeline(width, counts)


def test_a_timeline_has_room_for_any_run() -> None:
    """Its parts get twice as long whenever a request falls behind the last; a clock set back counts at the start."""
    found = Timeline()
    for after, answer in ((-5.0, "other"), (0.9, "other"), (1.0, "throttled"), (119.9, "acknowledged")):
        found.count(after, answer)
    assert (found.width, found.counts["other"][:2], found.counts["throttled"][:2]) == (1.0, [2, 0], [0, 1])
    found.count(120.0, "acknowledged")
    assert found == Timeline(
        2.0,
        {
            "acknowledged": [0] * 59 + [1, 1] + [0] * 59,
            "throttled": [1] + [0] * 119,
            "other": [2] + [0] * 119,
        },
    )


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=50))
def test_a_timeline_loses_nothing(moments: list[float]) -> None:
    """Every request stands in the part of its time, however long the run gets."""
    found = Timeline()
    for after in moments:
        found.count(after, "other")
    parts = Counter(int(after / found.width) for after in moments)
    assert {part: count for part, count in enumerate(found.counts["other"]) if count} == parts
    assert found.width == 1.0 or max(parts) >= SLICES // 2


def test_counts_rows_done_and_failures() -> None:
    """Every outcome is done, and rejected, failed and unknown rows count against the budget."""
    tally = Tally(outcomes=Counter({outcome: 10**number for number, outcome in enumerate(Outcome)}))
    assert (tally.done, tally.failures) == (11_111_111, 110_100)


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
