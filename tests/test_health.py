"""What is said of a server that is away or wants us to wait: why, how long still, and until when."""

import time

from bulksync.dispatcher.health import Health
from bulksync.model import Execution, Reply
from bulksync.options import RunOptions
from bulksync.pacing import Pacer
from bulksync.retry import judge
from bulksync.tally import Tally

NOON = time.mktime((2026, 7, 1, 12, 0, 0, 0, 0, -1))


class Clock:
    """Time as a test sets it, in seconds since noon."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        """Return the seconds."""
        return self.seconds

    def wall(self) -> float:
        """Return the time of day, as a Unix time."""
        return NOON + self.seconds


def health(clock: Clock, chance: float) -> Health:
    """Return the health of a server that nothing is known of yet, which may be away for 15 minutes."""
    pacer = Pacer(10.0, clock.now)
    return Health(RunOptions(), pacer, Tally(), lambda *_, **__: None, clock.now, clock.wall, lambda: chance)


def saw(seen: Health, reply: Reply) -> str:
    """Take a reply into account, and return what is waited for then."""
    assert seen.saw(reply, judge(reply)) is None
    return seen.waiting_for


def test_a_hold_that_the_server_asks_for() -> None:
    """How long still, until when by the clock on the wall, and why; nothing once it is over."""
    clock = Clock()
    seen = health(clock, 0.0)
    assert seen.waiting_for == ""
    assert saw(seen, Reply(429, "http_429", retry_after=90.0)) == (
        "waiting 90s more, until 12:01:30: the server answers 429"
    )
    clock.seconds = 89.0
    assert seen.waiting_for == "waiting 1s more, until 12:01:30: the server answers 429"
    clock.seconds = 90.0
    assert seen.waiting_for == ""


def test_an_outage() -> None:
    """It lasts until an answer comes, or until --max-outage; in between one request at a time asks."""
    clock = Clock()
    seen = health(clock, 1.0)
    away = Reply(None, "connect_failed", "no connection")
    while not seen.is_outage:
        said = saw(seen, away)
    assert said == "waiting 1s more, until 12:00:00: the server is away (connect_failed), giving up at 12:15:00"
    clock.seconds = 60.0
    assert seen.waiting_for == "the server is away (connect_failed), giving up at 12:15:00"
    assert saw(seen, Reply(200, "", execution=Execution("COMPLETED", "DNC", "", "", ()))) == ""
