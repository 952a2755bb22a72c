"""A bulk job on a Ray cluster: Ray Data hands out the shards, actors hold the model and write the results.

Every node sees the pictures and the job's folder under the same paths, as on a shared file system. What an actor or a
node was at when it was lost, Ray gives to another one, and the results of a shard are written whole or not at all.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from app.settings import Settings
from jobs.sources import Plan
from jobs.worker import Worker

CPUS = 2
"""Processors for which there is one actor. It claims only one of them, so that Ray's own tasks find room, uses both."""

Rows = dict[str, NDArray[Any]]


class Answer:
    """One actor, which holds one model."""

    def __init__(self, job: Plan, settings: Settings) -> None:
        self._job = job
        self._worker = Worker(settings, job.selection)

    def __call__(self, shards: Rows) -> Rows:
        """Answer shards by number; how many pictures each has."""
        return {"pictures": np.array([self._answer(int(shard)) for shard in shards["shard"]])}

    def _answer(self, shard: int) -> int:
        return sum(self._worker.answers(self._job.names(shard), self._job.part(shard)))


def answered(job: Plan, settings: Settings) -> Iterator[int]:
    """Answer the open shards on the cluster that RAY_ADDRESS names, or on this machine; yields each one's pictures."""
    if not ray.is_initialized():
        # Otherwise Ray looks for the last cluster of this machine, and waits for minutes when that has crashed.
        ray.init(os.environ.get("RAY_ADDRESS", "local"), log_to_driver=False, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    workers = max(1, int(ray.cluster_resources()["CPU"]) // CPUS)
    shards = ray.data.from_items([{"shard": shard} for shard in job.open_shards()])
    answers = shards.repartition(target_num_rows_per_block=1).map_batches(
        Answer,
        fn_constructor_args=(job, settings),
        batch_size=1,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    for row in answers.iter_rows():
        yield int(row["pictures"])
