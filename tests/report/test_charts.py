"""Charts: every number stands at its place in the plot, and axes are marked where people expect marks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.report.charts import (
    BINS,
    BOTTOM,
    LEFT,
    NARROW,
    TOP,
    WIDE,
    Bar,
    Chart,
    Mark,
    Part,
    Slices,
    histogram,
    number,
    over_time,
    percentile,
    rounds,
    scale,
    sliced,
    times,
)

NOON = 1_700_000_000 // 86_400 * 86_400 + 43_200


def test_answers_over_time() -> None:
    """Each slice is a bar of its answers a second, stacked; time runs from left to right, the quota is a level line."""
    counts = {"acknowledged": [16, 8, 0], "throttled": [4, 0, 0]}
    half = (WIDE - LEFT) / 2
    assert over_time(Slices(NOON, 2.0, counts), 10.0) == Chart(
        width=WIDE,
        bars=(
            Bar(
                LEFT,
                half - 1,
                (Part("acknowledged", 48.4, 129.6), Part("throttled", TOP, 32.4)),
                "12:00:00: 16 acknowledged, 4 throttled",
            ),
            Bar(
                LEFT + half,
                half - 1,
                (Part("acknowledged", 113.2, 64.8),),
                "12:00:02: 8 acknowledged",
            ),
        ),
        across=tuple(Mark(LEFT + n * half / 2, f"12:00:0{n}") for n in range(5)),
        up=(Mark(BOTTOM, "0"), Mark(97.0, "5"), Mark(TOP, "10")),
        level=(Mark(TOP, "quota 10/s"),),
    )


def test_a_quota_far_above_is_not_drawn() -> None:
    """A quota that nobody came near would press the bars flat."""
    counts = {"finished": [5]}
    assert over_time(Slices(NOON, 1.0, counts), 10.0).level == (Mark(TOP, "quota 10/s"),)
    assert over_time(Slices(NOON, 1.0, counts), 11.0).level == ()
    assert over_time(Slices(NOON, 1.0, counts), None).level == ()


def test_latencies() -> None:
    """Each bar counts the answers of some milliseconds, percentiles stand in them, and the far ones share the last."""
    latencies = [(10, 400), (11, 590), (13, 9), (5_000, 1)]
    chart = histogram(latencies, [("p50", 11), ("p99", 13), ("max", 5_000)])
    each = (NARROW - LEFT) / 5
    assert [(bar.label, bar.x, [part.kind for part in bar.parts]) for bar in chart.bars] == [
        ("10 ms: 400", LEFT, ["answers"]),
        ("11 ms: 590", round(LEFT + each, 1), ["answers"]),
        ("13 ms: 9", round(LEFT + 3 * each, 1), ["answers"]),
        ("14 ms or more: 1", round(LEFT + 4 * each, 1), ["more"]),
    ]
    assert chart.across == tuple(Mark(round(LEFT + n * each, 1), f"{10 + n}") for n in range(5))
    assert chart.up == tuple(Mark(BOTTOM - n * 54, f"{n * 200}") for n in range(4))
    assert chart.down == tuple(
        Mark(round(LEFT + at * each, 1), name) for at, name in ((1.5, "p50"), (3.5, "p99"), (4.5, "max"))
    )


@given(st.dictionaries(st.integers(0, 40_000), st.integers(1, 10**6), min_size=1))
def test_a_histogram_counts_every_answer(found: dict[int, int]) -> None:
    """Whatever the latencies are, no answer is left out, bars stay inside the plot and are few enough to see."""
    latencies = sorted(found.items())
    chart = histogram(latencies, [("p50", percentile(latencies, 0.5))])
    assert sum(int(bar.label.rpartition(": ")[2].replace(",", "")) for bar in chart.bars) == sum(found.values())
    assert all(bar.x >= LEFT and bar.x + bar.width <= NARROW + 0.1 for bar in chart.bars)
    assert all(TOP - 0.1 <= part.y <= BOTTOM for bar in chart.bars for part in bar.parts)
    assert len(chart.bars) <= BINS + 2
    assert all(LEFT <= mark.at <= NARROW + 0.1 for mark in (*chart.across, *chart.down))


@pytest.mark.parametrize(
    ("most", "values"),
    [
        (0, [0, 0.5, 1.0]),
        (0.3, [0, 0.1, 0.2, 0.3]),
        (1, [0, 0.5, 1.0]),
        (9.8, [0, 5, 10]),
        (10, [0, 5, 10]),
        (101, [0, 50, 100, 150]),
        (12_000, [0, 5_000, 10_000, 15_000]),
    ],
)
def test_an_axis_has_round_marks(most: float, values: list[float]) -> None:
    """Marks stand in even steps of 1, 2 or 5 times a power of ten, up to the first above everything."""
    assert scale(most) == values


def test_whole_marks_between_two_numbers() -> None:
    """An axis of milliseconds has no marks at parts of one."""
    assert (rounds(0, 3), rounds(95, 230), rounds(7, 7 + 30_000)) == (
        [0, 1, 2, 3],
        [100, 120, 140, 160, 180, 200, 220],
        [5_000, 10_000, 15_000, 20_000, 25_000, 30_000],
    )


@pytest.mark.parametrize(
    ("start", "span", "labels"),
    [
        (NOON, 0, []),
        (NOON + 0.5, 4, ["12:00:01", "12:00:02", "12:00:03", "12:00:04"]),
        (NOON + 1, 1_800, ["12:05", "12:10", "12:15", "12:20", "12:25", "12:30"]),
        (NOON, 100_000, ["12:00", "18:00", "00:00", "06:00", "12:00"]),
        (NOON, 9 * 86_400, ["Nov 15", "Nov 17", "Nov 19", "Nov 21", "Nov 23"]),
    ],
)
def test_a_time_axis_has_round_times(start: float, span: float, labels: list[str]) -> None:
    """Marks stand at whole seconds, minutes, hours or days of UTC, whenever the run began."""
    assert [mark.label for mark in times(start, span)] == labels


def test_finished_rows_in_slices() -> None:
    """Rows by second are put together so that a picture has room for them."""
    assert sliced([]) == Slices(0.0, 1.0, {"finished": ()})
    assert sliced([]).used == 0
    assert sliced([(50, 2), (52, 1)]) == Slices(50.0, 1.0, {"finished": [2, 0, 1]})
    assert sliced([(50, 2), (52, 1), (55, 4)], most=3) == Slices(50.0, 2.0, {"finished": [2, 1, 4]})


def test_numbers_are_short() -> None:
    """No needless zeros, and thousands apart."""
    assert [number(value) for value in (0.0, 0.1, 10.0, 12_345.5)] == ["0", "0.1", "10", "12,345.5"]
