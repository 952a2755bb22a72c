"""What is known about the request that is being answered, for its line in the log. Nothing of an upload's content.

Set by `app.requestlog`; the parts of the service add to it without knowing the request. Knows nothing about HTTP.
"""

from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field

MOST_PICTURES = 64
"""Pictures described one by one; a WebSocket sends any number of them in one request."""


@dataclass
class Record:
    """One request.

    Attributes:
        received: bytes of its body so far.
        pictures: format, width and height of the first pictures answered.
        answered: pictures answered.
        faces: faces found in them.
        stages: milliseconds by stage, summed over the pictures.
        refusals: how often by code of the error.
    """

    received: int = 0
    pictures: list[tuple[str, int, int]] = field(default_factory=list)
    answered: int = 0
    faces: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)


_current: ContextVar[Record | None] = ContextVar("record", default=None)


def begin() -> Record:
    """A new record for the current task and the tasks that it starts."""
    record = Record()
    _current.set(record)
    return record


def answered(format: str, width: int, height: int, faces: int, stages: dict[str, float]) -> None:
    """Note one picture that was answered."""
    if (record := _current.get()) is not None:
        if len(record.pictures) < MOST_PICTURES:
            record.pictures.append((format, width, height))
        record.answered += 1
        record.faces += faces
        record.stages.update(stages)


def refused(code: str) -> None:
    """Note that a request, or a picture of it, was refused."""
    if (record := _current.get()) is not None:
        record.refusals[code] += 1
