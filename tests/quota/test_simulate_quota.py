"""Tests of `samples/simulate_quota.py`: up to 1,000 runs on one quota, by the rule alone."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SAMPLE = Path(__file__).parent.parent.parent / "samples" / "simulate_quota.py"


@pytest.fixture(scope="module")
def sample() -> ModuleType:
    """Return the sample as a module."""
    spec = importlib.util.spec_from_file_location("simulate_quota", SAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["simulate_quota"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("runs", [1, 10, 100, 1_000])
@pytest.mark.parametrize("rate", [10, 1_000, 5_000])
def test_any_number_of_runs_shares_a_rate(runs: int, rate: int, sample: ModuleType) -> None:
    """From 1 to 1,000 runs never exceed the rate together, use it, and have equal shares of it."""
    found = sample.simulate(runs, rate)
    assert found.worst <= rate
    assert found.used >= 0.95
    assert found.least >= 0.85
    assert found.most <= 1.15


def test_what_goes_wrong(sample: ModuleType) -> None:
    """With stalls, kills and holds the rate is kept too, and used by who is left; nobody sends inside a hold."""
    found = sample.simulate(100, 1_000, stalls=0.02, killed=30, held=((5, 2), (12, 2)))
    assert (found.worst <= 1_000, found.inside_holds) == (True, 0)
    assert found.used >= 0.6


def test_the_table_and_the_picture(sample: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints a line for each number of runs and each rate, and draws them all."""
    sample.main(tmp_path / "quota.svg")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 12 + 2 + 1
    assert (tmp_path / "quota.svg").read_text().count("<rect") == 1 + 12
