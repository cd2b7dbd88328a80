"""An event loop whose clock is a number: hours pass in milliseconds, and the same test takes the same turns."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

TICK = 1e-6
"""Seconds that every turn of the loop takes at least: code that waits for the clock to move would spin otherwise."""


class Clock(selectors.SelectSelector):
    """Passes the time that the loop would have slept; there is no file and no other thread to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Move on to the next timer; RuntimeError where there is none, as the test would hang."""
        if timeout is None:
            raise RuntimeError("every task waits, and nothing is scheduled that could wake one")
        self.now += max(timeout, TICK)
        return []


class Loop(asyncio.SelectorEventLoop):
    """The loop of a virtual clock, which starts at 0."""

    def __init__(self) -> None:
        self._clock = Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock.now


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run an async function to its end in virtual time."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main())


def now() -> float:
    """Return the virtual time in seconds."""
    return asyncio.get_running_loop().time()
