"""Tests of `bulksync.console.progress`."""

from collections import Counter

import anyio
import pytest

from bulksync.console.progress import Doing, Look, numbers, percent, progress_line, say_every, since
from bulksync.sender.tally import Tally
from tests.support import virtual


@pytest.mark.parametrize(
    ("outcomes", "elapsed", "waiting", "line"),
    [
        ({}, 0, "", "0 of 2,000 rows (0 %), 0.0/s of 10/s, 3 in flight"),
        (
            {"updated": 990, "rejected": 10},
            100,
            "",
            "1,000 of 2,000 rows (50 %), 10.0/s of 10/s, 3 in flight, 1m40s to go, updated 990, rejected 10",
        ),
        ({"updated": 2000}, 100, "", "2,000 of 2,000 rows (100 %), 20.0/s of 10/s, 3 in flight, updated 2,000"),
        (
            {"updated": 1},
            1,
            "waiting 9s more: the server answers 429",
            (
                "1 of 2,000 rows (0 %), 1.0/s of 10/s, 3 in flight, 33m19s to go, updated 1; "
                "waiting 9s more: the server answers 429"
            ),
        ),
    ],
)
def test_progress_line(outcomes: dict[str, int], elapsed: float, waiting: str, line: str) -> None:
    """It says how many rows are done, how fast, how long still, what became of them, and what the run waits for."""
    tally = Tally(outcomes=Counter(outcomes))
    look = Look(tally, total=2_000, in_flight=3, rate="10/s", elapsed=elapsed, waiting=waiting)
    assert progress_line(look) == line
    assert Doing(lambda: look).said()["text"] == line


def test_progress_in_numbers() -> None:
    """A program gets numbers beside the line, and null for what cannot be told yet."""
    tally = Tally(outcomes=Counter(updated=900, rejected=100))
    look = Look(tally, total=2_500, in_flight=3, rate="10/s", elapsed=120.04, waiting="waiting 9s more: 429")
    assert numbers(look) == {
        "done": 1_000,
        "total": 2_500,
        "rate": 8.33,
        "quota": "10/s",
        "inFlight": 3,
        "elapsedSeconds": 120.0,
        "etaSeconds": 180.1,
        "outcomes": {"updated": 900, "rejected": 100},
        "waiting": "waiting 9s more: 429",
    }
    start = numbers(Look(Tally(), total=10, in_flight=0, rate="10/s", elapsed=0.0))
    assert (start["done"], start["rate"], start["etaSeconds"], start["waiting"]) == (0, 0.0, None, "")


def test_what_a_run_does_before_it_sends() -> None:
    """There is no look yet then: it is said what it does, and for how long already."""
    clock = iter([100.0, 103.5])
    assert Doing(since("reading rows.csv", lambda: next(clock))).said() == {"text": "reading rows.csv, for 3.5s"}


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 10, "0 %"), (999, 1000, "99 %"), (999_999, 1_000_000, "99 %"), (5, 5, "100 %"), (0, 0, "100 %")],
)
def test_percent(part: int, whole: int, text: str) -> None:
    """A share is rounded down, so that 100 % means all."""
    assert percent(part, whole) == text


def test_says_it_every_so_often() -> None:
    """A line is said at each interval until cancelled."""
    said: list[str] = []

    async def watch() -> None:
        with anyio.move_on_after(100):
            await say_every(30, lambda: f"{virtual.now():.0f}", said.append)

    virtual.run(watch)
    assert said == ["30", "60", "90"]


def test_says_nothing_at_zero() -> None:
    """An interval of 0 is never, and does not keep anyone waiting."""
    said: list[str] = []
    virtual.run(lambda: say_every(0, lambda: "line", said.append))
    assert said == []
