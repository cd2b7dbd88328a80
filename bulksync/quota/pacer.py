"""When a request may start: evenly spaced turns that never exceed the quota, and holds for everyone."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import anyio
from aiolimiter import AsyncLimiter

HEADROOM = 0.98
"""Share of the quota that is used: the remaining 2 % absorb the jitter that network and scheduler add to the turns."""

SPAN = 0.009
"""Seconds of turns taken together: timers keep up, and rows share a wake-up.

A wake-up costs 150 µs if a core has gone to sleep. A larger value uses less of the quota: of 1,000/s 96.5 % at 15 ms,
97.0 % at 9. A smaller one makes limiter and dispatcher take more of a core: 3.5 % at 15 ms, 3.9 % at 9, 4.8 % at 6
(measured).
"""

LATENESS = 0.002
"""Maximum lateness in seconds of a wake-up that is still made up for: uvloop's clock ticks in steps of 1 ms."""

TICK = 0.0005
"""Seconds added to a wait, so that a clock with millisecond resolution does not end it too early."""

STORM = 1.0
"""Seconds after a complaint within which further ones concern the same requests."""

REPEATED = 60.0
"""Seconds after a storm within which another complaint counts as repeated, and lowers the rate."""


def turns_at_once(rate: float) -> int:
    """Return how many turns are taken together: those of `SPAN`, at least one."""
    return max(1, int(rate * SPAN))


def bucket(rate: float) -> tuple[float, float]:
    """Return (size, period in seconds) of the leaky bucket that lets through at most *rate* turns in any second.

    A bucket of size b that leaks L per second lets through b + L in its worst second, one of them exactly on its
    boundary: so L = rate - (b - 1). Its size is the turns taken at once, plus what leaks while a wake-up is late.
    """
    size = turns_at_once(rate) + rate * LATENESS
    return size, size / ((rate - (size - 1)) * HEADROOM)


@dataclass(frozen=True, slots=True)
class Pace:
    """How much of the rate is used: *share* of it since the time *at*, climbing back to *ceiling*."""

    share: float = 1.0
    ceiling: float = 1.0
    at: float = 0.0

    def climbed(self, now: float) -> "Pace":
        """Return the pace at *now*: doubled every second up to the ceiling, which regains 1 % a second, up to 1."""
        elapsed = min(max(0.0, now - self.at), 600.0)
        ceiling = min(1.0, self.ceiling * 1.01**elapsed)
        return Pace(min(ceiling, self.share * 2.0**elapsed), ceiling, max(now, self.at))

    def slowed(self, until: float) -> "Pace":
        """Return a pace that starts from a quarter when a hold ends: a pause alone would bring the storm back."""
        return Pace(self.ceiling / 4, self.ceiling, until)

    def lowered(self) -> "Pace":
        """Return a pace with a ceiling of 70 %, down to a tenth of the rate: the quota is smaller than configured."""
        ceiling = max(0.1, self.ceiling * 0.7)
        return Pace(min(self.share, ceiling), ceiling, self.at)


def pieces(amount: float, size: float) -> Iterator[float]:
    """Split the cost of a turn into parts that fit the bucket."""
    while amount > size:
        yield size
        amount -= size
    yield amount


class Pacer:
    """Grants the turns of one run, at most *rate* in any second; only one task may ask for them.

    It covers this process only: `bulksync.quota` has a pacer that shares the rate with other processes.
    """

    waits_for = ""
    """The reason for a hold that this run did not request itself."""

    waits_since: float | None = None
    """Since when the other processes, or the quota's storage, have given this run no turn."""

    def __init__(self, rate: float, now: Callable[[], float]) -> None:
        self._now = now
        self._at_once = turns_at_once(rate) if math.isfinite(rate) else 1
        self._size, period = bucket(rate) if math.isfinite(rate) else (math.inf, 1.0)
        self._leak = self._size / period
        self._empty_at = -math.inf
        self._limiter = AsyncLimiter(self._size, period) if math.isfinite(rate) else None
        self._pace = Pace(at=now())
        self._storm_until = -math.inf
        self._held_since = self.held_until = -math.inf
        self._held_before = 0.0

    @property
    def is_held(self) -> bool:
        """Whether a hold is in effect."""
        return self._now() < self.held_until

    @property
    def held_for(self) -> float:
        """Return how many seconds all requests have been on hold so far."""
        if self.held_until == -math.inf:
            return 0.0
        return self._held_before + min(self._now(), self.held_until) - self._held_since

    def hold(self, seconds: float, *, everyone: bool = False) -> None:
        """Pause all requests for *seconds*, then ramp up; a longer hold already in effect is kept.

        *everyone* is True if the server asked for it, so that it applies to all that share the quota.
        """
        now = self._now()
        self._stay_until(now + seconds)
        self._storm_until = max(self._storm_until, self.held_until)
        self._pace = self._pace.climbed(now).slowed(self.held_until)

    def _stay_until(self, time: float) -> None:
        if not self.is_held:
            self._held_before, self._held_since = self.held_for, self._now()
        self.held_until = max(self.held_until, time)

    def lower(self) -> None:
        """Record that the server found us too fast; once is a hint, repeatedly lowers the rate."""
        now = self._now()
        if now < self._storm_until:
            return  # one more answer of the same storm
        if now - self._storm_until < REPEATED:
            self._pace = self._pace.climbed(now).lowered()
        self._storm_until = now + STORM

    def wait_for(self, ahead: float) -> float:
        """Return for how many seconds no connection is needed: in a hold, and until *ahead* of the next turn."""
        now = self._now()
        turn_in = self._fits_at(1 / self._pace.share) - ahead - now if self._limiter else -math.inf
        return max(self.held_until - now, turn_in)

    def _fits_at(self, amount: float) -> float:
        return self._empty_at - (self._size - min(amount, self._size)) / self._leak

    async def turns(self, wanted: int) -> int:
        """Wait until requests may start, and return how many of the *wanted* ones may."""
        count = wanted if self._limiter is None else min(wanted, self._at_once)
        if self._limiter is not None:
            self._pace = self._pace.climbed(self._now())
            for piece in pieces(count / self._pace.share, self._size):
                await self._fill(self._limiter, piece)
        await self._sit_out()
        return count

    async def _sit_out(self) -> None:
        """Wait for the end of a hold."""
        while (wait := self.held_until - self._now()) > 0:  # noqa: ASYNC110  it may have been extended meanwhile
            await anyio.sleep(wait)

    async def _fill(self, limiter: AsyncLimiter, amount: float) -> None:
        """Wait until *amount* fits into the bucket, and add it.

        The limiter's own timer busy-waits until uvloop's clock, which advances only every millisecond, moves on: it
        took a fifth of the cost of limiter and dispatcher at 1,000/s (measured).
        """
        if (wait := self._fits_at(amount) - self._now()) > 0:
            await anyio.sleep(wait + TICK)
        await limiter.acquire(amount)
        self._empty_at = max(self._empty_at, self._now()) + amount / self._leak
