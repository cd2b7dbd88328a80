"""The due rows of a run: in file order, or sampled from the whole input."""

from collections.abc import Generator, Mapping
from typing import Protocol

from bulksync.errors import InputError, StorageError
from bulksync.ledger.store import Store
from bulksync.ledger.writer import Ledger
from bulksync.model import Row, Stop
from bulksync.options.models import RunOptions
from bulksync.reader.chunks import allowed_set, chunk_digest, chunks
from bulksync.reader.input import open_input
from bulksync.reader.source import Source
from bulksync.sender.plan import Plan
from bulksync.text import clean

FEWEST_MARKED = 100
"""Minimum rows covered by one commit of the watermark; at higher rates one second's worth, at most a chunk."""

STORAGE = Stop(8, "aborted_storage", "the ledger cannot be written")


class Supply(Protocol):
    """Supplies the rows to send: those of a plan, or those of a stream as they arrive. A Stop ends the run."""

    async def next(self) -> list[Row] | Stop | None:
        """Return the next due rows in file order; None at the end."""
        ...

    async def elsewhere(self, most: int, limited: "Limit") -> list[Row] | Stop:
        """Return at most *most* due rows from farther on in the input, each the first one of its execution."""
        ...

    def halt(self) -> None:
        """Supply no more rows."""
        ...

    async def close(self) -> None:
        """Release open resources."""
        ...


class Feed:
    """The rows of a supply, at most *limit* of them; *stop* is why it ended early, if it did."""

    def __init__(self, supply: Supply, limit: int | None) -> None:
        self._supply = supply
        self._limited = Limit(limit)
        self._limit = limit
        self.stop: Stop | None = None

    @property
    def limit_reached(self) -> Stop | None:
        """Return the reason why rows are left, if only `--limit` held them back."""
        is_reached = self._limited.was_reached
        return Stop(10, "interrupted", f"--limit {self._limit} was reached") if is_reached else None

    async def next(self) -> list[Row] | None:
        """Return the next rows in file order; None at the end, or if there is a *stop*."""
        if isinstance(rows := await self._supply.next(), Stop):
            self.stop = rows
            return None
        return self._limited.cut(rows)

    async def elsewhere(self, most: int) -> list[Row]:
        """Return at most *most* rows from the whole input, each the first due one of its execution."""
        if isinstance(rows := await self._supply.elsewhere(most, self._limited), Stop):
            self.stop = rows
            return []
        return rows


class Planned:
    """The due rows of a plan, read again from its input.

    *step* is how many rows one commit of the watermark covers; 0 chooses it to suit the rate.
    """

    def __init__(self, ledger: Ledger, plan: Plan, source: Source, options: RunOptions, step: int = 0) -> None:
        self._ledger = ledger
        self._run = plan.run.id
        self._source = source
        self._options = options
        self._rows = due_rows(ledger.store, plan, source, options, step or choose_step(options.rate))

    async def next(self) -> list[Row] | Stop | None:
        """Return the next due rows in file order, once the ledger has marked them as possibly sent; None at the end."""
        try:
            return await self._ledger.call(next, self._rows, None)
        except (InputError, StorageError) as error:
            return stop_for(error)

    async def elsewhere(self, most: int, limited: "Limit") -> list[Row] | Stop:
        """Return due rows sampled from the whole input."""
        ledger, store = self._ledger, self._ledger.store
        try:
            digests = await ledger.call(store.elsewhere, self._run, most)
            found = limited.take(await ledger.call(rows_at, self._source, self._options, digests))
            await ledger.call(store.mark_ahead, self._run, [row.row for row in found])
        except (InputError, StorageError) as error:
            return stop_for(error)
        return found

    def halt(self) -> None:
        """Do nothing: nothing here waits for long."""

    async def close(self) -> None:
        """Close the input."""
        await self._ledger.call(self._rows.close)


def stop_for(error: InputError | StorageError) -> Stop:
    """Return the Stop for rows that cannot be read, or cannot be marked in the ledger."""
    if isinstance(error, StorageError):
        return STORAGE
    return Stop(7, "input_changed", clean(error.what))  # contains the input's name, which can hold any characters


class Limit:
    """Lets a limited number of rows through; *was_reached* says that there were more."""

    def __init__(self, limit: int | None) -> None:
        self._left = limit
        self.was_reached = False

    def cut(self, rows: list[Row] | None) -> list[Row] | None:
        """Return the rows within the limit; None at the end of the input or of the limit."""
        if rows is None or self._left is None:
            return rows
        self.was_reached = len(rows) > self._left
        if self.was_reached and not self._left:
            return None
        return self.take(rows)

    def take(self, rows: list[Row]) -> list[Row]:
        """Return as many of these rows as the limit still allows."""
        if self._left is not None:
            rows = rows[: self._left]
            self._left -= len(rows)
        return rows


def choose_step(rate: float) -> int:
    """Return how many rows one commit of the watermark covers: one second's worth, within bounds."""
    return int(min(1_000.0, max(float(FEWEST_MARKED), rate)))


def due_rows(
    store: Store, plan: Plan, source: Source, options: RunOptions, step: int
) -> Generator[list[Row], None, None]:
    """Read the input again and yield the due rows of each chunk, once the ledger has marked them as possibly sent.

    Blocks: the ledger's thread also reads, as a third thread would only take the GIL from the other two. Raises
    InputError if a chunk has changed since it was validated; none of its rows is yielded then.
    """
    run = plan.run
    with open_input(source) as content:
        seen = 0
        for chunk in chunks(content.rows(allowed_set(options.allow_status))):
            first, last = chunk[0].row, chunk[-1].row
            if store.chunk_digest(run.id, first) != chunk_digest(chunk):
                raise InputError(f"{source.name} changed after it was validated, at or behind row {first}")
            due = store.due(run.id, first, last)
            rows = [row for row in chunk if isinstance(row, Row) and row.row in due]
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                store.mark(run.id, part[-1].row)
                yield part
            seen = last
        if seen != run.rows:
            raise InputError(f"{source.name} changed after it was validated: it has {seen} rows, not {run.rows}")


def rows_at(source: Source, options: RunOptions, digests: Mapping[int, bytes]) -> list[Row]:
    """Read the input again and return some rows; *digests* are those of their chunks. Blocks.

    Raises InputError if one of these chunks has changed since it was validated.
    """
    found: list[Row] = []
    with open_input(source) as content:
        for chunk in chunks(content.rows(allowed_set(options.allow_status))):
            wanted = [row for row in chunk if row.row in digests]
            if wanted and digests[wanted[0].row] != chunk_digest(chunk):
                raise InputError(f"{source.name} changed after it was validated, at or behind row {chunk[0].row}")
            found += [row for row in wanted if isinstance(row, Row)]
            if len(found) == len(digests):
                break
    return found
