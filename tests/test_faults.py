"""What clients see when the model fails, dies or is full; only the model is not real here."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from app.concurrency import Admission, FairShare
from app.main import create_app
from app.settings import Settings
from app.vision.geometry import Box
from app.vision.preprocess import enlarge, face_detail, model_input
from tests.helpers import Moody, encoded, parts


class Fatal(BaseException):
    """Ends the thread that it is raised in."""


@pytest.fixture
def moody() -> Moody:
    return Moody()


@pytest.fixture
def client(moody: Moody) -> Iterator[TestClient]:
    app = create_app(Settings(max_in_flight=2, max_files=2), parts(moody))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_an_exception_in_the_model_fails_that_request_only(client: TestClient, moody: Moody, portrait: bytes) -> None:
    moody.mood = ArithmeticError("secret detail")
    answer = client.post("/predict", content=portrait)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert "secret" not in answer.text
    moody.mood = None
    assert client.post("/predict", content=portrait).json()["emotion"] == "happy"


def test_want_of_memory_is_no_failure_of_the_service(
    client: TestClient, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("app.vision.faces.Picture.rgb", exhausted)
    answer = client.post("/predict", content=portrait)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")
    batch = client.post("/predict/batch", files=[("files", portrait)]).json()
    assert batch["results"][0]["code"] == "overloaded"
    monkeypatch.undo()
    monkeypatch.setattr("app.http.multipart.parts", exhausted)
    assert client.post("/predict", files={"file": portrait}).status_code == 503
    monkeypatch.undo()
    assert client.post("/predict", files={"file": portrait}).status_code == 200


def test_a_failure_in_a_batch_leaves_nothing_running(
    moody: Moody, portrait: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings(picture_threads=1), parts(moody))
    with TestClient(app, raise_server_exceptions=False) as client:
        moody.mood = ArithmeticError("secret detail")
        answer = client.post("/predict/batch", files=[("files", portrait)] * 4)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        moody.mood = None
        assert client.post("/predict", content=portrait).status_code == 200
        assert len(moody.seen) == 2
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_model_thread_is_not_ready(client: TestClient, moody: Moody, portrait: bytes) -> None:
    assert client.get("/readyz").status_code == client.get("/health").status_code == 200
    moody.mood = Fatal()
    assert client.post("/predict", content=portrait).status_code == 503
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "model_stopped")
    health = client.get("/health")
    assert (health.status_code, health.json()["status"], health.json()["model_loaded"]) == (503, "unhealthy", False)
    assert client.get("/livez").status_code == 503


def test_more_pictures_than_there_is_room_for_are_refused_at_once(client: TestClient, portrait: bytes) -> None:
    with client.app.state.service.admission.admit(1):  # type: ignore[attr-defined]
        answer = client.post("/predict/batch", files=[("files", portrait)] * 2)
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert client.post("/predict/batch", files=[("files", portrait)] * 2).status_code == 200


def test_a_full_service_refuses_before_it_reads_the_body(client: TestClient) -> None:
    with client.app.state.service.admission.admit(2):  # type: ignore[attr-defined]
        for path in ("/predict", "/predict/batch"):
            answer = client.post(path, content=b"not looked at")
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert client.post("/predict", content=b"looked at").status_code == 400


def test_a_length_of_thousands_of_digits_is_too_large(client: TestClient) -> None:
    """Uvicorn refuses it itself; other servers may not."""
    answer = client.post("/predict", content=b"x", headers={"Content-Length": "9" * 4400})
    assert (answer.status_code, answer.json()["code"]) == (413, "file_too_large")


@pytest.mark.anyio
async def test_requests_share_the_threads(moody: Moody) -> None:
    with TestClient(create_app(Settings(picture_threads=4), parts(moody))) as client:
        admission: Admission = client.app.state.service.admission  # type: ignore[attr-defined]
        share = FairShare(admission.threads_per_request)

        async def at_once() -> int:
            """How many of 16 are at work together."""
            full = asyncio.Event()
            started = 0

            async def work() -> None:
                nonlocal started
                async with share.slot():
                    started += 1
                    await full.wait()

            tasks = [asyncio.create_task(work()) for _ in range(16)]
            for _ in range(40):
                await asyncio.sleep(0)
            counted = started
            full.set()
            await asyncio.gather(*tasks)
            return counted

        with admission.admit(16):
            assert await at_once() == 4
            with admission.admit(1):
                assert await at_once() == 2
            with ExitStack() as others:
                for _ in range(9):
                    others.enter_context(admission.admit(1))
                assert await at_once() == 1
            assert await at_once() == 4


def test_no_request_waits_for_a_thread_of_the_framework(client: TestClient, portrait: bytes) -> None:
    """A refusal would cost several times as much, and be late behind those that decode pictures."""
    before = {*threading.enumerate()}
    assert client.post("/predict", content=portrait).status_code == 200
    assert client.post("/predict/annotated", content=portrait).status_code == 200
    assert client.post("/explain", content=portrait).status_code == 200
    assert client.get("/readyz").status_code == 200
    assert {thread.name[:8] for thread in {*threading.enumerate()} - before} <= {"pictures"}


def test_a_crop_is_what_the_model_gets(client: TestClient, moody: Moody, astronaut: NDArray[np.uint8]) -> None:
    box = client.post("/predict", content=encoded(astronaut)).json()["face_coordinates"]
    expected = model_input(enlarge(face_detail(astronaut, Box(**box))))
    assert np.abs(moody.seen[0][0] - expected).max() < 2.5 / 255  # Colours become grey by another library's rounding.
