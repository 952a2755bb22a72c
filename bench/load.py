"""Posts one picture many times, in a closed loop or on a schedule of arrivals, limited in count and time."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

from bench.connections import Connections

ANSWER_SECONDS = 60
"""Time limit for an answer, in seconds; a later one counts as a failure."""

AFTER_FAILURE = 0.2
"""Pause of a client after a lost request, in seconds. The sockets of a dying process close one by one, and the next
request would be lost too.
"""


@dataclass
class Outcome:
    """Results of one run of a client; times in seconds.

    Attributes:
        seconds: time from the first request to the last answer.
        latencies: latencies of answers 200, from the time at which the request was due.
        refusals: latencies of answers 503, likewise.
        failures: number of other answers and broken connections.
        stages: mean milliseconds of each stage, as the answers report them.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    failures: int = 0
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers 200 per second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Latency of answers 200, in milliseconds."""
        return 1000 * float(np.percentile(self.latencies, share)) if self.latencies else float("nan")


class Client:
    """Posts `picture` to a service's `/predict`."""

    def __init__(self, url: str, picture: bytes) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 80
        boundary = "bench"
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        body = part.encode() + picture + f"\r\n--{boundary}--\r\n".encode()
        head = (
            f"POST /predict HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: multipart/form-data; boundary={boundary}\r\n\r\n"
        )
        self._request = head.encode() + body

    async def closed(self, in_flight: int, seconds: float, most: int = 10_000) -> Outcome:
        """Keep `in_flight` requests running until the time is over or `most` are sent."""
        outcome, left = Outcome(), most
        started = time.perf_counter()

        async def worker(connections: Connections) -> None:
            nonlocal left
            while left > 0 and time.perf_counter() - started < seconds:
                left -= 1
                if not await self._post(connections, outcome, time.perf_counter()):
                    await asyncio.sleep(AFTER_FAILURE)

        async with Connections(self._host, self._port) as connections:
            await asyncio.gather(*(worker(connections) for _ in range(in_flight)))
        return self._ended(outcome, started)

    async def scheduled(self, rate: float, seconds: float, seed: int = 1) -> Outcome:
        """Send at Poisson times, regardless of the service; a delay before sending counts as latency."""
        random = np.random.default_rng(seed)
        due = np.cumsum(random.exponential(1 / rate, round(rate * seconds)))
        outcome = Outcome()
        started = time.perf_counter()

        async def one(connections: Connections, at: float) -> None:
            await asyncio.sleep(started + at - time.perf_counter())
            await self._post(connections, outcome, started + at)

        async with Connections(self._host, self._port) as connections:
            await asyncio.gather(*(one(connections, float(at)) for at in due))
        return self._ended(outcome, started)

    async def _post(self, connections: Connections, outcome: Outcome, due: float) -> bool:
        """Post once and record the result; return whether the answer was 200 or 503."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, body = await connections.send(self._request)
            answer = json.loads(body)
        except (OSError, EOFError, TimeoutError, ValueError):
            outcome.failures += 1
            return False
        took = time.perf_counter() - due
        if status == 200:
            outcome.latencies.append(took)
            for stage, milliseconds in answer.get("timings_ms", {}).items():
                outcome.stages[stage] = outcome.stages.get(stage, 0.0) + milliseconds
        elif status == 503:
            outcome.refusals.append(took)
        else:
            outcome.failures += 1
            return False
        return True

    @staticmethod
    def _ended(outcome: Outcome, started: float) -> Outcome:
        outcome.seconds = time.perf_counter() - started
        count = max(len(outcome.latencies), 1)
        outcome.stages = {stage: round(total / count, 2) for stage, total in outcome.stages.items()}
        return outcome
