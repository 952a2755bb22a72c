"""Hundreds of exchanges that break HTTP/1.1 or WebSocket: each ends in time and without a failure of the service, and a
good request after it is answered.
"""

import asyncio
import itertools
import os
import re
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from app.main import create_app
from app.settings import Settings
from tests.helpers import parts, serving

SECONDS = 1
"""For a head, for a body, for silence on /live."""

DEADLINE = 10.0
"""All of these, the five seconds of an idle connection, and those in which a WebSocket is closed."""

AT_ONCE = 32

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
FORM = POST + b"Content-Type: multipart/form-data; boundary=b\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"
LIVE = b"GET /live HTTP/1.1\r\nHost: x\r\n"


def request_lines() -> Iterator[bytes]:
    methods = (b"GET", b"get", b"", b"G\0T", b"G T", b"GET\t", b"\xff", b"A" * 5000, b"PRI", b"CONNECT", b"TRACE")
    targets = (b"/livez", b"", b"*", b"livez", b"//livez", b"/%", b"/%zz", b"/%00", b"/\xc3\xa4", b"/" + b"a" * 20_000)
    versions = (
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"HTTP/0.9",
        b"HTTP/2.0",
        b"HTTP/9.9",
        b"http/1.1",
        b"HTTP/1.",
        b"",
        b"HTTP/1.1 ",
    )
    for method in methods:
        yield method + b" /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    for target in targets:
        yield b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    for version in versions:
        yield b"GET /livez " + version + b"\r\nHost: x\r\n\r\n"
    yield from (
        b"\r\n" * 1000,
        b"\n\n",
        b"\0" * 3000,
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
        b"SSH-2.0-x\r\n",
        b"GET",
        b"",
    )
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)


def heads() -> Iterator[bytes]:
    fields = (
        b": x", b"a", b"a b: c", b"a\0: b", b"a: \0", b"a : b", b" a: b", b"a: b\r\n c", b"\xff: x",
        b"a: " + b"b" * 20_000,
        b"Host: y", b"Content-Length: -1", b"Content-Length: 1, 2", b"Content-Length: 99999999999999999999",
        b"Content-Length: +1", b"Content-Length: 0x1", b"Content-Length: 1\r\nContent-Length: 2", b"Content-Length: ",
        b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: ,",
        b"Expect: nonsense",
        b"Expect: 100-continue", b"Connection: \xff", b"Upgrade: h2c\r\nConnection: Upgrade", b"Traceparent: 00-x",
        b"Content-Type: multipart/form-data", b"Content-Type: ;;;", b"Content-Encoding: br", b"X-Request-ID: \x80",
        b"Range: bytes=-", b"Accept: " + b"," * 5000, b"Cookie: " + b"a=" * 4000, b"Origin: null", b"X-API-Key: \xff",
    )  # fmt: skip
    for head, field in itertools.product((GET, POST), fields):
        yield head + field + b"\r\n\r\n"
    yield GET.replace(b"\r\n", b"\n") + b"\n"
    yield GET + b"a: b\r\n" * 129 + b"\r\n"
    yield GET[:-2]
    yield GET.replace(b"Host: x\r\n", b"") + b"\r\n"


def bodies() -> Iterator[bytes]:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    for chunks in (
        b"x\r\n", b"-1\r\n", b"1\r\nab\r\n", b"1;" + b"a" * 20_000 + b"\r\na\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n", b"1\na\n0\n\n",
        b"0\r\na: b\r\n\r\n", b"0\r\n" + b"a: b\r\n" * 500 + b"\r\n", b"1\r\na\r\n" * 2000, b"5\r\nab",
        b"0\r\n\r\n" * 500,
    ):  # fmt: skip
        yield chunked + chunks
    for body in (
        b"", b"--", b"--b", b"--b--", b"--b\r\n\r\n\r\n", b"--b\nContent-Disposition: form-data\n\nx\n--b--",
        b"\0" * 2000,
        b"--b\r\nContent-Disposition: form-data; name=\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\xff\xfe\"\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\n" + b"a: b\r\n" * 300 + b"\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename*=utf-7''x\r\n\r\nx\r\n--b--\r\n",
    ):  # fmt: skip
        yield FORM + b"Content-Length: %d\r\n\r\n" % len(body) + body
        yield FORM.replace(b"/predict", b"/predict/batch") + b"Content-Length: %d\r\n\r\n" % (len(body) + 5) + body
    for kind in (b"charset=undefined", b"charset=utf-7", b"boundary=", b"boundary=" + b"b" * 5000, b"boundary=\xff"):
        yield POST + b"Content-Type: multipart/form-data; " + kind + b"\r\nContent-Length: 1\r\n\r\nx"
    for json in (
        b"{",
        b"[" * 5000,
        b"\xff",
        b'{"image": 1}',
        b'{"image": "\\ud800"}',
        b'{"image": "data:,x"}',
        b"null",
    ):
        yield POST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(json) + json


def openings() -> Iterator[bytes]:
    for key in (b"", KEY, KEY * 2, b"Sec-WebSocket-Key: x\r\n", b"Sec-WebSocket-Key: \xff\r\n"):
        for version in (b"", b"Sec-WebSocket-Version: 7\r\n", b"Sec-WebSocket-Version: x\r\n", VERSION * 2):
            yield LIVE + UPGRADE + key + version + b"\r\n"
    whole = LIVE + UPGRADE + KEY + VERSION
    for field in (
        b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"Origin: http://[x\r\n",
        b"a: " + b"b" * 9000 + b"\r\n",
        b"a: b\r\n" * 125, b"Sec-WebSocket-Protocol: ,\r\n", b"Sec-WebSocket-Protocol: \xff\r\n", b"a: \xff\r\n",
        b"Sec-WebSocket-Extensions: permessage-deflate; x=\r\n", b"Sec-WebSocket-Extensions: ;\r\n", b"Host: y\r\n",
    ):  # fmt: skip
        yield whole + field + b"\r\n"
    yield whole.replace(b"GET", b"POST") + b"\r\n"
    yield whole.replace(b"/live", b"/nothing") + b"\r\n"
    yield whole.replace(b"/live", b"/live?" + b"x" * 9000) + b"\r\n"
    yield whole.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n"
    yield whole


def frames() -> Iterator[bytes]:
    opened = LIVE + UPGRADE + KEY + VERSION + b"\r\n"
    for first in range(0, 256, 8):
        yield opened + bytes([first + (first >> 3) % 8, 0x81]) + bytes(4) + b"a"
    for frame in (
        b"\x82\x01a", b"\x82\xfe\0\1" + bytes(5), b"\x82\xff" + struct.pack(">Q", 2**63) + bytes(4),
        b"\x82\xff" + b"\xff" * 8,
        b"\x82\xff" + struct.pack(">Q", 2**30) + bytes(8), b"\x89\xfe\0\x7e" + bytes(130),
        b"\x88\x81" + bytes(4) + b"a",
        b"\x88\x82" + bytes(4) + b"\0\0", b"\x88\x82" + bytes(4) + b"\xff\xff", b"\x81\x81" + bytes(4) + b"\xff",
        b"\x00\x81" + bytes(5), b"\x02\x81" + bytes(5) + b"\x82\x81" + bytes(5),
        b"\x02\x81" + bytes(5) + b"\x00\x80" * 9,
        b"\x82\x80" + bytes(4), b"\x82", b"", b"\x89\x80" + bytes(4), b"\x8a\x80" + bytes(4), os.urandom(2000),
        (b"\x89\x80" + bytes(4)) * 3000, b"\x02\x81" + bytes(5) + (b"\x00\x80" + bytes(4)) * 3000,
    ):  # fmt: skip
        yield opened + frame


EXCHANGES = [*request_lines(), *heads(), *bodies(), *openings(), *frames()]


@pytest.mark.slow
@pytest.mark.anyio
async def test_what_breaks_the_protocol_ends_in_time_and_harms_nobody(portrait: bytes) -> None:
    app = create_app(Settings(body_seconds=SECONDS, live_seconds=SECONDS, max_live=AT_ONCE), parts())
    good = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(portrait) + portrait
    room = asyncio.Semaphore(AT_ONCE)
    with serving(app, head_seconds=SECONDS, body_seconds=SECONDS) as url:
        address = urlsplit(url)

        async def exchange(sent: bytes) -> bytes:
            """What is received until the service closes the connection."""
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            received = bytearray()
            try:
                writer.write(sent)
                async with asyncio.timeout(DEADLINE):
                    while part := await reader.read(65536):
                        received += part
            except ConnectionError:
                pass
            finally:
                writer.transport.abort()
            return bytes(received)

        async def both(number: int, malformed: bytes) -> None:
            async with room:
                try:
                    statuses = re.findall(rb"^HTTP/1\.1 (\d+)", await exchange(malformed), re.MULTILINE)
                except TimeoutError:
                    pytest.fail(f"{number} was still open: {malformed[:200]!r}")
                assert not [status for status in statuses if status >= b"500"], (number, malformed[:200], statuses)
                assert (await exchange(good)).startswith(b"HTTP/1.1 200"), (number, malformed[:200])

        async with asyncio.TaskGroup() as group:
            for number, malformed in enumerate(EXCHANGES):
                group.create_task(both(number, malformed))
        assert len(EXCHANGES) > 200
        assert app.state.service.admission.in_flight == 0
