"""What nobody thought of: mutated files, and requests made from the service's own description.

`FUZZ_EXAMPLES=5000 python -m pytest tests/test_fuzz.py` looks longer.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from app.errors import ServiceError
from app.main import create_app
from app.settings import Settings
from bench.seeds import seeds
from tests.helpers import ROOT, parts

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "500"))
SEEDS = list(seeds().values())
REGRESSIONS = sorted((ROOT / "tests" / "regressions").iterdir())
CALM = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The service with everything but the network."""
    return create_app(Settings(max_pixels=10**6), parts())


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:  # Raises what the service does not catch.
        yield client


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A seed with bytes changed, removed, repeated or swapped for another seed's."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.sampled_from([1, 2, 4, 16, 64]))
        kind = draw(st.sampled_from(["bytes", "bit", "cut", "repeat", "graft", "end"]))
        if kind == "bytes":
            data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "bit" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length] * draw(st.integers(1, 20))
        elif kind == "graft":
            other = draw(st.sampled_from(SEEDS))
            data[at : at + length] = other[at : at + length]
        elif kind == "end":
            del data[at:]
    return bytes(data)


def check(client: TestClient, data: bytes) -> None:
    answer = client.post("/predict", content=data, headers={"Content-Type": "image/any"})
    assert answer.status_code in ((200, 400, 413, 415) if data else (422,))
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 500, suppress_health_check=CALM, database=None)
@given(data=mutated())
def test_mutated_pictures_are_answered_or_refused(client: TestClient, data: bytes) -> None:
    check(client, data)


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.name)
def test_files_that_once_did_harm_do_none(client: TestClient, path: Path) -> None:
    check(client, path.read_bytes())


def test_every_documented_status_has_an_example(app: FastAPI) -> None:
    codes = {error.code for error in ServiceError.__subclasses__()}
    for path, operations in app.openapi()["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    if media_type == "application/problem+json":
                        assert set(content["examples"]) <= codes
                        assert content["examples"], (path, status)
                    elif media_type == "application/json" and status == "200":
                        assert "example" in json.dumps(content) or "$ref" in json.dumps(content)


CASES = {"/predict": 950, "/predict/batch": 950, "/": 150}
"""Requests made up for an operation; those that take nothing get `FEW`."""

FEW = 60

WRONG = 150
"""Requests that break the description of an operation with a body."""


@pytest.mark.slow
def test_the_service_keeps_to_its_own_description(app: FastAPI, client: TestClient) -> None:
    # No schema can say which bytes are a picture with so many faces: a made-up one may be refused as the table of
    # errors says, and so may a made-up `Accept`. A wrong request may have too many files besides.
    refusals = ["400", "406", "413", "415", "422"]
    checks = {
        "positive_data_acceptance": {"expected-statuses": ["2xx", *refusals]},
        "negative_data_rejection": {"expected-statuses": refusals},
    }
    config = schemathesis.Config.from_dict({"checks": checks})
    description = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
    tried: Counter[str] = Counter()
    for found in description.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        keeps_to_it(operation, GenerationMode.POSITIVE, CASES.get(operation.path, FEW), tried)
        if operation.body:
            keeps_to_it(operation, GenerationMode.NEGATIVE, WRONG, tried)
    assert set(tried) == set(app.openapi()["paths"])
    assert sum(tried.values()) >= 2000, tried


def keeps_to_it(operation: Any, mode: GenerationMode, cases: int, tried: Counter[str]) -> None:
    """Make up requests that fit the description, or break it, and check every answer against it."""

    @settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        suppress_health_check=CALM,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        tried[case.path] += 1
        case.call_and_validate()

    check()
