"""The ledger's one thread: results are recorded by a plain call, and committed in batches in the background."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio

from bulksync.errors import LockedError, StorageError
from bulksync.ledger import sql
from bulksync.ledger.backlog import Backlog
from bulksync.ledger.store import Store
from bulksync.model import Key, Result

BATCH = sql.RECORDED_AT_ONCE
"""Maximum results of one commit during a run; a kill loses at most these and those that arrived meanwhile."""

DELAY = 0.1
"""Seconds after which a smaller batch is committed too."""

BEHIND = 5_000
"""Uncommitted results at which new requests wait for a slow disk."""

P = ParamSpec("P")
T = TypeVar("T")


class Ledger:
    """Runs the store on its own thread, for one run at a time; a *backlog* is notified of every commit."""

    def __init__(self, thread: ThreadPoolExecutor, store: Store, backlog: Backlog | None = None) -> None:
        self._thread = thread
        self._backlog = backlog
        self.store = store
        self._results: list[Result] = []
        self._keys: set[Key] = set()
        self._is_broken = False
        self._enough = asyncio.Event()
        self._flushed = asyncio.Event()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store on the ledger's thread; it completes even if the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def record(self, result: Result) -> None:
        """Record a result; a plain call, so that no cancellation can come between an answer and its record."""
        self._results.append(result)
        self._keys.add(result.key)
        if len(self._results) >= BATCH:
            self._enough.set()

    async def room(self) -> None:
        """Wait until the disk and the consumer have caught up; return at once if they are not far behind."""
        while len(self._results) >= BEHIND:
            self._flushed.clear()
            await self._flushed.wait()
        if self._backlog:
            await self._backlog.room()

    async def kept(self, key: Key) -> None:
        """Wait until the recorded results of an execution are committed.

        Only then may a later row of it proceed: otherwise a rerun after a kill would send the earlier one again, after
        the later one.
        """
        while key in self._keys and not self._is_broken:
            self._enough.set()
            self._flushed.clear()
            await self._flushed.wait()

    async def keep(self, run: int, on_failure: Callable[[], None], on_loss: Callable[[], None]) -> None:
        """Commit recorded results until cancelled; on failure call *on_failure* and leave the rest to `flush`.

        If the file is no longer in its place, call *on_loss* but continue: it can still be written, and read for a
        report. Another run may already have started with a new file.
        """
        while True:
            with anyio.move_on_after(DELAY):
                await self._enough.wait()
            try:
                await self._commit(run)
            except StorageError:
                self._is_broken = True
                self._flushed.set()
                on_failure()
                return
            if not await self.call(self.store.is_in_place):
                on_loss()

    async def flush(self, run: int) -> None:
        """Commit all recorded results; raises StorageError if that fails, keeping them for another try."""
        while self._results:
            await self._commit(run)

    async def _commit(self, run: int) -> None:
        """Commit one batch. Later results wait for the next one, as small batches cost as much as large ones."""
        batch = self._results[:BATCH]
        if batch:
            with anyio.CancelScope(shield=True):  # otherwise rows with uncertain results would be sent again
                await self.call(self.store.commit, run, batch)
                del self._results[: len(batch)]
                self._keys = {result.key for result in self._results}
                if self._backlog:
                    self._backlog.add(run, batch)
        if len(self._results) < BATCH:
            self._enough.clear()
        self._flushed.set()  # waiters for a later result check again


@asynccontextmanager
async def open_ledger(
    path: Path | None, lock_wait: float = 0.0, backlog: Backlog | None = None
) -> AsyncIterator[Ledger]:
    """Open the ledger on its thread, waiting up to *lock_wait* seconds for another run to release it.

    A *path* of None means a temporary one. Raises LockedError or StorageError.
    """
    deadline = anyio.current_time() + lock_wait
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger") as thread:
        loop = asyncio.get_running_loop()
        while True:
            try:
                store = await loop.run_in_executor(thread, Store, path)
                break
            except LockedError:
                if anyio.current_time() >= deadline:
                    raise
                await anyio.sleep(min(0.2, lock_wait))
        try:
            yield Ledger(thread, store, backlog)
        finally:
            with anyio.CancelScope(shield=True):
                await loop.run_in_executor(thread, store.close)
