"""Imports run one way: a room knows only what stands below it, and `bulksync/README.md` draws it so."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.imports import FILES, PACKAGE, imported

README = (PACKAGE / "README.md").read_text()

PICTURE = README.split("```\n")[1]

FLOORS = [set(re.split(r" {3,}", line)[0].split()) for line in PICTURE.splitlines()][::-1]
"""From the ground up; rooms of one floor never import each other."""

FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}

DOORS = {"__main__"}
"""What starts the program; it may import from any room."""

TESTS = PACKAGE.parent / "tests"

TEST_FILES = sorted(TESTS.rglob("*.py"))

OWNERS = {
    "aiohttp": {"client", "sandbox"},
    "aiolimiter": {"quota"},
    "redis": {"quota"},
    "sqlite3": {"ledger"},
    "prometheus_client": {"report"},
    "cyclopts": {"cli", "options"},
    "jinja2": {"report"},
    "python_calamine": {"reader"},
    "structlog": {"console"},
    "uvloop": {"cli"},
    "rich": {"console"},
}
"""Libraries that only these rooms may know."""


def room_of(path: Path) -> str:
    """Return the room that a file belongs to: its folder at the top, or itself."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    """A module imports only from floors below its own, or from its own room."""
    here = room_of(path)
    others = {name.split(".")[1] for name in imported(path) if name.startswith("bulksync.")} - {here, "__version__"}
    assert here in DOORS or {other for other in others if FLOOR[other] >= FLOOR[here]} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_have_owners(path: Path) -> None:
    """Each library that shapes the program is known to one or two rooms only."""
    libraries = {name.split(".")[0] for name in imported(path)}
    assert {library for library in libraries & set(OWNERS) if room_of(path) not in OWNERS[library]} == set()


def test_the_picture_shows_every_room() -> None:
    """Each room stands in the picture once; there are few enough to take in at a glance."""
    assert {room_of(path) for path in FILES} - DOORS == set(FLOOR)
    assert (len(FLOOR), len(FLOORS)) <= (14, 7)


@pytest.mark.parametrize("folder", sorted(path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()))
def test_every_room_says_what_it_is_for(folder: Path) -> None:
    """A room's `__init__` is a docstring alone: what it is for, and who may import it."""
    tree = ast.parse((folder / "__init__.py").read_text())
    assert [type(node) for node in tree.body] == [ast.Expr]
    assert folder.name == "sandbox" or re.search(r"\bFor [`\w]", ast.get_docstring(tree) or "")


def test_the_way_of_a_row_names_what_is_there() -> None:
    """Each module, and each function, that the way of a row leads past exists."""
    for path, name in re.findall(r"`([a-z_]+/[a-z0-9_]+)(?:\.(\w+))?`", README):
        source = (PACKAGE / f"{path}.py").read_text()
        assert not name or re.search(rf"(def|class) {name}\b", source), (path, name)


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_imports_from_another(path: Path) -> None:
    """What tests share stands in `tests/support`."""
    assert [name for name in imported(path) if name.startswith("tests.") and ".test_" in name] == []


def test_tests_stand_where_the_code_does() -> None:
    """Each folder of tests is named as the room that it tests, or holds what concerns them all."""
    folders = {path.name for path in TESTS.iterdir() if (path / "__init__.py").exists()}
    assert folders - {"benchmarks", "end_to_end", "support"} <= set(FLOOR)


def test_the_sandbox_is_an_honest_peer() -> None:
    """The sandbox shares no code with what it tests."""
    sandbox = {name for path in (PACKAGE / "sandbox").glob("*.py") for name in imported(path)}
    assert {name for name in sandbox if name.startswith("bulksync") and ".sandbox" not in name} == set()
