"""`bulksync run`, from the input to the report: the program's table of contents."""

import glob
import shlex
import sys
import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from pydantic import SecretStr

from bulksync.commands.again import fixing
from bulksync.commands.target import connected, fitted, sharing
from bulksync.commands.update import UPDATE
from bulksync.commands.verb import Verb
from bulksync.console.closing import Ending
from bulksync.console.lines import columns_said
from bulksync.console.progress import Doing, since
from bulksync.console.watch import watched, watcher
from bulksync.errors import BulksyncError, StorageError, leaves
from bulksync.ledger.writer import Ledger, open_ledger
from bulksync.model import Outcome, Stop, Tell
from bulksync.options.files import STDIN, Files
from bulksync.options.models import RunOptions
from bulksync.options.values import show_rate
from bulksync.quota.seat import seat_for
from bulksync.reader.source import Source, spool
from bulksync.report.grouping import grouped
from bulksync.report.render import input_of, measure
from bulksync.report.summary import close_finished, close_run, summary_of
from bulksync.sender.feed import Supply
from bulksync.sender.plan import Plan, check_output, estimate, locate_input, plan_run, unknown_statuses
from bulksync.sender.send import Brake, Sent, send, stop_on_signals
from bulksync.sender.tally import Tally
from bulksync.text import spell

if TYPE_CHECKING:
    from bulksync.console.terminal import Terminal

SHOWN = 20
"""Maximum number of invalid rows printed; the report has them all."""

REFUSED = Stop(7, "interrupted", "not sent: the input has invalid rows")


@dataclass(frozen=True, slots=True)
class Job:
    """One call of `bulksync run`, or of `sync`: its input, its files, the API at *target* and its *key*.

    *command* is the call itself, *arguments* are its words if it came from the command line, *name* is what
    messages call the input if not by its path, and *terminal* is where live progress is shown, if anywhere.
    """

    input: Path
    options: RunOptions
    files: Files
    target: str
    key: SecretStr
    command: str
    name: str | None = None
    verb: Verb = UPDATE
    terminal: "Terminal | None" = None
    arguments: tuple[str, ...] = ()


async def run(job: Job, tell: Tell) -> Ending:
    """Run a job until it ends or a signal stops it. Raises BulksyncError if no report was written."""
    if job.input != STDIN:
        locate_input(job.options, job.input, job.name)  # before a ledger is created for a missing file
    async with (
        watched(f"opening the ledger {job.files.ledger}", job.terminal, tell) as doing,
        open_ledger(job.files.ledger, job.options.lock_wait) as ledger,
        stop_on_signals() as brake,
    ):
        return await travel(job, ledger, brake, doing, tell)


async def travel(job: Job, ledger: Ledger, brake: Brake, doing: Doing, tell: Tell) -> Ending:
    """Validate, send and report. Raises BulksyncError if no report was written."""
    await ledger.call(check_output, ledger.store, job.files.output, overwrite=job.options.overwrite)
    doing.look = since(f"reading {job.name or job.input}, nothing is sent yet", anyio.current_time)
    began = anyio.current_time()
    with brake.before_sending():
        source = await located(job)
        plan = await planned(job, ledger, source, brake)
    doing.run = plan.run.name
    tell_plan(tell, plan, job.files, anyio.current_time() - began)
    for note in plan.notes:
        tell("note", text=note)
    sent: Sent | None
    if plan.is_refused(job.options.on_invalid):
        sent = Sent(REFUSED, Tally())
    elif plan.due:
        sent = await sent_to_api(job, ledger, plan, source, brake, doing, tell)
    else:
        sent = None if plan.is_finished else Sent(None, Tally())
    doing.look = since(f"writing the report {job.files.output}", anyio.current_time)
    return await reported(job, ledger, plan, source, sent)


def tell_plan(tell: Tell, plan: Plan, files: Files, seconds: float) -> None:
    """Log what will be done, and where the results are written, for verbose output."""
    run = plan.run
    tell(
        "planned", run=run.name, input=run.input, rows=run.rows, invalid=plan.invalid, due=plan.due,
        seconds=round(seconds, 3), report=str(files.output or "none"), ledger=str(files.ledger or "none"),
    )  # fmt: skip


async def located(job: Job) -> Source:
    """Find the input; stdin is kept in a private file until its run is done."""
    if job.input != STDIN:
        return locate_input(job.options, job.input, job.name)
    path = job.files.spool
    try:
        await to_thread.run_sync(spool, sys.stdin.buffer, path, abandon_on_cancel=True)
    except anyio.get_cancelled_exc_class():
        # Its thread is still waiting for stdin and never gets to clean up.
        for draft in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
            draft.unlink()
        raise
    return locate_input(job.options, path, name="stdin")


async def planned(job: Job, ledger: Ledger, source: Source, brake: Brake) -> Plan:
    """Validate the input, or find what an earlier run left to do."""
    return await ledger.call(
        plan_run,
        ledger.store,
        source,
        job.options,
        target=job.target,
        key=job.key,
        files=job.files,
        now=time.time(),
        stopping=lambda: brake.stop is not None,
        verb=job.verb.name,
        reads=job.verb.reads,
    )


async def sent_to_api(
    job: Job, ledger: Ledger, plan: Plan, source: Source, brake: Brake, doing: Doing, tell: Tell
) -> Sent:
    """Send the due rows, reporting progress meanwhile."""
    tell = partial(tell, run=plan.run.name)
    options = fitted(job.options, tell)
    turns = plan.due * (1 if job.files.before is None else 2)
    seconds = estimate(turns, await ledger.call(ledger.store.longest_chain, plan.run.id), options.rate)
    if job.files.before is not None:
        tell("saving before", path=str(job.files.before))
    if columns := plan.settings.columns:  # not recorded by old versions
        tell("columns", **columns_said(columns))
    if plan.acknowledged:
        leave_out = f"{job.command} --only-changed"
        tell("acknowledged already", known=plan.acknowledged, rows=plan.due, command=leave_out)
    if plan.superseded:
        tell("superseded", rows=plan.superseded)
    if begun := plan.continued and plan.settings.begun:
        tell("continuing", name=plan.run.name, begun=begun)
    rate, about = show_rate(options.rate), spell(seconds)
    tell(job.verb.saying, rows=plan.due, target=job.target, rate=rate, about=about, etaSeconds=round(seconds, 3))
    if not job.verb.reads and (unknown := unknown_statuses(plan.settings.statuses)):
        tell("unknown statuses", statuses=unknown)
    return await sent_through(job, ledger, plan, source, options, brake, doing, tell, total=plan.due)


async def sent_through(
    job: Job,
    ledger: Ledger,
    plan: Plan,
    source: Source,
    options: RunOptions,
    brake: Brake,
    doing: Doing,
    tell: Tell,
    *,
    total: int | None,
    supply: Supply | None = None,
) -> Sent:
    """Open connections and send *total* rows, None if their number is unknown; an internal error becomes a Stop."""
    try:
        seat = seat_for(job.target, plan.run.digest, ledger.store.path)
        async with (
            sharing(options, job.target, job.key, seat, tell) as station,
            connected(job.target, job.key, options) as client,
            job.verb.open(client, job.files, plan) as way,
        ):
            watch = watcher(total, options, doing, job.terminal, tell)
            sent = await send(
                ledger,
                plan,
                source,
                options,
                way,
                brake=brake,
                watch=watch,
                tell=tell,
                station=station,
                supply=supply,
            )
            doing.keep()
        if sent.tally.outcomes[Outcome.UPDATED]:
            await ledger.call(ledger.store.prove, job.target, job.key.get_secret_value())
        return sent
    except Exception as error:
        if any(isinstance(cause, BulksyncError) for cause in leaves(error)):
            raise
        tell("fault", error=", ".join(repr(cause) for cause in leaves(error)), exc_info=error)
        return Sent(Stop(1, "internal_error", "an internal error of bulksync ended the run"), Tally())


async def reported(job: Job, ledger: Ledger, plan: Plan, source: Source, sent: Sent | None) -> Ending:
    """Close the run in the ledger and show its result; without *sent*, as an earlier invocation left it."""
    store, rate = ledger.store, job.options.rate
    rejected = job.options.rejected_file
    advised = {
        "command": job.command,
        "fixing": fixing(job.arguments, job.input, source.format, ledger=job.files.ledger, rejected=rejected),
    }
    if sent is None:
        ended = await ledger.call(close_finished, store, plan.run, now=time.time(), rate=rate, **advised)
    else:
        ended = await ledger.call(
            close_run, store, plan.run, sent.stop, sent.tally, now=time.time(), rate=rate, **advised
        )
    await ledger.call(store.prune, job.options.keep_runs)
    shown = await to_thread.run_sync(input_of, ended, source)
    try:
        note = await ledger.call(job.verb.write, store, ended, shown, job.files.output, job.options)
        await ledger.call(measure, ended, job.options, now=time.time())
    except StorageError as error:
        alone = f"bulksync report {shlex.quote(str(store.path))} writes the report alone, or " if store.path else ""
        raise StorageError(error.what, f"free space; then {alone}run the same command again", again=True) from None
    if job.input == STDIN and ended.exit_code in (0, 3):
        job.files.spool.unlink(missing_ok=True)
    invalid = await ledger.call(lambda: list(islice(store.invalid(ended.id), SHOWN)))
    groups = await ledger.call(lambda: grouped(store.errors(ended.id)))
    summary = await ledger.call(summary_of, store, ended)
    return Ending(ended, summary, plan, note, invalid, groups)
