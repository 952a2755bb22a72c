"""Compare the model's speed with that of a plain matrix product on the same processor, in one process.

python -m bench.model_roofline keras
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from app.bootstrap import load_detector
from app.model.classifier import Classifier, Engine
from app.settings import Settings
from app.vision.decoder import Picture
from app.vision.detector import SEARCH_SIDE
from app.vision.preprocess import model_input
from bench.pictures import PICTURES

GIGAFLOP = 5.64
"""Floating-point operations of VGG16's convolutions for one face at 96 px, in thousand millions; a multiply-add counts
two. A model may need fewer, because channels without influence on its answers are removed."""

ROUNDS = 12
BATCH = 8
PAUSE = 0.2
"""Pause between two libraries, in seconds, in which the threads of one go to sleep."""


def matrix_rate(size: int = 2048) -> float:
    """GFLOP/s of a float32 matrix product in NumPy's library, best of three."""
    one = np.random.default_rng(0).random((size, size), dtype=np.float32)
    return max(2 * size**3 / _seconds(lambda: one @ one) / 1e9 for _ in range(3))


def model(engine: Engine) -> dict[str, float | str]:
    """Measure the model alone, alternating with the matrix product, so that both run under the same conditions."""
    classifier = Classifier(Settings().model_path, engine)
    classifier.warm()
    faces = model_input(np.random.default_rng(0).integers(0, 256, (BATCH, 96, 96), dtype=np.uint8))
    rounds = []
    for _ in range(ROUNDS):
        time.sleep(PAUSE)
        seconds = _seconds(lambda: classifier.predict(faces))
        time.sleep(PAUSE)
        rounds.append((BATCH / seconds, matrix_rate()))
    speeds = np.array(rounds)
    needed = classifier.card.gflop_needed
    alone = np.median([_seconds(lambda: classifier.predict(faces[:1])) for _ in range(ROUNDS)])
    return {
        "precision": classifier.precision,
        "faces per second": float(np.median(speeds[:, 0])),
        "milliseconds for one face": 1000 * float(alone),
        "sgemm GFLOP/s": float(np.median(speeds[:, 1])),
        "ratio": float(np.median(speeds[:, 0] * GIGAFLOP / speeds[:, 1])),
        "ratio of the arithmetic that is done": float(np.median(speeds[:, 0] * needed / speeds[:, 1])),
    }


def stages(engine: Engine) -> dict[str, dict[str, float]]:
    """Processor milliseconds of each stage for each picture, over all threads."""
    settings = Settings()
    classifier = Classifier(settings.model_path, engine)
    classifier.warm()
    detector = load_detector(settings)
    result = {}
    for name, draw in PICTURES.items():
        data = draw()
        picture = Picture(data, settings.picture_limits)
        colours = picture.rgb(SEARCH_SIDE)
        faces = len(detector.find(colours))
        crops = np.zeros((faces, 96, 96, 3), np.float32)
        result[name] = {
            "decode": _cpu(partial(picture.rgb, SEARCH_SIDE)),
            "detect": _cpu(partial(detector.find, colours)),
            "classify": _cpu(partial(classifier.predict, crops)),
        }
    return result


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _cpu(work: Callable[[], object]) -> float:
    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    started = spent()
    for _ in range(ROUNDS):
        work()
    return round(1000 * (spent() - started) / ROUNDS, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["keras", "litert"])
    engine = parser.parse_args().engine
    print(json.dumps({**model(engine), "stages": stages(engine)}, indent=2))


if __name__ == "__main__":
    main()
