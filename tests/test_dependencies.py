"""What we stand on: no installed version with a known hole, no floor below the version that closed it.

This is no audit. An audit asks a service for advisories, as `make audit` does with pip-audit where there is a network.
Where this was written no service could be reached: OSV's name did not resolve, and the package index answered for
files only, upon which pip-audit skips every package (and ends well, but for its `--strict`). So these tests hold what
is known without asking, from aiohttp's changelog and threat model up to 3.14.5; of a new hole they learn from people.
"""

import sys
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import pytest
from aiohttp import http_parser
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.imports import PACKAGE, imported

PROJECT: dict[str, Any] = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
NEEDED = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
OPTIONAL = [Requirement(text) for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra]
DEVELOPING = [Requirement(text) for text in PROJECT["dependency-groups"]["dev"] if isinstance(text, str)]

FIXED_IN = {
    "CVE-2023-49081, 49082: line ends in method and version": "3.9.0",
    "CVE-2024-23829, 52304, CVE-2025-53643, 69224: smuggling past the parser in Python": "3.13.3",
    "CVE-2025-69223: decompression bomb": "3.13.3",
    "CVE-2026-22815: trailers without end": "3.13.4",
    "CVE-2026-34520: control characters in headers of an answer": "3.13.4",
    "GHSA-hcc4-c3v8-rx92: DNS cache without end": "3.13.4",
    "CVE-2026-34518: credentials of a proxy kept on a redirect": "3.13.4",
    "CVE-2026-47265, 34993: cookies kept on a redirect, unpickled cookie jars": "3.14.0",
    "CVE-2026-54277: fragments longer than the longest line": "3.14.1",
    "#13579: a connection used again after its request was cancelled": "3.14.4",
}
"""aiohttp's holes that touch a client, and the version that closed each."""


def floor(requirement: Requirement) -> Version:
    """Return the lowest version that a requirement takes."""
    return max(Version(part.version) for part in requirement.specifier if part.operator in (">=", "==", "~="))


@pytest.mark.parametrize("hole", FIXED_IN)
def test_known_holes_are_below_the_floor(hole: str) -> None:
    """The lowest aiohttp that may be installed has the fix."""
    (aiohttp,) = (requirement for requirement in NEEDED if requirement.name == "aiohttp")
    assert floor(aiohttp) >= Version(FIXED_IN[hole])


@pytest.mark.parametrize("requirement", [*NEEDED, *OPTIONAL, *DEVELOPING], ids=str)
def test_what_is_installed_is_what_was_asked_for(requirement: Requirement) -> None:
    """Every requirement has a floor, and the installed version stands on it."""
    assert version(requirement.name) in requirement.specifier
    assert Version(version(requirement.name)) >= floor(requirement)


def test_answers_are_parsed_in_c() -> None:
    """Answers are read by aiohttp's C parser, as the holes of the other were many."""
    assert http_parser.HttpResponseParser.__module__ == "aiohttp._http_parser"


def test_nothing_is_imported_that_is_not_asked_for() -> None:
    """Whatever the program imports is its own, Python's, or in the list of requirements (or one of their own)."""
    ours = {"bulksync", *(requirement.name.replace("-", "_") for requirement in (*NEEDED, *OPTIONAL))}
    through = {"yarl": "aiohttp", "pydantic_core": "pydantic", "typing_extensions": "pydantic"}
    found = {name.partition(".")[0] for path in PACKAGE.rglob("*.py") for name in imported(path)}
    strangers = found - ours - sys.stdlib_module_names
    assert strangers == set(through)
    assert all(
        any(Requirement(text).name.replace("-", "_") == name for text in distribution(owner).requires or [])
        for name, owner in through.items()
    )
