"""Who is let in: API keys, origins, rates; over HTTP and WebSocket."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError
from starlette.requests import HTTPConnection
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from app.errors import TooManyRequests
from app.http.access import RateLimit
from app.http.problem_details import MAX_REASON_BYTES
from app.main import create_app
from app.settings import Settings
from tests.helpers import parts

KEY = "a-key-of-somebody"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()


def app(**settings: Any) -> FastAPI:
    return create_app(Settings(**settings), parts())


@contextmanager
def running(**settings: Any) -> Iterator[TestClient]:
    with TestClient(app(**settings)) as client:
        yield client


def closed(client: TestClient, **options: Any) -> tuple[int, str]:
    """How a WebSocket of a page is closed again: code and reason."""
    with client.websocket_connect("/live", **options) as socket, pytest.raises(WebSocketDisconnect) as caught:
        socket.receive_json()
    return caught.value.code, caught.value.reason


def denied(client: TestClient, **options: Any) -> tuple[int, str]:
    with pytest.raises(WebSocketDenialResponse) as caught, client.websocket_connect("/live", **options):
        pass
    return caught.value.status_code, caught.value.json()["code"]


def test_without_keys_anybody_may_ask_and_the_log_says_so(portrait: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "uvicorn.error"), running() as client:
        assert client.post("/predict", content=portrait).status_code == 200
    assert [line for line in caplog.messages if "No API keys are set" in line]


def test_with_keys_only_their_holders_may_ask(portrait: bytes, caplog: pytest.LogCaptureFixture) -> None:
    other = hashlib.sha256(b"another").hexdigest()
    with caplog.at_level(logging.INFO, "uvicorn.error"), running(api_keys=f"{other}, {DIGEST}") as client:
        for key in (None, "", "wrong", DIGEST):
            answer = client.post("/predict", content=portrait, headers={} if key is None else {"X-API-Key": key})
            assert (answer.status_code, answer.json()["code"]) == (401, "key_required")
            assert answer.json()["detail"].startswith("The API key is missing or not valid. ")
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["x-request-id"] == answer.json()["request_id"]
            assert answer.headers["www-authenticate"].startswith("ApiKey")
        for key in (KEY, "another"):
            assert client.post("/predict", content=portrait, headers={"X-API-Key": key}).status_code == 200
    assert not [line for line in caplog.messages if "No API keys are set" in line]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/health", 200),
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/llms.txt", 200),
        ("/static/page.js", 200),
        ("/metrics", 401),
        ("/model", 401),
        ("/emotions", 401),
        ("/nothing", 404),
        ("/livez/../model", 401),
        ("/livez%2f..%2fmodel", 404),
    ],
)
def test_probes_and_pages_stay_open(path: str, status: int) -> None:
    with running(api_keys=DIGEST) as client:
        assert client.get(path).status_code == status


OPEN = {"/", "/livez", "/readyz", "/health"}


def test_the_description_asks_for_a_key_where_the_service_does() -> None:
    with running(api_keys=DIGEST) as client:
        paths = client.get("/openapi.json").json()["paths"]
        assert set(paths) > OPEN
        for path, operations in paths.items():
            for method, operation in operations.items():
                asks = client.request(method, path).status_code == 401
                assert asks == (path not in OPEN)
                assert (operation.get("security") == [{"APIKeyHeader": []}]) == asks
                assert ("401" in operation["responses"]) == asks
    assert "security" not in str(app().openapi()["paths"])


def test_a_websocket_needs_the_key_too() -> None:
    with running(api_keys=DIGEST) as client:
        assert denied(client) == (401, "key_required")
        assert denied(client, subprotocols=["key.wrong"]) == (401, "key_required")
        with client.websocket_connect("/live", headers={"X-API-Key": KEY}) as socket:
            assert socket.accepted_subprotocol is None
        with client.websocket_connect("/live", subprotocols=["expressions", f"key.{KEY}"]) as socket:
            assert socket.accepted_subprotocol == "expressions"
        with client.websocket_connect("/live", subprotocols=[f"key.{KEY}"]) as socket:
            assert socket.accepted_subprotocol is None


def test_a_websocket_of_a_foreign_page_is_refused() -> None:
    with running(cors_origins="https://friend.example") as client:
        for origin in (
            "https://foe.example",
            "null",
            "https://friend.example.foe.example",
            "http://friend.example",
            "http://[x",
            "",
            "//",
        ):
            code, reason = closed(client, headers={"Origin": origin})
            assert code == 4403
            assert "proxy_set_header Host $http_host" in reason
            assert len(reason) <= MAX_REASON_BYTES
        assert 'status="403"' in client.get("/metrics").text
        for origin in ("https://friend.example", "http://testserver", "https://testserver"):
            with client.websocket_connect("/live", headers={"Origin": origin}) as socket:
                socket.send_bytes(b"no picture")
                assert socket.receive_json()["code"] == "invalid_image"


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("https://faces.example", "faces.example", True),
        ("https://faces.example", "faces.example:443", True),
        ("https://faces.example", "faces.example:80", True),
        ("http://faces.example", "faces.example:80", True),
        ("http://faces.example:8080", "faces.example:8080", True),
        ("http://faces.example:8080", "faces.example", True),
        ("http://Faces.example:8080", "faces.EXAMPLE", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://[::1]:8080", "[::1]", True),
        ("http://faces.example:8080", "faces.example:8081", False),
        ("http://faces.example", "faces.example:8080", False),
        ("http://faces.example", "127.0.0.1:8000", False),
        ("http://faces.example", "faces.example.foe.example", False),
        ("http://foe.example/faces.example", "faces.example", False),
        ("http://faces.example", "", False),
        ("http://faces.example", "[faces.example", False),
        ("http://faces.example:x", "faces.example", False),
    ],
)
def test_a_page_is_known_as_the_services_own_behind_a_proxy(origin: str, host: str, own: bool) -> None:
    headers = {"Origin": origin, "Host": host}
    with running() as client:
        if not own:
            assert closed(client, headers=headers)[0] == 4403
            return
        with client.websocket_connect("/live", headers=headers) as socket:
            socket.send_bytes(b"no picture")
            assert socket.receive_json()["code"] == "invalid_image"


def test_a_page_is_told_why_it_has_no_camera() -> None:
    page = {"Origin": "http://testserver"}
    with running(api_keys=DIGEST, max_live=1) as client:
        code, reason = closed(client, headers={**page}, subprotocols=["expressions", "key.wrong"])
        assert (code, reason.partition(".")[0]) == (4401, "The API key is missing or not valid")
        offered = ["expressions", f"key.{KEY}"]
        with client.websocket_connect("/live", headers={**page}, subprotocols=offered) as first:
            assert first.accepted_subprotocol == "expressions"
            code, reason = closed(client, headers={**page}, subprotocols=offered)
            assert (code, reason) == (
                4503,
                "There is no room for another camera; the most at once is 1. Try again shortly.",
            )


def test_no_other_origin_may_read_answers_unless_it_is_listed(portrait: bytes) -> None:
    headers = "x-api-key, authorization, x-requested-with, cache-control, baggage, sentry-trace, tracestate"
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": headers}
    with running() as client:
        answer = client.post("/predict", content=portrait, headers={"Origin": "https://friend.example"})
        assert not [name for name in answer.headers if name.startswith("access-control")]
    with running(cors_origins="https://friend.example", api_keys=DIGEST) as client:
        friend, foe = ({"Origin": f"https://{name}.example"} for name in ("friend", "foe"))
        allowed = client.options("/predict", headers=friend | preflight)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://friend.example"
        assert "access-control-allow-credentials" not in allowed.headers
        assert client.options("/predict", headers=foe | preflight).status_code == 400
        refused = client.post("/predict", content=portrait, headers=friend)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://friend.example"
        exposed = {name.strip().lower() for name in refused.headers["access-control-expose-headers"].split(",")}
        assert exposed == {"x-request-id", "retry-after", "x-emotion", "x-probability", "x-face", "x-faces", "x-heat"}
        assert "access-control-allow-origin" not in client.post("/predict", headers=foe).headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_keys", KEY),
        ("api_keys", DIGEST.upper()),
        ("cors_origins", "*"),
        ("cors_origins", "https://a.example/path"),
    ],
)
def test_senseless_lists_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({name: value})


def test_lists_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_CORS_ORIGINS", "https://one.example, https://two.example:8443")
    assert Settings().cors_origins == ("https://one.example", "https://two.example:8443")


def test_a_client_that_asks_too_often_is_told_when_to_come_back() -> None:
    with running(max_requests_per_minute=3) as client:
        assert [client.get("/model").status_code for _ in range(4)] == [200, 200, 200, 429]
        answer = client.get("/model")
        assert answer.json()["code"] == "too_many_requests"
        assert 1 <= int(answer.headers["retry-after"]) <= 20
        assert client.get("/livez").status_code == 200
        assert denied(client) == (429, "too_many_requests")


def test_who_guesses_keys_is_slowed_down_and_monitoring_is_not() -> None:
    with running(max_requests_per_minute=3, api_keys=DIGEST) as client:
        assert [client.get("/model").status_code for _ in range(4)] == [401, 401, 401, 429]
        assert denied(client) == (429, "too_many_requests")
        assert [client.get("/metrics", headers={"X-API-Key": KEY}).status_code for _ in range(5)] == [200] * 5
        assert [client.get("/model", headers={"X-API-Key": KEY}).status_code for _ in range(4)] == [200] * 3 + [429]


class Caller:
    """Asks `RateLimit` as clients of several addresses, at any time."""

    def __init__(self, per_minute: int, clients: int) -> None:
        self.now = 0.0
        self.rate = RateLimit(per_minute, clients=clients, clock=lambda: self.now)

    async def ask(self, host: str) -> int:
        try:
            await self.rate(HTTPConnection({"type": "http", "client": (host, 1)}))
        except TooManyRequests as error:
            return error.status
        return 200


@pytest.mark.anyio
async def test_buckets_refill_evenly_and_are_apart() -> None:
    caller = Caller(per_minute=2, clients=100)
    assert [await caller.ask("10.0.0.1") for _ in range(3)] == [200, 200, 429]
    assert await caller.ask("10.0.0.2") == 200
    caller.now = 31
    assert [await caller.ask("10.0.0.1") for _ in range(2)] == [200, 429]
    assert [await caller.ask(f"2001:db8::{number}") for number in range(1, 4)] == [200, 200, 429]


@pytest.mark.anyio
async def test_only_so_many_clients_are_remembered() -> None:
    caller = Caller(per_minute=1, clients=50)
    for number in range(1000):
        assert await caller.ask(f"10.0.{number // 256}.{number % 256}") == 200
    assert len(caller.rate._buckets) == 50
    assert await caller.ask("10.0.3.231") == 429
