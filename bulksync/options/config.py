"""The configuration file, and how wrong options are reported."""

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bulksync.errors import UsageError
from bulksync.options.models import RunOptions


def as_flag(name: str) -> str:
    """Write an option as it is given on the command line."""
    return "--" + name.replace("_", "-")


def wrong_options(error: ValidationError, written: Callable[[str], str] = as_flag) -> str:
    """Say in one line which options are wrong, and why; *written* turns an option's name into what the caller wrote."""
    said = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        option = f"{written(str(problem['loc'][0]))}: " if problem["loc"] else ""
        what = "there is no such option" if problem["type"] == "extra_forbidden" else problem["msg"]
        said.append(option + what.removeprefix("Value error, "))
    return "; ".join(said)


def read_configuration(path: Path, *, required: bool) -> dict[str, Any]:
    """Read option names and values from a TOML file; {} where a file that is not *required* is missing.

    UsageError where others may write the file (it could name the target or a command), on bad TOML and on a key
    that is no option.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
                raise UsageError(f"{path} can be written by others, so it is not read", f"chmod go-w {path}")
            values = tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise UsageError(f"{path} does not exist", "check --config") from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "fix the file, or name another with --config") from None
    known = {name.replace("_", "-") for name in RunOptions.model_fields}
    if unknown := sorted(name for name in values if name.replace("_", "-") not in known):
        raise UsageError(f"{path}: no such option: {', '.join(unknown)}", "see: bulksync run --help")
    return values
