"""Sends hostile requests, and lists the statuses that may answer them."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bench import malicious_images
from bench.floods import OPENING
from bench.pictures import frame

Send = Callable[[aiohttp.ClientSession, str], Coroutine[Any, Any, int]]

HUNG_UP = 0
"""Result of a client that hung up before it had a status."""

REFUSED = frozenset({HUNG_UP, 200, 400, 404, 405, 413, 415, 422, 503})
"""Expected results of hostile requests; 200 is a batch, whose pictures are refused one by one."""


def requests() -> list[Send]:
    """One function for each kind of request; it returns the status."""
    good = frame()
    bodies = [
        b"no picture",
        good[: len(good) // 2],
        malicious_images.png(13_000, 13_000, depth=1, colour=0),
        malicious_images.scans(500),
        malicious_images.png(64, 64, before=malicious_images.text_bombs(20)),
        malicious_images.jpeg()[:2] + b"\xff\xfe\0\2" * 100_000 + malicious_images.jpeg()[2:],
        malicious_images.png(2000, 2000, colour=6),
        bytes(21 * 2**20),
    ]
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    return [
        *[post("/predict", body) for body in bodies],
        post("/predict", part * 5000, form),
        post("/predict", b"preamble" * 10_000, form),
        post("/predict", b"x", {"Content-Type": "multipart/form-data"}),
        post("/predict/batch", (part + b"x\r\n") * 16 + b"--b--\r\n", form),
        post("/nothing", b"x"),
        _hang_up(good),
        _hang_up(good[: len(good) // 2]),
    ]


def post(path: str, body: bytes, headers: dict[str, str] | None = None) -> Send:
    """Make a function that posts a body."""

    async def send(session: aiohttp.ClientSession, url: str) -> int:
        async with session.post(url + path, data=body, headers=headers) as answer:
            await answer.read()
            return answer.status

    return send


def _hang_up(body: bytes) -> Send:
    async def send(session: aiohttp.ClientSession, url: str) -> int:
        address = urlsplit(url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n" + body)
        await writer.drain()
        writer.close()
        return HUNG_UP

    return send


async def flood(url: str, picture: bytes, seconds: float) -> None:
    """Send a camera's frames as fast as the network allows, read no answer, and disconnect without a close frame."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(OPENING + b"\r\n")
    if b" 101 " not in await reader.readline():
        raise RuntimeError("the service has no place for a camera")
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # Drops unsent data on close.
    head = b"\x82\xff" + len(picture).to_bytes(8, "big") + bytes(4)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                writer.write(head + picture)
                await writer.drain()
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()
