"""Send thousands to millions of workflow execution updates to a rate-limited API, without losing or reordering any."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bulksync.commands.results import Progress, RowResult
    from bulksync.commands.sync import Sync, sync
    from bulksync.errors import BulksyncError, InputError, LockedError, StorageError, UsageError
    from bulksync.model import Outcome
else:

    def __getattr__(name: str) -> Any:
        """Import an attribute on first use: the command line must not wait for aiohttp."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from bulksync import errors, model
        from bulksync.commands import results
        from bulksync.commands import sync as api

        return next(getattr(module, name) for module in (api, results, model, errors) if hasattr(module, name))


__version__ = "0.1.0"

__all__ = [
    "sync",
    "Sync",
    "RowResult",
    "Progress",
    "Outcome",
    "BulksyncError",
    "UsageError",
    "InputError",
    "StorageError",
    "LockedError",
]
