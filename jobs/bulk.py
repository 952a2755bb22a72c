"""Name the expressions in millions of pictures, and in videos.

    expressions bulk pictures/ --out results.parquet
    expressions bulk pictures/ --out results.csv --report report.html
    expressions bulk 'shards/*.tar' --out results.parquet --engine ray

SOURCE is a folder, a glob, a tar archive, or @FILE with a path on each line.
The same command continues a job that was stopped: OUT.parts holds what is
finished until OUT itself is complete. The settings are those of the service;
EMOTION_ENGINE=litert is the fastest. Exit status: 0 when every picture was
answered (one without a face is), 1 when one could not be, 2 when nothing could
be done, 130 when interrupted.
"""

import argparse
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from app.cli.predict import add_every, add_selection, selection
from app.cli.terminal import command_parser, progress, quiet, say
from app.errors import NoFace, StartError
from app.settings import Settings, cannot
from jobs import report, rows
from jobs.sources import Plan, PlanError, plan
from jobs.worker import Worker

SHARD = 500
"""Pictures in a shard. A stopped job repeats the unfinished shard of each worker."""


Engine = Callable[[Plan, Settings], Iterator[int]]
"""Answers the unfinished shards of a job. It yields the number of pictures answered since the last time."""


def local(job: Plan, settings: Settings) -> Iterator[int]:
    """Run a job in this process."""
    with quiet():
        loaded = Worker(settings, job.selection, job.every)
    with loaded as worker:
        for shard in job.open_shards():
            yield from worker.answers(job.names(shard), job.part(shard))


def on_ray(job: Plan, settings: Settings) -> Iterator[int]:
    """Run a job on a Ray cluster."""
    from jobs.ray_data import answered  # noqa: PLC0415

    return answered(job, settings)


ENGINES: dict[str, Engine] = {"local": local, "ray": on_ray}

EXTRAS = {"pyarrow": "parquet", "ray": "ray"}
"""The extra that installs each package that only some jobs need."""


def check(out: Path, engine: str) -> None:
    """Check that the packages that a job needs are installed.

    Raises:
        StartError: one is missing.
    """
    needed = {"pyarrow": out.suffix == ".parquet", "ray": engine == "ray"}
    for package, extra in EXTRAS.items():
        if needed[package] and find_spec(package) is None:
            what = "results in Parquet need" if package == "pyarrow" else "the engine ray needs"
            raise StartError(f"{what} {package}; install the extra {extra}: pip install '.[{extra}]'")


def run(job: Plan, engine: Engine, settings: Settings) -> None:
    """Answer the unfinished shards with progress on standard error, and merge the results."""
    left = job.open_shards()
    total = sum(len(job.names(shard)) for shard in left) if job.counted else None
    if left:
        with progress() as bar:
            task = bar.add_task("", total=total)
            for pictures in engine(job, settings):
                bar.advance(task, pictures)
    rows.merge(job.parts(), job.out)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser("bulk", __doc__)
    parser.add_argument("source", metavar="SOURCE", help="a folder, a glob, a tar archive, or @FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="results, .parquet or .csv")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="this process, or a Ray cluster")
    parser.add_argument("--shard", type=int, default=SHARD, metavar="N", help="pictures of one shard")
    add_every(parser)
    add_selection(parser)
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="counts and contact sheets")
    arguments = parser.parse_args(words)
    if arguments.out.suffix not in (".parquet", ".csv"):
        parser.error("--out must end in .parquet or .csv")
    if arguments.shard < 1:
        parser.error("--shard must be at least 1")
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists; move it away first")
    return arguments


def main(words: Sequence[str] | None = None) -> int:
    """Run the command on `words`, the arguments of the process by default; returns the exit status."""
    arguments = _arguments(words)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        check(arguments.out, arguments.engine)
        settings = Settings()
        job = plan(arguments.source, arguments.out.absolute(), arguments.shard, selection(arguments), arguments.every)
        run(job, ENGINES[arguments.engine], settings)
        summary = report.summarize(rows.read(job.out))
        if arguments.report:
            arguments.report.write_text(report.page(summary, settings), encoding="utf-8")
    except KeyboardInterrupt:
        say("Stopped; the same command goes on from here.")
        return 130
    except (ValidationError, StartError, PlanError, OSError, ImportError) as error:
        say(cannot("go on", error))
        return 2
    shutil.rmtree(job.folder)
    sys.stdout.write(summary.text())
    return 1 if any(code != NoFace.code for code in summary.codes) else 0
