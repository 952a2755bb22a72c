"""Write browser/constants.json: what the port of the detector and the classifier takes from the service's modules.

python -m bench.constants
"""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from app import analyzer, live_session
from app.emotions import EMOTIONS
from app.model import backend, occlusion
from app.model.card import read_card
from app.settings import MOST_PIXELS, Settings
from app.vision import blazeface, detector, drawing, faces, geometry, haar, preprocess, tracker

FILE = Path(__file__).resolve().parent.parent / "browser" / "constants.json"

MODULES = (
    *(analyzer, backend, blazeface, detector, drawing, faces, geometry, haar, live_session, occlusion),
    *(preprocess, tracker),
)
"""Modules whose public constants the port uses under the same names."""


def constants() -> dict[str, Any]:
    """The public numbers of each module by its name, the labels with their messages, and what of the card decides."""
    settings = Settings()
    card = read_card(settings.model_path, "int8")
    return {
        **{module.__name__.rpartition(".")[2]: _numbers(module) for module in MODULES},
        "emotions": [{**emotion._asdict(), "message": emotion.message} for emotion in EMOTIONS],
        "card": card.model_dump(include={"name", "version", "temperature", "certain_from", "plausible_from"}),
        "settings": {"smallest_face": settings.smallest_face, "max_pixels": MOST_PIXELS},
    }


def text() -> str:
    """The constants as the file has them."""
    return json.dumps(constants(), indent=2, ensure_ascii=False) + "\n"


def _numbers(module: ModuleType) -> dict[str, Any]:
    """Constants that are a number or a tuple of numbers; one with names keeps them."""
    found = {}
    for name, value in vars(module).items():
        parts = value if isinstance(value, tuple) else (value,)
        if name.isupper() and not name.startswith("_") and all(isinstance(part, int | float) for part in parts):
            found[name] = value._asdict() if hasattr(value, "_asdict") else value
    return found


if __name__ == "__main__":
    FILE.write_text(text())
