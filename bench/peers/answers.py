"""What the process of a peer does: a line of JSON comes on standard input, its answer goes to standard output.

A line has `file`, and `crop`: whether the picture is a face already cut out, so that nothing is searched. The answer
has `faces`, each with `box` (x, y, width and height in pixels of the picture) and `label` (one of the service's seven),
and `milliseconds` from the bytes of the file to the faces. Imports the standard library alone, because it runs in the
environments of the peers too.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Face(NamedTuple):
    """One face that a peer has found.

    Attributes:
        box: x, y, width and height in pixels of the picture.
        label: one of the service's seven.
    """

    box: tuple[float, ...]
    label: str


def serve(read: Callable[[bytes, bool], list[Face]]) -> None:
    """Answer until standard input ends.

    Args:
        read: the bytes of a picture's file, and whether it is a crop -> its faces.
    """
    for line in sys.stdin:
        request = json.loads(line)
        data = Path(request["file"]).read_bytes()
        started = time.perf_counter()
        faces = read(data, request["crop"])
        milliseconds = 1000 * (time.perf_counter() - started)
        answer = {"faces": [face._asdict() for face in faces], "milliseconds": milliseconds}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
