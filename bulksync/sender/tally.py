"""Counters of one invocation: for progress, for the summary, and for the failure budget."""

from collections import Counter
from dataclasses import dataclass, field

from bulksync.model import Outcome, Reply

CAUSES = ("rate", "hold", "server", "retry")

ANSWERS = ("acknowledged", "throttled", "other")
"""The kinds of answer that a timeline distinguishes: 429 is `throttled`, no answer at all is `other`."""

SLICES = 120
"""Parts of a timeline: as many as a chart has room for."""


@dataclass(slots=True)
class Timeline:
    """Counts requests by their answer in `SLICES` slots of *width* seconds, doubled whenever the run outgrows them."""

    width: float = 1.0
    counts: dict[str, list[int]] = field(default_factory=lambda: {answer: [0] * SLICES for answer in ANSWERS})

    def count(self, after: float, answer: str) -> None:
        """Count a request with this *answer*, *after* seconds from the first one sent."""
        part = max(0, int(after / self.width))  # the clock may have been set back
        while part >= SLICES:
            self._double()
            part //= 2
        self.counts[answer][part] += 1

    def _double(self) -> None:
        self.width *= 2
        for answer, counts in self.counts.items():
            pairs = [one + other for one, other in zip(counts[::2], counts[1::2], strict=True)]
            self.counts[answer] = pairs + [0] * (SLICES - len(pairs))


@dataclass(slots=True)
class Tally:
    """Counts of rows and requests, of which *width* could be in flight; *latencies* counts answers by milliseconds.

    *time_went* splits the run's time, in seconds, by what kept the next request from starting: the `rate`, a `hold`,
    the `server` (all requests in flight), or rows backing off (`retry`).
    """

    width: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    dispositions: Counter[str] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    unavailable: int = 0
    holds: int = 0
    time_went: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0.0))
    first_sent: float | None = None
    last_answer: float | None = None
    timeline: Timeline = field(default_factory=Timeline)

    def count(self, reply: Reply, *, sent: float, duration: float, is_retry: bool) -> None:
        """Count one request and its reply; *sent* is a Unix time, *duration* in seconds."""
        self.requests += 1
        self.retries += is_retry
        self.throttled += reply.status == 429
        self.unavailable += reply.status == 503
        self.first_sent = sent if self.first_sent is None else self.first_sent
        self.last_answer = sent + duration
        answer = "throttled" if reply.status == 429 else "other" if reply.error else "acknowledged"
        self.timeline.count(self.last_answer - self.first_sent, answer)
        if reply.status is not None:
            self.latencies[round(duration * 1000)] += 1
        if reply.execution is not None and reply.execution.disposition:
            self.dispositions[reply.execution.disposition] += 1

    @property
    def done(self) -> int:
        """Return how many rows this invocation has brought to an outcome."""
        return self.outcomes.total()

    @property
    def failures(self) -> int:
        """Return how many rows count against the failure budget."""
        counted = self.outcomes.get  # no generator, as this runs after every row
        return counted(Outcome.REJECTED, 0) + counted(Outcome.FAILED, 0) + counted(Outcome.UNKNOWN, 0)

    def percentile(self, share: float) -> int | None:
        """Return the latency in milliseconds not exceeded by a *share* of the answers; None if there are none."""
        wanted = share * self.latencies.total()
        seen = 0
        for latency, count in sorted(self.latencies.items()):
            seen += count
            if seen >= wanted:
                return latency
        return None
