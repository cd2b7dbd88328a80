"""What is said of a server that is away or wants us to wait: why, how long still, and until when."""

import time
from datetime import datetime
from typing import Any

import pytest

from bulksync.model import Execution, Reply, Request, Row, Turn
from bulksync.options.models import RunOptions
from bulksync.quota.pacer import Pacer
from bulksync.sender.attempts import Attempts
from bulksync.sender.clock import Clock
from bulksync.sender.health import Health
from bulksync.sender.tally import Tally

ACKNOWLEDGEMENT = Reply(200, "", execution=Execution("COMPLETED", "DNC", "", "", ()))


async def never(row: Row, turn: Turn) -> Reply | None:
    """Send nothing."""
    raise AssertionError


PUT = Request(never)

NOON = time.mktime((2026, 7, 1, 12, 0, 0, 0, 0, -1))


class Time:
    """Time as a test sets it, in seconds since noon."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.said: list[dict[str, Any]] = []

    def tell(self, event: str, *, wait: float, reason: str, until: datetime) -> None:
        """Take what is said of a hold."""
        assert (event, until.timestamp()) == ("hold", self.wall() + wait)
        self.said.append({"wait": wait, "reason": reason})

    def now(self) -> float:
        """Return the seconds."""
        return self.seconds

    def wall(self) -> float:
        """Return the time of day, as a Unix time."""
        return NOON + self.seconds


def health(clock: Time, chance: float, **options: Any) -> Health:
    """Return the health of a server that nothing is known of yet, which may be away for 15 minutes."""
    pacer = Pacer(10.0, clock.now)
    chosen = RunOptions.model_validate(options)
    return Health(chosen, pacer, Tally(), clock.tell, Clock(clock.now, clock.wall, lambda: chance))


def saw(seen: Health, reply: Reply, number: int = 1, sent: float | None = None) -> str:
    """Take a reply to a row into account, and return what is waited for then."""
    attempts = Attempts(Row(number, number, "workflow", f"execution-{number}", "RUNNING", b"{}"), PUT)
    attempts.begin(0.0, seen._clock.now() if sent is None else sent, in_flight=True)
    assert seen.observe(attempts, reply, seen.judge(PUT, reply)) is None
    return seen.waiting_for


def test_a_hold_that_the_server_asks_for() -> None:
    """How long still, until when by the clock on the wall, why, and when to give up."""
    clock = Time()
    seen = health(clock, 0.0)
    assert saw(seen, ACKNOWLEDGEMENT) == ""
    assert saw(seen, Reply(429, "http_429", retry_after=90.0)) == (
        "waiting 90s more, until 12:01:30: the server answers 429, giving up at 12:15:00"
    )
    clock.seconds = 89.0
    assert seen.waiting_for == "waiting 1s more, until 12:01:30: the server answers 429, giving up at 12:15:00"
    clock.seconds = 90.0
    assert seen.waiting_for == ""


def test_an_outage() -> None:
    """It lasts until an answer comes, or until --max-outage; in between one request at a time asks."""
    clock = Time()
    seen = health(clock, 1.0)
    assert saw(seen, ACKNOWLEDGEMENT) == ""
    away, number = Reply(None, "connect_failed", "no connection"), 1
    while not seen.standing.is_away:
        number += 1
        said = saw(seen, away, number)
    assert (number, seen.width()) == (21, 1)
    assert said == "waiting 1s more, until 12:00:00: the server is unreachable (connect_failed), giving up at 12:15:00"
    clock.seconds = 60.0
    assert seen.waiting_for == "the server is unreachable (connect_failed), giving up at 12:15:00"
    assert saw(seen, ACKNOWLEDGEMENT) == ""
    assert seen.width() == 32


@pytest.mark.fault("B6", "one clock for all kinds of waiting")
@pytest.mark.parametrize(
    "reply",
    [
        Reply(429, "http_429"),
        Reply(503, "http_503", retry_after=5.0),
        Reply(500, "http_500"),
        Reply(None, "connect_failed"),
        Reply(None, "request_timeout"),
    ],
)
def test_the_clock_runs_from_the_first_request_that_settled_nothing(reply: Reply) -> None:
    """Whatever the answers were, and however many came since; it stops when an answer settles a row."""
    clock = Time()
    seen, row = health(clock, 0.0), Row(3, 3, "workflow", "execution-3", "RUNNING", b"{}")
    said = [seen.gives_up_at]
    clock.seconds = 100.0
    saw(seen, reply, sent=90.0)
    clock.seconds = 200.0
    saw(seen, reply, 2)
    said.append(seen.gives_up_at)
    for by_answer in (False, True):
        seen.settle(row, by_answer=by_answer)
        said.append(seen.gives_up_at)
    assert said == [None, 990.0, 990.0, None]


@pytest.mark.fault("B6", "nobody is held for longer than the run has patience")
def test_a_hold_does_not_outlast_the_patience() -> None:
    """What the server asks for is cut where the run would give up anyway, so that what is said comes true."""
    clock = Time()
    seen = health(clock, 0.0, max_outage=20)
    assert saw(seen, Reply(429, "http_429", retry_after=60.0)) == (
        "waiting 20s more, until 12:00:20: the server answers 429, giving up at 12:00:20"
    )


@pytest.mark.fault("C3", "Retry-After: 0")
def test_what_goes_on_for_the_same_reason_is_said_once() -> None:
    """Hold after hold for the same reason, half a second at least each, is one message until a row succeeds."""
    clock = Time()
    seen = health(clock, 0.0)
    for clock.seconds in (0.0, 1.0, 2.0, 3.0):
        saw(seen, Reply(429, "http_429", retry_after=0.0))
    assert clock.said == [{"wait": 0.5, "reason": "the server answers 429"}]
    saw(seen, ACKNOWLEDGEMENT)
    clock.seconds = 9.0
    saw(seen, Reply(429, "http_429", retry_after=0.0))
    assert len(clock.said) == 2


@pytest.mark.fault("B10", "503 in a stream of successes")
@pytest.mark.parametrize(("status", "slower"), [(429, True), (503, True), (502, False)])
def test_a_server_that_finds_us_too_fast_is_asked_more_slowly(status: int, slower: bool) -> None:
    """Complaints between successes lower the rate: 429 and 503, with Retry-After or without; not other failures."""
    clock = Time()
    seen = health(clock, 0.0)
    for clock.seconds in range(0, 20, 2):
        saw(seen, ACKNOWLEDGEMENT)
        saw(seen, Reply(status, f"http_{status}"), 2)
    assert (seen._pacer._pace.ceiling < 0.5) is slower


def test_an_outage_does_not_lower_the_rate() -> None:
    """503 after 503 without a success between is one complaint at most: the server may just be away."""
    clock = Time()
    seen = health(clock, 0.0)
    saw(seen, ACKNOWLEDGEMENT)
    for clock.seconds in range(1, 100):
        saw(seen, Reply(503, "http_503"), 2)
    assert seen._pacer._pace.ceiling == 1.0
