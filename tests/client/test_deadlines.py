"""Tests of `bulksync.client.deadlines`: in virtual time, and after a real stall."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest
import uvloop

from bulksync.client.deadlines import Deadlines, Limited
from bulksync.model import Reply
from tests.support import virtual
from tests.support.clients import ACKNOWLEDGED, paced, row
from tests.support.fault_server import acknowledgement, message
from tests.support.thread_server import Server, Talk, listening

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


# After a stall


@pytest.mark.fault("A2", "an event loop that stood still")
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("size", [0, 300_000], ids=["one read", "several reads"])
def test_an_answer_that_had_arrived_is_read(run: Callable[[Coroutine[Any, Any, Any]], Any], size: int) -> None:
    """Where the loop stood still beyond the deadline, an answer that lies in the socket counts."""

    def behave(talk: Talk, server: Server) -> None:
        request = talk.read()
        server.heard.wait()
        talk.write(message(acknowledgement(request, summary="x" * size)))
        server.said.set()
        talk.linger()

    async def main(server: Server) -> Reply | None:
        loop = asyncio.get_running_loop()

        def stand_still() -> None:
            server.prompt()
            until = loop.time() + 0.3
            while time.monotonic() < until:
                pass

        async def turn() -> bool:
            loop.call_soon(stand_still)  # right behind the write
            return True

        async with paced(server.url, timeout=0.2) as put:
            return await put(row(1), turn)

    with listening(behave) as server:
        assert run(main(server)) == ACKNOWLEDGED


PROGRAM = """
import asyncio, sys, uvloop
from tests.support.clients import client, row
async def main():
    async with client(sys.argv[2], timeout=2.0) as put:
        print(repr(await put(row(1))))
{"asyncio": asyncio.run, "uvloop": uvloop.run}[sys.argv[1]](main())
"""


@pytest.mark.fault("A2", "SIGSTOP and SIGCONT")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_answer_that_came_while_the_process_was_stopped(loop: str) -> None:
    """A process that was stopped beyond the deadline reads its answer when it goes on."""
    process: subprocess.Popen[str]

    def behave(talk: Talk, server: Server) -> None:
        request = talk.read()
        process.send_signal(signal.SIGSTOP)
        talk.write(message(acknowledgement(request)))
        time.sleep(2.2)  # what is shown is that time passes
        process.send_signal(signal.SIGCONT)
        talk.linger()

    with listening(behave) as server:
        command = [sys.executable, "-c", PROGRAM, loop, server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            said, _ = process.communicate(timeout=60)
    assert said == f"{ACKNOWLEDGED!r}\n"
