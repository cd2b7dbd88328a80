"""`bulksync run`, from the input to the report: the program's table of contents."""

import shlex
import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from bulksync.commands.again import fixing
from bulksync.commands.announce import tell_plan, tell_sending
from bulksync.commands.job import Job, located
from bulksync.commands.target import connected, fitted, sharing
from bulksync.console.closing import Ending
from bulksync.console.progress import Doing, since
from bulksync.console.watch import watched, watcher
from bulksync.errors import BulksyncError, StorageError, leaves
from bulksync.ledger.writer import Ledger, open_ledger
from bulksync.model import Outcome, Stop, Tell
from bulksync.options.files import STDIN
from bulksync.options.models import RunOptions
from bulksync.quota.seat import seat_for
from bulksync.reader.source import Source
from bulksync.report.grouping import grouped
from bulksync.report.render import input_of, measure
from bulksync.report.summary import close_finished, close_run, summary_of
from bulksync.sender.feed import Supply
from bulksync.sender.plan import Plan, check_output, estimate, locate_input, plan_run
from bulksync.sender.send import Brake, Sent, send, stop_on_signals
from bulksync.sender.tally import Tally

if TYPE_CHECKING:
    pass

SHOWN = 20
"""Maximum number of invalid rows printed; the report has them all."""

REFUSED = Stop(7, "interrupted", "not sent: the input has invalid rows")


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
    tell_sending(tell, job, plan, seconds)
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
