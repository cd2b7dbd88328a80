"""Signals that stop a run (first: drain, second: cancel, third: exit at once), and one that asks for progress."""

# anyio is imported by the functions that wait: the program's first instructions need this module.

import os
import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")

ASKING = "SIGUSR1"
"""The signal that asks a run for its progress."""

DEFERRED: set[signal.Signals] = set()
"""Signals that this process ignores only while it has no listener for them."""


def defer(name: str) -> None:
    """Ignore a signal that would end the process, except while something listens for it."""
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) is signal.SIG_DFL:
        signal.signal(number, signal.SIG_IGN)
        DEFERRED.add(number)


def heard(names: Iterable[str] = SIGNALS) -> list[signal.Signals]:
    """Return the signals to listen for; one ignored when we started (nohup, a shell's `&`) stays ignored."""
    known = [signal.Signals[name] for name in names if hasattr(signal, name)]
    return [number for number in known if number in DEFERRED or signal.getsignal(number) is not signal.SIG_IGN]


async def watch_signals(
    first: Callable[[signal.Signals], None], second: Callable[[], None], *, task_status: "TaskStatus[None]"
) -> None:
    """Call *first* on the first signal and *second* on the second one, and end the process on the third."""
    import anyio

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


async def watch_for(name: str, call: Callable[[], None], *, task_status: "TaskStatus[None]") -> None:
    """Call *call* on every signal *name*, until cancelled; never if the platform lacks it, or it was ignored."""
    import anyio

    try:
        with anyio.open_signal_receiver(*heard([name])) as signals:
            task_status.started()
            async for _ in signals:
                call()
    finally:
        for number in DEFERRED.intersection(heard([name])):
            signal.signal(number, signal.SIG_IGN)  # the event loop restores the default, which would end the process
