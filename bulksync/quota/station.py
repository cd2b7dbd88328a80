"""The rule of a rate that many processes share: who may start when, as numbers in, numbers out.

It is today's leaky bucket as a reservation. A process leases turns, is told from when on they are its own, and waits by
itself: first come, first served, one lease outstanding for each process, so that the shares are equal.
"""

from functools import lru_cache
from typing import NamedTuple, Protocol

from bulksync.quota.pacer import REPEATED, STORM, Pace, bucket

REMEMBERED = 60.0
"""Seconds for which the rate of a process counts that asks no more."""

SILENCE = 1.0
"""Seconds without a turn where it is not known what was leased: what is in use by then has been looked at again."""

FIRM = 0.1
"""Seconds before the start of a lease from which on it is not looked at again: it may be used in spite of a hold."""


class Lease(NamedTuple):
    """Turns that may start *at* a time of this process's monotonic clock; all processes together keep to *rate*.

    Where *mark* is another number for who asks later, a hold came in between, or the station has lost its state: what
    was leased before is worth nothing.
    """

    at: float
    rate: float
    mark: float


class Held(NamedTuple):
    """No lease: nobody may start before a time of this process's monotonic clock."""

    until: float


class Away(NamedTuple):
    """No lease: the station does not answer, for this reason."""

    reason: str


class Taken(NamedTuple):
    """No lease, and never again: another process has taken this run over."""

    by: str = "another process"


Answer = Lease | Held | Away | Taken


class Station(Protocol):
    """Where the state of a shared rate lives: `bulksync.quota.host` or `bulksync.quota.redis`."""

    name: str
    """What messages call it."""

    async def lease(self, count: int, rate: float) -> Answer:
        """Reserve turns for a process that keeps to *rate* itself; none of them only looks what there is."""

    async def hold(self, seconds: float, *, lower: bool) -> Away | None:
        """Let nobody start for so long; *lower* says that the server found all of us too fast."""


class State(NamedTuple):
    """What the processes know together, at a time *at* of the one clock that all of them read.

    The bucket is empty at *empty_at*, nobody starts before *held_until*, and complaints before *storm_until* are about
    one storm. The *share* of the rate climbs to *ceiling* since *at*, or since a hold ends. *rate* is the highest one
    heard of, last at *rate_at*.
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
    """Return the state of a rate that nobody has used."""
    return State(now, now, now, now - REPEATED, 1.0, 1.0, rate, now)


def silent(now: float, rate: float) -> State:
    """Return the state of a rate of which it is not known how it was used: the first turn is a while away."""
    size, leak = size_and_leak(rate)
    return fresh(now, rate)._replace(empty_at=now + max(SILENCE, 1 / rate) + size / leak)


@lru_cache(maxsize=8)
def size_and_leak(rate: float) -> tuple[float, float]:
    """Return the size of the bucket, and what leaks out of it in a second."""
    size, period = bucket(rate)
    return size, size / period


def passed(state: State, now: float) -> State:
    """Return the state as it is now; where the clock went back, all times have gone back with it."""
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
    """Return how much of the rate is in use now, of what it was then."""
    return Pace(share, ceiling, since).climbed(now)


def lease(state: State, now: float, count: int, rate: float) -> tuple[State, Lease | Held]:
    """Reserve turns, and return from when on they may start; they cost what they do when they start."""
    _, empty_at, held_until, storm_until, share, ceiling, highest, rate_at = passed(state, now)
    if rate >= highest or now - rate_at > REMEMBERED:
        highest, rate_at = rate, now
    if now < held_until:
        return State(now, empty_at, held_until, storm_until, share, ceiling, highest, rate_at), Held(held_until)
    size, leak = size_and_leak(highest)
    amount = count / (share if share == 1 else climbed(share, ceiling, max(now, held_until), max(now, empty_at)).share)
    # A cost above the size fits into an empty bucket, and what exceeds the size is charged to who comes next.
    fits_at = max(now, empty_at - max(0.0, size - amount) / leak)
    empty_at = max(fits_at, empty_at) + amount / leak
    after = State(now, empty_at, held_until, storm_until, share, ceiling, highest, rate_at)
    return after, Lease(fits_at, highest, held_until)


def hold(state: State, now: float, seconds: float, *, lower: bool) -> State:
    """Let nobody start for so long, then start slowly; the second complaint in a minute lowers the rate.

    Leases that have not started are lost by a hold, so that the bucket is as if they had never been.
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
