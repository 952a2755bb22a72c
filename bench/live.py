"""Measure a camera in real time: answered frames per second, and the latency of the answers.

python -m bench.live --engine litert --rate 100
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from bench.hostile import flood
from bench.pictures import people
from bench.server import Server

SIZE = (640, 480)
RATE = 30.0
"""Frames per second of the camera."""

UNANSWERED = 2
"""Most unanswered frames, as on the demo page: one in progress and one waiting."""


@dataclass
class Outcome:
    """Results of one camera.

    Attributes:
        seconds: time from the first frame to the last answer.
        latencies: seconds from each frame to its answer.
        skipped: frames that were not sent, because two were unanswered.
        faces: faces in all answers.
        ids: numbers of the tracked faces.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    skipped: int = 0
    faces: int = 0
    ids: set[int] = field(default_factory=set)

    def summary(self) -> dict[str, float]:
        """Frames per second, latencies in milliseconds, and faces."""
        p50, p95, p99 = (1000 * float(np.percentile(self.latencies, share)) for share in (50, 95, 99))
        return {
            "frames per second": round(len(self.latencies) / self.seconds, 1),
            "p50 ms": round(p50, 1),
            "p95 ms": round(p95, 1),
            "p99 ms": round(p99, 1),
            "within 150 ms": round(float(np.mean(np.array(self.latencies) <= 0.150)), 4),
            "skipped": self.skipped,
            "faces per frame": round(self.faces / len(self.latencies), 2),
            "faces told apart": len(self.ids),
        }


def frames(count: int = 60) -> list[bytes]:
    """Frames of a swaying face, as JPEG files of 640x480 at quality 80."""
    return [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes() for image in swaying(count)]


def swaying(count: int) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """The same frames as pixels, uint8 [480, 640, 3] BGR; they form a loop."""
    person = cv2.cvtColor(people()[0][:400, 60:460], cv2.COLOR_RGB2BGR)
    random = np.random.default_rng(0)
    for number in range(count):
        turn = 2 * np.pi * number / count
        scale = 1 + 0.05 * np.sin(2 * turn)
        place = np.array([[scale, 0, 120 + 60 * np.sin(turn)], [0, scale, 60 + 20 * np.cos(turn)]])
        image = cv2.warpAffine(person, place, SIZE, borderMode=cv2.BORDER_REPLICATE)
        noise = random.normal(0, 3, image.shape)
        yield np.clip(image + noise, 0, 255).astype(np.uint8)


async def camera(url: str, pictures: list[bytes], seconds: float, rate: float = RATE) -> Outcome:
    """Send frames at the camera's rate; skip a frame while `UNANSWERED` frames have no answer."""
    outcome, sent, all_answered = Outcome(), dict[int, float](), asyncio.Event()
    async with connect(f"{url.replace('http', 'ws', 1)}/live", compression=None) as socket:
        started = time.perf_counter()
        receiving = asyncio.create_task(_receive(socket, outcome, sent, all_answered))
        number = 0
        for tick in range(round(rate * seconds)):
            await asyncio.sleep(started + tick / rate - time.perf_counter())
            if len(sent) >= UNANSWERED:
                outcome.skipped += 1
                continue
            number += 1
            sent[number] = time.perf_counter()
            all_answered.clear()
            await socket.send(pictures[tick % len(pictures)])
        await all_answered.wait()
        outcome.seconds = time.perf_counter() - started
        receiving.cancel()
    return outcome


async def _receive(
    socket: ClientConnection, outcome: Outcome, sent: dict[int, float], all_answered: asyncio.Event
) -> None:
    async for message in socket:
        answer = json.loads(message)
        now = time.perf_counter()
        outcome.latencies.append(now - sent[answer["frame"]])
        for number in [one for one in sent if one <= answer["frame"]]:
            del sent[number]
        if not sent:
            all_answered.set()
        outcome.faces += len(answer["faces"])
        outcome.ids |= {face["id"] for face in answer["faces"]}


async def beside(url: str, pictures: list[bytes], seconds: float, rate: float, other: str) -> Outcome:
    """Run `camera` while another client uses a camera or floods the service."""
    if other == "another camera":
        outcome, _ = await asyncio.gather(*(camera(url, pictures, seconds, rate) for _ in range(2)))
    else:
        outcome, _ = await asyncio.gather(camera(url, pictures, seconds, rate), flood(url, pictures[0], seconds))
    return outcome


def main() -> None:
    """Run a camera alone and next to other clients, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["keras", "litert"], default="keras")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=RATE, help="frames a second that the camera gives")
    options = parser.parse_args()
    pictures = frames()
    with Server(options.engine) as server:
        asyncio.run(camera(server.url, pictures, 2))
        summaries = {"alone": asyncio.run(camera(server.url, pictures, options.seconds, options.rate)).summary()}
        for other in ("another camera", "a flood"):
            outcome = asyncio.run(beside(server.url, pictures, options.seconds, options.rate, other))
            summaries[f"beside {other}"] = outcome.summary()
    print(json.dumps(summaries, indent=2))


if __name__ == "__main__":
    main()
