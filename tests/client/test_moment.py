"""Moments on the command line: days, RFC 3339 times, and durations from now or ago."""

import calendar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almond_client.cli.arguments import moment
from almond_client.cli.arguments.moment import Direction
from almond_client.cli.exit_codes import USAGE
from almond_client.cli.output import console
from almond_client.cli.output.failures import Failure

NOW = calendar.timegm((2026, 11, 24, 12, 0, 0))
DAY = 86_400


def at(*parts: int) -> int:
    return calendar.timegm((*parts, *(0,) * (6 - len(parts))))


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-12-24", at(2026, 12, 25)),
        ("2026-11-24", at(2026, 11, 25)),  # today
        ("2026-12-31", at(2027, 1, 1)),
        ("2028-02-28", at(2028, 2, 29)),
        ("2026-12-24T18:00:00Z", at(2026, 12, 24, 18)),
        ("2026-12-24t18:00:00z", at(2026, 12, 24, 18)),
        ("2026-12-24T18:00:00+02:00", at(2026, 12, 24, 16)),
        ("2026-12-24T18:00:00-08:30", at(2026, 12, 25, 2, 30)),
        ("2026-12-24T18:00:00-00:00", at(2026, 12, 24, 18)),
        ("2026-12-24T18:00:00.999Z", at(2026, 12, 24, 18)),
        ("2026-12-24 18:00:00Z", at(2026, 12, 24, 18)),
        ("2026-12-24 18:00:00 UTC", at(2026, 12, 24, 18)),  # as the commands print it
        ("2026-12-31T23:59:60Z", at(2027, 1, 1)),
        ("2027-01-01T01:59:60+02:00", at(2027, 1, 1)),
        ("9999-12-31", at(9999, 12, 31) + DAY),
        ("9999-12-31T23:59:59-23:59", at(9999, 12, 31) + 2 * DAY - 61),
    ],
)
def test_an_end_is_a_time_or_the_end_of_a_day(text: str, end: int) -> None:
    assert moment.end("--until", text, now=NOW) == end


@pytest.mark.parametrize(
    "text", ["2026-11-23", "2026-11-24T12:00:00Z", "2026-11-24T13:00:00+02:00", "0001-01-01"]
)
def test_an_end_that_is_over_is_refused(text: str) -> None:
    with pytest.raises(Failure, match=r"^--until: .* is in the past") as refused:
        moment.end("--until", text, now=NOW)
    assert refused.value.exit_code == USAGE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a day or a time"),
        ("30d", "is not a day or a time"),
        ("tomorrow", "is not a day or a time"),
        ("2026-12", "is not a day or a time"),
        ("24.12.2026", "is not a day or a time"),
        ("2026-12-24T24:00:00Z", "is not a day or a time"),
        ("2026-12-24T18:60:00Z", "is not a day or a time"),
        ("2026-12-24T18:00:61Z", "is not a day or a time"),
        ("2026-12-24T18:00Z", "is not a day or a time"),
        ("2026-12-24T18:00:00+24:00", "is not a day or a time"),
        ("2026-12-24T18:00:00+0200", "is not a day or a time"),
        ("2026-12-24\n", "is not a day or a time"),
        ("\u0662026-12-24", "is not a day or a time"),  # an Arabic digit
        ("2026-12-\udcff", "is not a day or a time"),
        ("2026-12-24T18:00:00", "time zone"),
        ("2026-12-24 18:00", "time zone"),
        ("2026-02-29", "there is no day 2026-02-29"),
        ("2026-13-01", "there is no day"),
        ("0000-01-01", "there is no day"),
        ("2026-02-30T00:00:00Z", "there is no day 2026-02-30"),
        ("2026-12-24T23:59:60Z", "is not a leap second"),
        ("2026-12-31T23:59:60+01:00", "is not a leap second"),
    ],
)
def test_other_texts_are_refused_with_the_flag_and_an_example(text: str, why: str) -> None:
    for read in (moment.end, _from_now) if why != "is not a day or a time" else (moment.end,):
        with pytest.raises(Failure, match=why) as refused:
            read("--flag", text, now=NOW)
        assert refused.value.exit_code == USAGE
        assert refused.value.sentence.startswith("--flag: ")
        assert "2026-12-24" in refused.value.hint


def _from_now(flag: str, text: str, *, now: int) -> int:
    return moment.moment(flag, text, now=now, direction=Direction.FROM_NOW)


@pytest.mark.parametrize(
    ("text", "ahead", "back"),
    [
        ("30d", NOW + 30 * DAY, NOW - 30 * DAY),
        ("1d12h", NOW + DAY + DAY // 2, NOW - DAY - DAY // 2),
        ("2026-12-24", at(2026, 12, 24), at(2026, 12, 24)),
        ("2020-01-01T00:00:00+01:00", at(2019, 12, 31, 23), at(2019, 12, 31, 23)),
    ],
)
def test_a_moment_counts_durations_and_takes_a_day_at_its_beginning(text: str, ahead: int, back: int) -> None:
    assert moment.moment("--flag", text, now=NOW, direction=Direction.FROM_NOW) == ahead
    assert moment.moment("--flag", text, now=NOW, direction=Direction.AGO) == back


def test_a_moment_before_1970_and_other_texts_are_refused() -> None:
    with pytest.raises(Failure, match="before 1970"):
        moment.moment("--flag", "100000w", now=NOW, direction=Direction.AGO)
    with pytest.raises(Failure, match="before 1970"):
        moment.moment("--flag", "1969-12-31", now=NOW, direction=Direction.AGO)
    with pytest.raises(Failure, match="--flag: 'soon' is not a duration, a day or a time") as refused:
        moment.moment("--flag", "soon", now=NOW, direction=Direction.AGO)
    assert "30d" in refused.value.hint
    assert "2026-12-24" in refused.value.hint


@given(st.integers(NOW + 1, 253_402_300_799))
def test_times_that_commands_print_are_read_again(seconds: int) -> None:
    for text in (console.rfc3339(seconds), console.day_and_time(seconds)):
        assert moment.end("--until", text, now=NOW) == seconds
