"""Durations on the command line: read as Go reads them, in whole seconds."""

import pytest

from almond_client.cli.arguments import duration
from almond_client.cli.exit_codes import USAGE
from almond_client.cli.output.failures import Failure


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("90s", 90),
        ("10m", 600),
        ("48h", 172_800),
        ("168h", 604_800),
        ("175200h", 630_720_000),
        ("175200h0m0s", 630_720_000),
        ("1h30m", 5_400),
        ("1m1h", 3_660),  # Go takes the units in any order
        ("1.5h", 5_400),
        (".5m", 30),
        ("1.h", 3_600),
        ("2000ms", 2),
        ("3000000us", 3),
        ("3000000\u00b5s", 3),
        ("3000000\u03bcs", 3),
        ("4000000000ns", 4),
        ("500ms500ms", 1),
    ],
)
def test_a_go_duration_is_read_to_the_second(text: str, seconds: int) -> None:
    assert duration.seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "0",
        "h",
        ".h",
        "s1",
        "7d",
        "1w",
        "1H",
        "1 h",
        " 1h",
        "1h ",
        "1h\n",
        "-1h",
        "+1h",
        "1e3s",
        "1,5h",
        "1.5.5h",
        "\u0661h",  # an Arabic digit
        "0x10s",
        "1h-30m",
        "9" * 65 + "h",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(Failure, match="is not a duration") as refused:
        duration.seconds(text)
    assert refused.value.exit_code == USAGE


@pytest.mark.parametrize("text", ["0s", "0h0m", "500ms", "1500ms", "1ns", "1.5s", "0.1s", "300000000h"])
def test_fractions_of_a_second_zero_and_over_292_years_are_refused(text: str) -> None:
    with pytest.raises(Failure, match="not a whole number of seconds"):
        duration.seconds(text)


def test_a_fraction_of_a_nanosecond_is_refused() -> None:
    with pytest.raises(Failure):
        duration.seconds("0.00000000001s")
