"""Tests of `bulksync.sender.retry`."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.model import AnswerError, Execution, Outcome, Reply, Request, Row, TransportError, Turn
from bulksync.sender.retry import Verdict, backoff, hold, holds_everyone, is_too_fast, judge, judge_for, over_budget

ACKNOWLEDGEMENT = Execution("COMPLETED", "updated", "", "", ())

CHANCES = st.floats(0, 1, exclude_max=True)

# The contract's words, once more and independently: what becomes of the row, then what else the answer means.
UPDATED = Verdict(Outcome.UPDATED, is_success=True)
REJECTED = Verdict(Outcome.REJECTED)
FAILED_WAITS = Verdict(Outcome.FAILED, retry=True, waits=True)
FAILED_WAITS_AWAY = Verdict(Outcome.FAILED, retry=True, away=True, waits=True)
FAILED_RETRY_AWAY = Verdict(Outcome.FAILED, retry=True, away=True)
FAILED_STOP = Verdict(Outcome.FAILED, stop="aborted_access")
UNKNOWN_RETRY = Verdict(Outcome.UNKNOWN, retry=True, doubtful=True, away=True)
UNKNOWN_STOP = Verdict(Outcome.UNKNOWN, doubtful=True, stop="aborted_outage")
UNSENT_RETRY = Verdict(Outcome.UNSENT, retry=True, sent=False, away=True, waits=True)
UNSENT_STOP = Verdict(Outcome.UNSENT, sent=False, stop="aborted_access")
UNSENT_OUTAGE = Verdict(Outcome.UNSENT, sent=False, stop="aborted_outage")

RANGES: list[tuple[range, Verdict]] = [
    (range(100, 200), UNKNOWN_RETRY),  # an interim status as the last word is no answer
    (range(400, 401), REJECTED),
    (range(401, 402), FAILED_STOP),
    (range(402, 407), REJECTED),
    (range(407, 408), FAILED_STOP),
    (range(408, 409), FAILED_RETRY_AWAY),
    (range(409, 425), REJECTED),
    (range(425, 426), FAILED_RETRY_AWAY),
    (range(426, 429), REJECTED),
    (range(429, 430), FAILED_WAITS),
    (range(430, 500), REJECTED),
    (range(500, 501), UNKNOWN_RETRY),
    (range(501, 502), REJECTED),
    (range(502, 503), UNKNOWN_RETRY),
    (range(503, 504), FAILED_WAITS_AWAY),
    (range(504, 505), UNKNOWN_RETRY),
    (range(505, 506), REJECTED),
    (range(506, 511), UNKNOWN_RETRY),
    (range(511, 512), FAILED_STOP),
    (range(512, 600), UNKNOWN_RETRY),
    (range(999, 1000), REJECTED),
]
"""By status, where the answer's error is `http_<status>`: 2xx and 3xx never come with that error."""

ERRORS: dict[str, Verdict] = {
    "": UPDATED,
    "dns_failed": UNSENT_OUTAGE,
    "connect_failed": UNSENT_RETRY,
    "connect_timeout": UNSENT_RETRY,
    "proxy_failed": UNSENT_RETRY,
    "tls_failed": UNSENT_STOP,
    "tls_verify_failed": UNSENT_STOP,
    "request_timeout": UNKNOWN_RETRY,
    "connection_lost": UNKNOWN_RETRY,
    "response_truncated": UNKNOWN_RETRY,
    "protocol_error": UNKNOWN_RETRY,
    "redirect_refused": FAILED_STOP,
    "response_too_large": UNKNOWN_RETRY,
    "response_invalid": UNKNOWN_RETRY,
    "response_mismatch": UNKNOWN_STOP,
}


# judge


def test_judges_every_status() -> None:
    """Each status outside 2xx and 3xx has the verdict that the contract names."""
    expected = {status: verdict for statuses, verdict in RANGES for status in statuses}
    assert expected == {status: judge(Reply(status, f"http_{status}")) for status in expected}
    assert set(expected) == {*range(100, 200), *range(400, 600), 999}


def test_judges_every_error() -> None:
    """Each transport error and each answer error of the model has the verdict that the contract names."""
    assert set(ERRORS) == {"", *get_args(TransportError), *get_args(AnswerError)}
    assert {error: judge(Reply(None, error)) for error in ERRORS} == ERRORS


def test_an_error_weighs_more_than_the_status() -> None:
    """A status line with an unusable answer behind it is judged by why it is unusable, whatever the status."""
    statuses = [*range(100, 600), 999]
    errors = [error for error in ERRORS if error not in ("", "proxy_failed")]
    got = {(status, error): judge(Reply(status, error)) for status in statuses for error in errors}
    assert got == {(status, error): ERRORS[error] for status in statuses for error in errors}


@pytest.mark.fault("B9", "a proxy's policy")
@pytest.mark.parametrize(("status", "verdict"), [(None, UNSENT_RETRY), (403, UNSENT_STOP), (302, UNSENT_STOP)])
def test_a_proxy_that_refuses_is_no_outage(status: int | None, verdict: Verdict) -> None:
    """A proxy that answers with a status has decided; one that cannot be reached, or says so, is away."""
    assert judge(Reply(status, "proxy_failed")) == verdict


@pytest.mark.fault("B8", "a handshake that fails in a good run")
@pytest.mark.parametrize(
    ("error", "at_first", "later"),
    [
        ("dns_failed", UNSENT_OUTAGE, UNSENT_RETRY),
        ("tls_failed", UNSENT_STOP, UNSENT_RETRY),
        ("tls_verify_failed", UNSENT_STOP, UNSENT_STOP),
    ],
)
def test_what_has_worked_before(error: str, at_first: Verdict, later: Verdict) -> None:
    """Once proven, no address and a failed handshake are outages; a certificate that cannot be trusted stays final."""
    assert (judge(Reply(None, error)), judge(Reply(None, error), is_proven=True)) == (at_first, later)


@pytest.mark.parametrize("status", range(200, 300))
def test_only_an_acknowledgement_counts(status: int) -> None:
    """A 2xx is an acknowledgement exactly where no error says otherwise."""
    assert judge(Reply(status, "", execution=ACKNOWLEDGEMENT)) == UPDATED


def test_a_verdict_never_contradicts_itself() -> None:
    """A verdict that stops the run asks for no retry, and only what was sent can be doubtful."""
    verdicts = [*ERRORS.values(), *(verdict for _, verdict in RANGES)]
    assert [verdict for verdict in verdicts if verdict.stop and verdict.retry] == []
    assert [verdict for verdict in verdicts if verdict.waits and not verdict.retry] == []
    assert [verdict for verdict in verdicts if verdict.doubtful and not verdict.sent] == []
    assert [verdict for verdict in verdicts if (verdict.outcome is Outcome.UNKNOWN) != verdict.doubtful] == []


async def never(row: Row, turn: Turn) -> Reply | None:
    """Send nothing."""
    raise AssertionError


READ = Request(never, Outcome.FETCHED, is_safe=True)

VERDICTS = [judge(Reply(status, f"http_{status}")) for status in range(100, 600)] + [
    judge(Reply(None, error)) for error in (*get_args(TransportError), *get_args(AnswerError))
]


def test_a_request_that_changes_nothing_leaves_no_doubt() -> None:
    """Read or written, an answer means the same, but that what only read cannot have been applied."""
    assert judge_for(READ, judge(Reply(200, "", execution=ACKNOWLEDGEMENT))).outcome is Outcome.FETCHED
    for verdict in VERDICTS:
        read = judge_for(READ, verdict)
        assert (read.doubtful, read.outcome is Outcome.UNKNOWN) == (False, False)
        assert (read.retry, read.away, read.waits, read.stop) == (
            verdict.retry,
            verdict.away,
            verdict.waits,
            verdict.stop,
        )
        assert judge_for(Request(never), verdict) is verdict


def test_who_holds_everyone() -> None:
    """429 holds everyone always, 503 only where it says for how long, nothing else ever."""
    asked = {status for status in range(100, 600) if holds_everyone(Reply(status, f"http_{status}", retry_after=1.0))}
    unasked = {status for status in range(100, 600) if holds_everyone(Reply(status, f"http_{status}"))}
    assert (asked, unasked) == ({429, 503}, {429})
    assert holds_everyone(Reply(503, "http_503", retry_after=0.0))
    assert not holds_everyone(Reply(None, "request_timeout"))


def test_what_may_say_that_requests_come_too_fast() -> None:
    """429, and 503, with or without a word on how long to wait; nothing else."""
    assert {status for status in range(100, 600) if is_too_fast(Reply(status, f"http_{status}"))} == {429, 503}


# backoff and hold


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 30), (8, 30), (10_000, 30)]
)
def test_backoff_doubles_up_to_its_cap(attempt: int, longest: float) -> None:
    """The longest wait doubles from half a second to thirty; the wait itself is anything below it."""
    assert [backoff(attempt, chance) for chance in (0, 0.5, 1)] == [0, longest / 2, longest]


@given(st.integers(1, 10**6), CHANCES)
def test_backoff_stays_within_its_cap(attempt: int, chance: float) -> None:
    """No attempt and no chance leads to a wait outside of [0, 30)."""
    assert 0 <= backoff(attempt, chance) < 30


@given(st.integers(1, 100), CHANCES)
def test_backoff_never_shrinks(attempt: int, chance: float) -> None:
    """With the same luck a later attempt waits at least as long."""
    assert backoff(attempt, chance) <= backoff(attempt + 1, chance)


@pytest.mark.parametrize(
    ("asked", "nth", "chance", "seconds"),
    [
        (10, 1, 0, 10),
        (10, 1, 0.5, 10.5),
        (10, 9, 0.5, 10.5),
        (0, 1, 0.5, 0.75),
        (0.4, 3, 0.5, 1.5),
        (0.5, 1, 0, 0.5),
        (None, 1, 0, 0.5),
        (None, 1, 0.5, 0.75),
        (None, 3, 0.5, 1.5),
        (None, 100, 0.5, 15.5),
    ],
)
def test_hold(asked: float | None, nth: int, chance: float, seconds: float) -> None:
    """Everyone waits what was asked and up to a tenth more; where nothing sensible was, half a second and a backoff."""
    assert hold(asked, nth, chance) == pytest.approx(seconds)


@given(st.floats(0.5, 300), st.integers(1, 100), CHANCES)
def test_a_hold_is_never_shorter_than_asked(asked: float, nth: int, chance: float) -> None:
    """The jitter comes on top of what the server asks for, and is at most a tenth."""
    assert asked <= hold(asked, nth, chance) <= asked * 1.1


# over_budget


@pytest.mark.parametrize(
    ("failures", "done", "budget", "over"),
    [
        (0, 0, "0", False),
        (1, 1, "0", True),
        (5, 5, "5", False),
        (6, 6, "5", True),
        (6, 1_000_000, "5", True),
        (99, 99, "50%", False),
        (50, 100, "50%", False),
        (51, 100, "50%", True),
        (51, 102, "50%", False),
        (1, 100, "0%", True),
        (0, 100, "0%", False),
        (100, 100, "100%", False),
        (1, 199, "0.5%", True),
        (1, 200, "0.5%", False),
    ],
)
def test_over_budget(failures: int, done: int, budget: str, over: bool) -> None:
    """A number is exceeded by one more; a share counts from a hundred rows on."""
    assert over_budget(failures, done, budget) is over
