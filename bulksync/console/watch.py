"""Live progress: terminal display, periodic log lines, and a line on SIGUSR1."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from bulksync.console.progress import Doing, Look, say_every, since
from bulksync.model import Tell
from bulksync.options.models import RunOptions
from bulksync.options.values import show_rate
from bulksync.sender.dispatcher import Dispatcher
from bulksync.sender.send import Watch
from bulksync.sender.signals import ASKING, watch_for

if TYPE_CHECKING:
    from bulksync.console.terminal import Terminal


@asynccontextmanager
async def watched(first: str, terminal: "Terminal | None", tell: Tell) -> AsyncGenerator[Doing, None]:
    """Yield a tracker of the run's activity, initially *first*: shown live on a terminal, logged on SIGUSR1."""
    doing = Doing(since(first, anyio.current_time))
    async with anyio.create_task_group() as watching:
        await watching.start(watch_for, ASKING, lambda: tell("asked", run=doing.run, **doing.said()))
        if terminal:
            from bulksync.console.terminal import show_live

            watching.start_soon(show_live, doing, terminal)
        yield doing
        watching.cancel_scope.cancel()


def watcher(total: int | None, options: RunOptions, doing: Doing, terminal: "Terminal | None", tell: Tell) -> Watch:
    """Return a task that reports the progress of *total* rows every `--stats` unless a terminal shows it live.

    *total* is None if the number of rows is unknown.
    """

    async def watch(dispatcher: Dispatcher) -> None:
        started = anyio.current_time()

        def look() -> Look:
            return Look(
                dispatcher.tally,
                total=total,
                in_flight=dispatcher.turns.in_flight,
                rate=show_rate(options.rate),
                elapsed=anyio.current_time() - started,
                waiting=f"stopping: {stop.detail}" if (stop := dispatcher.stopped) else dispatcher.health.waiting_for,
            )

        doing.look = look
        if terminal is None:
            await say_every(options.stats, doing.said, lambda said: tell("progress", **said))

    return watch
