"""Faces and their expressions in files, without a server.

    python -m app.cli photo.jpg clip.mp4 folder/
    python -m app.cli --csv --every 0.5s --plot clip.png clip.mp4 > clip.csv

Prints a table, JSON Lines or CSV, in the order of the arguments and of the names in a folder. The settings are those of
the service. Exit status: 0 when every file was answered (a picture without a face is), 1 when one could not be, 2 when
nothing could be done, 130 when interrupted.
"""

import argparse
import asyncio
import csv
import json
import logging
import math
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import NamedTuple, TextIO

from pydantic import ValidationError
from tqdm import tqdm

from app.analyzer import EVERY_FACE, Analyzer, Selection, Source
from app.bootstrap import running
from app.concurrency import TASKS_PER_THREAD, ordered_map
from app.emotions import LABELS
from app.errors import NoFace, ServiceError, StartError
from app.schemas import Prediction
from app.settings import Settings, complaints
from app.vision import chart, video
from app.vision.chart import Moment, Timeline
from app.vision.decoder import is_picture

MAX_PANELS = 20
"""Videos in one plot."""


class InputFile(NamedTuple):
    """A file to answer: where it is, and where its drawings go inside their folder."""

    path: Path
    drawing: Path

    @property
    def is_video(self) -> bool:
        return video.is_video(self.path.name)


class Task(NamedTuple):
    """One picture, or one frame at a time in seconds; an error's code and words where it cannot be read."""

    file: InputFile
    time: float | None
    picture: Source = b""
    error: tuple[str, str] | None = None


class Row(NamedTuple):
    """What came out: a prediction, or an error's code and words."""

    task: Task
    prediction: Prediction | None
    error: tuple[str, str] | None

    @property
    def failed(self) -> bool:
        return self.error is not None and self.error[0] != NoFace.code


Write = Callable[[Row], None]


def files(paths: list[Path]) -> Iterator[InputFile]:
    """Files in the order of `paths`; those of a folder by name, with its folders' inside."""
    for path in paths:
        if path.is_dir():
            drawings = Path(path.resolve().name)
            for file in files_in(path, lambda name: is_picture(name) or video.is_video(name)):
                yield InputFile(file, drawings / file.relative_to(path))
        else:
            yield InputFile(path, Path(path.name))


def files_in(folder: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    """Files whose names are wanted, by name; those of the folders inside too.

    Hidden entries and links to folders are passed over. A folder that cannot be listed is given itself: reading it as a
    file tells why.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from files_in(entry, wanted)
        elif wanted(entry.name):
            yield entry


async def tasks(paths: list[Path], every: video.SamplingStep, max_bytes: int) -> AsyncIterator[Task]:
    """Everything to answer, read one at a time when it is asked for."""
    for file in files(paths):
        try:
            if file.is_video and file.path.stat():
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


def worker(analyzer: Analyzer, folder: Path | None, faces: Selection) -> Callable[[Task], Awaitable[Row]]:
    """What is done with one task: its selected faces answered, and drawn into `folder` if there is one."""
    used: set[Path] = set()

    async def work(task: Task) -> Row:
        if task.error is not None:
            return Row(task, None, task.error)
        path = None if folder is None else _unused(folder, task, used)
        try:
            if path is None:
                return Row(task._replace(picture=b""), (await analyzer.analyze(task.picture, faces)).prediction, None)
            prediction, drawing = await analyzer.annotate(task.picture, "JPEG", faces)
        except ServiceError as error:
            return Row(task._replace(picture=b""), None, (error.code, str(error)))
        await asyncio.to_thread(_write_file, path, drawing)
        return Row(task._replace(picture=b""), prediction, None)

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
    """Rows for people: one line a face, or the reason why there is none."""
    out.write(f"{'emotion':<10}{'confidence':>10}  {'plausible':<28}  {'box':<20}{'time':>9}  file\n")

    def write(row: Row) -> None:
        time = "" if row.task.time is None else f"{row.task.time:.2f} s"
        if row.error is not None:
            code, words = row.error
            state, reason = ("no face", "") if code == NoFace.code else ("error", f": {words}")
            out.write(f"{state:<72}{time:>9}  {row.task.file.path}{reason}\n")
        for face in row.prediction.faces if row.prediction else []:
            box = face.face_coordinates
            place = f"{box.width}x{box.height}+{box.x}+{box.y}"
            likely = ", ".join(face.plausible[1:]) or "-"
            confidence = f"{face.confidence:.0%}{' ' if face.certain else '?'}"
            line = f"{face.emotion:<10}{confidence:>10}  {likely:<28}  {place:<20}{time:>9}  {row.task.file.path}"
            out.write(f"{line}\n")

    return write


def csv_rows(out: TextIO) -> Write:
    """One line a face, and one for each picture without; the header names the columns."""
    writer = csv.writer(out, lineterminator="\n")
    box = ("x", "y", "width", "height")
    answers = ("emotion", "confidence", "certain", "plausible")
    writer.writerow(["file", "time", "face", *answers, *box, "detection", "angle", *LABELS, "code"])

    def write(row: Row) -> None:
        start = [row.task.file.path, "" if row.task.time is None else f"{row.task.time:.3f}"]
        if row.error is not None:
            writer.writerow([*start, *[""] * (11 + len(LABELS)), row.error[0]])
        for number, face in enumerate(row.prediction.faces if row.prediction else []):
            coordinates = [getattr(face.face_coordinates, side) for side in box]
            probabilities = [f"{face.probabilities[label]:.4f}" for label in LABELS]
            answer = [face.emotion, f"{face.confidence:.4f}", int(face.certain), " ".join(face.plausible)]
            found = [f"{face.detection:.4f}", "" if face.angle is None else face.angle]
            writer.writerow([*start, number, *answer, *coordinates, *found, *probabilities, ""])

    return write


def json_lines(out: TextIO) -> Write:
    """One JSON object a picture or frame, as `/predict` answers it, or with `error` and `code`."""

    def write(row: Row) -> None:
        body: dict[str, object] = {"file": str(row.task.file.path), "time": row.task.time}
        if row.prediction is not None:
            body |= row.prediction.model_dump(include={"faces", "image"})
        elif row.error is not None:
            body |= {"error": row.error[1], "code": row.error[0]}
        out.write(json.dumps(body) + "\n")

    return write


async def run(options: argparse.Namespace, settings: Settings) -> bool:
    """Answer everything and write it to standard output; whether nothing failed."""
    settings = settings.with_unbounded_queue()
    moments: dict[InputFile, list[Moment]] = {}
    failed = False
    async with running(settings) as (analyzer, _):
        write = options.form(sys.stdout)
        given = tasks(options.paths, options.every, settings.max_file_bytes)
        work = worker(analyzer, options.annotated, selection(options))
        with tqdm(total=_total(options), unit="picture", disable=None, leave=False) as bar:
            async with aclosing(ordered_map(work, given, TASKS_PER_THREAD * settings.picture_threads)) as rows:
                async for row in rows:
                    failed |= row.failed
                    with tqdm.external_write_mode(sys.stdout):
                        write(row)
                        sys.stdout.flush()
                    bar.update()
                    if options.plot and row.task.time is not None:
                        moment = Moment(row.task.time, row.prediction.probabilities if row.prediction else None)
                        moments.setdefault(row.task.file, []).append(moment)
    if options.plot:
        _plot(options.plot, [Timeline(str(file.path), times) for file, times in moments.items()])
    return not failed


def _total(options: argparse.Namespace) -> int | None:
    if not sys.stderr.isatty():
        return None
    return sum(video.expected_frames(one.path, options.every) if one.is_video else 1 for one in files(options.paths))


def _plot(path: Path, timelines: list[Timeline]) -> None:
    if not timelines:
        sys.stderr.write("No plot: there was no readable video.\n")
        return
    if len(timelines) > MAX_PANELS:
        sys.stderr.write(f"The plot shows the first {MAX_PANELS} of {len(timelines)} videos.\n")
    chart.draw(timelines[:MAX_PANELS]).save(path, "PNG")


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Give a command the options that `selection` reads."""
    parser.add_argument("--limit", type=_limit, metavar="N", help="most faces of a picture, the largest")
    parser.add_argument(
        "--min-detection",
        type=_share,
        default=EVERY_FACE.min_detection,
        metavar="SHARE",
        help="least confidence that it is a face, 0 to 1; %(default)s by default",
    )


def selection(options: argparse.Namespace) -> Selection:
    """The faces that a command's options ask for."""
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
    parser = argparse.ArgumentParser(
        "python -m app.cli", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="pictures, videos, and folders of them")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", dest="form", action="store_const", const=json_lines, help="print JSON Lines")
    forms.add_argument("--csv", dest="form", action="store_const", const=csv_rows, help="print CSV")
    parser.add_argument("--annotated", type=Path, metavar="DIR", help="draw what is found over each picture, into DIR")
    parser.add_argument(
        "--every", type=_every, default="1s", help="of a video: seconds (0.5s) or frames (10f) from sample to sample"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the videos' expressions over time")
    add_selection(parser)
    parser.set_defaults(form=table)
    return parser


def main() -> int:
    """Run the command; returns the exit status."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly.
    options = _parser().parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        return 0 if asyncio.run(run(options, Settings())) else 1
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130
    except ValidationError as error:
        reasons = complaints(error)
    except (StartError, OSError) as error:
        reasons = [str(error)]
    sys.stderr.write("".join(f"Cannot go on: {reason}\n" for reason in reasons))
    return 2


if __name__ == "__main__":
    sys.exit(main())
