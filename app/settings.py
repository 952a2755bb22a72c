"""The service's settings. The only reader of the environment."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.classifier import Engine, Precision
from app.images import Limits
from app.parts import MAX_PARTS, MAX_SCANS

_ROOT = Path(__file__).resolve().parent.parent

Port = Annotated[int, Field(ge=0, le=65535)]


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


class Settings(BaseSettings):
    """Read from environment variables named `EMOTION_` plus the field's name; nonsense is refused at start."""

    model_config = SettingsConfigDict(
        env_prefix="EMOTION_", frozen=True, protected_namespaces=(), populate_by_name=True
    )

    host: str = Field("0.0.0.0", description="Address that the server listens on.")
    port: Port = Field(
        8000,
        validation_alias=AliasChoices("EMOTION_PORT", "PORT"),
        description="Port that the server listens on; `PORT` is read too.",
    )
    model_path: Path = Field(
        _ROOT / "models" / "emotion_vgg16.keras", description="The classifier; its card is the `.json` file beside it."
    )
    engine: Engine = Field(
        "keras", description="What runs the classifier: `keras`, or `litert` with the int8 form, without TensorFlow."
    )
    precision: Precision = Field(
        "auto", description="Of the `keras` engine; `auto` is bfloat16 where the processor computes it."
    )
    model_threads: PositiveInt | None = Field(
        None, description="Threads of one call of the classifier; as many as there are processors by default."
    )
    cascade_path: Path = Field(
        _ROOT / "haarcascade_frontalface_default.xml", description="OpenCV's frontal-face Haar cascade."
    )
    max_file_bytes: PositiveInt = Field(20 * 2**20, description="Largest picture, in bytes.")
    max_request_bytes: PositiveInt = Field(64 * 2**20, description="Largest body of a batch request, in bytes.")
    max_pixels: PositiveInt = Field(50_000_000, description="Largest picture, in pixels, before decoding.")
    max_parts: PositiveInt = Field(
        MAX_PARTS, description="Most segments, chunks or blocks of one picture's file, before it is parsed."
    )
    max_scans: PositiveInt = Field(MAX_SCANS, description="Most scans of a progressive JPEG, before it is decoded.")
    max_files: PositiveInt = Field(16, description="Most pictures in one batch request.")
    max_fields: PositiveInt = Field(1000, description="Most parts of a multipart body.")
    max_head_bytes: PositiveInt = Field(16 * 2**10, description="Largest head of a request, in bytes.")
    max_in_flight: PositiveInt = Field(64, description="Pictures admitted at once; more are refused with 503.")
    max_held_bytes: PositiveInt = Field(
        512 * 2**20, description="Bytes of bodies held at once, arriving or worked on; more are refused with 503."
    )
    max_live: PositiveInt = Field(8, description="Cameras connected to /live at once; more are refused with 503.")
    max_frame_bytes: PositiveInt = Field(2 * 2**20, description="Largest frame of a camera, in bytes.")
    live_seconds: PositiveFloat = Field(
        30, description="Seconds without a frame, or with an answer that is not read, after which /live is closed."
    )
    max_queued_faces: PositiveInt = Field(256, description="Faces waiting for the model; more are refused with 503.")
    max_batch: PositiveInt = Field(16, description="Most faces classified in one call of the model.")
    picture_threads: PositiveInt = Field(
        default_factory=lambda: min(os.cpu_count() or 1, 8),
        description="Threads that decode pictures and find faces; the number of processors, at most 8, by default.",
    )
    api_keys: Annotated[_List, AfterValidator(_digests)] = Field(
        (),
        description="SHA-256 digests of the keys that may send pictures, separated by commas; anybody may when empty.",
    )
    cors_origins: Annotated[_List, AfterValidator(_origins)] = Field(
        (), description="Origins whose pages may call the service from a browser, separated by commas."
    )
    max_requests_per_minute: PositiveInt | None = Field(
        None, description="Most requests of one client in a minute; more are refused with 429. No limit by default."
    )
    head_seconds: PositiveFloat = Field(10, description="Seconds within which the head of a request must have arrived.")
    body_seconds: PositiveFloat = Field(60, description="Seconds within which the body of a request must have arrived.")
    model_seconds: PositiveFloat = Field(
        20, description="Seconds of one call of the model after which it counts as hung."
    )
    stop_seconds: PositiveInt = Field(
        15, description="Seconds that admitted requests have to finish once the service is told to stop."
    )

    @property
    def picture_limits(self) -> Limits:
        """What one picture may cost."""
        return Limits(self.max_file_bytes, self.max_pixels, self.max_parts, self.max_scans)

    def patient(self) -> Self:
        """The same for a caller who bounds the pictures at work: their faces wait for the model, none is refused."""
        return self.model_copy(update={"max_queued_faces": sys.maxsize})


def complaints(error: ValidationError) -> list[str]:
    """What is wrong with the environment, a line for each setting."""
    return [f"setting {one['loc'][0]}: {one['msg']}" for one in error.errors()]
