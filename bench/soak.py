"""Send many good and hostile requests to one service, and watch for leaks.

    python -m bench.soak --requests 20000

It prints the service's resident memory, file descriptors and threads after each thousand requests.
"""

import argparse
import asyncio
import random
import time

import aiohttp
import psutil

from bench.hostile import REFUSED, Send, post, requests
from bench.load import ANSWER_SECONDS
from bench.malicious_images import PIXELS
from bench.pictures import frame, group, portrait
from bench.server import Server

WORKERS = 6
HOSTILE = 0.3
"""Share of hostile requests."""

LARGE = 0.005
"""Share of requests with pictures of 49 megapixels."""


async def soak(server: Server, count: int, every: int) -> None:
    """Send `count` requests, and print the state of the service after each `every`."""
    kinds: tuple[list[bytes | Send], ...] = (
        [portrait(), frame(), group()],
        [*requests()],
        [post("/predict", make()) for make in PIXELS.values()],
    )
    chance = random.Random(0)
    shares = (1 - HOSTILE - LARGE, HOSTILE, LARGE)
    plan = [chance.choice(kind) for kind in chance.choices(kinds, shares, k=count)]
    done, started = 0, time.perf_counter()

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while plan:
            await _one(session, server.url, plan.pop())
            done += 1
            if done % every == 0:
                print(f"{done:6} requests, {time.perf_counter() - started:6.0f} s: {_state(server)}", flush=True)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)) as session:
        await asyncio.gather(*(worker(session) for _ in range(WORKERS)))
    await asyncio.sleep(6)  # Idle connections close within this time.
    print(f"at rest: {_state(server)}")


async def _one(session: aiohttp.ClientSession, url: str, request: bytes | Send) -> None:
    if not isinstance(request, bytes):
        try:
            status = await request(session, url)
        except (aiohttp.ClientError, ConnectionError):
            return  # The service closed the connection on a body that it had refused.
        if status not in REFUSED:
            raise RuntimeError(f"a hostile request was answered with {status}")
        return
    async with session.post(f"{url}/predict", data=request) as answer:
        await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"a good picture was answered with {answer.status}")


def _state(server: Server) -> str:
    process = psutil.Process(server.pid)
    return f"{server.resident_megabytes:.1f} MB, {process.num_fds()} files, {process.num_threads()} threads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--engine", choices=["keras", "litert"], default="litert")
    parser.add_argument("--every", type=int, default=1000)
    arguments = parser.parse_args()
    with Server(arguments.engine) as server:
        asyncio.run(soak(server, arguments.requests, arguments.every))


if __name__ == "__main__":
    main()
