"""What operators see of each request: its line, its trace, the metrics; and what they never see."""

import json
import logging
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from app.emotions import LABELS
from app.http.request_log import LOG
from app.main import create_app
from app.model.card import read_card
from app.settings import Settings
from tests.helpers import encoded, parts

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = create_app(Settings(), parts())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The lines of the requests of the test."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(self.format(record))

    kept: list[str] = []
    LOG.addHandler(handler := Kept())
    yield kept
    LOG.removeHandler(handler)


@pytest.fixture
def private(astronaut: NDArray[np.uint8]) -> bytes:
    """A picture whose EXIF says what is nobody's business."""
    exif = Image.Exif()
    exif[0x010E] = "SECRET-EXIF"
    return encoded(astronaut, "JPEG", quality=90, exif=exif)


def test_an_answered_picture_has_its_line(client: TestClient, lines: list[str], portrait: bytes) -> None:
    answer = client.post("/predict", content=portrait, headers={"X-Request-ID": "abc"})
    assert answer.status_code == 200
    line = json.loads(lines[-1])
    assert line.pop("time").endswith("+00:00")
    assert line.pop("ms") > 0
    stages = line.pop("stages_ms")
    assert stages == {name: answer.json()["timings_ms"][name] for name in ("decode", "detect", "classify")}
    assert line == {
        "request_id": "abc",
        "route": "/predict",
        "method": "POST",
        "status": 200,
        "bytes": len(portrait),
        "pictures": 1,
        "formats": ["JPEG"],
        "sizes": [[512, 512]],
        "faces": 1,
        "reasons": {},
    }


@pytest.mark.slow
def test_only_the_first_pictures_of_a_request_are_described(
    client: TestClient, lines: list[str], portrait: bytes
) -> None:
    with client.websocket_connect("/live") as socket:
        for _ in range(70):
            socket.send_bytes(portrait)
            assert socket.receive_json()["faces"]
    line = json.loads(lines[-1])
    assert (line["route"], line["pictures"], line["faces"]) == ("/live", 70, 70)
    assert len(line["formats"]) == len(line["sizes"]) == 64


def test_refusals_say_why(client: TestClient, lines: list[str], portrait: bytes) -> None:
    client.post("/predict", content=b"text")
    client.post("/predict/batch", files=[("files", portrait), ("files", b"text"), ("files", b"")])
    client.get("/a/path/of/a/client?with=query")
    one, batch, unknown = (json.loads(line) for line in lines[-3:])
    assert (one["status"], one["reasons"]) == (400, {"invalid_image": 1})
    assert (batch["status"], batch["pictures"], batch["reasons"]) == (200, 1, {"invalid_image": 2})
    assert (unknown["status"], unknown["route"], unknown["reasons"]) == (404, "unmatched", {"not_found": 1})


def test_refusals_are_counted_for_their_route(lines: list[str]) -> None:
    with TestClient(create_app(Settings(api_keys=("0" * 64,)), parts())) as client:
        client.get("/model")
        client.post("/predict")
    assert [json.loads(line)["route"] for line in lines] == ["/model", "/predict"]


def test_a_failure_of_the_service_has_its_line_and_headers(
    client: TestClient, lines: list[str], portrait: bytes
) -> None:
    client.app.state.service.analyzer._detector = None  # type: ignore[attr-defined]
    answer = client.post("/predict", content=portrait)
    assert answer.status_code == 500
    assert answer.headers["cache-control"] == "no-store"
    line = json.loads(lines[-1])
    assert (line["status"], line["reasons"]) == (500, {"internal_error": 1})


def test_a_trace_is_named_in_the_line(client: TestClient, lines: list[str]) -> None:
    client.get("/livez", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    line = json.loads(lines[-1])
    assert (line["trace_id"], line["parent_id"]) == (TRACE, "00f067aa0ba902b7")


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01"])
def test_a_senseless_trace_is_ignored(client: TestClient, lines: list[str], header: str) -> None:
    answer = client.get("/livez", headers={"traceparent": header})
    assert answer.status_code == 200
    assert "trace_id" not in json.loads(lines[-1])


def samples(client: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name.removeprefix("expressions_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_count_what_happened(client: TestClient, portrait: bytes) -> None:
    for _ in range(2):
        client.post("/predict", content=portrait)
    client.post("/predict", content=b"text")
    client.post("/predict/batch", files=[("files", portrait), ("files", b"text")])
    for number in range(50):
        client.get(f"/unknown/{number}")
    client.request("BREW", "/predict")
    client.get("/static/page.js")
    found = samples(client)

    def value(sample: str, **labels: str) -> float:
        return found[sample, tuple(sorted(labels.items()))]

    assert value("requests_total", route="/predict", method="POST", status="200") == 2
    assert value("requests_total", route="/predict", method="POST", status="400") == 1
    assert value("requests_total", route="unmatched", method="GET", status="404") == 50
    assert value("requests_total", route="/static", method="GET", status="200") == 1
    assert {dict(labels)["method"] for name, labels in found if name == "requests_total"} == {"GET", "POST", "OTHER"}
    assert value("request_seconds_count", route="/predict/batch") == 1
    assert value("received_bytes_total") > 3 * len(portrait)
    assert value("refusals_total", reason="invalid_image") == 2
    assert value("faces_total", label="happy") == 3
    assert {dict(labels)["label"] for name, labels in found if name == "faces_total"} == set(LABELS)
    for stage in ("decode", "detect", "classify"):
        assert value("stage_seconds_count", stage=stage) == 3
        assert 0 <= value("stage_seconds_sum", stage=stage) < 60
    assert value("batch_faces_sum") == 3
    assert value("queued_faces") == value("in_flight_pictures") == 0
    card = read_card(Settings().model_path)
    assert value("model_info", name=card.name, version=card.version, sha256=card.sha256) == 1
    assert found["process_resident_memory_bytes", ()] > 0


def test_gauges_show_the_moment(client: TestClient) -> None:
    with client.app.state.service.admission.admit(5):  # type: ignore[attr-defined]
        assert samples(client)["in_flight_pictures", ()] == 5


def test_each_app_counts_for_itself(client: TestClient) -> None:
    client.get("/emotions")
    with TestClient(create_app(Settings(), parts())) as other:
        assert ("requests_total", (("method", "GET"), ("route", "/emotions"), ("status", "200"))) not in samples(other)


def test_nothing_of_an_upload_is_told(client: TestClient, lines: list[str], private: bytes) -> None:
    client.post("/predict", files={"file": ("SECRET-NAME.jpg", private)})
    client.post("/predict/batch", files=[("files", ("SECRET-NAME.jpg", b"SECRET-CONTENT"))])
    client.post("/predict?name=SECRET-QUERY", content=b"SECRET-CONTENT")
    assert len(lines) >= 3
    assert "SECRET" not in str(lines)
    assert "SECRET" not in client.get("/metrics").text


@pytest.mark.parametrize("path", ["/", "/docs", "/static/page.js", "/model", "/nothing"])
def test_answers_carry_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path, headers={"Accept": "text/html"}).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self' https://huggingface.co" in policy
    assert headers["permissions-policy"] == "camera=(self), microphone=(), geolocation=()"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == ("max-age=300" if path.startswith("/static") else "no-store")
    assert "server" not in headers


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_have_no_script_of_their_own(client: TestClient, path: str) -> None:
    page = client.get(path, headers={"Accept": "text/html"}).text
    assert page.count("<script") == page.count('"></script>') + page.count("defer></script>") > 0
    assert "<style" not in page
    assert " on" not in "".join(part.split(">")[0] for part in page.split("<")[1:] if " on" in part and "=" in part)
