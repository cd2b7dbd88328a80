"""Looks for the API key, passwords and metadata in whatever tests leave."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.program import CANARY, KEY, PASSWORD

INPUTS_WITH_KEY = ("key", "*.key", "feather-key")
"""Files that may hold the key: a test wrote it there to be read by the program."""

WITHOUT_METADATA = ("*.ledger", "*.ledger-*", "*.report.csv", "*.report.jsonl", "summary*.json")
"""Files that hold no metadata; a test of `--echo-metadata` gives its report another name.

The copy of stdin beside a ledger is an input, and the retry file is made of its rows.
"""


def leaks(folder: Path) -> list[str]:
    """Return the files below *folder* that hold what they must not: the key, a proxy's password, metadata."""
    found = []
    for path in files_below(folder):
        if not any(path.match(name) for name in INPUTS_WITH_KEY) and holds(path, KEY):
            found.append(f"the key: {path}")
        if not any(path.match(name) for name in INPUTS_WITH_KEY) and holds(path, PASSWORD):
            found.append(f"the password: {path}")
        if any(path.match(name) for name in WITHOUT_METADATA) and holds(path, CANARY):
            found.append(f"metadata: {path}")
    return found


def files_below(folder: Path) -> Iterator[Path]:
    """Return the files of a folder and those below it; pipes and sockets hold nothing, links stand elsewhere too."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                yield path


def holds(path: Path, text: str) -> bool:
    """Whether a file of any size holds a text."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(text.encode()) >= 0
