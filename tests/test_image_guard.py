"""Files that are made to be costly are refused before anybody spends time on them; real files are not."""

import json
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.errors import InvalidImage
from app.vision import image_guard
from bench import malicious_images
from tests.helpers import ROOT, encoded

OUTCOMES = {"found", "no_face", "invalid_image", "too_many_pixels"}


@pytest.mark.slow
def test_crafted_pictures_cost_little() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "bench.malicious_images", "metadata"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    results = {line["picture"]: line for line in map(json.loads, output.splitlines())}
    assert set(results) == set(malicious_images.METADATA)
    assert {line["outcome"] for line in results.values()} <= OUTCOMES
    assert [line for line in results.values() if line["seconds"] > 1 or line["MB"] > 150] == []


def count(data: bytes) -> tuple[int, int]:
    """The fewest parts and scans with which a file passes."""

    def passes(**limits: int) -> bool:
        try:
            image_guard.check(data, **{"max_parts": 10**6, "max_scans": 10**6} | limits)
        except InvalidImage:
            return False
        return True

    def fewest(name: str) -> int:
        return next(number for number in range(10**6) if passes(**{name: number}))

    return fewest("max_parts"), fewest("max_scans")


def test_the_parts_of_a_jpeg_are_counted(astronaut: NDArray[np.uint8]) -> None:
    baseline = encoded(astronaut, "JPEG")
    # Application data, two tables of quantisation, the frame, four of Huffman codes, the scan.
    assert count(baseline) == (9, 1)
    assert count(baseline + baseline)[1] == 1  # What follows the end of the picture is not decoded.
    assert count(encoded(astronaut, "JPEG", progressive=True))[1] == 10
    assert count(encoded(Image.fromarray(astronaut).convert("CMYK"), "JPEG", progressive=True))[1] == 18
    progressive = encoded(astronaut, "JPEG", progressive=True)
    comment = malicious_images.with_segment(b"\xff\xd8", 0xFE, b"\xff\xd9")[2:]
    hidden = progressive[:-2] + comment + progressive[progressive.rindex(b"\xff\xda") :]
    assert count(hidden)[1] == 11
    restarts = encoded(astronaut, "JPEG", restart_marker_blocks=1)
    assert count(restarts)[1] == 1
    assert count(restarts)[0] < 12


def test_the_parts_of_a_png_and_a_gif_are_counted() -> None:
    assert count(malicious_images.png(8, 8)) == (3, 0)
    assert count(malicious_images.png(8, 8, before=malicious_images.chunk(b"tEXt", b"a\0b") * 5)) == (8, 0)
    assert count(malicious_images.animation(2))[0] < count(malicious_images.commented_gif(100))[0] - 99


@pytest.mark.slow
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF"])
def test_real_files_pass(astronaut: NDArray[np.uint8], format: str) -> None:
    large = Image.fromarray(astronaut).resize((3000, 3000))
    data = encoded(large, format)
    image_guard.check(data)
    for length in (*range(60), len(data) // 2):
        image_guard.check(data[:length])  # What is cut short is refused elsewhere.
