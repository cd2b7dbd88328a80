"""Rates to test, and what a window of time holds of a list of moments."""

import math
from collections.abc import Sequence

RATES = [0.1, 0.5, 1, 1.5, 3, 7.3, 10, 33.3, 50, 99, 99.9, 100, 101, 250, 999, 1000, 2000, 3333.3, 5000]


def fullest(times: Sequence[float], length: float = 1.0) -> int:
    """Return how many of the sorted times the fullest closed window of this length holds."""
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] > length:
            first += 1
        most = max(most, last - first + 1)
    return most


def is_kept(times: Sequence[float], rate: float) -> bool:
    """Whether no closed window of a second holds more turns than the rate.

    At a fractional rate the window is the one that may hold the next whole number of turns: 8 in 1.096 s at 7.3/s.
    """
    most = math.ceil(rate)
    return fullest(times, most / rate) <= most
