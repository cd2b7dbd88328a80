"""The quota as the server sees it, over TLS and a round trip of 100 ms; `python -m tests.wire` has all cases."""

from pathlib import Path

import pytest

from tests.support.recorder import SECOND, most_in_a_second, utilisation
from tests.wire import Case, seen


def test_the_most_arrivals_in_a_second() -> None:
    """Arrivals are counted in every window of a second, of which ten milliseconds are forgiven."""
    evenly = [number * SECOND // 10 for number in range(30)]
    assert most_in_a_second(evenly) == 10
    assert most_in_a_second([*evenly, SECOND]) == 11
    assert most_in_a_second([0, SECOND - 10_000_001, SECOND - 10_000_000, SECOND - 9_999_999]) == 3
    assert (most_in_a_second([]), most_in_a_second([5])) == (0, 1)


def test_the_share_of_the_rate_that_is_used() -> None:
    """A rate is used up by arrivals that are as far apart as it says."""
    assert utilisation([number * SECOND // 10 for number in range(30)], 10) == pytest.approx(1.0)
    assert utilisation([number * SECOND // 5 for number in range(30)], 10) == pytest.approx(0.5)


@pytest.mark.fault("C1", "TLS and a round trip before the first request of each connection")
@pytest.mark.parametrize(
    "case", [Case("steady", 10, 3.0), Case("steady", 100, 4.0)], ids=["10 a second", "100 a second"]
)
async def test_no_second_sees_more_than_the_rate(case: Case, tmp_path: Path) -> None:
    """Far away and over TLS no second sees more than the rate, and it is used, as far as a busy machine lets it."""
    found = await seen(case, tmp_path)
    assert (found.code, found.arrivals, found.keeps_the_quota, found.used > 0.75) == (0, case.rows, True, True), found


@pytest.mark.fault("C1", "answers held and released at once")
async def test_no_second_sees_more_after_a_stall(tmp_path: Path) -> None:
    """When answers that were held come all at once, what waited for them does not go all at once."""
    found = await seen(Case("held", 100, 3.0, held_at=1.5, width=32), tmp_path)
    assert (found.code, found.arrivals, found.keeps_the_quota) == (0, 300, True), found


@pytest.mark.fault("C1", "the program is stopped for a while")
async def test_no_second_sees_more_after_a_pause(tmp_path: Path) -> None:
    """A program that was stopped does not make up for the time."""
    found = await seen(Case("stopped", 100, 3.0, stopped_at=1.0), tmp_path)
    assert (found.code, found.keeps_the_quota) == (0, True), found
