"""Divides what a bulk job reads, which is a folder, a glob, a list file or tar archives, into shards of pictures.

The plan is a folder with a list for each shard. So a job over millions of pictures never holds their names in memory,
and a job that is resumed works on the same shards.
"""

import glob
import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from app.answers.timeline import Frame
from app.cli.inputs import files_in
from app.vision.decoder import is_picture
from app.vision.faces import EVERY_FACE, Selection, Source
from app.vision.sampling import EVERY_SECOND, SamplingStep
from app.vision.video import is_video

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

INSIDE = "::"
"""Separates the path of an archive from the name of a picture in it."""

UNREADABLE = (OSError, EOFError, KeyError, tarfile.TarError, zlib.error, lzma.LZMAError)
"""Errors that reading a picture or an archive may raise."""

_PLAN = "plan.json"


class PlanError(ValueError):
    """The job's folder holds the plan of another job, or there is nothing to do. The message is for people."""


class Item(NamedTuple):
    """A picture, or a frame of a video.

    Attributes:
        name: of the file in the results.
        data: its bytes, or the pixels of a frame.
        error: the reason why it cannot be read.
        code: of the error.
        frame: place of a frame in its video.
    """

    name: str
    data: Source = b""
    error: str | None = None
    code: str = "unreadable"
    frame: Frame | None = None


class Plan(NamedTuple):
    """A job's shards.

    Attributes:
        out: absolute path of the results.
        shards: number of shards.
        counted: whether every list names pictures; those in archives and the frames of videos are not counted.
        selection: which faces of each picture are answered.
        every: from one sample of a video to the next.
    """

    out: Path
    shards: int
    counted: bool
    selection: Selection
    every: SamplingStep = EVERY_SECOND

    @property
    def folder(self) -> Path:
        """The job's own folder, with a list for each shard and the results of the finished ones."""
        return folder_of(self.out)

    def names(self, shard: int) -> list[str]:
        """The pictures of a shard, or its archive."""
        return self._list(shard).read_text().splitlines()

    def part(self, shard: int) -> Path:
        """Path of the results of a shard."""
        return self._list(shard).with_suffix(self.out.suffix)

    def parts(self) -> list[Path]:
        """Paths of the results of all shards, in order."""
        return [self.part(shard) for shard in range(self.shards)]

    def open_shards(self) -> list[int]:
        """Shards that have no results yet."""
        return [shard for shard in range(self.shards) if not self.part(shard).is_file()]

    def _list(self, shard: int) -> Path:
        return self.folder / f"{shard:06}.list"


def folder_of(out: Path) -> Path:
    """The folder in which a job keeps its finished shards until all are finished."""
    return out.with_name(f"{out.name}.parts")


def plan(
    source: str, out: Path, size: int, selection: Selection = EVERY_FACE, every: SamplingStep = EVERY_SECOND
) -> Plan:
    """Divide a source into shards, or continue with an existing plan.

    Args:
        source: a folder, whose subfolders are searched too; a tar archive; a glob; or `@FILE` with a path on each line.
        out: absolute path of the results.
        size: most pictures in a shard; an archive is a shard.
        selection: which faces of each picture are answered.
        every: from one sample of a video to the next.

    Raises:
        PlanError: an unfinished job for the same results has another source or selection, or the source has no picture.
    """
    folder = folder_of(out)
    path = folder / _PLAN
    asked = {"source": source, "size": size, **selection._asdict(), "every": str(every)}
    if path.is_file():
        made = json.loads(path.read_text())
        if {name: made.get(name) for name in asked} != asked:
            raise PlanError(
                f"{folder} holds an unfinished job for {made.get('source')} or with other options; finish or remove it"
            )
        return Plan(out, made["shards"], made["counted"], selection, every)
    shards, counted = 0, True
    for names in _shards(source, size):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{shards:06}.list").write_text("".join(f"{name}\n" for name in names))
        shards += 1
        counted = counted and not any(_is_archive(name) or is_video(name) for name in names)
    if not shards:
        there = source.startswith("@") or Path(source).exists()
        raise PlanError(f"{source} has no picture and no video" if there else f"there is no file or folder {source}")
    path.write_text(json.dumps(asked | {"shards": shards, "counted": counted}))
    return Plan(out, shards, counted, selection, every)


def items(names: Sequence[str], most_bytes: int) -> Iterator[Item]:
    """Read the pictures of a shard in turn, up to one byte more than `most_bytes`, so that larger ones are noticed."""
    for name in names:
        if _is_archive(name):
            yield from _members(name, most_bytes)
        else:
            yield _file(name, most_bytes)


def read(name: str, most_bytes: int) -> bytes:
    """Read a picture by its name in the results.

    Raises:
        UNREADABLE: the picture cannot be read any more.
    """
    archive, inside, member = name.partition(INSIDE)
    if not inside:
        with Path(name).open("rb") as stream:
            return stream.read(most_bytes + 1)
    with tarfile.open(archive) as tar:
        content = tar.extractfile(member)
        return content.read(most_bytes + 1) if content else b""


def _shards(source: str, size: int) -> Iterator[tuple[str, ...]]:
    files: list[str] = []
    for name in _names(source):
        if _is_archive(name):
            yield (name,)
            continue
        files.append(name)
        if len(files) == size:
            yield tuple(files)
            files = []
    if files:
        yield tuple(files)


def _names(source: str) -> Iterator[str]:
    if source.startswith("@"):
        with Path(source[1:]).open() as lines:
            yield from (line.rstrip("\n") for line in lines if line.strip())
    elif Path(source).is_dir():
        yield from map(str, files_in(Path(source), lambda name: any(test(name) for test in _WANTED)))
    elif Path(source).is_file():
        yield source
    else:
        yield from (name for name in sorted(glob.iglob(source, recursive=True)) if Path(name).is_file())


def _is_archive(name: str) -> bool:
    return name.lower().endswith(TAR_SUFFIXES)


_WANTED = (is_picture, is_video, _is_archive)


def _file(name: str, most_bytes: int) -> Item:
    try:
        return Item(name, read(name, most_bytes))
    except OSError as error:
        return Item(name, error=f"The file cannot be read: {error.strerror}.")


def _members(archive: str, most_bytes: int) -> Iterator[Item]:
    try:
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                if member.isfile() and is_picture(member.name):
                    content = tar.extractfile(member)
                    assert content is not None
                    yield Item(f"{archive}{INSIDE}{member.name}", content.read(most_bytes + 1))
    except UNREADABLE as error:
        yield Item(archive, error=f"The archive cannot be read to its end: {error}.")
