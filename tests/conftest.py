"""What holds for the whole suite: no file that a test leaves holds the API key, nor a private one the metadata."""

import mmap
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.program import CANARY, KEY, PASSWORD

# A suite started by nohup or cron must see the same as one started from a terminal.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _state_stays_out_of_the_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The quota files of all runs, of programs too, stand in a folder of this worker: each is of one server's port."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    del os.environ["XDG_STATE_HOME"]
    if before is not None:
        os.environ["XDG_STATE_HOME"] = before


INPUTS_WITH_KEY = ("key", "*.key", "feather-key")
"""Files that may hold the key: a test wrote it there to be read by the program."""

WITHOUT_METADATA = ("*.ledger", "*.ledger-*", "*.report.csv", "*.report.jsonl", "summary*.json")
"""Files that hold no metadata; a test of `--echo-metadata` gives its report another name.

The copy of stdin beside a ledger is an input, and the retry file is made of its rows.
"""


@pytest.fixture(scope="session", autouse=True)
def _secrets_stay_out_of_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every file below the folder of all tests (of this worker) is searched once all tests are done."""
    yield
    assert leaks(tmp_path_factory.getbasetemp()) == []


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
