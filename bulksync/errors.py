"""Exceptions end runs, never rows: each carries what happened, what to do next, and the exit code.

BulksyncError
├── UsageError     2   invalid command line or configuration; nothing was sent
├── InputError     7   the input cannot be read, or changed while it was read
├── StorageError   8   the ledger or the report cannot be read or written
├── LockedError    9   another run holds the ledger
└── StoppedError       a signal arrived before the first request; the exit code is the signal's
"""

from collections.abc import Iterator
from contextlib import contextmanager


class BulksyncError(Exception):
    """Ends a run with a message for the user: *what* happened, the *next step*, and whether to run the command *again*.

    *adding* is an option with its value to add to that command.
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
    """The command line or the configuration is invalid; nothing was sent."""

    exit_code = 2


class InputError(BulksyncError):
    """The input cannot be read, was refused before sending, or changed while it was read."""

    exit_code = 7


class StorageError(BulksyncError):
    """The ledger or the report cannot be read or written."""

    exit_code = 8


class StoppedError(BulksyncError):
    """A signal arrived before the first request; the exit code is the signal's."""

    def __init__(self, what: str, exit_code: int) -> None:
        super().__init__(what, "to resume, run the same command", again=True)
        self.exit_code = exit_code


class LockedError(BulksyncError):
    """Another run holds the ledger."""

    exit_code = 9


@contextmanager
def ungrouped() -> Iterator[None]:
    """Unwrap our own errors from the exception groups that they were raised in."""
    try:
        yield
    except BaseExceptionGroup as group:
        ours, others = group.split(BulksyncError)
        if ours is None or others is not None:
            raise
        raise next(leaves(ours)) from None


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors inside nested groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
