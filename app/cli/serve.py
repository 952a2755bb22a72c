"""Serve over HTTP on the configured host and port.

    expressions serve
    expressions serve --host 127.0.0.1 --port 9000
    EMOTION_ENGINE=litert expressions serve

Every other setting is an environment variable; README_API.md lists them.
"""

import argparse
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import uvicorn
from pydantic import ValidationError

from app.bootstrap import load
from app.cli.terminal import command_parser
from app.errors import StartError
from app.http.server import MAX_HEAD_BYTES, http_protocol
from app.http.websocket_protocol import WebSocketProtocol
from app.live_session import MAX_FRAME_BYTES
from app.main import create_app
from app.settings import Settings, cannot, processes_wanted

_EVERYWHERE = ("", "0.0.0.0", "127.0.0.1", "::1")
"""Hosts that a browser on this machine finds at localhost."""


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Options of `uvicorn.Config` with which the service is served."""
    return {
        "host": "" if settings.host == "::" else settings.host,  # asyncio takes `::` for IPv6 alone, "" for both.
        "port": settings.port,
        "workers": 1,  # Whatever WEB_CONCURRENCY says.
        "loop": "asyncio",  # Not whichever is installed.
        "http": http_protocol(body_seconds=settings.body_seconds),
        "h11_max_incomplete_event_size": MAX_HEAD_BYTES,
        "ws": WebSocketProtocol,
        "ws_max_size": MAX_FRAME_BYTES,
        "ws_per_message_deflate": False,  # Frames are compressed already, and what is packed may unpack to any size.
        "timeout_graceful_shutdown": settings.stop_seconds,
        "access_log": False,  # Every request has its line already.
        "server_header": False,
    }


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say last where the page and the docs are."""
        await super().startup(sockets)
        if self.started:
            host = self.config.host
            name = "localhost" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
            address = f"http://{name}:{self.config.port}"
            logging.getLogger("uvicorn.error").info("The page is at %s and the docs at %s/docs.", address, address)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("serve", __doc__, argument_default=argparse.SUPPRESS)
    parser.add_argument("--host", help="address to listen on, instead of EMOTION_HOST")
    parser.add_argument("--port", type=int, help="port to listen on, instead of EMOTION_PORT")
    return parser


def main(words: Sequence[str]) -> int:
    """Run the server until it is told to stop. A fault at the start ends it with one line; returns the exit status."""
    options = _parser().parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # Uvicorn stops gracefully, then raises the signal again.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # `nohup` ignores it.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        settings = Settings(**vars(options))
        if (processes := processes_wanted()) not in ("", "1"):
            sys.stderr.write(
                f"WEB_CONCURRENCY is {processes}; the service is one process, which uses all processors.\n"
            )
        sys.stderr.write(f"Loading the model on the {settings.engine} engine.\n")
        app = create_app(settings, load(settings))
    except (ValidationError, StartError) as error:
        sys.exit(cannot("start", error))
    except KeyboardInterrupt:
        return 130
    server = _Server(uvicorn.Config(app, **uvicorn_options(settings)))
    with suppress(KeyboardInterrupt):  # Uvicorn stops gracefully, then raises it again.
        server.run()
    return 0 if server.started else uvicorn.config.STARTUP_FAILURE
