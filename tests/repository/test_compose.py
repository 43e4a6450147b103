"""docker-compose.yml is valid, publishes on loopback only, and holds no secret.

`compose-spec.json` is the schema of the Compose Specification, unchanged: schema/compose-spec.json of
github.com/compose-spec/compose-spec at 170098b (Apache-2.0).
"""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

HOUSE = Path(__file__).resolve().parent
ROOT = HOUSE.parents[1]
SCHEMA = json.loads((HOUSE / "compose-spec.json").read_text(encoding="utf-8"))
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = ["init", "migrate"]
SECRET = re.compile(r"password|passwd|secret|token|key|credential|alm1_", re.IGNORECASE)


def test_it_is_a_valid_compose_file() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(COMPOSE)


def test_the_schema_would_notice_a_misspelt_key() -> None:
    wrong = {**COMPOSE, "services": {"server": {**SERVICES["server"], "helthcheck": {}}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(wrong)


def test_it_holds_no_secret() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            assert not SECRET.search(variable), name
            assert "@" not in value, f"{name}: {variable} holds a user or password"
        assert not [word for word in service["command"] if SECRET.search(word)], name
    assert "secrets" not in COMPOSE


def test_only_the_server_is_published_and_only_on_the_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"server": ["127.0.0.1:50051:50051"]}


def test_redis_is_reached_from_inside_only() -> None:
    assert SERVICES["redis"]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_redis_refuses_to_evict() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_a_service_has_a_health_check_unless_it_runs_once() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" in service} == {"redis", "server"}
    assert {name for name, service in SERVICES.items() if "restart" not in service} == set(ONE_SHOT)


def test_the_server_waits_for_its_data_and_for_redis() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}
    assert SERVICES["server"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "redis": {"condition": "service_healthy"},
    }


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_can_do_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_the_image_does_not_run_as_root() -> None:
    dockerfile = (ROOT / "server" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line for line in dockerfile if line.startswith("USER ")] == ["USER almond"]
    assert 'ENTRYPOINT ["almond"]' in dockerfile


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"redis"}))
def test_every_dockerfile_of_a_service_exists(name: str) -> None:
    build = SERVICES[name]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()
