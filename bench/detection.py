"""How well faces are found, beside Haar at full size: recall, overlap of boxes, false boxes, and time.

    python -m bench.detection

Portraits are pasted at known places into pictures without faces: 4 to 90 % of the short side, turned by up to 15
degrees, in other light. Every picture is the same on every machine.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data
from tqdm import tqdm

from app.settings import Settings
from app.vision.geometry import Box
from app.vision.haar import HaarDetector
from bench.pictures import people

Grey = NDArray[np.uint8]
Find = Callable[[Grey], list[Box]]

FACES = ((0, Box(177, 66, 95, 95)), (1, Box(155, 105, 222, 222)))
"""Which of the portraits, and the face in it as Haar frames it."""

SCENES = ("coffee", "chelsea", "rocket", "brick", "gravel", "grass", "text", "page", "moon", "hubble_deep_field")
MATCH = 0.3
"""Overlap from which a box counts as a face's."""

RELEVANT = 0.1
"""Faces smaller than this share of the short side are counted apart: the service does not promise them."""


@dataclass
class Tally:
    """What one detector found."""

    found: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    false: int = 0
    seconds: float = 0.0
    overlaps: list[float] = field(default_factory=list)


def scenes(count: int) -> Iterator[tuple[Grey, list[Box]]]:
    """Pictures, grey uint8 [H, W], and the boxes of the faces in them."""
    for number in range(count):
        random = np.random.default_rng((7, number))
        short, aspect = int(random.integers(480, 1081)), random.uniform(1, 1.8)
        wide = random.random() < 0.6
        size = (round(short * aspect), short) if wide else (short, round(short * aspect))
        scene = np.asarray(getattr(data, SCENES[number % len(SCENES)])())
        grey = cv2.cvtColor(scene[..., :3], cv2.COLOR_RGB2GRAY) if scene.ndim == 3 else scene
        canvas = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
        boxes: list[Box] = []
        for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
            share = float(np.exp(random.uniform(np.log(0.04), np.log(0.9)))) if not boxes else random.uniform(0.1, 0.3)
            _paste(canvas, boxes, round(share * short), random)
        yield canvas, boxes


def full_size(cascade: cv2.CascadeClassifier) -> Find:
    """Haar as usual: full size, scale 1.1, five neighbours, 30 px."""

    def find(grey: Grey) -> list[Box]:
        return [Box(*map(int, box)) for box in cascade.detectMultiScale(grey, 1.1, 5, minSize=(30, 30))]

    return find


def compare(count: int, ours: Find, theirs: Find) -> dict[str, float]:
    """Both detectors on the same pictures, in turns."""
    faces = {True: 0, False: 0}
    tallies = (Tally(), Tally())
    both = 0
    overlaps: list[float] = []
    for grey, truth in tqdm(scenes(count), total=count, desc="detection", disable=None):
        hits: list[list[Box | None]] = []
        for find, tally in zip((ours, theirs), tallies, strict=True):
            started = time.perf_counter()
            boxes = find(grey)
            tally.seconds += time.perf_counter() - started
            matched = [_best(boxes, face) for face in truth]
            tally.false += sum(all(box.overlap(face) <= MATCH for face in truth) for box in boxes)
            hits.append(matched)
        short = min(grey.shape)
        for face, mine, other in zip(truth, *hits, strict=True):
            relevant = face.width >= RELEVANT * short
            faces[relevant] += 1
            tallies[0].found[relevant] += mine is not None
            tallies[1].found[relevant] += other is not None
            if relevant and mine is not None and other is not None:
                both += 1
                overlaps.append(mine.overlap(other))
    mine, other = tallies
    return {
        "pictures": count,
        "faces": faces[True],
        "recall": mine.found[True] / faces[True],
        "recall of full size": other.found[True] / faces[True],
        "share of full size's faces found too": both / max(other.found[True], 1),
        "mean overlap with full size's boxes": float(np.mean(overlaps)),
        "small faces": faces[False],
        "recall of small faces": mine.found[False] / max(faces[False], 1),
        "recall of small faces, full size": other.found[False] / max(faces[False], 1),
        "false boxes per picture": mine.false / count,
        "false boxes per picture, full size": other.false / count,
        "milliseconds": 1000 * mine.seconds / count,
        "milliseconds, full size": 1000 * other.seconds / count,
    }


def _best(boxes: list[Box], face: Box) -> Box | None:
    best = max(boxes, key=face.overlap, default=None)
    return best if best is not None and best.overlap(face) > MATCH else None


def _paste(canvas: Grey, boxes: list[Box], side: int, random: np.random.Generator) -> None:
    """Put one face of `side` px somewhere free, with soft edges; its box joins `boxes`."""
    which, face = FACES[int(random.integers(2))]
    person = cv2.cvtColor(people()[which], cv2.COLOR_RGB2GRAY)
    scale, angle = side / face.width, random.uniform(-15, 15)
    half = 0.75 * side  # The head around the face.
    height, width = canvas.shape
    for _ in range(20):
        margin_x, margin_y = min(side * 0.6, width / 2), min(side * 0.6, height / 2)
        x, y = random.uniform(margin_x, width - margin_x), random.uniform(margin_y, height - margin_y)
        box = Box(round(x - side / 2), round(y - side / 2), side, side)
        if all(max(abs(box.x - one.x), abs(box.y - one.y)) > 0.9 * (side + one.width) for one in boxes):
            break
    else:
        return
    turn = cv2.getRotationMatrix2D((face.x + face.width / 2, face.y + face.height / 2), angle, scale)
    turn[:, 2] += (x - face.x - face.width / 2, y - face.y - face.height / 2)
    if scale < 0.5:
        person = cv2.GaussianBlur(person, (0, 0), 0.35 / scale)
    moved = cv2.warpAffine(person, turn, (width, height), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    moved = (moved - 128) * random.uniform(0.5, 1.1) + 128 + random.uniform(-50, 40)
    rows, columns = np.ogrid[:height, :width]
    distance = np.sqrt(((columns - x) / half) ** 2 + ((rows - y) / (1.15 * half)) ** 2)
    mask = np.clip((1.1 - distance) / 0.2, 0, 1)
    canvas[:] = np.clip(moved * mask + canvas * (1 - mask), 0, 255)
    boxes.append(box)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args()
    settings = Settings()
    detector = HaarDetector(settings.cascade_path)
    theirs = full_size(cv2.CascadeClassifier(str(settings.cascade_path)))
    results = compare(arguments.pictures, detector.find, theirs)
    if arguments.json:
        print(json.dumps(results, indent=2))
    else:
        print("\n".join(f"{name:42}{value:10.3f}" for name, value in results.items()))


if __name__ == "__main__":
    main()
