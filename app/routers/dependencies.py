"""What handlers ask for in their signatures.

Coroutines all, because FastAPI gives each plain function to a thread, once for every request.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.analyzer import Analyzer
from app.backend import Backend
from app.bodies import Bodies, Take
from app.metrics import Metrics
from app.settings import Settings


async def _settings(connection: HTTPConnection) -> Settings:
    settings: Settings = connection.app.state.settings
    return settings


async def analyzer_of(connection: HTTPConnection) -> Analyzer:
    """The service's only one."""
    analyzer: Analyzer = connection.app.state.analyzer
    return analyzer


async def _backend(connection: HTTPConnection) -> Backend:
    backend: Backend = connection.app.state.backend
    return backend


async def _metrics(connection: HTTPConnection) -> Metrics:
    metrics: Metrics = connection.app.state.metrics
    return metrics


async def _held(connection: HTTPConnection) -> AsyncIterator[Take]:
    bodies: Bodies = connection.app.state.bodies
    with bodies.held() as take:
        yield take


async def _live_places(connection: HTTPConnection) -> asyncio.Semaphore:
    places: asyncio.Semaphore = connection.app.state.live_places
    return places


SettingsDep = Annotated[Settings, Depends(_settings)]
AnalyzerDep = Annotated[Analyzer, Depends(analyzer_of)]
HeldDep = Annotated[Take, Depends(_held)]
BackendDep = Annotated[Backend, Depends(_backend)]
LivePlacesDep = Annotated[asyncio.Semaphore, Depends(_live_places)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
