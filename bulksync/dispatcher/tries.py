"""The attempts at one row, and what they make of it."""

from dataclasses import dataclass
from typing import Any

from bulksync.model import Outcome, Reply, Result, Row, Stop, payload_digest
from bulksync.retry import Verdict, judge


@dataclass(slots=True)
class Tries:
    """What was tried for one row in this run; times are in seconds, *charged* counts against `--max-attempts`."""

    row: Row
    tried: int = 0
    attempts: int = 0
    charged: int = 0
    in_flight: bool = False
    doubtful: bool = False
    first_sent: float | None = None
    finished: float | None = None
    duration: float = 0.0
    reply: Reply | None = None
    verdict: Verdict | None = None

    @property
    def named(self) -> dict[str, Any]:
        """What the log names of a row, and how often it was tried; its payload stays out."""
        row = self.row
        return {
            "row": row.row,
            "line": row.line,
            "workflowId": row.workflow_id,
            "executionId": row.execution_id,
            "attempt": self.tried,
        }

    def take(self, reply: Reply, *, sent: float, duration: float, is_outage: bool) -> Verdict:
        """Take note of a reply to a request *sent* at that time; failures in an outage are not the row's fault."""
        verdict = judge(reply)
        self.in_flight = False
        self.reply, self.verdict, self.duration = reply, verdict, duration
        self.tried += 1
        if verdict.sent:
            self.attempts += 1
            self.charged += not (verdict.away and is_outage)
            self.doubtful = self.doubtful or verdict.doubtful
            self.first_sent = sent if self.first_sent is None else self.first_sent
            self.finished = sent + duration
        return verdict

    def result(self, stop: Stop | None = None) -> Result:
        """Return what became of the row: by its last reply, or by the *stop* where there is none."""
        if self.in_flight:
            return self._as(Outcome.UNKNOWN, "interrupted", "stopped while its request was in flight")
        if self.reply is None or self.verdict is None:
            return self._as(Outcome.UNSENT, stop.error if stop else "interrupted", stop.detail if stop else "")
        outcome = self.verdict.outcome
        if outcome is Outcome.UNSENT and self.attempts:
            # The last try did not reach the server, but one before it did.
            outcome = Outcome.UNKNOWN if self.doubtful else Outcome.FAILED
        return self._as(outcome, self.reply.error, self.reply.detail)

    def fault(self, error: Exception) -> Result:
        """Return what became of the row where our own code failed."""
        return self._as(Outcome.UNKNOWN if self.in_flight else Outcome.FAILED, "internal_error", type(error).__name__)

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
            attempts=self.attempts + self.in_flight,
            first_sent=self.first_sent,
            finished=self.finished,
            duration=self.duration if self.attempts else None,
            doubtful=self.doubtful or self.in_flight,
            digest=payload_digest(row.body) if outcome is Outcome.UPDATED else "",
        )
