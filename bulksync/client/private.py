"""Files that hold a secret: read only where nobody else may read or write them."""

import os
import shlex
import stat
from pathlib import Path

from bulksync.errors import UsageError

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Names the folder of a systemd service's `LoadCredential=` files (systemd.exec(5))."""


def read_secret(file: Path, option: str, credentials: str | None, limit: int = 1_000_000) -> str:
    """Read at most *limit* characters of a file; UsageError, naming *option*, where others may read or write it too.

    A file that systemd put into the folder of *credentials* is private.
    """
    try:
        with file.open(encoding="ascii", errors="replace") as stream:
            if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & forbidden(file, credentials):
                raise UsageError(
                    f"others may read or write {file}, so it is not used", f"chmod 600 {shlex.quote(str(file))}"
                )
            return stream.read(limit)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", f"check {option}") from None


def forbidden(file: Path, credentials: str | None) -> int:
    """Return the permissions that a private file must not grant.

    systemd lets the service's user read a credential by an access list, and stat(2) shows the list's mask, r--, where
    the group's permissions stand (acl(5)): 0440, though no group may read it.
    """
    is_credential = credentials and file.parent.resolve() == Path(credentials).resolve()
    return 0o037 if is_credential else 0o077
