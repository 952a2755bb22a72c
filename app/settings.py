"""The service's settings. The only reader of the environment."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.model.classifier import Engine, Precision, installed_engine
from app.vision import memory
from app.vision.decoder import Limits
from app.vision.video import VideoLimits

_PACKAGE = Path(__file__).resolve().parent
_WHEEL_FILES = _PACKAGE / "files"
_FILES = _WHEEL_FILES if _WHEEL_FILES.is_dir() else _PACKAGE.parent
"""Where the models and the cascade lie: inside the installed package, beside it in a clone or an image."""

_PREFIX = "EMOTION_"

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _split(value: object) -> object:
    return tuple(part for part in re.split(r"[,\s]+", value) if part) if isinstance(value, str) else value


def _digests(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[0-9a-f]{64}", value) for value in values):
        raise ValueError("each must be a SHA-256 digest: 64 lower-case hexadecimal digits")
    return values


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"https?://[^/*\s]+", value) for value in values):
        raise ValueError("each must be an origin such as https://example.org, without a path; * is not accepted")
    return values


_List = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Separated by commas or spaces."""


MOST_PIXELS = 50_000_000
"""Largest picture where memory is not limited, in pixels."""

_BYTES_PER_PIXEL = 16
"""What decoding a pixel takes at most: `python -m bench.malicious_images pixels`."""


def affordable_pixels(threads: int, memory_limit: int | None) -> int:
    """The default of `max_pixels`: all threads may decode a largest picture in half of the memory.

    Args:
        threads: that decode at once.
        memory_limit: in bytes; None without a limit.
    """
    if memory_limit is None:
        return MOST_PIXELS
    return max(min(memory_limit // (2 * threads * _BYTES_PER_PIXEL), MOST_PIXELS), 1)


class Settings(BaseSettings):
    """Read from environment variables named `EMOTION_` plus the field's name.

    Values out of range, unknown variables of that prefix and settings that contradict each other are refused.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, protected_namespaces=(), populate_by_name=True)

    host: str = Field(
        "0.0.0.0", min_length=1, description="Address that the server listens on; `::` is every one of both families."
    )
    port: Port = Field(
        8000,
        validation_alias=AliasChoices("EMOTION_PORT", "PORT"),
        description="Port that the server listens on; `PORT` is read too.",
    )
    model_path: Path = Field(
        _FILES / "models" / "emotion_vgg16.keras", description="The classifier; its card is the `.json` file beside it."
    )
    engine: Engine = Field(
        default_factory=installed_engine,
        description="What runs the classifier: `keras`, or `litert` with the int8 variant, without TensorFlow.",
    )
    precision: Precision = Field(
        "auto", description="Precision of the `keras` engine; `auto` is bfloat16 if the processor supports it."
    )
    model_threads: PositiveInt | None = Field(
        None, description="Threads of one call of the classifier; the number of processors by default."
    )
    cascade_path: Path = Field(
        _FILES / "haarcascade_frontalface_default.xml", description="OpenCV's frontal-face Haar cascade."
    )
    detector: Literal["auto", "haar"] = Field(
        "auto", description="What finds faces: `auto` is BlazeFace confirmed by the cascade, `haar` the cascade alone."
    )
    face_model_path: Path = Field(
        _FILES / "models" / "face_detection_full_range_sparse.tflite", description="BlazeFace, for `auto`."
    )
    smallest_face: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.03, description="Smallest face that is answered, as a share of the picture's shorter side."
    )
    max_file_bytes: PositiveInt = Field(20 * 2**20, description="Largest picture, in bytes.")
    max_request_bytes: PositiveInt = Field(64 * 2**20, description="Largest body of a batch request, in bytes.")
    max_files: PositiveInt = Field(16, description="Most pictures in one batch request.")
    max_in_flight: PositiveInt = Field(64, description="Pictures admitted at once; more are refused with 503.")
    max_held_bytes: PositiveInt = Field(
        512 * 2**20, description="Bytes of bodies held at once, arriving or worked on; more are refused with 503."
    )
    max_videos: PositiveInt = Field(1, description="Videos worked on at once; more are refused with 503.")
    max_video_bytes: PositiveInt = Field(
        default_factory=lambda known: min(256 * 2**20, known.get("max_held_bytes", sys.maxsize)),
        description="Largest video, in bytes; less by default where `EMOTION_MAX_HELD_BYTES` is.",
    )
    max_video_seconds: PositiveInt = Field(
        1800, description="Most seconds of a video that are read, and of processor time that reading them may take."
    )
    max_video_samples: PositiveInt = Field(3600, description="Most samples of a video.")
    max_frame_pixels: PositiveInt = Field(
        9_000_000, description="Largest frame of a video, in pixels, where `EMOTION_MAX_PIXELS` is not less."
    )
    video_seconds: Seconds = Field(
        30, description="Timeout of a video, in seconds, whose decoder makes no progress or that waits for its turn."
    )
    max_live: PositiveInt = Field(8, description="Cameras connected to /live at once; more are refused with 503.")
    live_seconds: Seconds = Field(
        30,
        description="Timeout of /live, in seconds: without a frame, or with an answer that the client does not read.",
    )
    max_queued_faces: PositiveInt = Field(256, description="Faces waiting for the model; more are refused with 503.")
    picture_threads: PositiveInt = Field(
        default_factory=lambda: min(os.cpu_count() or 1, 8),
        description="Threads that decode pictures and find faces; the number of processors, at most 8, by default.",
    )
    max_pixels: PositiveInt = Field(
        default_factory=lambda known: affordable_pixels(known.get("picture_threads", 1), memory.limit()),
        description="Largest picture, in pixels, before decoding; fewer by default where memory is limited.",
    )
    api_keys: Annotated[_List, AfterValidator(_digests)] = Field(
        (),
        description="SHA-256 digests of the API keys, separated by commas; without any, no key is needed.",
    )
    cors_origins: Annotated[_List, AfterValidator(_origins)] = Field(
        (), description="Origins whose pages may call the service from a browser, separated by commas."
    )
    max_requests_per_minute: PositiveInt | None = Field(
        None, description="Most requests of one client per minute; more are refused with 429. No limit by default."
    )
    body_seconds: Seconds = Field(
        60, description="Timeout for receiving the body of a request and for sending its answer, in seconds."
    )
    stop_seconds: PositiveInt = Field(
        15, description="Time that requests in flight have to finish at shutdown, in seconds."
    )

    traces: bool = Field(
        False,
        description="Whether requests are traced with OpenTelemetry, whose own `OTEL_...` variables say where to.",
    )

    @property
    def picture_limits(self) -> Limits:
        """Limits of a picture: bytes and pixels."""
        return Limits(self.max_file_bytes, self.max_pixels)

    @property
    def video_limits(self) -> VideoLimits:
        """Limits of a video that a client sends."""
        return self.recording_limits._replace(
            cpu_seconds=self.max_video_seconds, seconds=self.max_video_seconds, samples=self.max_video_samples
        )

    @property
    def recording_limits(self) -> VideoLimits:
        """Limits of a video on the operator's own disk, of any length."""
        return VideoLimits(min(self.max_frame_pixels, self.max_pixels), self.video_seconds)

    def with_unbounded_queue(self) -> Self:
        """A copy that refuses no face, for a caller who bounds the pictures in flight."""
        return self.model_copy(update={"max_queued_faces": sys.maxsize})

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = set(map(_variable, type(self).model_fields))
        unknown = sorted({name for name in map(str.upper, os.environ) if name.startswith(_PREFIX)} - known)
        if unknown:
            raise ValueError(f"there is no setting {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for smaller, larger in (
            ("max_files", "max_in_flight"),
            ("max_file_bytes", "max_request_bytes"),
            ("max_request_bytes", "max_held_bytes"),
            ("max_video_bytes", "max_held_bytes"),
        ):
            if getattr(self, smaller) > getattr(self, larger):
                values = getattr(self, smaller), getattr(self, larger)
                raise ValueError(f"{_variable(smaller)} is {values[0]}, more than {_variable(larger)}, {values[1]}")
        return self


def _variable(field: str) -> str:
    return f"{_PREFIX}{field.upper()}"


def _in_words(fault: ErrorDetails) -> str:
    """Describe a fault that pydantic found: the variable, and what is wrong with it."""
    words = str(fault.get("ctx", {}).get("error", fault["msg"]))  # `msg` has "Value error, " before our own words.
    names = [name if name.startswith(_PREFIX) else _variable(name) for name in map(str, fault["loc"])]
    return ": ".join([*names, words])


def cannot(act: str, error: Exception) -> str:
    """Say why something cannot be done, in a line for each fault of the environment, or a line for any other error."""
    reasons = [str(error)]
    if isinstance(error, ValidationError):
        reasons = [_in_words(fault) for fault in error.errors() if fault["type"] != "default_factory_not_called"]
    elif isinstance(error, OSError) and error.strerror:
        reasons = [": ".join([error.strerror, *([str(error.filename)] if error.filename else [])])]
    return "\n".join(f"Cannot {act}: {reason}" for reason in reasons)


def processes_wanted() -> str:
    """WEB_CONCURRENCY, the number of processes that some hosts set for servers; "" if it is not set."""
    return os.environ.get("WEB_CONCURRENCY", "").strip()
