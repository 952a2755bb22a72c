"""Serve the textbook implementation for comparison: everything inside one `async def`, nothing tuned.

It has the same model file, the same cascade, and the same answer for the largest face.
"""

import argparse
from typing import Any

import cv2
import keras
import numpy as np
import uvicorn
from fastapi import FastAPI, File, HTTPException, UploadFile

from app.emotions import LABELS
from app.settings import Settings


def load() -> tuple[Any, cv2.CascadeClassifier]:
    """The model and the cascade, as the service has them."""
    settings = Settings()
    model = keras.models.load_model(settings.model_path, compile=False)
    return model, cv2.CascadeClassifier(str(settings.cascade_path))


def read_faces(data: bytes, model: Any, cascade: cv2.CascadeClassifier) -> list[dict[str, Any]]:
    """The faces of a picture's file.

    Raises:
        HTTPException: 400, the file is no picture.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise HTTPException(400, "Could not read image")
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    faces = []
    for x, y, width, height in cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(30, 30)):
        face = cv2.resize(grey[y : y + height, x : x + width], (96, 96))
        rgb = np.repeat(face[np.newaxis, :, :, np.newaxis], 3, axis=-1).astype(np.float32) / 255
        (row,) = model.predict(rgb, verbose=0)
        box = [int(side) for side in (x, y, width, height)]
        faces.append({"emotion": LABELS[int(row.argmax())], "confidence": float(row.max()), "box": box})
    return faces


def create_app() -> FastAPI:
    """Make the textbook service: `POST /predict` and `GET /readyz`."""
    app = FastAPI()
    model, cascade = load()

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/predict")
    async def predict(file: UploadFile = File(...)) -> dict[str, Any]:  # noqa: B008 - as tutorials write it.
        faces = read_faces(await file.read(), model, cascade)
        if not faces:
            raise HTTPException(400, "No face")
        return {"faces": faces}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(create_app(), host="127.0.0.1", port=parser.parse_args().port, log_level="warning")


if __name__ == "__main__":
    main()
