"""Measure recorded videos: time beside decoding alone, memory, and what a portrait's client notices of them.

    python -m bench.video
    python -m bench.video --engine litert --memory

A minute of 1280x720 at 25 frames a second with two faces that move, two samples a second, on each engine, interleaved.
With `--memory`, an hour of 1920x1080 besides, of which a sample is read each second.
"""

import argparse
import asyncio
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from io import BytesIO

import av
import httpx2

from bench.clips import Pixels, Window, encoded, shot
from bench.load import Client
from bench.pictures import jpeg, people, placed
from bench.server import Server

SIZE, RATE, SECONDS, EVERY = (1280, 720), 25, 60, "0.5s"
SAMPLES = 2 * SECONDS
ROUNDS = 3
HOUR = 3600
LEFT: Window = (0, 0, 0.9, 0.9)
RIGHT: Window = (0.1, 0.1, 0.9, 0.9)


def scene(width: int, height: int) -> Pixels:
    """Two people side by side: uint8 [height, width, 3]."""
    first, second = people()
    side = width // 3
    return placed(
        (height, width),
        [(first[:330, 60:390], side // 4, side // 3, side), (second[30:430, 60:460], 7 * side // 4, side // 3, side)],
    )


def minute() -> bytes:
    """The clip that is measured, and each of whose samples shows two faces."""
    frames = shot(scene(1422, 800), SIZE, RATE * SECONDS, LEFT, RIGHT)
    return encoded(frames, RATE, preset="superfast")


def hour() -> bytes:
    """An hour of 1920x1080 that repeats ten seconds."""
    part = encoded(shot(scene(2133, 1200), (1920, 1080), 10 * RATE, LEFT, RIGHT), RATE, preset="superfast", crf="35")
    file = BytesIO()
    with av.open(BytesIO(part), "r") as source, av.open(file, "w", "mp4") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        times = [(packet.pts, packet.dts) for packet in packets]
        for turn in range(HOUR // 10):
            shift = int(turn * 10 / (stream.time_base or Fraction(1)))
            for packet, (pts, dts) in zip(packets, times, strict=True):
                packet.pts, packet.dts, packet.stream = (pts or 0) + shift, (dts or 0) + shift, copy
                target.mux(packet)
    return file.getvalue()


def floor(video: bytes) -> float:
    """Seconds to decode every frame, and to do nothing with it."""
    started = time.perf_counter()
    with av.open(BytesIO(video), "r") as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            pass
    return time.perf_counter() - started


def ask(server: Server, video: bytes, every: str = EVERY) -> tuple[float, int]:
    """Seconds of one request, and the faces of its summary."""
    started = time.perf_counter()
    answer = httpx2.post(f"{server.url}/predict/video", content=video, params={"every": every}, timeout=1800)
    *samples, last = answer.text.splitlines()
    if "summary" not in last or not samples:
        raise RuntimeError(last)
    return time.perf_counter() - started, len(json.loads(last)["summary"]["faces"])


@contextmanager
def highest(server: Server) -> Iterator[list[float]]:
    """Watch the memory of the service and its processes: the most while the context is open, in MB above the start."""
    idle, over = server.resident_megabytes, threading.Event()
    most = [0.0]

    def watch() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], server.resident_megabytes - idle)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def portrait_beside(server: Server, video: bytes | None, seconds: float) -> float:
    """Median latency of one client's portraits, in milliseconds, while a video is worked on again and again."""
    over = threading.Event()

    def again() -> None:
        while video is not None and not over.is_set():
            ask(server, video)

    thread = threading.Thread(target=again)
    thread.start()
    frame = jpeg(next(shot(scene(1422, 800), SIZE, 1, LEFT)))
    try:
        return asyncio.run(Client(server.url, frame).closed(1, seconds)).percentile(50)
    finally:
        over.set()
        thread.join()


def measure(engines: list[str], memory: bool) -> dict[str, object]:
    """Seconds, megabytes and ratios of each engine."""
    video = minute()
    figures: dict[str, dict[str, list[float]]] = {}
    results: dict[str, object] = {}
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(engine)) for engine in engines]
        for server in servers:
            ask(server, video, "10s")
        for _ in range(ROUNDS):
            for server in servers:
                one = figures.setdefault(server.name, {})
                alone = floor(video)
                single = portrait_beside(server, None, 3)
                with highest(server) as most:
                    seconds, faces = ask(server, video)
                beside = portrait_beside(server, video, 5)
                bound = alone + SAMPLES * single / 1000
                for name, value in {
                    "seconds": seconds, "seconds of decoding alone": alone, "ms of /predict": single, "faces": faces,
                    "seconds over decoding and /predict": seconds / bound, "megabytes above idle": most[0],
                    "ms of /predict beside a video": beside, "/predict beside a video over alone": beside / single,
                }.items():  # fmt: skip
                    one.setdefault(name, []).append(value)
        results |= {
            engine: {name: statistics.median(values) for name, values in one.items()} for engine, one in figures.items()
        }
        if memory:
            long = hour()
            for server in servers:
                with highest(server) as most:
                    seconds, _ = ask(server, long, "1s")
                results[f"{server.name}, an hour of 1920x1080"] = {
                    "megabytes of the file": len(long) / 1e6, "megabytes above idle": most[0], "seconds": seconds
                }  # fmt: skip
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["keras", "litert"], action="append", help="both by default")
    parser.add_argument("--memory", action="store_true", help="an hour of 1920x1080 too; takes many minutes")
    arguments = parser.parse_args()
    os.environ |= {"EMOTION_MAX_VIDEO_SECONDS": str(HOUR)}
    print(json.dumps(measure(arguments.engine or ["keras", "litert"], arguments.memory), indent=2))


if __name__ == "__main__":
    main()
