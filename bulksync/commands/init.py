"""Write starter files: a sample input, a configuration to edit, and a crontab line."""

import os
import shlex
from importlib.resources import files
from pathlib import Path

from bulksync.errors import UsageError

STARTER = files("bulksync") / "commands" / "starter"

NAMES = ("rows.csv", "config.toml", "crontab")


def begin(folder: Path, program: Path) -> list[Path]:
    """Write the files into a folder, creating it if necessary; return their paths.

    *program* is what cron runs. Raises UsageError, without writing anything, if one of the files already exists.
    """
    paths = [folder / name for name in NAMES]
    if there := [str(path) for path in paths if os.path.lexists(path)]:
        raise UsageError(f"there already, and left as it is: {', '.join(there)}", "name another folder")
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "name another")
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        write_new(path, content(path.name, folder.absolute(), program))
    return paths


def content(name: str, folder: Path, program: Path) -> str:
    """Return the content of the file *name*; cron runs *program* in *folder*."""
    text = (STARTER / name).read_text(encoding="utf-8")
    return (
        text.replace("FOLDER", for_cron(folder)).replace("BULKSYNC", for_cron(program)) if name == "crontab" else text
    )


def for_cron(path: Path) -> str:
    """Quote a path for the shell that cron starts; cron turns an unescaped % into a newline (crontab(5))."""
    return shlex.quote(str(path)).replace("%", r"\%")


def write_new(path: Path, text: str) -> None:
    """Write a file readable only by this user. Raises FileExistsError if it exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
