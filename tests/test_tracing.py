"""Traces: what spans there are, what is in none of them, and that they cost nothing unless they are wanted."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from fastapi.testclient import TestClient
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app import __version__
from app.http.request_log import LOG
from app.main import create_app
from app.settings import Settings
from tests.helpers import ROOT, parts

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
STAGES = ["classify", "decode", "detect"]


@contextmanager
def traced() -> Iterator[TestClient]:
    """The service while it is traced."""
    with TestClient(create_app(Settings(traces=True), parts()), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What gets the spans, all of them once the service has stopped."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(trace_exporter, "OTLPSpanExporter", lambda: exporter)
    return exporter


def trees(exporter: InMemorySpanExporter) -> list[tuple[ReadableSpan, list[ReadableSpan]]]:
    """The spans of the requests, in order, each with those in it."""
    spans = exporter.get_finished_spans()
    ids = {span.context.span_id for span in spans}
    roots = [span for span in spans if span.parent is None or span.parent.span_id not in ids]
    return [
        (root, [span for span in spans if span.parent is not None and span.parent.span_id == root.context.span_id])
        for root in sorted(roots, key=lambda span: span.start_time or 0)
    ]


def names(spans: list[ReadableSpan]) -> list[str]:
    return sorted(span.name for span in spans)


def test_a_request_is_a_span_with_its_stages(exporter: InMemorySpanExporter, portrait: bytes) -> None:
    with traced() as client:
        prediction = client.post("/predict", content=portrait, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    ((request, stages),) = trees(exporter)
    assert request.name == "POST /predict"
    assert request.parent is not None
    assert f"{request.parent.trace_id:032x}-{request.parent.span_id:016x}" == f"{TRACE}-{PARENT}"
    assert names(stages) == STAGES
    for stage in stages:
        assert request.start_time is not None
        assert request.end_time is not None
        assert stage.start_time is not None
        assert stage.end_time is not None
        assert request.start_time <= stage.start_time <= stage.end_time <= request.end_time
        milliseconds = prediction.json()["timings_ms"][stage.name]
        assert (stage.end_time - stage.start_time) / 1e6 == pytest.approx(milliseconds, abs=0.01)
    assert request.resource.attributes["service.name"] == "expressions"
    assert request.resource.attributes["service.version"] == __version__


def test_each_picture_has_its_stages(exporter: InMemorySpanExporter, portrait: bytes) -> None:
    with traced() as client:
        client.post("/predict/batch", files=[("files", portrait), ("files", b"text"), ("files", portrait)])
        client.post("/predict", content=b"text")
        client.post("/explain", content=portrait)
        client.get("/emotions")
    found = [(request.name, names(stages)) for request, stages in trees(exporter)]
    assert found == [
        ("POST /predict/batch", sorted(2 * STAGES)),
        ("POST /predict", []),
        ("POST /explain", STAGES),
        ("GET /emotions", []),
    ]


def test_a_camera_is_not_traced(exporter: InMemorySpanExporter, portrait: bytes) -> None:
    with traced() as client, client.websocket_connect("/live") as socket:
        for _ in range(3):
            socket.send_bytes(portrait)
            assert socket.receive_json()["faces"]
    assert trees(exporter) == []


def test_the_line_names_its_span(
    exporter: InMemorySpanExporter, portrait: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, LOG.name), traced() as client:
        client.post("/predict", content=portrait)
    line = json.loads(caplog.messages[-1])
    ((request, _),) = trees(exporter)
    assert (line["trace_id"], line["span_id"]) == (
        f"{request.context.trace_id:032x}",
        f"{request.context.span_id:016x}",
    )


def test_nothing_of_an_upload_is_in_a_span(exporter: InMemorySpanExporter, portrait: bytes) -> None:
    with traced() as client:
        client.post("/predict", files={"file": ("SECRET-NAME.jpg", portrait)}, headers={"X-API-Key": "SECRET-KEY"})
        client.post("/predict", content=b"SECRET-CONTENT")
    spans = exporter.get_finished_spans()
    assert len(spans) == 5
    assert "SECRET" not in str([span.to_json() for span in spans])


def test_a_failure_of_the_service_is_marked(exporter: InMemorySpanExporter, portrait: bytes) -> None:
    with traced() as client:
        client.app.state.service.analyzer._detector = None  # type: ignore[attr-defined]
        assert client.post("/predict", content=portrait).status_code == 500
    ((request, _),) = trees(exporter)
    assert not request.status.is_ok
    assert request.attributes is not None
    assert request.attributes["error.type"] == "AttributeError"


@pytest.mark.parametrize("wanted", [True, False])
def test_spans_reach_a_collector_where_they_are_wanted(
    portrait: bytes, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not on standard error."""

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
        monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
        with TestClient(create_app(Settings(traces=wanted), parts())) as client:
            client.post("/predict", content=portrait)
        collector.shutdown()
    if not wanted:
        assert received == []
        return
    ((path, body),) = received
    assert path == "/v1/traces"
    (spans,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert {one.key: one.value.string_value for one in spans.resource.attributes}["service.name"] == "mine"
    assert sorted(span.name for scope in spans.scope_spans for span in scope.spans) == ["POST /predict", *STAGES]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "False"),  # Not wanted: not imported.
        ("sys.modules['opentelemetry.sdk.trace'] = None", "EMOTION_TRACES needs the extra `otel`"),
    ],
)
def test_the_packages_are_needed_for_traces_alone(code: str, words: str) -> None:
    script = f"""
import sys
{code}
from app.errors import StartError
from app.main import create_app
from app.settings import Settings
try:
    create_app(Settings(traces={bool(code)}))
    print("opentelemetry.sdk" in sys.modules)
except StartError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(words)
