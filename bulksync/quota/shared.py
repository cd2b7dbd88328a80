"""Paces a run that shares its rate: by this process's own pacer, and by a lease from the station for each turn."""

from collections.abc import Callable

import anyio

from bulksync.model import Stop, Tell
from bulksync.quota.pacer import TICK, Pacer
from bulksync.quota.station import FIRM, Answer, Away, Held, Lease, Station, Taken

LATE = 0.01
"""Seconds after its start at which a lease expires: from then on the turns belong to others.

So a process that was stopped never starts too late; a server that counts requests as they arrive tolerates as much.
"""

LOOK = FIRM / 2
"""Seconds before its start at which a waiting lease is checked again.

A hold may have come in between, or the station may have lost its state. A distant Redis has this time to answer.
"""

BEAT = 20.0
"""Maximum seconds between messages to the station from a waiting run."""

AGAIN = (0.05, 1.0)
"""Seconds until an unreachable station is retried: the first time, and at most."""


class SharedPacer(Pacer):
    """Grants the turns of one run, so that all runs together start at most the rate in any second.

    This process keeps to its own rate first, as always. What the server says to everyone, a hold or that we are too
    fast, is passed to the station at once and takes effect only there: otherwise two runs would slow down twice for one
    storm.
    """

    def __init__(self, rate: float, now: Callable[[], float], station: Station, tell: Tell) -> None:
        super().__init__(rate, now)
        self._rate = rate
        self._station = station
        self._tell = tell
        self._has_news = anyio.Event()
        self._asked_until = 0.0
        self._is_too_fast = False
        self._starts_at = 0.0
        self._again = AGAIN[0]
        self._has_told_rate = False
        self.lost = 0
        """Leases that were not used."""

    # Messages from the server

    def hold(self, seconds: float, *, everyone: bool = False) -> None:
        """Pause requests for *seconds*: those of this run, and if the server asks *everyone*, all others."""
        if not everyone:
            super().hold(seconds)
            return
        self._asked_until = self._now() + seconds
        self._stay_until(self._asked_until)
        self._has_news.set()

    def lower(self) -> None:
        """Record that the server found all of us too fast."""
        self._is_too_fast = True
        self._has_news.set()

    async def keep(self, stop: Callable[[Stop], None]) -> None:
        """Keep the station informed, until cancelled; stop this run if it was taken over."""
        while True:
            with anyio.move_on_after(BEAT):
                await self._has_news.wait()
            self._has_news = anyio.Event()
            await self._pass_on()
            answer = await self._station.lease(0, self._rate)
            if isinstance(answer, Taken):
                stop(Stop(9, "interrupted", f"{answer.by} has taken this run over", "nothing is to be done here"))
                return

    async def _pass_on(self) -> None:
        """Pass on holds and complaints; if the station is unreachable nobody starts, and they are passed on later."""
        while (left := self._asked_until - self._now()) > 0 or self._is_too_fast:
            lower, self._is_too_fast = self._is_too_fast, False
            if await self._station.hold(max(0.0, left), lower=lower) is None:
                return
            self._is_too_fast = lower
            await anyio.sleep(AGAIN[1])

    # Turns

    def wait_for(self, ahead: float) -> float:
        """Return for how many seconds no connection is needed."""
        return max(super().wait_for(ahead), self._starts_at - ahead - self._now())

    async def turns(self, wanted: int) -> int:
        """Wait until requests may start, and return how many of the *wanted* ones may."""
        count = await super().turns(wanted)
        while not await self._is_ours(await self._station.lease(count, self._rate)):
            await self._sit_out()
        return count

    async def _is_ours(self, answer: Answer) -> bool:
        """Wait for the start of a lease; False if there is none, or it was lost meanwhile."""
        match answer:
            case Lease():
                self._note_lease(answer)
                is_ours = await self._starts(answer)
                self.lost += not is_ours
                return is_ours
            case Held(until):
                self._wait_out(until, "another run on this quota was asked to wait")
            case Away(reason):
                self._wait_out(self._now() + self._again, f"the quota {self._station.name} cannot be used: {reason}")
                self._again = min(2 * self._again, AGAIN[1])
            case Taken():
                self._has_news.set()
                await anyio.sleep_forever()
        return False

    async def _starts(self, lease: Lease) -> bool:
        """Wait for the start of a lease; False if a hold came in between, or the time has passed."""
        self._starts_at = lease.at
        if lease.at - self._now() > FIRM:
            await anyio.sleep(lease.at - LOOK - self._now())
            again = await self._station.lease(0, self._rate)
            if not isinstance(again, Lease) or again.mark != lease.mark:
                return False
        if (wait := lease.at - self._now()) > TICK:
            await anyio.sleep(wait + TICK)
        return not self.is_held and self._now() - lease.at <= LATE

    def _note_lease(self, lease: Lease) -> None:
        self.waits_for, self.waits_since, self._again = "", None, AGAIN[0]
        if lease.rate > self._rate and not self._has_told_rate:
            self._has_told_rate = True
            self._tell("shared rate", others=lease.rate, own=self._rate)

    def _wait_out(self, until: float, reason: str) -> None:
        """Wait as in a hold of our own; log a continuing wait with the same reason only once."""
        if reason != self.waits_for:
            self._tell("quota", reason=reason)
        self.waits_since = self._now() if self.waits_since is None else self.waits_since
        self.waits_for = reason
        self._stay_until(until)
