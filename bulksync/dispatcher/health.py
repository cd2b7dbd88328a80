"""What the replies say of the server: whether it is there, whether it wants everyone to wait, when to give up."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

from bulksync.model import Outcome, Reply, RunError, Stop
from bulksync.options import RunOptions, show_duration
from bulksync.pacing import Pacer
from bulksync.retry import Breaker, Verdict, backoff, hold, holds_everyone
from bulksync.tally import Tally

EXIT_CODES: dict[RunError, int] = {"aborted_access": 5, "aborted_outage": 6}
"""What the program ends with when a reply itself stops the run."""


class Health:
    """Owns the breaker and the reasons for holds; *is_proven* since the first acknowledgement."""

    def __init__(
        self,
        options: RunOptions,
        pacer: Pacer,
        tally: Tally,
        tell: Callable[..., None],
        now: Callable[[], float],
        wall: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._options = options
        self._pacer = pacer
        self._tally = tally
        self._tell = tell
        self._now = now
        self._wall = wall
        self._chance = chance
        self._breaker = Breaker()
        self._throttled_in_a_row = 0
        self.is_proven = False
        self.reason = ""

    @property
    def is_outage(self) -> bool:
        """Whether the server counts as away."""
        return self._breaker.is_open

    def width(self) -> int:
        """Return how many requests may be in flight: one at a time until the server is known to be there."""
        return self._options.max_in_flight if self.is_proven and not self.is_outage else 1

    def patience(self) -> float:
        """Return for how many seconds the server may still be away."""
        return self._options.max_outage - self._breaker.away_for(self._now())

    @property
    def waiting_for(self) -> str:
        """Say what everyone waits for, how long still, until when, and when to give up; empty where nobody does."""
        left = self._pacer.held_until - self._now()
        waiting = f"waiting {math.ceil(left)}s more, until {self._time_in(left):%H:%M:%S}: " if left > 0 else ""
        if self.is_outage:
            return f"{waiting}{self.reason}, giving up at {self._time_in(self.patience()):%H:%M:%S}"
        return f"{waiting}{self.reason}" if waiting else ""

    def saw(self, reply: Reply, verdict: Verdict) -> Stop | None:
        """Take from a reply what concerns every row; return why the run must stop, if it must."""
        if verdict.outcome is Outcome.UPDATED:
            self.is_proven = True
            self._throttled_in_a_row = 0
        self._breaker.saw(away=verdict.away, now=self._now())
        if verdict.stop is not None:
            return Stop(EXIT_CODES[verdict.stop], verdict.stop, f"{reply.error}: {reply.detail}")
        if reply.error == "dns_failed" and not self.is_proven:
            return Stop(6, "aborted_outage", f"{reply.error}: {reply.detail}")
        if holds_everyone(reply):
            return self._hold_as_asked(reply)
        if verdict.away:
            return self._ride_out(reply)
        return None

    def _ride_out(self, reply: Reply) -> Stop | None:
        if (left := self.patience()) <= 0:
            away = show_duration(round(self._breaker.away_for(self._now())))
            return Stop(6, "aborted_outage", f"the server was away for {away}: {reply.error}, {reply.detail}")
        if self.is_outage:
            wait = min(backoff(self._breaker.probes + 1, self._chance()), left)
            self._hold(wait, f"the server is away ({reply.error})")
        return None

    def _hold_as_asked(self, reply: Reply) -> Stop | None:
        limit = self._options.max_retry_after
        if reply.retry_after is not None and reply.retry_after > limit:
            asked = show_duration(reply.retry_after)
            reason = f"the server asks to wait {asked}, more than --max-retry-after {show_duration(limit)}"
            return Stop(6, "aborted_outage", reason)
        self._throttled_in_a_row += not self._pacer.is_held
        self._pacer.lower()
        nth = max(1, self._throttled_in_a_row)
        self._hold(hold(reply.retry_after, nth, self._chance()), f"the server answers {reply.status}")
        return None

    def _hold(self, seconds: float, reason: str) -> None:
        if not self._pacer.is_held:
            self._tally.holds += 1
            self._tell("hold", wait=seconds, until=self._time_in(seconds), reason=reason)
        self.reason = reason
        self._pacer.hold(seconds)

    def _time_in(self, seconds: float) -> datetime:
        """Return the time that it will be then, as the clock on the wall has it."""
        return datetime.fromtimestamp(self._wall() + seconds, UTC).astimezone()
