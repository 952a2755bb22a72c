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
from typing import NamedTuple, Self, TextIO

from pydantic import ValidationError

from app.analyzer import Analysis, Analyzer
from app.answers import rows
from app.answers.timeline import Frame, frames
from app.bootstrap import load, running
from app.cli.inputs import STDIN, InputFile, PassedOver, files
from app.cli.terminal import command_parser, counted, progress, quiet, say
from app.concurrency import TASKS_PER_THREAD, ordered_map
from app.errors import NoFace, ServiceError, StartError
from app.schemas import Face
from app.settings import Settings, cannot
from app.vision import chart
from app.vision.chart import Moment, Panel
from app.vision.faces import EVERY_FACE, Selection, Source
from app.vision.sampling import SamplingStep

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Task(NamedTuple):
    """A picture, or a frame of a video; or the code and words of the error that keeps it from being read."""

    file: InputFile
    picture: Source = b""
    frame: Frame | None = None
    error: tuple[str, str] | None = None


class Outcome(NamedTuple):
    """The result of a task: an analysis, or the code and words of an error.

    Attributes:
        faces: of the analysis; those of a frame are followed.
    """

    file: InputFile
    frame: Frame | None = None
    analysis: Analysis | None = None
    error: tuple[str, str] | None = None
    faces: Sequence[Face] = ()

    @property
    def time(self) -> float | None:
        """That of a frame, in seconds."""
        return None if self.frame is None else self.frame.sample.time

    @property
    def failed(self) -> bool:
        """Whether there is no answer; that there is no face is one."""
        return self.error is not None and self.error[0] != NoFace.code

    def followed(self) -> Self:
        """The same with the faces of a frame followed. Frames are to be followed in their order."""
        if self.frame is None or self.failed:
            return self
        return self._replace(faces=self.frame.followed(self.analysis).faces)


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
        self._faces.update(face.emotion for face in outcome.faces)

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


async def tasks(
    given: list[InputFile], every: SamplingStep, settings: Settings, analyzer: Analyzer, expect: Callable[[int], None]
) -> AsyncIterator[Task]:
    """Read the pictures and frames of the given files, each when it is asked for.

    Args:
        given: the files.
        every: step from one sample of a video to the next.
        settings: the largest picture and the largest frame.
        analyzer: will answer them.
        expect: told how many frames are expected of a video, where that is known.
    """
    for file in given:
        try:
            if file.content is not None:
                yield Task(file, file.content)
            elif file.is_video:
                sampled = frames(file.path, every, settings.recording_limits, analyzer, expect)
                async with aclosing(sampled):
                    async for frame in sampled:
                        yield Task(file, frame.sample.pixels, frame)
            else:
                yield Task(file, await asyncio.to_thread(_read, file.path, settings.max_file_bytes + 1))
        except OSError as error:
            yield Task(file, error=("unreadable", f"The file cannot be read: {error.strerror}."))
        except ServiceError as error:
            yield Task(file, error=(error.code, str(error)))


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(most)


def worker(analyzer: Analyzer, folder: Path | None, faces: Selection) -> Callable[[Task], Awaitable[Outcome]]:
    """Make the function that answers a task. It draws the selected faces into `folder` unless that is None."""
    used: set[Path] = set()

    async def work(task: Task) -> Outcome:
        if task.error is not None:
            return Outcome(task.file, error=task.error)
        path = None if folder is None else _unused(folder, task, used)
        try:
            analysis = await analyzer.analyze(task.picture, faces)
            if path is not None:
                await asyncio.to_thread(_write_file, path, await analyzer.draw(analysis, "JPEG", faces))
        except ServiceError as error:
            return Outcome(task.file, task.frame, error=(error.code, str(error)))
        return Outcome(task.file, task.frame, analysis, faces=analysis.prediction.faces)

    return work


def _unused(folder: Path, task: Task, used: set[Path]) -> Path:
    place = task.file.drawing
    stem = str(place) if task.frame is None else f"{place}/{task.frame.sample.time:09.3f}s"
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
        shown.faces(outcome.faces, outcome.time)

    return write


def csv_rows(out: TextIO) -> Write:
    """Write CSV: a header, a line for each face, and a line for each picture without one."""
    writer = rows.csv_writer(out)

    def write(outcome: Outcome) -> None:
        file, time = str(outcome.file.path), outcome.time
        if outcome.error is not None:
            writer.writerow(rows.refused(file, *outcome.error, time=time))
        if outcome.analysis is not None:
            writer.writerows(rows.answered(file, outcome.faces, outcome.analysis.prediction.model, time))

    return write


def json_lines(out: TextIO) -> Write:
    """Write a JSON object for each picture or frame: what `/predict` answers, or `error` and `code`."""

    def write(outcome: Outcome) -> None:
        body: dict[str, object] = {"file": str(outcome.file.path), "time": outcome.time}
        if outcome.analysis is not None:
            body["faces"] = [face.model_dump() for face in outcome.faces]
            body["image"] = outcome.analysis.prediction.image.model_dump()
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
        # A pipe may end in the terminal that shows the bar, a file does not.
        with progress(sys.stdout.isatty() or sys.stdout.seekable()) as bar:
            task = bar.add_task("", total=len(given))

            def expect(frames: int) -> None:
                bar.update(task, total=(bar.tasks[task].total or 0) + frames - 1)

            asked = tasks(given, options.every, settings, analyzer, expect)
            async with aclosing(ordered_map(work, asked, TASKS_PER_THREAD * settings.picture_threads)) as outcomes:
                async for unfollowed in outcomes:
                    tally.add(outcome := unfollowed.followed())
                    bar.stop()  # Both may be on one terminal.
                    write(outcome)
                    sys.stdout.flush()
                    bar.start()
                    bar.advance(task)
                    if options.plot and outcome.time is not None:
                        largest = outcome.analysis.prediction.probabilities if outcome.analysis else None
                        moments.setdefault(outcome.file, []).append(Moment(outcome.time, largest))
    if options.form is table or sys.stderr.isatty():
        say(f"{tally}.")
        if passed_over:
            say(f"Passed over: {passed_over}.")
    if options.plot:
        _plot(options.plot, [Panel(str(file.path), times) for file, times in moments.items()])
    return not tally.failed


def _plot(path: Path, panels: list[Panel]) -> None:
    if not panels:
        say("No plot: there was no readable video.")
        return
    if len(panels) > chart.MOST_PANELS:
        say(f"The plot shows the first {chart.MOST_PANELS} of {len(panels)} videos.")
    chart.draw(panels[: chart.MOST_PANELS]).save(path, "PNG")


def add_every(parser: argparse.ArgumentParser) -> None:
    """Add the option `--every` to a command."""
    parser.add_argument(
        "--every",
        type=_every,
        default="1s",
        metavar="STEP",
        help="from one sample of a video to the next: seconds (0.5s) or frames (10f); %(default)s by default",
    )


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


def _every(text: str) -> SamplingStep:
    try:
        return SamplingStep.parse(text)
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
    add_every(parser)
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
