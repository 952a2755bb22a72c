"""The benchmarks measure what they say; the documents repeat what they measured."""

import asyncio
import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from app.settings import Settings
from app.vision.detector import FaceDetector
from bench import detection, report, textbook
from bench.connections import Connections
from bench.load import Client
from bench.peers import __main__ as peers
from bench.photographs import panoramas, turned
from bench.pictures import PICTURES
from tests.helpers import ROOT, encoded


def test_the_documents_repeat_the_results() -> None:
    results = json.loads((ROOT / "bench" / "results.json").read_text())
    assert report.headline(results) in (ROOT / "README.md").read_text()
    assert report.table(results) in (ROOT / "bench" / "README.md").read_text()
    assert set(results["services"]) == {"textbook", *report.ENGINES}
    assert results["model"]["litert"]["precision"] == "int8"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "faces"), [
    ("portrait", (1024, 683), 1),
    ("photo", (3000, 4000), 1),
    ("group", (900, 1600), 8),
    ("frame", (480, 640), 1),
])  # fmt: skip
def test_the_pictures_show_what_they_should(
    detector: FaceDetector, name: str, size: tuple[int, int], faces: int
) -> None:
    image = cv2.imdecode(np.frombuffer(PICTURES[name](), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    assert image.shape[:2] == size
    assert len(detector.find(np.asarray(image, np.uint8))) == faces


@pytest.mark.anyio
async def test_clients_are_bounded_and_count_every_answer(service: str, portrait: bytes) -> None:
    outcome = await Client(service, portrait).closed(3, seconds=60, most=7)
    assert (len(outcome.latencies), outcome.failures, outcome.refusals) == (7, 0, [])
    assert set(outcome.stages) == {"decode", "detect", "classify", "total"}
    scheduled = await Client(service, portrait).scheduled(rate=10, seconds=0.5)
    assert len(scheduled.latencies) == 5
    assert (await Client(service, b"no picture").closed(1, seconds=60, most=2)).failures == 2


@pytest.mark.anyio
async def test_connections_are_used_again_while_the_server_keeps_them() -> None:
    opened = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        path = b""
        while path not in (b"/last", b"/then-closed"):
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            if path == b"/broken":
                break
            connection = b"Connection: close\r\n" if path == b"/last" else b""
            length = b"" if path == b"/endless" else b"Content-Length: 2\r\n"
            writer.write(b"HTTP/1.1 503 Busy\r\n" + length + connection + b"\r\n{}")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(EOFError):  # The client has closed the connection.
            await answer(reader, writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server, Connections(*server.sockets[0].getsockname()) as connections:

        async def send(path: str) -> tuple[int, bytes]:
            return await connections.send(f"GET /{path} HTTP/1.1\r\n\r\n".encode())

        assert [await send("a"), await send("b"), await send("last")] == [(503, b"{}")] * 3
        assert opened == 1
        assert await send("then-closed") == (503, b"{}")
        await asyncio.sleep(0.1)
        assert await send("c") == (503, b"{}")
        assert opened == 3
        with pytest.raises(EOFError):
            await send("broken")
        with pytest.raises(ValueError, match="length"):
            await send("endless")
    await asyncio.sleep(0.1)


@pytest.mark.slow
def test_the_textbook_service_gives_the_same_answer(portrait: bytes) -> None:
    with TestClient(textbook.create_app()) as client:
        answer = client.post("/predict", files={"file": ("a.jpg", portrait)})
        assert "happy" in [face["emotion"] for face in answer.json()["faces"]]
        assert client.post("/predict", files={"file": ("a.jpg", b"no picture")}).status_code == 400


@pytest.mark.slow
def test_detection_keeps_up_with_full_size_haar(detector: FaceDetector) -> None:
    results = detection.compare(30, detection.served(detector), detection.full_size(Settings().cascade_path))
    assert results["share of full size's faces found too"] >= 0.95
    assert results["mean overlap with full size's boxes"] > 0.75
    assert results["false boxes per picture"] <= results["false boxes per picture, full size"]


def test_a_portrait_takes_a_short_way() -> None:
    command = [sys.executable, "-m", "bench.path"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.search(r"^(\d+) files, (\d+) calls$", output, re.MULTILINE)
    assert found
    assert 8 <= int(found[1]) <= 27
    assert 60 <= int(found[2]) <= 210
    for file in ("analyzer.py", "routers/predict.py", "vision/haar.py", "model/classifier.py", "http/request_log.py"):
        assert f" {file}: " in output


def face(box: list[float], label: str) -> dict[str, object]:
    return {"box": box, "label": label}


def test_a_peer_is_scored_by_its_boxes_and_labels() -> None:
    photo = {
        "width": 1000,
        "height": 500,
        "faces": [
            {"box": [100, 100, 80, 100], "haar_box": [90, 100, 100, 100], "labels": ["happy"]},
            {"box": [400, 100, 80, 100], "haar_box": [390, 100, 100, 100], "labels": ["neutral", "sad"]},
            {"box": [700, 100, 80, 100], "haar_box": [690, 100, 100, 100], "labels": ["fear"]},
            {"box": [700, 300, 80, 100], "haar_box": [690, 300, 100, 100], "labels": []},
        ],
        "ignore": [[0, 300, 200, 200]],
    }
    faces = [
        face([130.2, 100, 100, 100], "angry"),  # Overlaps the first face, but less than the next does.
        face([92.4, 100.4, 100, 100], "happy"),
        face([390, 100, 100, 100], "angry"),
        face([700, 300, 80, 100], "disgust"),
        face([50, 350, 60, 60], "sad"),  # In a place that is ignored.
        face([500, 400, 40, 40], "sad"),  # Too small to count.
        face([500, 300, 60, 60], "sad"),
    ]
    answers = [{"faces": faces, "milliseconds": 2}, {"faces": [], "milliseconds": 4}]
    assert peers.score([photo, photo | {"faces": []}], answers) == [
        "75.0 % (3/4)",
        "0.500",
        "50.0 % (1/2)",
        "33.3 % (1/3)",
        "3",
    ]


def test_a_peer_answers_photographs_and_crops(portrait: bytes, astronaut: NDArray[np.uint8], tmp_path: Path) -> None:
    _, box = detection.FACES[0]
    true = {"box": [*box], "haar_box": [*box], "pose": "frontal", "labels": ["happy"]}
    truth = {"a.jpg": {"width": 512, "height": 512, "faces": [true], "ignore": []}}
    (tmp_path / "a.jpg").write_bytes(portrait)
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    head, _, row = peers.photographs(tmp_path, [peers.PEERS["litert"]]).splitlines()
    title, found, false, right, end, milliseconds, memory = row.strip("| ").split(" | ")
    assert len(row.split(" | ")) == len(head.split(" | "))
    assert (title, found, false, right, end) == (
        "This service, litert",
        *["100.0 % (1/1)", "0.000"],
        *["100.0 % (1/1)"] * 2,
    )
    assert int(milliseconds) < 10_000
    assert 50 < int(memory.removesuffix(" MB")) < 1000

    (tmp_path / "crops" / "happy").mkdir(parents=True)
    part = astronaut[box.y : box.y + box.height, box.x : box.x + box.width]
    crop = cv2.resize(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), (48, 48), interpolation=cv2.INTER_AREA)
    (tmp_path / "crops" / "happy" / "a.png").write_bytes(encoded(np.asarray(crop, np.uint8)))
    table = peers.crops(tmp_path / "crops", [peers.PEERS["litert"]])
    assert table.endswith("| This service, litert | 100.0 % (1/1) |")


def test_a_peer_that_ends_early_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended early"):
        peers.ask(peers.Peer("none", "ours", "none"), [tmp_path / "a.jpg"], crop=False)


def test_environments_are_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="npm"):
        peers.face_api_environment(tmp_path)
    (tmp_path / "installed").write_text((tmp_path / "package.json").read_text())
    assert peers.face_api_environment(tmp_path) == tmp_path
    monkeypatch.setitem(peers.FACE_API, "sharp", "0.0.0")
    with pytest.raises(FileNotFoundError, match="npm"):
        peers.face_api_environment(tmp_path)


def test_the_documents_have_a_row_for_each_peer() -> None:
    (section,) = re.findall(r"## Peers\n(.*?)\n## ", (ROOT / "bench" / "README.md").read_text(), re.DOTALL)
    titles = re.findall(r"^\| ([^|]+) \| [\d.]+ % \(", section, re.MULTILINE)
    assert titles == [peer.title for peer in peers.PEERS.values()] + [
        peer.crops for peer in peers.PEERS.values() if peer.crops
    ]


def test_photographs_are_turned_and_joined_with_their_truth(
    detector: FaceDetector, portrait: bytes, tmp_path: Path
) -> None:
    _, box = detection.FACES[0]
    true = {"box": [*box], "haar_box": [*box], "pose": "frontal"}
    names = [f"{number}.jpg" for number in range(5)]
    for name in names:
        (tmp_path / name).write_bytes(portrait)
    entry = {"width": 512, "height": 512, "faces": [true], "ignore": [[0, 0, 30, 60]]}
    (tmp_path / "truth.json").write_text(json.dumps({names[0]: entry}))
    finder = detection.served(detector)
    for quarters in range(4):
        (photograph,) = turned(tmp_path, quarters)
        count = detection.counted([photograph], finder, detection.by_company)
        assert (count.share("portraits"), count.false) == ("1/1", 0)
    (quarter,) = turned(tmp_path, 1)
    assert quarter.truth["ignore"] == [[452, 0, 60, 30]]

    (tmp_path / "truth.json").write_text(json.dumps({name: entry | {"ignore": []} for name in names}))
    for ratio in (2, 12):
        (panorama,) = panoramas(tmp_path, ratio)
        assert max(panorama.picture.width, panorama.picture.height) == ratio * 800
        count = detection.counted([panorama], finder, detection.by_company)
        assert (count.share("five and more"), count.false) == ("5/5", 0)

    (tmp_path / "truth.json").unlink()
    results = dict(detection.false_faces(tmp_path, finder))
    assert list(results) == ["full size", "1280 px", "640 px"]
    assert {(count.photographs, count.boxes) for count in results.values()} == {(5, 5)}
