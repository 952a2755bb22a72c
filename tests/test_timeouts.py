"""Slow and hung-up clients, over real connections."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings
from app.vision.preprocess import Floats
from tests.helpers import Moody, parts, serving

POST = b"POST /predict HTTP/1.1\r\nHost: x\r\n"


class Held(Moody):
    """Waits in each call until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.busy = threading.Event()

    def predict(self, crops: Sequence[Floats] | Floats, /) -> Floats:
        self.busy.set()
        assert self.go.wait(60)
        return super().predict(crops)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


@pytest.fixture(scope="module")
def hasty() -> Iterator[str]:
    """A service that waits for a second only."""
    app = create_app(Settings(body_seconds=1), parts())
    with serving(app, head_seconds=1, body_seconds=1) as url:
        yield url


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        yield connection


def trickle(connection: socket.socket, byte: bytes, seconds: float) -> bytes:
    """Send a byte at a time until an answer comes; b"" when the connection is closed without one."""
    ends = time.monotonic() + seconds
    connection.settimeout(0.1)
    while time.monotonic() < ends:
        try:
            connection.sendall(byte)
            return connection.recv(4096)
        except TimeoutError:
            continue
        except ConnectionError:
            return b""
    pytest.fail(f"still connected after {seconds} s")


def status(connection: socket.socket) -> int:
    """Read one whole answer."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def eventually(holds: Callable[[], bool], seconds: float = 10) -> float:
    """Wait until something holds; returns the seconds that took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds
        time.sleep(0.01)
    return time.monotonic() - started


@pytest.mark.slow
@pytest.mark.parametrize("framing", [b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_that_trickles_in_meets_a_deadline(hasty: str, framing: bytes) -> None:
    with connected(hasty) as connection:
        connection.sendall(POST + framing)
        byte = b"x" if b"Length" in framing else b"1\r\nx\r\n"
        assert trickle(connection, byte, 20).startswith(b"HTTP/1.1 408 ")


@pytest.mark.slow
@pytest.mark.parametrize("start", [b"P", POST, POST + b"Name: "])
def test_a_head_that_trickles_in_meets_a_deadline(hasty: str, start: bytes) -> None:
    with connected(hasty) as connection:
        connection.sendall(start)
        assert trickle(connection, b"a", 20) == b""


@pytest.mark.slow
def test_a_silent_connection_is_closed(hasty: str) -> None:
    with connected(hasty) as connection:
        assert connection.recv(1) == b""


@pytest.mark.slow
def test_the_next_head_on_a_connection_has_a_deadline_of_its_own(hasty: str) -> None:
    with connected(hasty) as connection:
        for _ in range(3):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert status(connection) == 200
            time.sleep(0.6)
        connection.sendall(b"GET /livez HTTP/1.1\r\nHo")
        assert trickle(connection, b"s", 20) == b""


@pytest.mark.slow
def test_a_body_that_goes_on_after_its_refusal_is_cut_off(hasty: str) -> None:
    with connected(hasty) as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert status(connection) == 404
        assert trickle(connection, b"x", 20) == b""


@pytest.mark.slow
def test_a_slow_answer_is_not_cut_off(portrait: bytes, held: Held) -> None:
    with serving(create_app(Settings(body_seconds=0.5), parts(held)), head_seconds=0.5, body_seconds=0.5) as url:
        threading.Timer(2, held.go.set).start()
        assert httpx2.post(f"{url}/predict", content=portrait, timeout=60).status_code == 200


@pytest.mark.parametrize("path", [b"/predict", b"/predict/batch", b"/nothing", b"/livez"])
def test_an_answer_before_the_end_of_a_body_is_not_lost(path: bytes) -> None:
    """The client reads once it has sent everything, and the connection is closed then, as nginx does it by default."""
    limits = Settings(max_file_bytes=1000, max_request_bytes=1000)
    with serving(create_app(limits, parts())) as url, connected(url) as connection:
        kind = b"Connection: close\r\nContent-Type: application/json\r\nContent-Length: 30000000\r\n\r\n"
        connection.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + kind)
        for _ in range(30):
            connection.sendall(bytes(1_000_000))
            time.sleep(0.01)
        assert status(connection) in (404, 405, 413)


def test_an_answer_before_the_end_of_a_body_can_be_read_at_once() -> None:
    with serving(create_app(Settings(max_file_bytes=1000), parts())) as url, connected(url) as connection:
        connection.sendall(POST + b"Connection: close\r\nContent-Length: 1000000\r\n\r\nsome of it")
        assert status(connection) == 413


def in_flight(app: FastAPI) -> int:
    count: int = app.state.service.admission.in_flight
    return count


def test_a_client_that_hangs_up_frees_its_place(portrait: bytes, held: Held) -> None:
    app = create_app(Settings(max_in_flight=1, max_files=1), parts(held))
    head = POST + f"Content-Length: {len(portrait)}\r\n\r\n".encode()
    with serving(app) as url:
        with connected(url) as connection:
            connection.sendall(head + portrait)
            assert held.busy.wait(30)
            assert httpx2.post(f"{url}/predict", content=portrait).status_code == 503
        assert eventually(lambda: in_flight(app) == 0) < 1
        held.go.set()
        assert httpx2.post(f"{url}/predict", content=portrait, timeout=60).status_code == 200


def test_the_queued_work_of_a_client_that_hung_up_is_dropped(portrait: bytes, held: Held) -> None:
    app = create_app(Settings(), parts(held, max_batch=1))
    head = POST + f"Content-Length: {len(portrait)}\r\n\r\n".encode()
    with serving(app) as url:
        with connected(url) as first, connected(url) as second:
            first.sendall(head + portrait)
            assert held.busy.wait(30)
            second.sendall(head + portrait)
            eventually(lambda: app.state.service.backend.queued == 1, 30)
        eventually(lambda: in_flight(app) == 0)
        held.go.set()
        assert httpx2.post(f"{url}/predict", content=portrait, timeout=60).status_code == 200
        assert len(held.seen) == 2  # The one that had begun, and the last.


@pytest.mark.slow
def test_a_hung_model_shows_and_recovers(portrait: bytes, held: Held) -> None:
    app = create_app(Settings(), parts(held, max_seconds=0.5))
    with serving(app) as url:
        answer = httpx2.post(f"{url}/predict", content=portrait, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (503, "model_stopped")
        for path in ("/readyz", "/livez", "/health"):
            assert httpx2.get(f"{url}{path}").status_code == 503
        started = time.monotonic()
        assert httpx2.post(f"{url}/predict", content=portrait, timeout=60).status_code == 503
        assert time.monotonic() - started < 10
        held.go.set()
        eventually(lambda: httpx2.get(f"{url}/readyz").status_code == 200)
        assert httpx2.post(f"{url}/predict", content=portrait, timeout=60).status_code == 200
