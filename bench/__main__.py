"""Measure the service on both engines and the textbook service: interleaved, on the same pictures, in one run.

    python -m bench

It takes seven to ten minutes and needs an otherwise idle machine. It prints everything, and writes `results.json` and
`results.png`.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bench import report
from bench.load import Client, Outcome
from bench.pictures import PICTURES
from bench.server import COMMANDS, Server

CASES = (("portrait", 1), ("portrait", 8), ("portrait", 16), ("photo", 8), ("group", 8), ("frame", 8))
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
ROUNDS = 2
OVERLOAD = 3
OVERLOAD_ROUNDS = 5
TOLERABLE = 5
"""Limit of the 99th percentile at a sustained rate, as a multiple of the unloaded median."""


def measure(seconds: float) -> dict[str, Any]:
    """Measure all figures; `seconds` is the length of one burst of load."""
    pictures = {name: draw() for name, draw in PICTURES.items()}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(Server(name)) for name in tqdm(COMMANDS, desc="start", disable=None)}
        clients = {
            (name, picture): Client(server.url, data)
            for name, server in servers.items()
            for picture, data in pictures.items()
        }
        for client in tqdm(clients.values(), desc="warm", disable=None):
            asyncio.run(client.closed(2, seconds, most=4))
        bursts = _closed(clients, list(servers), seconds)
        services = {
            name: {
                "ready": server.seconds_to_ready,
                **_summary({case: outcomes for (service, case), outcomes in bursts.items() if service == name}),
            }
            for name, server in servers.items()
        }
        for name, one in services.items():
            client = clients[name, "portrait"]
            peak = max(one["throughput"]["portrait, 8 in flight"], one["throughput"]["portrait, 16 in flight"])
            one["sustained"] = _sustained(client, peak, one["alone"]["p50"], seconds, name)
        alone = {name: one["alone"]["p50"] for name, one in services.items()}
        overloads = _overloads({name: clients[name, "portrait"] for name in servers}, alone, seconds)
        for name, one in services.items():
            one["overload"] = overloads[name]
            one["resident MB"] = servers[name].resident_megabytes
    return {
        "machine": report.machine(),
        "services": services,
        "model": {engine: _other("bench.model_roofline", engine) for engine in report.ENGINES},
        "detection": _other("bench.detection", "--json"),
    }


def _closed(
    clients: dict[tuple[str, str], Client], names: list[str], seconds: float
) -> dict[tuple[str, str], list[Outcome]]:
    """Run bursts of each case, alternating between the services."""
    bursts: dict[tuple[str, str], list[Outcome]] = {}
    turns = [(picture, count, name) for _ in range(ROUNDS) for picture, count in CASES for name in names]
    for picture, count, name in tqdm(turns, desc="throughput", disable=None):
        outcome = asyncio.run(clients[name, picture].closed(count, seconds))
        bursts.setdefault((name, f"{picture}, {count} in flight"), []).append(outcome)
    return bursts


def _summary(bursts: dict[str, list[Outcome]]) -> dict[str, Any]:
    alone = [latency for outcome in bursts["portrait, 1 in flight"] for latency in outcome.latencies]
    return {
        "alone": {f"p{share}": 1000 * float(np.percentile(alone, share)) for share in (50, 99)},
        "throughput": {case: float(np.median([one.rate for one in outcomes])) for case, outcomes in bursts.items()},
        "stages": bursts["portrait, 8 in flight"][-1].stages,
    }


def _sustained(client: Client, peak: float, alone: float, seconds: float, name: str) -> float:
    """The highest sustained rate. Each rate has two tries, because one stall of the machine delays more than one
    request in a hundred."""
    best = 0.0
    for share in tqdm(SHARES, desc=f"rates of {name}", disable=None):
        if not any(_holds(client, share * peak, alone, seconds) for _ in range(2)):
            break
        best = share * peak
    return best


def _holds(client: Client, rate: float, alone: float, seconds: float) -> bool:
    outcome = asyncio.run(client.scheduled(rate, 2 * seconds))
    return not (outcome.refusals or outcome.failures or outcome.percentile(99) > TOLERABLE * alone)


def _overloads(clients: dict[str, Client], alone: dict[str, float], seconds: float) -> dict[str, dict[str, float]]:
    """Medians of several overloads, and the sum of their failures, alternating between the services. Each overload is
    compared with the peak just before it, because a machine's speed changes within minutes."""
    bursts: dict[str, list[dict[str, float]]] = {name: [] for name in clients}
    turns = [name for _ in range(OVERLOAD_ROUNDS) for name in clients]
    for name in tqdm(turns, desc="overload", disable=None):
        client = clients[name]
        peak = asyncio.run(client.closed(16, seconds)).rate
        bursts[name].append(_overload(client, peak, alone[name], seconds))
    return {
        name: {
            key: float((np.sum if key == "failures" else np.median)([one[key] for one in several]))
            for key in several[0]
        }
        for name, several in bursts.items()
    }


def _overload(client: Client, peak: float, alone: float, seconds: float) -> dict[str, float]:
    outcome = asyncio.run(client.scheduled(OVERLOAD * peak, 2 * seconds))
    ended = time.perf_counter()
    for _ in range(200):
        if asyncio.run(client.closed(1, 60, most=1)).percentile(50) < 2 * alone:
            break
    return {
        "goodput over peak": outcome.rate / peak,
        "refused": len(outcome.refusals),
        "refusal p99": 1000 * float(np.percentile(outcome.refusals, 99)) if outcome.refusals else 0.0,
        "failures": outcome.failures,
        "recovery": time.perf_counter() - ended,
    }


def _other(module: str, argument: str) -> dict[str, Any]:
    """Run a measurement in its own process."""
    command = [sys.executable, "-m", module, argument]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="length of one burst")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder of results.json and results.png")
    arguments = parser.parse_args()
    results = measure(arguments.seconds)
    print(report.text(results))
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    report.draw(results, arguments.out / "results.png")


if __name__ == "__main__":
    main()
