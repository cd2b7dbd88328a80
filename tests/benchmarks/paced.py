"""Limiter and dispatcher alone, at 1,000/s against an answer that costs nothing; prints the share of a core.

`python -m tests.benchmarks.paced uvloop`, or `asyncio`.
"""

import sys
import time

if sys.argv[1] == "asyncio":
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # what is not installed looks like this

from bulksync.cli import on_loop
from bulksync.model import Execution, Key, Reply, Row, Turn
from bulksync.options.models import RunOptions
from bulksync.quota.pacer import Pacer
from bulksync.sender.dispatcher import Dispatcher

RATE, COUNT, PART = 1000.0, 8000, 1000
REPLY = Reply(200, "", execution=Execution("CREATED", "", "", "", ()))


async def main() -> None:
    """Bring rows to their outcome, and print what share of the time was spent."""
    rows = [Row(number, number, "w", str(number), None, b"{}") for number in range(1, COUNT + 1)]
    parts = iter([rows[first : first + PART] for first in range(0, COUNT, PART)])

    async def feed() -> list[Row] | None:
        return next(parts, None)

    async def put(_: Row, turn: Turn) -> Reply | None:
        return REPLY if await turn() else None

    async def nobody(_: int) -> list[Row]:
        return []

    async def room() -> None:
        return

    async def kept(_: Key) -> None:
        return

    dispatcher = Dispatcher(
        RunOptions(rate=RATE),
        feed,
        nobody,
        put=put,
        pacer=Pacer(RATE, time.monotonic),
        record=lambda _: None,
        room=room,
        kept=kept,
        tell=lambda *_, **__: None,
    )
    wall, cpu = time.monotonic(), time.process_time()
    await dispatcher.run()
    print((time.process_time() - cpu) / (time.monotonic() - wall))


on_loop(main)
