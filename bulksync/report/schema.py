"""The formats that programs read: a run's summary, and the lines of its JSON report."""

from collections.abc import Mapping
from datetime import datetime
from math import isinf
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict  # pydantic cannot make a schema of the one in `typing` before Python 3.12

from bulksync.ledger.store import timestamp
from bulksync.options.values import parse_rate, show_rate

SCHEMA_VERSION = 1
"""Incremented when a key of the summary or the JSON report is removed or changes meaning, not when one is added."""


def finite(rate: object) -> object:
    """Return a rate as requests per second, None for `unlimited`. Raises ValueError if it is not a rate."""
    found = parse_rate(rate) if isinstance(rate, str) else rate
    return None if isinstance(found, float) and isinf(found) else found


def iso(moment: datetime) -> str:
    """Format a time in UTC as in the report."""
    return timestamp(moment.timestamp()) or ""


Rate = Annotated[float | None, BeforeValidator(finite), PlainSerializer(show_rate, str, "json")]
"""Requests per second, None if unlimited; in JSON as people write it, such as `10/s`."""

Moment = Annotated[datetime, PlainSerializer(iso, str, "json")]
"""A time in UTC; in JSON with milliseconds and `Z`."""


class Part(BaseModel):
    """A part of the summary: snake_case here, camelCase in JSON."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Latency(Part):
    """Latency percentiles in milliseconds; absent if no answer was received."""

    p50: int | None = None
    p95: int | None = None
    p99: int | None = None


class TimeWent(Part):
    """What kept the next request from starting, as shares of the time.

    The `rate`, a `hold` (all requests paused), the `server` (all requests in flight), or no row to send (`retry`).
    """

    rate: float = 0.0
    hold: float = 0.0
    server: float = 0.0
    retry: float = 0.0


class Timeline(Part):
    """Requests by their answer in time slices, from the first request on."""

    start: Annotated[Moment | None, Field(validation_alias="from", serialization_alias="from")] = None
    slice_seconds: float
    acknowledged: tuple[int, ...]
    throttled: tuple[int, ...]
    other: tuple[int, ...]

    @property
    def counts(self) -> Mapping[str, tuple[int, ...]]:
        """The counts by answer."""
        return {"acknowledged": self.acknowledged, "throttled": self.throttled, "other": self.other}


class Transition(Part):
    """How many executions changed from one disposition to another since an earlier run."""

    old: Annotated[str, Field(validation_alias="from", serialization_alias="from")]
    new: Annotated[str, Field(validation_alias="to", serialization_alias="to")]
    count: int


class Known(Part):
    """What the ledger knows about a run: rows by outcome, HTTP status, disposition and error."""

    run: str
    input: str
    target: str
    rows: int
    started: Moment
    ended: Moment | None = None
    outcomes: Mapping[str, int]
    http_statuses: Mapping[str, int]
    dispositions: Mapping[str, int]
    moved: tuple[Transition, ...] = ()
    errors: Mapping[str, int]


class Measured(Part):
    """What the run's last invocation counted and timed.

    `throttled` counts answers with 429, `unavailable` those with 503; `pauses` counts the times all requests were
    paused. `timeBreakdown` is another name for `timeWent`.
    """

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    unavailable: int = 0
    pauses: int = 0
    paused_seconds: float = 0.0
    rate: Rate = None
    max_in_flight: int = 0
    achieved_rate: float | None = None
    latency_ms: Latency = Latency()
    time_went: TimeWent = TimeWent()
    time_breakdown: TimeWent = TimeWent()
    elapsed_seconds: float = 0.0
    timeline: Timeline | None = None


class Summary(Measured, Known):
    """A run in numbers, why it stopped, the exit code, and the next step.

    `exitCode` is null if the run was killed, in which case nothing was measured either. `version` is the version of
    bulksync that wrote the summary.
    """

    stopped: str = ""
    advice: str = ""
    exit_code: int | None
    next_step: str
    version: str = ""
    schema_version: int = SCHEMA_VERSION

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object, without values that were not measured or that an older bulksync did not record."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class ReportStep(TypedDict):
    """One step execution, in the server's words."""

    id: str
    type: str
    order: float | None
    status: str
    disposition: str
    callEndedReason: str


class ReportLine(TypedDict):
    """One row of the input and its answer; null if nothing was sent. The input's other columns follow."""

    row: int
    line: int
    workflowId: str
    executionId: str
    requestedStatus: str
    outcome: str
    httpStatus: int | None
    attempts: int
    returnedStatus: str
    disposition: str
    stepDispositions: list[str]
    startedAt: str
    completedAt: str
    firstSentAt: str | None
    finishedAt: str | None
    durationMs: int | None
    dispositionCertain: bool | None
    orderRisk: bool | None
    error: str
    detail: str
    steps: list[ReportStep]
