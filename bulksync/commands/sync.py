"""A run as an async iterator, for programs: `sync` goes the road of `bulksync run`, and yields what became of each row.

The run has an event loop and a thread of its own. So its pace does not depend on how long the caller's loop is busy,
it ends the same way whether the caller leaves or is cancelled, and nothing of it is left behind.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from concurrent import futures
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import orjson
from anyio.from_thread import BlockingPortal, start_blocking_portal
from pydantic import SecretStr, ValidationError

from bulksync.client.key import checked_key, read_key
from bulksync.commands.run import Job, travel
from bulksync.console.log import to_logging
from bulksync.console.progress import Doing
from bulksync.errors import StoppedError, UsageError, ungrouped
from bulksync.ledger.backlog import Backlog
from bulksync.ledger.writer import Ledger, open_ledger
from bulksync.model import Outcome, Step, Stop
from bulksync.options.config import wrong_options
from bulksync.options.files import STDOUT, Files, check_files, files_for
from bulksync.options.models import RunOptions
from bulksync.options.target import target_for
from bulksync.reader.rows import write_rows
from bulksync.sender.plan import locate_input
from bulksync.sender.send import Brake

Rows = str | os.PathLike[str] | Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
"""The path of an input, or its rows: `workflowId`, `executionId`, `status`, `metadata`, as in a line of JSON."""

LEFT = Stop(10, "interrupted", "the caller left before the end")

NO_RUN = futures.Future[None]()
NO_RUN.set_result(None)

OF_THE_TERMINAL = frozenset({"dry_run", "quiet", "log_format"})
"""Options about what a terminal shows."""


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one row: the columns of the report, in Python's words; empty where the server said nothing.

    *row* counts from 1, *line* is where it starts in the file; *attempts* counts over repeats; times are ISO 8601 as
    in the report. *disposition_certain* is None for a row that was never sent.
    """

    row: int
    line: int
    workflow_id: str
    execution_id: str
    requested_status: str
    outcome: Outcome
    http_status: int | None
    attempts: int
    returned_status: str
    disposition: str
    steps: tuple[Step, ...]
    started_at: str
    completed_at: str
    first_sent_at: str | None
    finished_at: str | None
    duration_ms: int | None
    disposition_certain: bool | None
    error: str
    detail: str


def sync(rows: Rows, *, api_key: str | SecretStr | None = None, **options: Any) -> "Sync":
    """Return one run over *rows* to iterate over; *options* are those of `bulksync run`, such as `rate="10/s"`.

    The key is *api_key*, or what `api_key_file` or `api_key_command` name, or else FEATHER_API_KEY. No configuration
    file and no other variable is read. UsageError where an option is wrong.
    """
    if wrong := OF_THE_TERMINAL & set(options):
        raise UsageError(f"{', '.join(sorted(wrong))}: of the command line only", "leave it out, or run bulksync")
    try:
        chosen = RunOptions.model_validate(options)
    except ValidationError as error:
        raise UsageError(wrong_options(error), "see: bulksync run --help") from None
    path = Path(rows) if isinstance(rows, str | os.PathLike) else None
    if STDOUT in (chosen.output, path):
        raise UsageError("stdin and stdout are the caller's", "give a path, or the rows themselves")
    check_files(path, chosen)
    return Sync(rows, SecretStr(api_key) if isinstance(api_key, str) else api_key, chosen)


class Sync:
    """One run, iterated over once; every row is yielded once, each after the ledger has its outcome.

    First come the rows that are sent, as they finish; then, in input order, all others: invalid ones, those that an
    earlier run of the same input settled, and those that this run did not get to. No more than some thousand rows go
    ahead of the caller.

    Leaving the loop, or being cancelled in it, takes nothing new, lets requests in flight finish (for at most `drain`)
    and records them; a second cancellation cancels those. `async with` waits for that; without it, it happens behind
    the caller's back.

    Iterating raises UsageError, InputError, StorageError or LockedError; all else ends the iteration, and *summary*
    says how: `exitCode` (as of the command line), `stopped` and `nextStep`.
    """

    def __init__(self, rows: Rows, key: SecretStr | None, options: RunOptions) -> None:
        self._rows = rows
        self._key = key
        self._options = options
        self._brake = Brake()
        self._backlog = Backlog()
        self._all_taken = asyncio.Event()
        self._ledger: Ledger
        self._held = ExitStack()
        self._portal: BlockingPortal
        self._run = NO_RUN
        self._failure: Exception | None = None
        self._is_used = False
        self.summary: dict[str, Any] = {}

    @property
    def exit_code(self) -> int | None:
        """What the program would exit with; None before the end, and where an error was raised."""
        return self.summary.get("exitCode")

    async def __aiter__(self) -> AsyncGenerator[RowResult, None]:
        """Start the run, and yield what becomes of its rows."""
        if self._is_used:
            raise RuntimeError("a run is iterated over once; call sync again")
        self._is_used = True
        try:
            await self._start()
            while lines := await asyncio.wrap_future(self._portal.start_task_soon(self._taken)):
                for line in lines:
                    yield result_of(line)
            await asyncio.wait({asyncio.wrap_future(self._run)})
        finally:
            await self._end()
        if self._failure is not None:
            raise self._failure

    async def aclose(self) -> None:
        """End the run if it goes on, and wait for its end; raises what kept it from ending well."""
        await self._end()
        if self._failure is not None:
            raise self._failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await (self.aclose() if error is None else self._end())

    # On the caller's loop

    async def _start(self) -> None:
        path = await self._input()
        backend = {"use_uvloop": find_spec("uvloop") is not None}
        self._portal = self._held.enter_context(start_blocking_portal(backend_options=backend, name="bulksync"))
        self._run = self._portal.start_task_soon(self._travel, path)

    async def _input(self) -> Path:
        if isinstance(self._rows, str | os.PathLike):
            return Path(self._rows)
        path = Path(self._held.enter_context(TemporaryDirectory(prefix="bulksync-"))) / "rows.jsonl"
        await write_rows(self._rows, path)
        return path

    async def _end(self) -> None:
        """Wait for the run to end and release what it held; a cancellation meanwhile cancels the requests in flight."""
        interrupted: BaseException | None = None
        self._have(self._leave)
        while not self._run.done():
            try:
                await asyncio.wait({asyncio.wrap_future(self._run)})
            except asyncio.CancelledError as error:
                interrupted = error
                self._have(self._brake.slam)
            except GeneratorExit as error:
                # Python before 3.13, where the loop ends right behind a `break`: nothing can be awaited any more.
                interrupted = error
                futures.wait({self._run})
        self._held.close()
        if interrupted is not None:
            raise interrupted

    def _have(self, function: Callable[[], None]) -> None:
        """Have a function called on the run's loop, if the run still goes on."""
        if not self._run.done():
            self._portal.start_task_soon(function)

    # On the run's loop

    async def _travel(self, path: Path) -> None:
        """Make the run; what ends it before its time is kept for the caller's loop to raise."""
        try:
            with ungrouped(), closing(self._backlog):
                await self._go(self._job(path))
        except StoppedError:
            pass  # the caller has left before the first request
        except Exception as error:  # noqa: BLE001  the caller gets it, whatever it is
            self._failure = error

    async def _go(self, job: Job) -> None:
        """Go the road; the ledger stays open until every row is taken, or the caller has left."""
        locate_input(job.options, job.input, job.name)  # before a ledger is made for a file that is not there
        async with open_ledger(job.files.ledger, job.options.lock_wait, self._backlog) as self._ledger:
            with closing(self._backlog):  # while there is a ledger to look rows up in
                ending = await travel(job, self._ledger, self._brake, Doing(), to_logging)
                self.summary = ending.run.summary
                self._backlog.complete(ending.run.id, ending.run.rows)
                await self._all_taken.wait()

    def _job(self, path: Path) -> Job:
        options, target = self._options, target_for(self._options)
        key = SecretStr("sandbox") if options.sandbox else key_for(self._key, options)
        if isinstance(self._rows, str | os.PathLike):
            return Job(path, options, files_for(path, options), target, key, f"sync({str(path)!r}, …)")
        options = options.model_copy(update={"format": "jsonl", "delimiter": None, "encoding": None})
        return Job(path, options, files_of_rows(path, options), target, key, "sync(rows, …)", name="rows")

    async def _taken(self) -> list[tuple[Any, ...]]:
        """Wait for rows with an outcome and return their lines in the ledger; none at the end."""
        rows = await self._backlog.take()
        if not rows:
            self._all_taken.set()
            return []
        return await self._ledger.call(self._ledger.store.lines_of, self._backlog.run, rows)

    def _leave(self) -> None:
        if not self.summary:
            self._brake.pull(LEFT)
        self._backlog.close()
        self._all_taken.set()


def key_for(key: SecretStr | None, options: RunOptions) -> SecretStr:
    """Return the API key: the one given, or else from where the options say; UsageError where there is none."""
    if key is not None:
        return checked_key(key.get_secret_value(), "api_key")
    return read_key(os.environ, options.api_key_file, options.api_key_command)


def files_of_rows(path: Path, options: RunOptions) -> Files:
    """Decide where the files of rows without a file stand: with no output there is no report, and no ledger is kept."""
    if options.output is None:
        return Files(None, options.ledger, path)
    return files_for(path, options)


def result_of(line: tuple[Any, ...]) -> RowResult:
    """Return a line of the ledger, with the columns of `sql.LINES`, as a value."""
    (row, number, workflow, execution, requested, outcome, http, attempts, returned, disposition, steps, started,
     completed, first_sent, finished, duration, doubtful, error, detail) = line  # fmt: skip
    return RowResult(
        row, number, workflow, execution, requested, Outcome(outcome), http, attempts, returned, disposition,
        tuple(Step(**step) for step in orjson.loads(steps)), started, completed, first_sent, finished, duration,
        not doubtful if attempts or doubtful else None, error, detail,
    )  # fmt: skip
