"""Answers of this service, without HTTP, on one of its engines; or of the textbook one, which has the same model.

python -m bench.peers.ours keras
"""

import sys
from collections.abc import Callable

import cv2
import numpy as np

from app.bootstrap import load_classifier, load_detector
from app.emotions import LABELS
from app.errors import NoFace
from app.settings import Settings
from app.vision.faces import find_faces
from app.vision.preprocess import enlarge, model_input
from bench.peers.answers import Face, serve


def service(settings: Settings) -> Callable[[bytes, bool], list[Face]]:
    """The service's own way: what `read` of `answers.serve` is."""
    detector, classifier = load_detector(settings), load_classifier(settings)

    def read(data: bytes, crop: bool) -> list[Face]:
        if crop:
            grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
            boxes, inputs = [(0, 0, 0, 0)], [model_input(enlarge(np.asarray(grey, np.uint8)))]
        else:
            try:
                found = find_faces(data, detector, settings.picture_limits)
            except NoFace:
                return []
            boxes, inputs = [face.box for face in found.faces], found.crops
        rows = classifier.predict(inputs)
        return [Face(box, LABELS[int(row.argmax())]) for box, row in zip(boxes, rows, strict=True)]

    return read


def textbook() -> Callable[[bytes, bool], list[Face]]:
    """The textbook's way; it takes no crops."""
    from bench.textbook import load, read_faces  # noqa: PLC0415 - loads TensorFlow, which litert does without.

    model, cascade = load()
    return lambda data, _: [Face(tuple(face["box"]), face["emotion"]) for face in read_faces(data, model, cascade)]


if __name__ == "__main__":
    _, name = sys.argv
    serve(textbook() if name == "textbook" else service(Settings(engine=name)))
