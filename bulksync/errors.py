"""Exceptions end runs, never rows: each carries what happened, what to do next, and the exit code that says so.

BulksyncError
├── UsageError     2   the call or the configuration is wrong; nothing was sent
├── InputError     7   the input cannot be read, or changed while it was read
├── StorageError   8   the ledger or the report cannot be read or written
├── LockedError    9   another run holds the ledger
└── StoppedError       a signal came before the first request; the signal's code
"""

from collections.abc import Iterator
from contextlib import contextmanager


class BulksyncError(Exception):
    """Ends a run with a message for people: *what* happened and the *next step*, if so *again* by the same call.

    *adding* is an option and its value that the same call needs.
    """

    exit_code = 1

    def __init__(
        self, what: str, next_step: str = "", *, again: bool = False, adding: tuple[str, str] | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step
        self.again = again
        self.adding = adding


class UsageError(BulksyncError):
    """The call or the configuration is wrong; nothing was sent."""

    exit_code = 2


class InputError(BulksyncError):
    """The input cannot be read, was refused before sending, or changed while it was read."""

    exit_code = 7


class StorageError(BulksyncError):
    """The ledger or the report cannot be read or written."""

    exit_code = 8


class StoppedError(BulksyncError):
    """A signal came before the first request; its exit code is the signal's."""

    def __init__(self, what: str, exit_code: int) -> None:
        super().__init__(what, "to resume, run the same command", again=True)
        self.exit_code = exit_code


class LockedError(BulksyncError):
    """Another run holds the ledger."""

    exit_code = 9


@contextmanager
def ungrouped() -> Iterator[None]:
    """Let an error of ours come alone out of the groups that it was raised in."""
    try:
        yield
    except BaseExceptionGroup as group:
        ours, others = group.split(BulksyncError)
        if ours is None or others is not None:
            raise
        raise next(leaves(ours)) from None


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Return the errors inside nested groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
