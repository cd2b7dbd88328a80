"""Imports run one way: a module knows only what stands below it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bulksync"

LAYERS = (
    {"clock", "errors", "model", "text"},
    {"tally"},
    {
        "client",
        "ledger",
        "log",
        "manual",
        "options",
        "pacing",
        "progress",
        "reader",
        "report",
        "retry",
        "sandbox",
        "signals",
    },
    {"dispatcher", "quota", "serving", "spooling"},
    {"advice", "api", "planning", "watching"},
    {"auditing", "checking", "closing", "ending", "sending"},
    {"pipeline", "rendering"},
    {"cli", "iterating"},
    {"__main__"},
)
"""From the bottom up; modules of one layer never import each other."""

OWNERS = {
    "aiohttp": {"client", "sandbox"},
    "aiolimiter": {"pacing"},
    "redis": {"quota"},
    "sqlite3": {"ledger"},
    "prometheus_client": {"report"},
    "cyclopts": {"cli", "options"},
    "jinja2": {"report"},
    "structlog": {"log"},
    "uvloop": {"cli"},
    "rich": {"cli", "progress"},
}
"""Libraries that only these modules may know."""


def station(path: Path) -> str:
    """Return the station that a file belongs to: its module, or its folder."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the dotted names that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} if node.module != "bulksync" else {f"bulksync.{alias.name}" for alias in node.names}
    return names


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    """A module imports only from layers below its own, or from its own folder."""
    here = station(path)
    others = {name.split(".")[1] for name in imported(path) if name.startswith("bulksync.")} - {here, "__version__"}
    assert {other for other in others if LEVEL[other] >= LEVEL[here]} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_have_owners(path: Path) -> None:
    """Each library that shapes the program is known to one or two stations only."""
    libraries = {name.split(".")[0] for name in imported(path)}
    assert {library for library in libraries & set(OWNERS) if station(path) not in OWNERS[library]} == set()


def test_every_module_has_a_layer() -> None:
    """A new module takes a place in the order of layers."""
    assert {station(path) for path in FILES} == set(LEVEL)


def test_the_sandbox_is_an_honest_peer() -> None:
    """The sandbox shares no code with what it tests."""
    sandbox = {name for path in (PACKAGE / "sandbox").glob("*.py") for name in imported(path)}
    assert {name for name in sandbox if name.startswith("bulksync") and ".sandbox" not in name} == set()
