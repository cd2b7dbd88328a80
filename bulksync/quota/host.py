"""A rate shared by this user's processes on this host: its state is a small file, locked for a moment.

The clock is `time.monotonic`, which is common to all processes of a host and is never adjusted; after a reboot it
restarts, and the times in the file are shifted back with it. There is no daemon and no polling, and a kill leaves
nothing behind.
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
"""Seconds until a locked file is tried again.

Waiting for the lock in the kernel could wait behind a stopped process forever, and block the event loop.
"""

LONGEST_LOCK = 5.0
"""Seconds after which the lock's owner is considered stopped: a lock is held for 2 µs (measured)."""


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder for state shared by a user's runs; raises OSError for a user without a home directory.

    Source: XDG Base Directory Specification, which says to ignore a relative path.
    """
    if os.path.isabs(folder := environment.get("XDG_STATE_HOME", "")):
        return Path(folder) / "bulksync" / "quota"
    try:
        return Path.home() / ".local" / "state" / "bulksync" / "quota"
    except RuntimeError:
        raise OSError(errno.ENOENT, "there is no home", "~") from None


class HostStation:
    """A station in a file; the lock is held without an await, so that tasks of one process never contend for it."""

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
        """Pause all requests for *seconds*."""
        return await self._step(lambda state, now: (station.hold(state, now, seconds, lower=lower), None), 1.0)

    async def _step(self, step: Callable[[State, float], tuple[State, T]], rate: float) -> T | Away:
        """Replace the state with the result of *step*, atomically."""
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
        """Lock the file currently at the path, without ever blocking in the kernel."""
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
        """Open the file that others use now, as somebody deleted ours."""
        file = opened(self._path)
        os.close(self._file)
        self._file = file

    def _read(self, now: float, rate: float) -> State:
        """Return the state; if it was never written, or not completely, return a fresh one."""
        content = os.pread(self._file, FORMAT.size, 0)
        if len(content) == FORMAT.size and is_sound(state := State._make(FORMAT.unpack(content))):
            return state
        return station.fresh(now, rate)


def is_sound(state: State) -> bool:
    """Whether the numbers form a valid state, rather than the remains of a system crash."""
    return all(map(math.isfinite, state)) and 0 < state.share <= state.ceiling <= 1 and state.rate > 0


def opened(path: Path) -> int:
    """Open the file of a station, creating it if needed; raises OSError unless it is a regular file of this user."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, PRIVATE)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        os.close(file)
        raise OSError(errno.EPERM, "it is not a private file of this user", str(path))
    return file
