"""Tests of `bulksync.quota.host`: the file of a station, and its lock."""

import asyncio
import fcntl
import os
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bulksync.quota import station
from bulksync.quota.host import FORMAT, HostStation, state_folder
from bulksync.quota.station import Away, Held, Lease, State

Make = Callable[..., HostStation]


run = asyncio.run


class Clock:
    """A clock that a test sets."""

    time = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.time


CLOCK = Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist yet, nor does its folder."""
    return tmp_path / "state" / "bulksync" / "quota" / "name"


@pytest.fixture
def make(path: Path) -> Iterator[Make]:
    """Return what opens a station, closed at the end, whose clock stands still."""
    made: list[HostStation] = []

    def open_one(
        now: Callable[[], float] = CLOCK, patience: float = 5.0, kind: type[HostStation] = HostStation
    ) -> HostStation:
        made.append(kind(path, now, patience))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


def state_in(path: Path) -> State:
    """Return the state in a file."""
    return State._make(FORMAT.unpack(path.read_bytes()))


def test_all_stations_of_a_file_are_one(make: Make, path: Path) -> None:
    """Two processes that open the file get one turn after the other, as the rule has it; the file has 64 bytes."""
    one, other = make(), make()
    answers = [run(either.lease(1, 10.0)) for either in (one, other, one)]
    state, expected = station.fresh(1000.0, 10.0), []
    for _ in range(3):
        state, answer = station.lease(state, 1000.0, 1, 10.0)
        expected.append(answer)
    assert (answers, state_in(path), path.stat().st_size) == (expected, state, 64)


def test_a_hold_is_for_all(make: Make) -> None:
    """What one process was told holds the others."""
    one, other = make(), make()
    assert run(one.hold(5, lower=True)) is None
    assert run(other.lease(1, 10.0)) == Held(1005.0)


def test_the_file_is_private(make: Make, path: Path) -> None:
    """Only this user may read and write it, and enter its folder."""
    run(make().lease(1, 10.0))
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"torn",
        b"\0" * 64,
        b"\xff" * 64,
        struct.pack("<8d", 0, 0, 0, 0, 2.0, 1.0, 10.0, 0),
        struct.pack("<8d", 0, 0, 0, 0, 1.0, 1.0, 0.0, 0),
        struct.pack("<8d", 0, float("inf"), 0, 0, 1.0, 1.0, 10.0, 0),
    ],
)
def test_what_is_no_state_is_a_fresh_one(content: bytes, make: Make, path: Path) -> None:
    """An empty file, and what a crash of the system left of one, begins anew."""
    one = make()
    path.write_bytes(content)
    _, expected = station.lease(station.fresh(1000.0, 10.0), 1000.0, 1, 10.0)
    assert run(one.lease(1, 10.0)) == expected


def test_a_reboot_moves_all_times_back(make: Make, path: Path) -> None:
    """Where the clock has started anew, what was ahead is as far ahead as it was."""
    run(make().hold(5, lower=False))
    assert run(make(now=lambda: 3.0).lease(1, 10.0)) == Held(8.0)
    assert state_in(path).at == 3.0


def test_a_deleted_file_is_left_for_the_one_in_its_place(make: Make, path: Path) -> None:
    """Who has the deleted file open goes on with the new one, so that all have the same."""
    old = make()
    run(old.lease(1, 10.0))
    path.unlink()
    new = make()
    _, second = run(new.lease(1, 10.0)), run(old.lease(1, 10.0))
    assert isinstance(second, Lease)
    assert second.at > 1000.0


@pytest.mark.parametrize("what", ["a link", "a folder", "a pipe", "open to others"])
def test_what_is_not_a_private_file_of_ours_is_refused(what: str, path: Path) -> None:
    """Nobody can make us write elsewhere, wait for ever, or share with who is not us."""
    path.parent.mkdir(parents=True)
    match what:
        case "a link":
            (path.parent / "other").touch()
            path.symlink_to(path.parent / "other")
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path, 0o600)
        case _:
            path.touch(0o666)
            path.chmod(0o666)
    with pytest.raises(OSError, match="name") as caught:
        HostStation(path)
    assert caught.value.filename == str(path)


class Blocking(HostStation):
    """A mistake: waits for the lock in the system."""

    async def _lock(self) -> Away | None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return None


async def turns_of_the_loop(one: HostStation) -> int:
    """Return how often the loop came round until there was a lease."""
    leasing, turns = asyncio.ensure_future(one.lease(1, 10.0)), 0
    while not leasing.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert isinstance(leasing.result(), Lease)
    return turns


HOLDING = """
import fcntl, time
file = open({path!r}, "r+b")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep({seconds})
"""


@pytest.mark.parametrize(("kind", "is_free"), [(HostStation, True), (Blocking, False)])
def test_the_loop_goes_on_while_the_file_is_locked(
    kind: type[HostStation], is_free: bool, make: Make, path: Path
) -> None:
    """Waiting for the lock stops nothing else; a station that waits in the system is noticed."""
    one = make(now=time.monotonic, kind=kind)
    holding = [sys.executable, "-c", HOLDING.format(path=str(path), seconds=0.5)]
    with subprocess.Popen(holding, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        turns = run(turns_of_the_loop(one))
    assert (turns > 3) is is_free


def test_a_lock_that_stays_is_a_station_that_is_away(make: Make, path: Path) -> None:
    """A process that was stopped with the lock keeps nobody waiting in the dark; once it is gone, all goes on."""
    one = make(now=time.monotonic, patience=0.05)
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        answers = [run(one.lease(1, 10.0)), run(one.hold(1, lower=False))]
    assert answers == [Away(f"locked by a stopped process, see: fuser {path}")] * 2
    assert isinstance(run(one.lease(1, 10.0)), Lease)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"XDG_STATE_HOME": "/state"}, "/state/bulksync/quota"),
        ({"XDG_STATE_HOME": "relative"}, "/home/ann/.local/state/bulksync/quota"),
        ({"XDG_STATE_HOME": ""}, "/home/ann/.local/state/bulksync/quota"),
        ({}, "/home/ann/.local/state/bulksync/quota"),
    ],
)
def test_where_the_files_stand(variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are state of the user: in $XDG_STATE_HOME where that is an absolute path, else below the home."""
    monkeypatch.setenv("HOME", "/home/ann")
    assert state_folder(variables) == Path(folder)
