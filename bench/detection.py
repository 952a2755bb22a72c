"""Compare the detector with Haar at full size: recall, overlap of boxes, false boxes, and time.

    python -m bench.detection
    python -m bench.detection --photos DIR

Portraits are pasted at known places into pictures without faces: 4 to 90 % of the short side, turned by up to 15
degrees, in different light. Every picture is the same on every machine.

`--photos` measures the photographs of a folder with a `truth.json` instead (`training/photographs.py`).
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data
from tqdm import tqdm

from app.bootstrap import load_detector
from app.settings import Settings
from app.vision.decoder import Limits, Picture, PixelPicture
from app.vision.detector import SEARCH_SIDE, FaceDetector
from app.vision.geometry import Box
from bench.pictures import people
from training.photographs import judge, read_truth

Colours = NDArray[np.uint8]


class Finder(NamedTuple):
    """A detector, and the size of the picture's copy that it searches.

    Attributes:
        side: minimum short side of the copy, in pixels; the whole picture when None.
        find: copy, and width and height of the picture -> boxes in pixels of the picture.
    """

    side: int | None
    find: Callable[[Colours, tuple[int, int]], list[Box]]


FACES = ((0, Box(177, 66, 95, 95)), (1, Box(155, 105, 222, 222)))
"""Index of a portrait, and its face as Haar frames it."""

SCENES = ("coffee", "chelsea", "rocket", "brick", "gravel", "grass", "text", "page", "moon", "hubble_deep_field")
MATCH = 0.3
"""IoU above which a box counts as a match of a face."""

RUNS = 12
"""Detections of the same photograph, over four threads; all answers must be equal."""

CONFIDENCES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)

SIZES = ((0.0, 0.2), (0.2, 0.5), (0.5, 2.0))
"""Size groups of faces in photographs, as shares of the short side."""

RELEVANT = 0.1
"""Faces smaller than this share of the short side are counted separately; the service does not promise them."""


@dataclass
class Tally:
    """Results of one detector."""

    found: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    false: int = 0
    seconds: float = 0.0
    overlaps: list[float] = field(default_factory=list)


def scenes(count: int) -> Iterator[tuple[Colours, list[Box]]]:
    """Make pictures, uint8 [H, W, 3], with the boxes of the faces in them."""
    for number in range(count):
        random = np.random.default_rng((7, number))
        short, aspect = int(random.integers(480, 1081)), random.uniform(1, 1.8)
        wide = random.random() < 0.6
        size = (round(short * aspect), short) if wide else (short, round(short * aspect))
        scene = np.asarray(getattr(data, SCENES[number % len(SCENES)])())
        colours = np.asarray(scene[..., :3] if scene.ndim == 3 else np.dstack([scene] * 3), np.uint8)
        canvas = np.asarray(cv2.resize(colours, size, interpolation=cv2.INTER_AREA), np.uint8)
        boxes: list[Box] = []
        for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
            share = float(np.exp(random.uniform(np.log(0.04), np.log(0.9)))) if not boxes else random.uniform(0.1, 0.3)
            _paste(canvas, boxes, round(share * short), random)
        yield canvas, boxes


def served(detector: FaceDetector) -> Finder:
    """The service's detector."""
    return Finder(SEARCH_SIDE, lambda copy, size: [face.box for face in detector.find(copy, size=size)])


def full_size(cascade: Path) -> Finder:
    """Haar with the usual settings of tutorials: full size, scale 1.1, five neighbours, 30 px."""
    classifier = cv2.CascadeClassifier(str(cascade))

    def find(colours: Colours, _: tuple[int, int]) -> list[Box]:
        grey = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
        return [Box(*map(int, box)) for box in classifier.detectMultiScale(grey, 1.1, 5, minSize=(30, 30))]

    return Finder(None, find)


def compare(count: int, ours: Finder, theirs: Finder) -> dict[str, float]:
    """Run both detectors on the same pictures, alternately."""
    faces = {True: 0, False: 0}
    tallies = (Tally(), Tally())
    both = 0
    overlaps: list[float] = []
    for colours, truth in tqdm(scenes(count), total=count, desc="detection", disable=None):
        hits: list[list[Box | None]] = []
        picture = PixelPicture(colours, Limits(0, colours.size))
        for finder, tally in zip((ours, theirs), tallies, strict=True):
            copy = picture.rgb(finder.side)
            started = time.perf_counter()
            boxes = finder.find(copy, (picture.width, picture.height))
            tally.seconds += time.perf_counter() - started
            matched = [_best(boxes, face) for face in truth]
            tally.false += sum(all(box.overlap(face) <= MATCH for face in truth) for box in boxes)
            hits.append(matched)
        short = min(colours.shape[:2])
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


def _paste(canvas: Colours, boxes: list[Box], side: int, random: np.random.Generator) -> None:
    """Paste one face of `side` px, with soft edges, at a free place; append its box to `boxes`."""
    which, face = FACES[int(random.integers(2))]
    person = people()[which]
    scale, angle = side / face.width, random.uniform(-15, 15)
    half = 0.75 * side  # The head around the face.
    height, width = canvas.shape[:2]
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
        person = np.asarray(cv2.GaussianBlur(person, (0, 0), 0.35 / scale), np.uint8)
    moved = cv2.warpAffine(person, turn, (width, height), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    moved = (moved - 128) * random.uniform(0.5, 1.1) + 128 + random.uniform(-50, 40)
    rows, columns = np.ogrid[:height, :width]
    distance = np.sqrt(((columns - x) / half) ** 2 + ((rows - y) / (1.15 * half)) ** 2)
    mask = np.clip((1.1 - distance[..., np.newaxis]) / 0.2, 0.0, 1.0)
    canvas[:] = np.clip(moved * mask + canvas * (1 - mask), 0, 255)
    boxes.append(box)


def photographs(folder: Path, finders: dict[str, Finder]) -> dict[str, dict[str, str]]:
    """Run every detector on a folder of photographs: shares of faces found, false boxes and processor time."""
    columns = {}
    for name, finder in finders.items():
        faces, found = Counter[str](), Counter[str]()
        count = false = top = 0
        seconds = 0.0
        for picture, photo in tqdm(_photographs(folder), desc=name, disable=None):
            count += 1
            size = picture.width, picture.height
            copy = picture.rgb(finder.side)
            started = time.thread_time()
            boxes = sorted(finder.find(copy, size), key=lambda box: -box.area)
            seconds += time.thread_time() - started
            judged = judge(boxes, photo)
            for face, hits in zip(photo["faces"], judged.found, strict=True):
                share = face["box"][2] / min(size)
                kind = next(f"{least:.0%} to {most:.0%}" for least, most in SIZES if share < most)
                for group in ("all", face["pose"], kind):
                    faces[group] += 1
                    found[group] += bool(hits)
            false += len(judged.false)
            top += bool(boxes) and boxes[0] in judged.false
        columns[name] = {group: f"{found[group]}/{faces[group]}" for group in sorted(faces)} | {
            "recall, %": f"{100 * found['all'] / faces['all']:.1f}",
            "false boxes a photograph": f"{false / count:.3f}",
            "largest box is false": str(top),
            "processor ms, one thread": f"{1000 * seconds / count:.1f}",
        }
    return columns


def calibration(folder: Path, detector: FaceDetector) -> dict[str, str]:
    """Share of boxes that are faces, by the detector's confidence."""
    faces, boxes = Counter[str](), Counter[str]()
    for picture, photo in _photographs(folder):
        size = picture.width, picture.height
        for found in detector.find(picture.rgb(SEARCH_SIDE), size=size, least=0):
            judged = judge([found.box], photo)
            face = any(judged.found)
            if face or judged.false:
                least = max(one for one in CONFIDENCES if one <= found.confidence)
                boxes[f"detection from {least}"] += 1
                faces[f"detection from {least}"] += face
    return {group: f"{faces[group]}/{boxes[group]}" for group in sorted(boxes, reverse=True)}


def varied(folder: Path, finder: Finder) -> int:
    """Count the photographs of a folder that get different answers when they are searched repeatedly."""
    count = 0
    with ThreadPoolExecutor(4) as pool:
        for picture, _ in tqdm(_photographs(folder), desc="again", disable=None):
            copies = [picture.rgb(finder.side)] * RUNS
            sizes = [(picture.width, picture.height)] * RUNS
            count += len(set(map(tuple, pool.map(finder.find, copies, sizes)))) > 1
    return count


def _photographs(folder: Path) -> Iterator[tuple[Picture, dict[str, Any]]]:
    """The pictures of a folder, each with its entry in `truth.json`."""
    limits = Settings().picture_limits
    for path, photo in read_truth(folder).items():
        yield Picture(path.read_bytes(), limits), photo


def _print_photographs(folder: Path) -> None:
    settings = Settings()
    detector = load_detector(settings)
    ours = served(detector)
    haar = served(load_detector(settings.model_copy(update={"detector": "haar"})))
    columns = photographs(folder, {"auto": ours, "haar": haar, "full-size Haar": full_size(settings.cascade_path)})
    print(f"{'':28}" + "".join(f"{name:>16}" for name in columns))
    for row in next(iter(columns.values())):
        print(f"{row:28}" + "".join(f"{column[row]:>16}" for column in columns.values()))
    for group, share in calibration(folder, detector).items():
        print(f"{group:28}{share:>16}")
    print(f"{'answers that vary':28}{varied(folder, ours):>16}{varied(folder, haar):>16}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photographs with a truth.json")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args()
    if arguments.photos:
        _print_photographs(arguments.photos)
        return
    settings = Settings()
    results = compare(arguments.pictures, served(load_detector(settings)), full_size(settings.cascade_path))
    if arguments.json:
        print(json.dumps(results, indent=2))
    else:
        print("\n".join(f"{name:42}{value:10.3f}" for name, value in results.items()))


if __name__ == "__main__":
    main()
