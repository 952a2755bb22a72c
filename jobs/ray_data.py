"""Runs a bulk job on a Ray cluster: Ray Data hands out the shards, and actors hold the model and write the results.

Every node must see the pictures and the job's folder under the same paths, as on a shared file system. Ray gives the
shard of a lost actor or node to another one. The results of a shard are written whole or not at all.
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
"""Processors for each actor. An actor uses both and claims one, so that Ray's own tasks find room."""

Rows = dict[str, NDArray[Any]]


class Answer:
    """An actor, which holds a model."""

    def __init__(self, job: Plan, settings: Settings) -> None:
        self._job = job
        self._worker = Worker(settings, job.selection, job.every)

    def __call__(self, shards: Rows) -> Rows:
        """Answer shards by number; returns the number of pictures in each."""
        return {"pictures": np.array([self._answer(int(shard)) for shard in shards["shard"]])}

    def _answer(self, shard: int) -> int:
        return sum(self._worker.answers(self._job.names(shard), self._job.part(shard)))


def answered(job: Plan, settings: Settings) -> Iterator[int]:
    """Answer the unfinished shards on the cluster that RAY_ADDRESS names, or on this machine.

    Yields:
        The number of pictures in each shard, when it is done.
    """
    if not ray.is_initialized():
        # Without an address Ray looks for the last cluster of this machine, and waits for minutes if that has crashed.
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
