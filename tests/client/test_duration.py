"""Durations on the command line: days and weeks, and all that Go reads, in whole seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almond_client.cli.arguments import duration
from almond_client.cli.exit_codes import USAGE
from almond_client.cli.output.failures import Failure
from almond_core import durations


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
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("1d12h", 129_600),
        ("1w2d3h4m5s", 788_645),
        ("1.5d", 129_600),
        ("90m", 5_400),
        ("999999h", 3_599_996_400),
    ],
)
def test_a_duration_is_read_to_the_second(text: str, seconds: int) -> None:
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
        "12h1d",
        "1d1w",
        "1d1d",
        "1m1h1d",
        "1D",
        "1y",
        "1month",
        "d",
        "1d12",
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


@pytest.mark.parametrize("text", ["0s", "0h0m", "500ms", "1500ms", "1ns", "1.5s", "0.1s", "0d"])
def test_fractions_of_a_second_and_zero_are_refused(text: str) -> None:
    with pytest.raises(Failure, match="not a whole number of seconds"):
        duration.seconds(text)


def test_a_refusal_says_what_is_accepted() -> None:
    for text in ("soon", "0s"):
        with pytest.raises(Failure) as refused:
            duration.seconds(text)
        assert "48h, 30d, 2w or 1d12h" in refused.value.hint
        with pytest.raises(Failure, match=r"^--overlap: '?" + text):
            duration.seconds(text, "--overlap")


@pytest.mark.parametrize("text", ["300000000h", "9" * 60 + "w"])
def test_a_duration_above_292_years_is_one_of_292_years(text: str) -> None:
    assert duration.seconds(text) == 9_223_372_036


def test_a_fraction_of_a_nanosecond_is_refused() -> None:
    with pytest.raises(Failure):
        duration.seconds("0.00000000001s")


@given(st.integers(1, 2**33))
def test_what_is_spelled_is_read_as_the_same(seconds: int) -> None:
    written = durations.spell(seconds).replace(" days", "d")
    assert duration.seconds(written) == seconds
