"""Answers of PyPI's `fer`, run by the Python of its environment: its defaults, and either of its detectors.

python -m bench.peers.fer haar
"""

import sys

import cv2
import numpy as np
from fer.fer import FER  # type: ignore[import-not-found]

from bench.peers.answers import Face, serve


def main() -> None:
    _, finder = sys.argv
    detector = FER(mtcnn=finder == "mtcnn")
    classifier = FER(offsets=(0, 0))  # A crop has no room around it for the usual margin of 10 pixels.

    def read(data: bytes, crop: bool) -> list[Face]:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        if crop:
            faces = classifier.detect_emotions(image, [[0, 0, image.shape[1], image.shape[0]]])
        else:
            faces = detector.detect_emotions(image)
        return [Face(tuple(map(float, face["box"])), max(face["emotions"], key=face["emotions"].get)) for face in faces]

    serve(read)


if __name__ == "__main__":
    main()
