"""Request bodies as hostile clients build them: refused, cheaply, while others are served."""

import gc
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import Request
from starlette.types import Message

from app.errors import ServiceError
from app.http import bodies
from app.main import create_app
from app.model.classifier import Classifier
from app.settings import Settings
from tests.helpers import check_problem, parts, serving

MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
FIELD = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n'
SIZE = 20_000_000

BODIES: dict[str, bytes] = {
    "10,000 files": (HEAD + b"x\r\n") * 10_000 + b"--b--\r\n",
    "10,000 fields": FIELD * 10_000 + b"--b--\r\n",
    "a huge preamble": b"preamble " * (SIZE // 9),
    "a huge preamble of line ends": b"\r\n" * (SIZE // 2),
    "another boundary": HEAD.replace(b"--b", b"--c") + b"x\r\n--c--\r\n",
    "a huge header": b"--b\r\nName: " + b"x" * SIZE,
    "many headers": b"--b\r\n" + b"a: b\r\n" * (SIZE // 6),
    "carriage returns": HEAD + b"\r" * SIZE,
    "almost boundaries": HEAD + b"\r\n--" * (SIZE // 4),
    "a boundary and more": HEAD + b"x\r\n--b--\r\n" + b"y" * SIZE,
    "an unfinished part": HEAD + b"x",
    "quotes": b'--b\r\nContent-Disposition: form-data; name="' + b'\\"' * 4000 + b'"\r\n\r\nx\r\n--b--\r\n',
    "nothing": b"",
}
TYPES = [
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "b" * 5000,
    'multipart/form-data; boundary="unclosed',
    "multipart/form-data; boundary=\xe9",
    "multipart/form-data; charset=nonsense; boundary=c",
    "Multipart/Form-Data; boundary=c",
]


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused(service: str, name: str) -> None:
    answer = httpx2.post(f"{service}/predict", content=BODIES[name], headers=MULTIPART, timeout=60)
    assert answer.status_code in (400, 422), answer.text
    check_problem(answer, answer.status_code, answer.json()["code"])


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("name", BODIES)
async def test_a_hostile_body_does_not_stall_the_others(name: str) -> None:
    """Between two pieces of a body the event loop is free; what a piece costs is processor time of this thread."""
    body = BODIES[name]
    gc.collect()  # What earlier tests left is not this body's cost.
    pieces = iter([body[start : start + 2**18] for start in range(0, len(body), 2**18)])
    costs, since = [], time.thread_time()

    async def receive() -> Message:
        nonlocal since
        costs.append(time.thread_time() - since)
        piece = next(pieces, None)
        since = time.thread_time()
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with suppress(ServiceError):
        await bodies.read_one(request, 64 * 2**20, lambda count: None)
    costs.append(time.thread_time() - since)
    assert max(costs) < 0.1


@pytest.mark.parametrize("type", TYPES)
def test_a_senseless_boundary_is_refused(service: str, type: str) -> None:
    headers = [(b"Content-Type", type.encode("latin-1"))]
    answer = httpx2.post(f"{service}/predict", content=HEAD + b"x\r\n--b--\r\n", headers=headers)
    assert answer.status_code in (400, 422), answer.text


def chunked(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 2**16):
        yield body[start : start + 2**16]


def test_caps_hold_for_chunked_bodies(service: str) -> None:
    one = httpx2.post(f"{service}/predict", content=chunked(bytes(22 * 2**20)), timeout=60)
    check_problem(one, 413, "file_too_large")
    form = httpx2.post(f"{service}/predict", content=chunked(HEAD + bytes(22 * 2**20)), headers=MULTIPART, timeout=60)
    check_problem(form, 413, "file_too_large")
    batch = httpx2.post(
        f"{service}/predict/batch", content=chunked(HEAD + bytes(66 * 2**20)), headers=MULTIPART, timeout=60
    )
    check_problem(batch, 413, "request_too_large")


def test_bodies_that_arrive_slowly_do_not_fill_the_memory(classifier: Classifier, portrait: bytes) -> None:
    most = len(portrait) + 1000
    with serving(
        create_app(Settings(max_held_bytes=most, max_request_bytes=most, max_file_bytes=most), parts(classifier))
    ) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as slow:
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
            slow.sendall(b"Content-Length: %d\r\n\r\n" % len(portrait) + portrait[:2000])
            deadline = time.monotonic() + 30
            while (answer := httpx2.post(f"{url}/predict", content=portrait)).status_code == 200:
                assert time.monotonic() < deadline
            check_problem(answer, 503, "overloaded")
            assert answer.headers["retry-after"] == "1"
            assert httpx2.post(f"{url}/predict", content=b"small").status_code == 400
            slow.sendall(portrait[2000:])
            with slow.makefile("rb") as answers:
                assert answers.read().startswith(b"HTTP/1.1 200")
        assert httpx2.post(f"{url}/predict", content=portrait).status_code == 200


FLOODS = {
    "many": b"A: b\r\n" * 20_000,
    "one large": b"A: " + b"b" * 100_000 + b"\r\n",
    "two lengths": b"Content-Length: 1\r\nContent-Length: 2\r\n",
    "a length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "a length below zero": b"Content-Length: -1\r\n",
    "a zero byte": b"A: \0\r\n",
    "no name": b": b\r\n",
    "a space before the colon": b"A : b\r\n",
}


@pytest.mark.parametrize("name", FLOODS)
def test_hostile_headers_are_refused(service: str, name: str) -> None:
    address = urlsplit(service)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + FLOODS[name] + b"\r\n0\r\n\r\n")
        status = connection.recv(12)
    assert status.startswith(b"HTTP/1.1 4"), status
    assert httpx2.get(f"{service}/livez").status_code == 200
