"""The running service, which handlers ask for in their signatures."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.analyzer import Analyzer
from app.concurrency import Admission, ByteBudget
from app.errors import Overloaded
from app.http.access import RateLimit
from app.http.metrics import Metrics
from app.model.backend import Backend
from app.settings import Settings


@dataclass(frozen=True)
class Service:
    """The parts of the running service.

    Attributes:
        settings: of every part.
        analyzer: answers pictures.
        backend: classifies; the analyzer has it too.
        admission: counts the pictures in flight.
        byte_budget: counts the bytes of request bodies.
        live_sessions: a slot for each camera.
        videos: a slot for each video.
        rate: of each client, where there is a limit.
        metrics: what is counted for Prometheus.
    """

    settings: Settings
    analyzer: Analyzer
    backend: Backend
    admission: Admission
    byte_budget: ByteBudget
    live_sessions: asyncio.Semaphore
    videos: asyncio.Semaphore
    rate: RateLimit | None
    metrics: Metrics


def check_room(slots: asyncio.Semaphore, kind: str, most: int) -> None:
    """Refuse a camera or video for which there is no slot.

    Raises:
        Overloaded: all `most` slots of this kind are taken.
    """
    if slots.locked():
        raise Overloaded(f"There is no room for another {kind}; the most at once is {most}. Try again shortly.")


async def _service(connection: HTTPConnection) -> Service:  # A coroutine: FastAPI gives plain functions to threads.
    service: Service = connection.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]
