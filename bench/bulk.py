"""Test bulk jobs: their rate compared with the bare pipeline's, memory, a killed actor, a removed node.

EMOTION_ENGINE=litert python -m bench.bulk
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
from PIL import Image
from ray.cluster_utils import Cluster

from app.bootstrap import running
from app.concurrency import TASKS_PER_THREAD, ordered_map
from app.errors import ServiceError
from app.settings import Settings
from bench.pictures import people
from bench.server import titled
from jobs import ray_data, rows
from jobs.bulk import Engine, local, run
from jobs.sources import Plan, plan

SHARD = 100
POISONED = 20


def generate(folder: Path, count: int) -> None:
    """Write portraits, each with its own rotation and size, and `POISONED` broken files among them."""
    random = np.random.default_rng(0)
    portraits = [Image.fromarray(pixels) for pixels in people()]
    poison = set(random.choice(count, POISONED, replace=False))
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        if number in poison:
            path.write_bytes(b"\xff\xd8" + random.bytes(500))
        else:
            side = int(random.integers(350, 600))
            portraits[number % 2].rotate(random.uniform(-8, 8)).resize((side, side)).save(path, quality=88)


async def bare(paths: list[Path], settings: Settings) -> float:
    """Pictures per second of the pipeline alone, without a plan, rows or results."""
    settings = settings.with_unbounded_queue()

    async def given() -> AsyncIterator[bytes]:
        for path in paths:
            yield await asyncio.to_thread(path.read_bytes)

    async with running(settings) as (analyzer, _):

        async def answer(data: bytes) -> None:
            try:
                await analyzer.analyze(data)
            except ServiceError:
                return

        started = time.perf_counter()
        async with aclosing(ordered_map(answer, given(), TASKS_PER_THREAD * settings.picture_threads)) as answers:
            async for _ in answers:
                pass
        return len(paths) / (time.perf_counter() - started)


def timed(folder: Path, out: Path, engine: Engine, settings: Settings) -> dict[str, Any]:
    """Run a job; return its pictures per second after the first answer, its row counts and this process' memory."""
    moments: list[tuple[float, int, float]] = []

    def watched(job: Plan, settings: Settings) -> Any:
        for pictures in engine(job, settings):
            moments.append((time.perf_counter(), pictures, psutil.Process().memory_info().rss / 1e6))
            yield pictures

    job = plan(str(folder), out, SHARD)
    run(job, watched, settings)
    seconds = moments[-1][0] - moments[0][0]
    return {
        "pictures per second": round(sum(count for _, count, _ in moments[1:]) / seconds, 1),
        "resident MB after a quarter, at the end": [round(moments[at][2]) for at in (len(moments) // 4, -1)],
        **accounted(folder, out),
    }


def accounted(folder: Path, out: Path) -> dict[str, int]:
    """Count the pictures that have their rows once, are lost, or appear twice, and the error rows."""
    wanted = Counter(str(path) for path in folder.rglob("*.jpg"))
    found = list(rows.read(out))
    first = Counter(row["file"] for row in found if not row["face"])
    return {
        "accounted for": (first & wanted).total(),
        "lost": (wanted - first).total(),
        "twice": (first - wanted).total(),
        "error rows": sum(row["code"] == "invalid_image" for row in found),
    }


def killing(job: Plan, settings: Settings) -> Any:
    """The Ray engine with its actor killed after two shards."""
    for number, pictures in enumerate(ray_data.answered(job, settings)):
        yield pictures
        if number == 1:
            titled("ray::Map")[0].kill()


def losing(job: Plan, settings: Settings) -> Any:
    """The Ray engine on two nodes, one of which is removed after three shards."""
    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 2})
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    try:
        for number, pictures in enumerate(ray_data.answered(job, settings)):
            yield pictures
            if number == 2:
                cluster.remove_node(node, allow_graceful=False)
    finally:
        ray.shutdown()
        cluster.shutdown()


def measure(count: int) -> dict[str, Any]:
    """Run all measurements, one after the other."""
    settings = Settings()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "pictures"
        folder.mkdir()
        generate(folder, count)
        results: dict[str, Any] = {"bare pipeline, pictures per second": []}
        for name, engine in (("local", local), ("ray, an actor killed", killing), ("two nodes, one removed", losing)):
            results["bare pipeline, pictures per second"].append(
                round(asyncio.run(bare(sorted(folder.rglob("*.jpg")), settings)), 1)
            )
            out = Path(scratch) / f"{name}.csv"
            results[name] = timed(folder, out, engine, settings)
            ray.shutdown()
        results["all the same"] = len({path.read_bytes() for path in Path(scratch).glob("*.csv")}) == 1
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    options = parser.parse_args()
    print(json.dumps(measure(options.pictures), indent=2))


if __name__ == "__main__":
    main()
