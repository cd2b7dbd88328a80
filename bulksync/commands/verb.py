"""What a job asks for each row, and what it leaves; another request for each row is one more `Verb`, in a module."""

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
"""Yields the way that each row of a plan takes, and closes what it needs."""

Write = Callable[[Store, Run, Source | InputError, Path | None, ReportOptions], str]
"""Writes what people see of a run, and returns what they ought to know about it."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One kind of job, by the *name* that the ledger keeps.

    One that *reads* changes nothing at the server, and asks once for each execution, at its first row.
    """

    name: str
    open: Open
    write: Write
    reads: bool = False
    saying: str = "sending"
    """The event that is logged before the first request."""
