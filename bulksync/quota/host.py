"""A rate that this user's processes on this host share: its state is a small file, locked for a moment.

The clock is `time.monotonic`, which all processes of a host share and which nobody sets; after a reboot it starts anew,
and the times in the file go back with it. No station runs, nothing is polled, and nothing is left behind by a kill.
"""

import errno
import fcntl
import math
import os
import stat
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import anyio

from bulksync.quota import station
from bulksync.quota.station import Away, Held, Lease, State

T = TypeVar("T")

FORMAT = struct.Struct("<8d")

PRIVATE = 0o600

LOCKED_AGAIN = 0.0005
"""Seconds until a locked file is tried again: who waited for the lock in the system could wait behind a stopped process
for ever, and the event loop with it."""

LONGEST_LOCK = 5.0
"""Seconds after which a lock is that of a stopped process: it is held for 2 µs (measured)."""


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder for what the runs of a user know together; OSError for a user without a home.

    Source: XDG Base Directory Specification, by which a relative path is to be ignored.
    """
    if os.path.isabs(folder := environment.get("XDG_STATE_HOME", "")):
        return Path(folder) / "bulksync" / "quota"
    try:
        return Path.home() / ".local" / "state" / "bulksync" / "quota"
    except RuntimeError:
        raise OSError(errno.ENOENT, "there is no home", "~") from None


class HostStation:
    """A station in a file; the lock is held without an await, so that the tasks of one process do not meet in it."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic, patience: float = LONGEST_LOCK) -> None:
        self.name = str(path)
        self._path = path
        self._now = now
        self._patience = patience
        self._file = opened(path)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    async def lease(self, count: int, rate: float) -> Lease | Held | Away:
        """Reserve turns."""
        return await self._step(lambda state, now: station.lease(state, now, count, rate), rate)

    async def hold(self, seconds: float, *, lower: bool) -> Away | None:
        """Let nobody start for so long."""
        return await self._step(lambda state, now: (station.hold(state, now, seconds, lower=lower), None), 1.0)

    async def _step(self, step: Callable[[State, float], tuple[State, T]], rate: float) -> T | Away:
        """Replace the state by what *step* makes of it, while nobody else can."""
        if (away := await self._lock()) is not None:
            return away
        try:
            now = self._now()
            state, answer = step(self._read(now, rate), now)
            os.pwrite(self._file, FORMAT.pack(*state), 0)
        except OSError as error:
            return Away(f"{error.strerror}")
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        return answer

    async def _lock(self) -> Away | None:
        """Lock the file that stands at the path now, without ever waiting in the system."""
        started = self._now()
        while True:
            try:
                if not os.fstat(self._file).st_nlink:
                    self._open_again()
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._now() - started > self._patience:
                    return Away(f"locked by a stopped process, see: fuser {self._path}")
                await anyio.sleep(LOCKED_AGAIN)
            except OSError as error:
                return Away(f"{error.strerror}")
            else:
                return None

    def _open_again(self) -> None:
        """Open the file that others use since somebody deleted ours."""
        file = opened(self._path)
        os.close(self._file)
        self._file = file

    def _read(self, now: float, rate: float) -> State:
        """Return the state; one that nobody wrote, or not to its end, is a fresh one."""
        content = os.pread(self._file, FORMAT.size, 0)
        if len(content) == FORMAT.size and is_sound(state := State._make(FORMAT.unpack(content))):
            return state
        return station.fresh(now, rate)


def is_sound(state: State) -> bool:
    """Whether numbers are those of a state, and not what a crash of the system left."""
    return all(map(math.isfinite, state)) and 0 < state.share <= state.ceiling <= 1 and state.rate > 0


def opened(path: Path) -> int:
    """Open the file of a station, made if there is none; OSError where it is not a file of this user's own."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, PRIVATE)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        os.close(file)
        raise OSError(errno.EPERM, "it is not a private file of this user", str(path))
    return file
