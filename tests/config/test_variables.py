"""Variables of Almond that nothing reads are refused, with the name that was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from almond_server.config.variables import KNOWN, check_names
from almond_server.errors import StartError

ROOT = Path(__file__).parents[2]
SECRET = "hunter2"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ALMOND_POLL_INTERVALL", "ALMOND_POLL_INTERVAL"),
        ("ALMOND_WORKER", "ALMOND_WORKERS"),
        ("ALMOND_REDISURL", "ALMOND_REDIS_URL"),
        ("ALMOND_DATBASE_URL", "ALMOND_DATABASE_URL"),
        ("ALMOND_API_TOKN", "ALMOND_API_TOKEN"),
        ("ALMOND_METRICS_ADDR", "ALMOND_METRICS_ADDRESS"),
        ("ALMOND_LOGLEVEL", "ALMOND_LOG_LEVEL"),
    ],
)
def test_a_misspelled_setting_is_refused_with_the_name_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(StartError) as refused:
        check_names({"PATH": "/bin", name: SECRET})
    assert str(refused.value) == f"{name} is no setting of Almond: did you mean {meant}?"


@pytest.mark.parametrize("name", ["ALMOND_", "ALMOND_XYZZY"])
def test_a_setting_that_is_like_no_other_is_refused_with_the_page_of_all(name: str) -> None:
    with pytest.raises(StartError, match=rf"^{name} is no setting of Almond: .*docs/SETTINGS\.md") as refused:
        check_names({name: SECRET})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_known_setting_is_no_error(name: str) -> None:
    check_names({name: ""})


def test_every_variable_that_the_code_reads_is_known() -> None:
    sources = [*ROOT.glob("server/**/*.py"), *ROOT.glob("clients/python/**/*.py")]
    read = {
        name
        for source in sources
        if source.name != "variables.py"
        for name in re.findall(r"(?<!_)ALMOND_[A-Z_]*[A-Z]", source.read_text())
    }
    assert "ALMOND_ORG" in read
    assert read <= KNOWN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALMOND_SERVICE_HOST", "10.0.0.7"),
        ("ALMOND_SERVICE_PORT", "50051"),
        ("ALMOND_SERVICE_PORT_GRPC", "50051"),
        ("ALMOND_PORT", "tcp://10.0.0.7:50051"),
        ("ALMOND_PORT_50051_TCP", "tcp://10.0.0.7:50051"),
        ("ALMOND_PORT_50051_TCP_ADDR", "10.0.0.7"),
        ("ALMOND_METRICS_SERVICE_HOST", "10.0.0.8"),
        ("ALMOND_METRICS_SERVICE_PORT_HTTP", "9464"),
        ("ALMOND_METRICS_PORT", "tcp://10.0.0.8:9464"),
        ("ALMOND_METRICS_PORT_9464_TCP_PROTO", "tcp"),
        ("ALMONDS", "and raisins"),
    ],
)
def test_what_kubernetes_sets_for_services_is_no_error(name: str, value: str) -> None:
    check_names({name: value})


def test_a_variable_that_the_command_line_does_not_read_is_no_setting() -> None:
    with pytest.raises(StartError, match="did you mean ALMOND_API_TOKEN"):
        check_names({"ALMOND_API_TOKEN_FILE": "/run/token"})
