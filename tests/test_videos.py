"""/predict/video: a recorded video over HTTP, real faces that move, and clients that misbehave."""

import asyncio
import csv
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.emotions import LABELS
from app.main import create_app
from app.settings import Settings
from app.vision import chart
from app.vision.sampling import Sampling, SamplingStep
from app.vision.video import VideoLimits, reading
from bench.clips import Window, encoded, shot
from tests.helpers import check_problem, children, parts, predict, run_command, serving
from tests.helpers import encoded as picture_file

Pixels = NDArray[np.uint8]
SIZE = (480, 360)


@pytest.fixture(scope="module")
def strict() -> Iterator[str]:
    """A service with small limits, in this process, whose model has one answer."""
    settings = Settings(max_video_bytes=3 * 2**20, max_video_seconds=20, max_video_samples=30)
    with serving(create_app(settings, parts())) as url:
        yield url


@pytest.fixture(scope="module")
def clip(astronaut: Pixels, hopper: Pixels) -> bytes:
    """A pan of two seconds over one portrait, then a cut to a zoom of two seconds into another."""
    pan: tuple[Window, Window] = (0.0, 0, 0.8, 0.6), (0.2, 0, 0.8, 0.6)
    zoom: tuple[Window, Window] = (0, 0, 1, 0.7), (0.15, 0.05, 0.7, 0.5)
    return encoded([*shot(astronaut, SIZE, 50, *pan), *shot(hopper, SIZE, 50, *zoom)], 25)


def swapping(astronaut: Pixels, hopper: Pixels) -> bytes:
    """Two people who swap sides in four seconds, one in front of the other."""
    faces = [
        np.asarray(Image.fromarray(face).resize((150, 150)))
        for face in (astronaut[:300, 90:390], hopper[60:400, 100:440])
    ]
    frames = []
    for number in range(100):
        frame = np.full((360, 480, 3), 90, np.uint8)
        for face, share, top in ((faces[1], 1 - number / 99, 40), (faces[0], number / 99, 190)):
            left = round(10 + 310 * share)
            frame[top : top + 150, left : left + 150] = face
        frames.append(frame)
    return encoded(frames, 25)


def ask(url: str, video: bytes, **query: Any) -> list[dict[str, Any]]:
    """The lines of an answer."""
    answer = httpx2.post(f"{url}/predict/video", content=video, params=query, timeout=120)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/jsonl"
    return list(map(json.loads, answer.text.splitlines()))


def ids(lines: list[dict[str, Any]]) -> list[list[int]]:
    return [[face["id"] for face in line["faces"]] for line in lines if "time" in line]


def test_faces_are_followed_over_pan_and_zoom_until_a_cut(service: str, clip: bytes) -> None:
    *samples, last = ask(service, clip)
    assert [line["time"] for line in samples] == pytest.approx([0, 0.52, 1, 1.52, 2, 2.52, 3, 3.52])
    assert ids(samples) == [*4 * [[1]], *4 * [[2]]]
    summary = last["summary"]
    assert (summary["duration"], summary["frames"], summary["samples"]) == (4, 100, 8)
    assert summary["image"] == {"width": 480, "height": 360}
    assert not summary["smoothed"]
    assert [(face["id"], face["first"], face["last"], face["samples"]) for face in summary["faces"]] == [
        (1, 0, 1.52, 4),
        (2, 2, 3.52, 4),
    ]
    for face in summary["faces"]:
        rows = [seen for line in samples for seen in line["faces"] if seen["id"] == face["id"]]
        for label in LABELS:
            assert face["probabilities"][label] == pytest.approx(
                np.mean([row["probabilities"][label] for row in rows]), abs=1e-4
            )
            assert face["shares"][label] == sum(row["emotion"] == label for row in rows) / 4
            sure = sorted((row["confidence"] for row in rows if row["emotion"] == label), reverse=True)[:3]
            assert [moment["probability"] for moment in face["moments"][label]] == sure


@pytest.mark.slow
def test_labels_are_those_of_the_same_frames_as_pictures(service: str, clip: bytes) -> None:
    async def pixels() -> list[Pixels]:
        sampling = Sampling(SamplingStep.parse("1s"))
        async with reading(deque([clip]), sampling, VideoLimits(9_000_000, 30)) as video:
            return [sample.pixels async for sample in video.samples()]

    frames = asyncio.run(pixels())
    samples = [line for line in ask(service, clip, every="1s") if "time" in line]
    with httpx2.Client(base_url=service, timeout=60) as http:
        for sample, frame in zip(samples, frames, strict=True):
            expected = predict(http, picture_file(frame))["faces"]
            for face, other in zip(sample["faces"], expected, strict=True):
                assert face.pop("probabilities") == pytest.approx(other.pop("probabilities"), abs=1e-3)
                assert face.pop("confidence") == pytest.approx(other.pop("confidence"), abs=1e-3)
                assert face.items() >= other.items()


@pytest.mark.slow
def test_people_who_swap_sides_keep_their_ids(service: str, astronaut: Pixels, hopper: Pixels) -> None:
    *samples, last = ask(service, swapping(astronaut, hopper))
    places = [{face["id"]: face["face_coordinates"]["y"] < 180 for face in line["faces"]} for line in samples]
    assert all(place.items() <= {1: places[0][1], 2: places[0][2]}.items() for place in places)
    assert [face["samples"] for face in last["summary"]["faces"]] == pytest.approx([8, 8], abs=1)


def test_a_part_and_a_number_of_faces_can_be_asked_for(service: str, clip: bytes) -> None:
    lines = ask(service, clip, **{"from": 0.4, "to": 1.5, "every": "0.2s", "limit": 1})
    assert [line["time"] for line in lines[:-1]] == pytest.approx([0.4, 0.6, 0.8, 1, 1.2, 1.4])
    assert lines[-1]["summary"]["frames"] < 60
    assert ids(ask(service, clip, every="50f", min_detection=1)) == [[], []]


@pytest.mark.slow
def test_smoothing_averages_neighbours_and_says_so(service: str, clip: bytes) -> None:
    plain, smooth = (ask(service, clip, every="0.4s", smooth=smooth) for smooth in (False, True))
    assert [line["smoothed"] for line in smooth[:-1]] == 10 * [True]
    assert smooth[-1]["summary"]["smoothed"]
    assert ids(plain) == ids(smooth)

    def changes(lines: list[dict[str, Any]]) -> float:
        neutral = np.array([line["faces"][0]["probabilities"]["neutral"] for line in lines[5:-1]])
        return float(np.abs(np.diff(neutral)).sum())

    assert changes(smooth) < changes(plain)


@pytest.mark.slow
def test_the_table_is_that_of_the_command_line(service: str, clip: bytes, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip)
    answer = httpx2.post(
        f"{service}/predict/video",
        files={"video": ("clip.mp4", clip)},
        params={"min_detection": 0.99},
        headers={"Accept": "text/csv"},
        timeout=120,
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    told = list(csv.DictReader(StringIO(answer.text)))
    command = ("predict", "--csv", "--every", "0.5s", "--min-detection", "0.99", tmp_path / "clip.mp4")
    printed = list(csv.DictReader(StringIO(run_command(*command, EMOTION_ENGINE="keras").stdout)))
    assert {row.pop("file") for row in told} == {"clip.mp4"}
    assert {row.pop("file") for row in printed} == {str(tmp_path / "clip.mp4")}
    exact = ("time", "face", "id", "x", "y", "width", "height", "emotion", "code", "error", "model")
    assert [[row[name] for name in exact] for row in told] == [[row[name] for name in exact] for row in printed]


def test_a_chart_has_a_row_for_each_face(service: str, clip: bytes) -> None:
    answer = httpx2.post(f"{service}/predict/video", content=clip, headers={"Accept": "image/png"}, timeout=120)
    assert (answer.status_code, answer.headers["vary"]) == (200, "Accept")
    with Image.open(BytesIO(answer.content)) as picture:
        assert picture.size == (chart.WIDTH, 2 * chart.HEIGHT)


def test_samples_come_while_the_video_is_read(service: str, astronaut: Pixels) -> None:
    video = encoded(shot(astronaut, SIZE, 150), 25)
    with httpx2.stream("POST", f"{service}/predict/video", content=video, timeout=120) as answer:
        lines = answer.iter_lines()
        first, started = next(lines), time.monotonic()
        rest = list(lines)
    assert json.loads(first)["time"] == 0
    assert len(rest) == 12
    assert time.monotonic() - started > 0.1


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"text", 400, "invalid_video"),
        (b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", 400, "invalid_video"),
        (b"", 422, "invalid_request"),
        (bytes(4 * 2**20), 413, "file_too_large"),
    ],
    ids=["text", "playlist", "empty", "large"],
)
def test_what_cannot_be_read_is_refused(strict: str, content: bytes, status: int, code: str) -> None:
    check_problem(httpx2.post(f"{strict}/predict/video", content=content, timeout=60), status, code)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"every": "often"}, 422, "invalid_request"),
        ({"every": "0.1s"}, 413, "video_too_long"),
        ({"from": "nan"}, 422, "invalid_request"),
        ({"from": 3, "to": 2}, 422, "invalid_request"),
        ({"until": 3}, 422, "invalid_request"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    strict: str, clip: bytes, query: dict[str, str | float], status: int, code: str
) -> None:
    check_problem(httpx2.post(f"{strict}/predict/video", content=clip, params=query, timeout=60), status, code)


def test_other_bodies_and_other_forms_are_refused(strict: str, clip: bytes) -> None:
    address = f"{strict}/predict/video"
    check_problem(httpx2.post(address, json={"video": "AAAA"}), 415, "unsupported_format")
    check_problem(httpx2.post(address, files=[("file", clip), ("file", clip)]), 422, "invalid_request")
    check_problem(httpx2.post(address, content=clip, headers={"Accept": "text/html"}), 406, "not_acceptable")


@pytest.mark.slow
def test_an_error_on_the_way_is_the_last_line(strict: str, astronaut: Pixels) -> None:
    video = encoded(shot(astronaut, (160, 120), 400), 10, "libvpx", "webm", live="1")  # No length in its header.
    *samples, last = ask(strict, video)
    assert len(samples) == 30
    assert (last["status"], last["code"]) == (413, "video_too_long")
    assert len(last["request_id"]) == 32
    table = httpx2.post(f"{strict}/predict/video", content=video, headers={"Accept": "text/csv"}, timeout=120)
    assert list(csv.DictReader(StringIO(table.text)))[-1]["code"] == "video_too_long"


@pytest.mark.slow
def test_a_client_that_hangs_up_ends_its_video_and_frees_its_place(astronaut: Pixels) -> None:
    video = encoded(shot(astronaut, SIZE, 490), 25, "libx264", "mp4", preset="ultrafast")
    with serving(create_app(Settings(), parts())) as url:
        others = children()
        address = f"{url}/predict/video"
        with httpx2.stream("POST", address, content=video, params={"every": "1f"}, timeout=60) as answer:
            lines = answer.iter_lines()  # Were it dropped, the connection would be closed.
            next(lines)
            assert len(children() - others) == 1
            check_problem(httpx2.post(address, content=video, timeout=60), 503, "overloaded")
        deadline = time.monotonic() + 1
        while children() - others:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert len(ask(url, video, every="10s")) == 3


@pytest.mark.slow
def test_a_portrait_is_answered_beside_a_video(service: str, clip: bytes, portrait: bytes) -> None:
    lines: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: lines.extend(ask(service, clip, every="4f")))
    thread.start()
    with httpx2.Client(base_url=service, timeout=60) as http:
        answers = [predict(http, portrait) for _ in range(3)]
    thread.join()
    assert {answer["emotion"] for answer in answers} == {"happy"}
    assert len(lines) == 26


@pytest.mark.slow
def test_samples_wait_for_the_rate_of_their_client(clip: bytes) -> None:
    with serving(create_app(Settings(max_requests_per_minute=60), parts())) as url:
        started = time.monotonic()
        assert len(ask(url, clip, every="1f", to=2.5)) == 64
        assert time.monotonic() - started > 3


def test_a_slow_upload_holds_no_place(strict: str, clip: bytes) -> None:
    url = httpx2.URL(strict)
    with socket.create_connection((url.host, url.port or 80)) as slow:
        head = f"POST /predict/video HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: {len(clip)}\r\n\r\n"
        slow.sendall(head.encode() + clip[: len(clip) // 2])
        time.sleep(0.1)
        assert len(ask(strict, clip, every="2s")) == 3
    assert len(ask(strict, clip, every="2s")) == 3
