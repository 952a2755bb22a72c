"""Bulk jobs: everything is accounted for, whatever happens on the way."""

import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.answers.rows import COLUMNS, Row
from app.emotions import EMOTIONS
from app.settings import Settings
from app.vision.faces import Selection
from bench import clips
from bench.server import titled
from jobs import rows
from jobs.report import Summary, page, summarize
from jobs.sources import PlanError, folder_of, plan
from jobs.worker import Worker
from tests.helpers import INTERRUPTIBLE, ROOT, Finished, crowd, encoded, run_command

ENVIRONMENT = os.environ | {"EMOTION_ENGINE": "litert", "RAY_USAGE_STATS_ENABLED": "0"}
POISON = {3, 17, 30}
EMPTY = 21
COUNT = 40


@pytest.fixture(scope="module")
def pictures(astronaut: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures in two folders: 36 of a face, one without, three that are none; and a file of another kind."""
    folder = tmp_path_factory.mktemp("pictures")
    face = Image.fromarray(astronaut[:300, 60:360])
    for number in range(COUNT):
        path = folder / f"{number // 25}" / f"{number:03}.jpg"
        path.parent.mkdir(exist_ok=True)
        if number in POISON:
            path.write_bytes(b"\xff\xd8 poison")
        elif number == EMPTY:
            path.write_bytes(encoded(np.full((200, 200, 3), 128, np.uint8), "JPEG"))
        else:
            path.write_bytes(encoded(face.rotate(number % 5 - 2), "JPEG"))
    (folder / "notes.txt").write_text("no picture")
    return folder


@contextmanager
def started(source: str | Path, out: Path, *options: str, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    command = [*INTERRUPTIBLE, sys.executable, "-m", "app", "bulk", str(source), "--out", str(out), *options]
    with subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_finished(parts: int, out: Path, process: "subprocess.Popen[str]", seconds: float) -> None:
    """Return once that many parts of a job are finished."""
    deadline = time.monotonic() + seconds
    while len(list(folder_of(out).glob("*.csv"))) < parts:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def bulk(source: str | Path, out: Path, *options: str) -> Finished:
    return run_command("bulk", source, "--out", out, *options)


def check(out: Path, pictures: Path) -> list[Row]:
    """Every picture has its rows, once; returns them."""
    found = list(rows.read(out))
    first = Counter(row["file"] for row in found if not row["face"])
    assert first == Counter(str(path) for path in sorted(pictures.rglob("*.jpg")))
    codes = {int(Path(row["file"]).stem): row["code"] for row in found if row["code"]}
    assert codes == dict.fromkeys(POISON, "invalid_image") | {EMPTY: "no_face"}
    for row in found:
        assert (row["emotion"] is None) == (row["code"] is not None)
        if row["emotion"]:
            assert row["model"].startswith("emotion_vgg16 ")
            assert row[row["emotion"]] == row["confidence"]
    assert not folder_of(out).exists()
    return found


@pytest.mark.slow
def test_a_folder_becomes_rows_in_either_form(pictures: Path, tmp_path: Path) -> None:
    code, printed, words = bulk(pictures, tmp_path / "a.parquet", "--shard", "15", "--report", str(tmp_path / "a.html"))
    assert (code, words) == (1, "")  # Some pictures could not be answered.
    assert "40 pictures, 36 faces" in printed
    as_parquet = check(tmp_path / "a.parquet", pictures)
    assert bulk(pictures, tmp_path / "a.csv", "--shard", "100")[0] == 1
    as_csv = check(tmp_path / "a.csv", pictures)
    assert as_parquet == as_csv

    (tmp_path / "predicted.csv").write_text(run_command("predict", "--csv", pictures).stdout)
    assert list(rows.read(tmp_path / "predicted.csv")) == as_csv
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == ",".join(COLUMNS)

    report = (tmp_path / "a.html").read_text()
    faces = summarize(as_csv).faces
    assert "40 pictures" in report
    assert len(re.findall(r'<img src="data:image/jpeg;base64,', report)) == min(faces["happy"], 24)
    assert re.search("Without an answer.*invalid_image", report, re.DOTALL)
    for emotion in EMOTIONS:
        share = faces[emotion.name] / faces.total()
        assert f'style="width: {share:.2%}; background: {emotion.colour}"' in report
    best = max((row for row in as_csv if row["emotion"] == "happy"), key=lambda row: float(row["confidence"]))
    assert f"<br>{Path(best['file']).name}</figcaption>" in report
    assert "http" not in report


def test_a_report_has_no_heading_without_something_below_it() -> None:
    assert "Without an answer" not in page(Summary(pictures=1), Settings())


@pytest.mark.slow
def test_a_job_takes_the_faces_that_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "crowd.png").write_bytes(encoded(np.dstack([crowd(32)] * 3)))
    counts = []
    for number, options in enumerate(((), ("--limit", "1"), ("--min-detection", "0"))):
        out = tmp_path / f"{number}.csv"
        assert bulk(tmp_path / "crowd.png", out, *options)[0] == 0
        found = list(rows.read(out))
        counts.append(len(found))
        assert all(0 <= row["detection"] <= 1 and abs(row["angle"]) <= 180 for row in found)
    believed, largest, every = counts
    assert largest == 1 < believed < every


@pytest.mark.slow
def test_globs_lists_and_archives_are_sources_too(pictures: Path, tmp_path: Path) -> None:
    files = sorted(pictures.rglob("*.jpg"))[:6]
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in [*files, tmp_path / "gone.jpg"]))
    assert bulk(f"@{tmp_path}/list.txt", tmp_path / "list.csv")[0] == 1
    listed = list(rows.read(tmp_path / "list.csv"))
    assert [row["file"] for row in listed] == [*map(str, files), f"{tmp_path}/gone.jpg"]
    assert listed[-1]["code"] == "unreadable"

    with tarfile.open(tmp_path / "six.tar.gz", "w:gz") as tar:
        for path in [*files, pictures / "notes.txt"]:
            tar.add(path, path.name)
    whole = (tmp_path / "six.tar.gz").read_bytes()
    (tmp_path / "torn.tar.gz").write_bytes(whole[: len(whole) // 2])
    code, _, _ = bulk(f"{tmp_path}/*.tar.gz", tmp_path / "tar.csv", "--report", str(tmp_path / "tar.html"))
    assert code == 1
    packed = list(rows.read(tmp_path / "tar.csv"))
    assert [row["file"] for row in packed[:6]] == [f"{tmp_path}/six.tar.gz::{path.name}" for path in files]
    assert [row["confidence"] for row in packed[:6]] == [row["confidence"] for row in listed[:6]]
    assert (packed[-1]["file"], packed[-1]["code"]) == (f"{tmp_path}/torn.tar.gz", "unreadable")
    assert "data:image/jpeg" in (tmp_path / "tar.html").read_text()


@pytest.mark.slow
def test_a_stopped_job_goes_on_and_redoes_nothing(pictures: Path, tmp_path: Path) -> None:
    names = [str(path) for path in sorted(pictures.rglob("*.jpg"))] * 10
    (tmp_path / "list.txt").write_text("\n".join(names))
    source, out = f"@{tmp_path}/list.txt", tmp_path / "a.csv"
    parts = folder_of(out)
    with started(source, out, "--shard", "4") as process:
        until_finished(3, out, process, 100)
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaints.endswith("Stopped; the same command goes on from here.\n")
    assert not out.exists()
    finished = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.csv")}
    assert 3 <= len(finished) < 100

    for other in ((str(pictures), out, 4), (source, out, 4, Selection(limit=1))):
        with pytest.raises(PlanError, match="unfinished job"):
            plan(*other)
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in finished:
        os.link(parts / name, kept / name)
    assert bulk(source, out, "--shard", "4")[0] == 1
    assert {path.name: path.stat().st_mtime_ns for path in kept.iterdir()} == finished
    assert [row["file"] for row in rows.read(out) if not row["face"]] == names


def test_each_picture_is_told_when_it_is_answered(pictures: Path, tmp_path: Path) -> None:
    names, part = sorted(map(str, pictures.rglob("*.jpg")))[:5], tmp_path / "part.csv"
    with Worker(Settings(engine="litert")) as worker:
        told = [(answered, part.exists()) for answered in worker.answers(names, part)]
        assert told == [(1, False)] * 5
        assert [row["file"] for row in rows.read(part)] == names
        stopped = worker.answers(names, tmp_path / "stopped.csv")
        assert next(stopped) == 1
        stopped.close()
        assert not (tmp_path / "stopped.csv").exists()
        assert sum(worker.answers(names, part)) == 5


@pytest.mark.slow
def test_clips_have_a_row_for_each_face_of_each_sample(astronaut: NDArray[np.uint8], tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    views = (0, 0, 0.8, 0.6), (0.2, 0, 0.8, 0.6)
    (folder / "a.mp4").write_bytes(clips.encoded(clips.shot(astronaut, (320, 240), 30, *views), 10))
    (folder / "b.webm").write_bytes(b"poison")
    (folder / "c.jpg").write_bytes(encoded(astronaut, "JPEG"))
    options = ("--every", "0.5s", "--report", str(tmp_path / "a.html"))
    assert bulk(folder, tmp_path / "a.csv", *options).returncode == 1
    found = list(rows.read(tmp_path / "a.csv"))
    assert [(Path(row["file"]).name, row["time"], row["id"], row["code"]) for row in found] == [
        *(("a.mp4", number / 2, 1, None) for number in range(6)),
        ("b.webm", None, None, "invalid_video"),
        ("c.jpg", None, None, None),
    ]
    (tmp_path / "predicted.csv").write_text(run_command("predict", "--csv", "--every", "0.5s", folder).stdout)
    assert list(rows.read(tmp_path / "predicted.csv")) == found
    assert (tmp_path / "a.html").read_text().count('<img src="data:image/jpeg;base64,') == 7


def test_what_cannot_be_done_is_said_in_one_line(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, complaints = bulk(tmp_path / "empty", tmp_path / "a.csv")
    assert (code, complaints) == (2, f"Cannot go on: {tmp_path}/empty has no picture and no video\n")
    code, _, complaints = bulk(tmp_path / "nowhere", tmp_path / "a.csv")
    assert (code, complaints) == (2, f"Cannot go on: there is no file or folder {tmp_path}/nowhere\n")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    (tmp_path / "a.csv").write_text("mine")
    code, _, complaints = bulk(pictures, tmp_path / "a.csv")
    assert code == 2
    assert "exists" in complaints
    assert (tmp_path / "a.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("package", "options"), [("pyarrow", ("--out", "a.parquet")), ("ray", ("--out", "a.csv", "--engine", "ray"))]
)
def test_an_extra_that_is_missing_is_named_before_anything_is_read(
    package: str, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    result = run_command("bulk", "nowhere", *options)
    extra = {"pyarrow": "parquet", "ray": "ray"}[package]
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Cannot go on: ")
    assert f"'.[{extra}]'" in line
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def crashed() -> Iterator[str]:
    """A folder for temporary files in which a cluster that crashed has left its address; its path is short, as Ray's
    sockets demand.
    """
    with TemporaryDirectory(prefix="ray") as folder:
        (Path(folder) / "ray").mkdir()
        (Path(folder) / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
        yield folder


@pytest.mark.ray
def test_ray_gives_the_same_rows_though_an_actor_is_killed(pictures: Path, tmp_path: Path, crashed: str) -> None:
    alone, out = tmp_path / "alone.csv", tmp_path / "ray.csv"
    assert bulk(pictures, alone, "--shard", "4")[0] == 1
    with started(pictures, out, "--shard", "4", "--engine", "ray", TMPDIR=crashed) as process:
        until_finished(1, out, process, 150)
        (actor,) = titled("ray::Map", process.pid)
        actor.kill()
        _, complaints = process.communicate(timeout=200)
    assert process.returncode == 1, complaints
    check(out, pictures)
    assert out.read_bytes() == alone.read_bytes()
