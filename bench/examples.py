"""Write the examples of the API's description: the service's answers to its sample portrait.

python -m bench.examples
"""

import json
from typing import Any

from fastapi.testclient import TestClient

from app.http.description import EXAMPLES
from app.main import create_app
from app.routers.info import STATIC

PORTRAIT = STATIC / "samples" / "astronaut.jpg"


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


if __name__ == "__main__":
    EXAMPLES.write_text(json.dumps(examples(), indent=1) + "\n")
