"""Read the configuration file: options by name, and profiles of them."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bulksync.errors import UsageError
from bulksync.options.models import RunOptions

PROFILES = "profile"
"""The table that contains the profiles, such as `[profile.prod]`."""


def configured(path: Path | None, *, required: bool, profile: str | None) -> dict[str, dict[str, Any]]:
    """Return option names and values by their place in the file: those of a *profile* first, then the top-level ones.

    Raises UsageError as `read_configuration` does, and if there is no such profile.
    """
    values = {} if path is None else read_configuration(path, required=required)
    profiles = values.pop(PROFILES, {})
    if not profile:
        return {str(path): values}
    if profile not in profiles:
        raise UsageError(f"there is no profile {profile!r} in {path or 'any file'}", known_profiles(profiles, profile))
    return {f"{path} [{PROFILES}.{profile}]": profiles[profile], str(path): values}


def known_profiles(profiles: Iterable[str], wanted: str) -> str:
    """Return a hint at the existing profiles for one that was not found."""
    names = ", ".join(profiles)
    return f"name one of these with --profile: {names}" if names else f"add a table to the file: [{PROFILES}.{wanted}]"


def read_configuration(path: Path, *, required: bool) -> dict[str, Any]:
    """Return the options and profiles of a TOML file; {} if the file is missing and not *required*.

    Raises UsageError if others may write the file (it could name the target or a command), on invalid TOML, on a
    key that is not an option and on a value that is a table.
    """
    values = read_toml(path, required=required)
    profiles = values.get(PROFILES, {})
    if not isinstance(profiles, dict) or not all(isinstance(one, dict) for one in profiles.values()):
        raise UsageError(f"{path}: {PROFILES} is not a table of profiles", f"write [{PROFILES}.NAME] above its options")
    check_options({name: value for name, value in values.items() if name != PROFILES}, str(path))
    for name, options in profiles.items():
        check_options(options, f"{path} [{PROFILES}.{name}]")
    return values


def read_toml(path: Path, *, required: bool) -> dict[str, Any]:
    """Parse a TOML file that others must not be able to write; {} if it is missing and not *required*."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
                raise UsageError(f"{path} can be written by others, so it is not read", f"chmod go-w {path}")
            return tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise UsageError(f"{path} does not exist", "check --config") from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "fix the file, or name another with --config") from None


def check_options(values: Mapping[str, Any], place: str) -> None:
    """Raise UsageError, naming their *place*, if some values are not options."""
    known = {name.replace("_", "-") for name in RunOptions.model_fields}
    if unknown := sorted(name for name in values if name.replace("_", "-") not in known):
        raise UsageError(f"{place}: no such option: {', '.join(unknown)}", "see: bulksync run --help")
    if table := next((name for name, value in values.items() if isinstance(value, dict)), None):
        raise UsageError(f"{place}: {table} is a table, and not a value", f"write {table} = …, above the first table")
