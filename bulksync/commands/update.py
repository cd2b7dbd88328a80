"""The requests of `bulksync run`: one PUT per row; with `--save-before`, one GET before an execution's first PUT."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import replace

from bulksync.client.connection import Client
from bulksync.commands.fetch import read_and_save
from bulksync.commands.verb import Verb
from bulksync.ledger.states import States
from bulksync.model import Outcome, Reply, Request, Row, Turn, Way
from bulksync.options.files import Files
from bulksync.report.render import render
from bulksync.sender.plan import Plan


@asynccontextmanager
async def open_updating(client: Client, files: Files, _: Plan) -> AsyncGenerator[Way, None]:
    """Yield the way of rows whose executions are updated."""
    put = Request(client.put)
    if files.before is None:
        yield lambda _: (put,)
        return
    with closing(States(files.before)) as states:
        read = saving(client, states)
        yield lambda row: (put,) if row.key in states else (read, put)


def saving(client: Client, states: States) -> Request:
    """Return the request that reads an execution and saves its state before anything changes it.

    Being able to read it does not show that it may be written.
    """

    async def read(row: Row, turn: Turn) -> Reply | None:
        reply = await read_and_save(client, states, row, turn)
        if reply is None or not reply.error:
            return reply
        return replace(reply, detail=f"not updated, as its state could not be read first: {reply.detail}"[:200])

    return Request(read, Outcome.FETCHED, is_safe=True, proves=False)


UPDATE = Verb("run", open_updating, render)
