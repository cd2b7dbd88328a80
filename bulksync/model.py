"""The data types passed between stations: rows in, replies back, outcomes out."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Literal, TypeVar, dataclass_transform

T = TypeVar("T")

Tell = Callable[..., None]
"""Logs an event, given its name and fields."""


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass for the type checker only, which verifies that no instance is changed.

    Python's own `frozen=True` takes 0.25 µs for each field of each new instance; a row sets 40 fields along the way, so
    that it took 10 µs of 220 (measured).
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


Key = tuple[str, str]
"""(workflowId, executionId), both in lower case: rows with the same key are kept in order."""


class Outcome(StrEnum):
    """What became of a row, which also determines how to proceed with it."""

    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    INVALID = "invalid"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNSENT = "unsent"
    FETCHED = "fetched"


SETTLED = frozenset({Outcome.UPDATED, Outcome.FETCHED, Outcome.UNCHANGED, Outcome.REJECTED, Outcome.INVALID})
"""Outcomes that release the next row of the same execution and are not sent again."""

LocalError = Literal[
    "encoding_invalid",
    "csv_malformed",
    "json_malformed",
    "not_an_object",
    "duplicate_member",
    "field_missing",
    "field_count_mismatch",
    "id_invalid",
    "status_invalid",
    "metadata_invalid",
    "row_too_large",
    "input_changed",
]

TransportError = Literal[
    "dns_failed",
    "connect_failed",
    "connect_timeout",
    "tls_failed",
    "tls_verify_failed",
    "proxy_failed",
    "request_timeout",
    "connection_lost",
    "response_truncated",
    "protocol_error",
]

AnswerError = Literal["redirect_refused", "response_too_large", "response_invalid", "response_mismatch"]
"""Why an answer that did arrive is not an acknowledgement; `http_<status>` completes the set."""

RunError = Literal[
    "interrupted",
    "aborted_access",
    "aborted_error_budget",
    "aborted_outage",
    "aborted_storage",
    "deadline_exceeded",
    "predecessor_unresolved",
    "superseded",
    "internal_error",
]


@value
class Row:
    """One valid input row, ready to be sent.

    *row* counts data rows from 1, *line* is the physical line where it starts, *body* is the JSON object to send.
    """

    row: int
    line: int
    workflow_id: str
    execution_id: str
    status: str | None
    body: bytes

    @property
    def key(self) -> Key:
        """The execution that this row updates."""
        return self.workflow_id, self.execution_id


def payload_digest(body: bytes) -> str:
    """Return a digest that distinguishes payloads without storing them."""
    return blake2b(body, digest_size=16).hexdigest()


@value
class InvalidRow:
    """One input row that is never sent, and why; the IDs and the status are verbatim input, as far as readable.

    *fatal* says that the rows after it cannot be told apart, so that the whole input is refused.
    """

    row: int
    line: int
    error: LocalError
    detail: str
    workflow_id: str = ""
    execution_id: str = ""
    status: str = ""
    fatal: bool = False


@value
class Preview:
    """The request that puts a row, as it would appear on the wire; the key in *headers* is redacted."""

    row: int
    line: int
    method: str
    url: str
    headers: dict[str, str]
    body: str


@value
class Step:
    """One step execution as the server reported it, verbatim."""

    id: str
    type: str
    order: float | None
    status: str
    disposition: str
    call_ended_reason: str


@value
class Execution:
    """The execution in an answer, in the server's words; *steps* are sorted by their order.

    *metadata* is JSON on one line as the server wrote it; it is empty if it was not requested or is not an object.
    """

    status: str
    disposition: str
    started_at: str
    completed_at: str
    steps: Sequence[Step]
    metadata: str = ""


@value
class Reply:
    """The reply to one attempt, or why there was none.

    *status* is the HTTP status, None if no status line arrived; *error* is empty exactly if *execution* is given;
    *retry_after* is in seconds; *stranger* says that there was an answer, but without a JSON object of the right kind:
    nothing shows that it came from this API.
    """

    status: int | None
    error: str
    detail: str = ""
    execution: Execution | None = None
    retry_after: float | None = None
    stranger: bool = False


Turn = Callable[[], Awaitable[bool]]
"""Waits until a request may be written at once; False if the run stops instead."""

Send = Callable[[Row, Turn], Awaitable[Reply | None]]
"""Makes one request for a row: gets a connection, waits for its turn, writes; None if the run stops before the
write.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of request: how it is made, and the outcome of a row after a valid answer.

    *is_safe* says that it changes nothing at the server (RFC 9110 §9.2.1), so that a lost answer leaves no doubt;
    *proves* says that a valid answer shows that the key has the access which the rows need.
    """

    send: Send
    outcome: Outcome = Outcome.UPDATED
    is_safe: bool = False
    proves: bool = True


Way = Callable[[Row], Sequence[Request]]
"""The requests for a row, in order; each except the first is sent after a valid answer to the previous one."""


@value
class Stop:
    """Why a run ends before its input does: the exit code, and the error and detail for the rows not reached.

    *next_step* is what to do, if the exit code alone does not say.
    """

    exit_code: int
    error: str
    detail: str
    next_step: str = ""


@value
class Result:
    """The result of one row in this run, as recorded in the ledger.

    *attempts* counts the requests of this run; times are Unix times in seconds; *doubtful* says that an attempt without
    a usable answer may have been applied.
    """

    row: int
    key: Key
    outcome: Outcome
    error: str = ""
    detail: str = ""
    status: int | None = None
    execution: Execution | None = None
    attempts: int = 0
    first_sent: float | None = None
    finished: float | None = None
    duration: float | None = None
    doubtful: bool = False
    digest: str = ""
