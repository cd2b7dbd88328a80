"""What the replies mean for access and server: how many in flight, what everyone waits for, when to give up."""

import math
from datetime import UTC, datetime

from bulksync.model import Outcome, Reply, Request, Row, RunError, Stop, Tell
from bulksync.options.models import RunOptions
from bulksync.options.values import show_duration
from bulksync.quota.pacer import Pacer
from bulksync.sender.attempts import Attempts
from bulksync.sender.clock import Clock
from bulksync.sender.retry import Verdict, backoff, hold, holds_everyone, is_too_fast, judge, judge_for
from bulksync.sender.standing import (
    REFUSALS,
    SUSPICIOUS,
    Bad,
    Kind,
    Rank,
    Standing,
    kind_of,
    note_failure,
    note_settled,
    note_success,
    rank,
    trust,
)
from bulksync.sender.tally import Tally

EXIT_CODES: dict[RunError, int] = {"aborted_access": 5, "aborted_outage": 6}
"""Exit codes of the runs that a reply itself stops."""

PAUSING = frozenset({Kind.UNREACHED, Kind.LOST, Kind.FAILED, Kind.CRASHED})
"""Bad answers at the start that may be temporary; a refusal, or another service's answer, would soon recur."""

PATIENT = 3
"""Number of times that the pause between probes grows while access is in doubt, to 2 s: enough for a proxy reload."""


class Health:
    """Owns the standing of access and server, the reasons for holds, and the single clock of `--max-outage`."""

    def __init__(
        self,
        options: RunOptions,
        pacer: Pacer,
        tally: Tally,
        tell: Tell,
        clock: Clock,
        *,
        is_known: bool = False,
    ) -> None:
        self._options = options
        self._pacer = pacer
        self._tally = tally
        self._tell = tell
        self._clock = clock
        self.standing = trust(Standing()) if is_known else Standing()
        self._accepts = options.accept_refusals
        self._has_answered = False
        self._has_served = True
        """Whether a row was acknowledged since the server last complained: otherwise it may just be unreachable."""
        self._holds_in_a_row = 0
        self._waiting_since: float | None = None
        self.is_asking_around = False
        """Whether rows from elsewhere in the input are being fetched: until they arrive, no row is asked."""
        self.reason = ""
        self._last_bad = ""

    # Who may start

    @property
    def is_proven(self) -> bool:
        """Whether the key and the URL have worked in this run."""
        return self.standing.has_succeeded

    def width(self) -> int:
        """Return how many requests may be in flight: one at a time while access or server is in doubt."""
        if self.is_asking_around:
            return 0
        return self._options.max_in_flight if self._has_answered and self.standing.is_calm else 1

    def breadth(self, in_flight: int) -> int:
        """Return how many rows may have connections: all once one request is in flight and nothing has failed."""
        is_promising = in_flight and not self._has_answered and not self.standing.unexplained
        return self._options.max_in_flight if is_promising and not self.is_asking_around else self.width()

    def rank(self) -> Rank | None:
        """Return the sort key for choosing the next row to ask; None for file order."""
        return None if self.standing.is_calm else self._rank

    def _rank(self, row: Row, tried: int) -> tuple[int, bool, bool, int]:
        return rank(self.standing, row, tried)

    # The single clock

    @property
    def gives_up_at(self) -> float | None:
        """Return when the run ends unless an answer settles a row before; None while nothing is waited for."""
        since = self._waits_since
        return None if since is None else since + self._options.max_outage

    @property
    def _waits_since(self) -> float | None:
        waiting = [since for since in (self._waiting_since, self._pacer.waits_since) if since is not None]
        return min(waiting, default=None)

    def settle(self, row: Row, *, by_answer: bool) -> None:
        """Record that a row has its outcome; if an answer gave it, restart the clock."""
        if by_answer:
            self._waiting_since = None
        self.standing = note_settled(self.standing, row.key)

    def outage(self) -> Stop:
        """Return the stop of a run that has waited too long."""
        since = self._waits_since if self._waits_since is not None else self._clock.now()
        waited = show_duration(round(self._clock.now() - since))
        reason = self._pacer.waits_for or self.reason
        return Stop(6, "aborted_outage", f"no answer settled a row for {waited}: {reason}")

    @property
    def waiting_for(self) -> str:
        """Describe what everyone waits for, how much longer, until when, and when to give up; empty if nothing."""
        left = self._pacer.held_until - self._clock.now()
        if left <= 0 and self.standing.is_calm:
            return ""
        waiting = f"waiting {math.ceil(left)}s more, until {self._time_in(left):%H:%M:%S}: " if left > 0 else ""
        return f"{waiting}{self._pacer.waits_for or self.reason or 'the first answer'}{self._giving_up()}"

    def _giving_up(self) -> str:
        at = self.gives_up_at
        return "" if at is None else f", giving up at {self._time_in(at - self._clock.now()):%H:%M:%S}"

    # What a reply means

    def judge(self, request: Request, reply: Reply, *, is_alone: bool = True) -> Verdict:
        """Return what the reply to a *request* means for its row; not *is_alone* if another was in flight."""
        is_proven = self.is_proven or not self.standing.is_doubted or not is_alone
        return judge_for(request, judge(reply, is_proven=is_proven))

    def observe(self, attempts: Attempts, reply: Reply, verdict: Verdict) -> Stop | None:
        """Take from a reply what concerns every row; return why the run must stop, if it must."""
        if verdict.is_success:
            self._accepts, self._has_answered, self._holds_in_a_row, self.reason = False, True, 0, ""
            self._has_served = True
            self.standing = note_success(self.standing, attempts.row.key, attempts.started)
            return None
        if verdict.stop is not None:
            return Stop(EXIT_CODES[verdict.stop], verdict.stop, f"{reply.error}: {reply.detail}")
        self._waiting_since = attempts.started if self._waiting_since is None else self._waiting_since
        self._last_bad = f"{reply.error}, {reply.detail}" if reply.detail else reply.error
        kind = kind_of(reply, verdict, self.standing, attempts.pages)
        if verdict.outcome is Outcome.REJECTED and self._accepts:
            self.standing = trust(self.standing)
        elif kind is not None:
            self.standing = note_failure(self.standing, self._bad(attempts, kind))
        self._has_answered = self._has_answered or (kind in REFUSALS and not self.standing.is_doubted)
        return self.no_access() if self.standing.is_refused else self._pause(reply, kind)

    def _bad(self, attempts: Attempts, kind: Kind) -> Bad:
        return Bad(attempts.row.row, attempts.row.key, kind, attempts.started, self._clock.now())

    def no_access(self) -> Stop | None:
        """Return the stop of a run that is refused, or answered by another service, everywhere; else None."""
        standing = self.standing
        if not (standing.is_doubted and any(bad.kind in SUSPICIOUS for bad in standing.unexplained.values())):
            return None
        if standing.is_strange:
            return Stop(6, "aborted_outage", f"no answer of this API: {self._last_bad}")
        return Stop(5, "aborted_access", f"every row that was asked was refused: {self._last_bad}")

    def _pause(self, reply: Reply, kind: Kind | None) -> Stop | None:
        """Pause all requests: as the server asks, or between probes; at the start only after errors in `PAUSING`."""
        if is_too_fast(reply) and self._has_served:
            self._has_served = False
            self._pacer.lower()
        if holds_everyone(reply):
            return self._hold_as_asked(reply)
        if self.standing.is_away:
            self._hold(backoff(self._next_hold(), self._clock.chance()), f"the server is unreachable ({reply.error})")
        elif self.standing.is_doubted and (self.is_proven or kind in PAUSING):
            wait = backoff(min(self._next_hold(), PATIENT), self._clock.chance())
            self._hold(wait, f"rows are refused or fail ({reply.error}), asking others")
        return None

    def _next_hold(self) -> int:
        self._holds_in_a_row += not self._pacer.is_held
        return max(1, self._holds_in_a_row)

    def _hold_as_asked(self, reply: Reply) -> Stop | None:
        limit = self._options.max_retry_after
        if reply.retry_after is not None and reply.retry_after > limit:
            asked = show_duration(reply.retry_after)
            reason = f"the server asks to wait {asked}, more than --max-retry-after {show_duration(limit)}"
            return Stop(6, "aborted_outage", reason)
        wait = hold(reply.retry_after, self._next_hold(), self._clock.chance())
        self._hold(wait, f"the server answers {reply.status}", everyone=True)
        return None

    def _hold(self, seconds: float, reason: str, *, everyone: bool = False) -> None:
        """Hold all requests, but no longer than `--max-outage` allows; log a hold for the same reason only once."""
        if self.gives_up_at is not None:
            seconds = max(0.0, min(seconds, self.gives_up_at - self._clock.now()))
        is_new = not self._pacer.is_held
        self._tally.holds += is_new
        if is_new and reason != self.reason:
            self._tell("hold", wait=seconds, until=self._time_in(seconds), reason=reason)
        self.reason = reason
        self._pacer.hold(seconds, everyone=everyone)

    def _time_in(self, seconds: float) -> datetime:
        """Return the wall-clock time *seconds* from now."""
        return datetime.fromtimestamp(self._clock.wall() + seconds, UTC).astimezone()
