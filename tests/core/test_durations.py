"""Durations as people read them."""

import pytest

from almond_core import durations


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (45, "45s"),
        (5_400, "1h30m"),
        (86_399, "23h59m59s"),
        (86_400, "24h"),
        (172_800, "48h"),
        (7_776_000, "90 days"),
        (129_600, "36h"),
        (259_199, "71h59m59s"),
        (259_200, "3 days"),
        (302_400, "3d12h"),
        (630_720_000, "7300 days"),
    ],
)
def test_durations_are_spelled_without_zeros_and_whole_days_as_days(seconds: int, text: str) -> None:
    assert durations.spell(seconds) == text
