"""What a job requests for each row, and what it writes; a new kind of request is another `Verb` in its own module."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from bulksync.client.connection import Client
from bulksync.errors import InputError
from bulksync.ledger.store import Run, Store
from bulksync.model import Way
from bulksync.options.files import Files
from bulksync.options.models import ReportOptions
from bulksync.reader.source import Source
from bulksync.sender.plan import Plan

Open = Callable[[Client, Files, Plan], AbstractAsyncContextManager[Way]]
"""Yields the way for each row of a plan, and closes its resources."""

Write = Callable[[Store, Run, Source | InputError, Path | None, ReportOptions], str]
"""Writes a run's files for people, and returns a note for the user."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One kind of job; the ledger stores its *name*.

    One that *reads* changes nothing on the server, and sends one request per execution, at its first row.
    """

    name: str
    open: Open
    write: Write
    reads: bool = False
    saying: str = "sending"
    """The event that is logged before the first request."""
