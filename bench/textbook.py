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


def create_app() -> FastAPI:
    """Make the textbook service: `POST /predict` and `GET /readyz`."""
    settings = Settings()
    app = FastAPI()
    model = keras.models.load_model(settings.model_path, compile=False)
    cascade = cv2.CascadeClassifier(str(settings.cascade_path))

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/predict")
    async def predict(file: UploadFile = File(...)) -> dict[str, Any]:  # noqa: B008 - as tutorials write it.
        data = np.frombuffer(await file.read(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if image is None:
            raise HTTPException(400, "Could not read image")
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        boxes = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(30, 30))
        faces = []
        for x, y, width, height in boxes:
            face = cv2.resize(grey[y : y + height, x : x + width], (96, 96))
            rgb = np.repeat(face[np.newaxis, :, :, np.newaxis], 3, axis=-1).astype(np.float32) / 255
            (row,) = model.predict(rgb, verbose=0)
            faces.append({"emotion": LABELS[int(row.argmax())], "confidence": float(row.max())})
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
