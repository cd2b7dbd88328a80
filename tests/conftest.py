"""What holds for the whole suite: no file that a test leaves holds the API key, nor a private one the metadata."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.leaks import leaks

# No test asserts a time: Hypothesis would fail an example that takes longer than 0.2 s, which a busy machine does.
settings.register_profile("bulksync", settings(), deadline=None)
settings.load_profile("bulksync")

# A suite started by nohup or cron, or in the background of a script, must see the same as one from a terminal.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _secrets_stay_out_of_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every file below the folder of all tests (of this worker) is searched once all tests are done."""
    yield
    assert leaks(tmp_path_factory.getbasetemp()) == []


@pytest.fixture(scope="session", autouse=True)
def _state_stays_out_of_the_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The quota files of all runs, of programs too, stand in a folder of this worker: each is of one server's port."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    del os.environ["XDG_STATE_HOME"]
    if before is not None:
        os.environ["XDG_STATE_HOME"] = before
