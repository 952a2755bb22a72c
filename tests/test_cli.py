"""The command line on real files, in a process of its own where signals, terminals or native libraries matter."""

import csv
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from io import StringIO
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np
import pandas
import pytest
from numpy.typing import NDArray
from PIL import Image
from rich.cells import cell_len

from app.answers.rows import COLUMNS, TYPES
from app.cli.inputs import PassedOver, files
from app.cli.table import FaceTable
from app.cli.terminal import say
from app.emotions import LABELS
from app.schemas import Face, FaceCoordinates
from app.vision import chart
from app.vision.chart import Moment, Panel
from tests.helpers import INTERRUPTIBLE, ROOT, Finished, encoded, group, run_command

COMMAND = [*INTERRUPTIBLE, sys.executable, "-m", "app", "predict"]
ENVIRONMENT = {**os.environ, "EMOTION_ENGINE": "litert", "TERM": "xterm-256color"}  # That engine starts at once.


def cli(*arguments: Path | str, **settings: str) -> Finished:
    return run_command("predict", *arguments, **settings)


def process(*arguments: Path | str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, whose standard error has the words of native libraries too."""
    command = [*COMMAND, *map(str, arguments)]
    environment = ENVIRONMENT | settings
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


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
    """Pictures, a video, and files that cannot be answered. The group's second face is too dark to be certain of."""
    folder = tmp_path_factory.mktemp("cli") / "holiday"
    (folder / "later").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(encoded(astronaut, "JPEG", quality=92))
    (folder / "b.png").write_bytes(b"poison")
    (folder / "c.png").write_bytes(encoded(np.full((300, 300, 3), 200, np.uint8)))
    (folder / "d.mp4").write_bytes(b"poison")
    (folder / "later" / "group.png").write_bytes(encoded(group(astronaut, hopper // 2)))
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.jpg").write_bytes(b"poison")
    write_clip(folder / "clip.mp4", [astronaut[:400], np.zeros_like(astronaut), astronaut[:400]])
    return folder


def test_every_file_has_its_rows_in_order(folder: Path) -> None:
    result = process(folder, "missing.jpg", folder / "a.jpg", "--csv")
    assert result.returncode == 1
    assert result.stderr == ""
    rows = list(csv.DictReader(StringIO(result.stdout)))
    shown = [(Path(row["file"]).name, row["time"], row["emotion"] or row["code"]) for row in rows]
    assert [row for row in shown if row[0] != "group.png"] == [
        ("a.jpg", "", "happy"),
        ("b.png", "", "invalid_image"),
        ("c.png", "", "no_face"),
        ("clip.mp4", "0.0", "happy"),
        ("clip.mp4", "1.0", "no_face"),
        ("clip.mp4", "2.0", "happy"),
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


def test_a_table_groups_faces_by_file(folder: Path) -> None:
    result = cli(folder)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        str(folder / name) for name in ("a.jpg", "b.png", "c.png", "clip.mp4", "d.mp4", "later/group.png")
    ]
    (a,), c, clip = group_of(lines, "a.jpg"), group_of(lines, "c.png"), group_of(lines, "clip.mp4")
    assert re.fullmatch(r"  \d+,\d+ \d+x\d+ +happy +\d\d%", a)
    assert c == ["  no face"]
    assert [line.split()[:2] for line in clip] == [["0.00", "s"], ["1.00", "s"], ["2.00", "s"]]
    assert "error: " in group_of(lines, "b.png")[0]
    unsure, sure = group_of(lines, "group.png")
    assert re.search(r"neutral\?  +\d\d%", unsure)
    assert "?" not in sure
    assert re.fullmatch(
        r"4 pictures and 3 frames, 5 faces: 4 happy, 1 \w+; 2 without a face; 2 without an answer\.\n"
        r"Passed over: 1 \.txt \('notes\.txt'\)\.\n",
        result.stderr,
    )


def group_of(lines: list[str], name: str) -> list[str]:
    """The lines under a file's name in a table."""
    start = next(number for number, line in enumerate(lines) if line.endswith(name)) + 1
    return list(takewhile(lambda line: line.startswith(" "), lines[start:]))


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_said_breaks_between_words_but_not_after_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "cannot go on: there is no /a-long/path-of/many-words, or 17 pictures and 2048 faces of 3 labels.\nStopped."
    for columns in range(30, 60):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "stderr", shown := Terminal())
        say(words)
        lines = shown.getvalue().splitlines()
        assert " ".join(lines).split() == words.split()
        assert max(map(len, lines)) <= columns
        assert not any(line[-1].isdigit() for line in lines)
        assert lines[-1] == "Stopped."
    monkeypatch.setattr(sys, "stderr", written := StringIO())
    say(words)
    assert written.getvalue() == f"{words}\n"


def test_a_table_names_what_else_is_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    out = Terminal()
    box = FaceCoordinates(x=1, y=1, width=50, height=50)
    face = Face(emotion="happy", confidence=0.48, probabilities={}, message="", face_coordinates=box, certain=False,
                plausible=["happy", "sad"], detection=1, angle=None, landmarks=None)  # fmt: skip
    FaceTable(out).faces([face], None)
    assert seen(out.getvalue().encode())[0].endswith("happy?     48%  or sad")


def test_a_table_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = Terminal()
    table = FaceTable(out)
    table.file("\N{CJK UNIFIED IDEOGRAPH-4EBA}" * 40 + ".jpg")
    table.file("\033[31m red.jpg")
    table.words("error: " + "many words " * 20 + "\N{CJK UNIFIED IDEOGRAPH-4EBA}" * 30, 1.0)
    box = FaceCoordinates(x=10000, y=10000, width=1000, height=1000)
    face = Face(emotion="surprise", confidence=1, probabilities={}, message="", face_coordinates=box, certain=False,
                plausible=["surprise", *LABELS], detection=1, angle=None, landmarks=None)  # fmt: skip
    table.faces([face], None)
    first, second, *rows, _ = seen(out.getvalue().encode())
    assert first == "\N{CJK UNIFIED IDEOGRAPH-4EBA}" * 40 + ".jpg"  # The terminal wraps it, so that it stays one word.
    assert second == "?[31m red.jpg"
    wide = "\N{CJK UNIFIED IDEOGRAPH-4EBA}" * 23, "\N{CJK UNIFIED IDEOGRAPH-4EBA}" * 7
    assert " ".join(" ".join(rows).split()) == " ".join(
        ["1.00 s error:", *["many words"] * 20, *wide, "10000,10000 1000x1000 surprise? 100% or", ", ".join(LABELS)]
    )
    assert max(map(cell_len, rows)) <= 60
    assert {len(row) - len(row.lstrip()) for row in rows} == {2, 6, 14, 44}  # Each wraps beneath itself.


@pytest.mark.parametrize("names", [(), ("IMG_1.heic", "IMG_2.HEIC", "notes.txt")])
@pytest.mark.parametrize("form", [(), ("--csv",)])
def test_nothing_to_do_is_said(tmp_path: Path, names: tuple[str, ...], form: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    result = cli(tmp_path, *form)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"There is no picture and no video in {tmp_path}")
    assert ("2 .heic (such as 'IMG_" in line) == bool(names)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/a.jpg", "https://example.org/a.jpg", "S3://bucket/a.jpg"])
def test_addresses_are_not_fetched(folder: Path, address: str) -> None:
    result = cli(folder / "a.jpg", address)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{address} is an address, and nothing is fetched")


def test_a_picture_on_standard_input(folder: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "--json", "-", "--annotated", str(tmp_path)]
    content = (folder / "a.jpg").read_bytes()
    result = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, input=content, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    answer = json.loads(result.stdout)
    assert (answer["file"], answer["faces"][0]["emotion"]) == ("-", "happy")
    assert (tmp_path / "stdin.jpg").is_file()
    nothing = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, input=b"", capture_output=True, check=False)
    assert (nothing.returncode, json.loads(nothing.stdout)["code"]) == (1, "invalid_image")


def test_links_to_folders_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").symlink_to("real")
    (tmp_path / "link").symlink_to("real")
    passed_over = PassedOver()
    assert [file.path.name for file in files([str(tmp_path)], b"", passed_over)] == ["a.jpg"]
    assert not passed_over


def test_many_endings_are_summed_up() -> None:
    passed_over = PassedOver()
    for name in ("a.HEIC", "b.heic", "c.txt", "Makefile", "d.tif", "e.pdf", "f.psd"):
        passed_over.add(name)
    assert str(passed_over) == (
        "2 .heic (such as 'a.HEIC'), 1 .txt ('c.txt'), 1 without an ending ('Makefile'), 1 .tif ('d.tif'), 2 more"
    )


def test_names_that_are_no_text_are_rows_too(tmp_path: Path) -> None:
    strict = ENVIRONMENT | {"PYTHONIOENCODING": "utf-8:strict"}  # As most languages have it.
    name = os.fsdecode(b"\xff\033[31m.jpg")
    (tmp_path / name).write_bytes(b"poison")
    for form, shown in (("--csv", b"\xff\033[31m.jpg"), ("--json", b"\\udcff\\u001b[31m.jpg"), (None, b"??[31m.jpg")):
        command = [*COMMAND, str(tmp_path), *([form] if form else [])]
        result = subprocess.run(command, cwd=ROOT, env=strict, capture_output=True, check=False)
        assert result.returncode == 1
        assert shown in result.stdout


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_names_beyond_the_systems_encoding_are_rows_too(tmp_path: Path, encoding: str) -> None:
    for name in ("\N{HANGUL SYLLABLE HAN}.jpg", "z.jpg"):
        (tmp_path / name).write_bytes(b"poison")
    for form, shown in (("--csv", "\N{HANGUL SYLLABLE HAN}.jpg"), ("--json", "\\ud55c.jpg"), (None, "?.jpg")):
        result = run_command("predict", tmp_path, *([form] if form else []), encoding=encoding)
        assert result.returncode == 1
        assert [name in result.stdout for name in (shown, "z.jpg")] == [True, True]


def test_pandas_reads_the_types(folder: Path) -> None:
    words = cli(folder, "--csv").stdout
    whole = [name for name, kind in TYPES.items() if kind == "int32"]
    assert whole == ["face", "id", "x", "y", "width", "height"]
    table = pandas.read_csv(StringIO(words), dtype=dict.fromkeys(whole, "Int64") | {"certain": "boolean"})
    assert tuple(table.columns) == COLUMNS
    assert set(table[whole].dtypes.astype(str)) == {"Int64"}
    faces = table[table["code"].isna()].astype({"certain": "bool"})
    assert len(faces) == 5
    assert {row["certain"] for row in csv.DictReader(StringIO(words))} == {"True", "False", ""}
    assert faces["face"].tolist() == [0, 0, 0, 0, 1]
    assert faces["confidence"].tolist() == faces[list(LABELS)].max(axis=1).tolist()
    assert table["time"].dropna().tolist() == [0, 1, 2]
    assert table["error"].notna().sum() == 4


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
    rows = list(csv.DictReader(StringIO(result.stdout)))
    assert [(float(row["time"]), row["id"]) for row in rows] == [
        (0, "1"), (0.5, "1"), (1, ""), (1.5, ""), (2, "2"), (2.5, "2"),
    ]  # fmt: skip
    with Image.open(plot) as picture:
        assert picture.size == (chart.WIDTH, chart.HEIGHT)
    assert "No plot" in cli(folder / "a.jpg", "--plot", tmp_path / "none.png").stderr
    assert not (tmp_path / "none.png").exists()


def test_lines_of_a_plot_break_where_there_is_no_face() -> None:
    sure = dict.fromkeys(LABELS, 0.0) | {"happy": 0.5}
    with_gap = [Moment(time, None if 3 < time < 7 else sure) for time in range(11)]
    picture = np.asarray(chart.draw([Panel("a", with_gap), Panel("b" * 300, [])]))
    assert picture.shape == (2 * chart.HEIGHT, chart.WIDTH, 3)
    happy = (abs(picture[: chart.HEIGHT].astype(int) - [0xE6, 0xA7, 0x00]).sum(axis=2) < 20).any(axis=0)
    left, right = 64, chart.WIDTH - 150
    assert happy[left + 10]
    assert happy[right - 10]
    assert not happy[(left + right) // 2]


def test_a_closed_pipe_is_quiet(folder: Path) -> None:
    command = [*COMMAND, str(folder), str(folder), "--csv"]
    with subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"file,time,face")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == -signal.SIGPIPE


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
    assert words == "Stopped.\n"
    assert rest[-1:] in ("", "\n")  # No row is cut.


def on_terminal(*command: str, out: int | None = None) -> tuple[bytes, int]:
    """What a command writes to a terminal of 80 columns, and its status; `out` takes its standard output instead."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=theirs if out is None else out, stderr=theirs)
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
    return shown, process.wait(timeout=30)


def seen(shown: bytes) -> list[str]:
    """The lines that stay on the screen of a terminal."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", shown.decode()):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part == "\033[1A":
            row -= 1
        elif part == "\033[2K":
            lines[row] = ""
        elif part[0] != "\033":
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines]


def test_a_terminal_gets_a_progress_bar_beside_a_file(folder: Path) -> None:
    shown, status = on_terminal(*COMMAND, str(folder), "--csv", out=subprocess.DEVNULL)
    assert status == 1
    assert b"/8" in shown  # Five files, and three frames of the sixth.
    assert " ".join(seen(shown)).split() == cli(folder).stderr.split()
    assert max(map(len, seen(shown))) <= 80


def test_the_table_of_a_terminal_has_colours_and_no_trace_of_the_bar(folder: Path) -> None:
    shown, status = on_terminal(*COMMAND, str(folder))
    assert status == 1
    assert b"/8" in shown
    piped = cli(folder)
    rows = piped.stdout.splitlines()
    assert seen(shown)[: len(rows)] == rows
    words = seen(shown)[len(rows) :]
    assert " ".join(words).split() == piped.stderr.split()
    assert max(map(len, seen(shown))) <= 80
    assert b"\033[1m" in shown
    assert b"\033[38;5;178mhappy\033[0m" in shown
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        plain, _ = on_terminal("env", f"{name}={value}", *COMMAND, str(folder / "a.jpg"))
        assert b"happy" in plain
        assert b"\033[3" not in plain
    assert "\033" not in piped.stdout


def test_a_pipe_that_ends_in_the_terminal_has_no_bar_in_it(folder: Path) -> None:
    shown, _ = on_terminal("sh", "-c", f"{shlex.join([*COMMAND, str(folder)])} | head -n 2")
    first, second, *rest = seen(shown)
    assert first == str(folder / "a.jpg")
    assert "happy" in second
    assert b"/8" not in shown
    assert all(line == "" for line in rest)


@pytest.mark.slow
def test_the_keras_engine_says_nothing_of_its_own(folder: Path) -> None:
    assert process(folder / "a.jpg", "--csv", EMOTION_ENGINE="keras", TF_CPP_MIN_LOG_LEVEL="0").stderr == ""


@pytest.mark.slow
def test_it_says_what_keeps_it_from_starting(folder: Path, tmp_path: Path) -> None:
    missing = cli(folder / "a.jpg", EMOTION_MODEL_PATH=str(tmp_path / "none.keras"))
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
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
