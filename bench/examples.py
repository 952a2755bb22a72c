"""Write the service's answers to its sample pictures: the examples of the API's description and of the demo page.

python -m bench.examples
"""

import json
from typing import Any

from fastapi.testclient import TestClient

from app.http.description import EXAMPLES
from app.main import create_app
from app.routers.info import STATIC

FOLDER = STATIC / "samples"
PORTRAIT = FOLDER / "astronaut.jpg"

SAMPLES = FOLDER / "samples.json"
"""The pictures of the demo page with their titles, credits and answers, and the labels."""


def examples() -> dict[str, Any]:
    """The answers, by operation id."""
    picture = PORTRAIT.read_bytes()
    with TestClient(create_app()) as client:
        for _ in range(3):
            client.post("/predict", content=picture)  # The first answers are slow.
        pictures = [("files", (PORTRAIT.name, picture)), ("files", ("empty.jpg", b""))]
        return {
            "predict": client.post("/predict", content=picture).json(),
            "predict_batch": client.post("/predict/batch", files=pictures).json(),
            **{name: client.get(f"/{name}").json() for name in ("emotions", "model", "health", "livez", "readyz")},
            "root": client.get("/").json(),
        }


def samples() -> dict[str, Any]:
    """What `SAMPLES` holds, with the answers that the service gives to its pictures."""
    pictures = json.loads(SAMPLES.read_text())["pictures"]
    with TestClient(create_app()) as client:
        for picture in pictures:
            answer = client.post("/predict", content=(FOLDER / picture["file"]).read_bytes()).json()
            picture["answer"] = {name: value for name, value in answer.items() if name in _SHOWN}
        return {"emotions": client.get("/emotions").json()["details"], "pictures": pictures}


_SHOWN = ("faces", "image", "model", "timings_ms", "code", "detail")


if __name__ == "__main__":
    EXAMPLES.write_text(json.dumps(examples(), indent=1) + "\n")
    SAMPLES.write_text(json.dumps(samples(), ensure_ascii=False, separators=(",", ":")) + "\n")
