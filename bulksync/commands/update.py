"""What `bulksync run` asks for each row: one PUT."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bulksync.client.connection import Client
from bulksync.commands.verb import Verb
from bulksync.model import Request, Way
from bulksync.options.files import Files
from bulksync.report.render import render
from bulksync.sender.plan import Plan


@asynccontextmanager
async def open_updating(client: Client, _: Files, __: Plan) -> AsyncGenerator[Way, None]:
    """Yield the way of rows whose executions are updated."""
    requests = (Request(client.put),)
    yield lambda _: requests


UPDATE = Verb("run", open_updating, render)
