"""Counts the service's work for Prometheus. Each app has its registry; labels have few values, none from a client."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Content type of `Metrics.text`."""

_PREFIX = "expressions"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_FACES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics, in base units: seconds, bytes, faces, pictures. Other modules update them."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            f"{_PREFIX}_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            f"{_PREFIX}_request_seconds",
            "From a request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.received = Counter(f"{_PREFIX}_received_bytes", "Bytes of request bodies.", registry=registry)
        self.stage_seconds = Histogram(
            f"{_PREFIX}_stage_seconds",
            "Time of one picture in one stage, waiting included.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_faces = Histogram(
            f"{_PREFIX}_batch_faces", "Faces in one call of the model.", buckets=_FACES, registry=registry
        )
        self.refusals = Counter(f"{_PREFIX}_refusals", "Requests and pictures refused.", ["reason"], registry=registry)
        self.faces = Counter(f"{_PREFIX}_faces", "Faces answered.", ["label"], registry=registry)
        self._queued = Gauge(f"{_PREFIX}_queued_faces", "Faces that wait for the model.", registry=registry)
        self._in_flight = Gauge(
            f"{_PREFIX}_in_flight_pictures", "Pictures admitted and not yet answered.", registry=registry
        )
        self._model = Info(f"{_PREFIX}_model", "The model that answers.", registry=registry)

    def watch(
        self, model: Mapping[str, str], queued: Callable[[], int], in_flight: Callable[[], int], labels: Iterable[str]
    ) -> None:
        """Set the model's info and the sources of the gauges, once these parts exist.

        Args:
            model: name, version and the like.
            queued, in_flight: return the faces in the model's queue, and the pictures in flight.
            labels: labels of faces; each starts at 0.
        """
        self._model.info(dict(model))
        self._queued.set_function(queued)
        self._in_flight.set_function(in_flight)
        for label in labels:
            self.faces.labels(label)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
