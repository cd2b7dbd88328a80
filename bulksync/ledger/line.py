"""The rows returned by the ledger's queries, as named tuples; the statements are built from these names."""

from typing import NamedTuple


class Line(NamedTuple):
    """One row of a run as stored in the ledger.

    *line* is the row's line in the input; *steps* is JSON; times are ISO 8601, None if we have none; *duration* is that
    of the last request, in milliseconds; *doubtful* is 1 if an attempt without a usable answer may have been applied.
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
    """The values recorded for one row: Unix times in seconds, and the payload's *digest* once it is acknowledged.

    *duration* is in milliseconds; *attempts* and *doubtful* are added to the stored values.
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
    """A row with an error, and its location."""

    row: int
    line: int
    error: str
    detail: str


class NotDone(NamedTuple):
    """A row that is not done, as listed in the HTML report."""

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
    """An execution that appears in several rows: the first of them, and their number."""

    execution: str
    row: int
    rows: int


class Moves(NamedTuple):
    """How many executions changed from the disposition *old* to *new*."""

    old: str
    new: str
    executions: int


class Moved(NamedTuple):
    """A row whose execution had another disposition in an earlier run, named *run*."""

    row: int
    line: int
    workflow: str
    execution: str
    old: str
    new: str
    run: str
