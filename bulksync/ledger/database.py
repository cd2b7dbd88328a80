"""The ledger file itself: private, locked by one connection, rejected if it is foreign or damaged."""

import os
import shlex
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bulksync.errors import LockedError, StorageError
from bulksync.ledger import sql

HELD: set[Path] = set()
"""Ledgers that this process holds.

Opening and closing such a file again would release its lock, as that ends with the first descriptor that the process
closes (fcntl(2), "Record locking").
"""

HOLDING = threading.Lock()

NOTHING_KNOWN = "another --ledger knows nothing of what was sent, so that every row is sent again"

CHECKED_WHOLE = 32 * 1024 * 1024
"""Maximum size in bytes at which a ledger is checked completely on opening: a tenth of a second."""


class NotALedgerError(StorageError):
    """The file belongs to another program; it was left unchanged."""


class Connection(sqlite3.Connection):
    """A connection that releases its file when it is closed."""

    held: Path | None = None

    def close(self) -> None:
        """Close the file and release it."""
        super().close()
        let_go(self.held)


def open_file(path: Path | None) -> sqlite3.Connection:
    """Open or create a ledger, or a temporary one if *path* is None; it is locked until closed.

    Raises LockedError if another process, or another run in this one, holds it; StorageError if it cannot be created,
    is not a ledger, is damaged, or has another format. It is left unchanged then.
    """
    check_sqlite(sqlite3.sqlite_version_info)
    held = hold(path)
    try:
        return connected(path, held)
    except BaseException:
        let_go(held)
        raise


def hold(path: Path | None) -> Path | None:
    """Register a file as held by this process and return the argument for `let_go`; raises LockedError if it is."""
    if path is None:
        return None
    with HOLDING:
        if (held := path.resolve()) in HELD:
            raise locked(path)
        HELD.add(held)
    return held


def let_go(held: Path | None) -> None:
    """Release a file held by this process."""
    if held is not None:
        HELD.discard(held)


def connected(path: Path | None, held: Path | None) -> sqlite3.Connection:
    """Return the single connection to a ledger; closing it also releases *held*."""
    if path is not None:
        create_private(path)
    with explained(path):
        db = sqlite3.connect(path or "", isolation_level=None, timeout=0, factory=Connection)
        db.held = held
        try:
            if path is None or not path.stat().st_size:  # can be chosen only while the file is empty
                db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            # Exclusive from the first access on: no shared memory, so neither network file systems nor SQLite's bugs
            # with several writers can do harm.
            for pragma in (
                "locking_mode=EXCLUSIVE",
                "journal_mode=WAL",
                "synchronous=FULL",
                "cache_size=-16384",
            ):
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN EXCLUSIVE")
            create_tables(db) if is_empty(db) else check(db, path)
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
    return db


def check_sqlite(version: tuple[int, int, int]) -> None:
    """Raise StorageError if SQLite is too old for our statements: `UPDATE … FROM` requires 3.33, from 2020."""
    if version < (3, 33, 0):
        has = ".".join(str(number) for number in version)
        raise StorageError(f"this Python has SQLite {has}; bulksync needs 3.33 or newer", "use a newer Python")


def create_private(path: Path) -> None:
    """Create the file for this user only, whatever the umask; SQLite's side files inherit its mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        check_header(path)
        path.chmod(0o600)
    except OSError as error:
        raise StorageError(f"the ledger {path} cannot be opened or created: {error.strerror}", way_in(path)) from None


def way_in(path: Path) -> str:
    """Return how to make an unwritable ledger usable without losing its contents."""
    if not os.path.exists(path):
        return "choose a writable folder with --ledger"
    return (
        f"run as its owner, or let them do: chown {os.environ.get('USER', '$USER')} {shlex.quote(str(path))};"
        f" {NOTHING_KNOWN}"
    )


def check_header(path: Path) -> None:
    """Raise StorageError for a file that is certainly not a ledger, before SQLite could change a byte of it.

    A ledger uses a write-ahead log from its first table on (bytes 18 and 19 of the header, sqlite.org/fileformat.html);
    without one (bytes 103 and 104) it was left by a start that ran out of disk space.
    """
    with path.open("rb") as file:
        header = file.read(105)
    is_blank = header.startswith(b"SQLite format 3\0") and header[103:] == b"\0\0"
    if header and header[18:20] != b"\x02\x02" and not is_blank:
        raise not_a_ledger(path)


def not_a_ledger(path: Path | None) -> NotALedgerError:
    """Return the error for a file that belongs to another program."""
    return NotALedgerError(
        f"{path} is not a ledger; it was left as it is",
        "move it away, or name the right file with --ledger: a new ledger knows nothing of what was sent before",
    )


def scalar(db: sqlite3.Connection, statement: str, *values: object) -> Any:
    """Return the first column of the first row."""
    return db.execute(statement, values).fetchone()[0]


def is_empty(db: sqlite3.Connection) -> bool:
    """Whether nothing has ever been stored in this file."""
    return bool(scalar(db, "PRAGMA user_version") == 0 and scalar(db, "SELECT count(*) FROM sqlite_schema") == 0)


def create_tables(db: sqlite3.Connection) -> None:
    """Turn an empty file into a ledger, inside the caller's transaction."""
    for statement in f"{sql.SCHEMA};\n{sql.NEW_IN_2}".split(";\n"):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {sql.APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {sql.VERSION}")


def check(db: sqlite3.Connection, path: Path | None) -> None:
    """Raise StorageError unless the file is an undamaged ledger in our format."""
    if scalar(db, "PRAGMA application_id") != sql.APPLICATION_ID:
        raise not_a_ledger(path)
    version = scalar(db, "PRAGMA user_version")
    if not min(sql.UPGRADES) <= version <= sql.VERSION:
        raise StorageError(
            f"the ledger {path} has format {version}, this bulksync has {sql.VERSION}; it was left as it is",
            f"install the newer bulksync; {NOTHING_KNOWN}",
        )
    for what in checked(db):
        if (found := scalar(db, f"PRAGMA quick_check({what})")) != "ok":
            raise damaged(path, found)
    for earlier in range(version, sql.VERSION):
        upgrade(db, earlier)


def checked(db: sqlite3.Connection) -> tuple[str, ...]:
    """Return what to check: all of a small ledger, or of a large one everything except rows and digests.

    Pages of those two are verified as they are read, so damage there is noticed then. Checking all of them takes more
    than a second for a million rows, most of which belong to finished runs.
    """
    is_large = scalar(db, "PRAGMA page_count") * scalar(db, "PRAGMA page_size") > CHECKED_WHOLE
    return ("target", "run", "chunk") if is_large else ("1",)


def identity(path: Path | None) -> tuple[int, int] | None:
    """Return what distinguishes a file from another one at the same path; None if there is none."""
    try:
        found = os.stat(path) if path else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Upgrade a file to the next format, inside the caller's transaction."""
    for statement in sql.UPGRADES[version].split(";\n"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {version + 1}")


def damaged(path: Path | None, why: object) -> StorageError:
    """Return the error for a damaged file."""
    return StorageError(
        f"the ledger {path} is damaged ({why}); it was left as it is",
        f"restore it from a copy; {NOTHING_KNOWN}",
    )


def locked(path: Path | None) -> LockedError:
    """Return the error for a file that another run holds."""
    return LockedError(f"another run holds the ledger {path}", "wait for it, or add --lock-wait 10m", again=True)


@contextmanager
def explained(path: Path | None) -> Iterator[None]:
    """Convert SQLite's errors to ours, which include the next step."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise locked(path) from None
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise damaged(path, error) from None
        raise StorageError(
            f"the ledger {path} cannot be read or written: {error}",
            "free space, then run the same command again",
            again=True,
        ) from None
