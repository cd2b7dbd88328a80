"""How long an attempt may take: one timer for all attempts, as each has the same time.

A deadline ends nothing whose end had already arrived: after a stall (SIGSTOP, a suspended machine, a blocked event
loop) timers are due together with what lies in the sockets, and uvloop runs timers first.
"""

import asyncio
import math
from types import TracebackType

PASSES = 256
"""Passes of the event loop between a deadline and its effect: each reads up to 256 KiB from a socket, and a body that
is read with pauses takes three for that; 256 of them read 20 MiB, more than a socket holds, and cost 3 ms if idle."""


class Deadlines:
    """Ends attempts that take longer than *seconds*; close it once there are none.

    aiohttp's own limit, like `asyncio.timeout`, is a timer for each request, which costs 11 µs (measured). As all
    attempts have the same time they end in the order in which they began, so that one timer for the oldest is enough.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._due: dict[Limited, float] = {}
        self._timer: asyncio.Handle | None = None

    def close(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def begin(self, attempt: "Limited") -> None:
        """Let an attempt's time begin."""
        self._due[attempt] = due = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._ring)

    def end(self, attempt: "Limited") -> None:
        """Forget an attempt."""
        del self._due[attempt]

    def _ring(self) -> None:
        """Let the loop read what has arrived for those that are due now."""
        self._let_read(self._loop.time(), PASSES)

    def _let_read(self, until: float, passes: int) -> None:
        """Come back in so many *passes* for those that were due, as long as there are any."""
        oldest = next(iter(self._due.values()), math.inf)
        if passes and oldest <= until:
            self._timer = self._loop.call_soon(self._let_read, until, passes - 1)
        else:
            self._expire(until)

    def _expire(self, until: float) -> None:
        """End what was due *until* then, and come back when the next is."""
        self._timer = None
        for attempt, due in self._due.items():
            if due > until:
                self._timer = self._loop.call_at(due, self._ring)
                return
            attempt.expire()


class Limited:
    """A limit on what its `with` block takes; TimeoutError where that is more. Works as `asyncio.timeout` does."""

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
