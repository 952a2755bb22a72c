"""The command line, as a process of its own on real files."""

import csv
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.emotions import LABELS
from app.vision import chart
from app.vision.chart import Moment, Timeline
from app.vision.video import InvalidVideo, SamplingStep, sampled_frames
from tests.helpers import INTERRUPTIBLE, ROOT, encoded, group

COMMAND = [*INTERRUPTIBLE, sys.executable, "-m", "app.cli"]
ENVIRONMENT = {**os.environ, "EMOTION_ENGINE": "litert"}  # It starts at once.


def own(words: str) -> str:
    """Standard error without what LiteRT says there."""
    return "".join(line for line in words.splitlines(keepends=True) if "TensorFlow Lite" not in line)


def cli(*arguments: Path | str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        env=ENVIRONMENT | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_clip(path: Path, pictures: list[NDArray[np.uint8]], code: str = "mp4v", each: int = 10) -> None:
    """A video of 320x240 at 10 frames a second that shows each picture for `each` frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10, (320, 240))
    assert writer.isOpened()
    for picture in pictures:
        frame = cv2.cvtColor(cv2.resize(picture, (320, 240), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        for _ in range(each):
            writer.write(frame)
    writer.release()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8]) -> Path:
    """Pictures, a video, and files that cannot be answered."""
    folder = tmp_path_factory.mktemp("cli") / "holiday"
    (folder / "later").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(encoded(astronaut, "JPEG", quality=92))
    (folder / "b.png").write_bytes(b"poison")
    (folder / "c.png").write_bytes(encoded(np.full((300, 300, 3), 200, np.uint8)))
    (folder / "d.mp4").write_bytes(b"poison")
    (folder / "later" / "group.png").write_bytes(encoded(group(astronaut, hopper)))
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.jpg").write_bytes(b"poison")
    write_clip(folder / "clip.mp4", [astronaut[:400], np.zeros_like(astronaut), astronaut[:400]])
    return folder


def test_every_file_has_its_rows_in_order(folder: Path) -> None:
    result = cli(folder, "missing.jpg", folder / "a.jpg", "--csv")
    assert result.returncode == 1
    assert own(result.stderr) == ""
    rows = list(csv.DictReader(StringIO(result.stdout)))
    shown = [(Path(row["file"]).name, row["time"], row["emotion"] or row["code"]) for row in rows]
    assert [row for row in shown if row[0] != "group.png"] == [
        ("a.jpg", "", "happy"),
        ("b.png", "", "invalid_image"),
        ("c.png", "", "no_face"),
        ("clip.mp4", "0.000", "happy"),
        ("clip.mp4", "1.000", "no_face"),
        ("clip.mp4", "2.000", "happy"),
        ("d.mp4", "", "invalid_video"),
        ("missing.jpg", "", "unreadable"),
        ("a.jpg", "", "happy"),
    ]
    assert [row["face"] for row in rows if row["file"].endswith("group.png")] == ["0", "1"]
    answered = [row for row in rows if row["emotion"]]
    for row in answered:
        assert sum(float(row[label]) for label in LABELS) == pytest.approx(1, abs=0.001)
        assert row["plausible"].split()[0] == row["emotion"]
        assert int(row["width"]) > 0
    assert cli(folder, "missing.jpg", folder / "a.jpg", "--csv").stdout == result.stdout


def test_json_lines_are_what_the_service_answers(folder: Path) -> None:
    result = cli("--json", folder / "a.jpg", folder / "b.png")
    answered, failed = map(json.loads, result.stdout.splitlines())
    assert answered["file"] == str(folder / "a.jpg")
    assert answered["time"] is None
    assert answered["image"] == {"width": 512, "height": 512}
    (face,) = answered["faces"]
    assert face["emotion"] == "happy"
    assert list(face["probabilities"]) == list(LABELS)
    assert failed["code"] == "invalid_image"
    assert "not a picture" in failed["error"]


def test_the_faces_are_selected(folder: Path) -> None:
    group = folder / "later" / "group.png"
    rows = [list(csv.DictReader(StringIO(cli("--csv", *options, group).stdout))) for options in ((), ("--limit", "1"))]
    assert rows[1] == rows[0][:1]
    assert [float(row["detection"]) > 0.5 for row in rows[0]] == [True, True]
    assert all(abs(float(row["angle"])) < 15 for row in rows[0])
    (none,) = csv.DictReader(StringIO(cli("--csv", "--min-detection", "1", group).stdout))
    assert none["code"] == "no_face"


@pytest.mark.parametrize("option", [("--limit", "0"), ("--limit", "many"), ("--min-detection", "2")])
def test_senseless_selections_are_refused(folder: Path, option: tuple[str, str]) -> None:
    result = cli(*option, folder / "a.jpg")
    assert result.returncode == 2
    assert "is not a number from" in result.stderr


def test_a_table_for_people_and_a_status_for_scripts(folder: Path) -> None:
    result = cli(folder / "a.jpg", folder / "c.png")
    assert result.returncode == 0
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["emotion", "confidence", "plausible", "box", "time", "file"]
    assert first.startswith("happy")
    assert first.index(str(folder)) == second.index(str(folder)) == head.index("file")
    assert second.startswith("no face")


@pytest.mark.slow
def test_drawings_mirror_the_folders_and_replace_nothing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawn"
    twice = tmp_path / "a.jpg"
    shutil.copy(folder / "a.jpg", twice)
    cli(folder, folder / "a.jpg", twice, "--annotated", out)
    drawn = sorted(str(path.relative_to(out)) for path in out.rglob("*.jpg"))
    assert drawn == [
        "a.jpg-2.jpg",
        "a.jpg.jpg",
        "holiday/a.jpg.jpg",
        "holiday/clip.mp4/00000.000s.jpg",
        "holiday/clip.mp4/00002.000s.jpg",
        "holiday/later/group.png.jpg",
    ]
    for name in drawn:
        with Image.open(out / name) as picture:
            picture.load()
            assert min(picture.size) >= 480


@pytest.mark.slow
def test_a_video_gives_a_plot_and_a_table_over_time(folder: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.png"
    result = cli(folder / "clip.mp4", "--every", "5f", "--csv", "--plot", plot)
    assert result.returncode == 0
    times = [float(row["time"]) for row in csv.DictReader(StringIO(result.stdout))]
    assert times == [0, 0.5, 1, 1.5, 2, 2.5]
    with Image.open(plot) as picture:
        assert picture.size == (chart.WIDTH, chart.HEIGHT)
    assert "No plot" in cli(folder / "a.jpg", "--plot", tmp_path / "none.png").stderr
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize(("code", "name"), [("mp4v", "a.mp4"), ("MJPG", "a.avi")])
def test_frames_are_sampled_evenly(tmp_path: Path, code: str, name: str) -> None:
    shades = [np.full((240, 320, 3), shade, np.uint8) for shade in (40, 120, 200)]
    write_clip(tmp_path / name, shades, code)
    seen = [
        (round(frame.time, 3), int(frame.pixels.mean()))
        for frame in sampled_frames(tmp_path / name, SamplingStep(0.7, "seconds"))
    ]
    assert [time for time, _ in seen] == [0, 0.7, 1.4, 2.1, 2.8]
    assert [shade for _, shade in seen] == pytest.approx([40, 40, 120, 200, 200], abs=5)
    assert len(list(sampled_frames(tmp_path / name, SamplingStep(10, "frames")))) == 3
    assert len(list(sampled_frames(tmp_path / name, SamplingStep(0.001, "seconds")))) == 30


@pytest.mark.parametrize("content", [b"", b"text", b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n"])
def test_a_file_that_is_no_video_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(InvalidVideo):
        list(sampled_frames(path, SamplingStep(1, "seconds")))


@pytest.mark.parametrize(
    ("text", "every"), [("0.5", (0.5, "seconds")), ("2s", (2, "seconds")), ("10f", (10, "frames"))]
)
def test_steps_are_seconds_or_frames(text: str, every: tuple[float, str]) -> None:
    assert SamplingStep.parse(text) == every


@pytest.mark.parametrize("text", ["", "0", "-1s", "0f", "1.5f", "nan", "inf", "often"])
def test_a_senseless_step_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - as argparse wants it
        SamplingStep.parse(text)


def test_lines_of_a_plot_break_where_there_is_no_face() -> None:
    sure = dict.fromkeys(LABELS, 0.0) | {"happy": 0.5}
    with_gap = [Moment(time, None if 3 < time < 7 else sure) for time in range(11)]
    picture = np.asarray(chart.draw([Timeline("a", with_gap), Timeline("b" * 300, [])]))
    assert picture.shape == (2 * chart.HEIGHT, chart.WIDTH, 3)
    happy = (abs(picture[: chart.HEIGHT].astype(int) - [0xE6, 0xA7, 0x00]).sum(axis=2) < 20).any(axis=0)
    left, right = 64, chart.WIDTH - 150
    assert happy[left + 10]
    assert happy[right - 10]
    assert not happy[(left + right) // 2]


def test_a_closed_pipe_is_quiet(folder: Path) -> None:
    line = " ".join(["exec", *COMMAND, str(folder), str(folder), "--csv"])
    result = subprocess.run(
        ["sh", "-c", f"({line}) | head -n 1"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert result.stdout.startswith("file,time,face")
    assert own(result.stderr) == ""


def test_an_interrupt_ends_it_cleanly(folder: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, *[str(folder)] * 500, "--csv"],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, words = process.communicate(timeout=60)
    assert process.returncode == 130
    assert own(words) == "Stopped.\n"
    assert rest[-1:] in ("", "\n")  # No row is cut.


def test_a_terminal_gets_a_progress_bar(folder: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        [*COMMAND, str(folder), "--csv"], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux says so when the other side has closed.
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(timeout=30) == 1
    assert b"/8 " in shown  # Five files, and three frames of the sixth.


@pytest.mark.slow
def test_it_says_what_keeps_it_from_starting(folder: Path, tmp_path: Path) -> None:
    missing = cli(folder / "a.jpg", EMOTION_MODEL_PATH=str(tmp_path / "none.keras"))
    assert missing.returncode == 2
    assert own(missing.stderr).count("\n") == 1
    assert "is missing" in missing.stderr
    senseless = cli(folder / "a.jpg", EMOTION_MAX_PIXELS="many")
    assert (senseless.returncode, senseless.stderr.count("\n")) == (2, 1)
    assert cli().returncode == 2
    assert "neither seconds" in cli(folder / "a.jpg", "--every", "often").stderr
    assert cli(folder / "a.jpg", "--annotated", folder / "a.jpg").returncode == 2


@pytest.mark.slow
def test_the_settings_are_the_services(folder: Path) -> None:
    result = cli(folder / "a.jpg", "--json", EMOTION_MAX_PIXELS="1000")
    assert json.loads(result.stdout)["code"] == "too_many_pixels"
    assert result.returncode == 1
    large = cli(folder / "a.jpg", "--json", EMOTION_MAX_FILE_BYTES="1000")
    assert json.loads(large.stdout)["code"] == "file_too_large"


@pytest.mark.slow
def test_more_faces_than_the_queue_holds_are_answered(folder: Path) -> None:
    result = cli(
        *[folder / "later" / "group.png"] * 12, "--csv", EMOTION_MAX_QUEUED_FACES="2", EMOTION_PICTURE_THREADS="4"
    )
    assert result.returncode == 0
    assert result.stdout.count("group.png") == 24
