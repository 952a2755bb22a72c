"""The OpenAPI description: its examples are what the service answers, its names are good ones for generated clients."""

import json
import re
from typing import Any

import httpx2
import pytest

from app.emotions import LABELS
from app.http.description import EXAMPLES
from app.main import create_app
from app.routers.predict import MOST_FACES
from bench.examples import SAMPLES, examples, samples
from tests.helpers import ROOT

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


def test_every_kind_of_body_is_described() -> None:
    bodies = {path: operation["requestBody"] for path, operation in OPERATIONS if "requestBody" in operation}
    assert set(bodies) == {"/predict", "/predict/batch", "/predict/video", "/predict/annotated", "/explain"}
    assert list(bodies.pop("/predict/video")["content"]) == ["multipart/form-data", "application/octet-stream"]
    for path, body in bodies.items():
        several = path == "/predict/batch"
        kinds = ["multipart/form-data", "application/json", *([] if several else ["application/octet-stream"])]
        assert list(body["content"]) == kinds
        form, text, *_ = (content["schema"] for content in body["content"].values())
        assert (form["required"], text["required"]) == ((["files"], ["images"]) if several else (["file"], ["image"]))
        assert ("Content-Type" in body["description"]) == (not several)


def test_labels_are_enumerated_and_probabilities_are_named() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    label, probabilities = ({"$ref": f"#/components/schemas/{name}"} for name in ("Label", "LabelProbabilities"))
    assert schemas["Label"] == {"type": "string", "enum": list(LABELS)}
    properties = schemas["LabelProbabilities"]["properties"]
    assert schemas["LabelProbabilities"]["required"] == list(properties) == list(LABELS)
    assert {kind["type"] for kind in properties.values()} == {"number"}
    for name in ("Face", "Prediction", "FilePrediction"):
        fields = schemas[name]["properties"]
        assert fields["emotion"].items() >= label.items()
        assert fields["plausible"]["items"] == label
        assert fields["probabilities"].items() >= probabilities.items()


def test_parameters_have_one_type_and_the_number_of_faces_has_a_default() -> None:
    for path, operation in OPERATIONS:
        for parameter in operation.get("parameters", []):
            assert {"type", "$ref"} & set(parameter["schema"]), (path, parameter["name"])
            if parameter["name"] == "limit":
                assert (parameter["schema"]["type"], parameter["schema"]["default"]) == ("integer", MOST_FACES)


def test_the_description_names_its_licence_and_whom_to_ask() -> None:
    assert DESCRIPTION["info"]["license"]["identifier"] == "MIT"
    (holder,) = re.findall(r"Copyright \(c\) \d+ (.*)", (ROOT / "LICENSE").read_text())
    assert DESCRIPTION["info"]["contact"]["name"] == holder


def test_the_description_is_served_compressed(service: str) -> None:
    packed = httpx2.get(f"{service}/openapi.json", headers={"Accept-Encoding": "gzip"})
    plain = httpx2.get(f"{service}/openapi.json", headers={"Accept-Encoding": "identity"})
    assert packed.json() == plain.json() == DESCRIPTION
    assert packed.headers["content-encoding"] == "gzip"
    assert 5 * int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert "content-encoding" not in plain.headers
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


def test_errors_have_one_type() -> None:
    for path, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            if content := response.get("content", {}).get("application/problem+json"):
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, (path, status)
    assert DESCRIPTION["components"]["schemas"]["Problem"]["properties"]["code"]
