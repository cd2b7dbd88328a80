"""The inlet: rows come over from a thread or another loop in order, and whoever gives too many waits."""

import asyncio
import threading

import pytest

from bulksync.sender.inlet import AT_ONCE, Inlet


async def everything(inlet: Inlet) -> list[object]:
    """Take until the end."""
    taken: list[object] = []
    while rows := await inlet.take():
        taken += rows
    return taken


async def test_rows_of_a_thread_arrive_in_order() -> None:
    """Every row that a thread gives arrives, in order, and then the end."""
    inlet = Inlet()

    def give() -> None:
        for number in range(5 * AT_ONCE):
            assert inlet.put(number)
        inlet.end()

    _, taken = await asyncio.gather(asyncio.to_thread(give), everything(inlet))
    assert taken == list(range(5 * AT_ONCE))


async def test_rows_of_a_loop_arrive_in_order() -> None:
    """So does every row of a coroutine on the same loop."""
    inlet = Inlet()

    async def give() -> None:
        for number in range(3 * AT_ONCE):
            assert await inlet.give(number)
        inlet.end()

    _, taken = await asyncio.gather(give(), everything(inlet))
    assert taken == list(range(3 * AT_ONCE))


async def test_only_so_many_rows_wait() -> None:
    """Who gives more than there is room for waits until some are taken."""
    inlet = Inlet()
    given = 0

    async def give() -> None:
        nonlocal given
        while await inlet.give(given):
            given += 1

    giving = asyncio.create_task(give())
    first = await inlet.take()
    for _ in range(2 * AT_ONCE):
        await asyncio.sleep(0)
    assert given == AT_ONCE + len(first)
    inlet.close()
    await giving


@pytest.mark.parametrize("rows", [0, 1])
async def test_the_end(rows: int) -> None:
    """After the end what has come is still taken; then, and from then on, there is nothing."""
    inlet = Inlet()
    for number in range(rows):
        inlet.put(number)
    inlet.end()
    assert [await inlet.take() for _ in range(3)] == [list(range(rows)), [], []]


async def test_who_waits_when_the_inlet_closes() -> None:
    """A thread that waits for room is told that no more rows are taken, and so is whoever comes later."""
    inlet = Inlet()
    answers: list[bool] = []
    for number in range(AT_ONCE):
        inlet.put(number)
    thread = threading.Thread(target=lambda: answers.append(inlet.put("late")))
    thread.start()
    inlet.close()
    await asyncio.to_thread(thread.join)
    assert (answers, inlet.put("later"), await inlet.give("later")) == ([False], False, False)
