"""The Python API: `sync` does what `bulksync run` does, and yields the result of each row.

The run has its own event loop and thread. Therefore `for` works as well as `async for`, even if an event loop is
running in the caller's thread; the rate does not depend on how long the caller is busy; the run ends the same way
whether the caller leaves or is cancelled; and nothing is left running.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Mapping, Sequence
from concurrent import futures
from contextlib import ExitStack, closing
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self, Unpack

import anyio
from anyio import to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal
from pydantic import SecretStr, ValidationError

from bulksync.client.key import checked_key, read_key
from bulksync.commands.job import Job
from bulksync.commands.results import Progress, RowResult, progress_of, result_of
from bulksync.commands.run import travel
from bulksync.commands.stream import Ends, travel_stream
from bulksync.console.closing import Ending
from bulksync.console.log import to_logging
from bulksync.console.progress import Doing
from bulksync.errors import StoppedError, UsageError, ungrouped
from bulksync.ledger.backlog import Backlog
from bulksync.ledger.writer import Ledger, open_ledger
from bulksync.model import Stop
from bulksync.options.files import STDOUT, Files, check_files, files_for
from bulksync.options.keywords import OF_THE_TERMINAL, Keywords, as_keyword, for_python, in_python
from bulksync.options.mistakes import wrong_options
from bulksync.options.models import RunOptions
from bulksync.options.target import target_for
from bulksync.reader.echoes import Echoes, Kept
from bulksync.reader.rows import write_rows
from bulksync.reader.source import Source
from bulksync.reader.tables import Rows, check_rows, checked, is_path, is_stream
from bulksync.sender.inlet import Inlet
from bulksync.sender.plan import locate_input
from bulksync.sender.send import Brake
from bulksync.sender.settings import settings_of

LEFT = Stop(10, "interrupted", "the caller left before the end")

NO_RUN = futures.Future[None]()
NO_RUN.set_result(None)

TELL = partial(to_logging, written=for_python)


def sync(rows: Rows, *, api_key: str | SecretStr | None = None, **options: Unpack[Keywords]) -> "Sync":
    """Return one run over *rows*, to iterate over with `for` or `async for`; *options* are those of `bulksync run`.

    Rows are the path of a file, a data frame of pandas or polars, a collection of dicts, or a stream of dicts: an
    iterator or an async iterable. Anything with a length is validated as a whole before the first request, and the
    same call with the same `ledger` resumes it.

    A stream is sent as it arrives, even one that never ends, and is read no faster than its results are taken.
    Therefore an invalid row is found only when it arrives (it ends the run, or is skipped with
    `on_invalid="skip"`), a later call cannot resume a stream, `retry_file` is refused, and a report has no echoed
    columns. The order of each execution's rows, the rate, `only_changed` and the ledger are as for a file; the
    ledger grows with every row, on disk. An iterator is read on its own thread; an async iterable on the caller's
    event loop, or with `for` on the run's.

    The key is *api_key*, or what `api_key_file` or `api_key_command` name, or else FEATHER_API_KEY. No
    configuration file and no other variable is read. Raises UsageError if an option is invalid, TypeError if *rows*
    cannot be rows.
    """
    with in_python():
        check_rows(rows)
        chosen = chosen_options(options)
        path = Path(rows) if is_path(rows) else None
        if STDOUT in (chosen.output, path):
            raise UsageError("stdin and stdout are the caller's", "give a path, or the rows themselves")
        if chosen.retry_file and is_stream(rows):
            raise UsageError("--retry-file needs rows that can be read again, not a stream", "give a list of them")
        check_files(path, chosen)
        target_for(chosen)
    return Sync(rows, SecretStr(api_key) if isinstance(api_key, str) else api_key, chosen)


def chosen_options(options: Mapping[str, Any]) -> RunOptions:
    """Return the options of a call. Raises UsageError if one is invalid."""
    if wrong := OF_THE_TERMINAL & set(options):
        raise UsageError(f"{', '.join(sorted(wrong))}: of the command line only", "leave it out, or run bulksync")
    try:
        return RunOptions.model_validate(options)
    except ValidationError as error:
        raise UsageError(wrong_options(error, as_keyword), "see: bulksync run --help") from None


class Sync:
    """One run, iterated over once with `for` or `async for`; each row is yielded once its outcome is in the ledger.

    The rows that are sent come first, as they finish; then, in input order, all others: invalid rows, rows settled
    by an earlier run of the same input, and rows that this run did not reach. At most a few thousand rows are
    processed ahead of the caller. The invalid rows of a stream come in their place.

    Leaving the loop, or being cancelled or interrupted in it, sends nothing new, lets requests in flight finish
    (for at most `drain`) and records them; a second cancellation or Ctrl-C cancels those. `with` and `async with`
    wait for that, as does `break` in a `for`; otherwise it happens in the background.

    Iterating raises UsageError, InputError, StorageError or LockedError, and what the caller's own iterator raises;
    anything else ends the iteration, and *summary* says how: `exitCode` (as of the command line), `stopped` and
    `nextStep`.
    """

    def __init__(self, rows: Rows, key: SecretStr | None, options: RunOptions) -> None:
        self._rows = rows
        self._key = key
        self._options = options
        self._brake = Brake()
        self._backlog = Backlog()
        self._doing = Doing()
        self._is_blocking = False
        self._all_taken = asyncio.Event()
        self._ledger: Ledger
        self._held = ExitStack()
        self._portal: BlockingPortal
        self._folder: Path
        self._inlet = Inlet()
        self._echoes: Echoes | Kept | None = Kept() if is_stream(rows) else None
        self._source: Source | None = None
        self._run = NO_RUN
        self._failure: Exception | None = None
        self._is_used = False
        self.summary: dict[str, Any] = {}

    @property
    def exit_code(self) -> int | None:
        """The program's exit code for this run; None before the end, and if an error was raised."""
        return self.summary.get("exitCode")

    @property
    def progress(self) -> Progress:
        """The run's current progress, in numbers; at the end, its final progress."""
        look = "" if self._run.done() else self._portal.call(self._doing.look)
        return progress_of(look, self._doing.last)

    def __iter__(self) -> Generator[RowResult, None, None]:
        """Start the run, and yield the result of each row; the run continues meanwhile on its own thread."""
        try:
            self._start(is_blocking=True)
            while results := self._portal.call(self._taken):
                yield from results
            futures.wait({self._run})
        finally:
            self._end_now()
        self._raise_failure()

    async def __aiter__(self) -> AsyncGenerator[RowResult, None]:
        """Start the run, and yield the result of each row."""
        pump: asyncio.Task[None] | None = None
        try:
            self._start(is_blocking=False)
            if isinstance(self._rows, AsyncIterable):
                pump = asyncio.create_task(self._pumped(partial(self._receive, self._rows), self._pull_from_here))
            while results := await asyncio.wrap_future(self._portal.start_task_soon(self._taken)):
                for result in results:
                    yield result
            await asyncio.wait({asyncio.wrap_future(self._run)})
        finally:
            if pump is not None:
                pump.cancel()
            await self._end()
        self._raise_failure()

    def close(self) -> None:
        """Stop the run if it is still going, and wait for it; raises any error that ended it."""
        self._end_now()
        self._raise_failure()

    async def aclose(self) -> None:
        """Stop the run if it is still going, and wait for it; raises any error that ended it."""
        await self._end()
        self._raise_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        (self.close if error is None else self._end_now)()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await (self.aclose() if error is None else self._end())

    # On the caller's thread

    def _start(self, *, is_blocking: bool) -> None:
        if self._is_used:
            raise RuntimeError("a run is iterated over once; call sync again")
        self._is_used, self._is_blocking = True, is_blocking
        self._folder = Path(self._held.enter_context(TemporaryDirectory(prefix="bulksync-")))
        self._held.callback(self._close_echoes)  # after the run's loop has ended, but before the folder is removed
        backend = {"use_uvloop": find_spec("uvloop") is not None}
        self._portal = self._held.enter_context(start_blocking_portal(backend_options=backend, name="bulksync"))
        self._run = self._portal.start_task_soon(self._travel)

    async def _end(self) -> None:
        """Wait until the run has ended, and release its resources; cancelling it cancels requests in flight."""
        interrupted: BaseException | None = None
        self._have(self._leave)
        while not self._run.done():
            try:
                await asyncio.wait({asyncio.wrap_future(self._run)})
            except asyncio.CancelledError as error:
                interrupted = error
                self._have(self._brake.cancel)
            except GeneratorExit as error:
                # Python before 3.13, where the loop ends right after a `break`: nothing can be awaited any more.
                interrupted = error
                futures.wait({self._run})
        self._held.close()
        if interrupted is not None:
            raise interrupted

    def _end_now(self) -> None:
        """Wait until the run has ended, and release its resources; Ctrl-C cancels requests in flight."""
        interrupted: KeyboardInterrupt | None = None
        self._have(self._leave)
        while not self._run.done():
            try:
                futures.wait({self._run})
            except KeyboardInterrupt as error:
                interrupted = error
                self._have(self._brake.cancel)
        self._held.close()
        if interrupted is not None:
            raise interrupted

    def _pull_from_here(self, stop: Stop) -> None:
        self._have(partial(self._brake.drain, stop))

    def _have(self, function: Callable[[], None]) -> None:
        """Call a function on the run's loop, if the run is still going."""
        if not self._run.done():
            self._portal.start_task_soon(function)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # On the run's loop

    async def _travel(self) -> None:
        """Run to the end; keep an error that ends the run early for the caller to raise."""
        try:
            with ungrouped(), in_python(), closing(self._backlog), closing(self._inlet):
                await self._go()
        except StoppedError:
            pass  # the caller left before the first request
        except Exception as error:  # noqa: BLE001  the caller gets it, whatever it is
            self._failure = self._failure or error

    async def _go(self) -> None:
        """Validate, send and report; the ledger stays open until every result is taken or the caller has left."""
        job = self._job()
        if not is_stream(self._rows):
            self._source = await self._located(job)  # before a ledger is created for a missing file
        async with open_ledger(job.files.ledger, job.options.lock_wait, self._backlog) as self._ledger:
            with closing(self._backlog):  # while the ledger is open to look rows up in
                ending = await self._sent(job)
                self.summary = ending.summary.as_json() | {"nextStep": for_python(ending.summary.next_step)}
                self._backlog.complete(ending.run.id, ending.run.rows)
                await self._all_taken.wait()

    def _job(self) -> Job:
        options, target = self._options, target_for(self._options)
        key = SecretStr("sandbox") if options.sandbox else key_for(self._key, options)
        if is_path(self._rows):
            path = Path(self._rows)
            return Job(path, options, files_for(path, options), target, key, f"sync({str(path)!r}, …)")
        path = self._folder / "rows.jsonl"
        options = options.model_copy(update={"format": "jsonl", "delimiter": None, "encoding": None})
        return Job(path, options, files_of_rows(path, options), target, key, "sync(rows, …)", name="rows")

    async def _located(self, job: Job) -> Source:
        """Find the input; rows given as values are first written to a file."""
        if not is_path(self._rows):
            with self._brake.before_sending():
                await to_thread.run_sync(write_rows, self._rows, job.input, lambda: self._brake.stop is not None)
        return locate_input(job.options, job.input, job.name)

    async def _sent(self, job: Job) -> Ending:
        """Send a file, or a stream while it is read."""
        if not isinstance(self._echoes, Kept):
            return await travel(job, self._ledger, self._brake, self._doing, TELL)
        async with anyio.create_task_group() as reading:
            if not isinstance(self._rows, AsyncIterable):
                read = partial(to_thread.run_sync, self._read, abandon_on_cancel=True)
                reading.start_soon(self._pumped, read, self._brake.drain)
            elif self._is_blocking:
                reading.start_soon(self._pumped, partial(self._receive, self._rows), self._brake.drain)
            ends = Ends(self._inlet, self._backlog, self._echoes)
            ending = await travel_stream(job, self._ledger, self._brake, self._doing, TELL, ends)
            reading.cancel_scope.cancel()
        return ending

    async def _receive(self, rows: AsyncIterable[object]) -> None:
        async for row in rows:
            if not await self._inlet.give(row):
                return

    def _read(self) -> None:
        """Feed the rows of an iterator to the run as it takes them; on a thread, as each may block for any time."""
        for row in checked(iter(self._rows)):  # type: ignore[arg-type]  # neither a path nor asynchronous
            if not self._inlet.put(row):
                return

    async def _pumped(self, give_all: Callable[[], Awaitable[None]], pull: Callable[[Stop], None]) -> None:
        """Feed all rows to the run, then signal the end of the stream; an error of theirs stops the run."""
        try:
            await give_all()
        except Exception as error:  # noqa: BLE001  the caller gets it, whatever it is
            self._failure = error
            pull(broken(error))
        finally:
            self._inlet.end()

    async def _taken(self) -> list[RowResult]:
        """Wait for rows with an outcome and return their results; none at the end."""
        rows = await self._backlog.take()
        if not rows:
            self._all_taken.set()
            return []
        lines = await self._ledger.call(self._ledger.store.lines_of, self._backlog.run, rows)
        return list(map(result_of, lines, await self._echoed(rows)))

    async def _echoed(self, rows: Sequence[int]) -> list[dict[str, str]]:
        if isinstance(self._echoes, Kept):
            return self._echoes.of(rows)
        if self._echoes is None and self._source is not None:
            run = await self._ledger.call(self._ledger.store.run, self._backlog.run)
            self._echoes = Echoes(self._source, settings_of(run).echoed, self._folder / "echoes")
        return [] if self._echoes is None else await to_thread.run_sync(self._echoes.of, rows)

    def _close_echoes(self) -> None:
        if self._echoes is not None:
            self._echoes.close()

    def _leave(self) -> None:
        if not self.summary:
            self._brake.drain(LEFT)
        self._backlog.close()
        self._all_taken.set()


def broken(error: Exception) -> Stop:
    """Return why a run ends whose rows can no longer be read."""
    return Stop(7, "interrupted", f"the iterator of the rows raised {type(error).__name__}", "fix what gives the rows")


def key_for(key: SecretStr | None, options: RunOptions) -> SecretStr:
    """Return the API key: the given one, or from where the options say. Raises UsageError if there is none."""
    if key is not None:
        return checked_key(key.get_secret_value(), "api_key")
    return read_key(os.environ, options.api_key_file, options.api_key_command)


def files_of_rows(path: Path, options: RunOptions) -> Files:
    """Decide the file paths for rows without a file: without an output there is no report, and no ledger is kept."""
    if options.output is None:
        return Files(None, options.ledger, path, path.with_suffix(".states"), options.save_before)
    return files_for(path, options)
