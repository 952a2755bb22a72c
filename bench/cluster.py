"""Compare the service on Ray Serve with that on uvicorn: answers, throughput, and the cost of losing a replica.

python -m bench.cluster --engine litert
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from typing import Any

import httpx2
import ray
from ray import serve

from bench.load import Client, Outcome
from bench.pictures import PICTURES, portrait
from bench.server import Server, free_port, titled
from deploy.ray_serve import ENVIRONMENT, Size, app

ROUNDS = 7
IN_FLIGHT = 8
REPLICAS = ("Model", "Service")


def start(engine: str) -> str:
    """Start the service on a local Ray; return its URL."""
    os.environ |= ENVIRONMENT
    settings = {name: value for name, value in os.environ.items() if name.startswith("EMOTION_")}
    ray.init(
        "local",
        log_to_driver=False,
        include_dashboard=False,
        runtime_env={"env_vars": settings | {"EMOTION_ENGINE": engine}},
    )
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(app(Size(most_services=2, most_models=1)))
    return f"http://127.0.0.1:{port}"


def difference(one: str, other: str) -> float:
    """Largest difference between the probabilities of two services; everything else must be equal."""
    largest = 0.0
    for picture in PICTURES.values():
        answers = [httpx2.post(f"{url}/predict", content=picture(), timeout=60).json() for url in (one, other)]
        for mine, theirs in zip(*(answer["faces"] for answer in answers), strict=True):
            for name, probability in mine["probabilities"].items():
                largest = max(largest, abs(probability - theirs["probabilities"][name]))
            for name in ("emotion", "face_coordinates", "certain", "plausible", "message"):
                if mine[name] != theirs[name]:
                    raise RuntimeError(f"{name}: {mine[name]} on uvicorn, {theirs[name]} on Ray Serve")
    return largest


async def loss(url: str, replica: str, seconds: float) -> dict[str, Any]:
    """Kill a replica while requests are in flight; count the failures and measure the time to recovery."""
    client = Client(url, portrait())
    running = asyncio.create_task(client.closed(IN_FLIGHT, seconds))
    await asyncio.sleep(seconds / 4)
    titled(f"ray::ServeReplica:default:{replica}")[0].kill()
    killed = time.perf_counter()
    outcome: Outcome = await running
    while (await client.closed(IN_FLIGHT, 1, IN_FLIGHT)).failures:
        if time.perf_counter() - killed > 60:
            raise RuntimeError(f"no recovery from the loss of {replica}")
    return {
        "answered": len(outcome.latencies),
        "failed": outcome.failures,
        "refused": len(outcome.refusals),
        "recovered after s": round(max(outcome.latencies), 1),
    }


def measure(engine: str, seconds: float) -> dict[str, Any]:
    """Run all measurements, with both services on one machine."""
    on_ray = start(engine)
    with Server(engine) as server:
        clients = {"uvicorn": Client(server.url, portrait()), "ray": Client(on_ray, portrait())}
        rates: dict[str, list[float]] = {name: [] for name in clients}
        apart = difference(server.url, on_ray)
        for client in clients.values():
            asyncio.run(client.closed(IN_FLIGHT, seconds))
        for _ in range(ROUNDS):
            for name, client in clients.items():
                rates[name].append(asyncio.run(client.closed(IN_FLIGHT, seconds)).rate)
    return {
        "largest difference of a probability": apart,
        "portraits per second": {name: round(statistics.median(each), 1) for name, each in rates.items()},
        "ray over uvicorn": round(statistics.median(rates["ray"]) / statistics.median(rates["uvicorn"]), 3),
        **{f"loss of {name}": asyncio.run(loss(on_ray, name, 2 * seconds + 4)) for name in REPLICAS},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["keras", "litert"], default="litert")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    print(json.dumps(measure(options.engine, options.seconds), indent=2))


if __name__ == "__main__":
    main()
