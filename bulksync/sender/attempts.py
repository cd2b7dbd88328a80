"""The attempts at one row, and the result they add up to."""

from dataclasses import dataclass, field
from typing import Any

from bulksync.model import Outcome, Reply, Request, Result, Row, Stop, payload_digest
from bulksync.sender.retry import Verdict


@dataclass(slots=True)
class Attempts:
    """The attempts made for one row in this run: *tries* in all, *requests* of them on the wire.

    *sent* and *started* are the last attempt's wall and monotonic time. *counted* holds the monotonic times of the
    failures that count against `--max-attempts`; *is_spent* says that the last one exceeded the limit; *pages* counts
    refusals without a JSON object.
    """

    row: Row
    request: Request
    tries: int = 0
    requests: int = 0
    counted: list[float] = field(default_factory=list)
    is_spent: bool = False
    sent: float = 0.0
    started: float = 0.0
    in_flight: bool = False
    has_made_room: bool = False
    is_disbelieved: bool = False
    pages: int = 0
    doubtful: bool = False
    first_sent: float | None = None
    finished: float | None = None
    duration: float = 0.0
    reply: Reply | None = None
    verdict: Verdict | None = None

    @property
    def named(self) -> dict[str, Any]:
        """Return the log fields that identify a row and its number of attempts; never its payload."""
        row = self.row
        return {
            "row": row.row,
            "line": row.line,
            "workflowId": row.workflow_id,
            "executionId": row.execution_id,
            "attempt": self.tries,
        }

    @property
    def is_acknowledged(self) -> bool:
        """Whether the last reply is the one that was asked for."""
        return self.verdict is not None and self.verdict.is_success

    @property
    def _may_be_applied(self) -> bool:
        return self.in_flight and not self.request.is_safe

    def begin(self, sent: float, started: float, *, in_flight: bool) -> None:
        """Record that an attempt begins; it can have reached the server only once it is *in flight*."""
        self.sent, self.started, self.in_flight = sent, started, in_flight

    def record_reply(self, reply: Reply, verdict: Verdict, now: float) -> None:
        """Record the reply to the latest attempt."""
        self.in_flight = False
        self.reply, self.verdict, self.duration = reply, verdict, now - self.started
        self.tries += 1
        self.pages += reply.stranger and verdict.outcome is Outcome.REJECTED
        if verdict.sent:
            self.requests += 1
            self.doubtful = self.doubtful or verdict.doubtful
            self.first_sent = self.sent if self.first_sent is None else self.first_sent
            self.finished = self.sent + self.duration

    def forgive(self, since: float) -> None:
        """Refund the attempts that failed after *since*, when the failures turned out to be the server's."""
        self.counted = [time for time in self.counted if time < since]

    def result(self, stop: Stop | None = None) -> Result:
        """Return the row's result: from its last reply, or from the *stop* if there is none."""
        if self._may_be_applied:
            return self._as(Outcome.UNKNOWN, "interrupted", "stopped while its request was in flight")
        if self.reply is None or self.verdict is None:
            return self._as(Outcome.UNSENT, stop.error if stop else "interrupted", stop.detail if stop else "")
        outcome = self.verdict.outcome
        is_refusal_open = outcome is Outcome.REJECTED and self.is_disbelieved
        if is_refusal_open or outcome is Outcome.FAILED or (outcome is Outcome.UNSENT and self.requests):
            # Whatever the last attempt's outcome, an earlier one may have been applied.
            outcome = Outcome.UNKNOWN if self.doubtful else Outcome.FAILED
        return self._as(outcome, self.reply.error, self.reply.detail)

    def fault(self, error: Exception) -> Result:
        """Return the row's result after an internal error."""
        return self._as(
            Outcome.UNKNOWN if self._may_be_applied else Outcome.FAILED, "internal_error", type(error).__name__
        )

    def _as(self, outcome: Outcome, error: str, detail: str) -> Result:
        row, reply = self.row, self.reply
        return Result(
            row=row.row,
            key=row.key,
            outcome=outcome,
            error=error,
            detail=detail,
            status=reply.status if reply else None,
            execution=reply.execution if reply else None,
            attempts=self.requests + self.in_flight,
            first_sent=self.first_sent,
            finished=self.finished,
            duration=self.duration if self.requests else None,
            doubtful=self.doubtful or self._may_be_applied,
            digest=payload_digest(row.body) if outcome is Outcome.UPDATED else "",
        )
