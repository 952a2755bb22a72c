"""Turns answers into rows, one for each face, for CSV and Parquet.

A picture without a face has one row with a `code`, and so has a picture that could not be answered.
"""

import csv
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from app.emotions import LABELS
from app.schemas import Face, ModelName, VideoFace

Row = dict[str, Any]

TYPES: dict[str, str] = {
    "file": "string",
    "time": "float64",
    "face": "int32",
    "id": "int32",
    **dict.fromkeys(("x", "y", "width", "height"), "int32"),
    "emotion": "string",
    "confidence": "float64",
    **dict.fromkeys(LABELS, "float64"),
    "certain": "bool",
    "plausible": "string",
    "message": "string",
    "detection": "float64",
    "angle": "float64",
    "model": "string",
    "code": "string",
    "error": "string",
}
"""Type of each column, as Arrow names it, in the order of the columns. Every value except `file` may be absent."""

COLUMNS = tuple(TYPES)


def answered(file: str, faces: Sequence[Face], model: ModelName, time: float | None = None) -> Iterator[Row]:
    """The rows of a picture with faces, largest first; `time` is that of a video's frame, in seconds."""
    for number, face in enumerate(faces):
        yield {
            "file": file,
            "time": _rounded(time),
            "face": number,
            "id": face.id if isinstance(face, VideoFace) else None,
            **face.face_coordinates.model_dump(),
            "emotion": face.emotion,
            "confidence": face.confidence,
            **face.probabilities,
            "certain": face.certain,
            "plausible": " ".join(face.plausible),
            "message": face.message,
            "detection": face.detection,
            "angle": face.angle,
            "model": f"{model.name} {model.version}",
        }


def refused(file: str, code: str, words: str, time: float | None = None) -> Row:
    """The row of a picture that has no face or no answer."""
    return {"file": file, "time": _rounded(time), "code": code, "error": words}


def csv_writer(out: TextIO) -> "csv.DictWriter[str]":
    """Write the header to a text stream, and return a writer of rows."""
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    return writer


def _rounded(time: float | None) -> float | None:
    return None if time is None else round(time, 3)
