"""Whole runs in virtual time: hundreds of seeds, every rule, and mistakes that must not go unnoticed.

`BULKSYNC_SEEDS=5000` plays more than the usual 100; `BULKSYNC_FIRST_SEED=4711 BULKSYNC_SEEDS=1` plays one again.
"""

import os
from pathlib import Path

import pytest

from tests.support.broken import BROKEN, SHOWN_BY, Mistake
from tests.support.invariants import RULES, no_state_is_turned_back, violations
from tests.support.simulation import (
    FAULTS,
    LATE,
    STOPPERS,
    History,
    Parts,
    ill,
    scenario,
    simulate,
    simulate_nights,
    simulate_one,
    simulate_return,
)

SEEDS = int(os.environ.get("BULKSYNC_SEEDS", "100"))
FIRST = int(os.environ.get("BULKSYNC_FIRST_SEED", "0"))

PARTS = min(SEEDS, 20)
"""Into how many tests the seeds are split, so that several processes can share them."""


def played(seed: int, folder: Path, parts: Parts | None = None) -> History:
    """Play a seed in a folder of its own."""
    own = folder / str(seed)
    own.mkdir()
    return simulate(seed, own, parts)


def played_nights(seed: int, folder: Path, parts: Parts | None = None) -> list[History]:
    """Play a seed's nights in a folder of their own."""
    own = folder / str(seed)
    own.mkdir()
    return simulate_nights(seed, own, parts)


@pytest.mark.fault(57, "everything at once")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_rule_holds(part: int, tmp_path: Path) -> None:
    """Whatever the server does and whenever the run is killed or stopped: no rule is broken, and repeats finish it."""
    broken = {}
    seeds = range(FIRST + part, FIRST + SEEDS, PARTS)
    kills = requests = 0
    for seed in seeds:
        history = played(seed, tmp_path)
        kills += sum(one.is_killed for one in history.invocations)
        requests += len(history.requests)
        if found := violations(history):
            broken[seed] = found[:5]
    print(f"{len(seeds)} seeds, {kills} kills, {requests:,} requests: rules broken in {len(broken)} seeds")
    assert broken == {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_rule_holds_night_after_night(part: int, tmp_path: Path) -> None:
    """An export that changes from night to night, with --only-changed or without: no rule is broken in any night."""
    broken = {}
    left_out = 0
    for seed in range(FIRST + part, FIRST + max(1, SEEDS // 2), PARTS):
        for night, history in enumerate(played_nights(seed, tmp_path)):
            left_out += sum(line.outcome == "unchanged" for line in history.snapshots[-1].lines)
            if found := violations(history):
                broken[seed, night] = found[:5]
    print(f"{left_out:,} rows were unchanged: rules broken in {len(broken)} nights")
    assert broken == {}


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_plays_the_same_game(seed: int, tmp_path: Path) -> None:
    """A seed that fails can be played again: the server sees the same requests at the same times."""
    first, second = (played(seed, tmp_path / name) for name in made(tmp_path, "first", "second"))
    assert first.log == second.log
    assert [snapshot.lines for snapshot in first.snapshots] == [snapshot.lines for snapshot in second.snapshots]


def made(folder: Path, *names: str) -> tuple[str, ...]:
    """Make folders, and return their names."""
    for name in names:
        (folder / name).mkdir()
    return names


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BROKEN)
def test_no_mistake_goes_unnoticed(name: str, tmp_path: Path) -> None:
    """Each deliberately broken part breaks the rule that is about it, within a hundred seeds."""
    mistake = BROKEN[name]
    for seed in dict.fromkeys((SHOWN_BY.get(name, 0), *range(100))):
        (own := tmp_path / str(seed)).mkdir()
        if is_noticed(mistake, mistake.play(seed, own, mistake.parts)):
            return
    pytest.fail("nothing was noticed")


def is_noticed(mistake: Mistake, histories: list[History]) -> bool:
    """Whether the rule that is about a mistake finds it."""
    if mistake.rule is no_state_is_turned_back:
        return any(no_state_is_turned_back(histories))
    return any(any(mistake.rule(history)) for history in histories)  # type: ignore[arg-type]  # a rule for one history


def test_no_rule_is_idle() -> None:
    """For each rule there is a mistake that it notices."""
    assert {mistake.rule for mistake in BROKEN.values()} == {*RULES, no_state_is_turned_back}


@pytest.mark.fault("B1", "rows that always fail, anywhere")
@pytest.mark.fault("B4", "rows that are refused, anywhere")
@pytest.mark.parametrize("part", range(4))
def test_every_rule_holds_where_rows_are_ill(part: int, tmp_path: Path) -> None:
    """Wherever rows stand that fail or are refused for ever: no rule is broken."""
    broken = {}
    for seed in range(part, max(12, SEEDS // 5), 4):
        (own := tmp_path / str(seed)).mkdir()
        (history,) = simulate_one(ill)(seed, own, Parts())
        if found := violations(history):
            broken[seed] = found[:5]
    assert broken == {}


@pytest.mark.fault("D1", "two inputs by turns on one ledger")
@pytest.mark.parametrize("part", range(4))
def test_no_state_is_turned_back(part: int, tmp_path: Path) -> None:
    """An input that was left half done goes on behind another one, and undoes nothing of that."""
    broken = {}
    for seed in range(part, max(12, SEEDS // 5), 4):
        (own := tmp_path / str(seed)).mkdir()
        if found := [*no_state_is_turned_back(simulate_return(seed, own))]:
            broken[seed] = found[:5]
    assert broken == {}


VARIED = (31, 28, 85, 54, 46, 94, 86)
"""Seeds that were found to bring everything; they are played first, so that the others need not be."""


def test_the_seeds_are_varied(tmp_path: Path) -> None:
    """A hundred seeds bring kills, every way to end, every fault, and inputs with one execution and with many."""
    fates = [LATE, *FAULTS.values(), *STOPPERS.values()]
    unseen: set[object] = {None, 0, 3, 4, 5, 6, 10, 12, 143, "none", ""} | {
        fate.reply.error for fate in fates if fate.reply
    }
    for seed in dict.fromkeys((*VARIED, *range(100))):
        history = played(seed, tmp_path)
        unseen -= {one.exit_code for one in history.invocations}
        unseen -= {request.reply.error if request.reply else "none" for request in history.requests}
        if not unseen:
            break
    assert unseen == set()
    assert {len(set(scenario(seed).executions)) > 1 for seed in range(60)} == {True, False}
