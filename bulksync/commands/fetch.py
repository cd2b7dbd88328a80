"""`bulksync fetch`: one GET for each execution of the input, into a state file that can be run as an input."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

from bulksync.client.connection import Client
from bulksync.commands.verb import Verb
from bulksync.errors import InputError
from bulksync.ledger.states import States, state_line
from bulksync.ledger.store import Run, Store, timestamp
from bulksync.model import Outcome, Reply, Request, Row, Turn, Way
from bulksync.options.files import Files
from bulksync.options.models import ReportOptions
from bulksync.reader.source import Source
from bulksync.report.render import draw
from bulksync.report.state import write_states
from bulksync.report.summary import summary_of, write_summary
from bulksync.sender.plan import Plan
from bulksync.sender.settings import settings_of


@asynccontextmanager
async def open_fetching(client: Client, files: Files, plan: Plan) -> AsyncGenerator[Way, None]:
    """Yield the way of rows whose executions are read and their states saved; a new run begins with no states."""
    with closing(States(files.states)) as states:
        if not plan.continued:
            states.clear()
        requests = (reading(client, states),)
        yield lambda _: requests


def reading(client: Client, states: States) -> Request:
    """Return the request that reads an execution; its state is on disk before the answer counts."""
    return Request(partial(read_and_save, client, states), Outcome.FETCHED, is_safe=True)


async def read_and_save(client: Client, states: States, row: Row, turn: Turn) -> Reply | None:
    """Read a row's execution and save its state. Raises StorageError if that cannot be written."""
    reply = await client.get(row, turn)
    if reply is not None and reply.execution is not None:
        line = state_line(row, reply.execution, status=reply.status, at=timestamp(time.time()))
        await states.save(row.key, line)
    return reply


def write(store: Store, run: Run, source: Source | InputError, output: Path | None, options: ReportOptions) -> str:
    """Write the state file, the summary and the page, each if asked for. Raises StorageError if that fails."""
    if options.summary:
        write_summary(options.summary, summary_of(store, run))
    if output:
        path = (store.path.parent if store.path else Path()) / settings_of(run).states
        with closing(States(path)) as states, closing(store.lines(run.id)) as lines:
            write_states(output, lines, states)
    if options.html:
        draw(store, run, output, options.html)
    return ""


FETCH = Verb("fetch", open_fetching, write, reads=True, saying="fetching")
