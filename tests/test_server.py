"""Connections that nobody means well with: openings that no parser takes, tiny pieces, answers that nobody reads."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from app.main import create_app
from app.settings import Settings
from bench.floods import OPENING
from bench.server import Server, free_port
from tests.helpers import ROOT, Moody, parts, predict, serving, wait_until_ready


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    with Server("litert") as server:
        yield server


def connected(url: str) -> "closing[socket.socket]":
    address = httpx2.URL(url)
    assert address.port is not None
    return closing(socket.create_connection((address.host, address.port), timeout=10))


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


def posted(path: bytes, body: bytes, headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + headers + length + b"\r\n" + body


@pytest.mark.parametrize(
    "opening",
    [
        OPENING + b"Content-Length: 1\r\n\r\n",
        OPENING + b"Transfer-Encoding: chunked\r\n\r\n",
        OPENING + b"X: " + b"x" * 9000 + b"\r\n\r\n",
        OPENING + b"a: b\r\n" * 130 + b"\r\n",
        OPENING.replace(b"/live", b"/live?" + b"x" * 9000) + b"\r\n",
        OPENING.replace(b"GET", b"POST") + b"\r\n",
        OPENING.replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 12") + b"\r\n",
        OPENING.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"") + b"\r\n",
    ],
)
def test_an_opening_that_is_refused_is_answered_and_closed(served: Server, opening: bytes) -> None:
    with connected(served.url) as connection:
        connection.sendall(opening)
        assert until_closed(connection).startswith(b"HTTP/1.1 4")


@pytest.mark.slow
@pytest.mark.parametrize("before", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", posted(b"/predict", b"no picture")])
@pytest.mark.parametrize("at_once", [True, False])
def test_no_deadline_of_earlier_requests_ends_a_websocket(portrait: bytes, before: bytes, at_once: bool) -> None:
    app = create_app(Settings(), parts())
    with serving(app, head_seconds=0.4, body_seconds=0.4) as url, connected(url) as connection:
        connection.sendall(before)
        if not at_once:
            time.sleep(0.2)
        connection.sendall(OPENING + b"\r\n")
        for _ in range(4):
            time.sleep(0.4)
            connection.sendall(b"\x82\x81\0\0\0\0a")
        received = b""
        while b'"frame":4' not in received:
            part = connection.recv(65536)
            assert part
            received += part
        assert b"HTTP/1.1 101" in received


def test_a_body_of_tiny_chunks_is_refused(served: Server, portrait: bytes) -> None:
    with connected(served.url) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            connection.sendall(b"1\r\na\r\n" * 3000)
        assert until_closed(connection)[:12] in (b"HTTP/1.1 400", b"")
    pieces = [portrait[start : start + 200] for start in range(0, len(portrait), 200)]
    assert httpx2.post(f"{served.url}/predict", content=iter(pieces), timeout=30).status_code == 200


def test_a_message_of_empty_fragments_ends_the_connection(served: Server) -> None:
    with connected(served.url) as connection:
        connection.sendall(OPENING + b"\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 101")
        with suppress(ConnectionError):
            connection.sendall(b"\x02\x81\0\0\0\0a" + b"\x00\x80\0\0\0\0" * 5000)
        until_closed(connection)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 200,
        b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"".join(b"a%d: %s\r\n" % (n, b"b" * 1000) for n in range(60)),
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_long_or_ambiguous_head_is_refused(served: Server, head: bytes) -> None:
    with connected(served.url) as connection:
        connection.sendall(head + b"\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("target", [b"http://x/livez", b"HTTPS://x:80/livez?a=b", b"http://x", b"http://x?a"])
def test_a_target_with_its_host_is_answered(served: Server, target: bytes) -> None:
    with connected(served.url) as connection:
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_has_sent_everything_may_say_so(served: Server, portrait: bytes) -> None:
    with connected(served.url) as connection:
        connection.sendall(posted(b"/predict", portrait))
        connection.shutdown(socket.SHUT_WR)
        answer = until_closed(connection)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"}")


@pytest.mark.parametrize("bounds", [{"body_seconds": 1}, {"max_unsent": 100_000}])
def test_an_answer_that_is_not_read_is_dropped(portrait: bytes, bounds: dict[str, Any]) -> None:
    drawn = posted(b"/predict/annotated", portrait, b"Accept: image/png\r\n")
    with serving(create_app(Settings(), parts()), **bounds) as url, connected(url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.sendall(drawn * 16)
        client = connection.getsockname()
        started = time.monotonic()
        while client in {one.raddr for one in psutil.Process().net_connections() if one.status == "ESTABLISHED"}:
            assert time.monotonic() - started < 10
            time.sleep(0.1)
        assert httpx2.get(f"{url}/livez", timeout=10).status_code == 200


def test_the_last_answer_before_the_end_says_so(portrait: bytes) -> None:
    busy, go = threading.Event(), threading.Event()

    class Held(Moody):
        def predict(self, crops: Any, /) -> Any:
            busy.set()
            assert go.wait(30)
            return super().predict(crops)

    with ThreadPoolExecutor(1) as pool:
        with serving(create_app(Settings(), parts(Held()))) as url:
            answer = pool.submit(httpx2.post, f"{url}/predict", content=portrait, timeout=60)
            assert busy.wait(30)
            threading.Timer(1, go.set).start()
        assert answer.result().status_code == 200
        assert answer.result().headers["connection"] == "close"


def test_connections_beyond_the_descriptors_neither_end_it_nor_fill_the_log(tmp_path: Path) -> None:
    environment = {**os.environ, "EMOTION_ENGINE": "litert", "EMOTION_PORT": str(port := free_port())}
    command = ["sh", "-c", f"ulimit -n 128; exec {sys.executable} -m app"]
    url = f"http://127.0.0.1:{port}"
    log = tmp_path / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output) as process,
    ):
        try:
            wait_until_ready(url, process)
            with ExitStack() as stack:
                process.send_signal(signal.SIGSTOP)  # So that all of them wait to be accepted at once.
                held = [stack.enter_context(connected(url)) for _ in range(200)]
                process.send_signal(signal.SIGCONT)
                for connection in held:
                    with suppress(ConnectionError):
                        connection.sendall(OPENING + b"Content-Length: 1\r\n\r\n")
                time.sleep(2)
                assert httpx2.get(f"{url}/livez", timeout=10).status_code == 200
        finally:
            process.terminate()
    assert log.stat().st_size < 20_000


def test_nothing_of_a_websockets_address_is_logged() -> None:
    environment = {**os.environ, "EMOTION_ENGINE": "litert", "EMOTION_PORT": str(port := free_port())}
    command = [sys.executable, "-m", "app"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        with connected(f"http://127.0.0.1:{port}") as connection:
            connection.sendall(OPENING.replace(b"/live", b"/live?key=SECRET") + b"\r\n")
            assert connection.recv(300).startswith(b"HTTP/1.1 101")
        process.terminate()
        output = process.communicate(timeout=30)[0]
    assert b'"route": "/live"' in output
    assert b"SECRET" not in output
    assert b"connection open" not in output


@pytest.mark.parametrize("frame", [b"\x89\xfd\0\0\0\0" + b"a" * 125, b"\x89\x80\0\0\0\0", b"\x8a\x80\0\0\0\0"])
def test_pings_whose_pongs_nobody_reads_fill_no_memory(served: Server, portrait: bytes, frame: bytes) -> None:
    memory = psutil.Process(served.pid).memory_info
    with httpx2.Client(base_url=served.url, timeout=30) as http, connected(served.url) as connection:
        predict(http, portrait)
        before = memory().rss
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.sendall(OPENING + b"\r\n")
        assert connection.recv(300).startswith(b"HTTP/1.1 101")
        connection.settimeout(1)
        ended = time.monotonic() + 3
        with suppress(OSError):
            while time.monotonic() < ended:
                connection.sendall(frame * 2000)
        assert memory().rss - before < 20e6
        assert predict(http, portrait)["emotion"] == "happy"


def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    app = create_app(Settings(), parts())
    with serving(app, max_connections=3) as url:
        with connected(url), connected(url), connected(url), connected(url) as fourth:
            fourth.settimeout(3)  # Well within the deadline for heads.
            assert until_closed(fourth) == b""
        time.sleep(0.2)
        assert httpx2.get(f"{url}/livez", timeout=10).status_code == 200
