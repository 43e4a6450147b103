"""The options of `almond tokens list` that select records: what is sent, and what is refused."""

import time

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import Result

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core.model import token_id_at
from client.fake_service import FakeService, gives
from client.run_cli import almond

ID = token_id_at(1, bytes(10))
DAY = 24 * 3600


def listed(service: FakeService, *words: str) -> Result:
    return almond("tokens", "list", "-o", "acme", *words, address=service.address)


def page(*names: str, following: str = "") -> pb.ListTokensResponse:
    records = [token_pb2.TokenRecord(id=name * 22, create_time=Timestamp(seconds=1)) for name in names]
    return pb.ListTokensResponse(records=records, next_page_token=following)


def test_conditions_are_sent_to_the_service(service: FakeService) -> None:
    words = ("--kind", "deploy", "--name", "staging one", "--subject", "service:gate", "--minted-by", ID)
    assert listed(service, *words).exit_code == 0
    sent = service.calls[0].request
    assert (sent.kind, sent.name, sent.subject, sent.minted_by) == (
        *("deploy", "staging one", "service:gate", ID),
    )
    assert not sent.HasField("expires_before")
    assert not sent.HasField("unused_since")


@pytest.mark.parametrize(
    ("flag", "field", "away"),
    [("--expires-before", "expires_before", 1), ("--unused-since", "unused_since", -1)],
)
def test_a_duration_is_from_now_or_ago_and_a_time_is_that_time(
    service: FakeService, flag: str, field: str, away: int
) -> None:
    before = int(time.time())
    listed(service, flag, "30d")
    sent = getattr(service.calls[-1].request, field).seconds
    assert before <= sent - away * 30 * DAY <= time.time()
    for text, seconds in (("2026-11-24", 1_795_478_400), ("2026-11-24T08:00:00Z", 1_795_507_200)):
        listed(service, flag, text)
        assert getattr(service.calls[-1].request, field).seconds == seconds


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kind", "deplyo"), "--kind: 'deplyo' is no kind"),
        (("--kind", ""), "--kind is empty"),
        (("--name", ""), "--name is empty"),
        (("--subject", "ann"), "--subject: write it as user:NAME or service:NAME"),
        (("--subject", ""), "--subject is empty"),
        (("--minted-by", "x"), "'x' is not a token id"),
        (("--minted-by", ""), "--minted-by is empty"),
        (("--expires-before", "soon"), "--expires-before: 'soon' is not"),
        (("--expires-before", ""), "--expires-before is empty"),
        (("--unused-since", "2026-13-01"), "--unused-since: there is no day 2026-13-01"),
    ],
    ids=str,
)
def test_a_condition_that_makes_no_sense_is_refused_and_not_sent(
    service: FakeService, words: tuple[str, ...], said: str
) -> None:
    ran = listed(service, *words)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"error: {said}")
    assert service.calls == []


def test_a_limit_is_of_the_whole_list_and_asks_for_no_more(service: FakeService) -> None:
    service.answers["ListTokens"] = gives(page("a", "b", following="1"), page("c", "d", following="2"))
    shown = listed(service, "--limit", "3").stdout.splitlines()[1:]
    assert [line[0] for line in shown] == ["a", "b", "c"]
    assert [call.request.page_size for call in service.calls] == [3, 3]


def test_an_empty_page_is_not_the_end(service: FakeService) -> None:
    service.answers["ListTokens"] = gives(page(following="1"), page(following="2"), page("a"))
    assert listed(service, "--kind", "ssh", "--limit", "1").stdout.splitlines()[1].startswith("a")
    assert [call.request.kind for call in service.calls] == ["ssh"] * 3


def test_without_a_limit_pages_are_large(service: FakeService) -> None:
    listed(service)
    listed(service, "--limit", "9999")
    assert [call.request.page_size for call in service.calls] == [500, 500]
    assert almond("tokens", "list", "-o", "acme", "--limit", "0", address=service.address).exit_code == 2


def test_nothing_found_says_whether_something_was_asked_for(service: FakeService) -> None:
    assert (
        listed(service, "--kind", "ssh").stderr
        == "No live token matches; --all shows revoked and expired ones.\n"
    )
    assert listed(service, "--kind", "ssh", "--all").stderr == "No token matches.\n"
    assert listed(service).stderr == "No live tokens; --all shows revoked and expired ones.\n"
