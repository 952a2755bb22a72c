"""A camera over the WebSocket: real frames, the real service, and clients that misbehave."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from app.emotions import LABELS
from app.live_session import MAX_FRAME_BYTES
from app.main import create_app
from app.model.classifier import Classifier
from app.settings import Settings
from app.vision.detector import FaceDetector
from bench.hostile import flood
from bench.live import camera, frames
from bench.server import free_port
from tests.helpers import ROOT, encoded, group, parts, serving, wait_until_ready


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return frames(20)


@pytest.fixture
def patient(classifier: Classifier) -> Iterator[str]:
    """A service for two cameras that waits one second for them."""
    with serving(create_app(Settings(max_live=2, live_seconds=1), parts(classifier))) as url:
        yield url


@contextmanager
def opened(url: str) -> Iterator[ClientConnection]:
    with connect(f"{url.replace('http', 'ws', 1)}/live", compression=None, close_timeout=2) as live:
        yield live


def answer(live: ClientConnection) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(live.recv(timeout=60))
    return body


def test_a_face_is_followed(service: str, pictures: list[bytes]) -> None:
    with opened(service) as live:
        seen = []
        for number, picture in enumerate(pictures, 1):
            live.send(picture)
            seen.append(body := answer(live))
            assert (body["frame"], body["passed"]) == (number, 0)
            (face,) = body["faces"]
            assert face["id"] == 1
            assert list(face["probabilities"]) == list(LABELS)
            assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
            assert face["emotion"] == max(face["probabilities"], key=face["probabilities"].__getitem__)
            assert body["image"] == {"width": 640, "height": 480}
            assert body["timings_ms"]["total"] > 0
    places = [body["faces"][0]["face_coordinates"]["x"] for body in seen]
    assert max(places) - min(places) > 80


def test_the_first_frame_is_answered_as_predict_does(service: str, pictures: list[bytes]) -> None:
    expected = httpx2.post(f"{service}/predict", content=pictures[0], timeout=60).json()["faces"]
    with opened(service) as live:
        live.send(pictures[0])
        (face,) = answer(live)["faces"]
    assert face.pop("id") == 1
    probabilities = face.pop("probabilities")
    assert probabilities == pytest.approx(expected[0].pop("probabilities"), abs=1e-3)
    assert face.pop("confidence") == pytest.approx(expected[0].pop("confidence"), abs=1e-3)
    assert face == expected[0]


def test_a_person_who_enters_is_found_beside_one_who_stays(
    service: str, astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8]
) -> None:
    both = group(astronaut, hopper)
    alone = both.copy()
    alone[:, 540:] = 90
    with opened(service) as live:
        live.send(encoded(alone, "JPEG"))
        (first,) = answer(live)["faces"]
        time.sleep(0.4)  # The whole frame is searched about three times a second.
        live.send(encoded(both, "JPEG"))
        faces = answer(live)["faces"]
        assert {face["id"]: face["face_coordinates"]["x"] > 540 for face in faces} == {first["id"]: False, 2: True}
        live.send(encoded(alone, "JPEG"))
        assert [face["id"] for face in answer(live)["faces"]] == [first["id"]]


def test_the_newest_frame_wins(service: str, pictures: list[bytes]) -> None:
    with opened(service) as live:
        for picture in pictures:
            live.send(picture)
        answers = [answer(live)]
        while answers[-1]["frame"] < len(pictures):
            answers.append(answer(live))
    assert answers[-1]["passed"] == len(pictures) - len(answers)
    numbers = [body["frame"] for body in answers]
    assert numbers == sorted(set(numbers))


def test_a_frame_without_a_face_and_one_that_is_no_picture_end_nothing(service: str, pictures: list[bytes]) -> None:
    grey = encoded(np.full((240, 320, 3), 128, np.uint8), "JPEG")
    with opened(service) as live:
        live.send(grey)
        assert answer(live) == {"frame": 1, "passed": 0, "faces": []}
        live.send(b"\x00garbage" * 1000)
        body = answer(live)
        assert (body["frame"], body["code"]) == (2, "invalid_image")
        assert body["error"]
        live.send(pictures[0])
        assert len(answer(live)["faces"]) == 1


def test_a_camera_may_change_its_size(service: str, pictures: list[bytes]) -> None:
    with Image.open(BytesIO(pictures[0])) as whole:
        large, tiny = (encoded(whole.resize(size), "JPEG") for size in ((1280, 960), (160, 120)))
    with opened(service) as live:
        for picture, width in ((large, 1280), (tiny, 160), (large, 1280)):
            live.send(picture)
            body = answer(live)
            assert body["image"]["width"] == width
            box = body["faces"][0]["face_coordinates"]
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width


@pytest.mark.parametrize(
    ("message", "code"), [("text", 1003), (bytes(MAX_FRAME_BYTES + 1), 1009)], ids=["text", "too large"]
)
def test_what_is_no_frame_closes_the_connection(message: str | bytes, code: int, patient: str) -> None:
    with opened(patient) as live:
        live.send(message)
        with pytest.raises(ConnectionClosed) as caught:
            live.recv(timeout=60)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code


def test_a_frame_that_is_much_too_large_is_not_even_read(service: str, pictures: list[bytes]) -> None:
    with opened(service) as live, pytest.raises(ConnectionClosed):  # Whether its reason arrives is up to the network.
        live.send(bytes(60 * 2**20))
    with opened(service) as live:
        live.send(pictures[0])
        assert answer(live)["faces"]


def test_more_cameras_than_places_are_refused_and_places_come_back(
    patient: str, pictures: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with opened(patient):
        with opened(patient), pytest.raises(InvalidStatus) as caught, opened(patient):
            pass
        with opened(patient) as third:
            third.send(pictures[0])
            assert answer(third)["faces"]
    assert caught.value.response.status_code == 503
    assert json.loads(caught.value.response.body)["code"] == "overloaded"
    assert caught.value.response.headers["Retry-After"] == "1"
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_camera_is_read_at_no_more_than_its_pace(service: str) -> None:
    """Of tiny frames sent as fast as possible, about one in each 120th of a second is read."""
    with opened(service) as live:
        started = time.monotonic()
        for _ in range(31):
            live.send(b"no picture")
        while answer(live)["frame"] < 31:
            pass
        assert time.monotonic() - started > 0.22


@pytest.mark.slow
def test_a_silent_camera_is_let_go(patient: str) -> None:
    with opened(patient) as live, pytest.raises(ConnectionClosed) as caught:
        live.recv(timeout=60)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001


@pytest.mark.slow
@pytest.mark.anyio
async def test_clients_that_flood_never_read_or_vanish_harm_nobody(service: str, pictures: list[bytes]) -> None:
    """Each of them at once, while another camera and a picture are answered as ever."""
    grey = encoded(np.full((480, 640, 3), 128, np.uint8), "JPEG")

    async def vanish() -> None:
        for _ in range(15):
            await flood(service, pictures[0], 0.2)

    async def post() -> httpx2.Response:
        await asyncio.sleep(1)
        async with httpx2.AsyncClient() as client:
            return await client.post(f"{service}/predict", content=pictures[0], timeout=60)

    floods = asyncio.gather(*(flood(service, one, 3) for one in (pictures[0], grey, b"?" * 1000)), vanish())
    asking = asyncio.create_task(post())
    outcome = await camera(service, pictures[:1], 3)
    assert (await asking).status_code == 200
    await floods
    assert outcome.faces == len(outcome.latencies) > 3
    assert outcome.ids == {1}


@pytest.mark.slow
def test_a_stop_does_not_wait_for_cameras(pictures: list[bytes]) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = os.environ | {"EMOTION_HOST": "127.0.0.1", "EMOTION_PORT": str(port), "EMOTION_ENGINE": "litert"}
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_until_ready(url, process)
    with opened(url) as live:
        live.send(pictures[0])
        answer(live)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as caught:
            live.recv(timeout=60)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
    lines, complaints = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"Traceback" not in complaints
    (line,) = [json.loads(line) for line in lines.splitlines() if b'"/live"' in line]
    assert (line["method"], line["status"], line["pictures"], line["faces"]) == ("WEBSOCKET", 101, 1, 1)
    assert line["bytes"] == len(pictures[0])


def test_a_face_that_moved_a_little_is_found_where_it_was(detector: FaceDetector, astronaut: NDArray[np.uint8]) -> None:
    (face,) = detector.find(astronaut)
    shifted = np.roll(astronaut, (6, 9), (0, 1))
    (followed,) = detector.find(shifted, [face])
    assert (followed.box.x - face.box.x, followed.box.y - face.box.y) == pytest.approx((9, 6), abs=4)
    assert (followed.confidence, followed.roll) == (face.confidence, face.roll)
    assert followed.landmarks[2].x - face.landmarks[2].x == pytest.approx(9, abs=4)
    (searched,) = detector.find(shifted, [face._replace(box=face.box._replace(x=10, y=300))])
    assert searched == detector.find(shifted)[0]
    assert detector.find(shifted, [face._replace(box=face.box._replace(x=5000))]) == [searched]
