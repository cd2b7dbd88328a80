"""Signals that stop a run (the first asks, the second insists, the third leaves), and one that asks how far it is."""

import os
import signal
from collections.abc import Callable, Iterable

import anyio

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")

ASKING = "SIGUSR1"
"""Asks a run how far it is."""


def heard(names: Iterable[str] = SIGNALS) -> list[signal.Signals]:
    """Return the signals to listen to: one that was ignored when we started (nohup, a shell's `&`) stays ignored."""
    known = [signal.Signals[name] for name in names if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


async def watch_signals(
    first: Callable[[signal.Signals], None],
    second: Callable[[], None],
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Call *first* with the first signal and *second* at the second one, and end the process at the third."""
    with anyio.open_signal_receiver(*heard()) as signals:
        task_status.started()
        count = 0
        async for number in signals:
            count += 1
            if count == 1:
                first(number)
            elif count == 2:
                second()
            else:
                os._exit(128 + number)


async def watch_for(
    name: str, call: Callable[[], None], *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Call at every signal of that name, until cancelled; never where the platform has none, or it was ignored."""
    with anyio.open_signal_receiver(*heard([name])) as signals:
        task_status.started()
        async for _ in signals:
            call()
