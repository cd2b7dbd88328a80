"""The program while a test watches it: started beside a sandbox in the test's own loop, signalled, awaited."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from tests.support.program import Done, command, environment

PATIENCE = 90.0
"""Seconds after which a test stops waiting for anything."""


class Running:
    """The program as a running process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def done(self, within: float = PATIENCE) -> Done:
        """Wait for its end, at most so many seconds, and return what it came to."""
        async with asyncio.timeout(within):
            stdout, stderr = await self.process.communicate()
        assert self.process.returncode is not None
        return Done(self.process.returncode, stdout.decode(), stderr.decode())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the test can see; fail where the program ends before."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                assert self.process.returncode is None, (await self.done()).stderr
                await anyio.sleep(0.005)


@asynccontextmanager
async def running(
    *arguments: object,
    folder: Path,
    through: str = "exec {}",
    variables: Mapping[str, str] | None = None,
    loop: str = "uvloop",
    is_fed: bool = False,
) -> AsyncIterator[Running]:
    """Start the program in *folder*, *through* a shell command with {} in its place; kill it where it still runs.

    Its stdin is a pipe where *is_fed*, else empty.
    """
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        through.format(shlex.join(command(*arguments, loop=loop))),
        cwd=folder,
        env=environment(folder, **(variables or {})),
        stdin=asyncio.subprocess.PIPE if is_fed else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ran(
    *arguments: object,
    folder: Path,
    through: str = "exec {}",
    variables: Mapping[str, str] | None = None,
    loop: str = "uvloop",
) -> Done:
    """Run the program in *folder* to its end."""
    async with running(*arguments, folder=folder, through=through, variables=variables, loop=loop) as program:
        return await program.done()
