"""Notify the user's URL of how a run ended, without ever affecting the result."""

from collections.abc import Mapping
from typing import Any

import anyio
import orjson

from bulksync.client.notify import post
from bulksync.console.log import blanked
from bulksync.options.models import RunOptions
from bulksync.sender.signals import heard

LONGEST = 12.0
"""Seconds for all attempts together."""

LONGEST_AFTER_A_SIGNAL = 1.0
"""Seconds if a signal stopped the run, as its sender does not want to wait."""


async def notify(options: RunOptions, summary: Mapping[str, Any]) -> str:
    """Post a summary without secrets to `--notify`; return why that failed, if it did. A signal aborts it."""
    assert options.notify is not None  # noqa: S101  callers check that --notify is set
    body = orjson.dumps(without_secrets(summary), default=str)
    seconds = LONGEST_AFTER_A_SIGNAL if (summary["exitCode"] or 0) > 128 else LONGEST
    reason = "stopped by a signal"
    async with anyio.create_task_group() as group:
        group.start_soon(cancel_on_signal, group.cancel_scope)
        with anyio.move_on_after(seconds) as limit:
            reason = await post(options.notify, body, proxy=options.proxy, ca_file=options.ca_file)
        if limit.cancelled_caught:
            reason = f"no answer within {seconds:.0f}s"
        group.cancel_scope.cancel()
    return reason


async def cancel_on_signal(scope: anyio.CancelScope) -> None:
    """Cancel a scope at the first signal that would stop a run."""
    with anyio.open_signal_receiver(*heard()) as signals:
        await anext(aiter(signals))
        scope.cancel()


def without_secrets(said: Any) -> Any:
    """Return a value with this process's keys and passwords in URLs redacted from every text."""
    match said:
        case str():
            return blanked(said)
        case Mapping():
            return {blanked(str(name)): without_secrets(value) for name, value in said.items()}
        case list() | tuple():
            return [without_secrets(one) for one in said]
        case _:
            return said
