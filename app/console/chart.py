"""The geometry of bars, in per cent of a drawing that takes any size."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

GAP = 0.25  # of a slot, between bars
LEAST = 1.5  # so that a single failure among thousands is seen


class Bar(NamedTuple):
    """Of one slot; heights from the top of the drawing."""

    start: datetime
    succeeded: int
    failed: int
    slot_x: float
    slot_width: float
    x: float
    width: float
    good_y: float
    good_height: float
    bad_y: float
    bad_height: float


def draw_bars(counts: Sequence[tuple[int, int]], start: datetime, width: timedelta) -> list[Bar]:
    """Failures stand on top of successes."""
    highest = max((good + bad for good, bad in counts), default=0) or 1
    slot = 100 / len(counts)
    bars = []
    for place, (good, bad) in enumerate(counts):
        good_height, bad_height = _height(good, highest), _height(bad, highest)
        good_height = min(good_height, 100 - bad_height)
        bars.append(
            Bar(
                start=start + place * width,
                succeeded=good,
                failed=bad,
                slot_x=round(place * slot, 3),
                slot_width=round(slot, 3),
                x=round((place + GAP / 2) * slot, 3),
                width=round(slot * (1 - GAP), 3),
                good_y=round(100 - good_height, 2),
                good_height=round(good_height, 2),
                bad_y=round(100 - good_height - bad_height, 2),
                bad_height=round(bad_height, 2),
            )
        )
    return bars


def _height(count: int, highest: int) -> float:
    return max(100 * count / highest, LEAST) if count else 0
