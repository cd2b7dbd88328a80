"""Results of the Python API: the result of each row, and the progress of the run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from bulksync.console.progress import Look
from bulksync.ledger.line import Line
from bulksync.model import Outcome, Step
from bulksync.report.table import COLUMNS, headings


@dataclass(frozen=True, slots=True)
class RowResult:
    """The result of one row: the columns of the report as Python values; empty if the server gave none.

    *row* counts from 1, *line* is where the row starts in the file; *attempts* includes retries; times are ISO 8601
    as in the report. *disposition_certain* is None for a row that was never sent. *columns* are the row's echoed
    columns, by name, as text.
    """

    row: int
    line: int
    workflow_id: str
    execution_id: str
    requested_status: str
    outcome: Outcome
    http_status: int | None
    attempts: int
    returned_status: str
    disposition: str
    steps: tuple[Step, ...]
    started_at: str
    completed_at: str
    first_sent_at: str | None
    finished_at: str | None
    duration_ms: int | None
    disposition_certain: bool | None
    error: str
    detail: str
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a flat dict under the report's column names, followed by *columns*.

        Such dicts make a data frame: `DataFrame([result.as_dict() for result in results])`. A column with the
        same name as one of the report's is called `input.NAME`, as in the report.
        """
        values = {name: getattr(self, attribute) for name, attribute in ATTRIBUTES.items()}
        values["outcome"] = str(self.outcome)
        return values | dict(zip(headings(self.columns), self.columns.values(), strict=True))

    @property
    def step_dispositions(self) -> list[str]:
        """The dispositions of the steps, in order."""
        return [step.disposition for step in self.steps]


@dataclass(frozen=True, slots=True)
class Progress:
    """A run's progress: *done* rows of *total*, which is None for a stream and until the input is validated.

    *rate* is rows per second since the first was sent, *elapsed* is in seconds; *waiting* says what the run is
    waiting for or doing besides sending, empty if nothing delays it.
    """

    done: int = 0
    total: int | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    retries: int = 0
    in_flight: int = 0
    rate: float = 0.0
    elapsed: float = 0.0
    waiting: str = ""


def progress_of(look: Look | str, last: Look | None) -> Progress:
    """Return a look at a run as numbers; a text is its activity when not sending, *last* the progress up to then."""
    if isinstance(look, str):
        return replace(progress_of(last, None), waiting=look) if last else Progress(waiting=look)
    tally = look.tally
    return Progress(
        done=tally.done,
        total=look.total,
        outcomes={str(outcome): count for outcome, count in tally.outcomes.items()},
        requests=tally.requests,
        retries=tally.retries,
        in_flight=look.in_flight,
        rate=tally.done / look.elapsed if look.elapsed > 0 else 0.0,
        elapsed=look.elapsed,
        waiting=look.waiting,
    )


def result_of(line: Line, columns: Mapping[str, str]) -> RowResult:
    """Return a line of the ledger as a result, together with its echoed columns."""
    return RowResult(
        row=line.row,
        line=line.line,
        workflow_id=line.workflow,
        execution_id=line.execution,
        requested_status=line.requested,
        outcome=Outcome(line.outcome),
        http_status=line.http,
        attempts=line.attempts,
        returned_status=line.returned,
        disposition=line.disposition,
        steps=tuple(Step(**step) for step in orjson.loads(line.steps)),
        started_at=line.started,
        completed_at=line.completed,
        first_sent_at=line.first_sent,
        finished_at=line.finished,
        duration_ms=line.duration,
        disposition_certain=not line.doubtful if line.was_sent else None,
        error=line.error,
        detail=line.detail,
        columns=columns,
    )


def attribute_of(column: str) -> str:
    """Return the attribute of a result for a column of the report: `workflow_id` for `workflowId`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in column)


ATTRIBUTES = {name: attribute for name in COLUMNS if hasattr(RowResult, attribute := attribute_of(name))}
"""The report's columns, in order, and their attributes; `orderRisk` has none, as it is known only at the end."""
