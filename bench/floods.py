"""Flood the service from one client with input that costs the service more than the client.

python -m bench.floods http://localhost:8000 pings 10
"""

import argparse
import socket
import threading
import time
from contextlib import closing, suppress
from urllib.parse import urlsplit

OPENING = (
    b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
CHUNKED = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

FLOODS = {
    "chunks": (CHUNKED, b"1\r\na\r\n" * 10_000),
    "pings": (OPENING + b"\r\n", b"\x89\x80\0\0\0\0" * 10_000),
    "pongs": (OPENING + b"\r\n", b"\x8a\x80\0\0\0\0" * 10_000),
    "fragments": (OPENING + b"\r\n\x02\x81\0\0\0\0a", b"\x00\x80\0\0\0\0" * 10_000),
    "long heads": (b"", (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 2500 + b"\r\n") * 4),
    "stuck openings": (OPENING + b"Content-Length: 1\r\n\r\n", b""),
}
"""For each flood, the first bytes of a connection and the bytes that are repeated on it. A new connection replaces a
closed one. If nothing is repeated, the flood opens connections and holds them.
"""

HELD_PER_SECOND = 150


def flood(url: str, kind: str, seconds: float) -> None:
    """Send one kind of flood for `seconds`, and discard the answers."""
    address = urlsplit(url)
    start, again = FLOODS[kind]
    ends = time.monotonic() + seconds
    held = []
    while not again and time.monotonic() < ends:
        with suppress(OSError):
            held.append(socket.create_connection((address.hostname, address.port), 10))
            held[-1].sendall(start)
        time.sleep(1 / HELD_PER_SECOND)
    while time.monotonic() < ends:
        with suppress(OSError), closing(socket.create_connection((address.hostname, address.port), 10)) as connection:
            connection.sendall(start)
            threading.Thread(target=_drain, args=(connection,), daemon=True).start()
            while time.monotonic() < ends:
                connection.sendall(again)


def _drain(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(2**20):
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("kind", choices=FLOODS)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    flood(arguments.url, arguments.kind, arguments.seconds)


if __name__ == "__main__":
    main()
