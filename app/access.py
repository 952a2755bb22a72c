"""Who may ask, and how often, as plain ASGI over HTTP and WebSocket: API keys, the Origin of a WebSocket, a rate."""

import hashlib
import hmac
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ForeignOrigin, KeyRequired, TooManyRequests
from app.problems import refuse

OPEN_PATHS = frozenset({"/", "/demo", "/livez", "/readyz", "/health", "/docs", "/openapi.json"})
OPEN_FOLDER = "/static/"

KEY_PROTOCOL = "key."
"""A browser cannot set headers on a WebSocket. It offers the key as a subprotocol: addresses end up in logs."""

CLIENTS = 10_000
"""Most clients that are remembered; the one that was quiet for longest is forgotten first."""


class Access:
    """Refuses requests without a valid key, if there are keys, and WebSockets of foreign pages."""

    def __init__(self, app: ASGIApp, *, digests: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        """
        Args:
            digests: SHA-256 of each key, in hexadecimal; no key is asked for when empty.
            origins: whose pages may open a WebSocket, besides the service's own.
        """
        self._app = app
        self._digests = [digest.encode() for digest in digests]
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        key = headers.get("x-api-key")
        if scope["type"] == "websocket":
            if not self._may_connect(headers):
                await refuse(scope, receive, send, ForeignOrigin("Pages of this origin may not open a WebSocket here."))
                return
            offered = scope.get("subprotocols", [])
            key = key or next((name[len(KEY_PROTOCOL) :] for name in offered if name.startswith(KEY_PROTOCOL)), None)
            scope["subprotocols"] = [name for name in offered if not name.startswith(KEY_PROTOCOL)]
            send = _with_subprotocol(send, offered)
        if self._digests and not is_open(scope):
            digest = hashlib.sha256((key or "").encode()).hexdigest()
            if not _known(digest.encode(), self._digests):
                await refuse(scope, receive, send, KeyRequired("Send a valid key in the X-API-Key header."))
                return
            scope.setdefault("state", {})["client"] = digest
        await self._app(scope, receive, send)

    def _may_connect(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        return origin is None or origin in self._origins or urlsplit(origin).netloc == headers.get("host")


class Rate:
    """Gives each client a bucket of requests that refills evenly; an empty one is refused with 429.

    A client is its key or its address; IPv6 addresses of one /64 network are one client.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        per_minute: int,
        clients: int = CLIENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            per_minute: requests that a bucket holds, and that refill it in one minute.
            clients: most buckets.
            clock: seconds.
        """
        self._app = app
        self._per_minute = per_minute
        self._clients = clients
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not is_open(scope):
            wait = self._take(_client(scope))
            if wait > 0:
                text = f"A client may send {self._per_minute} requests a minute; try again in {wait} s."
                await refuse(scope, receive, send, TooManyRequests(text, wait))
                return
        await self._app(scope, receive, send)

    def _take(self, client: str) -> int:
        """Seconds to wait; 0 when one request was taken from the bucket."""
        now = self._clock()
        left, then = self._buckets.pop(client, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - then) * self._per_minute / 60)
        allowed = left >= 1
        self._buckets[client] = (left - allowed, now)
        if len(self._buckets) > self._clients:
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - left) * 60 / self._per_minute)


def is_open(scope: Scope) -> bool:
    """Whether the path tells nothing and costs nothing: probes, the pages and their files."""
    path: str = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def _known(digest: bytes, digests: Sequence[bytes]) -> bool:
    """Compares with every digest, so that the time tells nothing."""
    return sum(hmac.compare_digest(digest, one) for one in digests) > 0


def _client(scope: Scope) -> str:
    if client := scope.get("state", {}).get("client"):
        return str(client)
    host = scope["client"][0] if scope.get("client") else "?"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))


def _with_subprotocol(send: Send, offered: Sequence[str]) -> Send:
    """Browsers drop a connection that takes up none of the subprotocols they offered; the key is never repeated."""
    first = next((name for name in offered if not name.startswith(KEY_PROTOCOL)), None)

    async def send_accepting(message: Message) -> None:
        if message["type"] == "websocket.accept" and message.get("subprotocol") is None and first is not None:
            message = {**message, "subprotocol": first}
        await send(message)

    return send_accepting
