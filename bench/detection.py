"""Compare the detector with Haar at full size: recall, overlap of boxes, false boxes, and time.

    python -m bench.detection
    python -m bench.detection --photos DIR
    python -m bench.detection --negatives DIR
    python -m bench.detection --times

Portraits are pasted at known places into pictures without faces: 4 to 90 % of the short side, turned by up to 15
degrees, in different light. Every picture is the same on every machine.

`--photos` measures the photographs of a folder with a `truth.json` instead, as they are, turned and joined to
panoramas (`bench/photographs.py`). `--negatives` counts what is found in a folder of pictures without people. `--times`
prints the time of pictures that need many looks.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from skimage import data
from tqdm import tqdm

from app.bootstrap import load_detector
from app.settings import Settings
from app.vision.decoder import Limits, Picture, PixelPicture
from app.vision.detector import SEARCH_SIDE, FaceDetector
from app.vision.geometry import Box, Pixels
from bench.photographs import RATIOS, Photograph, Truth, panoramas, photographs, turned, without_people
from bench.pictures import jpeg, people, placed
from training.photographs import judge


class Finder(NamedTuple):
    """A detector, and the size of the picture's copy that it searches.

    Attributes:
        side: minimum short side of the copy, in pixels; the whole picture when None.
        find: copy, and width and height of the picture -> boxes in pixels of the picture.
    """

    side: int | None
    find: Callable[[Pixels, tuple[int, int]], list[Box]]


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

COMPANY = ((1, "portraits"), (4, "two to four"), (1000, "five and more"))
"""Groups of photographs, each with its largest number of faces."""

RELEVANT = 0.1
"""Faces smaller than this share of the short side are counted separately; the service does not promise them."""


@dataclass
class Tally:
    """Results of one detector."""

    found: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    false: int = 0
    seconds: float = 0.0
    overlaps: list[float] = field(default_factory=list)


def scenes(count: int) -> Iterator[tuple[Pixels, list[Box]]]:
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

    def find(colours: Pixels, _: tuple[int, int]) -> list[Box]:
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


def _paste(canvas: Pixels, boxes: list[Box], side: int, random: np.random.Generator) -> None:
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


@dataclass
class Count:
    """What one detector found in photographs.

    Attributes:
        faces, found: true faces, and those found, by group; `all` has every one.
        photographs: number of photographs.
        boxes: number of boxes.
        false: boxes that are no face.
        largest_false: photographs whose largest box is no face.
        seconds: processor time of one thread.
    """

    faces: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    photographs: int = 0
    boxes: int = 0
    false: int = 0
    largest_false: int = 0
    seconds: float = 0.0

    def share(self, group: str) -> str:
        """Faces found of a group, as `found/faces`."""
        return f"{self.found[group]}/{self.faces[group]}"


def counted(photographs: Iterable[Photograph], finder: Finder, groups: Callable[[Truth, Truth], list[str]]) -> Count:
    """Run a detector on photographs.

    Args:
        photographs: with what is true of them.
        finder: the detector.
        groups: truth of a photograph, and of one of its faces -> the groups in which the face counts.
    """
    count = Count()
    for picture, truth in tqdm(photographs, disable=None):
        copy = picture.rgb(finder.side)
        started = time.thread_time()
        boxes = sorted(finder.find(copy, (picture.width, picture.height)), key=lambda box: -box.area)
        count.seconds += time.thread_time() - started
        judged = judge(boxes, truth)
        for face, hits in zip(truth["faces"], judged.found, strict=True):
            of = ["all", *groups(truth, face)]
            count.faces.update(of)
            count.found.update(of if hits else [])
        count.photographs += 1
        count.boxes += len(boxes)
        count.false += len(judged.false)
        count.largest_false += bool(boxes) and boxes[0] in judged.false
    return count


def by_pose_and_size(truth: Truth, face: Truth) -> list[str]:
    """Groups of a face: its pose, and its share of the photograph's short side."""
    share = face["box"][2] / min(truth["width"], truth["height"])
    return [face["pose"], next(f"{least:.0%} to {most:.0%}" for least, most in SIZES if share < most)]


def by_company(truth: Truth, _: Truth) -> list[str]:
    """Group of a face: how many faces its photograph has."""
    return [next(name for most, name in COMPANY if len(truth["faces"]) <= most)]


def compare_photographs(folder: Path, finders: dict[str, Finder]) -> dict[str, dict[str, str]]:
    """Run every detector on a folder of photographs: shares of faces found, false boxes and processor time."""
    columns = {}
    for name, finder in finders.items():
        count = counted(photographs(folder), finder, by_pose_and_size)
        columns[name] = {group: count.share(group) for group in sorted(count.faces)} | {
            "recall, %": f"{100 * count.found['all'] / count.faces['all']:.1f}",
            "false boxes a photograph": f"{count.false / count.photographs:.3f}",
            "largest box is false": str(count.largest_false),
            "processor ms, one thread": f"{1000 * count.seconds / count.photographs:.1f}",
        }
    return columns


def variations(folder: Path, finder: Finder) -> Iterator[tuple[str, Count]]:
    """Run a detector on a folder's photographs, turned by quarters of a circle and joined to panoramas."""
    for quarters in range(4):
        yield f"turned by {90 * quarters}", counted(turned(folder, quarters), finder, by_company)
    for ratio in RATIOS:
        yield f"panoramas {ratio}:1", counted(panoramas(folder, ratio), finder, by_company)


def false_faces(folder: Path, finder: Finder) -> Iterator[tuple[str, Count]]:
    """Run a detector on a folder's pictures without people, at several sizes."""
    for longest in (None, 1280, 640):
        name = "full size" if longest is None else f"{longest} px"
        yield name, counted(without_people(folder, longest), finder, by_company)


def calibration(folder: Path, detector: FaceDetector) -> dict[str, str]:
    """Share of boxes that are faces, by the detector's confidence."""
    faces, boxes = Counter[str](), Counter[str]()
    for picture, truth in photographs(folder):
        size = picture.width, picture.height
        for found in detector.find(picture.rgb(SEARCH_SIDE), size=size, least=0):
            judged = judge([found.box], truth)
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
        for picture, _ in tqdm(photographs(folder), desc="again", disable=None):
            copies = [picture.rgb(finder.side)] * RUNS
            sizes = [(picture.width, picture.height)] * RUNS
            count += len(set(map(tuple, pool.map(finder.find, copies, sizes)))) > 1
    return count


def slow_pictures() -> dict[str, bytes]:
    """Pictures that need many looks, as JPEG files: a turned portrait, and two of 12 megapixels."""
    hopper, sea = people()[1], np.asarray(data.coffee(), np.uint8)
    standing = placed((1024, 683), [(hopper, 90, 60, 500)])
    panorama = placed((1225, 9800), [(hopper, 900 + 1800 * number, 300, 400) for number in range(5)])
    return {
        "portrait, upright": jpeg(standing),
        "portrait, turned by 90": jpeg(np.ascontiguousarray(np.rot90(standing, -1))),
        "no face, 12 megapixels": jpeg(
            np.asarray(cv2.resize(sea, (4000, 3000), interpolation=cv2.INTER_CUBIC), np.uint8)
        ),
        "panorama 8:1, 12 megapixels": jpeg(panorama),
    }


def times(finder: Finder) -> dict[str, tuple[float, float, int]]:
    """Median processor time of each slow picture on one thread.

    Returns:
        By name: milliseconds to decode, milliseconds to find, number of faces.
    """
    results = {}
    for name, file in slow_pictures().items():
        runs = []
        for _ in range(RUNS):
            picture = Picture(file, Settings().picture_limits)
            started = time.thread_time()
            copy = picture.rgb(finder.side)
            decoded = time.thread_time()
            boxes = finder.find(copy, (picture.width, picture.height))
            runs.append((decoded - started, time.thread_time() - decoded))
        decode, find = (1000 * float(np.median(column)) for column in zip(*runs, strict=True))
        results[name] = decode, find, len(boxes)
    return results


def _print_photographs(folder: Path) -> None:
    settings = Settings()
    detector = load_detector(settings)
    ours = served(detector)
    haar = served(load_detector(settings.model_copy(update={"detector": "haar"})))
    columns = compare_photographs(
        folder, {"auto": ours, "haar": haar, "full-size Haar": full_size(settings.cascade_path)}
    )
    print(f"{'':28}" + "".join(f"{name:>16}" for name in columns))
    for row in next(iter(columns.values())):
        print(f"{row:28}" + "".join(f"{column[row]:>16}" for column in columns.values()))
    for group, share in calibration(folder, detector).items():
        print(f"{group:28}{share:>16}")
    print(f"{'answers that vary':28}{varied(folder, ours):>16}{varied(folder, haar):>16}")
    groups = ["all", *(name for _, name in COMPANY)]
    print(f"\n{'':28}" + "".join(f"{name:>16}" for name in [*groups, "false boxes", "ms"]))
    for name, count in variations(folder, ours):
        shares = "".join(f"{count.share(group):>16}" for group in groups)
        print(f"{name:28}{shares}{count.false:>16}{1000 * count.seconds / count.photographs:>16.1f}")


def _print_negatives(folder: Path) -> None:
    print(f"{'':28}{'pictures':>16}{'faces':>16}{'in 100 pictures':>16}")
    for name, count in false_faces(folder, served(load_detector(Settings()))):
        print(f"{name:28}{count.photographs:>16}{count.boxes:>16}{100 * count.boxes / count.photographs:>16.1f}")


def _print_times() -> None:
    print(f"{'processor ms, one thread':28}{'decode':>16}{'find':>16}{'faces':>16}")
    for name, (decode, find, faces) in times(served(load_detector(Settings()))).items():
        print(f"{name:28}{decode:>16.1f}{find:>16.1f}{faces:>16}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photographs with a truth.json")
    parser.add_argument("--negatives", type=Path, metavar="DIR", help="pictures without people")
    parser.add_argument("--times", action="store_true", help="pictures that need many looks")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args()
    if arguments.photos:
        _print_photographs(arguments.photos)
    if arguments.negatives:
        _print_negatives(arguments.negatives)
    if arguments.times:
        _print_times()
    if arguments.photos or arguments.negatives or arguments.times:
        return
    settings = Settings()
    results = compare(arguments.pictures, served(load_detector(settings)), full_size(settings.cascade_path))
    if arguments.json:
        print(json.dumps(results, indent=2))
    else:
        print("\n".join(f"{name:42}{value:10.3f}" for name, value in results.items()))


if __name__ == "__main__":
    main()
