"""Write files for people: atomically, private, and never over a file that somebody else wrote."""

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO

from bulksync.errors import StorageError
from bulksync.options.files import STDOUT


@contextmanager
def written(path: Path, what: str, mode: int = 0o600) -> Iterator[TextIO]:
    """Yield a text file that is renamed to *path* once it is on disk; `-` is stdout.

    Raises StorageError if it cannot be written; *path* is unchanged then.
    """
    with explained(path, what):
        if path == STDOUT:
            file = stdout()
            yield file
            file.flush()
            return
        with (
            drafted(path, mode) as descriptor,
            open(descriptor, "w", encoding="utf-8", errors="replace", newline="", closefd=False) as file,
        ):
            yield file


@contextmanager
def written_bytes(path: Path, what: str, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Yield a binary file, otherwise like `written`."""
    with explained(path, what):
        if path == STDOUT:
            text = stdout()
            text.flush()
            yield text.buffer
            text.buffer.flush()
            return
        with drafted(path, mode) as descriptor, open(descriptor, "wb", closefd=False) as file:
            yield file


@contextmanager
def drafted(path: Path, mode: int) -> Iterator[int]:
    """Yield the descriptor of a file that is renamed to *path* once its contents are on disk."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(draft, flags, 0o600)
        try:
            os.fchmod(descriptor, mode)  # regardless of the umask
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(path)
        fsync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Convert exceptions raised while writing a file into a StorageError that names the cause."""
    try:
        yield
    except BrokenPipeError:
        # The reader of stdout has closed it; nobody is left to report to.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  stays open until the process ends
    except OSError as error:
        raise StorageError(
            f"the {what} {path} cannot be written: {error.strerror}", "free space, or name another file", again=True
        ) from None


def stdout() -> TextIO:
    """Return stdout, in UTF-8 like all our files. Raises OSError if the parent process closed it."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="")
    return sys.stdout


def fsync_folder(folder: Path) -> None:
    """Make a rename in *folder* survive a power failure (fsync(2): the directory needs one of its own)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
