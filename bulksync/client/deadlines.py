"""Attempt timeouts with one timer for all attempts, as all have the same time limit.

A deadline never cancels an attempt whose data had already arrived: after a stall (SIGSTOP, a suspended machine, a
blocked event loop) timers are due together with unread data in the sockets, and uvloop runs timers first.
"""

import asyncio
import math
from types import TracebackType

PASSES = 256
"""Passes of the event loop between a deadline and its effect.

Each reads up to 256 KiB from a socket, and a body that is read with pauses takes three passes for that; 256 of them
read 20 MiB, more than a socket holds, and cost 3 ms if idle.
"""


class Deadlines:
    """Ends attempts that take longer than *seconds*; close it once no attempts are left.

    aiohttp's own timeout, like `asyncio.timeout`, is a timer for each request, which costs 11 µs (measured). As all
    attempts have the same limit, they expire in the order in which they began, so one timer for the oldest is enough.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._due: dict[Limited, float] = {}
        self._timer: asyncio.Handle | None = None

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def begin(self, attempt: "Limited") -> None:
        """Start the clock of an attempt."""
        self._due[attempt] = due = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._ring)

    def end(self, attempt: "Limited") -> None:
        """Remove an attempt."""
        del self._due[attempt]

    def _ring(self) -> None:
        """Let the event loop read the data that has arrived for the attempts that are due now."""
        self._let_read(self._loop.time(), PASSES)

    def _let_read(self, until: float, passes: int) -> None:
        """Wait up to *passes* passes of the event loop while a due attempt is left, then expire those."""
        oldest = next(iter(self._due.values()), math.inf)
        if passes and oldest <= until:
            self._timer = self._loop.call_soon(self._let_read, until, passes - 1)
        else:
            self._expire(until)

    def _expire(self, until: float) -> None:
        """Expire the attempts that were due by *until*, and schedule the next check."""
        self._timer = None
        for attempt, due in self._due.items():
            if due > until:
                self._timer = self._loop.call_at(due, self._ring)
                return
            attempt.expire()


class Limited:
    """Limits the duration of its `with` block; raises TimeoutError like `asyncio.timeout`."""

    __slots__ = ("_before", "_deadlines", "_is_expired", "_task")

    def __init__(self, deadlines: Deadlines) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  attempts are made in tasks
        self._task = task
        self._deadlines = deadlines
        self._before = task.cancelling()
        self._is_expired = False

    def expire(self) -> None:
        """Cancel the block, once."""
        if not self._is_expired:
            self._is_expired = True
            self._task.cancel()

    def __enter__(self) -> None:
        self._deadlines.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.end(self)
        if self._is_expired and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error
