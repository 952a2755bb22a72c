"""Coverage-guided fuzzing of the decoder, by atheris (which is not among the requirements: `pip install atheris`).

    python -m bench.fuzz --seconds 600

Mutates the files of `bench.seeds`. Whatever a decoder may be given ends in pixels of the size that was announced, or in
one of the service's own errors; anything else is a finding, which atheris prints and stores in the working directory.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["PIL", "app"]):
    from app.errors import ServiceError
    from app.vision.decoder import Limits, Picture
    from app.vision.detector import SEARCH_SIDE

from bench.seeds import seeds

MAX_PIXELS = 1_000_000
"""Small, so that time goes into many files rather than into large ones."""


def decode(data: bytes) -> None:
    """What the service does with the bytes of one upload, before it looks for faces."""
    try:
        picture = Picture(data, Limits(max_bytes=2**20, max_pixels=MAX_PIXELS))
        copy, colours = picture.rgb(SEARCH_SIDE), picture.rgb()
    except ServiceError as error:
        if error.status >= 500:
            raise
        return
    if colours.shape != (picture.height, picture.width, 3) or colours.dtype != np.uint8 or copy.ndim != 3:
        raise AssertionError(f"{picture.width} x {picture.height} became {colours.shape}, {copy.shape}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds().values()):
            (Path(folder) / str(number)).write_bytes(data)
        limits = [f"-max_total_time={seconds}", "-max_len=65536", "-timeout=10", "-rss_limit_mb=2048"]
        atheris.Setup([sys.argv[0], *limits, folder], decode)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
