"""Traces requests with OpenTelemetry: FastAPI makes a span of each, and each stage of its pictures is a span in that.

OpenTelemetry's own environment variables, `OTEL_...`, set where spans go and which are kept. FastAPI brings the
interface. The packages that do the work are imported only if traces are wanted.
"""

import time
from typing import TYPE_CHECKING

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers

from app.errors import StartError
from app.observer import Stage

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE_NAME = "expressions"
"""Name of the service in spans, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` sets another."""

OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""Configuration with which FastAPI makes no spans, whatever the environment says."""

_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Makes the spans of an app, and sends them to a collector in the background."""

    def __init__(self, version: str) -> None:
        """
        Args:
            version: of the service.

        Raises:
            StartError: the packages are missing.
        """
        self._provider = _provider(version)
        self._tracer = self._provider.get_tracer(__name__)

    @property
    def config(self) -> TelemetryConfig:
        """Configuration with which FastAPI makes spans of requests, except of cameras, which may last for hours."""
        return {
            **OFF,
            "tracing": True,
            "tracer_provider": self._provider,
            "operation_spans": False,
            "exclude": lambda scope: scope["type"] == "websocket",
        }

    def note_stage(self, stage: Stage) -> None:
        """Make a span of a finished stage inside the span of the current request, if it has one."""
        if trace.get_current_span().is_recording():
            epoch = time.time_ns() - time.perf_counter_ns()
            start, end = (epoch + round(1e9 * seconds) for seconds in (stage.began, stage.ended))
            self._tracer.start_span(stage.name, start_time=start).end(end)

    def close(self) -> None:
        """Send the remaining spans. Blocks for seconds if the collector does not answer."""
        self._provider.shutdown()


def trace_ids(headers: Headers) -> dict[str, str]:
    """Hexadecimal ids of the current request's trace and span, or else those in its `traceparent` (W3C Trace Context).

    Empty without a span and without a valid `traceparent`.
    """
    if (own := trace.get_current_span().get_span_context()).is_valid:
        return {"trace_id": f"{own.trace_id:032x}", "span_id": f"{own.span_id:016x}"}
    if (given := headers.get("traceparent")) is None:
        return {}
    context = _PROPAGATOR.extract({"traceparent": given})
    parent = trace.get_current_span(context).get_span_context()
    return {"trace_id": f"{parent.trace_id:032x}", "parent_id": f"{parent.span_id:016x}"} if parent.is_valid else {}


def _provider(version: str) -> "TracerProvider":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise StartError(f"EMOTION_TRACES needs the extra `otel`: {error}") from error
    about = Resource.create({"service.name": SERVICE_NAME, "service.version": version})
    provider = TracerProvider(resource=about.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
