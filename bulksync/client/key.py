"""The API key: read from the environment, a private file or a command, and used only in the request header."""

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from bulksync.client.private import CREDENTIALS, read_secret
from bulksync.errors import UsageError

VARIABLE = "FEATHER_API_KEY"


def read_key(environment: Mapping[str, str], file: Path | None, command: str | None) -> SecretStr:
    """Return the key from *file*, else from *command*, else from the environment; raises UsageError if none."""
    if file is not None:
        return checked_key(
            read_secret(file, "--api-key-file", environment.get(CREDENTIALS), 8192), f"the key in {file}"
        )
    if command is not None:
        return checked_key(key_from(command), "the key that --api-key-command printed")
    if (text := environment.get(VARIABLE)) is None:
        raise UsageError(
            "no API key found", f"export {VARIABLE}=…, or name a private file with --api-key-file, or use --sandbox"
        )
    return checked_key(text, f"the key in {VARIABLE}")


def key_from(command: str) -> str:
    """Run a command and return its output; its stderr goes to the caller's."""
    try:
        done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, check=True, timeout=60)  # noqa: S603  the user's own command
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise UsageError(f"--api-key-command failed: {reason}", "run the command by hand") from None
    return done.stdout.decode("ascii", "replace")


def checked_key(text: str, what: str) -> SecretStr:
    """Strip the line end; raises UsageError unless the rest is valid in a header."""
    key = text.rstrip("\r\n")
    if not re.fullmatch(r"[\x21-\x7e]{1,4096}", key):
        raise UsageError(
            f"{what} is empty, or contains whitespace or invalid characters", "check for a stray blank or line"
        )
    return SecretStr(key)
