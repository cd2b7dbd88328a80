"""The rows of the ledger's answers, each with the names of its columns; statements are made from these names."""

from typing import NamedTuple


class Line(NamedTuple):
    """One row of a run as the ledger holds it.

    *line* is the row's line in the input; *steps* is JSON; times are ISO 8601, None where there is none of ours;
    *duration* is that of the last request, in milliseconds; *doubtful* is 1 where an attempt without a usable answer
    may have been applied.
    """

    row: int
    line: int
    workflow: str
    execution: str
    requested: str
    outcome: str
    http: int | None
    attempts: int
    returned: str
    disposition: str
    steps: str
    started: str
    completed: str
    first_sent: str | None
    finished: str | None
    duration: int | None
    doubtful: int
    error: str
    detail: str

    @property
    def was_sent(self) -> bool:
        """Whether a request may have reached the server."""
        return bool(self.attempts or self.doubtful)


class Recorded(NamedTuple):
    """What is recorded of one row: Unix times in seconds, the *digest* of a payload once it is acknowledged.

    *duration* is in milliseconds; *attempts* and *doubtful* are added to what is there.
    """

    row: int
    outcome: str
    error: str
    detail: str
    http: int | None
    attempts: int
    returned: str
    disposition: str
    steps: str
    started: str
    completed: str
    first_sent: float | None
    finished: float | None
    duration: int | None
    doubtful: bool
    digest: str | None


class Problem(NamedTuple):
    """A row with an error, and where it stands."""

    row: int
    line: int
    error: str
    detail: str


class NotDone(NamedTuple):
    """A row that is not as it should be, as the page lists it."""

    row: int
    line: int
    workflow: str
    execution: str
    requested: str
    outcome: str
    http: int | None
    attempts: int
    error: str
    detail: str


class Repeated(NamedTuple):
    """An execution that stands in several rows: the first of them, and how many."""

    execution: str
    row: int
    rows: int


class Moves(NamedTuple):
    """How many executions went from the disposition *old* to *new*."""

    old: str
    new: str
    executions: int


class Moved(NamedTuple):
    """A row whose execution had another disposition in an earlier run, whose name is *run*."""

    row: int
    line: int
    workflow: str
    execution: str
    old: str
    new: str
    run: str
