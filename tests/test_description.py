"""The OpenAPI description: its examples are what the service answers, its names are good ones for generated clients."""

import json
from typing import Any

import pytest

from app.http.description import EXAMPLES
from app.main import create_app
from bench.examples import SAMPLES, examples, samples

DESCRIPTION = create_app().openapi()
OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    (path, operation) for path, operations in DESCRIPTION["paths"].items() for operation in operations.values()
]
PUBLIC = {"/", "/health", "/livez", "/readyz"}


def check_same(one: Any, other: Any) -> None:
    """Equal but for what differs between machines: times, and the last digits of probabilities."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert set(one) == set(other)
        for key in set(one) - {"timings_ms"}:
            check_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            check_same(first, second)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=0.02)
    else:
        assert one == other


@pytest.mark.slow
def test_the_examples_are_what_the_service_answers() -> None:
    check_same(examples(), json.loads(EXAMPLES.read_text()))


@pytest.mark.slow
def test_the_samples_of_the_page_have_the_services_answers() -> None:
    answered, shown = samples(), json.loads(SAMPLES.read_text())
    for one in (answered, shown):
        for face in [face for picture in one["pictures"] for face in picture["answer"].get("faces", [])]:
            for name in ("emotion", "message", "certain", "plausible", "confidence"):
                del face[name]  # The last digits decide these where probabilities are close.
    check_same(answered, shown)


def test_the_samples_of_the_page_are_there_and_have_a_source() -> None:
    pictures = json.loads(SAMPLES.read_text())["pictures"]
    files = {path.name for path in SAMPLES.parent.glob("*.jpg")}
    assert {picture["file"] for picture in pictures} == files == {path.name for path in SAMPLES.parent.glob("thumbs/*")}
    assert all(picture["title"] and picture["credit"] for picture in pictures)


def test_every_answer_in_json_has_an_example() -> None:
    for path, operation in OPERATIONS:
        content = operation["responses"]["200"]["content"]
        if "application/json" in content:
            assert content["application/json"]["example"], path


def test_operations_have_names_and_errors() -> None:
    names = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert {"predict", "predict_batch", "predict_annotated", "explain", "emotions"} <= set(names)
    for path, operation in OPERATIONS:
        assert operation["summary"]
        assert ({"401", "429"} <= set(operation["responses"])) == (path not in PUBLIC)
    assert "HTTPValidationError" not in json.dumps(DESCRIPTION)


def test_one_body_is_described_and_the_others_are_named() -> None:
    bodies = {path: operation["requestBody"] for path, operation in OPERATIONS if "requestBody" in operation}
    assert set(bodies) == {"/predict", "/predict/batch", "/predict/annotated", "/explain"}
    for path, body in bodies.items():
        assert list(body["content"]) == ["multipart/form-data"]
        assert "JSON" in body["description"]
        assert ("Content-Type" in body["description"]) == (path != "/predict/batch")


def test_errors_have_one_type() -> None:
    for path, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            if content := response.get("content", {}).get("application/problem+json"):
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, (path, status)
    assert DESCRIPTION["components"]["schemas"]["Problem"]["properties"]["code"]
