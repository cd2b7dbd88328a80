"""The live lines: every number that matters at any width, and nothing that a server says is obeyed."""

from collections import Counter

import pytest

from bulksync.console.live import Lately, frame
from bulksync.console.progress import Look
from bulksync.sender.tally import Tally

TALLY = Tally(
    outcomes=Counter({"updated": 400, "rejected": 12}),
    dispositions=Counter({"NO_ANSWER": 120, "DNC": 98, "A": 50, "B": 40, "C": 30, "D": 20, "E": 10, "F": 9}),
    requests=430,
)
WAITING = "waiting 9s more, until 15:20:31: the server answers 429"


def shown(width: int, *, tally: Tally = TALLY, waiting: str = "") -> list[str]:
    """Return the lines for a terminal of that width."""
    look = Look(tally, total=1_200, in_flight=3, rate="10/s", elapsed=44.0, waiting=waiting)
    return [line.plain for line in frame(look, 9.8, 9.5, width)]


def test_a_wide_terminal() -> None:
    """A bar, rate and quota, outcomes, the most frequent dispositions, and what everyone waits for."""
    assert shown(100, waiting=WAITING) == [
        f"34 %  412 of 1,200 rows  {'━' * 20}{'─' * 40}  1m23s to go",
        "9.8/s of 10/s  3 in flight  updated 400  rejected 12",
        "NO_ANSWER 120  DNC 98  A 50  B 40  C 30  D 20  others 19",
        WAITING,
    ]


def test_a_narrow_terminal() -> None:
    """Nothing is lost: what does not fit stands on the next line, and the bar goes first."""
    assert shown(40, waiting=WAITING) == [
        "34 %  412 of 1,200 rows  1m23s to go",
        "9.8/s of 10/s  3 in flight  updated 400",
        "rejected 12",
        "NO_ANSWER 120  DNC 98  A 50  B 40  C 30",
        "D 20  others 19",
        "waiting 9s more, until 15:20:31: the",
        "server answers 429",
    ]


@pytest.mark.parametrize("width", [*range(1, 60), 80, 120, 400])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """At any width."""
    tally = Tally(outcomes=Counter({"updated": 1}), dispositions=Counter({"漢字" * 30: 1, "x" * 300: 2}))
    look = Look(tally, total=10**9, in_flight=10_000, rate="1000000/s", elapsed=1.0, waiting="w" * 500 + " " + WAITING)
    assert all(line.cell_len <= width for line in frame(look, 1e6, 0.0, width))


def test_a_word_that_is_too_long_is_cut() -> None:
    """What fits no line of its own ends in an ellipsis."""
    assert shown(10)[:3] == ["34 %", "412 of 1,…", "1m23s to …"]


def test_before_and_at_the_end() -> None:
    """Without a row done there is no guess how long it takes, and none is needed once all are done."""
    look = Look(Tally(), total=7, in_flight=1, rate="10/s", elapsed=0.0)
    assert [line.plain for line in frame(look, 0.0, 0.0, 60)] == [
        f"0 %  0 of 7 rows  {'─' * 42}",
        "0.0/s of 10/s  1 in flight",
    ]
    all_done = Look(Tally(outcomes=Counter({"updated": 7})), total=7, in_flight=0, rate="10/s", elapsed=1.0)
    assert frame(all_done, 9.8, 9.8, 60)[0].plain == f"100 %  7 of 7 rows  {'━' * 40}"


def test_a_hold_makes_no_endless_guess() -> None:
    """While no row is done the rest is taken to go as fast as all rows before."""
    look = Look(TALLY, total=1_200, in_flight=0, rate="10/s", elapsed=412.0)
    assert frame(look, 0.0, 0.0, 40)[0].plain == "34 %  412 of 1,200 rows  13m08s to go"


def test_what_the_server_says_is_only_text() -> None:
    """Neither rich's markup nor a terminal's escape sequences are obeyed."""
    tally = Tally(dispositions=Counter({"[red]STOP[/red]": 2, "\x1b[2J:smile: \x07gone": 1}))
    lines = shown(100, tally=tally, waiting="the server is unreachable (\x1b[31mhttp_503\r)")
    assert lines[2:] == ["[red]STOP[/red] 2  :smile: gone 1", "the server is unreachable (http_503 )"]


# How fast lately


def looks(*seen: tuple[float, int, int]) -> list[tuple[float, float]]:
    """Return the speeds after looks at so many seconds, requests and rows done."""
    lately = Lately(seconds=10.0)
    found = []
    for elapsed, requests, done in seen:
        tally = Tally(requests=requests, outcomes=Counter({"updated": done}))
        found.append(lately.speeds(Look(tally, total=100, in_flight=0, rate="10/s", elapsed=elapsed)))
    return found


def test_the_speed_is_that_of_the_last_seconds() -> None:
    """Not of the whole run: after a hold it counts what happens now."""
    assert looks((1.0, 11, 8), (10.0, 101, 80), (15.0, 101, 80), (20.0, 101, 80), (21.0, 111, 90)) == [
        (10.0, 8.0),
        (10.0, 8.0),
        (0.0, 0.0),
        (0.0, 0.0),
        (10 / 6, 10 / 6),
    ]


def test_the_first_request_is_not_a_speed() -> None:
    """At the very start no number is above the quota."""
    assert looks((0.0, 0, 0), (0.25, 1, 1), (0.5, 6, 6)) == [(0.0, 0.0), (0.0, 4.0), (10.0, 12.0)]
