"""Drawings and explanations over real HTTP, and whether the explanations of all engines are the same."""

import concurrent.futures
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from skimage.data import lfw_subset

from app.emotions import LABELS
from app.errors import NotAcceptable
from app.main import create_app
from app.model.classifier import Classifier
from app.model.occlusion import evidence, occluded
from app.routers.drawings import accepted_format
from app.settings import Settings
from app.vision.drawing import COLOURS, HEAT_SIDE, SCALE_HEIGHT
from app.vision.preprocess import enlarge, face_detail, model_input
from tests.helpers import bilevel_bomb, check_problem, encoded, group, pixels_of, predict


@pytest.fixture(scope="module")
def http(service: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service, timeout=60) as client:
        yield client


def opened(answer: httpx2.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    picture = Image.open(BytesIO(answer.content))
    picture.load()
    assert answer.headers["content-type"] == f"image/{str(picture.format).lower()}"
    return picture


def redness(file: bytes) -> NDArray[np.int64]:
    """By how much red exceeds blue and green in each pixel of the face of an explanation: [384, 384]."""
    face = np.asarray(Image.open(BytesIO(file)), np.int64)[:HEAT_SIDE]
    return np.asarray(face[..., 0] - face[..., 1:].max(axis=2))


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "JPEG"),
        ("*/*", "JPEG"),
        ("image/*", "JPEG"),
        ("image/png", "PNG"),
        ("IMAGE/PNG;q=0.9, image/jpeg;q=0.1", "PNG"),
        ("image/png;q=0.5, */*", "JPEG"),
        ("image/jpeg;q=0, image/*", "PNG"),
        ("image/avif,image/webp,image/apng,image/*,*/*;q=0.8", "JPEG"),
    ],
)
def test_the_accepted_form(accept: str, form: str) -> None:
    assert accepted_format(accept) == form


@pytest.mark.parametrize("accept", ["image/webp", "text/html", "image/png;q=0", "application/json, */*;q=0", ";;,="])
def test_other_forms_are_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        accepted_format(accept)


def test_the_drawing_has_the_faces_of_the_answer(
    http: httpx2.Client, astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8]
) -> None:
    data = encoded(group(astronaut, hopper))
    faces = predict(http, data)["faces"]
    picture = opened(http.post("/predict/annotated", files={"file": data}, headers={"Accept": "image/png"}))
    assert picture.size == (1100, 700)
    drawing = np.asarray(picture)
    for face in faces:
        box, colour = face["face_coordinates"], COLOURS[face["emotion"]]
        bottom = drawing[box["y"] + box["height"] - 1 :][:1, box["x"] : box["x"] + box["width"]]
        assert len(pixels_of(colour, bottom)) == box["width"]


@pytest.mark.parametrize("query", [{}, {"style": "boxes"}, {"limit": 1}])
def test_every_face_is_blurred_and_nothing_else(
    http: httpx2.Client, astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8], query: dict[str, Any]
) -> None:
    data = encoded(group(astronaut, hopper))
    boxes = [face["face_coordinates"] for face in predict(http, data)["faces"]]
    plain, blurred = (
        http.post("/predict/annotated", params=query | blur, content=data, headers={"Accept": "image/png"})
        for blur in ({}, {"blur": True})
    )
    nobody = http.post("/predict", params={"no_face": "ok"}, content=blurred.content)
    assert nobody.json() == {"faces": []}
    differs = (np.asarray(opened(plain)) != np.asarray(opened(blurred))).any(axis=2)
    for box in boxes:
        left, right = box["x"] - box["width"] // 2, box["x"] + 3 * box["width"] // 2
        top, bottom = box["y"] - box["height"] // 2, box["y"] + 3 * box["height"] // 2
        part = differs[top:bottom, left:right]
        assert part.mean() > 0.4
        part[:] = False
    assert len(boxes) == 2
    assert not differs.any()


def test_a_blurred_picture_comes_as_a_jpeg_too(http: httpx2.Client, portrait: bytes) -> None:
    blurred = http.post("/predict/annotated", params={"blur": True}, content=portrait)
    assert opened(blurred).format == "JPEG"
    check_problem(http.post("/predict", content=blurred.content), 400, "no_face")
    check_problem(http.post("/predict/annotated", params={"blur": "much"}, content=portrait), 422, "invalid_request")


def test_the_drawing_is_upright_and_has_no_metadata(http: httpx2.Client, astronaut: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret description"
    exif.get_ifd(0x8825)[1] = "N"
    sideways = Image.fromarray(astronaut[:, 40:440]).rotate(90, expand=True)
    data = encoded(sideways, "JPEG", quality=92, exif=exif, comment=b"a secret comment")
    for accept in ("image/jpeg", "image/png"):
        answer = http.post("/predict/annotated", content=data, headers={"Accept": accept})
        picture = opened(answer)
        assert picture.size == (480, 614)
        assert not picture.getexif()
        assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert b"secret" not in answer.content
    assert "accept" in answer.headers["vary"].lower()


def test_a_large_photograph_comes_back_at_a_sensible_size(http: httpx2.Client, hopper: NDArray[np.uint8]) -> None:
    data = encoded(Image.fromarray(hopper).resize((6000, 7030)), "JPEG", quality=80)
    picture = opened(http.post("/predict/annotated", content=data))
    assert picture.width * picture.height == pytest.approx(4_000_000, rel=0.01)


REFUSED: list[tuple[str, bytes, int, str]] = [
    ("no face", encoded(np.full((300, 400, 3), 200, np.uint8)), 400, "no_face"),
    ("text", b"hello", 400, "invalid_image"),
    ("too many pixels", bilevel_bomb(), 413, "too_many_pixels"),
    ("too large", bytes(21 * 2**20), 413, "file_too_large"),
    ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_format"),
    ("nothing", b"", 422, "invalid_request"),
]


@pytest.mark.parametrize("path", ["/predict/annotated", "/explain"])
@pytest.mark.parametrize(("data", "status", "code"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_errors_are_those_of_predict(http: httpx2.Client, path: str, data: bytes, status: int, code: str) -> None:
    check_problem(http.post(path, content=data), status, code)


def test_a_form_that_is_not_there_is_refused(http: httpx2.Client, portrait: bytes) -> None:
    answer = http.post("/predict/annotated", content=portrait, headers={"Accept": "image/webp"})
    check_problem(answer, 406, "not_acceptable")


def test_a_face_is_explained(http: httpx2.Client, portrait: bytes) -> None:
    answer = http.post("/explain", files={"file": portrait})
    picture = opened(answer)
    assert picture.format == "PNG"
    assert picture.size == (HEAT_SIDE, HEAT_SIDE + SCALE_HEIGHT)
    assert redness(answer.content).max() > 60
    body = predict(http, portrait)
    assert answer.headers["x-emotion"] == body["emotion"] == "happy"
    assert float(answer.headers["x-probability"]) == pytest.approx(body["confidence"], abs=0.01)
    assert (answer.headers["x-face"], answer.headers["x-faces"]) == ("0", "1")
    heat = np.array(answer.headers["x-heat"].split(","), float).reshape(6, 6)
    assert heat.max() > 0
    hottest = np.unravel_index(redness(answer.content).argmax(), (HEAT_SIDE, HEAT_SIDE))
    assert np.abs(np.array(hottest) / HEAT_SIDE * 6 - 0.5 - np.unravel_index(heat.argmax(), (6, 6))).max() < 1.5
    other = http.post("/explain", params={"label": "sad"}, content=portrait)
    assert other.headers["x-emotion"] == "sad"
    assert float(other.headers["x-probability"]) == pytest.approx(body["probabilities"]["sad"], abs=0.01)
    assert opened(other).tobytes() != picture.tobytes()


def test_any_face_of_a_group_is_explained(
    http: httpx2.Client, astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8]
) -> None:
    data = encoded(group(astronaut, hopper), "JPEG", quality=92)
    second = http.post("/explain", params={"face": 1}, content=data)
    assert (second.headers["x-emotion"], second.headers["x-face"], second.headers["x-faces"]) == ("happy", "1", "2")
    third = http.post("/explain", params={"face": 2}, content=data)
    assert "no face number 2; the picture has 2" in check_problem(third, 422, "invalid_request")["detail"]


def test_a_turned_face_is_explained_upright(http: httpx2.Client, astronaut: NDArray[np.uint8], portrait: bytes) -> None:
    upright = np.asarray(opened(http.post("/explain", content=portrait)).convert("L"), int)[:HEAT_SIDE]
    sideways = encoded(np.rot90(astronaut), "JPEG", quality=92)
    turned = np.asarray(opened(http.post("/explain", content=sideways)).convert("L"), int)[:HEAT_SIDE]
    assert turned.shape == upright.shape
    assert np.abs(turned - upright).mean() < 0.6 * np.abs(np.rot90(turned, -1) - upright).mean()


def test_a_face_is_explained_by_a_point_inside_it(
    http: httpx2.Client, astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8]
) -> None:
    data = encoded(group(astronaut, hopper), "JPEG", quality=92)
    by_number = http.post("/explain", params={"face": 1}, content=data)
    by_point = http.post("/explain", params={"x": 220, "y": 120}, content=data)
    assert by_point.headers["x-face"] == "1"
    assert by_point.content == by_number.content
    alone = http.post("/explain", params={"limit": 1}, content=data)
    assert (alone.headers["x-face"], alone.headers["x-faces"]) == ("0", "1")
    nowhere = http.post("/explain", params={"x": 5, "y": 5}, content=data)
    assert "5, 5" in check_problem(nowhere, 422, "invalid_request")["detail"]
    check_problem(http.post("/explain", params={"x": 5}, content=data), 422, "invalid_request")


@pytest.mark.parametrize("query", [{"face": -1}, {"face": "one"}, {"label": "bored"}, {"label": ""}])
def test_senseless_questions_are_refused(http: httpx2.Client, portrait: bytes, query: dict[str, Any]) -> None:
    check_problem(http.post("/explain", params=query, content=portrait), 422, "invalid_request")


@pytest.mark.slow
def test_explanations_and_predictions_do_not_disturb_each_other(service: str, portrait: bytes) -> None:
    def post(path: str) -> httpx2.Response:
        return httpx2.post(f"{service}{path}", content=portrait, timeout=60)

    paths = ["/predict", "/explain", "/predict/annotated"] * 6
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        answers = list(zip(paths, pool.map(post, paths), strict=True))
    assert {answer.status_code for _, answer in answers} == {200}
    assert {answer.json()["emotion"] for path, answer in answers if path == "/predict"} == {"happy"}
    assert len({answer.content for path, answer in answers if path == "/explain"}) == 1
    assert len({answer.content for path, answer in answers if path == "/predict/annotated"}) == 1


def test_the_litert_engine_explains_too(portrait: bytes) -> None:
    with TestClient(create_app(Settings(engine="litert"))) as client:
        answer = client.post("/explain", content=portrait)
        assert answer.headers["x-emotion"] == "happy"
        assert redness(answer.content).max() > 60
        assert client.post("/predict/annotated", content=portrait).status_code == 200


@pytest.fixture(scope="module")
def crops() -> NDArray[np.float32]:
    """A third of the small real faces that scikit-image ships, of Labeled Faces in the Wild."""
    faces = np.round(lfw_subset()[:100:3] * 255).astype(np.uint8)
    return model_input(np.stack([enlarge(face_detail(face)) for face in faces]))


@pytest.mark.slow
def test_every_engine_explains_alike(crops: NDArray[np.float32]) -> None:
    path = Settings().model_path
    exact, *others = (
        Classifier(path, precision="float32"),
        Classifier(path, precision="bfloat16"),
        Classifier(path, "litert"),
    )
    for crop in crops[:6]:
        label = int(exact.predict(crop[np.newaxis]).argmax())
        heat, *same = (evidence(one.predict(occluded(crop)), label) for one in (exact, *others))
        for other in same:
            assert np.corrcoef(heat.ravel(), other.ravel())[0, 1] > 0.95


@pytest.mark.slow
def test_explanations_are_finite_for_any_input(classifier: Classifier) -> None:
    for value in (0, 1):
        probabilities = classifier.predict(occluded(np.full((96, 96, 3), value, np.float32)))
        for label in range(len(LABELS)):
            assert np.isfinite(evidence(probabilities, label)).all()
