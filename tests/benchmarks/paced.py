"""Limiter and dispatcher alone, at 1,000/s against an answer that costs nothing; prints the share of a core.

`python -m tests.benchmarks.paced uvloop`, or `asyncio`.
"""

import sys
import time

if sys.argv[1] == "asyncio":
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # what is not installed looks like this

from bulksync.cli import on_loop
from bulksync.model import Execution, Reply, Row, Turn
from bulksync.options.models import RunOptions
from bulksync.quota.pacer import Pacer
from bulksync.sender.dispatcher import Dispatcher
from tests.support.stations import GivenRows, Recorded, by

RATE, COUNT, PART = 1000.0, 8000, 1000
REPLY = Reply(200, "", execution=Execution("CREATED", "", "", "", ()))


async def main() -> None:
    """Bring rows to their outcome, and print what share of the time was spent."""
    rows = [Row(number, number, "w", str(number), None, b"{}") for number in range(1, COUNT + 1)]

    async def put(_: Row, turn: Turn) -> Reply | None:
        return REPLY if await turn() else None

    feed, pacer = GivenRows(rows, PART), Pacer(RATE, time.monotonic)
    dispatcher = Dispatcher(RunOptions(rate=RATE), feed, by(put), Recorded(), pacer, lambda *_, **__: None)
    wall, cpu = time.monotonic(), time.process_time()
    await dispatcher.run()
    print((time.process_time() - cpu) / (time.monotonic() - wall))


on_loop(main)
