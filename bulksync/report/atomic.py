"""Files for people: whole or not there at all, private, and never in place of what somebody else wrote."""

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from bulksync.errors import StorageError
from bulksync.options.files import STDOUT


@contextmanager
def written(path: Path, what: str, mode: int = 0o600) -> Iterator[TextIO]:
    """Yield a text file that appears at *path* by one rename once it is on the disk; `-` is stdout.

    StorageError where it cannot be written, and nothing changed at *path* then.
    """
    try:
        if path == STDOUT:
            file = stdout()
            yield file
            file.flush()
            return
        draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(draft, flags, 0o600), "w", encoding="utf-8", errors="replace", newline="") as file:
                os.fchmod(file.fileno(), mode)  # whatever the umask says
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            fsync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)
    except BrokenPipeError:
        # Whoever read stdout has seen enough; nobody is left to tell.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  stays open until the process ends
    except OSError as error:
        raise StorageError(
            f"the {what} {path} cannot be written: {error.strerror}", "free space, or name another file", again=True
        ) from None


def stdout() -> TextIO:
    """Return stdout, in UTF-8 like every file of ours; OSError where whoever started us has closed it."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="")
    return sys.stdout


def fsync_folder(folder: Path) -> None:
    """Make a rename in *folder* survive a power cut (fsync(2): the directory needs one of its own)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
