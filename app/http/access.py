"""Checks API keys, WebSocket origins and request rates, each as a dependency of the routers."""

import asyncio
import hashlib
import hmac
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Security, WebSocket
from fastapi.security import APIKeyHeader
from starlette.requests import HTTPConnection

from app.errors import ForeignOrigin, KeyRequired, TooManyRequests

KEY_PROTOCOL = "key."
"""Prefix of the subprotocol with the key. Browsers cannot set WebSocket headers, and a URL would end up in logs."""

MAX_CLIENTS = 10_000
"""Most clients that are remembered; the one that has been idle longest is forgotten first."""

DEFAULT_PORTS = (80, 443)
"""Ports that browsers leave out of an origin and of `Host`."""

_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)


class Keys:
    """Refuses requests without a valid key."""

    def __init__(self, digests: Sequence[str], limit: "RateLimit | None" = None) -> None:
        """
        Args:
            digests: SHA-256 of each key, in hexadecimal; when empty, no key is required.
            limit: rate limit that also counts refused requests, by the address of the client.
        """
        self._digests = [digest.encode() for digest in digests]
        self._limit = limit

    async def __call__(self, connection: HTTPConnection, key: Annotated[str | None, Security(_HEADER)]) -> None:
        """Dependency of HTTP routes; raises the errors of `check`."""
        self.check(connection, key)

    def check(self, connection: HTTPConnection, key: str | None) -> None:
        """Refuse an unknown key; a known one identifies the client.

        Every digest is compared, so that the time reveals nothing about the keys.

        Raises:
            KeyRequired: the key is missing or unknown.
            TooManyRequests: the client sent a missing or unknown key too often.
        """
        if not self._digests:
            return
        digest = hashlib.sha256((key or "").encode()).hexdigest()
        if not sum(hmac.compare_digest(digest.encode(), known) for known in self._digests):
            if self._limit is not None:
                self._limit.check(connection)
            raise KeyRequired("The API key is missing or not valid. Programs send it in the X-API-Key header.")
        connection.state.client = digest


class SocketAccess:
    """Refuses WebSockets from foreign origins, and those without a valid key."""

    def __init__(self, keys: Keys, origins: Sequence[str]) -> None:
        """Args: `origins` may open a WebSocket, besides the service's own origin."""
        self._keys = keys
        self._origins = frozenset(origins)

    async def __call__(self, socket: WebSocket) -> None:
        """Dependency of WebSocket routes; removes keys from the subprotocols, so that no answer repeats one.

        Raises:
            ForeignOrigin, KeyRequired, TooManyRequests.
        """
        offered = socket.scope.get("subprotocols", [])
        socket.scope["subprotocols"] = [name for name in offered if not name.startswith(KEY_PROTOCOL)]
        origin = socket.headers.get("origin")
        if not (origin is None or origin in self._origins or _is_own(origin, socket.headers.get("host", ""))):
            raise ForeignOrigin(
                "Not the service's own page, or a proxy hides its address: "
                "it must pass on Host (nginx: proxy_set_header Host $http_host)."
            )
        keys = [name.removeprefix(KEY_PROTOCOL) for name in offered if name.startswith(KEY_PROTOCOL)]
        self._keys.check(socket, socket.headers.get("x-api-key") or next(iter(keys), None))


def _is_own(origin: str, host: str) -> bool:
    """Whether a page came from the host that it asks, whose port proxies may have left out."""
    try:
        page, asked = urlsplit(origin), urlsplit(f"//{host}")
        ports = (None, *DEFAULT_PORTS, page.port)
        return bool(page.hostname) and page.hostname == asked.hostname and asked.port in ports
    except ValueError:  # No addresses.
        return False


async def accept(socket: WebSocket) -> None:
    """Open a WebSocket with the first subprotocol that its page offers; browsers require one of theirs."""
    await socket.accept(next(iter(socket.scope["subprotocols"]), None))


class RateLimit:
    """Token bucket per client: it refills evenly, and requests on an empty one are refused.

    The key identifies a client, or else its address; IPv6 addresses of one /64 network are one client.
    """

    def __init__(
        self, per_minute: int, *, clients: int = MAX_CLIENTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            per_minute: requests that a bucket holds, and that refill in one minute.
            clients: most buckets.
            clock: returns the time in seconds.
        """
        self._per_minute = per_minute
        self._clients = clients
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, connection: HTTPConnection) -> None:
        """Dependency of HTTP and WebSocket routes, after that of the keys; raises the errors of `check`."""
        self.check(connection)

    def check(self, connection: HTTPConnection) -> None:
        """Take one request from the client's bucket.

        Raises:
            TooManyRequests: the bucket is empty.
        """
        wait = self._take(_client(connection))
        if wait > 0:
            text = f"More than {self._per_minute} requests came in a minute; try again in {wait} s."
            raise TooManyRequests(text, wait)

    async def wait(self, connection: HTTPConnection) -> None:
        """Take one request from the client's bucket; wait until it has one."""
        if (seconds := self._take(_client(connection))) > 0:
            await asyncio.sleep(seconds)
            await self.wait(connection)

    def _take(self, client: str) -> int:
        """Take one request from the bucket: 0 if it had one, or else the seconds to wait."""
        now = self._clock()
        left, then = self._buckets.pop(client, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - then) * self._per_minute / 60)
        allowed = left >= 1
        self._buckets[client] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self._clients:
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - left) * 60 / self._per_minute)


def _client(connection: HTTPConnection) -> str:
    if client := getattr(connection.state, "client", None):
        return str(client)
    host = connection.client.host if connection.client else "?"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))
