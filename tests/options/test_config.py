"""A profile is a table of the configuration: its options go before those of the whole file."""

from pathlib import Path

import pytest

from bulksync.errors import UsageError
from bulksync.options.config import configured
from tests.support.program import bulksync, rows_of, write_rows

FILE = """
rate = "5/s"
limit = 1

[profile.test]
base-url = "sandbox"

[profile."a b"]
rate = "1/s"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration with two profiles."""
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


def refused(path: Path | None, profile: str) -> tuple[str, str]:
    """Return what is said of a profile that is not there, and what to do next."""
    with pytest.raises(UsageError) as caught:
        configured(path, required=False, profile=profile)
    return caught.value.what, caught.value.next_step


@pytest.mark.parametrize("profile", [None, ""])
def test_without_a_profile(profile: str | None, file: Path) -> None:
    """Who asks for no profile gets none."""
    assert configured(file, required=True, profile=profile) == {str(file): {"rate": "5/s", "limit": 1}}


def test_a_profile_goes_before_the_file(file: Path) -> None:
    """Both are returned, the profile first, each by the place where it stands."""
    found = configured(file, required=True, profile="a b")
    assert list(found.items()) == [
        (f"{file} [profile.a b]", {"rate": "1/s"}),
        (str(file), {"rate": "5/s", "limit": 1}),
    ]


def test_an_unknown_profile(file: Path) -> None:
    """It is refused, and those that there are are named."""
    assert refused(file, "prod") == (
        f"there is no profile 'prod' in {file}",
        "name one of these with --profile: test, a b",
    )


def test_a_profile_without_a_file(tmp_path: Path) -> None:
    """Where there is no configuration, or none with profiles, it is said how to make one."""
    file = tmp_path / "config.toml"
    add = "add a table to the file: [profile.prod]"
    for path, where in ((file, str(file)), (None, "any file")):
        assert refused(path, "prod") == (f"there is no profile 'prod' in {where}", add)


def test_flags_before_variables_before_the_profile_before_the_file(file: Path, tmp_path: Path) -> None:
    """Each source wins over those behind it, by --profile and by its variable alike."""
    write_rows(tmp_path / "rows.csv", range(5))
    file.write_text("limit = 1\nmax-attempts = 0\n[profile.p]\nlimit = 2\nmax-attempts = 3\n")

    def sent(report: str, *flags: object, **variables: str) -> int:
        call = ("run", "rows.csv", "--config", file, "-o", report, "--sandbox", "--rate", "unlimited", *flags)
        done = bulksync(*call, folder=tmp_path, variables=variables)
        assert done.code == 10, done.stderr
        return [row["outcome"] for row in rows_of(tmp_path / report)].count("updated")

    assert sent("a.csv", "--profile", "p") == 2
    assert sent("b.csv", BULKSYNC_PROFILE="p", BULKSYNC_LIMIT="3") == 3
    assert sent("c.csv", "--limit", 4, BULKSYNC_PROFILE="p", BULKSYNC_LIMIT="3") == 4


def test_a_profile_that_is_not_there_ends_the_program(file: Path, tmp_path: Path) -> None:
    """The exit code is 2, whatever the command."""
    for command in (("run", "rows.csv"), ("check", "rows.csv"), ("history", "x.ledger")):
        done = bulksync(*command, "--config", file, "--profile", "prod", folder=tmp_path)
        assert (done.code, done.stdout) == (2, "")
        assert "next: name one of these with --profile: test, a b" in done.stderr
