"""How long an attempt may take: one timer for all attempts, as each has the same time."""

import asyncio
from types import TracebackType

GRACE = 1.0
"""Seconds in which the loop reads all that has arrived while it stood still, bodies of megabytes too."""


class Deadlines:
    """Ends attempts that take longer than *seconds*; close it once there are none.

    aiohttp's own limit, like `asyncio.timeout`, is a timer for each request, which costs 11 µs (measured). As all
    attempts have the same time they end in the order in which they began, so that one timer for the oldest is enough.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._due: dict[Limited, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def begin(self, attempt: "Limited") -> None:
        """Let an attempt's time begin."""
        self._due[attempt] = due = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._expire)

    def end(self, attempt: "Limited") -> None:
        """Forget an attempt."""
        del self._due[attempt]

    def _expire(self) -> None:
        """End what is due, and come back when the next is.

        Where this comes late, the loop stood still: answers may lie in their sockets, which it reads only behind this.
        So everybody who is due gets as long again, once, at most `GRACE`.
        """
        self._timer = None
        now = self._loop.time()
        for attempt, due in self._due.items():
            if due > now:
                continue
            if attempt.has_grace or due == now:
                attempt.expire()
            else:
                self._due[attempt] = now + min(now - due, GRACE)
            attempt.has_grace = True
        if later := [due for due in self._due.values() if due > now]:
            self._timer = self._loop.call_at(min(later), self._expire)


class Limited:
    """A limit on what its `with` block takes; TimeoutError where that is more. Works as `asyncio.timeout` does."""

    __slots__ = ("_before", "_deadlines", "_is_expired", "_task", "has_grace")

    def __init__(self, deadlines: Deadlines) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  attempts are made in tasks
        self._task = task
        self._deadlines = deadlines
        self._before = task.cancelling()
        self._is_expired = False
        self.has_grace = False

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
