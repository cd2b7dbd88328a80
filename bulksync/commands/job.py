"""One call of `bulksync run`, of another verb, or of `sync`: what it is given, and where its input is."""

import glob
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from pydantic import SecretStr

from bulksync.commands.update import UPDATE
from bulksync.commands.verb import Verb
from bulksync.options.files import STDIN, Files
from bulksync.options.models import RunOptions
from bulksync.reader.source import Source, spool
from bulksync.sender.plan import locate_input

if TYPE_CHECKING:
    from bulksync.console.terminal import Terminal


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
