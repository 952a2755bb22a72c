"""Coverage-guided fuzzing of the decoder, by atheris (which is not among the requirements: `pip install atheris`).

    python -m bench.fuzz --seconds 600

It mutates the files of `bench.seeds`. The decoder must turn every input into pixels of the announced size, or raise one
of the service's own errors. Anything else is a finding, which atheris prints and stores in the working directory.
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
"""Most pixels of a picture; the limit is small, so that time goes into many files rather than large ones."""


def decode(data: bytes) -> None:
    """Decode one upload as the service does before it detects faces."""
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
