"""Find the faces in files and name their expressions, without a server.

    expressions predict photo.jpg clip.mp4 folder/
    expressions predict --csv --every 0.5s --plot clip.png clip.mp4 > clip.csv
    curl -s https://example.org/photo.jpg | expressions predict --json -

Prints a table, JSON Lines or CSV, in the order of the arguments and of the
names in a folder. The settings are those of the service. Exit status: 0 when
every file was answered (a picture without a face is), 1 when one could not be,
2 when nothing could be done or there was nothing to do, 130 when interrupted.
"""

import argparse
import asyncio
import json
import logging
import math
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from io import TextIOWrapper
from itertools import count
from pathlib import Path
from typing import NamedTuple, TextIO

from pydantic import ValidationError

from app.analyzer import Analyzer
from app.bootstrap import load, running
from app.cli import rows
from app.cli.inputs import STDIN, InputFile, PassedOver, files
from app.cli.terminal import command_parser, counted, progress, quiet, say
from app.concurrency import TASKS_PER_THREAD, ordered_map
from app.errors import NoFace, ServiceError, StartError
from app.schemas import Prediction
from app.settings import Settings, cannot
from app.vision import chart, video
from app.vision.chart import Moment, Timeline
from app.vision.faces import EVERY_FACE, Selection, Source

MAX_PANELS = 20
"""Most videos in one plot."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Task(NamedTuple):
    """A picture, or a frame at a time in seconds; or the code and words of the error that keeps it from being read."""

    file: InputFile
    time: float | None
    picture: Source = b""
    error: tuple[str, str] | None = None


class Outcome(NamedTuple):
    """The result of a task: a prediction, or the code and words of an error."""

    file: InputFile
    time: float | None
    prediction: Prediction | None = None
    error: tuple[str, str] | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None and self.error[0] != NoFace.code


Write = Callable[[Outcome], None]


class Tally:
    """Counts the outcomes."""

    def __init__(self) -> None:
        self.failed = 0
        self._pictures = 0
        self._frames = 0
        self._without = 0
        self._faces: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        if outcome.time is not None:
            self._frames += 1
        elif not outcome.file.is_video:
            self._pictures += 1
        if outcome.failed:
            self.failed += 1
        elif outcome.error is not None:
            self._without += 1
        if outcome.prediction is not None:
            self._faces.update(face.emotion for face in outcome.prediction.faces)

    def __str__(self) -> str:
        labels = ", ".join(f"{number} {label}" for label, number in self._faces.most_common())
        asked = [(self._pictures, "picture"), (self._frames, "frame")]
        inputs = " and ".join(counted(number, noun) for number, noun in asked if number) or "0 pictures"
        words = f"{inputs}, {counted(self._faces.total(), 'face')}"
        if labels:
            words += f": {labels}"
        if self._without:
            words += f"; {self._without} without a face"
        if self.failed:
            words += f"; {self.failed} without an answer"
        return words


async def tasks(given: list[InputFile], every: video.SamplingStep, max_bytes: int) -> AsyncIterator[Task]:
    """Read the pictures and frames of the given files, each when it is asked for."""
    for file in given:
        try:
            if file.content is not None:
                yield Task(file, None, file.content)
            elif file.is_video and file.path.stat():
                frames = video.sampled_frames(file.path, every)
                while (frame := await asyncio.to_thread(next, frames, None)) is not None:
                    yield Task(file, frame.time, frame.pixels)
            else:
                yield Task(file, None, await asyncio.to_thread(_read, file.path, max_bytes + 1))
        except OSError as error:
            yield Task(file, None, error=("unreadable", f"The file cannot be read: {error.strerror}."))
        except video.InvalidVideo as error:
            yield Task(file, None, error=("invalid_video", str(error)))


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(most)


def worker(analyzer: Analyzer, folder: Path | None, faces: Selection) -> Callable[[Task], Awaitable[Outcome]]:
    """Make the function that answers a task. It draws the selected faces into `folder` unless that is None."""
    used: set[Path] = set()

    async def work(task: Task) -> Outcome:
        if task.error is not None:
            return Outcome(task.file, task.time, error=task.error)
        path = None if folder is None else _unused(folder, task, used)
        try:
            if path is None:
                prediction = (await analyzer.analyze(task.picture, faces)).prediction
            else:
                prediction, drawing = await analyzer.annotate(task.picture, "JPEG", faces)
                await asyncio.to_thread(_write_file, path, drawing)
        except ServiceError as error:
            return Outcome(task.file, task.time, error=(error.code, str(error)))
        return Outcome(task.file, task.time, prediction)

    return work


def _unused(folder: Path, task: Task, used: set[Path]) -> Path:
    place = task.file.drawing
    stem = str(place) if task.time is None else f"{place}/{task.time:09.3f}s"
    names = (folder / f"{stem}{'' if number == 1 else f'-{number}'}.jpg" for number in count(1))
    path = next(path for path in names if path not in used)
    used.add(path)
    return path


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def table(out: TextIO) -> Write:
    """Write a table for people."""
    from app.cli.table import FaceTable  # noqa: PLC0415

    shown = FaceTable(out)
    last: InputFile | None = None

    def write(outcome: Outcome) -> None:
        nonlocal last
        if outcome.file is not last:
            shown.file(str(outcome.file.path))
            last = outcome.file
        if outcome.error is not None:
            code, words = outcome.error
            shown.words("no face" if code == NoFace.code else f"error: {words}", outcome.time)
        if outcome.prediction is not None:
            shown.faces(outcome.prediction.faces, outcome.time)

    return write


def csv_rows(out: TextIO) -> Write:
    """Write CSV: a header, a line for each face, and a line for each picture without one."""
    writer = rows.csv_writer(out)

    def write(outcome: Outcome) -> None:
        file, time = str(outcome.file.path), outcome.time
        if outcome.error is not None:
            writer.writerow(rows.refused(file, *outcome.error, time=time))
        if outcome.prediction is not None:
            writer.writerows(rows.answered(file, outcome.prediction, time))

    return write


def json_lines(out: TextIO) -> Write:
    """Write a JSON object for each picture or frame: what `/predict` answers, or `error` and `code`."""

    def write(outcome: Outcome) -> None:
        body: dict[str, object] = {"file": str(outcome.file.path), "time": outcome.time}
        if outcome.prediction is not None:
            body |= outcome.prediction.model_dump(include={"faces", "image"})
        elif outcome.error is not None:
            body |= {"error": outcome.error[1], "code": outcome.error[0]}
        out.write(json.dumps(body) + "\n")

    return write


async def run(options: argparse.Namespace, settings: Settings, given: list[InputFile], passed_over: PassedOver) -> bool:
    """Answer files and write to standard output. Returns whether every picture was answered."""
    settings = settings.with_unbounded_queue()
    moments: dict[InputFile, list[Moment]] = {}
    tally = Tally()
    with quiet():
        parts = await asyncio.to_thread(load, settings)
    async with running(settings, parts) as (analyzer, _):
        write = options.form(sys.stdout)
        work = worker(analyzer, options.annotated, selection(options))
        asked = tasks(given, options.every, settings.max_file_bytes)
        # A pipe may end in the terminal that shows the bar, a file does not.
        with progress(sys.stdout.isatty() or sys.stdout.seekable()) as bar:
            task = bar.add_task("", total=None if bar.disable else _total(given, options.every))
            async with aclosing(ordered_map(work, asked, TASKS_PER_THREAD * settings.picture_threads)) as outcomes:
                async for outcome in outcomes:
                    tally.add(outcome)
                    bar.stop()  # Both may be on one terminal.
                    write(outcome)
                    sys.stdout.flush()
                    bar.start()
                    bar.advance(task)
                    if options.plot and outcome.time is not None:
                        probabilities = outcome.prediction.probabilities if outcome.prediction else None
                        moments.setdefault(outcome.file, []).append(Moment(outcome.time, probabilities))
    if options.form is table or sys.stderr.isatty():
        say(f"{tally}.")
        if passed_over:
            say(f"Passed over: {passed_over}.")
    if options.plot:
        _plot(options.plot, [Timeline(str(file.path), times) for file, times in moments.items()])
    return not tally.failed


def _total(given: list[InputFile], every: video.SamplingStep) -> int:
    return sum(video.expected_frames(file.path, every) if file.is_video else 1 for file in given)


def _plot(path: Path, timelines: list[Timeline]) -> None:
    if not timelines:
        say("No plot: there was no readable video.")
        return
    if len(timelines) > MAX_PANELS:
        say(f"The plot shows the first {MAX_PANELS} of {len(timelines)} videos.")
    chart.draw(timelines[:MAX_PANELS]).save(path, "PNG")


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options that `selection` reads to a command."""
    parser.add_argument("--limit", type=_limit, metavar="N", help="most faces of a picture, the largest")
    parser.add_argument(
        "--min-detection",
        type=_share,
        default=EVERY_FACE.min_detection,
        metavar="SHARE",
        help="least confidence that it is a face, 0 to 1; %(default)s by default",
    )


def selection(options: argparse.Namespace) -> Selection:
    """Which faces a command's options ask for."""
    return Selection(options.limit, options.min_detection)


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _every(text: str) -> video.SamplingStep:
    try:
        return video.SamplingStep.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither seconds (0.5s) nor frames (10f)") from None


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("predict", __doc__)
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="pictures, videos, and folders of them; - is a picture on standard input",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", dest="form", action="store_const", const=json_lines, help="print JSON Lines")
    forms.add_argument("--csv", dest="form", action="store_const", const=csv_rows, help="print CSV")
    parser.add_argument("--annotated", type=Path, metavar="DIR", help="draw what is found over each picture, into DIR")
    parser.add_argument(
        "--every",
        type=_every,
        default="1s",
        metavar="STEP",
        help="from one sample of a video to the next: seconds (0.5s) or frames (10f); %(default)s by default",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the videos' expressions over time")
    add_selection(parser)
    parser.set_defaults(form=table)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run the command on `words`, the arguments of the process by default; returns the exit status."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly.
    options = _parser().parse_args(words)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if isinstance(sys.stdout, TextIOWrapper):
        if options.form is csv_rows:
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # Names of files are bytes.
        else:
            sys.stdout.reconfigure(errors="replace")
    try:
        settings = Settings()
        if address := next(filter(_ADDRESS.match, options.paths), None):
            say(f"{address} is an address, and nothing is fetched: give a file, or - for a picture on standard input.")
            return 2
        stdin = sys.stdin.buffer.read(settings.max_file_bytes + 1) if STDIN in options.paths else b""
        passed_over = PassedOver()
        given = list(files(options.paths, stdin, passed_over))
        if not given:
            others = f"; there are {passed_over}" if passed_over else ""
            say(f"There is no picture and no video in {', '.join(options.paths)}{others}.")
            return 2
        return 0 if asyncio.run(run(options, settings, given, passed_over)) else 1
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
    except (ValidationError, StartError, OSError) as error:
        say(cannot("go on", error))
        return 2
