"""A sandbox in a process of its own, and what it saw."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from tests.support.program import started


@contextmanager
def api(folder: Path, *options: object) -> Iterator[str]:
    """Serve the sandbox in a process of its own, its log in the file `log`; yield its URL."""
    arguments = ("sandbox", "--port", 0, "--rate", "unlimited", "--log-file", folder / "log", *options)
    with started(*arguments, folder=folder) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()


def arrivals(folder: Path) -> list[tuple[str, int]]:
    """Return each applied update as execution and turn, in the order of application."""
    log = folder / "log"
    text = log.read_bytes() if log.exists() else b""
    whole = text[: text.rfind(b"\n") + 1]  # the sandbox may be writing the next line just now
    lines = map(orjson.loads, whole.splitlines())
    return [(line["execution_id"], line["body"]["metadata"]["turn"]) for line in lines if line["applied"]]
