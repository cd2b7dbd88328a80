"""Tests of `tests.support.virtual`."""

import asyncio
import time

import pytest

from tests.support import virtual


def test_passes_hours_at_once() -> None:
    """A sleep takes virtual time only, and ends on time."""

    async def sleep() -> float:
        await asyncio.sleep(3600)
        return virtual.now()

    started = time.monotonic()
    assert virtual.run(sleep) == pytest.approx(3600, abs=1e-3)
    assert time.monotonic() - started < 5


def test_keeps_the_order_of_timers() -> None:
    """Tasks wake in the order of their times, whatever the order in which they went to sleep."""
    woken = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(seconds)

    async def all_of_them() -> None:
        await asyncio.gather(*(sleep(seconds) for seconds in (3, 1, 2, 0.5)))

    virtual.run(all_of_them)
    assert woken == [0.5, 1, 2, 3]


def test_refuses_to_wait_for_ever() -> None:
    """A test in which nothing can happen any more fails instead of hanging."""

    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is scheduled"):
        virtual.run(wait)
