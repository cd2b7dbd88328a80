"""What the README shows is what happens."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bulksync.model import Outcome
from tests.support.program import bulksync, environment, execution, write_rows
from tests.support.sandboxes import api

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def shown_runs() -> list[tuple[str, str]]:
    """Return each command that the README shows with the output it shows for it."""
    runs = []
    for block in CONSOLE:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            runs.append((command, output))
    return runs


def masked(text: str) -> str:
    """Return output without what differs from run to run: measured speeds, latencies and times."""
    return re.sub(r"\d[\d.,]*(?=/s of| ms| % limited by --rate|s instead|s\n)", "N", text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the samples, as a newcomer's clone has them."""
    (tmp_path / "samples").mkdir()
    for sample in (ROOT / "samples").iterdir():
        if ".report." not in sample.name:
            shutil.copy(sample, tmp_path / "samples")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "output"), [run for run in shown_runs() if run[0].startswith("bulksync")], ids=lambda text: text[:40]
)
def test_commands_print_what_the_readme_shows(command: str, output: str, folder: Path) -> None:
    """A command shown with its output prints just that, but for what is measured."""
    done = bulksync(*shlex.split(command)[1:], folder=folder)
    assert (done.code, done.stdout, masked(done.stderr)) == (0, "", masked(output))


def test_make_targets_exist() -> None:
    """Every make target that the README names is one."""
    named = set(re.findall(r"(?:\$ |`)make (\w+)", README))
    makefile = (ROOT / "Makefile").read_text()
    assert {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()
    assert named >= {"demo", "test"}


def test_the_loop_runs_until_all_is_done(tmp_path: Path) -> None:
    """The README's loop repeats the command until every row is updated, and ends by itself."""
    write_rows(tmp_path / "rows.csv", range(25))
    loop = next(block for block in SHELL if block.startswith("until"))
    loop = loop.replace("sleep 60", "sleep 0").replace("bulksync run rows.csv", '"$@" rows.csv')
    program = [sys.executable, "-m", "bulksync", "run", "--sandbox", "--rate", "unlimited", "--limit", "10", "--quiet"]
    script = ["sh", "-c", f"{loop}echo ended with $?", "sh", *program]
    variables = environment(tmp_path, PYTHONPATH=str(ROOT))
    done = subprocess.run(script, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60, check=False)
    report = (tmp_path / "rows.csv.report.csv").read_text()
    assert done.stdout == "ended with 0\n"
    assert report.count(",updated,") == 25
    assert execution(24) in report


def test_check_command_of_the_readme_works(tmp_path: Path) -> None:
    """`bulksync check rows.csv` finds a good file good."""
    write_rows(tmp_path / "rows.csv", [1, 2, 2])
    done = bulksync("check", "rows.csv", folder=tmp_path)
    assert (done.code, done.stdout.splitlines()[0]) == (0, "rows.csv: 3 rows, 3 valid, 0 invalid")


def test_the_cron_line_is_a_call_that_exists(tmp_path: Path) -> None:
    """The crontab line's options are understood, and with nothing wrong it prints nothing."""
    line = next(line for line in README.splitlines() if line.startswith("15 2 * * *"))
    key = tmp_path / "key"
    key.write_text("a-key-of-some-length\n")
    key.chmod(0o600)
    write_rows(tmp_path / "export.csv", range(3))
    call = line.replace("/srv/export.csv", "export.csv").replace("/etc/feather.key", "key")
    arguments = shlex.split(call.partition("bulksync ")[2])
    with_sandbox = bulksync(*arguments, "--sandbox", folder=tmp_path)
    assert (with_sandbox.code, with_sandbox.stdout, with_sandbox.stderr) == (0, "", "")


def test_the_migration_of_the_readme_is_undone(tmp_path: Path) -> None:
    """The five commands for before and after work as they stand, and the last one puts back what the first saw."""
    write_rows(tmp_path / "rows.csv", [1, 2, 3, 1])
    block = next(block for block in SHELL if block.startswith("bulksync check"))
    with api(tmp_path, "--replaces-metadata") as url:
        variables = {"BULKSYNC_BASE_URL": url, "BULKSYNC_RATE": "unlimited"}
        calls = [shlex.split(line, comments=True)[1:] for line in block.splitlines()]
        codes = [bulksync(*call, folder=tmp_path, variables=variables).code for call in calls]
        bulksync("fetch", "rows.csv", "-o", "after.jsonl", folder=tmp_path, variables=variables)
    held = [
        [line.partition(',"outcome"')[0] for line in (tmp_path / name).read_text().splitlines()]
        for name in ("rows.csv.state.jsonl", "after.jsonl")
    ]
    assert (codes, held[0]) == ([0] * 5, held[1])


def test_all_outcomes_are_explained() -> None:
    """Each outcome that a run can end with stands in the README's table."""
    assert {outcome for outcome in Outcome if f"| `{outcome}` |" not in README} <= {Outcome.UNCHANGED}


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    """The lines of Python that the README shows send a file, here to an emulated API."""
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    write_rows(tmp_path / "rows.csv", range(3))
    program = block.replace("rate=10", "rate=10, sandbox=True")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [[str(n), "updated"] for n in (1, 2, 3)] + [["0"]]


def test_every_option_of_the_readme_exists(tmp_path: Path) -> None:
    """An option that the README names is in the help of a command."""
    helps = "".join(
        bulksync(command, "--help", folder=tmp_path).stdout for command in ("run", "check", "report", "verify")
    )
    assert set(re.findall(r"--[a-z][a-z-]+", README)) - set(re.findall(r"--[a-z][a-z-]+", helps)) == {"--help"}


def test_every_sample_of_the_readme_exists() -> None:
    """A file in samples/ that the README names is there."""
    named = {name for name in re.findall(r"samples/[\w.-]+\w", README) if ".report." not in name}
    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert named
