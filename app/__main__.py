"""`python -m app` serves on the configured host and port."""

import signal
import sys

import uvicorn
from pydantic import ValidationError

from app.patience import PatientSocket, protocol
from app.settings import Settings, complaints


def main() -> None:
    """Run the server until it is told to stop."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit("\n".join(f"Cannot start: {complaint}" for complaint in complaints(error)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # Uvicorn stops gracefully, then raises the signal again.
    uvicorn.run(
        "app.main:app",
        host=settings.host,
        port=settings.port,
        loop="asyncio",  # Not whichever is installed.
        http=protocol(head_seconds=settings.head_seconds, body_seconds=settings.body_seconds),
        h11_max_incomplete_event_size=settings.max_head_bytes,
        ws=PatientSocket,
        ws_max_size=settings.max_frame_bytes,
        ws_per_message_deflate=False,  # Frames are compressed already, and what is packed may unpack to any size.
        timeout_graceful_shutdown=settings.stop_seconds,
        access_log=False,  # Every request has its line already.
        server_header=False,
    )


if __name__ == "__main__":
    main()
