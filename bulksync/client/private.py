"""Files that contain a secret: read only if nobody else may read or write them."""

import os
import shlex
import stat
from pathlib import Path

from bulksync.errors import UsageError

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The variable with the folder of a systemd service's `LoadCredential=` files (systemd.exec(5))."""


def read_secret(file: Path, option: str, credentials: str | None, limit: int = 1_000_000) -> str:
    """Read at most *limit* characters of a file; raises UsageError, naming *option*, if others may access it too.

    Access means reading or writing. A file that systemd put into the folder *credentials* is private.
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

    systemd grants the service's user read access by an ACL, and stat(2) shows the ACL's mask, r--, in place of the
    group's permissions (acl(5)): 0440, although no group may read the file.
    """
    is_credential = credentials and file.parent.resolve() == Path(credentials).resolve()
    return 0o037 if is_credential else 0o077
