"""The road that rows take, from the input to the report: the program's table of contents."""

import glob
import resource
import shlex
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from pydantic import SecretStr

from bulksync.client import Put, connect
from bulksync.closing import close_finished, close_run, input_of, measure, render
from bulksync.dispatcher import Dispatcher, Tell
from bulksync.errors import BulksyncError, StorageError, leaves
from bulksync.ledger import Ledger, Run, open_ledger
from bulksync.model import Stop
from bulksync.options import RunOptions, show_rate
from bulksync.planning import STDIN, Files, Plan, check_output, plan_run, unknown_statuses
from bulksync.progress import Doing, Look, say_every, since, spell
from bulksync.reader import Source, locate, spool
from bulksync.report import Group, Part, closing_lines, closing_parts, grouped, invalid_line, listed
from bulksync.sending import Brake, Sent, Watch, at_once, send
from bulksync.signals import ASKING, watch_for, watch_signals
from bulksync.tally import Tally

if TYPE_CHECKING:
    from bulksync.progress.terminal import Terminal

SHOWN = 20
"""Invalid rows that are said aloud; the report has them all."""

REFUSED = Stop(7, "interrupted", "not sent: the input has invalid rows")


@dataclass(frozen=True, slots=True)
class Job:
    """One call of `bulksync run`, or of `sync`: its input, its files, the API at *target* and its *key*.

    *command* is the call itself, *name* what messages call the input, if not by its path, and *terminal* is where live
    progress is shown, if anywhere.
    """

    input: Path
    options: RunOptions
    files: Files
    target: str
    key: SecretStr
    command: str
    name: str | None = None
    terminal: "Terminal | None" = None


@dataclass(frozen=True, slots=True)
class Ending:
    """What a run came to; *note* says what is missing in what was written, *invalid* is a first look at bad rows.

    *groups* are the rows with an error, those together that say the same.
    """

    run: Run
    plan: Plan
    note: str
    invalid: list[tuple[int, int, str, str]]
    groups: list[Group]


async def run(job: Job, tell: Tell) -> Ending:
    """Run a job until its end or a signal; BulksyncError where it comes to no report."""
    if job.input != STDIN:
        locate_input(job, job.input, job.name)  # before a ledger is made for a file that is not there
    async with (
        watched(job, tell) as doing,
        open_ledger(job.files.ledger, job.options.lock_wait) as ledger,
        braked() as brake,
    ):
        return await travel(job, ledger, brake, doing, tell)


async def travel(job: Job, ledger: Ledger, brake: Brake, doing: Doing, tell: Tell) -> Ending:
    """Validate all, then send, then report; BulksyncError where it comes to none of these."""
    await ledger.call(check_output, ledger.store, job.files.output, overwrite=job.options.overwrite)
    doing.look = since(f"reading {job.name or job.input}, nothing is sent yet", anyio.current_time)
    with brake.before_sending():
        source = await located(job)
        plan = await planned(job, ledger, source, brake)
    doing.run = plan.run.name
    sent: Sent | None
    if plan.is_refused(job.options.on_invalid):
        sent = Sent(REFUSED, Tally())
    elif plan.due:
        sent = await sent_to_api(job, ledger, plan, source, brake, doing, tell)
    else:
        sent = None if plan.is_finished else Sent(None, Tally())
    doing.look = since(f"writing the report {job.files.output}", anyio.current_time)
    return await reported(job, ledger, plan, source, sent)


@asynccontextmanager
async def watched(job: Job, tell: Tell) -> AsyncGenerator[Doing, None]:
    """Yield what is to know what the run does: a terminal shows it all the time, SIGUSR1 asks for it."""
    doing = Doing()
    doing.look = since(f"opening the ledger {job.files.ledger}", anyio.current_time)
    async with anyio.create_task_group() as watching:
        await watching.start(watch_for, ASKING, lambda: tell("asked", run=doing.run, text=doing.line()))
        if job.terminal:
            from bulksync.progress.terminal import show_live

            watching.start_soon(show_live, doing, job.terminal)
        yield doing
        watching.cancel_scope.cancel()


@asynccontextmanager
async def braked() -> AsyncGenerator[Brake, None]:
    """Yield what signals pull: the first stops, the second insists, the third leaves."""
    brake = Brake()
    async with anyio.create_task_group() as listening:
        await listening.start(watch_signals, brake.pull_for, brake.slam)
        yield brake
        listening.cancel_scope.cancel()


async def located(job: Job) -> Source:
    """Find the input; what comes by stdin is kept in a private file until its run is done."""
    if job.input != STDIN:
        return locate_input(job, job.input, job.name)
    path = job.files.spool
    try:
        await to_thread.run_sync(spool, sys.stdin.buffer, path, abandon_on_cancel=True)
    except anyio.get_cancelled_exc_class():
        # Its thread still waits for stdin and never comes to clear up.
        for draft in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
            draft.unlink()
        raise
    return locate_input(job, path, name="stdin")


def locate_input(job: Job, path: Path, name: str | None = None) -> Source:
    """Return how the input is to be read; UsageError or InputError where it cannot be."""
    options = job.options
    return locate(path, name=name, format=options.format, delimiter=options.delimiter, encoding=options.encoding)


async def planned(job: Job, ledger: Ledger, source: Source, brake: Brake) -> Plan:
    """Validate the input, or find what an earlier run left to do."""
    return await ledger.call(
        plan_run,
        ledger.store,
        source,
        job.options,
        target=job.target,
        files=job.files,
        now=time.time(),
        stopping=lambda: brake.stop is not None,
    )


async def sent_to_api(
    job: Job, ledger: Ledger, plan: Plan, source: Source, brake: Brake, doing: Doing, tell: Tell
) -> Sent:
    """Send the due rows, and say how far that is now and then."""
    tell = partial(tell, run=plan.run.name)
    job = fitted(job, tell)
    options = job.options
    about = spell(plan.due / options.rate)
    tell("sending", rows=plan.due, target=job.target, rate=show_rate(options.rate), about=about)
    if unknown := unknown_statuses(plan.run.reading["statuses"]):
        tell("unknown statuses", statuses=listed(unknown))
    try:
        async with api(job) as put:
            watch = watcher(plan, job, doing, tell)
            return await send(ledger, plan, source, options, put, brake=brake, watch=watch, tell=tell)
    except Exception as error:
        if any(isinstance(cause, BulksyncError) for cause in leaves(error)):
            raise
        tell("fault", error=", ".join(repr(cause) for cause in leaves(error)), exc_info=error)
        return Sent(Stop(1, "internal_error", "a fault of bulksync ended the run"), Tally())


def fitted(job: Job, tell: Tell) -> Job:
    """Return the job with no more requests at once than this process may open connections."""
    asked, (files, _) = job.options.max_in_flight, resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = asked if files == resource.RLIM_INFINITY else at_once(asked, files)
    if allowed == asked:
        return job
    tell("few files", asked=asked, allowed=allowed, files=files)
    return replace(job, options=job.options.model_copy(update={"max_in_flight": allowed}))


@asynccontextmanager
async def api(job: Job) -> AsyncGenerator[Put, None]:
    """Yield what puts one row: to the API, or to a sandbox of this run's own."""
    options = job.options
    async with (
        sandbox_or(job) as target,
        connect(
            target,
            job.key,
            max_in_flight=options.max_in_flight,
            timeout=options.timeout,
            connect_timeout=options.connect_timeout,
            keepalive=options.keepalive,
            proxy=options.proxy,
            ca_file=options.ca_file,
        ) as put,
    ):
        yield put


@asynccontextmanager
async def sandbox_or(job: Job) -> AsyncGenerator[str, None]:
    """Yield the URL to send to."""
    if not job.options.sandbox:
        yield job.target
        return
    # Only here, as a real run needs no server.
    from bulksync.sandbox import Settings, serve
    from bulksync.serving import strict

    async with serve(Settings(**strict(job.options.rate))) as sandbox:
        yield sandbox.url


def watcher(plan: Plan, job: Job, doing: Doing, tell: Tell) -> Watch:
    """Return what looks how far the run is, and says so every `--stats` where no terminal shows it."""
    options = job.options

    async def watch(dispatcher: Dispatcher) -> None:
        started = anyio.current_time()

        def look() -> Look:
            return Look(
                dispatcher.tally,
                total=plan.due,
                in_flight=dispatcher.turns.in_flight,
                rate=show_rate(options.rate),
                elapsed=anyio.current_time() - started,
                waiting=f"stopping: {stop.detail}" if (stop := dispatcher.stopped) else dispatcher.health.waiting_for,
            )

        doing.look = look
        if job.terminal is None:
            await say_every(options.stats, doing.line, lambda text: tell("progress", text=text))

    return watch


async def reported(job: Job, ledger: Ledger, plan: Plan, source: Source, sent: Sent | None) -> Ending:
    """Close the run in the ledger, then show it to people; with nothing *sent*, as an earlier run left it."""
    store, rate, command = ledger.store, job.options.rate, job.command
    if sent is None:
        ended = await ledger.call(close_finished, store, plan.run, now=time.time(), command=command, rate=rate)
    else:
        ended = await ledger.call(
            close_run, store, plan.run, sent.stop, sent.tally, now=time.time(), command=command, rate=rate
        )
    shown = await to_thread.run_sync(input_of, ended, source)
    try:
        note = await ledger.call(render, store, ended, shown, job.files.output, job.options)
        await ledger.call(measure, ended, job.options, now=time.time())
    except StorageError as error:
        alone = f"bulksync report {shlex.quote(str(store.path))} writes the report alone, or " if store.path else ""
        raise StorageError(error.what, f"free space; then {alone}run the same command again", again=True) from None
    if job.input == STDIN and ended.exit_code in (0, 3):
        job.files.spool.unlink(missing_ok=True)
    invalid = await ledger.call(lambda: list(islice(store.invalid(ended.id), SHOWN)))
    groups = await ledger.call(lambda: grouped(store.errors(ended.id)))
    return Ending(ended, plan, note, invalid, groups)


def ending_lines(ending: Ending, job: Job) -> list[str]:
    """Say to people what a run came to, in lines."""
    lines = first_lines(ending) + closing_lines(ending.run.summary, ending_parts(ending, job))
    return [f"bulksync: {line}" for line in lines]


def first_lines(ending: Ending) -> list[str]:
    """Say what comes before all else: rows that must be mended, and that nothing was to be done."""
    run, plan = ending.run, ending.plan
    lines = [invalid_line(row) for row in ending.invalid]
    if plan.invalid > len(lines):
        lines.append(f"… and {plan.invalid - len(lines):,} more invalid rows; the report has them all")
    if plan.is_finished:
        rejected = ", --retry-rejected only the rejected ones" if run.summary["outcomes"].get("rejected") else ""
        lines.append(f"all rows done by run {run.name} at {run.ended}; --resend sends again{rejected}")
    return lines


def ending_parts(ending: Ending, job: Job) -> list[Part]:
    """Return what a run came to, part by part."""
    said = {row for row, *_ in ending.invalid}
    groups = [group for group in ending.groups if group.count > 1 or group.row not in said]
    summary = ending.run.summary
    if ending.plan.is_finished:
        summary = summary | {"requests": 0, "advice": ""}  # nothing was sent this time
    return closing_parts(summary, groups, report=str(job.files.output), ledger=str(job.files.ledger), note=ending.note)
