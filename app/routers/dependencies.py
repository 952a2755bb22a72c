"""The parts of the service that handlers ask for in their signatures.

Coroutines all, because FastAPI gives each plain function to a thread, once for every request.
"""

import asyncio
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.analyzer import Analyzer
from app.concurrency import Admission
from app.http.metrics import Metrics
from app.model.backend import Backend
from app.settings import Settings


async def _settings(connection: HTTPConnection) -> Settings:
    settings: Settings = connection.app.state.settings
    return settings


async def _analyzer(connection: HTTPConnection) -> Analyzer:
    analyzer: Analyzer = connection.app.state.analyzer
    return analyzer


async def _backend(connection: HTTPConnection) -> Backend:
    backend: Backend = connection.app.state.backend
    return backend


async def _metrics(connection: HTTPConnection) -> Metrics:
    metrics: Metrics = connection.app.state.metrics
    return metrics


async def _admission(connection: HTTPConnection) -> Admission:
    admission: Admission = connection.app.state.admission
    return admission


async def _live_sessions(connection: HTTPConnection) -> asyncio.Semaphore:
    sessions: asyncio.Semaphore = connection.app.state.live_sessions
    return sessions


SettingsDep = Annotated[Settings, Depends(_settings)]
AnalyzerDep = Annotated[Analyzer, Depends(_analyzer)]
BackendDep = Annotated[Backend, Depends(_backend)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
AdmissionDep = Annotated[Admission, Depends(_admission)]
LiveSessionsDep = Annotated[asyncio.Semaphore, Depends(_live_sessions)]
