"""Compare the port in browser/ with the service, on the same pixels in Node.

python -m bench.browser [--photos FOLDER] [--build compatible]
"""

import argparse
import asyncio
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from app.bootstrap import running
from app.errors import NoFace, ServiceError
from app.routers.info import STATIC
from app.settings import Settings
from app.vision.decoder import Picture, is_picture
from app.vision.geometry import Box, Pixels
from bench.pictures import people, placed
from deploy.static_space import BROWSER, BUILDS, install_packages, models

SAMPLES = STATIC / "samples"

SAME_PIXELS = 1
"""Largest difference of a box's sides and corner, in pixels."""

SAME_PROBABILITY = 0.005
"""Largest difference of a probability."""


class Comparison(NamedTuple):
    """What both sides say about one picture.

    Attributes:
        faces: number of faces that the service finds.
        found: number of faces that the port finds.
        pixels: largest difference of the boxes, in pixels.
        labels: number of faces with the same label, the same certainty and the same plausible labels.
        probability: largest difference of the probabilities.
    """

    faces: int
    found: int
    pixels: float
    labels: int
    probability: float

    @property
    def same(self) -> bool:
        """Whether the answers are the same."""
        counted = self.faces == self.found == self.labels
        return counted and self.pixels <= SAME_PIXELS and self.probability <= SAME_PROBABILITY


def scenes() -> dict[str, Pixels]:
    """Made-up pictures for each way of the search: portraits of any turn, small faces, a strip, a face that fills its
    picture, none, and the pictures that come with the page."""
    astronaut, hopper = people()
    head = astronaut[:330, 60:390]
    many = [(head if number % 2 else hopper[30:430, 60:460], 150 * number, 300, 130) for number in range(8)]
    limits = Settings().picture_limits
    files = sorted(path for path in SAMPLES.iterdir() if is_picture(path.name))
    return {
        "portrait": astronaut,
        "upside down": np.rot90(astronaut, 2),
        "lying": np.rot90(hopper),
        "fills the picture": astronaut[90:200, 170:280],
        "large": placed((3000, 4000), [(hopper, 1200, 500, 1800)]),
        "small faces": placed((900, 1600), many),
        "strip": placed((300, 1500), [(head, 150, 40, 200), (head, 1100, 60, 180)]),
        "nothing": placed((480, 640), []),
        **{path.name: Picture(path.read_bytes(), limits).rgb() for path in files},
    }


def compare(pictures: Sequence[Pixels], build: str) -> list[Comparison]:
    """Answer pictures on both sides.

    Args:
        pictures: uint8 [H, W, 3] RGB each.
        build: of LiteRT in the port.
    """
    ours = asyncio.run(_answers(pictures))
    theirs = answers_in_node(pictures, build)
    return [_compared(faces, answer["faces"]) for faces, answer in zip(ours, theirs, strict=True)]


async def _answers(pictures: Sequence[Pixels]) -> list[list[dict[str, Any]]]:
    """The faces of each picture as the service answers them on the litert engine."""
    async with running(Settings(engine="litert")) as (analyzer, _):
        answers = [await analyzer.attempt(picture) for picture in pictures]
    for answer in answers:
        if isinstance(answer, ServiceError) and not isinstance(answer, NoFace):
            raise answer
    return [
        [] if isinstance(answer, ServiceError) else [face.model_dump(mode="json") for face in answer.prediction.faces]
        for answer in answers
    ]


def answers_in_node(pictures: Sequence[Pixels], build: str = "relaxed", **details: Any) -> list[dict[str, Any]]:
    """Answer pictures with the port.

    Args:
        pictures: uint8 [H, W, 3] RGB each.
        build: of LiteRT.
        details: for all pictures: `near`, faces of the frame before, or `label`, explained for the largest face.

    Returns:
        What the service answers; without a face, `faces` alone. With `label`, `heat` has the evidence row by row.
    """
    install_packages()
    with TemporaryDirectory() as folder:
        entries = []
        for number, picture in enumerate(pictures):
            file = Path(folder, f"{number}.rgb")
            file.write_bytes(np.ascontiguousarray(picture).tobytes())
            height, width = picture.shape[:2]
            entries.append({"file": str(file), "width": width, "height": height, **details})
        questions = Path(folder, "questions.json")
        files = {name: str(path) for name, path in (models() | BUILDS[build]).items()}
        questions.write_text(json.dumps({"files": files, "pictures": entries}))
        command = ["node", "--no-warnings", str(BROWSER / "node.js"), str(questions)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _compared(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> Comparison:
    pixels, probability, labels = 0.0, 0.0, 0
    for face in ours if theirs else []:
        box = _box(face)
        same = max(theirs, key=lambda other: box.overlap(_box(other)))
        pixels = max(pixels, *(abs(first - second) for first, second in zip(box, _box(same), strict=True)))
        shares = ((share, same["probabilities"][name]) for name, share in face["probabilities"].items())
        probability = max(probability, *(abs(first - second) for first, second in shares))
        labels += all(face[name] == same[name] for name in ("emotion", "certain", "plausible"))
    return Comparison(len(ours), len(theirs), pixels, labels, probability)


def _box(face: dict[str, Any]) -> Box:
    return Box(**face["face_coordinates"])


def main() -> None:
    """Print a line for each picture that differs, and the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of photographs, beside the made-up scenes")
    parser.add_argument("--build", choices=BUILDS, default="relaxed", help="of LiteRT")
    arguments = parser.parse_args()
    folder = arguments.photos
    pictures = scenes()
    if folder is not None:
        limits = Settings().picture_limits
        files = sorted(path for path in folder.rglob("*") if is_picture(path.name))
        pictures |= {path.name: Picture(path.read_bytes(), limits).rgb() for path in files}
    results = compare(list(pictures.values()), arguments.build)
    for name, result in zip(pictures, results, strict=True):
        if not result.same:
            print(f"{name}: {result}")
    faces = sum(result.faces for result in results)
    labels = sum(result.labels for result in results)
    worst = max(result.probability for result in results)
    same = mean(result.same for result in results)
    print(f"{len(results)} pictures, {100 * same:.1f} % the same; {faces} faces, {labels} with the same labels;")
    print(f"largest difference: {max(result.pixels for result in results):g} pixels, {worst:.4f} of a probability.")


if __name__ == "__main__":
    main()
