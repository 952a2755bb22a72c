"""What handlers ask for in their signatures.

Coroutines all, because FastAPI gives each plain function to a thread, once for every request.
"""

import asyncio
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.analyzer import Analyzer, Crop, Probabilities
from app.batcher import Batcher
from app.card import Card
from app.metrics import Metrics
from app.settings import Settings


async def _settings(connection: HTTPConnection) -> Settings:
    settings: Settings = connection.app.state.settings
    return settings


async def _analyzer(connection: HTTPConnection) -> Analyzer:
    analyzer: Analyzer = connection.app.state.analyzer
    return analyzer


async def _batcher(connection: HTTPConnection) -> Batcher[Crop, Probabilities]:
    batcher: Batcher[Crop, Probabilities] = connection.app.state.batcher
    return batcher


async def _card(connection: HTTPConnection) -> Card:
    card: Card = connection.app.state.card
    return card


async def _metrics(connection: HTTPConnection) -> Metrics:
    metrics: Metrics = connection.app.state.metrics
    return metrics


async def _live_places(connection: HTTPConnection) -> asyncio.Semaphore:
    places: asyncio.Semaphore = connection.app.state.live_places
    return places


SettingsDep = Annotated[Settings, Depends(_settings)]
AnalyzerDep = Annotated[Analyzer, Depends(_analyzer)]
BatcherDep = Annotated[Batcher[Crop, Probabilities], Depends(_batcher)]
CardDep = Annotated[Card, Depends(_card)]
LivePlacesDep = Annotated[asyncio.Semaphore, Depends(_live_places)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
