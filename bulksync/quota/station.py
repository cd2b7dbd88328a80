"""The algorithm of a rate shared by many processes: who may start when, as pure functions.

It is the leaky bucket used as a reservation. A process leases turns, is told from when on they are its own, and waits
by itself: first come, first served, with one outstanding lease per process, so that the shares are equal.
"""

from functools import lru_cache
from typing import NamedTuple, Protocol

from bulksync.quota.pacer import REPEATED, STORM, Pace, bucket

REMEMBERED = 60.0
"""Seconds for which the rate of a process that has stopped asking still counts."""

SILENCE = 1.0
"""Seconds without turns if it is unknown what was leased: every lease in use by then has been checked again."""

FIRM = 0.1
"""Seconds before its start from which a lease is not checked again: it may be used despite a hold."""


class Lease(NamedTuple):
    """Turns that may start *at* a time of this process's monotonic clock; all processes together keep to *rate*.

    If a later answer has another *mark*, a hold came in between, or the station has lost its state: earlier leases are
    void.
    """

    at: float
    rate: float
    mark: float


class Held(NamedTuple):
    """No lease: nobody may start before a time of this process's monotonic clock."""

    until: float


class Away(NamedTuple):
    """No lease: the station is unreachable, for this reason."""

    reason: str


class Taken(NamedTuple):
    """No lease, now or later: another process has taken over this run."""

    by: str = "another process"


Answer = Lease | Held | Away | Taken


class Station(Protocol):
    """Where the state of a shared rate is stored: `bulksync.quota.host` or `bulksync.quota.redis`."""

    name: str
    """Its name in messages."""

    async def lease(self, count: int, rate: float) -> Answer:
        """Reserve turns for a process that itself keeps to *rate*; a *count* of zero only queries the state."""

    async def hold(self, seconds: float, *, lower: bool) -> Away | None:
        """Pause all requests for *seconds*; *lower* says that the server found all of us too fast."""


class State(NamedTuple):
    """The state shared by the processes, at the time *at* of the one clock that all of them read.

    The bucket is empty at *empty_at*, nobody starts before *held_until*, and complaints before *storm_until* belong to
    one storm. The *share* of the rate climbs to *ceiling* since *at*, or since a hold ends. *rate* is the highest one
    reported, last at *rate_at*.
    """

    at: float
    empty_at: float
    held_until: float
    storm_until: float
    share: float
    ceiling: float
    rate: float
    rate_at: float


def fresh(now: float, rate: float) -> State:
    """Return the state of an unused rate."""
    return State(now, now, now, now - REPEATED, 1.0, 1.0, rate, now)


def silent(now: float, rate: float) -> State:
    """Return the state of a rate whose previous use is unknown: the first turn comes after a pause."""
    size, leak = size_and_leak(rate)
    return fresh(now, rate)._replace(empty_at=now + max(SILENCE, 1 / rate) + size / leak)


@lru_cache(maxsize=8)
def size_and_leak(rate: float) -> tuple[float, float]:
    """Return the size of the bucket, and its leak per second."""
    size, period = bucket(rate)
    return size, size / period


def passed(state: State, now: float) -> State:
    """Return the state at *now*; if the clock went back, all times are moved back with it."""
    at, empty_at, held_until, storm_until, share, ceiling, rate, rate_at = state
    if now < at:
        back = at - now
        held_until, empty_at, storm_until, rate_at = (
            time - back for time in (held_until, empty_at, storm_until, rate_at)
        )
    elif ceiling < 1 or share < 1:
        pace = climbed(share, ceiling, max(at, held_until), now)
        share, ceiling = pace.share, pace.ceiling
    return State(now, empty_at, held_until, storm_until, share, ceiling, rate, rate_at)


def climbed(share: float, ceiling: float, since: float, now: float) -> Pace:
    """Return the pace at *now*, climbed from the given values."""
    return Pace(share, ceiling, since).climbed(now)


def lease(state: State, now: float, count: int, rate: float) -> tuple[State, Lease | Held]:
    """Reserve turns, and return when they may start; their cost is charged at that time."""
    _, empty_at, held_until, storm_until, share, ceiling, highest, rate_at = passed(state, now)
    if rate >= highest or now - rate_at > REMEMBERED:
        highest, rate_at = rate, now
    if now < held_until:
        return State(now, empty_at, held_until, storm_until, share, ceiling, highest, rate_at), Held(held_until)
    size, leak = size_and_leak(highest)
    amount = count / (share if share == 1 else climbed(share, ceiling, max(now, held_until), max(now, empty_at)).share)
    # A cost above the size fits into an empty bucket; the excess is charged to the next caller.
    fits_at = max(now, empty_at - max(0.0, size - amount) / leak)
    empty_at = max(fits_at, empty_at) + amount / leak
    after = State(now, empty_at, held_until, storm_until, share, ceiling, highest, rate_at)
    return after, Lease(fits_at, highest, held_until)


def hold(state: State, now: float, seconds: float, *, lower: bool) -> State:
    """Pause all requests for *seconds*, then ramp up; the second complaint within a minute lowers the rate.

    A hold voids leases that have not started, so the bucket is as if they had never been granted.
    """
    state = passed(state, now)
    pace = Pace(state.share, state.ceiling, now)
    held_until, empty_at, storm_until = state.held_until, state.empty_at, state.storm_until
    if lower and now >= storm_until:
        pace = pace.lowered() if now - storm_until < REPEATED else pace
        storm_until = now + STORM
    if seconds > 0:
        held_until = max(held_until, now + seconds)
        pace = pace.slowed(held_until)
        storm_until = max(storm_until, held_until)
        size, leak = size_and_leak(state.rate)
        empty_at = min(empty_at, now + FIRM + size / leak)
    return State(now, empty_at, held_until, storm_until, pace.share, pace.ceiling, state.rate, state.rate_at)
