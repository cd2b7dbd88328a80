"""Tests of `bulksync.client.deadlines`, in virtual time."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest

from bulksync.client.deadlines import Deadlines, Limited
from tests import virtual

Trial = Callable[[], Coroutine[Any, Any, Any]]


def tried(*attempts: tuple[float, float], seconds: float = 30.0) -> list[tuple[str, float]]:
    """Make attempts, each from a time on and so long; return what came of each and when, under one limit."""

    async def attempt(deadlines: Deadlines, begins: float, takes: float) -> tuple[str, float]:
        await asyncio.sleep(begins)
        try:
            with Limited(deadlines):
                await asyncio.sleep(takes)
        except TimeoutError:
            return "timeout", round(virtual.now(), 3)
        return "done", round(virtual.now(), 3)

    async def main() -> list[tuple[str, float]]:
        with closing(Deadlines(seconds)) as deadlines:
            return await asyncio.gather(*(attempt(deadlines, *times) for times in attempts))

    return virtual.run(main)


def test_each_attempt_has_its_own_time() -> None:
    """Whenever an attempt began, it ends when its time is up and not before, whatever became of the others."""
    assert tried((0, 1), (10, 31), (10, 29), (50, 60), (200, 29.999), (200, 30.001)) == [
        ("done", 1),
        ("timeout", 40),
        ("done", 39),
        ("timeout", 80),
        ("done", 229.999),
        ("timeout", 230),
    ]


def test_many_end_at_once() -> None:
    """Attempts that are due at the same moment all end then, and those that are due a little later not yet."""
    assert tried(*[(0, 100)] * 50, (0.5, 100)) == [("timeout", 30)] * 50 + [("timeout", 30.5)]


def test_an_attempt_that_is_slow_to_end_is_ended_once() -> None:
    """Who still clears up when others are due is left to it, and comes out as timed out."""

    async def slow(deadlines: Deadlines) -> int:
        task = asyncio.current_task()
        assert task is not None
        with contextlib.suppress(TimeoutError), Limited(deadlines):
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(5)
        return task.cancelling()

    async def main() -> int:
        with closing(Deadlines(30)) as deadlines:
            one = asyncio.create_task(slow(deadlines))
            await asyncio.sleep(2)
            with pytest.raises(TimeoutError), Limited(deadlines):
                await asyncio.sleep(100)
            return await one

    assert virtual.run(main) == 0


def cancelled(at: float, *, seconds: float = 30.0) -> tuple[str, int]:
    """Cancel from outside at a time what has a limit; return what it raised, and the cancellations still pending."""
    seen = []

    async def attempt(deadlines: Deadlines) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            with Limited(deadlines):
                await asyncio.sleep(100)
        except (TimeoutError, asyncio.CancelledError) as error:
            seen.append((type(error).__name__, task.cancelling()))

    async def main() -> None:
        with closing(Deadlines(seconds)) as deadlines:
            task = asyncio.create_task(attempt(deadlines))
            asyncio.get_running_loop().call_at(at, task.cancel)
            await asyncio.wait([task])

    virtual.run(main)
    return seen[0]


@pytest.mark.parametrize(("at", "seen"), [(10, ("CancelledError", 1)), (30, ("CancelledError", 1))])
def test_a_cancellation_is_none_of_its_business(at: float, seen: tuple[str, int]) -> None:
    """Who is cancelled from outside is cancelled and not timed out, even where both come in the same moment."""
    assert cancelled(at) == seen


async def fails_when_cancelled() -> None:
    """Fail in a way of its own where it takes too long."""
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        raise ZeroDivisionError from None


def test_what_fails_otherwise_fails_so() -> None:
    """Another error goes through as it is, and leaves no cancellation behind."""

    async def main() -> int:
        task = asyncio.current_task()
        assert task is not None
        with closing(Deadlines(1)) as deadlines:
            with pytest.raises(ZeroDivisionError), Limited(deadlines):
                await fails_when_cancelled()
            await asyncio.sleep(5)
            return task.cancelling()

    assert virtual.run(main) == 0
