"""The core gives the answer that the test vectors state; they are the contract for every language."""

from __future__ import annotations

import json
from typing import Any

import pytest

from almond_core import crypto, masks
from almond_core.caveats import PERMITS
from almond_core.chain import VerifiedToken, verify
from almond_core.decision import LIVE, Judged, Standing, decide
from almond_core.errors import Reason, TokenError
from almond_core.header import present
from almond_core.model import Access, Circumstances, Source
from almond_core.wire import decode
from vectors import make_vectors

VECTORS: dict[str, Any] = json.loads(make_vectors.FILE.read_text())
CASES: list[dict[str, Any]] = VECTORS["cases"]
DECODE = {"MISSING", "FOREIGN", "TRUNCATED", "TOO_LARGE", "MALFORMED"}
VERIFY = {"UNKNOWN_KEY", "BROKEN_CHAIN"}


class OneKey:
    def __init__(self, key_id: str, key: bytes) -> None:
        self._key_id = key_id
        self._prk = crypto.extract(key)

    def prk(self, key_id: str) -> bytes | None:
        return self._prk if key_id == self._key_id else None


class NothingRevoked:
    def standing(self, token: VerifiedToken, org: str | None) -> Standing:
        return LIVE


def test_the_file_is_up_to_date() -> None:
    assert make_vectors.FILE.read_text() == make_vectors.render()


def test_there_are_enough_cases_each_with_its_own_name() -> None:
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names) >= 60


def test_every_reason_but_revoked_has_a_case() -> None:
    assert {case["result"] for case in CASES} == {each.value for each in Reason} - {"REVOKED"} | {"ALLOWED"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_a_case_fails_at_its_stage_with_its_result(case: dict[str, Any]) -> None:
    keys = OneKey(case["key_id"], bytes.fromhex(case["key"]))
    stage, result = _stage(case["token"], keys)
    access = _access(**case["access"])
    circumstances = Circumstances(case["now"], VECTORS["leeway"], case.get("asker", ""))
    decision = decide(present(case["token"]), access, circumstances, keys, NothingRevoked())
    reasons = [denial.reason.value for denial in decision.denials]
    if case["stage"] in {"decode", "verify"}:
        assert (stage, result, reasons) == (case["stage"], case["result"], [case["result"]])
        return
    judged = decision.judgements[0]
    assert isinstance(judged, Judged)
    if case["stage"] == "allowed":
        assert decision
        assert all(verdict is PERMITS for verdict in judged.clearance.verdicts)
        return
    assert not decision
    assert reasons == [case["result"]]
    assert decision.denials[0].caveat_index == case.get("caveat_index")


def _access(actions: str, **given: Any) -> Access:
    if "command" in given:
        given["command"] = tuple(given["command"])
    if "source" in given:
        given["source"] = Source(**given["source"])
    return Access(actions=masks.parse_actions(actions), **given)


def _stage(text: str, keys: OneKey) -> tuple[str, str]:
    try:
        token = decode(text)
    except TokenError as error:
        return "decode", error.reason.value
    try:
        verify(token, keys)
    except TokenError as error:
        return "verify", error.reason.value
    return "genuine", ""
