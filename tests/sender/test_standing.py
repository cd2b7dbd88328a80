"""Tests of `bulksync.sender.standing`: whose fault a bad answer is."""

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.model import Execution, Key, Reply, Row
from bulksync.sender.retry import judge
from bulksync.sender.standing import (
    BLOCK,
    ENOUGH,
    Bad,
    Kind,
    Standing,
    kind_of,
    note_failure,
    note_settled,
    note_success,
    rank,
    trust,
)

PROVEN = trust(Standing())


def key(number: int, workflow: str = "w") -> Key:
    """Return the key of an execution."""
    return workflow, f"e{number}"


def bad(number: int, kind: Kind, at: float | None = None, workflow: str = "w") -> Bad:
    """Return a bad answer to a row: sent one second before it was answered, by default at its number."""
    answered = float(number) if at is None else at
    return Bad(number, key(number, workflow), kind, answered - 1, answered)


def after(standing: Standing, *answers: Bad) -> Standing:
    """Return what is known after bad answers."""
    for answer in answers:
        standing = note_failure(standing, answer)
    return standing


def many(kind: Kind, numbers: Iterable[int], workflow: str = "w") -> list[Bad]:
    """Return bad answers of one kind to rows of different executions."""
    return [bad(number, kind, workflow=workflow) for number in numbers]


def row(number: int, workflow: str = "w") -> Row:
    """Return a row of an execution of its own."""
    return Row(number, number + 1, workflow, f"e{number}", "RUNNING", b"{}")


# What is bad about an answer


@pytest.mark.parametrize(
    ("reply", "at_first", "later"),
    [
        (Reply(200, "", execution=Execution("COMPLETED", "", "", "", ())), None, None),
        (Reply(404, "http_404"), Kind.REFUSED, Kind.REFUSED),
        (Reply(501, "http_501"), Kind.REFUSED, Kind.REFUSED),
        (Reply(403, "http_403", stranger=True), Kind.PAGE, Kind.PAGE),
        (Reply(200, "response_invalid", stranger=True), Kind.STRANGER, Kind.STRANGER),
        (Reply(200, "response_too_large", stranger=True), Kind.STRANGER, Kind.STRANGER),
        (Reply(None, "protocol_error", stranger=True), Kind.STRANGER, Kind.STRANGER),
        (Reply(None, "connection_lost"), Kind.LOST, Kind.FAILED),
        (Reply(None, "request_timeout"), Kind.FAILED, Kind.FAILED),
        (Reply(None, "connect_failed"), Kind.UNREACHED, Kind.UNREACHED),
        (Reply(500, "http_500"), Kind.CRASHED, Kind.CRASHED),
        (Reply(502, "http_502", stranger=True), Kind.FAILED, Kind.FAILED),
        (Reply(503, "http_503"), Kind.FAILED, Kind.FAILED),
        (Reply(429, "http_429"), None, None),
        (Reply(401, "http_401"), None, None),
    ],
)
def test_what_is_bad_about_an_answer(reply: Reply, at_first: Kind | None, later: Kind | None) -> None:
    """Refusals, pages, strangers and failures are told apart; lost connections are a stranger's only at first."""
    assert (kind_of(reply, judge(reply), Standing()), kind_of(reply, judge(reply), PROVEN)) == (at_first, later)


# Access


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.PAGE, Kind.STRANGER, Kind.LOST])
def test_access_is_refused_by_enough_executions(kind: Kind) -> None:
    """Before any success ten executions are asked, however often each of them answers."""
    nearly = after(Standing(), *many(kind, range(ENOUGH - 1)), *many(kind, range(ENOUGH - 1)))
    assert (nearly.is_refused, note_failure(nearly, bad(99, kind)).is_refused) == (False, True)


def test_failures_do_not_speak_of_access() -> None:
    """Whoever answers 5xx, or does not answer, refuses nobody."""
    failing = many(Kind.FAILED, range(30)) + many(Kind.CRASHED, range(30, 60))
    assert not after(Standing(), *failing).is_refused


@pytest.mark.parametrize(
    ("kinds", "is_strange"),
    [
        ([Kind.STRANGER] * 10, True),
        ([Kind.LOST] * 5 + [Kind.STRANGER] * 5, True),
        ([Kind.REFUSED] + [Kind.STRANGER] * 9, False),
        ([], False),
    ],
)
def test_who_is_not_this_api(kinds: list[Kind], is_strange: bool) -> None:
    """Where nobody refused, but nobody spoke this API either, it is another server."""
    answers = [bad(number, kind) for number, kind in enumerate(kinds)]
    assert after(Standing(), *answers).is_strange is is_strange


def test_one_success_proves_access() -> None:
    """One acknowledgement ends the first doubt and explains every refusal before it."""
    proven = note_success(after(Standing(), *many(Kind.REFUSED, range(9))), key(50), sent=20)
    assert proven == Standing(doubted_since=None, served=("w",), has_succeeded=True)


@pytest.mark.parametrize(
    ("answers", "is_doubted"),
    [
        (many(Kind.REFUSED, range(BLOCK - 1)), False),
        (many(Kind.REFUSED, range(BLOCK)), True),
        (many(Kind.REFUSED, [1] * 50), False),
        (many(Kind.PAGE, [1]), True),
        (many(Kind.FAILED, range(99)), False),
    ],
)
def test_when_proven_access_is_doubted_again(answers: list[Bad], is_doubted: bool) -> None:
    """By twenty executions refused in a row, or at once by a refusal without a JSON object."""
    assert after(PROVEN, *answers).is_doubted is is_doubted


def test_a_success_between_breaks_the_row() -> None:
    """Nineteen refusals, one success and nineteen more are forty rows' own fault."""
    half = note_success(after(PROVEN, *many(Kind.REFUSED, range(19))), key(50), sent=20)
    assert not after(half, *many(Kind.REFUSED, range(20, 39))).is_doubted


def test_what_was_sent_before_a_doubt_does_not_decide_it() -> None:
    """Neither refusals nor a success of requests that were under way when the doubt arose."""
    doubted = after(PROVEN, bad(5, Kind.PAGE))
    late = after(doubted, *[Bad(n, key(n), Kind.REFUSED, 4.0, 6.0) for n in range(10, 30)])
    assert (late.is_doubted, late.is_refused) == (True, False)
    assert note_success(late, key(50), sent=4.5).is_doubted
    assert not note_success(late, key(50), sent=5.5).is_doubted


def test_ten_more_refusals_confirm_a_doubt() -> None:
    """Ten executions that are asked because of the doubt and are refused too."""
    doubted = after(PROVEN, bad(5, Kind.PAGE))
    assert not after(doubted, *many(Kind.REFUSED, range(10, 19))).is_refused
    assert after(doubted, *many(Kind.REFUSED, range(10, 20))).is_refused


# Explained


def test_a_success_explains_what_was_answered_before_it_was_sent() -> None:
    """What went wrong after a request was sent is not explained by its success."""
    answers = [bad(1, Kind.FAILED, at=10), bad(2, Kind.REFUSED, at=20)]
    assert [*note_success(after(PROVEN, *answers), key(50), sent=15).unexplained] == [key(2)]


def test_an_execution_that_succeeds_is_explained() -> None:
    """Whenever its request was sent, it is neither unexplained nor found out any more."""
    found = note_success(after(PROVEN, bad(1, Kind.FAILED, at=10)), key(50), sent=15)
    again = note_failure(found, bad(1, Kind.FAILED, at=20))
    healed = note_success(again, key(1), sent=19)
    assert (found.is_found_out(key(1)), healed.is_found_out(key(1)), dict(healed.unexplained)) == (True, False, {})


def test_a_row_that_is_done_with_says_nothing() -> None:
    """Once a row has its outcome, its bad answers are forgotten."""
    found = note_success(after(PROVEN, bad(1, Kind.FAILED)), key(50), sent=15)
    assert note_settled(note_failure(found, bad(1, Kind.FAILED, at=20)), key(1)) == note_settled(found, key(1))
    assert note_settled(found, key(1)).found_out == frozenset()


# Away


def test_many_executions_in_a_row_make_an_outage() -> None:
    """Twenty of them, not one row twenty times."""
    assert not after(PROVEN, *many(Kind.FAILED, range(BLOCK - 1))).is_away
    assert not after(PROVEN, *many(Kind.FAILED, [1] * 50)).is_away
    assert after(PROVEN, *many(Kind.FAILED, range(BLOCK))).is_away
    assert after(Standing(), *many(Kind.UNREACHED, range(BLOCK))).is_away


def test_what_was_found_out_says_nothing_about_the_server() -> None:
    """Executions that failed while others succeeded can go on failing: they make no outage."""
    found = note_success(after(PROVEN, *many(Kind.FAILED, range(BLOCK))), key(50), sent=30)
    assert not found.is_away
    assert not after(found, *[bad(number, Kind.FAILED, at=40) for number in range(BLOCK)]).is_away
    assert after(found, *many(Kind.FAILED, range(100, 100 + BLOCK))).is_away


def test_a_workflow_is_found_out_by_another_one() -> None:
    """Where all that failed was of one workflow and one of another succeeds, the first one's rows make no outage."""
    found = note_success(after(PROVEN, *many(Kind.FAILED, range(BLOCK), "ill")), key(50), sent=30)
    assert "ill" in found.found_out
    assert not after(found, *many(Kind.FAILED, range(100, 200), "ill")).is_away
    healed = note_success(found, key(3, "ill"), sent=40)
    assert after(healed, *many(Kind.FAILED, range(100, 200), "ill")).is_away


@pytest.mark.parametrize(
    ("kind", "served", "is_away"),
    [(Kind.CRASHED, "w", False), (Kind.CRASHED, "ill", True), (Kind.FAILED, "w", True), (Kind.UNREACHED, "w", True)],
)
def test_one_workflow_that_crashes_is_no_outage(kind: Kind, served: str, is_away: bool) -> None:
    """500 for one workflow only, where another one was served, is the application's word about that workflow."""
    proven = note_success(Standing(), key(50, served), sent=0)
    assert after(proven, *many(kind, range(1, 31), "ill")).is_away is is_away


# Who is asked next


def test_who_is_asked_next() -> None:
    """Rows that were tried least; among those other executions, then other workflows, then the farthest away."""
    standing = after(Standing(), bad(10, Kind.REFUSED), bad(20, Kind.REFUSED))
    waiting = [(row(number), 0) for number in (11, 12, 16, 40, 90)] + [(row(19, "x"), 0), (row(20), 0), (row(99), 1)]
    order = sorted(waiting, key=lambda one: rank(standing, *one))
    assert [one.row for one, _ in order] == [19, 90, 40, 16, 12, 11, 20, 99]


def test_the_first_one_is_asked_in_file_order() -> None:
    """Where nothing went wrong yet, the first row goes first."""
    assert sorted([row(3), row(1), row(2)], key=lambda one: rank(Standing(), one, 0)) == [row(1), row(2), row(3)]


# Always


@given(
    st.lists(
        st.tuples(st.sampled_from([None, *Kind]), st.integers(0, 30), st.sampled_from("wx"), st.floats(0, 5)),
        max_size=80,
    )
)
def test_a_success_that_is_sent_now_explains_everything(answers: list[tuple[Kind | None, int, str, float]]) -> None:
    """Whatever happened, one acknowledgement of a new request leaves access proven, the server here, and no debts."""
    standing, now = Standing(), 0.0
    for kind, number, workflow, took in answers:
        now += 1
        if kind is None:
            standing = note_success(standing, key(number, workflow), now - took)
        else:
            standing = note_failure(standing, Bad(number, key(number, workflow), kind, now - took, now))
    standing = note_success(standing, key(99), math.nextafter(now, math.inf))
    assert standing.is_calm
    assert (dict(standing.unexplained), standing.refusing, standing.is_refused) == ({}, frozenset(), False)
