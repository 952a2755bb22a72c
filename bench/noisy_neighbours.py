"""Measure one client's latencies alone, and next to batches of 16, hostile requests and floods from others.

python -m bench.noisy_neighbours --engine litert
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import aiohttp

from bench.floods import FLOODS
from bench.hostile import requests
from bench.load import ANSWER_SECONDS, Client, Outcome
from bench.pictures import portrait
from bench.server import Server

ROUNDS = 3
SHARE = 0.1
"""Share of hostile requests."""


async def beside(work: Callable[[aiohttp.ClientSession], Awaitable[None]], measure: Awaitable[Outcome]) -> Outcome:
    """Measure while `work` is repeated."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)) as session:

        async def again() -> None:
            while True:
                await work(session)

        task = asyncio.create_task(again())
        try:
            return await measure
        finally:
            task.cancel()


def batch(url: str, picture: bytes) -> Callable[[aiohttp.ClientSession], Awaitable[None]]:
    """Make a function that sends a batch of 16 pictures."""

    async def send(session: aiohttp.ClientSession) -> None:
        form = aiohttp.FormData()
        for number in range(16):
            form.add_field("files", picture, filename=f"{number}.jpg")
        async with session.post(f"{url}/predict/batch", data=form) as answer:
            await answer.read()

    return send


def hostile(url: str, pause: float) -> Callable[[aiohttp.ClientSession], Awaitable[None]]:
    """Make a function that sends the next kind of hostile request, then pauses for `pause` seconds."""
    kinds = requests()
    turn = 0

    async def send(session: aiohttp.ClientSession) -> None:
        nonlocal turn
        turn += 1
        with suppress(aiohttp.ClientError, ConnectionError):  # The service refused it before all was sent.
            await kinds[turn % len(kinds)](session, url)
        await asyncio.sleep(pause)

    return send


@contextmanager
def flooding(url: str, kind: str, seconds: float) -> Iterator[None]:
    """Flood the service from another process inside the context."""
    with subprocess.Popen([sys.executable, "-m", "bench.floods", url, kind, str(seconds)]) as process:
        try:
            yield
        finally:
            process.kill()


def measure(engine: str, seconds: float) -> dict[str, object]:
    """Latencies in milliseconds; the cases alternate."""
    picture = portrait()
    outcomes: dict[str, list[Outcome]] = {"alone": [], "beside batches": [], "steady": [], "beside hostile": []}
    outcomes |= {f"beside {kind}": [] for kind in FLOODS}
    with Server(engine) as server:
        client = Client(server.url, picture)
        peak = asyncio.run(client.closed(8, seconds)).rate
        rate = peak / 2
        for _ in range(ROUNDS):
            outcomes["alone"].append(asyncio.run(client.closed(1, seconds)))
            work = batch(server.url, picture)
            outcomes["beside batches"].append(asyncio.run(beside(work, client.closed(1, seconds))))
            outcomes["steady"].append(asyncio.run(client.scheduled(rate, seconds)))
            work = hostile(server.url, (1 - SHARE) / SHARE / rate)
            outcomes["beside hostile"].append(asyncio.run(beside(work, client.scheduled(rate, seconds))))
            for kind in FLOODS:
                with flooding(server.url, kind, 2 * seconds):
                    outcomes[f"beside {kind}"].append(asyncio.run(client.closed(1, seconds)))
    merged = {name: _merged(parts) for name, parts in outcomes.items()}
    return {
        **{
            name: {"p50": one.percentile(50), "p95": one.percentile(95), "p99": one.percentile(99),
                   "answered": len(one.latencies), "refused": len(one.refusals), "failed": one.failures}
            for name, one in merged.items()
        },
        "p95 beside batches over alone": merged["beside batches"].percentile(95) / merged["alone"].percentile(95),
        "p99 beside hostile over steady": merged["beside hostile"].percentile(99) / merged["steady"].percentile(99),
        **{
            f"p50 beside {kind} over alone": merged[f"beside {kind}"].percentile(50) / merged["alone"].percentile(50)
            for kind in FLOODS
        },
    }  # fmt: skip


def _merged(parts: list[Outcome]) -> Outcome:
    whole = Outcome()
    for part in parts:
        whole.latencies += part.latencies
        whole.refusals += part.refusals
        whole.failures += part.failures
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["keras", "litert"], default="litert")
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.engine, arguments.seconds), indent=2))


if __name__ == "__main__":
    main()
