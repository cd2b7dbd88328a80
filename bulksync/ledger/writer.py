"""The ledger's one thread: results are recorded by a plain call, and committed in batches behind it."""

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
"""Results of one commit while the run goes on; a kill forgets no more than these and those that came meanwhile."""

DELAY = 0.1
"""Seconds after which fewer are committed too."""

BEHIND = 5_000
"""Uncommitted results at which new requests wait for a slow disk."""

P = ParamSpec("P")
T = TypeVar("T")


class Ledger:
    """The store on a thread of its own, for one run at a time; a *backlog* is told of every commit."""

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
        """Call a method of the store on the ledger's thread; it is carried out even if the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def record(self, result: Result) -> None:
        """Take what became of a row; a plain call, so that no cancellation comes between an answer and its record."""
        self._results.append(result)
        self._keys.add(result.key)
        if len(self._results) >= BATCH:
            self._enough.set()

    async def room(self) -> None:
        """Wait until the disk, and who takes the backlog, have caught up; at once where they are not far behind."""
        while len(self._results) >= BEHIND:
            self._flushed.clear()
            await self._flushed.wait()
        if self._backlog:
            await self._backlog.room()

    async def kept(self, key: Key) -> None:
        """Wait until what was recorded of an execution is committed.

        A later row of it may go only then: after a kill a repeat would send the earlier one again, behind the later.
        """
        while key in self._keys and not self._is_broken:
            self._enough.set()
            self._flushed.clear()
            await self._flushed.wait()

    async def keep(self, run: int, on_failure: Callable[[], None], on_loss: Callable[[], None]) -> None:
        """Commit what is recorded, until cancelled or until it fails; then say so, and leave the rest to `flush`.

        Where the file is not at its place any more, say so too, but go on: it can still be written, and read for a
        report. Another run may have begun with a new one already.
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
        """Commit everything recorded so far; StorageError where that fails, and then it is kept for another try."""
        while self._results:
            await self._commit(run)

    async def _commit(self, run: int) -> None:
        """Commit a batch. What came meanwhile waits for its own time: small batches cost as much as large ones."""
        batch = self._results[:BATCH]
        if batch:
            with anyio.CancelScope(shield=True):  # half-known results would be sent again
                await self.call(self.store.commit, run, batch)
                del self._results[: len(batch)]
                self._keys = {result.key for result in self._results}
                if self._backlog:
                    self._backlog.add(run, batch)
        if len(self._results) < BATCH:
            self._enough.clear()
        self._flushed.set()  # who waits for a later result asks once more


@asynccontextmanager
async def open_ledger(
    path: Path | None, lock_wait: float = 0.0, backlog: Backlog | None = None
) -> AsyncIterator[Ledger]:
    """Open the ledger on its thread, waiting *lock_wait* seconds for another run to let it go; None is a temporary one.

    Raises LockedError or StorageError.
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
