"""What lists look like: in a pipe, whatever the variables say, and at terminals of several widths."""

import io
import re
import sys

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client.cli.output import console, record_table, record_view
from client.fake_service import FakeService, gives
from client.run_cli import almond

NOW = 1_800_000_000
DAY, HOUR, MINUTE = 86_400, 3_600, 60
STYLES = re.compile(r"\x1b\[[0-9;]*m")


class Screen(io.StringIO):
    """Standard output that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def token(number: int = 1, **fields: object) -> token_pb2.TokenRecord:
    made = token_pb2.TokenRecord(
        id=str(number) * 22,
        name="deploy of the shop",
        kind="machine-exec",
        org="acme",
        app="web",
        create_time=Timestamp(seconds=NOW - 3 * DAY),
        expire_time=Timestamp(seconds=NOW + 89 * DAY),
        last_use_time=Timestamp(seconds=NOW - 2 * HOUR),
    )
    made.MergeFrom(token_pb2.TokenRecord(**fields))  # type: ignore[arg-type]
    return made


def on_screen(
    monkeypatch: pytest.MonkeyPatch, columns: int, *records: token_pb2.TokenRecord, **how: object
) -> list[str]:
    """Return the lines that a terminal shows, without their styles."""
    screen = Screen()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", screen)
        patched.setenv("COLUMNS", str(columns))
        record_table.show(records, NOW, **{"org": "acme", **how})  # type: ignore[arg-type]
    return STYLES.sub("", screen.getvalue()).splitlines()


VARIABLES = [
    {"FORCE_COLOR": "0"},
    {"FORCE_COLOR": "1"},
    {"FORCE_COLOR": "1", "TERM": "dumb"},
    {"CLICOLOR_FORCE": "1"},
    {"CLICOLOR": "1"},
    {"NO_COLOR": "1"},
    {"NO_COLOR": "1", "FORCE_COLOR": "1"},
    {"TTY_COMPATIBLE": "1"},
    {"TERM": "dumb"},
    {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
    {"COLUMNS": "20"},
    {"COLUMNS": "20", "FORCE_COLOR": "1", "LINES": "5"},
]


@pytest.mark.parametrize("words", [(), ("--wide",), ("--tree",), ("--tree", "--wide")], ids=" ".join)
@pytest.mark.parametrize("variables", VARIABLES, ids=str)
def test_no_variable_changes_the_layout_of_a_pipe(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: tuple[str, ...]
) -> None:
    service.answers["ListTokens"] = gives(pb.ListTokensResponse(records=[token(1), token(2)]))
    for name in (
        "FORCE_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "NO_COLOR",
        "COLUMNS",
        "LINES",
        "TTY_COMPATIBLE",
    ):
        monkeypatch.delenv(name, raising=False)
    command = ("tokens", "list", "-o", "acme", *words)
    plain = almond(*command, address=service.address).stdout
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    given = almond(*command, address=service.address).stdout
    assert STYLES.sub("", given) == plain
    is_forced = "NO_COLOR" not in variables and "1" in (
        variables.get("FORCE_COLOR"),
        variables.get("CLICOLOR_FORCE"),
    )
    assert ("\x1b" in given) == is_forced
    assert len(plain.splitlines()) == 3


def test_a_pipe_gets_ids_first_and_times_that_programs_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    record_table.show([token(name="x" * 120)], NOW, org="acme")
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == [
        *("ID", "NAME", "KIND", "ORG", "APP", "SUBJECT", "CREATED", "EXPIRES", "LAST", "USED", "STATE")
    ]
    assert row.split() == [
        *("1" * 22, "x" * 120, "machine-exec", "acme", "web", "-"),
        *("2027-01-12T08:00:00Z", "2027-04-14T08:00:00Z", "2027-01-15T06:00:00Z", "live"),
    ]


@pytest.mark.parametrize("columns", [100, 120])
def test_a_token_is_one_line_at_100_columns(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    long, short = token(1, name="a name that somebody made very long, up to a hundred"), token(2, name="ci")
    header, first, second = on_screen(monkeypatch, columns, long, short)
    assert header.split() == ["ID", "NAME", "KIND", "APP", "CREATED", "EXPIRES", "LAST", "USED"]
    assert re.fullmatch(r"1{22}  a name that .*\.\.\.  machine-exec  web  3d ago +in 89d +2h ago", first)
    assert re.fullmatch(r"2{22}  ci +machine-exec  web  3d ago +in 89d +2h ago", second)
    assert len(first) <= columns


def test_a_deploy_token_is_one_line_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = on_screen(monkeypatch, 80, token(1, kind="deploy"), token(2, kind="ssh"))
    assert [line.split()[0] for line in lines] == ["ID", "1" * 22, "2" * 22]
    assert max(map(len, lines)) <= 80


def test_names_of_two_cells_a_letter_keep_the_columns_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [token(1, name="配置トークン"), token(2, name="ci"), token(3, name="配" * 60)]
    header, first, second, third = on_screen(monkeypatch, 100, *named)
    at = header.index("KIND")
    assert second[at:].startswith("machine-exec")
    assert first[at - 6 :].startswith("machine-exec")
    assert "...  machine-exec" in third or "...   machine-exec" in third


def test_a_token_that_does_not_fit_is_a_paragraph_within_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = on_screen(monkeypatch, 60, token(1, name="a, state revoked", subject="service:gate"))
    assert lines[0] == f"{'1' * 22}  live"
    assert lines[1].startswith("    name a, state revoked, kind machine-exec, ")
    assert max(map(len, lines)) <= 60


def test_a_column_appears_when_one_row_has_something_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = token(2, revoke_time=Timestamp(seconds=NOW - DAY), subject="service:gate", org="other")
    header, *rows = on_screen(monkeypatch, 200, token(1), gone)
    assert header.split() == [
        *("ID", "NAME", "KIND", "ORG", "APP", "SUBJECT", "CREATED", "EXPIRES", "LAST", "USED", "STATE")
    ]
    assert [row.split()[-1] for row in rows] == ["live", "revoked"]


def test_wide_has_exact_times_and_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    header, row = on_screen(monkeypatch, 400, token(caveats=['["org","acme","r"]']), wide=True)
    assert "2027-01-12 08:00:00 UTC" in row
    assert header.split()[-4:] == ["USED", "MINTED", "BY", "MAY"]


def test_a_tree_is_as_wide_as_it_is_told(service: FakeService) -> None:
    one = token(minter_token_id="M" * 22, caveats=['["org","acme","r"]'])
    service.answers["ListTokens"] = gives(pb.ListTokensResponse(records=[one]))
    listed = ("tokens", "list", "-o", "acme", "--tree")
    narrow, wide = (almond(*listed, *more, address=service.address).stdout for more in ((), ("--wide",)))
    assert narrow.splitlines()[1].endswith("live")
    assert f"minted by {'M' * 22}" in wide
    assert "org acme: the org itself: read" in wide
    assert "created 2027-01-12 08:00:00 UTC" in wide
    assert len(wide.splitlines()) == 2


@pytest.mark.parametrize(
    ("away", "text"),
    [
        (0, "now"),
        (-1, "1s ago"),
        (-119, "119s ago"),
        (-120, "2m ago"),
        (-119 * MINUTE, "119m ago"),
        (-2 * HOUR, "2h ago"),
        (-47 * HOUR, "47h ago"),
        (-2 * DAY, "2d ago"),
        (90 * DAY - 1, "in 89d"),
        (20 * 365 * DAY, "in 20y"),
        (5 * HOUR, "in 5h"),
    ],
)
def test_relative_times_have_one_unit_and_never_promise_more(away: int, text: str) -> None:
    assert console.relative(NOW + away, NOW) == text


@pytest.mark.parametrize(
    ("created", "used", "shown"),
    [
        (NOW + 40, NOW, NOW + 40),
        (NOW + 59, NOW, NOW + 59),
        (NOW, NOW, NOW),
        (NOW - 1, NOW, NOW),
        (NOW + 60, NOW, NOW),
        (NOW - DAY, NOW, NOW),
    ],
)
def test_a_token_is_not_used_before_it_is_made(created: int, used: int, shown: int) -> None:
    made = token_pb2.TokenRecord(
        create_time=Timestamp(seconds=created), last_use_time=Timestamp(seconds=used)
    )
    assert record_view.last_use(made) == shown
    assert record_view.as_json(made, NOW)["last_used_at"] == console.rfc3339(shown)


def test_a_terminal_that_is_dumb_has_its_own_width_and_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert len(on_screen(monkeypatch, 100, token(1), token(2))) == 3
